//! `check_port`.

use peerage_link::api::{ReachRequest, ReachResponse, path};

use super::super::reply::PortCheck;
use super::super::{Node, Refusal};

impl Node {
    /// Asks the tracker in use to connect to this device, at the address from which it sees it and the port that peers are
    /// told. Takes up to three seconds.
    pub async fn check_port(&self) -> Result<PortCheck, Refusal> {
        let session = self.inner.session()?;
        let listen = session.engine.local_addr();
        let port = session.announced.unwrap_or(listen).port();
        let answer = session.trackers.call::<_, ReachResponse>(path::REACH, &ReachRequest { port }).await;
        let ReachResponse { address, reach } = answer.map_err(|error| session.refuse(error))?;
        Ok(PortCheck { listen, port, address, tracker: session.trackers.current_address(), reach })
    }
}

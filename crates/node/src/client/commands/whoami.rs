//! `whoami`.

use super::super::reply::Whoami;
use super::super::{Node, Refusal};

impl Node {
    /// Who is logged in, and where peers and the tracker are.
    pub async fn whoami(&self) -> Result<Whoami, Refusal> {
        let session = self.inner.session()?;
        Ok(Whoami {
            user: session.shown(),
            user_id: session.user,
            device: session.device,
            listen: session.engine.local_addr(),
            tracker: session.trackers.current_address(),
            notes: session.account_notes(),
        })
    }
}

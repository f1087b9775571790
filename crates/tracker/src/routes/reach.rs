//! Whether packets get through between a device and this tracker.
//!
//! A tracker connects to nobody but who asks: to the address that the request itself came from, which TCP has proved, so
//! that nobody makes it look at the ports of others. What it says there is a TLS greeting, and it hears whether the device
//! answers that asked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use peerage_link::api::{Echo, Reach, ReachRequest, ReachResponse};
use peerage_link::tls::{self, ExpectedKey};
use peerage_types::DeviceId;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::accept::Remote;
use crate::body::{Answer, Cbor};
use crate::error::Failure;
use crate::limits::{REACH_TIMEOUT, REACHING_MAX};
use crate::places::Places;
use crate::session::Session;
use crate::state::Shared;

/// Connections that are under way.
pub(crate) struct Reaching {
    all: Arc<Semaphore>,
    of_device: Places<DeviceId>,
}

impl Default for Reaching {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(REACHING_MAX)), of_device: Places::new(1) }
    }
}

/// Connects to the device that asks, and says what became of it.
pub(crate) async fn reach(
    State(state): State<Shared>,
    session: Session,
    remote: Remote,
    Cbor(request): Cbor<ReachRequest>,
) -> Answer<ReachResponse> {
    if request.port == 0 {
        return Err(Failure::bad_request("port 0 is none that anybody listens on"));
    }
    state.rates.reach(&remote, &session.device)?;
    let busy = || Failure::rate_limited(REACH_TIMEOUT);
    let _own = state.reaching.of_device.take(session.device).ok_or_else(busy)?;
    let _one_of_all = state.reaching.all.try_acquire().map_err(|_| busy())?;
    let address = SocketAddr::new(remote.addr.ip().to_canonical(), request.port);
    let reach = timeout(REACH_TIMEOUT, dial(address, session.device)).await.unwrap_or(Reach::Silent);
    Ok(Cbor(ReachResponse { address: address.to_string(), reach }))
}

async fn dial(address: SocketAddr, device: DeviceId) -> Reach {
    let tcp = match TcpStream::connect(address).await {
        Ok(tcp) => tcp,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return Reach::Silent,
        Err(_) => return Reach::Refused,
    };
    let config = tls::client_config(None, ExpectedKey::Exactly(device), &[]);
    match TlsConnector::from(config).connect(tls::server_name(), tcp).await {
        Ok(_) => Reach::Device,
        Err(_) => Reach::Other,
    }
}

/// Sends back what came.
pub(crate) async fn echo(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(echo): Cbor<Echo>,
) -> Answer<Echo> {
    state.rates.lookup(&remote)?;
    Ok(Cbor(echo))
}

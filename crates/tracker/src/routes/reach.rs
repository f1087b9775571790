//! Whether packets get through between a device and this tracker.
//!
//! A tracker connects to nobody but who asks: to the address that the request itself came from, which TCP has proved, so
//! that nobody makes it look at the ports of others. What it says there is a TLS greeting, and it hears whether the device
//! answers that asked.
//!
//! Behind a proxy that translates addresses the request comes from the proxy, which may be this very machine: no such proxy
//! may stand in front (`docs/operators.md`). That only ports are tried which the device announces would not help: it may
//! announce any, and who shares nothing yet announces none, but wants to know. So what is left to whoever is taken for this
//! machine is little: a port per second.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use peerage_link::api::{Echo, Reach, ReachRequest, ReachResponse};
use peerage_link::place::{Place, Range};
use peerage_link::tls::{self, ExpectedKey};
use peerage_types::DeviceId;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::accept::Remote;
use crate::body::{Answer, Cbor};
use crate::error::Failure;
use crate::limits::{ECHO_BYTES_MAX, REACH_TIMEOUT, REACHING_MAX, REACHING_OF_HOST_MAX};
use crate::places::Places;
use crate::session::Session;
use crate::state::Shared;

/// Connections that are under way.
pub(crate) struct Reaching {
    all: Arc<Semaphore>,
    of_host: Places<Range>,
    of_device: Places<DeviceId>,
}

impl Default for Reaching {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(REACHING_MAX)),
            of_host: Places::new(REACHING_OF_HOST_MAX),
            of_device: Places::new(1),
        }
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
    let host = Place::of(remote.addr.ip()).host;
    let _of_host = state.reaching.of_host.take(host).ok_or_else(busy)?;
    let _one_of_all = state.reaching.all.try_acquire().map_err(|_| busy())?;
    let address = at_port(remote.addr, request.port);
    let reach = timeout(REACH_TIMEOUT, dial(address, session.device)).await.unwrap_or(Ok(Reach::Silent))?;
    Ok(Cbor(ReachResponse { address: address.to_string(), reach }))
}

/// The same host, a link-local one with its interface, at another port.
fn at_port(remote: SocketAddr, port: u16) -> SocketAddr {
    let mut address = remote;
    address.set_ip(remote.ip().to_canonical());
    address.set_port(port);
    address
}

async fn dial(address: SocketAddr, device: DeviceId) -> Result<Reach, Failure> {
    let tcp = match TcpStream::connect(address).await {
        Ok(tcp) => tcp,
        Err(error) => return without_connection(error.kind()).ok_or_else(|| Failure::internal(&error)),
    };
    let config = tls::client_config(None, ExpectedKey::Exactly(device), &[]);
    match TlsConnector::from(config).connect(tls::server_name(), tcp).await {
        Ok(_) => Ok(Reach::Device),
        Err(_) => Ok(Reach::Other),
    }
}

/// What it says about the other side that there is no connection; nothing, if this side is at fault: it has no descriptors,
/// ports or routes left.
fn without_connection(kind: ErrorKind) -> Option<Reach> {
    match kind {
        ErrorKind::TimedOut => Some(Reach::Silent),
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::HostUnreachable
        | ErrorKind::PermissionDenied => Some(Reach::Refused),
        _ => None,
    }
}

/// Sends back what came.
pub(crate) async fn echo(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(echo): Cbor<Echo, ECHO_BYTES_MAX>,
) -> Answer<Echo> {
    state.rates.lookup(&remote)?;
    Ok(Cbor(echo))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_address_is_the_callers_at_another_port() {
        let check = |remote: &str, expected: &str| {
            assert_eq!(at_port(remote.parse().unwrap(), 7600).to_string(), expected);
        };
        check("192.0.2.1:50000", "192.0.2.1:7600");
        check("[::ffff:192.0.2.1]:50000", "192.0.2.1:7600");
        check("[2001:db8::1]:50000", "[2001:db8::1]:7600");
        check("[fe80::1%3]:50000", "[fe80::1%3]:7600");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn faults_of_this_side_are_no_refusals() {
        let said = |errno| without_connection(io::Error::from_raw_os_error(errno).kind());
        let (eperm, emfile, eaddrnotavail, enetunreach) = (1, 24, 99, 101);
        let (econnreset, etimedout, econnrefused, ehostunreach) = (104, 110, 111, 113);
        for errno in [eperm, econnreset, econnrefused, ehostunreach] {
            assert_eq!(said(errno), Some(Reach::Refused), "{errno}");
        }
        assert_eq!(said(etimedout), Some(Reach::Silent));
        for errno in [emfile, eaddrnotavail, enetunreach] {
            assert_eq!(said(errno), None, "{errno}");
        }
    }
}

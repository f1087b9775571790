//! A connection to one tracker: HTTP/2 (RFC 9113) over TLS, used by clients and by the other trackers.
//!
//! [`TrackerConn`] is a cheap handle; calls run side by side on one TCP connection. It never reconnects: when
//! the connection is gone every call fails at once with [`CallError::Unreachable`], and the caller goes to the
//! next tracker of its list. A tracker that vanished without a word is noticed by unanswered pings.

mod events;
mod exchange;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper::http::uri::Authority;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use peerage_types::PublicKey;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

pub use events::Events;
pub use exchange::Heard;

use crate::api::{ApiError, path};
use crate::list::TrackerEntry;
use crate::tls::{self, TlsError};

/// Resolving, connecting and both handshakes. Three trackers that swallow packets cost a command two seconds;
/// a good one across the world answers within 600 ms (three round trips of 200 ms).
pub const CONNECT_DEADLINE: Duration = Duration::from_millis(700);
/// From sending a request to the head of the answer: a round trip and a disk write.
pub const CALL_DEADLINE: Duration = Duration::from_millis(1_500);
/// A bundle is answered when other trackers have it on disk, for which the tracker waits up to one second.
pub const BUNDLE_DEADLINE: Duration = Duration::from_millis(2_500);
/// A tracker may have to read a large group from disk before it can answer.
pub const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(5);
/// A tracker waits up to three seconds for the connection that it was asked to make.
pub const REACH_DEADLINE: Duration = Duration::from_secs(5);
/// With its timeout below: a dead connection is noticed within two seconds of silence.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(800);
/// Longer than any round trip and than a busy machine lets a ping wait.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(1_100);
/// Uploads may take as long as this rate needs, in bytes per second, on top of the call's deadline.
pub const UPLOAD_RATE_MIN: u64 = 64 * 1024;

/// What the tracker may send before we read on, for one answer: a round trip of 200 ms at 5 MB/s.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same for all answers of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

const _: () = assert!(KEEP_ALIVE_INTERVAL.as_millis() + KEEP_ALIVE_TIMEOUT.as_millis() < 2_000);

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Environment: the name does not resolve, or nobody listens there.
    #[error("tracker {tracker} is unreachable: {why}")]
    Unreachable {
        /// As in the tracker list.
        tracker: String,
        /// What the operating system or the other side says.
        why: String,
    },
    /// Environment: no answer in time.
    #[error("tracker {tracker} did not answer within {} ms", deadline.as_millis())]
    Timeout {
        /// As in the tracker list.
        tracker: String,
        /// The time that was given.
        deadline: Duration,
    },
    /// Somebody else answers, or the cluster was made anew.
    #[error("tracker {tracker} has the key {got}, but {expected} is pinned")]
    WrongKey {
        /// As in the tracker list.
        tracker: String,
        /// The pinned key.
        expected: PublicKey,
        /// The key that answered.
        got: PublicKey,
    },
    /// Something answers that is no tracker.
    #[error("{tracker} does not answer like a tracker: {why}")]
    NotATracker {
        /// As in the tracker list.
        tracker: String,
        /// What it did instead.
        why: String,
    },
}

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The connection is gone: connect again, or to another tracker. Whether the call was carried out is open.
    #[error("the connection to tracker {tracker} is lost: {why}")]
    Unreachable {
        /// As in the tracker list.
        tracker: String,
        /// What ended it.
        why: String,
    },
    /// No answer in time. Whether the call was carried out is open.
    #[error("tracker {tracker} did not answer within {} ms", deadline.as_millis())]
    Timeout {
        /// As in the tracker list.
        tracker: String,
        /// The time that was given.
        deadline: Duration,
    },
    /// The tracker understood and refused. Another tracker would say the same, unless its views differ.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The tracker's answer is not what the API promises: it is at fault, or this program.
    #[error("tracker {tracker} gave an answer that does not fit {path}: {why}")]
    Protocol {
        /// As in the tracker list.
        tracker: String,
        /// What was called.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// How long a call to this path may wait for the head of its answer.
pub fn deadline_of(path: &str) -> Duration {
    match path {
        path::BUNDLE => BUNDLE_DEADLINE,
        path::GROUP_SNAPSHOT => SNAPSHOT_DEADLINE,
        path::REACH => REACH_DEADLINE,
        _ => CALL_DEADLINE,
    }
}

/// A live connection to one tracker. Clones share it; it closes when the last one and all [`Events`] are gone.
#[derive(Clone)]
pub struct TrackerConn {
    requests: http2::SendRequest<Full<Bytes>>,
    shared: Arc<Shared>,
}

/// What every clone knows about the connection.
struct Shared {
    entry: TrackerEntry,
    authority: Authority,
    server_key: PublicKey,
    local_addr: SocketAddr,
    peer_addr: SocketAddr,
    /// Set to the reason when the connection has ended.
    ended: watch::Receiver<Option<String>>,
}

impl TrackerConn {
    /// Connects and shakes hands, all within `deadline` ([`CONNECT_DEADLINE`] unless there is a reason). Tries
    /// every address of the host in turn. `config` comes from [`tls::client_config`] with [`tls::ALPN_H2`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        entry: &TrackerEntry,
        config: Arc<ClientConfig>,
        deadline: Duration,
    ) -> Result<Self, ConnectError> {
        let until = Instant::now() + deadline;
        match timeout_at(until, establish(entry, config, until)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::Timeout { tracker: entry.to_string(), deadline }),
        }
    }

    /// Which tracker this is.
    pub fn entry(&self) -> &TrackerEntry {
        &self.shared.entry
    }

    /// The key that the tracker proved.
    pub fn server_key(&self) -> PublicKey {
        self.shared.server_key
    }

    /// This end: the address under which other machines near the tracker may reach us.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// The tracker's end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.shared.peer_addr
    }

    /// Has the connection ended? Once it has, it stays so.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed() || self.shared.ended.borrow().is_some()
    }

    /// Waits until the connection has ended, and tells why.
    pub async fn closed(&self) -> String {
        let mut ended = self.shared.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the program is shutting down".to_owned(),
        }
    }

    fn unreachable(&self, why: impl ToString) -> CallError {
        let known = self.shared.ended.borrow().clone();
        let why = known.unwrap_or_else(|| why.to_string());
        CallError::Unreachable { tracker: self.shared.entry.to_string(), why }
    }

    fn late(&self, deadline: Duration) -> CallError {
        CallError::Timeout { tracker: self.shared.entry.to_string(), deadline }
    }

    fn strange(&self, path: &str, why: impl ToString) -> CallError {
        let tracker = self.shared.entry.to_string();
        CallError::Protocol { tracker, path: path.to_owned(), why: why.to_string() }
    }
}

impl std::fmt::Debug for TrackerConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrackerConn({})", self.shared.entry)
    }
}

async fn establish(
    entry: &TrackerEntry,
    config: Arc<ClientConfig>,
    until: Instant,
) -> Result<TrackerConn, ConnectError> {
    let tracker = entry.to_string();
    let unreachable =
        |why: &dyn ToString| ConnectError::Unreachable { tracker: tracker.clone(), why: why.to_string() };
    let strange =
        |why: &dyn ToString| ConnectError::NotATracker { tracker: tracker.clone(), why: why.to_string() };

    let tcp = dial(entry, until).await.map_err(|e| unreachable(&e))?;
    tcp.set_nodelay(true).map_err(|e| unreachable(&e))?;
    let local_addr = tcp.local_addr().map_err(|e| unreachable(&e))?;
    let peer_addr = tcp.peer_addr().map_err(|e| unreachable(&e))?;

    let stream =
        TlsConnector::from(config).connect(tls::server_name(), tcp).await.map_err(
            |e| match TlsError::of_io(&e) {
                Some(TlsError::WrongKey { expected, got }) => {
                    ConnectError::WrongKey { tracker: tracker.clone(), expected, got }
                }
                Some(TlsError::NotEd25519) => strange(&TlsError::NotEd25519),
                None if e.kind() == std::io::ErrorKind::InvalidData => strange(&e),
                None => unreachable(&e),
            },
        )?;
    let state = stream.get_ref().1;
    if state.alpn_protocol() != Some(tls::ALPN_H2) {
        return Err(strange(&"it did not agree on HTTP/2"));
    }
    let server_key = tls::peer_key(state).ok_or_else(|| strange(&"it showed no key"))?;

    let (requests, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(&explain(&e)))?;
    let (end, ended) = watch::channel(None);
    let label = tracker.clone();
    tokio::spawn(async move {
        let why = match connection.await {
            Ok(()) => "the tracker closed it".to_owned(),
            Err(e) => explain(&e),
        };
        tracing::debug!(tracker = label, why, "connection ended");
        end.send_replace(Some(why));
    });
    let authority = Authority::try_from(tracker.as_str()).map_err(|e| strange(&e))?;
    let entry = entry.clone();
    let shared = Shared { entry, authority, server_key, local_addr, peer_addr, ended };
    Ok(TrackerConn { requests, shared: Arc::new(shared) })
}

/// Tries the host's addresses one after the other. Each gets its part of the time that is left, so that one
/// that swallows packets does not keep us from the next.
async fn dial(entry: &TrackerEntry, until: Instant) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((entry.host.as_str(), entry.port)).await?.collect();
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = until.saturating_duration_since(now) / left;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(e)) => last = e,
            Err(_) => last = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"),
        }
    }
    Err(last)
}

/// The library's own text names the layer; what happened stands in the causes.
fn explain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let detail = inner.to_string();
        if !text.contains(&detail) {
            text = format!("{text}: {detail}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;

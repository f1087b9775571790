//! TCP connections between peers.

use std::io;

use tokio::net::TcpStream;

/// Protocol name inside the TLS handshake: keeps peers from being mistaken for trackers.
pub(super) const ALPN: &[u8] = b"peerage-peer/1";

/// Latency first: everything is written in large pieces anyway. CUBIC, because BBR paces the loopback and fast
/// local networks down to half; a system that has no CUBIC keeps its own.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_congestion(b"cubic") {
        tracing::debug!(%error, "the system's own congestion control stays");
    }
    Ok(())
}

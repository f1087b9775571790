//! TCP connections between peers, and TLS on top of them.

use std::io;

use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection between two devices. Reads from the socket are large; the TLS layer takes 4 KiB at a time.
pub(super) type PeerStream = TlsStream<BufReader<TcpStream>>;

/// Protocol name inside the TLS handshake: keeps peers from being mistaken for trackers.
pub(super) const ALPN: &[u8] = b"peerage-peer/1";

/// Bytes of one read from the socket: few system calls, and still in the second-level cache when decrypted.
const READ_BYTES: usize = 64 * 1024;
/// Plain bytes that the TLS layer encrypts before it writes them with one system call.
const ENCRYPT_BYTES: usize = 256 * 1024;

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

/// What TLS runs on.
pub(super) fn buffered(stream: TcpStream) -> BufReader<TcpStream> {
    BufReader::with_capacity(READ_BYTES, stream)
}

/// For after the handshake.
pub(super) fn widen(stream: &mut PeerStream) {
    match stream {
        TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(Some(ENCRYPT_BYTES)),
        TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(Some(ENCRYPT_BYTES)),
    }
}

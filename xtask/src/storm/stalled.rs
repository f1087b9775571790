//! Connections that begin and never go on, from many addresses of 127/8.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peerage_link::tls;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Where a connection stops.
#[derive(Clone, Copy, Debug)]
enum Stall {
    /// Connected, and not a byte.
    Silent,
    /// In the middle of a TLS client hello.
    Hello,
    /// Behind the TLS handshake, in the middle of a request header (RFC 9113, 6.2: no END_HEADERS).
    Header,
}

/// A record header that announces 512 bytes of handshake, and the first few of them (RFC 8446, 5.1).
const HALF_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
/// The HTTP/2 preface, empty SETTINGS, and HEADERS of stream 1 that hold `:method POST` and are not the end.
const HALF_HEADER: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x83";

/// What became of them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Opened so far, those included that were opened again.
    pub opened: AtomicU64,
    /// Ended by the tracker.
    pub ended: AtomicU64,
    /// Could not be opened.
    pub failed: AtomicU64,
}

/// All of them; they end when this is dropped.
pub struct Stalled {
    tasks: JoinSet<()>,
    pub counts: Arc<Counts>,
}

impl Stalled {
    /// Begins `each` stalled handshakes and `each` stalled headers from `sources` addresses, at most `per_second`
    /// together; whatever the tracker ends is opened again at the same pace.
    pub fn begin(
        target: SocketAddr,
        tls: &Arc<ClientConfig>,
        each: u32,
        sources: u32,
        per_second: u32,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        let mut pace = interval(Duration::from_secs(1) / per_second.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pace = Arc::new(Mutex::new(pace));
        let mut tasks = JoinSet::new();
        for index in 0..each {
            let handshake = if index % 2 == 0 { Stall::Silent } else { Stall::Hello };
            for (kind, net) in [(handshake, 1), (Stall::Header, 2)] {
                let source = source(net, index % sources.max(1));
                let (tls, counts, pace) = (Arc::clone(tls), Arc::clone(&counts), Arc::clone(&pace));
                tasks.spawn(keep(kind, source, target, tls, counts, pace));
            }
        }
        Self { tasks, counts }
    }

    /// Ends all.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// 127.`net`.x.y, all different.
fn source(net: u8, index: u32) -> Ipv4Addr {
    let [_, _, high, low] = (index + 1).to_be_bytes();
    Ipv4Addr::new(127, net, high, low)
}

async fn keep(
    kind: Stall,
    source: Ipv4Addr,
    target: SocketAddr,
    tls: Arc<ClientConfig>,
    counts: Arc<Counts>,
    pace: Arc<Mutex<Interval>>,
) {
    loop {
        pace.lock().await.tick().await;
        counts.opened.fetch_add(1, Ordering::Relaxed);
        match once(kind, source, target, &tls).await {
            Ok(()) => counts.ended.fetch_add(1, Ordering::Relaxed),
            Err(_) => counts.failed.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Opens one, stalls, and waits until the other side ends it.
async fn once(
    kind: Stall,
    source: Ipv4Addr,
    target: SocketAddr,
    tls: &Arc<ClientConfig>,
) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if cfg!(target_os = "linux") {
        // Elsewhere only 127.0.0.1 belongs to the machine.
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
    }
    let mut tcp: TcpStream = socket.connect(target).await?;
    match kind {
        Stall::Silent => {}
        Stall::Hello => tcp.write_all(HALF_HELLO).await?,
        Stall::Header => {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
            let mut stream = connector.connect(tls::server_name(), tcp).await?;
            stream.write_all(HALF_HEADER).await?;
            stream.flush().await?;
            until_end(stream).await;
            return Ok(());
        }
    }
    until_end(tcp).await;
    Ok(())
}

async fn until_end(mut stream: impl AsyncRead + Unpin) {
    let mut bytes = [0; 256];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
}

//! Connections of the load generator: HTTP/2 over TLS as the program's own clients open them, but each from a
//! loopback address of its own, so that the tracker's limits per address see as many sources as there are
//! connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use minicbor::{Decode, Encode};
use peerage_link::api::ApiError;
use peerage_link::tls::{self, ExpectedKey};
use peerage_types::PublicKey;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::usage::Usage;

/// As in `peerage_link::http`.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Longer than any honest answer takes, also on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server and the key that it must prove.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub addr: SocketAddr,
    pub key: PublicKey,
}

/// From here comes what only prepares a measurement: trackers allow this very machine more.
pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The loopback address of the connection with this number. All of 127/8 belongs to this machine (Linux).
pub fn source(number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// One open connection. Clones share it.
#[derive(Clone)]
pub struct Conn {
    requests: SendRequest<Full<Bytes>>,
    addr: SocketAddr,
}

impl Conn {
    /// Connects from `from` and shakes hands, with a device's key if there is one.
    pub async fn open(target: Target, from: Ipv4Addr, device: Option<&SigningKey>) -> Result<Self> {
        let opened = tokio::time::timeout(PATIENCE, Self::establish(target, from, device)).await;
        opened.map_err(|_| anyhow!("{} did not accept a connection within {PATIENCE:?}", target.addr))?
    }

    async fn establish(target: Target, from: Ipv4Addr, device: Option<&SigningKey>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from.into(), 0)).with_context(|| format!("cannot bind {from}"))?;
        let tcp = socket.connect(target.addr).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        let config = tls::client_config(device, ExpectedKey::Exactly(target.key), &[tls::ALPN_H2]);
        let stream = TlsConnector::from(config).connect(tls::server_name(), tcp).await.context("TLS")?;
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .context("HTTP/2")?;
        // Its error reaches every request that is under way.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { requests, addr: target.addr })
    }

    /// Where requests to this path go; made once, because it is parsed.
    pub fn uri(&self, path: &str) -> Result<Uri> {
        Ok(format!("https://{}{path}", self.addr).parse()?)
    }

    /// Posts a body and reads the whole answer; anything but success is an error.
    pub async fn post(&self, uri: &Uri, body: Bytes) -> Result<Bytes> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri.clone())
            .header(hyper::header::CONTENT_TYPE, "application/cbor")
            .body(Full::new(body))?;
        let mut requests = self.requests.clone();
        requests.ready().await?;
        let answer = requests.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            let why =
                minicbor::decode::<ApiError>(&body).map_or_else(|_| status.to_string(), |e| e.to_string());
            bail!("{} refused: {why}", uri.path());
        }
        Ok(body)
    }

    /// One call with typed request and answer, as the program's own clients make them.
    pub async fn call<Q, A>(&self, path: &str, request: &Q) -> Result<A>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        let uri = self.uri(path)?;
        let body = minicbor::to_vec(request).map_err(|e| anyhow!("{e}"))?;
        let answer = tokio::time::timeout(PATIENCE, self.post(&uri, body.into())).await;
        let answer = answer.map_err(|_| anyhow!("no answer to {path} within {PATIENCE:?}"))??;
        minicbor::decode(&answer).map_err(|e| anyhow!("malformed answer to {path}: {e}"))
    }
}

/// What the tasks of one load share.
#[derive(Clone, Default)]
pub struct Load {
    pub done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

/// How much was done in the window.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub per_second: f64,
    /// Of the servers, per 100,000 units of work.
    pub cpu_seconds: Option<f64>,
    /// The same of this process.
    pub load_cpu_seconds: Option<f64>,
}

impl Load {
    /// Is the measurement over?
    pub fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Counts what was done.
    pub fn add(&self, units: u64) {
        self.done.fetch_add(units, Ordering::Relaxed);
    }

    /// Lets the tasks run, looks at them for `window` after `warm`, and collects them. Any task's error is one of
    /// the measurement.
    pub async fn measure(
        &self,
        mut tasks: JoinSet<Result<()>>,
        servers: &[u32],
        warm: Duration,
        window: Duration,
    ) -> Result<Measured> {
        let all = || servers.iter().copied().chain([std::process::id()]);
        let usage = || all().map(Usage::of).collect::<Vec<_>>();
        let read = || (Instant::now(), self.done.load(Ordering::Relaxed), usage());
        tokio::time::sleep(warm).await;
        let before = read();
        tokio::time::sleep(window).await;
        let after = read();
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let units = (after.1 - before.1) as f64;
        let used = after.2.iter().zip(&before.2).map(|(after, before)| after.cpu_since(before));
        let mut used: Vec<Option<f64>> = used.map(|used| Some(used? / units * 100_000.0)).collect();
        let load_cpu_seconds = used.pop().flatten();
        let cpu_seconds = used.into_iter().sum();
        Ok(Measured { per_second: units / (after.0 - before.0).as_secs_f64(), cpu_seconds, load_cpu_seconds })
    }
}

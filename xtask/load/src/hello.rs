//! The bare program for announces: hyper over TLS with the tracker's settings, a few bytes as every answer.
//!
//! It runs as a process of its own (`xtask-load hello`), as a tracker does, and reads the same requests.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use peerage_link::tls::{self, ClientKey};
use peerage_types::PublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::client::Target;

/// As in the tracker (`crates/tracker/src/limits.rs`).
const STREAMS_MAX: u32 = 128;
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// The running bare program; it ends with this handle.
pub struct Hello {
    child: Child,
    pub target: Target,
}

impl Hello {
    pub fn start() -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program).arg("hello").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.as_mut() {
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
        }
        let (addr, key) = line.trim().split_once(' ').context("the bare program did not start")?;
        let key = PublicKey::from_hex(key).context("the bare program told no key")?;
        Ok(Self { target: Target { addr: addr.parse()?, key }, child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Serves until it is killed. Prints its address and key.
pub fn serve() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let key = SigningKey::from_bytes(&seed);
        let acceptor = TlsAcceptor::from(tls::server_config(&key, ClientKey::Optional, &[tls::ALPN_H2]));
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let public = PublicKey(key.verifying_key().to_bytes());
        println!("{} {public}", listener.local_addr()?);
        std::io::stdout().flush()?;
        loop {
            let (tcp, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            // A connection that breaks off is the load generator's end.
            tokio::spawn(async move { drop(connection(tcp, acceptor).await) });
        }
    })
}

async fn connection(tcp: TcpStream, acceptor: TlsAcceptor) -> Result<()> {
    tcp.set_nodelay(true)?;
    let stream = acceptor.accept(tcp).await?;
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(hello))
        .await?;
    Ok(())
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

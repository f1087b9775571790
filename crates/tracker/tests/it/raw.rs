//! Connections below the client's own code: from any address of 127/8, stalled anywhere, with any frame.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use peerage_link::api::ApiError;
use peerage_link::tls::{self, ExpectedKey};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::world::{PATIENCE, Person, World};

/// The HTTP/2 preface and empty SETTINGS (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// HEADERS of stream 1 that hold `:method POST` and are not the end (no END_HEADERS).
pub const HALF_HEADER: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x83";
/// A TLS record header and the start of a client hello.
pub const HALF_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// 127.`net`.x.y. Elsewhere than on Linux only 127.0.0.1 belongs to the machine.
pub fn source(net: u8, index: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(index + 1).unwrap().to_be_bytes();
    Ipv4Addr::new(127, net, high, low)
}

pub async fn tcp(world: &World, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if cfg!(target_os = "linux") {
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
    }
    socket.connect(world.started(1).addr).await.unwrap()
}

pub async fn tls(world: &World, from: Ipv4Addr) -> TlsStream<TcpStream> {
    tls_as(world, from, None).await
}

async fn tls_as(world: &World, from: Ipv4Addr, key: Option<&SigningKey>) -> TlsStream<TcpStream> {
    let config = tls::client_config(key, ExpectedKey::Exactly(world.started(1).key), &[tls::ALPN_H2]);
    let tcp = tcp(world, from).await;
    tokio_rustls::TlsConnector::from(config).connect(tls::server_name(), tcp).await.unwrap()
}

/// Waits until the other side has ended the connection.
pub async fn ended(mut stream: impl AsyncRead + Unpin) {
    let mut bytes = [0; 1024];
    let end = async { while matches!(stream.read(&mut bytes).await, Ok(1..)) {} };
    timeout(PATIENCE, end).await.expect("the tracker never ended the connection");
}

/// HTTP/2 without any of the client's manners.
pub struct Raw(pub SendRequest<BoxBody<Bytes, std::io::Error>>);

impl Raw {
    pub async fn connect(world: &World, from: Ipv4Addr) -> Self {
        Self::over(tls(world, from).await).await
    }

    /// The same with this person's device key.
    pub async fn connect_as(world: &World, from: Ipv4Addr, person: &Person) -> Self {
        Self::over(tls_as(world, from, Some(&person.device)).await).await
    }

    async fn over(stream: TlsStream<TcpStream>) -> Self {
        let (requests, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(requests)
    }

    /// Takes no byte of any answer: its HTTP/2 window stays closed, while it answers pings. The second part ends with
    /// the connection.
    pub async fn deaf(world: &World, from: Ipv4Addr) -> (Self, tokio::task::JoinHandle<()>) {
        Self::deaf_over(tls(world, from).await).await
    }

    /// The same with this person's device key.
    pub async fn deaf_as(world: &World, from: Ipv4Addr, person: &Person) -> Self {
        Self::deaf_over(tls_as(world, from, Some(&person.device)).await).await.0
    }

    async fn deaf_over(stream: TlsStream<TcpStream>) -> (Self, tokio::task::JoinHandle<()>) {
        let stream = TokioIo::new(stream);
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (requests, connection) = builder.initial_stream_window_size(0).handshake(stream).await.unwrap();
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        (Self(requests), task)
    }

    /// Posts a message: the answer, or what was refused.
    pub async fn call<T>(&mut self, path: &str, message: &impl minicbor::Encode<()>) -> Result<T, ApiError>
    where
        T: for<'b> minicbor::Decode<'b, ()>,
    {
        let body = Full::new(Bytes::from(minicbor::to_vec(message).unwrap()));
        let request = request(path).body(body.map_err(|never| match never {}).boxed()).unwrap();
        let answer = timeout(PATIENCE, self.0.send_request(request)).await.unwrap().unwrap();
        let ok = answer.status().is_success();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        if ok { Ok(minicbor::decode(&body).unwrap()) } else { Err(minicbor::decode(&body).unwrap()) }
    }
}

pub fn request(path: &str) -> hyper::http::request::Builder {
    hyper::Request::post(format!("https://tracker{path}"))
}

/// A body that never comes.
pub fn silence() -> BoxBody<Bytes, std::io::Error> {
    BodyExt::boxed(StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>()))
}

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use ed25519_dalek::SigningKey;
use expect_test::{Expect, expect};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use peerage_replica::Vector;
use peerage_types::{Stamp, TrackerId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::api::{BundleResponse, Empty, ErrorCode, Event};
use crate::sse;
use crate::tls::{ALPN_H2, ClientKey, ExpectedKey, client_config, server_config};

/// So long that only a test that hangs gets there.
const NEVER: Duration = Duration::from_secs(60);
/// So short that nobody notices, where a timeout is what is tested.
const SOON: Duration = Duration::from_millis(50);

type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn public(byte: u8) -> PublicKey {
    PublicKey(key(byte).verifying_key().to_bytes())
}

/// A body that the test feeds.
struct Feed(mpsc::Receiver<Bytes>);

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn answer(status: u16, bytes: impl Into<Bytes>) -> Response<BoxBody> {
    let mut answer = Response::new(Full::new(bytes.into()).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// What the tracker of these tests says to each path.
async fn serve(request: Request<Incoming>, feed: &Mutex<Option<Feed>>) -> Response<BoxBody> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    match path.as_str() {
        "/echo" => answer(200, body),
        "/refuse" => {
            let error = ApiError::new(ErrorCode::NotOwner, "only the owner may");
            answer(error.code.status(), minicbor::to_vec(&error).unwrap())
        }
        "/garbage" => answer(200, vec![0xff]),
        "/gateway" => answer(502, "<html>"),
        "/large" => answer(200, vec![7; 3_000_000]),
        "/events" => Response::new(feed.lock().unwrap().take().unwrap().boxed_unsync()),
        _ => std::future::pending().await,
    }
}

/// A tracker with key 2 that serves one connection.
struct Tracker {
    entry: TrackerEntry,
    feed: mpsc::Sender<Bytes>,
    task: AbortHandle,
}

impl Tracker {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entry =
            TrackerEntry { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let (feed, source) = mpsc::channel(8);
        let source = Arc::new(Mutex::new(Some(Feed(source))));
        let task = tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(server_config(&key(2), ClientKey::Optional, &[ALPN_H2]));
            let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await else { return };
            let service = service_fn(|request| {
                let source = source.clone();
                async move { Ok::<_, Infallible>(serve(request, &source).await) }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        Self { entry, feed, task: task.abort_handle() }
    }

    async fn connect(&self, expected: ExpectedKey) -> Result<TrackerConn, ConnectError> {
        let config = client_config(Some(&key(1)), expected, &[ALPN_H2]);
        TrackerConn::connect(&self.entry, config, NEVER).await
    }
}

#[track_caller]
fn check(tracker: &Tracker, error: &dyn std::error::Error, expected: Expect) {
    expected.assert_eq(&error.to_string().replace(&tracker.entry.to_string(), "TRACKER"));
}

#[tokio::test]
async fn calls_and_their_failures() {
    let tracker = Tracker::start().await;
    let conn = tracker.connect(ExpectedKey::Exactly(public(2))).await.unwrap();
    assert_eq!((conn.server_key(), conn.peer_addr().port()), (public(2), tracker.entry.port));
    let places = Vector::default();
    let message =
        BundleResponse { stamp: Stamp(1), durable_on: 2, of: 3, places, tracker: TrackerId([4; 16]) };
    assert_eq!(conn.call::<_, BundleResponse>("/echo", &message).await.unwrap(), message);

    let call = |path: &'static str| {
        let conn = conn.clone();
        async move { conn.call::<_, Empty>(path, &Empty {}).await.unwrap_err() }
    };
    assert!(matches!(call("/refuse").await, CallError::Refused(e) if e.code == ErrorCode::NotOwner));
    check(&tracker, &call("/refuse").await, expect!["only the owner may"]);
    check(
        &tracker,
        &call("/garbage").await,
        expect![
            "tracker TRACKER gave an answer that does not fit /garbage: unexpected type break at position 0: expected array"
        ],
    );
    check(
        &tracker,
        &call("/gateway").await,
        expect![
            "tracker TRACKER gave an answer that does not fit /gateway: status 502 Bad Gateway without a reason"
        ],
    );
    check(
        &tracker,
        &call("not a path").await,
        expect![
            "tracker TRACKER gave an answer that does not fit not a path: path does not start with slash"
        ],
    );
    let late = conn.call_within::<_, Empty>("/silent", &Empty {}, SOON).await.unwrap_err();
    check(&tracker, &late, expect!["tracker TRACKER did not answer within 50 ms"]);

    assert_eq!(conn.get_bytes("/large", 3_000_000).await.unwrap().len(), 3_000_000);
    check(
        &tracker,
        &conn.get_bytes("/large", 2_999_999).await.unwrap_err(),
        expect!["tracker TRACKER gave an answer that does not fit /large: more than 2999999 bytes"],
    );
    conn.put_bytes("/echo", vec![1; 1000].into()).await.unwrap();
    let too_large = conn.put_bytes("/echo", vec![1; 1_000_000].into()).await.unwrap_err();
    check(
        &tracker,
        &too_large,
        expect!["tracker TRACKER gave an answer that does not fit /echo: more than 65536 bytes"],
    );
    assert!(!conn.is_closed());
}

#[tokio::test]
async fn when_the_connection_closes_calls_fail_at_once() {
    let tracker = Tracker::start().await;
    let conn = tracker.connect(ExpectedKey::Learn).await.unwrap();
    let waiting = tokio::spawn({
        let conn = conn.clone();
        async move { conn.call_within::<_, Empty>("/silent", &Empty {}, NEVER).await }
    });
    // The first call is under way when the second one has been answered: one connection, in order.
    conn.call::<_, Empty>("/echo", &Empty {}).await.unwrap();
    tracker.task.abort();
    assert!(matches!(waiting.await.unwrap(), Err(CallError::Unreachable { .. })));
    conn.closed().await;
    assert!(conn.is_closed());
    let error = conn.call_within::<_, Empty>("/echo", &Empty {}, NEVER).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_tracker_that_falls_silent_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(server_config(&key(2), ClientKey::Optional, &[ALPN_H2]));
        let _frozen = acceptor.accept(listener.accept().await.unwrap().0).await;
        std::future::pending::<()>().await;
    });
    let entry = TrackerEntry { host: "localhost".to_owned(), port };
    let config = client_config(None, ExpectedKey::Learn, &[ALPN_H2]);
    let conn = TrackerConn::connect(&entry, config, NEVER).await.unwrap();
    let error = conn.call_within::<_, Empty>("/echo", &Empty {}, NEVER);
    let error = timeout(NEVER / 2, error).await.expect("noticed only by the deadline").unwrap_err();
    let shown = error.to_string().replace(&port.to_string(), "PORT");
    expect!["the connection to tracker localhost:PORT is lost: http2 error: keep-alive timed out: operation timed out"].assert_eq(&shown);
    assert!(conn.is_closed());
}

#[tokio::test]
async fn another_key_is_refused_and_named() {
    let tracker = Tracker::start().await;
    let error = tracker.connect(ExpectedKey::Exactly(public(3))).await.unwrap_err();
    check(
        &tracker,
        &error,
        expect![
            "tracker TRACKER has the key 8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394, but ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1 is pinned"
        ],
    );
}

#[tokio::test]
async fn nobody_there_or_no_tracker() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let entry = TrackerEntry { host: "127.0.0.1".to_owned(), port };
    let config = || client_config(None, ExpectedKey::Learn, &[ALPN_H2]);
    let shown = |error: ConnectError| error.to_string().replace(&port.to_string(), "PORT");

    // Connected, but nobody answers.
    let error = TrackerConn::connect(&entry, config(), SOON).await.unwrap_err();
    expect!["tracker 127.0.0.1:PORT did not answer within 50 ms"].assert_eq(&shown(error));

    let parrot = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = tcp.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    });
    // The first connection is still in the queue; the parrot repeats what that one said before it went away.
    parrot.await.unwrap();
    let error = TrackerConn::connect(&entry, config(), NEVER).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn something_else_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut tcp = listener.accept().await.unwrap().0;
        tokio::io::AsyncWriteExt::write_all(&mut tcp, b"SSH-2.0-OpenSSH_9.6\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let entry = TrackerEntry { host: "127.0.0.1".to_owned(), port };
    let config = client_config(None, ExpectedKey::Learn, &[ALPN_H2]);
    let error = TrackerConn::connect(&entry, config, NEVER).await.unwrap_err();
    expect![
        "127.0.0.1:PORT does not answer like a tracker: received corrupt message of type InvalidContentType"
    ]
    .assert_eq(&error.to_string().replace(&port.to_string(), "PORT"));
}

#[tokio::test]
async fn events_arrive_in_order_until_the_end() {
    let mut tracker = Tracker::start().await;
    let conn = tracker.connect(ExpectedKey::Learn).await.unwrap();
    let mut events = conn.events("/events").await.unwrap();
    drop(conn);

    let group = peerage_types::GroupId([4; 32]);
    let wire =
        [sse::KEEP_ALIVE, &sse::encode(&Event::Account), &sse::encode(&Event::Files { group })].concat();
    let (first, second) = wire.split_at(20);
    tracker.feed.send(first.to_owned().into()).await.unwrap();
    // A caller that gives up waiting, as `select!` does, loses nothing.
    let _ = timeout(Duration::ZERO, events.next()).await;
    tracker.feed.send(second.to_owned().into()).await.unwrap();
    assert_eq!(events.next().await, Ok(Event::Account));
    assert_eq!(events.next().await, Ok(Event::Files { group }));

    tracker.feed = mpsc::channel(1).0;
    check(
        &tracker,
        &events.next().await.unwrap_err(),
        expect!["the connection to tracker TRACKER is lost: the tracker ended the event stream"],
    );
}

use std::convert::Infallible;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use peerage_link::api::{ApiError, ErrorCode, HelloResponse, path};
use peerage_link::tls::{ALPN_H2, ClientKey, ExpectedKey, client_config, server_config};
use peerage_replica::Vector;
use peerage_types::{ClusterId, PublicKey, TrackerId};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;

const ANSWER: u8 = 0;
const SILENT: u8 = 1;
const REFUSE: u8 = 2;
const OVERLOADED: u8 = 3;

/// A tracker that only says hello: with its number as its id, or in the way that a test wants.
struct Fake {
    port: u16,
    mood: Arc<AtomicU8>,
    task: JoinHandle<()>,
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

impl Fake {
    async fn start(number: u8, key: &SigningKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mood = Arc::new(AtomicU8::new(ANSWER));
        let tls = TlsAcceptor::from(server_config(key, ClientKey::Optional, &[ALPN_H2]));
        let shared = Arc::clone(&mood);
        let task = tokio::spawn(async move {
            // Ends with the task, and so do all connections.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, mood) = (tls.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(tcp).await else { return };
                    let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                        let mood = Arc::clone(&mood);
                        async move { Ok::<_, Infallible>(answer(number, mood.load(Ordering::SeqCst)).await) }
                    });
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { port, mood, task }
    }

    fn feel(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    async fn die(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

async fn answer(number: u8, mood: u8) -> Response<Full<Bytes>> {
    let hello = HelloResponse {
        cluster: ClusterId([1; 16]),
        tracker: TrackerId([number; 16]),
        unix_ms: 0,
        opaque_key: 1,
        trackers: 2,
        vector: Vector::default(),
        observed: String::new(),
    };
    let refusal = |code| minicbor::to_vec(ApiError::new(code, "no")).unwrap();
    let (status, body) = match mood {
        SILENT => std::future::pending().await,
        REFUSE => (403, refusal(ErrorCode::NotMember)),
        OVERLOADED => (503, refusal(ErrorCode::Unavailable)),
        _ => (200, minicbor::to_vec(&hello).unwrap()),
    };
    Response::builder().status(status).body(Full::from(body)).unwrap()
}

fn trackers(fakes: &[&Fake], pinned: &SigningKey) -> Trackers {
    let entry = |fake: &&Fake| TrackerEntry { host: "127.0.0.1".into(), port: fake.port };
    let config = client_config(None, ExpectedKey::Exactly(public(pinned)), &[ALPN_H2]);
    Trackers::new(fakes.iter().map(entry).collect(), config, 0, Arc::default())
}

/// Which fake answered.
async fn ask(trackers: &Trackers) -> Result<u8, TrackersError> {
    let hello: HelloResponse = trackers.call(path::HELLO, &api::Empty {}).await?;
    Ok(hello.tracker.0[0])
}

#[tokio::test]
async fn the_choice_is_sticky_and_a_dead_tracker_is_replaced() {
    let cluster = key(1);
    let (one, two) = (Fake::start(1, &cluster).await, Fake::start(2, &cluster).await);
    let trackers = trackers(&[&one, &two], &cluster);
    let mut changes = trackers.watch();
    assert_eq!((ask(&trackers).await.unwrap(), ask(&trackers).await.unwrap()), (1, 1));
    assert_eq!(changes.borrow_and_update().as_ref().map(|e| e.port), Some(one.port));
    one.die().await;
    assert_eq!((ask(&trackers).await.unwrap(), ask(&trackers).await.unwrap()), (2, 2));
    assert_eq!(changes.borrow_and_update().as_ref().map(|e| e.port), Some(two.port));
    assert_eq!(trackers.current_address(), format!("127.0.0.1:{}", two.port));
}

#[tokio::test]
async fn a_tracker_that_falls_silent_is_replaced_during_the_call() {
    let cluster = key(1);
    let (one, two) = (Fake::start(1, &cluster).await, Fake::start(2, &cluster).await);
    let trackers = trackers(&[&one, &two], &cluster);
    assert_eq!(ask(&trackers).await.unwrap(), 1);
    one.feel(SILENT);
    assert_eq!(ask(&trackers).await.unwrap(), 2);
}

#[tokio::test]
async fn an_overloaded_tracker_is_replaced_but_a_refusal_stands() {
    let cluster = key(1);
    let (one, two) = (Fake::start(1, &cluster).await, Fake::start(2, &cluster).await);
    let trackers = trackers(&[&one, &two], &cluster);
    one.feel(REFUSE);
    let error = ask(&trackers).await.unwrap_err();
    assert!(matches!(error, TrackersError::Refused(e) if e.code == ErrorCode::NotMember));
    assert_eq!(trackers.preferred(), 0);
    one.feel(OVERLOADED);
    assert_eq!(ask(&trackers).await.unwrap(), 2);
}

#[tokio::test]
async fn all_addresses_are_named_when_none_answers() {
    let cluster = key(1);
    let (one, two) = (Fake::start(1, &cluster).await, Fake::start(2, &cluster).await);
    let ports = [one.port, two.port];
    let trackers = trackers(&[&one, &two], &cluster);
    one.die().await;
    two.die().await;
    let error = ask(&trackers).await.unwrap_err();
    let TrackersError::Unreachable { tried, sent: false } = error else { panic!("{error}") };
    for port in ports {
        assert!(tried.iter().any(|t| t.starts_with(&format!("127.0.0.1:{port} ("))), "{tried:?}");
    }
}

#[tokio::test]
async fn whether_a_request_went_out_before_all_fell_silent_is_told() {
    let cluster = key(1);
    let one = Fake::start(1, &cluster).await;
    let trackers = trackers(&[&one], &cluster);
    assert_eq!(ask(&trackers).await.unwrap(), 1);
    one.feel(SILENT);
    let (asked, died) = tokio::join!(ask(&trackers), async {
        tokio::task::yield_now().await;
        one.die().await;
    });
    let ((), error) = (died, asked.unwrap_err());
    assert!(matches!(error, TrackersError::Unreachable { sent: true, .. }), "{error}");
    // Nothing was sent to those that do not listen at all.
    let error = ask(&trackers).await.unwrap_err();
    assert!(matches!(error, TrackersError::Unreachable { sent: false, .. }), "{error}");
}

#[tokio::test]
async fn each_tracker_is_asked_and_the_one_in_use_stays() {
    let cluster = key(1);
    let fakes =
        [Fake::start(1, &cluster).await, Fake::start(2, &cluster).await, Fake::start(3, &cluster).await];
    let [one, two, three] = &fakes;
    let trackers = trackers(&[one, two, three], &cluster);
    assert_eq!(ask(&trackers).await.unwrap(), 1);
    two.feel(REFUSE);
    three.feel(SILENT);
    let hello = async |conn: TrackerConn| conn.call::<_, HelloResponse>(path::HELLO, &api::Empty {}).await;
    let answers = trackers.each(hello).await;
    let shown: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(hello) => hello.tracker.0[0].to_string(),
            Err(Silent { refused: Some(error), .. }) => format!("{:?}", error.code),
            Err(Silent { why, .. }) => why.split_once(' ').unwrap().1.to_owned(),
        })
        .collect();
    assert_eq!(shown, ["1", "NotMember", "(no answer)"]);
    assert_eq!(trackers.preferred(), 0);
}

#[tokio::test]
async fn another_key_is_refused_unless_a_sibling_has_the_right_one() {
    let (cluster, impostor) = (key(1), key(9));
    let (one, two) = (Fake::start(1, &impostor).await, Fake::start(2, &cluster).await);
    let alone = trackers(&[&one], &cluster);
    let error = ask(&alone).await.unwrap_err();
    let TrackersError::WrongKey { expected, got, .. } = error else { panic!("{error}") };
    assert_eq!((expected, got), (public(&cluster), public(&impostor)));
    let both = trackers(&[&one, &two], &cluster);
    assert_eq!(ask(&both).await.unwrap(), 2);
}

#[tokio::test]
async fn a_changed_list_counts_at_once() {
    let cluster = key(1);
    let (one, two) = (Fake::start(1, &cluster).await, Fake::start(2, &cluster).await);
    let trackers = trackers(&[&one], &cluster);
    assert_eq!(ask(&trackers).await.unwrap(), 1);
    let entry = |fake: &Fake| TrackerEntry { host: "127.0.0.1".into(), port: fake.port };
    trackers.set_entries(&[entry(&two), entry(&one)]);
    assert_eq!((ask(&trackers).await.unwrap(), trackers.preferred()), (1, 1), "the one in use stays");
    trackers.note_id(TrackerId([1; 16]));
    trackers.set_entries(&[entry(&two)]);
    assert_eq!(trackers.current_id(), None, "its line is gone");
    assert_eq!(ask(&trackers).await.unwrap(), 2);
    trackers.set_entries(&[]);
    assert_eq!(ask(&trackers).await.unwrap(), 2, "an empty list is no list");
}

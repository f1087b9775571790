use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use peerage_ledger::Body;
use peerage_link::api::{
    ApiError, BundleRequest, BundleResponse, Empty, ErrorCode, HelloResponse, PresenceRequest, PullRequest,
    PullResponse, PushRequest, PushResponse, path,
};
use peerage_link::tls::{self, ExpectedKey};
use peerage_replica::Vector;
use peerage_types::limits::BUNDLE_RECORDS_MAX;
use peerage_types::{ClusterId, TrackerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Person, World, code, hello, refusal, submit};

/// Posts raw bytes and returns status and error.
async fn post(world: &World, path: &str, body: &[u8]) -> (u16, ApiError) {
    let tcp = TcpStream::connect(world.started(1).addr).await.unwrap();
    let config = tls::client_config(None, ExpectedKey::Exactly(world.started(1).key), &[tls::ALPN_H2]);
    let tls = tokio_rustls::TlsConnector::from(config).connect(tls::server_name(), tcp).await.unwrap();
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("https://tracker{path}"))
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap();
    let answer = requests.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, minicbor::decode(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_with_a_clear_text() {
    let world = World::new(1).await;
    let (status, error) = post(&world, path::HELLO, b"\xff\xff").await;
    assert_eq!((status, error.code), (400, ErrorCode::BadRequest));
    assert!(error.message.starts_with("malformed request: "), "{error}");
    let (status, error) = post(&world, path::HELLO, b"\x80\x00").await;
    assert_eq!((status, error.message.as_str()), (400, "malformed request: 1 bytes after its end"));
    let (status, error) = post(&world, "/v1/nothing", b"").await;
    assert_eq!((status, error.message.as_str()), (404, "this tracker has no `/v1/nothing`"));
    let (status, error) = post(&world, path::EVENTS, b"").await;
    assert_eq!((status, error.code), (400, ErrorCode::BadRequest));
    let (status, error) = post(&world, path::BUNDLE, &vec![0; 1024 * 1024]).await;
    assert_eq!((status, error.code), (413, ErrorCode::TooLarge));
    // An array of 2^61 records.
    let (status, _) = post(&world, path::BUNDLE, b"\x81\x9b\x20\x00\x00\x00\x00\x00\x00\x00").await;
    assert_eq!(status, 400);
    for what in [path::GROUP_SNAPSHOT, path::ANNOUNCE, path::WITHDRAW, path::PEER_PUSH] {
        assert_eq!(post(&world, what, b"").await.0, 401, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bundles() {
    let world = World::new(1).await;
    let conn = world.anonymous(1).await;
    let send = async |records: Vec<Vec<u8>>| {
        refusal(conn.call::<_, BundleResponse>(path::BUNDLE, &BundleRequest::new(records)).await)
    };
    assert_eq!(send(Vec::new()).await.message, "a bundle has 1 to 16 records, not 0");
    let good = Person::new(world.cluster()).founding("ada")[0].bytes().to_vec();
    assert_eq!(send(vec![good.clone(); BUNDLE_RECORDS_MAX + 1]).await.code, ErrorCode::BadRequest);
    assert_eq!(send(vec![good.clone(); 2]).await.message, "the bundle contains the same record twice");
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let error = send(vec![good, forged]).await;
    assert!(error.message.starts_with("record 2 of 2: the signature of"), "{error}");
    let other = Person::new(ClusterId([3; 16])).founding("ada");
    assert_eq!(code(submit(&conn, &other).await), ErrorCode::WrongCluster);

    // A device that no account certified.
    let mut nobody = Person::new(world.cluster());
    let (_, genesis) = nobody.found("lab", None);
    assert_eq!(code(submit(&conn, &[genesis]).await), ErrorCode::NotCertified);
    // A group that is not known here: the client learns what to send.
    let mut bob = world.person("bob").await;
    let (group, _) = nobody.found("elsewhere", None);
    let ask = bob.group(group, Body::JoinRequest { incarnation: 1 });
    let error = refusal(submit(&conn, &[ask]).await);
    assert_eq!((error.code, error.missing), (ErrorCode::Missing, vec![group.into()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_speak_as_trackers() {
    let world = World::new(2).await;
    let ada = world.person("ada").await;
    let from = TrackerId([5; 16]);
    let push = PushRequest { from, rows: Vec::new() };
    let pull = PullRequest { from, vector: Vector::new() };
    let presence = PresenceRequest { from, deltas: Vec::new() };
    for conn in [world.anonymous(1).await, world.session(1, &ada).await] {
        assert_eq!(code(conn.call::<_, PushResponse>(path::PEER_PUSH, &push).await), ErrorCode::NotLoggedIn);
        assert_eq!(code(conn.call::<_, PullResponse>(path::PEER_PULL, &pull).await), ErrorCode::NotLoggedIn);
        assert_eq!(code(conn.call::<_, Empty>(path::PEER_PRESENCE, &presence).await), ErrorCode::NotLoggedIn);
    }
    // Even with the key, which the list need not know by name: rows must be genuine, and nobody poses as ourselves.
    let keyring = peerage_link::keyring::Keyring::load(&world.list).unwrap();
    let conn = world.connect(1, Some(keyring.signing_key())).await;
    assert!(conn.call::<_, PushResponse>(path::PEER_PUSH, &push).await.is_ok());
    let pulled: PullResponse = conn.call(path::PEER_PULL, &pull).await.unwrap();
    let mut rows = pulled.rows;
    rows[0].receipt.seq += 1;
    let forged = PushRequest { from, rows };
    let error = refusal(conn.call::<_, PushResponse>(path::PEER_PUSH, &forged).await);
    assert!(error.message.contains("the cluster key did not sign this receipt"), "{error}");
    let ourselves = PushRequest { from: world.started(1).tracker, rows: Vec::new() };
    assert_eq!(code(conn.call::<_, PushResponse>(path::PEER_PUSH, &ourselves).await), ErrorCode::BadRequest);
    assert_eq!(code(conn.call::<_, Empty>(path::PEER_PRESENCE, &presence).await), ErrorCode::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tls_disturbs_nobody() {
    let world = World::new(1).await;
    let mut raw = TcpStream::connect(world.started(1).addr).await.unwrap();
    raw.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A TLS alert at most, then the end.
    let _ = raw.read_to_end(&mut answer).await;
    assert!(answer.len() < 16);
    let answer: HelloResponse = hello(&world.anonymous(1).await).await;
    assert_eq!((answer.trackers, answer.opaque_key), (1, 1));
    assert!(answer.observed.starts_with("127.0.0.1:"), "{}", answer.observed);
}

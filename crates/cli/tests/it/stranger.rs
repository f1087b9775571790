//! Only members get bytes: a stranger with an account, the info hash and the address gets nothing from a peer,
//! and the very same program gets the file's first block as soon as its user is a member.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::BytesMut;
use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_link::api::{
    BundleRequest, BundleResponse, Empty, GroupNameRequest, GroupNameResponse, HelloResponse, path,
};
use peerage_link::http::{CONNECT_DEADLINE, TrackerConn};
use peerage_link::list::TrackerList;
use peerage_link::tls::{self, ExpectedKey};
use peerage_metainfo::{HashJob, hash_path};
use peerage_types::{ClusterId, GroupId, InfoHash, PublicKey, Scope, UserId};
use peerage_wire::{BlockRef, EXTENDED_HANDSHAKE_ID, ExtendedHandshake, HANDSHAKE_BYTES, Handshake, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{World, arg, say, until};

/// How long a stranger waits for an answer. The member beside it is answered well within.
const SILENCE: Duration = Duration::from_secs(5);

#[test]
fn a_stranger_gets_nothing_and_a_member_does() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 3_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    let address = world.options("ada").listen;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let eve = runtime.block_on(Outsider::register(&world.list, "eve"));
    // Nobody has to tell her the info hash: it follows from the content, the name and the group.
    let job = HashJob {
        path: &film,
        name: &"film.bin".parse().unwrap(),
        group: eve.group,
        found: &|_| (),
        progress: &|_| (),
        cancelled: &AtomicBool::new(false),
    };
    let info_hash = hash_path(&job).unwrap().metainfo.info_hash();
    let block = &std::fs::read(&film).unwrap()[..16384];

    for (what, heard) in [
        ("as a registered stranger", runtime.block_on(eve.knock(address, info_hash, &eve.device))),
        ("with a key that nobody certified", runtime.block_on(eve.knock(address, info_hash, &random_key()))),
    ] {
        assert!(!contains(&heard, block), "the block came {what}");
        assert!(heard.is_empty(), "{what} the peer said {heard:?}");
    }
    runtime.block_on(eve.ask_to_join());
    assert!(
        runtime.block_on(eve.knock(address, info_hash, &eve.device)).is_empty(),
        "asking is not being in"
    );

    until(&mut ada, "list_requests lab", "the request is listed", |r| r.column("user") == ["eve"]);
    say(&mut ada, "accept_request lab eve", "User accepted");
    let heard = runtime.block_on(eve.knock(address, info_hash, &eve.device));
    assert!(contains(&heard, block), "a member gets the block; heard {heard:?}");

    ada.must("kick lab eve").unwrap();
    let heard = runtime.block_on(eve.knock(address, info_hash, &eve.device));
    assert!(heard.is_empty(), "after the kick the peer said {heard:?}");
}

fn contains(heard: &[Message], block: &[u8]) -> bool {
    heard.iter().any(|m| matches!(m, Message::Piece { piece: 0, begin: 0, data } if data[..] == *block))
}

fn random_key() -> SigningKey {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    SigningKey::from_bytes(&seed)
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

/// Somebody with an account and a program of their own.
struct Outsider {
    conn: TrackerConn,
    cluster: ClusterId,
    group: GroupId,
    user: UserId,
    device: SigningKey,
    certificate: Vec<Record>,
}

impl Outsider {
    async fn register(list: &std::path::Path, name: &str) -> Self {
        let list = TrackerList::load(list).unwrap();
        let (identity, device) = (random_key(), random_key());
        let config = tls::client_config(Some(&device), ExpectedKey::Learn, &[tls::ALPN_H2]);
        let conn = TrackerConn::connect(&list.entries[0], config, CONNECT_DEADLINE).await.unwrap();
        let hello: HelloResponse = conn.call(path::HELLO, &Empty {}).await.unwrap();
        let user = UserId::of_identity(&public(&identity));
        let mut records: Vec<Record> = Vec::new();
        for body in [
            Body::AccountGenesis { identity: public(&identity) },
            Body::UserNameClaim { name: name.parse().unwrap() },
            Body::DeviceCert { device: public(&device), label: "own program".to_owned() },
        ] {
            let prev = records.last().map(Record::id);
            let draft =
                Draft { cluster: hello.cluster, scope: Scope::Account(user), author: user, prev, body };
            records.push(Record::sign(draft, &identity));
        }
        let bundle = BundleRequest::new(records.iter().map(Record::bytes));
        let _: BundleResponse = conn.call(path::BUNDLE, &bundle).await.unwrap();
        let named: GroupNameResponse =
            conn.call(path::GROUP_NAME, &GroupNameRequest { name: "lab".to_owned() }).await.unwrap();
        let certificate = vec![records[0].clone(), records[2].clone()];
        Self { conn, cluster: hello.cluster, group: named.group, user, device, certificate }
    }

    async fn ask_to_join(&self) {
        let body = Body::JoinRequest { incarnation: 1 };
        let scope = Scope::Group(self.group);
        let draft = Draft { cluster: self.cluster, scope, author: self.user, prev: None, body };
        let record = Record::sign(draft, &self.device);
        let _: BundleResponse =
            self.conn.call(path::BUNDLE, &BundleRequest::new([record.bytes()])).await.unwrap();
    }

    /// Connects to a peer as a BitTorrent program of ours would, asks for the first block, and returns every
    /// message that comes back beside the peer's own introduction.
    async fn knock(&self, to: SocketAddr, info_hash: InfoHash, key: &SigningKey) -> Vec<Message> {
        let tcp = TcpStream::connect(to).await.unwrap();
        let config = tls::client_config(Some(key), ExpectedKey::Learn, &[]);
        let connector = tokio_rustls::TlsConnector::from(config);
        let Ok(mut stream) = connector.connect(tls::server_name(), tcp).await else { return Vec::new() };
        let records: Vec<minicbor::bytes::ByteVec> =
            self.certificate.iter().map(|r| r.bytes().to_vec().into()).collect();
        let introduction = ExtendedHandshake {
            peerage_cert: Some(minicbor::to_vec(records).unwrap().into()),
            ..ExtendedHandshake::default()
        };
        let mut out = BytesMut::new();
        out.extend_from_slice(&Handshake::new(info_hash.truncated(), *b"-XX0000-............").encode());
        peerage_wire::encode(
            &Message::Extended { id: EXTENDED_HANDSHAKE_ID, payload: introduction.encode() },
            &mut out,
        );
        for message in [
            Message::HaveNone,
            Message::Interested,
            Message::Request(BlockRef { piece: 0, begin: 0, len: 16384 }),
        ] {
            peerage_wire::encode(&message, &mut out);
        }
        // The peer may hang up in the middle.
        drop(stream.write_all(&out).await);
        let mut heard = Vec::new();
        let mut input = BytesMut::new();
        let mut handshake_seen = false;
        while let Ok(Ok(1..)) = timeout(SILENCE, stream.read_buf(&mut input)).await {
            if !handshake_seen && input.len() >= HANDSHAKE_BYTES {
                drop(input.split_to(HANDSHAKE_BYTES));
                handshake_seen = true;
            }
            while handshake_seen && let Some(message) = peerage_wire::decode(&mut input).unwrap() {
                let introduction = matches!(&message, Message::Extended { id: EXTENDED_HANDSHAKE_ID, .. });
                if !introduction {
                    heard.push(message);
                }
            }
            if heard.iter().any(|m| matches!(m, Message::Piece { .. })) {
                break;
            }
        }
        heard
    }
}

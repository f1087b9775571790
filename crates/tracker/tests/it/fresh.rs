//! Reading what one wrote through another tracker, also one that lags.

use std::net::SocketAddr;
use std::path::PathBuf;

use peerage_ledger::{Body, Origin};
use peerage_link::api::{SnapshotRequest, SnapshotResponse, path, seen};
use peerage_link::http::{Heard, TrackerConn};
use peerage_link::keyring::keyring_path;
use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_link::tls::{self, ExpectedKey};
use peerage_replica::Vector;
use peerage_tracker::TrackerConfig;
use peerage_types::{GroupId, TrackerId};
use tempfile::TempDir;

use crate::proxy::Cable;
use crate::world::{PATIENCE, Person, Running, free_port, start, submit};

/// Two trackers that reach each other only over cables.
struct Pair {
    addrs: [SocketAddr; 2],
    cables: [Cable; 2],
    lists: [PathBuf; 2],
    running: Vec<Running>,
    _dir: TempDir,
}

impl Pair {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let addrs = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let cables = [Cable::to(addrs[0]).await, Cable::to(addrs[1]).await];
        let lists = [1, 2].map(|n| dir.path().join(format!("list-{n}.txt")));
        std::fs::write(&lists[0], format!("{}\n{}\n", addrs[0], cables[1].addr)).unwrap();
        std::fs::write(&lists[1], format!("{}\n{}\n", cables[0].addr, addrs[1])).unwrap();
        let mut running = Vec::new();
        for index in [0, 1] {
            if index == 1 {
                std::fs::copy(keyring_path(&lists[0]), keyring_path(&lists[1])).unwrap();
            }
            let data = Some(dir.path().join(format!("data-{index}")));
            let list = lists[index].clone();
            let listen = Some(addrs[index]);
            let config = TrackerConfig { data, listen, ..TrackerConfig::new(list, index + 1) };
            running.push(start(config).await.unwrap());
        }
        Self { addrs, cables, lists, running, _dir: dir }
    }

    async fn session(&self, index: usize, person: &Person) -> TrackerConn {
        let addr = self.addrs[index];
        let entry = TrackerEntry { host: addr.ip().to_string(), port: addr.port() };
        let pin = TrackerList::load(&self.lists[0]).unwrap().pin.unwrap();
        let config = tls::client_config(Some(&person.device), ExpectedKey::Exactly(pin), &[tls::ALPN_H2]);
        TrackerConn::connect(&entry, config, PATIENCE).await.unwrap()
    }

    fn cables(&self, whole: bool) {
        self.cables.iter().for_each(|cable| if whole { cable.mend() } else { cable.cut() });
    }
}

async fn ask(conn: &TrackerConn, group: GroupId, seen: &Vector) -> Heard<SnapshotResponse> {
    let request = SnapshotRequest { group, have: None };
    conn.ask_within(path::GROUP_SNAPSHOT, &request, PATIENCE, seen::encode(seen).as_deref()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_tracker_says_so_and_catches_up_when_it_can() {
    let pair = Pair::start().await;
    let mut ada = Person::new(pair.running[0].started.cluster);
    let (one, two) = (pair.session(0, &ada).await, pair.session(1, &ada).await);
    // Until they have found each other a bundle may be on one of them only.
    let account = ada.founding("ada");
    while submit(&one, &account).await.unwrap().durable_on < 2 {}
    let (group, genesis) = ada.found("lab", None);
    let founded = submit(&one, &[genesis]).await.unwrap();
    let heard = ask(&two, group, &founded.places).await;
    assert!(!heard.stale);
    assert_eq!(heard.answer.unwrap().rows.len(), 1, "written to one tracker, read from the other");

    pair.cables(false);
    let mut ben = Person::new(pair.running[0].started.cluster);
    submit(&one, &ben.founding("ben")).await.unwrap();
    let asked = submit(&one, &[ben.group(group, Body::JoinRequest { incarnation: 1 })]).await.unwrap();
    assert_eq!((asked.durable_on, asked.of), (1, 2));
    assert!(
        asked.places.rows_beyond(&founded.places) > 0 && asked.tracker == pair.running[0].started.tracker
    );
    let heard = ask(&two, group, &asked.places).await;
    assert!(heard.stale, "it answers all the same, and says that it is behind");
    assert_eq!(heard.answer.unwrap().rows.len(), 1);
    // Whoever has not seen more is not kept waiting, and the tracker that has it is not behind.
    assert!(!ask(&two, group, &founded.places).await.stale);
    assert!(!ask(&one, group, &asked.places).await.stale);
    // A refusal may be old, too.
    let (other, genesis) = ada.found("more", None);
    let more = submit(&one, &[genesis]).await.unwrap();
    let heard = ask(&two, other, &more.places).await;
    assert!(heard.stale && heard.answer.is_err());

    pair.cables(true);
    // The question itself makes it ask the others; how soon the cable carries again is the machine's affair.
    while ask(&two, other, &more.places).await.stale {}
    assert_eq!(ask(&two, group, &more.places).await.answer.unwrap().rows.len(), 2);
}

#[tokio::test]
async fn a_place_that_no_log_has_holds_up_nobody_for_long() {
    let pair = Pair::start().await;
    let mut ada = Person::new(pair.running[0].started.cluster);
    let one = pair.session(0, &ada).await;
    submit(&one, &ada.founding("ada")).await.unwrap();
    let (group, genesis) = ada.found("lab", None);
    submit(&one, &[genesis]).await.unwrap();
    let nowhere = Origin { tracker: TrackerId([9; 16]), incarnation: 9 };
    let heard = ask(&one, group, &Vector::from_iter([(nowhere, 1)])).await;
    assert!(heard.stale && heard.answer.is_ok());
    let garbage = conn_with(&one, group, "~~~").await;
    assert!(!garbage.stale && garbage.answer.is_ok(), "what cannot be read says nothing");
}

async fn conn_with(conn: &TrackerConn, group: GroupId, text: &str) -> Heard<SnapshotResponse> {
    conn.ask_within(path::GROUP_SNAPSHOT, &SnapshotRequest { group, have: None }, PATIENCE, Some(text)).await
}

//! Records that one tracker lost come back from the other; a new tracker starts with a snapshot.

use std::path::PathBuf;

use peerage_ledger::{Body, Origin, Receipt};
use peerage_link::api::{
    AskRequest, AskResponse, PullRequest, PullResponse, PushRequest, PushResponse, path,
};
use peerage_link::http::TrackerConn;
use peerage_link::keyring::Keyring;
use peerage_replica::{Ask, LogRow, Told, Vector, VerifiedRow};
use peerage_store::{SqliteStore, Store};
use peerage_types::limits::BUNDLE_RECORDS_MAX;
use peerage_types::{Stamp, TrackerId};
use rusqlite::Connection;

use crate::world::{PATIENCE, Person, World, group_of, hello, snapshot, submit};

fn database(world: &World, number: usize) -> PathBuf {
    let folder = world.config(number).data.unwrap();
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "db")).unwrap()
}

/// Does something to a database behind its tracker's back.
fn behind(world: &World, number: usize, sql: &str) {
    let db = Connection::open(database(world, number)).unwrap();
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db.execute_batch(sql).unwrap();
}

async fn ask(conn: &TrackerConn, ask: Ask) -> Told {
    let request = AskRequest { from: TrackerId([9; 16]), ask };
    conn.call::<_, AskResponse>(path::PEER_ASK, &request).await.unwrap().told
}

async fn root(conn: &TrackerConn) -> Told {
    ask(conn, Ask::Root).await
}

/// A connection as another tracker has it.
async fn peer(world: &World, number: usize) -> TrackerConn {
    let keyring = Keyring::load(&world.list).unwrap();
    world.connect(number, Some(keyring.signing_key())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_deleted_come_back() {
    let world = World::new(2).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    let (first, second) = (peer(&world, 1).await, peer(&world, 2).await);
    while root(&first).await != root(&second).await {}
    let Told::Rows(rows) = ask(&second, Ask::Rows(vec![group.into()])).await else { panic!("no rows") };
    assert_eq!(rows.len(), 1);

    behind(&world, 2, "DELETE FROM records WHERE n > 1");
    assert_eq!(ask(&second, Ask::Rows(vec![group.into()])).await, Told::Rows(vec![]));
    // Anybody of the cluster may set it going.
    assert_eq!(ask(&second, Ask::Compare).await, Told::Noted);
    let back =
        async { while ask(&second, Ask::Rows(vec![group.into()])).await != Told::Rows(rows.clone()) {} };
    tokio::time::timeout(PATIENCE, back).await.expect("it never came back");
    while root(&first).await != root(&second).await {}
    // And the view shows it.
    let session = world.session(2, &ada).await;
    assert_eq!(snapshot(&session, group).await.unwrap().rows.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_fetched_when_somebody_asks_for_it() {
    let mut world = World::new(2).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    world.stop(2).await;
    // A flipped bit in a signature: no digest shows it.
    let db = Connection::open(database(&world, 2)).unwrap();
    let id: [u8; 32] = group.0;
    let select = "SELECT bytes FROM records WHERE id = ?1";
    let mut bytes: Vec<u8> = db.query_row(select, [&id], |row| row.get(0)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(db.execute("UPDATE records SET bytes = ?2 WHERE id = ?1", (&id, &bytes)).unwrap(), 1);
    drop(db);
    world.start(2).await;
    world.in_touch().await;
    let reads = async {
        loop {
            let session = world.session(2, &ada).await;
            if snapshot(&session, group).await.is_ok_and(|answer| answer.rows.len() == 1) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reads).await.expect("it stayed unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tracker_takes_a_snapshot_and_can_be_the_last_one() {
    let mut world = World::stopped(2);
    world.start(1).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    // More than one answer to a pull holds.
    let first = world.session(1, &ada).await;
    for name in ["bob", "cyd", "dan"] {
        let mut person = world.person(name).await;
        let unknown = |n: u32| Body::Unknown { kind: 0xff00, body: n.to_le_bytes().to_vec() };
        let many: Vec<_> = (0..900).map(|n| person.account(unknown(n))).collect();
        for bundle in many.chunks(BUNDLE_RECORDS_MAX) {
            submit(&first, bundle).await.unwrap();
        }
    }
    // A tracker that was started anew pushes nothing of what it took before.
    world.stop(1).await;
    world.start(1).await;
    let wanted = hello(&world.anonymous(1).await).await.vector;
    world.start(2).await;
    let second = world.anonymous(2).await;
    let caught_up = async { while !hello(&second).await.vector.covers(&wanted) {} };
    tokio::time::timeout(PATIENCE, caught_up).await.expect("it never caught up");
    assert_eq!(root(&peer(&world, 1).await).await, root(&peer(&world, 2).await).await);
    // What came with it is read, and the log goes on behind it.
    let late = world.session(2, &ada).await;
    assert_eq!(snapshot(&late, group).await.unwrap().rows.len(), 1);
    world.in_touch().await;
    let db = Connection::open(database(&world, 2)).unwrap();
    let floors = "SELECT count(*) FROM origins WHERE floor > 2000";
    assert_eq!(db.query_row(floors, [], |row| row.get::<_, i64>(0)).unwrap(), 1, "it was no snapshot");
}

/// A snapshot that never came to its end brought one record; the log of its origin says another.
#[tokio::test(flavor = "multi_thread")]
async fn a_twin_of_what_a_snapshot_brought_ends_no_tracker() {
    let mut world = World::new(1).await;
    let keyring = Keyring::load(&world.list).unwrap();
    let origin = Origin { tracker: TrackerId([7; 16]), incarnation: 1 };
    let row = |seq: u64, record: &peerage_ledger::Record| {
        let receipt = Receipt::sign(origin, seq, Stamp(seq), record.id(), keyring.signing_key());
        LogRow { receipt, record: record.shared_bytes() }
    };
    let founding = |name: &str| Person::new(world.cluster()).founding(name);
    let (ada, bob) = (founding("ada"), founding("bob"));
    let (cluster, key) = (world.cluster(), world.started(1).key);
    let from_snapshot = VerifiedRow::verify(&row(1, &ada[0]), &cluster, &key).unwrap();
    world.stop(1).await;
    SqliteStore::open(&database(&world, 1)).unwrap().keep(&[from_snapshot]).unwrap();
    world.start(1).await;

    let conn = peer(&world, 1).await;
    let push = PushRequest { from: origin.tracker, rows: vec![row(1, &bob[0]), row(2, &bob[1])] };
    let pushed: PushResponse = conn.call_within(path::PEER_PUSH, &push, PATIENCE).await.unwrap();
    assert_eq!(pushed.vector.get(&origin), 2);
    // Both are there, and the one whose place was taken has one in the tracker's own log.
    let pull = PullRequest { from: origin.tracker, vector: Vector::new() };
    let both = async {
        loop {
            let rows =
                conn.call_within::<_, PullResponse>(path::PEER_PULL, &pull, PATIENCE).await.unwrap().rows;
            let of = |record: &peerage_ledger::Record| {
                rows.iter().find(|row| row.receipt.record == record.id()).map(|row| row.receipt.origin)
            };
            if let (Some(first), Some(second)) = (of(&ada[0]), of(&bob[0])) {
                return (first, second.tracker);
            }
        }
    };
    let places = tokio::time::timeout(PATIENCE, both).await.expect("the twin has no place");
    assert_eq!(places, (origin, world.started(1).tracker));
    // And again after a restart.
    world.stop(1).await;
    world.start(1).await;
    hello(&world.anonymous(1).await).await;
}

/// Each tracker's log says another record of one place, and no log brings the other one.
#[tokio::test(flavor = "multi_thread")]
async fn two_records_of_one_place_end_up_on_both_trackers() {
    let mut world = World::new(2).await;
    let keyring = Keyring::load(&world.list).unwrap();
    let origin = Origin { tracker: TrackerId([7; 16]), incarnation: 1 };
    let founding = |name: &str| Person::new(world.cluster()).founding(name);
    let (cluster, key) = (world.cluster(), world.started(1).key);
    let records = [founding("ada").remove(0), founding("bob").remove(0)];
    world.stop(1).await;
    world.stop(2).await;
    for (number, record) in (1..).zip(&records) {
        let receipt = Receipt::sign(origin, 1, Stamp(1), record.id(), keyring.signing_key());
        let row = LogRow { receipt, record: record.shared_bytes() };
        let row = VerifiedRow::verify(&row, &cluster, &key).unwrap();
        SqliteStore::open(&database(&world, number)).unwrap().append(&[row], Stamp(1)).unwrap();
    }
    world.start(1).await;
    world.start(2).await;
    world.in_touch().await;

    let (first, second) = (peer(&world, 1).await, peer(&world, 2).await);
    assert_eq!(ask(&first, Ask::Compare).await, Told::Noted);
    let ids: Vec<_> = records.iter().map(|record| record.id()).collect();
    let both = async {
        for conn in [&first, &second] {
            while !matches!(ask(conn, Ask::Rows(ids.clone())).await, Told::Rows(rows) if rows.len() == 2) {}
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("a record never came");
}

/// A record that only a broken-off snapshot brought gets a place in the log, and no second one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_left_lying_is_accepted_anew_once() {
    let mut world = World::new(1).await;
    let keyring = Keyring::load(&world.list).unwrap();
    let origin = Origin { tracker: TrackerId([7; 16]), incarnation: 1 };
    let records = Person::new(world.cluster()).founding("ada");
    let (cluster, key) = (world.cluster(), world.started(1).key);
    let ahead: Vec<_> = (50..)
        .zip(&records)
        .map(|(seq, record)| {
            let receipt = Receipt::sign(origin, seq, Stamp(seq), record.id(), keyring.signing_key());
            let row = LogRow { receipt, record: record.shared_bytes() };
            VerifiedRow::verify(&row, &cluster, &key).unwrap()
        })
        .collect();
    world.stop(1).await;
    SqliteStore::open(&database(&world, 1)).unwrap().keep(&ahead).unwrap();
    world.start(1).await;

    let rows = |world: &World| {
        let db = Connection::open(database(world, 1)).unwrap();
        let rows: i64 = db.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
        usize::try_from(rows).unwrap()
    };
    assert_eq!(rows(&world), records.len());
    for _ in 0..3 {
        submit(&world.anonymous(1).await, &records).await.unwrap();
        assert_eq!(rows(&world), 2 * records.len());
    }
    // Nor after a restart.
    world.stop(1).await;
    world.start(1).await;
    submit(&world.anonymous(1).await, &records[..1]).await.unwrap();
    assert_eq!(rows(&world), 2 * records.len());
}

//! What a store does with rows outside the log's order: lost ones that come back, and snapshots.

use peerage_ledger::{Order, Receipt};
use peerage_replica::{Ask, Digest, LogRow, Told, Twin, Vector, VerifiedRow};
use peerage_store::{LogPage, SqliteStore, Store, answer};
use peerage_types::{RecordId, Scope, Stamp};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::rows::{genesis, origin, resealed, row, user, user_name};

struct Two {
    folder: TempDir,
    whole: SqliteStore,
    hurt: SqliteStore,
}

/// Two stores with the same rows; somebody does something to the second one's file behind its back.
fn hurt(sql: &[&str]) -> Two {
    let folder = TempDir::new().unwrap();
    let open = |name: &str| SqliteStore::open(&folder.path().join(name)).unwrap();
    let (whole, hurt) = (open("whole.db"), open("hurt.db"));
    for store in [&whole, &hurt] {
        store.append(&rows(), Stamp(9)).unwrap();
    }
    let behind = Connection::open(folder.path().join("hurt.db")).unwrap();
    behind.pragma_update(None, "foreign_keys", false).unwrap();
    for statement in sql {
        behind.execute_batch(statement).unwrap();
    }
    Two { folder, whole, hurt }
}

fn rows() -> Vec<VerifiedRow> {
    vec![
        row(origin(1), 1, 1, &genesis(1)),
        row(origin(1), 2, 2, &user_name(1, "ada")),
        row(origin(2), 1, 3, &genesis(2)),
        row(origin(2), 2, 4, &user_name(2, "bob")),
        // A second, higher receipt, and a second one that is lower.
        row(origin(2), 3, 5, &user_name(1, "ada")),
        row(origin(1), 3, 3, &user_name(2, "bob")),
    ]
}

/// Everything that can be asked about a store.
fn told(store: &dyn Store) -> String {
    let mut told = format!("{:?}\n{:?}\n", store.vector().unwrap(), answer(store, 1, &Ask::Root).unwrap());
    for scope in [Scope::Account(user(1)), Scope::Account(user(2))] {
        told += &format!("{:?}\n", answer(store, 1, &Ask::Facts(scope, None)).unwrap());
        told += &format!("{:?}\n", store.scope(&scope).unwrap().len());
    }
    for name in ["ada", "bob"] {
        told += &format!("{:?}\n", store.user_claims(&crate::rows::name(name).folded()).unwrap());
    }
    told += &format!("{:?}\n", store.rows_after(&Vector::new(), 99, 99_999).unwrap());
    told
}

/// A comparison without the network: scrub, and fetch what the other store has.
fn mend(two: &Two) -> usize {
    let (next, _) = two.hurt.scrub(None).unwrap();
    assert_eq!(next, None);
    let mut lost = Vec::new();
    for scope in [Scope::Account(user(1)), Scope::Account(user(2))] {
        let (theirs, _) = two.whole.facts(&scope, None).unwrap();
        let (ours, _) = two.hurt.facts(&scope, None).unwrap();
        lost.extend(theirs.iter().filter(|fact| !ours.contains(fact)).map(|(id, _)| *id));
    }
    let Told::Rows(found) = answer(&two.whole, 1, &Ask::Rows(lost.clone())).unwrap() else {
        panic!("no rows")
    };
    let all = rows();
    let verified: Vec<_> =
        all.into_iter().filter(|row| found.iter().any(|found| found.receipt == *row.receipt())).collect();
    assert_eq!(verified.len(), lost.len());
    two.hurt.keep(&verified).unwrap();
    two.hurt.keep(&verified).unwrap();
    lost.len()
}

#[track_caller]
fn check(sql: &[&str], lost: usize) {
    let two = hurt(sql);
    assert_ne!(told(&two.hurt), told(&two.whole), "nothing was hurt");
    assert_eq!(mend(&two), lost);
    assert_eq!(told(&two.hurt), told(&two.whole));
    assert_eq!(two.hurt.scrub(None).unwrap(), (None, 0));
    // And it goes on as if nothing had been.
    let next = [row(origin(2), 4, 9, &genesis(3))];
    two.hurt.append(&next, Stamp(9)).unwrap();
    assert_eq!(two.hurt.vector().unwrap().get(&origin(2)), 4);
    let check: String = Connection::open(two.folder.path().join("hurt.db"))
        .unwrap()
        .query_row("PRAGMA foreign_key_check", [], |row| row.get(0))
        .unwrap_or_else(|_| "clean".to_owned());
    assert_eq!(check, "clean");
}

#[test]
fn lost_records_come_back() {
    check(&["DELETE FROM records WHERE n = 2"], 1);
    check(&["DELETE FROM records"], 4);
    check(&["DELETE FROM records", "DELETE FROM user_names"], 4);
}

#[test]
fn damaged_records_come_back() {
    check(&["UPDATE records SET bytes = zeroblob(100) WHERE n = 4"], 1);
    check(&["UPDATE records SET bytes = x'00' WHERE n <> 1"], 3);
}

#[test]
fn lowest_rows_come_back() {
    check(&["DELETE FROM log WHERE stamp = 1"], 1);
}

#[test]
fn the_log_goes_on_over_what_was_lost() {
    // The first record's row of origin 1 is gone; another origin accepted the same record.
    let two = hurt(&["DELETE FROM log WHERE stamp = 1"]);
    let again = [row(origin(3), 1, 8, &genesis(1))];
    two.hurt.append(&again, Stamp(9)).unwrap();
    two.whole.append(&again, Stamp(9)).unwrap();
    assert_eq!(two.hurt.record(&genesis(1).id()).unwrap().unwrap().receipt, *again[0].receipt());
    assert_eq!(two.hurt.scrub(None).unwrap(), (None, 0));
    assert_eq!(mend(&two), 1);
    assert_eq!(told(&two.hurt), told(&two.whole));
    // A row that a snapshot brought before its turn, and whose record was lost meanwhile.
    let two = hurt(&[]);
    let early = [row(origin(2), 4, 8, &genesis(4))];
    two.hurt.keep(&early).unwrap();
    let behind = Connection::open(two.folder.path().join("hurt.db")).unwrap();
    behind.pragma_update(None, "foreign_keys", false).unwrap();
    behind.execute("DELETE FROM records WHERE n = 5", []).unwrap();
    two.hurt.append(&early, Stamp(9)).unwrap();
    assert_eq!(two.hurt.record(&genesis(4).id()).unwrap().unwrap().receipt, *early[0].receipt());
    assert_eq!(two.hurt.scrub(None).unwrap().1, 1);
}

#[test]
fn nobody_is_served_over_a_hole() {
    for damage in [
        "DELETE FROM log WHERE stamp = 4",
        "DELETE FROM records WHERE n = 4",
        "UPDATE records SET bytes = x'00' WHERE n = 4",
    ] {
        let two = hurt(&[damage]);
        let page = two.hurt.rows_after(&[(origin(1), 3)].into_iter().collect(), 9, 9_999).unwrap();
        assert_eq!(page.rows.len(), 1, "{damage}");
        assert!(page.damaged && page.snapshot && !page.more, "{damage}");
        let behind: Vector = [(origin(1), 3), (origin(2), 2)].into_iter().collect();
        let page = two.hurt.rows_after(&behind, 9, 9_999).unwrap();
        assert_eq!((page.rows.len(), page.damaged), (1, false), "{damage}");
    }
}

#[test]
fn a_lost_record_comes_back_under_its_number_whatever_came_meanwhile() {
    let two = hurt(&["DELETE FROM records WHERE n = 4", "DELETE FROM user_names WHERE record = 4"]);
    let taken = [row(origin(3), 1, 8, &genesis(7))];
    two.hurt.append(&taken, Stamp(9)).unwrap();
    two.whole.append(&taken, Stamp(9)).unwrap();
    assert_eq!(mend(&two), 1);
    assert_eq!(two.hurt.scrub(None).unwrap(), (None, 0));
    for id in [genesis(7).id(), user_name(2, "bob").id()] {
        assert_eq!(two.hurt.record(&id).unwrap(), two.whole.record(&id).unwrap());
    }
    assert_eq!(told(&two.hurt), told(&two.whole));
}

#[test]
fn the_root_is_the_sum_of_all_facts() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("tracker.db")).unwrap();
    store.append(&rows(), Stamp(9)).unwrap();
    let mut expected = Digest::EMPTY;
    let orders: [(RecordId, u64, u8); 4] = [
        (genesis(1).id(), 1, 1),
        (user_name(1, "ada").id(), 2, 1),
        (genesis(2).id(), 3, 2),
        (user_name(2, "bob").id(), 3, 1),
    ];
    for (id, stamp, from) in orders {
        expected.add(&id, &Order { stamp: Stamp(stamp), origin: origin(from) });
    }
    assert_eq!(store.root_digest().unwrap(), expected);
}

/// Of each row whose place was taken: by which record, the row, and whether it has a place.
fn befell(twins: &[Twin]) -> Vec<(RecordId, Receipt, bool)> {
    twins.iter().map(|twin| (twin.ours, twin.row.receipt().clone(), twin.placed)).collect()
}

#[test]
fn a_twin_keeps_its_place_and_the_other_stays_out() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("tracker.db")).unwrap();
    store.append(&rows(), Stamp(9)).unwrap();
    let before = told(&store);
    let twin = row(origin(1), 2, 2, &genesis(5));
    let kept = || befell(&store.keep(std::slice::from_ref(&twin)).unwrap());
    assert_eq!(kept(), [(rows()[1].record().id(), twin.receipt().clone(), false)]);
    assert_eq!(told(&store), before);
    assert_eq!(store.has_records(&[genesis(5).id()]).unwrap(), [false]);
    // It is there, and waits for a place of its own; afterwards only the alarm is left.
    assert_eq!(store.twins().unwrap(), [(rows()[1].record().id(), twin.row())]);
    store.append(&[row(origin(4), 1, 9, &genesis(5))], Stamp(9)).unwrap();
    assert_eq!(kept(), [(rows()[1].record().id(), twin.receipt().clone(), true)]);
    assert_eq!(store.twins().unwrap(), []);
    // One record at another time has its place.
    let late = row(origin(1), 2, 8, rows()[1].record());
    let twins = store.keep(std::slice::from_ref(&late)).unwrap();
    assert_eq!(befell(&twins), [(late.record().id(), late.receipt().clone(), true)]);
    assert_eq!(store.scrub(None).unwrap(), (None, 0));
}

#[test]
fn a_row_under_another_seal_is_the_same_row() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tracker.db");
    let store = SqliteStore::open(&path).unwrap();
    store.append(&rows(), Stamp(9)).unwrap();
    let before = told(&store);
    let other: Vec<_> = rows().iter().map(resealed).collect();
    // It is damaged, and what comes under another seal mends it.
    let id = other[1].record().id();
    let db = Connection::open(&path).unwrap();
    db.execute("UPDATE records SET bytes = x'00' WHERE id = ?1", [&id.0]).unwrap();
    assert_ne!(told(&store), before);
    store.keep(&other).unwrap();
    assert_eq!(told(&store), before);
    // Once the table has lost the record, only the seal tells which one the log had.
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db.execute("DELETE FROM records WHERE id = ?1", [&id.0]).unwrap();
    store.keep(&other).unwrap();
    assert_eq!(store.has_records(&[id]).unwrap(), [false]);
    store.keep(&rows()).unwrap();
    assert_eq!(told(&store), before);
}

#[test]
fn one_row_under_two_stamps_stays_as_it_came_and_the_digest_says_so() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("tracker.db")).unwrap();
    store.append(&rows()[..1], Stamp(9)).unwrap();
    store.keep(&[row(origin(1), 2, 7, &user_name(1, "ada"))]).unwrap();
    let other = row(origin(1), 2, 2, &user_name(1, "ada"));
    let twins = store.append(std::slice::from_ref(&other), Stamp(9)).unwrap();
    assert_eq!(befell(&twins), [(other.record().id(), other.receipt().clone(), true)]);
    assert_eq!(store.vector().unwrap().get(&origin(1)), 2);
    assert_eq!(store.record(&user_name(1, "ada").id()).unwrap().unwrap().receipt.stamp, Stamp(7));
    let (_, corrected) = store.scrub(None).unwrap();
    assert_eq!(corrected, 0);
}

#[test]
fn a_snapshot_brings_everything_and_leaves_holes_that_are_owned_up_to() {
    let folder = TempDir::new().unwrap();
    let open = |name: &str| SqliteStore::open(&folder.path().join(name)).unwrap();
    let (theirs, ours) = (open("theirs.db"), open("ours.db"));
    theirs.append(&rows(), Stamp(9)).unwrap();
    let (mut after, mut pages, mut vector) = (0, 0, None);
    loop {
        let page = theirs.snapshot(after, 2, 99_999).unwrap();
        pages += 1;
        vector.get_or_insert(page.vector);
        let genuine = |found: &LogRow| {
            let all = rows().into_iter().chain([row(origin(2), 4, 8, &genesis(4))]);
            all.into_iter().find(|row| row.receipt() == &found.receipt).unwrap()
        };
        ours.keep(&page.rows.iter().map(genuine).collect::<Vec<_>>()).unwrap();
        if pages == 1 {
            // While it goes on the other tracker takes another row, and ours claims nothing yet.
            theirs.append(&[row(origin(2), 4, 8, &genesis(4))], Stamp(9)).unwrap();
            assert!(ours.vector().unwrap().is_empty());
            assert_eq!(ours.rows_after(&Vector::new(), 9, 9_999).unwrap(), LogPage::default());
        }
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(pages, 3);
    let vector = vector.unwrap();
    ours.adopt(&vector).unwrap();
    ours.adopt(&vector).unwrap();
    assert_eq!(ours.vector().unwrap(), vector);
    assert_eq!(ours.floors().unwrap(), vector);
    // Then the log goes on, also with a row that the snapshot brought before its turn.
    let LogPage { rows: missed, more, .. } = theirs.rows_after(&vector, 9, 9_999).unwrap();
    assert_eq!((missed.len(), more), (1, false));
    ours.append(&[row(origin(2), 4, 8, &genesis(4))], Stamp(9)).unwrap();
    assert_eq!(ours.vector().unwrap(), theirs.vector().unwrap());
    assert_eq!(ours.root_digest().unwrap(), theirs.root_digest().unwrap());
    assert_eq!(ours.scrub(None).unwrap(), (None, 0));
    for scope in [Scope::Account(user(1)), Scope::Account(user(2))] {
        assert_eq!(ours.facts(&scope, None).unwrap(), theirs.facts(&scope, None).unwrap());
    }
    // From its log it serves only whoever has what is below the floors.
    let told = LogPage { snapshot: true, ..LogPage::default() };
    assert_eq!(ours.rows_after(&Vector::new(), 9, 9_999).unwrap(), told);
    assert_eq!(ours.rows_after(&vector, 9, 9_999).unwrap().rows, missed);
}

/// However often a record came, and in whichever order, it is known where the log reaches it.
#[test]
fn a_record_is_reached_where_the_log_has_it_again() {
    let folder = TempDir::new().unwrap();
    let open = || SqliteStore::open(&folder.path().join("log.db")).unwrap();
    let store = open();
    let (ada, id) = (genesis(1), genesis(1).id());
    let reached = |store: &SqliteStore| store.reached(&id).unwrap().map(|at| (at.origin, at.seq, at.record));
    assert_eq!(reached(&store), None);
    // Both are beyond the vector, the lowest comes last.
    store.keep(&[row(origin(1), 5, 5, &ada), row(origin(2), 5, 4, &ada)]).unwrap();
    assert_eq!(reached(&store), None);
    store.append(&[row(origin(3), 1, 9, &ada)], Stamp(9)).unwrap();
    assert_eq!(reached(&store), Some((origin(3), 1, id)));
    assert_eq!(store.record(&id).unwrap().unwrap().receipt.origin, origin(2), "the lowest stays");
    drop(store);
    assert_eq!(reached(&open()), Some((origin(3), 1, id)));
    assert_eq!(open().reached(&genesis(2).id()).unwrap(), None);

    // What was reached first is not forgotten when a snapshot brings a lower receipt.
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("log.db")).unwrap();
    store.append(&[row(origin(3), 1, 9, &ada)], Stamp(9)).unwrap();
    store.keep(&[row(origin(1), 5, 5, &ada)]).unwrap();
    assert_eq!(store.record(&id).unwrap().unwrap().receipt.origin, origin(1));
    assert_eq!(reached(&store), Some((origin(3), 1, id)));
}

/// Its place is taken by what a snapshot brought that never came to its end.
#[test]
fn a_twin_of_a_kept_row_is_kept_too_and_the_log_goes_on() {
    let folder = TempDir::new().unwrap();
    let open = || SqliteStore::open(&folder.path().join("log.db")).unwrap();
    let store = open();
    let kept = row(origin(1), 2, 2, &user_name(1, "ada"));
    let twin = row(origin(1), 2, 2, &user_name(2, "bob"));
    store.keep(std::slice::from_ref(&kept)).unwrap();
    let log = [row(origin(1), 1, 1, &genesis(1)), twin.clone(), row(origin(1), 3, 3, &genesis(2))];
    let twins = store.append(&log, Stamp(3)).unwrap();
    assert_eq!(befell(&twins), [(kept.record().id(), twin.receipt().clone(), false)]);
    assert_eq!(store.vector().unwrap(), [(origin(1), 3)].into_iter().collect());
    drop(store);
    let store = open();
    assert_eq!(store.twins().unwrap(), [(kept.record().id(), twin.row())]);
    let LogPage { rows, .. } = store.rows_after(&Vector::new(), 9, 9_999).unwrap();
    assert_eq!(rows[1], kept.row(), "what was there stays");
    assert_eq!(store.scrub(None).unwrap(), (None, 0));
    // With a place of its own it is a record like any other.
    assert!(store.append(&[row(origin(2), 1, 9, &user_name(2, "bob"))], Stamp(9)).unwrap().is_empty());
    assert_eq!(store.twins().unwrap(), []);
    assert_eq!(store.has_records(&[kept.record().id(), twin.record().id()]).unwrap(), [true, true]);
}

//! The SQLite store: conformance, recovery, and files that are not ours.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use peerage_replica::Vector;
use peerage_store::{LogPage, SqliteStore, Store, StoreError};
use peerage_types::{Scope, Stamp};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::conformance;
use crate::rows::{genesis, origin, row, user, user_name};

fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(&folder.path().join("tracker.db")).unwrap()
}

#[test]
fn conforms() {
    for (case, run) in conformance::CASES {
        eprintln!("case {case}");
        let folder = TempDir::new().unwrap();
        run(&open(&folder));
    }
}

#[test]
fn opens_again() {
    let folder = TempDir::new().unwrap();
    let rows = [row(origin(1), 1, 1, &genesis(1)), row(origin(1), 2, 2, &user_name(1, "ada"))];
    for n in 1..=2 {
        let store = open(&folder);
        assert_eq!(store.vector().unwrap().get(&origin(1)), n - 1);
        store.append(&rows[..n as usize], Stamp(n)).unwrap();
    }
    let store = open(&folder);
    assert_eq!(store.last_stamp().unwrap(), Stamp(2));
    assert_eq!(store.scope(&Scope::Account(user(1))).unwrap().len(), 2);
}

/// What a crash leaves: the files as they are while the store is open, the WAL never checkpointed. Cutting its end
/// stands for writes that did not reach the disk.
#[test]
fn recovers_to_the_last_whole_append() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let wal = folder.path().join("tracker.db-wal");
    let mut ends = vec![fs::metadata(&wal).unwrap().len()];
    for seq in 1..=6u64 {
        let rows = [
            row(origin(1), 2 * seq - 1, seq, &genesis(seq as u8)),
            row(origin(1), 2 * seq, seq, &user_name(seq as u8, &format!("user{seq}"))),
        ];
        store.append(&rows, Stamp(seq)).unwrap();
        ends.push(fs::metadata(&wal).unwrap().len());
    }
    assert!(ends.is_sorted(), "an automatic checkpoint would spoil this test");
    for (appends, end) in ends.iter().enumerate() {
        for cut in [*end, end.saturating_sub(1), end + 1, end + 5_000] {
            let whole = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
            let crashed = TempDir::new().unwrap();
            fs::copy(folder.path().join("tracker.db"), crashed.path().join("tracker.db")).unwrap();
            let bytes = fs::read(&wal).unwrap();
            let cut = bytes.len().min(usize::try_from(cut).unwrap());
            fs::write(crashed.path().join("tracker.db-wal"), &bytes[..cut]).unwrap();
            if appends == 0 && cut < ends[0] as usize {
                continue; // the tables themselves are not there yet
            }
            let store = open(&crashed);
            let seq = store.vector().unwrap().get(&origin(1));
            assert_eq!(seq, 2 * whole as u64, "WAL cut to {cut} of {ends:?}");
            assert_eq!(store.last_stamp().unwrap(), Stamp(whole as u64));
            assert_eq!(store.rows_after(&Vector::new(), 99, 99_999).unwrap().rows.len(), 2 * whole);
            assert_eq!(store.scope_digests(None, 99).unwrap().len(), whole);
            let next = row(origin(1), seq + 1, 9, &genesis(50));
            store.append(&[next], Stamp(9)).unwrap();
        }
    }
}

#[test]
fn readers_go_on_while_the_writer_writes() {
    let folder = TempDir::new().unwrap();
    let store = &open(&folder);
    let done = &AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    // One read sees one state: whole bundles only.
                    let LogPage { rows, .. } = store.rows_after(&Vector::new(), 9_999, usize::MAX).unwrap();
                    assert!(rows.len().is_multiple_of(2), "{} rows", rows.len());
                    let seq = store.vector().unwrap().get(&origin(1));
                    assert!(seq >= rows.len() as u64);
                }
            });
        }
        for n in 1..=40u8 {
            let seq = 2 * u64::from(n);
            let rows = [
                row(origin(1), seq - 1, seq - 1, &genesis(n)),
                row(origin(1), seq, seq, &user_name(n, &format!("user{n}"))),
            ];
            store.append(&rows, Stamp(seq)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[track_caller]
fn refused(path: &Path) -> StoreError {
    let before = fs::read(path).unwrap();
    let error = SqliteStore::open(path).map(|_| ()).unwrap_err();
    assert_eq!(fs::read(path).unwrap(), before, "a refused file must stay as it is");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

#[test]
fn refuses_what_it_cannot_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("newer.db");
    drop(SqliteStore::open(&path).unwrap());
    let known: i64 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let set = |version: i64| {
        Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
        refused(&path)
    };
    assert!(
        matches!(set(known + 1), StoreError::Newer { found, known: k, .. } if (found, k) == (known + 1, known))
    );
    assert!(
        matches!(set(known - 1), StoreError::Older { found, known: k, .. } if (found, k) == (known - 1, known))
    );

    let path = folder.path().join("foreign.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(refused(&path), StoreError::Foreign { found: 0, .. }));

    let path = folder.path().join("text.db");
    fs::write(&path, "not a database at all, but long enough to be looked at. ".repeat(40)).unwrap();
    assert!(matches!(refused(&path), StoreError::Database { .. }));

    let nowhere = folder.path().join("missing").join("tracker.db");
    let error = SqliteStore::open(&nowhere).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
}

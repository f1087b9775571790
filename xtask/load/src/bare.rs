//! The bare program for durable writes: check the signature, group-commit to SQLite, and nothing else.
//!
//! As many submitters as the tracker has writers, each with one record under way. They live on a few threads that
//! verify; one thread writes, all that queued up in one transaction, WAL with `synchronous=FULL`.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ed25519_dalek::{Signature, VerifyingKey};
use peerage_ledger::Record;
use rusqlite::Connection;

/// As in the tracker.
const COMMIT_ROWS_MAX: usize = 4_096;

/// A record as it comes: who should have signed it, and its bytes.
pub struct Submission {
    signer: [u8; 32],
    bytes: Vec<u8>,
}

impl Submission {
    pub fn of(record: &Record) -> Self {
        Self { signer: record.signer().0, bytes: record.bytes().to_vec() }
    }

    /// The record's id, once its signature is found right.
    fn verify(&self) -> Result<[u8; 32]> {
        let mut d = minicbor::Decoder::new(&self.bytes);
        d.array().map_err(|e| anyhow!("{e}"))?;
        let (signed, signature) = d.bytes().and_then(|a| Ok((a, d.bytes()?))).map_err(|e| anyhow!("{e}"))?;
        let key = VerifyingKey::from_bytes(&self.signer)?;
        key.verify_strict(signed, &Signature::from_slice(signature)?)?;
        Ok(*blake3::hash(signed).as_bytes())
    }
}

/// A verified record on its way to the disk, and whom to tell.
struct Row<'a> {
    id: [u8; 32],
    bytes: &'a [u8],
    submitter: usize,
    done: Sender<usize>,
}

/// Records per second that become durable, and how many did in all. `submitters[i]` are the records of one submitter in
/// their order.
pub fn rate(
    folder: &Path,
    submitters: &[Vec<Submission>],
    warm: Duration,
    window: Duration,
) -> Result<(f64, u64)> {
    let folder = tempfile::TempDir::with_prefix_in("bare-", folder)?;
    let mut db = open(&folder.path().join("bare.db"))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = submitters.len().div_ceil(threads);
    ensure!(share > 0, "no submitters");
    let until = Instant::now() + warm + window;
    let (rows, queue) = channel();
    std::thread::scope(|scope| {
        let verifiers: Vec<_> = submitters
            .chunks(share)
            .map(|mine| {
                let rows = rows.clone();
                scope.spawn(move || submit(mine, &rows, until))
            })
            .collect();
        drop(rows);
        let (count, all, seconds) = write(&mut db, &queue, Instant::now() + warm)?;
        for verifier in verifiers {
            verifier.join().map_err(|_| anyhow!("a verifier panicked"))??;
        }
        Ok((count as f64 / seconds, all))
    })
}

fn open(path: &Path) -> Result<Connection> {
    let db = Connection::open(path)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    ensure!(mode == "wal", "no WAL on this file system");
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch(
        "CREATE TABLE records (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL) STRICT",
    )?;
    Ok(db)
}

/// Verifies the next record of every submitter whose last one is durable.
fn submit<'a>(submitters: &'a [Vec<Submission>], rows: &Sender<Row<'a>>, until: Instant) -> Result<()> {
    let (done, ready) = channel();
    for submitter in 0..submitters.len() {
        done.send(submitter)?;
    }
    let mut next = vec![0; submitters.len()];
    while Instant::now() < until {
        let submitter = ready.recv()?;
        let Some(record) = submitters[submitter].get(next[submitter]) else {
            return Err(anyhow!("the signed records ran out: sign more of them"));
        };
        next[submitter] += 1;
        let row = Row { id: record.verify()?, bytes: &record.bytes, submitter, done: done.clone() };
        // The writer is gone only when it failed, and then it says why.
        if rows.send(row).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes until all verifiers are gone. How many became durable after `from`, how many in all, and in how many seconds
/// the former.
fn write(db: &mut Connection, queue: &Receiver<Row<'_>>, from: Instant) -> Result<(u64, u64, f64)> {
    let (mut count, mut all) = (0, 0);
    let mut counting = None;
    let mut last = from;
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(COMMIT_ROWS_MAX - 1));
        let transaction = db.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO records (id, bytes) VALUES (?1, ?2)")?;
            for row in &batch {
                insert.execute((&row.id, row.bytes))?;
            }
        }
        transaction.commit()?;
        last = Instant::now();
        all += batch.len() as u64;
        match counting {
            Some(_) => count += batch.len() as u64,
            None if last >= from => counting = Some(last),
            None => {}
        }
        for row in batch {
            // A verifier whose time is over does not wait for it.
            let _ = row.done.send(row.submitter);
        }
    }
    let started = counting.context("the bare program wrote nothing after its warm-up")?;
    Ok((count, all, (last - started).as_secs_f64()))
}

//! Rows that come outside the order of the log: what was lost and is fetched again, and the pages of a snapshot.

use std::collections::BTreeSet;

use peerage_ledger::{Receipt, Record};
use peerage_replica::{Twin, Vector, VerifiedRow};
use peerage_types::RecordId;
use rusqlite::{OptionalExtension, Transaction};

use super::append::Append;
use super::digests;
use super::pool::Fault;

/// Puts rows where they belong, and leaves the vector alone. A row whose place holds another genuine row is put with the
/// twins and returned: the alarm about it is the replica's.
pub(crate) fn keep(db: &Transaction<'_>, rows: &[VerifiedRow]) -> Result<Vec<Twin>, Fault> {
    let mut append = Append::new(db);
    let mut twins = Vec::new();
    // Scopes in which something was mended: what their digests say is not to be trusted.
    let mut mended = BTreeSet::new();
    for row in rows {
        match keep_row(&mut append, row)? {
            Kept::Plainly => {}
            Kept::Mended => _ = mended.insert(row.record().scope()),
            Kept::Twin(twin) => twins.push(twin),
        }
    }
    append.write_digests()?;
    for scope in mended {
        digests::mend(db, &scope)?;
    }
    Ok(twins)
}

/// What became of a row.
enum Kept {
    /// It was added, or was there.
    Plainly,
    /// More had to be done than to add what was not there.
    Mended,
    Twin(Twin),
}

/// What the log has at a row's place.
struct Held {
    record_n: i64,
    stamp: i64,
    /// None: the table lost the record.
    record: Option<RecordId>,
    seal: Vec<u8>,
}

impl Held {
    /// Is it this row? What its receipt says decides, not how that was signed: the same receipt may come under another
    /// seal. If the record is lost the seal speaks for it: it fits no other receipt.
    fn is(&self, receipt: &Receipt) -> bool {
        let same_record = self.record == Some(receipt.record) || self.seal == receipt.seal.as_bytes();
        same_record && self.stamp == receipt.stamp.0.cast_signed()
    }
}

fn keep_row(append: &mut Append<'_>, row: &VerifiedRow) -> Result<Kept, Fault> {
    let db = append.db;
    let (receipt, record) = (row.receipt(), row.record());
    let Receipt { origin, seq, stamp, seal, .. } = receipt;
    let origin_n = append.origin(*origin)?.n;
    let place = (origin_n, seq.cast_signed());
    let held = db
        .prepare_cached(
            "SELECT log.record, log.stamp, records.id, log.seal FROM log LEFT JOIN records ON records.n = log.record
             WHERE log.origin = ?1 AND log.seq = ?2",
        )?
        .query_row(place, |row| {
            let record = row.get::<_, Option<[u8; 32]>>(2)?.map(RecordId);
            Ok(Held { record_n: row.get(0)?, stamp: row.get(1)?, record, seal: row.get(3)? })
        })
        .optional()?;
    if let Some(held) = held.as_ref().filter(|held| !held.is(receipt)) {
        // Which record the place had before the table lost it nobody knows.
        let Some(ours) = held.record else { return Ok(Kept::Plainly) };
        return append.twin(row, origin_n, ours).map(Kept::Twin);
    }
    let found = db
        .prepare_cached("SELECT n, bytes = ?2 FROM records WHERE id = ?1")?
        .query_row((&receipt.record.0, record.bytes()), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
        })
        .optional()?;
    let known = append.known(&receipt.record)?;
    let mut mended = false;
    let n = match found {
        Some((n, true)) => n,
        Some((n, false)) => {
            db.prepare_cached("UPDATE records SET bytes = ?2 WHERE n = ?1")?.execute((n, record.bytes()))?;
            mended = true;
            n
        }
        None => match &held {
            // The log remembers the record that the table lost.
            Some(held) => {
                mended = true;
                restore(append, record, origin_n, *seq, held.record_n)?
            }
            None => append.insert(record, receipt.order(), origin_n, *seq)?,
        },
    };
    match &held {
        None => {
            db.prepare_cached(
                "INSERT INTO log (origin, seq, stamp, record, seal) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                origin_n,
                seq.cast_signed(),
                stamp.0.cast_signed(),
                n,
                seal.as_bytes(),
            ))?;
        }
        Some(held) if held.record_n != n => {
            db.prepare_cached("UPDATE log SET record = ?3 WHERE origin = ?1 AND seq = ?2")?.execute((
                origin_n,
                seq.cast_signed(),
                n,
            ))?;
            mended = true;
        }
        Some(_) => {}
    }
    match known {
        Some(known) if receipt.order() < known.order => {
            append.lower(record, &known, receipt.order(), origin_n, *seq)?;
        }
        Some(known) => append.further(known.n, origin_n, *seq)?,
        // It was there, yet its lowest receipt's row was not.
        None if found.is_some() => {
            db.prepare_cached("UPDATE records SET origin = ?2, seq = ?3 WHERE n = ?1")?.execute((
                n,
                origin_n,
                seq.cast_signed(),
            ))?;
            mended = true;
        }
        None => {}
    }
    Ok(if mended { Kept::Mended } else { Kept::Plainly })
}

/// Puts a record back under the number by which the log knows it, unless another one took that meanwhile.
fn restore(append: &mut Append<'_>, record: &Record, origin_n: i64, seq: u64, n: i64) -> Result<i64, Fault> {
    let db = append.db;
    let scope_n = append.scope(record.scope())?.n;
    let taken = db.prepare_cached("SELECT 1 FROM records WHERE n = ?1")?.exists([n])?;
    for table in ["user_names", "group_names", "devices"] {
        if !taken {
            db.execute(&format!("DELETE FROM {table} WHERE record = ?1"), [n])?;
        }
    }
    let number = (!taken).then_some(n);
    let mut insert = db.prepare_cached(
        "INSERT INTO records (n, id, scope, origin, seq, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let n = insert.insert((number, &record.id().0, scope_n, origin_n, seq.cast_signed(), record.bytes()))?;
    append.index(record, n)?;
    Ok(n)
}

/// Raises the vector. What the log lacks below it stays missing: see `floors`.
pub(crate) fn adopt(db: &Transaction<'_>, vector: &Vector) -> Result<(), Fault> {
    let mut append = Append::new(db);
    for (origin, seq) in vector.iter() {
        let row = append.origin(*origin)?;
        let (n, seq) = (row.n, seq.cast_signed());
        db.prepare_cached("UPDATE origins SET last_seq = ?2, floor = ?2 WHERE n = ?1 AND last_seq < ?2")?
            .execute((n, seq))?;
    }
    Ok(())
}

//! Digests, and what lies below them: for comparing this database with another tracker's.

use peerage_ledger::Record;
use peerage_replica::{Digest, FACTS_PAGE_MAX, LogRow, Place, SCOPES_PAGE_MAX, SCRUB_RECORDS_MAX};
use peerage_types::{RecordId, Scope, Stamp};
use rusqlite::Transaction;

use super::append::read_origin;
use super::pool::Fault;
use super::read::{self, scope_key};

/// The digest of all scopes together.
pub(crate) fn root(db: &Transaction<'_>) -> Result<Digest, Fault> {
    let mut select = db.prepare_cached("SELECT digest FROM scopes")?;
    let mut rows = select.query([])?;
    let mut root = Digest::EMPTY;
    while let Some(row) = rows.next()? {
        root.merge(&Digest(row.get(0)?));
    }
    Ok(root)
}

/// A page of readable facts in the ids' order, and whether there are more.
pub(crate) fn facts(
    db: &Transaction<'_>,
    scope: &Scope,
    after: Option<&RecordId>,
) -> Result<(Vec<(RecordId, Place)>, bool), Fault> {
    let mut select = db.prepare_cached(
        "SELECT records.id, log.stamp, origins.tracker, origins.incarnation, log.seq, records.bytes,
                log.seq > origins.last_seq
         FROM records
         JOIN log ON log.origin = records.origin AND log.seq = records.seq AND log.record = records.n
         JOIN origins ON origins.n = records.origin
         WHERE records.scope = (SELECT n FROM scopes WHERE scope = ?1) AND records.id > ?2 ORDER BY records.id",
    )?;
    // The empty id comes before every other.
    let after = after.map_or(Vec::new(), |id| id.0.to_vec());
    let mut rows = select.query((scope_key(scope), after))?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        if page.len() >= FACTS_PAGE_MAX {
            return Ok((page, true));
        }
        let id = RecordId(row.get(0)?);
        if readable(&id, row.get_ref(5)?.as_blob().unwrap_or_default()) {
            let origin = read_origin(row, 2)?;
            let stamp = Stamp(row.get::<_, i64>(1)?.cast_unsigned());
            let (seq, ahead) = (row.get::<_, i64>(4)?.cast_unsigned(), row.get(6)?);
            page.push((id, Place { origin, seq, stamp, ahead }));
        }
    }
    Ok((page, false))
}

/// The digest as it should be: of what is there and is what its id says.
fn actual(db: &Transaction<'_>, scope: &Scope) -> Result<(Digest, usize), Fault> {
    let (mut digest, mut count, mut after) = (Digest::EMPTY, 0, None);
    loop {
        let (page, more) = facts(db, scope, after.as_ref())?;
        for (id, place) in &page {
            digest.add(id, &place.order());
        }
        count += page.len();
        after = page.last().map(|(id, _)| *id);
        if !more {
            return Ok((digest, count));
        }
    }
}

/// Scopes behind `after` whose digest is wrong, and where to go on.
pub(crate) fn scrub(
    db: &Transaction<'_>,
    after: Option<&Scope>,
) -> Result<(Vec<Scope>, Option<Scope>), Fault> {
    let scopes = read::scope_digests(db, after, SCOPES_PAGE_MAX)?;
    let full = scopes.len() >= SCOPES_PAGE_MAX;
    let (mut wrong, mut records, mut last) = (Vec::new(), 0, None);
    for (scope, stored) in scopes {
        if records >= SCRUB_RECORDS_MAX {
            return Ok((wrong, last));
        }
        let (digest, count) = actual(db, &scope)?;
        if digest != stored {
            wrong.push(scope);
        }
        records += count;
        last = Some(scope);
    }
    Ok((wrong, last.filter(|_| full)))
}

/// Makes a scope's digest true. Tells whether it was not.
pub(crate) fn mend(db: &Transaction<'_>, scope: &Scope) -> Result<bool, Fault> {
    let (digest, _) = actual(db, scope)?;
    let mut update = db.prepare_cached("UPDATE scopes SET digest = ?2 WHERE scope = ?1 AND digest <> ?2")?;
    Ok(update.execute((scope_key(scope), digest.0))? > 0)
}

/// These records with their lowest receipts, as many as fit, at least one if any is there and readable.
pub(crate) fn rows_of(
    db: &Transaction<'_>,
    ids: &[RecordId],
    limit_rows: usize,
    limit_bytes: usize,
) -> Result<Vec<LogRow>, Fault> {
    let (mut picked, mut bytes) = (Vec::new(), 0);
    for id in ids {
        let Some(row) = read::record(db, id)?.filter(|row| readable(id, &row.record)) else { continue };
        bytes += row.record.len();
        if !picked.is_empty() && (picked.len() >= limit_rows || bytes > limit_bytes) {
            break;
        }
        picked.push(row);
    }
    Ok(picked)
}

/// Is this what its id says? The signature is not looked at: whoever receives it does that.
pub(crate) fn readable(id: &RecordId, bytes: &[u8]) -> bool {
    Record::id_of(bytes).is_some_and(|found| found == *id)
}

/// A page of all readable records with their lowest receipts in the order of arrival, behind record number `after`, and
/// where to go on.
pub(crate) fn snapshot(
    db: &Transaction<'_>,
    after: u64,
    limit_rows: usize,
    limit_bytes: usize,
) -> Result<(Vec<LogRow>, Option<u64>), Fault> {
    let sql = format!(
        "SELECT {}, records.n FROM records {} WHERE records.n > ?1 ORDER BY records.n",
        read::ROW_COLUMNS,
        read::LOWEST_RECEIPT
    );
    let mut select = db.prepare_cached(&sql)?;
    let mut rows = select.query([after.cast_signed()])?;
    let (mut picked, mut bytes, mut last) = (Vec::new(), 0, after);
    while let Some(row) = rows.next()? {
        let found = read::read_row(row)?;
        let n = row.get::<_, i64>(read::ROW_COLUMNS_COUNT)?.cast_unsigned();
        if readable(&found.receipt.record, &found.record) {
            bytes += found.record.len();
            if !picked.is_empty() && (picked.len() >= limit_rows || bytes > limit_bytes) {
                return Ok((picked, Some(last)));
            }
            picked.push(found);
        }
        last = n;
    }
    Ok((picked, None))
}

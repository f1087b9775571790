//! Everything that reads the log's database.

use std::sync::Arc;

use peerage_ledger::{Claim, GroupClaim, Receipt, Seal};
use peerage_replica::{Digest, LogRow, Vector};
use peerage_types::{DeviceId, FoldedName, GroupId, Name, RecordId, Scope, Stamp, UserId};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, Transaction};

use super::append::{read_order, read_origin};
use super::digests::readable;
use super::pool::Fault;
use crate::{Counts, LogPage, TWINS_MAX};

/// The columns of [`read_row`], and how many they are; needs `log`, `origins` and `records` in its FROM clause.
pub(crate) const ROW_COLUMNS: &str =
    "origins.tracker, origins.incarnation, log.seq, log.stamp, log.seal, records.id, records.bytes";
pub(crate) const ROW_COLUMNS_COUNT: usize = 7;

/// Adds to `records` the log row of each record's lowest receipt.
pub(crate) const LOWEST_RECEIPT: &str = "JOIN log ON log.origin = records.origin AND log.seq = records.seq
    JOIN origins ON origins.n = records.origin";

pub(crate) fn vector(db: &Transaction<'_>) -> Result<Vector, Fault> {
    let mut select = db.prepare_cached("SELECT tracker, incarnation, last_seq FROM origins")?;
    let rows = select
        .query_map([], |row| Ok((read_origin(row, 0)?, row.get::<_, i64>(2)?.cast_unsigned())))?
        .collect::<Result<Vector, _>>()?;
    Ok(rows)
}

pub(crate) fn floors(db: &Transaction<'_>) -> Result<Vector, Fault> {
    let mut select = db.prepare_cached("SELECT tracker, incarnation, floor FROM origins WHERE floor > 0")?;
    let rows = select
        .query_map([], |row| Ok((read_origin(row, 0)?, row.get::<_, i64>(2)?.cast_unsigned())))?
        .collect::<Result<Vector, _>>()?;
    Ok(rows)
}

pub(crate) fn last_stamp(db: &Transaction<'_>) -> Result<Stamp, Fault> {
    let mut select = db.prepare_cached("SELECT last_stamp FROM clock")?;
    let stamp: i64 = select.query_row([], |row| row.get(0))?;
    Ok(Stamp(stamp.cast_unsigned()))
}

pub(crate) fn rows_after(
    db: &Transaction<'_>,
    after: &Vector,
    limit_rows: usize,
    limit_bytes: usize,
) -> Result<LogPage, Fault> {
    let mut behind =
        db.prepare_cached("SELECT n, tracker, incarnation, last_seq, floor FROM origins ORDER BY n")?;
    let number = |row: &Row<'_>, column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
    let behind = behind.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, read_origin(row, 1)?, number(row, 3)?, number(row, 4)?))
    })?;
    let sql = format!(
        "SELECT {ROW_COLUMNS} FROM log
         JOIN origins ON origins.n = log.origin
         JOIN records ON records.n = log.record
         WHERE log.origin = ?1 AND log.seq > ?2 AND log.seq <= ?3 ORDER BY log.seq"
    );
    let mut select = db.prepare_cached(&sql)?;
    let (mut page, mut bytes) = (LogPage::default(), 0);
    for origin in behind {
        let (n, origin, last_seq, floor) = origin?;
        let mut reached = after.get(&origin);
        page.snapshot |= reached < floor;
        // Once there is more than fits, only the floors of the others are looked at.
        if reached >= last_seq || reached < floor || page.more {
            continue;
        }
        let mut rows = select.query((n, reached.cast_signed(), last_seq.cast_signed()))?;
        while let Some(row) = rows.next()? {
            let row = read_row(row)?;
            if row.receipt.seq != reached + 1 || !readable(&row.receipt.record, &row.record) {
                break;
            }
            bytes += row.record.len();
            if !page.rows.is_empty() && (page.rows.len() >= limit_rows || bytes > limit_bytes) {
                page.more = true;
                break;
            }
            reached += 1;
            page.rows.push(row);
        }
        if reached < last_seq && !page.more {
            page.damaged = true;
            page.snapshot = true;
        }
    }
    Ok(page)
}

pub(crate) fn scope(db: &Transaction<'_>, scope: &Scope) -> Result<Vec<LogRow>, Fault> {
    let sql = format!(
        "SELECT {ROW_COLUMNS} FROM records {LOWEST_RECEIPT}
         WHERE records.scope = (SELECT n FROM scopes WHERE scope = ?1) ORDER BY records.n"
    );
    let mut select = db.prepare_cached(&sql)?;
    let rows = select.query_map([&scope_key(scope)], read_row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(crate) fn scope_digest(db: &Transaction<'_>, scope: &Scope) -> Result<Digest, Fault> {
    let mut select = db.prepare_cached("SELECT digest FROM scopes WHERE scope = ?1")?;
    let digest = select.query_row([&scope_key(scope)], |row| Ok(Digest(row.get(0)?))).optional()?;
    Ok(digest.unwrap_or(Digest::EMPTY))
}

pub(crate) fn counts(db: &Transaction<'_>) -> Result<Counts, Fault> {
    // Nothing is ever deleted, so the highest number says how many there are.
    let mut select = db.prepare_cached(
        "SELECT (SELECT coalesce(max(n), 0) FROM records), (SELECT coalesce(sum(last_seq), 0) FROM origins),
                (SELECT coalesce(max(n), 0) FROM scopes)",
    )?;
    let count = |row: &Row<'_>, column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let counts = select.query_row([], |row| {
        Ok(Counts { records: count(row, 0)?, rows: count(row, 1)?, scopes: count(row, 2)? })
    });
    Ok(counts?)
}

pub(crate) fn scope_digests(
    db: &Transaction<'_>,
    after: Option<&Scope>,
    limit: usize,
) -> Result<Vec<(Scope, Digest)>, Fault> {
    let sql = "SELECT scope, digest FROM scopes WHERE scope > ?1 ORDER BY scope LIMIT ?2";
    let mut select = db.prepare_cached(sql)?;
    // The empty key comes before every scope's.
    let after = after.map(scope_key).map_or(Vec::new(), Vec::from);
    let pairs = select
        .query_map((after, limit_sql(limit)), |row| Ok((row.get(0)?, Digest(row.get(1)?))))?
        .collect::<Result<Vec<([u8; 33], Digest)>, _>>()?;
    pairs.into_iter().map(|(key, digest)| Ok((read_scope(&key)?, digest))).collect()
}

pub(crate) fn record(db: &Transaction<'_>, id: &RecordId) -> Result<Option<LogRow>, Fault> {
    let sql = format!("SELECT {ROW_COLUMNS} FROM records {LOWEST_RECEIPT} WHERE records.id = ?1");
    let mut select = db.prepare_cached(&sql)?;
    Ok(select.query_row([&id.0], read_row).optional()?)
}

pub(crate) fn reached(db: &Transaction<'_>, id: &RecordId) -> Result<Option<Receipt>, Fault> {
    let sql = format!(
        "SELECT {ROW_COLUMNS} FROM
             (SELECT origin, seq FROM records WHERE id = ?1 UNION ALL SELECT origin, seq FROM further WHERE id = ?1) AS places
         JOIN log ON log.origin = places.origin AND log.seq = places.seq
         JOIN origins ON origins.n = log.origin AND log.seq <= origins.last_seq
         JOIN records ON records.n = log.record AND records.id = ?1
         LIMIT 1"
    );
    let row = db.prepare_cached(&sql)?.query_row([&id.0], read_row).optional()?;
    Ok(row.map(|row| row.receipt))
}

pub(crate) fn has_records(db: &Transaction<'_>, ids: &[RecordId]) -> Result<Vec<bool>, Fault> {
    let mut select = db.prepare_cached("SELECT 1 FROM records WHERE id = ?1")?;
    ids.iter().map(|id| Ok(select.exists([&id.0])?)).collect()
}

pub(crate) fn user_claims(db: &Transaction<'_>, name: &FoldedName) -> Result<Vec<Claim>, Fault> {
    let sql = format!(
        "SELECT records.id, user_names.user, log.stamp, origins.tracker, origins.incarnation
         FROM user_names JOIN records ON records.n = user_names.record {LOWEST_RECEIPT}
         WHERE user_names.folded = ?1"
    );
    let mut select = db.prepare_cached(&sql)?;
    let claims = select.query_map([name.as_str()], |row| {
        Ok(Claim { id: RecordId(row.get(0)?), user: UserId(row.get(1)?), order: read_order(row, 2)? })
    })?;
    let mut claims = claims.collect::<Result<Vec<_>, _>>()?;
    claims.sort_by_key(|claim| (claim.order, claim.id));
    Ok(claims)
}

/// The columns of [`read_group_claim`].
const GROUP_COLUMNS: &str =
    "group_names.folded, records.id, group_names.after, log.stamp, origins.tracker, origins.incarnation";

pub(crate) fn group_claims(db: &Transaction<'_>, name: &FoldedName) -> Result<Vec<GroupClaim>, Fault> {
    let sql = format!(
        "SELECT {GROUP_COLUMNS} FROM group_names JOIN records ON records.n = group_names.record {LOWEST_RECEIPT}
         WHERE group_names.folded = ?1"
    );
    let mut select = db.prepare_cached(&sql)?;
    let mut claims = select.query_map([name.as_str()], read_group_claim)?.collect::<Result<Vec<_>, _>>()?;
    claims.sort_by_key(|claim| (claim.order, claim.genesis));
    Ok(claims)
}

pub(crate) fn groups(
    db: &Transaction<'_>,
    after: Option<&FoldedName>,
    limit: usize,
) -> Result<Vec<(FoldedName, Vec<GroupClaim>)>, Fault> {
    let sql = "SELECT DISTINCT folded FROM group_names WHERE folded > ?1 ORDER BY folded LIMIT ?2";
    let mut select = db.prepare_cached(sql)?;
    let after = after.map_or("", FoldedName::as_str);
    let names = select
        .query_map((after, limit_sql(limit)), |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    let with_claims = names.into_iter().map(|text| {
        let damaged = |e| Fault::Damaged(format!("the group name {text:?}: {e}"));
        let folded = text.parse::<Name>().map_err(damaged)?.folded();
        let claims = group_claims(db, &folded)?;
        Ok((folded, claims))
    });
    with_claims.collect()
}

pub(crate) fn groups_of_user(db: &Transaction<'_>, user: &UserId) -> Result<Vec<GroupId>, Fault> {
    let mut select = db.prepare_cached("SELECT group_id FROM authors WHERE user = ?1")?;
    let groups = select.query_map([&user.0], |row| row.get(0).map(GroupId))?.collect::<Result<_, _>>()?;
    Ok(groups)
}

pub(crate) fn users_of_device(db: &Transaction<'_>, device: &DeviceId) -> Result<Vec<UserId>, Fault> {
    let sql = format!(
        "SELECT records.id, devices.user, log.stamp, origins.tracker, origins.incarnation
         FROM devices JOIN records ON records.n = devices.record {LOWEST_RECEIPT}
         WHERE devices.device = ?1"
    );
    let mut select = db.prepare_cached(&sql)?;
    let certificates = select.query_map([&device.0], |row| {
        Ok((read_order(row, 2)?, RecordId(row.get(0)?), UserId(row.get(1)?)))
    })?;
    let mut certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    certificates.sort();
    let mut users = Vec::new();
    for (_, _, user) in certificates {
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Ok(users)
}

pub(crate) fn read_row(row: &Row<'_>) -> Result<LogRow, rusqlite::Error> {
    let receipt = Receipt {
        origin: read_origin(row, 0)?,
        seq: row.get::<_, i64>(2)?.cast_unsigned(),
        stamp: Stamp(row.get::<_, i64>(3)?.cast_unsigned()),
        seal: read_seal(row, 4)?,
        record: RecordId(row.get(5)?),
    };
    Ok(LogRow { receipt, record: Arc::from(row.get_ref(6)?.as_blob()?) })
}

fn read_seal(row: &Row<'_>, column: usize) -> Result<Seal, rusqlite::Error> {
    let bytes = row.get_ref(column)?.as_blob()?;
    Seal::from_bytes(bytes)
        .map_err(|fault| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(fault)))
}

fn read_group_claim(row: &Row<'_>) -> Result<GroupClaim, rusqlite::Error> {
    Ok(GroupClaim {
        genesis: RecordId(row.get(1)?),
        after: row.get::<_, Option<[u8; 32]>>(2)?.map(RecordId),
        order: read_order(row, 3)?,
        ended_by: None,
    })
}

/// A scope as a key: one byte for the kind, then the id. Sorts like the scopes themselves.
pub(crate) fn scope_key(scope: &Scope) -> [u8; 33] {
    let (kind, id) = match scope {
        Scope::Account(user) => (0, user.0),
        Scope::Group(group) => (1, group.0),
    };
    let mut key = [kind; 33];
    key[1..].copy_from_slice(&id);
    key
}

fn read_scope(key: &[u8; 33]) -> Result<Scope, Fault> {
    let mut id = [0; 32];
    id.copy_from_slice(&key[1..]);
    match key[0] {
        0 => Ok(Scope::Account(UserId(id))),
        1 => Ok(Scope::Group(GroupId(id))),
        kind => Err(Fault::Damaged(format!("a scope of kind {kind}"))),
    }
}

fn limit_sql(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Rows that found another record at their place, each with that one, and whose record has no place yet.
pub(crate) fn twins(db: &Transaction<'_>) -> Result<Vec<(RecordId, LogRow)>, Fault> {
    let mut select = db.prepare_cached(
        "SELECT origins.tracker, origins.incarnation, twins.seq, twins.stamp, twins.record, twins.seal,
                twins.bytes, records.id
         FROM twins
         JOIN origins ON origins.n = twins.origin
         JOIN log ON log.origin = twins.origin AND log.seq = twins.seq
         JOIN records ON records.n = log.record
         WHERE NOT EXISTS (SELECT 1 FROM records WHERE records.id = twins.record)
         LIMIT ?1",
    )?;
    let limit = i64::try_from(TWINS_MAX).unwrap_or(i64::MAX);
    let twins = select.query_map([limit], |row| {
        let receipt = Receipt {
            origin: read_origin(row, 0)?,
            seq: row.get::<_, i64>(2)?.cast_unsigned(),
            stamp: Stamp(row.get::<_, i64>(3)?.cast_unsigned()),
            record: RecordId(row.get(4)?),
            seal: read_seal(row, 5)?,
        };
        let bytes: Vec<u8> = row.get(6)?;
        Ok((RecordId(row.get(7)?), LogRow { receipt, record: bytes.into() }))
    })?;
    Ok(twins.collect::<Result<_, _>>()?)
}

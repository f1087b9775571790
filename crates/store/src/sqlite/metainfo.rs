//! Metainfo files by content address, with a quota per account.

use peerage_types::limits::{ACCOUNT_METAINFO_BYTES_MAX, METAINFO_BYTES_MAX};
use peerage_types::{MetainfoId, UserId};
use rusqlite::{OptionalExtension, Transaction};

use super::pool::Fault;
use crate::StoreError;

pub(crate) fn put(db: &Transaction<'_>, id: MetainfoId, by: UserId, bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() > METAINFO_BYTES_MAX {
        return Err(StoreError::TooLarge { bytes: bytes.len() }.into());
    }
    if has(db, &id)? {
        return Ok(());
    }
    let (used_bytes, new_bytes) = (bytes_of(db, &by)?, bytes.len() as u64);
    if used_bytes + new_bytes > ACCOUNT_METAINFO_BYTES_MAX {
        return Err(StoreError::OverQuota { user: by, used_bytes, new_bytes }.into());
    }
    let sql = "INSERT INTO metainfo (id, user, size, bytes) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute((&id.0, &by.0, new_bytes.cast_signed(), bytes))?;
    Ok(())
}

pub(crate) fn has(db: &Transaction<'_>, id: &MetainfoId) -> Result<bool, Fault> {
    Ok(db.prepare_cached("SELECT 1 FROM metainfo WHERE id = ?1")?.exists([&id.0])?)
}

pub(crate) fn get(db: &Transaction<'_>, id: &MetainfoId) -> Result<Option<Vec<u8>>, Fault> {
    let mut select = db.prepare_cached("SELECT bytes FROM metainfo WHERE id = ?1")?;
    Ok(select.query_row([&id.0], |row| row.get(0)).optional()?)
}

pub(crate) fn size(db: &Transaction<'_>, id: &MetainfoId) -> Result<Option<u64>, Fault> {
    let mut select = db.prepare_cached("SELECT size FROM metainfo WHERE id = ?1")?;
    let size = select.query_row([&id.0], |row| row.get::<_, i64>(0)).optional()?;
    Ok(size.map(i64::cast_unsigned))
}

pub(crate) fn bytes_of(db: &Transaction<'_>, user: &UserId) -> Result<u64, Fault> {
    let mut select = db.prepare_cached("SELECT coalesce(sum(size), 0) FROM metainfo WHERE user = ?1")?;
    let bytes: i64 = select.query_row([&user.0], |row| row.get(0))?;
    Ok(bytes.cast_unsigned())
}

//! Consistent copies of a database, made while its tracker runs or not, and what such a copy holds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use peerage_replica::Vector;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::pool::{BUSY_TIMEOUT, Fault, reading, recognise};
use super::{metainfo_path, read, schema};
use crate::{Counts, StoreError};

/// What a database holds, as far as a backup's manifest tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How far each origin's log reaches.
    pub vector: Vector,
    /// How much there is.
    pub counts: Counts,
}

/// Copies the databases at `from` (as for [`super::SqliteStore::open`]) to `to` and its neighbour, which must not exist.
/// Each copy is one consistent state and durable; metainfo is copied last, so that it has all that the log names.
/// A running tracker goes on reading and writing meanwhile.
///
/// # Errors
/// [`StoreError::Database`] when it cannot be read or written, [`StoreError::Foreign`], [`StoreError::Newer`].
pub fn copy(from: &Path, to: &Path) -> Result<[PathBuf; 2], StoreError> {
    let targets = [to.to_owned(), metainfo_path(to)];
    let sources = [(from.to_owned(), &schema::LOG), (metainfo_path(from), &schema::METAINFO)];
    for ((source, schema), target) in sources.iter().zip(&targets) {
        let copied = || {
            let db = open(source, schema)?;
            // One read transaction; the pages go straight to the new file.
            db.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
            Ok(())
        };
        copied().map_err(|fault| reading(source, fault))?;
        File::open(target).and_then(|file| file.sync_all()).map_err(|why| damaged(target, &why))?;
    }
    Ok(targets)
}

/// Looks into the log's database at `path` without changing it.
///
/// # Errors
/// As [`copy`]; [`StoreError::Damaged`] when SQLite's own check finds something.
pub fn contents(path: &Path) -> Result<Contents, StoreError> {
    let look = || {
        let mut db = open(path, &schema::LOG)?;
        let found: Option<String> = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).optional()?;
        if let Some(what) = found.filter(|what| what != "ok") {
            return Err(Fault::Damaged(what));
        }
        let transaction = db.transaction()?;
        Ok(Contents { vector: read::vector(&transaction)?, counts: read::counts(&transaction)? })
    };
    look().map_err(|fault| reading(path, fault))
}

/// A small value that belongs to the installation, from a database that nobody has open.
///
/// # Errors
/// As [`copy`].
pub fn meta(path: &Path, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let look = || {
        let db = open(path, &schema::LOG)?;
        let value = db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0));
        Ok(value.optional()?)
    };
    look().map_err(|fault| reading(path, fault))
}

/// Not read-only: after a crash the write-ahead log must be taken up, else its rows would be missing.
fn open(path: &Path, schema: &schema::Schema) -> Result<Connection, Fault> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(Fault::Damaged("it is empty".to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "trusted_schema", false)?;
    recognise(&db, path, schema)?;
    Ok(db)
}

fn damaged(path: &Path, why: &std::io::Error) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), what: why.to_string() }
}

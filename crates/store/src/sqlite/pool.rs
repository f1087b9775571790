//! One database file: its writer connection, and readers that are opened when they are needed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::schema::Schema;
use crate::StoreError;

/// Readers kept open. More may read at once; theirs are closed afterwards.
const READERS_KEPT_MAX: usize = 8;
/// How long a connection waits for a lock that another process (a backup tool) holds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept prepared per connection; more than there are different ones.
const STATEMENTS_MAX: usize = 64;

/// A database file of this process.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// What a closure that works on a connection may fail with: SQLite's word is put into context afterwards.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Store(StoreError),
    Damaged(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Database {
    pub(crate) fn open(path: PathBuf, schema: &Schema) -> Result<Self, StoreError> {
        let writer = open_writer(&path, schema).map_err(|fault| reading(&path, fault))?;
        Ok(Self { path, writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// Runs `work` in one transaction, which is durable when this returns `Ok` and has left no trace otherwise.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        // A panic in the middle of a transaction rolled it back: the connection itself is sound.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let run = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|fault| writing(&self.path, fault))
    }

    /// Runs `work` on one state of the database.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let run = || {
            let mut reader = match kept {
                Some(reader) => reader,
                None => open_reader(&self.path)?,
            };
            let transaction = reader.transaction()?;
            let result = work(&transaction)?;
            transaction.finish()?;
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS_KEPT_MAX {
                readers.push(reader);
            }
            Ok(result)
        };
        run().map_err(|fault| reading(&self.path, fault))
    }
}

fn open_writer(path: &Path, schema: &Schema) -> Result<Connection, Fault> {
    let mut db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(&db)?;
    // Looks before anything is changed: another program's file stays as it is.
    let version = recognise(&db, path, schema)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Damaged(format!(
            "its file system only allows the journal mode `{mode}`, not WAL"
        )));
    }
    // Every commit is an fsync of the WAL; on macOS a real one.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    // Negative: KiB, not pages.
    db.pragma_update(None, "cache_size", -schema.writer_cache_kib)?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", schema.checkpoint_pages, |_| Ok(()))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    if version == 0 {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(schema.create)?;
        transaction.pragma_update(None, "application_id", schema.application_id)?;
        transaction.pragma_update(None, "user_version", schema.version)?;
        transaction.commit()?;
    }
    Ok(db)
}

/// The schema's version in this file; 0 if it is empty.
pub(crate) fn recognise(db: &Connection, path: &Path, schema: &Schema) -> Result<i64, Fault> {
    let path = path.to_owned();
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application_id, version) = (pragma("application_id")?, pragma("user_version")?);
    if tables == 0 && application_id == 0 && version == 0 {
        return Ok(0);
    }
    if application_id != schema.application_id {
        return Err(StoreError::Foreign { path, found: application_id }.into());
    }
    if version > schema.version {
        return Err(StoreError::Newer { path, found: version, known: schema.version }.into());
    }
    if version < 1 || tables == 0 {
        return Err(Fault::Damaged(format!("it says that it has schema version {version}")));
    }
    if version < schema.version {
        return Err(StoreError::Older { path, found: version, known: schema.version }.into());
    }
    Ok(version)
}

fn open_reader(path: &Path) -> Result<Connection, Fault> {
    // Read-only connections cannot recover a WAL, but the writer was there first.
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(&db)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(db)
}

/// Else SQLite compiles some prepared statements anew for each value that is bound, in the hope of a better plan: a
/// quarter of the writer's time.
fn keep_plans(db: &Connection) -> Result<(), Fault> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

pub(crate) fn reading(path: &Path, fault: Fault) -> StoreError {
    let path = path.to_owned();
    match fault {
        Fault::Store(error) => error,
        Fault::Damaged(what) => StoreError::Damaged { path, what },
        Fault::Sqlite(source) => StoreError::Database { path, source },
    }
}

/// A write that failed for any other reason than the caller's, a lock or a full disk leaves the file in doubt: an
/// fsync that failed once may report success the next time although the data is gone.
fn writing(path: &Path, fault: Fault) -> StoreError {
    let Fault::Sqlite(source) = fault else { return reading(path, fault) };
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Database { path, source },
        _ => StoreError::Fatal { path, source },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::OptionalExtension;

    use super::*;
    use crate::sqlite::schema;

    fn fill(db: &Transaction<'_>, bytes: usize) -> Result<(), Fault> {
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('fill', ?1)", [vec![7u8; bytes]])?;
        Ok(())
    }

    fn filled(db: &Transaction<'_>) -> Result<Option<i64>, Fault> {
        let sql = "SELECT length(value) FROM meta WHERE key = 'fill'";
        Ok(db.query_row(sql, [], |row| row.get(0)).optional()?)
    }

    #[test]
    fn a_full_disk_leaves_no_trace() {
        let folder = tempfile::TempDir::new().unwrap();
        let database = Database::open(folder.path().join("full.db"), &schema::LOG).unwrap();
        let limit = |pages: i64| {
            let writer = database.writer.lock().unwrap();
            writer.pragma_update(None, "max_page_count", pages).unwrap();
        };
        database.write(|db| fill(db, 10)).unwrap();
        limit(1);
        let error = database.write(|db| fill(db, 1 << 20)).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert_eq!(database.read(filled).unwrap(), Some(10));
        limit(1 << 30);
        database.write(|db| fill(db, 1 << 20)).unwrap();
        assert_eq!(database.read(filled).unwrap(), Some(1 << 20));
    }

    #[test]
    fn a_failed_write_is_fatal_and_a_callers_fault_is_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let database = Database::open(folder.path().join("fault.db"), &schema::LOG).unwrap();
        let caller = database.write(|db| {
            fill(db, 10)?;
            Err::<(), _>(StoreError::TooLarge { bytes: 1 }.into())
        });
        assert!(matches!(caller, Err(StoreError::TooLarge { .. })), "{caller:?}");
        assert_eq!(database.read(filled).unwrap(), None);
        database.writer.lock().unwrap().pragma_update(None, "query_only", true).unwrap();
        let error = database.write(|db| fill(db, 10)).unwrap_err();
        assert!(matches!(error, StoreError::Fatal { .. }), "{error:?}");
        // Reads do not write, and a panicking writer does not poison them.
        assert_eq!(database.read(filled).unwrap(), None);
    }
}

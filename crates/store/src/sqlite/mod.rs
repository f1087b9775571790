//! The store on SQLite (bundled): WAL, `synchronous=FULL`, one writer connection and a few readers.
//!
//! Two databases: `PATH` for the log and everything derived from it, and `PATH` with `-metainfo` appended for
//! metainfo files, so that a 32 MiB upload does not hold up a group commit.

mod append;
pub mod copy;
mod digests;
mod keep;
mod metainfo;
mod pool;
mod read;
mod schema;

use std::path::{Path, PathBuf};

use peerage_ledger::{Claim, GroupClaim, Receipt};
use peerage_replica::{Digest, LogRow, Place, Twin, Vector, VerifiedRow};
use peerage_types::{DeviceId, FoldedName, GroupId, MetainfoId, RecordId, Scope, Stamp, UserId};
use rusqlite::OptionalExtension;

use crate::{Counts, LogPage, Snapshot, Store, StoreError};
use pool::Database;

/// A tracker's storage in two SQLite files. Share it behind an `Arc`.
#[derive(Debug)]
pub struct SqliteStore {
    log: Database,
    metainfo: Database,
}

impl SqliteStore {
    /// Opens the databases at `path` (a file, not a folder), creating what is missing.
    ///
    /// # Errors
    /// [`StoreError::Newer`] and [`StoreError::Foreign`] leave the files as they are.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let log = Database::open(path.to_owned(), &schema::LOG)?;
        let metainfo = Database::open(metainfo_path(path), &schema::METAINFO)?;
        Ok(Self { log, metainfo })
    }
}

fn metainfo_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-metainfo");
    PathBuf::from(name)
}

impl Store for SqliteStore {
    fn append(&self, rows: &[VerifiedRow], last_stamp: Stamp) -> Result<Vec<Twin>, StoreError> {
        self.log.write(|db| append::append(db, rows, last_stamp))
    }

    fn keep(&self, rows: &[VerifiedRow]) -> Result<Vec<Twin>, StoreError> {
        self.log.write(|db| keep::keep(db, rows))
    }

    fn adopt(&self, vector: &Vector) -> Result<(), StoreError> {
        self.log.write(|db| keep::adopt(db, vector))
    }

    fn floors(&self) -> Result<Vector, StoreError> {
        self.log.read(read::floors)
    }

    fn root_digest(&self) -> Result<Digest, StoreError> {
        self.log.read(digests::root)
    }

    fn facts(
        &self,
        scope: &Scope,
        after: Option<&RecordId>,
    ) -> Result<(Vec<(RecordId, Place)>, bool), StoreError> {
        self.log.read(|db| digests::facts(db, scope, after))
    }

    fn rows_of(
        &self,
        ids: &[RecordId],
        limit_rows: usize,
        limit_bytes: usize,
    ) -> Result<Vec<LogRow>, StoreError> {
        self.log.read(|db| digests::rows_of(db, ids, limit_rows, limit_bytes))
    }

    fn snapshot(&self, after: u64, limit_rows: usize, limit_bytes: usize) -> Result<Snapshot, StoreError> {
        self.log.read(|db| {
            let (rows, next) = digests::snapshot(db, after, limit_rows, limit_bytes)?;
            Ok(Snapshot { rows, next, vector: read::vector(db)? })
        })
    }

    fn scrub(&self, after: Option<&Scope>) -> Result<(Option<Scope>, u64), StoreError> {
        let (wrong, next) = self.log.read(|db| digests::scrub(db, after))?;
        let mut mended = 0;
        if !wrong.is_empty() {
            self.log.write(|db| {
                for scope in &wrong {
                    mended += u64::from(digests::mend(db, scope)?);
                }
                Ok(())
            })?;
        }
        Ok((next, mended))
    }

    fn twins(&self) -> Result<Vec<(RecordId, LogRow)>, StoreError> {
        self.log.read(read::twins)
    }

    fn vector(&self) -> Result<Vector, StoreError> {
        self.log.read(read::vector)
    }

    fn last_stamp(&self) -> Result<Stamp, StoreError> {
        self.log.read(read::last_stamp)
    }

    fn rows_after(
        &self,
        vector: &Vector,
        limit_rows: usize,
        limit_bytes: usize,
    ) -> Result<LogPage, StoreError> {
        self.log.read(|db| read::rows_after(db, vector, limit_rows, limit_bytes))
    }

    fn scope(&self, scope: &Scope) -> Result<Vec<LogRow>, StoreError> {
        self.log.read(|db| read::scope(db, scope))
    }

    fn scope_digest(&self, scope: &Scope) -> Result<Digest, StoreError> {
        self.log.read(|db| read::scope_digest(db, scope))
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        self.log.read(read::counts)
    }

    fn scope_digests(&self, after: Option<&Scope>, limit: usize) -> Result<Vec<(Scope, Digest)>, StoreError> {
        self.log.read(|db| read::scope_digests(db, after, limit))
    }

    fn record(&self, id: &RecordId) -> Result<Option<LogRow>, StoreError> {
        self.log.read(|db| read::record(db, id))
    }

    fn reached(&self, id: &RecordId) -> Result<Option<Receipt>, StoreError> {
        self.log.read(|db| read::reached(db, id))
    }

    fn has_records(&self, ids: &[RecordId]) -> Result<Vec<bool>, StoreError> {
        self.log.read(|db| read::has_records(db, ids))
    }

    fn user_claims(&self, name: &FoldedName) -> Result<Vec<Claim>, StoreError> {
        self.log.read(|db| read::user_claims(db, name))
    }

    fn group_claims(&self, name: &FoldedName) -> Result<Vec<GroupClaim>, StoreError> {
        self.log.read(|db| read::group_claims(db, name))
    }

    fn groups(
        &self,
        after: Option<&FoldedName>,
        limit: usize,
    ) -> Result<Vec<(FoldedName, Vec<GroupClaim>)>, StoreError> {
        self.log.read(|db| read::groups(db, after, limit))
    }

    fn groups_of_user(&self, user: &UserId) -> Result<Vec<GroupId>, StoreError> {
        self.log.read(|db| read::groups_of_user(db, user))
    }

    fn users_of_device(&self, device: &DeviceId) -> Result<Vec<UserId>, StoreError> {
        self.log.read(|db| read::users_of_device(db, device))
    }

    fn put_metainfo(&self, id: MetainfoId, by: UserId, bytes: &[u8]) -> Result<(), StoreError> {
        self.metainfo.write(|db| metainfo::put(db, id, by, bytes))
    }

    fn metainfo(&self, id: &MetainfoId) -> Result<Option<Vec<u8>>, StoreError> {
        self.metainfo.read(|db| metainfo::get(db, id))
    }

    fn metainfo_size(&self, id: &MetainfoId) -> Result<Option<u64>, StoreError> {
        self.metainfo.read(|db| metainfo::size(db, id))
    }

    fn has_metainfo(&self, id: &MetainfoId) -> Result<bool, StoreError> {
        self.metainfo.read(|db| metainfo::has(db, id))
    }

    fn metainfo_bytes_of(&self, user: &UserId) -> Result<u64, StoreError> {
        self.metainfo.read(|db| metainfo::bytes_of(db, user))
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.log.read(|db| {
            let mut select = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            Ok(select.query_row([key], |row| row.get(0)).optional()?)
        })
    }

    fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.log.write(|db| {
            let mut upsert = db.prepare_cached(
                "INSERT INTO meta (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?;
            upsert.execute((key, value))?;
            Ok(())
        })
    }
}

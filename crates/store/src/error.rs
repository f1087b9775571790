//! What can go wrong in a store, and who is to blame.

use std::path::PathBuf;

use peerage_ledger::Origin;
use peerage_types::limits::{ACCOUNT_METAINFO_BYTES_MAX, METAINFO_BYTES_MAX};
use peerage_types::{RecordId, UserId};

/// Why a store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Environment: a write or fsync failed, so nobody knows what is on the disk. End the process; at the next
    /// start the database recovers to the last transaction that is whole.
    #[error("writing `{}` failed, its contents are uncertain until the next start: {source}", .path.display())]
    Fatal {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Environment: no space. Nothing of the call was written.
    #[error("no space left to write `{}`: free some space", .path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Environment: the database cannot be opened or read.
    #[error("cannot use the database `{}`: {source}", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Environment: written by a newer program.
    #[error("`{}` has schema version {found}, this program knows up to {known}: start the newer program", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The highest that we can read.
        known: i64,
    },
    /// Environment: written by an older program, before the first release; there is nothing that carries it over.
    #[error(
        "`{}` has schema version {found}, this program needs {known}: move it away, and the tracker takes everything from \
         the other trackers",
        .path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The one that we read.
        known: i64,
    },
    /// Environment: some other program's database.
    #[error("`{}` is not a database of this program (application id {found:#x})", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: i64,
    },
    /// Environment: what was read cannot have been written by us.
    #[error("`{}` is damaged: {what}", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Caller: a row that does not continue its origin.
    #[error("row {got} of {} does not follow: expected row {expected}", .origin.tracker.tag())]
    Gap {
        /// Whose log.
        origin: Origin,
        /// The next row that could be appended.
        expected: u64,
        /// The row that came.
        got: u64,
    },
    /// Caller: a row that is there already with another record. The replica keeps such twins apart.
    #[error("row {seq} of {} is record {ours} here, not {theirs}", .origin.tracker.tag())]
    Conflict {
        /// Whose log.
        origin: Origin,
        /// Which row.
        seq: u64,
        /// What we have.
        ours: RecordId,
        /// What came.
        theirs: RecordId,
    },
    /// User: too much metainfo for one account.
    #[error(
        "user {} keeps {used_bytes} bytes of metainfo, {new_bytes} more would exceed {ACCOUNT_METAINFO_BYTES_MAX}",
        .user.tag()
    )]
    OverQuota {
        /// Whose expense.
        user: UserId,
        /// What is kept already.
        used_bytes: u64,
        /// What was to be added.
        new_bytes: u64,
    },
    /// User: one metainfo file is too large.
    #[error("a metainfo file of {bytes} bytes, at most {METAINFO_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

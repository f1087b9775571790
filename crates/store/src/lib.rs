//! Durable storage of a tracker: the log, the records by scope, the indexes that admission needs, and metainfo.
//!
//! The tracker's writer thread calls [`Store::append`] with whole groups of batches; its request threads read. All
//! calls block. What is appended was verified before ([`VerifiedRow`]): a store never judges records, it only
//! looks into their bodies to index them. [`SqliteStore`] is the one implementation so far; every further one
//! must pass the same conformance suite (`tests/it/conformance.rs`).

mod error;
mod sqlite;

use peerage_ledger::{Claim, GroupClaim};
use peerage_replica::{Digest, LogRow, Vector, VerifiedRow};
use peerage_types::{DeviceId, FoldedName, GroupId, MetainfoId, RecordId, Scope, Stamp, UserId};

pub use error::StoreError;
pub use sqlite::SqliteStore;

/// Storage of one tracker. Reads see everything that an [`append`](Store::append) which has returned wrote.
pub trait Store: Send + Sync {
    /// Makes rows durable in **one** transaction: log, records, indexes, digests, vector and clock. Rows continue
    /// their origins without gaps; a row that is there already is passed over. One writer at a time.
    ///
    /// # Errors
    /// After [`StoreError::Fatal`] nobody knows what is on the disk: end the process. After any other error
    /// nothing of the call is there.
    fn append(&self, rows: &[VerifiedRow], last_stamp: Stamp) -> Result<(), StoreError>;

    /// How far each origin's log reaches.
    fn vector(&self) -> Result<Vector, StoreError>;

    /// The clock's reading at the last append; 0 before the first.
    fn last_stamp(&self) -> Result<Stamp, StoreError>;

    /// Rows beyond `vector`, contiguous per origin, and whether there are more than fit. At most `limit_rows`
    /// rows and `limit_bytes` record bytes, but at least one row if there is any.
    fn rows_after(
        &self,
        vector: &Vector,
        limit_rows: usize,
        limit_bytes: usize,
    ) -> Result<(Vec<LogRow>, bool), StoreError>;

    /// Every record of a scope, each with its lowest receipt, in the order of arrival.
    fn scope(&self, scope: &Scope) -> Result<Vec<LogRow>, StoreError>;

    /// The running digest of a scope; [`Digest::EMPTY`] when nothing of it is known.
    fn scope_digest(&self, scope: &Scope) -> Result<Digest, StoreError>;

    /// A page of all scopes with their digests, in the scopes' order, behind `after`.
    fn scope_digests(&self, after: Option<&Scope>, limit: usize) -> Result<Vec<(Scope, Digest)>, StoreError>;

    /// One record with its lowest receipt.
    fn record(&self, id: &RecordId) -> Result<Option<LogRow>, StoreError>;

    /// Which of these records are there; one answer per id, in their order.
    fn has_records(&self, ids: &[RecordId]) -> Result<Vec<bool>, StoreError>;

    /// Every claim to a user name, lowest first.
    fn user_claims(&self, name: &FoldedName) -> Result<Vec<Claim>, StoreError>;

    /// Every genesis that claims a group name, lowest first. `ended_by` is `None` in all of them: only a view
    /// can tell how a group ended.
    fn group_claims(&self, name: &FoldedName) -> Result<Vec<GroupClaim>, StoreError>;

    /// A page of group names in their order, behind `after`, each with all claims to it as from
    /// [`Self::group_claims`]. At most `limit` names.
    fn groups(
        &self,
        after: Option<&FoldedName>,
        limit: usize,
    ) -> Result<Vec<(FoldedName, Vec<GroupClaim>)>, StoreError>;

    /// Groups in which this user's name stands as the author of any record, whether truly or not.
    fn groups_of_user(&self, user: &UserId) -> Result<Vec<GroupId>, StoreError>;

    /// Accounts with a certificate for this device, in the order of the certificates' lowest receipts. Whether
    /// it is valid, and not revoked, is the account view's matter.
    fn users_of_device(&self, device: &DeviceId) -> Result<Vec<UserId>, StoreError>;

    /// Keeps a metainfo file, at the expense of `by`, unless it is there already. The caller has checked that
    /// `id` is the hash of `bytes`.
    ///
    /// # Errors
    /// [`StoreError::OverQuota`] when the user would exceed what one account may keep.
    fn put_metainfo(&self, id: MetainfoId, by: UserId, bytes: &[u8]) -> Result<(), StoreError>;

    /// A metainfo file.
    fn metainfo(&self, id: &MetainfoId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Is this metainfo file there?
    fn has_metainfo(&self, id: &MetainfoId) -> Result<bool, StoreError>;

    /// Bytes of metainfo kept at a user's expense.
    fn metainfo_bytes_of(&self, user: &UserId) -> Result<u64, StoreError>;

    /// A small value that belongs to this installation, such as the tracker id.
    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets such a value, durably.
    fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
}

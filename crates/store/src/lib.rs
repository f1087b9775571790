//! Durable storage of a tracker: the log, the records by scope, the indexes that admission needs, and metainfo.
//!
//! The tracker's writer thread calls [`Store::append`] with whole groups of batches; its request threads read. All
//! calls block. What is appended was verified before ([`VerifiedRow`]): a store never judges records, it only
//! looks into their bodies to index them. [`SqliteStore`] is the one implementation so far; every further one
//! must pass the same conformance suite (`tests/it/conformance.rs`).

mod error;
mod sqlite;

use peerage_ledger::{Claim, GroupClaim, Receipt};
use peerage_replica::{
    Ask, Digest, LogRow, Place, ROWS_PAGE_BYTES_MAX, ROWS_PAGE_MAX, SCOPES_PAGE_MAX, Told, Twin, Vector,
    VerifiedRow,
};
use peerage_types::{DeviceId, FoldedName, GroupId, MetainfoId, RecordId, Scope, Stamp, UserId};

pub use error::StoreError;
pub use sqlite::SqliteStore;
pub use sqlite::copy;

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different records.
    pub records: u64,
    /// Log rows of all origins; one record may have several.
    pub rows: u64,
    /// Accounts and groups.
    pub scopes: u64,
}

/// Storage of one tracker. Reads see everything that an [`append`](Store::append) which has returned wrote.
pub trait Store: Send + Sync {
    /// Makes rows durable in **one** transaction: log, records, indexes, digests, vector and clock. Rows continue
    /// their origins without gaps; a row that is there already is passed over. One writer at a time.
    ///
    /// Where a snapshot has brought another record for a row's place, that one stays, the log goes on, and the row is
    /// kept with the [twins](Store::twins); another stamp for the same record is not. Returns the rows that either befell.
    ///
    /// # Errors
    /// After [`StoreError::Fatal`] nobody knows what is on the disk: end the process. After any other error
    /// nothing of the call is there.
    fn append(&self, rows: &[VerifiedRow], last_stamp: Stamp) -> Result<Vec<Twin>, StoreError>;

    /// Makes rows durable wherever they stand, below the vector or above it, and leaves the vector alone: what was lost
    /// and is fetched again, and the pages of a snapshot. Puts damaged records right, and digests and indexes with
    /// them. A place that holds another genuine row keeps it: the rows that this befell are treated, and returned, as by
    /// [`append`](Store::append). One writer at a time.
    ///
    /// # Errors
    /// As from [`append`](Store::append).
    fn keep(&self, rows: &[VerifiedRow]) -> Result<Vec<Twin>, StoreError>;

    /// Raises the vector to cover this one, durably: all records in it have been kept. From then on
    /// [`rows_after`](Store::rows_after) serves the origins that this moved only to whoever has their rows up to here.
    ///
    /// # Errors
    /// As from [`append`](Store::append).
    fn adopt(&self, vector: &Vector) -> Result<(), StoreError>;

    /// From where on each origin's log is complete: origins that were adopted.
    fn floors(&self) -> Result<Vector, StoreError>;

    /// The digest of all scopes together.
    fn root_digest(&self) -> Result<Digest, StoreError>;

    /// A page of a scope's readable records in the ids' order, behind `after`, each with the place of its lowest
    /// receipt, and whether there are more. At most [`FACTS_PAGE_MAX`](peerage_replica::FACTS_PAGE_MAX). A record
    /// that is not what its id says is left out.
    fn facts(
        &self,
        scope: &Scope,
        after: Option<&RecordId>,
    ) -> Result<(Vec<(RecordId, Place)>, bool), StoreError>;

    /// These records with their lowest receipts, as many as fit, but at least one if any is readable.
    fn rows_of(
        &self,
        ids: &[RecordId],
        limit_rows: usize,
        limit_bytes: usize,
    ) -> Result<Vec<LogRow>, StoreError>;

    /// A page of all readable records with their lowest receipts, behind a place that an earlier page named (0: from the
    /// beginning), in an order in which new ones come last.
    fn snapshot(&self, after: u64, limit_rows: usize, limit_bytes: usize) -> Result<Snapshot, StoreError>;

    /// Reads the records of some scopes behind `after`, and makes digests true that do not fit what is readable there.
    /// Returns where to go on and how many digests it put right.
    fn scrub(&self, after: Option<&Scope>) -> Result<(Option<Scope>, u64), StoreError>;

    /// Rows whose place another record holds, each with that record's id, and whose own record has no other place yet: at
    /// most [`TWINS_MAX`].
    fn twins(&self) -> Result<Vec<(RecordId, LogRow)>, StoreError>;

    /// How far each origin's log reaches.
    fn vector(&self) -> Result<Vector, StoreError>;

    /// The clock's reading at the last append; 0 before the first.
    fn last_stamp(&self) -> Result<Stamp, StoreError>;

    /// Rows beyond `vector`, contiguous per origin: nothing of an origin whose rows up to its [floor](Store::floors) the
    /// asker lacks, and nothing behind a row that is missing or not what its id says. At most `limit_rows` rows and
    /// `limit_bytes` record bytes, but at least one row if there is any.
    fn rows_after(
        &self,
        vector: &Vector,
        limit_rows: usize,
        limit_bytes: usize,
    ) -> Result<LogPage, StoreError>;

    /// Every record of a scope, each with its lowest receipt, in the order of arrival.
    fn scope(&self, scope: &Scope) -> Result<Vec<LogRow>, StoreError>;

    /// The running digest of a scope; [`Digest::EMPTY`] when nothing of it is known.
    fn scope_digest(&self, scope: &Scope) -> Result<Digest, StoreError>;

    /// How much there is, without reading all of it.
    fn counts(&self) -> Result<Counts, StoreError>;

    /// A page of all scopes with their digests, in the scopes' order, behind `after`.
    fn scope_digests(&self, after: Option<&Scope>, limit: usize) -> Result<Vec<(Scope, Digest)>, StoreError>;

    /// One record with its lowest receipt.
    fn record(&self, id: &RecordId) -> Result<Option<LogRow>, StoreError>;

    /// A receipt of this record that lies within the vector, not necessarily its lowest. None: it is not there, or
    /// only where an unfinished snapshot put it.
    fn reached(&self, id: &RecordId) -> Result<Option<Receipt>, StoreError>;

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

    /// How many bytes a metainfo file has, without reading it.
    fn metainfo_size(&self, id: &MetainfoId) -> Result<Option<u64>, StoreError>;

    /// Is this metainfo file there?
    fn has_metainfo(&self, id: &MetainfoId) -> Result<bool, StoreError>;

    /// Bytes of metainfo kept at a user's expense.
    fn metainfo_bytes_of(&self, user: &UserId) -> Result<u64, StoreError>;

    /// A small value that belongs to this installation, such as the tracker id.
    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets such a value, durably.
    fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
}

/// What [`Store::twins`] returns at once. There are none unless a data folder was copied or the cluster key leaked.
pub const TWINS_MAX: usize = 1_000;

/// What the log has beyond a vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Contiguous per origin.
    pub rows: Vec<LogRow>,
    /// There are more than fit.
    pub more: bool,
    /// The log lacks some of what the asker lacks: only a snapshot brings it.
    pub snapshot: bool,
    /// Some of that was lost or damaged: other trackers may still have it.
    pub damaged: bool,
}

/// A page of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Records with their lowest receipts.
    pub rows: Vec<LogRow>,
    /// Where to go on; nothing behind the last page.
    pub next: Option<u64>,
    /// How far each origin's log reached when the page was read.
    pub vector: Vector,
}

/// Answers a question about this store, its own tracker's or another one's. `run` is the tracker's incarnation.
///
/// # Errors
/// The store cannot be read.
pub fn answer(store: &dyn Store, run: u64, ask: &Ask) -> Result<Told, StoreError> {
    Ok(match ask {
        Ask::Root => Told::Root(store.root_digest()?),
        Ask::Scopes(after) => {
            let page = store.scope_digests(after.as_ref(), SCOPES_PAGE_MAX)?;
            let more = page.len() >= SCOPES_PAGE_MAX;
            Told::Scopes(page, more)
        }
        Ask::Facts(scope, after) => {
            let (page, more) = store.facts(scope, after.as_ref())?;
            Told::Facts(page, more)
        }
        Ask::Rows(ids) => {
            let ids = &ids[..ids.len().min(ROWS_PAGE_MAX)];
            Told::Rows(store.rows_of(ids, ROWS_PAGE_MAX, ROWS_PAGE_BYTES_MAX)?)
        }
        Ask::Snapshot(after) => {
            let Snapshot { rows, next, vector } =
                store.snapshot(*after, ROWS_PAGE_MAX, ROWS_PAGE_BYTES_MAX)?;
            Told::Snapshot { rows, next, vector, run }
        }
        Ask::Compare => Told::Noted,
    })
}

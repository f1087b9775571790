//! What a tracker may ask about another one's disk beside the log: digests and what lies below them, and pages of
//! everything for a snapshot. The same questions go to the own store.

use minicbor::{Decode, Encode};
use peerage_ledger::{Order, Origin, Receipt};
use peerage_types::{RecordId, Scope, Stamp};

use crate::digest::Digest;
use crate::row::LogRow;
use crate::vector::Vector;

/// Scopes in one [`Told::Scopes`], about 70 bytes each.
pub const SCOPES_PAGE_MAX: usize = 2_000;
/// Facts in one [`Told::Facts`], about 80 bytes each.
pub const FACTS_PAGE_MAX: usize = 10_000;
/// Rows in one [`Told::Rows`] or [`Told::Snapshot`], and ids in one [`Ask::Rows`].
pub const ROWS_PAGE_MAX: usize = 2_000;
/// Record bytes in one answer (a single row may exceed it).
pub const ROWS_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records that one step of a scrub reads, not counting the rest of the scope in which it gets there.
pub const SCRUB_RECORDS_MAX: usize = 5_000;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ask {
    /// The digest of everything. [`Told::Root`]
    #[n(0)]
    Root,
    /// Scopes with their digests, in the scopes' order, behind this one. [`Told::Scopes`]
    #[n(1)]
    Scopes(#[n(0)] Option<Scope>),
    /// The readable records of a scope with their lowest receipts' places, in the ids' order, behind this one.
    /// [`Told::Facts`]
    #[n(2)]
    Facts(#[n(0)] Scope, #[n(1)] Option<RecordId>),
    /// These records with their lowest receipts, as many as fit. [`Told::Rows`]
    #[n(3)]
    Rows(#[n(0)] Vec<RecordId>),
    /// A page of all records with their lowest receipts, behind this place, which means something to this run of the
    /// asked tracker only; 0 is the beginning. [`Told::Snapshot`]
    #[n(4)]
    Snapshot(#[n(0)] u64),
    /// Compare yourself with me: I found that you lack something. [`Told::Noted`]
    #[n(5)]
    Compare,
}

/// One answer. `R` is [`LogRow`] on the wire, and [`VerifiedRow`](crate::VerifiedRow) where it enters a replica.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Told<R = LogRow> {
    /// See [`Ask::Root`].
    #[n(0)]
    Root(#[n(0)] Digest),
    /// A page, and whether there is more behind it.
    #[n(1)]
    Scopes(#[n(0)] Vec<(Scope, Digest)>, #[n(1)] bool),
    /// A page, and whether there is more behind it.
    #[n(2)]
    Facts(#[n(0)] Vec<(RecordId, Place)>, #[n(1)] bool),
    /// See [`Ask::Rows`].
    #[n(3)]
    Rows(#[n(0)] Vec<R>),
    /// A page of a snapshot.
    #[n(4)]
    Snapshot {
        /// Of any origins, in no particular order.
        #[n(0)]
        rows: Vec<R>,
        /// Where to go on; nothing behind the last page.
        #[n(1)]
        next: Option<u64>,
        /// What the disk held when the page was asked for.
        #[n(2)]
        vector: Vector,
        /// The incarnation of the tracker that answers: places of an earlier one lead elsewhere, because its disk may
        /// have been set back or be another.
        #[n(3)]
        run: u64,
    },
    /// See [`Ask::Compare`].
    #[n(5)]
    Noted,
}

impl<R> Told<R> {
    /// Turns the rows into others.
    ///
    /// # Errors
    /// The first that `map` returns.
    pub fn try_map<S, E>(self, map: impl FnMut(R) -> Result<S, E>) -> Result<Told<S>, E> {
        Ok(match self {
            Self::Root(digest) => Told::Root(digest),
            Self::Scopes(page, more) => Told::Scopes(page, more),
            Self::Facts(page, more) => Told::Facts(page, more),
            Self::Rows(rows) => Told::Rows(rows.into_iter().map(map).collect::<Result<_, E>>()?),
            Self::Snapshot { rows, next, vector, run } => {
                let rows = rows.into_iter().map(map).collect::<Result<_, E>>()?;
                Told::Snapshot { rows, next, vector, run }
            }
            Self::Noted => Told::Noted,
        })
    }
}

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Place {
    /// Whose log.
    #[n(0)]
    pub origin: Origin,
    /// Which row.
    #[n(1)]
    pub seq: u64,
    /// When it was accepted.
    #[n(2)]
    pub stamp: Stamp,
    /// The log of whoever says so does not reach up to there: an unfinished snapshot brought the row, and nobody gets
    /// it by pulling.
    #[n(3)]
    pub ahead: bool,
}

impl Place {
    /// The place that a receipt gives, in a log that reaches up to there.
    pub fn of(receipt: &Receipt) -> Self {
        Self { origin: receipt.origin, seq: receipt.seq, stamp: receipt.stamp, ahead: false }
    }

    /// What decides which of several receipts is the lowest.
    pub fn order(&self) -> Order {
        Order { stamp: self.stamp, origin: self.origin }
    }
}

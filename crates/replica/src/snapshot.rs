//! Taking a snapshot of another tracker: pages of all its records, then the vector that it had at the beginning.
//!
//! Driven by the replica, one page at a time. Nothing is claimed before the end, so a crash in the middle only means to
//! begin again; what is there already does no harm.

use peerage_types::Time;

use crate::io::{BatchId, PeerId};
use crate::vector::Vector;

/// A snapshot that is being taken.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// From whom.
    pub(crate) peer: PeerId,
    /// The run that gave the first page, and what it held then. Every record in it exists by then, so every one is on a
    /// page, as long as the pages are of one run.
    pub(crate) begun: Option<(u64, Vector)>,
    pub(crate) pending: Pending,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// A page, by this time.
    Page(u64, Time),
    /// The rows of a page are to be on the disk; then it goes on here.
    Disk(BatchId, Option<u64>),
    /// The vector is to be on the disk.
    Adopted(BatchId),
}

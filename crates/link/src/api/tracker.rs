//! Hello, records and bundles.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use peerage_ledger::Receipt;
use peerage_replica::Vector;
use peerage_types::{ClusterId, Stamp, TrackerId};

/// A request or an answer without fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Empty {}

/// Who a tracker is and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HelloResponse {
    /// The trackers' common identity; goes into every record.
    #[n(0)]
    pub cluster: ClusterId,
    /// This tracker's installation.
    #[n(1)]
    pub tracker: TrackerId,
    /// Its clock, in milliseconds since the Unix epoch.
    #[n(2)]
    pub unix_ms: u64,
    /// The OPAQUE key that new registrations use.
    #[n(3)]
    pub opaque_key: u32,
    /// Trackers in its list: the `n` of "durable on k of n".
    #[n(4)]
    pub trackers: u32,
    /// What it has.
    #[n(5)]
    pub vector: Vector,
    /// The caller's `ip:port` as the tracker sees it.
    #[n(6)]
    pub observed: String,
}

/// The trackers of the cluster as one of them knows them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TrackersResponse {
    /// A tracker list without a pin, one `HOST:PORT` a line: see [`crate::list::TrackerList::parse`]. It proves nothing:
    /// each address has to show the cluster's key itself.
    #[n(0)]
    pub list: String,
}

/// A record and the receipt that dates it: of several receipts the lowest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedRow {
    /// Exactly the bytes that were signed, with the signature: see `peerage_ledger::Record::decode`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub record: Vec<u8>,
    /// Signed by the cluster key.
    #[n(1)]
    pub receipt: Receipt,
}

/// One command's records: all of them take effect or none. Sending them again is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BundleRequest {
    /// 1 to [`peerage_types::limits::BUNDLE_RECORDS_MAX`], each after those it builds on.
    #[n(0)]
    pub records: Vec<ByteVec>,
}

impl BundleRequest {
    /// Takes the bytes of encoded records.
    pub fn new<R: AsRef<[u8]>>(records: impl IntoIterator<Item = R>) -> Self {
        Self { records: records.into_iter().map(|record| record.as_ref().to_vec().into()).collect() }
    }
}

/// The bundle is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BundleResponse {
    /// Of the last record.
    #[n(0)]
    pub stamp: Stamp,
    /// Trackers that have it on disk, this one included.
    #[n(1)]
    pub durable_on: u32,
    /// Trackers in the list.
    #[n(2)]
    pub of: u32,
    /// Where the records stand in the trackers' logs: goes into the caller's [`super::seen`].
    #[n(3)]
    pub places: Vector,
    /// Who has taken it.
    #[n(4)]
    pub tracker: TrackerId,
}

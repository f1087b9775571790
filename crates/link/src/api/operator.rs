//! For operators: who holds the cluster key asks how a tracker is, and lets it practise being away.

use minicbor::{Decode, Encode};
use peerage_replica::{Digest, Vector};
use peerage_types::TrackerId;

/// Longest time that a drill keeps a tracker away, in seconds.
pub const DRILL_SECONDS_MAX: u32 = 60;

/// How a tracker is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct StatusResponse {
    /// Its installation.
    #[n(0)]
    pub tracker: TrackerId,
    /// Its program's version.
    #[n(1)]
    pub version: String,
    /// Since its process started, in milliseconds.
    #[n(2)]
    pub uptime_ms: u64,
    /// This run: new at each start and after each drill.
    #[n(3)]
    pub incarnation: u64,
    /// Its clock, in milliseconds since the Unix epoch.
    #[n(4)]
    pub unix_ms: u64,
    /// What it has on disk.
    #[n(5)]
    pub vector: Vector,
    /// Different records on its disk.
    #[n(6)]
    pub records: u64,
    /// Accounts and groups.
    #[n(7)]
    pub scopes: u64,
    /// The sum of the digests of all scopes: the same on two trackers that have the same.
    #[n(8)]
    pub root: Digest,
    /// Trackers in its list, itself included.
    #[n(9)]
    pub trackers: u32,
    /// The others, as it sees them.
    #[n(10)]
    pub neighbours: Vec<NeighbourStatus>,
    /// Open connections.
    #[n(11)]
    pub connections: u64,
    /// Open event streams.
    #[n(12)]
    pub streams: u64,
    /// Devices in swarms, each pair counted.
    #[n(13)]
    pub presence: u64,
    /// Log positions that held two records since its process started.
    #[n(14)]
    pub equivocations: u64,
    /// Bytes of its database.
    #[n(15)]
    pub database_bytes: u64,
    /// Bytes left on the disk of its database, if its system says.
    #[n(16)]
    pub disk_free_bytes: Option<u64>,
    /// Nothing can be written at the moment.
    #[n(17)]
    pub disk_full: bool,
}

/// Another tracker, as one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NeighbourStatus {
    /// As in the tracker list.
    #[n(0)]
    pub entry: String,
    /// It missed a deadline and has not recovered: writes are acknowledged without it.
    #[n(1)]
    pub suspected: bool,
    /// Rows that it lacks, as far as the asked tracker knows.
    #[n(2)]
    pub lacks_rows: u64,
    /// Its clock against the asked tracker's, in milliseconds; positive: ahead.
    #[n(3)]
    pub skew_ms: Option<i64>,
}

/// What came of comparing a tracker's records with those of all others.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CheckResponse {
    /// Scopes whose records on its own disk did not fit their digest: something was lost or damaged.
    #[n(0)]
    pub corrected: u64,
    /// Each other tracker of its list.
    #[n(1)]
    pub neighbours: Vec<CheckedNeighbour>,
}

/// One other tracker.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CheckedNeighbour {
    /// As in the tracker list.
    #[n(0)]
    pub entry: String,
    /// Records that the asked tracker had lost and has again from this one.
    #[n(1)]
    pub repaired: u64,
    /// Records that this one had lost; it was told and fetches them itself.
    #[n(2)]
    pub lacks: u64,
    /// Why nothing was compared, if so.
    #[n(3)]
    pub failed: Option<String>,
}

/// Stop everything and start again by yourself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DrillRequest {
    /// How long to stay away: 1 to [`DRILL_SECONDS_MAX`].
    #[n(0)]
    pub seconds: u32,
}

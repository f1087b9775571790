//! Between trackers. They share one TLS key, so each request says which installation sends it. Places in the list are
//! nobody else's matter: two trackers with different lists still understand each other.

use minicbor::{Decode, Encode};
use peerage_replica::{Ask, LogRow, Told, Vector};
use peerage_types::{DeviceId, GroupId, InfoHash, TrackerId};

/// New rows, on their way to one more disk.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PushRequest {
    /// The sender's installation.
    #[n(0)]
    pub from: TrackerId,
    /// Contiguous per origin.
    #[n(1)]
    pub rows: Vec<LogRow>,
}

/// The rows are on disk as far as this says: after a gap they are not, and the receiver pulls.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PushResponse {
    /// What the receiver has on disk.
    #[n(0)]
    pub vector: Vector,
}

/// Give me what I lack.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PullRequest {
    /// The sender's installation.
    #[n(0)]
    pub from: TrackerId,
    /// What the sender has on disk.
    #[n(1)]
    pub vector: Vector,
}

/// Some or all of what the asker lacks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PullResponse {
    /// Contiguous per origin, behind the asker's vector.
    #[n(0)]
    pub rows: Vec<LogRow>,
    /// Ask again at once.
    #[n(1)]
    pub more: bool,
    /// What the answering tracker has on disk.
    #[n(2)]
    pub vector: Vector,
    /// Its clock, in milliseconds since the Unix epoch.
    #[n(3)]
    pub unix_ms: u64,
    /// The log does not hold all that the asker lacks: a snapshot brings it.
    #[n(4)]
    pub snapshot: bool,
}

/// A question about what is on the disk beside the log: digests, or a page of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AskRequest {
    /// The sender's installation.
    #[n(0)]
    pub from: TrackerId,
    /// What it wants to know.
    #[n(1)]
    pub ask: Ask,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AskResponse {
    /// Of the kind that was asked for.
    #[n(0)]
    pub told: Told,
}

/// Presence that changed since the last such request, or all of it to a tracker that just came up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PresenceRequest {
    /// The sender's installation.
    #[n(0)]
    pub from: TrackerId,
    /// The CBOR of a [`peerage_replica::PresenceUpdate`]: its owner is the sender.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub deltas: Vec<u8>,
}

/// A peer is to be asked to dial; the sender has checked that it may be. Whoever has its event stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PeerDialBackRequest {
    /// The sender's installation.
    #[n(0)]
    pub from: TrackerId,
    /// Which group.
    #[n(1)]
    pub group: GroupId,
    /// Which content.
    #[n(2)]
    pub info_hash: InfoHash,
    /// Who is to connect.
    #[n(3)]
    pub target: DeviceId,
    /// Who asks.
    #[n(4)]
    pub device: DeviceId,
    /// Where that device accepts peers, as `ip:port`.
    #[n(5)]
    pub addresses: Vec<String>,
}

//! Who is online with what. Kept in memory only, gone after two intervals.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};
use peerage_types::{DeviceId, GroupId, InfoHash, UserId};

use super::ErrorCode;

/// What a peer does in a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum SwarmState {
    /// Has everything.
    #[n(0)]
    Seeding,
    /// Still fetches; shares what it has.
    #[n(1)]
    Leeching,
}

/// One swarm that the caller is in. Device and user come from the session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AnnounceItem {
    /// The caller must be a member.
    #[n(0)]
    pub group: GroupId,
    /// Which content.
    #[n(1)]
    pub info_hash: InfoHash,
    /// Seeding or leeching.
    #[n(2)]
    pub state: SwarmState,
    /// 0 to 100.
    #[n(3)]
    pub percent: u8,
    /// `ip:port` where the caller accepts peers, at most [`peerage_types::limits::ADDRESSES_MAX`].
    #[n(4)]
    pub addresses: Vec<String>,
    /// How many peers the answer should name; the tracker cuts it to [`super::PEERS_MAX`]. 0: none.
    #[n(5)]
    pub want: u16,
}

/// At most [`super::ANNOUNCE_ITEMS_MAX`] items; each replaces what this device said about that swarm.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AnnounceRequest {
    /// The swarms.
    #[n(0)]
    pub items: Vec<AnnounceItem>,
    /// More than in all requests of this device before, withdrawals included: what was said later counts, whatever arrives
    /// later. Milliseconds since the Unix epoch will do.
    #[n(1)]
    pub said: u64,
}

/// This device is in no swarm any more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct WithdrawRequest {
    /// As in [`AnnounceRequest`].
    #[n(0)]
    pub said: u64,
}

/// One peer of a swarm.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PeerEntry {
    /// Its TLS key: the connection is refused when another key answers.
    #[n(0)]
    pub device: DeviceId,
    /// Whose device.
    #[n(1)]
    pub user: UserId,
    /// `ip:port`, best first.
    #[n(2)]
    pub addresses: Vec<String>,
    /// Seeding or leeching.
    #[n(3)]
    pub state: SwarmState,
    /// 0 to 100, as of its last announce.
    #[n(4)]
    pub percent: u8,
}

impl PeerEntry {
    /// The addresses that can be dialled; text that is no address is left out.
    pub fn socket_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().filter_map(|text| text.parse().ok())
    }
}

/// The other peers of one swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AnnounceAnswer {
    /// Without the caller's device.
    #[n(0)]
    pub peers: Vec<PeerEntry>,
    /// Why this item was not taken, when it was not; the other items were.
    #[n(1)]
    pub refused: Option<ErrorCode>,
}

/// One answer per item, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AnnounceResponse {
    /// The answers.
    #[n(0)]
    pub answers: Vec<AnnounceAnswer>,
    /// Announce again within this many seconds.
    #[n(1)]
    pub interval_s: u32,
}

/// Asks a peer to connect to the caller, who cannot reach it. Both must be members and in the swarm; the peer is told
/// the addresses that the caller announced. The answer says that it was passed on, not that it helped.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DialBackRequest {
    /// Which group.
    #[n(0)]
    pub group: GroupId,
    /// Which content.
    #[n(1)]
    pub info_hash: InfoHash,
    /// Who is to connect.
    #[n(2)]
    pub device: DeviceId,
}

/// Who is online in a group. Members only.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupPresenceRequest {
    /// Which group.
    #[n(0)]
    pub group: GroupId,
}

/// Who is online with one content.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FilePresence {
    /// Which content.
    #[n(0)]
    pub info_hash: InfoHash,
    /// Devices that have everything.
    #[n(1)]
    pub seeders: u32,
    /// Devices that still fetch.
    #[n(2)]
    pub leechers: u32,
    /// The users who seed, each once.
    #[n(3)]
    pub users: Vec<UserId>,
}

/// All contents of the group with anybody online.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupPresenceResponse {
    /// In no particular order.
    #[n(0)]
    pub files: Vec<FilePresence>,
}

//! The messages between clients and trackers, and between trackers: CBOR in both directions over HTTP/2.
//!
//! Each request is a POST with a CBOR body to one of the [`path`]s; the answer is CBOR too, and with any status
//! but 200 it is an [`ApiError`]. Messages are CBOR arrays, so that fields may be added at the end: older
//! programs skip what they do not know, newer ones must make an added field optional. Lists are only as long as
//! the limits here and in [`peerage_types::limits`] say; the receiver checks.
//!
//! "Session" below means: the TLS client key is a device that is certified and not revoked. There is no token.

mod account;
mod error;
mod event;
mod group;
mod operator;
mod peer;
mod presence;
mod reach;
pub mod seen;
mod tracker;

pub use account::{
    AccountRequest, AccountResponse, DeviceHeadsRequest, DeviceHeadsResponse, LoginRequest, LoginResponse,
    RecoveryRequest, RecoveryResponse, RegisterRequest, RegisterResponse, Secrets, UserNamesRequest,
    UserNamesResponse, VouchRequest,
};
pub use error::{ApiError, ErrorCode};
pub use event::Event;
pub use group::{
    AccountRows, GroupItem, GroupNameRequest, GroupNameResponse, GroupsRequest, GroupsResponse,
    SnapshotRequest, SnapshotResponse, Standing,
};
pub use operator::{
    CheckResponse, CheckedNeighbour, DRILL_SECONDS_MAX, DrillRequest, NeighbourStatus, StatusResponse,
};
pub use peer::{
    AskRequest, AskResponse, PeerDialBackRequest, PresenceRequest, PullRequest, PullResponse, PushRequest,
    PushResponse,
};
pub use presence::{
    AnnounceAnswer, AnnounceItem, AnnounceRequest, AnnounceResponse, DialBackRequest, FilePresence,
    GroupPresenceRequest, GroupPresenceResponse, PeerEntry, SwarmState, WithdrawRequest,
};
pub use reach::{Echo, Reach, ReachRequest, ReachResponse};
pub use tracker::{BundleRequest, BundleResponse, Empty, HelloResponse, SignedRow, TrackersResponse};

/// Names in one [`UserNamesRequest`].
pub const NAMES_MAX: usize = 256;
/// Accounts in one [`VouchRequest`].
pub const VOUCHED_MAX: usize = 16;
/// Accounts that lost a name, in one [`LoginResponse`].
pub const NAMESAKES_MAX: usize = 8;
/// Password changes that came to nothing, in one [`Secrets`].
pub const SUPERSEDED_MAX: usize = 32;
/// Groups in one [`GroupsResponse`].
pub const GROUPS_PAGE_MAX: usize = 1_000;
/// Items in one [`AnnounceRequest`]: more shares are announced in several requests.
pub const ANNOUNCE_ITEMS_MAX: usize = 1_000;
/// Peers in one [`AnnounceAnswer`]: more than a downloader would connect to at once.
pub const PEERS_MAX: usize = 200;
/// A request with a CBOR body, in bytes. The largest are rows pushed between trackers.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// An answer with a CBOR body, in bytes. The largest is the snapshot of a group with 10,000 shares of several
/// members, at about 1 KiB a share.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The HTTP paths. The type names in brackets are the request and the answer.
pub mod path {
    use peerage_types::{GroupId, MetainfoId};

    /// Who is this tracker? No session. [`Empty`](super::Empty) → [`HelloResponse`](super::HelloResponse)
    pub const HELLO: &str = "/v1/hello";
    /// Which trackers are there? [`Empty`](super::Empty) → [`TrackersResponse`](super::TrackersResponse)
    pub const TRACKERS: &str = "/v1/trackers";
    /// First half of a registration. No session. [`RegisterRequest`](super::RegisterRequest) →
    /// [`RegisterResponse`](super::RegisterResponse)
    pub const OPAQUE_REGISTER: &str = "/v1/opaque/register";
    /// Password login. No session. [`LoginRequest`](super::LoginRequest) →
    /// [`LoginResponse`](super::LoginResponse); an unknown name is `NotFound`
    pub const OPAQUE_LOGIN: &str = "/v1/opaque/login";
    /// Submit records. No session: they carry their own authority. [`BundleRequest`](super::BundleRequest) →
    /// [`BundleResponse`](super::BundleResponse)
    pub const BUNDLE: &str = "/v1/bundle";
    /// The identity key sealed under the recovery code. No session. [`RecoveryRequest`](super::RecoveryRequest) →
    /// [`RecoveryResponse`](super::RecoveryResponse); an unknown name is `NotFound`
    pub const RECOVERY: &str = "/v1/recovery";
    /// Who has these user names? No session. [`UserNamesRequest`](super::UserNamesRequest) →
    /// [`UserNamesResponse`](super::UserNamesResponse)
    pub const USER_NAMES: &str = "/v1/names/user";
    /// Which group has this name? [`GroupNameRequest`](super::GroupNameRequest) →
    /// [`GroupNameResponse`](super::GroupNameResponse), or `NotFound`
    pub const GROUP_NAME: &str = "/v1/names/group";
    /// All groups, a page at a time. [`GroupsRequest`](super::GroupsRequest) →
    /// [`GroupsResponse`](super::GroupsResponse)
    pub const GROUPS: &str = "/v1/groups";
    /// The caller's own account records. [`AccountRequest`](super::AccountRequest) →
    /// [`AccountResponse`](super::AccountResponse)
    pub const ACCOUNT: &str = "/v1/account";
    /// These accounts need no registration code. No session. [`VouchRequest`](super::VouchRequest) →
    /// [`Empty`](super::Empty)
    pub const VOUCH: &str = "/v1/vouch";
    /// Where a device of the caller has written. [`DeviceHeadsRequest`](super::DeviceHeadsRequest) →
    /// [`DeviceHeadsResponse`](super::DeviceHeadsResponse)
    pub const ACCOUNT_HEADS: &str = "/v1/account/heads";
    /// A group's records. [`SnapshotRequest`](super::SnapshotRequest) →
    /// [`SnapshotResponse`](super::SnapshotResponse)
    pub const GROUP_SNAPSHOT: &str = "/v1/group/snapshot";
    /// Where I can be reached for what. [`AnnounceRequest`](super::AnnounceRequest) →
    /// [`AnnounceResponse`](super::AnnounceResponse)
    pub const ANNOUNCE: &str = "/v1/announce";
    /// Forget all presence of this device. [`WithdrawRequest`](super::WithdrawRequest) → [`Empty`](super::Empty)
    pub const WITHDRAW: &str = "/v1/withdraw";
    /// Who is online in a group. [`GroupPresenceRequest`](super::GroupPresenceRequest) →
    /// [`GroupPresenceResponse`](super::GroupPresenceResponse)
    pub const PRESENCE: &str = "/v1/presence";
    /// Ask a peer to dial. [`DialBackRequest`](super::DialBackRequest) → [`Empty`](super::Empty)
    pub const DIAL_BACK: &str = "/v1/dialback";
    /// Does a connection to me get through? [`ReachRequest`](super::ReachRequest) →
    /// [`ReachResponse`](super::ReachResponse)
    pub const REACH: &str = "/v1/reach";
    /// The same bytes back, to see whether large packets get through. No session. [`Echo`](super::Echo) →
    /// [`Echo`](super::Echo)
    pub const ECHO: &str = "/v1/echo";
    /// GET: server-sent events ([`crate::sse`]), one [`Event`](super::Event) each.
    pub const EVENTS: &str = "/v1/events";
    /// Before the id of a metainfo file in hex: GET returns it as raw bytes. PUT stores it, with the id of its group in
    /// hex and a slash before its own, so that who may not do that is told before the content is on its way.
    pub const METAINFO_PREFIX: &str = "/v1/metainfo/";
    /// Tracker to tracker: take these rows. [`PushRequest`](super::PushRequest) →
    /// [`PushResponse`](super::PushResponse)
    pub const PEER_PUSH: &str = "/v1/peer/push";
    /// Tracker to tracker: give me rows. [`PullRequest`](super::PullRequest) →
    /// [`PullResponse`](super::PullResponse)
    pub const PEER_PULL: &str = "/v1/peer/pull";
    /// Tracker to tracker: digests, what lies below them, and snapshots. [`AskRequest`](super::AskRequest) →
    /// [`AskResponse`](super::AskResponse)
    pub const PEER_ASK: &str = "/v1/peer/ask";
    /// Tracker to tracker: presence that changed. [`PresenceRequest`](super::PresenceRequest) →
    /// [`Empty`](super::Empty)
    pub const PEER_PRESENCE: &str = "/v1/peer/presence";
    /// Operator to tracker, with the cluster key: how are you? [`Empty`](super::Empty) →
    /// [`StatusResponse`](super::StatusResponse)
    pub const PEER_STATUS: &str = "/v1/peer/status";
    /// Operator to tracker, with the cluster key: compare your records with the others' now. [`Empty`](super::Empty) →
    /// [`CheckResponse`](super::CheckResponse)
    pub const PEER_CHECK: &str = "/v1/peer/check";
    /// Operator to tracker, with the cluster key: be away for a while. [`DrillRequest`](super::DrillRequest) →
    /// [`Empty`](super::Empty)
    pub const PEER_DRILL: &str = "/v1/peer/drill";

    /// Tracker to tracker: ask this peer to dial. [`PeerDialBackRequest`](super::PeerDialBackRequest) →
    /// [`Empty`](super::Empty)
    pub const PEER_DIAL_BACK: &str = "/v1/peer/dialback";

    /// Where one metainfo file is read.
    pub fn metainfo(id: &MetainfoId) -> String {
        format!("{METAINFO_PREFIX}{id}")
    }

    /// Where one metainfo file of a group is put.
    pub fn metainfo_of(group: &GroupId, id: &MetainfoId) -> String {
        format!("{METAINFO_PREFIX}{group}/{id}")
    }
}

#[cfg(test)]
#[path = "api/tests.rs"]
mod tests;

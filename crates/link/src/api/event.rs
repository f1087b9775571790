//! What a tracker tells its connected sessions without being asked.

use minicbor::{Decode, Encode};
use peerage_types::{DeviceId, GroupId, InfoHash};

/// Something changed: the client asks for the new state itself. Events may be merged or come twice, and after a
/// reconnect everything must be taken as changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub enum Event {
    /// Members, owner or name of a group.
    #[n(0)]
    Roster {
        /// Which group.
        #[n(0)]
        group: GroupId,
    },
    /// The files of a group.
    #[n(1)]
    Files {
        /// Which group.
        #[n(0)]
        group: GroupId,
    },
    /// The join requests of a group.
    #[n(2)]
    Requests {
        /// Which group.
        #[n(0)]
        group: GroupId,
    },
    /// The session's own account.
    #[n(3)]
    Account,
    /// Peers joined or left a swarm.
    #[n(4)]
    Swarm {
        /// In which group.
        #[n(0)]
        group: GroupId,
        /// Which content.
        #[n(1)]
        info_hash: InfoHash,
    },
    /// A peer that cannot reach us asks to be dialled.
    #[n(5)]
    DialBack {
        /// In which group.
        #[n(0)]
        group: GroupId,
        /// Which content.
        #[n(1)]
        info_hash: InfoHash,
        /// Who asks.
        #[n(2)]
        device: DeviceId,
        /// Where that device accepts peers, as `ip:port`.
        #[n(3)]
        addresses: Vec<String>,
    },
}

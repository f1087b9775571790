//! One simulated machine: the real engine, and what `node` would keep around it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerage_swarm::{Bans, Swarm};
use peerage_wire::BlockRef;

use super::queue::Us;

/// What a peer is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Has the file from the beginning.
    Seeder,
    /// Wants it.
    Leecher,
    /// Wants it and sends nothing.
    FreeRider,
    /// Says that it has it, and sends rubbish.
    Poisoner,
    /// Says that it has all or half of it, and rejects requests or never answers them.
    Liar,
    /// Has it, and sends a block every half a minute.
    Dripper,
}

impl Role {
    /// Whether it wants the file.
    pub(super) fn fetches(self) -> bool {
        matches!(self, Self::Leecher | Self::FreeRider)
    }

    /// Whether it is there only to do harm.
    pub(super) fn is_hostile(self) -> bool {
        matches!(self, Self::Poisoner | Self::Liar | Self::Dripper)
    }
}

/// A block in a piece's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Nothing,
    Right,
    Wrong,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct End {
    /// Whose side this is.
    pub(super) peer: u32,
    /// What the other side asks for.
    pub(super) requests: VecDeque<BlockRef>,
    /// We do not answer the other side, except for `allowed`.
    pub(super) choking: bool,
    pub(super) allowed: Vec<u32>,
    /// The piece of the other side's last request.
    pub(super) asked_piece: Option<u32>,
    /// Blocks that we sent and the other side has not taken in.
    pub(super) flying: u32,
    /// In the uplink's queue.
    pub(super) queued: bool,
    /// Bytes that left since the engine was last told.
    pub(super) sent: u64,
}

impl End {
    pub(super) fn new(peer: u32) -> Self {
        Self {
            peer,
            requests: VecDeque::new(),
            choking: true,
            allowed: Vec::new(),
            asked_piece: None,
            flying: 0,
            queued: false,
            sent: 0,
        }
    }
}

/// A connection. The index of its two ends is the number in `PeerKey`, on both sides.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    pub(super) open: bool,
    /// One way.
    pub(super) latency: Us,
    /// When both sides were first seen complete.
    pub(super) complete_since: Option<Us>,
}

impl Link {
    /// Which of the two ends is `peer`'s.
    pub(super) fn side(&self, peer: u32) -> usize {
        usize::from(self.ends[1].peer == peer)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) swarm: Swarm,
    pub(super) role: Role,
    /// Speaks none of our extensions.
    pub(super) standard: bool,
    /// Bytes per second.
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) latency: Us,
    pub(super) online: bool,
    /// Open connections.
    pub(super) links: Vec<u32>,
    /// Whom it is connected with or dialling.
    pub(super) met: BTreeSet<u32>,
    pub(super) bans: Bans<u32>,
    /// The ends that have something to send and may, in turn.
    pub(super) uplink: VecDeque<u32>,
    pub(super) uplink_busy: bool,
    /// When the uplink has sent what it is sending, and when the downlink has taken what was sent to it.
    pub(super) up_free: Us,
    pub(super) down_free: Us,
    /// Pieces under way, as the shell's buffers have them.
    pub(super) buffers: BTreeMap<u32, Vec<Stored>>,
    pub(super) wake_at: Option<Us>,
    pub(super) dirty: bool,
    pub(super) joined: Us,
    pub(super) finished: Option<Us>,
    /// Goes when it may.
    pub(super) leaves: bool,
    /// Was away for a while.
    pub(super) churned: bool,
    pub(super) sent: u64,
    pub(super) received: u64,
}

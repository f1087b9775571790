//! The owner of one torrent: state, the way in, the way out.

use std::collections::VecDeque;

use peerage_types::Time;
use peerage_wire::{Bitfield, BlockRef};

use crate::api::{Config, Input, Limits, Output, PeerFault, PeerKey, PeerStats, Priority};
use crate::dwell::Dwell;
use crate::layout::Layout;
use crate::offers::Offers;
use crate::partial::{Block, Partials};
use crate::peers::{Peers, Slot};
use crate::picker::Picker;
use crate::priorities::{first_lacking, lacking};
use crate::rng::Rng;
use crate::timers::Timers;
use crate::uploads::{Choker, Queue, Uplink};

/// Decides which block is asked of which peer. See the crate's description.
///
/// After one or several [`Swarm::handle`], call [`Swarm::poll`] until it gives [`Output::WakeAt`].
#[derive(Debug)]
pub struct Swarm {
    pub(crate) layout: Layout,
    pub(crate) limits: Limits,
    pub(crate) ranked: bool,
    /// Verified pieces.
    pub(crate) have: Bitfield,
    /// Wanted pieces that are not verified: fresh ones and those under way.
    pub(crate) lacking: Bitfield,
    pub(crate) picker: Picker,
    pub(crate) partials: Partials,
    pub(crate) peers: Peers,
    /// Time of the latest event; never goes back.
    pub(crate) now: Time,
    pub(crate) timers: Timers,
    pub(crate) outputs: VecDeque<Output>,
    /// Peers that could perhaps be asked for more.
    pub(crate) hungry: VecDeque<Slot>,
    /// Requests outstanding at all peers.
    pub(crate) asked_total: u32,
    /// Some peer got nothing because of [`Limits::partial_bytes_max`].
    pub(crate) capped: bool,
    /// Nothing unrequested is left; idle peers duplicate.
    pub(crate) endgame: bool,
    /// What we would like to send.
    pub(crate) offers: Offers,
    /// Turns of peers that we served, so far.
    pub(crate) turns: u64,
    /// Members that are connected.
    pub(crate) members: u32,
    /// Who of them waits for a slot, and who has one.
    pub(crate) queue: Queue,
    /// What our line can send.
    pub(crate) uplink: Uplink,
    /// Standard clients that are served.
    pub(crate) choker: Choker,
    /// Connected peers that want something of us.
    pub(crate) interested_peers: u32,
    /// Everything is there, and we stay for the others.
    pub(crate) dwelling: Option<Dwell>,
    /// Pieces of the highest priority among `lacking`.
    pub(crate) first_lacking: u32,
    pub(crate) work: Work,
}

/// What was looked at so far, in entries: what the tests bound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Deadlines that came.
    pub(crate) timers: u64,
    /// Peers that were considered for a slot.
    pub(crate) uploads: u64,
    /// Peers and requests that were considered for stealing.
    pub(crate) stealing: u64,
}

impl Swarm {
    /// A swarm without peers.
    ///
    /// # Panics
    /// When `config.have` or `config.priorities` is not as long as the layout, or `endgame_copies` is neither 1 nor 2.
    pub fn new(config: Config, now: Time) -> Self {
        let Config { layout, have, priorities, rank, seed, limits } = config;
        assert_eq!(have.len(), layout.piece_count(), "the bitfield must be as long as the layout");
        assert!((1..=2).contains(&limits.endgame_copies), "{} endgame copies", limits.endgame_copies);
        let priorities = match priorities.is_empty() {
            true => vec![Priority::default(); have.len() as usize],
            false => priorities,
        };
        let lacking = lacking(&have, &priorities);
        let first_lacking = first_lacking(&lacking, &priorities);
        Self {
            picker: Picker::new(lacking.clone(), priorities, rank, Rng::new(seed)),
            partials: Partials::new(layout.piece_count()),
            peers: Peers::default(),
            ranked: rank.is_some(),
            now,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            hungry: VecDeque::new(),
            asked_total: 0,
            capped: false,
            endgame: false,
            offers: Offers::new(layout.piece_count(), Rng::new(seed.wrapping_add(1))),
            turns: 0,
            members: 0,
            queue: Queue::default(),
            uplink: Uplink::default(),
            choker: Choker::default(),
            interested_peers: 0,
            dwelling: None,
            first_lacking,
            work: Work::default(),
            layout,
            limits,
            have,
            lacking,
        }
    }

    /// Takes one event. Never blocks; the work is bounded (see the crate's description).
    ///
    /// # Errors
    /// When the peer that caused the event broke the protocol. Nothing more is asked of it; close the
    /// connection, then send [`Input::Gone`].
    ///
    /// # Panics
    /// When the shell reports a piece behind the end of the torrent as done or failed, or names other than one
    /// priority for each piece.
    pub fn handle(&mut self, now: Time, input: Input) -> Result<(), PeerFault> {
        self.now = self.now.max(now);
        let key = match input {
            Input::PieceDone(piece) => {
                self.piece_done(piece);
                return Ok(());
            }
            Input::PieceFailed(piece) => {
                self.piece_failed(piece);
                return Ok(());
            }
            Input::SetPriorities(priorities) => {
                self.set_priorities(priorities);
                return Ok(());
            }
            Input::SendLimit(limit) => {
                self.uplink.set_limit(limit);
                return Ok(());
            }
            Input::Timeout => {
                self.timeout();
                return Ok(());
            }
            Input::Connected { peer, kind, request_queue } => {
                self.connect(peer, kind, request_queue);
                return Ok(());
            }
            Input::BlockBad(key, block) => {
                self.block_bad(key, block);
                return Ok(());
            }
            Input::Gone(key)
            | Input::Bitfield(key, _)
            | Input::HaveAll(key)
            | Input::HaveNone(key)
            | Input::Have(key, _)
            | Input::Choked(key)
            | Input::Unchoked(key)
            | Input::Suggest(key, _)
            | Input::AllowedFast(key, _)
            | Input::Rejected(key, _)
            | Input::RemoteInterested(key, _)
            | Input::Asked(key, _)
            | Input::Uploaded(key, _)
            | Input::BlockArrived(key, _) => key,
        };
        let Some(slot) = self.peers.slot(key) else { return Ok(()) };
        let result = self.handle_peer(slot, input);
        if result.is_err() {
            self.ban(slot);
        }
        result
    }

    /// What to do next; [`Output::WakeAt`] when that is all.
    pub fn poll(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if let Some(slot) = self.hungry.pop_front() {
                self.peers[slot].hungry = false;
                self.feed(slot);
            } else if self.capped && self.may_exceed_cap() {
                self.capped = false;
                self.wake_all();
            } else {
                return Output::WakeAt(self.timers.next());
            }
        }
    }

    /// Tells where we now stand in the roster, or that there is none.
    pub fn set_rank(&mut self, rank: Option<crate::api::Rank>) {
        self.ranked = rank.is_some();
        self.picker.set_rank(rank);
    }

    /// Verified pieces.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether every wanted piece is verified.
    pub fn is_complete(&self) -> bool {
        self.lacking.count() == 0
    }

    /// Whether everything wanted is here and whoever only wanted that may go without harm to the others: from
    /// [`Output::MayLeave`] on, or from the start.
    pub fn may_leave(&self) -> bool {
        self.is_complete() && self.dwelling.is_none()
    }

    /// How much `piece` is wanted; `Skip` behind the end.
    pub fn priority(&self, piece: u32) -> Priority {
        self.picker.priority(piece)
    }

    /// Wanted pieces that are not verified yet.
    pub fn lacking(&self) -> &Bitfield {
        &self.lacking
    }

    /// How many connected peers have `piece`; 0 behind the end.
    pub fn availability(&self, piece: u32) -> u32 {
        self.picker.availability(piece)
    }

    /// What is known about a peer; `None` if it is not connected.
    pub fn peer(&self, key: PeerKey) -> Option<PeerStats> {
        let slot = self.peers.slot(key)?;
        Some(self.peers[slot].stats(self.now, self.layout.piece_count()))
    }

    /// Pieces of which something was requested and that are not verified yet, in no order.
    pub fn pieces_in_progress(&self) -> impl Iterator<Item = u32> {
        self.partials.pieces()
    }

    /// Blocks of `piece` that arrived, and blocks that it has; `None` if it is not in progress.
    pub fn piece_progress(&self, piece: u32) -> Option<(u32, u32)> {
        self.partials.get(piece).map(|partial| (partial.arrived, partial.blocks.len() as u32))
    }

    /// Whether the bytes of `block` from this peer should go into the piece's buffer: it was asked for them, and
    /// they are not there yet. To be asked before the bytes are copied; then `BlockArrived` follows either way.
    pub fn is_wanted(&self, key: PeerKey, block: BlockRef) -> bool {
        let (Some(slot), Some(index)) = (self.peers.slot(key), self.layout.block_index(block)) else {
            return false;
        };
        let open = match self.partials.get(block.piece) {
            Some(partial) => !matches!(partial.blocks[index as usize], Block::Arrived(_)),
            None => self.would_restart(block.piece),
        };
        open && self.peers[slot].is_asked(block)
    }

    fn handle_peer(&mut self, slot: Slot, input: Input) -> Result<(), PeerFault> {
        match input {
            Input::Gone(_) => self.disconnect(slot),
            Input::Bitfield(_, bits) => return self.bitfield(slot, bits),
            Input::HaveAll(_) => return self.have_all(slot),
            Input::HaveNone(_) => return self.have_none(slot),
            Input::Have(_, piece) => return self.peer_has(slot, piece),
            Input::Choked(_) => self.choked(slot),
            Input::Unchoked(_) => self.unchoked(slot),
            Input::Suggest(_, piece) => return self.suggested(slot, piece),
            Input::AllowedFast(_, piece) => return self.allowed_fast(slot, piece),
            Input::Rejected(_, block) => return self.rejected(slot, block),
            Input::RemoteInterested(_, interested) => self.remote_interested(slot, interested),
            Input::Asked(_, piece) => {
                self.check_piece(piece)?;
                self.asked(slot, piece);
            }
            Input::Uploaded(_, bytes) => self.uploaded(slot, bytes),
            Input::BlockArrived(_, block) => return self.block_arrived(slot, block),
            Input::BlockBad(..)
            | Input::Connected { .. }
            | Input::PieceDone(_)
            | Input::PieceFailed(_)
            | Input::SetPriorities(_)
            | Input::SendLimit(_)
            | Input::Timeout => {}
        }
        Ok(())
    }
}

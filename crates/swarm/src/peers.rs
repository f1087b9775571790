//! Who is connected, what each has, and what was asked of it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Index, IndexMut};
use std::time::Duration;

use peerage_types::Time;
use peerage_wire::{Bitfield, BlockRef};

use crate::api::{Limits, PeerKey, PeerKind, PeerStats};
use crate::picker::Holder;
use crate::pipeline::Pipeline;
use crate::uploads::{Standing, Upload};

/// Requests we gave up that may still be answered. A peer that never answers adds one per timeout, so this is
/// far more than an honest peer needs; beyond it the oldest is forgotten but its answer still forgiven.
const UNANSWERED_MAX: usize = 4_096;
/// Allowed fast pieces kept (BEP 6 suggests sets of 10).
const ALLOWED_FAST_MAX: usize = 64;
/// Suggestions kept; the newest are worth most.
const SUGGESTED_MAX: usize = 16;
/// Pieces that one peer may refuse before it gets no requests at all for a while.
const REFUSED_MAX: usize = 64;
/// How long the first refusal lasts; doubles with each in a row, up to [`Limits::request_stale`].
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// How long a peer that snubs us may take for the one request that it gets.
const PROBE: Duration = Duration::from_secs(3);
/// The first rest between two of those; doubles each time in a row, up to [`Limits::request_stale`].
const REST: Duration = Duration::from_secs(1);
/// A peer keeps to whole pieces if it delivers one within this many seconds.
const WHOLE_PIECE_S: u64 = 2;

/// Index into [`Peers`]; valid until its peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

/// What a peer has.
#[derive(Debug, Clone)]
pub(crate) enum Pieces {
    Nothing,
    All,
    Some(Bitfield),
}

/// One request outstanding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) block: BlockRef,
    pub(crate) at: Time,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    kind: PeerKind,
    connected: bool,
    pub(crate) pieces: Pieces,
    /// It has told what it has; no bitfield may follow.
    pub(crate) announced: bool,
    /// If it is not a seeder: how many of its pieces are fresh, and how many we lack.
    pub(crate) fresh: u32,
    pub(crate) useful: u32,
    /// It does not answer our requests.
    pub(crate) choked: bool,
    /// We told it that it has what we lack.
    pub(crate) interested: bool,
    pub(crate) remote_interested: bool,
    /// Sent a bad block or broke the protocol: nothing is asked of it any more.
    pub(crate) banned: bool,
    pub(crate) snubbed: bool,
    /// It has snubbed us at some time.
    pub(crate) was_snubbed: bool,
    /// Timeouts in a row.
    pub(crate) strikes: u32,
    /// While it snubs us it is asked for nothing until then.
    pub(crate) rests_until: Option<Time>,
    /// How long it was silent before others took over all that it was asked for.
    silence: Duration,
    pub(crate) last_block: Time,
    /// Oldest first.
    pub(crate) asked: VecDeque<Asked>,
    unanswered: VecDeque<BlockRef>,
    forgiven: u32,
    /// The piece whose blocks it is being asked for.
    pub(crate) working: Option<u32>,
    pub(crate) allowed_fast: Vec<u32>,
    pub(crate) suggested: Vec<u32>,
    refused: Vec<u32>,
    pub(crate) refused_until: Option<Time>,
    refusals: u32,
    pub(crate) pipeline: Pipeline,
    pub(crate) bytes_received: u64,
    pub(crate) upload: Upload,
    pub(crate) standing: Standing,
    /// Is in the engine's queue of peers that could be asked for more.
    pub(crate) hungry: bool,
}

impl Peer {
    fn new(key: PeerKey, kind: PeerKind, request_queue: u32, limits: &Limits) -> Self {
        let depth_max = limits.depth_max.min(request_queue.max(1));
        Self {
            key,
            kind,
            connected: true,
            pieces: Pieces::Nothing,
            announced: false,
            fresh: 0,
            useful: 0,
            choked: true,
            interested: false,
            remote_interested: false,
            banned: false,
            snubbed: false,
            was_snubbed: false,
            strikes: 0,
            rests_until: None,
            silence: Duration::ZERO,
            last_block: Time(0),
            asked: VecDeque::new(),
            unanswered: VecDeque::new(),
            forgiven: 0,
            working: None,
            allowed_fast: Vec::new(),
            suggested: Vec::new(),
            refused: Vec::new(),
            refused_until: None,
            refusals: 0,
            pipeline: Pipeline::new(limits.depth_min, depth_max),
            bytes_received: 0,
            upload: Upload::default(),
            standing: Standing::default(),
            hungry: false,
        }
    }

    /// It speaks none of our extensions.
    pub(crate) fn is_standard(&self) -> bool {
        self.kind == PeerKind::Standard
    }

    pub(crate) fn has(&self, piece: u32) -> bool {
        match &self.pieces {
            Pieces::Nothing => false,
            Pieces::All => true,
            Pieces::Some(bits) => bits.get(piece),
        }
    }

    /// Its pieces unless it is a seeder or has none.
    pub(crate) fn bits(&self) -> Option<&Bitfield> {
        match &self.pieces {
            Pieces::Some(bits) => Some(bits),
            Pieces::Nothing | Pieces::All => None,
        }
    }

    /// What the picker may choose from; `None` if there cannot be anything.
    pub(crate) fn holder(&self, fresh_total: u32) -> Option<Holder<'_>> {
        let fresh = if matches!(self.pieces, Pieces::All) { fresh_total } else { self.fresh };
        (fresh > 0).then(|| Holder { bits: self.bits(), refused: &self.refused })
    }

    /// Requests it may have outstanding.
    pub(crate) fn depth(&self) -> u32 {
        if self.snubbed { 1 } else { self.pipeline.depth() }
    }

    pub(crate) fn has_room(&self) -> bool {
        let paused = self.banned || self.refused.len() >= REFUSED_MAX || self.rests_until.is_some();
        !paused && (self.asked.len() as u32) < self.depth()
    }

    /// Whether a block of `piece` may be asked of it, choking and refusals considered.
    pub(crate) fn may_ask(&self, piece: u32) -> bool {
        let answers = !self.choked || self.allowed_fast.contains(&piece);
        answers && self.has(piece) && !self.refused.contains(&piece)
    }

    /// Whether it delivers a whole piece soon enough to get one for itself. Unmeasured peers get the chance, once.
    pub(crate) fn is_whole(&self, now: Time, piece_length: u32) -> bool {
        if self.snubbed {
            return false;
        }
        match self.pipeline.rate_max() {
            Some(rate) => rate.saturating_mul(WHOLE_PIECE_S) >= u64::from(piece_length),
            None => {
                let in_time = |first: &Asked| now.since(first.at).as_secs() < WHOLE_PIECE_S;
                !self.was_snubbed && self.asked.front().is_none_or(in_time)
            }
        }
    }

    /// Removes an outstanding request; when it was made. Answers come in order, so it is nearly always the first.
    pub(crate) fn take_asked(&mut self, block: BlockRef) -> Option<Time> {
        let at = self.asked.iter().position(|asked| asked.block == block)?;
        self.asked.remove(at).map(|asked| asked.at)
    }

    /// A request was cancelled or became void; an answer is still in order.
    pub(crate) fn expect_late(&mut self, block: BlockRef) {
        if self.unanswered.len() >= UNANSWERED_MAX {
            self.unanswered.pop_front();
            self.forgiven = self.forgiven.saturating_add(1);
        }
        self.unanswered.push_back(block);
    }

    /// Whether `block` answers a request that was given up.
    pub(crate) fn take_late(&mut self, block: BlockRef) -> bool {
        let at = self.unanswered.iter().position(|other| *other == block);
        at.and_then(|at| self.unanswered.remove(at)).is_some()
    }

    /// Whether `block` may answer a request so old that it was forgotten.
    pub(crate) fn forgive(&mut self) -> bool {
        let forgiven = self.forgiven > 0;
        self.forgiven -= u32::from(forgiven);
        forgiven
    }

    /// Whether a block from this peer answers a request, made now or given up.
    pub(crate) fn is_asked(&self, block: BlockRef) -> bool {
        self.asked.iter().any(|asked| asked.block == block) || self.unanswered.contains(&block)
    }

    /// It would not send a block of `piece`: leave that piece alone for a while. Returns until when.
    pub(crate) fn refuse(&mut self, now: Time, piece: u32, longest: Duration) -> Time {
        if self.refused.len() < REFUSED_MAX && !self.refused.contains(&piece) {
            self.refused.push(piece);
        }
        if self.working == Some(piece) {
            self.working = None;
        }
        let wait = REFUSED_FOR.saturating_mul(1 << self.refusals.min(10)).min(longest);
        self.refusals += 1;
        let until = now.after(wait);
        self.refused_until = Some(until);
        until
    }

    pub(crate) fn forget_refusals(&mut self) {
        self.refused.clear();
        self.refused_until = None;
    }

    /// It answered something; whoever snubbed us has to answer in time before it is trusted again.
    pub(crate) fn came_alive(&mut self, now: Time, in_time: bool) {
        self.last_block = now;
        self.silence = Duration::ZERO;
        self.rests_until = None;
        if in_time {
            self.refusals = 0;
            self.strikes = 0;
            self.snubbed = false;
        }
    }

    /// It let requests time out. How long it is asked for nothing: not at all the first time, then longer each time.
    pub(crate) fn strike(&mut self, now: Time, longest: Duration) {
        self.strikes += 1;
        (self.snubbed, self.was_snubbed, self.silence) = (true, true, Duration::ZERO);
        let doublings = self.strikes.checked_sub(2);
        let rest = doublings.map(|doublings| REST.saturating_mul(1 << doublings.min(10)).min(longest));
        self.rests_until = rest.map(|rest| now.after(rest));
        self.pipeline.reset();
    }

    /// All that it was asked for went to others: no timeout will come of its silence, so it is remembered.
    pub(crate) fn robbed(&mut self, now: Time, since: Time) {
        if self.asked.is_empty() {
            self.silence += now.since(self.last_block.max(since));
        }
    }

    /// When its silence becomes a timeout.
    pub(crate) fn silent_at(&self, limits: &Limits) -> Option<Time> {
        let first = self.asked.front()?;
        if self.snubbed {
            return Some(first.at.after(PROBE.min(limits.request_timeout)));
        }
        let left = limits.request_timeout.saturating_sub(self.silence);
        Some(self.last_block.max(first.at).after(left))
    }

    /// When its oldest request is given up although it answers others.
    pub(crate) fn stale_at(&self, limits: &Limits) -> Option<Time> {
        Some(self.asked.front()?.at.after(limits.request_stale))
    }

    /// The earliest moment at which something is to be done about it.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Time> {
        let requests = [self.silent_at(limits), self.stale_at(limits), self.refused_until, self.rests_until];
        requests.into_iter().chain(self.upload.deadlines(limits)).flatten().min()
    }

    pub(crate) fn suggest(&mut self, piece: u32) {
        if self.suggested.len() >= SUGGESTED_MAX {
            self.suggested.remove(0);
        }
        self.suggested.push(piece);
    }

    pub(crate) fn allow_fast(&mut self, piece: u32) {
        if self.allowed_fast.len() < ALLOWED_FAST_MAX && !self.allowed_fast.contains(&piece) {
            self.allowed_fast.push(piece);
        }
    }

    pub(crate) fn stats(&self, now: Time, piece_count: u32) -> PeerStats {
        PeerStats {
            pieces: match &self.pieces {
                Pieces::Nothing => 0,
                Pieces::All => piece_count,
                Pieces::Some(bits) => bits.count(),
            },
            unchoked: !self.choked,
            interesting: self.interested,
            remote_interested: self.remote_interested,
            snubbed: self.snubbed,
            outstanding: self.asked.len() as u32,
            depth: self.depth(),
            bytes_per_second: self.pipeline.bytes_per_second(now),
            bytes_received: self.bytes_received,
        }
    }
}

/// All connections, in slots that are reused.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slab: Vec<Peer>,
    free: Vec<Slot>,
    by_key: BTreeMap<PeerKey, Slot>,
}

impl Peers {
    pub(crate) fn connect(
        &mut self,
        key: PeerKey,
        kind: PeerKind,
        request_queue: u32,
        limits: &Limits,
    ) -> Slot {
        let peer = Peer::new(key, kind, request_queue, limits);
        let slot = match self.free.pop() {
            Some(slot) => {
                self[slot] = peer;
                slot
            }
            None => {
                self.slab.push(peer);
                Slot(self.slab.len() as u32 - 1)
            }
        };
        self.by_key.insert(key, slot);
        slot
    }

    /// The caller has released what was asked of it.
    pub(crate) fn disconnect(&mut self, slot: Slot) {
        self[slot].connected = false;
        let key = self[slot].key;
        self.by_key.remove(&key);
        self.free.push(slot);
    }

    pub(crate) fn slot(&self, key: PeerKey) -> Option<Slot> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn is_connected(&self, slot: Slot) -> bool {
        self[slot].connected
    }

    /// Slots ever used; go through them with [`Peers::nth`].
    pub(crate) fn slot_count(&self) -> u32 {
        self.slab.len() as u32
    }

    /// The slot `index < slot_count` if somebody is connected there.
    pub(crate) fn nth(&self, index: u32) -> Option<Slot> {
        self.slab.get(index as usize).filter(|peer| peer.connected).map(|_| Slot(index))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Peer)> {
        let slots = self.slab.iter().enumerate();
        slots.filter(|(_, peer)| peer.connected).map(|(index, peer)| (Slot(index as u32), peer))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.slab.iter_mut().filter(|peer| peer.connected)
    }
}

impl Index<Slot> for Peers {
    type Output = Peer;

    fn index(&self, slot: Slot) -> &Peer {
        &self.slab[slot.0 as usize]
    }
}

impl IndexMut<Slot> for Peers {
    fn index_mut(&mut self, slot: Slot) -> &mut Peer {
        &mut self.slab[slot.0 as usize]
    }
}

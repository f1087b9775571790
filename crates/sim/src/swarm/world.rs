//! The world: who is there, what is on its way, and what `node` does with what the engine says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerage_swarm::{BAN_FIRST, Bans, Config, Input, Layout, Limits, Output, PeerKey, Rank, Swarm};
use peerage_types::Time;
use peerage_types::limits::BLOCK_BYTES;
use peerage_wire::{Bitfield, BlockRef};

use super::measure::Sample;
use super::options::{Known, Options, Tie};
use super::peer::{Peer, Role, Stored};
use super::queue::{Queue, Us};
use crate::rng::Rng;
use crate::trace::Trace;

/// Peers that a tracker names to somebody who asks (`client/announce.rs` asks for as many).
pub(super) const KNOWN: u32 = 50;
/// Places on the ring from which they come (`replica/presence.rs`).
const PLACES: u32 = 16;
/// How often a peer asks again, and looks for somebody to dial.
const ANNOUNCE_EVERY: Us = 30_000_000;
/// How often the engine is told what was sent, as `node` does on its tick.
const TICK_EVERY: Us = 250_000;

/// A message between engines.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Pieces(Box<Bitfield>),
    Have(u32),
    Interested(bool),
    Choke,
    Unchoke,
    Suggest(u32),
    AllowedFast(u32),
    Request(BlockRef),
    Cancel(BlockRef),
    Reject(BlockRef),
}

/// Something that happens to one peer.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Join(u32),
    /// For a while, or for good.
    Leave {
        peer: u32,
        back_at: Option<Us>,
    },
    /// Looks for somebody to dial.
    Announce(u32),
    Dialled {
        from: u32,
        to: u32,
    },
    /// To the peer at this side of the connection.
    Message {
        link: u32,
        side: u8,
        message: Message,
    },
    /// A block has come in at this side.
    Block {
        link: u32,
        side: u8,
        block: BlockRef,
        right: bool,
    },
    /// The uplink has sent a block.
    Sent {
        peer: u32,
        link: u32,
        block: BlockRef,
    },
    /// A dripper sends one more block.
    Drip {
        link: u32,
        side: u8,
    },
    /// The leaves of a wrong block's piece have come.
    FoundOut {
        peer: u32,
        link: u32,
        block: BlockRef,
    },
    Written {
        peer: u32,
        piece: u32,
    },
    Wake(u32),
    Tick(u32),
}

/// What was counted on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) wasted: u64,
    pub(super) bad_received: u64,
    pub(super) bad_written: u64,
    /// Poisoners that somebody banned, and how often somebody banned one.
    pub(super) banned: BTreeSet<u32>,
    pub(super) bans: u64,
    /// What the seeder had sent when the last piece was somewhere else, too.
    pub(super) seed_sent: Option<u64>,
}

/// See the module.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) layout: Layout,
    pub(super) peers: Vec<Peer>,
    pub(super) links: Vec<super::peer::Link>,
    pub(super) queue: Queue<Event>,
    pub(super) dirty: Vec<u32>,
    /// Leechers that have each piece.
    pub(super) copies: Vec<u32>,
    pub(super) uncopied: u32,
    /// Who is there and still fetches, or will be back to.
    pub(super) unfinished: u32,
    pub(super) counts: Counts,
    pub(super) samples: Vec<Sample>,
    pub(super) sample_every: Us,
    pub(super) trace: Trace,
    pub(super) rng: Rng,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let mut rng = Rng::new(options.seed);
        let piece_bytes = options.piece_blocks * BLOCK_BYTES;
        let layout = Layout::new(piece_bytes, vec![piece_bytes; options.pieces as usize]);
        let of = |percent: u32| (options.peers * percent / 100) as usize;
        let free_riders = options.peers.min(options.peers * options.free_rider_percent / 100) as usize;
        let many = |role, count| std::iter::repeat_n(role, count);
        let mut roles: Vec<Role> = many(Role::Seeder, 1)
            .chain(many(Role::Poisoner, of(options.poisoner_percent)))
            .chain(many(Role::Liar, of(options.liar_percent)))
            .chain(many(Role::Dripper, of(options.dripper_percent)))
            .chain(many(Role::FreeRider, free_riders))
            .chain(many(Role::Leecher, options.peers as usize - free_riders))
            .collect();
        let count = roles.len() as u32;
        for last in (1..roles.len()).rev() {
            let other = rng.between(0, last as u64) as usize;
            roles.swap(last, other);
        }
        let peers = (0..count)
            .zip(roles)
            .map(|(index, role)| peer(&options, &layout, index, count, role, &mut rng))
            .collect();
        let file = u64::from(options.pieces) * u64::from(piece_bytes);
        let mut world = Self {
            layout,
            peers,
            links: Vec::new(),
            queue: Queue::new(),
            dirty: Vec::new(),
            copies: vec![0; options.pieces as usize],
            uncopied: options.pieces,
            unfinished: options.peers,
            counts: Counts::default(),
            samples: Vec::new(),
            sample_every: (file * 10_000 / options.up).max(1_000),
            trace: Trace::new(false),
            rng,
            options,
        };
        world.schedule();
        world
    }

    pub(super) fn file_bytes(&self) -> u64 {
        u64::from(self.options.pieces) * u64::from(self.layout.piece_length())
    }

    /// Until everybody has everything, or nothing happens any more.
    pub(super) fn run(&mut self) {
        let mut events = Vec::new();
        let limit = self.file_bytes() * 1_000_000 / self.options.up * 40;
        while self.unfinished > 0 && self.queue.now() < limit && self.queue.next(&mut events) {
            self.counts.events += events.len() as u64;
            for event in events.drain(..) {
                self.apply(event);
            }
            let mut dirty = std::mem::take(&mut self.dirty);
            for peer in dirty.drain(..) {
                self.peers[peer as usize].dirty = false;
                self.pump(peer);
            }
            self.dirty = dirty;
            self.sample();
        }
        self.sample();
    }

    pub(super) fn now(&self) -> Us {
        self.queue.now()
    }

    pub(super) fn time(&self) -> Time {
        Time(self.now() / 1000)
    }

    fn schedule(&mut self) {
        let full = self.file_bytes() * 1_000_000 / self.options.up;
        for peer in 0..self.peers.len() as u32 {
            let fetches = self.peers[peer as usize].role.fetches();
            let arrivals = self.options.arrivals.as_micros() as u64;
            let at = if fetches { self.rng.between(0, arrivals) } else { 0 };
            self.queue.push(at, Event::Join(peer));
            if fetches && self.rng.chance(self.options.churn_percent.into()) {
                let leaves = at + self.rng.between(0, full);
                self.peers[peer as usize].churned = true;
                self.queue.push(leaves, Event::Leave { peer, back_at: Some(leaves + full / 10) });
            }
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Join(peer) => self.join(peer),
            Event::Leave { peer, back_at } => self.leave(peer, back_at),
            Event::Announce(peer) => self.announce(peer),
            Event::Dialled { from, to } => self.dialled(from, to),
            Event::Message { link, side, message } => self.message(link, side, message),
            Event::Block { link, side, block, right } => self.block(link, side, block, right),
            Event::Sent { peer, link, block } => self.sent(peer, link, block),
            Event::Drip { link, side } => self.drip(link, side),
            Event::FoundOut { peer, link, block } => self.found_out(peer, link, block),
            Event::Written { peer, piece } => self.written(peer, piece),
            Event::Wake(peer) => {
                let now = self.now();
                let state = &mut self.peers[peer as usize];
                if state.online && state.wake_at.is_some_and(|at| at <= now) {
                    state.wake_at = None;
                    self.input(peer, Input::Timeout);
                }
            }
            Event::Tick(peer) => self.tick(peer),
        }
    }

    /// An event for the engine. Nobody here breaks the protocol, so a fault is a bug and shows in the trace.
    pub(super) fn input(&mut self, peer: u32, input: Input) {
        let now = self.time();
        let state = &mut self.peers[peer as usize];
        if state.swarm.handle(now, input).is_err() {
            self.trace.add("fault", &[now.0, peer.into()]);
        }
        if !std::mem::replace(&mut self.peers[peer as usize].dirty, true) {
            self.dirty.push(peer);
        }
    }

    fn pump(&mut self, peer: u32) {
        if !self.peers[peer as usize].online {
            return;
        }
        loop {
            let output = self.peers[peer as usize].swarm.poll();
            let (key, message) = match output {
                Output::Request(key, block) => (key, Message::Request(block)),
                Output::Cancel(key, block) => (key, Message::Cancel(block)),
                Output::Interested(key) => (key, Message::Interested(true)),
                Output::NotInterested(key) => (key, Message::Interested(false)),
                Output::Have(key, piece) => (key, Message::Have(piece)),
                Output::Suggest(key, piece) => (key, Message::Suggest(piece)),
                Output::AllowFast(key, piece) => {
                    self.allow(peer, key.0, piece);
                    (key, Message::AllowedFast(piece))
                }
                Output::Unchoke(key) => {
                    self.set_choking(peer, key.0, false);
                    (key, Message::Unchoke)
                }
                Output::Choke(key) => {
                    self.send(peer, key.0, Message::Choke);
                    self.set_choking(peer, key.0, true);
                    continue;
                }
                Output::Complete => {
                    self.complete(peer);
                    continue;
                }
                Output::MayLeave => {
                    self.may_leave(peer);
                    continue;
                }
                Output::WakeAt(at) => {
                    self.wake_at(peer, at);
                    return;
                }
            };
            self.send(peer, key.0, message);
        }
    }

    fn wake_at(&mut self, peer: u32, at: Option<Time>) {
        let Some(at) = at.map(|at| at.0 * 1000) else { return };
        let known = &mut self.peers[peer as usize].wake_at;
        if known.is_none_or(|known| at < known) {
            *known = Some(at);
            self.queue.push(at, Event::Wake(peer));
        }
    }

    fn complete(&mut self, peer: u32) {
        let now = self.now();
        let state = &mut self.peers[peer as usize];
        state.finished = Some(now);
        self.unfinished -= 1;
        self.trace.add("complete", &[now, peer.into()]);
        let state = &mut self.peers[peer as usize];
        state.leaves = self.rng.chance(self.options.leave_when_complete_percent.into());
        if state.leaves && !self.options.dwell {
            self.queue.push(now, Event::Leave { peer, back_at: None });
        }
    }

    /// Its engine says that the others can do without it.
    fn may_leave(&mut self, peer: u32) {
        if self.peers[peer as usize].leaves && self.options.dwell {
            self.queue.push(self.now(), Event::Leave { peer, back_at: None });
        }
    }

    fn join(&mut self, peer: u32) {
        let now = self.now();
        let (time, count) = (self.time(), self.peers.len() as u32);
        let state = &mut self.peers[peer as usize];
        if state.joined == 0 {
            state.joined = now;
        }
        state.online = true;
        if now > 0 && state.role.fetches() {
            // It begins anew with what it has.
            let have = state.swarm.have().clone();
            let role = (state.role, state.standard);
            state.swarm = engine(&self.options, &self.layout, (peer, count), role, have, time);
        }
        self.queue.push(now, Event::Announce(peer));
        self.queue.push(now + TICK_EVERY + u64::from(peer) * 997 % TICK_EVERY, Event::Tick(peer));
    }

    pub(super) fn leave(&mut self, peer: u32, back_at: Option<Us>) {
        let state = &mut self.peers[peer as usize];
        if !state.online || (back_at.is_some() && state.finished.is_some()) {
            return;
        }
        self.trace.add("leave", &[self.queue.now(), peer.into()]);
        for link in self.peers[peer as usize].links.clone() {
            self.close(link);
        }
        let state = &mut self.peers[peer as usize];
        state.online = false;
        state.buffers.clear();
        state.uplink.clear();
        (state.met, state.wake_at) = (BTreeSet::new(), None);
        if let Some(at) = back_at {
            self.queue.push(at, Event::Join(peer));
        }
    }

    fn tick(&mut self, peer: u32) {
        if !self.peers[peer as usize].online {
            return;
        }
        for at in 0..self.peers[peer as usize].links.len() {
            let link = self.peers[peer as usize].links[at];
            let state = &mut self.links[link as usize];
            let side = state.side(peer);
            let sent = std::mem::take(&mut state.ends[side].sent);
            if sent > 0 {
                self.input(peer, Input::Uploaded(PeerKey(link), sent));
            }
        }
        self.part_with_complete(peer);
        self.queue.push(self.now() + TICK_EVERY, Event::Tick(peer));
    }

    fn announce(&mut self, peer: u32) {
        if !self.peers[peer as usize].online {
            return;
        }
        let count = self.peers.len() as u32;
        let known: Vec<u32> = match self.options.known {
            Known::Spread if count > 2 * KNOWN => {
                let mut known = BTreeSet::new();
                for _ in 0..PLACES {
                    let place = self.rng.between(0, u64::from(count) - 1) as u32;
                    let behind = (1..count).map(|step| (place + step) % count);
                    let online = behind.filter(|other| self.peers[*other as usize].online);
                    known.extend(online.take((KNOWN / PLACES) as usize));
                }
                known.into_iter().collect()
            }
            Known::Spread | Known::Ring => {
                let behind = (1..count).map(|step| (peer + step) % count);
                behind.filter(|other| self.peers[*other as usize].online).take(KNOWN as usize).collect()
            }
            Known::Random => {
                let mut known: Vec<u32> =
                    (0..KNOWN).map(|_| self.rng.between(0, u64::from(count) - 1) as u32).collect();
                known.sort_unstable();
                known.dedup();
                known
            }
        };
        self.dial(peer, &known);
        self.queue.push(self.now() + ANNOUNCE_EVERY, Event::Announce(peer));
    }
}

fn peer(options: &Options, layout: &Layout, index: u32, count: u32, role: Role, rng: &mut Rng) -> Peer {
    let factor = match role {
        Role::Leecher if options.unequal => rng.between(25, 175),
        _ => 100,
    };
    let slow = role == Role::Leecher && rng.chance(options.slow_percent.into());
    let by = if slow { 10 } else { 1 };
    let standard =
        options.standard_percent > 0 && role.fetches() && rng.chance(options.standard_percent.into());
    let up = match role {
        Role::Seeder => options.seeder_up.unwrap_or(options.up),
        _ => options.up,
    };
    let have = if role.fetches() { Bitfield::new(options.pieces) } else { Bitfield::full(options.pieces) };
    Peer {
        swarm: engine(options, layout, (index, count), (role, standard), have, Time(0)),
        role,
        standard,
        leaves: false,
        up: up * factor / 100 / by,
        down: options.down / by,
        latency: rng.between(1_000, (options.latency_max.as_micros() as u64).max(1_000)),
        online: false,
        links: Vec::new(),
        met: BTreeSet::new(),
        bans: Bans::new(BAN_FIRST),
        uplink: VecDeque::new(),
        uplink_busy: false,
        up_free: 0,
        down_free: 0,
        buffers: BTreeMap::new(),
        wake_at: None,
        dirty: false,
        joined: 0,
        finished: None,
        churned: false,
        sent: 0,
        received: 0,
    }
}

/// The engine of the peer `index` of `of`. Standard clients know no roster and suggest nothing, and all that lies serves
/// everybody.
fn engine(
    options: &Options,
    layout: &Layout,
    (index, of): (u32, u32),
    (role, standard): (Role, bool),
    have: Bitfield,
    now: Time,
) -> Swarm {
    let rank = match options.tie {
        _ if standard => None,
        Tie::Ring => Some(Rank { rank: index, of }),
        Tie::Random => None,
        Tie::Sequential => Some(Rank { rank: 0, of: 1 }),
    };
    let limits = Limits {
        upload_slots: if role.is_hostile() { u32::MAX } else { options.upload_slots },
        upload_slots_max: options.upload_slots_max,
        standard_slots: if role.is_hostile() { u32::MAX } else { options.standard_slots },
        upload_turn_bytes: options.upload_turn_bytes,
        suggest: options.suggest && !standard,
        steal: options.steal,
        ..Limits::default()
    };
    let seed = options.seed.wrapping_mul(0x9e37_79b9).wrapping_add(index.into());
    Swarm::new(Config { layout: layout.clone(), have, priorities: Vec::new(), rank, seed, limits }, now)
}

/// What a peer has got of a piece.
pub(super) fn buffer(buffers: &mut BTreeMap<u32, Vec<Stored>>, piece: u32, blocks: u32) -> &mut Vec<Stored> {
    buffers.entry(piece).or_insert_with(|| vec![Stored::Nothing; blocks as usize])
}

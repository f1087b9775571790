//! Connections, messages and blocks: what `node`'s connection tasks do, and what the network does to them.

use std::time::Duration;

use peerage_swarm::{Input, PeerKey, PeerKind};
use peerage_types::limits::BLOCK_BYTES;
use peerage_wire::BlockRef;

use super::peer::{End, Link, Role, Stored};
use super::queue::Us;
use super::world::{Event, Message, World, buffer};

/// Blocks of one connection between the sender's uplink and the receiver: what TCP keeps under way.
const WINDOW_BLOCKS: u32 = 32;
/// Dials of one peer at the same time (`engine/dial.rs`).
const DIALS_MAX: u32 = 8;
/// Round trips of a dial: TCP, TLS 1.3, the extended handshake.
const DIAL_TRIPS: u64 = 3;
/// Hashing and writing a piece.
const WRITE: Duration = Duration::from_millis(3);
/// Two complete peers part after this long (`torrent/peers.rs`).
const BOTH_COMPLETE_MAX: Us = 30_000_000;
/// Between two blocks of a dripper to one peer.
const DRIP_EVERY: Us = 30_000_000;
/// How often, in percent, a block is there before its piece's leaves are.
const LEAVES_LATE: u64 = 10;

impl World {
    /// Dials whoever is known and not met yet.
    pub(super) fn dial(&mut self, from: u32, known: &[u32]) {
        if !self.peers[from as usize].role.fetches() {
            return;
        }
        let (now, time) = (self.now(), self.time());
        for (at, &to) in known.iter().enumerate() {
            let state = &self.peers[from as usize];
            let pointless = state.finished.is_some() && self.peers[to as usize].finished.is_some();
            if to == from || pointless || state.met.contains(&to) || state.bans.is_banned(time, &to) {
                continue;
            }
            let trip = 2 * (state.latency + self.peers[to as usize].latency);
            // The next one's turn comes when one of the attempts under way has ended.
            let wait = at as u64 / u64::from(DIALS_MAX) * trip * DIAL_TRIPS;
            self.queue.push(now + wait + trip * DIAL_TRIPS, Event::Dialled { from, to });
        }
    }

    pub(super) fn dialled(&mut self, from: u32, to: u32) {
        let room = |peer: u32| {
            let state = &self.peers[peer as usize];
            state.online && (state.links.len() as u32) < self.options.connections
        };
        let met = self.peers[from as usize].met.contains(&to);
        let time = self.time();
        let keeps_out = |peer: u32, other: u32| self.peers[peer as usize].bans.is_banned(time, &other);
        let banned = keeps_out(to, from) || keeps_out(from, to);
        if met || banned || !room(from) || !room(to) {
            return;
        }
        let link = self.links.len() as u32;
        let latency = self.peers[from as usize].latency + self.peers[to as usize].latency;
        let standard = self.peers[from as usize].standard || self.peers[to as usize].standard;
        let kind = if standard { PeerKind::Standard } else { PeerKind::Member };
        let ends = [End::new(from), End::new(to)];
        self.links.push(Link { ends, open: true, latency, complete_since: None });
        for (peer, other) in [(from, to), (to, from)] {
            let state = &mut self.peers[peer as usize];
            state.links.push(link);
            state.met.insert(other);
            let mut have = state.swarm.have().clone();
            if state.role == Role::Liar && peer % 2 == 0 {
                (0..self.options.pieces)
                    .filter(|_| self.rng.chance(50))
                    .for_each(|piece| _ = have.clear(piece));
            }
            self.send(peer, link, Message::Pieces(Box::new(have)));
            self.input(peer, Input::Connected { peer: PeerKey(link), kind, request_queue: 2_000 });
        }
    }

    /// Ends a connection for both sides at once.
    pub(super) fn close(&mut self, link: u32) {
        let state = &mut self.links[link as usize];
        if !std::mem::replace(&mut state.open, false) {
            return;
        }
        let peers = [state.ends[0].peer, state.ends[1].peer];
        for end in &mut state.ends {
            end.requests.clear();
        }
        for (peer, other) in [(peers[0], peers[1]), (peers[1], peers[0])] {
            let state = &mut self.peers[peer as usize];
            state.links.retain(|open| *open != link);
            state.met.remove(&other);
            self.input(peer, Input::Gone(PeerKey(link)));
            self.drop_abandoned(peer);
        }
    }

    pub(super) fn part_with_complete(&mut self, peer: u32) {
        if self.peers[peer as usize].finished.is_none() {
            return;
        }
        let now = self.now();
        for link in self.peers[peer as usize].links.clone() {
            let state = &mut self.links[link as usize];
            let other = state.ends[1 - state.side(peer)].peer;
            if self.peers[other as usize].swarm.is_complete() {
                let since = *state.complete_since.get_or_insert(now);
                if now - since >= BOTH_COMPLETE_MAX {
                    self.close(link);
                }
            }
        }
    }

    /// To the other side of the connection.
    pub(super) fn send(&mut self, from: u32, link: u32, message: Message) {
        let state = &self.links[link as usize];
        if state.open {
            let side = 1 - state.side(from) as u8;
            self.queue.push(self.queue.now() + state.latency, Event::Message { link, side, message });
        }
    }

    pub(super) fn message(&mut self, link: u32, side: u8, message: Message) {
        let state = &mut self.links[link as usize];
        if !state.open {
            return;
        }
        let end = &mut state.ends[usize::from(side)];
        let (peer, key) = (end.peer, PeerKey(link));
        let input = match message {
            Message::Request(block) => return self.requested(link, side, block),
            Message::Cancel(block) => {
                let waiting = end.requests.iter().position(|other| *other == block);
                if waiting.and_then(|at| end.requests.remove(at)).is_some() {
                    self.send(peer, link, Message::Reject(block));
                }
                return;
            }
            Message::Pieces(bits) if bits.is_full() => Input::HaveAll(key),
            Message::Pieces(bits) => Input::Bitfield(key, *bits),
            Message::Have(piece) => Input::Have(key, piece),
            Message::Interested(interested) => Input::RemoteInterested(key, interested),
            Message::Choke => Input::Choked(key),
            Message::Unchoke => Input::Unchoked(key),
            Message::Suggest(piece) => Input::Suggest(key, piece),
            Message::AllowedFast(piece) => Input::AllowedFast(key, piece),
            Message::Reject(block) => Input::Rejected(key, block),
        };
        let abandons = matches!(input, Input::Choked(_) | Input::Rejected(..));
        self.input(peer, input);
        if abandons {
            self.drop_abandoned(peer);
        }
    }

    fn requested(&mut self, link: u32, side: u8, block: BlockRef) {
        let end = &mut self.links[link as usize].ends[usize::from(side)];
        let peer = end.peer;
        let choked = end.choking && !end.allowed.contains(&block.piece);
        let refused = match self.peers[peer as usize].role {
            Role::FreeRider => true,
            // Half of them say that they will not answer, half of them say nothing.
            Role::Liar if !choked && peer % 4 < 2 => return,
            Role::Liar => true,
            _ => choked,
        };
        if refused {
            return self.send(peer, link, Message::Reject(block));
        }
        end.requests.push_back(block);
        if end.asked_piece.replace(block.piece) != Some(block.piece) {
            self.input(peer, Input::Asked(PeerKey(link), block.piece));
        }
        self.offer(link, side);
    }

    pub(super) fn allow(&mut self, peer: u32, link: u32, piece: u32) {
        let state = &mut self.links[link as usize];
        let side = state.side(peer);
        state.ends[side].allowed.push(piece);
    }

    pub(super) fn set_choking(&mut self, peer: u32, link: u32, choking: bool) {
        let state = &mut self.links[link as usize];
        let side = state.side(peer);
        let end = &mut state.ends[side];
        end.choking = choking;
        if !choking {
            end.allowed.clear();
            return;
        }
        let allowed = end.allowed.clone();
        let (keep, refuse): (Vec<_>, Vec<_>) =
            end.requests.drain(..).partition(|block| allowed.contains(&block.piece));
        end.requests.extend(keep);
        refuse.into_iter().for_each(|block| self.send(peer, link, Message::Reject(block)));
    }

    /// The uplink looks at this end again if it has something to send.
    fn offer(&mut self, link: u32, side: u8) {
        let end = &mut self.links[link as usize].ends[usize::from(side)];
        if end.queued || end.requests.is_empty() || end.flying >= WINDOW_BLOCKS {
            return;
        }
        end.queued = true;
        let peer = end.peer;
        if self.peers[peer as usize].role == Role::Dripper {
            return self.queue.push(self.queue.now() + DRIP_EVERY, Event::Drip { link, side });
        }
        self.peers[peer as usize].uplink.push_back(link);
        self.transmit(peer);
    }

    /// The uplink sends one block of each connection in turn, as TCP shares a bottleneck.
    fn transmit(&mut self, peer: u32) {
        let now = self.now();
        let state = &mut self.peers[peer as usize];
        while !state.uplink_busy {
            let Some(link) = state.uplink.pop_front() else { return };
            let connection = &mut self.links[link as usize];
            let side = connection.side(peer);
            let end = &mut connection.ends[side];
            end.queued = false;
            let Some(block) = end.requests.pop_front() else { continue };
            end.flying += 1;
            state.uplink_busy = true;
            // A tick's rest is not lost: what is sent next begins when this has really ended.
            state.up_free = state.up_free.max(now.saturating_sub(super::queue::TICK_US));
            state.up_free += u64::from(block.len) * 1_000_000 / state.up;
            self.queue.push(state.up_free, Event::Sent { peer, link, block });
        }
    }

    pub(super) fn drip(&mut self, link: u32, side: u8) {
        let end = &mut self.links[link as usize].ends[usize::from(side)];
        end.queued = false;
        if let Some(block) = end.requests.pop_front() {
            end.flying += 1;
            let peer = end.peer;
            self.sent(peer, link, block);
        }
    }

    pub(super) fn sent(&mut self, peer: u32, link: u32, block: BlockRef) {
        let connection = &mut self.links[link as usize];
        let side = connection.side(peer);
        let (end, bytes) = (&mut connection.ends[side], u64::from(block.len));
        end.sent += bytes;
        let other = connection.ends[1 - side].peer;
        let (arrives, open) = (self.queue.now() + connection.latency, connection.open);
        let state = &mut self.peers[peer as usize];
        state.uplink_busy = false;
        state.sent += bytes;
        let (role, total) = (state.role, state.sent);
        let receiver = &mut self.peers[other as usize];
        receiver.down_free = receiver.down_free.max(arrives) + bytes * 1_000_000 / receiver.down;
        let event = Event::Block { link, side: 1 - side as u8, block, right: role != Role::Poisoner };
        self.queue.push(receiver.down_free, event);
        if open {
            self.offer(link, side as u8);
        }
        self.transmit(peer);
        let enough = |percent: u32| total * 100 >= self.file_bytes() * u64::from(percent);
        if role == Role::Seeder && self.options.seeder_leaves_percent.is_some_and(enough) {
            self.leave(peer, None);
        }
    }

    pub(super) fn block(&mut self, link: u32, side: u8, block: BlockRef, right: bool) {
        let (side, bytes) = (usize::from(side), u64::from(block.len));
        let connection = &mut self.links[link as usize];
        connection.ends[1 - side].flying -= 1;
        if !connection.open {
            return;
        }
        let (peer, other) = (connection.ends[side].peer, connection.ends[1 - side].peer);
        self.offer(link, 1 - side as u8);
        let key = PeerKey(link);
        self.peers[peer as usize].received += bytes;
        let state = &mut self.peers[peer as usize];
        let wanted = state.swarm.is_wanted(key, block);
        self.counts.wasted += if wanted && right { 0 } else { bytes };
        self.counts.bad_received += if right { 0 } else { bytes };
        if !right && wanted && !self.rng.chance(LEAVES_LATE) {
            return self.ban(peer, other, link, block);
        }
        if wanted {
            let index = (block.begin / BLOCK_BYTES) as usize;
            let blocks = self.options.piece_blocks;
            let stored = buffer(&mut self.peers[peer as usize].buffers, block.piece, blocks);
            stored[index] = if right { Stored::Right } else { Stored::Wrong };
            if !right {
                let trip = 2 * self.links[link as usize].latency;
                self.queue.push(self.queue.now() + trip, Event::FoundOut { peer, link, block });
            }
        }
        self.input(peer, Input::BlockArrived(key, block));
        self.check_piece(peer, block.piece);
    }

    /// The leaves say that a block which has been in its piece for a while is wrong.
    pub(super) fn found_out(&mut self, peer: u32, link: u32, block: BlockRef) {
        let index = (block.begin / BLOCK_BYTES) as usize;
        let state = &mut self.peers[peer as usize];
        let Some(stored) = state.buffers.get_mut(&block.piece) else { return };
        if std::mem::replace(&mut stored[index], Stored::Nothing) == Stored::Wrong {
            let connection = &self.links[link as usize];
            let other = connection.ends[1 - connection.side(peer)].peer;
            self.ban(peer, other, link, block);
        }
    }

    fn ban(&mut self, peer: u32, other: u32, link: u32, block: BlockRef) {
        self.input(peer, Input::BlockBad(PeerKey(link), block));
        let (time, bans) = (self.time(), &mut self.peers[peer as usize].bans);
        if !bans.is_banned(time, &other) {
            bans.ban(time, other, time);
            self.counts.bans += 1;
            self.counts.banned.insert(other);
            self.trace.add("ban", &[self.queue.now(), peer.into(), other.into()]);
        }
        self.close(link);
        self.drop_abandoned(peer);
    }

    /// A piece whose blocks are all there and right is written.
    fn check_piece(&mut self, peer: u32, piece: u32) {
        let state = &self.peers[peer as usize];
        let complete = state.swarm.piece_progress(piece).is_some_and(|(arrived, of)| arrived == of);
        let wrong = || state.buffers.get(&piece).is_none_or(|stored| stored.contains(&Stored::Wrong));
        if complete && !wrong() {
            let at = self.queue.now() + WRITE.as_micros() as u64;
            self.queue.push(at, Event::Written { peer, piece });
        }
    }

    pub(super) fn written(&mut self, peer: u32, piece: u32) {
        let now = self.now();
        let state = &mut self.peers[peer as usize];
        let Some(stored) = state.buffers.remove(&piece).filter(|_| state.online) else { return };
        let bad = stored.iter().filter(|stored| **stored != Stored::Right).count() as u64;
        self.counts.bad_written += bad * u64::from(BLOCK_BYTES);
        self.trace.add("done", &[now, peer.into(), piece.into()]);
        self.copies[piece as usize] += 1;
        if self.copies[piece as usize] == 1 {
            self.uncopied -= 1;
            if self.uncopied == 0 {
                let seeders = self.peers.iter().filter(|peer| peer.role == Role::Seeder);
                self.counts.seed_sent = Some(seeders.map(|peer| peer.sent).sum());
            }
        }
        self.input(peer, Input::PieceDone(piece));
    }

    /// Pieces that the engine has given up need no buffer.
    fn drop_abandoned(&mut self, peer: u32) {
        let state = &mut self.peers[peer as usize];
        let swarm = &state.swarm;
        state.buffers.retain(|piece, _| swarm.piece_progress(*piece).is_some());
    }
}

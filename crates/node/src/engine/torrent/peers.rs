//! Connections: who may have one, which of two survives, what they are told.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use peerage_swarm::{Input, PeerKey, PeerKind};
use peerage_types::limits::BLOCK_BYTES;
use peerage_types::{DeviceId, Time, UserId};
use peerage_wire::{Bitfield, BlockRef};
use tokio::sync::mpsc;

use super::records::Exchange;
use super::{Msg, Owner};
use crate::engine::api::{EngineEvent, PeerAddr, TorrentState};
use crate::engine::conn::{Cmd, Conn, Event, FromPeer, SILENCE_MAX, Wiring};
use crate::engine::dial::{self, Dialled};
use crate::engine::handshake::Admitted;
use crate::engine::limits::Direction;
use crate::engine::shared::Gate;

/// A connection that was silent for this long does not stand in the way of a new one: peers say something three times
/// as often.
const STALE: std::time::Duration = std::time::Duration::from_secs(45);
/// Two complete peers part after this long.
const BOTH_COMPLETE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

const _: () = assert!(STALE.as_secs() < SILENCE_MAX.as_secs());

/// One connection, as the owner sees it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) device: DeviceId,
    pub(super) user: UserId,
    pub(super) addr: SocketAddr,
    outbound: bool,
    since: Time,
    pub(super) gate: Arc<Gate>,
    cmds: mpsc::UnboundedSender<Vec<Cmd>>,
    pending: Vec<Cmd>,
    block_bytes_max: u32,
    pub(super) pieces: Bitfield,
    pub(super) bytes_from: u64,
    /// What the swarm knows of the bytes sent to it.
    told_bytes_to: u64,
    /// When both sides were first seen complete.
    useless_since: Option<Time>,
    /// If it takes part in comparing what is known of the group.
    pub(super) exchange: Option<Exchange>,
}

impl Owner {
    /// A new connection, if it is to live.
    pub(super) fn connect(&mut self, now: Time, admitted: Admitted) {
        if let Err(why) = self.accept(now, &admitted) {
            // Dropping the connection ends it.
            tracing::debug!(device = %admitted.device.tag(), why, "a connection is not needed");
            return;
        }
        let engine = Arc::clone(&self.shared.engine);
        let Ok(permit) = Arc::clone(&engine.connections).try_acquire_owned() else {
            tracing::debug!(device = %admitted.device.tag(), "too many connections");
            return;
        };
        let Admitted { stream, device, user, addr, outbound, request_queue, block_bytes_max, records, told } =
            admitted;
        let peer = PeerKey(self.next_key);
        self.next_key += 1;
        let gate = Arc::new(Gate::default());
        let (cmds, cmds_out) = mpsc::unbounded_channel();
        let wiring = Wiring {
            peer,
            shared: Arc::clone(&self.shared),
            gate: Arc::clone(&gate),
            cmds: cmds_out,
            events: self.events_in.clone(),
            permit,
        };
        tokio::spawn(Conn::new(stream, wiring).run());
        let pending = vec![Cmd::Pieces(self.held())];
        let pieces = Bitfield::new(self.shared.metainfo.piece_count());
        let (id, heads) = records.unzip();
        let exchange = id.map(|id| Exchange::new(id, told, now));
        self.by_device.insert(device, peer);
        self.peers.insert(
            peer,
            Peer {
                device,
                user,
                addr,
                outbound,
                since: now,
                gate,
                cmds,
                pending,
                block_bytes_max,
                pieces,
                bytes_from: 0,
                told_bytes_to: 0,
                useless_since: None,
                exchange,
            },
        );
        self.feed(now, Input::Connected { peer, kind: PeerKind::Member, request_queue });
        if let Some(heads) = heads.flatten() {
            self.compare(now, peer, heads);
        }
        if self.state == TorrentState::Seeding {
            self.look(now);
        }
        self.next_tick = self.next_tick.min(now.after(super::TICK));
    }

    /// Whether this connection is to live; closes the one it replaces.
    fn accept(&mut self, now: Time, new: &Admitted) -> Result<(), &'static str> {
        let shared = Arc::clone(&self.shared);
        if !self.is_open() {
            return Err("the torrent is not running");
        }
        if self.bans.is_banned(now, &new.device) {
            return Err("the device sent wrong data");
        }
        // The roster may have changed since the handshake looked at it.
        if !shared.engine.roster.still_member(&shared.group, &new.user, &new.device) {
            return Err("its owner is not a member any more");
        }
        let Some(&key) = self.by_device.get(&new.device) else {
            return match self.peers.len() < shared.engine.config.torrent_connections_max {
                true => Ok(()),
                false => Err("the torrent has enough connections"),
            };
        };
        let Some(old) = self.peers.get(&key) else { return Ok(()) };
        if !replaces(&shared.engine.device_id, &new.device, new.outbound, old.outbound, old.is_stale(now)) {
            return Err("there is one already");
        }
        self.disconnect(now, key, &"a newer connection takes its place");
        Ok(())
    }

    /// Ends a connection. Nothing is sent to it any more, what it still reports is ignored.
    pub(super) fn disconnect(&mut self, now: Time, key: PeerKey, why: &dyn Display) {
        let Some(peer) = self.peers.remove(&key) else { return };
        tracing::debug!(device = %peer.device.tag(), %why, "disconnected");
        peer.gate.close();
        if self.by_device.get(&peer.device) == Some(&key) {
            self.by_device.remove(&peer.device);
        }
        self.report.gone(&peer);
        self.candidates.disconnected(&peer.device, peer.pieces.is_full(), now.since(peer.since), now);
        self.dial_at = Some(now);
        self.feed(now, Input::Gone(key));
        self.hashes_gone(now, key);
        self.drop_abandoned();
    }

    pub(super) fn disconnect_all(&mut self, now: Time, why: &dyn Display) {
        let keys: Vec<_> = self.peers.keys().copied().collect();
        keys.into_iter().for_each(|key| self.disconnect(now, key, why));
    }

    /// This device is not dealt with for a while, because of what it did at `done`.
    pub(super) fn ban(&mut self, now: Time, device: DeviceId, done: Time, why: &'static str) {
        if !self.bans.ban(now, device, done) {
            return;
        }
        tracing::warn!(device = %device.tag(), why, "banned from this torrent");
        if let Some(key) = self.by_device.get(&device).copied() {
            self.disconnect(now, key, &why);
        }
    }

    /// Whoever is not a member any more goes.
    pub(super) fn roster_changed(&mut self, now: Time) {
        let shared = &self.shared;
        let roster = &shared.engine.roster;
        let out = |peer: &Peer| !roster.still_member(&shared.group, &peer.user, &peer.device);
        let keys: Vec<_> = self.peers.iter().filter(|(_, peer)| out(peer)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.disconnect(now, key, &"its owner is not a member any more"));
        self.tell_heads();
    }

    pub(super) fn set_peers(&mut self, now: Time, peers: Vec<PeerAddr>) {
        self.candidates.set(peers, now);
        self.dial_at = Some(now);
    }

    pub(super) fn add_peer(&mut self, now: Time, peer: PeerAddr) {
        self.candidates.add(peer, now);
        self.dial_at = Some(now);
    }

    pub(super) fn dialled(&mut self, now: Time, device: DeviceId, dialled: Dialled) {
        let Dialled { result, failed } = dialled;
        let reached = result.as_ref().ok().map(|admitted| admitted.addr);
        self.candidates.dialled(&device, reached, &failed, now);
        self.dial_at = Some(now);
        match result {
            Ok(admitted) => self.connect(now, *admitted),
            Err(error) => {
                tracing::debug!(device = %device.tag(), %error, "cannot connect");
                let info_hash = self.shared.info_hash;
                if !self.by_device.contains_key(&device) {
                    self.shared.engine.emit(EngineEvent::Unreachable { info_hash, device });
                }
            }
        }
    }

    /// Dials whoever is due.
    pub(super) fn dial(&mut self, now: Time) {
        self.dial_at = None;
        if !self.is_open() {
            return;
        }
        let room = self.shared.engine.config.torrent_connections_max.saturating_sub(self.peers.len());
        let complete = self.swarm.is_complete();
        let (by_device, bans) = (&self.by_device, &self.bans);
        let useful = |device: &DeviceId, is_complete: bool| {
            let pointless = complete && is_complete;
            !(pointless || by_device.contains_key(device) || bans.is_banned(now, device))
        };
        let due = self.candidates.due(now, room, useful);
        // A candidate that is due but not useful must not keep us awake; the tick looks again.
        self.dial_at = self.candidates.next_at().filter(|at| *at > now);
        for (device, addresses) in due {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                // Waits its turn; the semaphore is never closed.
                let _permit = shared.engine.dials.acquire().await;
                let dialled = dial::dial(Arc::clone(&shared), device, addresses).await;
                shared.tell(Msg::Dialled { device, dialled });
            });
        }
    }

    /// Tells the swarm what was sent since the last time, and what may be.
    pub(super) fn tell_uploads(&mut self, now: Time) {
        let limit = self.shared.limits.rate(Direction::Up);
        self.feed(now, Input::SendLimit(limit));
        for (key, peer) in &mut self.peers {
            let sent = peer.gate.bytes_to.load(Ordering::Relaxed);
            let before = std::mem::replace(&mut peer.told_bytes_to, sent);
            if sent > before {
                // Only what a peer says can be a fault.
                let _ = self.swarm.handle(now, Input::Uploaded(*key, sent - before));
            }
        }
    }

    /// Two complete peers have nothing to say to each other.
    pub(super) fn part_with_complete(&mut self, now: Time) {
        if !self.swarm.is_complete() {
            return;
        }
        let mut useless = Vec::new();
        for (key, peer) in &mut self.peers {
            let since = peer.pieces.is_full().then(|| *peer.useless_since.get_or_insert(now));
            if since.is_some_and(|since| now.since(since) >= BOTH_COMPLETE_MAX) {
                useless.push(*key);
            }
        }
        useless.into_iter().for_each(|key| self.disconnect(now, key, &"both sides are complete"));
    }

    /// Something for one connection; goes out with the next batch.
    pub(super) fn command(&mut self, key: PeerKey, cmd: Cmd) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.pending.push(cmd);
        }
    }

    /// Asks for a block. Blocks that follow one another become one request as long as the peer takes.
    pub(super) fn request(&mut self, now: Time, key: PeerKey, block: BlockRef) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let (slot, hashes) = self.pieces.begin(now, key, block.piece, &self.shared.metainfo);
        peer.pending.extend(hashes.map(Cmd::HashRequest));
        if let Some(Cmd::Request { slot: last_slot, block: last }) = peer.pending.last_mut()
            && last_slot.id == slot.id
            && last.begin + last.len == block.begin
            && last.len.is_multiple_of(BLOCK_BYTES)
            && last.len + block.len <= peer.block_bytes_max
        {
            last.len += block.len;
            return;
        }
        peer.pending.push(Cmd::Request { slot: Arc::clone(slot), block });
    }

    pub(super) fn send_commands(&mut self) {
        for peer in self.peers.values_mut().filter(|peer| !peer.pending.is_empty()) {
            // A connection that has ended reports it itself.
            let _ = peer.cmds.send(std::mem::take(&mut peer.pending));
        }
    }

    /// What one connection reports.
    pub(super) fn take_batch(&mut self, now: Time, batch: FromPeer) {
        let FromPeer { peer: key, events, closed } = batch;
        for event in events {
            if self.peers.contains_key(&key) {
                self.take_event(now, key, event);
            } else if let Event::Block { slot_id, block, filled: true } = event {
                // It was dropped, and the swarm knows nothing of what it filled.
                self.pieces.free_unless_arrived(slot_id, block);
            }
        }
        if let Some(why) = closed {
            self.disconnect(now, key, &why);
        }
    }

    fn take_event(&mut self, now: Time, key: PeerKey, event: Event) {
        let input = match event {
            Event::Block { slot_id, block, filled } => return self.block(now, key, slot_id, block, filled),
            Event::Hashes { range, hashes } => return self.hashes(now, key, &range, hashes),
            Event::HashReject(range) => return self.hashes_refused(now, key, &range),
            Event::Records(payload) => return self.take_records(now, key, &payload),
            Event::Bitfield(bits) => {
                self.note_pieces(key, |pieces| pieces.clone_from(&bits));
                Input::Bitfield(key, bits)
            }
            Event::HaveAll => {
                self.note_pieces(key, |pieces| *pieces = Bitfield::full(pieces.len()));
                Input::HaveAll(key)
            }
            Event::Have(piece) => {
                self.note_pieces(key, |pieces| {
                    pieces.set(piece);
                });
                Input::Have(key, piece)
            }
            Event::HaveNone => Input::HaveNone(key),
            Event::Choked => Input::Choked(key),
            Event::Unchoked => Input::Unchoked(key),
            Event::Suggest(piece) => Input::Suggest(key, piece),
            Event::AllowedFast(piece) => Input::AllowedFast(key, piece),
            Event::Asked(piece) => Input::Asked(key, piece),
            Event::Interested(interested) => Input::RemoteInterested(key, interested),
            Event::Rejected(block) => {
                self.feed_from(now, key, Input::Rejected(key, block));
                return self.drop_abandoned();
            }
        };
        let choked = matches!(input, Input::Choked(_));
        self.feed_from(now, key, input);
        if choked {
            self.drop_abandoned();
        }
    }

    fn note_pieces(&mut self, key: PeerKey, change: impl FnOnce(&mut Bitfield)) {
        if let Some(peer) = self.peers.get_mut(&key) {
            change(&mut peer.pieces);
        }
    }

    /// Devices of connections that have this piece, except those in `refused`.
    pub(super) fn holder(&self, piece: u32, refused: &BTreeSet<PeerKey>) -> Option<PeerKey> {
        let holds = |(key, peer): &(&PeerKey, &Peer)| peer.pieces.get(piece) && !refused.contains(key);
        self.peers.iter().find(holds).map(|(key, _)| *key)
    }
}

impl Peer {
    fn is_stale(&self, now: Time) -> bool {
        now.since(Time(self.gate.heard_ms.load(Ordering::Relaxed))) >= STALE
    }
}

/// Whether a new connection takes the place of an old one with the same device. Of two that were dialled from both
/// sides, the one that the smaller device id dialled survives: both sides come to the same answer, in whatever order
/// they see the two. Of two from the same side, the newer does: its dialler had lost the older.
fn replaces(
    own: &DeviceId,
    other: &DeviceId,
    new_outbound: bool,
    old_outbound: bool,
    old_stale: bool,
) -> bool {
    let preferred_outbound = own < other;
    new_outbound == old_outbound || new_outbound == preferred_outbound || old_stale
}

#[cfg(test)]
mod tests {
    use peerage_types::PublicKey;

    use super::*;

    #[test]
    fn both_sides_keep_the_same_connection() {
        let (small, large) = (PublicKey([1; 32]), PublicKey([2; 32]));
        // (the connection that was there, the new one) as "dialled by the small one?"
        for (old_by_small, new_by_small) in [(true, false), (false, true), (true, true), (false, false)] {
            let at_small = replaces(&small, &large, new_by_small, old_by_small, false);
            let at_large = replaces(&large, &small, !new_by_small, !old_by_small, false);
            assert_eq!(at_small, at_large);
            let survivor_by_small = if at_small { new_by_small } else { old_by_small };
            assert_eq!(survivor_by_small, old_by_small || new_by_small);
        }
        assert!(replaces(&small, &large, false, true, true), "a dead one is no obstacle");
    }
}

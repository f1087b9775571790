//! What becomes of messages and blocks when they arrive, faulty or not.

use std::time::Duration;

use peerage_swarm::{Input, PeerKey};
use peerage_wire::{Bitfield, BlockRef};

use super::{Event, Message, Network};

impl Network {
    pub(super) fn message(&mut self, node: u32, other: u32, peer: PeerKey, message: Message) {
        let world_faults = self.faulty();
        let model = &mut self.nodes[node as usize].model;
        match message {
            Message::Bitfield(bytes) => {
                let bits = Bitfield::from_wire(&bytes, self.world.pieces).unwrap();
                model.peers.get_mut(&peer).unwrap().has = bits.clone();
                self.input(node, Input::Bitfield(peer, bits));
            }
            Message::Have(piece) => {
                model.peers.get_mut(&peer).unwrap().has.set(piece);
                self.input(node, Input::Have(peer, piece));
            }
            Message::Choke => {
                model.choked(peer);
                self.input(node, Input::Choked(peer));
            }
            Message::Unchoke => {
                model.peers.get_mut(&peer).unwrap().unchoked = true;
                self.input(node, Input::Unchoked(peer));
            }
            Message::Interested(interested) => self.input(node, Input::RemoteInterested(peer, interested)),
            Message::Suggest(piece) => self.input(node, Input::Suggest(peer, piece)),
            Message::AllowedFast(piece) => {
                model.peers.get_mut(&peer).unwrap().allowed.insert(piece);
                self.input(node, Input::AllowedFast(peer, piece));
            }
            Message::Reject(block) => {
                self.nodes[node as usize].model.rejected(peer, block);
                self.input(node, Input::Rejected(peer, block));
            }
            Message::Request(block) => self.serve(node, other, peer, block, world_faults),
            Message::Cancel(block) => self.cancel(node, other, peer, block),
            Message::Block { block, good } => self.block(node, other, peer, block, good),
        }
    }

    pub(super) fn block(&mut self, node: u32, other: u32, peer: PeerKey, block: BlockRef, good: bool) {
        let told_before = self.roll(2) == 0;
        let state = &mut self.nodes[node as usize];
        let wanted = state.swarm.is_wanted(peer, block);
        assert!(!(wanted && state.model.arrived.contains(&block)), "{block:?} is wanted twice");
        state.model.answered(peer, block);
        if !good && told_before {
            self.bad(node, other, peer.0, block);
            return;
        }
        if wanted {
            state.model.arrived.insert(block);
        }
        self.input(node, Input::BlockArrived(peer, block));
        if !good && wanted {
            // The leaf is checked at once; the piece only when all its leaves were right.
            self.after(0, Event::Bad { node, other, connection: peer.0, block });
        }
        let blocks = (0..self.layout.block_count(block.piece)).map(|i| self.layout.block(block.piece, i));
        let arrived = &self.nodes[node as usize].model.arrived;
        if wanted && good && blocks.into_iter().all(|b| arrived.contains(&b)) {
            let good = !self.faulty() || self.roll(20) > 0;
            let delay = 1 + self.roll(20);
            self.after(delay, Event::Verified { node, piece: block.piece, good });
        }
    }

    /// The shell bans the device: the connection ends, and the block is fetched elsewhere.
    pub(super) fn bad(&mut self, node: u32, other: u32, connection: u32, block: BlockRef) {
        let state = &mut self.nodes[node as usize];
        let connected = state.links.get(&other) == Some(&connection);
        // Only if it is this very copy that arrived; a bad late duplicate changes nothing.
        let before = state.swarm.piece_progress(block.piece);
        state.swarm.handle(self.now, Input::BlockBad(PeerKey(connection), block)).unwrap();
        if state.swarm.piece_progress(block.piece) != before {
            state.model.arrived.remove(&block);
        }
        self.pump(node);
        if connected {
            self.unlink(node, other);
        }
    }

    /// Uploads take turns: one link of limited rate per node.
    pub(super) fn serve(&mut self, node: u32, other: u32, peer: PeerKey, block: BlockRef, faulty: bool) {
        let chance = self.roll(100);
        let (latency, service) = (1 + (node + other) % 7 * 5, 1 + node % 5);
        let state = &mut self.nodes[node as usize];
        assert!(state.model.have.get(block.piece), "asked for what was never offered");
        let served = state.serves.contains(&other) || state.allows.contains(&(other, block.piece));
        let refused = !served || state.chokes.contains(&other);
        if !refused && state.asked.insert(other, block.piece) != Some(block.piece) {
            self.input(node, Input::Asked(peer, block.piece));
        }
        let state = &mut self.nodes[node as usize];
        let at = state.upload_free.max(self.now).after(Duration::from_millis(service.into()));
        state.upload_free = at;
        let message = match chance {
            _ if refused => Message::Reject(block),
            0..5 if faulty => Message::Reject(block),
            5..10 if faulty => return,
            10..11 if faulty => Message::Block { block, good: false },
            _ => Message::Block { block, good: true },
        };
        let delay = self.now.after(Duration::from_millis(latency.into())).max(at).since(self.now);
        let event = Event::Message { node: other, other: node, connection: peer.0, message };
        self.after(delay.as_millis() as u32, event);
    }

    /// What was not sent yet is rejected, or sent all the same.
    pub(super) fn cancel(&mut self, node: u32, other: u32, peer: PeerKey, block: BlockRef) {
        let is_it = |event: &Event| {
            matches!(event,
            Event::Message { connection, message: Message::Block { block: sent, .. }, .. }
                if *connection == peer.0 && *sent == block)
        };
        let sent = self.queue.iter().find(|(_, _, event)| is_it(event)).cloned();
        if let Some(sent) = sent.filter(|_| self.roll(2) == 0) {
            self.queue.remove(&sent);
            let message = Message::Reject(block);
            self.after(1, Event::Message { node: other, other: node, connection: peer.0, message });
        }
    }

    pub(super) fn set_choke(&mut self, node: u32, other: u32, choke: bool) {
        let state = &mut self.nodes[node as usize];
        let changed = if choke { state.chokes.insert(other) } else { state.chokes.remove(&other) };
        let served = state.serves.contains(&other);
        if let Some(connection) = state.links.get(&other).copied().filter(|_| changed && served) {
            let message = if choke { Message::Choke } else { Message::Unchoke };
            self.after(1, Event::Message { node: other, other: node, connection, message });
        }
    }
}

//! Pieces under way: their buffers, their hashes, who sent what, and what follows when something is wrong.
//!
//! A piece whose blocks have all come is hashed, block by block, by the thread that then writes it; nothing is written
//! before it is known to be right. Leaves are asked for ahead of a piece's first block, from the same peer: by them a
//! wrong block and its sender are known, and only that block comes again. If nobody gives them, the hashes that were
//! computed are held against the piece's own hash. Should that fail and the leaves be nowhere to be had, all blocks
//! come again, and whoever had sent one that differs from the right one is banned then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use peerage_metainfo::Metainfo;
use peerage_swarm::{Input, PeerKey};
use peerage_types::limits::BLOCK_BYTES;
use peerage_types::{DeviceId, Sha256, Time, UserId};
use peerage_wire::{BlockRef, HashRange};

use super::{Owner, download_failed};
use crate::engine::api::{EngineEvent, TorrentState};
use crate::engine::buffer::{PieceSlot, Pool, PooledBuf};
use crate::engine::conn::Cmd;
use crate::engine::disk;
use crate::engine::files::describe;
use crate::engine::hashes;

/// An answer with hashes should not take longer.
const HASHES_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(15);
/// Failed pieces of which we remember who had sent what.
const SUSPECT_PIECES_MAX: usize = 64;

/// A complete piece on its way to the disk.
#[derive(Debug)]
pub(in crate::engine) struct WriteJob {
    pub(super) piece: u32,
    pub(super) buf: PooledBuf,
    /// What its leaves must be, if that is known.
    pub(super) expected: Option<Vec<Sha256>>,
    /// What they are; empty until it is checked.
    pub(super) leaves: Vec<Sha256>,
}

impl WriteJob {
    /// Hashes the piece unless that is done; whether it is what the torrent says. Blocks for a while.
    pub(super) fn check(&mut self, metainfo: &Metainfo) -> bool {
        if !self.leaves.is_empty() {
            // It was right the first time, or it would not have been kept.
            return true;
        }
        let len = metainfo.piece_bytes(self.piece) as usize;
        self.leaves = hashes::leaves(&self.buf[..len].chunks(BLOCK_BYTES as usize).collect::<Vec<_>>());
        match &self.expected {
            Some(expected) => *expected == self.leaves,
            None => metainfo.verify_leaves(self.piece, &self.leaves),
        }
    }
}

/// What became of a complete piece.
#[derive(Debug)]
pub(in crate::engine) enum WriteResult {
    Written,
    /// It is not what the torrent says.
    Wrong,
    Failed(io::Error),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pieces {
    under_way: BTreeMap<u32, UnderWay>,
    pool: Arc<Pool>,
    next_slot: u64,
    suspects: BTreeMap<u32, Vec<Option<Sender>>>,
}

/// Who sent a block, and what its hash was, once it is known.
#[derive(Clone, Copy, Debug)]
struct Sender {
    peer: PeerKey,
    device: DeviceId,
    user: UserId,
    /// When it came.
    at: Time,
    leaf: Option<Sha256>,
}

#[derive(Debug)]
struct UnderWay {
    slot: Arc<PieceSlot>,
    /// What the leaves must be, once somebody has told us.
    leaves: Option<Vec<Sha256>>,
    /// Whom we have asked for them.
    asked: Option<(PeerKey, Time)>,
    /// Who would not tell.
    refused: BTreeSet<PeerKey>,
    /// Blocks that are in the buffer and that the swarm knows of.
    arrived: Vec<Option<Sender>>,
    arrived_count: usize,
}

impl Pieces {
    pub(super) fn new(metainfo: &Metainfo, bytes_max: u64) -> Self {
        let buf_bytes = u64::from(metainfo.piece_length()).min(metainfo.total_bytes());
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            under_way: BTreeMap::new(),
            pool: Pool::new(bytes(buf_bytes), bytes(bytes_max / 2)),
            next_slot: 0,
            suspects: BTreeMap::new(),
        }
    }

    /// The buffer of a piece of which a block is about to be requested from `peer`, and whether to ask the peer for
    /// its leaves first.
    pub(super) fn begin(
        &mut self,
        now: Time,
        peer: PeerKey,
        piece: u32,
        metainfo: &Metainfo,
    ) -> (&Arc<PieceSlot>, Option<HashRange>) {
        let piece_bytes = metainfo.piece_bytes(piece);
        let under_way = self.under_way.entry(piece).or_insert_with(|| {
            self.next_slot += 1;
            UnderWay {
                slot: Arc::new(PieceSlot::new(
                    self.next_slot,
                    self.pool.take_for(piece_bytes as usize),
                    piece_bytes,
                )),
                leaves: None,
                asked: None,
                refused: BTreeSet::new(),
                arrived: vec![None; metainfo.leaf_count(piece) as usize],
                arrived_count: 0,
            }
        });
        let ask =
            under_way.leaves.is_none() && under_way.asked.is_none() && !under_way.refused.contains(&peer);
        let range = ask.then(|| hashes::request(metainfo, piece)).flatten();
        if range.is_some() {
            under_way.asked = Some((peer, now));
        }
        (&under_way.slot, range)
    }

    /// The bytes of a block are in its buffer, but the swarm will not hear of it.
    pub(super) fn free_unless_arrived(&mut self, slot_id: u64, block: BlockRef) {
        let index = (block.begin / BLOCK_BYTES) as usize;
        let under_way = self.under_way.get(&block.piece).filter(|under_way| under_way.slot.id == slot_id);
        if let Some(under_way) = under_way
            && under_way.arrived.get(index).is_some_and(Option::is_none)
        {
            under_way.slot.free(index);
        }
    }

    /// Forgets everything and gives the memory back.
    pub(super) fn clear(&mut self) {
        for (_, under_way) in std::mem::take(&mut self.under_way) {
            under_way.slot.close();
        }
        self.pool.clear();
        self.suspects.clear();
    }

    /// Forgets pieces of which `keep` says no.
    fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.under_way.retain(|piece, under_way| {
            let keep = keep(*piece);
            if !keep {
                under_way.slot.close();
            }
            keep
        });
    }
}

impl UnderWay {
    fn is_full(&self) -> bool {
        self.arrived_count == self.arrived.len()
    }

    /// All blocks are there, were hashed, and are not all right.
    fn is_wrong(&self) -> bool {
        self.is_full() && self.arrived.iter().flatten().all(|sender| sender.leaf.is_some())
    }

    /// All blocks are to come again; who had sent them.
    fn reset(&mut self) -> Vec<Option<Sender>> {
        self.slot.free_all();
        self.arrived_count = 0;
        let none = vec![None; self.arrived.len()];
        std::mem::replace(&mut self.arrived, none)
    }

    /// The one device that sent all blocks, if it was one, and when the last came.
    fn only_sender(&self) -> Option<(DeviceId, Time)> {
        let mut senders = self.arrived.iter().flatten();
        let first = senders.next()?;
        senders.try_fold((first.device, first.at), |(device, at), sender| {
            (sender.device == device).then_some((device, at.max(sender.at)))
        })
    }
}

impl Owner {
    /// A block of 16 KiB has come.
    pub(super) fn block(&mut self, now: Time, key: PeerKey, slot_id: u64, block: BlockRef, filled: bool) {
        let index = (block.begin / BLOCK_BYTES) as usize;
        let wanted = self.swarm.is_wanted(key, block);
        let under_way = self.pieces.under_way.get_mut(&block.piece);
        let under_way = under_way.filter(|under_way| under_way.slot.id == slot_id);
        let (Some(under_way), true, true) = (under_way, filled, wanted) else {
            self.pieces.free_unless_arrived(slot_id, block);
            // If the swarm still wants it, its bytes went nowhere (an earlier attempt at the piece, or the winner's
            // report is still on its way): the swarm must not count it as here.
            let answer = if wanted { Input::Rejected } else { Input::BlockArrived };
            return self.feed_from(now, key, answer(key, block));
        };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.bytes_from += u64::from(block.len);
        self.report.received(block.len);
        under_way.arrived[index] =
            Some(Sender { peer: key, device: peer.device, user: peer.user, at: now, leaf: None });
        under_way.arrived_count += 1;
        let full = under_way.is_full();
        self.feed_from(now, key, Input::BlockArrived(key, block));
        if full {
            self.piece_full(block.piece);
        }
    }

    /// All blocks of the piece are there.
    fn piece_full(&mut self, piece: u32) {
        let Some(under_way) = self.pieces.under_way.get_mut(&piece) else { return };
        // It may be on its way already.
        let Some(buf) = under_way.slot.close() else { return };
        let expected = under_way.leaves.clone();
        self.write(WriteJob { piece, buf, expected, leaves: Vec::new() });
    }

    /// A complete piece is not what the torrent says.
    fn piece_wrong(&mut self, now: Time, job: WriteJob) {
        let piece = job.piece;
        let Some(under_way) = self.pieces.under_way.get_mut(&piece) else { return };
        under_way.slot.reopen(job.buf);
        for (sender, leaf) in under_way.arrived.iter_mut().zip(job.leaves) {
            if let Some(sender) = sender {
                sender.leaf = Some(leaf);
            }
        }
        match under_way.leaves.is_some() {
            true => self.blame(now, piece),
            false => self.find_out(now, piece),
        }
    }

    /// The piece is wrong, and nobody has told its leaves yet.
    fn find_out(&mut self, now: Time, piece: u32) {
        let Some(under_way) = self.pieces.under_way.get_mut(&piece) else { return };
        if let Some((device, at)) = under_way.only_sender() {
            self.piece_failed(now, piece);
            return self.ban(now, device, at, "all of a wrong piece came from it");
        }
        if under_way.asked.is_none() {
            self.ask_for_hashes(now, piece);
        }
    }

    /// The piece is wrong: who is to blame has to be known first, so somebody has to tell the leaves.
    fn ask_for_hashes(&mut self, now: Time, piece: u32) {
        let Some(under_way) = self.pieces.under_way.get(&piece) else { return };
        let holder = self.holder(piece, &under_way.refused);
        let ask = holder.zip(hashes::request(&self.shared.metainfo, piece));
        let Some((key, range)) = ask else { return self.piece_failed(now, piece) };
        if let Some(under_way) = self.pieces.under_way.get_mut(&piece) {
            under_way.asked = Some((key, now));
        }
        self.command(key, Cmd::HashRequest(range));
    }

    /// Nobody can say which block is wrong: all come again.
    fn piece_failed(&mut self, now: Time, piece: u32) {
        let Some(under_way) = self.pieces.under_way.get_mut(&piece) else { return };
        tracing::warn!(piece, "a piece is wrong and has to come again");
        let senders = under_way.reset();
        if self.pieces.suspects.len() < SUSPECT_PIECES_MAX {
            self.pieces.suspects.entry(piece).or_insert(senders);
        }
        self.feed(now, Input::PieceFailed(piece));
        self.drop_abandoned();
    }

    /// A peer tells leaves.
    pub(super) fn hashes(&mut self, now: Time, key: PeerKey, range: &HashRange, hashes: Vec<Sha256>) {
        let Some(piece) = self.asked_for(key, range) else { return };
        let Some(leaves) = hashes::read(&self.shared.metainfo, piece, range, hashes) else {
            return self.ban_peer(now, key, "it sent wrong hashes");
        };
        let Some(under_way) = self.pieces.under_way.get_mut(&piece) else { return };
        under_way.asked = None;
        under_way.leaves = Some(leaves);
        self.blame(now, piece);
    }

    /// The leaves are known: blocks whose hashes are known, too, and differ come again, without their senders.
    fn blame(&mut self, now: Time, piece: u32) {
        let Some(under_way) = self.pieces.under_way.get_mut(&piece) else { return };
        let Some(leaves) = &under_way.leaves else { return };
        let is_bad =
            |(index, sender): &(usize, Sender)| sender.leaf.is_some_and(|leaf| leaves[*index] != leaf);
        let arrived =
            under_way.arrived.iter().enumerate().filter_map(|(index, sender)| Some((index, (*sender)?)));
        let bad: Vec<_> = arrived.filter(is_bad).collect();
        for (index, _) in &bad {
            under_way.slot.free(*index);
            under_way.arrived[*index] = None;
            under_way.arrived_count -= 1;
        }
        if bad.iter().any(|(_, sender)| !self.peers.contains_key(&sender.peer)) {
            // The swarm takes single blocks back only from peers that it knows.
            under_way.reset();
            self.feed(now, Input::PieceFailed(piece));
        } else {
            for (index, sender) in &bad {
                let block = self.swarm_config.layout.block(piece, *index as u32);
                self.feed(now, Input::BlockBad(sender.peer, block));
            }
        }
        for (_, sender) in bad {
            self.ban(now, sender.device, sender.at, "it sent a wrong block");
        }
        self.drop_abandoned();
        if self.pieces.under_way.get(&piece).is_some_and(UnderWay::is_full) {
            self.piece_full(piece);
        }
    }

    /// A peer will not tell leaves.
    pub(super) fn hashes_refused(&mut self, now: Time, key: PeerKey, range: &HashRange) {
        if let Some(piece) = self.asked_for(key, range) {
            self.no_hashes_from(now, key, piece);
        }
    }

    /// A peer that was asked for leaves is gone.
    pub(super) fn hashes_gone(&mut self, now: Time, key: PeerKey) {
        self.no_hashes_if(now, |(asked, _)| asked == key);
    }

    /// Whoever does not answer will not.
    pub(super) fn hashes_timeout(&mut self, now: Time) {
        self.no_hashes_if(now, |(_, since)| now.since(since) >= HASHES_WAIT_MAX);
    }

    fn no_hashes_if(&mut self, now: Time, given_up: impl Fn((PeerKey, Time)) -> bool) {
        let asked =
            self.pieces.under_way.iter().filter_map(|(piece, under_way)| Some((*piece, under_way.asked?)));
        let lost: Vec<_> = asked.filter(|(_, asked)| given_up(*asked)).collect();
        for (piece, (key, _)) in lost {
            self.no_hashes_from(now, key, piece);
        }
    }

    fn no_hashes_from(&mut self, now: Time, key: PeerKey, piece: u32) {
        let Some(under_way) = self.pieces.under_way.get_mut(&piece) else { return };
        under_way.asked = None;
        under_way.refused.insert(key);
        if under_way.is_wrong() && under_way.leaves.is_none() {
            self.find_out(now, piece);
        }
    }

    /// The piece whose leaves this peer was asked for with `range`.
    fn asked_for(&self, key: PeerKey, range: &HashRange) -> Option<u32> {
        let asked = |piece: &u32| self.pieces.under_way.get(piece).and_then(|under_way| under_way.asked);
        let mut pieces = self.shared.by_root.pieces_of(&self.shared.metainfo, range);
        pieces.find(|piece| asked(piece).is_some_and(|(asked, _)| asked == key))
    }

    fn ban_peer(&mut self, now: Time, key: PeerKey, why: &'static str) {
        if let Some(device) = self.peers.get(&key).map(|peer| peer.device) {
            self.ban(now, device, now, why);
        }
    }

    /// Pieces that the swarm has given up need no buffer.
    pub(super) fn drop_abandoned(&mut self) {
        let swarm = &self.swarm;
        self.pieces.retain(|piece| swarm.piece_progress(piece).is_some());
    }

    /// Pieces are on disk, or not.
    pub(super) fn written(&mut self, now: Time, results: Vec<(WriteJob, WriteResult)>) {
        self.work.write_ended();
        let mut full = None;
        for (job, result) in results {
            self.unmark(job.piece);
            match result {
                WriteResult::Written => self.piece_done(now, &job),
                WriteResult::Wrong => self.piece_wrong(now, job),
                WriteResult::Failed(error) if self.state == TorrentState::Repairing => {
                    self.repair_failed(now, &error);
                    self.work.keep(job);
                }
                WriteResult::Failed(error) if disk::is_full(&error) => {
                    full = Some(describe(&error));
                    self.work.keep(job);
                }
                WriteResult::Failed(error) => {
                    let path = self.work.place().display().to_string();
                    self.fail(now, format!("cannot write `{path}`: {error}"), download_failed);
                }
            }
        }
        match full {
            Some(error) => self.pause(now, &error),
            None => self.resume(now),
        }
        self.start_writes(now);
    }

    fn piece_done(&mut self, now: Time, job: &WriteJob) {
        let piece = job.piece;
        let under_way = self.pieces.under_way.remove(&piece);
        let arrived = under_way.iter().flat_map(|under_way| under_way.arrived.iter().enumerate());
        for (index, sender) in arrived {
            if let Some(sender) = sender {
                let block = self.swarm_config.layout.block(piece, index as u32);
                self.report.credit(sender.user, block.len);
            }
        }
        self.shared.have.set(piece);
        let bytes = self.shared.metainfo.piece_bytes(piece);
        self.report.done(bytes);
        self.wanted_done += if self.is_wanted_piece(piece) { u64::from(bytes) } else { 0 };
        self.feed(now, Input::PieceDone(piece));
        let leaves = under_way.and_then(|under_way| under_way.leaves);
        let leaves = leaves.as_ref().unwrap_or(&job.leaves);
        let suspects = self.pieces.suspects.remove(&piece).unwrap_or_default();
        for (sender, leaf) in suspects.into_iter().zip(leaves) {
            if let Some(sender) = sender.filter(|sender| sender.leaf.is_some_and(|sent| sent != *leaf)) {
                self.ban(now, sender.device, sender.at, "it had sent a wrong block");
            }
        }
    }

    fn pause(&mut self, now: Time, error: &str) {
        let folder = self.work.place().parent().unwrap_or(self.work.place());
        let missing = self.wanted_total.saturating_sub(self.wanted_done);
        let free = disk::free_bytes(folder).map_or_else(String::new, |free| format!(", {free} are free"));
        let why = format!(
            "no room in `{}` ({error}): {missing} bytes are still to be written{free}; it goes on by itself when there is room",
            folder.display()
        );
        let state = TorrentState::Paused { why: why.clone() };
        if self.state == TorrentState::Downloading {
            self.enter(now, state);
            self.shared.engine.emit(EngineEvent::Paused { info_hash: self.shared.info_hash, why });
        } else if self.is_downloading() {
            self.state = state;
        }
    }

    fn resume(&mut self, now: Time) {
        if matches!(self.state, TorrentState::Paused { .. }) && !self.work.is_blocked() {
            self.enter(now, TorrentState::Downloading);
            self.shared.engine.emit(EngineEvent::Resumed { info_hash: self.shared.info_hash });
        }
    }
}

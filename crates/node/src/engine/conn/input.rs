//! What a peer sends: cut into messages, blocks copied to their pieces, the rest handed on.
//!
//! Works on whatever slices the TLS layer has decrypted. Only the bytes of small messages are collected; a block's
//! data goes from the slice to its place, whatever its size.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use peerage_metainfo::Metainfo;
use peerage_swarm::PeerKey;
use peerage_types::limits::{BLOCK_BYTES, WIRE_MESSAGE_BYTES_MAX};
use peerage_wire::{
    BLOCK_BYTES_WIRE_MAX, Bitfield, BlockRef, Message, PIECE_HEADER_BYTES, RECORDS_BYTES_MAX, WireError,
};

use super::outbox::Outbox;
use super::serve::Serve;
use super::{Closed, Event};
use crate::engine::buffer::{Claim, PieceSlot};
use crate::engine::handshake::RECORDS_ID;
use crate::engine::hashes::HASHES_MAX;

/// Message ids that are needed before a message is complete (BEP 3, BEP 52).
const BITFIELD: u8 = 5;
const PIECE: u8 = 7;
const HASHES: u8 = 22;
const PREFIX_BYTES: usize = 4;
/// A `hashes` message without its hashes, id included.
const HASHES_HEADER_BYTES: usize = 1 + 32 + 4 * 4;
/// A second extended handshake and records are as long as this at most; anything unknown is shorter.
const OTHER_BYTES_MAX: usize = RECORDS_BYTES_MAX + 16;
/// Requests that were neither answered nor rejected. The picker asks for at most 2,000 blocks at a time and gives
/// up at most one per timeout, so more than this only a peer reaches that never answers.
const ASKED_MAX: usize = 8_192;

/// One request on the wire: one block, or several that follow one another.
#[derive(Debug)]
struct Asked {
    block: BlockRef,
    slot: Arc<PieceSlot>,
    /// How many blocks of 16 KiB in it are not wanted any more.
    cancelled: u32,
}

/// A block's data on its way in.
#[derive(Debug)]
struct Incoming {
    asked: Asked,
    /// Bytes that have come.
    at: u32,
    /// Where those of the running 16 KiB go.
    claim: Claim,
    /// Blocks that are complete, and whether their bytes are in the piece.
    landed: Vec<(BlockRef, bool)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Input {
    peer: PeerKey,
    metainfo: Arc<Metainfo>,
    control: BytesMut,
    incoming: Option<Incoming>,
    asked: VecDeque<Asked>,
    /// A block that somebody else is delivering, too.
    aside: Vec<u8>,
    /// For the torrent's owner, in order.
    pub(super) events: Vec<Event>,
}

impl Input {
    pub(super) fn new(peer: PeerKey, metainfo: Arc<Metainfo>) -> Self {
        Self {
            peer,
            metainfo,
            control: BytesMut::new(),
            incoming: None,
            asked: VecDeque::new(),
            aside: Vec::new(),
            events: Vec::new(),
        }
    }

    /// `block` is being requested; its data goes to `slot`.
    pub(super) fn expect(&mut self, block: BlockRef, slot: Arc<PieceSlot>) -> Result<(), Closed> {
        if self.asked.len() >= ASKED_MAX {
            return Err(Closed::Fault("it leaves requests unanswered"));
        }
        self.asked.push_back(Asked { block, slot, cancelled: 0 });
        Ok(())
    }

    /// One block of 16 KiB is not wanted any more. The request to cancel on the wire, if that was the last of it.
    pub(super) fn cancel(&mut self, block: BlockRef) -> Option<BlockRef> {
        let holds = |asked: &&mut Asked| {
            let whole = asked.block;
            whole.piece == block.piece
                && whole.begin <= block.begin
                && block.begin < whole.begin + whole.len
                && asked.cancelled < whole.len.div_ceil(BLOCK_BYTES)
        };
        let asked = self.asked.iter_mut().rev().find(holds)?;
        asked.cancelled += 1;
        (asked.cancelled == asked.block.len.div_ceil(BLOCK_BYTES)).then_some(asked.block)
    }

    /// Takes in what the peer sent.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        serve: &mut Serve,
        out: &mut Outbox,
    ) -> Result<(), Closed> {
        while !bytes.is_empty() {
            if let Some(incoming) = &mut self.incoming {
                let used = incoming.take(bytes, self.peer, &mut self.aside);
                bytes = &bytes[used..];
                if incoming.at == incoming.asked.block.len
                    && let Some(incoming) = self.incoming.take()
                {
                    incoming.report(&mut self.events);
                }
                continue;
            }
            let missing = self.missing()?;
            let used = missing.min(bytes.len());
            self.control.extend_from_slice(&bytes[..used]);
            bytes = &bytes[used..];
            if self.missing()? == 0 {
                self.message(serve, out)?;
            }
        }
        Ok(())
    }

    /// The connection ends: what came of a request that is not complete is free again.
    pub(super) fn finish(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if incoming.claim == Claim::Direct {
            incoming.asked.slot.unclaim(incoming.index(), self.peer);
        }
        incoming.report(&mut self.events);
    }

    /// How many bytes belong to the message (of a block: to its header) that is being collected, as far as can be
    /// told. Nothing is collected that is longer than its kind can be in this torrent.
    fn missing(&self) -> Result<usize, Closed> {
        let Some((prefix, rest)) = self.control.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(PREFIX_BYTES - self.control.len());
        };
        let len = u32::from_be_bytes(*prefix);
        if len as usize > WIRE_MESSAGE_BYTES_MAX {
            return Err(WireError::TooLong { len }.into());
        }
        let Some(&id) = rest.first() else { return Ok(usize::from(len > 0)) };
        let len = len as usize;
        let (len_max, wanted) = match id {
            PIECE => (9 + BLOCK_BYTES_WIRE_MAX as usize, PIECE_HEADER_BYTES),
            BITFIELD => (1 + self.metainfo.piece_count().div_ceil(8) as usize, PREFIX_BYTES + len),
            HASHES => (HASHES_HEADER_BYTES + HASHES_MAX as usize * 32, PREFIX_BYTES + len),
            _ => (OTHER_BYTES_MAX, PREFIX_BYTES + len),
        };
        if len > len_max || (id == PIECE && len <= 9) {
            return Err(Closed::Fault("a message is not as long as its kind can be"));
        }
        Ok(wanted.saturating_sub(self.control.len()))
    }

    fn message(&mut self, serve: &mut Serve, out: &mut Outbox) -> Result<(), Closed> {
        if self.control.get(PREFIX_BYTES) == Some(&PIECE) {
            return self.block_begins();
        }
        let message = peerage_wire::decode(&mut self.control)?;
        debug_assert!(message.is_some() && self.control.is_empty(), "exactly one message was collected");
        match message {
            Some(message) => self.handle(message, serve, out),
            None => Ok(()),
        }
    }

    fn block_begins(&mut self) -> Result<(), Closed> {
        let number = |at: usize| {
            let bytes = self.control.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        let block = BlockRef { len: number(0).saturating_sub(9), piece: number(5), begin: number(9) };
        self.control.clear();
        let asked = self.take_asked(block)?;
        self.incoming = Some(Incoming { asked, at: 0, claim: Claim::Discard, landed: Vec::new() });
        Ok(())
    }

    /// Answers come in order, so it is nearly always the first.
    fn take_asked(&mut self, block: BlockRef) -> Result<Asked, Closed> {
        let at = self.asked.iter().position(|asked| asked.block == block);
        let asked = at.and_then(|at| self.asked.remove(at));
        asked.ok_or(Closed::Fault("it answered a request that was not made"))
    }

    fn handle(&mut self, message: Message, serve: &mut Serve, out: &mut Outbox) -> Result<(), Closed> {
        let event = match message {
            Message::Request(block) => {
                self.events.extend(serve.request(block, out)?.map(Event::Asked));
                return Ok(());
            }
            Message::Cancel(block) => {
                serve.cancel(block, out);
                return Ok(());
            }
            Message::HashRequest(range) => {
                serve.request_hashes(range, out);
                return Ok(());
            }
            Message::Extended { id: RECORDS_ID, payload } => Event::Records(payload),
            // Nothing else that an extension could say later changes what we do; keep-alives only count as signs of life.
            Message::KeepAlive | Message::Extended { .. } | Message::Unknown { .. } => return Ok(()),
            // Collected only as far as its header.
            Message::Piece { .. } => return Ok(()),
            Message::Reject(block) => {
                self.take_asked(block)?;
                self.events.extend(blocks(block).map(Event::Rejected));
                return Ok(());
            }
            Message::Bitfield(bits) => Event::Bitfield(
                Bitfield::from_wire(&bits, self.metainfo.piece_count())
                    .map_err(|_| Closed::Fault("its bitfield does not fit the torrent"))?,
            ),
            Message::Choke => Event::Choked,
            Message::Unchoke => Event::Unchoked,
            Message::Interested => Event::Interested(true),
            Message::NotInterested => Event::Interested(false),
            Message::Have(piece) => Event::Have(piece),
            Message::Suggest(piece) => Event::Suggest(piece),
            Message::HaveAll => Event::HaveAll,
            Message::HaveNone => Event::HaveNone,
            Message::AllowedFast(piece) => Event::AllowedFast(piece),
            Message::Hashes { range, hashes } => Event::Hashes { range, hashes },
            Message::HashReject(range) => Event::HashReject(range),
        };
        self.events.push(event);
        Ok(())
    }
}

impl Incoming {
    /// Index in its piece of the 16 KiB that are coming.
    fn index(&self) -> usize {
        ((self.asked.block.begin + self.at) / BLOCK_BYTES) as usize
    }

    /// Takes what belongs to the request from the front of `bytes`; how much that was.
    fn take(&mut self, bytes: &[u8], peer: PeerKey, aside: &mut Vec<u8>) -> usize {
        let whole = self.asked.block;
        let slot = &self.asked.slot;
        let mut used = 0;
        while used < bytes.len() && self.at < whole.len {
            // Our own requests start at multiples of 16 KiB.
            let inside = self.at % BLOCK_BYTES;
            let index = self.index();
            let start = self.at - inside;
            let len = (whole.len - start).min(BLOCK_BYTES);
            if inside == 0 {
                self.claim = slot.claim(index, peer);
                aside.clear();
            }
            let n = ((len - inside) as usize).min(bytes.len() - used);
            let part = &bytes[used..used + n];
            match self.claim {
                Claim::Direct if slot.write(index, peer, inside as usize, part) => {}
                Claim::Direct | Claim::Discard => self.claim = Claim::Discard,
                Claim::Aside => aside.extend_from_slice(part),
            }
            used += n;
            self.at += n as u32;
            if inside + n as u32 == len {
                let filled = match self.claim {
                    Claim::Direct => slot.finish(index, peer),
                    Claim::Aside => slot.commit(index, aside),
                    Claim::Discard => false,
                };
                self.claim = Claim::Discard;
                let block = BlockRef { piece: whole.piece, begin: whole.begin + start, len };
                self.landed.push((block, filled));
            }
        }
        used
    }

    /// Tells of the blocks that are complete.
    fn report(self, events: &mut Vec<Event>) {
        let slot_id = self.asked.slot.id;
        events.extend(self.landed.into_iter().map(|(block, filled)| Event::Block { slot_id, block, filled }));
    }
}

/// The blocks of 16 KiB in a request of ours.
fn blocks(whole: BlockRef) -> impl Iterator<Item = BlockRef> {
    (0..whole.len).step_by(BLOCK_BYTES as usize).map(move |at| BlockRef {
        piece: whole.piece,
        begin: whole.begin + at,
        len: (whole.len - at).min(BLOCK_BYTES),
    })
}

const _: () = assert!(BLOCK_BYTES_WIRE_MAX.is_multiple_of(BLOCK_BYTES));

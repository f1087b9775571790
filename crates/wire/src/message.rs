//! What peers say to each other.

use bytes::Bytes;
use peerage_types::Sha256;
use peerage_types::limits::{BLOCK_BYTES, WIRE_MESSAGE_BYTES_MAX};

/// The largest block in one `piece` message. Standard clients use 16 KiB; between our own peers up to this
/// much is negotiated (`peerage_block_max`).
pub const BLOCK_BYTES_WIRE_MAX: u32 = 256 * 1024;

const _: () = assert!(BLOCK_BYTES <= BLOCK_BYTES_WIRE_MAX);
const _: () = assert!((BLOCK_BYTES_WIRE_MAX as usize) < WIRE_MESSAGE_BYTES_MAX);

/// A run of bytes inside one piece, as `request`, `cancel` and `reject` name it (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// Piece index.
    pub piece: u32,
    /// Offset of the first byte inside the piece.
    pub begin: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A run of hashes in one file's merkle tree (BEP 52, "New messages").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRange {
    /// The file's `pieces root`.
    pub root: Sha256,
    /// Layer of the wanted hashes; 0 are the leaves.
    pub base_layer: u32,
    /// First wanted hash inside that layer.
    pub index: u32,
    /// How many hashes of that layer.
    pub length: u32,
    /// How many layers of uncle hashes follow as proof.
    pub proof_layers: u32,
}

/// One message. Payloads are slices of the buffer they were decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// No payload and no id: only keeps the connection open.
    KeepAlive,
    /// 0: the sender answers no requests from now on.
    Choke,
    /// 1: the sender answers requests.
    Unchoke,
    /// 2: the sender wants pieces that the receiver has.
    Interested,
    /// 3: it does not.
    NotInterested,
    /// 4: the sender now has this piece.
    Have(u32),
    /// 5: what the sender has; turn it into a [`Bitfield`](crate::Bitfield) with the torrent's piece count.
    Bitfield(Bytes),
    /// 6: please send this block.
    Request(BlockRef),
    /// 7: a block's bytes.
    Piece {
        /// Piece index.
        piece: u32,
        /// Offset of the first byte inside the piece.
        begin: u32,
        /// The bytes, at most [`BLOCK_BYTES_WIRE_MAX`].
        data: Bytes,
    },
    /// 8: that block is no longer wanted.
    Cancel(BlockRef),
    /// 13: a piece that is cheap for the sender to send (BEP 6).
    Suggest(u32),
    /// 14: instead of a full bitfield (BEP 6).
    HaveAll,
    /// 15: instead of an empty bitfield (BEP 6).
    HaveNone,
    /// 16: this request will not be answered (BEP 6).
    Reject(BlockRef),
    /// 17: this piece may be requested although choked (BEP 6).
    AllowedFast(u32),
    /// 20: BEP 10; id 0 is the [`ExtendedHandshake`](crate::ExtendedHandshake).
    Extended {
        /// Which extension, in the receiver's numbering.
        id: u8,
        /// Its payload.
        payload: Bytes,
    },
    /// 21: please send these hashes (BEP 52).
    HashRequest(HashRange),
    /// 22: hashes of the base layer, then the proof (BEP 52).
    Hashes {
        /// What was asked for.
        range: HashRange,
        /// The hashes; the receiver checks their number against `range`.
        hashes: Vec<Sha256>,
    },
    /// 23: these hashes will not be sent (BEP 52).
    HashReject(HashRange),
    /// Any other id: its payload is dropped and the receiver ignores it.
    Unknown {
        /// The id.
        id: u8,
    },
}

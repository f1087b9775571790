//! Framing: a 4-byte big-endian length, an id, a payload (BEP 3).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use peerage_types::Sha256;
use peerage_types::limits::WIRE_MESSAGE_BYTES_MAX;

use crate::message::{BLOCK_BYTES_WIRE_MAX, BlockRef, HashRange, Message};

/// Bytes before a block's data in a `piece` message: length, id, piece, begin.
pub const PIECE_HEADER_BYTES: usize = 4 + 1 + 4 + 4;

const PREFIX_BYTES: usize = 4;
const HASH_RANGE_BYTES: u32 = 32 + 4 * 4;

/// Why a peer's bytes are not the peer protocol. The peer is at fault: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length prefix exceeds [`WIRE_MESSAGE_BYTES_MAX`].
    #[error("a message of {len} bytes was announced, at most {WIRE_MESSAGE_BYTES_MAX} are allowed")]
    TooLong {
        /// The announced length.
        len: u32,
    },
    /// The length does not fit the message's id.
    #[error("message {id} announced {len} bytes (its id included), expected {expected}")]
    Length {
        /// The message's id.
        id: u8,
        /// The announced length, id included.
        len: u32,
        /// What its kind allows.
        expected: Expected,
    },
}

/// The lengths that a message id allows, id included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this many bytes.
    Exactly(u32),
    /// Between these, both included.
    Between(u32, u32),
    /// This many and a multiple of 32 more.
    Hashes(u32),
}

impl Expected {
    fn of(id: u8) -> Self {
        match id {
            id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
                Self::Exactly(1)
            }
            id::HAVE | id::SUGGEST | id::ALLOWED_FAST => Self::Exactly(5),
            id::REQUEST | id::CANCEL | id::REJECT => Self::Exactly(13),
            id::PIECE => Self::Between(9, 9 + BLOCK_BYTES_WIRE_MAX),
            id::EXTENDED => Self::Between(2, WIRE_MESSAGE_BYTES_MAX as u32),
            id::HASH_REQUEST | id::HASH_REJECT => Self::Exactly(1 + HASH_RANGE_BYTES),
            id::HASHES => Self::Hashes(1 + HASH_RANGE_BYTES),
            _ => Self::Between(1, WIRE_MESSAGE_BYTES_MAX as u32),
        }
    }

    fn allows(self, len: u32) -> bool {
        match self {
            Self::Exactly(exact) => len == exact,
            Self::Between(min, max) => (min..=max).contains(&len),
            Self::Hashes(base) => len >= base && (len - base).is_multiple_of(Sha256::LEN as u32),
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(exact) => write!(f, "{exact}"),
            Self::Between(min, max) => write!(f, "{min} to {max}"),
            Self::Hashes(base) => write!(f, "{base} and a multiple of 32"),
        }
    }
}

/// Takes one message off the front of `input`; `None` when it is not complete yet (read [`needed`] more
/// bytes). Payloads are slices of `input`'s memory, nothing is copied except hashes. Never reserves. After an
/// error `input` is as it was, and useless.
///
/// # Errors
/// As soon as the length prefix, or the id behind it, shows that the message cannot be valid.
pub fn decode(input: &mut BytesMut) -> Result<Option<Message>, WireError> {
    let Some(len) = frame_len(input)? else { return Ok(None) };
    if input.len() < PREFIX_BYTES + len {
        return Ok(None);
    }
    input.advance(PREFIX_BYTES);
    if len == 0 {
        return Ok(Some(Message::KeepAlive));
    }
    let id = input[0];
    // A payload that is only numbers is read in place: splitting it off would cost a reference count.
    let message = match id {
        id::BITFIELD | id::PIECE | id::EXTENDED => {
            let mut body = input.split_to(len).freeze();
            body.advance(1);
            return Ok(Some(with_payload(id, body)));
        }
        _ => without_payload(id, &input[1..len]),
    };
    input.advance(len);
    Ok(Some(message))
}

/// How many bytes must at least be added to `input` before [`decode`] can get further: the rest of the length
/// prefix, or of the message. 0 when a message is complete or `decode` would report an error. Never more than
/// [`WIRE_MESSAGE_BYTES_MAX`].
pub fn needed(input: &[u8]) -> usize {
    match frame_len(input) {
        Ok(None) => PREFIX_BYTES - input.len(),
        Ok(Some(len)) => (PREFIX_BYTES + len).saturating_sub(input.len()),
        Err(_) => 0,
    }
}

/// Appends `message`. Its size is the caller's responsibility: what we send comes from checked metainfo, so it
/// keeps within [`WIRE_MESSAGE_BYTES_MAX`].
pub fn encode(message: &Message, out: &mut BytesMut) {
    match message {
        Message::KeepAlive => out.put_u32(0),
        Message::Choke => head(id::CHOKE, 0, out),
        Message::Unchoke => head(id::UNCHOKE, 0, out),
        Message::Interested => head(id::INTERESTED, 0, out),
        Message::NotInterested => head(id::NOT_INTERESTED, 0, out),
        Message::Have(piece) => put_piece(id::HAVE, *piece, out),
        Message::Bitfield(bits) => {
            head(id::BITFIELD, bits.len(), out);
            out.put_slice(bits);
        }
        Message::Request(block) => put_block(id::REQUEST, *block, out),
        Message::Piece { piece, begin, data } => {
            encode_piece_header(*piece, *begin, data.len() as u32, out);
            out.put_slice(data);
        }
        Message::Cancel(block) => put_block(id::CANCEL, *block, out),
        Message::Suggest(piece) => put_piece(id::SUGGEST, *piece, out),
        Message::HaveAll => head(id::HAVE_ALL, 0, out),
        Message::HaveNone => head(id::HAVE_NONE, 0, out),
        Message::Reject(block) => put_block(id::REJECT, *block, out),
        Message::AllowedFast(piece) => put_piece(id::ALLOWED_FAST, *piece, out),
        Message::Extended { id, payload } => {
            head(id::EXTENDED, 1 + payload.len(), out);
            out.put_u8(*id);
            out.put_slice(payload);
        }
        Message::HashRequest(range) => put_range(id::HASH_REQUEST, range, &[], out),
        Message::Hashes { range, hashes } => put_range(id::HASHES, range, hashes, out),
        Message::HashReject(range) => put_range(id::HASH_REJECT, range, &[], out),
        Message::Unknown { id } => head(*id, 0, out),
    }
}

/// Appends everything of a `piece` message but its `len` bytes of data, which the caller writes from elsewhere
/// (vectored write).
pub fn encode_piece_header(piece: u32, begin: u32, len: u32, out: &mut BytesMut) {
    debug_assert!(len <= BLOCK_BYTES_WIRE_MAX, "a block of {len} bytes");
    out.reserve(PIECE_HEADER_BYTES);
    out.put_u32(9 + len);
    out.put_u8(id::PIECE);
    out.put_u32(piece);
    out.put_u32(begin);
}

/// Message ids.
mod id {
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const SUGGEST: u8 = 13;
    pub const HAVE_ALL: u8 = 14;
    pub const HAVE_NONE: u8 = 15;
    pub const REJECT: u8 = 16;
    pub const ALLOWED_FAST: u8 = 17;
    pub const EXTENDED: u8 = 20;
    pub const HASH_REQUEST: u8 = 21;
    pub const HASHES: u8 = 22;
    pub const HASH_REJECT: u8 = 23;
}

/// The checked length prefix (id included), `None` before it is complete.
fn frame_len(input: &[u8]) -> Result<Option<usize>, WireError> {
    let Some((prefix, rest)) = input.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*prefix);
    if len as usize > WIRE_MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong { len });
    }
    // The id is checked before its payload is waited for, so nobody reserves for what can only be refused.
    if let (Some(&id), true) = (rest.first(), len > 0) {
        let expected = Expected::of(id);
        if !expected.allows(len) {
            return Err(WireError::Length { id, len, expected });
        }
    }
    Ok(Some(len as usize))
}

/// `body` has passed [`Expected`].
fn with_payload(id: u8, mut body: Bytes) -> Message {
    match id {
        id::BITFIELD => Message::Bitfield(body),
        id::PIECE => Message::Piece { piece: body.get_u32(), begin: body.get_u32(), data: body },
        _ => Message::Extended { id: body.get_u8(), payload: body },
    }
}

/// `body` has passed [`Expected`].
fn without_payload(id: u8, mut body: &[u8]) -> Message {
    match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(body.get_u32()),
        id::REQUEST => Message::Request(get_block(body)),
        id::CANCEL => Message::Cancel(get_block(body)),
        id::SUGGEST => Message::Suggest(body.get_u32()),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT => Message::Reject(get_block(body)),
        id::ALLOWED_FAST => Message::AllowedFast(body.get_u32()),
        id::HASH_REQUEST => Message::HashRequest(get_range(&mut body)),
        id::HASHES => {
            let range = get_range(&mut body);
            // As many as really arrived, whatever `range` claims.
            let hashes = body.chunks_exact(Sha256::LEN).filter_map(Sha256::from_slice).collect();
            Message::Hashes { range, hashes }
        }
        id::HASH_REJECT => Message::HashReject(get_range(&mut body)),
        _ => Message::Unknown { id },
    }
}

fn get_block(mut body: &[u8]) -> BlockRef {
    BlockRef { piece: body.get_u32(), begin: body.get_u32(), len: body.get_u32() }
}

fn get_range(body: &mut &[u8]) -> HashRange {
    let mut root = Sha256([0; Sha256::LEN]);
    body.copy_to_slice(&mut root.0);
    HashRange {
        root,
        base_layer: body.get_u32(),
        index: body.get_u32(),
        length: body.get_u32(),
        proof_layers: body.get_u32(),
    }
}

fn head(id: u8, payload: usize, out: &mut BytesMut) {
    debug_assert!(payload < WIRE_MESSAGE_BYTES_MAX, "message {id} with {payload} bytes");
    out.reserve(PREFIX_BYTES + 1 + payload);
    out.put_u32(1 + payload as u32);
    out.put_u8(id);
}

fn put_piece(id: u8, piece: u32, out: &mut BytesMut) {
    head(id, 4, out);
    out.put_u32(piece);
}

fn put_block(id: u8, block: BlockRef, out: &mut BytesMut) {
    head(id, 12, out);
    out.put_u32(block.piece);
    out.put_u32(block.begin);
    out.put_u32(block.len);
}

fn put_range(id: u8, range: &HashRange, hashes: &[Sha256], out: &mut BytesMut) {
    head(id, HASH_RANGE_BYTES as usize + hashes.len() * Sha256::LEN, out);
    out.put_slice(&range.root.0);
    for number in [range.base_layer, range.index, range.length, range.proof_layers] {
        out.put_u32(number);
    }
    for hash in hashes {
        out.put_slice(&hash.0);
    }
}

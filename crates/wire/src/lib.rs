//! The BitTorrent peer protocol as bytes: handshakes, framing, messages and the bitfield (BEP 3, 6, 10, 52).
//!
//! Pure functions over buffers, driven by `node`'s connection tasks: bytes that came from the socket go into
//! [`decode`], answers leave through [`encode`]. Nothing here knows what a message means; that is `swarm`'s
//! business. Input is hostile: every length is checked before anything is kept or reserved, and no input panics.

mod bitfield;
mod codec;
mod extended;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod message;
mod records;

pub use bitfield::{Bitfield, BitfieldError, IterSet};
pub use codec::{Expected, PIECE_HEADER_BYTES, WireError, decode, encode, encode_piece_header, needed};
pub use extended::{
    CERT_BYTES_MAX, CLIENT_BYTES_MAX, EXTENDED_HANDSHAKE_ID, EXTENSION_NAME_BYTES_MAX, EXTENSIONS_MAX,
    ExtendedError, ExtendedHandshake,
};
pub use handshake::{HANDSHAKE_BYTES, Handshake, HandshakeError};
pub use message::{BLOCK_BYTES_WIRE_MAX, BlockRef, HashRange, Message};
pub use records::{
    Answer, Ask, HEADS_MAX, Heads, KNOWN_MAX, RECORDS_BYTES_MAX, RECORDS_EXTENSION, ROWS_BYTES_MAX,
    RecordsError, RecordsMessage, SHORT_ID_BYTES,
};

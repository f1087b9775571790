//! The fixed 68 bytes that open a connection (BEP 3).

use peerage_types::InfoHashV1;

/// Length of an encoded [`Handshake`].
pub const HANDSHAKE_BYTES: usize = 1 + PROTOCOL.len() + 8 + 20 + 20;

const PROTOCOL: &[u8; 19] = b"BitTorrent protocol";
/// The first byte: the protocol name's length. A TLS record starts with 0x16 instead.
const PROTOCOL_BYTES: u8 = PROTOCOL.len() as u8;

/// A capability bit: byte of `reserved`, mask.
type Bit = (usize, u8);
const EXTENDED: Bit = (5, 0x10);
const FAST: Bit = (7, 0x04);
const V2: Bit = (7, 0x10);

/// The peer is at fault: what it speaks is not BitTorrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first 20 bytes are not the protocol's name.
    #[error("the handshake starts with byte {first}, expected 19 and `BitTorrent protocol`")]
    NotBitTorrent {
        /// The first byte received.
        first: u8,
    },
}

/// The first thing each side sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Capability bits.
    pub reserved: [u8; 8],
    /// SHA-1 info hash, or the first 20 bytes of the SHA-256 one (BEP 52, "Upgrade path").
    pub info_hash: InfoHashV1,
    /// Chosen by the sender; ours is `-PG` and random bytes.
    pub peer_id: [u8; 20],
}

impl Handshake {
    /// Ours: speaks BEP 10, BEP 6 and BEP 52.
    pub fn new(info_hash: InfoHashV1, peer_id: [u8; 20]) -> Self {
        let mut reserved = [0; 8];
        for (byte, mask) in [EXTENDED, FAST, V2] {
            reserved[byte] |= mask;
        }
        Self { reserved, info_hash, peer_id }
    }

    /// Whether the sender speaks the extension protocol (BEP 10).
    pub fn supports_extended(&self) -> bool {
        self.has(EXTENDED)
    }

    /// Whether the sender speaks the fast extension (BEP 6).
    pub fn fast(&self) -> bool {
        self.has(FAST)
    }

    /// Whether the sender can go on with the v2 info hash of a hybrid torrent (BEP 52).
    pub fn v2(&self) -> bool {
        self.has(V2)
    }

    /// The bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_BYTES] {
        let mut bytes = [0; HANDSHAKE_BYTES];
        bytes[0] = PROTOCOL_BYTES;
        bytes[1..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id);
        bytes
    }

    /// Reads the other side's handshake.
    ///
    /// # Errors
    /// When the bytes do not start with the protocol's name.
    pub fn decode(bytes: &[u8; HANDSHAKE_BYTES]) -> Result<Self, HandshakeError> {
        if bytes[0] != PROTOCOL_BYTES || &bytes[1..20] != PROTOCOL {
            return Err(HandshakeError::NotBitTorrent { first: bytes[0] });
        }
        let mut shake = Self { reserved: [0; 8], info_hash: InfoHashV1([0; 20]), peer_id: [0; 20] };
        shake.reserved.copy_from_slice(&bytes[20..28]);
        shake.info_hash.0.copy_from_slice(&bytes[28..48]);
        shake.peer_id.copy_from_slice(&bytes[48..]);
        Ok(shake)
    }

    fn has(&self, (byte, mask): Bit) -> bool {
        self.reserved[byte] & mask != 0
    }
}

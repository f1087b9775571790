//! Identifiers. All are raw bytes; text forms are lower-case base32 or hex and only for people.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Decoder, Encode, Encoder};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Parses a byte slice of exactly [`Self::LEN`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Lower-case hexadecimal, `2 * LEN` characters.
            pub fn to_hex(&self) -> String {
                HEXLOWER.encode(&self.0)
            }

            /// Parses what [`Self::to_hex`] prints.
            pub fn from_hex(text: &str) -> Option<Self> {
                HEXLOWER.decode(text.to_ascii_lowercase().as_bytes()).ok().and_then(|b| Self::from_slice(&b))
            }

            /// The first eight base32 characters (40 bits): enough to tell two things apart on a screen.
            pub fn tag(&self) -> String {
                let mut text = BASE32_NOPAD.encode(&self.0[..5]);
                text.make_ascii_lowercase();
                text
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.tag())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
                ByteArray::<$len>::decode(d, ctx).map(|b| Self(b.into()))
            }
        }
    };
}

id!(
    /// The trackers that share one keyring: random, never changes.
    ClusterId, 16
);
id!(
    /// One tracker's installation: random, kept with its database.
    TrackerId, 16
);
id!(
    /// A person: BLAKE3 of the identity public key, so the id certifies itself.
    UserId, 32
);
id!(
    /// A group: the record id of its genesis.
    GroupId, 32
);
id!(
    /// An ed25519 public key (RFC 8032), 32 bytes.
    PublicKey, 32
);
id!(
    /// BLAKE3 of a record's signed bytes (without the signature).
    RecordId, 32
);
id!(
    /// Content identity: SHA-256 over the list of (path, size, BEP 52 `pieces root`).
    ContentId, 32
);
id!(
    /// BEP 52 info hash: SHA-256 of the bencoded info dictionary.
    InfoHash, 32
);
id!(
    /// BEP 3 info hash: SHA-1 of the bencoded info dictionary.
    InfoHashV1, 20
);
id!(
    /// BLAKE3 of the whole metainfo file: the key under which trackers and peers keep it.
    MetainfoId, 32
);
id!(
    /// A SHA-256 digest, such as a BEP 52 leaf or piece-layer hash.
    Sha256, 32
);

/// One installation of one account. The id *is* its ed25519 public key, which is also its TLS key.
pub type DeviceId = PublicKey;

impl UserId {
    /// The id of the person who holds this identity key.
    pub fn of_identity(identity: &PublicKey) -> Self {
        Self(blake3::derive_key("peerage 2026 user id", &identity.0))
    }
}

impl From<RecordId> for GroupId {
    fn from(genesis: RecordId) -> Self {
        Self(genesis.0)
    }
}

impl From<GroupId> for RecordId {
    fn from(group: GroupId) -> Self {
        Self(group.0)
    }
}

impl MetainfoId {
    /// The content address of a metainfo file.
    pub fn of(metainfo: &[u8]) -> Self {
        Self(blake3::derive_key("peerage 2026 metainfo id", metainfo))
    }
}

impl InfoHash {
    /// The first 20 bytes: what goes into the BitTorrent handshake (BEP 52, "Upgrade path").
    pub fn truncated(&self) -> InfoHashV1 {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        InfoHashV1(short)
    }
}

/// The unit of views, caching and (later) sharding: one account or one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Scope {
    /// Everything about one person's account.
    #[n(0)]
    Account(#[n(0)] UserId),
    /// Everything about one group.
    #[n(1)]
    Group(#[n(0)] GroupId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_cbor_round_trip() {
        let id = UserId::of_identity(&PublicKey([7; 32]));
        assert_eq!(UserId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(UserId::from_hex("00"), None);
        let scope = Scope::Account(id);
        let bytes = minicbor::to_vec(scope).unwrap();
        assert_eq!(minicbor::decode::<Scope>(&bytes).unwrap(), scope);
        assert!(minicbor::decode::<UserId>(&[0x42, 1, 2]).is_err());
    }
}

//! The extension protocol's own handshake (BEP 10), which also carries a device's certificates.

use std::collections::BTreeMap;

use bytes::Bytes;
use peerage_bencode::{BencodeError, Dict, Value};

use crate::records::{HEADS_MAX, Heads};

/// The extended message id of the handshake itself.
pub const EXTENDED_HANDSHAKE_ID: u8 = 0;
/// Longest `v` (client name and version) that we keep; the rest is cut off.
pub const CLIENT_BYTES_MAX: usize = 128;
/// Most entries in `m`.
pub const EXTENSIONS_MAX: usize = 64;
/// Longest extension name in `m`; longer ones are unknown to us by definition and skipped.
pub const EXTENSION_NAME_BYTES_MAX: usize = 64;
/// Longest `peerage_cert`: a handful of account records, one of them an AuthRecord of 16 KiB.
pub const CERT_BYTES_MAX: usize = 64 * 1024;

/// Longest payload that is decoded at all: bounds what a peer can make us build from `d1:ai0e…`.
const PAYLOAD_BYTES_MAX: usize = 128 * 1024;

const _: () = assert!(
    CERT_BYTES_MAX + (1 + HEADS_MAX) * 32 + EXTENSIONS_MAX * (EXTENSION_NAME_BYTES_MAX + 16)
        < PAYLOAD_BYTES_MAX
);

/// The peer is at fault: its extended handshake cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtendedError {
    /// Larger than any honest handshake.
    #[error("the extended handshake has {0} bytes, at most {PAYLOAD_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Not canonical bencode.
    #[error("the extended handshake is not canonical bencode: {0}")]
    Bencode(#[from] BencodeError),
    /// Not a dictionary.
    #[error("the extended handshake is not a dictionary")]
    NotADictionary,
    /// A key with a value of the wrong kind, or out of its range.
    #[error("`{key}` in the extended handshake is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
}

/// What one side tells about itself at the start (BEP 10). Every field may be missing; unknown keys are
/// ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// `v`: client name and version; empty if not given. Cut at [`CLIENT_BYTES_MAX`]. From a stranger: may
    /// hold anything.
    pub client: String,
    /// `reqq`: how many requests the sender queues.
    pub request_queue: Option<u32>,
    /// `p`: where the sender listens.
    pub listen_port: Option<u16>,
    /// `metadata_size` (BEP 9): length of the info dictionary in bytes.
    pub metadata_size: Option<u32>,
    /// `m`: extension name to the id under which the sender wants to receive it; 0 means disabled.
    pub messages: BTreeMap<String, u8>,
    /// `peerage_cert`: encoded CBOR list of the account records that certify the sender's device.
    pub peerage_cert: Option<Bytes>,
    /// `peerage_block_max`: largest block the sender accepts in a request, in bytes.
    pub block_bytes_max: Option<u32>,
    /// `peerage_heads`: what the sender knows of the group that the torrent belongs to.
    pub peerage_heads: Option<Heads>,
}

impl ExtendedHandshake {
    /// The payload of an `extended` message with [`EXTENDED_HANDSHAKE_ID`].
    pub fn encode(&self) -> Bytes {
        let messages: Dict<'_> =
            self.messages.iter().map(|(name, id)| (name.as_bytes(), Value::from(*id))).collect();
        let heads = self.peerage_heads.as_ref().map(Heads::to_bytes);
        let mut dict = Dict::new().with("m", messages);
        if let Some(size) = self.metadata_size {
            dict.insert("metadata_size", size);
        }
        if let Some(port) = self.listen_port {
            dict.insert("p", port);
        }
        if let Some(bytes) = self.block_bytes_max {
            dict.insert("peerage_block_max", bytes);
        }
        if let Some(cert) = &self.peerage_cert {
            dict.insert("peerage_cert", cert.as_ref());
        }
        if let Some(heads) = &heads {
            dict.insert("peerage_heads", heads.as_ref());
        }
        if let Some(queue) = self.request_queue {
            dict.insert("reqq", queue);
        }
        if !self.client.is_empty() {
            dict.insert("v", self.client.as_str());
        }
        let mut out = Vec::new();
        peerage_bencode::encode(&Value::from(dict), &mut out);
        out.into()
    }

    /// Reads the other side's.
    ///
    /// # Errors
    /// When `payload` is not one canonical dictionary, or a key that we know has an impossible value.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(ExtendedError::TooLong(payload.len()));
        }
        let value = peerage_bencode::decode(payload)?;
        let dict = value.as_dict().ok_or(ExtendedError::NotADictionary)?;
        Ok(Self {
            client: dict.get("v").map(client).transpose()?.unwrap_or_default(),
            request_queue: number(dict, "reqq")?,
            listen_port: number(dict, "p")?.filter(|port| *port != 0),
            metadata_size: number(dict, "metadata_size")?,
            messages: dict.get("m").map(messages).transpose()?.unwrap_or_default(),
            peerage_cert: dict.get("peerage_cert").map(cert).transpose()?,
            block_bytes_max: number(dict, "peerage_block_max")?,
            peerage_heads: dict.get("peerage_heads").map(heads).transpose()?,
        })
    }
}

fn number<T: TryFrom<i64>>(dict: &Dict<'_>, key: &'static str) -> Result<Option<T>, ExtendedError> {
    let Some(value) = dict.get(key) else { return Ok(None) };
    let expected = match size_of::<T>() {
        2 => "a number of 16 bits",
        _ => "a number of 32 bits",
    };
    let number = value.as_int().and_then(|int| T::try_from(int).ok());
    number.map(Some).ok_or(ExtendedError::Value { key, expected })
}

fn client(value: &Value<'_>) -> Result<String, ExtendedError> {
    let bytes = value.as_bytes().ok_or(ExtendedError::Value { key: "v", expected: "a string" })?;
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(CLIENT_BYTES_MAX)]).into_owned();
    // Replacement characters are longer than what they replace.
    text.truncate(text.floor_char_boundary(CLIENT_BYTES_MAX));
    Ok(text)
}

fn messages(value: &Value<'_>) -> Result<BTreeMap<String, u8>, ExtendedError> {
    let wrong = |expected| ExtendedError::Value { key: "m", expected };
    let dict = value.as_dict().ok_or(wrong("a dictionary"))?;
    if dict.len() > EXTENSIONS_MAX {
        return Err(wrong("a dictionary of at most 64 extensions"));
    }
    let mut messages = BTreeMap::new();
    for (name, id) in dict.iter() {
        let id = id.as_int().and_then(|int| u8::try_from(int).ok());
        let id = id.ok_or(wrong("a dictionary of numbers from 0 to 255"))?;
        match std::str::from_utf8(name) {
            Ok(name) if name.len() <= EXTENSION_NAME_BYTES_MAX => messages.insert(name.to_owned(), id),
            _ => None,
        };
    }
    Ok(messages)
}

fn cert(value: &Value<'_>) -> Result<Bytes, ExtendedError> {
    let fits = |bytes: &&[u8]| bytes.len() <= CERT_BYTES_MAX;
    let bytes = value.as_bytes().filter(fits);
    let expected = "a string of at most 64 KiB";
    bytes.map(Bytes::copy_from_slice).ok_or(ExtendedError::Value { key: "peerage_cert", expected })
}

fn heads(value: &Value<'_>) -> Result<Heads, ExtendedError> {
    let expected = "a digest and at most 255 ids";
    let heads = value.as_bytes().and_then(Heads::from_bytes);
    heads.ok_or(ExtendedError::Value { key: "peerage_heads", expected })
}

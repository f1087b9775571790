//! How members hand each other the group's signed records: what each knows in the extended handshake
//! (`peerage_heads`), then the messages of the extension `peerage_records` (BEP 10).
//!
//! ```text
//! A  heads(digest, ends) ─────────────────────► B
//! A ◄───────────────────────── ask(range, what B has of it)
//! A  answer(rows that B lacks, how far) ──────► B  asks on until the range is done
//! ```
//! The rows are opaque here; whoever receives them checks every signature in them.

use bytes::Bytes;
use peerage_bencode::{BencodeError, Dict, Value};
use peerage_types::RecordId;

/// The extension's name in `m`.
pub const RECORDS_EXTENSION: &str = "peerage_records";
/// Ends of chains in [`Heads`]: one per device that wrote lately; a group with more names the latest.
pub const HEADS_MAX: usize = 255;
/// Records that an [`Ask`] says are known; a larger range is asked for in parts.
pub const KNOWN_MAX: usize = 8_192;
/// Bytes of an id by which an [`Ask`] names a known record. Two ids that share them cost one record that comes late.
pub const SHORT_ID_BYTES: usize = 8;
/// Rows in one [`Answer`], encoded.
pub const ROWS_BYTES_MAX: usize = 112 * 1024;
/// Longest message.
pub const RECORDS_BYTES_MAX: usize = 128 * 1024;

const ID_BYTES: usize = RecordId::LEN;

const _: () = assert!(ROWS_BYTES_MAX + 1024 < RECORDS_BYTES_MAX);
const _: () = assert!(KNOWN_MAX * SHORT_ID_BYTES + 1024 < RECORDS_BYTES_MAX);
const _: () = assert!((1 + HEADS_MAX) * ID_BYTES + 1024 < RECORDS_BYTES_MAX);

/// The peer is at fault: this is no message of the extension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// Longer than any honest message.
    #[error("the message has {0} bytes, at most {RECORDS_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Not canonical bencode.
    #[error("the message is not canonical bencode: {0}")]
    Bencode(#[from] BencodeError),
    /// A key that is missing or has an impossible value.
    #[error("`{key}` in the message is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
}

/// What one side knows of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads {
    /// Over all records: equal digests, equal knowledge.
    pub digest: [u8; 32],
    /// The last records of every chain, at most [`HEADS_MAX`].
    pub ends: Vec<RecordId>,
}

impl Heads {
    /// As `peerage_heads` carries it: the digest, then the ids, 32 bytes each.
    pub fn to_bytes(&self) -> Bytes {
        let ends = self.ends.iter().take(HEADS_MAX).flat_map(|id| id.0);
        self.digest.into_iter().chain(ends).collect()
    }

    /// Reads what [`Self::to_bytes`] wrote; nothing if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (digest, ends) = bytes.split_first_chunk::<32>()?;
        if !ends.len().is_multiple_of(ID_BYTES) || ends.len() > HEADS_MAX * ID_BYTES {
            return None;
        }
        let ends = ends.chunks_exact(ID_BYTES).filter_map(RecordId::from_slice).collect();
        Some(Self { digest: *digest, ends })
    }
}

/// "What do you have in this range of ids that I lack?"
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// The range begins behind this id; `None`: at the first.
    pub after: Option<RecordId>,
    /// It ends with this id; `None`: with the last.
    pub until: Option<RecordId>,
    /// The beginnings of the ids in it that the asker has, at most [`KNOWN_MAX`].
    pub known: Vec<[u8; SHORT_ID_BYTES]>,
}

/// Rows that the asker lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Encoded, at most [`ROWS_BYTES_MAX`].
    pub rows: Bytes,
    /// The range is done up to this id and there is more; `None`: all of it is done.
    pub through: Option<RecordId>,
}

/// One message of the extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordsMessage {
    /// The sender knows more than it did.
    Heads(Heads),
    /// See [`Ask`].
    Ask(Ask),
    /// See [`Answer`].
    Answer(Answer),
}

impl RecordsMessage {
    /// The payload of an `extended` message.
    pub fn encode(&self) -> Bytes {
        let heads;
        let known;
        let dict = match self {
            Self::Heads(told) => {
                heads = told.to_bytes();
                Dict::new().with("heads", heads.as_ref()).with("msg_type", 0_u8)
            }
            Self::Ask(ask) => {
                known = ask.known.concat();
                let mut dict = Dict::new().with("known", known.as_slice()).with("msg_type", 1_u8);
                if let Some(after) = &ask.after {
                    dict.insert("after", after.0.as_slice());
                }
                if let Some(until) = &ask.until {
                    dict.insert("until", until.0.as_slice());
                }
                dict
            }
            Self::Answer(answer) => {
                let mut dict = Dict::new().with("msg_type", 2_u8).with("rows", answer.rows.as_ref());
                if let Some(through) = &answer.through {
                    dict.insert("through", through.0.as_slice());
                }
                dict
            }
        };
        let mut out = Vec::new();
        peerage_bencode::encode(&Value::from(dict), &mut out);
        out.into()
    }

    /// Reads what the other side sent.
    ///
    /// # Errors
    /// When it is not one of the messages, or longer than they may be.
    pub fn decode(payload: &[u8]) -> Result<Self, RecordsError> {
        if payload.len() > RECORDS_BYTES_MAX {
            return Err(RecordsError::TooLong(payload.len()));
        }
        let value = peerage_bencode::decode(payload)?;
        let wrong = |key, expected| RecordsError::Value { key, expected };
        let dict = value.as_dict().ok_or(wrong("message", "a dictionary"))?;
        let bytes = |key| dict.get(key).and_then(Value::as_bytes);
        match dict.get("msg_type").and_then(Value::as_int) {
            Some(0) => {
                let heads = bytes("heads").and_then(Heads::from_bytes);
                heads.map(Self::Heads).ok_or(wrong("heads", "a digest and at most 255 ids"))
            }
            Some(1) => {
                let known = bytes("known").filter(|known| {
                    known.len().is_multiple_of(SHORT_ID_BYTES) && known.len() <= KNOWN_MAX * SHORT_ID_BYTES
                });
                let known = known.ok_or(wrong("known", "at most 8192 beginnings of ids"))?;
                let known = known.as_chunks::<SHORT_ID_BYTES>().0.to_vec();
                Ok(Self::Ask(Ask { after: id(dict, "after")?, until: id(dict, "until")?, known }))
            }
            Some(2) => {
                let rows = bytes("rows").filter(|rows| rows.len() <= ROWS_BYTES_MAX);
                let rows = rows.ok_or(wrong("rows", "a string of at most 112 KiB"))?;
                let rows = Bytes::copy_from_slice(rows);
                Ok(Self::Answer(Answer { rows, through: id(dict, "through")? }))
            }
            _ => Err(wrong("msg_type", "0, 1 or 2")),
        }
    }
}

fn id(dict: &Dict<'_>, key: &'static str) -> Result<Option<RecordId>, RecordsError> {
    let Some(value) = dict.get(key) else { return Ok(None) };
    let id = value.as_bytes().and_then(RecordId::from_slice);
    id.map(Some).ok_or(RecordsError::Value { key, expected: "an id of 32 bytes" })
}

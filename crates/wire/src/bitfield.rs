//! A set of piece indices.

use bytes::Bytes;

/// The peer is at fault: its bitfield does not describe this torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// Wrong number of bytes.
    #[error("the bitfield has {got} bytes, expected {expected} for {pieces} pieces")]
    Length {
        /// Bytes received.
        got: usize,
        /// Bytes that `pieces` need.
        expected: usize,
        /// The torrent's piece count.
        pieces: u32,
    },
    /// A bit behind the last piece is set.
    #[error("the bitfield has bits set behind its {pieces} pieces, expected zeros")]
    Spare {
        /// The torrent's piece count.
        pieces: u32,
    },
}

/// A set of piece indices `0..len`. Keeps its count, so "how many" and "all" cost nothing.
///
/// Invariants: bits behind `len` are 0; `count` is the number of set bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    /// Piece `i` is bit `63 - i % 64` of word `i / 64`: big-endian words are the wire form (BEP 3).
    words: Vec<u64>,
    len: u32,
    count: u32,
}

impl Bitfield {
    /// No piece of `len`.
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize], len, count: 0 }
    }

    /// Every piece of `len`.
    pub fn full(len: u32) -> Self {
        let mut bits = Self { words: vec![u64::MAX; len.div_ceil(64) as usize], len, count: len };
        if let Some(last) = bits.words.last_mut() {
            *last &= tail_mask(len);
        }
        bits
    }

    /// Reads a `bitfield` message for a torrent of `len` pieces.
    ///
    /// # Errors
    /// When `bytes` has not exactly the length that `len` needs, or a spare bit is set.
    pub fn from_wire(bytes: &[u8], len: u32) -> Result<Self, BitfieldError> {
        let expected = len.div_ceil(8) as usize;
        if bytes.len() != expected {
            return Err(BitfieldError::Length { got: bytes.len(), expected, pieces: len });
        }
        let words: Vec<u64> = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_be_bytes(word)
            })
            .collect();
        if words.last().is_some_and(|last| last & !tail_mask(len) != 0) {
            return Err(BitfieldError::Spare { pieces: len });
        }
        let count = words.iter().map(|w| w.count_ones()).sum();
        Ok(Self { words, len, count })
    }

    /// The `bitfield` message's payload.
    pub fn to_wire(&self) -> Bytes {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|w| w.to_be_bytes()).collect();
        bytes.truncate(self.len.div_ceil(8) as usize);
        bytes.into()
    }

    /// How many pieces there are, set or not.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are no pieces at all (`len` is 0).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many are set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether all are set.
    pub fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether `piece` is set; false behind the end.
    pub fn get(&self, piece: u32) -> bool {
        self.words.get(word(piece)).is_some_and(|w| w & mask(piece) != 0)
    }

    /// Sets `piece`; returns whether that changed anything. Nothing changes behind the end.
    pub fn set(&mut self, piece: u32) -> bool {
        let change = piece < self.len && !self.get(piece);
        if change {
            self.words[word(piece)] |= mask(piece);
            self.count += 1;
        }
        change
    }

    /// Clears `piece`; returns whether that changed anything.
    pub fn clear(&mut self, piece: u32) -> bool {
        let change = self.get(piece);
        if change {
            self.words[word(piece)] &= !mask(piece);
            self.count -= 1;
        }
        change
    }

    /// The set pieces in ascending order.
    pub fn iter_set(&self) -> IterSet<'_> {
        IterSet { words: &self.words, at: 0, left: self.words.first().copied().unwrap_or(0) }
    }

    /// How many are set both here and in `other`.
    pub fn intersection_count(&self, other: &Self) -> u32 {
        self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones()).sum()
    }

    /// How many are set here and not in `other`.
    pub fn difference_count(&self, other: &Self) -> u32 {
        self.count - self.intersection_count(other)
    }

    /// 64 pieces at once: word `i` holds pieces `64 * i ..`, the first in the most significant bit.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

impl std::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitfield({}/{}: ", self.count, self.len)?;
        for piece in self.iter_set().take(32) {
            write!(f, "{piece} ")?;
        }
        f.write_str(if self.count > 32 { "…)" } else { ")" })
    }
}

/// See [`Bitfield::iter_set`].
#[derive(Debug, Clone)]
pub struct IterSet<'a> {
    words: &'a [u64],
    at: usize,
    left: u64,
}

impl Iterator for IterSet<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.at += 1;
            self.left = *self.words.get(self.at)?;
        }
        let bit = self.left.leading_zeros();
        self.left &= !(1 << (63 - bit));
        Some(self.at as u32 * 64 + bit)
    }
}

fn word(piece: u32) -> usize {
    (piece / 64) as usize
}

fn mask(piece: u32) -> u64 {
    1 << (63 - piece % 64)
}

/// Which bits of the last word are pieces.
fn tail_mask(len: u32) -> u64 {
    match len % 64 {
        0 => u64::MAX,
        used => !(u64::MAX >> used),
    }
}

//! How the torrent is cut: pieces of known size, blocks of 16 KiB.

use peerage_types::limits::{BLOCK_BYTES, PIECE_BYTES_MAX};
use peerage_wire::BlockRef;

/// Sizes of all pieces. Comes from a checked metainfo file.
///
/// Invariant: every piece has `1..=piece_length` bytes, so at most 1,024 blocks.
#[derive(Debug, Clone)]
pub struct Layout {
    piece_length: u32,
    piece_bytes: Vec<u32>,
}

impl Layout {
    /// `piece_bytes[i]`: the real bytes of piece `i` (a file's last piece is short).
    ///
    /// # Panics
    /// When a piece is empty or longer than `piece_length`, or `piece_length` exceeds [`PIECE_BYTES_MAX`]: the
    /// metainfo parser never lets that through.
    pub fn new(piece_length: u32, piece_bytes: Vec<u32>) -> Self {
        assert!((1..=PIECE_BYTES_MAX).contains(&piece_length), "pieces of {piece_length} bytes");
        assert!(u32::try_from(piece_bytes.len()).is_ok_and(|n| n < u32::MAX), "{} pieces", piece_bytes.len());
        let wrong = piece_bytes.iter().position(|bytes| !(1..=piece_length).contains(bytes));
        assert!(wrong.is_none(), "piece {wrong:?} is not within 1 to {piece_length} bytes");
        Self { piece_length, piece_bytes }
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.piece_bytes.len() as u32
    }

    /// The nominal length of a piece, in bytes.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The real length of `piece`, in bytes; 0 behind the end.
    pub fn piece_bytes(&self, piece: u32) -> u32 {
        self.piece_bytes.get(piece as usize).copied().unwrap_or(0)
    }

    /// How many blocks `piece` has; 0 behind the end.
    pub fn block_count(&self, piece: u32) -> u32 {
        self.piece_bytes(piece).div_ceil(BLOCK_BYTES)
    }

    /// Block number `index` of `piece`; only the last one is shorter than 16 KiB.
    pub fn block(&self, piece: u32, index: u32) -> BlockRef {
        let begin = index * BLOCK_BYTES;
        BlockRef { piece, begin, len: self.piece_bytes(piece).saturating_sub(begin).min(BLOCK_BYTES) }
    }

    /// The index of `block` inside its piece, if it is one of its blocks exactly.
    pub fn block_index(&self, block: BlockRef) -> Option<u32> {
        let index = block.begin / BLOCK_BYTES;
        (index < self.block_count(block.piece) && self.block(block.piece, index) == block).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_tile_their_piece() {
        let layout = Layout::new(65_536, vec![65_536, 16_385, 1]);
        assert_eq!([0, 1, 2, 3].map(|p| layout.block_count(p)), [4, 2, 1, 0]);
        assert_eq!(layout.block(1, 1), BlockRef { piece: 1, begin: 16_384, len: 1 });
        for piece in 0..3 {
            for index in 0..layout.block_count(piece) {
                assert_eq!(layout.block_index(layout.block(piece, index)), Some(index));
            }
        }
        let odd = |piece, begin, len| layout.block_index(BlockRef { piece, begin, len });
        assert_eq!(odd(0, 1, 16_384), None);
        assert_eq!(odd(0, 0, 16_383), None);
        assert_eq!(odd(2, 16_384, 1), None);
        assert_eq!(odd(3, 0, 16_384), None);
        assert_eq!(odd(0, u32::MAX, 1), None);
    }
}

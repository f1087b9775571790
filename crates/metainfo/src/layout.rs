//! Piece space: where each file's pieces and leaves lie, and how large all of it may be.

use peerage_types::limits::{BLOCK_BYTES, PIECE_BYTES_MAX, PIECE_BYTES_MIN, WIRE_MESSAGE_BYTES_MAX};

use crate::error::MetainfoError;

/// Most files of one share.
pub const FILES_MAX: usize = 1_000_000;

/// Up to so many files the v1 half is written; beyond, its pad files and path lists would outweigh the rest.
pub const HYBRID_FILES_MAX: usize = 10_000;

/// Most components of a path: bencode's depth without the levels outside (`info`, `file tree`) and inside (the
/// file's own dictionary, and the outermost one) of it.
pub const PATH_DEPTH_MAX: usize = peerage_bencode::DEPTH_MAX - 4;

/// Most memory for all paths of one share. A file tree names a folder once for all its files, so paths can be
/// far larger in memory than in the metainfo.
pub const PATHS_MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a path component costs beside its text: the string's header, and the allocator's.
const COMPONENT_MEMORY_BYTES: usize = 40;

/// Most pieces of one share: a bitfield of so many fits into one wire message, with room for its header.
pub const PIECE_COUNT_MAX: u32 = (WIRE_MESSAGE_BYTES_MAX as u32 - 16) * 8;

/// Aim of [`piece_length_for`]: at most so many pieces, at least half of it.
const PIECES_WANTED_MAX: u64 = 2_000;

/// Bytes of a block, which is also a leaf.
pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;

// The padded total, and so every offset and size, stays far below 2^63, which bencode's integers need.
const _: () = assert!(PIECE_COUNT_MAX as u64 * PIECE_BYTES_MAX as u64 <= 1 << 48);

/// The piece length for so many bytes: a power of two from 16 KiB to 16 MiB, chosen for 1,000 to 2,000 pieces.
pub fn piece_length_for(total_bytes: u64) -> u32 {
    let mut length = PIECE_BYTES_MIN;
    while length < PIECE_BYTES_MAX && total_bytes.div_ceil(u64::from(length)) > PIECES_WANTED_MAX {
        length *= 2;
    }
    length
}

/// One file that has content. Empty files have no place in piece space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index of the file in the share's list.
    pub file: usize,
    pub size: u64,
    pub first_piece: u32,
    pub first_leaf: u64,
}

/// Piece space of one share. Spans are sorted by `first_piece` and by `first_leaf`, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub piece_length: u32,
    pub spans: Vec<Span>,
    pub piece_count: u32,
    pub leaf_total: u64,
    pub total_bytes: u64,
}

impl Layout {
    /// Lays out files of these sizes, in order. The caller has checked `piece_length`.
    pub fn new(sizes: impl IntoIterator<Item = u64>, piece_length: u32) -> Result<Self, MetainfoError> {
        let mut layout =
            Self { piece_length, spans: Vec::new(), piece_count: 0, leaf_total: 0, total_bytes: 0 };
        for (file, size) in sizes.into_iter().enumerate() {
            if size == 0 {
                continue;
            }
            let pieces = u32::try_from(size.div_ceil(u64::from(piece_length)))
                .ok()
                .and_then(|pieces| layout.piece_count.checked_add(pieces))
                .filter(|pieces| *pieces <= PIECE_COUNT_MAX)
                .ok_or(MetainfoError::TooManyPieces)?;
            let (first_piece, first_leaf) = (layout.piece_count, layout.leaf_total);
            layout.spans.push(Span { file, size, first_piece, first_leaf });
            layout.piece_count = pieces;
            // No overflow: both are bounded by PIECE_COUNT_MAX · PIECE_BYTES_MAX.
            layout.leaf_total += size.div_ceil(BLOCK);
            layout.total_bytes += size;
        }
        Ok(layout)
    }

    /// The span that holds `piece`, its index among the spans, and the piece's index within the file. `None` when
    /// there is no such piece.
    pub fn locate(&self, piece: u32) -> Option<(usize, &Span, u32)> {
        if piece >= self.piece_count {
            return None;
        }
        let index = self.spans.partition_point(|span| span.first_piece <= piece).checked_sub(1)?;
        let span = self.spans.get(index)?;
        Some((index, span, piece - span.first_piece))
    }

    /// Real bytes of the piece that is `inner`-th of `span`.
    pub fn piece_bytes(&self, span: &Span, inner: u32) -> u32 {
        let length = u64::from(self.piece_length);
        let left = span.size.saturating_sub(u64::from(inner) * length);
        left.min(length) as u32
    }

    /// Index of the piece's first leaf when the leaves of all files follow one another; behind the last one for a piece
    /// that does not exist.
    pub fn leaf_start(&self, piece: u32) -> u64 {
        self.locate(piece).map_or(self.leaf_total, |(_, span, inner)| {
            span.first_leaf + u64::from(inner) * self.blocks_per_piece() as u64
        })
    }

    /// Pieces of `span`.
    pub fn pieces_of(&self, span: &Span) -> u32 {
        span.size.div_ceil(u64::from(self.piece_length)) as u32
    }

    /// Whether `span` has a piece layer of its own: only files larger than one piece have (BEP 52).
    pub fn has_layer(&self, span: &Span) -> bool {
        span.size > u64::from(self.piece_length)
    }

    /// Leaves of a full piece.
    pub fn blocks_per_piece(&self) -> usize {
        (self.piece_length / BLOCK_BYTES) as usize
    }

    /// How many leaves the tree below a piece's hash has, of which the file may fill fewer: a whole piece's, but in
    /// a file without a piece layer only the next power of two.
    pub fn tree_width(&self, span: &Span) -> usize {
        match self.has_layer(span) {
            true => self.blocks_per_piece(),
            false => (span.size.div_ceil(BLOCK) as usize).next_power_of_two(),
        }
    }
}

/// Counts files and the memory of their paths as they are found, before they are kept.
#[derive(Default)]
pub(crate) struct PathBudget {
    files: usize,
    memory_bytes: usize,
}

impl PathBudget {
    /// Counts one more file.
    pub fn charge<'c>(&mut self, path: impl IntoIterator<Item = &'c str>) -> Result<(), MetainfoError> {
        let text: usize = path.into_iter().map(|part| part.len() + COMPONENT_MEMORY_BYTES).sum();
        self.files += 1;
        self.memory_bytes = self.memory_bytes.saturating_add(text);
        match () {
            () if self.files > FILES_MAX => Err(MetainfoError::TooManyFiles),
            () if self.memory_bytes > PATHS_MEMORY_BYTES_MAX => Err(MetainfoError::PathsMemory),
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn piece_length_aims_at_one_to_two_thousand() {
        assert_eq!(piece_length_for(0), 16 * 1024);
        assert_eq!(piece_length_for(2_000 * 16 * 1024), 16 * 1024);
        assert_eq!(piece_length_for(2_000 * 16 * 1024 + 1), 32 * 1024);
        assert_eq!(piece_length_for(1024 * MIB), MIB as u32);
        assert_eq!(piece_length_for(u64::MAX), 16 * MIB as u32);
        for shift in 25..34 {
            for total in [(1_u64 << shift) - 1, 1 << shift, (1 << shift) + 1] {
                let pieces = total.div_ceil(u64::from(piece_length_for(total)));
                assert!((1_000..=2_000).contains(&pieces), "{total}: {pieces}");
            }
        }
    }

    #[test]
    fn files_start_at_piece_boundaries() {
        let layout = Layout::new([0, 70_000, 0, 16_384, 1], 32_768).unwrap();
        assert_eq!((layout.piece_count, layout.leaf_total, layout.total_bytes), (5, 7, 86_385));
        let places: Vec<_> = (0..6)
            .map(|p| {
                layout.locate(p).map(|(_, span, inner)| (span.file, inner, layout.piece_bytes(span, inner)))
            })
            .collect();
        assert_eq!(
            places,
            [
                Some((1, 0, 32_768)),
                Some((1, 1, 32_768)),
                Some((1, 2, 4_464)),
                Some((3, 0, 16_384)),
                Some((4, 0, 1)),
                None
            ]
        );
        assert_eq!(layout.spans.iter().map(|s| layout.tree_width(s)).collect::<Vec<_>>(), [2, 1, 1]);
    }

    #[test]
    fn refuses_too_many_pieces() {
        let most = u64::from(PIECE_COUNT_MAX) * 16_384;
        assert!(Layout::new([most], 16_384).is_ok());
        assert_eq!(Layout::new([most, 1], 16_384), Err(MetainfoError::TooManyPieces));
        assert_eq!(Layout::new([u64::MAX, u64::MAX], 16_384), Err(MetainfoError::TooManyPieces));
    }

    #[test]
    fn refuses_too_many_paths() {
        let mut budget = PathBudget::default();
        let long = "x".repeat(PATHS_MEMORY_BYTES_MAX / 2);
        assert_eq!(budget.charge([long.as_str()]), Ok(()));
        assert_eq!(budget.charge([long.as_str()]), Err(MetainfoError::PathsMemory));
        let mut budget = PathBudget::default();
        assert!((0..FILES_MAX).all(|_| budget.charge(["x"]).is_ok()));
        assert_eq!(budget.charge(["x"]), Err(MetainfoError::TooManyFiles));
    }
}

//! Pieces that need not be read, because their file has a hole there; and the leaves of all the others.
//!
//! Only whole pieces of files of more than one piece count: what they hash to is the same for all of them. So of a
//! sparse file of a TiB only what was ever written to it is read, and only the leaves of that are kept.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::Ordering;

use peerage_types::limits::BLOCK_BYTES;
use peerage_types::{InfoHashV1, Sha256};
use sha1::{Digest, Sha1};

use super::walk::Found;
use super::{HashJob, Look};
use crate::error::HashError;
use crate::layout::{Layout, Span};
use crate::{merkle, sparse};

/// Leaf hashes of a share, SHA-256 of each 16 KiB block, without those of pieces that lie in holes: see
/// [`Metainfo::zero_pieces`](crate::Metainfo::zero_pieces), of which they are some. With what the files looked like before
/// their first bytes were read, and still did after the last.
#[derive(Clone, Debug)]
pub struct Leaves {
    /// Those that are kept, one run after another.
    kept: Vec<Sha256>,
    /// In the order of the leaves of all files, which follow one another.
    runs: Vec<Range<u64>>,
    /// Of all files, kept or not.
    total: u64,
    looks: Vec<Look>,
}

impl Leaves {
    pub(super) fn new(kept: Vec<Sha256>, layout: &Layout, holes: &[Range<u32>], looks: Vec<Look>) -> Self {
        let mut runs = Vec::new();
        let mut from = 0;
        for hole in holes {
            runs.push(from..layout.leaf_start(hole.start));
            from = layout.leaf_start(hole.end);
        }
        runs.push(from..layout.leaf_total);
        runs.retain(|run| !run.is_empty());
        Self { kept, runs, total: layout.leaf_total, looks }
    }

    /// Those that are kept; all of them unless there are holes.
    pub fn kept(&self) -> &[Sha256] {
        &self.kept
    }

    /// How many leaves the content has.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What each file of the metainfo looked like.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// What is kept, in runs, each with the index of its first leaf when the leaves of all files follow one another.
    pub fn runs(&self) -> impl Iterator<Item = (u64, &[Sha256])> {
        let mut rest = self.kept.as_slice();
        self.runs.iter().map(move |run| {
            let count = usize::try_from(run.end - run.start).unwrap_or(usize::MAX).min(rest.len());
            let (front, behind) = rest.split_at(count);
            rest = behind;
            (run.start, front)
        })
    }
}

/// The pieces of `files` that lie in holes, in order.
pub(super) fn find(
    job: &HashJob<'_>,
    files: &[Found],
    layout: &Layout,
) -> Result<Vec<Range<u32>>, HashError> {
    let mut holes = Vec::new();
    for span in layout.spans.iter().filter(|span| layout.has_layer(span)) {
        if job.cancelled.load(Ordering::Relaxed) {
            return Err(HashError::Cancelled);
        }
        if let Some(found) = files.get(span.file) {
            let file = found.open()?;
            if sparse::may_have_holes(&file) {
                find_in(&file, span, layout, &mut holes);
            }
        }
    }
    Ok(holes)
}

/// At most two calls for each piece that is not in a hole.
fn find_in(file: &File, span: &Span, layout: &Layout, holes: &mut Vec<Range<u32>>) {
    let length = u64::from(layout.piece_length);
    let whole = span.size / length;
    let mut piece = 0;
    while piece < whole {
        let data = sparse::next_data(file, piece * length).unwrap_or(u64::MAX);
        let first = (data / length).min(whole);
        if first > piece {
            // `Layout` has made sure that there are no more pieces than this holds.
            holes.push(span.first_piece + piece as u32..span.first_piece + first as u32);
        }
        if first == whole {
            break;
        }
        piece = sparse::next_hole(file, data).div_ceil(length).max(first + 1);
    }
}

/// Leaves of pieces in holes.
pub(super) fn leaves_in(holes: &[Range<u32>], layout: &Layout) -> u64 {
    pieces_in(holes) * layout.blocks_per_piece() as u64
}

/// How many pieces lie in holes.
pub(super) fn pieces_in(holes: &[Range<u32>]) -> u64 {
    holes.iter().map(|hole| u64::from(hole.end - hole.start)).sum()
}

/// What a whole piece of zeros hashes to.
pub(super) struct ZeroPiece {
    pub root: Sha256,
    pub v1: [u8; InfoHashV1::LEN],
}

impl ZeroPiece {
    pub(super) fn new(piece_length: u32) -> Self {
        let zeros = vec![0; BLOCK_BYTES as usize];
        let mut v1 = Sha1::new();
        (0..piece_length / BLOCK_BYTES).for_each(|_| v1.update(&zeros));
        Self { root: merkle::zero_piece(piece_length), v1: v1.finalize().into() }
    }
}

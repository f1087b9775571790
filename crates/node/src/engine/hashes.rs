//! Leaf hashes: computing them, asking for them, reading an answer (BEP 52, "New messages").
//!
//! A request covers exactly the leaves below one piece's node, so that its answer can be checked against what the
//! metainfo says about that piece, and needs no proof (`proof_layers` is 0):
//!
//! - in a file of several pieces, the node is in the piece layer: `length` is a full piece's number of leaves, for
//!   the last piece too, and `index` the piece's first leaf, a multiple of it;
//! - in a file of one piece, the node is the file's root: `length` is its number of leaves, rounded up to a power
//!   of two, and `index` 0.
//!
//! So `length` is always a power of two and at least 2, as BEP 52 demands. Leaves behind the end of the file are
//! zero, here as in the tree. Nothing is asked for a piece of one block: its hash says all there is to say.

use peerage_metainfo::{Metainfo, merkle};
use peerage_types::Sha256;
use peerage_types::limits::{BLOCK_BYTES, PIECE_BYTES_MAX};
use peerage_wire::HashRange;

/// The most hashes that one request of ours covers: those of the largest piece.
pub(super) const HASHES_MAX: u32 = PIECE_BYTES_MAX / BLOCK_BYTES;

/// The leaf hash of each block, in order. Several at once are hashed side by side, which is twice as fast.
pub(super) fn leaves(blocks: &[&[u8]]) -> Vec<Sha256> {
    let mut digests = vec![[0; Sha256::LEN]; blocks.len()];
    tape_sha256::hash_many(blocks, &mut digests);
    digests.into_iter().map(Sha256).collect()
}

/// The request for a piece's leaves; `None` when there is nothing to gain.
pub(super) fn request(metainfo: &Metainfo, piece: u32) -> Option<HashRange> {
    let leaves = metainfo.leaf_count(piece);
    if leaves < 2 {
        return None;
    }
    let at = metainfo.piece_file(piece);
    let file = metainfo.files().get(at.file)?;
    let several = file.size > u64::from(metainfo.piece_length());
    let length = if several { metainfo.piece_length() / BLOCK_BYTES } else { leaves.next_power_of_two() };
    let index = u32::try_from(at.offset / u64::from(BLOCK_BYTES)).ok()?;
    Some(HashRange { root: file.root?, base_layer: 0, index, length, proof_layers: 0 })
}

/// Files of equal content that are tried when leaves are asked for by their root.
const TWINS_MAX: usize = 64;

/// The files of a share by their root, for those who ask by it.
#[derive(Debug)]
pub(super) struct ByRoot(Vec<u32>);

impl ByRoot {
    /// Files of one block are left out: nobody asks for their leaves.
    pub(super) fn new(metainfo: &Metainfo) -> Self {
        let files = metainfo.files();
        let large = (0_u32..).zip(files).filter(|(_, file)| file.size > u64::from(BLOCK_BYTES));
        let mut indices: Vec<u32> = large.map(|(index, _)| index).collect();
        indices.sort_by_key(|index| files.get(*index as usize).and_then(|file| file.root));
        Self(indices)
    }

    /// The pieces whose leaves another peer asks for: one, or one of each file of equal content. None when it asks for
    /// anything else, which is refused.
    pub(super) fn pieces_of<'a>(
        &'a self,
        metainfo: &'a Metainfo,
        range: &'a HashRange,
    ) -> impl Iterator<Item = u32> + 'a {
        let root = |index: u32| metainfo.files().get(index as usize).and_then(|file| file.root);
        let first = self.0.partition_point(|index| root(*index) < Some(range.root));
        let twins = self.0.iter().skip(first).take_while(move |index| root(**index) == Some(range.root));
        let inner = u64::from(range.index) * u64::from(BLOCK_BYTES) / u64::from(metainfo.piece_length());
        twins.take(TWINS_MAX).filter_map(move |index| {
            let piece = metainfo.file_pieces(*index as usize).nth(usize::try_from(inner).ok()?)?;
            (request(metainfo, piece).as_ref() == Some(range)).then_some(piece)
        })
    }
}

/// The answer to a request.
pub(super) fn answer(range: &HashRange, mut leaves: Vec<Sha256>) -> Vec<Sha256> {
    leaves.resize(range.length as usize, merkle::LEAF_PAD);
    leaves
}

/// The piece's leaves out of an answer; `None` when they are not those that the metainfo stands for.
pub(super) fn read(
    metainfo: &Metainfo,
    piece: u32,
    range: &HashRange,
    mut hashes: Vec<Sha256>,
) -> Option<Vec<Sha256>> {
    let leaves = metainfo.leaf_count(piece) as usize;
    let fits = hashes.len() == range.length as usize && hashes.len() >= leaves;
    let padded = fits && hashes[leaves..].iter().all(|hash| *hash == merkle::LEAF_PAD);
    hashes.truncate(leaves);
    (padded && metainfo.verify_leaves(piece, &hashes)).then_some(hashes)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use peerage_metainfo::{HashJob, Hashed, hash_path};
    use peerage_types::GroupId;

    use super::*;

    fn hashed(len: usize) -> Hashed {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, (0..len).map(|i| (i * 7 / 5) as u8).collect::<Vec<_>>()).unwrap();
        let name = "a".parse().unwrap();
        let (progress, cancelled) = (|_: u64| {}, AtomicBool::new(false));
        let job = HashJob {
            path: &path,
            name: &name,
            group: GroupId([1; 32]),
            found: &|_| (),
            progress: &progress,
            cancelled: &cancelled,
        };
        hash_path(&job).unwrap()
    }

    #[test]
    fn side_by_side_or_one_by_one() {
        let content: Vec<u8> = (0..20 * BLOCK_BYTES + 77).map(|i| (i % 251) as u8).collect();
        for count in [0, 1, 2, 5, 16, 21] {
            let blocks: Vec<&[u8]> = content.chunks(BLOCK_BYTES as usize).take(count).collect();
            let single: Vec<_> = blocks.iter().map(|block| merkle::leaf(block)).collect();
            assert_eq!(leaves(&blocks), single);
        }
    }

    #[test]
    fn every_piece_of_every_shape_round_trips() {
        let block = BLOCK_BYTES as usize;
        // Below 32 MiB pieces are one block long; 40 MiB have pieces of two, the last one short.
        for len in
            [0, 1, block, block + 1, 5 * block + 3, 40 << 20, (40 << 20) + block, (40 << 20) + block + 9]
        {
            let Hashed { metainfo, leaves, .. } = hashed(len);
            let leaves = leaves.kept();
            let by_root = ByRoot::new(&metainfo);
            for piece in 0..metainfo.piece_count() {
                let start = metainfo.leaf_start(piece) as usize;
                let own = leaves[start..][..metainfo.leaf_count(piece) as usize].to_vec();
                let Some(range) = request(&metainfo, piece) else {
                    assert_eq!(own.len(), 1, "piece {piece} of {len} bytes");
                    continue;
                };
                assert!(range.length >= 2 && range.length.is_power_of_two() && range.length <= HASHES_MAX);
                assert!(range.index.is_multiple_of(range.length));
                assert_eq!(by_root.pieces_of(&metainfo, &range).collect::<Vec<_>>(), [piece]);
                let hashes = answer(&range, own.clone());
                assert_eq!(read(&metainfo, piece, &range, hashes.clone()), Some(own));
                let mut forged = hashes.clone();
                forged[0].0[0] ^= 1;
                assert_eq!(read(&metainfo, piece, &range, forged), None);
                assert_eq!(read(&metainfo, piece, &range, hashes[1..].to_vec()), None);
            }
        }
    }

    #[test]
    fn other_requests_are_refused() {
        let metainfo = hashed(40 << 20).metainfo;
        let good = request(&metainfo, 3).unwrap();
        let bad = |change: fn(&mut HashRange)| {
            let mut range = good;
            change(&mut range);
            ByRoot::new(&metainfo).pieces_of(&metainfo, &range).next()
        };
        assert_eq!(bad(|_| {}), Some(3));
        assert_eq!(bad(|r| r.root = Sha256([0; 32])), None);
        assert_eq!(bad(|r| r.base_layer = 1), None);
        assert_eq!(bad(|r| r.index += 1), None);
        assert_eq!(bad(|r| r.index = u32::MAX), None);
        assert_eq!(bad(|r| r.length *= 2), None);
        assert_eq!(bad(|r| r.proof_layers = 3), None);
    }
}

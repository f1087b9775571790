//! The hash trees of BEP 52: binary, SHA-256, one leaf for each 16 KiB block.
//!
//! Leaves beyond the end of a file are zero *hashes* (not hashes of zeros), which is why each height has one
//! known padding hash, [`pad`].

use peerage_types::Sha256;
use peerage_types::limits::BLOCK_BYTES;
use sha2::Digest;

/// Stands for a block beyond the end of the file.
pub const LEAF_PAD: Sha256 = Sha256([0; 32]);

/// The hash of one block: 16 KiB, or less at the end of a file.
pub fn leaf(block: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(block).into())
}

/// The leaf of each block of `bytes`, which begin at a block's start; as many as there are in `leaves`. Several are
/// hashed side by side, which is twice as fast.
pub fn leaves(bytes: &[u8], leaves: &mut [Sha256]) {
    const SIDE_BY_SIDE: usize = 16;
    let mut digests = [[0; Sha256::LEN]; SIDE_BY_SIDE];
    let groups = bytes.chunks(SIDE_BY_SIDE * BLOCK_BYTES as usize).zip(leaves.chunks_mut(SIDE_BY_SIDE));
    for (bytes, leaves) in groups {
        let mut blocks: [&[u8]; SIDE_BY_SIDE] = [&[]; SIDE_BY_SIDE];
        let found = blocks.iter_mut().zip(bytes.chunks(BLOCK_BYTES as usize));
        let count = found.map(|(slot, block)| *slot = block).count().min(leaves.len());
        tape_sha256::hash_many(&blocks[..count], &mut digests[..count]);
        leaves.iter_mut().zip(&digests[..count]).for_each(|(leaf, digest)| *leaf = Sha256(*digest));
    }
}

/// The leaf of a block of 16 KiB of zeros.
pub fn zero_leaf() -> Sha256 {
    leaf(&[0; BLOCK_BYTES as usize])
}

/// The root of a whole piece of zeros; its length is a power of two, at least a block.
pub fn zero_piece(piece_length: u32) -> Sha256 {
    let height = (piece_length / BLOCK_BYTES).max(1).trailing_zeros();
    (0..height).fold(zero_leaf(), |below, _| parent(&below, &below))
}

/// The node above two nodes.
pub fn parent(left: &Sha256, right: &Sha256) -> Sha256 {
    Sha256(sha2::Sha256::new().chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of a tree of `2^height` leaves that are all beyond the end.
pub fn pad(height: u32) -> Sha256 {
    (0..height).fold(LEAF_PAD, |below, _| parent(&below, &below))
}

/// The root over `leaves`, filled up with [`LEAF_PAD`] to `width` leaves. A width that is no power of two, or
/// smaller than `leaves`, is rounded up to the next that is.
pub fn root(leaves: &[Sha256], width: usize) -> Sha256 {
    root_above(leaves, 0, width)
}

/// As [`root`], but over nodes that are themselves roots of `2^height` leaves, such as a piece layer.
pub fn root_above(nodes: &[Sha256], height: u32, width: usize) -> Sha256 {
    let mut fill = pad(height);
    let mut row = nodes.to_vec();
    let mut row_width = width.max(nodes.len()).max(1).next_power_of_two();
    while row_width > 1 {
        row = row.chunks(2).map(|pair| parent(&pair[0], pair.get(1).unwrap_or(&fill))).collect();
        fill = parent(&fill, &fill);
        row_width /= 2;
    }
    row.first().copied().unwrap_or(fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word: fill up, then pair until one is left.
    fn slow_root(leaves: &[Sha256], width: usize) -> Sha256 {
        let mut row = leaves.to_vec();
        row.resize(width, LEAF_PAD);
        while row.len() > 1 {
            row = row.chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect();
        }
        row[0]
    }

    #[test]
    fn agrees_with_the_definition() {
        let leaves: Vec<_> = (0..16_u8).map(|i| leaf(&[i])).collect();
        for count in 0..=16 {
            for width in [1_usize, 2, 4, 8, 16, 32].into_iter().filter(|width| *width >= count) {
                assert_eq!(
                    root(&leaves[..count], width),
                    slow_root(&leaves[..count], width),
                    "{count}/{width}"
                );
            }
        }
        assert_eq!(root(&leaves[..3], 0), root(&leaves[..3], 4));
        assert_eq!(root(&leaves[..1], 1), leaves[0]);
    }

    #[test]
    fn layers_make_the_same_root() {
        let leaves: Vec<_> = (0..11_u8).map(|i| leaf(&[i])).collect();
        let layer: Vec<_> = leaves.chunks(4).map(|piece| root(piece, 4)).collect();
        assert_eq!(root_above(&layer, 2, layer.len()), root(&leaves, 16));
    }

    #[test]
    fn zeros_are_known_without_hashing_them() {
        for blocks in [1_u32, 2, 64] {
            let zeros = vec![0; (blocks * BLOCK_BYTES) as usize];
            let mut found = vec![LEAF_PAD; blocks as usize];
            leaves(&zeros, &mut found);
            assert!(found.iter().all(|leaf| *leaf == zero_leaf()));
            assert_eq!(zero_piece(blocks * BLOCK_BYTES), root(&found, blocks as usize));
        }
    }

    #[test]
    fn golden() {
        assert_eq!(leaf(b"").to_hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        // SHA-256 of 64 zero bytes.
        assert_eq!(pad(1).to_hex(), "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
    }
}

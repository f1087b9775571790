//! What the fuzz target and the corpus replay both call. No part of the interface.

use peerage_types::{FileName, GroupId, SafePath, Sha256};

use crate::assemble::Hashes;
use crate::layout::Layout;
use crate::{FileEntry, Metainfo, merkle};

/// Parses arbitrary bytes and asserts that what is accepted is canonical and consistent; then takes the same bytes as
/// the recipe of a share and asserts that what we make of it is accepted.
pub fn run(data: &[u8]) {
    if let Ok(metainfo) = Metainfo::parse(data) {
        assert_eq!(metainfo.bytes(), data);
        check_piece_space(&metainfo);
    }
    if let Some((made, leaves)) = cook(data) {
        assert_eq!(Metainfo::parse(made.bytes()).as_ref(), Ok(&made), "our own metainfo is refused");
        check_piece_space(&made);
        for piece in 0..made.piece_count() {
            let start = made.leaf_start(piece) as usize;
            let leaves = &leaves[start..start + made.leaf_count(piece) as usize];
            assert!(made.verify_leaves(piece, leaves), "piece {piece}");
        }
    }
}

/// Pieces cover every byte of every file once, in order; leaves likewise.
fn check_piece_space(metainfo: &Metainfo) {
    let (mut next, mut next_leaf) = (0, 0);
    for (index, file) in metainfo.files().iter().enumerate() {
        assert_eq!(file.root.is_some(), file.size > 0);
        let pieces = metainfo.file_pieces(index);
        assert!(pieces.is_empty() == (file.size == 0) && (pieces.is_empty() || pieces.start == next));
        let mut offset = 0;
        for piece in pieces {
            let place = metainfo.piece_file(piece);
            assert_eq!((place.file, place.offset), (index, offset));
            assert_eq!(metainfo.leaf_start(piece), next_leaf);
            assert!(metainfo.piece_root(piece).is_some() && metainfo.leaf_count(piece) > 0);
            offset += u64::from(metainfo.piece_bytes(piece));
            next_leaf += u64::from(metainfo.leaf_count(piece));
            next = piece + 1;
        }
        assert_eq!(offset, file.size);
    }
    assert_eq!((next, next_leaf), (metainfo.piece_count(), metainfo.leaf_total()));
    assert!(metainfo.files().is_sorted_by(|a: &FileEntry, b| a.path < b.path));
    assert_eq!((metainfo.piece_bytes(next), metainfo.piece_root(next)), (0, None));
    assert_eq!(metainfo.total_bytes(), metainfo.files().iter().map(|file| file.size).sum::<u64>());
}

/// A share whose sizes come from `data`: one byte chooses piece length and form, then four bytes for each of up to 16
/// files: its folder's depth, its size, and what its leaves look like (so that files of equal content occur).
fn cook(data: &[u8]) -> Option<(Metainfo, Vec<Sha256>)> {
    let (first, rest) = data.split_first()?;
    let single_file = first & 1 == 1;
    let name: FileName = "share".parse().ok()?;
    let mut files = Vec::new();
    for (index, recipe) in rest.chunks_exact(4).take(if single_file { 1 } else { 16 }).enumerate() {
        let folders = (0..recipe[0] % 4).map(|depth| format!("folder{depth}"));
        let parts = folders.chain([format!("{index:02}")]);
        let path = if single_file { SafePath::from(name.clone()) } else { SafePath::new(parts).ok()? };
        let size = u64::from(u16::from_be_bytes([recipe[1], recipe[2]])) * 4;
        files.push(((path, size), recipe[3]));
    }
    files.sort();
    let piece_length = 16_384 << (first >> 1 & 3);
    let layout = Layout::new(files.iter().map(|((_, size), _)| *size), piece_length).ok()?;
    let (mut leaves, mut roots) = (Vec::new(), Vec::new());
    for span in &layout.spans {
        let seed = files[span.file].1;
        let own: Vec<_> = (0..span.size.div_ceil(16_384)).map(|i| merkle::leaf(&[seed, i as u8])).collect();
        roots.extend(
            own.chunks(layout.blocks_per_piece()).map(|it| merkle::root(it, layout.tree_width(span))),
        );
        leaves.extend(own);
    }
    let pieces_v1 = vec![7; layout.piece_count as usize * 20];
    let files: Vec<_> = files.into_iter().map(|(file, _)| file).collect();
    if files.is_empty() {
        return None;
    }
    let made = Hashes {
        name,
        group: GroupId([3; 32]),
        single_file,
        files,
        layout,
        roots: &roots,
        pieces_v1: &pieces_v1,
    };
    made.seal().ok().map(|metainfo| (metainfo, leaves))
}

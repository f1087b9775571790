//! Writing the one canonical form. Both hashing and parsing end here.

use std::collections::BTreeMap;

use peerage_bencode::{Dict, Value, encode};
use peerage_types::limits::METAINFO_BYTES_MAX;
use peerage_types::{FileName, GroupId, InfoHash, InfoHashV1, MetainfoId, SafePath, Sha256};
use sha2::Digest;

use crate::content::content_id;
use crate::error::MetainfoError;
use crate::layout::{HYBRID_FILES_MAX, Layout};
use crate::merkle;
use crate::model::{FileEntry, Metainfo};

/// Everything a metainfo file says. Whoever makes one has checked: `files` is sorted, none is a folder of
/// another, no path is deeper than `PATH_DEPTH_MAX`, a single file has the name as its path, layers fit roots.
pub(crate) struct Draft<'a> {
    pub name: FileName,
    pub group: GroupId,
    pub single_file: bool,
    pub files: Vec<FileEntry>,
    pub layout: Layout,
    /// Piece layers by `pieces root`, concatenated hashes, only of files larger than one piece.
    pub layers: BTreeMap<Sha256, &'a [u8]>,
    /// SHA-1 of each padded piece, concatenated. Unused above [`HYBRID_FILES_MAX`] files.
    pub pieces_v1: &'a [u8],
}

impl Draft<'_> {
    /// Writes the file and takes its hashes.
    pub fn seal(self) -> Result<Metainfo, MetainfoError> {
        let hybrid = is_hybrid(self.files.len());
        let mut bytes = b"d4:info".to_vec();
        let info_start = bytes.len();
        self.encode_info(hybrid, &mut bytes);
        let info = bytes.get(info_start..).unwrap_or_default();
        let info_hash = InfoHash(sha2::Sha256::digest(info).into());
        let info_hash_v1 = hybrid.then(|| InfoHashV1(sha1::Sha1::digest(info).into()));

        // By hand, because the offsets of the layers are needed.
        bytes.extend_from_slice(b"12:piece layersd");
        let mut starts = BTreeMap::new();
        for (root, layer) in &self.layers {
            encode(&Value::from(&root.0), &mut bytes);
            encode(&Value::from(*layer), &mut bytes);
            starts.insert(*root, bytes.len() - layer.len());
        }
        bytes.extend_from_slice(b"ee");
        if bytes.len() > METAINFO_BYTES_MAX {
            return Err(MetainfoError::TooLong(bytes.len() as u64));
        }
        let layers = self.layout.spans.iter().map(|span| {
            let root = self.files.get(span.file)?.root?;
            starts.get(&root).copied().filter(|_| self.layout.has_layer(span))
        });
        Ok(Metainfo {
            id: MetainfoId::of(&bytes),
            info_hash,
            info_hash_v1,
            content_id: content_id(self.single_file, &self.files),
            layers: layers.collect(),
            bytes: bytes.into(),
            name: self.name,
            group: self.group,
            single_file: self.single_file,
            files: self.files,
            layout: self.layout,
        })
    }

    fn encode_info(&self, hybrid: bool, out: &mut Vec<u8>) {
        let source = self.group.to_hex();
        let pads = if hybrid { self.pads() } else { Vec::new() };
        let mut info = Dict::new()
            .with("file tree", tree(&self.files, 0))
            .with("meta version", 2_u8)
            .with("name", self.name.as_str())
            .with("piece length", self.layout.piece_length)
            .with("private", 1_u8)
            .with("source", source.as_str());
        if hybrid {
            info.insert("pieces", self.pieces_v1);
            match self.single_file {
                true => info.insert("length", size(self.layout.total_bytes)),
                false => info.insert("files", self.files_v1(&pads)),
            };
        }
        encode(&Value::from(info), out);
    }

    /// For each file the pad file before it, as its length and the name it gets: so long that the file starts a new
    /// piece. There is none at the end, and none before an empty file (BEP 47, BEP 52 "Upgrade path").
    fn pads(&self) -> Vec<Option<(u64, String)>> {
        let length = u64::from(self.layout.piece_length);
        let mut at = 0_u64;
        let pad_before = |file: &FileEntry| {
            let gap = at.next_multiple_of(length) - at;
            if file.size == 0 {
                return None;
            }
            at += gap + file.size;
            (gap > 0).then(|| (gap, gap.to_string()))
        };
        self.files.iter().map(pad_before).collect()
    }

    /// The v1 list: the files in the order of the tree, with the pad files between them.
    fn files_v1<'b>(&'b self, pads: &'b [Option<(u64, String)>]) -> Value<'b> {
        let mut list = Vec::with_capacity(self.files.len() * 2);
        for (file, pad) in self.files.iter().zip(pads) {
            if let Some((length, name)) = pad {
                let path = vec![Value::from(".pad"), Value::from(name.as_str())];
                list.push(
                    Dict::new().with("attr", "p").with("length", size(*length)).with("path", path).into(),
                );
            }
            let path: Value<'_> =
                file.path.components().iter().map(|part| Value::from(part.as_str())).collect();
            list.push(Dict::new().with("length", size(file.size)).with("path", path).into());
        }
        Value::List(list)
    }
}

/// Whether a share of so many files has a v1 half.
pub(crate) fn is_hybrid(files: usize) -> bool {
    files <= HYBRID_FILES_MAX
}

/// The metainfo of content whose piece hashes are known.
pub(crate) struct Hashes<'a> {
    pub name: FileName,
    pub group: GroupId,
    pub single_file: bool,
    /// Paths and sizes, under the conditions of [`Draft`].
    pub files: Vec<(SafePath, u64)>,
    pub layout: Layout,
    /// The Merkle root of each piece.
    pub roots: &'a [Sha256],
    pub pieces_v1: &'a [u8],
}

impl Hashes<'_> {
    /// Builds the upper trees and writes the file.
    pub fn seal(self) -> Result<Metainfo, MetainfoError> {
        let entry = |(path, size)| FileEntry { path, size, root: None };
        let mut files: Vec<FileEntry> = self.files.into_iter().map(entry).collect();
        let mut layers = BTreeMap::new();
        for span in &self.layout.spans {
            let first = span.first_piece as usize;
            let layer = &self.roots[first..first + self.layout.pieces_of(span) as usize];
            let root = match self.layout.has_layer(span) {
                true => layer_root(layer, &self.layout),
                false => layer[0],
            };
            if self.layout.has_layer(span) {
                layers
                    .entry(root)
                    .or_insert_with(|| layer.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>());
            }
            files[span.file].root = Some(root);
        }
        Draft {
            name: self.name,
            group: self.group,
            single_file: self.single_file,
            files,
            layout: self.layout,
            layers: layers.iter().map(|(root, layer)| (*root, layer.as_slice())).collect(),
            pieces_v1: self.pieces_v1,
        }
        .seal()
    }
}

/// The `pieces root` of a file with this piece layer.
pub(crate) fn layer_root(layer: &[Sha256], layout: &Layout) -> Sha256 {
    merkle::root_above(layer, layout.blocks_per_piece().trailing_zeros(), layer.len())
}

/// The file tree below `depth` components that all of `files` share.
fn tree(files: &[FileEntry], depth: usize) -> Dict<'_> {
    fn component(file: &FileEntry, depth: usize) -> Option<&FileName> {
        file.path.components().get(depth)
    }
    let mut dict = Dict::new();
    for group in files.chunk_by(|a, b| component(a, depth) == component(b, depth)) {
        let Some(file) = group.first() else { continue };
        let Some(name) = component(file, depth) else { continue };
        let inner = match file.path.components().len() == depth + 1 {
            true => Dict::new().with("", leaf(file)),
            false => tree(group, depth + 1),
        };
        dict.insert(name.as_str(), inner);
    }
    dict
}

fn leaf(file: &FileEntry) -> Dict<'_> {
    let leaf = Dict::new().with("length", size(file.size));
    match &file.root {
        Some(root) => leaf.with("pieces root", &root.0),
        None => leaf,
    }
}

/// Sizes are below 2^48 (see `layout`), so the sign never changes.
fn size(bytes: u64) -> Value<'static> {
    Value::Int(bytes.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_files(count: usize) -> Metainfo {
        let files: Vec<_> = (0..count).map(|i| (SafePath::new([format!("{i:05}")]).unwrap(), 0)).collect();
        let (name, group) = ("many".parse().unwrap(), GroupId([1; 32]));
        let layout = Layout::new(files.iter().map(|_| 0), 16_384).unwrap();
        Hashes { name, group, single_file: false, files, layout, roots: &[], pieces_v1: &[] }.seal().unwrap()
    }

    #[test]
    fn the_v1_half_ends_at_ten_thousand_files() {
        let most = empty_files(HYBRID_FILES_MAX);
        assert!(most.info_hash_v1().is_some());
        assert_eq!(Metainfo::parse(most.bytes()).as_ref(), Ok(&most));
        let more = empty_files(HYBRID_FILES_MAX + 1);
        assert_eq!(more.info_hash_v1(), None);
        assert_eq!(Metainfo::parse(more.bytes()).as_ref(), Ok(&more));
        assert!(!more.bytes().windows(5).any(|it| it == b"files"));
    }

    /// Ten million pieces in a metainfo of a megabyte: neither memory nor time may follow the number of pieces.
    #[test]
    fn files_of_equal_content_share_one_layer() {
        let pieces = 1_000;
        let layer: Vec<Sha256> = (0..pieces).map(|i: u32| merkle::leaf(&i.to_be_bytes())).collect();
        let size = u64::from(pieces) * 16_384;
        let layout = Layout::new(vec![size; HYBRID_FILES_MAX + 1], 16_384).unwrap();
        let root = layer_root(&layer, &layout);
        let entry =
            |i| FileEntry { path: SafePath::new([format!("{i:05}")]).unwrap(), size, root: Some(root) };
        let flat: Vec<u8> = layer.iter().flat_map(|hash| hash.0).collect();
        let draft = Draft {
            name: "twins".parse().unwrap(),
            group: GroupId([1; 32]),
            single_file: false,
            files: (0..=HYBRID_FILES_MAX).map(entry).collect(),
            layout,
            layers: BTreeMap::from([(root, flat.as_slice())]),
            pieces_v1: &[],
        };
        let made = draft.seal().unwrap();
        assert!(made.bytes().len() < 1 << 20);
        let parsed = Metainfo::parse(made.bytes()).unwrap();
        assert_eq!(parsed.piece_count(), 10_001_000);
        assert_eq!(parsed.piece_root(0), layer.first().copied());
        assert_eq!(parsed.piece_root(10_000_999), layer.last().copied());
        assert!(parsed.verify_leaves(5_000_123, &layer[123..124]));
    }

    /// A TiB of zeros, of which one piece is hashed.
    #[test]
    fn a_tebibyte_has_a_small_metainfo() {
        const TIB: u64 = 1 << 40;
        let piece_length = crate::layout::piece_length_for(TIB);
        let layout = Layout::new([TIB], piece_length).unwrap();
        let leaves = vec![merkle::leaf(&[0; 16 * 1024]); layout.blocks_per_piece()];
        let roots = vec![merkle::root(&leaves, leaves.len()); layout.piece_count as usize];
        let pieces_v1 = vec![7; 20 * roots.len()];
        let made = Hashes {
            name: "disk.img".parse().unwrap(),
            group: GroupId([1; 32]),
            single_file: true,
            files: vec![(SafePath::new(["disk.img"]).unwrap(), TIB)],
            layout,
            roots: &roots,
            pieces_v1: &pieces_v1,
        };
        let metainfo = made.seal().unwrap();
        assert_eq!((metainfo.piece_count(), metainfo.piece_length()), (65_536, 16 << 20));
        assert!(metainfo.bytes().len() < 4 << 20, "{}", metainfo.bytes().len());
        let read = Metainfo::parse(metainfo.bytes()).unwrap();
        assert_eq!((read.info_hash(), read.total_bytes()), (metainfo.info_hash(), TIB));
        let last = read.piece_count() - 1;
        assert_eq!(read.piece_file(last).offset, TIB - (16 << 20));
        assert_eq!(read.leaf_start(last) + u64::from(read.leaf_count(last)), read.leaf_total());
        assert_eq!(read.leaf_total(), TIB / (16 << 10));
        assert!(read.verify_leaves(last, &leaves) && !read.verify_leaves(last, &leaves[1..]));
    }
}

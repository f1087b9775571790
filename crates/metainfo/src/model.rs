//! A metainfo file as everybody else sees it.
//!
//! Pieces are numbered as in BEP 52 hybrid torrents: file after file, each starting a new piece. Asked about a piece
//! that does not exist, the answers are those of an empty piece behind the last file.

use std::fmt;

use bytes::Bytes;
use peerage_types::{ContentId, FileName, GroupId, InfoHash, InfoHashV1, MetainfoId, SafePath, Sha256};

use crate::layout::{BLOCK, Layout};
use crate::merkle;

/// One file of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it lies inside of the shared folder; the share's name if it is a single file.
    pub path: SafePath,
    /// Its size in bytes.
    pub size: u64,
    /// BEP 52 `pieces root`; `None` exactly when the file is empty.
    pub root: Option<Sha256>,
}

/// Where a piece lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceFile {
    /// Index into [`Metainfo::files`].
    pub file: usize,
    /// Byte offset inside of that file.
    pub offset: u64,
}

/// A canonical metainfo file: immutable, fully checked, with its exact bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Metainfo {
    pub(crate) bytes: Bytes,
    pub(crate) id: MetainfoId,
    pub(crate) info_hash: InfoHash,
    pub(crate) info_hash_v1: Option<InfoHashV1>,
    pub(crate) content_id: ContentId,
    pub(crate) name: FileName,
    pub(crate) group: GroupId,
    pub(crate) single_file: bool,
    /// Sorted by path.
    pub(crate) files: Vec<FileEntry>,
    pub(crate) layout: Layout,
    /// For each span of the layout: where in `bytes` its piece layer starts, if it has one. Files of equal content
    /// share a layer, which is why it is not copied out.
    pub(crate) layers: Vec<Option<usize>>,
}

impl Metainfo {
    /// The file itself.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Content address of [`Self::bytes`].
    pub fn id(&self) -> MetainfoId {
        self.id
    }

    /// BEP 52 info hash.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// BEP 3 info hash; `None` above [`crate::HYBRID_FILES_MAX`] files.
    pub fn info_hash_v1(&self) -> Option<InfoHashV1> {
        self.info_hash_v1
    }

    /// Identity of the content: SHA-256 over paths, sizes and roots, whatever the group and the piece length.
    pub fn content_id(&self) -> ContentId {
        self.content_id
    }

    /// Name of the shared file or folder.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// The group it was shared in.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Sum of all file sizes, without padding.
    pub fn total_bytes(&self) -> u64 {
        self.layout.total_bytes
    }

    /// All files, sorted by path, at least one.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Whether a file was shared, not a folder (which may hold only one file, too).
    pub fn is_single_file(&self) -> bool {
        self.single_file
    }

    /// Bytes of a piece that is not the last of its file: a power of two.
    pub fn piece_length(&self) -> u32 {
        self.layout.piece_length
    }

    /// How many pieces there are; 0 when all files are empty.
    pub fn piece_count(&self) -> u32 {
        self.layout.piece_count
    }

    /// Real bytes in this piece: a file's last piece is short.
    pub fn piece_bytes(&self, piece: u32) -> u32 {
        self.layout.locate(piece).map_or(0, |(_, span, inner)| self.layout.piece_bytes(span, inner))
    }

    /// The file that holds this piece, and where. Behind the last piece: `files().len()` and 0.
    pub fn piece_file(&self, piece: u32) -> PieceFile {
        self.layout.locate(piece).map_or(
            PieceFile { file: self.files.len(), offset: 0 },
            |(_, span, inner)| PieceFile {
                file: span.file,
                offset: u64::from(inner) * u64::from(self.layout.piece_length),
            },
        )
    }

    /// The pieces of the file with this index, empty if it is empty or does not exist.
    pub fn file_pieces(&self, file: usize) -> std::ops::Range<u32> {
        match self.layout.spans.binary_search_by_key(&file, |span| span.file) {
            Ok(at) => self
                .layout
                .spans
                .get(at)
                .map_or(0..0, |span| span.first_piece..span.first_piece + self.layout.pieces_of(span)),
            Err(_) => 0..0,
        }
    }

    /// Leaves of this piece: its blocks of 16 KiB, the last may be short.
    pub fn leaf_count(&self, piece: u32) -> u32 {
        u64::from(self.piece_bytes(piece)).div_ceil(BLOCK) as u32
    }

    /// Index of the piece's first leaf when the leaves of all files follow one another.
    pub fn leaf_start(&self, piece: u32) -> u64 {
        self.layout.leaf_start(piece)
    }

    /// Leaves of all files.
    pub fn leaf_total(&self) -> u64 {
        self.layout.leaf_total
    }

    /// The hash that this piece's leaves must add up to: from the piece layer, or the root of a file that is not
    /// larger than one piece. `None` when there is no such piece.
    pub fn piece_root(&self, piece: u32) -> Option<Sha256> {
        let (index, span, inner) = self.layout.locate(piece)?;
        match self.layers.get(index)? {
            Some(start) => {
                let at = start + inner as usize * Sha256::LEN;
                Sha256::from_slice(self.bytes.get(at..at + Sha256::LEN)?)
            }
            None => self.files.get(span.file)?.root,
        }
    }

    /// Whole pieces of zeros, in order, as far as the piece layers tell: the only piece of a file is none of them, nor a
    /// last one that is short. What they hash to is known, so a hole in a sparse file is as good as their bytes.
    pub fn zero_pieces(&self) -> impl Iterator<Item = u32> {
        let zeros = merkle::zero_piece(self.layout.piece_length);
        let layers = self.layout.spans.iter().zip(&self.layers);
        let layers = layers.filter_map(|(span, start)| Some((span, (*start)?)));
        layers.flat_map(move |(span, start)| {
            let whole = (span.size / u64::from(self.layout.piece_length)) as usize;
            let layer = self.bytes.get(start..start + whole * Sha256::LEN).unwrap_or_default();
            let pieces = (span.first_piece..).zip(layer.chunks_exact(Sha256::LEN));
            pieces.filter(move |(_, root)| *root == zeros.0).map(|(piece, _)| piece)
        })
    }

    /// Whether these are exactly the leaves of this piece. False, too, for another number of leaves than
    /// [`Self::leaf_count`] and for a piece that does not exist.
    pub fn verify_leaves(&self, piece: u32, leaves: &[Sha256]) -> bool {
        let Some((_, span, _)) = self.layout.locate(piece) else { return false };
        leaves.len() == self.leaf_count(piece) as usize
            && self.piece_root(piece) == Some(merkle::root(leaves, self.layout.tree_width(span)))
    }
}

impl fmt::Debug for Metainfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metainfo")
            .field("name", &self.name)
            .field("group", &self.group)
            .field("info_hash", &self.info_hash)
            .field("files", &self.files.len())
            .field("total_bytes", &self.layout.total_bytes)
            .field("piece_length", &self.layout.piece_length)
            .field("piece_count", &self.layout.piece_count)
            .finish_non_exhaustive()
    }
}

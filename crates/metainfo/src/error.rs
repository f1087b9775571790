//! What can be wrong with a metainfo file (its sender is at fault), and with a file or folder that is to be
//! hashed (the caller or the environment is).

use std::io;
use std::path::{Path, PathBuf};

use peerage_bencode::BencodeError;
use peerage_types::limits::{METAINFO_BYTES_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MIN};
use peerage_types::{NameError, PathError};

use crate::layout::{FILES_MAX, PATH_DEPTH_MAX, PATHS_MEMORY_BYTES_MAX, PIECE_COUNT_MAX};

/// Why bytes are not a canonical metainfo file, or why a folder cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Longer than [`METAINFO_BYTES_MAX`].
    #[error("the metainfo has {0} bytes, at most {METAINFO_BYTES_MAX} are allowed")]
    TooLong(u64),
    /// Not canonical bencode.
    #[error("the metainfo is not canonical bencode: {0}")]
    Bencode(#[from] BencodeError),
    /// A key that is absent or holds another kind of value.
    #[error("the metainfo's `{key}` is missing or not {expected}")]
    Field {
        /// The key.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// `meta version` of another BEP.
    #[error("the metainfo has version {0}, expected 2 (BEP 52)")]
    Version(i64),
    /// `private` is not 1 (BEP 27).
    #[error("the metainfo says private = {0}, expected 1")]
    NotPrivate(i64),
    /// `source` is not a group id.
    #[error("the metainfo's source is not a group id (64 hexadecimal digits)")]
    Source,
    /// `piece length` is no power of two, or out of range.
    #[error("piece length {0}, expected a power of two from {PIECE_BYTES_MIN} to {PIECE_BYTES_MAX}")]
    PieceLength(i64),
    /// `name` is not a valid file name.
    #[error("the metainfo's name is refused: {0}")]
    Name(#[from] NameError),
    /// A path of the file tree is refused.
    #[error("a path in the metainfo is refused: {0}")]
    Path(#[from] PathError),
    /// A path has more than [`PATH_DEPTH_MAX`] components.
    #[error("the path of `{0}` has more than {PATH_DEPTH_MAX} components")]
    Depth(String),
    /// Neither a file nor a folder, or both.
    #[error("the file tree's entry `{0}` is neither a file nor a folder")]
    Entry(String),
    /// Two entries of one folder that a system without letter case in its names cannot tell apart.
    #[error("`{first}` and `{second}` are one name on other systems: rename one of them")]
    Twins {
        /// One of them, inside of the share.
        first: String,
        /// The other.
        second: String,
    },
    /// A file in the folder of the pad files.
    #[error("`{0}` is where pad files are (BEP 47): use another name")]
    PadFolder(String),
    /// Nothing in it.
    #[error("the file tree has no file")]
    NoFiles,
    /// More than [`FILES_MAX`] files.
    #[error("more than {FILES_MAX} files")]
    TooManyFiles,
    /// All paths together take more than [`PATHS_MEMORY_BYTES_MAX`] bytes of memory.
    #[error("the paths of the files take more than {PATHS_MEMORY_BYTES_MAX} bytes of memory")]
    PathsMemory,
    /// More than [`PIECE_COUNT_MAX`] pieces.
    #[error("the files make more than {PIECE_COUNT_MAX} pieces")]
    TooManyPieces,
    /// A negative length.
    #[error("`{path}` has length {length}")]
    Length {
        /// The file.
        path: String,
        /// What the metainfo says.
        length: i64,
    },
    /// `pieces root` is absent or not 32 bytes in a file that has content, or present in an empty one.
    #[error("`{0}` needs a `pieces root` of 32 bytes exactly if it has content")]
    Root(String),
    /// The single file of a single-file torrent is not called as the torrent is.
    #[error("a single file must have the metainfo's name as its only path")]
    SingleFile,
    /// The v1 half does not have the v2 half's number of pieces.
    #[error("`pieces` has {found} bytes, expected {expected} (20 for each piece)")]
    Pieces {
        /// Length found.
        found: usize,
        /// Length that the file tree requires.
        expected: u64,
    },
    /// `piece layers` lacks a file, or its length is wrong.
    #[error("the piece layer of `{path}` has {found} bytes, expected {expected} (32 for each piece)")]
    LayerLength {
        /// The file.
        path: String,
        /// Length found, 0 when there is none.
        found: usize,
        /// Length that the file's size requires.
        expected: u64,
    },
    /// A piece layer whose Merkle root is not the file's `pieces root`.
    #[error("the piece layer of `{0}` does not belong to its `pieces root`")]
    LayerRoot(String),
    /// Everything in it is valid, but we would have written it differently: unknown keys, layers of no file,
    /// or v1 `files` that are not the file tree with its pad files.
    #[error("the metainfo differs from its canonical form from byte {at} on")]
    NotCanonical {
        /// Offset of the first difference.
        at: usize,
    },
}

/// Why a file or folder could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Caller: there is nothing at this path.
    #[error("no such file: `{}`", .0.display())]
    NotFound(PathBuf),
    /// Environment: the file system does not let us read it.
    #[error("no permission to read `{}`", .0.display())]
    Denied(PathBuf),
    /// Environment: size, modification or change time, or identity is not what it was at the start. Trying again helps.
    #[error("`{}` changed while it was being hashed", .0.display())]
    Changed(PathBuf),
    /// Environment: reading failed.
    #[error("cannot read `{}`: {source}", .path.display())]
    Io {
        /// What was being read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Caller: `cancelled` was set.
    #[error("hashing was cancelled")]
    Cancelled,
    /// Caller: a folder without any file that can be shared.
    #[error("there is no file to share in the folder `{}`", .0.display())]
    EmptyFolder(PathBuf),
    /// Caller: a device, pipe or socket.
    #[error("`{}` is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// Caller: a name that is not Unicode.
    #[error("the name of `{}` is not Unicode", .0.display())]
    NotUnicode(PathBuf),
    /// Caller: a name that other members could not store.
    #[error("`{}` cannot be shared: {source}", .path.display())]
    Name {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with its name.
        source: NameError,
    },
    /// Caller: a path that other members could not store.
    #[error("`{}` cannot be shared: {source}", .path.display())]
    Path {
        /// The file.
        path: PathBuf,
        /// What is wrong with its path inside the folder.
        source: PathError,
    },
    /// Caller: two names that are one in Unicode NFC.
    #[error("`{}` and `{}` have the same name once normalized", .first.display(), .second.display())]
    Clash {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Caller: two names that are one on systems that do not tell upper from lower case.
    #[error("`{}` and `{}` are one name on other systems: rename one of them", .first.display(), .second.display())]
    Twins {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Environment: the hashes of so large a file do not fit into memory.
    #[error("not enough memory for the hashes of {0} blocks")]
    Memory(u64),
    /// Caller: too large, too deep or too many files for one metainfo.
    #[error("this cannot be shared as one: {0}")]
    Metainfo(#[from] MetainfoError),
}

impl HashError {
    /// Sorts an I/O error by who can do something about it.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound(path),
            io::ErrorKind::PermissionDenied => Self::Denied(path),
            _ => Self::Io { path, source },
        }
    }

    /// As [`HashError::io`] for a path that was there a moment ago.
    pub(crate) fn io_later(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Changed(path.to_owned()),
            _ => Self::io(path, source),
        }
    }
}

//! Canonical hybrid BitTorrent metainfo (BEP 3 and BEP 52 in one file) and the hashing that makes it.
//!
//! Canonical means that name, group, content and piece length decide every byte. The whole file is
//! `info` {`file tree`, `files` or `length`, `meta version` = 2, `name`, `piece length`, `pieces`,
//! `private` = 1 (BEP 27), `source` = the group id in hex} and `piece layers`; there is no announce, date or
//! comment. So whoever shares the same content under the same name in the same group gets the same info hash
//! and joins the same swarm, while in another group the hash differs.
//!
//! Folders are laid out with pad files (BEP 47), so that each file starts at a piece boundary and both halves
//! number the pieces alike. Above [`HYBRID_FILES_MAX`] files the v1 half is left out.
//!
//! [`hash_path`] makes a [`Metainfo`] from the disk, [`Metainfo::parse`] takes one from outside: it rebuilds the
//! file from what it understood and compares, so nothing that we would not write ourselves is accepted.

mod assemble;
mod content;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod layout;
pub mod merkle;
mod model;
mod parse;
pub mod sparse;
mod twins;

pub use error::{HashError, MetainfoError};
pub use hash::{HashJob, Hashed, Leaves, Look, SKIPPED_NAMED_MAX, Skipped, hash_path};
pub use layout::{
    FILES_MAX, HYBRID_FILES_MAX, PATH_DEPTH_MAX, PATHS_MEMORY_BYTES_MAX, PIECE_COUNT_MAX, piece_length_for,
};
pub use model::{FileEntry, Metainfo, PieceFile};

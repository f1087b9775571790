//! Telling whether a file is still the one that was found.

use std::fs::Metadata;
use std::time::SystemTime;

/// What a file looked like. Equal identities mean: the same file, as far as the system tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub size: u64,
    modified: Option<SystemTime>,
    inode: Option<(u64, u64)>,
}

impl Identity {
    /// Of a path's or an open file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok(), inode: inode(metadata) }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

/// Elsewhere size and time must do.
#[cfg(not(unix))]
fn inode(_: &Metadata) -> Option<(u64, u64)> {
    None
}

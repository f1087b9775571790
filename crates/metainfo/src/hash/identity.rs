//! Telling whether a file is still the one that was found.

use std::fs::Metadata;
use std::time::UNIX_EPOCH;

/// By what a file is recognised without reading it. Equal looks mean that nobody has touched it between them, as far as
/// the system tells: size and modification time are easily put back, the change time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the Unix epoch; 0 where the system does not tell.
    pub modified_ns: i64,
    /// When anything about the file was changed last, which nobody can set (Unix `ctime`), nanoseconds since the Unix
    /// epoch; 0 where the system does not tell.
    pub changed_ns: i64,
}

impl Look {
    /// Of a path's or an open file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified_ns = since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        Self { size: metadata.len(), modified_ns, changed_ns: changed_ns(metadata) }
    }
}

/// What a file looked like, and which one it is. Equal identities mean: the same file, as far as the system tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub look: Look,
    inode: Option<(u64, u64)>,
}

impl Identity {
    /// Of a path's or an open file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self { look: Look::of(metadata), inode: inode(metadata) }
    }
}

#[cfg(unix)]
fn changed_ns(metadata: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed_ns(_: &Metadata) -> i64 {
    0
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

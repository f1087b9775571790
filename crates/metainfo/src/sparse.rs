//! Holes in files: ranges that were never written, take no room on the disk, and read as zeros.
//!
//! Where the system or the file system does not tell them, there are none, and every byte is read.

use std::fs::File;

/// Where data begins at or behind `offset`: `offset` itself unless it lies in a hole. `None` when there is nothing but
/// a hole up to the end of the file, or the file ends before. Moves the position of the handle.
pub fn next_data(file: &File, offset: u64) -> Option<u64> {
    system::next_data(file, offset)
}

/// Where a hole begins at or behind `offset`; the end of the file counts as one. Moves the position of the handle.
pub fn next_hole(file: &File, offset: u64) -> u64 {
    system::next_hole(file, offset)
}

/// Whether a file takes less room than it is long, so that it is worth looking for holes in it. What was written to it
/// lately, and is not on the device yet, some file systems take for one: waits until it is there.
pub fn may_have_holes(file: &File) -> bool {
    system::allocated(file).is_some_and(|(bytes, len)| bytes < len) && file.sync_all().is_ok()
}

/// Whether these bytes lie inside of the file and were never written. Moves the position of the handle.
pub fn is_hole(file: &File, offset: u64, bytes: u64) -> bool {
    let Some(end) = offset.checked_add(bytes) else { return false };
    let inside = file.metadata().is_ok_and(|meta| end <= meta.len());
    inside && next_data(file, offset).is_none_or(|data| data >= end)
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple"))]
mod system {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    pub(super) fn next_data(file: &File, offset: u64) -> Option<u64> {
        match seek(file, SeekFrom::Data(offset)) {
            Ok(data) => Some(data.max(offset)),
            Err(Errno::NXIO) => None,
            Err(_) => Some(offset),
        }
    }

    pub(super) fn next_hole(file: &File, offset: u64) -> u64 {
        seek(file, SeekFrom::Hole(offset)).unwrap_or(u64::MAX).max(offset)
    }

    /// Bytes that it takes on the device, and its length.
    pub(super) fn allocated(file: &File) -> Option<(u64, u64)> {
        let meta = file.metadata().ok()?;
        // `st_blocks` counts units of 512 bytes, whatever the file system's are.
        Some((meta.blocks().saturating_mul(512), meta.len()))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple")))]
mod system {
    use std::fs::File;

    pub(super) fn next_data(_: &File, offset: u64) -> Option<u64> {
        Some(offset)
    }

    pub(super) fn next_hole(_: &File, _: u64) -> u64 {
        u64::MAX
    }

    pub(super) fn allocated(_: &File) -> Option<(u64, u64)> {
        None
    }
}

//! From a file or folder on disk to its metainfo: one read, all cores.
//!
//! `walk` finds the files, `holes` what of them was never written, `work` hashes the rest piece by piece on all cores,
//! and the result is assembled here. Memory is one read buffer per core, and the hashes themselves.

mod holes;
mod identity;
#[cfg(test)]
mod tests;
mod walk;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use peerage_types::limits::METAINFO_BYTES_MAX;
use peerage_types::{FileName, GroupId, InfoHashV1, Sha256};

pub use self::holes::Leaves;
pub use self::identity::Look;
use crate::assemble::{Hashes, is_hybrid};
use crate::error::{HashError, MetainfoError};
use crate::layout::{Layout, piece_length_for};
use crate::model::Metainfo;

/// What to hash, and how to tell somebody about it.
pub struct HashJob<'a> {
    /// A file, or a folder with at least one file in it. If it is a symbolic link itself, it is followed.
    pub path: &'a Path,
    /// The name it is shared under.
    pub name: &'a FileName,
    /// The group it is shared in.
    pub group: GroupId,
    /// Called once, before the first byte is read, with the number of bytes that there are to hash.
    pub found: &'a (dyn Fn(u64) + Sync),
    /// Called with the number of bytes done so far, which only grows and ends at the total. It is called by several
    /// threads, one after the other, and holds them up while it runs.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Set it to end the job with [`HashError::Cancelled`].
    pub cancelled: &'a AtomicBool,
}

/// The result of [`hash_path`].
#[derive(Clone, Debug)]
pub struct Hashed {
    /// The canonical metainfo.
    pub metainfo: Metainfo,
    /// SHA-256 of each 16 KiB block that was read, and what the files looked like meanwhile.
    pub leaves: Leaves,
    /// What was left out of a folder.
    pub skipped: Skipped,
}

/// Most entries that [`Skipped`] names.
pub const SKIPPED_NAMED_MAX: usize = 20;

/// Entries of a folder that are neither files nor folders and were left out. A symbolic link is not followed, for it
/// could share what lies outside of the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The first of them, in the order in which they were found, with what they are.
    pub named: Vec<(PathBuf, &'static str)>,
    /// How many there are.
    pub count: usize,
}

impl Skipped {
    fn note(&mut self, path: PathBuf, what: &'static str) {
        self.count += 1;
        if self.named.len() < SKIPPED_NAMED_MAX {
            self.named.push((path, what));
        }
    }
}

/// Hashes a file or folder with all cores, SHA-1 and SHA-256 in one read. What a sparse file has never had written to it
/// is not read. Blocking.
///
/// Fails with [`HashError::Changed`] if size, modification time, change time or identity of any file is not the same at the
/// end as at the start. Folders without files in them are left out, since metainfo knows only files.
pub fn hash_path(job: &HashJob<'_>) -> Result<Hashed, HashError> {
    hash_with(job, None)
}

/// As [`hash_path`], with a piece length of the caller's choice.
fn hash_with(job: &HashJob<'_>, piece_length: Option<u32>) -> Result<Hashed, HashError> {
    let share = walk::walk(job)?;
    let total = share.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size()));
    (job.found)(total);
    let piece_length = piece_length.unwrap_or_else(|| piece_length_for(total));
    let layout = Layout::new(share.files.iter().map(walk::Found::size), piece_length)?;
    let hybrid = is_hybrid(share.files.len());
    check_length(&layout, hybrid)?;

    let holes = holes::find(job, &share.files, &layout)?;
    let mut hashes = work::Output::new(&layout, hybrid, &holes)?;
    work::run(job, &share.files, &layout, &holes, &mut hashes)?;
    // A second look at every path: it must still lead to the file that was read.
    for file in &share.files {
        if job.cancelled.load(Ordering::Relaxed) {
            return Err(HashError::Cancelled);
        }
        file.check_path()?;
    }
    let looks = share.files.iter().map(|file| file.identity.look).collect();
    let leaves = Leaves::new(hashes.leaves, &layout, &holes, looks);
    let metainfo = Hashes {
        name: job.name.clone(),
        group: job.group,
        single_file: share.single_file,
        files: share.files.into_iter().map(|file| (file.path, file.identity.look.size)).collect(),
        layout,
        roots: &hashes.roots,
        pieces_v1: hashes.pieces_v1.as_flattened(),
    }
    .seal()?;
    Ok(Hashed { metainfo, leaves, skipped: share.skipped })
}

/// Refuses what is certain to exceed the largest metainfo before hours of hashing: the v1 pieces and the largest
/// file's layer alone are too long. (Layers of several files may be one and the same.)
fn check_length(layout: &Layout, hybrid: bool) -> Result<(), MetainfoError> {
    let pieces_v1 = if hybrid { u64::from(layout.piece_count) * InfoHashV1::LEN as u64 } else { 0 };
    let layer =
        layout.spans.iter().filter(|span| layout.has_layer(span)).map(|span| layout.pieces_of(span)).max();
    let least = pieces_v1 + u64::from(layer.unwrap_or(0)) * Sha256::LEN as u64;
    if least > METAINFO_BYTES_MAX as u64 { Err(MetainfoError::TooLong(least)) } else { Ok(()) }
}

//! Finding the files of a share, without following anything out of its folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use peerage_types::{FileName, SafePath};

use super::identity::Identity;
use super::{HashJob, Skipped};
use crate::error::{HashError, MetainfoError};
use crate::layout::{PATH_DEPTH_MAX, PathBudget};
use crate::twins;

/// A file as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its path in the share.
    pub path: SafePath,
    /// Its path on this machine.
    pub local: PathBuf,
    pub identity: Identity,
    /// Only the path that the user gave may be a symbolic link.
    follow: bool,
}

impl Found {
    pub fn size(&self) -> u64 {
        self.identity.look.size
    }

    /// Opens it and makes sure that it is what was found: a symbolic link or another file that took its place since
    /// is noticed before a byte of it is used.
    pub fn open(&self) -> Result<File, HashError> {
        let file = File::open(&self.local).map_err(|e| HashError::io_later(&self.local, e))?;
        self.check_open(&file)?;
        Ok(file)
    }

    /// Fails if the open file has changed since it was found.
    pub fn check_open(&self, file: &File) -> Result<(), HashError> {
        self.compare(file.metadata())
    }

    /// Fails if the path does not lead to the same unchanged file any more.
    pub fn check_path(&self) -> Result<(), HashError> {
        self.compare(if self.follow { fs::metadata(&self.local) } else { fs::symlink_metadata(&self.local) })
    }

    fn compare(&self, now: std::io::Result<fs::Metadata>) -> Result<(), HashError> {
        let now = now.map_err(|e| HashError::io_later(&self.local, e))?;
        match Identity::of(&now) == self.identity {
            true => Ok(()),
            false => Err(HashError::Changed(self.local.clone())),
        }
    }
}

/// What the user wants to share: at least one file, sorted by path.
pub(crate) struct Share {
    pub single_file: bool,
    pub files: Vec<Found>,
    pub skipped: Skipped,
}

/// Looks at the path and, if it is a folder, at everything below.
pub(crate) fn walk(job: &HashJob<'_>) -> Result<Share, HashError> {
    let top = fs::metadata(job.path).map_err(|e| HashError::io(job.path, e))?;
    if top.is_file() {
        let path = SafePath::from(job.name.clone());
        let file = Found { path, local: job.path.to_owned(), identity: Identity::of(&top), follow: true };
        return Ok(Share { single_file: true, files: vec![file], skipped: Skipped::default() });
    }
    if !top.is_dir() {
        return Err(HashError::Special(job.path.to_owned()));
    }
    let mut files = Vec::new();
    let mut skipped = Skipped::default();
    let mut budget = PathBudget::default();
    let mut folders = vec![(job.path.to_owned(), Vec::new())];
    while let Some((local, parts)) = folders.pop() {
        if job.cancelled.load(Ordering::Relaxed) {
            return Err(HashError::Cancelled);
        }
        for (name, local) in entries(&local, &mut skipped)? {
            let parts: Vec<FileName> = parts.iter().cloned().chain([name]).collect();
            if parts.len() > PATH_DEPTH_MAX {
                return Err(MetainfoError::Depth(local.display().to_string()).into());
            }
            let metadata = fs::symlink_metadata(&local).map_err(|e| HashError::io_later(&local, e))?;
            match metadata.file_type() {
                kind if kind.is_dir() => folders.push((local, parts)),
                kind if kind.is_file() => {
                    budget.charge(parts.iter().map(FileName::as_str))?;
                    let path = SafePath::new(parts.iter().map(FileName::as_str))
                        .map_err(|source| HashError::Path { path: local.clone(), source })?;
                    files.push(Found { path, local, identity: Identity::of(&metadata), follow: false });
                }
                // It was one a moment ago.
                _ => return Err(HashError::Changed(local)),
            }
        }
    }
    if files.is_empty() {
        return Err(HashError::EmptyFolder(job.path.to_owned()));
    }
    // Normalizing may have changed the order, and folders were visited last in, first out.
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    twins::check(&files.iter().map(|file| &file.path).collect::<Vec<_>>())?;
    Ok(Share { single_file: false, files, skipped })
}

/// The files and folders in one folder under their shared names.
fn entries(folder: &Path, skipped: &mut Skipped) -> Result<BTreeMap<FileName, PathBuf>, HashError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| HashError::io_later(folder, e))? {
        let entry = entry.map_err(|e| HashError::io(folder, e))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|e| HashError::io_later(&path, e))?;
        found.push((path, kind));
    }
    // The file system's order is arbitrary; which fault is reported must not be.
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut entries = BTreeMap::new();
    let mut folded: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (path, kind) in found {
        if kind.is_symlink() {
            skipped.note(path, "a symbolic link");
            continue;
        }
        if !kind.is_file() && !kind.is_dir() {
            skipped.note(path, "neither a file nor a folder");
            continue;
        }
        let Some(text) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(HashError::NotUnicode(path));
        };
        let name = match FileName::normalized(text) {
            Ok(name) => name,
            Err(source) => return Err(HashError::Name { path, source }),
        };
        let twin = folded.insert(name.folded(), path.clone());
        if let Some(first) = entries.insert(name, path.clone()) {
            return Err(HashError::Clash { first, second: path });
        }
        if let Some(first) = twin {
            return Err(HashError::Twins { first, second: path });
        }
    }
    Ok(entries)
}

//! Whether settled files are still what was hashed, and repairs of what the disk has lost of one.
//!
//! Size and modification time say whether a file looks as before; whether nobody has touched it is said by its change
//! time alone. That moves without an edit, too (another mode, name or link): a scrub that reads all of a file and finds it
//! right goes by the new one from then on.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::sync::atomic::Ordering;

use super::faults::{changed, edited};
use super::{Files, LOOK_FILES_MAX};
use crate::engine::below::{self, Open};
use crate::engine::buffer::lock;
use crate::engine::disk::{self, FileStamp};

/// A settled file whose change time has moved although it looks as before, while a scrub reads it.
#[derive(Debug)]
pub(super) struct Touched {
    /// What it looked like before its first piece was read.
    stamp: FileStamp,
    /// The piece behind those that were read since, and are right.
    next: u32,
}

impl Files {
    /// Something is about to read a piece for a scrub. With its first piece it is noted whether a file was touched.
    pub(in crate::engine) fn scrub_begins(&self, file: usize, piece: u32) {
        if piece != self.metainfo.file_pieces(file).start {
            return;
        }
        let moved = |found: &FileStamp| {
            let known = self.known(file).filter(|_| self.is_settled(file));
            known.is_some_and(|known| found.looks_like(&known) && found.changed_ns != known.changed_ns)
        };
        let touched = self.stamp(file).ok().filter(moved).map(|stamp| Touched { stamp, next: piece });
        match touched {
            Some(touched) => lock(&self.touched).insert(file, touched),
            None => lock(&self.touched).remove(&file),
        };
    }

    /// A scrub has found a piece right. If with it all of a touched file is, that was no edit.
    pub(in crate::engine) fn scrub_right(&self, file: usize, piece: u32) {
        let stamp = {
            let mut all = lock(&self.touched);
            let Some(touched) = all.get_mut(&file).filter(|touched| touched.next == piece) else { return };
            touched.next += 1;
            if touched.next < self.metainfo.file_pieces(file).end {
                return;
            }
            all.remove(&file).map(|touched| touched.stamp)
        };
        let _repairing = lock(&self.repairing);
        // Whoever has written to it meanwhile has moved its time once more.
        if let Some(stamp) = stamp.filter(|stamp| self.stamp(file).is_ok_and(|now| now == *stamp))
            && let Some(slot) = lock(&self.stamps).get_mut(file)
        {
            *slot = stamp;
        }
    }

    /// Puts back what the disk has lost of a settled file. It looks as it did before: what it says is what it said when
    /// it was changed last.
    pub(super) fn repair(&self, file: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        drop(self.repair_gate.blocking_lock());
        let _repairing = lock(&self.repairing);
        let handle = match self.metainfo.is_single_file() {
            true => OpenOptions::new().read(true).write(true).open(&self.place)?,
            false => below::open(&self.place, &self.parts(file), Open::Write)?,
        };
        // Of what is open, so that nothing that takes its place meanwhile is written to.
        let meta = handle.metadata()?;
        if !self.known(file).is_some_and(|known| FileStamp::of_meta(&meta).is_untouched(&known)) {
            // The next look ends the share: tried again it would fail for ever.
            lock(&self.edited).insert(file);
            return Err(edited());
        }
        let written = disk::write_all_at(&handle, bytes, offset);
        // Only its owner may set a file's time; for anybody else it says now that it was written to, and so do we.
        let _ = handle.set_times(fs::FileTimes::new().set_modified(meta.modified()?));
        let stamp = FileStamp::of_meta(&handle.metadata()?);
        let written = written.and_then(|()| handle.sync_all());
        if let Some(slot) = lock(&self.stamps).get_mut(file) {
            *slot = stamp;
        }
        written
    }

    /// Fills `bytes` from the device, not from the system's memory, which then does not keep them. False: the device
    /// cannot read them.
    pub(in crate::engine) fn read_from_disk(
        &self,
        file: usize,
        bytes: &mut [u8],
        offset: u64,
    ) -> io::Result<bool> {
        #[cfg(test)]
        if (offset..offset + bytes.len() as u64).contains(&self.unreadable_at.load(Ordering::Relaxed)) {
            drop(self.look_gate.blocking_lock());
        }
        let handle = self.handle(file, false).map_err(|error| self.fault(file, error))?;
        disk::drop_cached(&handle.file, offset, bytes.len());
        let read = self.read(&handle, bytes, offset);
        disk::drop_cached(&handle.file, offset, bytes.len());
        match read {
            Ok(()) => Ok(true),
            Err(error) if disk::is_unreadable(&error) => Ok(false),
            Err(error) => Err(self.fault(file, error)),
        }
    }

    /// Compares settled files with their stamps: those that are open, and the next few of the others.
    pub(in crate::engine) fn look(&self) -> io::Result<()> {
        let count = self.metainfo.files().len();
        let open: BTreeSet<usize> = lock(&self.handles).open.keys().copied().collect();
        let few = LOOK_FILES_MAX.min(count);
        let from = self.look_at.load(Ordering::Relaxed);
        self.look_at.store((from + few) % count.max(1), Ordering::Relaxed);
        let next = (from..from + few).map(|file| file % count.max(1));
        let edited = lock(&self.edited).clone();
        edited.into_iter().chain(open).chain(next).try_for_each(|file| self.look_at_file(file))
    }

    /// Compares a settled file with its stamp.
    pub(in crate::engine) fn look_at_file(&self, file: usize) -> io::Result<()> {
        if !self.is_settled(file) {
            return Ok(());
        }
        let _repairing = lock(&self.repairing);
        let found = self.stamp(file).map_err(|error| self.fault(file, error))?;
        match self.known(file) {
            Some(known) if found.looks_like(&known) && lock(&self.edited).contains(&file) => {
                Err(self.fault(file, edited()))
            }
            Some(known) if found.looks_like(&known) => Ok(()),
            _ => Err(self.fault(file, changed())),
        }
    }

    /// Fails unless it is certain that nobody has touched a settled file, so that what is wrong in it is the disk's
    /// fault. An edit that puts the time back is somebody's work, and never undone.
    pub(in crate::engine) fn check_untouched(&self, file: usize) -> io::Result<()> {
        if !self.is_settled(file) {
            return Ok(());
        }
        let _repairing = lock(&self.repairing);
        let found = self.stamp(file).map_err(|error| self.fault(file, error))?;
        match self.known(file) {
            Some(known) if found.is_untouched(&known) => Ok(()),
            Some(known) if found.looks_like(&known) => Err(self.fault(file, edited())),
            _ => Err(self.fault(file, changed())),
        }
    }

    /// What a settled file must look like.
    pub(super) fn known(&self, file: usize) -> Option<FileStamp> {
        lock(&self.stamps).get(file).copied()
    }

    /// The disk loses a bit, and nobody has touched the file.
    #[cfg(test)]
    pub(in crate::engine) fn rot(&self, file: usize, at: u64) {
        let _repairing = lock(&self.repairing);
        let handle = OpenOptions::new().read(true).write(true).open(self.place_of(file)).unwrap();
        let modified = handle.metadata().unwrap().modified().unwrap();
        let mut byte = [0];
        disk::read_exact_at(&handle, &mut byte, at).unwrap();
        disk::write_all_at(&handle, &[byte[0] ^ 1], at).unwrap();
        handle.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
        lock(&self.stamps)[file] = FileStamp::of_meta(&handle.metadata().unwrap());
    }

    /// What the file at its final place looks like.
    pub(in crate::engine) fn stamp(&self, file: usize) -> io::Result<FileStamp> {
        if self.metainfo.is_single_file() {
            return FileStamp::of(&self.place);
        }
        let meta = fs::symlink_metadata(self.place_of(file))?;
        match meta.is_file() {
            true => Ok(FileStamp::of_meta(&meta)),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
        }
    }
}

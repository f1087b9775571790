//! The files of one torrent on disk: in which of two places each one is, what it must look like, and a bounded number
//! of open handles. Everything here blocks.
//!
//! A complete file is *settled*: it lies at its final place and is never written to. While it is fetched it lies at the
//! same path below the part. So a download that finds some files at its place leaves them there and fetches only the
//! rest, and a download of a few files of a folder can be joined by more of them later.

mod faults;
mod untouched;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use peerage_metainfo::{Metainfo, sparse};
use peerage_wire::Bitfield;

use self::faults::FileFault;
pub(super) use self::faults::{changed, describe};
use self::untouched::Touched;
use super::below::{self, Open, Parts};
use super::buffer::lock;
use super::disk::{self, FileStamp};
use super::shared::AtomicBits;
use super::spelling::Spelling;

/// Files of one torrent that are open at the same time. A folder of small files is read and written one after the
/// other, and opening again costs little.
pub(super) const HANDLES_MAX: usize = 64;
/// Files of all torrents that are open at the same time; beyond that each torrent keeps the one that it uses.
#[cfg(not(test))]
const HANDLES_ALL_MAX: usize = 1_024;
/// So few that tests come to it.
#[cfg(test)]
pub(super) const HANDLES_ALL_MAX: usize = 128;
/// How many there are. Of the whole process, as its limit is.
static HANDLES: AtomicUsize = AtomicUsize::new(0);
/// The most there were.
#[cfg(test)]
pub(super) static HANDLES_SEEN: AtomicUsize = AtomicUsize::new(0);
/// Files of a folder that one look compares, beside those that are open: looking at all takes a look per so many.
const LOOK_FILES_MAX: usize = 2_000;
/// Up to so many files are synced one by one.
const SYNC_SINGLE_MAX: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    metainfo: Arc<Metainfo>,
    /// The complete file or folder.
    place: PathBuf,
    /// Where what is not complete lies.
    part: PathBuf,
    /// Names on disk that are not those of the metainfo, by file; only in a folder that is shared where it lies.
    spelt: BTreeMap<usize, Vec<OsString>>,
    /// By file.
    settled: AtomicBits,
    /// By file; what a settled one looked like.
    stamps: Mutex<Vec<FileStamp>>,
    /// Settled files that turned out to be edited though they look as they did.
    edited: Mutex<BTreeSet<usize>>,
    /// Settled files that a scrub reads and that were touched.
    touched: Mutex<BTreeMap<usize, Touched>>,
    /// By file; made by this run of the program, so that nothing but holes was in it.
    made: AtomicBits,
    handles: Mutex<Handles>,
    /// Held for writing while complete files move: until they are settled, too, nobody looks for them.
    naming: RwLock<()>,
    /// Held while a settled file is repaired, when it looks like another one for a moment.
    repairing: Mutex<()>,
    /// The next file to look at.
    look_at: AtomicUsize,
    #[cfg(test)]
    pub(super) is_full: std::sync::atomic::AtomicBool,
    /// Repairs wait for it.
    #[cfg(test)]
    pub(super) repair_gate: tokio::sync::Mutex<()>,
    /// Looks at what the device cannot read wait for it.
    #[cfg(test)]
    pub(super) look_gate: tokio::sync::Mutex<()>,
    /// How often it was synced.
    #[cfg(test)]
    pub(super) syncs: AtomicUsize,
    /// A byte that the device cannot read.
    #[cfg(test)]
    pub(super) unreadable_at: std::sync::atomic::AtomicU64,
}

#[derive(Debug, Default)]
struct Handles {
    /// By file, with when it was used last.
    open: BTreeMap<usize, (Arc<Handle>, u64)>,
    clock: u64,
}

/// An open file, counted.
#[derive(Debug)]
struct Handle {
    file: File,
    /// Whether it is worth looking for holes; found out when somebody asks.
    has_holes: OnceLock<bool>,
}

impl Handle {
    fn new(file: File) -> Self {
        let before = HANDLES.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        HANDLES_SEEN.fetch_max(before + 1, Ordering::Relaxed);
        #[cfg(not(test))]
        let _ = before;
        Self { file, has_holes: OnceLock::new() }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        HANDLES.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Files {
    /// Nothing is settled.
    pub(super) fn new(metainfo: Arc<Metainfo>, place: PathBuf, part: PathBuf) -> Self {
        let count = metainfo.files().len();
        Self {
            settled: AtomicBits::new(&Bitfield::new(u32::try_from(count).unwrap_or(u32::MAX))),
            stamps: Mutex::new(vec![FileStamp::NONE; count]),
            edited: Mutex::default(),
            touched: Mutex::default(),
            made: AtomicBits::new(&Bitfield::new(u32::try_from(count).unwrap_or(u32::MAX))),
            metainfo,
            place,
            part,
            spelt: BTreeMap::new(),
            handles: Mutex::default(),
            naming: RwLock::default(),
            repairing: Mutex::default(),
            look_at: AtomicUsize::new(0),
            #[cfg(test)]
            is_full: false.into(),
            #[cfg(test)]
            repair_gate: tokio::sync::Mutex::default(),
            #[cfg(test)]
            look_gate: tokio::sync::Mutex::default(),
            #[cfg(test)]
            syncs: AtomicUsize::new(0),
            #[cfg(test)]
            unreadable_at: u64::MAX.into(),
        }
    }

    /// A folder that is shared where it lies: looks up files whose names the disk spells in another way.
    pub(super) fn in_place(metainfo: Arc<Metainfo>, place: PathBuf) -> Self {
        let mut files = Self::new(metainfo, place.clone(), place);
        if files.metainfo.is_single_file() {
            return files;
        }
        let mut spelling = Spelling::new(&files.place);
        for (file, entry) in files.metainfo.files().iter().enumerate() {
            if files.place_of(file).symlink_metadata().is_err()
                && let Some(parts) = spelling.of(&entry.path)
            {
                files.spelt.insert(file, parts);
            }
        }
        files
    }

    /// From now on the file is at its final place, and must look like this.
    pub(super) fn settle(&self, file: usize, stamp: FileStamp) {
        if let Some(slot) = lock(&self.stamps).get_mut(file) {
            *slot = stamp;
        }
        self.settled.set(index(file));
        lock(&self.handles).open.remove(&file);
    }

    /// From now on the file is below the part.
    pub(super) fn unsettle(&self, file: usize) {
        self.settled.clear(index(file));
        lock(&self.handles).open.remove(&file);
    }

    /// Whether the file has its final place.
    pub(super) fn is_settled(&self, file: usize) -> bool {
        self.settled.get(index(file))
    }

    /// Settled files, and what they must look like.
    pub(super) fn stamps(&self) -> Vec<(u32, FileStamp)> {
        let stamps = lock(&self.stamps);
        let settled = stamps.iter().enumerate().filter(|(file, _)| self.is_settled(*file));
        settled.map(|(file, stamp)| (index(file), *stamp)).collect()
    }

    /// Where the file lies, or will lie, when it is complete.
    pub(super) fn place_of(&self, file: usize) -> PathBuf {
        self.below(&self.place, file)
    }

    /// Where it lies until then.
    pub(super) fn part_of(&self, file: usize) -> PathBuf {
        self.below(&self.part, file)
    }

    fn below(&self, root: &Path, file: usize) -> PathBuf {
        match self.metainfo.is_single_file() {
            true => root.to_owned(),
            false => root.join(self.parts(file).into_iter().collect::<PathBuf>()),
        }
    }

    /// Where it lies below the folder.
    fn parts(&self, file: usize) -> Parts<'_> {
        match (self.spelt.get(&file), self.metainfo.files().get(file)) {
            (Some(spelt), _) => spelt.iter().map(OsString::as_os_str).collect(),
            (None, Some(entry)) => below::parts(&entry.path),
            (None, None) => vec![OsStr::new("")],
        }
    }

    /// Fills `bytes` from `offset` on.
    pub(super) fn read_exact_at(&self, file: usize, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.handle(file, false).and_then(|handle| self.read(&handle, bytes, offset));
        read.map_err(|error| self.fault(file, error))
    }

    #[cfg(not(test))]
    fn read(&self, handle: &Handle, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        disk::read_exact_at(&handle.file, bytes, offset)
    }

    #[cfg(test)]
    fn read(&self, handle: &Handle, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match (offset..offset + bytes.len() as u64).contains(&self.unreadable_at.load(Ordering::Relaxed)) {
            true => Err(rustix::io::Errno::IO.into()),
            false => disk::read_exact_at(&handle.file, bytes, offset),
        }
    }

    /// Writes all of `bytes` at `offset` of a file that is not settled, and is made when it does not exist; or over what
    /// went bad of one that is.
    pub(super) fn write_all_at(&self, file: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.is_settled(file) {
            return self.repair(file, bytes, offset).map_err(|error| self.fault(file, error));
        }
        let written =
            self.handle(file, true).and_then(|handle| disk::write_all_at(&handle.file, bytes, offset));
        written.map_err(|error| self.fault(file, error))
    }

    /// Whether these bytes lie in a hole: they read as zeros, and take no room. False when the file is not there.
    pub(super) fn is_hole(&self, file: usize, offset: u64, len: u32) -> bool {
        self.handle(file, false).is_ok_and(|handle| {
            // What somebody else wrote a moment ago looks like a hole to some file systems.
            let has_holes = self.made.get(index(file))
                || *handle.has_holes.get_or_init(|| sparse::may_have_holes(&handle.file));
            has_holes && sparse::is_hole(&handle.file, offset, len.into())
        })
    }

    /// Whether nothing was ever written there, in a file that this run of the program has made and not settled.
    pub(super) fn is_fresh(&self, file: usize, offset: u64, len: u32) -> bool {
        self.made.get(index(file)) && !self.is_settled(file) && self.is_hole(file, offset, len)
    }

    /// Lets go of all handles.
    pub(super) fn close(&self) {
        lock(&self.handles).open.clear();
    }

    /// Makes a file below the part that has its full length, without writing (sparse where the file system can).
    pub(super) fn create(&self, file: usize) -> io::Result<()> {
        self.handle(file, true).map(drop).map_err(|error| self.fault(file, error))
    }

    /// The open file; the one that was used least makes room.
    fn handle(&self, file: usize, create: bool) -> io::Result<Arc<Handle>> {
        {
            let mut handles = lock(&self.handles);
            handles.clock += 1;
            let now = handles.clock;
            if let Some((handle, used)) = handles.open.get_mut(&file) {
                *used = now;
                return Ok(Arc::clone(handle));
            }
        }
        let handle = {
            let _naming = self.naming.read().unwrap_or_else(PoisonError::into_inner);
            Arc::new(Handle::new(self.open(file, create)?))
        };
        let mut handles = lock(&self.handles);
        while handles.open.len() >= HANDLES_MAX || HANDLES.load(Ordering::Relaxed) > HANDLES_ALL_MAX {
            let oldest = handles.open.iter().min_by_key(|(_, (_, used))| *used).map(|(file, _)| *file);
            let Some(oldest) = oldest else { break };
            handles.open.remove(&oldest);
        }
        let now = handles.clock;
        handles.open.insert(file, (Arc::clone(&handle), now));
        Ok(handle)
    }

    fn open(&self, file: usize, create: bool) -> io::Result<File> {
        let Some(entry) = self.metainfo.files().get(file) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if self.is_settled(file) {
            let handle = match self.metainfo.is_single_file() {
                true => File::open(&self.place)?,
                false => below::open(&self.place, &self.parts(file), Open::Read)?,
            };
            let _repairing = lock(&self.repairing);
            let stamp = FileStamp::of_meta(&handle.metadata()?);
            return match self.known(file).is_some_and(|known| stamp.looks_like(&known)) {
                true => Ok(handle),
                false => Err(changed()),
            };
        }
        let handle = match self.metainfo.is_single_file() {
            true => {
                OpenOptions::new().read(true).write(true).create(create).truncate(false).open(&self.part)?
            }
            false => {
                below::open(&self.part, &self.parts(file), if create { Open::Create } else { Open::Write })?
            }
        };
        if create {
            let len = handle.metadata()?.len();
            if len != entry.size {
                handle.set_len(entry.size)?;
            }
            if len == 0 {
                self.made.set(index(file));
            }
        }
        Ok(handle)
    }

    /// Gives all complete files that `wanted` picks their final place, and settles them. What lies there is never
    /// replaced.
    pub(super) fn finish(&self, wanted: &dyn Fn(usize) -> bool) -> io::Result<()> {
        let unsettled = |file: &usize| wanted(*file) && !self.is_settled(*file);
        let files: Vec<usize> = (0..self.metainfo.files().len()).filter(unsettled).collect();
        for file in &files {
            // Nothing was ever written to an empty file.
            if self.metainfo.files().get(*file).is_some_and(|entry| entry.size == 0) {
                self.create(*file)?;
            }
        }
        self.close();
        let _naming = self.naming.write().unwrap_or_else(PoisonError::into_inner);
        if self.metainfo.is_single_file() {
            disk::rename_new(&self.part, &self.place)?;
        } else if files.len() == self.metainfo.files().len() && self.place.symlink_metadata().is_err() {
            below::rename_folder(&self.part, &self.place)?;
        } else {
            self.move_files(&files)?;
        }
        for file in files {
            let stamp = self.stamp(file).map_err(|error| self.fault(file, error))?;
            self.settle(file, stamp);
        }
        Ok(())
    }

    fn move_files(&self, files: &[usize]) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for file in files {
            let Some(entry) = self.metainfo.files().get(*file) else { continue };
            below::rename_new(&self.part, &self.place, &self.parts(*file))
                .map_err(|error| self.fault(*file, error))?;
            let place = self.part_of(*file);
            let above = place.ancestors().skip(1).take(entry.path.components().len());
            folders.extend(above.map(Path::to_owned));
        }
        // Innermost first. One that is not empty holds what is not complete, and stays.
        for folder in folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    /// Moves a file of the user's from the final place below the part, where it is overwritten.
    pub(super) fn adopt(&self, file: usize) -> io::Result<()> {
        let moved = match self.metainfo.is_single_file() {
            true => fs::rename(&self.place, &self.part),
            false => below::rename_over(&self.place, &self.part, &self.parts(file)),
        };
        moved.map_err(|error| self.fault(file, error))?;
        self.unsettle(file);
        // Its length becomes right.
        self.create(file)
    }

    /// Waits until all settled files are on the device.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let settled: Vec<usize> =
            (0..self.metainfo.files().len()).filter(|file| self.is_settled(*file)).collect();
        if settled.len() > SYNC_SINGLE_MAX && below::sync_all(&self.place)? {
            return Ok(());
        }
        settled.into_iter().try_for_each(|file| File::open(self.place_of(file))?.sync_all())
    }

    /// Names the file, unless there is only one.
    pub(super) fn fault(&self, file: usize, error: io::Error) -> io::Error {
        match self.metainfo.files().get(file) {
            // What they are is looked at later, and they end nothing.
            _ if disk::is_unreadable(&error) || disk::is_shortage(&error) => error,
            Some(entry) if !self.metainfo.is_single_file() => {
                let fault = FileFault { path: entry.path.clone(), why: describe(&error) };
                io::Error::new(error.kind(), fault)
            }
            _ => error,
        }
    }
}

/// Metainfo has at most a million files.
pub(super) fn index(file: usize) -> u32 {
    u32::try_from(file).unwrap_or(u32::MAX)
}

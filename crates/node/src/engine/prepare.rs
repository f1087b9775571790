//! Looks at the disk before a torrent starts: what is there, what may be trusted, what has to be checked, and
//! whether something else is in the way. Blocking.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerage_metainfo::{Leaves, Metainfo};
use peerage_swarm::Priority;
use peerage_types::limits::FILE_NAME_BYTES_MAX;
use peerage_types::{FileName, InfoHash, Sha256, UserId};
use peerage_wire::Bitfield;

use super::api::{AddError, Source};
use super::below;
use super::disk::{self, DataFile, FileStamp};
use super::files::{Files, changed, describe, index};
use super::saved::{self, Saved};
use super::storage::Storage;

const PART: &str = ".part";
/// Leaves that are written with one call: 1 MiB.
const LEAVES_WRITTEN_MAX: usize = 32 * 1024;
/// What a player or viewer looks at first, at each end of a file.
const PREVIEW_BYTES: u32 = 1024 * 1024;

/// What a torrent starts from.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) storage: Storage,
    /// Pieces that are known to be there.
    pub(super) have: Bitfield,
    /// Pieces that may be there and must be hashed first.
    pub(super) check: Bitfield,
    pub(super) kind: Kind,
    /// The complete file's or folder's path, now or later.
    pub(super) place: PathBuf,
    /// Content received per member so far.
    pub(super) sources: BTreeMap<UserId, u64>,
    /// Files that are to be fetched; nothing for all.
    pub(super) wanted: Option<Bitfield>,
    /// Of each piece; empty if all are alike.
    pub(super) priorities: Vec<Priority>,
    /// When bit rot was looked for last, and where the next look goes on.
    pub(super) scrubbed: Option<(u64, u32)>,
    /// What is complete is known to be on the device. A file that we did not write ourselves is recognised by its stamp
    /// alone.
    pub(super) synced: bool,
}

/// What lies at the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All that is wanted, as it was when it was hashed.
    Complete,
    /// Files of the right size that are to be shared and of which nothing (certain) is known. These pieces are known to be
    /// damaged: they are right only if a repair came to its end.
    Share { lost: Bitfield },
    /// A download: what is not settled lies below the part.
    Part {
        /// Files of the right size at the place; whether they are the content has to be seen.
        found: Vec<usize>,
        /// Whether those that are not may be overwritten.
        into_existing: bool,
    },
}

/// See the module. `in_use` tells places of other running downloads.
pub(super) fn prepare(
    metainfo: &Arc<Metainfo>,
    source: Source,
    state_dir: &Path,
    in_use: &dyn Fn(&Path) -> bool,
) -> Result<Prepared, AddError> {
    match source {
        Source::Seed { path, leaves } => prepare_seed(metainfo, path, leaves, state_dir),
        Source::Download { folder, file_name, wanted, levels, preview, into_existing } => {
            let error = |error| AddError::Io { what: "use the folder", path: folder.clone(), error };
            let folder = folder.canonicalize().map_err(error)?;
            let place = folder.join(file_name.as_str());
            if in_use(&place) {
                return Err(AddError::PathInUse { path: place });
            }
            let part = folder.join(part_name(&file_name, metainfo.info_hash()));
            let saved = Saved::load(state_dir, metainfo.info_hash(), &place);
            let files = Files::new(Arc::clone(metainfo), place.clone(), part.clone());
            let pieces = metainfo.piece_count();
            let download = Download {
                metainfo,
                place,
                part,
                files,
                saved,
                wanted,
                levels,
                preview,
                into_existing,
                have: Bitfield::new(pieces),
                check: Bitfield::new(pieces),
                found: Vec::new(),
                doubtful: Vec::new(),
            };
            download.prepare(state_dir)
        }
    }
}

fn prepare_seed(
    metainfo: &Arc<Metainfo>,
    path: PathBuf,
    leaves: Option<Leaves>,
    state_dir: &Path,
) -> Result<Prepared, AddError> {
    let refuse = |why: String, changed| AddError::Source { path: path.clone(), why, changed };
    let files = Files::in_place(Arc::clone(metainfo), path.clone());
    let saved = Saved::load(state_dir, metainfo.info_hash(), &path);
    let saved = saved.filter(|saved| saved.settled.len() == metainfo.files().len());
    let saved_have =
        saved.as_ref().filter(|saved| saved.is_trusted()).map(|s| s.have(metainfo.piece_count()));
    let mut stamps = Vec::with_capacity(metainfo.files().len());
    // Files that were touched while something of them was damaged, and whether a repair may have done it.
    let mut doubtful = Vec::new();
    for (file, entry) in metainfo.files().iter().enumerate() {
        let fault = |error| {
            let error = files.fault(file, error);
            refuse(describe(&error), !is_about_reading(&error))
        };
        let stamp = files.stamp(file).map_err(fault)?;
        if stamp.size != entry.size {
            let why = format!("it has {} bytes, {} were hashed", stamp.size, entry.size);
            return Err(fault(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        let hashed = leaves.as_ref().and_then(|leaves| leaves.looks().get(file));
        if hashed.is_some_and(|look| FileStamp::from(*look) != stamp) {
            let why = io::Error::new(io::ErrorKind::InvalidData, "it has changed since it was hashed");
            return Err(refuse(format!("{}; share it again", describe(&files.fault(file, why))), true));
        }
        let before = saved.as_ref().and_then(|saved| saved.settled.get(file));
        let before = before.filter(|_| leaves.is_none());
        let damaged =
            saved_have.as_ref().filter(|_| before.is_some_and(|(_, before)| !before.is_untouched(&stamp)));
        if damaged.is_some_and(|have| metainfo.file_pieces(file).any(|piece| !have.get(piece))) {
            let pieces = metainfo.file_pieces(file);
            doubtful.push((file, saved.as_ref().is_some_and(|saved| saved.was_repairing(&pieces))));
            stamps.push(stamp);
            continue;
        }
        let same = |(number, before): &(u32, FileStamp)| *number == index(file) && before.looks_like(&stamp);
        if !before.is_none_or(same) {
            return Err(fault(changed()));
        }
        // What is not hashed again keeps its change time: whoever touched it since then is noticed.
        let kept = before.filter(|_| saved.as_ref().is_some_and(Saved::is_trusted));
        stamps.push(kept.map_or(stamp, |(_, before)| *before));
    }
    stamps.into_iter().enumerate().for_each(|(file, stamp)| files.settle(file, stamp));
    let hashed = leaves.is_some();
    let kind = match (leaves, &saved) {
        (Some(leaves), _) => {
            write_sidecar(metainfo, &leaves, state_dir)?;
            Kind::Complete
        }
        (None, Some(saved)) if saved.is_trusted() && doubtful.is_empty() => Kind::Complete,
        (None, _) if metainfo.piece_count() == 0 => Kind::Complete,
        // Nothing is known about it, or a power failure may have changed it.
        (None, _) => Kind::Share { lost: lost(metainfo, saved_have.as_ref(), &doubtful) },
    };
    // What is doubtful is hashed now, and of the rest it is known how far the last look came.
    let scrubbed = saved
        .as_ref()
        .filter(|_| saved_have.is_some() && !hashed)
        .map(|s| (s.scrubbed_unix_ms, s.scrub_next));
    let (all, none) = (Bitfield::full(metainfo.piece_count()), Bitfield::new(metainfo.piece_count()));
    let (have, check) = match (&kind, saved_have) {
        (Kind::Complete, _) if hashed => (all, none),
        // What was known to be damaged is so still.
        (Kind::Complete, Some(have)) => (have, none),
        (Kind::Complete, None) => (all, none),
        (_, Some(mut have)) => {
            let mut check = none;
            for piece in doubtful.iter().flat_map(|(file, _)| metainfo.file_pieces(*file)) {
                have.clear(piece);
                check.set(piece);
            }
            (have, check)
        }
        _ => (none, all),
    };
    let synced = hashed || saved.as_ref().is_none_or(|saved| saved.synced);
    let sources = saved.map(|saved| saved.sources).unwrap_or_default();
    let storage = with_sidecar(metainfo, files, state_dir);
    let (wanted, priorities) = (None, Vec::new());
    Ok(Prepared { storage, have, check, kind, place: path, sources, wanted, priorities, scrubbed, synced })
}

/// Whether it says nothing about what lies there: it may not be read, or cannot be just now.
fn is_about_reading(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || disk::is_unreadable(error) || disk::is_shortage(error)
}

/// Pieces that are known to be damaged, without those of doubtful files that no repair has touched: there somebody's edit
/// would be taken for damage.
fn lost(metainfo: &Metainfo, have: Option<&Bitfield>, doubtful: &[(usize, bool)]) -> Bitfield {
    let mut lost = Bitfield::new(metainfo.piece_count());
    for piece in have.iter().flat_map(|have| (0..metainfo.piece_count()).filter(|piece| !have.get(*piece))) {
        lost.set(piece);
    }
    for piece in doubtful.iter().filter(|(_, ours)| !ours).flat_map(|(file, _)| metainfo.file_pieces(*file)) {
        lost.clear(piece);
    }
    lost
}

/// A download, while the disk is being looked at.
struct Download<'a> {
    metainfo: &'a Arc<Metainfo>,
    place: PathBuf,
    part: PathBuf,
    files: Files,
    saved: Option<Saved>,
    wanted: Option<Bitfield>,
    levels: Vec<Priority>,
    preview: bool,
    into_existing: bool,
    have: Bitfield,
    check: Bitfield,
    found: Vec<usize>,
    /// Files at the place that a repair may have been writing to when the program was killed.
    doubtful: Vec<usize>,
}

impl Download<'_> {
    fn prepare(mut self, state_dir: &Path) -> Result<Prepared, AddError> {
        if self.is_there(&self.place, "")? {
            self.look_at_place()?;
        }
        if self.is_there(&self.part, "the part of a download of this name; ")? {
            self.look_at_part(state_dir)?;
        }
        let missing = |file: usize| self.is_wanted(file) && !self.files.is_settled(file);
        let complete = self.found.is_empty() && !(0..self.metainfo.files().len()).any(missing);
        if !complete && self.metainfo.is_single_file() && !self.files.is_settled(0) {
            // So that a disk without room, or a folder that may not be written to, is noticed now.
            self.files.create(0).map_err(|error| AddError::Io {
                what: "create",
                path: self.part.clone(),
                error,
            })?;
        }
        let wanted = self.wanted.clone();
        let is_wanted = |file: usize| wanted.as_ref().is_none_or(|wanted| wanted.get(index(file)));
        let storage = with_sidecar(self.metainfo, self.files, state_dir);
        if !complete {
            take_holes(self.metainfo, &storage, &is_wanted, &self.check, &mut self.have)?;
        }
        let kind = match complete {
            true if self.doubtful.is_empty() => Kind::Complete,
            true => {
                // All but what is hashed now and was right before.
                let mut lost = Bitfield::full(self.metainfo.piece_count());
                let before = self.saved.as_ref().map(|saved| saved.have(self.metainfo.piece_count()));
                let right = |piece: &u32| before.as_ref().is_some_and(|before| before.get(*piece));
                self.check.iter_set().filter(right).for_each(|piece| _ = lost.clear(piece));
                Kind::Share { lost }
            }
            // Other files are wanted now: only what is right may stay.
            false => {
                self.found.append(&mut self.doubtful);
                Kind::Part { found: self.found, into_existing: self.into_existing }
            }
        };
        Ok(Prepared {
            storage,
            have: self.have,
            check: self.check,
            kind,
            place: self.place,
            scrubbed: self.saved.as_ref().map(|saved| (saved.scrubbed_unix_ms, saved.scrub_next)),
            synced: complete && self.saved.as_ref().is_some_and(|saved| saved.synced),
            sources: self.saved.map(|saved| saved.sources).unwrap_or_default(),
            priorities: priorities(self.metainfo, self.wanted.as_ref(), &self.levels, self.preview),
            wanted: self.wanted,
        })
    }

    fn is_wanted(&self, file: usize) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.get(index(file)))
    }

    /// Whether something lies at `path`, which must then be of the share's kind.
    fn is_there(&self, path: &Path, what: &str) -> Result<bool, AddError> {
        let Ok(meta) = path.symlink_metadata() else { return Ok(false) };
        let (fits, expected) = match self.metainfo.is_single_file() {
            true => (meta.is_file(), "it is not a plain file"),
            false => (meta.is_dir(), "it is not a folder"),
        };
        match fits {
            true => Ok(true),
            false => Err(taken(path, format!("{what}{expected}"))),
        }
    }

    /// Settles what is certain, notes what has to be checked, refuses or takes over what is something else.
    fn look_at_place(&mut self) -> Result<(), AddError> {
        let saved = self.saved.as_ref();
        let known: BTreeMap<u32, FileStamp> =
            saved.filter(|s| s.is_trusted()).into_iter().flat_map(|s| s.settled.iter().copied()).collect();
        for (file, entry) in self.metainfo.files().iter().enumerate() {
            if !self.is_wanted(file) {
                continue;
            }
            let Some(mut meta) = plain(&self.files.place_of(file))? else { continue };
            let place = self.files.place_of(file);
            if meta.len() != entry.size {
                if !self.into_existing {
                    return Err(taken(
                        &place,
                        format!("it has {} bytes, expected {}", meta.len(), entry.size),
                    ));
                }
                self.files.adopt(file).map_err(|error| AddError::Io {
                    what: "take over",
                    path: place,
                    error,
                })?;
                set_all(self.metainfo, file, &mut self.check);
                continue;
            }
            let part = self.files.part_of(file);
            if disk::is_same_file(&place, &part) {
                // Killed between the two halves of giving it its final name.
                fs::remove_file(&part).map_err(|error| AddError::Io { what: "remove", path: part, error })?;
                // Which was a change, and ours.
                let Some(after) = plain(&place)? else { continue };
                meta = after;
            }
            let stamp = FileStamp::of_meta(&meta);
            let pieces = self.metainfo.file_pieces(file);
            let touched = known.get(&index(file)).is_some_and(|before| !before.is_untouched(&stamp));
            if touched && saved.is_some_and(|saved| saved.was_repairing(&pieces)) {
                self.files.settle(file, stamp);
                set_all(self.metainfo, file, &mut self.check);
                self.doubtful.push(file);
                continue;
            }
            let before = known.get(&index(file)).filter(|before| before.looks_like(&stamp));
            self.files.settle(file, *before.unwrap_or(&stamp));
            if let Some(saved) = saved.filter(|_| before.is_some()) {
                // What was known to be damaged is so still.
                let have = saved.have(self.metainfo.piece_count());
                for piece in self.metainfo.file_pieces(file).filter(|piece| have.get(*piece)) {
                    self.have.set(piece);
                }
            } else if entry.size > 0 {
                set_all(self.metainfo, file, &mut self.check);
                self.found.push(file);
            }
        }
        Ok(())
    }

    /// What an earlier attempt left, or somebody else.
    fn look_at_part(&mut self, state_dir: &Path) -> Result<(), AddError> {
        let before =
            self.saved.as_ref().map(|saved| (saved.have(self.metainfo.piece_count()), saved.is_trusted()));
        let leaves = File::open(saved::sidecar_path(state_dir, self.metainfo.info_hash())).ok();
        for (file, entry) in self.metainfo.files().iter().enumerate() {
            if self.files.is_settled(file) || entry.size == 0 {
                continue;
            }
            let Some(meta) = plain(&self.files.part_of(file))? else { continue };
            if meta.len() != entry.size {
                if meta.len() == 0 && !self.metainfo.is_single_file() {
                    // Killed between making it and giving it its length.
                    continue;
                }
                let why = format!("it has {} bytes, expected {}", meta.len(), entry.size);
                return Err(taken(&self.files.part_of(file), why));
            }
            for piece in self.metainfo.file_pieces(file) {
                match &before {
                    Some((have, true)) if have.get(piece) && !self.check.get(piece) => self.have.set(piece),
                    Some((have, false)) if have.get(piece) => self.check.set(piece),
                    // Written after progress was saved last; to be sure it is hashed.
                    Some(_)
                        if leaves.as_ref().is_some_and(|leaves| has_leaves(self.metainfo, leaves, piece)) =>
                    {
                        self.check.set(piece)
                    }
                    Some(_) => false,
                    None => self.check.set(piece),
                };
            }
        }
        Ok(())
    }
}

/// Pieces of zeros are there as soon as their file has its length, if the file system leaves a hole for it.
fn take_holes(
    metainfo: &Metainfo,
    storage: &Storage,
    is_wanted: &dyn Fn(usize) -> bool,
    check: &Bitfield,
    have: &mut Bitfield,
) -> Result<(), AddError> {
    let files = storage.files();
    let mut made = None;
    for piece in storage.zeros().iter_set() {
        let file = metainfo.piece_file(piece).file;
        if have.get(piece) || check.get(piece) || files.is_settled(file) || !is_wanted(file) {
            continue;
        }
        if made != Some(file) {
            files.create(file).map_err(|error| AddError::Io {
                what: "create",
                path: files.part_of(file),
                error,
            })?;
            made = Some(file);
        }
        if storage.is_hole(piece) {
            have.set(piece);
        }
    }
    Ok(())
}

/// Unwanted files are skipped, others are wanted as much as `levels` says. For a preview both ends of each wanted file come
/// first.
pub(super) fn priorities(
    metainfo: &Metainfo,
    wanted: Option<&Bitfield>,
    levels: &[Priority],
    preview: bool,
) -> Vec<Priority> {
    if wanted.is_none() && levels.is_empty() && !preview {
        return Vec::new();
    }
    let mut priorities = vec![Priority::Skip; metainfo.piece_count() as usize];
    let ends = PREVIEW_BYTES.div_ceil(metainfo.piece_length());
    for file in 0..metainfo.files().len() {
        if wanted.is_some_and(|wanted| !wanted.get(index(file))) {
            continue;
        }
        let level = levels.get(file).copied().unwrap_or_default();
        let pieces = metainfo.file_pieces(file);
        for piece in pieces.clone() {
            let at_an_end = piece - pieces.start < ends || pieces.end - piece <= ends;
            if let Some(priority) = priorities.get_mut(piece as usize) {
                *priority = if preview && at_an_end { Priority::First } else { level };
            }
        }
    }
    priorities
}

/// Removes what a download left that is not to go on. Only files of the share, and folders that are empty then.
pub(super) fn discard(metainfo: &Metainfo, folder: &Path, file_name: &FileName) -> io::Result<()> {
    let part = folder.join(part_name(file_name, metainfo.info_hash()));
    let gone = |result: io::Result<()>| match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(())
        }
        result => result,
    };
    if metainfo.is_single_file() {
        return gone(fs::remove_file(part));
    }
    let mut folders = BTreeSet::from([part.clone()]);
    for entry in metainfo.files() {
        gone(below::remove(&part, &below::parts(&entry.path)))?;
        let place = entry.path.under(&part);
        folders.extend(place.ancestors().skip(1).take(entry.path.components().len()).map(Path::to_owned));
    }
    // Innermost first. What holds something else stays.
    for folder in folders.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// Whether the sidecar holds a piece's leaves: they are written after the piece.
fn has_leaves(metainfo: &Metainfo, sidecar: &File, piece: u32) -> bool {
    let mut bytes = vec![0; metainfo.leaf_count(piece) as usize * Sha256::LEN];
    let start = metainfo.leaf_start(piece) * Sha256::LEN as u64;
    if disk::read_exact_at(sidecar, &mut bytes, start).is_err() {
        return false;
    }
    let leaves: Vec<_> = bytes.chunks_exact(Sha256::LEN).filter_map(Sha256::from_slice).collect();
    metainfo.verify_leaves(piece, &leaves)
}

/// The plain file at `path`, `None` if there is nothing.
fn plain(path: &Path) -> Result<Option<Metadata>, AddError> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_file() => Ok(Some(meta)),
        Ok(_) => Err(taken(path, "it is not a plain file".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(taken(path, describe(&error))),
    }
}

fn taken(path: &Path, why: String) -> AddError {
    AddError::PathTaken { path: path.to_owned(), why }
}

/// Sets all pieces of a file.
fn set_all(metainfo: &Metainfo, file: usize, pieces: &mut Bitfield) {
    for piece in metainfo.file_pieces(file) {
        pieces.set(piece);
    }
}

fn with_sidecar(metainfo: &Arc<Metainfo>, files: Files, state_dir: &Path) -> Storage {
    let sidecar = saved::sidecar_path(state_dir, metainfo.info_hash());
    Storage::new(Arc::clone(metainfo), files, DataFile::new(sidecar))
}

/// What is not kept of a sparse file is not written, either: the sidecar has a hole there.
fn write_sidecar(metainfo: &Metainfo, leaves: &Leaves, state_dir: &Path) -> Result<(), AddError> {
    let (got, expected) = (leaves.total(), metainfo.leaf_total());
    if got != expected {
        return Err(AddError::Leaves { got, expected });
    }
    let path = saved::sidecar_path(state_dir, metainfo.info_hash());
    let len = Sha256::LEN as u64;
    let write = |file: &mut File| {
        file.set_len(expected * len)?;
        let chunks = leaves.runs().flat_map(|(first, run)| {
            (first..).step_by(LEAVES_WRITTEN_MAX).zip(run.chunks(LEAVES_WRITTEN_MAX))
        });
        let mut bytes = Vec::new();
        for (first, chunk) in chunks {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|leaf| leaf.0));
            disk::write_all_at(file, &bytes, first * len)?;
        }
        Ok(())
    };
    disk::replace_with(&path, false, write).map_err(|error| AddError::Io { what: "write", path, error })
}

/// `NAME.part`; a name so long that this would not fit is cut, and told apart by its info hash.
fn part_name(name: &FileName, info_hash: InfoHash) -> String {
    let name = name.as_str();
    if name.len() + PART.len() <= FILE_NAME_BYTES_MAX {
        return format!("{name}{PART}");
    }
    let tag = info_hash.tag();
    let cut = name.floor_char_boundary(FILE_NAME_BYTES_MAX - PART.len() - tag.len() - 1);
    format!("{}~{tag}{PART}", &name[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_have_a_part_too() {
        let hash = InfoHash([0; 32]);
        assert_eq!(part_name(&"a.iso".parse().unwrap(), hash), "a.iso.part");
        let long: FileName = "ü".repeat(127).parse().unwrap();
        let part = part_name(&long, hash);
        assert!(part.len() <= FILE_NAME_BYTES_MAX && part.ends_with("~aaaaaaaa.part"), "{part}");
    }
}

//! Looks at the disk before a torrent starts: what is there, what may be trusted, what has to be checked, and
//! whether something else is in the way. Blocking.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerage_metainfo::Metainfo;
use peerage_types::limits::FILE_NAME_BYTES_MAX;
use peerage_types::{FileName, InfoHash, Sha256, UserId};
use peerage_wire::Bitfield;

use super::api::{AddError, Source};
use super::disk::{self, Access, DataFile, FileStamp};
use super::saved::{self, Saved};
use super::storage::Storage;

const PART: &str = ".part";

/// What a torrent starts from.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) storage: Storage,
    /// Pieces that are known to be there.
    pub(super) have: Bitfield,
    /// Pieces that may be there and must be hashed first.
    pub(super) check: Bitfield,
    pub(super) kind: Kind,
    /// The complete file's path, now or later.
    pub(super) place: PathBuf,
    /// Content received per member so far.
    pub(super) sources: BTreeMap<UserId, u64>,
}

/// What lies at the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The complete file, as it was when it was hashed.
    Complete(FileStamp),
    /// A file of the right size where a download should go; whether it is the content has to be seen.
    Existing(FileStamp),
    /// A file of the right size that is to be shared and of which nothing (certain) is known.
    ExistingShare(FileStamp),
    /// A download under its temporary name.
    Part(PathBuf),
}

/// See the module. `in_use` tells places of other running downloads.
pub(super) fn prepare(
    metainfo: &Arc<Metainfo>,
    source: Source,
    state_dir: &Path,
    in_use: &dyn Fn(&Path) -> bool,
) -> Result<Prepared, AddError> {
    if !metainfo.is_single_file() {
        return Err(AddError::FolderShare(metainfo.name().clone()));
    }
    match source {
        Source::Seed { path, leaves } => prepare_seed(metainfo, path, leaves, state_dir),
        Source::Download { folder, file_name } => {
            let error = |error| AddError::Io { what: "use the folder", path: folder.clone(), error };
            let folder = folder.canonicalize().map_err(error)?;
            let path = folder.join(file_name.as_str());
            if in_use(&path) {
                return Err(AddError::PathInUse { path });
            }
            prepare_download(metainfo, &folder, &file_name, state_dir)
        }
    }
}

fn prepare_seed(
    metainfo: &Arc<Metainfo>,
    path: PathBuf,
    leaves: Option<Vec<Sha256>>,
    state_dir: &Path,
) -> Result<Prepared, AddError> {
    let refuse = |why: String| AddError::Source { path: path.clone(), why };
    let stamp = FileStamp::of(&path).map_err(|error| refuse(describe(&error)))?;
    if stamp.size != metainfo.total_bytes() {
        return Err(refuse(format!("it has {} bytes, {} were hashed", stamp.size, metainfo.total_bytes())));
    }
    let hash = metainfo.info_hash();
    let saved = Saved::load(state_dir, hash, &path).filter(|saved| saved.complete.is_some());
    let kind = match (leaves, &saved) {
        (Some(leaves), _) => {
            write_sidecar(metainfo, &leaves, state_dir)?;
            Kind::Complete(stamp)
        }
        (None, Some(saved)) if saved.complete != Some(stamp) => {
            return Err(refuse("it has changed since it was shared; share it again".to_owned()));
        }
        (None, Some(saved)) if saved.is_trusted() => Kind::Complete(stamp),
        // Nothing is known about it, or a power failure may have changed it.
        (None, _) => Kind::ExistingShare(stamp),
    };
    let sources = saved.map(|saved| saved.sources).unwrap_or_default();
    Ok(complete(metainfo, path, kind, sources, state_dir))
}

fn prepare_download(
    metainfo: &Arc<Metainfo>,
    folder: &Path,
    file_name: &FileName,
    state_dir: &Path,
) -> Result<Prepared, AddError> {
    let io_error = |what, path: &Path| {
        let path = path.to_owned();
        move |error| AddError::Io { what, path, error }
    };
    let place = folder.join(file_name.as_str());
    let hash = metainfo.info_hash();
    let saved = Saved::load(state_dir, hash, &place);
    let part = folder.join(part_name(file_name, hash));
    let total = metainfo.total_bytes();
    let taken = |path: &Path, why: String| AddError::PathTaken { path: path.to_owned(), why };
    if let Ok(meta) = place.symlink_metadata() {
        if !meta.is_file() {
            return Err(taken(&place, "it is not a plain file".to_owned()));
        }
        if meta.len() != total {
            return Err(taken(&place, format!("it has {} bytes, expected {total}", meta.len())));
        }
        if disk::is_same_file(&place, &part) {
            // Killed between the two halves of giving it its final name.
            fs::remove_file(&part).map_err(io_error("remove", &part))?;
        }
        let stamp = FileStamp::of(&place).map_err(io_error("look at", &place))?;
        let known = saved.as_ref().is_some_and(|saved| saved.complete == Some(stamp) && saved.is_trusted());
        let kind = if known { Kind::Complete(stamp) } else { Kind::Existing(stamp) };
        let sources = saved.map(|saved| saved.sources).unwrap_or_default();
        return Ok(complete(metainfo, place, kind, sources, state_dir));
    }
    let pieces = metainfo.piece_count();
    let (have, check) = match part.symlink_metadata() {
        Ok(meta) if !meta.is_file() => return Err(taken(&part, "it is not a plain file".to_owned())),
        Ok(meta) if meta.len() != total => {
            return Err(taken(&part, format!("it has {} bytes, expected {total}", meta.len())));
        }
        Ok(_) => match &saved {
            Some(saved) if saved.is_trusted() => (saved.have(pieces), Bitfield::new(pieces)),
            Some(saved) => (Bitfield::new(pieces), saved.have(pieces)),
            None => (Bitfield::new(pieces), Bitfield::full(pieces)),
        },
        Err(_) => (Bitfield::new(pieces), Bitfield::new(pieces)),
    };
    let data = DataFile::new(part.clone(), Access::ReadWrite);
    data.set_len(total).map_err(io_error("create", &part))?;
    let storage = with_sidecar(metainfo, data, state_dir);
    let sources = saved.map(|saved| saved.sources).unwrap_or_default();
    Ok(Prepared { storage, have, check, kind: Kind::Part(part), place, sources })
}

/// Everything is there, or has to be shown to be.
fn complete(
    metainfo: &Arc<Metainfo>,
    place: PathBuf,
    kind: Kind,
    sources: BTreeMap<UserId, u64>,
    state_dir: &Path,
) -> Prepared {
    let (all, none) = (Bitfield::full(metainfo.piece_count()), Bitfield::new(metainfo.piece_count()));
    let (have, check) = match kind {
        Kind::Complete(_) => (all, none),
        Kind::Existing(_) | Kind::ExistingShare(_) | Kind::Part(_) => (none, all),
    };
    let data = DataFile::new(place.clone(), Access::Read);
    Prepared { storage: with_sidecar(metainfo, data, state_dir), have, check, kind, place, sources }
}

fn with_sidecar(metainfo: &Arc<Metainfo>, data: DataFile, state_dir: &Path) -> Storage {
    let sidecar = saved::sidecar_path(state_dir, metainfo.info_hash());
    Storage::new(Arc::clone(metainfo), vec![data], DataFile::new(sidecar, Access::ReadWrite))
}

fn write_sidecar(metainfo: &Metainfo, leaves: &[Sha256], state_dir: &Path) -> Result<(), AddError> {
    let (got, expected) = (leaves.len() as u64, metainfo.leaf_total());
    if got != expected {
        return Err(AddError::Leaves { got, expected });
    }
    let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
    let path = saved::sidecar_path(state_dir, metainfo.info_hash());
    disk::replace(&path, &bytes, false).map_err(|error| AddError::Io { what: "write", path, error })
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

/// What a user needs to know about a file that cannot be used.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        io::ErrorKind::UnexpectedEof => "it has become shorter".to_owned(),
        _ => error.to_string(),
    }
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

//! Which format a data folder has. A file says so, and a program that knows other formats only leaves the folder alone.
//!
//! A folder of an older format is copied first, without what can be fetched or computed again, into
//! `ROOT/backups/format-N`: inside, because a service may write nowhere else. Then it is brought up step by step, each
//! of which may be repeated after a crash, or refused.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use peerage_types::{ClusterId, UserId};

use super::folder::{AccountFolder, FolderError, create_private, read_file, remove_file, write_atomic};

/// The format that this program reads and writes.
pub const FORMAT: u32 = 1;

/// That of folders that do not say which they have.
const FIRST: u32 = 1;

/// Brings a folder to the next format. Begun anew after a crash, so it must stand being repeated.
type Step = fn(&Path) -> Result<(), FolderError>;
/// The last one leads to [`FORMAT`], the one before to the format before it, and so on.
const STEPS: &[Step] = &[];

/// Says which format the folder has, as `peerage data N`.
const FILE: &str = "format";
const HEAD: &str = "peerage data ";
/// Held while the folder gets another format.
const LOCK: &str = "format.lock";
/// Where copies are kept.
const BACKUPS: &str = "backups";
/// Which copy was made for a change that has not come to its end: one is enough, however often it is tried.
const MARK: &str = "format.copy";
/// Copies of folders of one format.
const COPIES_MAX: usize = 16;
/// What is copied from the folder itself. The rest is either nobody's or of a process that runs.
const ROOT_FILES: [&str; 5] = [FILE, "known_clusters", "node.toml", "trackers.txt", "trackers.txt.pin"];
/// What is not copied of an account: metainfo comes from trackers again, leaves are computed from the files.
const LEFT_OUT: [&str; 3] = ["lock", "metainfo", "leaves"];

/// Why a data folder is left alone.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Only a newer program knows what is in it. Nothing was touched.
    #[error("the data folder `{}` was made by a newer Peerage (format {found}), this one knows {known}; update the program", .path.display())]
    Newer {
        /// The data folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// No way leads from its format to ours. Nothing but the copy was made.
    #[error("the data folder `{}` was made by an older Peerage (format {found}), which this one (format {known}) cannot bring up; use the program that made it (keys, settings and lists are also in `{}`)", .path.display(), .copy.display())]
    Older {
        /// The data folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// What this program knows.
        known: u32,
        /// A copy of what matters in it.
        copy: PathBuf,
    },
    /// A step failed half-way.
    #[error("the data folder `{}` could not be brought from format {found} to {known}: {source}; what it was is in `{}`", .path.display(), .copy.display())]
    Stuck {
        /// The data folder.
        path: PathBuf,
        /// The format that it has now.
        found: u32,
        /// What this program knows.
        known: u32,
        /// A copy of what matters in it, from before.
        copy: PathBuf,
        /// The cause.
        source: FolderError,
    },
    /// The file that says the format makes no sense.
    #[error("`{}` does not say `{HEAD}N`; if it was `{HEAD}{FORMAT}`, delete the file", .0.display())]
    Unclear(PathBuf),
    /// There are too many copies.
    #[error("`{}` holds {COPIES_MAX} copies already; move some away", .0.display())]
    Copies(PathBuf),
    /// The folder cannot be read or written, or somebody is logged in there.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Looks whether this program knows a folder's format. Changes nothing; a folder that says none is fine.
///
/// # Errors
/// When the format is newer, or unclear.
pub fn look_at_format(root: &Path) -> Result<(), FormatError> {
    found(root, FORMAT).map(|_| ())
}

/// Makes a folder one of this program's format, or refuses it: a new one, and one that says none, is said to have it; an
/// older one is copied and brought up.
///
/// # Errors
/// When the format is newer, unclear, or one that no way leads from; when the folder cannot be written.
pub fn settle_format(root: &Path) -> Result<(), FormatError> {
    settle(root, FORMAT, STEPS)
}

fn settle(root: &Path, known: u32, steps: &[Step]) -> Result<(), FormatError> {
    if found(root, known)? == Some(known) {
        return Ok(());
    }
    let path = root.join(LOCK);
    let fail = |source| FolderError::Io { path: path.clone(), source };
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    lock.lock().map_err(fail)?;
    // Another process may have been faster.
    match found(root, known)? {
        Some(found) if found == known => Ok(()),
        Some(found) => bring_up(root, found, known, steps),
        // The first format had no marker to begin with.
        None if known > FIRST && !accounts(root)?.is_empty() => bring_up(root, FIRST, known, steps),
        None => Ok(write(root, known)?),
    }
}

/// The format that the folder says it has, unless it is newer than ours.
fn found(root: &Path, known: u32) -> Result<Option<u32>, FormatError> {
    let path = root.join(FILE);
    let Some(bytes) = read_file(&path)? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_prefix(HEAD));
    let Some(found) = text.and_then(|number| number.trim_end().parse().ok()) else {
        return Err(FormatError::Unclear(path));
    };
    match found > known {
        true => Err(FormatError::Newer { path: root.to_owned(), found, known }),
        false => Ok(Some(found)),
    }
}

fn write(root: &Path, format: u32) -> Result<(), FolderError> {
    write_atomic(&root.join(FILE), format!("{HEAD}{format}\n").as_bytes())
}

fn bring_up(root: &Path, found: u32, known: u32, steps: &[Step]) -> Result<(), FormatError> {
    let accounts = accounts(root)?;
    // An older program that is logged in would go on in its own way.
    let _locks = accounts.iter().cloned().map(AccountFolder::lock).collect::<Result<Vec<_>, _>>()?;
    let missing = usize::try_from(known - found).unwrap_or(usize::MAX);
    let Some(first) = steps.len().checked_sub(missing) else {
        let copy = copy(root, found, &accounts, Again::Keep)?;
        return Err(FormatError::Older { path: root.to_owned(), found, known, copy });
    };
    let copy = match kept(root)? {
        Some(copy) => copy,
        None => {
            let copy = copy(root, found, &accounts, Again::Another)?;
            let name = copy.file_name().unwrap_or_default().to_string_lossy().into_owned();
            write_atomic(&root.join(MARK), name.as_bytes())?;
            copy
        }
    };
    for (step, now) in steps[first..].iter().zip(found..) {
        let stepped = step(root).and_then(|()| write(root, now + 1));
        stepped.map_err(|source| {
            let (path, copy) = (root.to_owned(), copy.clone());
            FormatError::Stuck { path, found: now, known, copy, source }
        })?;
    }
    remove_file(&root.join(MARK))?;
    tracing::warn!(from = found, to = known, copy = %copy.display(), "the data folder was brought to this program's format");
    Ok(())
}

/// The copy of an earlier try, which has what there was before anything was changed.
fn kept(root: &Path) -> Result<Option<PathBuf>, FolderError> {
    let name = read_file(&root.join(MARK))?.and_then(|name| String::from_utf8(name).ok());
    let plain = name.filter(|name| name.starts_with("format-") && !name.contains(['/', '\\']));
    Ok(plain.map(|name| root.join(BACKUPS).join(name)).filter(|copy| copy.is_dir()))
}

/// The folders of all accounts, of whichever cluster.
fn accounts(root: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let named =
        |path: &PathBuf, is: fn(&str) -> bool| path.file_name().and_then(|n| n.to_str()).is_some_and(is);
    let mut found = Vec::new();
    for cluster in entries(root)?.into_iter().filter(|p| named(p, |n| ClusterId::from_hex(n).is_some())) {
        found.extend(entries(&cluster)?.into_iter().filter(|p| named(p, |n| UserId::from_hex(n).is_some())));
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> =
        read.map_err(|source| FolderError::Io { path: folder.to_owned(), source })?;
    paths.sort();
    Ok(paths)
}

/// What to do if there is a copy of that format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Nothing: who is refused at each start needs one copy.
    Keep,
    /// Make another one: that one may be of long ago.
    Another,
}

/// Copies what matters. The copy gets its name when it is complete.
fn copy(root: &Path, format: u32, accounts: &[PathBuf], again: Again) -> Result<PathBuf, FormatError> {
    let backups = root.join(BACKUPS);
    let name = |number| match number {
        1 => backups.join(format!("format-{format}")),
        _ => backups.join(format!("format-{format}.{number}")),
    };
    if again == Again::Keep && name(1).exists() {
        return Ok(name(1));
    }
    let Some(free) = (1..=COPIES_MAX).map(name).find(|path| !path.exists()) else {
        return Err(FormatError::Copies(backups));
    };
    let draft = backups.join("unfinished");
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Io { path, source }
    };
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(&draft)(error).into()),
        _ => create_private(&draft)?,
    }
    for file in ROOT_FILES.map(|name| root.join(name)).into_iter().filter(|file| file.is_file()) {
        copy_all(&file, &draft)?;
    }
    for account in accounts {
        // Below the name of its cluster.
        let Some(cluster) = account.parent() else { continue };
        let into = draft.join(cluster.file_name().unwrap_or_default());
        create_private(&into)?;
        let users = cluster.join("users");
        if users.is_file() {
            copy_all(&users, &into)?;
        }
        let into = into.join(account.file_name().unwrap_or_default());
        create_private(&into)?;
        for path in entries(account)? {
            if !LEFT_OUT.iter().any(|name| path.ends_with(name)) {
                copy_all(&path, &into)?;
            }
        }
    }
    fs::rename(&draft, &free).map_err(fail(&free))?;
    sync(&backups).map_err(fail(&backups))?;
    Ok(free)
}

/// Copies a file, or a folder with all in it, into a folder. What is neither is not ours.
fn copy_all(from: &Path, into: &Path) -> Result<(), FolderError> {
    let to = into.join(from.file_name().unwrap_or_default());
    let fail = |source| FolderError::Io { path: from.to_owned(), source };
    let kind = fs::symlink_metadata(from).map_err(fail)?.file_type();
    if kind.is_dir() {
        create_private(&to)?;
        return entries(from)?.iter().try_for_each(|path| copy_all(path, &to));
    }
    if kind.is_file() {
        fs::copy(from, &to).and_then(|_| File::open(&to)?.sync_all()).map_err(fail)?;
    }
    Ok(())
}

fn sync(folder: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this format with one account in it.
    fn folder(format: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let account = dir.path().join(ClusterId([1; 16]).to_hex()).join(UserId([2; 32]).to_hex());
        for name in ["groups", "metainfo"] {
            fs::create_dir_all(account.join(name)).unwrap();
            fs::write(account.join(name).join("a"), name).unwrap();
        }
        fs::write(account.join("device"), "key").unwrap();
        fs::write(dir.path().join("node.toml"), "").unwrap();
        write(dir.path(), format).unwrap();
        (dir, account)
    }

    fn second(root: &Path) -> Result<(), FolderError> {
        write_atomic(&root.join("node.toml"), b"second")
    }

    fn third(root: &Path) -> Result<(), FolderError> {
        assert_eq!(found(root, 3).unwrap(), Some(2), "each step is remembered");
        write_atomic(&root.join("known_clusters"), b"third")
    }

    fn failing(root: &Path) -> Result<(), FolderError> {
        Err(FolderError::Io { path: root.to_owned(), source: io::ErrorKind::StorageFull.into() })
    }

    #[test]
    fn brought_up_after_a_copy() {
        let (dir, account) = folder(1);
        let stuck = settle(dir.path(), 3, &[second, failing]).unwrap_err();
        assert!(matches!(stuck, FormatError::Stuck { found: 2, known: 3, .. }), "{stuck}");
        settle(dir.path(), 3, &[second, third]).unwrap();
        assert_eq!(found(dir.path(), 3).unwrap(), Some(3));
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).ok();
        assert_eq!(
            (read("node.toml").unwrap(), read("known_clusters").unwrap()),
            ("second".into(), "third".into())
        );
        let copied = Path::new("backups/format-1").join(account.strip_prefix(dir.path()).unwrap());
        let copied = |name: &str| read(copied.join(name).to_str().unwrap());
        assert_eq!(read("backups/format-1/node.toml").as_deref(), Some(""), "the copy is of before");
        assert_eq!(copied("device").as_deref(), Some("key"));
        assert_eq!((copied("groups/a").as_deref(), copied("metainfo/a")), (Some("groups"), None));
        assert_eq!(entries(&dir.path().join(BACKUPS)).unwrap().len(), 1, "one copy for one change");
        assert!(!dir.path().join(MARK).exists());
    }

    #[test]
    fn trying_again_copies_nothing() {
        let (dir, _) = folder(1);
        for _ in 0..COPIES_MAX + 2 {
            let stuck = settle(dir.path(), 2, &[failing]).unwrap_err();
            assert!(
                matches!(&stuck, FormatError::Stuck { copy, .. } if copy.ends_with("format-1")),
                "{stuck}"
            );
        }
        assert_eq!(entries(&dir.path().join(BACKUPS)).unwrap().len(), 1);
        settle(dir.path(), 2, &[second]).unwrap();
        // The next change is another one.
        write(dir.path(), 1).unwrap();
        settle(dir.path(), 2, &[second]).unwrap();
        assert_eq!(entries(&dir.path().join(BACKUPS)).unwrap().len(), 2);
    }

    #[test]
    fn without_a_marker_it_is_the_first_format() {
        let (dir, _) = folder(1);
        fs::remove_file(dir.path().join(FILE)).unwrap();
        settle(dir.path(), 2, &[second]).unwrap();
        assert!(dir.path().join("backups/format-1").is_dir(), "it was copied first");
        let empty = tempfile::tempdir().unwrap();
        settle(empty.path(), 2, &[failing]).unwrap();
        assert_eq!(found(empty.path(), 2).unwrap(), Some(2), "nothing to bring up");
    }

    #[test]
    fn refused_while_an_older_program_is_logged_in() {
        let (dir, account) = folder(1);
        let lock = AccountFolder::lock(account).unwrap();
        let refused = settle(dir.path(), 2, &[second]).unwrap_err();
        assert!(matches!(refused, FormatError::Folder(FolderError::Locked(_))), "{refused}");
        assert!(!dir.path().join(BACKUPS).exists());
        drop(lock);
        settle(dir.path(), 2, &[second]).unwrap();
    }

    #[test]
    fn copies_of_one_format_are_kept_apart_and_bounded() {
        let (dir, _) = folder(1);
        for _ in 0..COPIES_MAX {
            write(dir.path(), 1).unwrap();
            settle(dir.path(), 2, &[second]).unwrap();
        }
        assert!(dir.path().join("backups/format-1.16/node.toml").exists());
        write(dir.path(), 1).unwrap();
        assert!(matches!(settle(dir.path(), 2, &[second]), Err(FormatError::Copies(_))));
    }
}

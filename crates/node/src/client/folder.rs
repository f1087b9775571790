//! Where a node keeps its files: one folder per (cluster, account), locked while somebody is logged in.
//!
//! ```text
//! ROOT/format                        which format all this has (see `format`)
//! ROOT/format.copy                   which copy there is of before a change that has not come to its end
//! ROOT/backups/                      what it was before a newer program changed it
//! ROOT/known_clusters                trusted cluster keys (see `pin`)
//! ROOT/CLUSTER/USER/lock             held by the process that is logged in
//! ROOT/CLUSTER/USER/device           the sealed device key
//! ROOT/CLUSTER/USER/remembered       names that it claimed, the password record made here
//! ROOT/CLUSTER/users                where user names led
//! ROOT/CLUSTER/USER/account          the account's own records
//! ROOT/CLUSTER/USER/seen             how much of the trackers' logs was seen
//! ROOT/CLUSTER/USER/outbox           bundles that are not yet on two trackers
//! ROOT/CLUSTER/USER/limits           rate limits
//! ROOT/CLUSTER/USER/passwords        sealed password records that were made here
//! ROOT/CLUSTER/USER/outbox.refused   bundles that a tracker lost and that all refuse now
//! ROOT/CLUSTER/USER/groups/          kept snapshots
//! ROOT/CLUSTER/USER/shares/          what this device shares
//! ROOT/CLUSTER/USER/downloads/       what it downloads, and what it has completed
//! ROOT/CLUSTER/USER/metainfo/        metainfo files by id
//! ROOT/CLUSTER/USER/leaves/          hash sidecars by info hash
//! ROOT/CLUSTER/USER/engine/          the transfer engine's own state
//! ```
//!
//! All writes are atomic: a reader, or the next start after a crash, sees the old or the new file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use peerage_types::{ClusterId, UserId};

/// Largest file of ours that is read back. The largest legitimate one is a group's snapshot.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Why the data folder cannot be used; the user must act.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Neither `--data` nor a home folder.
    #[error("no data folder: neither XDG_DATA_HOME nor HOME is set; give one with --data DIR")]
    NoHome,
    /// The operating system said no.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process is logged in to this account.
    #[error("the account's folder is in use by another program: `{}`", .0.display())]
    Locked(PathBuf),
}

/// The folder of everything this user of the machine keeps.
#[derive(Debug, Clone)]
pub struct DataRoot(PathBuf);

impl DataRoot {
    /// `--data`, else `$XDG_DATA_HOME/peerage`, else `~/.local/share/peerage`. Creates it, for its owner only.
    pub fn resolve(data: Option<&Path>) -> Result<Self, FolderError> {
        let set = |key: &str| std::env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = match data {
            Some(dir) => dir.to_owned(),
            None => match (set("XDG_DATA_HOME"), set("HOME")) {
                (Some(xdg), _) => xdg.join("peerage"),
                (None, Some(home)) => home.join(".local/share/peerage"),
                (None, None) => return Err(FolderError::NoHome),
            },
        };
        create_private(&root)?;
        Ok(Self(root))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of one cluster, whether or not it exists yet.
    pub fn cluster(&self, cluster: &ClusterId) -> PathBuf {
        self.0.join(cluster.to_hex())
    }

    /// The folder of one account, whether or not it exists yet.
    pub fn account(&self, cluster: &ClusterId, user: &UserId) -> PathBuf {
        self.0.join(cluster.to_hex()).join(user.to_hex())
    }

    /// All accounts of a cluster that have a folder here.
    pub fn accounts(&self, cluster: &ClusterId) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.0.join(cluster.to_hex())) else { return Vec::new() };
        let named = |p: &PathBuf| p.file_name().and_then(|n| n.to_str()).and_then(UserId::from_hex).is_some();
        let mut found: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(named).collect();
        found.sort();
        found
    }
}

/// The folder that a node keeps everything in: `given`, else the one of this user. Creates it.
///
/// # Errors
/// When there is no home folder, or it cannot be created.
pub fn data_folder(given: Option<&Path>) -> Result<PathBuf, FolderError> {
    Ok(DataRoot::resolve(given)?.0)
}

/// An account's folder, locked for this process until dropped.
#[derive(Debug)]
pub struct AccountFolder {
    path: PathBuf,
    /// Holding the file open holds the lock; the kernel frees it however the process ends.
    _lock: File,
}

impl AccountFolder {
    /// Creates the folder if needed and locks it.
    pub fn lock(path: PathBuf) -> Result<Self, FolderError> {
        create_private(&path)?;
        let lock_path = path.join("lock");
        let io = |source| FolderError::Io { path: lock_path.clone(), source };
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::Locked(path)),
            Err(TryLockError::Error(e)) => Err(io(e)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside it, created when missing.
    pub fn sub(&self, name: &str) -> Result<PathBuf, FolderError> {
        let path = self.path.join(name);
        create_private(&path)?;
        Ok(path)
    }
}

/// Creates a folder and its parents, readable by their owner only.
pub fn create_private(path: &Path) -> Result<(), FolderError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| FolderError::Io { path: path.to_owned(), source })
}

/// Replaces a file as one step and makes it durable. The file is readable by its owner only.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let fail = |source| FolderError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    // The process id keeps two processes that write the same file from sharing a temporary one.
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if let Err(e) = written {
        // Best effort: the temporary file has a name that nothing reads.
        let _ = fs::remove_file(&temporary);
        return Err(fail(e));
    }
    File::open(folder).and_then(|f| f.sync_all()).map_err(fail)
}

/// Reads a whole file, at most [`FILE_BYTES_MAX`]; `None` when there is none.
pub fn read_file(path: &Path) -> Result<Option<Vec<u8>>, FolderError> {
    let fail = |source| FolderError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes"))));
    }
    Ok(Some(bytes))
}

/// Removes a file; that it is not there is fine.
pub fn remove_file(path: &Path) -> Result<(), FolderError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(FolderError::Io { path: path.to_owned(), source: e })
        }
        _ => Ok(()),
    }
}

/// The files of a folder whose name ends in `.ext`, in name order. A missing folder is empty.
pub fn list_files(folder: &Path, ext: &str) -> Result<Vec<PathBuf>, FolderError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(FolderError::Io { path: folder.to_owned(), source }),
    };
    let wanted = |p: &PathBuf| p.extension().is_some_and(|e| e == ext);
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(wanted).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_replaces_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cbor");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read_file(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(list_files(dir.path(), "cbor").unwrap(), vec![path.clone()]);
        remove_file(&path).unwrap();
        remove_file(&path).unwrap();
        assert_eq!(read_file(&path).unwrap(), None);
    }

    #[test]
    fn a_second_login_finds_the_folder_locked() {
        let dir = tempfile::tempdir().unwrap();
        let root = DataRoot::resolve(Some(dir.path())).unwrap();
        let (cluster, user) = (ClusterId([1; 16]), UserId([2; 32]));
        let path = root.account(&cluster, &user);
        let first = AccountFolder::lock(path.clone()).unwrap();
        assert!(matches!(AccountFolder::lock(path.clone()), Err(FolderError::Locked(_))));
        assert_eq!(root.accounts(&cluster), vec![path.clone()]);
        drop(first);
        AccountFolder::lock(path).unwrap();
    }
}

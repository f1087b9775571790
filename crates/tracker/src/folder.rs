//! The data folder of one tracker: where it is, and the lock that keeps a second process out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use peerage_types::ClusterId;

/// The database in it.
pub(crate) const DATABASE: &str = "tracker.db";

/// Why the data folder cannot be used: the environment is at fault.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Neither `XDG_STATE_HOME` nor `HOME` says where state belongs.
    #[error(
        "cannot tell where to keep the tracker's data: neither XDG_STATE_HOME nor HOME is set; name a folder with --data"
    )]
    NoHome,
    /// Creating or opening something in it failed.
    #[error("cannot use the data folder `{}`: {source}", .path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the data folder `{}` is in use by another tracker process; stop that one, or give each tracker a folder of its own with --data", .0.display())]
    InUse(PathBuf),
}

/// Password files, rosters and file names lie in it: nobody else on this machine may look.
fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

/// A locked data folder; the lock goes with the value (or with the process).
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if need be and locks it.
    pub(crate) fn open(path: PathBuf) -> Result<Self, FolderError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, source }
        };
        create_private(&path).map_err(fault(&path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(fault(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path)),
            Err(TryLockError::Error(source)) => Err(FolderError::Io { path: lock_path, source }),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }
}

/// `$XDG_STATE_HOME/peerage/trackers/<cluster tag>-<number>`, by default below `~/.local/state`.
///
/// `number` is 1-based. Two trackers of one list on one machine so get different folders, and a list of another
/// cluster never meets this one's data.
pub(crate) fn default_folder(
    cluster: &ClusterId,
    number: usize,
    env: impl Fn(&str) -> Option<PathBuf>,
) -> Result<PathBuf, FolderError> {
    // XDG base directory specification: relative paths are invalid and to be ignored.
    let set = |name| env(name).filter(|p| p.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let state = state.ok_or(FolderError::NoHome)?;
    Ok(state.join("peerage/trackers").join(format!("{}-{number}", cluster.tag())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(vars: &[(&str, &str)], expected: Option<&str>) {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
        let found = default_folder(&ClusterId([0; 16]), 2, env).ok();
        assert_eq!(found.as_deref(), expected.map(Path::new));
    }

    #[test]
    fn state_home_then_home_then_nothing() {
        check(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")], Some("/s/peerage/trackers/aaaaaaaa-2"));
        check(
            &[("XDG_STATE_HOME", "s"), ("HOME", "/h")],
            Some("/h/.local/state/peerage/trackers/aaaaaaaa-2"),
        );
        check(&[], None);
    }

    #[test]
    fn a_second_process_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataFolder::open(dir.path().join("t")).unwrap();
        let refused = DataFolder::open(dir.path().join("t")).unwrap_err();
        assert!(refused.to_string().contains("in use by another tracker process"), "{refused}");
        drop(first);
        DataFolder::open(dir.path().join("t")).unwrap();
    }
}

//! Opening, moving and naming files below a folder, without following a symbolic link on the way: what somebody puts
//! there later leads nowhere else. Everything here blocks.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use peerage_types::SafePath;

/// The components of a path below a folder: those of a [`SafePath`], or as the disk spells them.
pub(super) type Parts<'a> = Vec<&'a OsStr>;

/// A path from outside.
pub(super) fn parts(path: &SafePath) -> Parts<'_> {
    path.components().iter().map(|name| OsStr::new(name.as_str())).collect()
}

/// What to open a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// Reading.
    Read,
    /// Reading and writing what exists.
    Write,
    /// Reading and writing; the file and its folders are made when they do not exist.
    Create,
}

/// Opens a plain file.
pub(super) fn open(root: &Path, path: &Parts<'_>, how: Open) -> io::Result<File> {
    let file = system::open(root, path, how)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
    }
}

/// Moves a file from below one folder to below another, whose folders are made when they do not exist. Never replaces
/// anything.
pub(super) fn rename_new(from: &Path, to: &Path, path: &Parts<'_>) -> io::Result<()> {
    system::rename_new(from, to, path)
}

/// As [`rename_new`], but what lies there is replaced.
pub(super) fn rename_over(from: &Path, to: &Path, path: &Parts<'_>) -> io::Result<()> {
    system::rename_over(from, to, path)
}

/// Removes a file.
pub(super) fn remove(root: &Path, path: &Parts<'_>) -> io::Result<()> {
    system::remove(root, path)
}

/// Gives a folder another name, which is free.
pub(super) fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
    system::rename_folder(from, to)
}

/// Waits until everything below `root` is on the device, with one call for the whole file system. `false` where there
/// is no such call.
pub(super) fn sync_all(root: &Path) -> io::Result<bool> {
    system::sync_all(root)
}

#[cfg(unix)]
mod system {
    use std::os::fd::OwnedFd;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, mkdirat, openat, renameat, statat, unlinkat};
    use rustix::io::Errno;

    use super::{File, Open, OsStr, Parts, Path, io};

    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    /// Opening a pipe must not wait for somebody at its other end.
    const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
    const NEW_FOLDER: Mode = Mode::from_raw_mode(0o777);
    const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

    pub(super) fn open(root: &Path, path: &Parts<'_>, how: Open) -> io::Result<File> {
        let (folder, name) = parent(root, path, how == Open::Create)?;
        let flags = match how {
            Open::Read => OFlags::RDONLY,
            Open::Write => OFlags::RDWR,
            Open::Create => OFlags::RDWR | OFlags::CREATE,
        };
        Ok(openat(&folder, name, flags | PLAIN, NEW_FILE).map_err(told)?.into())
    }

    pub(super) fn rename_new(from: &Path, to: &Path, path: &Parts<'_>) -> io::Result<()> {
        let ((from, name), (to, _)) = (parent(from, path, false)?, parent(to, path, true)?);
        // A hard link fails when the name is taken, without a gap between looking and doing.
        match linkat(&from, name, &to, name, AtFlags::empty()) {
            Ok(()) => Ok(unlinkat(&from, name, AtFlags::empty())?),
            Err(Errno::EXIST) => Err(Errno::EXIST.into()),
            // This file system has no links: look, then rename.
            Err(_) if statat(&to, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() => Err(Errno::EXIST.into()),
            Err(_) => Ok(renameat(&from, name, &to, name)?),
        }
    }

    pub(super) fn rename_over(from: &Path, to: &Path, path: &Parts<'_>) -> io::Result<()> {
        let ((from, name), (to, _)) = (parent(from, path, false)?, parent(to, path, true)?);
        Ok(renameat(&from, name, &to, name)?)
    }

    pub(super) fn remove(root: &Path, path: &Parts<'_>) -> io::Result<()> {
        let (folder, name) = parent(root, path, false)?;
        Ok(unlinkat(&folder, name, AtFlags::empty())?)
    }

    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    pub(super) fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system that cannot promise it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => look_and_rename(from, to),
            result => Ok(result?),
        }
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    pub(super) fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
        look_and_rename(from, to)
    }

    fn look_and_rename(from: &Path, to: &Path) -> io::Result<()> {
        match to.symlink_metadata() {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => std::fs::rename(from, to),
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn sync_all(root: &Path) -> io::Result<bool> {
        let folder = openat(CWD, root, FOLDER, Mode::empty())?;
        rustix::fs::syncfs(folder)?;
        Ok(true)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn sync_all(_: &Path) -> io::Result<bool> {
        Ok(false)
    }

    /// The open folder that `path` is in, and the name there.
    fn parent<'p>(root: &Path, path: &Parts<'p>, create: bool) -> io::Result<(OwnedFd, &'p OsStr)> {
        let mut folder = open_folder(CWD, root.as_os_str(), OFlags::empty(), create)?;
        let Some((name, folders)) = path.split_last() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        for inner in folders {
            folder = open_folder(&folder, inner, OFlags::NOFOLLOW, create)?;
        }
        Ok((folder, *name))
    }

    fn open_folder(
        at: impl std::os::fd::AsFd,
        name: &OsStr,
        flags: OFlags,
        create: bool,
    ) -> io::Result<OwnedFd> {
        match openat(&at, name, FOLDER | flags, Mode::empty()) {
            Err(Errno::NOENT) if create => {
                match mkdirat(&at, name, NEW_FOLDER) {
                    // Another thread has just made it.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat(&at, name, FOLDER | flags, Mode::empty()).map_err(told)
            }
            result => result.map_err(told),
        }
    }

    /// The system has no plain word for a link where none is followed.
    fn told(error: Errno) -> io::Error {
        match error {
            Errno::LOOP => io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link"),
            error => error.into(),
        }
    }
}

/// Without relative opening in the standard library: looks at each folder on the way, then opens.
#[cfg(not(unix))]
mod system {
    use std::fs::{self, OpenOptions};

    use super::{File, Open, Parts, Path, io};

    pub(super) fn open(root: &Path, path: &Parts<'_>, how: Open) -> io::Result<File> {
        parent(root, path, how == Open::Create)?;
        let place = root.join(path.iter().collect::<std::path::PathBuf>());
        if place.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link"));
        }
        let write = how != Open::Read;
        OpenOptions::new().read(true).write(write).create(how == Open::Create).truncate(false).open(place)
    }

    pub(super) fn rename_new(from: &Path, to: &Path, path: &Parts<'_>) -> io::Result<()> {
        parent(from, path, false)?;
        parent(to, path, true)?;
        crate::engine::disk::rename_new(
            &from.join(path.iter().collect::<std::path::PathBuf>()),
            &to.join(path.iter().collect::<std::path::PathBuf>()),
        )
    }

    pub(super) fn rename_over(from: &Path, to: &Path, path: &Parts<'_>) -> io::Result<()> {
        parent(from, path, false)?;
        parent(to, path, true)?;
        fs::rename(
            from.join(path.iter().collect::<std::path::PathBuf>()),
            to.join(path.iter().collect::<std::path::PathBuf>()),
        )
    }

    pub(super) fn remove(root: &Path, path: &Parts<'_>) -> io::Result<()> {
        parent(root, path, false)?;
        fs::remove_file(root.join(path.iter().collect::<std::path::PathBuf>()))
    }

    pub(super) fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
        match to.symlink_metadata() {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        }
    }

    pub(super) fn sync_all(_: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn parent(root: &Path, path: &Parts<'_>, create: bool) -> io::Result<()> {
        let mut folder = root.to_owned();
        let folders = path.split_last().map_or(&[][..], |(_, folders)| folders);
        for inner in std::iter::once(None).chain(folders.iter().map(Some)) {
            folder.extend(inner);
            match folder.symlink_metadata() {
                Ok(meta) if inner.is_some() && meta.is_symlink() => {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link"));
                }
                Err(error) if create && error.kind() == io::ErrorKind::NotFound => fs::create_dir(&folder)?,
                result => drop(result?),
            }
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> Parts<'_> {
        text.split('/').map(OsStr::new).collect()
    }

    #[test]
    fn links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("f"), "secret").unwrap();
        open(&root, &path("a/b/f"), Open::Create).unwrap().write_all(b"hello").unwrap();
        let mut text = String::new();
        open(&root, &path("a/b/f"), Open::Read).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");

        symlink(&outside, root.join("link")).unwrap();
        symlink(outside.join("f"), root.join("f")).unwrap();
        for how in [Open::Read, Open::Write, Open::Create] {
            assert!(open(&root, &path("link/f"), how).is_err());
            assert_eq!(open(&root, &path("f"), how).unwrap_err().to_string(), "it is a symbolic link");
        }
        assert!(rename_new(&root, &dir.path().join("to"), &path("link/f")).is_err());
        assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "secret");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(open(&root, &path("pipe"), Open::Read).unwrap_err().to_string(), "it is not a plain file");
    }

    #[test]
    fn moving_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a/f"), "new").unwrap();
        rename_new(&from, &to, &path("a/f")).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/f")).unwrap(), "new");
        fs::write(from.join("a/f"), "newer").unwrap();
        assert_eq!(rename_new(&from, &to, &path("a/f")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(to.join("a/f")).unwrap(), "new");
        rename_over(&from, &to, &path("a/f")).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/f")).unwrap(), "newer");
        assert_eq!(rename_folder(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        rename_folder(&to, &dir.path().join("third")).unwrap();
        assert!(dir.path().join("third/a/f").exists());
    }
}

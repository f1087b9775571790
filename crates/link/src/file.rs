//! Small files that several processes may create at the same moment: each appears whole, once, and for good.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Who may read a file that is created here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Mode 0600: it holds a secret.
    ByOwner,
    /// Mode 0644.
    ByAll,
}

/// `<path>.<suffix>`, which lies beside `path`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn read_bounded(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let expected = usize::try_from(file.metadata()?.len()).unwrap_or(bytes_max).min(bytes_max);
    // Room for all at once: a secret that moves while its buffer grows would leave a copy behind.
    let mut bytes = Vec::with_capacity(expected + 1);
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > bytes_max {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {bytes_max} bytes"))),
        false => Ok(bytes),
    }
}

/// Creates `path` with this content unless it exists. Whoever comes second finds the first one's file, complete
/// and on disk; the return value says whether it was us.
pub(crate) fn create_once(path: &Path, content: &[u8], readable: Readable) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let draft = Draft::write(path, content, readable)?;
    let created = match fs::hard_link(&draft.path, path) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
        // No hard links on this file system (FAT, some shared folders).
        Err(_) => rename_under_lock(&draft.path, path)?,
    };
    sync_folder(path)?;
    Ok(created)
}

/// Writes `path` whole, replacing what was there.
pub(crate) fn replace(path: &Path, content: &[u8], readable: Readable) -> io::Result<()> {
    let draft = Draft::write(path, content, readable)?;
    fs::rename(&draft.path, path)?;
    sync_folder(path)
}

/// Renaming alone would replace a file that appeared meanwhile, so the check and the rename need a lock.
fn rename_under_lock(draft: &Path, path: &Path) -> io::Result<bool> {
    let lock = File::options().create(true).truncate(false).write(true).open(beside(path, "lock"))?;
    lock.lock()?;
    if path.try_exists()? {
        return Ok(false);
    }
    fs::rename(draft, path).map(|()| true)
}

/// The entry in the folder must be on disk too, else a power cut takes the file away again.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}

/// A complete file under a name of its own, removed again when it was not renamed.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(target: &Path, content: &[u8], readable: Readable) -> io::Result<Self> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let path = beside(target, &format!("{:016x}.new", u64::from_le_bytes(nonce)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        set_mode(&mut options, readable);
        let mut file = options.open(&path)?;
        let draft = Self { path };
        file.write_all(content)?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove; a failure leaves a file that nobody reads.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, readable: Readable) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(match readable {
        Readable::ByOwner => 0o600,
        Readable::ByAll => 0o644,
    });
}

#[cfg(not(unix))]
fn set_mode(_: &mut OpenOptions, _: Readable) {}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// Eight threads create one file in this way: exactly one wins, and everybody reads the winner's content.
    #[track_caller]
    fn check_race(create: impl Fn(&Path, &[u8]) -> io::Result<bool> + Sync) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let start = Barrier::new(8);
        let won: Vec<u8> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8u8)
                .map(|i| {
                    let (path, start, create) = (&path, &start, &create);
                    scope.spawn(move || {
                        start.wait();
                        let won = create(path, &[i; 1000]).unwrap();
                        (won, read_bounded(path, 1000).unwrap(), i)
                    })
                })
                .collect();
            let ends: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
            assert!(ends.iter().all(|(_, content, _)| *content == ends[0].1));
            ends.into_iter().filter(|(won, ..)| *won).map(|(.., i)| i).collect()
        });
        assert_eq!(won.len(), 1);
        assert_eq!(read_bounded(&path, 1000).unwrap(), [won[0]; 1000]);
    }

    #[test]
    fn one_of_many_creators_wins() {
        check_race(|path, content| create_once(path, content, Readable::ByOwner));
        check_race(|path, content| {
            let draft = Draft::write(path, content, Readable::ByOwner)?;
            rename_under_lock(&draft.path, path)
        });
    }

    #[test]
    fn leaves_no_draft_behind_and_bounds_what_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(create_once(&path, b"one", Readable::ByAll).unwrap());
        assert!(!create_once(&path, b"two", Readable::ByAll).unwrap());
        assert_eq!(read_bounded(&path, 3).unwrap(), b"one");
        assert_eq!(read_bounded(&path, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        replace(&path, b"three", Readable::ByAll).unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"three");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

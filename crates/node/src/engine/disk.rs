//! Bytes read and written at offsets, and small files replaced atomically. Everything here blocks: it runs on
//! blocking threads only.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use minicbor::{Decode, Encode};
use peerage_metainfo::Look;

use super::buffer::lock;

/// A file of ours whose handle is opened on demand, made when it does not exist, and can be let go while a torrent is
/// idle, so that thousands of shares do not need thousands of descriptors.
#[derive(Debug)]
pub(super) struct DataFile {
    path: PathBuf,
    handle: Mutex<Option<Arc<File>>>,
}

impl DataFile {
    /// Opens nothing yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, handle: Mutex::default() }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the handle; the next use opens it again.
    pub(super) fn close(&self) {
        *lock(&self.handle) = None;
    }

    fn open(&self) -> io::Result<Arc<File>> {
        let mut handle = lock(&self.handle);
        if let Some(file) = &*handle {
            return Ok(Arc::clone(file));
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        let file = Arc::new(file);
        *handle = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Fills `bytes` from `offset` on; a file that ends early is an error.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact_at(&*self.open()?, bytes, offset)
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_all_at(&*self.open()?, bytes, offset)
    }
}

pub(super) use at::{read_exact as read_exact_at, write_all as write_all_at};

#[cfg(unix)]
mod at {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;

    /// Fills `bytes` from `offset` on; a file that ends early is an error.
    pub(in crate::engine) fn read_exact(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(bytes, offset)
    }

    /// Writes all of `bytes` at `offset`.
    pub(in crate::engine) fn write_all(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

/// Without positioned reads in the standard library: seek and read under one lock.
#[cfg(not(unix))]
mod at {
    use std::fs::File;
    use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
    use std::sync::Mutex;

    use super::lock;

    static POSITION: Mutex<()> = Mutex::new(());

    pub(in crate::engine) fn read_exact(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let _guard = lock(&POSITION);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }

    pub(in crate::engine) fn write_all(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _guard = lock(&POSITION);
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}

/// By what a file is recognised without reading it: size and modification time. Whether somebody wrote to it and put
/// these back is told by its change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct FileStamp {
    /// Bytes.
    #[n(0)]
    pub(super) size: u64,
    /// Modification time, nanoseconds since the Unix epoch; 0 where the system does not tell.
    #[n(1)]
    pub(super) modified_ns: i64,
    /// When anything about the file was changed last, which nobody can set (Unix `ctime`), nanoseconds since the Unix
    /// epoch; 0 where the system does not tell.
    #[n(2)]
    pub(super) changed_ns: i64,
}

impl FileStamp {
    /// Of a file that nobody has looked at.
    pub(super) const NONE: Self = Self { size: 0, modified_ns: 0, changed_ns: 0 };

    /// The stamp of the file that `path` leads to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        Ok(Self::of_meta(&meta))
    }

    /// The stamp of a file that was looked at.
    pub(super) fn of_meta(meta: &Metadata) -> Self {
        Look::of(meta).into()
    }

    /// Whether it is the same file, as far as people see.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        (self.size, self.modified_ns) == (other.size, other.modified_ns)
    }

    /// Whether it is certain that nobody has touched the file between these two looks.
    pub(super) fn is_untouched(&self, before: &Self) -> bool {
        self.looks_like(before) && self.changed_ns != 0 && self.changed_ns == before.changed_ns
    }
}

impl From<Look> for FileStamp {
    fn from(look: Look) -> Self {
        let Look { size, modified_ns, changed_ns } = look;
        Self { size, modified_ns, changed_ns }
    }
}

/// Replaces `path` in one step, so that a reader sees the old content or the new. `durable`: wait until the new
/// content is on the device first; without it a power failure may lose it, a killed process cannot.
pub(super) fn replace(path: &Path, content: &[u8], durable: bool) -> io::Result<()> {
    replace_with(path, durable, |file| file.write_all(content))
}

/// As [`replace`], with what `write` puts into the new file.
pub(super) fn replace_with(
    path: &Path,
    durable: bool,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    write(&mut file)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&temporary, path)?;
    // The name is on the device with its folder.
    #[cfg(unix)]
    if durable && let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Gives a complete download its final name, and never replaces anything that lies there.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    // A hard link fails when the name is taken, without a gap between looking and doing.
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // This file system has no links: look, then rename.
        Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Whether both names lead to one file. False where the system does not tell.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let id = |path: &Path| path.symlink_metadata().ok().map(|meta| (meta.dev(), meta.ino()));
        id(a).is_some() && id(a) == id(b)
    }
    #[cfg(not(unix))]
    {
        let _ = (a, b);
        false
    }
}

/// Names this run of the machine: what a killed process wrote is there until the next one. `None` where the
/// system does not tell.
pub(super) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Has the system forget what it keeps of a file in memory, so that the next read asks the device.
pub(super) fn drop_cached(file: &File, offset: u64, len: usize) {
    #[cfg(target_os = "linux")]
    {
        let len = std::num::NonZeroU64::new(len as u64);
        // Only advice: what it does not drop is read from memory.
        let _ = rustix::fs::fadvise(file, offset, len, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, len);
    }
}

/// Whether the device could not read what is there.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::IO)
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

/// Whether the process or the system has no descriptor left.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

/// What may still be written to the file system of `path`. `None` where the system does not tell.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(path).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Whether this error means that there is no room, which the user can change.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_at_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let file = DataFile::new(dir.path().join("a"));
        file.write_all_at(b"xyz", 4).unwrap();
        let mut bytes = [1; 4];
        file.read_exact_at(&mut bytes, 3).unwrap();
        assert_eq!(&bytes, b"\0xyz");
        assert_eq!(file.read_exact_at(&mut bytes, 6).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.close();
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((&bytes, file.path()), (b"\0\0\0\0", dir.path().join("a").as_path()));
    }

    #[test]
    fn a_new_name_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "new").unwrap();
        fs::write(&b, "old").unwrap();
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&b).unwrap(), "old");
        fs::remove_file(&b).unwrap();
        rename_new(&a, &b).unwrap();
        assert_eq!(fs::read_to_string(&b).unwrap(), "new");
        assert!(!a.exists());
        replace(&b, b"newer", true).unwrap();
        assert_eq!(fs::read_to_string(&b).unwrap(), "newer");
    }
}

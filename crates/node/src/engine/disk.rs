//! Files read and written at offsets, and small files replaced atomically. Everything here blocks: it runs on
//! blocking threads only.
//!
//! Handles are opened when needed and can be let go while a torrent is idle, so that thousands of shares do not
//! need thousands of descriptors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use minicbor::{Decode, Encode};

use super::buffer::lock;

/// What a file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Somebody else's file: never written to.
    Read,
    /// Ours.
    ReadWrite,
}

/// A file whose handle is opened on demand.
#[derive(Debug)]
pub(super) struct DataFile {
    place: Mutex<Place>,
    #[cfg(test)]
    pub(super) is_full: std::sync::atomic::AtomicBool,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    access: Access,
    handle: Option<Arc<File>>,
}

impl DataFile {
    /// Opens nothing yet.
    pub(super) fn new(path: PathBuf, access: Access) -> Self {
        Self {
            place: Mutex::new(Place { path, access, handle: None }),
            #[cfg(test)]
            is_full: false.into(),
        }
    }

    /// Where it is now.
    pub(super) fn path(&self) -> PathBuf {
        lock(&self.place).path.clone()
    }

    /// It has its final place and is not written to any more; an open handle stays valid.
    pub(super) fn settle(&self, path: PathBuf) {
        let mut place = lock(&self.place);
        (place.path, place.access) = (path, Access::Read);
    }

    /// Closes the handle; the next use opens it again.
    pub(super) fn close(&self) {
        lock(&self.place).handle = None;
    }

    /// The open file. A writable one is created when it does not exist.
    pub(super) fn open(&self) -> io::Result<Arc<File>> {
        let mut place = lock(&self.place);
        if let Some(file) = &place.handle {
            return Ok(Arc::clone(file));
        }
        let writable = place.access == Access::ReadWrite;
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .create(writable)
            .truncate(false)
            .open(&place.path)?;
        let file = Arc::new(file);
        place.handle = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Fills `bytes` from `offset` on; a file that ends early is an error.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.open()?;
        at::read_exact(&file, bytes, offset)
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.is_full.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.open()?;
        at::write_all(&file, bytes, offset)
    }

    /// Makes the file exactly this long without writing (sparse where the file system can).
    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        let file = self.open()?;
        if file.metadata()?.len() == bytes { Ok(()) } else { file.set_len(bytes) }
    }

    /// Waits until what was written is on the device.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.open()?.sync_all()
    }
}

#[cfg(unix)]
mod at {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;

    pub(super) fn read_exact(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(bytes, offset)
    }

    pub(super) fn write_all(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
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

    pub(super) fn read_exact(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let _guard = lock(&POSITION);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }

    pub(super) fn write_all(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _guard = lock(&POSITION);
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}

/// By what a file is recognised without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct FileStamp {
    /// Bytes.
    #[n(0)]
    pub(super) size: u64,
    /// Modification time, nanoseconds since the Unix epoch; 0 where the system does not tell.
    #[n(1)]
    pub(super) modified_ns: i64,
}

impl FileStamp {
    /// The stamp of the file that `path` leads to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified_ns = since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        Ok(Self { size: meta.len(), modified_ns })
    }
}

/// Replaces `path` in one step, so that a reader sees the old content or the new. `durable`: wait until the new
/// content is on the device first; without it a power failure may lose it, a killed process cannot.
pub(super) fn replace(path: &Path, content: &[u8], durable: bool) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&temporary, path)
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
        let file = DataFile::new(dir.path().join("a"), Access::ReadWrite);
        file.set_len(10).unwrap();
        file.write_all_at(b"xyz", 4).unwrap();
        let mut bytes = [1; 5];
        file.read_exact_at(&mut bytes, 3).unwrap();
        assert_eq!(&bytes, b"\0xyz\0");
        assert_eq!(file.read_exact_at(&mut bytes, 6).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.close();
        assert_eq!(file.path(), dir.path().join("a"));
        let other = DataFile::new(dir.path().join("missing"), Access::Read);
        assert_eq!(other.open().unwrap_err().kind(), io::ErrorKind::NotFound);
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

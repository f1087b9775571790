//! Backups of one tracker: a folder with a copy of its databases and a manifest that says what they are.
//!
//! `backup` works on the data folder of a tracker on this machine, running or not; `restore` fills an empty one. The
//! keyring is not part of a backup: it is secret, and the same for all trackers (`peerage cluster key export`).

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use peerage_link::keyring::{Keyring, KeyringError};
use peerage_store::{StoreError, copy};
use peerage_types::ClusterId;

use crate::TrackerError;
use crate::clock::unix_ms;
use crate::folder::{DATABASE, DataFolder};
use crate::ground::{META_CLUSTER, META_TRACKER, data_folder};

/// The manifest's file name.
const MANIFEST: &str = "manifest.txt";
/// Its first line.
const MAGIC: &str = "peerage backup 1";
/// A vector of many origins takes about a hundred bytes each.
const MANIFEST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The databases, as in the data folder.
const FILES: [&str; 2] = [DATABASE, "tracker.db-metainfo"];
/// What SQLite keeps beside each of them, by the ending.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Which tracker, and where its data is if not in the default place.
#[derive(Debug, Clone)]
pub struct Which {
    /// The tracker list; the keyring lies beside it.
    pub list: PathBuf,
    /// Which line of the list, counted from 1.
    pub number: usize,
    /// Its data folder, if not the default.
    pub data: Option<PathBuf>,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// Different records.
    pub records: u64,
    /// Bytes of both databases.
    pub bytes: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub taken_unix_ms: u64,
    /// The data folder that it was taken from, or went to.
    pub data: PathBuf,
}

/// Why there is no backup, or why it was not restored. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Where to keep data, or the lock of the data folder.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// The keyring is missing or cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no database there.
    #[error("`{}` holds no tracker's data; name the folder with --data", .0.display())]
    NoData(PathBuf),
    /// The archive's folder is used already.
    #[error("`{}` exists already; name a new folder", .0.display())]
    Exists(PathBuf),
    /// The tracker has data already.
    #[error("`{}` holds a tracker's data already: move it away, or name another folder with --data", .0.display())]
    NotEmpty(PathBuf),
    /// The archive was made for another cluster.
    #[error("the backup belongs to cluster {found}, the keyring to {expected}")]
    OtherCluster {
        /// The archive's.
        found: String,
        /// The keyring's.
        expected: ClusterId,
    },
    /// The archive is not whole.
    #[error("`{}` is not a whole backup: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused something.
    #[error("cannot use `{}`: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Copies the tracker's databases into the new folder `to`. Blocking.
///
/// # Errors
/// [`BackupError`].
pub fn backup(which: &Which, to: &Path) -> Result<Summary, BackupError> {
    let keyring = Keyring::load(&which.list)?;
    let data = data_folder(which.data.as_deref(), &keyring, which.number)?;
    let database = data.join(DATABASE);
    if !database.exists() {
        return Err(BackupError::NoData(data));
    }
    belongs(copy::meta(&database, META_CLUSTER)?.unwrap_or_default(), &keyring)?;
    let tracker = copy::meta(&database, META_TRACKER)?.unwrap_or_default();
    // Under another name until all of it is there: what has the right name is whole.
    let draft = beside(to, "part");
    if to.exists() || draft.exists() {
        return Err(BackupError::Exists(if to.exists() { to.to_owned() } else { draft }));
    }
    create_private(&draft)?;
    let files = copy::copy(&database, &draft.join(DATABASE))?;
    let contents = copy::contents(&files[0])?;
    let taken_unix_ms = unix_ms();
    let mut text = format!("{MAGIC}\ncluster {}\n", keyring.cluster());
    // Writing into a String cannot fail.
    let _ = writeln!(text, "tracker {}", HEXLOWER.encode(&tracker));
    let _ = writeln!(text, "taken_unix_ms {taken_unix_ms}\nrecords {}", contents.counts.records);
    for (origin, seq) in contents.vector.iter() {
        let _ = writeln!(text, "vector {} {:016x} {seq}", origin.tracker, origin.incarnation);
    }
    let mut bytes = 0;
    for (file, name) in files.iter().zip(FILES) {
        let (size, hash) = measure(file)?;
        let _ = writeln!(text, "file {name} {size} {hash}");
        bytes += size;
    }
    let _ = writeln!(text, "checksum {}", blake3::hash(text.as_bytes()));
    write_synced(&draft.join(MANIFEST), text.as_bytes())?;
    sync_folder(&draft)?;
    fs::rename(&draft, to).map_err(io_fault(to))?;
    let records = contents.counts.records;
    Ok(Summary { cluster: keyring.cluster(), records, bytes, taken_unix_ms, data })
}

/// Fills the tracker's empty data folder from the archive `from`. Blocking. The tracker must not run; once started it
/// takes a new incarnation, as at each start, and fetches from the others what the backup lacks.
///
/// # Errors
/// [`BackupError`].
pub fn restore(which: &Which, from: &Path) -> Result<Summary, BackupError> {
    let keyring = Keyring::load(&which.list)?;
    let manifest = Manifest::read(&from.join(MANIFEST))?;
    if manifest.cluster != keyring.cluster().to_string() {
        return Err(BackupError::OtherCluster { found: manifest.cluster, expected: keyring.cluster() });
    }
    let folder = data_folder(which.data.as_deref(), &keyring, which.number)?;
    // A running tracker holds the lock.
    let folder = DataFolder::open(folder).map_err(TrackerError::from)?;
    let data = folder.path().to_owned();
    // SQLite would replay an old journal into the new database. Metainfo alone is what a restore left that was cut short.
    let journal = |name: &&str| SIDE_FILES.iter().any(|side| data.join(format!("{name}{side}")).exists());
    if data.join(DATABASE).exists() || FILES.iter().any(journal) {
        return Err(BackupError::NotEmpty(data));
    }
    let mut bytes = 0;
    // The log comes last: with it there the restore is complete.
    for name in FILES.iter().rev() {
        let (path, target) = (from.join(name), data.join(name));
        let expected = manifest.files.iter().find(|file| file.0 == *name);
        let (_, size, hash) = expected.ok_or_else(|| damaged(from, format!("the manifest lacks {name}")))?;
        let draft = beside(&target, "part");
        fs::copy(&path, &draft).map_err(io_fault(&path))?;
        // What was copied is checked, not what was there a moment ago.
        if measure(&draft)? != (*size, hash.clone()) {
            drop(fs::remove_file(&draft));
            return Err(damaged(&path, "its checksum differs from the manifest's".to_owned()));
        }
        File::open(&draft).and_then(|file| file.sync_all()).map_err(io_fault(&draft))?;
        fs::rename(&draft, &target).map_err(io_fault(&target))?;
        bytes += size;
    }
    sync_folder(&data)?;
    let (records, taken_unix_ms) = (manifest.records, manifest.taken_unix_ms);
    Ok(Summary { cluster: keyring.cluster(), records, bytes, taken_unix_ms, data })
}

fn belongs(found: Vec<u8>, keyring: &Keyring) -> Result<(), BackupError> {
    let expected = keyring.cluster();
    match found == expected.as_bytes() {
        true => Ok(()),
        false => Err(BackupError::OtherCluster { found: HEXLOWER.encode(&found), expected }),
    }
}

/// What the manifest says, as far as a restore needs it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Manifest {
    cluster: String,
    records: u64,
    taken_unix_ms: u64,
    /// Name, size, hash.
    files: Vec<(String, u64, String)>,
}

impl Manifest {
    fn read(path: &Path) -> Result<Self, BackupError> {
        let mut text = String::new();
        let file = File::open(path).map_err(io_fault(path))?;
        file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text).map_err(io_fault(path))?;
        Self::parse(&text).map_err(|why| damaged(path, why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n'));
        let (body, last) = body.ok_or("it is cut off")?;
        if last != format!("checksum {}", blake3::hash(format!("{body}\n").as_bytes())) {
            return Err("its checksum is wrong".to_owned());
        }
        let mut lines = body.lines();
        if lines.next() != Some(MAGIC) {
            return Err(format!("it does not begin with `{MAGIC}`; a newer program may have written it"));
        }
        let mut manifest = Self::default();
        let number = |word: &str| word.parse::<u64>().map_err(|_| format!("`{word}` is no number"));
        for line in lines {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["cluster", cluster] => manifest.cluster = cluster.to_owned(),
                ["records", records] => manifest.records = number(records)?,
                ["taken_unix_ms", ms] => manifest.taken_unix_ms = number(ms)?,
                ["file", name, size, hash] => {
                    manifest.files.push((name.to_owned(), number(size)?, hash.to_owned()));
                }
                // For people.
                _ => {}
            }
        }
        Ok(manifest)
    }
}

fn measure(path: &Path) -> Result<(u64, String), BackupError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(io_fault(path))?;
    let size = io::copy(&mut file, &mut hasher).map_err(io_fault(path))?;
    Ok((size, hasher.finalize().to_string()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// It holds password files, rosters and file names.
fn create_private(path: &Path) -> Result<(), BackupError> {
    fs::create_dir(path).map_err(io_fault(path))?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(io_fault(path))?;
    Ok(())
}

fn write_synced(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(io_fault(path))
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    match cfg!(unix) {
        true => File::open(path).and_then(|folder| folder.sync_all()).map_err(io_fault(path)),
        false => Ok(()),
    }
}

fn io_fault(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

fn damaged(path: &Path, why: String) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_checked() {
        let seal = |body: &str| format!("{body}checksum {}\n", blake3::hash(body.as_bytes()));
        let good = seal(&format!(
            "{MAGIC}\ncluster 00ff\nrecords 7\ntaken_unix_ms 5\nvector x y z\nfile a 3 beef\n"
        ));
        let expected = Manifest {
            cluster: "00ff".to_owned(),
            records: 7,
            taken_unix_ms: 5,
            files: vec![("a".to_owned(), 3, "beef".to_owned())],
        };
        assert_eq!(Manifest::parse(&good), Ok(expected));
        let fault = |text: &str| Manifest::parse(text).unwrap_err();
        assert_eq!(fault(""), "it is cut off");
        assert_eq!(fault(&good[..good.len() - 1]), "it is cut off");
        assert_eq!(fault(&good.replace("records 7", "records 8")), "its checksum is wrong");
        assert!(fault(&seal("peerage backup 2\ncluster x\n")).contains("a newer program"));
        assert_eq!(fault(&seal(&format!("{MAGIC}\nrecords x\n"))), "`x` is no number");
    }
}

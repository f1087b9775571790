//! A folder of small CBOR files, one per thing that must survive the program, with a copy in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use minicbor::{Decode, Encode};
use peerage_types::InfoHash;

use super::folder::{FolderError, list_files, read_file, remove_file, write_atomic};

/// Things by info hash, as `<hash>.<ext>` files. A file that cannot be read is left alone and reported in the log.
#[derive(Debug)]
pub struct Kept<T> {
    folder: PathBuf,
    ext: &'static str,
    entries: Mutex<BTreeMap<InfoHash, T>>,
}

impl<T> Kept<T>
where
    T: Clone + Encode<()> + for<'b> Decode<'b, ()>,
{
    /// Reads all of the folder's files.
    pub fn open(folder: PathBuf, ext: &'static str) -> Result<Self, FolderError> {
        let mut entries = BTreeMap::new();
        for path in list_files(&folder, ext)? {
            let key = path.file_stem().and_then(|s| s.to_str()).and_then(InfoHash::from_hex);
            let bytes = read_file(&path)?.unwrap_or_default();
            match (key, minicbor::decode::<T>(&bytes)) {
                (Some(key), Ok(entry)) => {
                    entries.insert(key, entry);
                }
                (_, decoded) => {
                    let error = decoded.err().map_or_else(|| "not a hash".to_owned(), |e| e.to_string());
                    tracing::warn!(path = %path.display(), %error, "cannot be read, skipped");
                }
            }
        }
        Ok(Self { folder, ext, entries: Mutex::new(entries) })
    }

    /// Writes the entry, durably, then keeps it in memory.
    pub fn put(&self, key: InfoHash, entry: T) -> Result<(), FolderError> {
        let mut entries = self.lock();
        let bytes = minicbor::to_vec(&entry).map_err(|e| FolderError::Io {
            path: self.path(&key),
            source: std::io::Error::other(e.to_string()),
        })?;
        write_atomic(&self.path(&key), &bytes)?;
        entries.insert(key, entry);
        Ok(())
    }

    /// Changes an entry and writes it; nothing when there is none.
    pub fn update(&self, key: &InfoHash, change: impl FnOnce(&mut T)) -> Result<(), FolderError> {
        match self.get(key) {
            Some(mut entry) => {
                change(&mut entry);
                self.put(*key, entry)
            }
            None => Ok(()),
        }
    }

    /// Forgets an entry.
    pub fn remove(&self, key: &InfoHash) -> Result<Option<T>, FolderError> {
        let mut entries = self.lock();
        remove_file(&self.path(key))?;
        Ok(entries.remove(key))
    }

    /// One entry.
    pub fn get(&self, key: &InfoHash) -> Option<T> {
        self.lock().get(key).cloned()
    }

    /// All entries in key order.
    pub fn all(&self) -> Vec<(InfoHash, T)> {
        self.lock().iter().map(|(k, v)| (*k, v.clone())).collect()
    }

    fn path(&self, key: &InfoHash) -> PathBuf {
        self.folder.join(format!("{key}.{}", self.ext))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InfoHash, T>> {
        // The map is only touched by single inserts and removes, which leave it whole whatever happens.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_restart_and_skips_what_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Kept::<String>::open(dir.path().to_owned(), "x").unwrap();
        let (a, b) = (InfoHash([1; 32]), InfoHash([2; 32]));
        let kept = open();
        kept.put(a, "one".into()).unwrap();
        kept.put(b, "two".into()).unwrap();
        kept.update(&a, |s| s.push('!')).unwrap();
        kept.update(&InfoHash([3; 32]), |s| s.push('!')).unwrap();
        assert_eq!(kept.remove(&b).unwrap(), Some("two".into()));
        std::fs::write(dir.path().join(format!("{b}.x")), b"\xff\xff").unwrap();
        std::fs::write(dir.path().join("nonsense.x"), b"").unwrap();
        assert_eq!(open().all(), vec![(a, "one!".to_owned())]);
        assert_eq!(open().get(&b), None);
    }
}

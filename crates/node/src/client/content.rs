//! Metainfo files, kept by their content address.

use std::path::PathBuf;
use std::sync::Arc;

use peerage_metainfo::Metainfo;
use peerage_types::MetainfoId;

use super::folder::{FolderError, read_file, write_atomic};

/// A folder of metainfo files. What does not match its name is as good as not there.
#[derive(Debug)]
pub struct MetainfoStore(PathBuf);

impl MetainfoStore {
    /// Uses an existing folder.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Keeps a metainfo file.
    pub fn put(&self, metainfo: &Metainfo) -> Result<(), FolderError> {
        write_atomic(&self.path(&metainfo.id()), metainfo.bytes())
    }

    /// A kept metainfo file, if it is there and still what its name says.
    pub fn get(&self, id: &MetainfoId) -> Option<Arc<Metainfo>> {
        let bytes = read_file(&self.path(id)).ok()??;
        if MetainfoId::of(&bytes) != *id {
            return None;
        }
        Metainfo::parse(&bytes).ok().map(Arc::new)
    }

    fn path(&self, id: &MetainfoId) -> PathBuf {
        self.0.join(format!("{id}.torrent"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use peerage_metainfo::{HashJob, hash_path};
    use peerage_types::GroupId;

    use super::*;

    #[test]
    fn keeps_what_it_was_given_and_nothing_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.bin");
        std::fs::write(&file, vec![7; 40_000]).unwrap();
        let name = "a.bin".parse().unwrap();
        let never = AtomicBool::new(false);
        let group = GroupId([1; 32]);
        let quiet = |_| {};
        let job =
            HashJob { path: &file, name: &name, group, found: &quiet, progress: &quiet, cancelled: &never };
        let metainfo = hash_path(&job).unwrap().metainfo;
        let store = MetainfoStore::new(dir.path().to_owned());
        assert!(store.get(&metainfo.id()).is_none());
        store.put(&metainfo).unwrap();
        assert_eq!(*store.get(&metainfo.id()).unwrap(), metainfo);
        std::fs::write(store.path(&metainfo.id()), b"d1:ae").unwrap();
        assert!(store.get(&metainfo.id()).is_none());
    }
}

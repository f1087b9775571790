//! Which cluster key a tracker list is trusted with: `pin=` in the list, else `<list>.pin`, else what the first
//! connection showed, kept in the data folder. A tracker with another key is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use peerage_link::list::TrackerList;
use peerage_types::PublicKey;

use super::folder::{DataRoot, FolderError, read_file, write_atomic};

const FILE: &str = "known_clusters";

/// The keys that this user of the machine trusted at first use: one `host:port key` per line.
#[derive(Debug)]
pub struct KnownClusters {
    path: PathBuf,
    keys: BTreeMap<String, PublicKey>,
}

impl KnownClusters {
    /// Reads the file; a missing one is empty, lines that make no sense are skipped.
    pub fn load(root: &DataRoot) -> Result<Self, FolderError> {
        let path = root.path().join(FILE);
        let text = read_file(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let keys = text.lines().filter_map(|line| {
            let (address, key) = line.split_once(' ')?;
            Some((address.to_owned(), PublicKey::from_hex(key.trim())?))
        });
        Ok(Self { path, keys: keys.collect() })
    }

    /// The key trusted for any tracker of this list.
    pub fn key_of(&self, list: &TrackerList) -> Option<PublicKey> {
        addresses(list).into_iter().find_map(|a| self.keys.get(&a).copied())
    }

    /// Trusts `key` for every tracker of this list from now on.
    pub fn trust(&mut self, list: &TrackerList, key: PublicKey) -> Result<(), FolderError> {
        for address in addresses(list) {
            self.keys.insert(address, key);
        }
        let mut text = String::new();
        for (address, key) in &self.keys {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{address} {key}");
        }
        write_atomic(&self.path, text.as_bytes())
    }
}

/// `host:port` of every tracker.
pub fn addresses(list: &TrackerList) -> Vec<String> {
    list.entries.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn remembers_a_list_by_any_of_its_trackers() {
        let dir = tempfile::tempdir().unwrap();
        let root = DataRoot::resolve(Some(dir.path())).unwrap();
        let list = |text: &str| TrackerList::parse(Path::new("list"), text).unwrap();
        let mut known = KnownClusters::load(&root).unwrap();
        assert_eq!(known.key_of(&list("127.0.0.1:1\n127.0.0.1:2\n")), None);
        known.trust(&list("127.0.0.1:1\n127.0.0.1:2\n"), PublicKey([9; 32])).unwrap();
        let again = KnownClusters::load(&root).unwrap();
        assert_eq!(again.key_of(&list("10.0.0.1:5\n127.0.0.1:2\n")), Some(PublicKey([9; 32])));
        assert_eq!(again.key_of(&list("127.0.0.1:3\n")), None);
    }

    #[test]
    fn nonsense_in_the_file_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let root = DataRoot::resolve(Some(dir.path())).unwrap();
        let key = PublicKey([3; 32]);
        write_atomic(&dir.path().join(FILE), format!("x\na:1 zz\nb:2 {key}\n\u{0}").as_bytes()).unwrap();
        let known = KnownClusters::load(&root).unwrap();
        assert_eq!(known.keys.len(), 1);
    }
}

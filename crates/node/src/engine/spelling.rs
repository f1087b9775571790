//! File names as the disk spells them. Names in a share are in Unicode NFC; the folder that is shared where it lies may
//! hold other forms, as some systems write them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use peerage_types::{FileName, SafePath};

/// Looks names up in the folders below a root, each of which is read at most once.
#[derive(Debug)]
pub(super) struct Spelling {
    root: PathBuf,
    folders: BTreeMap<PathBuf, BTreeMap<FileName, OsString>>,
}

impl Spelling {
    /// Reads nothing yet.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), folders: BTreeMap::new() }
    }

    /// The components of `path` on disk; `None` when it is not there in any form.
    pub(super) fn of(&mut self, path: &SafePath) -> Option<Vec<OsString>> {
        let mut folder = self.root.clone();
        let mut found = Vec::new();
        for name in path.components() {
            let entries = self.folders.entry(folder.clone()).or_insert_with(|| entries(&folder));
            let local = entries.get(name)?;
            folder.push(local);
            found.push(local.clone());
        }
        Some(found)
    }
}

/// The entries of a folder by their name in NFC; none if it cannot be read.
fn entries(folder: &Path) -> BTreeMap<FileName, OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    entries.filter_map(|local| Some((FileName::normalized(local.to_str()?).ok()?, local))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_form_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cafe\u{301}");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("u\u{308}.txt"), "x").unwrap();
        let mut spelling = Spelling::new(dir.path());
        let found = spelling.of(&SafePath::new(["caf\u{e9}", "\u{fc}.txt"]).unwrap()).unwrap();
        assert_eq!(found, ["cafe\u{301}", "u\u{308}.txt"]);
        assert_eq!(spelling.of(&SafePath::new(["caf\u{e9}", "other"]).unwrap()), None);
        assert_eq!(spelling.of(&SafePath::new(["other", "\u{fc}.txt"]).unwrap()), None);
    }
}

//! Follows a tracker list while the program runs, for trackers and for clients alike.
//!
//! Whoever drives it calls [`ListWatch::look`] every [`LOOK_INTERVAL`], and [`ListWatch::read`] when a person asks for it.
//! Blocking: the file is small and local, yet it is a file.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{ListError, TrackerList};

/// How often a running program looks at the list's modification time.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A list in use, and what its file looked like when it was read last.
#[derive(Debug)]
pub struct ListWatch {
    path: PathBuf,
    /// The list in use: the last one that could be used.
    list: TrackerList,
    seen: Option<Look>,
    /// The trouble that was told last: each is told once.
    told: Option<String>,
}

/// What a look at the file costs next to nothing to find out. `None` within: there is no such file.
type Look = Option<(Option<SystemTime>, u64)>;

impl ListWatch {
    /// Watches the file of a list that was just loaded. What changed since then is found by the first look.
    pub fn new(list: TrackerList) -> Self {
        Self { path: list.path.clone(), list, seen: None, told: None }
    }

    /// The list in use.
    pub fn list(&self) -> &TrackerList {
        &self.list
    }

    /// The new list, if the file was touched since the last look and says something else than the list in use (its
    /// trackers or its pin). `None`: go on as before.
    ///
    /// # Errors
    /// The file cannot be used; the list in use stays. Said once for each trouble, then `None` until something changes.
    pub fn look(&mut self) -> Result<Option<TrackerList>, ListError> {
        let now = look(&self.path);
        if self.seen == Some(now) {
            return Ok(None);
        }
        self.seen = Some(now);
        match self.load() {
            Err(error) if self.told.as_deref() == Some(&error.to_string()) => Ok(None),
            Err(error) => {
                self.told = Some(error.to_string());
                Err(error)
            }
            loaded => loaded,
        }
    }

    /// As [`Self::look`], whether the file was touched or not, and with the error each time.
    ///
    /// # Errors
    /// The file cannot be used; the list in use stays.
    pub fn read(&mut self) -> Result<Option<TrackerList>, ListError> {
        self.seen = Some(look(&self.path));
        self.load().inspect_err(|error| self.told = Some(error.to_string()))
    }

    fn load(&mut self) -> Result<Option<TrackerList>, ListError> {
        let list = TrackerList::load(&self.path)?;
        self.told = None;
        if list == self.list {
            return Ok(None);
        }
        self.list.clone_from(&list);
        Ok(Some(list))
    }
}

/// Two writes within one tick of the file system's clock mostly differ in length.
fn look(path: &PathBuf) -> Look {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tempfile::TempDir;

    use super::*;

    struct Watched {
        folder: TempDir,
        watch: ListWatch,
        writes: u64,
    }

    impl Watched {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("list");
            fs::write(&path, text).unwrap();
            let watch = ListWatch::new(TrackerList::load(&path).unwrap());
            Self { folder, watch, writes: 0 }
        }

        /// Writes the file; its modification time differs from all before.
        fn write(&mut self, text: &str) {
            fs::write(&self.watch.path, text).unwrap();
            self.writes += 1;
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(self.writes);
            File::options().write(true).open(&self.watch.path).unwrap().set_modified(at).unwrap();
        }

        /// The entries of the new list, `same`, or the error without the folder's name.
        fn shown(&self, found: Result<Option<TrackerList>, ListError>) -> String {
            match found {
                Ok(None) => "same".to_owned(),
                Ok(Some(list)) => list.entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Err(error) => error.to_string().replace(&self.folder.path().display().to_string(), "DIR"),
            }
        }

        fn look(&mut self) -> String {
            let found = self.watch.look();
            self.shown(found)
        }
    }

    #[test]
    fn tells_each_change_once() {
        let mut list = Watched::new("a:1\n");
        assert_eq!(list.look(), "same");
        list.write("a:1\nb:2\n");
        assert_eq!([list.look(), list.look()], ["a:1 b:2", "same"]);
        list.write("# only a comment more\na:1\nb:2\n");
        assert_eq!(list.look(), "same");
        list.write("b:2\n");
        assert_eq!(list.look(), "b:2");
        assert_eq!(list.watch.list().entries.len(), 1);
    }

    #[test]
    fn a_change_between_loading_and_watching_is_not_missed() {
        let mut list = Watched::new("a:1\n");
        list.write("b:2\n");
        assert_eq!(list.look(), "b:2");
    }

    #[test]
    fn a_broken_list_is_told_once_and_the_old_one_stays() {
        let mut list = Watched::new("a:1\n");
        list.write("");
        assert_eq!(list.look(), "`DIR/list` names no tracker: write one `HOST:PORT` per line");
        list.write("\n");
        assert_eq!([list.look(), list.look()], ["same", "same"]);
        assert_eq!(list.watch.list().entries[0].to_string(), "a:1");
        // A person who asks hears it again.
        let found = list.watch.read();
        assert_eq!(list.shown(found), "`DIR/list` names no tracker: write one `HOST:PORT` per line");
        list.write("a:1\nb\n");
        assert_eq!(list.look(), "`DIR/list`, line 2: no port follows in `b`");
        list.write("a:1\nb:2\n");
        assert_eq!(list.look(), "a:1 b:2");
        list.write("");
        assert_eq!(list.look(), "`DIR/list` names no tracker: write one `HOST:PORT` per line");
    }

    #[test]
    fn a_list_that_vanishes_and_comes_back_changes_nothing() {
        let mut list = Watched::new("a:1\n");
        assert_eq!(list.look(), "same");
        let (path, aside) = (list.watch.path.clone(), list.folder.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        assert!(list.look().starts_with("cannot read the tracker list `DIR/list`"));
        assert_eq!(list.look(), "same");
        fs::rename(&aside, &path).unwrap();
        assert_eq!(list.look(), "same");
        let found = list.watch.read();
        assert_eq!(list.shown(found), "same");
    }
}

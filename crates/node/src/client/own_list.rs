//! The tracker list in the data folder: made of an invite, completed by newer ones and by what the trackers themselves
//! say (`learn`). People may edit it, so nothing but whole lines is added, and nothing is taken out that was not added
//! by this program. Every other list is somebody's own and is never written.

use std::path::Path;

use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_types::PublicKey;
use peerage_types::limits::TRACKERS_MAX;

use super::folder::{FolderError, read_file, write_atomic};

/// Its name in the data folder.
pub const INVITE_LIST: &str = "trackers.txt";
/// Behind a line that nobody but the trackers brought in. Without it the line is a person's.
pub(super) const LEARNT: &str = " # learnt from the trackers";

/// Whether `list` is that list.
pub(super) fn is_own(list: &Path, data: &Path) -> bool {
    let own = data.join(INVITE_LIST).canonicalize();
    matches!((list.canonicalize(), own), (Ok(list), Ok(own)) if list == own)
}

/// Changes the list as one step, if it pins `key` and `change` leaves it a list. Whether anything was written.
///
/// # Errors
/// When it cannot be read or written.
pub(super) fn edit(
    list: &Path,
    key: PublicKey,
    change: impl FnOnce(&str) -> String,
) -> Result<bool, FolderError> {
    let ours = TrackerList::load(list).is_ok_and(|known| known.pin == Some(key));
    let Some(bytes) = read_file(list)?.filter(|_| ours) else { return Ok(false) };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(false) };
    let changed = change(&text);
    if changed == text || TrackerList::parse(list, &changed).is_err() {
        return Ok(false);
    }
    write_atomic(list, changed.as_bytes())?;
    Ok(true)
}

/// The text with those of `trackers` that it does not name, each with `mark` behind it, as many as a list may have.
pub(super) fn with(text: &str, trackers: &[TrackerEntry], mark: &str) -> String {
    let Ok(known) = TrackerList::parse(Path::new(INVITE_LIST), text) else { return text.to_owned() };
    let new = trackers.iter().filter(|tracker| !known.entries.contains(tracker));
    let mut text = text.to_owned();
    for tracker in new.take(TRACKERS_MAX.saturating_sub(known.entries.len())) {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{tracker}{mark}\n"));
    }
    text
}

/// The trackers that were learnt and that nobody made their own since.
pub(super) fn learnt(text: &str) -> Vec<TrackerEntry> {
    let marked: String =
        text.lines().filter(|line| is_learnt(line)).map(|line| format!("{line}\n")).collect();
    TrackerList::parse(Path::new(INVITE_LIST), &marked).map(|list| list.entries).unwrap_or_default()
}

/// The text without the lines of those of `trackers` that were learnt.
pub(super) fn without(text: &str, trackers: &[TrackerEntry]) -> String {
    let goes = |line: &&str| is_learnt(line) && learnt(line).iter().any(|entry| trackers.contains(entry));
    text.split_inclusive('\n').filter(|line| !goes(line)).collect()
}

fn is_learnt(line: &str) -> bool {
    line.trim_end().ends_with(LEARNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<TrackerEntry> {
        TrackerList::parse(Path::new("x"), text).unwrap().entries
    }

    #[test]
    fn lines_come_and_go_and_what_people_wrote_stays() {
        let text = format!("# the lab's trackers\na:1 pin={}\n\n  b:2   # Ben's machine", PublicKey([7; 32]));
        let more = with(&text, &entries("b:2\nc:3\nd:4\n"), LEARNT);
        assert_eq!(more, format!("{text}\nc:3{LEARNT}\nd:4{LEARNT}\n"));
        assert_eq!(learnt(&more), entries("c:3\nd:4\n"));
        assert_eq!(with(&more, &entries("c:3\n"), ""), more);
        assert_eq!(without(&more, &entries("a:1\nb:2\nd:4\n")), format!("{text}\nc:3{LEARNT}\n"));
        // A line whose comment somebody took away is theirs.
        let kept = more.replace(&format!("c:3{LEARNT}"), "c:3");
        assert_eq!(learnt(&kept), entries("d:4\n"));
        assert_eq!(without(&kept, &entries("c:3\n")), kept);
    }

    #[test]
    fn a_list_has_an_end() {
        let many: String = (1..=20).map(|port| format!("h:{port}\n")).collect();
        let many: Vec<_> = many.lines().flat_map(entries).collect();
        let full = with("a:1\n", &many, LEARNT);
        assert_eq!(entries(&full).len(), TRACKERS_MAX);
        assert_eq!(with(&full, &entries("z:1\n"), LEARNT), full);
    }

    #[test]
    fn only_a_list_of_this_cluster_is_edited() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join(INVITE_LIST), PublicKey([7; 32]));
        let text = format!("a:1 pin={key}\n");
        std::fs::write(&path, &text).unwrap();
        let add = |text: &str| with(text, &entries("b:2\n"), LEARNT);
        assert!(!edit(&path, PublicKey([8; 32]), add).unwrap(), "another cluster's");
        assert!(!edit(&path, key, |_| "nonsense line here".to_owned()).unwrap(), "no list any more");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert!(edit(&path, key, add).unwrap() && !edit(&path, key, add).unwrap());
        assert_eq!(entries(&std::fs::read_to_string(&path).unwrap()), entries("a:1\nb:2\n"));
        assert!(is_own(&path, dir.path()) && !is_own(Path::new("elsewhere"), dir.path()));
    }
}

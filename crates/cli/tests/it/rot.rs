//! A disk that loses bytes without a word.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// Changes a byte; size and time stay.
pub fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
}

/// Modification and change time, as the node keeps them one behind the other (CBOR): they may be one and the same.
fn times(path: &Path) -> Vec<u8> {
    let meta = fs::metadata(path).unwrap();
    let coded = |seconds: i64, ns: i64| {
        let ns = u64::try_from(seconds * 1_000_000_000 + ns).unwrap();
        [&[0x1b][..], &ns.to_be_bytes()].concat()
    };
    [coded(meta.mtime(), meta.mtime_nsec()), coded(meta.ctime(), meta.ctime_nsec())].concat()
}

/// A byte of a shared file rots: a disk loses it without a word, which no program can do to it. So the node that keeps its
/// data below `folder`, and shares nothing at this moment, is made to know of no change.
pub fn rot(path: &Path, at: u64, folder: &Path) {
    let before = times(path);
    flip(path, at);
    assert_eq!(forget_change(folder, &before, &times(path)), 1, "{}", folder.display());
}

/// How many files below `folder` took `now` for `before`.
fn forget_change(folder: &Path, before: &[u8], now: &[u8]) -> usize {
    let mut changed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            changed += forget_change(&path, before, now);
        } else if path.extension().is_some_and(|extension| extension == "state") {
            let mut state = fs::read(&path).unwrap();
            if let Some(at) = state.windows(before.len()).position(|window| window == before) {
                state[at..at + now.len()].copy_from_slice(now);
                fs::write(&path, state).unwrap();
                changed += 1;
            }
        }
    }
    changed
}

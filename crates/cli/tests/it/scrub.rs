//! What a disk loses without a word.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use crate::world::{World, arg, assert_same, say, until};

/// Changes a byte; size and time stay.
fn flip(path: &Path, at: u64) {
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

/// A disk loses bytes without a word, which no program can do to it: has the node that keeps its data below `folder`, and
/// does not run, know of no change.
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

/// A bit flips on ada's disk; ben, who has a copy, repairs it.
#[test]
fn bit_rot_is_found_and_repaired_from_another_holder() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = world.folder("album");
    for number in 0..3 {
        fs::rename(world.file(&format!("{number}.flac"), 700_000), album.join(format!("{number}.flac")))
            .unwrap();
    }
    let song = album.join("1.flac");
    let good = fs::read(&song).unwrap();
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());
    let to = world.folder("to");
    say(&mut ben, &format!("download_file lab album {}", arg(&to)), "Download started");
    ben.must("wait lab album --timeout 60").unwrap();

    let clean = ada.must("scrub lab album").unwrap();
    assert_eq!(clean.items()[0]["damaged"], 0, "{}", clean.json);
    let modified = fs::metadata(&song).unwrap().modified().unwrap();
    ada.must("logout").unwrap();
    let before = times(&song);
    flip(&song, 400_000);
    assert_eq!(forget_change(&world.path("ada-data"), &before, &times(&song)), 1);
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    let pieces = clean.items()[0]["pieces"].as_u64().unwrap();
    let found = say(&mut ada, "scrub lab album", &format!("1 of {pieces} pieces is damaged"));
    assert!(found.json["hint"].as_str().unwrap().contains("not served any more"), "{}", found.json);
    until(&mut ada, "scrub lab album", "it is repaired", |r| {
        r.text() == format!("Nothing damaged in {pieces} pieces")
    });
    assert!(fs::read(&song).unwrap() == good);
    assert_eq!(fs::metadata(&song).unwrap().modified().unwrap(), modified);
    assert_same(&song, &to.join("album/1.flac"));
    say(&mut ada, "scrub lab nothing", "No such file in the group");

    // Somebody's edit is another matter, even one that puts the time back: it ends the share, and stays.
    flip(&song, 500_000);
    let edited = fs::read(&song).unwrap();
    let ended = ada.ask("scrub lab album").unwrap();
    assert_eq!(
        ended.text(),
        "`album` cannot be looked at: `1.flac`: its content has changed, though its size and time have not"
    );
    assert!(ended.json["hint"].as_str().unwrap().contains("to share the new content"), "{}", ended.json);
    assert!(fs::read(&song).unwrap() == edited);
}

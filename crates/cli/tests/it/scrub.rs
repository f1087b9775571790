//! What a disk loses without a word.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, UNIX_EPOCH};

use crate::rot::{flip, rot};
use crate::world::{World, arg, assert_same, say, until};

/// A bit flips on ada's disk; ben, who has a copy, repairs it.
#[test]
fn bit_rot_is_found_and_repaired_from_another_holder() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = world.folder("album");
    for number in 0..3 {
        let song = album.join(format!("{number}.flac"));
        fs::rename(world.file(&format!("{number}.flac"), 700_000), &song).unwrap();
        // A time of its own each, for `rot` to know the file by.
        let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + number);
        File::options().write(true).open(song).unwrap().set_modified(modified).unwrap();
    }
    let song = album.join("1.flac");
    let good = fs::read(&song).unwrap();
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());
    let to = world.folder("to");
    say(&mut ben, &format!("download_file lab album {}", arg(&to)), "Download started");
    ben.must("wait lab album --timeout 60").unwrap();

    // Another mode is no edit.
    fs::set_permissions(&song, Permissions::from_mode(0o640)).unwrap();
    let clean = ada.must("scrub lab album").unwrap();
    assert_eq!(clean.items()[0]["damaged"], 0, "{}", clean.json);
    let modified = fs::metadata(&song).unwrap().modified().unwrap();
    ada.must("logout").unwrap();
    rot(&song, 400_000, &world.path("ada-data"));
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

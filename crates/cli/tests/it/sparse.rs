//! Files that are far larger than what was ever written to them: disk images, databases.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use crate::world::{World, arg, say, until};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Where a MiB of data lies, in an image of a TiB.
const PLACES: [u64; 5] = [0, 3 * GIB - 77, 4 * GIB + 12_345, 700 * GIB + 1, TIB - MIB];

/// What lies at one place; no two are alike.
fn data(at: u64) -> Vec<u8> {
    let mut content = vec![0; MIB as usize];
    blake3::Hasher::new().update(&at.to_be_bytes()).finalize_xof().fill(&mut content);
    content
}

/// Makes an image with data at `places`; false where the file system refuses one of this size.
fn image(path: &Path, size: u64, places: &[u64]) -> bool {
    let file = File::create(path).unwrap();
    if let Err(error) = file.set_len(size) {
        println!("skipped: no file of {size} bytes at `{}`: {error}", path.display());
        return false;
    }
    places.iter().for_each(|at| file.write_all_at(&data(*at), *at).unwrap());
    true
}

/// The same data at the same places, nothing around it, and hardly more room taken.
#[track_caller]
fn check(path: &Path, size: u64, places: &[u64]) {
    let file = File::open(path).unwrap();
    let meta = file.metadata().unwrap();
    assert_eq!(meta.len(), size);
    for at in places {
        let mut found = vec![1; MIB as usize];
        file.read_exact_at(&mut found, *at).unwrap();
        assert!(found == data(*at), "other data at {at}");
        for beside in [at.saturating_sub(4_096), (at + MIB).min(size - 4_096)] {
            if !places.iter().any(|at| beside + 4_096 > *at && beside < at + MIB) {
                let mut around = [1; 4_096];
                file.read_exact_at(&mut around, beside).unwrap();
                assert!(around == [0; 4_096], "something at {beside}");
            }
        }
    }
    // Data, the ends of its blocks, and a file system's own.
    let room = places.len() as u64 * (MIB + 64 * 1024) + MIB;
    assert!(meta.blocks() * 512 <= room, "{} bytes are allocated, {room} at most", meta.blocks() * 512);
}

/// A TiB of which five MiB were written: nobody reads, sends or stores the rest. It goes on over a restart, is scrubbed,
/// and found as it is by whoever fetches it again.
#[test]
fn a_sparse_tebibyte_is_shared_and_fetched() {
    let mut world = World::with_trackers(1);
    let disk = world.path("disk.img");
    if !image(&disk, TIB, &PLACES) {
        return;
    }
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    say(&mut ada, &format!("upload_file {} lab", arg(&disk)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());
    let to = world.folder("to");
    say(&mut ben, &format!("download_file lab disk.img {}", arg(&to)), "Download started");
    ben.must("wait lab disk.img --timeout 60").unwrap();
    check(&to.join("disk.img"), TIB, &PLACES);

    // Who has it reads no holes, either, when it is looked through.
    let clean = ben.must("scrub lab disk.img").unwrap();
    assert_eq!((&clean.items()[0]["pieces"], &clean.items()[0]["damaged"]), (&65_536.into(), &0.into()));
    // And serves it: nothing of it hangs on whom it came from.
    say(&mut ada, "stop_share lab disk.img", "Stopped sharing this file");
    let again = world.folder("again");
    until(&mut ada, &format!("download_file lab disk.img {}", arg(&again)), "ben serves it", |r| r.ok());
    ada.must("wait lab disk.img --timeout 60").unwrap();
    check(&again.join("disk.img"), TIB, &PLACES);
}

/// Inside of a folder, beside a small file; with data on both sides of 4 GiB.
#[test]
fn a_folder_with_an_image_of_more_than_four_gibibytes() {
    const PLACES: [u64; 4] = [5, 4 * GIB - MIB / 2, 4 * GIB + 3 * MIB, 5 * GIB - MIB + 777];
    const SIZE: u64 = 5 * GIB + 777;
    let mut world = World::with_trackers(1);
    let backup = world.folder("backup");
    fs::write(backup.join("notes.txt"), "what is in the image").unwrap();
    if !image(&backup.join("disk.img"), SIZE, &PLACES) {
        return;
    }
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    say(&mut ada, &format!("upload_file {} lab", arg(&backup)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());
    let to = world.folder("to");
    say(&mut ben, &format!("download_file lab backup {}", arg(&to)), "Download started");
    ben.must("wait lab backup --timeout 60").unwrap();
    check(&to.join("backup/disk.img"), SIZE, &PLACES);
    assert_eq!(fs::read_to_string(to.join("backup/notes.txt")).unwrap(), "what is in the image");
}

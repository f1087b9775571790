//! Shares of whole folders, from the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use peerage_drive::{Client, Reply};
use peerage_link::api::path;

use crate::double::{Double, Said};
use crate::world::{PATIENCE, World, arg, say, until};

/// Content by path.
pub type Tree = BTreeMap<String, Vec<u8>>;

pub fn read(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap() {
                meta if meta.is_dir() => folders.push(path),
                meta if meta.is_file() => {
                    let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                    found.insert(name, fs::read(path).unwrap());
                }
                _ => {}
            }
        }
    }
    found
}

/// A folder of small files and one of `large` bytes, with everything that people have in folders.
pub fn album(world: &World, large: usize) -> std::path::PathBuf {
    let album = world.folder("album");
    for (path, bytes) in [
        (".hidden", 10),
        ("notes/empty.txt", 0),
        ("notes/one.txt", 1),
        // Decomposed, as some systems give it.
        ("cafe\u{301}/\u{4e2d}\u{6587} name.txt", 40_000),
        ("film.bin", large),
    ] {
        let place = album.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let mut content = vec![0; bytes];
        blake3::Hasher::new().update(path.as_bytes()).finalize_xof().fill(&mut content);
        fs::write(place, content).unwrap();
    }
    album
}

/// The files that a download of the folder must have: names in NFC.
pub fn expected(album: &Path) -> Tree {
    read(album).into_iter().map(|(path, bytes)| (path.replace("cafe\u{301}", "caf\u{e9}"), bytes)).collect()
}

pub fn listed(client: &mut Client, name: &str) {
    until(client, "list_files lab", "it is listed", |r| r.column("name").contains(&name));
}

fn percent(reply: &Reply) -> f64 {
    reply.items().first().and_then(|i| i["percent"].as_f64()).unwrap_or(0.0)
}

#[test]
fn a_folder_is_shared_in_place_and_arrives_whole() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben, mut cem]) = world.group("ada", ["ben", "cem"]);
    let album = album(&world, 3_000_000);
    std::os::unix::fs::symlink("/etc/hostname", album.join("notes/link")).unwrap();
    let reply = say(&mut ada, &format!("upload_file {}/ lab", album.display()), "File shared successfully");
    assert_eq!(reply.json["hint"], "`notes/link` is a symbolic link and was left out");
    listed(&mut ben, "album");
    let reply = ben.must("list_files lab").unwrap();
    assert_eq!(reply.items()[0]["files"], 5);
    assert_eq!(reply.items()[0]["size"], 3_040_011);

    let to = world.folder("to");
    // As it is shown, with the slash; and without.
    say(&mut ben, &format!("download_file lab album/ {}", arg(&to)), "Download started");
    ben.must("wait lab album --timeout 120").unwrap();
    assert!(read(&to.join("album")) == expected(&album));
    assert!(!to.join("album.part").exists());
    until(&mut cem, "list_files lab", "ben shares it too", |r| r.items()[0]["sharers_online"] == 2);
    let other = world.folder("other");
    say(&mut cem, &format!("download_file lab album {}/renamed", other.display()), "Download started");
    cem.must("wait lab album/ --timeout 120").unwrap();
    assert!(read(&other.join("renamed")) == expected(&album));
    let shown = cem.must("show_downloads").unwrap();
    assert_eq!(shown.column("state"), ["C"]);

    // What cannot be shared as a folder says why, with the names.
    let twins = world.folder("twins");
    for name in ["Read.me", "READ.ME"] {
        fs::write(twins.join(name), name).unwrap();
    }
    let reply = ada.ask(&format!("upload_file {} lab", arg(&twins))).unwrap();
    let (upper, lower) = (twins.join("READ.ME"), twins.join("Read.me"));
    let why = "are one name on other systems: rename one of them";
    assert_eq!(reply.text(), format!("`{}` and `{}` {why}", upper.display(), lower.display()));
    let empty = world.folder("nothing");
    fs::create_dir(empty.join("inside")).unwrap();
    let reply = ada.ask(&format!("upload_file {} lab", arg(&empty))).unwrap();
    assert_eq!(reply.text(), format!("there is no file to share in the folder `{}`", empty.display()));
}

/// A second sharer of the same folder joins; another folder of that name is refused.
#[test]
fn the_same_folder_is_one_share() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = album(&world, 100_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    let copy = world.folder("copies").join("album");
    for (path, bytes) in read(&album) {
        fs::create_dir_all(copy.join(&path).parent().unwrap()).unwrap();
        fs::write(copy.join(path), bytes).unwrap();
    }
    listed(&mut ben, "album");
    say(&mut ben, &format!("upload_file {} lab", arg(&copy)), "File shared successfully");
    until(&mut ada, "list_files lab", "two share it", |r| {
        r.items().len() == 1 && r.items()[0]["sharers_online"] == 2
    });
    fs::write(copy.join("more"), "more").unwrap();
    let reply = ben.ask(&format!("upload_file {} lab", arg(&copy))).unwrap();
    assert!(reply.text().starts_with("same name, other content: "), "{}", reply.json);
}

/// SIGKILL in the middle of a folder: it lies in one place, goes on where it was, and gets its name at the end.
#[test]
fn a_killed_folder_download_resumes() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = album(&world, 128 * 1024 * 1024);
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    listed(&mut ben, "album");
    let (to, options) = (world.folder("to"), world.options("ben"));
    say(&mut ben, &format!("download_file lab album {}", arg(&to)), "Download started");
    until(&mut ben, "show_downloads", "a third has arrived", |r| percent(r) > 33.0);
    ben.kill();
    let there: Vec<_> = fs::read_dir(&to).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(there == ["album.part"] || there == ["album"], "{there:?}");

    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    ben.must("wait lab album --timeout 120").unwrap();
    assert!(read(&to.join("album")) == expected(&album));
    assert!(!to.join("album.part").exists());
    let fetched: u64 = ben.must("show_downloads").unwrap().items()[0]["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["bytes"].as_u64().unwrap())
        .sum();
    assert!(fetched <= 128 * 1024 * 1024 + 40_011, "{fetched} bytes were credited");

    // The share outlives the program, too.
    assert!(ben.close(PATIENCE).unwrap().success());
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    until(&mut ada, "list_files lab", "ben is back", |r| r.items()[0]["sharers_online"] == 2);
}

/// One file of a folder changes: nothing of the folder is served any more, and the file is named.
#[test]
fn a_changed_file_of_a_folder_is_named() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = album(&world, 1_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    listed(&mut ben, "album");
    fs::write(album.join("notes/one.txt"), "changed").unwrap();
    let to = world.folder("to");
    say(&mut ben, &format!("download_file lab album {}", arg(&to)), "Download started");
    let gone = |r: &Reply| r.items().first().is_some_and(|f| f["sharers_online"] == 0);
    until(&mut ben, "list_files lab", "nobody serves it", gone);
    assert!(!to.join("album").exists(), "it cannot have become complete");
    let told = ada.stderr();
    assert!(told.contains("`notes/one.txt`: it has changed since it was shared"), "{told}");

    // Nor is it after the next login.
    let options = world.options("ada");
    ada.kill();
    let mut ada = Client::start("ada", &options).unwrap();
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    assert!(gone(&ada.must("list_files lab").unwrap()));
}

/// A metainfo whose paths would lead out of the folder, or onto each other, is refused before anything is opened.
#[test]
fn path_tricks_are_refused() {
    for (other, honest, trick, why) in [
        ("zz", "ab", "..", "`..` is not a valid file name: it names a folder"),
        ("zz", "ab", "/x", "`/x` is not a valid file name: it contains a path separator"),
        ("zz", "ab", "a\0", r"`a\u{0}` is not a valid file name: it contains a control character"),
        ("zz", "auw", "aux", "`aux` is not a valid file name: it is a device on Windows"),
        ("ZA", "zb", "za", "`ZA` and `za` are one name on other systems: rename one of them"),
    ] {
        let mut world = World::with_trackers_of(1, 0);
        let double = Double::start(&world.list, 1, &world.path("double"));
        let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
        let album = world.folder("album");
        fs::write(album.join(honest), "content").unwrap();
        fs::write(album.join(other), "content").unwrap();
        say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
        listed(&mut ben, "album");
        let file = |name: &str| format!("{}:{name}d0:", name.len()).into_bytes();
        let (from, to) = (file(honest), file(trick));
        double.lie(path::METAINFO_PREFIX, move |_, honest| match honest {
            Some(bytes) => {
                let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
                Said::Bytes([&bytes[..at], &to, &bytes[at + from.len()..]].concat())
            }
            None => Said::Truth,
        });
        let to = world.folder("to");
        let reply = ben.ask(&format!("download_file lab album {}", arg(&to))).unwrap();
        assert!(!reply.ok() && reply.text().contains(why), "{}", reply.json);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
        assert!(ben.must("show_downloads").unwrap().items().is_empty());
    }
}

//! Shares of whole folders, from the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use peerage_drive::{Client, Reply};
use peerage_link::api::path;

use crate::double::{Double, Said};
use crate::world::{PATIENCE, World, arg, assert_same, say, until};

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

/// Some files of a folder, more of them later, over a restart; what is not wanted is neither fetched nor made.
#[test]
fn some_files_of_a_folder() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben, mut cem]) = world.group("ada", ["ben", "cem"]);
    let album = album(&world, 3_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    listed(&mut ben, "album");
    let (to, options) = (world.folder("to"), world.options("ben"));
    let get = |only: &str| format!("download_file lab album {} {only}", arg(&to));
    let reply = ben.ask(&get("--only flim.bin")).unwrap();
    assert_eq!(reply.text(), "No file in the folder matches `flim.bin`");
    assert!(reply.json["hint"].as_str().unwrap().starts_with("there is `film.bin`, "), "{}", reply.json);
    assert!(ben.must("show_downloads").unwrap().items().is_empty());

    let some = |wanted: &[&str]| -> Tree {
        expected(&album).into_iter().filter(|(path, _)| wanted.iter().any(|w| path.starts_with(w))).collect()
    };
    say(&mut ben, &get("--only notes --only .hidden"), "Download started");
    ben.must("wait lab album --timeout 120").unwrap();
    assert!(read(&to.join("album")) == some(&["notes", ".hidden"]));
    assert!(!to.join("album.part").exists());
    let shown = ben.must("show_downloads").unwrap();
    assert_eq!((shown.column("state"), &shown.items()[0]["bytes_total"]), (vec!["C"], &11.into()));
    let fetched = |r: &Reply| r.items()[0]["sources"][0]["bytes"].as_u64();
    assert_eq!(fetched(&shown), Some(11), "nothing else was fetched");
    assert_eq!(ben.must("list_files lab").unwrap().items()[0]["sharers"], 1, "some files do not count");

    // What one has is served, and still after the next login.
    // (Not with success: a command was refused.)
    ben.close(PATIENCE).unwrap();
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let serves = |r: &Reply| r.column("user").contains(&"ben");
    until(&mut cem, "list_peers lab album", "ben serves what he has", serves);
    say(&mut ben, &get("--only */*name.txt"), "Download started");
    ben.must("wait lab album --timeout 120").unwrap();
    assert!(read(&to.join("album")) == some(&["notes", ".hidden", "caf"]));
    say(&mut ben, &get(""), "Download started");
    ben.must("wait lab album --timeout 120").unwrap();
    assert!(read(&to.join("album")) == expected(&album));
    until(&mut cem, "list_files lab", "now ben counts", |r| r.items()[0]["sharers_online"] == 2);
    assert!(!to.join("album.part").exists());
}

/// Other content at the place is refused with its name, and overwritten when that was asked for.
#[test]
fn what_lies_there_is_overwritten_on_request() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = album(&world, 1_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    listed(&mut ben, "album");
    let to = world.folder("to");
    fs::create_dir(to.join("album")).unwrap();
    fs::write(to.join("album/film.bin"), "an older film").unwrap();
    fs::write(to.join("album/mine.txt"), "mine").unwrap();
    let get = format!("download_file lab album {} --preview", arg(&to));
    let reply = ben.ask(&get).unwrap();
    let place = to.join("album/film.bin").canonicalize().unwrap();
    assert_eq!(
        reply.text(),
        format!("`{}` exists already (it has 13 bytes, expected 1000000)", place.display())
    );
    assert!(reply.json["hint"].as_str().unwrap().contains("--into-existing"));
    assert_eq!(fs::read_to_string(&place).unwrap(), "an older film");
    say(&mut ben, &format!("{get} --into-existing"), "Download started");
    ben.must("wait lab album --timeout 120").unwrap();
    let mut whole = expected(&album);
    whole.insert("mine.txt".into(), b"mine".to_vec());
    assert!(read(&to.join("album")) == whole);
}

/// What comes first and what not at all can be said while a download runs, and holds over a restart.
#[test]
fn priorities_are_set_while_a_download_runs() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = world.folder("disc");
    for (name, bytes) in [("film.mkv", 3_000_000), ("extra.mkv", 3_000_000), ("notes.txt", 100_000)] {
        fs::rename(world.file(name, bytes), album.join(name)).unwrap();
    }
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    listed(&mut ben, "disc");
    let (to, options) = (world.folder("to"), world.options("ben"));
    say(&mut ben, "set_limits --down 500K", "Limits set");
    say(&mut ben, &format!("download_file lab disc {}", arg(&to)), "Download started");
    say(&mut ben, "set_priority lab disc high --only *.txt", "Priority of 1 file set");
    say(&mut ben, "set_priority lab disc skip --only extra.mkv", "Priority of 1 file set");
    let nothing = ben.ask("set_priority lab disc skip").unwrap();
    assert_eq!(nothing.text(), "no file of this download would be left: cancel_download ends it");
    let unknown = ben.ask("set_priority lab disc low --only *.flac").unwrap();
    assert_eq!(unknown.text(), "No file in the folder matches `*.flac`");
    let shown = ben.must("show_downloads").unwrap();
    let line = &shown.items()[0];
    assert_eq!(
        (&line["files"], &line["files_selected"], &line["bytes_total"]),
        (&3.into(), &2.into(), &3_100_000.into())
    );
    ben.kill();

    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    assert_eq!(ben.must("show_downloads").unwrap().items()[0]["files_selected"], 2);
    say(&mut ben, "set_limits --down none", "Limits set");
    ben.must("wait lab disc --timeout 120").unwrap();
    for name in ["film.mkv", "notes.txt"] {
        assert_same(&album.join(name), &to.join("disc").join(name));
    }
    assert!(!to.join("disc/extra.mkv").exists());
    say(&mut ben, "set_priority lab disc high", "This download is complete");
}

/// A file that was not wanted comes when it is wanted after all.
#[test]
fn what_was_skipped_can_be_wanted_again() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = album(&world, 1_500_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    listed(&mut ben, "album");
    let to = world.folder("to");
    say(&mut ben, "set_limits --down 200K", "Limits set");
    say(&mut ben, &format!("download_file lab album {} --only film.bin", arg(&to)), "Download started");
    say(&mut ben, "pause_download lab album", "Download paused");
    ben.must("set_priority lab album low").unwrap();
    say(&mut ben, "resume_download lab album", "Download resumed");
    ben.must("set_priority lab album skip --only film.bin").unwrap();
    ben.must("set_priority lab album high --only film.bin").unwrap();
    say(&mut ben, "set_limits --down none", "Limits set");
    ben.must("wait lab album --timeout 120").unwrap();
    assert!(read(&to.join("album")) == expected(&album));
}

/// Paused, over a restart, resumed; and another one cancelled, which leaves nothing behind.
#[test]
fn downloads_are_paused_resumed_and_cancelled() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let album = album(&world, 1_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&album)), "File shared successfully");
    listed(&mut ben, "album");
    let (to, ada_options, options) = (world.folder("to"), world.options("ada"), world.options("ben"));
    // She counts as online for a while, but nothing comes from her.
    ada.kill();
    say(&mut ben, &format!("download_file lab album {}", arg(&to)), "Download started");
    say(&mut ben, "pause_download lab album", "Download paused");
    say(&mut ben, "pause_download lab album", "This download is paused already");
    let is_paused = |r: &Reply| r.items()[0]["note"] == "paused" && r.items()[0]["state"] == "D";
    assert!(is_paused(&ben.must("show_downloads").unwrap()));
    ben.kill();
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    assert!(is_paused(&ben.must("show_downloads").unwrap()));
    let reply = ben.ask("wait lab album").unwrap();
    assert_eq!(reply.text(), "[lab] album: paused");
    let mut ada = Client::start("ada", &ada_options).unwrap();
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    say(&mut ben, "resume_download lab album", "Download resumed");
    ben.must("wait lab album --timeout 120").unwrap();
    assert!(read(&to.join("album")) == expected(&album));
    say(&mut ben, "cancel_download lab album", "This download is complete");
    say(&mut ben, "stop_share lab album", "Stopped sharing this file");

    // Half of it is there, as an earlier attempt leaves it.
    until(&mut ben, "list_files lab", "ada is online", |r| r.items()[0]["sharers_online"] == 1);
    ada.kill();
    let other = world.folder("other");
    let part = other.join("album.part");
    fs::create_dir_all(part.join("notes")).unwrap();
    fs::copy(album.join("notes/one.txt"), part.join("notes/one.txt")).unwrap();
    fs::write(part.join("film.bin"), vec![0; 1_000_000]).unwrap();
    say(&mut ben, &format!("download_file lab album {}", arg(&other)), "Download started");
    say(&mut ben, "cancel_download lab album", "Download cancelled");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0, "nothing is left");
    say(&mut ben, "cancel_download lab nothing", "No such download");
}

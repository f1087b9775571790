//! Bad input and a hostile environment: one clear line, and everything else lives on.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use peerage_drive::Client;

use crate::world::{PATIENCE, World, arg, assert_same, say, until};

/// Whatever is thrown at the ports of a tracker and a member, both go on serving.
#[test]
fn garbage_on_the_ports_changes_nothing() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let note = world.file("note.bin", 500_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&note)), "File shared successfully");
    let ports = [world.tracker_addresses[0], world.options("ada").listen];
    for port in ports {
        for garbage in garbage() {
            throw(port, &garbage);
        }
    }
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    say(&mut ben, &format!("download_file lab note.bin {}", arg(&world.folder("to"))), "Download started");
    ben.must("wait lab note.bin --timeout 60").unwrap();
    assert_same(&note, &world.path("to").join("note.bin"));
}

fn garbage() -> Vec<Vec<u8>> {
    let mut plain_handshake = b"\x13BitTorrent protocol".to_vec();
    plain_handshake.extend([7; 48]);
    // A TLS record header that promises more than it brings.
    let truncated_hello = [&[0x16, 3, 1, 0x40, 0][..], &[1; 100]].concat();
    vec![
        Vec::new(),
        vec![0],
        vec![0xff; 100_000],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        plain_handshake,
        truncated_hello,
    ]
}

/// Sends and reads whatever comes back until the other side closes; it may close as early as it likes.
fn throw(to: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    drop(stream.write_all(bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.windows(10).any(|w| w == b"BitTorrent"), "a stranger got an answer");
}

/// Destinations that cannot be written to are named, before anything starts.
#[test]
fn bad_destinations_are_named() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let note = world.file("note.bin", 50_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&note)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    let occupied = world.folder("occupied");
    fs::write(occupied.join("note.bin"), "something else").unwrap();
    for bad in ["/proc/no/such/folder/", occupied.to_str().unwrap()] {
        let reply = ben.ask(&format!("download_file lab note.bin {bad}")).unwrap();
        assert!(!reply.ok() && reply.text().contains(bad.trim_end_matches('/')), "{}", reply.json);
        assert!(!reply.text().contains('\n'));
    }
    assert_eq!(fs::read(occupied.join("note.bin")).unwrap(), b"something else");
    assert!(ben.must("show_downloads").unwrap().items().is_empty());
}

/// Two shells on one data folder: the second is told at login.
#[test]
fn a_second_login_on_one_machine_is_refused() {
    let mut world = World::with_trackers(1);
    let ada = world.member("ada");
    let mut options = world.options("ada");
    options.listen = peerage_drive::free_addresses(1).unwrap()[0];
    let mut second = Client::start("second", &options).unwrap();
    say(&mut second, "login ada pw-ada", "You are already logged in!");
    assert!(ada.close(PATIENCE).unwrap().success());
    say(&mut second, "login ada pw-ada", "Logged in successfully");
}

/// Another machine (another data folder) is a second device of the same person.
#[test]
fn a_second_machine_is_a_second_device() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let mut laptop = world.client("laptop");
    say(&mut laptop, "login ada pw-ada", "Logged in successfully");
    let note = world.file("note.bin", 300_000);
    say(&mut laptop, &format!("upload_file {} lab", arg(&note)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    say(&mut ben, &format!("download_file lab note.bin {}", arg(&world.folder("to"))), "Download started");
    ben.must("wait lab note.bin --timeout 60").unwrap();
    assert_same(&note, &world.path("to").join("note.bin"));
    say(&mut ada, "leave_group lab", "You left the group!");
    until(&mut laptop, "list_files lab", "the laptop has left too", |r| {
        r.text() == "You are not in this group"
    });
}

/// Kicked in the middle: the member may neither list nor fetch, and can ask again.
#[test]
fn a_kicked_member_gets_nothing_more() {
    let mut world = World::with_trackers(2);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let note = world.file("note.bin", 300_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&note)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    let kick = ben.ask("kick lab ada").unwrap();
    assert!(!kick.ok(), "{}", kick.json);
    ada.must("kick lab ben").unwrap();
    until(&mut ben, "list_files lab", "the kick has arrived", |r| r.text() == "You are not in this group");
    say(
        &mut ben,
        &format!("download_file lab note.bin {}", arg(&world.folder("to"))),
        "You are not in this group",
    );
    say(&mut ben, "join_group lab", "Join request sent");
    say(&mut ada, "accept_request lab ben", "User accepted");
    until(&mut ben, "list_files lab", "the file is listed again", |r| !r.items().is_empty());
}

/// A full disk pauses a download with a message that says where and how much; it goes on by itself when there is room.
#[test]
fn a_full_disk_pauses_the_download() {
    let mut world = World::with_trackers(1);
    let small = world.folder("small");
    let Some(_mount) = SmallDisk::mount(&small, "24m") else {
        println!("skipped: a small file system can only be mounted as root; the full disk was not tried");
        return;
    };
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 16 * 1024 * 1024);
    let album = world.folder("album");
    for number in 0..8 {
        fs::create_dir_all(album.join(format!("disc {}", number % 2))).unwrap();
        let song = world.file(&format!("song-{number}"), 2 * 1024 * 1024);
        fs::rename(song, album.join(format!("disc {}/{number}.flac", number % 2))).unwrap();
    }
    for shared in [&film, &album] {
        say(&mut ada, &format!("upload_file {} lab", arg(shared)), "File shared successfully");
    }
    until(&mut ben, "list_files lab", "both are listed", |r| r.items().len() == 2);
    let place = fs::canonicalize(&small).unwrap().display().to_string();
    for name in ["film.bin", "album"] {
        let ballast = small.join("ballast");
        fs::write(&ballast, vec![1; 14 * 1024 * 1024]).unwrap();
        say(&mut ben, &format!("download_file lab {name} {}", arg(&small)), "Download started");
        until(&mut ben, "show_downloads", "the full disk is reported", |r| {
            let mine = r.items().iter().find(|item| item["name"] == name).unwrap();
            let note = mine["note"].as_str().unwrap_or_default();
            let missing = mine["bytes_total"].as_u64().unwrap() - mine["bytes_done"].as_u64().unwrap();
            note.starts_with(&format!("no room in `{place}` ("))
                && note.contains(&format!("{missing} bytes are still to be written, "))
                && note.ends_with(" are free; it goes on by itself when there is room")
                && mine["activity"] == "no_room"
                && mine["bytes_per_second"] == 0
        });
        let detail = ben.must(&format!("show_download lab {name}")).unwrap();
        let detail = &detail.items()[0];
        assert_eq!((&detail["activity"], &detail["bytes_per_second_down"]), (&"no_room".into(), &0.into()));
        assert!(detail["note"].as_str().unwrap().starts_with("no room in `"), "{detail}");
        fs::remove_file(&ballast).unwrap();
        ben.must(&format!("wait lab {name} --timeout 60")).unwrap();
        if name == "film.bin" {
            assert_same(&film, &small.join("film.bin"));
            fs::remove_file(small.join("film.bin")).unwrap();
        }
    }
    for number in 0..8 {
        let song = format!("disc {}/{number}.flac", number % 2);
        assert_same(&album.join(&song), &small.join("album").join(&song));
    }
}

/// A tmpfs that is unmounted when dropped.
struct SmallDisk<'a>(&'a std::path::Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a std::path::Path, size: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at);
        command.output().ok()?.status.success().then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the download may still hold its file open.
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

//! `download_file --leave`: the file, without becoming one of its sharers.

use std::fs;
use std::path::{Path, PathBuf};

use peerage_drive::Client;

use crate::world::{World, arg, assert_same, say, until};

/// Ben only wants the film, cat shares it on.
#[test]
fn who_only_wants_the_file_is_no_sharer_of_it() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben, mut cat]) = world.group("ada", ["ben", "cat"]);
    let film = world.file("film.bin", 3 * 1024 * 1024);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    let (to_ben, to_cat) = (world.folder("to-ben"), world.folder("to-cat"));
    for (client, to, leave) in [(&mut ben, &to_ben, " --leave"), (&mut cat, &to_cat, "")] {
        until(client, "list_files lab", "it is listed", |r| !r.items().is_empty());
        let line = format!("download_file lab film.bin {}{leave}", arg(to));
        say(client, &line, "Download started");
    }
    for (client, to) in [(&mut ben, &to_ben), (&mut cat, &to_cat)] {
        client.must("wait lab film.bin --timeout 60").unwrap();
        assert_same(&film, &to.join("film.bin"));
    }
    // One piece more, or nobody who wants one: then he is gone, and she is not.
    until(&mut ben, "show_download lab film.bin", "he has left", |r| r.items()[0]["pieces"].is_null());
    assert!(!cat.must("show_download lab film.bin").unwrap().items()[0]["pieces"].is_null());
    until(&mut ada, "list_files lab", "ada and cat share it", |r| r.items()[0]["sharers_online"] == 2);
    let shown = ben.must("show_downloads").unwrap();
    assert_eq!((&shown.items()[0]["state"], &shown.items()[0]["note"]), (&"C".into(), &().into()));
    say(&mut ben, "stop_share lab film.bin", "You do not share this file");
    assert_same(&film, &to_ben.join("film.bin"));

    // Nor does he at the next start, whereas she does.
    let again = |name: &str, mut client: Client, world: &mut World| {
        let options = world.options(name);
        client.kill();
        let mut client = Client::start(name, &options).unwrap();
        say(&mut client, &format!("login {name} pw-{name}"), "Logged in successfully");
        client
    };
    let mut ben = again("ben", ben, &mut world);
    let mut cat = again("cat", cat, &mut world);
    assert!(ben.must("show_download lab film.bin").unwrap().items()[0]["pieces"].is_null());
    say(&mut ben, "stop_share lab film.bin", "You do not share this file");
    say(&mut cat, "stop_share lab film.bin", "Stopped sharing this file");
    until(&mut ada, "list_files lab", "ada alone shares it", |r| r.items()[0]["sharers_online"] == 1);
    // What lies there is all that he asks for a second time.
    say(&mut ben, &format!("download_file lab film.bin {} --leave", arg(&to_ben)), "Download started");
    until(&mut ben, "show_download lab film.bin", "he has left again", |r| r.items()[0]["pieces"].is_null());
    say(&mut ben, "stop_share lab film.bin", "You do not share this file");
    // Whoever wants to share it after all says so.
    say(&mut ben, &format!("upload_file {} lab", arg(&to_ben.join("film.bin"))), "File shared successfully");
    until(&mut ada, "list_files lab", "he shares it, too", |r| r.items()[0]["sharers_online"] == 2);
}

/// A restart while others still need him does not make him go, nor does he when he shares it after all.
#[test]
fn who_is_still_needed_is_there_after_a_restart() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben, mut cat]) = world.group("ada", ["ben", "cat"]);
    let film = world.file("film.bin", 128 * 1024 * 1024);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    let (to_ben, to_cat) = (world.folder("to-ben"), world.folder("to-cat"));
    // She wants more than he hands out within seconds.
    say(&mut cat, "set_limits --down 16K", "Limits set");
    say(&mut ben, "set_limits --up 16K", "Limits set");
    for (client, to, leave) in [(&mut cat, &to_cat, ""), (&mut ben, &to_ben, " --leave")] {
        until(client, "list_files lab", "it is listed", |r| !r.items().is_empty());
        say(client, &format!("download_file lab film.bin {}{leave}", arg(to)), "Download started");
    }
    ben.must("wait lab film.bin --timeout 120").unwrap();
    let options = world.options("ben");
    ben.kill();
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let served =
        |ben: &mut Client| !ben.must("show_download lab film.bin").unwrap().items()[0]["pieces"].is_null();
    assert!(served(&mut ben));

    // Sharing it fails: what he had goes on as it was.
    let in_the_way = state_file(&world.path("ben-data")).with_extension("new");
    // A kill may have left one.
    let _ = fs::remove_file(&in_the_way);
    fs::create_dir(&in_the_way).unwrap();
    let refused = ben.ask(&format!("upload_file {} lab", arg(&to_ben.join("film.bin")))).unwrap();
    assert!(refused.text().contains(".leaves"), "{}", refused.json);
    fs::remove_dir(&in_the_way).unwrap();
    until(&mut ben, "show_downloads", "he serves it as before", |r| {
        r.items()[0]["note"].as_str().is_some_and(|note| note.starts_with("served until others can do"))
    });
    assert!(served(&mut ben));

    say(&mut ben, &format!("upload_file {} lab", arg(&to_ben.join("film.bin"))), "File shared successfully");
    assert!(served(&mut ben));
    assert!(
        ben.must("show_downloads").unwrap().items()[0]["note"].is_null(),
        "nothing is to be left any more"
    );
    until(&mut ada, "list_files lab", "he shares it, too", |r| r.items()[0]["sharers_online"] == 2);
}

/// Where the node that keeps its data below `folder` saves how far its one transfer is.
fn state_file(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "state") {
                return path;
            }
        }
    }
    panic!("nothing is saved");
}

//! Files that are not what they were any more, or never were: who asks is told, with the way out.

use std::fs;

use peerage_drive::Client;

use crate::accounts::told;
use crate::partition::Parted;
use crate::resume::only;
use crate::world::{World, arg, assert_same, say, until};

#[test]
fn what_is_other_content_is_said_and_the_way_out_works() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 2_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());

    // Of the same size, so that only reading tells.
    let to = world.folder("to").canonicalize().unwrap();
    let copy = to.join("film.bin");
    let other = vec![7; 2_000_000];
    fs::write(&copy, &other).unwrap();
    let get = format!("download_file lab film.bin {}", arg(&to));
    let taken = format!(
        "`{}` exists already and has other content: move it away or overwrite it with --into-existing",
        copy.display()
    );
    say(&mut ben, &get, &taken);
    assert!(ben.must("show_downloads").unwrap().items().is_empty());
    assert!(fs::read(&copy).unwrap() == other);

    // Nothing can be looked at before it is there.
    fs::remove_file(&copy).unwrap();
    say(&mut ben, "set_limits --down 16K", "Limits set");
    say(&mut ben, &get, "Download started");
    let early =
        say(&mut ben, "scrub lab film.bin", "`film.bin` is not complete yet: there is nothing to look at");
    assert!(early.json["hint"].as_str().unwrap().contains("`wait lab film.bin`"), "{}", early.json);
    say(&mut ben, "set_limits --down none", "Limits set");
    ben.must("wait lab film.bin --timeout 60").unwrap();
    assert_same(&film, &copy);
    // What the refused command answered was not told once more.
    told(&ben, "is complete");
    assert!(!ben.stderr().contains("exists already"), "{}", ben.stderr());

    // His copy is edited: it is no share any more, now and after the next login, and that is said.
    fs::write(&copy, &other).unwrap();
    let said = format!("`{}` is not shared any more: it has changed", copy.display());
    let is_said =
        |r: &peerage_drive::Reply| r.items()[0]["note"].as_str().is_some_and(|n| n.starts_with(&said));
    let ended = ben.ask("scrub lab film.bin").unwrap();
    assert!(ended.text().contains("it has changed since it was shared"), "{}", ended.json);
    until(&mut ben, "show_downloads", "it is said", is_said);
    assert!(ben.must("show_download lab film.bin").unwrap().items()[0]["pieces"].is_null());
    // Before he is killed: a tracker believes what it was told last for a minute.
    until(&mut ada, "list_files lab", "ada alone shares it", |r| r.items()[0]["sharers_online"] == 1);
    let options = world.options("ben");
    ben.kill();
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let shown = ben.must("show_downloads").unwrap();
    assert!(is_said(&shown), "{}", shown.json);
    assert!(shown.items()[0]["note"].as_str().unwrap().contains("`--into-existing`"), "{}", shown.json);
    assert_eq!(ada.must("list_files lab").unwrap().items()[0]["sharers_online"], 1);
    say(&mut ben, &format!("{get} --into-existing"), "Download started");
    ben.must("wait lab film.bin --timeout 60").unwrap();
    assert_same(&film, &copy);
    assert!(ben.must("show_downloads").unwrap().items()[0]["note"].is_null());
    until(&mut ada, "list_files lab", "both share it", |r| r.items()[0]["sharers_online"] == 2);
}

#[test]
fn what_is_gone_after_a_crash_is_not_listed_from_the_next_login_on() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 100_000);
    say(&mut ben, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ada, "list_files lab", "ben is online", |r| {
        r.items().first().is_some_and(|file| file["sharers_online"] == 1)
    });
    let options = world.options("ben");
    ben.kill();
    fs::remove_file(&film).unwrap();
    assert_eq!(ada.must("list_files lab").unwrap().items()[0]["sharers_online"], 1);
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    assert_eq!(ada.must("list_files lab").unwrap().items()[0]["sharers_online"], 0);
}

/// A download that ended early is no share that somebody changed.
#[test]
fn what_ended_early_is_looked_through_by_nobody() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 2_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());
    let (to, options) = (world.folder("to"), world.options("ben"));
    say(&mut ben, "set_limits --down 16K", "Limits set");
    say(&mut ben, &format!("download_file lab film.bin {}", arg(&to)), "Download started");
    ben.kill();
    fs::write(to.join("film.bin"), vec![7; 2_000_000]).unwrap();
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    told(&ben, "[lab] film.bin: ");
    let refused = ben.ask("scrub lab film.bin").unwrap();
    let said = refused.text();
    assert!(said.starts_with("[lab] film.bin: ") && said.contains("exists already"), "{}", refused.json);
    assert!(refused.json["hint"].is_null(), "{}", refused.json);
}

/// What is known about a share is damaged; the file itself is as it was.
#[test]
fn why_a_share_did_not_come_back_is_said() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 300_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());
    let (to, options) = (world.folder("to").canonicalize().unwrap(), world.options("ben"));
    let get = format!("download_file lab film.bin {}", arg(&to));
    say(&mut ben, &get, "Download started");
    ben.must("wait lab film.bin --timeout 60").unwrap();
    ben.kill();
    fs::write(only(&world.path("ben-data"), "torrent").unwrap(), "d1:ae").unwrap();
    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let shown = ben.must("show_downloads").unwrap();
    let why = "what is known about it is damaged; share it again";
    let note = format!("`{}` is not shared now: {why}", to.join("film.bin").display());
    assert_eq!(shown.items()[0]["note"], note);
    say(&mut ben, &format!("upload_file {} lab", arg(&to.join("film.bin"))), "File shared successfully");
    assert!(ben.must("show_downloads").unwrap().items()[0]["note"].is_null());
}

/// The tracker that answers the login has not heard of the group yet.
#[test]
fn a_share_comes_back_when_a_tracker_knows_the_group() {
    let world = Parted::with_trackers(2);
    let mut two = world.client("two", &[2]);
    let (mut ada, mut ben) = (world.client("ada", &[1]), world.client("ben", &[1]));
    say(&mut two, "create_user ben pw-ben", "User created!");
    until(&mut ben, "login ben pw-ben", "ben is known to tracker 1", |r| r.ok());
    say(&mut ada, "create_user ada pw-ada", "User created!");
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    world.mesh.part(&[1]);
    say(&mut ada, "create_group lab", "Group created successfully");
    say(&mut ben, "join_group lab", "Join request sent");
    say(&mut ada, "accept_request lab ben", "User accepted");
    let film = world.file("film.bin", &[7; 300_000]);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "it is listed", |r| !r.items().is_empty());
    let copy = world.path("copy.bin");
    say(&mut ben, &format!("download_file lab film.bin {}", arg(&copy)), "Download started");
    ben.must("wait lab film.bin --timeout 60").unwrap();
    ben.kill();
    // As if the program had ended before it was kept.
    if let Some(kept) = only(&world.path("ben-data"), "group") {
        fs::remove_file(kept).unwrap();
    }
    let mut ben = world.client("ben", &[2]);
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let shown = ben.must("show_downloads").unwrap();
    let note = shown.items()[0]["note"].as_str().unwrap_or_default();
    assert!(
        note.contains("is not shared now: no tracker has said yet who is in the group"),
        "{}",
        shown.json
    );
    world.mesh.heal();
    until(&mut ben, "show_downloads", "it is shared again", |r| r.items()[0]["note"].is_null());
    until(&mut ada, "list_files lab", "both share it", |r| r.items()[0]["sharers_online"] == 2);
}

//! Files that are not what they were any more, or never were: who asks is told, with the way out.

use std::fs;

use peerage_drive::Client;

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

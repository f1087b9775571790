//! Nothing is lost when a process dies.

use std::fs;

use crate::world::{PATIENCE, World, arg, assert_same, say, until};

const FILE_BYTES: usize = 128 * 1024 * 1024;

/// SIGKILL of the leecher in the middle: the next login goes on where it was.
#[test]
fn a_killed_download_resumes_at_the_next_login() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", FILE_BYTES);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    let to = world.folder("to");
    let options = world.options("ben");
    let percent =
        |r: &peerage_drive::Reply| r.items().first().and_then(|i| i["percent"].as_f64()).unwrap_or(0.0);
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    say(&mut ben, &format!("download_file lab film.bin {}", arg(&to)), "Download started");
    until(&mut ben, "show_downloads", "a third has arrived", |r| percent(r) > 33.0);
    ben.kill();
    if !to.join("film.bin").exists() {
        assert!(to.join("film.bin.part").exists(), "{:?}", fs::read_dir(&to).unwrap().collect::<Vec<_>>());
    }

    let mut ben = peerage_drive::Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    ben.must("wait lab film.bin --timeout 120").unwrap();
    assert_same(&film, &to.join("film.bin"));
    assert!(!to.join("film.bin.part").exists());

    // The seeder dies too; its share is served again after the next login.
    let options = world.options("ada");
    ada.kill();
    let mut ada = peerage_drive::Client::start("ada", &options).unwrap();
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    say(&mut ben, "stop_share lab film.bin", "Stopped sharing this file");
    let again = world.folder("again");
    until(&mut ben, "list_files lab", "ada is online", |r| {
        r.items().first().is_some_and(|f| f["sharers_online"] == 1)
    });
    say(&mut ben, &format!("download_file lab film.bin {}", arg(&again)), "Download started");
    ben.must("wait lab film.bin --timeout 120").unwrap();
    assert_same(&film, &again.join("film.bin"));
}

/// Three rounds of what `cargo xtask storm transfer` does a hundred times, and what shows that it would notice.
#[test]
fn kills_on_both_sides_cost_less_than_a_second() {
    let folder = tempfile::Builder::new().prefix("peerage-it-").tempdir().unwrap();
    let program = std::path::Path::new(crate::world::PROGRAM);
    let mut storm = peerage_drive::storm::TransferStorm::start(program, folder.path(), 20_261_125).unwrap();
    let begun_anew = storm.check_itself().unwrap();
    println!("begun anew, in vain: {begun_anew:?} bytes");
    let figures = storm.run(3, |number, round| println!("round {number}: {round:?}")).unwrap();
    assert_eq!((figures.rounds, figures.kills), (3, 6));
}

/// A download whose only sharer leaves waits, stays as `.part` at the end of input, and resumes.
#[test]
fn end_of_input_keeps_an_unfinished_download() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", FILE_BYTES);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    let to = world.folder("to");
    let (ada_options, ben_options) = (world.options("ada"), world.options("ben"));
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    say(&mut ben, &format!("download_file lab film.bin {}", arg(&to)), "Download started");
    ada.kill();
    let shown = ben.must("show_downloads").unwrap();
    assert_eq!(shown.column("state"), ["D"]);
    let status = ben.close(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1), "a download was cut short");
    assert!(to.join("film.bin.part").exists() && !to.join("film.bin").exists());

    let mut ada = peerage_drive::Client::start("ada", &ada_options).unwrap();
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    let mut ben = peerage_drive::Client::start("ben", &ben_options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    ben.must("wait lab film.bin --timeout 120").unwrap();
    assert_same(&film, &to.join("film.bin"));
}

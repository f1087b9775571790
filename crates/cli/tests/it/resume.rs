//! Nothing is lost when a process dies.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use peerage_drive::Client;

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

    let mut ben = Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    ben.must("wait lab film.bin --timeout 120").unwrap();
    assert_same(&film, &to.join("film.bin"));
    assert!(!to.join("film.bin.part").exists());

    // The seeder dies too; its share is served again after the next login.
    let options = world.options("ada");
    ada.kill();
    let mut ada = Client::start("ada", &options).unwrap();
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

/// A file that a program can open but not write to: a pipe that is full, and never emptied.
struct Stuck {
    path: PathBuf,
    _full: File,
}

impl Stuck {
    fn new(path: PathBuf) -> Self {
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        let mut full = File::options().read(true).write(true).custom_flags(nonblocking).open(&path).unwrap();
        while full.write(&[0; 512]).is_ok() {}
        Self { path, _full: full }
    }

    /// Waits until the program has begun to write.
    fn reached_by(&self, client: &Client) {
        let started = Instant::now();
        let fds = PathBuf::from(format!("/proc/{}/fd", client.pid()));
        let is_open = || {
            let mut fds = fs::read_dir(&fds).unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
            fds.any(|path| path == self.path)
        };
        while !is_open() {
            assert!(started.elapsed() < PATIENCE, "`{}` is never written", self.path.display());
            std::thread::yield_now();
        }
    }
}

/// The one file below `folder` with this extension.
pub fn only(folder: &Path, extension: &str) -> Option<PathBuf> {
    fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => only(&path, extension),
            false => Some(path).filter(|path| path.extension().is_some_and(|e| e == extension)),
        }
    })
}

/// SIGKILL while the complete download becomes a share: it is one after the next login, and after the one behind that.
#[test]
fn a_download_that_ends_while_it_becomes_a_share_is_one_later() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 3_000_000);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    let (to, options) = (world.folder("to"), world.options("ben"));
    say(&mut ben, "set_limits --down 16K", "Limits set");
    say(&mut ben, &format!("download_file lab film.bin {}", arg(&to)), "Download started");
    let entry = only(&world.path("ben-data"), "download").unwrap();
    let hash = entry.file_stem().unwrap().to_str().unwrap();
    let shares = entry.parent().unwrap().with_file_name("shares");
    let stuck = Stuck::new(shares.join(format!(".{hash}.share.{}.tmp", ben.pid())));
    say(&mut ben, "set_limits --down none", "Limits set");
    stuck.reached_by(&ben);
    ben.kill();
    fs::remove_file(&stuck.path).unwrap();

    for _ in 0..2 {
        let mut ben = Client::start("ben", &options).unwrap();
        say(&mut ben, "login ben pw-ben", "Logged in successfully");
        ben.must("wait lab film.bin --timeout 60").unwrap();
        assert_same(&film, &to.join("film.bin"));
        until(&mut ada, "list_files lab", "ben shares it", |r| r.items()[0]["sharers_online"] == 2);
        assert!(ben.close(PATIENCE).unwrap().success());
        until(&mut ada, "list_files lab", "ben is gone", |r| r.items()[0]["sharers_online"] == 1);
    }
}

/// Three rounds of what `cargo xtask storm transfer` does a hundred times, and what shows that it would notice.
#[test]
fn kills_on_both_sides_cost_less_than_a_second() {
    let folder = tempfile::Builder::new().prefix("peerage-it-").tempdir().unwrap();
    let program = Path::new(crate::world::PROGRAM);
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

    let mut ada = Client::start("ada", &ada_options).unwrap();
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    let mut ben = Client::start("ben", &ben_options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    ben.must("wait lab film.bin --timeout 120").unwrap();
    assert_same(&film, &to.join("film.bin"));
}

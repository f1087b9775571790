//! What operators do: keys from machine to machine, status, metrics, drills, backups.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use peerage_drive::Client;

use crate::child;
use crate::world::{PATIENCE, PROGRAM, World, say, until};

/// Runs the program to its end.
pub fn peerage(args: &[&str], input: &[u8]) -> Output {
    child::output(Command::new(PROGRAM).args(args), input)
}

/// Everything that it said and how it ended, with the world's folder cut out.
pub fn told(world: &World, output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).replace(world.path("").to_str().unwrap(), "DIR/");
    let code = output.status.code().map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
    format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_keyring_goes_to_another_machine() {
    let world = World::with_trackers(1);
    let cluster = |args: &[&str], input: &[u8]| peerage(&[&["cluster", "key"], args].concat(), input);
    let list = world.list.to_str().unwrap();
    let other = world.folder("other");
    let list_there = other.join("tracker_info.txt");
    fs::copy(&world.list, &list_there).unwrap();
    let there = list_there.to_str().unwrap();

    let exported = cluster(&["export", list], b"");
    assert!(exported.status.success(), "{}", told(&world, &exported));
    assert!(exported.stdout.starts_with(b"-----BEGIN PEERAGE KEYRING (SECRET)-----\n# Cluster "));
    // As text through a pipe, quoted on the way; a second time is no harm.
    let quoted: String = String::from_utf8(exported.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| format!("> {line}\r\n"))
        .collect();
    for _ in 0..2 {
        let imported = cluster(&["import", there], quoted.as_bytes());
        assert_eq!(imported.stdout, b"Keyring imported\n", "{}", told(&world, &imported));
    }
    for suffix in ["keyring", "pin"] {
        let file = |list: &str| fs::read(format!("{list}.{suffix}")).unwrap();
        assert!(file(list) == file(there), "the {suffix} differs");
    }
    #[cfg(unix)]
    assert_eq!(mode(&list_there.with_extension("txt.keyring")), 0o600);

    // As a file.
    let carried = world.path("carried.txt");
    let carried = carried.to_str().unwrap();
    let exported = cluster(&["export", list, carried], b"");
    assert_eq!(exported.stdout, b"Keyring exported\n", "{}", told(&world, &exported));
    #[cfg(unix)]
    assert_eq!(mode(Path::new(carried)), 0o600);
    assert_eq!(cluster(&["import", there, carried], b"").stdout, b"Keyring imported\n");
    check(
        &world,
        &cluster(&["export", list, carried], b""),
        expect![[r#"
        error: cannot write `DIR/carried.txt`: File exists (os error 17)
        hint: name a file that does not exist yet
        exit 1
    "#]],
    );
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o7777
}

#[track_caller]
fn check(world: &World, output: &Output, expected: Expect) {
    // Ids and keys differ each time.
    let text = told(world, output);
    let hex = |c: char| c.is_ascii_hexdigit();
    let words: Vec<String> = text
        .split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| match word.len() > 30 && word.trim_end_matches(|c: char| !hex(c)).chars().all(hex) {
            true => format!("HEX{}", word.trim_start_matches(hex)),
            false => word.to_owned(),
        })
        .collect();
    expected.assert_eq(&words.concat());
}

#[test]
fn keyrings_that_do_not_fit_are_refused() {
    let (world, other) = (World::with_trackers(1), World::with_trackers(1));
    let (list, list_of_other) = (world.list.to_str().unwrap(), other.list.to_str().unwrap());
    let key = |args: &[&str], input: &[u8]| peerage(&[&["cluster", "key"], args].concat(), input);
    let foreign = key(&["export", list_of_other], b"").stdout;
    // The pin says first that this is not the cluster that clients trust.
    check(
        &world,
        &key(&["import", list], &foreign),
        expect![[r#"
        error: `DIR/tracker_info.txt.pin` pins the key HEX, but the cluster's key is HEX
        hint: this is the keyring of another cluster than this list's; if the list is to move to it, run `peerage trust DIR/tracker_info.txt` where its trackers are up
        exit 1
    "#]],
    );
    fs::remove_file(format!("{list}.pin")).unwrap();
    check(
        &world,
        &key(&["import", list], &foreign),
        expect![[r#"
        error: `DIR/tracker_info.txt.keyring` holds another keyring (cluster HEX, offered was HEX): it stays as it is
        hint: to join the other cluster, move `DIR/tracker_info.txt.keyring` and the tracker's data folder out of the way first
        exit 1
    "#]],
    );
    let cut = &foreign[..foreign.len() - 60];
    check(
        &world,
        &key(&["import", list], cut),
        expect![[r#"
        error: `-` holds no keyring: the line `-----END PEERAGE KEYRING-----` is missing: copy all of it
        exit 1
    "#]],
    );
    let lonely = world.folder("lonely").join("list.txt");
    fs::copy(&world.list, &lonely).unwrap();
    check(
        &world,
        &key(&["export", lonely.to_str().unwrap()], b""),
        expect![[r#"
        error: there is no keyring `DIR/lonely/list.txt.keyring` on this machine
        hint: it lies where a tracker of the list has run; there: `peerage cluster key export DIR/lonely/list.txt`
        exit 1
    "#]],
    );
    check(
        &world,
        &key(&["import", "/nowhere/list.txt"], &foreign),
        expect![[r#"
        error: cannot read the tracker list `/nowhere/list.txt`: No such file or directory (os error 2)
        exit 2
    "#]],
    );
}

/// One plain HTTP request; the whole answer.
fn http_get(addr: std::net::SocketAddr, path: &str) -> String {
    use std::io::Read;
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn status_says_what_is_wrong() {
    let mut world = World::with_trackers(2);
    let list = world.list.to_str().unwrap().to_owned();
    let _ada = world.member("ada");
    let status = |args: &[&str]| peerage(&[&["cluster", "status", &list], args].concat(), b"");
    let healthy = status(&[]);
    let text = told(&world, &healthy);
    assert!(text.contains("\nhealthy: all 2 trackers are up and agree, "), "{text}");
    assert!(text.ends_with("exit 0\n"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&status(&["--json"]).stdout).unwrap();
    assert_eq!(json["healthy"], true);
    assert_eq!(json["trackers"][0]["digest"], json["trackers"][1]["digest"]);
    assert_eq!(json["trackers"][1]["lag_rows"], 0);

    world.trackers[1].kill();
    let text = told(&world, &status(&[]));
    assert!(text.contains("1 of 2 trackers are up: tracker 2 "), "{text}");
    assert!(text.ends_with("exit 1\n"), "{text}");
    world.trackers[0].kill();
    let text = told(&world, &status(&[]));
    assert!(text.ends_with("no tracker answers: start one\nexit 4\n"), "{text}");

    fs::remove_file(format!("{list}.keyring")).unwrap();
    let text = told(&world, &status(&[]));
    assert!(text.contains("error: there is no keyring"), "{text}");
}

#[test]
fn what_one_tracker_lost_it_fetches_from_the_others() {
    let mut world = World::with_trackers(2);
    let list = world.list.to_str().unwrap().to_owned();
    let _group = world.group("ada", ["ben"]);
    let check = |args: &[&str]| peerage(&[&["cluster", "check", &list], args].concat(), b"");
    let whole = told(&world, &check(&[]));
    assert_eq!(whole.matches(": holds the same as all others").count(), 2, "{whole}");
    assert!(whole.ends_with("exit 0\n"), "{whole}");

    // Somebody, or a bad disk, takes records away behind the tracker's back.
    world.trackers[1].kill();
    let database = rusqlite::Connection::open(world.path("tracker-2").join("tracker.db")).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    let lost = database.execute("DELETE FROM records WHERE n > 2", []).unwrap();
    assert!(lost > 3, "only {lost} records");
    drop(database);
    world.trackers[1].restart().unwrap();
    let found = told(&world, &check(&[]));
    assert!(found.contains("lacked") || found.contains("fetched"), "{found}");
    assert!(found.ends_with("exit 1\n"), "{found}");
    let whole: serde_json::Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
    assert_eq!(whole["whole"], true, "{whole}");
    assert_eq!(whole["trackers"][1]["neighbours"][0]["repaired"], 0);
}

#[test]
fn metrics_and_health() {
    use peerage_drive::{Tracker, free_addresses};
    let mut world = World::with_trackers(1);
    world.trackers[0].kill();
    let addr = free_addresses(1).unwrap()[0];
    let (program, data) = (Path::new(PROGRAM), world.path("tracker-1"));
    let port = addr.port().to_string();
    world.trackers[0] = Tracker::start_with(program, &world.list, 1, &data, &["--metrics", &port]).unwrap();
    let _ada = world.member("ada");
    let health = http_get(addr, "/health");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
    let line = health.lines().last().unwrap();
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(json["ok"], true, "{line}");
    let metrics = http_get(addr, "/metrics");
    for wanted in [
        "peerage_requests_total{route=\"/v1/bundle\",status=\"200\"}",
        "peerage_request_seconds_bucket{route=\"/v1/opaque/login\"",
        "peerage_durable_on_trackers_bucket{le=\"1\"}",
        "peerage_commit_seconds_count",
        "peerage_connections{state=\"open\"}",
        "peerage_event_streams 1",
        "peerage_records ",
        "peerage_database_bytes ",
        "peerage_disk_full 0",
        "peerage_running 1",
        "peerage_build_info{version=",
    ] {
        assert!(metrics.contains(wanted), "{wanted} is not in\n{metrics}");
    }
    assert!(http_get(addr, "/").starts_with("HTTP/1.1 404 "));

    let started = std::time::Instant::now();
    // A disk that takes nothing more: where the tracker tries a few bytes there is a folder.
    fs::remove_file(data.join("health")).unwrap();
    fs::create_dir(data.join("health")).unwrap();
    // A verdict is good for a second.
    let health_is = |status: &str| loop {
        let health = http_get(addr, "/health");
        if health.starts_with(&format!("HTTP/1.1 {status}\r\n")) {
            return health;
        }
        assert!(started.elapsed() < PATIENCE, "never {status}: {health}");
    };
    let health = health_is("503 Service Unavailable");
    let json: serde_json::Value = serde_json::from_str(health.lines().last().unwrap()).unwrap();
    assert_eq!(json["ok"], false, "{health}");
    assert!(health.contains("the disk cannot be written: "), "{health}");
    fs::remove_dir(data.join("health")).unwrap();
    health_is("200 OK");
}

/// Few files are allowed, and strangers who stall take them all.
#[cfg(unix)]
#[test]
fn a_tracker_out_of_file_descriptors_goes_on_and_recovers() {
    use std::net::TcpStream;
    use std::os::unix::fs::PermissionsExt;

    let mut world = World::with_trackers(1);
    world.trackers[0].kill();
    let limited = world.path("limited.sh");
    fs::write(
        &limited,
        format!("#!/bin/sh\nulimit -n 96\nexport PEERAGE_LOG=warn\nexec '{PROGRAM}' \"$@\"\n"),
    )
    .unwrap();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o700)).unwrap();
    let data = world.path("tracker-1");
    world.trackers[0] = peerage_drive::Tracker::start(&limited, &world.list, 1, &data).unwrap();
    let mut ada = world.member("ada");
    let address = world.tracker_addresses[0];
    let stalled: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Somebody who is there already, and somebody new.
    say(&mut ada, "create_group lab", "Group created successfully");
    let mut ben = world.client("ben");
    until(&mut ben, "create_user ben pw-of-ben", "there is room for newcomers", |r| r.ok());
    let said = world.trackers[0].stderr();
    assert!(
        said.contains("cannot accept connections at the moment"),
        "it never ran out of descriptors: {said}"
    );
    drop(stalled);
    say(&mut ben, "login ben pw-of-ben", "Logged in successfully");
    until(&mut ben, "join_group lab", "everything works again", |r| r.ok());
    say(&mut ada, "accept_request lab ben", "User accepted");
}

#[test]
fn a_drill_passes_and_says_why_it_cannot_begin() {
    let world = World::with_trackers(2);
    let list = world.list.to_str().unwrap();
    let drill = peerage(&["drill", list, "--seconds", "20"], b"");
    let text = told(&world, &drill);
    assert!(text.ends_with("exit 0\n"), "{text}");
    for wanted in [
        "finish the download            away",
        "see the file through it alone",
        "\npassed: 11 steps worked without tracker 1 (",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    let status = told(&world, &peerage(&["cluster", "status", list], b""));
    assert!(status.contains("healthy: all 2 trackers"), "{status}");

    check(
        &world,
        &peerage(&["drill", list, "--tracker", "3"], b""),
        expect![[r#"
        error: `DIR/tracker_info.txt` has 2 trackers, so there is no number 3
        exit 2
    "#]],
    );
    let alone = World::with_trackers(1);
    check(
        &alone,
        &peerage(&["drill", alone.list.to_str().unwrap()], b""),
        expect![[r#"
        error: `DIR/tracker_info.txt` has one tracker: without it nothing would go on
        hint: a drill needs at least two; see docs/operators.md on how to add one
        exit 1
    "#]],
    );
}

/// A backup of a running tracker is restored after more was written and its disk was lost.
#[test]
fn an_old_backup_catches_up_or_serves_what_it_holds() {
    let mut world = World::with_trackers(2);
    let list = world.list.to_str().unwrap().to_owned();
    let mut ada = world.member("ada");
    say(&mut ada, "create_group early", "Group created successfully");
    let (archive, data) = (world.path("archive"), world.path("tracker-1"));
    let (archive, folder) = (archive.to_str().unwrap(), data.to_str().unwrap());
    let cluster = |what: &str| peerage(&["cluster", what, &list, "1", archive, "--data", folder], b"");
    let made = told(&world, &cluster("backup"));
    assert!(made.starts_with("Backup made: ") && made.ends_with("exit 0\n"), "{made}");
    check(
        &world,
        &cluster("backup"),
        expect![[r#"
        error: `DIR/archive` exists already; name a new folder
        exit 1
    "#]],
    );
    say(&mut ada, "create_group late", "Group created successfully");
    let running = told(&world, &cluster("restore"));
    assert!(running.contains("is in use by another tracker process"), "{running}");
    world.trackers[0].kill();
    let full = told(&world, &cluster("restore"));
    assert!(full.contains("holds a tracker's data already"), "{full}");

    // The disk is lost; the backup lacks `late`, which the other tracker has.
    fs::remove_dir_all(&data).unwrap();
    let restored = told(&world, &cluster("restore"));
    assert!(restored.starts_with("Backup restored: ") && restored.ends_with("exit 0\n"), "{restored}");
    world.trackers[0].restart().unwrap();
    let status = told(&world, &peerage(&["cluster", "status", &list], b""));
    assert!(status.contains("\nhealthy: all 2 trackers are up and agree"), "{status}");
    let mut options = world.options("observer");
    options.list = world.list_of(1);
    let mut observer = Client::start("observer", &options).unwrap();
    say(&mut observer, "login ada pw-ada", "Logged in successfully");
    until(&mut observer, "list_groups", "nothing acknowledged is lost", |r| {
        r.column("group") == ["early", "late"]
    });

    // Alone it serves what the backup holds. Members who know more would tell it.
    ada.kill();
    observer.kill();
    world.trackers.iter_mut().for_each(peerage_drive::Tracker::kill);
    fs::remove_dir_all(&data).unwrap();
    cluster("restore");
    world.trackers[0].restart().unwrap();
    options.data = world.path("later-data");
    let mut later = Client::start("later", &options).unwrap();
    say(&mut later, "login ada pw-ada", "Logged in successfully");
    until(&mut later, "list_groups", "the backup is served", |r| r.column("group") == ["early"]);

    // A byte that changed is noticed, and another cluster's backup is refused.
    world.trackers[0].kill();
    fs::remove_dir_all(&data).unwrap();
    let file = world.path("archive").join("tracker.db");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    check(
        &world,
        &cluster("restore"),
        expect![[r#"
        error: `DIR/archive/tracker.db` is not a whole backup: its checksum differs from the manifest's
        exit 1
    "#]],
    );
    let other = World::with_trackers(1);
    let args = ["cluster", "restore", other.list.to_str().unwrap(), "1", archive, "--data", folder];
    let foreign = told(&world, &peerage(&args, b""));
    assert!(foreign.contains("the backup belongs to cluster"), "{foreign}");
}

//! What a person sees: plain replies from a pipe, usage errors, exit codes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};
use peerage_drive::free_addresses;

use crate::world::{PROGRAM, World};

fn run(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments does not read.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

/// Runs a script through a plain pipe, as another user each time; compares stdout and the exit code.
#[track_caller]
fn check(world: &World, data: &str, script: &str, expected: Expect) {
    let listen = free_addresses(1).unwrap()[0].to_string();
    let data = world.path(data);
    let args = ["client", &listen, world.list.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let output = run(&args, script);
    let stdout = String::from_utf8_lossy(&output.stdout).replace(world.path("").to_str().unwrap(), "DIR/");
    expected.assert_eq(&format!("{stdout}exit {}\n", output.status.code().unwrap()));
}

#[test]
fn plain_lines_from_a_pipe() {
    let world = World::with_trackers(1);
    fs::write(world.path("a file.txt"), "hello").unwrap();
    let share = format!("upload_file \"{}\" lab", world.path("a file.txt").display());
    check(
        &world,
        "ada",
        &format!(
            "create_user ada pw\nlogin ada pw\ncreate_group lab\nlist_groups\nlist_files lab\n{share}\nlist_files lab\nwhoami\nlogout\n"
        ),
        expect![""],
    );
    check(&world, "ben", "create_user ben pw\nlogin ben pw\njoin_group lab\nlist_files lab\n", expect![""]);
    check(
        &world,
        "ada",
        "login ada pw\nlist_requests lab\naccept_request lab ben\nlist_requests lab\n",
        expect![""],
    );
}

#[test]
fn refusals_in_plain_lines() {
    let world = World::with_trackers(1);
    check(
        &world,
        "ada",
        "fly away\ncreate_user ada\ncreate_user a/b pw\nlist_groups\n\n# a comment\nlogin ada pw\ncreate_user ada pw\nlogin ada pw\n\
         list_files nowhere\njoin_group nowhere\nupload_file missing.bin nowhere\ncreate_group \"unclosed\n",
        expect![""],
    );
}

/// Compares exit code and the first line of stderr.
#[track_caller]
fn check_start(args: &[&str], folder: &Path, expected: Expect) {
    let output = run(args, "");
    let stderr = String::from_utf8_lossy(&output.stderr).replace(folder.to_str().unwrap(), "DIR");
    expected.assert_eq(&format!("{}exit {}\n", stderr, output.status.code().unwrap()));
}

#[test]
fn bad_tracker_lists() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (bad, empty) =
        (write("bad.txt", "127.0.0.1:7500\nwhat is this line\n"), write("empty.txt", "# nothing\n"));
    let missing = folder.path().join("missing.txt").to_str().unwrap().to_owned();
    check_start(&["tracker", &bad, "1"], folder.path(), expect![""]);
    check_start(&["tracker", &empty, "1"], folder.path(), expect![""]);
    check_start(&["tracker", &missing, "1"], folder.path(), expect![""]);
    let good = write("good.txt", "127.0.0.1:1\n");
    check_start(&["tracker", &good, "2"], folder.path(), expect![""]);
    check_start(&["client", "127.0.0.1:0", &bad], folder.path(), expect![""]);
    check_start(&["client", "nonsense", &good], folder.path(), expect![""]);
}

#[test]
fn no_tracker_is_reachable() {
    let folder = tempfile::tempdir().unwrap();
    let dead = free_addresses(1).unwrap()[0];
    let list = folder.path().join("list.txt");
    fs::write(&list, format!("{dead}\n")).unwrap();
    let data = folder.path().join("data");
    let args = ["client", "127.0.0.1:0", list.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let output = run(&args, "login ada pw\n");
    let stdout = String::from_utf8_lossy(&output.stdout).replace(&dead.to_string(), "ADDRESS");
    expect![""].assert_eq(&stdout);
}

/// Another cluster at the pinned address is refused, and the way out is named.
#[test]
fn a_changed_cluster_is_refused() {
    let world = World::with_trackers(1);
    let impostor = World::with_trackers(1);
    let list = world.path("moved.txt");
    fs::write(&list, format!("{}\n", impostor.tracker_addresses[0])).unwrap();
    fs::copy(world.path("tracker_info.txt.pin"), world.path("moved.txt.pin")).unwrap();
    let data = world.path("data");
    let args = ["client", "127.0.0.1:0", list.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let output = run(&args, "create_user ada pw\n");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("peerage trust"), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(0));
}

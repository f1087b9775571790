//! What a person sees: plain replies from a pipe, usage errors, exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use peerage_drive::free_addresses;

use crate::child;
use crate::world::{PROGRAM, World};

fn run(args: &[&str], input: &str) -> Output {
    child::output(Command::new(PROGRAM).args(args), input)
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
            "create_user ada long-enough\nlogin ada long-enough\ncreate_group lab\nlist_groups\nlist_files lab\n{share}\nlist_files lab\nwhoami\nlogout\n"
        ),
        expect![[r#"
            User created!
            Logged in successfully
            Group created successfully
            lab
            No files in the group at this time
            File shared successfully
            a file.txt
            ada
            Logged out successfully
            hint: nobody else online has [lab] a file.txt: no member can download it until you, or another sharer, are online
            exit 0
        "#]],
    );
    check(
        &world,
        "ben",
        "create_user ben long-enough\nlogin ben long-enough\njoin_group lab\nlist_files lab\n",
        expect![[r#"
            User created!
            Logged in successfully
            Join request sent
            You are not in this group
            hint: your request waits for the owner or an admin, who runs `accept_request lab <user_id>`; `list_groups` shows what has become of it
            exit 1
        "#]],
    );
    check(
        &world,
        "ada",
        "login ada long-enough\nlist_requests lab\naccept_request lab ben\nlist_requests lab\n",
        expect![[r#"
            Logged in successfully
            ben
            User accepted
            No join requests at this time
            exit 0
        "#]],
    );
}

#[test]
fn refusals_in_plain_lines() {
    let world = World::with_trackers(1);
    check(
        &world,
        "ada",
        "fly away\ncreate_user ada\ncreate_user a/b long-enough\nlist_groups\n\n# a comment\nlogin ada long-enough\ncreate_user ada long-enough\nlogin ada long-enough\n\
         list_files nowhere\njoin_group nowhere\nupload_file missing.bin nowhere\ncreate_group \"unclosed\n",
        expect![[r#"
            Unknown command (try help)
            Usage: create_user <user_id> <passwd>
            `a/b` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -
            Please login first
            hint: `login <user_id> <passwd>`
            User does not exist
            hint: create the account first: `create_user ada <passwd>`
            User created!
            Logged in successfully
            No such group
            hint: `list_groups` shows the groups there are
            No such group
            hint: `list_groups` shows the groups there are
            No such group
            hint: `list_groups` shows the groups there are
            Cannot read this line: the quote " is not closed
            exit 1
        "#]],
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
    check_start(
        &["tracker", &bad, "1"],
        folder.path(),
        expect![[r#"
        error: `DIR/bad.txt`, line 2: expected `HOST:PORT`, `HOST PORT` or `HOST PORT SYNCPORT` in `what is this line`
        exit 2
    "#]],
    );
    check_start(
        &["tracker", &empty, "1"],
        folder.path(),
        expect![[r#"
        error: `DIR/empty.txt` names no tracker: write one `HOST:PORT` per line
        exit 2
    "#]],
    );
    check_start(
        &["tracker", &missing, "1"],
        folder.path(),
        expect![[r#"
        error: cannot read the tracker list `DIR/missing.txt`: No such file or directory (os error 2)
        exit 2
    "#]],
    );
    let good = write("good.txt", "127.0.0.1:1\n");
    check_start(
        &["tracker", &good, "2"],
        folder.path(),
        expect![[r#"
        error: the tracker list `DIR/good.txt` has 1 trackers, so there is no number 2; numbers start at 1
        exit 2
    "#]],
    );
    check_start(
        &["client", "127.0.0.1:0", &bad],
        folder.path(),
        expect![[r#"
        error: `DIR/bad.txt`, line 2: expected `HOST:PORT`, `HOST PORT` or `HOST PORT SYNCPORT` in `what is this line`
        hint: each line names a tracker, such as 127.0.0.1:7500
        exit 2
    "#]],
    );
    check_start(
        &["client", "nonsense", &good],
        folder.path(),
        expect![[r#"
        error: cannot listen on `nonsense`: invalid socket address
        hint: HOST:PORT is where this device accepts peers, such as 127.0.0.1:7600
        exit 1
    "#]],
    );
}

#[test]
fn no_tracker_is_reachable() {
    let folder = tempfile::tempdir().unwrap();
    let dead = free_addresses(1).unwrap()[0];
    let list = folder.path().join("list.txt");
    fs::write(&list, format!("{dead}\n")).unwrap();
    let data = folder.path().join("data");
    let args = ["client", "127.0.0.1:0", list.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let output = run(&args, "login ada long-enough\n");
    let stdout = String::from_utf8_lossy(&output.stdout).replace(&dead.to_string(), "ADDRESS");
    expect![[r#"
        No tracker reachable, tried ADDRESS (Connection refused (os error 111))
        hint: start one with `peerage tracker TRACKER_INFO 1`, or check the addresses in the list
    "#]]
    .assert_eq(&stdout);
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
    let output = run(&args, "create_user ada long-enough\n");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("peerage trust"), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(0));
}

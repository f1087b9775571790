//! `peerage get`: several files at once, with bars on a terminal; and Ctrl-C, which ends the waiting only.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use peerage_local::command::Spec;
use peerage_local::http::reply_schema;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::child;
use crate::node::{Node, until};
use crate::world::{PROGRAM, World, arg, assert_same, say, until as asked_until};

/// Ada shares these files of so many bytes in `lab`, and Ben is in it.
fn shared(world: &World, files: &[(&str, usize)]) -> (Node, Node) {
    let (ada, ben) = (Node::up(world, "ada"), Node::up(world, "ben"));
    for (node, name) in [(&ada, "ada"), (&ben, "ben")] {
        node.must(&["create_user", name], &format!("pw-of-{name}\n"));
        node.must(&["login", name], &format!("pw-of-{name}\n"));
    }
    ada.must(&["create_group", "lab"], "");
    ben.must(&["join_group", "lab"], "");
    ada.must(&["accept_request", "lab", "ben"], "");
    for (name, bytes) in files {
        ada.must(&["share", world.file(name, *bytes).to_str().unwrap(), "lab"], "");
    }
    until(|| ben.must(&["list_files", "lab"], "").lines().count() == files.len());
    (ada, ben)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// What is refused keeps none of the others; but a word that is no file of the group keeps all.
#[test]
fn several_files_go_to_one_folder() {
    let world = World::with_trackers(1);
    let files = [
        ("a.bin", 400_000),
        ("b b.bin", 300_000),
        ("c.bin", 200_000),
        ("d.bin", 100_000),
        ("e.bin", 1),
        ("f.bin", 9),
    ];
    let (_ada, ben) = shared(&world, &files);
    let to = world.folder("to");
    let place = to.to_str().unwrap();
    ben.must(&["get", "lab", "f.bin", place, "--wait"], "");
    let output = ben.call(&["get", "lab", "a.bin", "f.bin", "b b.bin", place, "--wait"], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(output.stdout);
    let (started, complete) = said.split_at(said.find("Download complete").unwrap());
    assert_eq!(started, "Download started: a.bin\nDownload started: b b.bin\n");
    let mut complete: Vec<&str> = complete.lines().collect();
    complete.sort_unstable();
    assert_eq!(complete, ["Download complete: a.bin", "Download complete: b b.bin"]);
    let said = text(output.stderr);
    assert!(said.starts_with("error: f.bin: You already share this file"), "{said}");
    assert!(!said.contains('['), "bars are for terminals: {said}");

    // For programs: an object each, in the order of the names.
    let said = ben.must(&["get", "lab", "d.bin", "c.bin", place, "--wait", "--json"], "");
    let objects: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let commands: Vec<&str> = objects.iter().map(|object| object["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["download_file", "download_file", "wait", "wait"]);
    for object in &objects {
        let schema = reply_schema(Spec::find(object["command"].as_str().unwrap()).unwrap());
        let valid = jsonschema::validate(&schema, object);
        assert!(valid.is_ok() && object["ok"] == true, "{object}: {valid:?}");
    }
    let place_of = |name: &str| fs::canonicalize(&to).unwrap().join(name).to_str().unwrap().to_owned();
    assert_eq!(objects[1]["items"][0]["name"], "c.bin");
    assert_eq!(objects[1]["items"][0]["path"], place_of("c.bin"));
    for name in ["a.bin", "b b.bin", "c.bin", "d.bin"] {
        assert_same(&world.path(name), &to.join(name));
    }

    // Without a place, to where one is.
    let here = world.folder("here");
    let mut command = ben.command(&["get", "lab", "e.bin", "--wait"]);
    let output = child::output(command.current_dir(&here), "");
    assert!(output.status.success(), "{output:?}");
    assert_same(&world.path("e.bin"), &here.join("e.bin"));
    // A folder that is not there is no file name for several.
    let output = ben.call(&["get", "lab", "a.bin", "c.bin", &format!("{place}/not-there")], "");
    assert!(!output.status.success() && !to.join("not-there").exists(), "{output:?}");
}

/// A folder without a slash is taken for a file's name: then nothing at all happens, whatever lies there.
#[test]
fn a_word_that_is_no_file_starts_nothing() {
    let world = World::with_trackers(1);
    let (_ada, ben) = shared(&world, &[("a.bin", 1_000), ("b.bin", 1_000)]);
    let here = world.folder("here");
    world.folder("here/backup");
    fs::write(here.join("a.bin"), "of mine").unwrap();
    let get = |words: &[&str]| {
        let mut command = ben.command(&[&["get", "lab"], words].concat());
        let output = child::output(command.current_dir(&here), "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        (text(output.stdout), text(output.stderr))
    };
    let nothing = "`backup` is no file of the group: nothing was started";
    let hint = "`./backup` for a folder; `peerage list_files lab` shows what there is";
    let said = get(&["a.bin", "backup", "--into-existing", "--wait"]);
    assert_eq!(said, (String::new(), format!("error: {nothing}\nhint: {hint}\n")));
    let (said, _) = get(&["a.bin", "b.bin", "backup/", "--json"]);
    let object: Value = serde_json::from_str(&said).unwrap();
    let schema = reply_schema(Spec::find("download_file").unwrap());
    assert!(jsonschema::validate(&schema, &object).is_ok(), "{object}");
    assert_eq!((&object["command"], &object["error"]), (&"download_file".into(), &nothing.into()));
    let (_, said) = get(&["x.bin", "backup", "a.bin"]);
    let both = "error: `x.bin`, `backup` are no files of the group: nothing was started\n\
                hint: `peerage list_files lab` shows what there is\n";
    assert_eq!(said, both);
    assert_eq!(ben.must(&["show_downloads"], ""), "No downloads at this time\n");
    assert_eq!(fs::read_to_string(here.join("a.bin")).unwrap(), "of mine");

    let mut command = ben.command(&["get", "lab", "a.bin", "./backup", "--wait"]);
    assert!(child::output(command.current_dir(&here), "").status.success());
    assert_same(&world.path("a.bin"), &here.join("backup/a.bin"));
}

/// In the shell, with one reply for all.
#[test]
fn the_shell_takes_several_too() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let names = ["a.bin", "b b.bin"];
    for name in ["a.bin", "b b.bin", "c.bin"] {
        say(
            &mut ada,
            &format!("upload_file {} lab", arg(&world.file(name, 100_000))),
            "File shared successfully",
        );
    }
    asked_until(&mut ben, "list_files lab", "all are listed", |r| r.items().len() == 3);
    let to = world.folder("to");
    say(&mut ben, &format!("get lab a.bin \"b b.bin\" {}", arg(&to)), "2 downloads started");
    ben.must("wait --timeout 60").unwrap();
    for name in names {
        assert_same(&world.path(name), &to.join(name));
    }
    let reply = ben.ask(&format!("get lab a.bin \"b b.bin\" {}", arg(&to))).unwrap();
    let said = reply.text();
    assert!(said.starts_with("0 of 2 downloads started; a.bin: You already share this file"), "{said}");
    assert!(said.contains("\"b b.bin\": "), "{said}");
    let refused = say(&mut ben, "get lab c.bin to", "`to` is no file of the group: nothing was started");
    assert_eq!(refused.json["hint"], "`./to` for a folder; `list_files lab` shows what there is");
    assert_eq!(ben.must("show_downloads").unwrap().items().len(), 2);
}

/// Bars for both, with rate, peers and the time that is left.
#[test]
fn a_terminal_shows_bars() {
    let script = |command: &str| {
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", command, "/dev/null"]).env("TERM", "xterm");
        script
    };
    let possible = script("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("skipped: no program `script` that makes a terminal; nothing was checked");
        return;
    }
    let world = World::with_trackers(1);
    let long = format!("{} end.bin", "a long name ".repeat(9));
    let (ada, ben) = shared(&world, &[("a.bin", 1_500_000), (&long, 1_500_000), ("other.bin", 1_500_000)]);
    ada.must(&["set_limits", "--up", "1M"], "");
    let to = world.folder("to");
    // Is not asked for here, so it is not drawn.
    ben.must(&["get", "lab", "other.bin", to.to_str().unwrap()], "");
    let line = format!(
        "'{PROGRAM}' get lab a.bin '{long}' '{}' --wait --data '{}'",
        to.display(),
        ben.data().display()
    );
    let output = child::output(&mut script(&line), "");
    let drawn = text(output.stdout);
    assert!(output.status.success(), "{drawn}");
    // Each fills a line of 80 characters.
    for name in ["a.bin ", "… a long name  end.bin "] {
        let bar = |behind: &str| {
            let bar: String = behind.chars().take(80 - name.chars().count()).collect();
            bar.contains("% ") && bar.contains("/s, 1 peer, ") && bar.contains(" s left")
        };
        assert!(drawn.split(name).skip(1).any(bar), "{name} is not drawn: {drawn:?}");
    }
    assert!(!drawn.contains("other.bin"), "{drawn:?}");
    for name in ["a.bin", &long] {
        assert!(drawn.contains(&format!("Download complete: {name}")), "{drawn:?}");
        assert_same(&world.path(name), &to.join(name));
    }
    let line = format!("'{PROGRAM}' scrub lab a.bin --data '{}'", ben.data().display());
    let output = child::output(&mut script(&line), "");
    let drawn = text(output.stdout);
    assert!(drawn.contains("looking through a.bin [") && drawn.contains("Nothing damaged in "), "{drawn:?}");
}

/// The node goes on with what it was asked for.
#[test]
fn ctrl_c_ends_the_waiting_only() {
    let world = World::with_trackers(1);
    let (ada, ben) = shared(&world, &[("a.bin", 3_000_000), ("b.bin", 3_000_000), ("c.bin", 3_000_000)]);
    ada.must(&["set_limits", "--up", "64K"], "");
    let to = world.folder("to");
    let place = to.to_str().unwrap();
    interrupted(&ben, &["get", "lab", "a.bin", "b.bin", place, "--wait"], "Download started: b.bin\n");
    let downloads = || -> Vec<Value> {
        let said = ben.must(&["show_downloads", "--json"], "");
        serde_json::from_str::<Value>(&said).unwrap()["items"].as_array().unwrap().clone()
    };
    assert!(downloads().iter().all(|download| download["state"] == "D") && downloads().len() == 2);
    interrupted(&ben, &["get", "lab", "c.bin", place, "--wait", "--json"], "\"ok\":true");
    ada.must(&["set_limits", "--up", "none"], "");
    ben.must(&["wait"], "");
    for name in ["a.bin", "b.bin", "c.bin"] {
        assert_same(&world.path(name), &to.join(name));
    }
}

/// Runs it until it has said this on standard output, then sends what Ctrl-C does.
#[track_caller]
fn interrupted(node: &Node, args: &[&str], until_said: &str) {
    let mut command = node.command(args);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains(until_said) {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{args:?} said `{said}` and ended");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child::ended(&mut child, "`peerage get` after Ctrl-C");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(status.code(), Some(130), "{errors}");
    assert!(errors.contains("no longer waiting; downloads go on in the node"), "{errors}");
}

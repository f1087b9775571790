//! `peerage demo` from outside.

use std::process::{Command, Stdio};

use crate::child;
use crate::world::{PROGRAM, World};

/// A small file, all copies identical, nothing left behind.
#[test]
fn copies_are_identical_and_nothing_stays() {
    let world = World::with_trackers(0);
    let file = world.file("tape.bin", 24 * 1024 * 1024);
    let scratch = world.folder("scratch");
    let output = child::output(Command::new(PROGRAM).arg("demo").arg(&file).env("TMPDIR", &scratch), "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout.matches("… identical").count(), 3, "{stdout}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "the demo left files behind");
}

/// SIGINT in the middle: the processes and the folder are gone when the demo is.
#[test]
fn an_interrupt_cleans_up() {
    let world = World::with_trackers(0);
    let scratch = world.folder("scratch");
    let mut demo = Command::new(PROGRAM);
    demo.arg("demo")
        .env("TMPDIR", &scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    // The first line comes when the trackers run.
    let line = child::first_line(&mut demo, "the demo");
    assert!(line.contains("trackers"), "{line}");
    let children = children_of(demo.id());
    assert!(children.len() >= 2, "{children:?}");
    Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert_eq!(child::ended(&mut demo, "the demo after SIGINT").code(), Some(1));
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "the demo left files behind");
    for child in children {
        assert!(!std::path::Path::new(&format!("/proc/{child}")).exists(), "process {child} is still there");
    }
}

/// A path that cannot be shared is one line and exit code 1.
#[test]
fn a_missing_path_is_named() {
    let output = child::output(Command::new(PROGRAM).args(["demo", "no-such-file"]), "");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("no-such-file"), "{stderr}");
}

fn children_of(pid: u32) -> Vec<String> {
    let output = Command::new("ps").args(["-o", "pid=", "--ppid", &pid.to_string()]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

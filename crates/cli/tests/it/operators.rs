//! What operators do: keys from machine to machine.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};

use crate::world::{PROGRAM, World};

/// Runs the program to its end.
pub fn peerage(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments does not read.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
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

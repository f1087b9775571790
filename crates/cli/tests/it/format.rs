//! The format of a node's data folder, from outside: said, looked at before anything else, copied when it is older.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use peerage_drive::ClientOptions;

use crate::child;
use crate::world::{PROGRAM, World, say};

/// All files below a folder, with what is in them.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

/// What a command of the node says when it refuses, on its first line.
#[track_caller]
fn refused(args: &[&str], options: &ClientOptions) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(args).arg("--data").arg(&options.data).env("PEERAGE_TRACKERS", &options.list);
    let output = child::output(command.env("PEERAGE_LISTEN", options.listen.to_string()), "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    said.lines().next().unwrap().to_owned()
}

#[test]
fn another_format_is_refused_in_one_line() {
    let mut world = World::with_trackers(1);
    drop(world.member("ada"));
    let options = world.options("ada");
    let marker = options.data.join("format");
    assert_eq!(fs::read_to_string(&marker).unwrap(), "peerage data 1\n");

    let listen = options.listen.to_string();
    let list = options.list.to_str().unwrap();
    let commands: [&[&str]; 4] =
        [&["up", "--no-open"], &["client", &listen, list], &["trust", list], &["doctor"]];
    let shown = options.data.display();
    for (says, expected) in [
        (
            "peerage data 2\n",
            format!(
                "the data folder `{shown}` was made by a newer Peerage (format 2), this one knows 1; update the program"
            ),
        ),
        (
            "peerage",
            format!(
                "`{shown}/format` does not say `peerage data N`; if it was `peerage data 1`, delete the file"
            ),
        ),
    ] {
        fs::write(&marker, says).unwrap();
        let before = files(&options.data);
        for command in commands {
            let said = refused(command, &options);
            assert!(said.contains(&expected), "{command:?} said: {said}");
        }
        assert!(before == files(&options.data), "something was touched");
    }

    fs::write(&marker, "peerage data 0\n").unwrap();
    let before = files(&options.data);
    let copy = options.data.join("backups/format-0");
    for _ in 0..2 {
        let said = refused(&["up", "--no-open"], &options);
        assert!(
            said.contains("an older Peerage (format 0)") && said.contains(copy.to_str().unwrap()),
            "{said}"
        );
    }
    let copied = files(&copy);
    assert!(copied.keys().any(|path| path.ends_with("device")), "the key is copied: {:?}", copied.keys());
    for (path, content) in copied {
        let original = options.data.join(path.strip_prefix(&copy).unwrap());
        assert!(before[&original] == content, "{}", path.display());
    }
    let same = before.iter().all(|(path, content)| fs::read(path).is_ok_and(|now| now == *content));
    assert!(same, "something was changed");
    assert_eq!(fs::read_dir(options.data.join("backups")).unwrap().count(), 1, "one copy for all refusals");

    // From before there was a format.
    fs::remove_file(&marker).unwrap();
    let mut ada = world.client("ada");
    say(&mut ada, "login ada pw-ada", "Logged in successfully");
    assert_eq!(fs::read_to_string(&marker).unwrap(), "peerage data 1\n");
}

//! `peerage doctor`: each finding that can be provoked on any machine is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::child;
use crate::world::{PROGRAM, World};

fn doctor(data: &Path, list: Option<&Path>, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["doctor", "--data"]).arg(data).args(more).env_remove("PEERAGE_TRACKERS");
    if let Some(list) = list {
        command.arg("--trackers").arg(list);
    }
    child::output(&mut command, "")
}

/// The checks that found something, and what to do about each.
#[track_caller]
fn bad(data: &Path, list: Option<&Path>) -> Vec<(String, String)> {
    let output = doctor(data, list, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    assert_eq!(output.status.code(), Some(i32::from(report["ok"] == false)), "{report}");
    let findings = report["findings"].as_array().unwrap();
    let bad = findings.iter().filter(|finding| finding["ok"] == false);
    bad.map(|finding| {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        assert!(text("what").ends_with('.'), "{finding}");
        (text("check"), text("fix"))
    })
    .collect()
}

fn beside(list: &Path) -> PathBuf {
    PathBuf::from(format!("{}.pin", list.display()))
}

#[test]
fn all_is_well() {
    let world = World::with_trackers(1);
    let data = world.path("well");
    let output = doctor(&data, Some(&world.list), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.ends_with("All is well\n"), "{said}");
    assert!(said.contains(&format!("{} answers", world.tracker_addresses[0])), "{said}");
    assert!(said.contains("sees this machine at 127.0.0.1:"), "{said}");
}

#[test]
fn each_finding_has_a_fix() {
    let mut world = World::with_trackers(1);
    let data = world.path("data");
    let no_list = bad(&data, None);
    assert!(no_list[0].0 == "list" && no_list[0].1.contains("peerage up INVITE"), "{no_list:?}");
    fs::write(data.join("node.toml"), "trakers = 1").unwrap();
    assert_eq!(bad(&data, None)[0].0, "list");
    fs::remove_file(data.join("node.toml")).unwrap();
    let missing = bad(&data, Some(&world.path("missing.txt")));
    assert!(missing[0].0 == "list" && missing[0].1.contains("missing.txt"), "{missing:?}");

    assert_eq!(bad(&data, Some(&world.list)), []);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        let open = bad(&data, Some(&world.list));
        assert!(open.len() == 1 && open[0].0 == "permissions", "{open:?}");
        let fixed = Command::new("sh").args(["-c", &open[0].1]).status().unwrap();
        assert!(fixed.success() && bad(&data, Some(&world.list)).is_empty(), "the fix works as it stands");
    }

    let other = World::with_trackers(1);
    let right = fs::read(beside(&world.list)).unwrap();
    fs::copy(beside(&other.list), beside(&world.list)).unwrap();
    let pin = bad(&data, Some(&world.list));
    assert!(pin.len() == 1 && pin[0].0 == "pin" && pin[0].1.contains("peerage trust"), "{pin:?}");
    fs::write(beside(&world.list), right).unwrap();
    assert_eq!(bad(&data, Some(&world.list)), []);

    world.trackers.clear();
    let down = bad(&data, Some(&world.list));
    assert!(down.len() == 1 && down[0].0 == "tracker", "{down:?}");
}

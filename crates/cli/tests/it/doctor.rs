//! `peerage doctor`: each finding that can be provoked on any machine is.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use peerage_drive::{Proxy, free_addresses};
use serde_json::Value;

use crate::child;
use crate::node::Node;
use crate::world::{PROGRAM, World};

fn doctor(data: &Path, list: Option<&Path>, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["doctor", "--data"]).arg(data).args(more).env_remove("PEERAGE_TRACKERS");
    if let Some(list) = list {
        command.arg("--trackers").arg(list);
    }
    child::output(&mut command, "")
}

/// What was looked at: check, level, sentence and fix.
#[track_caller]
fn findings(data: &Path, list: Option<&Path>) -> Vec<[String; 4]> {
    let output = doctor(data, list, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    assert_eq!(output.status.code(), Some(i32::from(report["ok"] == false)), "{report}");
    let findings = report["findings"].as_array().unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let all = findings.iter().map(|finding| {
        let all = ["check", "level", "what", "fix"].map(|name| text(finding, name));
        assert!(all[2].ends_with('.') && (all[1] == "well" || !all[3].is_empty()), "{finding}");
        assert_eq!(finding["ok"] == false, all[1] == "bad", "{finding}");
        all
    });
    all.collect()
}

/// The checks that found something bad, and what to do about each.
#[track_caller]
fn bad(data: &Path, list: Option<&Path>) -> Vec<(String, String)> {
    let bad = findings(data, list).into_iter().filter(|[_, level, ..]| level == "bad");
    bad.map(|[check, _, _, fix]| (check, fix)).collect()
}

/// The only finding of a check.
#[track_caller]
fn only(data: &Path, list: Option<&Path>, check: &str) -> [String; 3] {
    let found: Vec<_> = findings(data, list).into_iter().filter(|[name, ..]| name == check).collect();
    let [[_, level, what, fix]] = &found[..] else { panic!("{found:?}") };
    [level, what, fix].map(String::clone)
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

#[test]
fn one_dead_tracker_of_several_is_a_warning() {
    let mut world = World::with_trackers(3);
    let data = world.path("data");
    drop(world.trackers.remove(1));
    let warnings = findings(&data, Some(&world.list)).into_iter().filter(|[_, level, ..]| level == "warning");
    let [[check, _, what, fix]] = &warnings.collect::<Vec<_>>()[..] else { panic!("one warning") };
    assert!(
        check == "tracker" && what.starts_with("Tracker 2 of 3 does not answer; everything works"),
        "{what}"
    );
    assert!(fix.contains("delete its line"), "{fix}");
    let said = doctor(&data, Some(&world.list), &[]);
    assert!(
        said.status.success() && said.stdout.ends_with(b"Everything works, with 1 warning\n"),
        "{said:?}"
    );

    world.trackers.clear();
    let down: Vec<String> = bad(&data, Some(&world.list)).into_iter().map(|(check, _)| check).collect();
    assert_eq!(down, ["tracker"; 3]);
}

#[test]
fn the_port_is_tried_by_a_tracker() {
    let world = World::with_trackers(1);
    let (list, data) = (Some(world.list.as_path()), world.path("ada-data"));
    let password = world.path("password");
    fs::write(&password, "a-long-password\n").unwrap();
    let password = password.to_str().unwrap();
    let up = |more: &[&str]| {
        let usual = ["--trackers", world.list.to_str().unwrap(), "--password-file", password];
        let node = Node::start(&world, "ada", &[&usual, more].concat());
        crate::node::until(|| node.call(&["whoami"], "").status.success());
        node
    };
    let node = Node::up(&world, "ada");
    let [level, what, fix] = only(&data, list, "port");
    assert!(
        level == "skipped" && what.contains("nobody is logged in") && fix.contains("peerage login"),
        "{what}"
    );
    drop(node);
    let [level, what, fix] = only(&data, list, "port");
    assert!(level == "skipped" && what.contains("no node runs") && fix.contains("peerage up"), "{what}");

    let node = up(&["--new-user", "ada"]);
    let [level, what, fix] = only(&data, list, "port");
    assert!(level == "well" && what.contains("can connect to this device at 127.0.0.1:"), "{what}");
    assert!(fix.contains("on this machine"), "{fix}");
    drop(node);

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let places = [
        (free_addresses(1).unwrap()[0], "refused", "was refused at", "firewall"),
        (silent.local_addr().unwrap(), "silent", "got no answer at", "firewall"),
        (world.tracker_addresses[0], "other", "Something else than this device answers", "--announce"),
    ];
    for (place, reach, said, way_out) in places {
        let node = up(&["--user", "ada", "--announce", &place.to_string()]);
        let [level, what, fix] = only(&data, list, "port");
        assert!(level == "bad" && what.contains(said) && what.contains(&place.to_string()), "{what}");
        assert!(fix.contains(way_out), "{fix}");
        // A tracker is asked five times at once and no more.
        if reach == "refused" {
            let item = &node.json(&["check_port"], "")["items"][0];
            assert_eq!((&item["reach"], &item["port"]), (&reach.into(), &place.port().into()));
        }
    }
}

/// 1,000: even the usual TLS greeting is lost, and with it all of Peerage. 2,500: only what comes later.
#[test]
fn a_path_that_swallows_large_packets_is_found() {
    let world = World::with_trackers(1);
    let data = world.path("data");
    let proxy = Proxy::start(world.tracker_addresses[0]).unwrap();
    let list = world.path("behind.txt");
    fs::write(&list, format!("{}\n", proxy.address())).unwrap();
    fs::copy(beside(&world.list), beside(&list)).unwrap();
    assert_eq!(only(&data, Some(&list), "mtu")[0], "well");
    for piece_bytes_max in [2_500, 1_000] {
        proxy.swallow_above(piece_bytes_max);
        let found = bad(&data, Some(&list));
        assert!(found.len() == 1 && found[0].0 == "mtu" && found[0].1.contains("1280"), "{found:?}");
    }
    // What swallows everything is no matter of size.
    proxy.swallow_above(0);
    let found = bad(&data, Some(&list));
    assert!(found.len() == 1 && found[0].0 == "tracker", "{found:?}");
}

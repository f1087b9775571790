//! Completions, man pages and systemd units.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use peerage_local::command::SPECS;

use crate::child;
use crate::world::PROGRAM;

fn run(program: &str, args: &[&str]) -> Output {
    child::output(Command::new(program).args(args).env("LC_ALL", "C"), "")
}

fn script(shell: &str) -> String {
    let output = run(PROGRAM, &["completions", shell]);
    assert!(output.status.success(), "{shell}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers for the last of these words.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let line = format!(
        "set -eu; source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _peerage peerage '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let output = run("bash", &["--norc", "-c", &line]);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peerage.bash");
    fs::write(&path, script("bash")).unwrap();
    let checked = run("bash", &["-n", path.to_str().unwrap()]);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    assert_eq!(offered(&path, &["peerage", "create_g"]), ["create_group"]);
    assert_eq!(offered(&path, &["peerage", "cluster", "st"]), ["status"]);
    assert_eq!(offered(&path, &["peerage", "download_file", "--into"]), ["--into-existing"]);
}

#[test]
fn every_shell_knows_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = script(shell);
        for spec in SPECS.iter().filter(|spec| spec.is_remote()) {
            assert!(script.contains(spec.name), "{shell} does not know `{}`", spec.name);
        }
    }
    let output = run(PROGRAM, &["completions", "tcsh"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("possible values: bash"), "{error}");
}

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let output = run(PROGRAM, &["man", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let ours = ["peerage", "peerage-up", "peerage-cluster-key-export", "peerage-get", "peerage-completions"];
    let table = SPECS.iter().filter(|spec| spec.is_remote()).map(|spec| format!("peerage-{}", spec.name));
    let has_man = Command::new("man").arg("--version").output().is_ok_and(|output| output.status.success());
    for name in ours.iter().map(|&name| name.to_owned()).chain(table) {
        let path = pages.join(format!("{name}.1"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(text.contains(part), "{name} has no `{part}`");
        }
        if has_man && ours.contains(&&*name) {
            let shown =
                run("man", &["--warnings=w", "-E", "UTF-8", "-P", "cat", "-l", path.to_str().unwrap()]);
            assert!(shown.status.success() && shown.stderr.is_empty(), "{name}: {shown:?}");
        }
    }
    if !has_man {
        eprintln!("skipped: man is not installed, so the pages were looked at, not shown");
    }
}

/// `cargo xtask dist` makes the packages and looks through them; that takes a release build.
#[test]
fn packages_are_of_this_version_and_hold_every_unit() {
    let manifest = include_str!("../../Cargo.toml");
    let package: toml::Table = manifest.parse().unwrap();
    let node = package["package"]["metadata"]["deb"].as_table().unwrap();
    let tracker = node["variants"]["tracker"].as_table().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(tracker["depends"].as_str(), Some(&*format!("peerage (= {version})")));
    let assets = [node, tracker].into_iter().flat_map(|of| of["assets"].as_array().unwrap());
    let sources: Vec<&str> = assets.map(|asset| asset[0].as_str().unwrap()).collect();
    for unit in ["peerage.service", "user/peerage.service", "peerage-tracker@.service"] {
        assert!(sources.contains(&&*format!("../../packaging/{unit}")), "{unit}: {sources:?}");
    }
}

/// The units as they are, but for the program, which is not installed here.
fn units(folder: &Path) -> Vec<(PathBuf, bool)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let all = [
        ("peerage-tracker@.service", "peerage-tracker@1.service", false),
        ("peerage.service", "peerage.service", false),
        ("user/peerage.service", "user/peerage.service", true),
    ];
    fs::create_dir_all(folder.join("user")).unwrap();
    all.map(|(from, to, user)| {
        let text = fs::read_to_string(source.join(from)).unwrap();
        let text = text.replace("/usr/bin/peerage", PROGRAM).replace("Documentation=man:", "#");
        let path = folder.join(to);
        fs::write(&path, text).unwrap();
        (path, user)
    })
    .to_vec()
}

/// What a package's script asks of systemd, which refuses all of it, on a machine that runs systemd or does not.
fn asked(script: &str, package: &str, because: &str, is_booted: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (booted, log) = (folder.path().join("booted"), folder.path().join("log"));
    if is_booted {
        fs::create_dir(&booted).unwrap();
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/debian").join(script);
    let text = fs::read_to_string(source).unwrap();
    assert!(text.contains("/run/systemd/system"), "{text}");
    let text = text.replace("/run/systemd/system", booted.to_str().unwrap());
    let refuses = format!("systemctl() {{ echo \"$*\" >>'{}'; return 1; }}\n{text}", log.display());
    let mut command = Command::new("sh");
    command.args(["-c", &refuses, script, because]).env("DPKG_MAINTAINER_SCRIPT_PACKAGE", package);
    let output = child::output(&mut command, "");
    assert!(output.status.success(), "{script} {because}: {output:?}");
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_removed_package_stops_and_disables_its_units() {
    let (node, tracker) = ("peerage", "peerage-tracker");
    let check = |script, package, because, is_booted, expected: &[&str]| {
        assert_eq!(asked(script, package, because, is_booted), expected, "{package}: {script} {because}");
    };
    for package in [node, tracker] {
        check("postinst", package, "configure", true, &["daemon-reload"]);
        check("postinst", package, "configure", false, &[]);
        check("prerm", package, "upgrade", true, &[]);
        check("postrm", package, "remove", true, &["daemon-reload"]);
        check("postrm", package, "remove", false, &[]);
        check("postrm", package, "upgrade", true, &[]);
    }
    check("prerm", node, "remove", true, &["stop peerage.service", "disable peerage.service"]);
    let all = ["stop peerage-tracker@*.service", "disable peerage-tracker@.service"];
    check("prerm", tracker, "remove", true, &all);
    check("prerm", tracker, "remove", false, &all[1..]);
}

/// As `prerm` asks for it.
#[test]
fn disabling_the_template_disables_every_tracker() {
    if Command::new("systemctl").arg("--version").output().is_err() {
        return eprintln!("skipped: systemctl is not installed (Debian package `systemd`)");
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("usr/lib/systemd/system/peerage-tracker@.service");
    fs::create_dir_all(unit.parent().unwrap()).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/peerage-tracker@.service");
    fs::copy(source, unit).unwrap();
    let root = format!("--root={}", folder.path().display());
    let enabled = || {
        let wants = folder.path().join("etc/systemd/system/multi-user.target.wants");
        fs::read_dir(wants).map_or(0, Iterator::count)
    };
    for (args, left) in [
        (&["enable", "peerage-tracker@1", "peerage-tracker@2"][..], 2),
        (&["disable", "peerage-tracker@.service"][..], 0),
    ] {
        let output = run("systemctl", &[&[&*root][..], args].concat());
        assert!(output.status.success() && enabled() == left, "{args:?}: {output:?}");
    }
}

#[test]
fn systemd_accepts_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return eprintln!("skipped: systemd-analyze is not installed (Debian package `systemd`)");
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, user) in units(folder.path()) {
        let path = path.to_str().unwrap();
        let mut args = vec!["verify", "--man=no", "--recursive-errors=no"];
        args.extend(user.then_some("--user"));
        args.push(path);
        let mut verify = Command::new("systemd-analyze");
        let checked = child::output(verify.args(&args).env("XDG_RUNTIME_DIR", folder.path()), "");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && !said.contains("peerage"), "{path}: {said}");
        if !user {
            // From 0, sealed off, to 100: systemd's own services are mostly beyond 80.
            let security = ["security", "--offline=yes", "--threshold=20", "--no-pager", path];
            let checked = run("systemd-analyze", &security);
            assert!(checked.status.success(), "{path}: {}", String::from_utf8_lossy(&checked.stdout));
        }
    }
}

//! Debian packages that some tests need. Without them those tests say that they were skipped, and why.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process;

/// A program that tests use, and the package that holds it.
pub struct Package {
    pub program: &'static str,
    pub probe: &'static str,
    pub package: &'static str,
    pub why: &'static str,
}

/// What is asked for its opinion of the page.
const AXE: &str = "axe-core@4.14.1";

/// What `cargo xtask test` wants to have.
pub const FOR_TESTS: [Package; 5] = [
    Package {
        program: "tcpdump",
        probe: "--version",
        package: "tcpdump",
        why: "the capture test, which shows that nothing readable crosses a socket",
    },
    Package {
        program: "strace",
        probe: "--version",
        package: "strace",
        why: "the trace tests, which show that a write is on the disk before it is acknowledged",
    },
    Package {
        program: "systemd-analyze",
        probe: "--version",
        package: "systemd",
        why: "the check of the systemd units",
    },
    Package {
        program: "chromium",
        probe: "--version",
        package: "chromium",
        why: "the tests of the page in a browser",
    },
    Package {
        program: "chromedriver",
        probe: "--version",
        package: "chromium-driver",
        why: "the tests of the page in a browser",
    },
];

/// Installs what is missing, with apt-get as root or through sudo. Returns one line for each thing that stays
/// missing.
pub fn install(packages: &[Package]) -> Vec<String> {
    let missing: Vec<&Package> = packages.iter().filter(|p| !process::exists(p.program, p.probe)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = missing.iter().map(|p| p.package).collect();
    println!("xtask: installing {}", names.join(" "));
    // An index that is there may be enough, and updating it costs a minute: try without first.
    if !apt_get(&[&["install", "-y", "--no-install-recommends"][..], &names].concat()) {
        apt_get(&["update"]);
        apt_get(&[&["install", "-y", "--no-install-recommends"][..], &names].concat());
    }
    missing
        .into_iter()
        .filter(|p| !process::exists(p.program, p.probe))
        .map(|p| format!("{} (install the Debian package `{}`)", p.why, p.package))
        .collect()
}

/// Puts axe-core into the target folder, which then looks at the page's views beside our own scan. Returns what stays
/// unchecked without it.
pub fn axe() -> Option<String> {
    let folder = process::root().join("target/axe");
    if !folder.join("node_modules/axe-core").exists() {
        println!("xtask: installing axe-core into target/axe");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        npm.arg(&folder).arg(AXE).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !npm.status().is_ok_and(|status| status.success()) {
            return Some("axe-core's opinion of the page (npm is missing, or its registry)".to_owned());
        }
    }
    None
}

fn apt_get(args: &[&str]) -> bool {
    if !Path::new("/usr/bin/apt-get").exists() {
        return false;
    }
    let mut command = Command::new(if is_root() { "apt-get" } else { "sudo" });
    if !is_root() {
        command.args(["-n", "apt-get"]);
    }
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

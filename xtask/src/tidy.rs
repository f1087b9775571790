//! What neither rustc nor clippy checks.
//!
//! * the dependency arrows between our crates, from `cargo metadata`;
//! * no I/O crate below a sans-IO crate;
//! * file lengths;
//! * left-overs: ignored tests, sleeping tests, `todo!`, paths of one machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::process;

/// Who may import whom, transitively closed by hand: a crate lists every one of ours that it may name.
/// `cargo xtask tidy` fails on an arrow that is not here.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("bencode", &[]),
    ("metainfo", &["types", "bencode"]),
    ("wire", &["types", "bencode"]),
    ("ledger", &["types"]),
    ("replica", &["types", "ledger"]),
    ("swarm", &["types", "wire"]),
    ("store", &["types", "ledger", "replica"]),
    ("link", &["types", "ledger", "replica"]),
    ("tracker", &["types", "ledger", "replica", "store", "link", "metainfo"]),
    ("node", &["types", "metainfo", "wire", "ledger", "replica", "swarm", "link"]),
    ("drive", &[]),
    ("local", &["types", "node"]),
    ("sim", &["types", "ledger", "replica", "swarm", "wire"]),
    ("cli", &["types", "metainfo", "link", "tracker", "node", "local", "drive"]),
];

/// Crates whose behaviour depends on nothing but their inputs.
const SANS_IO: &[&str] = &["types", "bencode", "wire", "ledger", "replica", "swarm", "sim"];

/// Crates that bring sockets, files, clocks or randomness.
const IO_CRATES: &[&str] =
    &["tokio", "hyper", "axum", "rusqlite", "rustls", "getrandom", "rand", "socket2", "mio", "tracing"];

/// What a sans-IO source line must not name. `std::path` is fine: it computes, it does not open.
const IO_WORDS: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "std::env",
    "std::process",
];

/// Longest source file, in lines, tests included.
const FILE_LINES_MAX: usize = 800;

/// Runs all checks and reports every finding, not just the first.
pub fn run() -> Result<()> {
    let mut findings = arrows()?;
    for path in tracked_files()? {
        if let Ok(text) = fs::read_to_string(process::root().join(&path)) {
            findings.extend(file(&path, &text));
        }
    }
    match findings.is_empty() {
        true => Ok(()),
        false => bail!("{} finding(s):\n  {}", findings.len(), findings.join("\n  ")),
    }
}

fn arrows() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .cargo_path(env!("CARGO"))
        .current_dir(process::root())
        .no_deps()
        .exec()
        .context("cargo metadata")?;
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, to)| (*name, to.iter().copied().collect())).collect();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let Some(name) = package.name.strip_prefix("peerage-") else { continue };
        let Some(allowed) = allowed.get(name) else {
            findings.push(format!("crate `{name}` has no row in xtask/src/tidy.rs"));
            continue;
        };
        for dependency in &package.dependencies {
            // Development dependencies may reach further, but never across the sans-IO line.
            let development = dependency.kind == DependencyKind::Development;
            match dependency.name.strip_prefix("peerage-") {
                Some(to) if !allowed.contains(to) && !development => {
                    findings.push(format!("`{name}` must not depend on `{to}`"));
                }
                None if SANS_IO.contains(&name) && IO_CRATES.contains(&dependency.name.as_str()) => {
                    findings.push(format!("sans-IO crate `{name}` must not depend on `{}`", dependency.name));
                }
                _ => {}
            }
        }
    }
    Ok(findings)
}

fn tracked_files() -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(process::root())
        .output()
        .context("git ls-files")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect())
}

fn file(path: &Path, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut report = |line: usize, what: &str| findings.push(format!("{}:{line}: {what}", path.display()));
    let source = path.extension().is_some_and(|e| e == "rs");
    if source && text.lines().count() > FILE_LINES_MAX {
        report(text.lines().count(), &format!("longer than {FILE_LINES_MAX} lines: split it"));
    }
    let this_file = path.ends_with("xtask/src/tidy.rs");
    let core = crate_of(path).is_some_and(|name| SANS_IO.contains(&name))
        && !["tests/", "examples/"].iter().any(|apart| path.to_string_lossy().contains(apart));
    let mut in_tests = false;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        if ["/root/", "/home/"].iter().any(|p| line.contains(p)) && !this_file {
            report(number, "a path of one machine");
        }
        if !source || this_file {
            continue;
        }
        if line.contains("#[ignore") {
            report(number, "an ignored test tests nothing");
        }
        if line.contains("thread::sleep") {
            report(number, "wait for the thing itself instead of sleeping");
        }
        if ["FIXME", "XXX", "HACK"].iter().any(|word| line.contains(word)) {
            report(number, "a left-over mark");
        }
        let code = line.split("//").next().unwrap_or_default();
        if core
            && !in_tests
            && let Some(word) = IO_WORDS.iter().find(|word| code.contains(**word))
        {
            report(number, &format!("`{word}` in a sans-IO crate"));
        }
    }
    findings
}

fn crate_of(path: &Path) -> Option<&str> {
    path.strip_prefix("crates").ok()?.components().next()?.as_os_str().to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_should() {
        let core = file(Path::new("crates/ledger/src/x.rs"), "use std::fs;\n// std::fs in prose\n");
        assert_eq!(core, ["crates/ledger/src/x.rs:1: `std::fs` in a sans-IO crate"]);
        assert!(file(Path::new("crates/node/src/x.rs"), "use std::fs;\n").is_empty());
        let test = concat!("#[", "ignore]\n");
        assert_eq!(file(Path::new("crates/cli/tests/x.rs"), test).len(), 1);
        assert_eq!(file(Path::new("crates/cli/src/x.rs"), &"\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }
}

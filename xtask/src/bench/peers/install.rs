//! Brings the other programs here. What cannot be had is named, and the bench goes on without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::packages::{self, Package};
use crate::process;

/// Debian packages of programs that we compare with.
const DEBIAN: [Package; 3] = [
    Package { program: "aria2c", probe: "--version", package: "aria2", why: "aria2" },
    Package {
        program: "transmission-daemon",
        probe: "--version",
        package: "transmission-daemon",
        why: "transmission",
    },
    Package {
        program: "transmission-remote",
        probe: "--version",
        package: "transmission-cli",
        why: "transmission (its remote control)",
    },
];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `target/bench`.
    folder: PathBuf,
}

impl Programs {
    pub fn new() -> Self {
        Self { folder: process::root().join("target/bench") }
    }

    pub fn peerage(&self) -> PathBuf {
        process::root().join("target/release/peerage")
    }

    pub fn load(&self) -> PathBuf {
        process::root().join("target/release/xtask-load")
    }

    /// A Python that knows libtorrent.
    pub fn python(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    /// A program that cargo has installed.
    pub fn cargo(&self, name: &str) -> PathBuf {
        self.folder.join("cargo/bin").join(name)
    }

    /// Whether a program of this name can be run.
    pub fn has(&self, program: &str) -> bool {
        match program {
            "libtorrent" => quiet(Command::new(self.python()).args(["-c", "import libtorrent"])),
            "rqbit" | "sendme" => self.cargo(program).exists(),
            "aria2" => process::exists("aria2c", "--version"),
            "transmission" => {
                process::exists("transmission-daemon", "--version")
                    && process::exists("transmission-remote", "--version")
            }
            _ => true,
        }
    }

    /// Installs what is missing of `wanted`.
    pub fn install(&self, wanted: &[&str]) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder)?;
        if wanted.contains(&"libtorrent") && !self.has("libtorrent") {
            eprintln!("xtask: installing libtorrent from PyPI");
            quiet(Command::new("python3").args(["-m", "venv"]).arg(self.folder.join("venv")));
            quiet(Command::new(self.python()).args(["-m", "pip", "install", "--quiet", "libtorrent"]));
        }
        if wanted.iter().any(|name| ["aria2", "transmission"].contains(name)) {
            for missing in packages::install(&DEBIAN) {
                eprintln!("xtask: not installed: {missing}");
            }
        }
        for name in wanted.iter().filter(|name| ["rqbit", "sendme"].contains(name)) {
            if !self.has(name) {
                eprintln!("xtask: installing {name} with cargo, which takes some minutes");
                self.cargo_install(name);
            }
        }
        Ok(())
    }

    fn cargo_install(&self, name: &str) {
        let mut command = Command::new(env!("CARGO"));
        command.args(["install", "--locked", "--quiet", name]);
        command.arg("--root").arg(self.folder.join("cargo"));
        command.arg("--target-dir").arg(self.folder.join("build")).current_dir(&self.folder);
        quiet(&mut command);
    }
}

/// Whether it ran well; what it says is not of interest.
fn quiet(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Writes a script beside the programs.
pub fn script(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

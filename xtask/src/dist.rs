//! What is given away: the program, completions, man pages, systemd units, Debian packages, all in `target/dist`.
//!
//! `cargo-deb` makes the packages, of what is in `target/dist` and of what `crates/cli/Cargo.toml` says of them; it is
//! installed into `target/tools` if it is not there. Each package is then unpacked, looked through and tried.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process::{self, root, run, step};

/// A shell, and where Debian keeps its completions.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "usr/share/bash-completion/completions/peerage"),
    ("zsh", "usr/share/zsh/vendor-completions/_peerage"),
    ("fish", "usr/share/fish/vendor_completions.d/peerage.fish"),
    ("elvish", "usr/share/elvish/lib/peerage.elv"),
    ("powershell", "usr/share/peerage/peerage.ps1"),
];
/// A systemd unit below `packaging/`, and where it is installed.
const NODE_UNITS: [(&str, &str); 2] = [
    ("peerage.service", "usr/lib/systemd/system/peerage.service"),
    ("user/peerage.service", "usr/lib/systemd/user/peerage.service"),
];
const TRACKER_UNITS: [(&str, &str); 1] =
    [("peerage-tracker@.service", "usr/lib/systemd/system/peerage-tracker@.service")];
/// What a package does when it comes and goes.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// What makes the packages.
const CARGO_DEB: &str = "3.8.0";

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub struct Dist {
    /// Cargo profile of the program
    #[arg(long, default_value = "release")]
    profile: String,
}

impl Dist {
    /// Builds everything anew.
    pub fn run(&self) -> Result<()> {
        process::cargo(
            "program",
            &["build", "-p", "peerage-cli", "--locked", "--quiet", "--profile", &self.profile],
            &[],
        )?;
        let out = root().join("target/dist");
        if out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("`{}`", out.display()))?;
        }
        let built =
            root().join("target").join(if self.profile == "dev" { "debug" } else { self.profile.as_str() });
        let program = out.join("bin/peerage");
        copy(&built.join("peerage"), &program)?;
        step("completions", || completions(&program, &out))?;
        step("man pages", || run(quiet(&program).arg("man").arg(out.join("man"))))?;
        for (from, _) in NODE_UNITS.iter().chain(&TRACKER_UNITS) {
            copy(&root().join("packaging").join(from), &out.join("systemd").join(from))?;
        }
        if !process::exists("dpkg-deb", "--version") || !process::exists("dpkg-shlibdeps", "--version") {
            println!("xtask: skipped: Debian packages (install the Debian package `dpkg-dev`)");
            return Ok(());
        }
        let tools = root().join("target/tools");
        let folder = tools.display().to_string();
        let install =
            ["install", "cargo-deb", "--version", CARGO_DEB, "--locked", "--quiet", "--root", &folder];
        process::cargo("cargo-deb", &install, &[])?;
        step("Debian packages", || debian(&out, &tools.join("bin/cargo-deb")))?;
        step("what is in them", || look_through(&out))?;
        println!("xtask: all of it is in {}", out.display());
        Ok(())
    }
}

fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn completions(program: &Path, out: &Path) -> Result<()> {
    for (shell, place) in SHELLS {
        let path = out.join("completions").join(shell).join(Path::new(place).file_name().unwrap_or_default());
        fs::create_dir_all(path.parent().unwrap_or(out))?;
        run(quiet(program).args(["completions", shell]).stdout(File::create(path)?))?;
    }
    Ok(())
}

/// `peerage`: the program and the node's units. `peerage-tracker`: the tracker's unit, for the same program.
fn debian(out: &Path, cargo_deb: &Path) -> Result<()> {
    let stripped = out.join("stripped/peerage");
    copy(&out.join("bin/peerage"), &stripped)?;
    run(Command::new("strip").arg(&stripped))?;
    for variant in [&[][..], &["--variant", "tracker"]] {
        let mut command = Command::new(cargo_deb);
        command.args(["--package", "peerage-cli", "--no-build", "--no-strip", "--locked", "--output"]);
        run(command.arg(out).args(variant).current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null()))?;
    }
    Ok(fs::remove_dir_all(out.join("stripped"))?)
}

/// Unpacks both, and sees that nothing is missing and that the program runs.
fn look_through(out: &Path) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let architecture = said(Command::new("dpkg").arg("--print-architecture"))?;
    let package = |name: &str| out.join(format!("{name}_{version}_{architecture}.deb"));
    let (node, tracker) = (package("peerage"), package("peerage-tracker"));
    let mut expected: Vec<String> =
        SHELLS.iter().chain(&NODE_UNITS).map(|(_, place)| (*place).to_owned()).collect();
    for page in fs::read_dir(out.join("man"))? {
        expected.push(format!("usr/share/man/man1/{}.gz", page?.file_name().display()));
    }
    expected.push("usr/bin/peerage".to_owned());
    let unpacked = unpack(&node, &expected)?;
    let tried = said(Command::new(unpacked.path().join("usr/bin/peerage")).arg("--version"))?;
    ensure!(tried.contains(version), "the packaged program says `{tried}`, expected version {version}");
    unpack(&tracker, &TRACKER_UNITS.map(|(_, place)| place.to_owned()))?;
    let depends = |package: &Path| said(Command::new("dpkg-deb").arg("--field").arg(package).arg("Depends"));
    // cargo-deb only warns when dpkg-shlibdeps fails.
    let of_node = depends(&node)?;
    ensure!(
        of_node.contains("libc6"),
        "peerage depends on `{of_node}`, expected libc6: see cargo-deb's warnings"
    );
    let depends = depends(&tracker)?;
    let same = format!("peerage (= {version})");
    ensure!(
        depends == same,
        "peerage-tracker depends on `{depends}`, expected `{same}` in crates/cli/Cargo.toml"
    );
    Ok(())
}

/// A package's files in a folder of their own, where all these must be, and its scripts.
fn unpack(package: &Path, expected: &[String]) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let unpack = |option: &str, to: &Path| run(quiet(Path::new("dpkg-deb")).arg(option).arg(package).arg(to));
    unpack("--extract", folder.path())?;
    let control = folder.path().join("DEBIAN");
    unpack("--control", &control)?;
    for place in expected {
        ensure!(folder.path().join(place).is_file(), "`{place}` is missing in {}", package.display());
    }
    for script in SCRIPTS {
        ensure!(control.join(script).is_file(), "{} has no {script}", package.display());
    }
    Ok(folder)
}

/// What a program prints, which must succeed.
fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("`{}`", from.display()))?;
    Ok(())
}

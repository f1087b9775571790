//! What is given away: the program, completions, man pages, systemd units, Debian packages, all in `target/dist`.
//!
//! The packages are put together with Debian's own `dpkg-deb` and `dpkg-shlibdeps`. `cargo-deb` would have to be compiled
//! first, and a folder and a control file are all that it would spare us.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

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
/// systemd looks at its units again; nothing is started without being asked for.
const AFTER_INSTALL: &str =
    "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then systemctl daemon-reload; fi\n";

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
        step("Debian packages", || debian(&out))?;
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
fn debian(out: &Path) -> Result<()> {
    let staging = tempfile::tempdir()?;
    let (node, tracker) = (staging.path().join("peerage"), staging.path().join("peerage-tracker"));
    let program = node.join("usr/bin/peerage");
    copy(&out.join("bin/peerage"), &program)?;
    run(Command::new("strip").arg(&program))?;
    for (shell, place) in SHELLS {
        let name = Path::new(place).file_name().unwrap_or_default();
        copy(&out.join("completions").join(shell).join(name), &node.join(place))?;
    }
    for page in fs::read_dir(out.join("man"))? {
        let page = page?;
        copy(&page.path(), &node.join("usr/share/man/man1").join(page.file_name()))?;
    }
    for (units, package) in [(&NODE_UNITS[..], &node), (&TRACKER_UNITS[..], &tracker)] {
        for (from, place) in units {
            copy(&root().join("packaging").join(from), &package.join(place))?;
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let needs = libraries(staging.path(), &program)?;
    package(out, &node, "peerage", &needs, "share large files inside a group, from member to member")?;
    let same = format!("peerage (= {version})");
    package(out, &tracker, "peerage-tracker", &same, "tracker of Peerage as a service")
}

/// The packages of the shared libraries that a program needs, with the versions that it was linked to.
fn libraries(scratch: &Path, program: &Path) -> Result<String> {
    fs::create_dir_all(scratch.join("debian"))?;
    fs::write(scratch.join("debian/control"), "Source: peerage\n\nPackage: peerage\nArchitecture: any\n")?;
    let mut command = Command::new("dpkg-shlibdeps");
    let output = command.arg("-O").arg(program).current_dir(scratch).output()?;
    anyhow::ensure!(output.status.success(), "dpkg-shlibdeps: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let needs = said.trim().strip_prefix("shlibs:Depends=");
    Ok(needs.with_context(|| format!("dpkg-shlibdeps said `{said}`"))?.to_owned())
}

/// Makes a package of a folder.
fn package(out: &Path, folder: &Path, name: &str, depends: &str, summary: &str) -> Result<()> {
    let architecture = Command::new("dpkg").arg("--print-architecture").output()?;
    let architecture = String::from_utf8(architecture.stdout)?;
    let (architecture, version) = (architecture.trim(), env!("CARGO_PKG_VERSION"));
    fs::create_dir_all(folder.join("DEBIAN"))?;
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: Peerage developers <peerage@example.org>\n\
         Section: net\nPriority: optional\nDepends: {depends}\nDescription: {summary}\n"
    );
    fs::write(folder.join("DEBIAN/control"), control)?;
    let after: PathBuf = folder.join("DEBIAN/postinst");
    fs::write(&after, AFTER_INSTALL)?;
    executable(&after)?;
    let deb = out.join(format!("{name}_{version}_{architecture}.deb"));
    run(quiet(Path::new("dpkg-deb")).args(["--root-owner-group", "--build"]).arg(folder).arg(deb))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("`{}`", from.display()))?;
    Ok(())
}

#[cfg(unix)]
fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    Ok(())
}

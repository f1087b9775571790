//! Running other programs, with their output passed through.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The workspace's root folder.
pub fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// Announces a step, runs it and says how long it took.
pub fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("xtask: {name} …");
    let started = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    println!("xtask: {name} ok ({} s)", started.elapsed().as_secs());
    Ok(())
}

/// Runs cargo in the workspace as one step.
pub fn cargo(name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    step(name, || {
        let mut command = Command::new(env!("CARGO"));
        command.args(args).envs(env.iter().copied()).current_dir(root()).stdin(Stdio::null());
        run(&mut command)
    })
}

/// Runs a command to its end; anything but success is an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{command:?} ended with {status}"),
    }
}

/// Whether a program can be found and started.
pub fn exists(program: &str, probe: &str) -> bool {
    let quiet = Command::new(program)
        .arg(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok()
}

//! `cargo xtask fuzz TARGET`: the same functions that the tests replay the corpus through, driven by libFuzzer.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Fuzzes one target.
#[derive(clap::Args)]
pub struct Fuzz {
    /// bencode, metainfo, wire, record or tracker_list.
    target: String,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

impl Fuzz {
    /// Runs cargo-fuzz, installing it when it is missing.
    pub fn run(&self) -> Result<()> {
        let targets = process::root().join("fuzz/fuzz_targets");
        if !targets.join(format!("{}.rs", self.target)).exists() {
            bail!("no fuzz target `{}` in {}", self.target, targets.display());
        }
        if !process::exists("cargo-fuzz", "--version") {
            process::cargo("cargo-fuzz", &["install", "--locked", "cargo-fuzz"], &[])?;
        }
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "run", &self.target, "--"]);
        command.arg(format!("-max_total_time={}", self.seconds)).current_dir(process::root());
        process::run(&mut command)
    }
}

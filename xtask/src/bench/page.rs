//! `cargo xtask bench page`: builds the measurement (`xtask/load`) and runs it.

use std::process::Command;

use anyhow::Result;

use crate::{packages, process};

/// Settings of one measurement, all of which are the measurement's own; `--help` lists them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Page {
    /// Passed on as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    settings: Vec<String>,
}

impl Page {
    /// Builds in the release profile, measures and prints.
    pub fn run(&self) -> Result<()> {
        for missing in packages::install(&packages::FOR_TESTS) {
            eprintln!("xtask: missing: {missing}");
        }
        let build = ["build", "--release", "--locked", "--package", "xtask-load", "--quiet"];
        process::run(Command::new(env!("CARGO")).args(build).current_dir(process::root()))?;
        let mut command = Command::new(process::root().join("target/release/xtask-load"));
        process::run(command.arg("page").args(&self.settings))
    }
}

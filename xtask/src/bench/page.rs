//! `cargo xtask bench page`: builds the measurement (`xtask/load`) and runs it.

use std::process::Command;

use anyhow::Result;

use crate::{packages, process};

/// Settings of one measurement.
#[derive(clap::Args)]
pub struct Page {
    /// Groups that there are.
    #[arg(long, default_value_t = 1_000)]
    groups: u32,
    /// Files of the group that is opened.
    #[arg(long, default_value_t = 50_000)]
    files: u32,
    /// Downloads, all of which move all the time.
    #[arg(long, default_value_t = 200)]
    downloads: u32,
    /// How often each thing is done.
    #[arg(long, default_value_t = 20)]
    times: u32,
    /// One JSON object on stdout instead of a table.
    #[arg(long)]
    json: bool,
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
        let numbers = [
            ("--groups", self.groups),
            ("--files", self.files),
            ("--downloads", self.downloads),
            ("--times", self.times),
        ];
        command.arg("page");
        for (name, number) in numbers {
            command.arg(name).arg(number.to_string());
        }
        process::run(command.args(self.json.then_some("--json")))
    }
}

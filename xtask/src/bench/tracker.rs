//! `cargo xtask bench tracker`: builds the program and the load generator (`xtask/load`), and runs the latter.

use std::process::Command;

use anyhow::Result;

use crate::process;

/// Settings of one measurement.
#[derive(clap::Args)]
pub struct Tracker {
    /// How many times; medians are printed last.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Shorter windows, fewer samples and 50,000 records at start: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only these parts: writes, lag, announces, startup.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes with 1 to so many trackers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    trackers: u8,
    /// One JSON object on stdout instead of a table.
    #[arg(long)]
    json: bool,
}

impl Tracker {
    /// Builds in the release profile, measures and prints.
    pub fn run(&self) -> Result<()> {
        let build = ["build", "--release", "--locked", "--package", "peerage-cli", "--package", "xtask-load"];
        // A step of its own would print to stdout, where only the report belongs.
        process::run(Command::new(env!("CARGO")).args(build).arg("--quiet").current_dir(process::root()))?;
        let target = process::root().join("target");
        let mut command = Command::new(target.join("release/xtask-load"));
        command.arg("tracker").arg("--program").arg(target.join("release/peerage"));
        command.arg("--folder").arg(target.join("bench")).arg("--runs").arg(self.runs.to_string());
        if !self.only.is_empty() {
            command.arg("--only").arg(self.only.join(","));
        }
        command.arg("--trackers").arg(self.trackers.to_string());
        command.args(self.quick.then_some("--quick")).args(self.json.then_some("--json"));
        process::run(&mut command)
    }
}

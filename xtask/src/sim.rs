//! `cargo xtask sim`: seeded worlds of trackers and clients under faults; `cargo xtask sim swarm`: one swarm.
//!
//! Worlds are worth running only optimised. Their runners are examples of the simulator, so that only the simulated
//! crates are built for them, and not again all that `xtask` stands on.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// Simulates trackers and clients under faults, seed by seed; or, as `sim swarm`, one swarm.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Sim {
    /// --seeds N, --from SEED, --operations N, --seed SEED -v, --sabotage NAME; or swarm --peers N --pieces M --seed S
    /// [--json] [--svg FILE] and more. --help explains them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Sim {
    /// Builds and runs the worlds.
    pub fn run(&self) -> Result<()> {
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--release", "--locked", "--quiet", "--package", "peerage-sim"]);
        // Files are named from where the caller is.
        command.arg("--manifest-path").arg(process::root().join("Cargo.toml"));
        let (example, arguments) = match self.arguments.split_first() {
            Some((first, rest)) if first == "swarm" => ("swarm", rest),
            _ => ("seeds", &self.arguments[..]),
        };
        command.args(["--example", example, "--"]).args(arguments);
        process::run(&mut command)
    }
}

//! `cargo xtask sim`: seeded worlds of trackers and clients under faults.
//!
//! Worlds are worth running only optimised. Their runner is an example of the simulator, so that only the simulated
//! crates are built for it, and not again all that `xtask` stands on.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// Simulates trackers and clients under faults, seed by seed.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Sim {
    /// --seeds N, --from SEED, --operations N, --seed SEED -v, --sabotage NAME; --help explains them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Sim {
    /// Builds and runs the worlds.
    pub fn run(&self) -> Result<()> {
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--release", "--locked", "--quiet", "--package", "peerage-sim"]);
        command.args(["--example", "seeds", "--"]).args(&self.arguments).current_dir(process::root());
        process::run(&mut command)
    }
}

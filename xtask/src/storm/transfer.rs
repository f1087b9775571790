//! `cargo xtask storm transfer`: SIGKILL of receiver and sharer at random moments of transfers.
//!
//! Every file must come out identical, and what is fetched again stays below what a second brings. Before it begins, two
//! transfers that lose what they had show that the storm notices when it does not.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use peerage_drive::storm::TransferStorm;

use super::cluster::{Folder, program};
use super::dice::Dice;

/// Settings of one storm.
#[derive(clap::Args)]
pub struct Transfer {
    /// Transfers, files and folders in turn; in each both sides are killed once.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Makes the same choices again.
    #[arg(long)]
    seed: Option<u64>,
    /// A program that is built already.
    #[arg(long)]
    program: Option<PathBuf>,
}

impl Transfer {
    /// Builds the program, storms, and prints what was fetched in vain.
    pub fn run(&self) -> Result<()> {
        ensure!(self.rounds > 0, "--rounds must be at least 1");
        let program = self.program.clone().map_or_else(program, Ok)?;
        let seed = Dice::seed(self.seed);
        println!("seed {seed}");
        let folder = Folder::new("transfer")?;
        let started = Instant::now();
        let mut storm = TransferStorm::start(&program, &folder.0, seed)?;
        let [file, folder] = storm.check_itself().with_context(|| format!("seed {seed}"))?;
        println!(
            "self-check: begun anew, a file fetches {file} bytes in vain and a folder {folder}: noticed"
        );
        let tell = |number, round: peerage_drive::storm::Round| {
            if number % 10 == 0 {
                println!("round {number}: {} bytes came, {} of them in vain", round.bytes, round.in_vain);
            }
        };
        let figures = storm.run(self.rounds, tell).with_context(|| format!("seed {seed}"))?;
        println!(
            "{} transfers, {} kills in {} s: all identical; fetched in vain: {} bytes at most in a round, {} in the mean, where a second brings {}",
            figures.rounds,
            figures.kills,
            started.elapsed().as_secs(),
            figures.in_vain_max,
            figures.in_vain / u64::from(figures.rounds),
            figures.bytes_per_second,
        );
        Ok(())
    }
}

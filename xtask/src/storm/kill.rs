//! `cargo xtask storm kill`: SIGKILL at random moments under write load.
//!
//! A killed tracker's disk is looked at before it starts again: the database opens, and it holds every bundle that
//! this tracker acknowledged. In the end all disks hold all acknowledged bundles and have the same digests.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use peerage_types::RecordId;

use super::cluster::{Cluster, program};
use super::dice::Dice;
use super::load::Load;

/// A round's load lasts so long before the kill, in milliseconds.
const LOAD_MS: (u64, u64) = (5, 250);
const HEAL_MAX: Duration = Duration::from_secs(60);
const QUIT_MAX: Duration = Duration::from_secs(20);

/// Settings of one storm.
#[derive(clap::Args)]
pub struct Kill {
    /// Kills in all.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Trackers.
    #[arg(long, default_value_t = 2)]
    trackers: usize,
    /// Writers, each with one bundle under way.
    #[arg(long, default_value_t = 16)]
    writers: usize,
    /// Makes the same choices again.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Default)]
struct Tally {
    acked: u64,
    on_one: u64,
    lost: Vec<(usize, RecordId)>,
    unopened: u32,
}

impl Kill {
    /// Builds the program, storms, and prints what became of the acknowledged writes.
    pub fn run(&self) -> Result<()> {
        ensure!((1..=7).contains(&self.trackers), "--trackers must be 1 to 7");
        ensure!(self.rounds > 0 && self.writers > 0, "--rounds and --writers must be at least 1");
        let program = program()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.storm(&program))
    }

    async fn storm(&self, program: &std::path::Path) -> Result<()> {
        let seed = Dice::seed(self.seed);
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let started = Instant::now();
        let mut cluster = Cluster::start(program, self.trackers, "kill").await?;
        let mut load = Load::start(&cluster, self.writers, seed);
        let mut by_tracker: Vec<Vec<RecordId>> = vec![Vec::new(); self.trackers];
        let mut all: Vec<RecordId> = Vec::new();
        let mut tally = Tally::default();
        for round in 1..=self.rounds {
            tokio::time::sleep(Duration::from_millis(dice.between(LOAD_MS.0, LOAD_MS.1))).await;
            let victim = dice.between(0, self.trackers as u64 - 1) as usize;
            cluster.trackers[victim].kill();
            for acked in load.take() {
                tally.acked += 1;
                tally.on_one += u64::from(acked.durable_on == 1);
                all.extend(&acked.ids);
                by_tracker[acked.tracker].extend(acked.ids);
            }
            match cluster.lacks(victim, &by_tracker[victim]) {
                Ok(lost) => tally.lost.extend(lost.into_iter().map(|id| (victim, id))),
                Err(error) => {
                    eprintln!("round {round}: {error:#}");
                    tally.unopened += 1;
                }
            }
            by_tracker[victim].clear();
            cluster.trackers[victim].restart().with_context(|| format!("round {round}, seed {seed}"))?;
            if round % 20 == 0 {
                println!("round {round}: {} bundles acknowledged, {} lost", tally.acked, tally.lost.len());
            }
        }
        let (rest, refused) = load.stop().await;
        tally.acked += rest.len() as u64;
        all.extend(rest.into_iter().flat_map(|acked| acked.ids));
        let healed = cluster.converged(HEAL_MAX).await?;
        for tracker in &mut cluster.trackers {
            ensure!(tracker.quit(QUIT_MAX)?.success(), "a tracker did not end cleanly");
        }
        for tracker in 0..self.trackers {
            tally.lost.extend(cluster.lacks(tracker, &all)?.into_iter().map(|id| (tracker, id)));
        }
        let scopes = cluster.compare()?;
        println!(
            "{} kills of {} trackers in {} s: {} bundles acknowledged ({} while on one disk only), {} records lost, {} databases that did not open, {refused} bundles refused; healed after {} ms, {scopes} scopes with equal digests",
            self.rounds,
            self.trackers,
            started.elapsed().as_secs(),
            tally.acked,
            tally.on_one,
            tally.lost.len(),
            tally.unopened,
            healed.as_millis(),
        );
        if !tally.lost.is_empty() || tally.unopened > 0 || refused > 0 {
            bail!(
                "acknowledged writes were lost (seed {seed}): {:?}",
                tally.lost.iter().take(5).collect::<Vec<_>>()
            );
        }
        Ok(())
    }
}

//! What `cargo xtask sim` runs: many seeded worlds, on as many threads as there are cores.
//!
//! The simulator itself has no threads, files or output; all of that is here. An example, and not part of `xtask`,
//! so that the optimised build that it needs is one of the simulated crates alone.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use peerage_sim::cluster::{Options, Report, Sabotage, Violation, run_with};

/// Simulates trackers and clients under faults and checks what they promise.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Sim {
    /// How many seeds.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Client operations and faults per seed.
    #[arg(long, default_value_t = 2_000)]
    operations: u32,
    /// Replays one seed, twice, and compares.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints everything that happened.
    #[arg(short, long, requires = "seed")]
    verbose: bool,
    /// Plants a deliberate bug; an unknown name lists them.
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<Sabotage>,
    /// Threads; by default one per core.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    match Sim::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn sabotage(name: &str) -> Result<Sabotage, String> {
    let known = Sabotage::ALL.iter().find(|(_, _, known)| *known == name);
    known.map(|(sabotage, ..)| *sabotage).ok_or_else(|| {
        let names: Vec<_> = Sabotage::ALL.iter().map(|(_, _, name)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

impl Sim {
    /// Runs the worlds. Fails on the first violation, and says how to see it again.
    fn run(&self) -> Result<()> {
        match self.seed {
            Some(seed) => self.replay(seed),
            None => self.many(),
        }
    }

    fn options(&self, seed: u64) -> Options {
        Options { seed, operations: self.operations, sabotage: self.sabotage, lines: self.verbose }
    }

    fn replay(&self, seed: u64) -> Result<()> {
        let (first, lines) = run_with(self.options(seed));
        for line in lines {
            println!("{line}");
        }
        let (second, _) = run_with(Options { lines: false, ..self.options(seed) });
        if first != second {
            bail!("seed {seed} made two different worlds: {first:?} and {second:?}");
        }
        match first {
            Ok(report) => println!("{report:#?}\nseed {seed}: no violation; the same trace hash twice"),
            Err(violation) => bail!("{violation}"),
        }
        Ok(())
    }

    fn many(&self) -> Result<()> {
        let threads = self
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
        let started = Instant::now();
        let next = AtomicU64::new(self.from);
        let end = self.from.saturating_add(self.seeds);
        let failed = AtomicBool::new(false);
        let done: Mutex<(Vec<Report>, Vec<Violation>)> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    while !failed.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            return;
                        }
                        let (result, _) = run_with(self.options(seed));
                        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        match result {
                            Ok(report) => done.0.push(report),
                            Err(violation) => {
                                failed.store(true, Ordering::Relaxed);
                                done.1.push(violation);
                            }
                        }
                        let count = done.0.len() as u64;
                        if count > 0 && count.is_multiple_of((self.seeds / 20).max(1)) {
                            println!("{count} of {} seeds, {} s", self.seeds, started.elapsed().as_secs());
                        }
                    }
                });
            }
        });
        let (reports, mut violations) = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        violations.sort_by_key(|violation| violation.seed);
        if let Some(violation) = violations.first() {
            let bug = self.sabotage.and_then(|bug| Sabotage::ALL.iter().find(|(known, ..)| *known == bug));
            let planted = bug.map_or(String::new(), |(_, _, name)| format!(" --sabotage {name}"));
            println!("{violation}");
            bail!(
                "replay it with `cargo xtask sim --seed {} --operations {}{planted} -v`",
                violation.seed,
                self.operations
            );
        }
        summary(&reports, started);
        Ok(())
    }
}

fn summary(reports: &[Report], started: Instant) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let trace = reports.iter().fold(0u64, |all, report| all ^ report.trace.wrapping_mul(report.seed * 2 + 1));
    println!(
        "{} seeds, 0 violations, {} s: {} events, {} hours simulated, {} bundles, {} answers, {} refusals, \
         {} crashes ({} in good order, {} tore something), {} forged records ({} of strangers inert on disk), {} views judged, \
         {} compared, trace {trace:016x}",
        reports.len(),
        started.elapsed().as_secs(),
        sum(|r| r.events),
        sum(|r| r.elapsed.0) / 3_600_000,
        sum(|r| r.bundles),
        sum(|r| r.answers),
        sum(|r| r.refusals),
        sum(|r| r.crashes),
        sum(|r| r.stopped),
        sum(|r| r.torn),
        sum(|r| r.forged),
        sum(|r| r.forged_inert),
        sum(|r| r.judged),
        sum(|r| r.compared),
    );
    println!(
        "{} trackers joined, {} left; {} comparisons with another tracker and {} more that came to nothing, {} found a \
         difference, {} records harmed, {} digests put right, {} records came back; {} snapshots begun, {} adopted, \
         {} broken off, {} takers and {} sources died in the middle; {} pulls below a floor, {} holes in logs; {} times \
         somebody sent again what a snapshot had left beyond the vector",
        sum(|r| r.joined),
        sum(|r| r.retired),
        sum(|r| r.comparisons),
        sum(|r| r.comparisons_failed),
        sum(|r| r.differed),
        sum(|r| r.harmed),
        sum(|r| r.corrected),
        sum(|r| r.repaired),
        sum(|r| r.snapshots_begun),
        sum(|r| r.snapshots_adopted),
        sum(|r| r.snapshots_begun.saturating_sub(r.snapshots_adopted)),
        sum(|r| r.snapshots_cut),
        sum(|r| r.sources_lost),
        sum(|r| r.floors),
        sum(|r| r.holes),
        sum(|r| r.sent_again),
    );
}

//! What `cargo xtask bench tracker` starts: the load generator, the bare programs it compares with, and the report;
//! and the bare program of `cargo xtask bench peers`.
//!
//! A package of its own, because it needs the release profile and half of the workspace, which the other tasks of
//! `cargo xtask` should not wait for. Everything runs on loopback and on this one machine: the trackers, the bare
//! programs and the load generator (one thread) share its processors, so only ratios of one run mean something.

mod announces;
mod bare;
mod client;
mod cluster;
mod hello;
mod lag;
mod lean;
mod limit;
mod page;
mod people;
mod report;
mod startup;
#[path = "../../src/bench/usage.rs"]
mod usage;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use peerage_link::keyring::Keyring;

use cluster::Cluster;
use report::Figures;
use writes::{Sending, Shape, Writers};

#[derive(Parser)]
#[command(about = "Load generator of `cargo xtask bench tracker`")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure trackers.
    Tracker(TrackerBench),
    /// Measure the page in Chromium.
    Page(page::PageBench),
    /// The bare program for announces; started by the measurement.
    Hello,
    /// The bare program for transfers: serves a file to whoever connects.
    LimitSend { source: PathBuf },
    /// The other side of it.
    LimitReceive { from: std::net::SocketAddr, target: PathBuf },
}

#[derive(clap::Args)]
struct TrackerBench {
    /// The `peerage` program to measure.
    #[arg(long)]
    program: PathBuf,
    /// Where databases are made; the disk under it is part of the figures.
    #[arg(long)]
    folder: PathBuf,
    /// How many times; medians are printed last.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Shorter windows, fewer samples and 50,000 records at start: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Writes with 1 to so many trackers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    trackers: u8,
    /// One JSON object on stdout instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Writes,
    Lag,
    Announces,
    Startup,
}

/// How long and how much.
pub struct Setting {
    warm: Duration,
    window: Duration,
    /// So many records are signed beforehand per second.
    writes_per_second_max: f64,
    lag_samples: usize,
    startup_records: usize,
}

impl Setting {
    const FULL: Self = Self {
        warm: Duration::from_secs(1),
        window: Duration::from_secs(4),
        writes_per_second_max: 80_000.0,
        lag_samples: 300,
        startup_records: 1_000_000,
    };
    const QUICK: Self = Self {
        warm: Duration::from_millis(500),
        window: Duration::from_millis(1_500),
        writes_per_second_max: 80_000.0,
        lag_samples: 100,
        startup_records: 50_000,
    };
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Tracker(bench) => bench.run(),
        Task::Page(bench) => page::run(&bench),
        Task::Hello => hello::serve(),
        Task::LimitSend { source } => limit::send(&source),
        Task::LimitReceive { from, target } => limit::receive(from, &target),
    }
}

/// The load generator's one thread.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl TrackerBench {
    fn run(&self) -> Result<()> {
        ensure!(self.runs > 0, "--runs must be at least 1");
        std::fs::create_dir_all(&self.folder)?;
        let setting = if self.quick { Setting::QUICK } else { Setting::FULL };
        let keys = tempfile::TempDir::with_prefix_in("keyring-", &self.folder)?;
        let keyring = Keyring::load_or_create(&keys.path().join("trackers.txt"))?;
        let writers = match self.wants(Part::Writes) {
            true => Some(Writers::sign(&keyring, &setting)?),
            false => None,
        };
        let mut runs = Vec::new();
        for number in 1..=self.runs {
            let figures = self.once(&keyring, writers.as_ref(), &setting)?;
            if !self.json && self.runs > 1 {
                println!("run {number}\n{}\n", figures.table());
            }
            runs.push(figures);
        }
        let median = Figures::median(&runs);
        if self.json {
            println!("{}", median.json(self.runs));
        } else {
            println!("median of {}\n{}\n\n{}", self.runs, median.table(), median.verdicts());
        }
        Ok(())
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn once(&self, keyring: &Keyring, writers: Option<&Writers>, setting: &Setting) -> Result<Figures> {
        let mut figures = Figures::default();
        let bare = match writers {
            Some(writers) => {
                let bare = writers.bare(&self.folder, setting)?;
                figures.rate("bare_writes", bare);
                Some((writers, bare.per_second))
            }
            None => None,
        };
        if let Some((writers, bare)) = bare {
            let cluster = Cluster::start(&self.program, &self.folder, keyring, 1, 1)?;
            let measured =
                runtime()?.block_on(writers.rate(&cluster, Sending::Bundles, Shape::ALONE, setting))?;
            cluster.quit()?;
            figures.rate("bundled", measured);
            figures.set("bundled_of_bare", measured.per_second / bare);
        }
        if let Some((writers, bare)) = bare {
            let shapes = [("shared", Shape::SHARED), ("writes", Shape::ALONE)];
            for (trackers, (name, shape)) in
                (1..=usize::from(self.trackers)).flat_map(|n| shapes.map(|shape| (n, shape)))
            {
                let cluster = Cluster::start(&self.program, &self.folder, keyring, trackers, trackers)?;
                let measured = runtime()?.block_on(async {
                    cluster.in_touch(keyring).await?;
                    writers.rate(&cluster, Sending::Single, shape, setting).await
                })?;
                cluster.quit()?;
                let name = format!("{name}_{trackers}");
                figures.rate(&name, measured);
                figures.set(&format!("{name}_of_bare"), measured.per_second / bare);
                if let Some(all) = measured.cpu_seconds {
                    figures.set(&format!("{name}_cpu_each_s"), all / trackers as f64);
                }
            }
        }
        if self.wants(Part::Lag) {
            let cluster = Cluster::start(&self.program, &self.folder, keyring, 3, 3)?;
            figures.extend(runtime()?.block_on(async {
                cluster.in_touch(keyring).await?;
                lag::measure(&cluster, keyring, setting).await
            })?);
            cluster.quit()?;
        }
        if self.wants(Part::Announces) {
            figures.extend(announces::measure(&self.program, &self.folder, keyring, setting)?);
        }
        if self.wants(Part::Startup) {
            figures.extend(startup::measure(&self.program, &self.folder, setting)?);
        }
        Ok(figures)
    }
}

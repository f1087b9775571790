//! What `cargo xtask sim swarm` runs: one simulated swarm.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use peerage_sim::swarm::{Known, Options, Report, Tie, draw, run};

/// Simulates one swarm and holds it against the best that is possible.
#[derive(Parser)]
#[command(name = "cargo xtask sim swarm")]
struct Sim {
    /// Leechers.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    peers: u32,
    /// Pieces of the file.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pieces: u32,
    /// Blocks of 16 KiB in a piece.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    piece_blocks: u32,
    /// Makes everything that is left to chance.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Draws progress over time into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Uplink of the seeder and, if they are equal, of everybody, in KB/s.
    #[arg(long, default_value_t = 2_500, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    up: u64,
    /// Downlink of everybody, in KB/s; five uplinks by default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    down: Option<u64>,
    /// Random uplinks, from a quarter of --up to 1.75 times that.
    #[arg(long)]
    unequal: bool,
    /// Longest one-way delay of an access line, in milliseconds.
    #[arg(long, default_value_t = 20)]
    latency: u64,
    /// Connections of one peer.
    #[arg(long, default_value_t = Options::default().connections)]
    connections: u32,
    /// Whom the tracker names: spread (some at sixteen places on the ring of ids), ring (who follows there) or random.
    #[arg(long, default_value = "spread", value_parser = known)]
    known: Known,
    /// Which of equally rare pieces: ring, random or sequential.
    #[arg(long, default_value = "ring", value_parser = tie)]
    tie: Tie,
    /// Peers that are served at the same time.
    #[arg(long, default_value_t = Options::default().upload_slots)]
    slots: u32,
    /// The same if some of them take little.
    #[arg(long, default_value_t = Options::default().upload_slots_max)]
    slots_max: u32,
    /// Standard clients that are served at the same time.
    #[arg(long, default_value_t = Options::default().standard_slots)]
    standard_slots: u32,
    /// Bytes that a peer gets before it is another's turn, in KiB.
    #[arg(long)]
    turn: Option<u64>,
    /// Seeders do not say what they would like to send.
    #[arg(long)]
    no_suggest: bool,
    /// The seeder goes when it has sent this many percent of the file.
    #[arg(long, value_name = "PERCENT")]
    seeder_leaves: Option<u32>,
    /// Percent of the leechers that go at a random moment and come back.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    churn: u32,
    /// Percent of the leechers that go when they are complete.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    leave_when_complete: u32,
    /// Percent of the leechers with a tenth of the bandwidth.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    slow: u32,
    /// Percent of the leechers that send nothing.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    free_riders: u32,
    /// Percent of the leechers that speak none of our extensions and serve others tit for tat.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    standard: u32,
    /// Peers that say they have pieces and never send one, beside the leechers, in percent of them.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    liars: u32,
    /// Peers that send one block every half a minute, beside the leechers, in percent of them.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    drippers: u32,
    /// Nobody takes blocks over from slow peers.
    #[arg(long)]
    no_steal: bool,
    /// Those who go when they are complete go at once.
    #[arg(long)]
    no_dwell: bool,
    /// Uplink of the seeder, in KB/s; --up by default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    seeder_up: Option<u64>,
    /// Poisoners beside the leechers, in percent of them.
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    poisoners: u32,
    /// Leechers come within this many seconds; 0 is a flash crowd.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    arrivals: u64,
}

fn main() -> ExitCode {
    match Sim::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sim swarm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn named<T: Copy>(all: &[(T, &'static str)], name: &str) -> Result<T, String> {
    let known = all.iter().find(|(_, known)| *known == name);
    known.map(|(value, _)| *value).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(_, name)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn tie(name: &str) -> Result<Tie, String> {
    named(&Tie::ALL, name)
}

fn known(name: &str) -> Result<Known, String> {
    named(&Known::ALL, name)
}

impl Sim {
    fn options(&self) -> Options {
        Options {
            peers: self.peers,
            pieces: self.pieces,
            piece_blocks: self.piece_blocks,
            seed: self.seed,
            up: self.up * 1_000,
            down: self.down.unwrap_or(self.up.saturating_mul(5)) * 1_000,
            unequal: self.unequal,
            latency_max: Duration::from_millis(self.latency),
            connections: self.connections,
            known: self.known,
            tie: self.tie,
            upload_slots: self.slots,
            upload_slots_max: self.slots_max,
            standard_slots: self.standard_slots,
            upload_turn_bytes: self
                .turn
                .map_or(Options::default().upload_turn_bytes, |kib| kib.saturating_mul(1024)),
            suggest: !self.no_suggest,
            seeder_leaves_percent: self.seeder_leaves,
            churn_percent: self.churn,
            leave_when_complete_percent: self.leave_when_complete,
            slow_percent: self.slow,
            free_rider_percent: self.free_riders,
            standard_percent: self.standard,
            poisoner_percent: self.poisoners,
            liar_percent: self.liars,
            dripper_percent: self.drippers,
            steal: !self.no_steal,
            dwell: !self.no_dwell,
            seeder_up: self.seeder_up.map(|kilobytes| kilobytes * 1_000),
            arrivals: Duration::from_secs(self.arrivals),
        }
    }

    fn run(&self) -> Result<()> {
        let options = self.options();
        let started = Instant::now();
        let report = run(options.clone());
        if let Some(path) = &self.svg {
            let drawn = fs::write(path, draw(&options, &report));
            drawn.with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        match self.json {
            true => println!("{}", json(&options, &report)),
            false => text(&options, &report, started.elapsed()),
        }
        Ok(())
    }
}

fn text(options: &Options, report: &Report, took: Duration) {
    println!(
        "{} of {} leechers have all {} pieces; bound ({}) {:.1} s",
        report.finished,
        report.leechers,
        options.pieces,
        report.bound.name(),
        report.bound_s
    );
    println!("median   {:8.1} s  eta {:.3}", report.median_s, report.eta_median);
    println!("slowest  {:8.1} s  eta {:.3}", report.slowest_s, report.eta_slowest);
    if let Some(took) = report.free_riders_s {
        println!("median of those who send nothing {took:.1} s");
    }
    let overhead = report.seed_overhead.map_or("never".to_owned(), |overhead| format!("{overhead:.3}"));
    println!(
        "seed overhead {overhead}; uplinks used {:.0} %; wasted {:.2} %",
        report.uplink_used * 100.0,
        report.wasted * 100.0
    );
    if report.poisoners > 0 {
        println!(
            "{} of {} poisoners banned ({} bans), {:.2} % wrong bytes received, {} written",
            report.poisoners_banned,
            report.poisoners,
            report.bans,
            report.bad_received * 100.0,
            report.bad_written
        );
    }
    println!("{} events in {:.1} s, trace {:016x}", report.events, took.as_secs_f64(), report.trace);
}

fn json(options: &Options, report: &Report) -> String {
    let overhead = report.seed_overhead.map_or("null".to_owned(), |overhead| format!("{overhead:.4}"));
    let free_riders = report.free_riders_s.map_or("null".to_owned(), |took| format!("{took:.3}"));
    format!(
        "{{\"peers\":{},\"pieces\":{},\"seed\":{},\"finished\":{},\"bound\":\"{}\",\"bound_s\":{:.3},\
         \"median_s\":{:.3},\"slowest_s\":{:.3},\"eta_median\":{:.4},\"eta_slowest\":{:.4},\
         \"free_riders_s\":{free_riders},\"seed_overhead\":{overhead},\"wasted\":{:.5},\"bad_received\":{:.5},\"bad_bytes_written\":{},\
         \"poisoners\":{},\"poisoners_banned\":{},\"bans\":{},\"uplink_used\":{:.4},\"events\":{},\"trace\":\"{:016x}\"}}",
        options.peers,
        options.pieces,
        options.seed,
        report.finished,
        report.bound.name(),
        report.bound_s,
        report.median_s,
        report.slowest_s,
        report.eta_median,
        report.eta_slowest,
        report.wasted,
        report.bad_received,
        report.bad_written,
        report.poisoners,
        report.poisoners_banned,
        report.bans,
        report.uplink_used,
        report.events,
        report.trace,
    )
}

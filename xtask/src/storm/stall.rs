//! `cargo xtask storm stall`: what honest clients feel while thousands of connections are stalled.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use peerage_drive::{Tracker, free_addresses};
use peerage_link::api::{Empty, HelloResponse, path};
use peerage_link::http::TrackerConn;
use peerage_link::list::TrackerList;
use peerage_link::tls::{self, ExpectedKey};

use super::files;
use super::honest::{self, Latencies, Target, quantile};
use super::stalled::{Counts, Stalled};
use crate::process;

const END_TIMEOUT: Duration = Duration::from_secs(20);
/// For the tracker to answer before anything is measured.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Sockets that are neither stalled nor honest, and some room.
const FILES_SPARE: u64 = 512;
/// What the 99th percentile may grow by.
const RATIO_AIM: f64 = 2.0;

/// Settings of one storm.
#[derive(clap::Args)]
pub struct Stall {
    /// Stalled TLS handshakes, and as many stalled request headers.
    #[arg(long, default_value_t = 2_000)]
    stalled: u32,
    /// Addresses of 127/8 that each kind comes from.
    #[arg(long, default_value_t = 500)]
    sources: u32,
    /// New stalled connections per second, until all stand; what the tracker ends is replaced at this pace.
    #[arg(long, default_value_t = 400)]
    pace: u32,
    /// Honest clients.
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Length of the quiet and of the stormy part, seconds each.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Use the unoptimised build: quick to make, its figures mean little.
    #[arg(long)]
    debug: bool,
}

impl Stall {
    /// Builds the program, lets the storm loose and prints.
    pub fn run(&self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.stalled), "--stalled must be 1 to 10000");
        ensure!((1..=600).contains(&self.seconds), "--seconds must be 1 to 600");
        ensure!((1..=200).contains(&self.clients), "--clients must be 1 to 200");
        files::allow(u64::from(self.stalled) * 2 + FILES_SPARE)?;
        let (profile, folder) = if self.debug { ("dev", "debug") } else { ("release", "release") };
        let build = ["build", "--profile", profile, "--locked", "--package", "peerage-cli"];
        process::cargo("build", &build, &[])?;
        let program = process::root().join("target").join(folder).join("peerage");
        let dir = tempfile::tempdir().context("a temporary folder")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.measure(&program, dir.path()))
    }

    async fn measure(&self, program: &Path, dir: &Path) -> Result<()> {
        let list = dir.join("tracker_info.txt");
        let addr = free_addresses(1)?[0];
        fs::write(&list, format!("{addr}\n"))?;
        let mut tracker = Tracker::start(program, &list, 1, &dir.join("tracker"))?;
        let target = target(&list).await?;
        let lasting = Duration::from_secs(self.seconds);
        let quiet = honest::work(&target, self.clients, lasting, 1).await?;
        let storm = Stalled::begin(
            SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port())),
            &target.tls,
            self.stalled,
            self.sources,
            self.pace,
        );
        let stormy = honest::work(&target, self.clients, lasting, 2).await;
        let counts = Arc::clone(&storm.counts);
        storm.end().await;
        // An honest client that was kept out is a failure; how long it took is a figure.
        self.print(&quiet, &stormy?, &counts);
        tracker.quit(END_TIMEOUT)?;
        Ok(())
    }

    fn print(&self, quiet: &Latencies, stormy: &Latencies, counts: &Counts) {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "{0} stalled handshakes and {0} stalled headers from {1} addresses: {2} opened, {3} ended by the tracker, \
             {4} not let in; {5} honest clients, every action done",
            self.stalled,
            self.sources * 2,
            count(&counts.opened),
            count(&counts.ended),
            count(&counts.failed),
            self.clients,
        );
        println!("{:<22} {:>16} {:>16} {:>8}", "ms, p50 / p99", "quiet", "storm", "p99");
        let mut worst: f64 = 0.0;
        for (what, before, during) in [
            ("connect and call", &quiet.newcomer, &stormy.newcomer),
            ("call, kept open", &quiet.call, &stormy.call),
            ("durable write", &quiet.write, &stormy.write),
        ] {
            let show =
                |values: &[f64]| format!("{:.1} / {:.1}", quantile(values, 0.5), quantile(values, 0.99));
            let ratio = quantile(during, 0.99) / quantile(before, 0.99);
            worst = worst.max(ratio);
            println!("{what:<22} {:>16} {:>16} {ratio:>7.2}x", show(before), show(during));
        }
        let verdict = if worst <= RATIO_AIM { "met" } else { "missed" };
        println!("worst p99 ratio {worst:.2}, aim at most {RATIO_AIM:.1}: {verdict}");
    }
}

/// Learns the cluster from the tracker itself.
async fn target(list: &Path) -> Result<Target> {
    let list = TrackerList::load(list)?;
    let pin = list.pin.context("the tracker left no pin")?;
    let entry = list.entry(1).context("the list is empty")?.clone();
    let tls = tls::client_config(None, ExpectedKey::Exactly(pin), &[tls::ALPN_H2]);
    let conn = TrackerConn::connect(&entry, Arc::clone(&tls), START_TIMEOUT).await?;
    let hello: HelloResponse = conn.call_within(path::HELLO, &Empty {}, START_TIMEOUT).await?;
    Ok(Target { entry, tls, cluster: hello.cluster })
}

//! Benchmarks: real processes, figures printed, nothing asserted. Machines are shared and noisy, so compare
//! figures of one run, and CPU seconds as well as rates.

mod page;
mod peers;
mod tracker;
mod usage;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Durable writes, announces, replication lag, memory and start-up of real trackers, beside bare programs.
    Tracker(tracker::Tracker),
    /// How quickly the page answers in Chromium when there is very much to show.
    Page(page::Page),
    /// Transfers, beside libtorrent, rqbit, aria2, transmission, sendme and a bare program; installs what is missing.
    Peers(Box<peers::Peers>),
}

impl Bench {
    /// Runs it.
    pub fn run(&self) -> Result<()> {
        match self {
            Self::Tracker(tracker) => tracker.run(),
            Self::Page(page) => page.run(),
            Self::Peers(peers) => peers.run(),
        }
    }
}

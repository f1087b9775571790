//! Storms: real processes under attack and failure, with figures and a verdict. Everything stays on loopback, is
//! bounded in count and time, and ends by itself. A storm that finds a broken promise ends with an error.

mod cluster;
mod dice;
mod failover;
mod files;
mod honest;
mod kill;
mod load;
mod names;
mod stall;
mod stalled;
mod transfer;

use anyhow::Result;
use clap::Subcommand;

/// What can be let loose.
#[derive(Subcommand)]
pub enum Storm {
    /// SIGKILL of trackers at random moments under write load: nothing acknowledged is lost.
    Kill(kill::Kill),
    /// All trackers but one killed in random orders: every kind of write goes on.
    Failover(failover::Failover),
    /// One name claimed on all sides of a partition, many times: one winner, the others are told and go on.
    Names(names::Names),
    /// Thousands of stalled TLS handshakes and request headers against one tracker while honest clients work.
    Stall(stall::Stall),
    /// SIGKILL of receiver and sharer at random moments of transfers: identical files, little fetched again.
    Transfer(transfer::Transfer),
}

impl Storm {
    /// Runs it.
    pub fn run(&self) -> Result<()> {
        match self {
            Self::Kill(kill) => kill.run(),
            Self::Failover(failover) => failover.run(),
            Self::Names(names) => names.run(),
            Self::Stall(stall) => stall.run(),
            Self::Transfer(transfer) => transfer.run(),
        }
    }
}

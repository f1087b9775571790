//! Several trackers' replicas with simulated disks, clocks and network, and clients that submit bundles.
//!
//! Faults: loss, delay, duplication, reordering, one-way partitions, clogged links, slow disks, clock jumps, crashes
//! that lose what was not yet durable (and sometimes keep what was, untold), and disks lost for good. Checked at
//! each step:
//!
//! * a log never has a gap, and one place in it never means two records, on whatever disk;
//! * stamps rise within an origin, and across the restarts of one tracker;
//! * a replica's vector, and every vector that it sends, is covered by its disk;
//! * rows are applied only when they are on the disk;
//! * an answer never claims more disks than hold the bundle;
//! * a running replica answers every submission, about a second after its own disk at the latest.
//!
//! After healing: all logs and all record sets are equal; no acknowledged record is lost while one of the disks
//! lives that held it when it was acknowledged; and every tracker's next write is durable on all.

mod checks;
mod client;
mod disk;
mod network;
mod node;
mod world;

use peerage_types::Time;

/// What a run without a violation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed that made it.
    pub seed: u64,
    /// Trackers in the cluster.
    pub trackers: usize,
    /// Events until the end of the healed phase.
    pub events: u64,
    /// Simulated time, in milliseconds.
    pub elapsed: Time,
    /// Bundles submitted by clients.
    pub bundles: usize,
    /// Submissions that were answered.
    pub answers: u64,
    /// Log rows on every disk at the end.
    pub rows: usize,
    /// How often a tracker crashed.
    pub crashes: u64,
    /// Hash over everything that happened.
    pub trace: u64,
}

/// A rule was broken. The seed shows it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed} at {} ms: {what}", .at.0)]
pub struct Violation {
    /// The seed that made the world.
    pub seed: u64,
    /// When, in simulated milliseconds.
    pub at: Time,
    /// Which rule, and by whom.
    pub what: String,
}

/// Runs one world: `operations` client operations and faults, then the healed phase.
///
/// # Errors
/// The first violation.
pub fn run(seed: u64, operations: u32) -> Result<Report, Violation> {
    world::World::new(seed).run(operations)
}

//! One tracker: a disk and a wall clock that outlive its runs, and at times a run.

use std::collections::{BTreeMap, VecDeque};

use ed25519_dalek::SigningKey;
use peerage_replica::{BatchId, Config, Limits, PeerId, Replica, ReplyId, Vector, VerifiedRow};
use peerage_types::{Stamp, Time, TrackerId};

use super::client::BUNDLE_RECORDS_MAX;
use super::disk::Disk;
use super::network::Body;
use crate::rng::Rng;

/// Simulated wall clocks start here: milliseconds since the Unix epoch.
const UNIX_MS: u64 = 1_800_000_000_000;

/// One place in the tracker list.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) disk: Disk,
    pub(crate) run: Option<Run>,
    /// Counts runs; messages and timers of earlier ones are void.
    pub(crate) life: u64,
    /// How often the disk was lost.
    pub(crate) wipes: u64,
    pub(crate) clock_offset_ms: i64,
    /// The slowest that a commit gets.
    pub(crate) commit_ms_max: u64,
}

/// What a process has in memory.
pub(crate) struct Run {
    pub(crate) replica: Replica,
    /// Batches handed to the disk and not reported back, oldest first.
    pub(crate) commits: VecDeque<Commit>,
    /// Requests of others that wait for an answer.
    pub(crate) calls: BTreeMap<ReplyId, Call>,
    pub(crate) reply_last: u64,
    pub(crate) wake_at: Option<Time>,
    /// No commit ends before the one ahead of it.
    pub(crate) disk_free_at: Time,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({:?})", self.replica.status())
    }
}

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) batch: BatchId,
    pub(crate) rows: Vec<VerifiedRow>,
    pub(crate) last_stamp: Stamp,
    /// It is on the disk, the replica has not heard of it yet.
    pub(crate) written: bool,
}

/// A request of another tracker.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) asker: usize,
    pub(crate) life: u64,
    pub(crate) kind: CallKind,
}

/// What it wants.
#[derive(Debug)]
pub(crate) enum CallKind {
    Push(BatchId),
    Pull,
}

impl Node {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        // A few trackers have clocks that are far off, most are off a little.
        let reach = *rng.pick(&[50, 50, 50, 4_000, 900_000]).unwrap_or(&50);
        Self {
            disk: Disk::new(tracker_id(rng)),
            run: None,
            life: 0,
            wipes: 0,
            clock_offset_ms: offset(rng, reach),
            commit_ms_max: 20,
        }
    }

    /// Starts a process on what the disk holds.
    pub(crate) fn start(&mut self, cluster: &Cluster, me: usize, rng: &mut Rng, now: Time) {
        self.life += 1;
        let peers = (0..cluster.trackers).filter(|n| *n != me).map(peer_id);
        let config = Config {
            tracker: self.disk.tracker,
            incarnation: rng.next(),
            peers: peers.collect(),
            signing_key: cluster.key.clone(),
            vector: self.disk.vector(),
            last_stamp: self.disk.last_stamp,
            limits: cluster.limits.clone(),
        };
        self.run = Some(Run {
            replica: Replica::new(config, now),
            commits: VecDeque::new(),
            calls: BTreeMap::new(),
            reply_last: 0,
            wake_at: None,
            disk_free_at: now,
        });
    }

    /// The disk is lost with everything on it. Call it while nothing runs.
    pub(crate) fn wipe(&mut self, rng: &mut Rng) {
        self.disk = Disk::new(tracker_id(rng));
        self.wipes += 1;
    }

    pub(crate) fn unix_ms(&self, now: Time) -> u64 {
        (UNIX_MS + now.0).saturating_add_signed(self.clock_offset_ms)
    }

    /// What the run believes to be on the disk, if there is a run.
    pub(crate) fn vector(&self) -> Option<&Vector> {
        self.run.as_ref().map(|run| run.replica.vector())
    }
}

/// What all trackers have in common.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) trackers: usize,
    pub(crate) key: SigningKey,
    pub(crate) limits: Limits,
}

impl Cluster {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        // Small maxima, so that answers come in parts and tails end early; yet a tail holds a whole bundle.
        let limits = Limits {
            push_rows_max: rng.between(1, 8) as usize,
            pull_rows_max: rng.between(1, 20) as usize,
            tail_rows_max: rng.between(BUNDLE_RECORDS_MAX, 30) as usize,
            recent_rows_max: rng.between(1, 50) as usize,
            ..Limits::default()
        };
        Self { trackers: rng.between(1, 5) as usize, key: SigningKey::from_bytes(&rng.bytes()), limits }
    }
}

impl CallKind {
    pub(crate) fn of(body: &Body) -> Option<Self> {
        match body {
            Body::Push { batch, .. } => Some(Self::Push(*batch)),
            Body::Pull { .. } => Some(Self::Pull),
            Body::PushAnswer { .. } | Body::PullAnswer { .. } => None,
        }
    }
}

/// Up to `reach` milliseconds to either side.
pub(crate) fn offset(rng: &mut Rng, reach: u64) -> i64 {
    rng.between(0, 2 * reach).cast_signed() - reach.cast_signed()
}

pub(crate) fn peer_id(node: usize) -> PeerId {
    PeerId(u32::try_from(node).unwrap_or(u32::MAX))
}

fn tracker_id(rng: &mut Rng) -> TrackerId {
    let mut id = [0; 16];
    id.copy_from_slice(&rng.bytes()[..16]);
    TrackerId(id)
}

//! One tracker: a disk and a wall clock that outlive its runs, and at times a run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerage_replica::{Ask, Config, Limits, PeerId, Replica, ReplyId, Ticket, Told, Vector};
use peerage_types::{PublicKey, RecordId, Time, TrackerId};

use super::admission::Lane;
use super::disk::{Commit, Disk};
use super::image::Pages;
use super::network::Request;
use super::serving::Serving;
use super::submission::Submission;
use super::{BUNDLE_ROWS_MAX, Sabotage};
use crate::rng::Rng;

/// Simulated wall clocks start here: milliseconds since the Unix epoch.
const UNIX_MS: u64 = 1_800_000_000_000;

/// The furthest that a clock is off.
pub(crate) const CLOCK_OFF_MS_MAX: u64 = 3_600_000;

/// One place in the tracker list.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) disk: Disk,
    pub(crate) run: Option<Run>,
    /// Counts runs; messages and timers of earlier ones are void.
    pub(crate) life: u64,
    pub(crate) clock_offset_ms: i64,
    /// The others on this tracker's list.
    pub(crate) listed: BTreeSet<usize>,
    /// Nobody's tracker any more: it is on no list and never starts again.
    pub(crate) retired: bool,
    /// Takes whatever is a record, without asking whether it would take effect: an operator's own build.
    pub(crate) lax: bool,
}

/// What a process has in memory.
pub(crate) struct Run {
    pub(crate) replica: Replica,
    pub(crate) serving: Serving,
    /// Requests of others that wait for an answer.
    pub(crate) calls: BTreeMap<ReplyId, Call>,
    pub(crate) reply_last: u64,
    pub(crate) wake_at: Option<Time>,
    /// No commit ends before the one ahead of it.
    pub(crate) disk_free_at: Time,
    /// What a bundle on its way to the disk has decided about.
    pub(crate) lanes: BTreeMap<Lane, Ticket>,
    /// Of each bundle that holds lanes, the records that are not in the views yet.
    pub(crate) held: BTreeMap<Ticket, BTreeSet<RecordId>>,
    /// Bundles that wait for lanes, first come first.
    pub(crate) queue: VecDeque<Submission>,
    /// The deliberate bug of [`Sabotage::EarlyAdopt`]: pages that wait until their vector is claimed.
    pub(crate) held_back: Vec<Commit>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({:?})", self.replica.status())
    }
}

/// A request of another tracker.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) asker: usize,
    pub(crate) life: u64,
    pub(crate) request: Request,
    /// What it has, if it pulls.
    pub(crate) vector: Vector,
}

impl Node {
    pub(crate) fn new(rng: &mut Rng, listed: BTreeSet<usize>) -> Self {
        // A few trackers have clocks that are far off, most are off a little.
        let reach = *rng.pick(&[50, 50, 50, 4_000, CLOCK_OFF_MS_MAX]).unwrap_or(&50);
        Self {
            disk: Disk::new(tracker_id(rng)),
            run: None,
            life: 0,
            clock_offset_ms: offset(rng, reach),
            listed,
            retired: false,
            lax: false,
        }
    }

    /// Starts a process on what the disk holds.
    pub(crate) fn start(&mut self, cluster: &Cluster, me: usize, rng: &mut Rng, now: Time) {
        self.life += 1;
        let peers = self.listed.iter().map(|n| peer_id(*n));
        let image = self.disk.image();
        let config = Config {
            tracker: image.tracker,
            incarnation: rng.next(),
            peers: peers.collect(),
            signing_key: cluster.key.clone(),
            vector: image.vector().clone(),
            last_stamp: image.last_stamp,
            limits: cluster.limits.clone(),
        };
        self.run = Some(Run {
            replica: Replica::new(config, now),
            serving: Serving::new(me, cluster.sabotage),
            calls: BTreeMap::new(),
            reply_last: 0,
            wake_at: None,
            disk_free_at: now,
            lanes: BTreeMap::new(),
            held: BTreeMap::new(),
            queue: VecDeque::new(),
            held_back: Vec::new(),
        });
    }

    /// The disk is lost with everything on it. Call it while nothing runs.
    pub(crate) fn wipe(&mut self, rng: &mut Rng) {
        self.disk.lose(tracker_id(rng));
    }

    /// Answers a question about the disk.
    pub(crate) fn answer(&self, ask: &Ask, pages: &Pages) -> Told {
        let run = self.run.as_ref().map_or(0, |run| run.replica.origin().incarnation);
        self.disk.image().answer(run, ask, pages)
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
    pub(crate) key: SigningKey,
    pub(crate) public_key: PublicKey,
    pub(crate) limits: Limits,
    /// What one answer about a disk holds.
    pub(crate) pages: Pages,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Cluster {
    pub(crate) fn new(sabotage: Option<Sabotage>, rng: &mut Rng) -> Self {
        // Small maxima, so that answers come in parts and tails end early; yet a tail holds a whole bundle.
        let limits = Limits {
            push_rows_max: rng.between(1, 8) as usize,
            pull_rows_max: rng.between(1, 60) as usize,
            tail_rows_max: rng.between(BUNDLE_ROWS_MAX, 30) as usize,
            recent_rows_max: rng.between(1, 50) as usize,
            // So soon that comparisons and snapshots happen all the time, and meet everything else.
            snapshot_rows_min_empty: rng.between(0, 30),
            snapshot_rows_min: rng.between(5, 80),
            compare_first: pause(rng, 500, 10_000),
            compare_interval: pause(rng, 1_000, 20_000),
            compare_pause: pause(rng, 100, 5_000),
            mend_pause: pause(rng, 100, 2_000),
            exchange_timeout: pause(rng, 1_000, 6_000),
            ..Limits::default()
        };
        let pages = Pages::new(rng);
        let key = SigningKey::from_bytes(&rng.bytes());
        let public_key = PublicKey(key.verifying_key().to_bytes());
        Self { key, public_key, limits, pages, sabotage }
    }
}

fn pause(rng: &mut Rng, from_ms: u64, to_ms: u64) -> Duration {
    Duration::from_millis(rng.between(from_ms, to_ms))
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

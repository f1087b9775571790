//! What a run is held against, and what came of it.
//!
//! Two lower bounds on the time in which everybody can have the file, F bytes in M pieces for N leechers:
//!
//! * *fluid* (Kumar & Ross, "Peer-assisted file distribution: the minimum distribution time", 2006):
//!   `max{ F / d_min, F / u_s, N·F / (u_s + Σ u_i) }`; even with infinitely small pieces nothing is faster;
//! * *pieces*, if all uplinks are equal (Mundinger, Weber & Weiss, "Optimal scheduling of peer-to-peer file
//!   dissemination", 2008): `F / u · (1 + ⌊log2 N⌋ / M)`; a piece can be passed on only when it is complete.
//!
//! Both know nothing of latency, handshakes and requests. The higher one counts. Uplinks of those who send nothing or
//! rubbish do not.

use super::peer::{Peer, Role};
use super::queue::Us;
use super::world::World;

/// Which bound was the higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Kumar & Ross.
    Fluid,
    /// Mundinger, Weber & Weiss.
    Pieces,
}

impl Bound {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fluid => "fluid",
            Self::Pieces => "pieces",
        }
    }
}

/// How far everybody was at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds since the beginning.
    pub at_s: f64,
    /// Verified share of the file of the tenth that has least, of the median and of the tenth that has most.
    pub low: f64,
    /// See `low`.
    pub median: f64,
    /// See `low`.
    pub high: f64,
    /// Share of the leechers that have everything.
    pub finished: f64,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Leechers that finished, and how many there were.
    pub finished: u32,
    /// See `finished`.
    pub leechers: u32,
    /// The bound, and which one it is.
    pub bound_s: f64,
    /// See `bound_s`.
    pub bound: Bound,
    /// From joining to the last piece, over those who were there all the time.
    pub median_s: f64,
    /// See `median_s`; of all who have finished.
    pub slowest_s: f64,
    /// Bound ÷ measured.
    pub eta_median: f64,
    /// See `eta_median`; 0 if somebody has not finished.
    pub eta_slowest: f64,
    /// The median of those who send nothing, if there are such.
    pub free_riders_s: Option<f64>,
    /// What a lone seeder sent until every piece was somewhere else, too, ÷ file size; `None` if that never came.
    pub seed_overhead: Option<f64>,
    /// What leechers received without use (twice, too late or wrong) ÷ what they needed.
    pub wasted: f64,
    /// Wrong bytes received ÷ what leechers needed.
    pub bad_received: f64,
    /// Wrong bytes that were written.
    pub bad_written: u64,
    /// Poisoners, and how many of them somebody has banned.
    pub poisoners: u32,
    /// See `poisoners`.
    pub poisoners_banned: u32,
    /// Bans of all leechers together.
    pub bans: u64,
    /// Share of the honest uplinks that was used until the slowest was done.
    pub uplink_used: f64,
    /// Events that were simulated.
    pub events: u64,
    /// Of everything that happened.
    pub trace: u64,
    /// Progress over time.
    pub samples: Vec<Sample>,
}

fn seconds(us: Us) -> f64 {
    us as f64 / 1e6
}

/// The value at `percent` of sorted values.
fn at_percent(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(0.0)
}

impl World {
    /// Takes a sample if it is time to.
    pub(super) fn sample(&mut self) {
        let now = self.now();
        let due =
            self.samples.last().is_none_or(|last| seconds(now) >= last.at_s + seconds(self.sample_every));
        if !due && self.unfinished > 0 {
            return;
        }
        let leechers = || self.peers.iter().filter(|peer| peer.role.fetches());
        let pieces = f64::from(self.options.pieces);
        let mut done: Vec<f64> =
            leechers().map(|peer| f64::from(peer.swarm.have().count()) / pieces).collect();
        done.sort_by(f64::total_cmp);
        let finished = leechers().filter(|peer| peer.finished.is_some()).count() as f64;
        self.samples.push(Sample {
            at_s: seconds(now),
            low: at_percent(&done, 10),
            median: at_percent(&done, 50),
            high: at_percent(&done, 90),
            finished: finished / done.len().max(1) as f64,
        });
    }

    fn bound(&self) -> (f64, Bound) {
        let file = self.file_bytes() as f64;
        let leechers = || self.peers.iter().filter(|peer| peer.role.fetches());
        let sending = self.peers.iter().filter(|peer| matches!(peer.role, Role::Seeder | Role::Leecher));
        let up: f64 = sending.map(|peer| peer.up as f64).sum();
        let down = leechers().map(|peer| peer.down as f64).fold(f64::INFINITY, f64::min);
        let count = leechers().count() as f64;
        let seeder = self.options.seeder_up.unwrap_or(self.options.up) as f64;
        let fluid = (file / down).max(file / seeder).max(count * file / up);
        let pieces = file / seeder * (1.0 + count.log2().floor() / f64::from(self.options.pieces));
        let equal = leechers().all(|peer| peer.up as f64 == seeder && peer.role == Role::Leecher);
        if equal && pieces > fluid { (pieces, Bound::Pieces) } else { (fluid, Bound::Fluid) }
    }

    pub(super) fn report(mut self) -> Report {
        let (bound_s, bound) = self.bound();
        let file = self.file_bytes() as f64;
        let leechers: Vec<_> = self.peers.iter().filter(|peer| peer.role.fetches()).collect();
        let times = |counts: fn(&Peer) -> bool| {
            let counted = leechers.iter().filter(|peer| counts(peer));
            let took = counted.filter_map(|peer| peer.finished.map(|at| seconds(at - peer.joined)));
            let mut took: Vec<f64> = took.collect();
            took.sort_by(f64::total_cmp);
            took
        };
        let (steady, all) = (times(|peer| !peer.churned), times(|_| true));
        let free_riders = times(|peer| peer.role == Role::FreeRider);
        let (median_s, slowest_s) = (at_percent(&steady, 50), at_percent(&steady, 100));
        let needed = file * leechers.len() as f64;
        let finished = all.len() as u32;
        let everybody = finished as usize == leechers.len();
        let eta = |took: f64| if took > 0.0 { bound_s / took } else { 0.0 };
        let poisoners = self.peers.iter().filter(|peer| peer.role == Role::Poisoner).count() as u32;
        let leechers = leechers.len() as u32;
        let honest = || self.peers.iter().filter(|peer| matches!(peer.role, Role::Seeder | Role::Leecher));
        let sent: f64 = honest().map(|peer| peer.sent as f64).sum();
        let uplink_used =
            sent / (honest().map(|peer| peer.up as f64).sum::<f64>() * seconds(self.queue.now()));
        let counts = &self.counts;
        self.trace.add("end", &[self.queue.now(), counts.events, counts.wasted]);
        Report {
            finished,
            leechers,
            bound_s,
            bound,
            median_s,
            slowest_s,
            eta_median: eta(median_s),
            eta_slowest: if everybody { eta(slowest_s) } else { 0.0 },
            free_riders_s: (!free_riders.is_empty()).then(|| at_percent(&free_riders, 50)),
            seed_overhead: counts.seed_sent.map(|sent| sent as f64 / file),
            wasted: counts.wasted as f64 / needed,
            bad_received: counts.bad_received as f64 / needed,
            bad_written: counts.bad_written,
            poisoners,
            poisoners_banned: counts.banned.len() as u32,
            bans: counts.bans,
            uplink_used,
            events: counts.events,
            trace: self.trace.hash(),
            samples: self.samples,
        }
    }
}

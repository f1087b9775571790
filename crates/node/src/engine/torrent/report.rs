//! What a torrent tells: its status for display, and that it needs peers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use peerage_swarm::PeerKey;
use peerage_types::{Time, UserId};

use super::Owner;
use super::peers::Peer;
use crate::engine::api::{EngineEvent, PeerStatus, TorrentState, TorrentStatus};
use crate::engine::buffer::lock;

/// Rates are means over this long.
const RATE_WINDOW: Duration = Duration::from_secs(4);
/// How often a download without peers asks for some, and one with peers.
const WANT_EVERY: Duration = Duration::from_secs(5);
const WANT_EVERY_WITH_PEERS: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Report {
    sources: BTreeMap<UserId, u64>,
    bytes_done: u64,
    down: u64,
    /// Sent over connections that have ended.
    up_gone: u64,
    /// Time, bytes received, bytes sent; oldest first.
    samples: VecDeque<(Time, u64, u64)>,
    /// Something is worth saving.
    progress: bool,
    wanted_at: Option<Time>,
}

impl Report {
    pub(super) fn new(sources: BTreeMap<UserId, u64>, now: Time) -> Self {
        Self {
            sources,
            bytes_done: 0,
            down: 0,
            up_gone: 0,
            samples: VecDeque::from([(now, 0, 0)]),
            progress: false,
            wanted_at: None,
        }
    }

    pub(super) fn sources(&self) -> &BTreeMap<UserId, u64> {
        &self.sources
    }

    pub(super) fn received(&mut self, bytes: u32) {
        self.down += u64::from(bytes);
    }

    /// A block of a piece that is verified and written. So the sum over all members never exceeds what is there.
    pub(super) fn credit(&mut self, from: UserId, bytes: u32) {
        *self.sources.entry(from).or_default() += u64::from(bytes);
    }

    /// Verified bytes on disk, to begin with.
    pub(super) fn set_done(&mut self, bytes: u64) {
        self.bytes_done = bytes;
    }

    /// More verified bytes on disk.
    pub(super) fn done(&mut self, bytes: u32) {
        self.bytes_done += u64::from(bytes);
        self.progress = true;
    }

    pub(super) fn progress(&mut self) {
        self.progress = true;
    }

    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    pub(super) fn gone(&mut self, peer: &Peer) {
        self.up_gone += peer.gate.bytes_to.load(Ordering::Relaxed);
    }

    pub(super) fn sample(&mut self, now: Time, peers: &BTreeMap<PeerKey, Peer>) {
        let up =
            self.up_gone + peers.values().map(|peer| peer.gate.bytes_to.load(Ordering::Relaxed)).sum::<u64>();
        self.samples.push_back((now, self.down, up));
        // One that is older than the window stays, as its beginning.
        while self.samples.get(1).is_some_and(|(at, ..)| now.since(*at) >= RATE_WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Whether something was received or sent lately.
    pub(super) fn is_moving(&self) -> bool {
        self.rates() != (0, 0)
    }

    /// Bytes per second, received and sent.
    fn rates(&self) -> (u64, u64) {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return (0, 0) };
        let elapsed_ms = u64::try_from(last.0.since(first.0).as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |from: u64, to: u64| (to - from).saturating_mul(1000) / elapsed_ms;
        (rate(first.1, last.1), rate(first.2, last.2))
    }
}

impl Owner {
    /// Makes the status of this moment visible.
    pub(super) fn publish(&mut self) {
        let shared = &self.shared;
        let checking = self.state == TorrentState::Checking;
        let checked = self.checked_bytes.load(Ordering::Relaxed);
        let (down, up) = self.report.rates();
        let have = self.held();
        let status = TorrentStatus {
            info_hash: shared.info_hash,
            group: shared.group,
            name: shared.metainfo.name().clone(),
            path: self.work.place().to_owned(),
            state: self.state.clone(),
            bytes_done: if checking { checked } else { self.report.bytes_done },
            bytes_total: shared.metainfo.total_bytes(),
            wanted_done: if checking { checked } else { self.wanted_done },
            wanted_total: self.wanted_total,
            bytes_per_second_down: down,
            bytes_per_second_up: up,
            sources: self.report.sources.clone(),
            peers: self.peers.values().map(peer_status).collect(),
            pieces_done: have.count(),
            may_leave: self.state == TorrentState::Seeding && self.swarm.may_leave(),
            scrub_percent: self.scrub.percent(have.len()),
            piece_map: have,
        };
        *lock(&shared.status) = Arc::new(status);
    }

    /// Asks for peers when there are too few.
    pub(super) fn want_peers(&mut self, now: Time) {
        if self.stop.is_some() || !self.is_downloading() || self.swarm.is_complete() {
            return;
        }
        let every = if self.peers.is_empty() { WANT_EVERY } else { WANT_EVERY_WITH_PEERS };
        if self.report.wanted_at.is_none_or(|at| now.since(at) >= every) {
            self.report.wanted_at = Some(now);
            self.shared.engine.emit(EngineEvent::WantPeers { info_hash: self.shared.info_hash });
        }
    }
}

fn peer_status(peer: &Peer) -> PeerStatus {
    let percent = u64::from(peer.pieces.count()) * 100 / u64::from(peer.pieces.len().max(1));
    PeerStatus {
        device: peer.device,
        user: peer.user,
        addr: peer.addr,
        percent: u8::try_from(percent).unwrap_or(100),
        bytes_from: peer.bytes_from,
        bytes_to: peer.gate.bytes_to.load(Ordering::Relaxed),
        piece_map: peer.pieces.clone(),
    }
}

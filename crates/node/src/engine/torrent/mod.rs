//! The owner of one torrent: one task that runs the sans-IO [`Swarm`] and everything around it that decides.
//!
//! Connections report in batches ([`FromPeer`]), blocking jobs and the engine through [`Msg`]. After each batch the
//! swarm is drained and what it wants goes out to the connections, one batch of commands each. Nothing here waits for
//! the disk or the network, so there is no lock on the path of a block and no queue that grows without bound.

mod marks;
mod peers;
mod pieces;
mod records;
mod report;
mod scrub;
mod work;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use peerage_swarm::{Bans, Config, Input, Layout, Limits, Output, PeerKey, Priority, Rank, Swarm};
use peerage_types::{DeviceId, Time, UserId};
use peerage_wire::Bitfield;
use tokio::sync::{mpsc, oneshot};

use self::peers::Peer;
use self::pieces::Pieces;
use self::report::Report;
use self::scrub::Scrub;
use self::work::Work;
use super::api::{EngineEvent, PeerAddr, Scrubbed, TorrentState};
use super::conn::{Cmd, FromPeer};
use super::dial::{Candidates, Dialled};
use super::handshake::Admitted;
use super::prepare::Kind;
use super::shared::{Running, TorrentShared};

/// Batches that connections may be ahead of us.
const EVENT_BATCHES_MAX: usize = 64;
/// Batches and messages taken up between two drains.
const TURN_MAX: usize = 64;
/// How often a torrent that does something looks around.
const TICK: Duration = Duration::from_millis(250);
/// How often a download without peers does.
const TICK_WAITING: Duration = Duration::from_secs(1);
/// How often one that does nothing does.
const TICK_IDLE: Duration = Duration::from_secs(30);
/// Smallest share of the memory for unfinished pieces.
const PARTIAL_BYTES_MIN: u64 = 1024 * 1024;

/// To the owner, from everybody but connections.
#[derive(Debug)]
pub(super) enum Msg {
    /// Somebody has connected to us.
    Admitted(Box<Admitted>),
    /// An attempt to connect has ended.
    Dialled { device: DeviceId, dialled: Dialled },
    /// Whom to connect to.
    SetPeers(Vec<PeerAddr>),
    /// Somebody asks to be connected to.
    AddPeer(PeerAddr),
    /// Somebody may not be a member any more.
    RosterChanged,
    /// Complete pieces are checked and on disk, or not.
    Written(Vec<(pieces::WriteJob, pieces::WriteResult)>),
    /// A piece that we have cannot be read.
    ReadFailed(io::Error),
    /// The pieces that were to be checked and are right.
    Checked(io::Result<Bitfield>),
    /// The complete download has its final name, or not.
    Renamed(io::Result<()>),
    /// The complete download is on the device.
    Synced(io::Result<()>),
    /// Whether what is complete still looks as it did.
    Looked(io::Result<()>),
    /// Other files are wanted, or more or less than before.
    SetFiles { wanted: Option<Bitfield>, priorities: Vec<Priority> },
    /// The device could not read some of these while they were served.
    Unreadable(Vec<u32>),
    /// Some pieces were looked at for bit rot.
    Scrubbed(scrub::Step),
    /// Look at all of them now; answered when that is done.
    Scrub(oneshot::Sender<Result<Scrubbed, String>>),
    /// Progress is saved.
    Saved(io::Result<()>),
    /// What a job found about the group's records for this connection.
    Found(PeerKey, records::Found),
    /// End; answered when everything is written and saved.
    Stop(oneshot::Sender<()>),
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admitted")
            .field("device", &self.device)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// What a torrent's owner starts from.
pub(super) struct Start {
    pub(super) shared: Arc<TorrentShared>,
    pub(super) inbox: mpsc::UnboundedReceiver<Msg>,
    /// Pieces that are there.
    pub(super) have: Bitfield,
    /// Pieces that have to be checked first.
    pub(super) check: Bitfield,
    pub(super) kind: Kind,
    pub(super) place: std::path::PathBuf,
    pub(super) sources: BTreeMap<UserId, u64>,
    pub(super) wanted: Option<Bitfield>,
    pub(super) priorities: Vec<Priority>,
    /// When bit rot was looked for last, milliseconds since the Unix epoch, and where the next look goes on.
    pub(super) scrubbed: Option<(u64, u32)>,
    /// What is complete is on the device.
    pub(super) synced: bool,
    pub(super) rank: Option<Rank>,
    pub(super) seed: u64,
    /// Our share of the memory for unfinished pieces.
    pub(super) partial_bytes_max: u64,
    /// Counts us among the downloads until we are complete.
    pub(super) downloads: Running,
}

/// See the module.
pub(super) struct Owner {
    shared: Arc<TorrentShared>,
    inbox: mpsc::UnboundedReceiver<Msg>,
    events: mpsc::Receiver<FromPeer>,
    /// For new connections.
    events_in: mpsc::Sender<FromPeer>,
    swarm: Swarm,
    swarm_config: Config,
    swarm_at: Option<Time>,
    state: TorrentState,
    /// Checking: bytes done so far, and how to end it early.
    checked_bytes: Arc<AtomicU64>,
    check_cancelled: Arc<AtomicBool>,
    peers: BTreeMap<PeerKey, Peer>,
    by_device: BTreeMap<DeviceId, PeerKey>,
    next_key: u32,
    /// Who sent us wrong blocks or hashes.
    bans: Bans<DeviceId>,
    candidates: Candidates,
    /// When to look for somebody to dial.
    dial_at: Option<Time>,
    pieces: Pieces,
    work: Work,
    scrub: Scrub,
    report: Report,
    /// Verified bytes of wanted files, and bytes of these.
    wanted_done: u64,
    wanted_total: u64,
    downloads: Option<Running>,
    next_tick: Time,
    stop: Option<oneshot::Sender<()>>,
}

impl Owner {
    /// Starts checking if that is needed.
    pub(super) fn new(start: Start) -> Self {
        let Start {
            shared,
            inbox,
            have,
            check,
            kind,
            place,
            sources,
            wanted,
            priorities,
            scrubbed,
            synced,
            rank,
            seed,
            partial_bytes_max,
            downloads,
        } = start;
        let metainfo = &shared.metainfo;
        let piece_bytes = (0..metainfo.piece_count()).map(|piece| metainfo.piece_bytes(piece)).collect();
        let layout = Layout::new(metainfo.piece_length(), piece_bytes);
        let partial_bytes_max = partial_bytes_max.max(PARTIAL_BYTES_MIN);
        let limits =
            Limits { partial_bytes_target: partial_bytes_max / 2, partial_bytes_max, ..Limits::default() };
        let swarm_config = Config { layout, have, priorities, rank, seed, limits };
        let now = shared.engine.now();
        let (events_in, events) = mpsc::channel(EVENT_BATCHES_MAX);
        let mut owner = Self {
            swarm: Swarm::new(swarm_config.clone(), now),
            swarm_at: None,
            state: TorrentState::Checking,
            checked_bytes: Arc::default(),
            check_cancelled: Arc::default(),
            peers: BTreeMap::new(),
            by_device: BTreeMap::new(),
            next_key: 0,
            bans: Bans::new(shared.engine.config.ban_first),
            candidates: Candidates::new(shared.engine.device_id),
            dial_at: None,
            pieces: Pieces::new(&shared.metainfo, partial_bytes_max),
            work: Work::new(place, kind, wanted, synced, now),
            scrub: Scrub::new(now, scrubbed),
            report: Report::new(sources, now),
            wanted_done: 0,
            wanted_total: 0,
            downloads: Some(downloads),
            next_tick: now,
            stop: None,
            swarm_config,
            shared,
            inbox,
            events,
            events_in,
        };
        if check.count() > 0 {
            owner.start_check(check);
        } else {
            owner.checked_all();
            owner.sync_if_needed();
        }
        owner.publish();
        owner
    }

    /// Runs until it is told to stop and everything is saved.
    pub(super) async fn run(mut self) {
        let mut msgs = Vec::with_capacity(TURN_MAX);
        let mut batches = Vec::with_capacity(TURN_MAX);
        loop {
            let wait = self.wake_at().since(self.now());
            tokio::select! {
                biased;
                count = self.inbox.recv_many(&mut msgs, TURN_MAX) => if count == 0 { break },
                _ = self.events.recv_many(&mut batches, TURN_MAX) => {}
                () = tokio::time::sleep(wait) => {}
            }
            let now = self.now();
            for msg in msgs.drain(..) {
                self.take_msg(now, msg);
            }
            for batch in batches.drain(..) {
                self.take_batch(now, batch);
            }
            self.on_time(now);
            self.drain(now);
            if self.stop.is_some() && self.work.is_idle() {
                break;
            }
        }
        self.publish();
        self.shared.storage.close();
        if let Some(stop) = self.stop.take() {
            // Nobody may be waiting for it.
            let _ = stop.send(());
        }
    }

    fn now(&self) -> Time {
        self.shared.engine.now()
    }

    fn take_msg(&mut self, now: Time, msg: Msg) {
        match msg {
            Msg::Admitted(admitted) => self.connect(now, *admitted),
            Msg::Dialled { device, dialled } => self.dialled(now, device, dialled),
            Msg::SetPeers(peers) => self.set_peers(now, peers),
            Msg::AddPeer(peer) => self.add_peer(now, peer),
            Msg::RosterChanged => self.roster_changed(now),
            Msg::Written(results) => self.written(now, results),
            Msg::ReadFailed(error) => self.read_failed(now, &error),
            Msg::Checked(result) => self.checked(now, result),
            Msg::Renamed(result) => self.renamed(now, result),
            Msg::Synced(result) => self.synced(result),
            Msg::Looked(result) => self.looked(now, result),
            Msg::SetFiles { wanted, priorities } => self.set_files(now, wanted, priorities),
            Msg::Unreadable(pieces) => self.unreadable(pieces),
            Msg::Scrubbed(step) => self.scrubbed(now, step),
            Msg::Scrub(answer) => self.ask_scrub(now, answer),
            Msg::Saved(result) => self.saved(result),
            Msg::Found(peer, found) => self.found(now, peer, found),
            Msg::Stop(answer) => self.stop(now, answer),
        }
    }

    /// Sends what the swarm wants.
    fn drain(&mut self, now: Time) {
        loop {
            match self.swarm.poll() {
                Output::Request(peer, block) => self.request(now, peer, block),
                Output::Cancel(peer, block) => self.command(peer, Cmd::Cancel(block)),
                Output::Interested(peer) => self.command(peer, Cmd::Interested(true)),
                Output::NotInterested(peer) => self.command(peer, Cmd::Interested(false)),
                Output::Unchoke(peer) => self.command(peer, Cmd::Choke(false)),
                Output::Choke(peer) => self.command(peer, Cmd::Choke(true)),
                Output::Suggest(peer, piece) => self.command(peer, Cmd::Suggest(piece)),
                Output::AllowFast(peer, piece) => self.command(peer, Cmd::AllowFast(piece)),
                Output::Have(peer, piece) => self.command(peer, Cmd::Have(piece)),
                Output::Complete => {
                    self.rename();
                    self.repaired(now);
                }
                // Whoever asked for it looks at the status.
                Output::MayLeave => self.publish(),
                Output::WakeAt(at) => {
                    self.swarm_at = at;
                    break;
                }
            }
        }
        self.send_commands();
    }

    /// An event that no peer is to blame for.
    fn feed(&mut self, now: Time, input: Input) {
        // Only events of a peer can be faults.
        let _ = self.swarm.handle(now, input);
    }

    /// An event of a peer; it is dropped when it broke the protocol.
    fn feed_from(&mut self, now: Time, peer: PeerKey, input: Input) {
        if let Err(fault) = self.swarm.handle(now, input) {
            self.disconnect(now, peer, &fault);
        }
    }

    fn on_time(&mut self, now: Time) {
        if self.swarm_at.is_some_and(|at| at <= now) {
            self.feed(now, Input::Timeout);
        }
        if now >= self.next_tick {
            self.tick(now);
            self.dial_at = Some(now);
            let scrub_in = self.scrub_due_in().map_or(TICK_IDLE, |wait| wait.max(TICK));
            self.next_tick = now.after(self.tick_length().min(scrub_in));
        }
        if self.dial_at.is_some_and(|at| at <= now) {
            self.dial(now);
        }
        self.scrub_step(now);
    }

    fn tick_length(&self) -> Duration {
        match self.state {
            _ if self.stop.is_some() || !self.peers.is_empty() => TICK,
            TorrentState::Checking => TICK,
            TorrentState::Downloading | TorrentState::Repairing | TorrentState::Paused { .. } => TICK_WAITING,
            TorrentState::Seeding | TorrentState::Failed { .. } => TICK_IDLE,
        }
    }

    fn wake_at(&self) -> Time {
        [self.swarm_at, self.dial_at, self.scrub.wake_at()]
            .into_iter()
            .flatten()
            .fold(self.next_tick, Time::min)
    }

    /// Whether pieces are missing and being fetched, or will be.
    fn is_downloading(&self) -> bool {
        matches!(
            self.state,
            TorrentState::Downloading | TorrentState::Repairing | TorrentState::Paused { .. }
        )
    }

    /// Whether connections make sense.
    fn is_open(&self) -> bool {
        self.stop.is_none() && (self.is_downloading() || self.state == TorrentState::Seeding)
    }

    /// From now on in this state.
    fn enter(&mut self, now: Time, state: TorrentState) {
        self.state = state;
        self.next_tick = now;
        self.publish();
    }

    /// Ends for good: the user has to do something.
    fn fail(&mut self, now: Time, why: String, event: fn(peerage_types::InfoHash, String) -> EngineEvent) {
        if matches!(self.state, TorrentState::Failed { .. }) {
            return;
        }
        tracing::warn!(name = %self.shared.metainfo.name(), why, "a transfer has ended");
        self.enter(now, TorrentState::Failed { why: why.clone() });
        self.disconnect_all(now, &why);
        self.pieces.clear();
        // A job that is under way may open one more; the next tick closes that.
        self.shared.storage.close();
        self.publish();
        self.shared.engine.emit(event(self.shared.info_hash, why));
    }

    fn stop(&mut self, now: Time, answer: oneshot::Sender<()>) {
        self.check_cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
        self.disconnect_all(now, &"the torrent is being stopped");
        self.stop = Some(answer);
        if self.scrub.is_running() {
            // Its place is worth keeping.
            self.report.progress();
        }
        self.save(now, true);
    }
}

/// For [`Owner::fail`].
fn download_failed(info_hash: peerage_types::InfoHash, why: String) -> EngineEvent {
    EngineEvent::Failed { info_hash, why }
}

/// For [`Owner::fail`].
fn share_broken(info_hash: peerage_types::InfoHash, why: String) -> EngineEvent {
    EngineEvent::ShareBroken { info_hash, why }
}

//! What the engine takes and what it tells: configuration, torrents, status, events, errors.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_ledger::Record;
use peerage_metainfo::{Leaves, Metainfo};
use peerage_swarm::{BAN_FIRST, CONNECTIONS_MAX, Priority, Rank};
use peerage_types::{ClusterId, DeviceId, FileName, GroupId, InfoHash, RecordId, UserId};
use peerage_wire::{Answer, Ask, Bitfield, Heads};

use super::conn::SILENCE_MAX;

/// Bounds of one engine. [`EngineConfig::new`] gives the usual ones.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where to listen for peers (TCP). Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Connections of all torrents together.
    pub connections_max: usize,
    /// Connections of one torrent.
    pub torrent_connections_max: usize,
    /// Incoming connections that have not been admitted yet; the oldest make room, those of a crowd first.
    pub handshakes_max: usize,
    /// From the first byte of a connection until it is admitted.
    pub handshake_timeout: Duration,
    /// Unfinished pieces in memory, bytes. One download may use all of it; the *n*-th of several that run at once
    /// gets the *n*-th part on top, so a hundred of them stay below six times this.
    pub download_memory_bytes: u64,
    /// Blocks read from disk and not yet sent, bytes, over all connections; beyond that each may have 256 KiB,
    /// so that those who do not read stop nobody.
    pub upload_memory_bytes: u64,
    /// How long after one look for bit rot the next begins, for each complete torrent.
    pub scrub_every: Duration,
    /// How long whoever sent wrong data is kept out of a torrent the first time; longer each time after that.
    pub ban_first: Duration,
    /// A connected peer that says nothing for so long is gone; at least three times what lies between two signs of life.
    pub silence_max: Duration,
}

impl EngineConfig {
    /// The usual bounds: below 150 MiB of memory at full speed, the program itself included. More of it makes nothing
    /// faster: from 24 MiB of unfinished pieces on the rate stays the same.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            connections_max: 512,
            torrent_connections_max: CONNECTIONS_MAX as usize,
            handshakes_max: 64,
            handshake_timeout: Duration::from_secs(10),
            download_memory_bytes: 48 * 1024 * 1024,
            upload_memory_bytes: 16 * 1024 * 1024,
            scrub_every: Duration::from_secs(30 * 24 * 3600),
            ban_first: BAN_FIRST,
            silence_max: SILENCE_MAX,
        }
    }
}

/// Says who may connect. Asked in the handshake of each connection and again whenever a roster has changed; both
/// answers must come from memory, without waiting.
pub trait Roster: Send + Sync + 'static {
    /// Who holds `device`, if they may take part in `group` now. `cert` are the account records that the device
    /// showed, checked in themselves (encoding, signature, cluster) but not yet in what they claim.
    ///
    /// # Errors
    /// When they may not.
    fn admits(&self, group: &GroupId, device: &DeviceId, cert: &[Record]) -> Result<UserId, NotAdmitted>;

    /// Whether somebody who was admitted still may take part.
    fn still_member(&self, group: &GroupId, user: &UserId, device: &DeviceId) -> bool;

    /// The cluster whose records count.
    fn cluster(&self) -> ClusterId;

    /// What members tell each other about their groups, if they do.
    fn records(&self) -> Option<&dyn Records> {
        None
    }
}

/// A group's signed records, as members compare and exchange them. Only members that were admitted ask and are asked.
/// Everything but [`Records::heads`] is called where it may take a while.
pub trait Records: Send + Sync {
    /// What is known of a group; `None`: nothing.
    fn heads(&self, group: &GroupId) -> Option<Heads>;

    /// What to ask a member with these heads; `None`: it shows nothing that is not known here.
    fn lacking(&self, group: &GroupId, theirs: &Heads) -> Option<Ask>;

    /// The part of a question that begins behind this id.
    fn ask_after(&self, group: &GroupId, after: RecordId) -> Option<Ask>;

    /// What a member lacks that asks so.
    fn answer(&self, group: &GroupId, ask: &Ask) -> Answer;

    /// Verifies what a member answered and unites it with what is known. Tells whether that brought anything new.
    ///
    /// # Errors
    /// The member sent what no honest one sends.
    fn learn(&self, group: &GroupId, rows: &[Bytes]) -> Result<bool, String>;
}

/// Why a device may not take part in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// We know nothing about the group.
    #[error("the group is not known here")]
    UnknownGroup,
    /// The shown records do not certify the device.
    #[error("no account certifies the device")]
    NotCertified,
    /// Its owner has revoked the device.
    #[error("the device has been revoked")]
    Revoked,
    /// Its owner is not in the group.
    #[error("its owner is not a member of the group")]
    NotMember,
}

/// One torrent to take part in.
#[derive(Clone, Debug)]
pub struct TorrentSpec {
    /// Whose members may connect; must be the group that the metainfo names.
    pub group: GroupId,
    /// What the content is.
    pub metainfo: Arc<Metainfo>,
    /// Where it is, or goes.
    pub source: Source,
    /// Our place in the roster, by which each member starts with other pieces.
    pub rank: Option<Rank>,
    /// Breaks ties between pieces; any number.
    pub seed: u64,
}

/// Where the content is, or where it goes.
#[derive(Clone, Debug)]
pub enum Source {
    /// Complete, shared in place.
    Seed {
        /// The file or folder itself; never written to.
        path: PathBuf,
        /// The leaves as hashing gave them. `None` when this file was added before: what was
        /// kept then is used, and must still fit each file's size and modification time.
        leaves: Option<Leaves>,
    },
    /// To be fetched; goes on where an earlier attempt at the same place stopped.
    Download {
        /// An existing folder.
        folder: PathBuf,
        /// The complete file's or folder's name there; until then it is called like this with `.part` behind it.
        file_name: FileName,
        /// By the number of a file in the metainfo: which ones to fetch. Nothing for all.
        wanted: Option<Bitfield>,
        /// By the number of a file: how much each of these is wanted. Nothing if all are alike.
        levels: Vec<Priority>,
        /// The beginning and the end of each file come first.
        preview: bool,
        /// Files that lie at the place and have other content are taken over: what is right in them is kept, the rest
        /// overwritten. Without it they are in the way.
        into_existing: bool,
    },
}

/// Another member's device and where to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddr {
    /// The device; nobody else is accepted at these addresses.
    pub device: DeviceId,
    /// Its owner.
    pub user: UserId,
    /// Candidates, best first; all are tried.
    pub addresses: Vec<SocketAddr>,
}

/// How one torrent is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentStatus {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Its group.
    pub group: GroupId,
    /// The name of the shared file or folder.
    pub name: FileName,
    /// Its path when it is complete, now or later.
    pub path: PathBuf,
    /// What it is at.
    pub state: TorrentState,
    /// Verified bytes on disk. While [`TorrentState::Checking`]: bytes checked so far.
    pub bytes_done: u64,
    /// Bytes of the content.
    pub bytes_total: u64,
    /// As [`Self::bytes_done`], of the files that are wanted.
    pub wanted_done: u64,
    /// Bytes of these.
    pub wanted_total: u64,
    /// Received content, bytes per second over the last few seconds.
    pub bytes_per_second_down: u64,
    /// Sent content, bytes per second over the last few seconds.
    pub bytes_per_second_up: u64,
    /// Content received per member, kept when they disconnect and over restarts.
    pub sources: BTreeMap<UserId, u64>,
    /// Who is connected.
    pub peers: Vec<PeerStatus>,
    /// Verified pieces.
    pub pieces_done: u32,
    /// Which pieces they are.
    pub piece_map: Bitfield,
    /// All that is wanted is there and in its place, and the others can do without us: one more piece was handed on since,
    /// nobody wants any, or a minute has passed.
    pub may_leave: bool,
    /// How much the look for bit rot that is going on has read, 0–100; nothing while there is none.
    pub scrub_percent: Option<u8>,
}

impl TorrentStatus {
    /// Before anything is known.
    pub(super) fn before(metainfo: &Metainfo, place: &Path) -> Self {
        Self {
            info_hash: metainfo.info_hash(),
            group: metainfo.group(),
            name: metainfo.name().clone(),
            path: place.to_owned(),
            state: TorrentState::Checking,
            bytes_done: 0,
            bytes_total: metainfo.total_bytes(),
            wanted_done: 0,
            wanted_total: metainfo.total_bytes(),
            bytes_per_second_down: 0,
            bytes_per_second_up: 0,
            sources: BTreeMap::new(),
            peers: Vec::new(),
            pieces_done: 0,
            piece_map: Bitfield::new(metainfo.piece_count()),
            may_leave: false,
            scrub_percent: None,
        }
    }
}

/// What a torrent is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TorrentState {
    /// Hashing what is on disk.
    Checking,
    /// Pieces are missing.
    Downloading,
    /// All that is wanted is there, and served.
    Seeding,
    /// As [`Self::Seeding`], but some pieces went bad on the disk and are fetched again.
    Repairing,
    /// Waits for something that the user can change, such as room on the disk; goes on by itself.
    Paused {
        /// For people.
        why: String,
    },
    /// Ended; remove it, and add it again when the cause is gone.
    Failed {
        /// For people.
        why: String,
    },
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its device.
    pub device: DeviceId,
    /// Whose device it is.
    pub user: UserId,
    /// Where it is connected.
    pub addr: SocketAddr,
    /// How much of the pieces it has, 0–100, rounded down.
    pub percent: u8,
    /// Content received over this connection.
    pub bytes_from: u64,
    /// Content sent over this connection.
    pub bytes_to: u64,
    /// The pieces it has.
    pub piece_map: Bitfield,
}

/// What a look for bit rot found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Pieces that were read.
    pub pieces: u32,
    /// Those that are not what was hashed.
    pub damaged: u32,
}

/// Something that happened to a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// A download is complete and has its final name.
    Completed {
        /// Which torrent.
        info_hash: InfoHash,
        /// The complete file.
        path: PathBuf,
    },
    /// A download waits; it tries again every few seconds.
    Paused {
        /// Which torrent.
        info_hash: InfoHash,
        /// For people.
        why: String,
    },
    /// A paused download goes on.
    Resumed {
        /// Which torrent.
        info_hash: InfoHash,
    },
    /// A download ended early.
    Failed {
        /// Which torrent.
        info_hash: InfoHash,
        /// For people.
        why: String,
    },
    /// A complete file changed or disappeared: it is not served any more.
    ShareBroken {
        /// Which torrent.
        info_hash: InfoHash,
        /// For people.
        why: String,
    },
    /// Pieces of a complete torrent went bad on the disk. They are not served any more, and are fetched again; or that
    /// failed.
    Damaged {
        /// Which torrent.
        info_hash: InfoHash,
        /// For people.
        why: String,
    },
    /// A share that had to be read first is what it was, and served from now on.
    Checked {
        /// Which torrent.
        info_hash: InfoHash,
    },
    /// All that was damaged is right again.
    Repaired {
        /// Which torrent.
        info_hash: InfoHash,
    },
    /// Another member told something new about a group: who is in it may have changed.
    Learned {
        /// Which group.
        group: GroupId,
    },
    /// No address of this peer led to it. It may be able to dial us: ask it to, through a tracker.
    Unreachable {
        /// Which torrent.
        info_hash: InfoHash,
        /// The peer.
        device: DeviceId,
    },
    /// A download has nobody to ask: call [`Engine::set_peers`](super::Engine::set_peers).
    WantPeers {
        /// Which torrent.
        info_hash: InfoHash,
    },
}

/// Why an engine could not start. The environment is at fault.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The port is taken, or the address is not ours.
    #[error("cannot listen for peers on {addr}: {error}")]
    Listen {
        /// What was asked for.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The folder for progress and hashes cannot be made.
    #[error("cannot create the folder `{}`: {error}", .path.display())]
    StateDir {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// The own certificate does not fit into the handshake.
    #[error("the own account records have {0} bytes, at most {max} fit into the handshake", max = peerage_wire::CERT_BYTES_MAX)]
    Cert(usize),
}

/// Why a torrent could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is there already; remove it first.
    #[error("the torrent {0} is already running")]
    AlreadyAdded(InfoHash),
    /// The metainfo belongs to another group.
    #[error("the metainfo is for the group {got}, expected {expected}")]
    WrongGroup {
        /// The group of the [`TorrentSpec`].
        expected: GroupId,
        /// The group in the metainfo.
        got: GroupId,
    },
    /// Something else lies where the download should go. It is never overwritten.
    #[error("`{}` exists already and is not this download ({why}): move it away or choose another name", .path.display())]
    PathTaken {
        /// What lies there.
        path: PathBuf,
        /// How we know.
        why: String,
    },
    /// Another running torrent uses that place.
    #[error("`{}` is already the place of another transfer", .path.display())]
    PathInUse {
        /// The place.
        path: PathBuf,
    },
    /// The file to be shared is not what was hashed.
    #[error("`{}` cannot be shared: {why}", .path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Whether it is not what was hashed any more, or not there; otherwise it could not be looked at.
        changed: bool,
    },
    /// The wrong number of leaves.
    #[error("{got} leaf hashes were given, the content has {expected}")]
    Leaves {
        /// How many were given.
        got: u64,
        /// How many there must be.
        expected: u64,
    },
    /// The system refused.
    #[error("cannot {what} `{}`: {error}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The engine has been shut down.
    #[error("the engine has been shut down")]
    Closed,
}

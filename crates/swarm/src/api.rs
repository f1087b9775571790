//! What goes into the engine and what comes out.

use std::time::Duration;

use peerage_types::Time;
use peerage_types::limits::PIECE_BYTES_MAX;
use peerage_wire::{Bitfield, BlockRef};

use crate::layout::Layout;

/// The shell's number for one connection; not reused while events of the old one may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

/// Connections of one torrent that are enough. More would cost a HAVE each for every piece, and the simulator shows
/// no gain (docs/performance.md).
pub const CONNECTIONS_MAX: u32 = 96;

/// What is at the other end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerKind {
    /// A member with this program: served in turns.
    #[default]
    Member,
    /// A client that speaks none of our extensions: served tit for tat.
    Standard,
}

/// Our place among the group's members, by which each starts at a shard of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Our position, `0 <= rank < of`; taken modulo `of` otherwise.
    pub rank: u32,
    /// How many members there are.
    pub of: u32,
}

/// How much a piece is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Not at all: it is never requested, and does not have to be there for the torrent to be complete.
    Skip,
    /// When nothing better is left.
    Low,
    /// Like most.
    #[default]
    Normal,
    /// Before everything else, even before finishing what has begun: what a preview needs, or a reader waits for.
    First,
}

/// Every bound and threshold of the engine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Above this many bytes of unfinished pieces, finishing them goes before starting new ones.
    pub partial_bytes_target: u64,
    /// No new piece is started that would lift unfinished pieces above this; the ceiling of the shell's piece
    /// buffers. One piece is always allowed, so that a smaller ceiling cannot stop everything.
    pub partial_bytes_max: u64,
    /// Fewest requests that a peer gets at a time (1 while it is snubbed).
    pub depth_min: u32,
    /// Most requests that a peer gets at a time.
    pub depth_max: u32,
    /// Copies of one block requested at the same time in the endgame: 2, or 1 for none.
    pub endgame_copies: u8,
    /// Whether an idle peer takes blocks over from a much slower one when little is left, and any from a slower one what comes first.
    pub steal: bool,
    /// Silence with requests outstanding after which a peer counts as snubbing us. Doubles each time in a row.
    pub request_timeout: Duration,
    /// Age at which one request is given up although its peer answers others; also the longest timeout.
    pub request_stale: Duration,
    /// Members that are served at the same time if more want to be.
    pub upload_slots: u32,
    /// The same if some of them take so little that the uplink would be idle; at least `upload_slots`.
    pub upload_slots_max: u32,
    /// Standard clients that are served at the same time, one of them on trial.
    pub standard_slots: u32,
    /// What one of them gets before it is another's turn, in bytes; at least one piece.
    pub upload_turn_bytes: u64,
    /// How long a peer that is served may ask for nothing.
    pub upload_idle: Duration,
    /// How long it may take nothing of what it asked for.
    pub upload_stuck: Duration,
    /// How long we stay at the most when everything is there and others want it.
    pub dwell_max: Duration,
    /// Whether we say what we would like to send once we have everything.
    pub suggest: bool,
    /// Without a rank, pieces are chosen at random until this many are verified.
    pub random_first: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            partial_bytes_target: 32 * 1024 * 1024,
            partial_bytes_max: 256 * 1024 * 1024,
            depth_min: 4,
            depth_max: 2_000,
            endgame_copies: 2,
            steal: true,
            request_timeout: Duration::from_secs(10),
            request_stale: Duration::from_secs(60),
            upload_slots: 4,
            upload_slots_max: 12,
            standard_slots: 2,
            upload_turn_bytes: 512 * 1024,
            upload_idle: Duration::from_millis(500),
            // Twelve receivers of 64 KiB each at 150 KiB/s.
            upload_stuck: Duration::from_secs(5),
            dwell_max: Duration::from_secs(60),
            suggest: true,
            random_first: 4,
        }
    }
}

const _: () = assert!(PIECE_BYTES_MAX as u64 <= 32 * 1024 * 1024, "a piece fits below the target");

/// What a [`Swarm`](crate::Swarm) starts from.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the torrent is cut.
    pub layout: Layout,
    /// Verified pieces; as long as the layout.
    pub have: Bitfield,
    /// How much each piece is wanted; as long as the layout, or empty if all are alike.
    pub priorities: Vec<Priority>,
    /// Our place in the roster, if the swarm is one group. Replaces random first pieces: the shards make the
    /// first copies differ already.
    pub rank: Option<Rank>,
    /// Breaks ties between pieces. Any number; not a secret.
    pub seed: u64,
    /// Bounds and thresholds.
    pub limits: Limits,
}

/// One event. Events of peers that are not connected (any more) are ignored, except for `BlockBad`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Both handshakes are done and our bitfield of this moment was sent.
    Connected {
        /// The connection.
        peer: PeerKey,
        /// What it is.
        kind: PeerKind,
        /// How many requests it queues (`reqq`); at least 1 is assumed.
        request_queue: u32,
    },
    /// The connection ended.
    Gone(PeerKey),
    /// What the peer has; only as its first word about pieces.
    Bitfield(PeerKey, Bitfield),
    /// It has everything (BEP 6).
    HaveAll(PeerKey),
    /// It has nothing (BEP 6).
    HaveNone(PeerKey),
    /// It has one more piece.
    Have(PeerKey, u32),
    /// It stops answering requests; those outstanding are void, except for its allowed fast pieces.
    Choked(PeerKey),
    /// It answers requests.
    Unchoked(PeerKey),
    /// It would like to send this piece (BEP 6).
    Suggest(PeerKey, u32),
    /// It answers requests for this piece even while it chokes us (BEP 6).
    AllowedFast(PeerKey, u32),
    /// It will not answer this request (BEP 6). Of two for the same block, the cancelled one is meant.
    Rejected(PeerKey, BlockRef),
    /// Whether it wants pieces of ours.
    RemoteInterested(PeerKey, bool),
    /// It begins to ask for blocks of a piece: the first request, or one for another piece than the one before.
    Asked(PeerKey, u32),
    /// Bytes of blocks that left for it since the last such event.
    Uploaded(PeerKey, u64),
    /// The block's bytes are in the shell's piece buffer (if [`Swarm::is_wanted`](crate::Swarm::is_wanted) said
    /// so); the piece is not verified yet.
    BlockArrived(PeerKey, BlockRef),
    /// The block does not match its leaf, before or after its `BlockArrived`, even
    /// after `Gone`. Only this block is fetched again.
    /// The shell bans the device and closes the connection; until then nothing more is requested from it.
    BlockBad(PeerKey, BlockRef),
    /// The piece is verified and written.
    PieceDone(u32),
    /// The piece is wrong and nobody knows which block: all of them are fetched again.
    PieceFailed(u32),
    /// From now on the pieces are wanted like this; as long as the layout. What is under way of a piece that is
    /// skipped now is dropped, unless it is complete and being verified.
    SetPriorities(Vec<Priority>),
    /// From now on no more may be sent than so many bytes per second; `None`: as many as our line takes.
    SendLimit(Option<u64>),
    /// The time of the last `WakeAt` has come. Early or extra ones do no harm.
    Timeout,
}

/// One thing to do. All but the last three are about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask the peer for this block.
    Request(PeerKey, BlockRef),
    /// The peer may forget this request; the block may come nevertheless.
    Cancel(PeerKey, BlockRef),
    /// Tell the peer that it has pieces we lack.
    Interested(PeerKey),
    /// Tell it that it has none.
    NotInterested(PeerKey),
    /// Answer its requests from now on.
    Unchoke(PeerKey),
    /// Stop answering them, except for pieces that were allowed. Requests that wait are rejected alike.
    Choke(PeerKey),
    /// Tell the peer that this piece is the one that we would like to send (BEP 6).
    Suggest(PeerKey, u32),
    /// Tell it that we answer requests for this piece even while we choke it (BEP 6), until the next `Unchoke`.
    AllowFast(PeerKey, u32),
    /// Tell this peer that we have this piece.
    Have(PeerKey, u32),
    /// The last wanted piece was verified, or the last missing one is not wanted any more. Comes again only when
    /// more was wanted in between, and not when everything was there from the start.
    Complete,
    /// Whoever only wanted the file may go now without harm to the others. Comes once after each `Complete`.
    MayLeave,
    /// Nothing more to do until the next event, or until this time: then send [`Input::Timeout`].
    WakeAt(Option<Time>),
}

/// The peer broke the protocol: close its connection, then send [`Input::Gone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// A piece index behind the end.
    #[error("the peer named piece {piece}, expected less than {pieces}")]
    PieceOutOfRange {
        /// The index.
        piece: u32,
        /// The torrent's piece count.
        pieces: u32,
    },
    /// A bitfield for another number of pieces.
    #[error("the peer's bitfield is for {got} pieces, expected {pieces}")]
    BitfieldLength {
        /// The bitfield's length.
        got: u32,
        /// The torrent's piece count.
        pieces: u32,
    },
    /// A bitfield, HaveAll or HaveNone that is not the first word about pieces (BEP 3, BEP 6).
    #[error("the peer sent a bitfield after it had told what it has")]
    BitfieldLate,
    /// A block or a reject for something that was not requested.
    #[error("the peer answered a request that was not made: {} bytes at {} in piece {}", .0.len, .0.begin, .0.piece)]
    Unrequested(BlockRef),
}

/// What the engine knows about a peer, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStats {
    /// Pieces it has.
    pub pieces: u32,
    /// Whether it answers our requests.
    pub unchoked: bool,
    /// Whether it has pieces that we lack.
    pub interesting: bool,
    /// Whether it wants pieces of ours.
    pub remote_interested: bool,
    /// Whether it let requests time out and has not answered since.
    pub snubbed: bool,
    /// Requests outstanding.
    pub outstanding: u32,
    /// Requests that it may have outstanding.
    pub depth: u32,
    /// Bytes per second over the last few seconds.
    pub bytes_per_second: u64,
    /// Bytes of blocks received, duplicates included.
    pub bytes_received: u64,
}

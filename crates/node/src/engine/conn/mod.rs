//! One admitted connection: decrypts, cuts into messages, moves blocks, reads what the peer wants, encrypts.
//!
//! A task of its own for each connection. It decides nothing: what to request comes from the torrent's owner as
//! batches of [`Cmd`], what the peer said goes there as batches of [`Event`]. Towards the owner the queue is
//! bounded, so a connection that is ahead of its owner stops reading; towards the connection it is not, because
//! the owner must never wait, but what it can hold is bounded by the picker's request depth and the piece count.

mod input;
mod outbox;
mod serve;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use peerage_swarm::PeerKey;
use peerage_types::{Sha256, Time};
use peerage_wire::{Bitfield, BlockRef, HashRange, Message, WireError};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Interval, MissedTickBehavior};

use self::input::Input;
use self::outbox::Outbox;
pub(super) use self::serve::REQUESTS_MAX;
use self::serve::Serve;
use super::buffer::PieceSlot;
use super::limits::{Direction, Meter};
use super::shared::{Gate, TorrentShared};
use super::tls::PeerStream;

/// Bytes that one turn reads before it writes and reports.
const TURN_BYTES: usize = 512 * 1024;
/// Small messages that wait to be sent: a peer that makes us answer more than this is not reading. A bitfield of
/// the largest torrent fits.
const CONTROL_WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often timers are looked at.
const TICK: Duration = Duration::from_secs(5);
/// Something is sent at least this often, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A peer of ours that says nothing for three of them is gone: the usual `EngineConfig::silence_max`.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(100);
/// A socket that takes nothing for this long although something waits.
const STUCK_MAX: Duration = Duration::from_secs(60);
/// For a proper end of the TLS stream.
const GOODBYE: Duration = Duration::from_millis(500);

/// From the torrent's owner.
#[derive(Debug)]
pub(super) enum Cmd {
    /// Our pieces of this moment; the first command.
    Pieces(Bitfield),
    /// Ask for `block`; its bytes go to `slot`.
    Request {
        slot: Arc<PieceSlot>,
        block: BlockRef,
    },
    /// One block of 16 KiB is not wanted any more.
    Cancel(BlockRef),
    HashRequest(HashRange),
    Have(u32),
    Interested(bool),
    Choke(bool),
    Suggest(u32),
    /// Answer for this piece even while the peer is choked.
    AllowFast(u32),
    /// A message about the group's records, under the id that the peer chose.
    Records {
        id: u8,
        payload: Bytes,
    },
}

/// To the torrent's owner.
#[derive(Debug)]
pub(super) enum Event {
    Bitfield(Bitfield),
    HaveAll,
    HaveNone,
    Have(u32),
    Choked,
    Unchoked,
    Suggest(u32),
    AllowedFast(u32),
    Interested(bool),
    /// It begins to ask for blocks of this piece.
    Asked(u32),
    Rejected(BlockRef),
    /// A block of 16 KiB has come.
    Block {
        /// The attempt at the piece that it was requested for.
        slot_id: u64,
        block: BlockRef,
        /// Whether its bytes are in the piece's buffer now. If not they were dropped, because somebody else's were
        /// there first.
        filled: bool,
    },
    Hashes {
        range: HashRange,
        hashes: Vec<Sha256>,
    },
    HashReject(HashRange),
    /// A message about the group's records.
    Records(Bytes),
}

/// A batch from one connection.
#[derive(Debug)]
pub(super) struct FromPeer {
    pub(super) peer: PeerKey,
    pub(super) events: Vec<Event>,
    /// The connection has ended; nothing follows.
    pub(super) closed: Option<Closed>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("the other side closed it")]
    End,
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer is at fault.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// The peer is at fault.
    #[error("{0}")]
    Fault(&'static str),
    #[error("nothing was heard or taken for too long")]
    Silent,
    /// We did.
    #[error("closed from here")]
    Removed,
}

/// One connection; see the module.
pub(super) struct Conn {
    peer: PeerKey,
    stream: PeerStream,
    shared: Arc<TorrentShared>,
    gate: Arc<Gate>,
    input: Input,
    down: Meter,
    out: Outbox,
    serve: Serve,
    cmds: mpsc::UnboundedReceiver<Vec<Cmd>>,
    events: mpsc::Sender<FromPeer>,
    tick: Interval,
    /// When something was last written, and when the last write that had to wait began to.
    wrote_at: Time,
    waiting_since: Option<Time>,
    _permit: OwnedSemaphorePermit,
}

/// What the owner gives a new connection.
pub(super) struct Wiring {
    pub(super) peer: PeerKey,
    pub(super) shared: Arc<TorrentShared>,
    pub(super) gate: Arc<Gate>,
    pub(super) cmds: mpsc::UnboundedReceiver<Vec<Cmd>>,
    pub(super) events: mpsc::Sender<FromPeer>,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Conn {
    /// An admitted connection; must be run.
    pub(super) fn new(stream: PeerStream, wiring: Wiring) -> Self {
        let Wiring { peer, shared, gate, cmds, events, permit } = wiring;
        let least = shared.engine.config.silence_max / 4;
        let mut tick = tokio::time::interval(TICK.min(least).max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = shared.engine.now();
        gate.heard_ms.store(now.0, Ordering::Relaxed);
        Self {
            peer,
            stream,
            input: Input::new(peer, Arc::clone(&shared.metainfo)),
            down: Meter::new(&shared.limits, Direction::Down),
            out: Outbox::default(),
            serve: Serve::new(Arc::clone(&shared), Arc::clone(&gate)),
            shared,
            gate,
            cmds,
            events,
            tick,
            wrote_at: now,
            waiting_since: None,
            _permit: permit,
        }
    }

    /// Runs until one side ends it, and tells the owner why.
    pub(super) async fn run(mut self) {
        let closed = loop {
            if let Err(closed) = poll_fn(|cx| self.poll_turn(cx)).await {
                break closed;
            }
            let events = std::mem::take(&mut self.input.events);
            let batch = FromPeer { peer: self.peer, events, closed: None };
            if self.events.send(batch).await.is_err() {
                break Closed::Removed;
            }
        };
        self.gate.close();
        self.input.finish();
        let events = std::mem::take(&mut self.input.events);
        // The owner may have ended before us.
        let _ = self.events.send(FromPeer { peer: self.peer, events, closed: Some(closed) }).await;
        let _ = tokio::time::timeout(GOODBYE, self.stream.shutdown()).await;
    }

    /// Ready when there is something to tell the owner, or when the connection has to end.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        match self.poll_all(cx) {
            Err(closed) => Poll::Ready(Err(closed)),
            Ok(()) if self.input.events.is_empty() => Poll::Pending,
            Ok(()) => Poll::Ready(Ok(())),
        }
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        let now = self.shared.engine.now();
        self.take_commands(cx)?;
        self.read(cx, now)?;
        loop {
            self.serve.poll(cx, &mut self.out);
            self.write(cx, now)?;
            // What was sent may have made room for a read that nothing else would wake us for.
            if self.waiting_since.is_some() || !self.serve.can_start(&self.out) {
                break;
            }
        }
        while self.tick.poll_tick(cx).is_ready() {
            self.on_tick(now)?;
            self.write(cx, now)?;
        }
        Ok(())
    }

    fn take_commands(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        loop {
            match self.cmds.poll_recv(cx) {
                Poll::Ready(Some(batch)) => {
                    for cmd in batch {
                        self.obey(cmd)?;
                    }
                }
                Poll::Ready(None) => return Err(Closed::Removed),
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn obey(&mut self, cmd: Cmd) -> Result<(), Closed> {
        let message = match cmd {
            Cmd::Pieces(bits) if bits.is_full() => Message::HaveAll,
            Cmd::Pieces(bits) if bits.count() == 0 => Message::HaveNone,
            Cmd::Pieces(bits) => Message::Bitfield(bits.to_wire()),
            Cmd::Request { slot, block } => {
                self.input.expect(block, slot)?;
                Message::Request(block)
            }
            Cmd::Cancel(block) => match self.input.cancel(block) {
                Some(whole) => Message::Cancel(whole),
                None => return Ok(()),
            },
            Cmd::HashRequest(range) => Message::HashRequest(range),
            Cmd::Have(piece) => Message::Have(piece),
            Cmd::Records { id, payload } => Message::Extended { id, payload },
            Cmd::Suggest(piece) => Message::Suggest(piece),
            Cmd::AllowFast(piece) => {
                self.serve.allow(piece);
                Message::AllowedFast(piece)
            }
            Cmd::Interested(true) => Message::Interested,
            Cmd::Interested(false) => Message::NotInterested,
            Cmd::Choke(choking) => {
                let message = if choking { Message::Choke } else { Message::Unchoke };
                self.out.push(&message);
                self.serve.choke(choking, &mut self.out);
                return Ok(());
            }
        };
        self.out.push(&message);
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Time) -> Result<(), Closed> {
        let mut left = TURN_BYTES;
        loop {
            if left == 0 {
                cx.waker().wake_by_ref();
                break;
            }
            let Self { stream, input, serve, out, down, shared, .. } = self;
            let Poll::Ready(allowed) = down.poll_allowed(cx, &shared.engine) else { break };
            let read = stream.poll_each(cx, allowed, |bytes| {
                input.feed(bytes, serve, out)?;
                match out.control_bytes() > CONTROL_WAITING_BYTES_MAX {
                    true => Err(Closed::Fault("it asks on and on without reading the answers")),
                    false => Ok(()),
                }
            });
            let Poll::Ready(n) = read? else { break };
            let n = n.ok_or(Closed::End)?;
            self.down.spend(n);
            left = left.saturating_sub(n);
        }
        if left < TURN_BYTES {
            self.gate.heard_ms.store(now.0, Ordering::Relaxed);
        }
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Time) -> Result<(), Closed> {
        let mut written = 0;
        let result = self.out.poll_write(&mut self.stream, cx, &mut written);
        if written > 0 {
            self.wrote_at = now;
        }
        match result {
            Poll::Ready(result) => {
                result?;
                self.waiting_since = None;
            }
            Poll::Pending if written > 0 || self.waiting_since.is_none() => self.waiting_since = Some(now),
            Poll::Pending => {}
        }
        Ok(())
    }

    fn on_tick(&mut self, now: Time) -> Result<(), Closed> {
        if self.down.is_waiting() {
            // Whatever it says waits for our own limit.
            self.gate.heard_ms.store(now.0, Ordering::Relaxed);
        }
        let heard = Time(self.gate.heard_ms.load(Ordering::Relaxed));
        let stuck = self.waiting_since.is_some_and(|since| now.since(since) >= STUCK_MAX);
        if stuck || now.since(heard) >= self.shared.engine.config.silence_max {
            return Err(Closed::Silent);
        }
        if self.out.is_empty() && now.since(self.wrote_at) >= KEEP_ALIVE {
            self.out.push(&Message::KeepAlive);
        }
        Ok(())
    }
}

//! What a peer asks of us: queued, read from disk in runs, and handed to the outbox.
//!
//! Requests that follow one another in a file are read together, up to 256 KiB at a time, on a blocking thread,
//! while the run before is being encrypted. A peer that empties the outbox faster than one run is read gets more
//! runs per read. The buffers of all connections come out of one budget; when others hold all of it, a connection with
//! nothing left to send reads one run beyond it, so that whoever asks and does not read stops nobody.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use peerage_types::Sha256;
use peerage_wire::{BLOCK_BYTES_WIRE_MAX, BlockRef, HashRange, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Closed;
use super::outbox::Outbox;
use crate::engine::buffer::{Pool, PooledBuf};
use crate::engine::disk;
use crate::engine::hashes;
use crate::engine::limits::{Direction, Meter};
use crate::engine::shared::{CHUNK_BYTES, Gate, TorrentShared};
use crate::engine::storage::Run;
use crate::engine::torrent::Msg;

/// Requests of one peer that we queue: what the handshake says (`reqq`).
pub(in crate::engine) const REQUESTS_MAX: u32 = 2_000;
/// A peer may have forgotten requests that we have not, so a few more are no offence; beyond, they are rejected.
const REQUESTS_REJECT: usize = 2 * REQUESTS_MAX as usize;
/// Hash requests of one peer that we queue; one per piece under way is usual.
const HASH_REQUESTS_MAX: usize = 256;
/// Runs of one read for a fast peer, 256 KiB each.
const RUNS_MAX: usize = 4;

/// Read results for the outbox.
struct Served {
    hashes: Vec<(HashRange, Option<Vec<Sha256>>)>,
    runs: Vec<(Vec<BlockRef>, io::Result<Bytes>)>,
    error: Option<io::Error>,
    /// Pieces of which the device could not read something.
    unreadable: Vec<u32>,
}

type Job = Pin<Box<dyn Future<Output = Option<Served>> + Send>>;

/// See the module.
pub(super) struct Serve {
    shared: Arc<TorrentShared>,
    gate: Arc<Gate>,
    choking: bool,
    /// Pieces that are served even so.
    allowed: Vec<Allowed>,
    /// The piece of the last request.
    asked_piece: Option<u32>,
    requests: VecDeque<BlockRef>,
    hash_requests: VecDeque<HashRange>,
    job: Option<Job>,
    /// How many runs the next read takes.
    runs: usize,
    up: Meter,
}

/// A piece that is served to a choked peer.
struct Allowed {
    piece: u32,
    /// What it may still ask of it.
    bytes_left: u64,
}

impl Serve {
    /// Chokes until told otherwise.
    pub(super) fn new(shared: Arc<TorrentShared>, gate: Arc<Gate>) -> Self {
        Self {
            up: Meter::new(&shared.limits, Direction::Up),
            shared,
            gate,
            choking: true,
            allowed: Vec::new(),
            asked_piece: None,
            requests: VecDeque::new(),
            hash_requests: VecDeque::new(),
            job: None,
            runs: 1,
        }
    }

    /// Starts or stops answering. Whatever waits is rejected when it stops, except for allowed pieces (BEP 6).
    pub(super) fn choke(&mut self, choking: bool, out: &mut Outbox) {
        self.choking = choking;
        if choking {
            let allowed = &self.allowed;
            self.requests.retain(|block| {
                let keep = allowed.iter().any(|allowed| allowed.piece == block.piece);
                if !keep {
                    out.push(&Message::Reject(*block));
                }
                keep
            });
        } else {
            self.allowed.clear();
        }
    }

    /// Goes on answering for this piece while the peer is choked.
    pub(super) fn allow(&mut self, piece: u32) {
        // Once more for blocks that have to be sent again; not for ever.
        let bytes_left = 2 * u64::from(self.shared.metainfo.piece_bytes(piece));
        self.allowed.retain(|allowed| allowed.piece != piece);
        self.allowed.push(Allowed { piece, bytes_left });
    }

    /// The peer wants a block. Gives the piece when it begins to ask for another one.
    pub(super) fn request(&mut self, block: BlockRef, out: &mut Outbox) -> Result<Option<u32>, Closed> {
        let metainfo = &self.shared.metainfo;
        let inside =
            block.begin.checked_add(block.len).is_some_and(|end| end <= metainfo.piece_bytes(block.piece));
        if !inside || block.len == 0 || block.len > BLOCK_BYTES_WIRE_MAX {
            return Err(Closed::Fault("it asked for a block that does not exist"));
        }
        let refused =
            !self.may_ask(block) || self.requests.len() >= REQUESTS_REJECT || !self.holds(block.piece);
        if refused {
            out.push(&Message::Reject(block));
            return Ok(None);
        }
        self.requests.push_back(block);
        let before = self.asked_piece.replace(block.piece);
        Ok((before != Some(block.piece)).then_some(block.piece))
    }

    /// Whether a piece may be served: it is here, and nothing is known to be wrong with it.
    fn holds(&self, piece: u32) -> bool {
        self.shared.have.get(piece) && !self.shared.broken.load(Ordering::Relaxed)
    }

    /// Whether a block is among what we serve this peer now; of allowed pieces only so much.
    fn may_ask(&mut self, block: BlockRef) -> bool {
        if !self.choking {
            return true;
        }
        let allowed = self.allowed.iter_mut().find(|allowed| allowed.piece == block.piece);
        allowed.is_some_and(|allowed| match allowed.bytes_left.checked_sub(u64::from(block.len)) {
            Some(left) => {
                allowed.bytes_left = left;
                true
            }
            None => false,
        })
    }

    /// The peer does not want a block any more. What is being read comes all the same.
    pub(super) fn cancel(&mut self, block: BlockRef, out: &mut Outbox) {
        if let Some(at) = self.requests.iter().position(|other| *other == block) {
            self.requests.remove(at);
            out.push(&Message::Reject(block));
        }
    }

    /// The peer wants the leaves of a piece.
    pub(super) fn request_hashes(&mut self, range: HashRange, out: &mut Outbox) {
        if self.shared.held(&range).is_some() && self.hash_requests.len() < HASH_REQUESTS_MAX {
            self.hash_requests.push_back(range);
        } else {
            out.push(&Message::HashReject(range));
        }
    }

    /// Reads ahead as far as the outbox has room.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outbox) {
        loop {
            let Some(job) = &mut self.job else {
                if !self.start(cx, out) {
                    return;
                }
                continue;
            };
            let Poll::Ready(served) = job.as_mut().poll(cx) else { return };
            self.job = None;
            if out.data_bytes() == 0 {
                self.runs = (self.runs * 2).min(RUNS_MAX);
            }
            // `None`: the runtime is going down.
            if let Some(served) = served {
                self.deliver(served, out);
            }
        }
    }

    /// Whether a read is due and none is under way.
    pub(super) fn can_start(&self, out: &Outbox) -> bool {
        let idle = self.requests.is_empty() && self.hash_requests.is_empty();
        let room = self.job.is_none() && out.data_bytes() <= CHUNK_BYTES;
        room && !idle && self.gate.is_open() && !self.up.is_waiting()
    }

    /// Whether a read began.
    fn start(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> bool {
        let engine = Arc::clone(&self.shared.engine);
        if self.up.is_waiting() && self.up.poll_allowed(cx, &engine).is_pending() || !self.can_start(out) {
            return false;
        }
        let Poll::Ready(allowed) = self.up.poll_allowed(cx, &engine) else { return false };
        let runs_max = if allowed == usize::MAX { self.runs } else { 1 };
        let budget = Budget::take(&engine.upload_chunks, runs_max, out.data_bytes() == 0);
        let run_bytes = allowed.min(CHUNK_BYTES);
        let runs: Vec<_> = (0..budget.runs()).map_while(|_| self.next_run(run_bytes, out)).collect();
        let hash_requests: Vec<HashRange> = self.hash_requests.drain(..).collect();
        if runs.is_empty() && hash_requests.is_empty() {
            return false;
        }
        self.up.spend(runs.iter().map(|(run, _)| run.len as usize).sum());
        let shared = Arc::clone(&self.shared);
        self.job = Some(Box::pin(async move {
            tokio::task::spawn_blocking(move || read(&shared, &hash_requests, runs, budget)).await.ok()
        }));
        true
    }

    /// The next requests that follow one another in one file, at most so many bytes unless it is one. What was found
    /// damaged since it was asked for is rejected: whoever got it would take us for a poisoner.
    fn next_run(&mut self, bytes_max: usize, out: &mut Outbox) -> Option<(Run, Vec<BlockRef>)> {
        let mut first = self.requests.pop_front()?;
        while !self.holds(first.piece) {
            out.push(&Message::Reject(first));
            first = self.requests.pop_front()?;
        }
        let storage = &self.shared.storage;
        let mut run = storage.run(first.piece, first.begin, first.len);
        let mut blocks = vec![first];
        while let Some(&next) = self.requests.front() {
            let at = storage.run(next.piece, next.begin, next.len);
            let follows = at.file == run.file && at.offset == run.offset + u64::from(run.len);
            if !follows || !self.holds(next.piece) || (run.len + at.len) as usize > bytes_max {
                break;
            }
            self.requests.pop_front();
            run.len += at.len;
            blocks.push(next);
        }
        Some((run, blocks))
    }

    fn deliver(&mut self, served: Served, out: &mut Outbox) {
        for (range, hashes) in served.hashes {
            out.push(&match hashes {
                Some(hashes) => Message::Hashes { range, hashes },
                None => Message::HashReject(range),
            });
        }
        // Too many open files says nothing about this one: the blocks are rejected, and asked for again.
        if let Some(error) = served.error.filter(|error| !disk::is_shortage(error)) {
            self.shared.broken.store(true, Ordering::Relaxed);
            self.shared.tell(Msg::ReadFailed(error));
        }
        if !served.unreadable.is_empty() {
            self.shared.tell(Msg::Unreadable(served.unreadable));
        }
        if !self.gate.is_open() {
            return;
        }
        for (blocks, data) in served.runs {
            // A peer that was choked meanwhile has got its rejects for what was still queued, and gets this; but not what
            // was found damaged while it was being read.
            let data = data.ok().filter(|_| blocks.iter().all(|block| self.holds(block.piece)));
            let Some(data) = data else {
                blocks.into_iter().for_each(|block| out.push(&Message::Reject(block)));
                continue;
            };
            self.gate.bytes_to.fetch_add(data.len() as u64, Ordering::Relaxed);
            let mut at = 0;
            out.push_blocks(blocks.iter().map(|block| {
                let start = at;
                at += block.len as usize;
                (block.piece, block.begin, data.slice(start..at))
            }));
        }
    }
}

/// Memory for one read.
enum Budget {
    /// So many runs, out of what all connections share.
    Shared(OwnedSemaphorePermit),
    /// One run beyond that.
    Own,
    /// Nothing before what waits in the outbox is sent.
    None,
}

impl Budget {
    /// As many runs as there is memory for. Nobody ever waits for others: they may never read what was read for them.
    fn take(chunks: &Arc<Semaphore>, runs_max: usize, nothing_waits: bool) -> Self {
        let take = |runs: usize| Arc::clone(chunks).try_acquire_many_owned(runs as u32).ok();
        match take(runs_max).or_else(|| take(1)) {
            Some(permit) => Self::Shared(permit),
            None if nothing_waits => Self::Own,
            None => Self::None,
        }
    }

    fn runs(&self) -> usize {
        match self {
            Self::Shared(permit) => permit.num_permits(),
            Self::Own => 1,
            Self::None => 0,
        }
    }

    /// A buffer for the next run.
    fn buffer(&mut self, pool: &Arc<Pool>, len: usize) -> SentBuf {
        let permit = if let Self::Shared(permit) = self { permit.split(1) } else { None };
        SentBuf { buf: pool.take(), len, _permit: permit }
    }
}

/// A read buffer and its share of the budget; both are given back when its last block is sent.
struct SentBuf {
    buf: PooledBuf,
    len: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for SentBuf {
    fn as_ref(&self) -> &[u8] {
        &self.buf[..self.len]
    }
}

/// Blocking.
fn read(
    shared: &TorrentShared,
    hash_requests: &[HashRange],
    runs: Vec<(Run, Vec<BlockRef>)>,
    mut budget: Budget,
) -> Served {
    let (mut error, mut unreadable) = (None, Vec::new());
    let mut scratch = Vec::new();
    let mut answer = |range: &HashRange| {
        let piece = shared.held(range)?;
        match shared.storage.leaves(piece, &mut scratch) {
            Ok(leaves) => leaves.map(|leaves| hashes::answer(range, leaves)),
            Err(failed) if disk::is_unreadable(&failed) => {
                unreadable.push(piece);
                None
            }
            Err(failed) => {
                error = Some(failed);
                None
            }
        }
    };
    let hashes = hash_requests.iter().map(|range| (*range, answer(range))).collect();
    let runs = runs.into_iter().map(|(run, blocks)| {
        let buf = budget.buffer(&shared.engine.upload_pool, run.len as usize);
        let data = read_run(shared, run, buf);
        let data = data.map_err(|failed| {
            let kind = failed.kind();
            match disk::is_unreadable(&failed) {
                true => unreadable.extend(blocks.iter().map(|block| block.piece)),
                false => error = Some(failed),
            }
            kind.into()
        });
        (blocks, data)
    });
    let runs = runs.collect();
    unreadable.sort_unstable();
    unreadable.dedup();
    Served { hashes, runs, error, unreadable }
}

fn read_run(shared: &TorrentShared, run: Run, mut sent: SentBuf) -> io::Result<Bytes> {
    shared.storage.read(run, &mut sent.buf[..sent.len])?;
    Ok(Bytes::from_owner(sent))
}

//! What several tasks of the engine look at. Nothing on the path of a block takes a lock here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use peerage_metainfo::Metainfo;
use peerage_types::{DeviceId, GroupId, InfoHash, PublicKey, Time};
use peerage_wire::{BLOCK_BYTES_WIRE_MAX, Bitfield, HashRange};
use tokio::sync::{Semaphore, broadcast, mpsc};

use super::api::{EngineConfig, EngineEvent, Roster, TorrentStatus};
use super::buffer::{Pool, lock};
use super::doors::Doors;
use super::hashes::ByRoot;
use super::limits::{Limits, Pace, TorrentLimits};
use super::storage::Storage;
use super::tls;
use super::torrent::Msg;

/// Bytes of one read from disk: the largest run of requested blocks that is served at once.
pub(super) const CHUNK_BYTES: usize = BLOCK_BYTES_WIRE_MAX as usize;
/// Events that a slow reader of [`super::Engine::subscribe`] may fall behind.
const EVENTS_MAX: usize = 1024;
/// Attempts to connect at the same time.
const DIALS_MAX: usize = 64;
/// Idle read buffers kept, bytes.
const UPLOAD_IDLE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Idle buffers of connections kept, bytes.
const WIRE_IDLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How fast complete files are read to look for bit rot: a TiB in a day and a half.
const SCRUB_BYTES_PER_SECOND: u64 = 8 * 1024 * 1024;

/// One engine.
pub(super) struct EngineShared {
    pub(super) config: EngineConfig,
    pub(super) device: SigningKey,
    pub(super) device_id: DeviceId,
    /// `peerage_cert`: CBOR list of the own account records.
    pub(super) cert: Bytes,
    pub(super) peer_id: [u8; 20],
    pub(super) roster: Arc<dyn Roster>,
    pub(super) state_dir: PathBuf,
    /// Where we really listen.
    pub(super) listen: SocketAddr,
    pub(super) events: broadcast::Sender<EngineEvent>,
    /// Connections that are admitted.
    pub(super) connections: Arc<Semaphore>,
    /// Connections that are not.
    pub(super) doors: Arc<Doors>,
    /// Read buffers that may be out, in units of [`CHUNK_BYTES`].
    pub(super) upload_chunks: Arc<Semaphore>,
    pub(super) upload_pool: Arc<Pool>,
    /// What connections read and write through.
    pub(super) wire_pool: Arc<Pool>,
    /// Attempts to connect, of all torrents.
    pub(super) dials: Semaphore,
    pub(super) downloads: Arc<Downloads>,
    pub(super) limits: Limits,
    /// Of looking for bit rot, all torrents together.
    pub(super) scrub_pace: Pace,
    started: Instant,
}

impl EngineShared {
    pub(super) fn new(
        config: EngineConfig,
        device: SigningKey,
        cert: Bytes,
        peer_id: [u8; 20],
        roster: Arc<dyn Roster>,
        state_dir: PathBuf,
        listen: SocketAddr,
    ) -> Self {
        let chunks = usize::try_from(config.upload_memory_bytes).unwrap_or(usize::MAX) / CHUNK_BYTES;
        Self {
            device_id: PublicKey(device.verifying_key().to_bytes()),
            events: broadcast::channel(EVENTS_MAX).0,
            connections: Arc::new(Semaphore::new(config.connections_max)),
            doors: Arc::new(Doors::new(config.handshakes_max)),
            upload_chunks: Arc::new(Semaphore::new(chunks.min(Semaphore::MAX_PERMITS))),
            upload_pool: Pool::new(CHUNK_BYTES, UPLOAD_IDLE_BYTES_MAX),
            wire_pool: Pool::new(tls::BUF_BYTES, WIRE_IDLE_BYTES_MAX),
            dials: Semaphore::new(DIALS_MAX),
            downloads: Arc::default(),
            limits: Limits::default(),
            scrub_pace: Pace::new(SCRUB_BYTES_PER_SECOND),
            started: Instant::now(),
            config,
            device,
            cert,
            peer_id,
            roster,
            state_dir,
            listen,
        }
    }

    /// Milliseconds since the engine started.
    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Nobody may be listening; then nobody wants to know.
    pub(super) fn emit(&self, event: EngineEvent) {
        let _ = self.events.send(event);
    }
}

/// How many downloads are running: they share the memory for unfinished pieces.
#[derive(Debug, Default)]
pub(super) struct Downloads(AtomicU64);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    downloads: Arc<Downloads>,
    counted: bool,
    count: u64,
}

impl Downloads {
    /// One more; a torrent that is complete already does not count.
    pub(super) fn running(self: &Arc<Self>, counted: bool) -> Running {
        let before = self.0.fetch_add(u64::from(counted), Ordering::Relaxed);
        Running { downloads: Arc::clone(self), counted, count: before + 1 }
    }
}

impl Running {
    /// How many there were when it began, itself included.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.downloads.0.fetch_sub(u64::from(self.counted), Ordering::Relaxed);
    }
}

/// One torrent.
pub(super) struct TorrentShared {
    pub(super) engine: Arc<EngineShared>,
    pub(super) info_hash: InfoHash,
    pub(super) group: GroupId,
    pub(super) metainfo: Arc<Metainfo>,
    pub(super) storage: Storage,
    pub(super) by_root: ByRoot,
    pub(super) limits: TorrentLimits,
    /// Pieces that may be served.
    pub(super) have: AtomicBits,
    /// Set when reading failed: nothing is served from then on.
    pub(super) broken: AtomicBool,
    /// To the owner. Few and small messages; blocks go another way.
    pub(super) owner: mpsc::UnboundedSender<Msg>,
    pub(super) status: Mutex<Arc<TorrentStatus>>,
}

impl TorrentShared {
    /// The last published status.
    pub(super) fn status(&self) -> Arc<TorrentStatus> {
        Arc::clone(&lock(&self.status))
    }

    /// The piece whose leaves are asked for so, if it is here.
    pub(super) fn held(&self, range: &HashRange) -> Option<u32> {
        self.by_root.pieces_of(&self.metainfo, range).find(|piece| self.have.get(*piece))
    }

    /// The owner may have ended; then the message has no meaning any more.
    pub(super) fn tell(&self, msg: Msg) {
        let _ = self.owner.send(msg);
    }
}

/// A set of indices, of pieces or files, that one task changes and others read.
#[derive(Debug)]
pub(super) struct AtomicBits(Vec<AtomicU64>);

impl AtomicBits {
    /// A copy of `bits`.
    pub(super) fn new(bits: &Bitfield) -> Self {
        Self(bits.words().iter().map(|word| AtomicU64::new(*word)).collect())
    }

    /// Whether `piece` is set; false behind the end.
    pub(super) fn get(&self, piece: u32) -> bool {
        let word = self.0.get((piece / 64) as usize);
        word.is_some_and(|word| word.load(Ordering::Acquire) & mask(piece) != 0)
    }

    /// Sets `piece`.
    pub(super) fn set(&self, piece: u32) {
        if let Some(word) = self.0.get((piece / 64) as usize) {
            word.fetch_or(mask(piece), Ordering::Release);
        }
    }

    /// Clears `piece`.
    pub(super) fn clear(&self, piece: u32) {
        if let Some(word) = self.0.get((piece / 64) as usize) {
            word.fetch_and(!mask(piece), Ordering::Release);
        }
    }

    /// Takes over all of `bits`, which is as long.
    pub(super) fn set_all(&self, bits: &Bitfield) {
        for (word, value) in self.0.iter().zip(bits.words()) {
            word.store(*value, Ordering::Release);
        }
    }
}

/// The first piece of a word is its most significant bit, as in [`Bitfield::words`].
fn mask(piece: u32) -> u64 {
    1 << (63 - piece % 64)
}

/// What the owner of a torrent and one connection know of each other.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Cleared when the peer may not have anything any more; read before each run of blocks.
    closed: AtomicBool,
    /// Content sent.
    pub(super) bytes_to: AtomicU64,
    /// When something last came from the peer, in milliseconds of [`EngineShared::now`].
    pub(super) heard_ms: AtomicU64,
}

impl Gate {
    /// Whether the peer may be served.
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// From now on nothing is read for it.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_bits_agree_with_bitfields() {
        let mut bits = Bitfield::new(130);
        for piece in [0, 63, 64, 129] {
            bits.set(piece);
        }
        let atomic = AtomicBits::new(&bits);
        assert!((0..200).all(|piece| atomic.get(piece) == bits.get(piece)));
        atomic.set(100);
        atomic.set(900);
        assert!(atomic.get(100) && !atomic.get(101));
        atomic.clear(129);
        assert!(!atomic.get(129) && atomic.get(100));
        atomic.set_all(&bits);
        assert!(!atomic.get(100));
    }
}

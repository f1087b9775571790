//! Memory for bytes on their way: recycled buffers, and the piece that several connections fill together.
//!
//! A connection copies what it has decrypted straight into the piece's buffer; a complete piece is taken out, hashed
//! and written by another thread, so that one fast peer keeps more than one core busy. The lock of a piece is only
//! contended when several peers deliver the same piece at the same time.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_swarm::PeerKey;
use peerage_types::limits::BLOCK_BYTES;

/// Locks; what a panicking thread left behind is consistent enough, because every change here is one assignment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Buffers of one size, handed out and taken back. Their content is whatever was in them before.
#[derive(Debug)]
pub(super) struct Pool {
    buf_bytes: usize,
    /// Buffers kept while nobody uses them.
    idle_max: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// Keeps up to `idle_bytes_max` bytes for the next user.
    pub(super) fn new(buf_bytes: usize, idle_bytes_max: usize) -> Arc<Self> {
        let idle_max = idle_bytes_max / buf_bytes.max(1);
        Arc::new(Self { buf_bytes, idle_max, idle: Mutex::default() })
    }

    /// A buffer of the pool's size. How many are out is bounded by whoever asks.
    pub(super) fn take(self: &Arc<Self>) -> PooledBuf {
        let idle = lock(&self.idle).pop();
        PooledBuf { bytes: idle.unwrap_or_else(|| vec![0; self.buf_bytes]), pool: Arc::clone(self) }
    }

    /// As [`Self::take`]; where half of that is enough, exactly so many bytes, which do not come back. (A folder of small
    /// files has pieces that are far shorter than the others.)
    pub(super) fn take_for(self: &Arc<Self>, bytes: usize) -> PooledBuf {
        match bytes > self.buf_bytes / 2 {
            true => self.take(),
            false => PooledBuf { bytes: vec![0; bytes], pool: Arc::clone(self) },
        }
    }

    /// Gives idle memory back to the system.
    pub(super) fn clear(&self) {
        lock(&self.idle).clear();
    }
}

/// A buffer that returns to its pool.
#[derive(Debug)]
pub(super) struct PooledBuf {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Deref for PooledBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for PooledBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        if self.bytes.len() != self.pool.buf_bytes {
            return;
        }
        let mut idle = lock(&self.pool.idle);
        if idle.len() < self.pool.idle_max {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Where the bytes of an arriving block go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Into the piece, as they come.
    Direct,
    /// Somebody else is filling it: aside, and into the piece if we are done first.
    Aside,
    /// It is there already, or the piece is not needed any more.
    Discard,
}

/// One piece under way, shared by the torrent's owner and the connections that were asked for it.
#[derive(Debug)]
pub(super) struct PieceSlot {
    /// Tells this attempt at the piece from earlier ones.
    pub(super) id: u64,
    filling: Mutex<Filling>,
}

#[derive(Debug)]
struct Filling {
    /// `None` once the piece is complete or given up.
    buf: Option<PooledBuf>,
    /// Real bytes of the piece; the buffer may be longer.
    piece_bytes: u32,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Free,
    /// Being filled, or full and not reported yet. Only this peer writes to it.
    Filling(PeerKey),
    /// There, and not written to until it is freed.
    Filled,
}

impl PieceSlot {
    /// Nothing is there yet.
    pub(super) fn new(id: u64, buf: PooledBuf, piece_bytes: u32) -> Self {
        let blocks = vec![Block::Free; piece_bytes.div_ceil(BLOCK_BYTES) as usize];
        Self { id, filling: Mutex::new(Filling { buf: Some(buf), piece_bytes, blocks }) }
    }

    /// `peer` is about to deliver this block.
    pub(super) fn claim(&self, index: usize, peer: PeerKey) -> Claim {
        let mut filling = lock(&self.filling);
        if filling.buf.is_none() {
            return Claim::Discard;
        }
        let Some(block) = filling.blocks.get_mut(index) else { return Claim::Discard };
        match *block {
            Block::Free => {
                *block = Block::Filling(peer);
                Claim::Direct
            }
            // Its own unfinished delivery of before: it starts again.
            Block::Filling(other) if other == peer => Claim::Direct,
            Block::Filling(_) => Claim::Aside,
            Block::Filled => Claim::Discard,
        }
    }

    /// Copies `bytes` to `offset` of the claimed block. False when somebody else was done first.
    pub(super) fn write(&self, index: usize, peer: PeerKey, offset: usize, bytes: &[u8]) -> bool {
        let mut filling = lock(&self.filling);
        let filling = &mut *filling;
        let Some(range) = filling.range(index) else { return false };
        match (filling.blocks.get(index), &mut filling.buf) {
            (Some(Block::Filling(owner)), Some(buf)) if *owner == peer => {
                buf[range][offset..][..bytes.len()].copy_from_slice(bytes);
                true
            }
            _ => false,
        }
    }

    /// This claimed block is complete; false when somebody else was done first.
    pub(super) fn finish(&self, index: usize, peer: PeerKey) -> bool {
        let mut filling = lock(&self.filling);
        let is_open = filling.buf.is_some();
        match filling.blocks.get_mut(index) {
            Some(block) if is_open && *block == Block::Filling(peer) => {
                *block = Block::Filled;
                true
            }
            _ => false,
        }
    }

    /// A block that was collected aside is complete: as [`Self::finish`].
    pub(super) fn commit(&self, index: usize, bytes: &[u8]) -> bool {
        let mut filling = lock(&self.filling);
        let filling = &mut *filling;
        let Some(range) = filling.range(index) else { return false };
        let Some(buf) = filling.buf.as_mut() else { return false };
        if filling.blocks.get(index) == Some(&Block::Filled) || range.len() != bytes.len() {
            return false;
        }
        buf[range].copy_from_slice(bytes);
        filling.blocks[index] = Block::Filled;
        true
    }

    /// `peer` will not finish what it has begun.
    pub(super) fn unclaim(&self, index: usize, peer: PeerKey) {
        let mut filling = lock(&self.filling);
        if let Some(block) = filling.blocks.get_mut(index)
            && *block == Block::Filling(peer)
        {
            *block = Block::Free;
        }
    }

    /// The block is wrong: it has to come again.
    pub(super) fn free(&self, index: usize) {
        if let Some(block) = lock(&self.filling).blocks.get_mut(index) {
            *block = Block::Free;
        }
    }

    /// As [`Self::free`], for all blocks.
    pub(super) fn free_all(&self) {
        lock(&self.filling).blocks.fill(Block::Free);
    }

    /// Takes the piece out; whatever arrives for it from now on is discarded.
    pub(super) fn close(&self) -> Option<PooledBuf> {
        lock(&self.filling).buf.take()
    }

    /// Puts a piece back that was taken out: some of it has to come again.
    pub(super) fn reopen(&self, buf: PooledBuf) {
        lock(&self.filling).buf = Some(buf);
    }
}

impl Filling {
    fn range(&self, index: usize) -> Option<std::ops::Range<usize>> {
        let start = index.checked_mul(BLOCK_BYTES as usize)?;
        let end = (start + BLOCK_BYTES as usize).min(self.piece_bytes as usize);
        (index < self.blocks.len()).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerKey = PeerKey(1);
    const B: PeerKey = PeerKey(2);

    fn slot() -> PieceSlot {
        PieceSlot::new(0, Pool::new(65_536, 0).take(), 2 * BLOCK_BYTES + 5)
    }

    #[test]
    fn the_first_to_finish_wins() {
        let slot = slot();
        assert_eq!(slot.claim(2, A), Claim::Direct);
        assert!(slot.write(2, A, 0, b"ab"));
        assert_eq!(slot.claim(2, B), Claim::Aside);
        assert!(!slot.commit(2, b"too long") && slot.commit(2, b"hello"));
        assert!(!slot.write(2, A, 2, b"xyz"), "the loser writes nowhere");
        assert!(!slot.finish(2, A));
        assert_eq!(slot.claim(2, A), Claim::Discard);
        let piece = slot.close().unwrap();
        assert_eq!(&piece[2 * BLOCK_BYTES as usize..][..5], b"hello");
        assert_eq!(slot.claim(0, A), Claim::Discard);
        assert_eq!(slot.claim(9, A), Claim::Discard);
        slot.reopen(piece);
        assert_eq!((slot.claim(0, A), slot.claim(2, A)), (Claim::Direct, Claim::Discard));
    }

    #[test]
    fn a_block_can_come_again() {
        let slot = slot();
        assert_eq!(slot.claim(2, A), Claim::Direct);
        slot.unclaim(2, B);
        assert_eq!(slot.claim(2, B), Claim::Aside);
        slot.unclaim(2, A);
        assert_eq!(slot.claim(2, B), Claim::Direct);
        assert!(slot.write(2, B, 0, b"wrong"));
        assert_eq!(slot.claim(0, B), Claim::Direct);
        assert_eq!([1, 2, 9].map(|index| slot.finish(index, B)), [false, true, false]);
        slot.free(2);
        assert_eq!(slot.claim(2, A), Claim::Direct);
        assert!(slot.write(2, A, 0, b"right"));
        assert!(slot.finish(2, A));
        assert_eq!(&slot.close().unwrap()[2 * BLOCK_BYTES as usize..][..5], b"right");
    }

    #[test]
    fn buffers_return_to_their_pool() {
        let pool = Pool::new(16, 16);
        let (mut a, b) = (pool.take(), pool.take());
        a[0] = 7;
        drop(a);
        drop(b);
        assert_eq!(lock(&pool.idle).len(), 1);
        assert_eq!(pool.take()[0], 7);
        pool.clear();
        assert_eq!((pool.take_for(9).len(), pool.take_for(8).len()), (16, 8));
        assert_eq!(lock(&pool.idle).len(), 1, "only those of the pool's size come back");
    }
}

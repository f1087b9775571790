//! Where a torrent's bytes and hashes are on disk. Everything here blocks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use peerage_metainfo::{Metainfo, PieceFile, merkle};
use peerage_types::Sha256;
use peerage_types::limits::BLOCK_BYTES;
use peerage_wire::Bitfield;

use super::disk::{self, DataFile};
use super::files::Files;
use super::hashes;

/// One torrent's files, and its leaf hashes in a sidecar: 32 bytes for each block, the leaves of all files one
/// after another.
#[derive(Debug)]
pub(super) struct Storage {
    metainfo: Arc<Metainfo>,
    files: Files,
    sidecar: DataFile,
    /// Pieces of zeros, by their hashes: where the file has a hole, nothing of them has to be read or fetched.
    zeros: Bitfield,
    zero_leaf: Sha256,
}

/// A contiguous run of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Index of the file.
    pub(super) file: usize,
    /// Where it starts in the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) len: u32,
}

impl Storage {
    /// Opens nothing yet.
    pub(super) fn new(metainfo: Arc<Metainfo>, files: Files, sidecar: DataFile) -> Self {
        let mut zeros = Bitfield::new(metainfo.piece_count());
        metainfo.zero_pieces().for_each(|piece| _ = zeros.set(piece));
        Self { metainfo, files, sidecar, zeros, zero_leaf: merkle::zero_leaf() }
    }

    /// Pieces of zeros, as far as their hashes tell.
    pub(super) fn zeros(&self) -> &Bitfield {
        &self.zeros
    }

    /// Whether nothing was ever written where this piece of zeros belongs, so that its file reads as it must.
    pub(super) fn is_hole(&self, piece: u32) -> bool {
        let run = self.run(piece, 0, self.metainfo.piece_bytes(piece));
        self.zeros.get(piece) && self.files.is_hole(run.file, run.offset, run.len)
    }

    /// Where bytes of a piece are.
    pub(super) fn run(&self, piece: u32, begin: u32, len: u32) -> Run {
        let at = self.metainfo.piece_file(piece);
        Run { file: at.file, offset: at.offset + u64::from(begin), len }
    }

    /// The files.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Fills `bytes` from where `run` starts.
    pub(super) fn read(&self, run: Run, bytes: &mut [u8]) -> io::Result<()> {
        self.files.read_exact_at(run.file, bytes, run.offset)
    }

    /// Writes a verified piece and then its leaves.
    pub(super) fn write_piece(&self, piece: u32, bytes: &[u8], leaves: &[Sha256]) -> io::Result<()> {
        let at = self.metainfo.piece_file(piece);
        match leaves.contains(&self.zero_leaf) && self.is_fresh(at, bytes.len())? {
            true => self.write_around_zeros(at, bytes, leaves)?,
            false => self.files.write_all_at(at.file, bytes, at.offset)?,
        }
        self.write_leaves(piece, leaves)
    }

    /// Whether nothing was ever written to where a piece goes, in a file that is being fetched and was made for it.
    fn is_fresh(&self, at: PieceFile, len: usize) -> io::Result<bool> {
        if self.files.is_settled(at.file) {
            return Ok(false);
        }
        self.files.create(at.file)?;
        Ok(self.files.is_fresh(at.file, at.offset, u32::try_from(len).unwrap_or(u32::MAX)))
    }

    /// Blocks of zeros stay holes.
    fn write_around_zeros(&self, at: PieceFile, bytes: &[u8], leaves: &[Sha256]) -> io::Result<()> {
        let mut offset = at.offset;
        let mut rest = bytes;
        for same in leaves.chunk_by(|a, b| (*a == self.zero_leaf) == (*b == self.zero_leaf)) {
            let len = (same.len() * BLOCK_BYTES as usize).min(rest.len());
            let (run, behind) = rest.split_at(len);
            if same.first() != Some(&self.zero_leaf) {
                self.files.write_all_at(at.file, run, offset)?;
            }
            (rest, offset) = (behind, offset + len as u64);
        }
        Ok(())
    }

    /// The leaves of a piece that is on disk: from the sidecar, or from the piece itself when the sidecar is lost
    /// or damaged. `None` when the piece on disk is wrong too.
    pub(super) fn leaves(&self, piece: u32, scratch: &mut Vec<u8>) -> io::Result<Option<Vec<Sha256>>> {
        if self.zeros.get(piece) {
            return Ok(Some(self.zero_leaves(piece)));
        }
        let mut bytes = vec![0; self.metainfo.leaf_count(piece) as usize * Sha256::LEN];
        let start = self.metainfo.leaf_start(piece) * Sha256::LEN as u64;
        if self.sidecar.read_exact_at(&mut bytes, start).is_ok() {
            let leaves: Vec<_> = bytes.chunks_exact(Sha256::LEN).filter_map(Sha256::from_slice).collect();
            if self.metainfo.verify_leaves(piece, &leaves) {
                return Ok(Some(leaves));
            }
        }
        self.hash_piece(piece, scratch)
    }

    fn zero_leaves(&self, piece: u32) -> Vec<Sha256> {
        vec![self.zero_leaf; self.metainfo.leaf_count(piece) as usize]
    }

    /// Reads and hashes a piece; its leaves if it is right, which then are in the sidecar, too.
    pub(super) fn hash_piece(&self, piece: u32, scratch: &mut Vec<u8>) -> io::Result<Option<Vec<Sha256>>> {
        if self.is_hole(piece) {
            return Ok(Some(self.zero_leaves(piece)));
        }
        let run = self.run(piece, 0, self.metainfo.piece_bytes(piece));
        scratch.resize(run.len as usize, 0);
        self.read(run, scratch)?;
        let leaves = hashes::leaves(&scratch.chunks(BLOCK_BYTES as usize).collect::<Vec<_>>());
        if !self.metainfo.verify_leaves(piece, &leaves) {
            return Ok(None);
        }
        // The sidecar only saves this work the next time.
        if let Err(error) = self.write_leaves(piece, &leaves) {
            tracing::warn!(path = %self.sidecar.path().display(), %error, "cannot keep leaf hashes");
        }
        Ok(Some(leaves))
    }

    /// Which of these pieces the disk does not give back as they were hashed, although nobody touched their files.
    ///
    /// # Errors
    /// A file was changed or is gone, or cannot be opened.
    pub(super) fn scrub(&self, pieces: &[u32]) -> io::Result<Vec<u32>> {
        let (mut damaged, mut scratch) = (Vec::new(), Vec::new());
        for piece in pieces {
            let run = self.run(*piece, 0, self.metainfo.piece_bytes(*piece));
            self.files.scrub_begins(run.file, *piece);
            if self.is_hole(*piece) {
                self.files.scrub_right(run.file, *piece);
                continue;
            }
            scratch.resize(run.len as usize, 0);
            let is_right = self.files.read_from_disk(run.file, &mut scratch, run.offset)? && {
                let blocks: Vec<_> = scratch.chunks(BLOCK_BYTES as usize).collect();
                self.metainfo.verify_leaves(*piece, &hashes::leaves(&blocks))
            };
            if is_right {
                self.files.scrub_right(run.file, *piece);
            } else {
                self.files.check_untouched(run.file)?;
                damaged.push(*piece);
            }
        }
        Ok(damaged)
    }

    /// Hashes `pieces` and returns those that are right. `done` counts bytes; a set `cancelled` ends it early.
    pub(super) fn check(
        &self,
        pieces: &Bitfield,
        done: &AtomicU64,
        cancelled: &AtomicBool,
    ) -> io::Result<Bitfield> {
        let mut right = Bitfield::new(pieces.len());
        let mut scratch = Vec::new();
        for piece in pieces.iter_set() {
            if cancelled.load(Ordering::Relaxed) {
                break;
            }
            match self.hash_piece(piece, &mut scratch) {
                Ok(Some(_)) => {
                    right.set(piece);
                }
                Ok(None) => {}
                // It is not there.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {}
                // The device has lost it.
                Err(error) if disk::is_unreadable(&error) => {}
                Err(error) => return Err(error),
            }
            done.fetch_add(u64::from(self.metainfo.piece_bytes(piece)), Ordering::Relaxed);
        }
        Ok(right)
    }

    /// Lets go of all handles.
    pub(super) fn close(&self) {
        self.files.close();
        self.sidecar.close();
    }

    fn write_leaves(&self, piece: u32, leaves: &[Sha256]) -> io::Result<()> {
        let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
        self.sidecar.write_all_at(&bytes, self.metainfo.leaf_start(piece) * Sha256::LEN as u64)
    }
}

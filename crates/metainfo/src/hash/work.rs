//! The hashing itself. Workers take runs of whole pieces from one queue; each run comes with the slices of the output
//! that it fills, so they share nothing else. A worker reads through its own handle and buffer.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use peerage_types::Sha256;
use peerage_types::limits::{BLOCK_BYTES, PIECE_BYTES_MIN};
use sha1::{Digest, Sha1};

use super::HashJob;
use super::holes::{self, ZeroPiece};
use super::walk::Found;
use crate::error::HashError;
use crate::layout::{BLOCK, Layout, Span};
use crate::merkle;

/// One read: small enough that both hashes find it in the core's cache, large enough for few system calls.
const READ_BYTES: usize = 256 * 1024;
/// A run of pieces that one worker takes: long enough for sequential reading, short enough to share out evenly.
const RUN_BYTES: u32 = 4 * 1024 * 1024;
/// What pads a file's last SHA-1 piece.
static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

// A read never ends inside of a block, nor inside of a piece that is shorter than a read.
const _: () = assert!(READ_BYTES.is_multiple_of(PIECE_BYTES_MIN as usize) && READ_BYTES.is_power_of_two());

/// All hashes of a share, in the order of its layout.
pub(crate) struct Output {
    /// Without those of pieces in holes.
    pub leaves: Vec<Sha256>,
    /// The Merkle root of each piece.
    pub roots: Vec<Sha256>,
    /// The SHA-1 of each padded piece; empty without a v1 half.
    pub pieces_v1: Vec<[u8; 20]>,
}

impl Output {
    /// Room for all hashes, filled in by [`run`].
    pub fn new(layout: &Layout, hybrid: bool, holes: &[Range<u32>]) -> Result<Self, HashError> {
        let read = layout.leaf_total.saturating_sub(holes::leaves_in(holes, layout));
        let memory = |_| HashError::Memory(read);
        let count = usize::try_from(read).map_err(|_| HashError::Memory(read))?;
        let mut leaves = Vec::new();
        leaves.try_reserve_exact(count).map_err(memory)?;
        leaves.resize(count, merkle::LEAF_PAD);
        let pieces = layout.piece_count as usize;
        let pieces_v1 = if hybrid { vec![[0; 20]; pieces] } else { Vec::new() };
        Ok(Self { leaves, roots: vec![merkle::LEAF_PAD; pieces], pieces_v1 })
    }
}

/// Hashes all files but what lies in `holes`. The first fault of any worker ends the others.
pub(crate) fn run(
    job: &HashJob<'_>,
    files: &[Found],
    layout: &Layout,
    holes: &[Range<u32>],
    output: &mut Output,
) -> Result<(), HashError> {
    let in_holes = holes::pieces_in(holes) * u64::from(layout.piece_length);
    let runs = layout.total_bytes.saturating_sub(in_holes).div_ceil(u64::from(RUN_BYTES));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers = usize::try_from(runs).map_or(cores, |runs| runs.min(cores));
    let queue = Queue {
        layout,
        hybrid: !output.pieces_v1.is_empty(),
        span: 0,
        piece: 0,
        holes,
        zeros: (!holes.is_empty()).then(|| ZeroPiece::new(layout.piece_length)),
        leaves: &mut output.leaves,
        roots: &mut output.roots,
        pieces_v1: &mut output.pieces_v1,
    };
    let shared = Shared {
        job,
        files,
        layout,
        queue: Mutex::new(queue),
        done: Mutex::new(0),
        stop: AtomicBool::new(false),
    };
    if in_holes > 0 {
        shared.report(in_holes);
    }
    thread::scope(|scope| {
        // The calling thread works, too, so a system that grants no more threads only makes it slower.
        let others: Vec<_> = (1..workers)
            .map_while(|_| {
                thread::Builder::new().name("hash".into()).spawn_scoped(scope, || shared.work()).ok()
            })
            .collect();
        let own = shared.work();
        others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .fold(own, Result::and)
    })
}

/// Consecutive pieces of one file, and where their hashes go.
struct Run<'o> {
    span: usize,
    offset: u64,
    bytes: u64,
    /// Whether the file's last piece is padded to full length in the v1 half: not in the last file.
    padded: bool,
    leaves: &'o mut [Sha256],
    roots: &'o mut [Sha256],
    pieces_v1: &'o mut [[u8; 20]],
}

/// Cuts runs off the front of what is left to do.
struct Queue<'o> {
    layout: &'o Layout,
    hybrid: bool,
    /// The next span, and the next piece within it.
    span: usize,
    piece: u32,
    /// Those that are not behind us.
    holes: &'o [Range<u32>],
    /// There if there are holes.
    zeros: Option<ZeroPiece>,
    leaves: &'o mut [Sha256],
    roots: &'o mut [Sha256],
    pieces_v1: &'o mut [[u8; 20]],
}

impl<'o> Queue<'o> {
    fn next(&mut self) -> Option<Run<'o>> {
        self.skip_holes();
        let span = self.layout.spans.get(self.span)?;
        let length = self.layout.piece_length;
        let to_hole = self.holes.first().map_or(u32::MAX, |hole| hole.start - span.first_piece - self.piece);
        let pieces_left = self.layout.pieces_of(span) - self.piece;
        let pieces = pieces_left.min((RUN_BYTES / length).max(1)).min(to_hole);
        let offset = u64::from(self.piece) * u64::from(length);
        let bytes = (u64::from(pieces) * u64::from(length)).min(span.size - offset);
        let run = Run {
            span: self.span,
            offset,
            bytes,
            padded: self.span + 1 < self.layout.spans.len(),
            leaves: take_front(&mut self.leaves, bytes.div_ceil(BLOCK) as usize),
            roots: take_front(&mut self.roots, pieces as usize),
            pieces_v1: take_front(&mut self.pieces_v1, if self.hybrid { pieces as usize } else { 0 }),
        };
        self.advance(span, pieces);
        Some(run)
    }

    /// Fills in what holes that begin at the next piece hash to. One may follow another, in the next file.
    fn skip_holes(&mut self) {
        while let (Some(span), Some((hole, behind)), Some(zeros)) =
            (self.layout.spans.get(self.span), self.holes.split_first(), &self.zeros)
        {
            if hole.start != span.first_piece + self.piece {
                break;
            }
            let pieces = hole.end - hole.start;
            take_front(&mut self.roots, pieces as usize).fill(zeros.root);
            if self.hybrid {
                take_front(&mut self.pieces_v1, pieces as usize).fill(zeros.v1);
            }
            self.holes = behind;
            self.advance(span, pieces);
        }
    }

    fn advance(&mut self, span: &Span, pieces: u32) {
        match self.piece + pieces == self.layout.pieces_of(span) {
            true => (self.span, self.piece) = (self.span + 1, 0),
            false => self.piece += pieces,
        }
    }
}

fn take_front<'o, T>(slice: &mut &'o mut [T], count: usize) -> &'o mut [T] {
    let (front, rest) = std::mem::take(slice).split_at_mut(count);
    *slice = rest;
    front
}

/// What all workers see.
struct Shared<'s, 'o> {
    job: &'s HashJob<'s>,
    files: &'s [Found],
    layout: &'s Layout,
    queue: Mutex<Queue<'o>>,
    done: Mutex<u64>,
    /// Set by a worker that failed.
    stop: AtomicBool,
}

impl Shared<'_, '_> {
    fn work(&self) -> Result<(), HashError> {
        let mut buffer = vec![0; READ_BYTES];
        let mut open: Option<(usize, File)> = None;
        let result = loop {
            let Some(run) = lock(&self.queue).next() else { break Ok(()) };
            if let Err(e) = self.hash_run(run, &mut open, &mut buffer) {
                break Err(e);
            }
            if self.stop.load(Ordering::Relaxed) {
                break Ok(());
            }
        };
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        result
    }

    fn hash_run(
        &self,
        mut run: Run<'_>,
        open: &mut Option<(usize, File)>,
        buffer: &mut [u8],
    ) -> Result<(), HashError> {
        let span = &self.layout.spans[run.span];
        let found = &self.files[span.file];
        let mut file = match open.take() {
            Some((index, file)) if index == span.file => file,
            _ => found.open()?,
        };
        file.seek(SeekFrom::Start(run.offset)).map_err(|e| HashError::io_later(&found.local, e))?;
        self.read_run(&mut run, &mut file, found, buffer)?;
        // The run's bytes all precede this look at the file, so no later change can have touched them.
        found.check_open(&file)?;
        self.finish_roots(span, &mut run);
        *open = Some((span.file, file));
        Ok(())
    }

    /// Reads the run once and fills in its leaves and SHA-1 pieces.
    fn read_run(
        &self,
        run: &mut Run<'_>,
        file: &mut File,
        found: &Found,
        buffer: &mut [u8],
    ) -> Result<(), HashError> {
        let piece_length = self.layout.piece_length as usize;
        let mut leaves = &mut run.leaves[..];
        let mut pieces = run.pieces_v1.iter_mut();
        let (mut sha1, mut in_piece, mut left) = (Sha1::new(), 0, run.bytes);
        while left > 0 {
            self.check_cancelled()?;
            let want = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let chunk = &mut buffer[..want];
            file.read_exact(chunk).map_err(|e| HashError::io_later(&found.local, e))?;
            left -= want as u64;
            merkle::leaves(chunk, take_front(&mut leaves, want.div_ceil(BLOCK_BYTES as usize)));
            let hybrid = pieces.len() > 0;
            for block in chunk.chunks(BLOCK_BYTES as usize).filter(|_| hybrid) {
                sha1.update(block);
                in_piece += block.len();
                if in_piece == piece_length {
                    in_piece = 0;
                    store(&mut pieces, &mut sha1);
                }
            }
            self.report(want as u64);
        }
        if in_piece > 0 {
            if run.padded {
                self.pad_piece(&mut sha1, piece_length - in_piece)?;
            }
            store(&mut pieces, &mut sha1);
        }
        Ok(())
    }

    fn pad_piece(&self, sha1: &mut Sha1, mut left: usize) -> Result<(), HashError> {
        while left > 0 {
            self.check_cancelled()?;
            let now = left.min(ZEROS.len());
            sha1.update(&ZEROS[..now]);
            left -= now;
        }
        Ok(())
    }

    fn finish_roots(&self, span: &Span, run: &mut Run<'_>) {
        let width = self.layout.tree_width(span);
        let pieces = run.leaves.chunks(self.layout.blocks_per_piece());
        for (root, leaves) in run.roots.iter_mut().zip(pieces) {
            *root = merkle::root(leaves, width);
        }
    }

    fn report(&self, bytes: u64) {
        // The lock stays held, so that the numbers arrive in order.
        let mut done = lock(&self.done);
        *done += bytes;
        (self.job.progress)(*done);
    }

    fn check_cancelled(&self) -> Result<(), HashError> {
        match self.job.cancelled.load(Ordering::Relaxed) {
            true => Err(HashError::Cancelled),
            false => Ok(()),
        }
    }
}

fn store(pieces: &mut std::slice::IterMut<'_, [u8; 20]>, sha1: &mut Sha1) {
    if let Some(piece) = pieces.next() {
        *piece = sha1.finalize_reset().into();
    }
}

/// A poisoned lock means that a worker panicked, which `run` passes on; what it guards is only counters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

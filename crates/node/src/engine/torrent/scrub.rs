//! Looks for bit rot in what is complete, and has it repaired.
//!
//! Once in a while, and when somebody asks, every piece is read again, a few MiB at a time and only while nothing is
//! sent. One that is not what was hashed although nobody has touched the file is not served from then on; as soon as a
//! peer has it, it is fetched and written to where it belongs. A file that was changed is another matter: it ends the share.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use peerage_swarm::{Config, Input, Priority, Swarm};
use peerage_types::Time;
use peerage_wire::Bitfield;
use tokio::sync::oneshot;

use super::{Msg, Owner};
use crate::engine::api::{EngineEvent, Scrubbed, TorrentState};
use crate::engine::conn::Cmd;
use crate::engine::disk;
use crate::engine::files::describe;
use crate::engine::prepare::Kind;

/// Bytes of one step; at least a piece.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// A piece of zeros is most likely a hole, which is not read: so many count as one piece.
const ZEROS_PER_PIECE: u64 = 256;
/// When peers were being served, and before a look whether it is time.
const PAUSE: Duration = Duration::from_secs(1);
/// A piece that goes bad again is fetched again only after so long, four times as long each further time: a sector that
/// the device cannot read any more stays bad however often it is written.
const AGAIN_FIRST: Duration = Duration::from_secs(15);
const AGAIN_FACTOR: u32 = 4;
const AGAIN_MAX: Duration = Duration::from_secs(6 * 3600);
/// Pieces of which it is remembered how often they went bad.
const FOUND_MAX: usize = 4_096;
/// How often a scrub's place is saved.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Scrub {
    /// The next piece; nothing while no scrub is going on.
    next: Option<u32>,
    /// Where the one that was cut short by the end of the program goes on.
    resume: u32,
    at: Option<Time>,
    stepping: bool,
    /// When the last one ended, milliseconds since the Unix epoch.
    ended_unix_ms: u64,
    saved_at: Time,
    /// Counts them, so that a step of one that was begun anew is known.
    run: u64,
    /// Pieces that were read by this one, and those that it found damaged.
    read: u32,
    damaged: u32,
    /// Damaged pieces that the swarm has not heard of yet, and when they are to be fetched.
    lost: BTreeMap<u32, Time>,
    /// Damaged pieces that it knows of, and fetches only then.
    later: BTreeMap<u32, Time>,
    /// Pieces that serving could not read, until a look has told which of them are right.
    suspects: BTreeSet<u32>,
    /// How often pieces were found damaged.
    found: BTreeMap<u32, u32>,
    /// Pieces that could not be looked at for want of descriptors after serving them had failed, and when that is tried
    /// again.
    again: Option<(Time, Vec<u32>)>,
    /// Why the last repair failed, so that the same is not told every few seconds.
    repair_failed: Option<String>,
    /// Who has asked for this one. Then it does not wait for anything.
    asked: Vec<oneshot::Sender<Result<Scrubbed, String>>>,
}

/// What one step found.
#[derive(Debug)]
pub(in crate::engine) struct Step {
    of: Of,
    /// Pieces that are damaged; an error when a file is not what it was any more.
    damaged: io::Result<Vec<u32>>,
}

/// Why pieces were looked at.
#[derive(Debug)]
enum Of {
    /// It was their turn in this run.
    Run {
        run: u64,
        /// Behind the last of them.
        end: u32,
        read: u32,
    },
    /// Serving them had failed.
    Served(Vec<u32>),
}

impl Scrub {
    /// What is not known to have been looked at has just been hashed.
    pub(super) fn new(now: Time, before: Option<(u64, u32)>) -> Self {
        let (ended_unix_ms, resume) = before.unwrap_or_else(|| (unix_ms(), 0));
        Self {
            next: None,
            resume,
            at: None,
            stepping: false,
            ended_unix_ms,
            saved_at: now,
            run: 0,
            read: 0,
            damaged: 0,
            lost: BTreeMap::new(),
            later: BTreeMap::new(),
            suspects: BTreeSet::new(),
            found: BTreeMap::new(),
            again: None,
            repair_failed: None,
            asked: Vec::new(),
        }
    }

    /// When there is something to do.
    pub(super) fn wake_at(&self) -> Option<Time> {
        self.at.filter(|_| !self.stepping)
    }

    /// What is to be saved: when the last one ended, and where this one is.
    pub(super) fn saved(&self) -> (u64, u32) {
        (self.ended_unix_ms, self.next.unwrap_or(self.resume))
    }

    /// How much of so many pieces the one that is going on has behind it, 0–100.
    pub(super) fn percent(&self, pieces: u32) -> Option<u8> {
        let next = u64::from(self.next?);
        u8::try_from(next * 100 / u64::from(pieces.max(1))).ok()
    }

    /// Whether one is going on.
    pub(super) fn is_running(&self) -> bool {
        self.next.is_some()
    }

    /// Everything was just hashed.
    pub(super) fn all_right(&mut self) {
        self.ended_unix_ms = unix_ms();
    }

    /// Whether something is known to be damaged that the swarm does not fetch yet.
    pub(super) fn is_waiting(&self) -> bool {
        !(self.lost.is_empty() && self.later.is_empty())
    }

    /// A piece is damaged: it is fetched again, the first time at once.
    fn found_damaged(&mut self, now: Time, piece: u32) {
        if self.found.len() >= FOUND_MAX && !self.found.contains_key(&piece) {
            self.found.pop_first();
        }
        let times = self.found.entry(piece).or_default();
        *times = times.saturating_add(1);
        let wait = match *times {
            1 => Duration::ZERO,
            more => AGAIN_FIRST.saturating_mul(AGAIN_FACTOR.saturating_pow(more - 2)).min(AGAIN_MAX),
        };
        self.lost.entry(piece).or_insert(now.after(wait));
    }

    fn begin(&mut self, now: Time, from: u32) {
        self.run += 1;
        (self.next, self.read, self.damaged, self.at) = (Some(from), 0, 0, Some(now));
    }
}

impl Owner {
    /// Somebody asks for a scrub from the first piece on.
    pub(super) fn ask_scrub(&mut self, now: Time, answer: oneshot::Sender<Result<Scrubbed, String>>) {
        let fit = self.work.is_complete() && self.is_open();
        if !fit {
            // Whoever asked may have gone.
            let _ = answer.send(Err("it is not complete".to_owned()));
            return;
        }
        self.scrub.asked.push(answer);
        self.scrub.begin(now, 0);
    }

    /// Begins one when the last is long ago.
    pub(super) fn scrub_if_due(&mut self, now: Time) {
        if self.scrub_due_in().is_some_and(|wait| wait.is_zero()) {
            let from = std::mem::take(&mut self.scrub.resume);
            self.scrub.begin(now, from);
        }
    }

    /// How long until the next one begins, unless one is going on or nothing is complete.
    pub(super) fn scrub_due_in(&self) -> Option<Duration> {
        let possible = self.scrub.next.is_none() && self.work.is_complete() && self.is_open();
        let since = Duration::from_millis(unix_ms().saturating_sub(self.scrub.ended_unix_ms));
        let wait = match self.scrub.resume {
            0 => self.shared.engine.config.scrub_every.saturating_sub(since),
            // The end of the program had cut it short.
            _ => Duration::ZERO,
        };
        possible.then_some(wait)
    }

    /// The next few pieces, if it is time.
    pub(super) fn scrub_step(&mut self, now: Time) {
        let Some(next) = self.scrub.next else { return };
        if self.scrub.stepping || self.scrub.at.is_none_or(|at| at > now) {
            return;
        }
        if !(self.work.is_complete() && self.is_open()) {
            return self.scrub_ended(Err("it is not shared any more".to_owned()));
        }
        if self.scrub.asked.is_empty() && self.report.is_moving() {
            self.scrub.at = Some(now.after(PAUSE));
            return;
        }
        let metainfo = &self.shared.metainfo;
        let (mut end, mut bytes) = (next, 0);
        let mut pieces = Vec::new();
        while end < metainfo.piece_count() && bytes < STEP_BYTES {
            if self.swarm.have().get(end) {
                let likely_hole = self.shared.storage.zeros().get(end);
                bytes += u64::from(metainfo.piece_bytes(end)) / if likely_hole { ZEROS_PER_PIECE } else { 1 };
                pieces.push(end);
            }
            end += 1;
        }
        // Who asked waits for nothing but the disk.
        let paced = self.shared.engine.scrub_pace.reserve(now, bytes);
        self.scrub.at = Some(if self.scrub.asked.is_empty() { paced.max(now) } else { now });
        self.scrub.stepping = true;
        let (shared, run) = (Arc::clone(&self.shared), self.scrub.run);
        tokio::task::spawn_blocking(move || {
            let read = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
            let damaged = shared.storage.scrub(&pieces);
            shared.tell(Msg::Scrubbed(Step { of: Of::Run { run, end, read }, damaged }));
        });
    }

    /// A step has ended.
    pub(super) fn scrubbed(&mut self, now: Time, step: Step) {
        if matches!(step.of, Of::Run { .. }) {
            self.scrub.stepping = false;
        }
        let mut damaged = match step.damaged {
            Ok(damaged) => damaged,
            // Says nothing about the file: the same pieces once more.
            Err(error) if disk::is_shortage(&error) => {
                match step.of {
                    Of::Run { .. } => self.scrub.at = Some(now.after(PAUSE)),
                    // Until then they are not served.
                    Of::Served(pieces) => self.look_again(now, pieces),
                }
                return;
            }
            Err(error) => {
                let why = describe(&error);
                self.looked(now, Err(error));
                return self.scrub_ended(Err(why));
            }
        };
        let found = u32::try_from(damaged.len()).unwrap_or(u32::MAX);
        if let Of::Served(pieces) = &step.of {
            self.suspects_seen(pieces, &mut damaged);
        }
        // What is known already is not found again.
        damaged.retain(|piece| self.swarm.have().get(*piece) && !self.scrub.lost.contains_key(piece));
        for piece in damaged {
            self.scrub.suspects.remove(&piece);
            self.shared.have.clear(piece);
            self.scrub.found_damaged(now, piece);
        }
        self.lose(now);
        let Of::Run { run, end, read } = step.of else { return };
        if run != self.scrub.run || self.scrub.next.is_none() {
            return;
        }
        self.scrub.read += read;
        self.scrub.damaged += found;
        self.scrub.next = Some(end);
        if end >= self.shared.metainfo.piece_count() {
            self.scrub.all_right();
            self.report.progress();
            let found = Scrubbed { pieces: self.scrub.read, damaged: self.scrub.damaged };
            self.scrub_ended(Ok(found));
        } else if now.since(self.scrub.saved_at) >= SAVE_EVERY {
            self.scrub.saved_at = now;
            self.report.progress();
        }
        self.publish();
    }

    fn scrub_ended(&mut self, result: Result<Scrubbed, String>) {
        (self.scrub.next, self.scrub.at, self.scrub.resume) = (None, None, 0);
        for asked in self.scrub.asked.drain(..) {
            // Whoever asked may have gone.
            let _ = asked.send(result.clone());
        }
    }

    /// Pieces that serving could not read were looked at: those that are right are served again. `damaged` keeps those that
    /// were still in question.
    fn suspects_seen(&mut self, pieces: &[u32], damaged: &mut Vec<u32>) {
        // Another look may have found one of them damaged meanwhile.
        let seen: BTreeSet<u32> =
            pieces.iter().copied().filter(|piece| self.scrub.suspects.remove(piece)).collect();
        damaged.retain(|piece| seen.contains(piece));
        let held = self.held();
        for piece in seen {
            if damaged.contains(&piece) || !held.get(piece) {
                continue;
            }
            self.shared.have.set(piece);
            // Whoever came meanwhile was not told.
            let peers: Vec<_> = self.peers.keys().copied().collect();
            peers.into_iter().for_each(|peer| self.command(peer, Cmd::Have(piece)));
        }
    }

    /// Pieces that are known to be right: what peers are told of, and what is remembered.
    pub(super) fn held(&self) -> Bitfield {
        let mut held = self.swarm.have().clone();
        for piece in self.scrub.lost.keys().chain(&self.scrub.suspects) {
            held.clear(*piece);
        }
        held
    }

    /// What is damaged is not there any more, and is fetched as soon as it may be and somebody has it. What is being written
    /// comes first.
    pub(super) fn lose(&mut self, now: Time) {
        if self.shared.broken.load(Ordering::Relaxed) {
            // Nothing of it is served any more, and nothing mends it here.
            self.scrub.lost.clear();
            self.scrub.later.clear();
        }
        if self.scrub.lost.is_empty() || !self.work.is_idle() {
            return;
        }
        let mut lost = std::mem::take(&mut self.scrub.lost);
        let damaged: Vec<u32> = lost.keys().copied().collect();
        self.work.forget_stuck();
        let mut have = self.swarm.have().clone();
        damaged.iter().for_each(|piece| _ = have.clear(*piece));
        self.swarm_config.have = have;
        lost.retain(|_, at| *at > now);
        self.scrub.later.append(&mut lost);
        // Peers were told that the pieces are here: they come back and are told otherwise.
        self.disconnect_all(now, &"pieces that are damaged on disk have to be repaired");
        self.pieces.clear();
        let priorities = self.priorities();
        self.swarm = Swarm::new(Config { priorities, ..self.swarm_config.clone() }, now);
        self.checked_all();
        self.report.progress();
        self.save(now, true);
        self.enter(now, self.state.clone());
        let (count, place) = (damaged.len(), self.work.place().display());
        let files = &self.shared.metainfo;
        let first = damaged.first().map_or(0, |piece| files.piece_file(*piece).file);
        let at = self.shared.storage.files().place_of(first);
        let pieces = if count == 1 { "a piece".to_owned() } else { format!("{count} pieces") };
        let at = if files.is_single_file() { String::new() } else { format!(" (in `{}`)", at.display()) };
        let why = format!(
            "{pieces} of `{place}` went bad on the disk{at} although nobody changed the file: not served any more, and \
             fetched again from members who have it"
        );
        tracing::warn!(why, "bit rot");
        self.shared.engine.emit(EngineEvent::Damaged { info_hash: self.shared.info_hash, why });
    }

    /// How much each piece is wanted now: what went bad again not before its time.
    pub(super) fn priorities(&self) -> Vec<Priority> {
        let mut priorities = self.swarm_config.priorities.clone();
        priorities.resize(self.shared.metainfo.piece_count() as usize, Priority::default());
        for piece in self.scrub.later.keys() {
            if let Some(priority) = priorities.get_mut(*piece as usize) {
                *priority = Priority::Skip;
            }
        }
        priorities
    }

    /// What went bad again is fetched, if it is time.
    pub(super) fn fetch_again(&mut self, now: Time) {
        let before = self.scrub.later.len();
        self.scrub.later.retain(|_, at| *at > now);
        if self.scrub.later.len() < before {
            let priorities = self.priorities();
            self.feed(now, Input::SetPriorities(priorities));
        }
    }

    /// All that was damaged and could be fetched is right again.
    pub(super) fn repaired(&mut self, now: Time) {
        if self.state == TorrentState::Repairing && !self.scrub.is_waiting() {
            self.scrub.repair_failed = None;
            self.pieces.clear();
            self.report.progress();
            self.save(now, true);
            self.enter(now, TorrentState::Seeding);
            self.shared.engine.emit(EngineEvent::Repaired { info_hash: self.shared.info_hash });
        }
    }

    /// The right bytes are here, and cannot be written. They are kept and tried again; if the file was changed
    /// meanwhile, a look at it ends the share.
    pub(super) fn repair_failed(&mut self, now: Time, error: &io::Error) {
        self.look(now);
        let error = describe(error);
        if self.scrub.repair_failed.as_ref() == Some(&error) {
            return;
        }
        let why = format!(
            "`{}` cannot be repaired ({error}): it is tried again every few seconds",
            self.work.place().display()
        );
        self.scrub.repair_failed = Some(error);
        self.shared.engine.emit(EngineEvent::Damaged { info_hash: self.shared.info_hash, why });
    }

    /// Serving met what the device cannot read: these pieces are not served until it is known which of them are right.
    pub(super) fn unreadable(&mut self, pieces: Vec<u32>) {
        let pieces: Vec<u32> = pieces.into_iter().filter(|piece| self.shared.have.get(*piece)).collect();
        if pieces.is_empty() {
            return;
        }
        pieces.iter().for_each(|piece| self.shared.have.clear(*piece));
        self.scrub.suspects.extend(&pieces);
        self.look_at(pieces);
    }

    /// The same once more, a little later.
    fn look_again(&mut self, now: Time, pieces: Vec<u32>) {
        let (_, again) = self.scrub.again.get_or_insert((now.after(PAUSE), Vec::new()));
        again.extend(pieces);
    }

    /// What could not be looked at, if it is time.
    pub(super) fn scrub_again(&mut self, now: Time) {
        if let Some((_, pieces)) = self.scrub.again.take_if(|(at, _)| *at <= now) {
            self.look_at(pieces);
        }
    }

    fn look_at(&self, pieces: Vec<u32>) {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let damaged = shared.storage.scrub(&pieces);
            shared.tell(Msg::Scrubbed(Step { of: Of::Served(pieces), damaged }));
        });
    }
}

impl super::work::Work {
    /// Whether everything wanted has its final place.
    pub(super) fn is_complete(&self) -> bool {
        *self.kind() == Kind::Complete
    }
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_bad_again_waits_longer_each_time() {
        let mut scrub = Scrub::new(Time(0), None);
        let mut waits = Vec::new();
        for round in 0..9 {
            let now = Time(round * 1_000_000_000);
            scrub.found_damaged(now, 7);
            waits.push(scrub.lost.remove(&7).unwrap().since(now).as_secs());
        }
        assert_eq!(waits, [0, 15, 60, 240, 960, 3_840, 15_360, 21_600, 21_600]);
        (0..2 * FOUND_MAX as u32).for_each(|piece| scrub.found_damaged(Time(0), piece));
        assert_eq!(scrub.found.len(), FOUND_MAX);
    }
}

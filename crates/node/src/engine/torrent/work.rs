//! Blocking jobs of one torrent, and what follows from their results: checking, writing, giving the complete file its
//! name, saving progress, looking whether a shared file is still the same.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peerage_swarm::{Input, Priority, Swarm};
use peerage_types::Time;
use peerage_wire::Bitfield;

use super::pieces::{WriteJob, WriteResult};
use super::{Msg, Owner, download_failed, share_broken};
use crate::engine::api::{EngineEvent, TorrentState};
use crate::engine::files::{describe, index};
use crate::engine::prepare::Kind;
use crate::engine::saved::Saved;

/// Jobs that hash and write at the same time, at most.
const WRITERS_MAX: usize = 4;
/// Pieces of one job, in bytes: small pieces are not worth a thread's wake-up each.
const WRITE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A killed process loses this much progress.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// When the disk was full, or a repair failed.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(3);
/// How often a complete file is looked at, while peers are connected and while none are.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOK_EVERY_IDLE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Work {
    /// The complete file's or folder's path, now or later.
    place: PathBuf,
    kind: Kind,
    /// Files that are to be fetched; nothing for all.
    wanted: Option<Bitfield>,
    pub(super) queue: VecDeque<WriteJob>,
    writers: usize,
    /// Half of the cores: hashing and writing take about as long as everything else that a block needs. With more,
    /// writers wait for each other at the file.
    writers_max: usize,
    /// What did not fit on the disk, or could not be repaired.
    pub(super) stuck: Vec<WriteJob>,
    pub(super) retry_at: Option<Time>,
    checking: bool,
    renaming: bool,
    pub(super) saving: bool,
    /// Pieces that are put over files at their final place, now or next, and whether that is saved: until it is nothing is
    /// written, because a killed program must know its own work from somebody's edit.
    pub(super) marks: BTreeMap<u32, bool>,
    /// Those of them that the save under way names.
    marking: Vec<u32>,
    looking: bool,
    /// The content is on the device, not only in the system's memory.
    synced: bool,
    saved_at: Time,
    looked_at: Time,
}

impl Work {
    pub(super) fn new(place: PathBuf, kind: Kind, wanted: Option<Bitfield>, synced: bool, now: Time) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            place,
            synced,
            kind,
            wanted,
            queue: VecDeque::new(),
            writers: 0,
            writers_max: (cores / 2).clamp(1, WRITERS_MAX),
            stuck: Vec::new(),
            retry_at: None,
            checking: false,
            renaming: false,
            saving: false,
            marks: BTreeMap::new(),
            marking: Vec::new(),
            looking: false,
            saved_at: now,
            looked_at: now,
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Whether nothing has to be waited for before the torrent may end.
    pub(super) fn is_idle(&self) -> bool {
        self.writers == 0 && self.queue.is_empty() && !(self.checking || self.renaming || self.saving)
    }

    /// Whether some piece could not be written and was not tried again yet.
    pub(super) fn is_blocked(&self) -> bool {
        !self.stuck.is_empty()
    }

    pub(super) fn write_ended(&mut self) {
        self.writers = self.writers.saturating_sub(1);
    }

    /// Forgets what could not be written: it is fetched again.
    pub(super) fn forget_stuck(&mut self) {
        self.stuck.clear();
    }

    /// A piece that could not be written, to be tried again.
    pub(super) fn keep(&mut self, job: WriteJob) {
        self.stuck.push(job);
    }
}

impl Owner {
    pub(super) fn start_check(&mut self, pieces: Bitfield) {
        self.work.checking = true;
        let (shared, done, cancelled) =
            (Arc::clone(&self.shared), Arc::clone(&self.checked_bytes), Arc::clone(&self.check_cancelled));
        tokio::task::spawn_blocking(move || {
            let result = shared.storage.check(&pieces, &done, &cancelled);
            shared.tell(Msg::Checked(result));
        });
    }

    pub(super) fn checked(&mut self, now: Time, result: io::Result<Bitfield>) {
        self.work.checking = false;
        if self.stop.is_some() {
            return;
        }
        let place = self.work.place.display().to_string();
        let is_share = matches!(self.work.kind, Kind::Share { .. });
        let event = if is_share { share_broken } else { download_failed };
        let right = match result {
            Ok(right) => right,
            Err(error) => {
                let why = format!("cannot read `{place}`: {}", describe(&error));
                return self.fail(now, why, event);
            }
        };
        if let Kind::Share { lost } = &self.work.kind {
            let known = |piece: u32| right.get(piece) || self.swarm_config.have.get(piece) || lost.get(piece);
            if let Some(wrong) = (0..self.shared.metainfo.piece_count()).find(|piece| !known(*piece)) {
                let file = self.shared.metainfo.piece_file(wrong).file;
                let place = self.shared.storage.files().place_of(file);
                let why = format!("`{}` has other content than what is to be shared", place.display());
                return self.fail(now, why, event);
            }
            self.work.kind = Kind::Complete;
        }
        if let Err(why) = self.take_found(&right) {
            return self.fail(now, why, event);
        }
        for piece in right.iter_set() {
            self.swarm_config.have.set(piece);
        }
        self.swarm = Swarm::new(self.swarm_config.clone(), now);
        self.report.progress();
        self.checked_all();
        self.sync_if_needed();
        self.next_tick = now;
        self.publish();
        if is_share {
            self.shared.engine.emit(EngineEvent::Checked { info_hash: self.shared.info_hash });
        }
    }

    /// It is known which pieces are there.
    pub(super) fn checked_all(&mut self) {
        self.shared.have.set_all(&self.held());
        let have = self.swarm.have();
        let bytes = have.iter_set().map(|piece| u64::from(self.shared.metainfo.piece_bytes(piece))).sum();
        self.report.set_done(bytes);
        (self.wanted_done, self.wanted_total) = self.count_wanted(have);
        self.state = match self.work.kind {
            Kind::Part { .. } => TorrentState::Downloading,
            Kind::Complete | Kind::Share { .. } => {
                self.report.progress();
                let right = self.swarm.is_complete() && !self.scrub.is_waiting();
                if right { TorrentState::Seeding } else { TorrentState::Repairing }
            }
        };
        if self.state == TorrentState::Downloading && self.swarm.is_complete() {
            self.rename();
        }
    }

    /// Bytes of wanted files that are there, and all of them.
    fn count_wanted(&self, have: &Bitfield) -> (u64, u64) {
        let wanted = (0..self.shared.metainfo.piece_count()).filter(|piece| self.is_wanted_piece(*piece));
        wanted.fold((0, 0), |(done, total), piece| {
            let bytes = u64::from(self.shared.metainfo.piece_bytes(piece));
            (done + if have.get(piece) { bytes } else { 0 }, total + bytes)
        })
    }

    /// Other files are wanted, or more or less than before. Too late for what is complete.
    pub(super) fn set_files(&mut self, now: Time, wanted: Option<Bitfield>, priorities: Vec<Priority>) {
        if !matches!(self.work.kind, Kind::Part { .. }) || self.work.renaming {
            return;
        }
        self.work.wanted = wanted;
        self.swarm_config.priorities = priorities;
        // What is being checked takes it from there.
        if self.state != TorrentState::Checking {
            (self.wanted_done, self.wanted_total) = self.count_wanted(self.swarm.have());
            let priorities = self.priorities();
            self.feed(now, Input::SetPriorities(priorities));
            self.drop_abandoned();
        }
        self.publish();
    }

    pub(super) fn is_wanted_piece(&self, piece: u32) -> bool {
        let priority = self.swarm_config.priorities.get(piece as usize);
        priority.is_none_or(|priority| *priority != Priority::Skip)
    }

    /// Files that were found at the place have been checked: those that are the content stay, others are refused, or
    /// taken over.
    fn take_found(&mut self, right: &Bitfield) -> Result<(), String> {
        let Kind::Part { found, into_existing } = &mut self.work.kind else { return Ok(()) };
        let files = self.shared.storage.files();
        for file in std::mem::take(found) {
            if self.shared.metainfo.file_pieces(file).all(|piece| right.get(piece)) {
                continue;
            }
            let place = files.place_of(file).display().to_string();
            if !*into_existing {
                return Err(format!(
                    "`{place}` exists already and has other content: move it away or overwrite it with --into-existing"
                ));
            }
            files.adopt(file).map_err(|error| format!("cannot take over `{place}`: {}", describe(&error)))?;
        }
        let missing = |file: usize| is_wanted(self.work.wanted.as_ref(), file) && !files.is_settled(file);
        if !(0..self.shared.metainfo.files().len()).any(missing) {
            // Everything was there. Who wrote it, and when, nobody knows.
            (self.work.kind, self.work.synced) = (Kind::Complete, false);
            self.downloads = None;
        }
        Ok(())
    }

    /// A complete piece is checked and goes to disk.
    pub(super) fn write(&mut self, job: WriteJob) {
        self.work.queue.push_back(job);
        if self.work.stuck.is_empty() {
            self.spawn_writers();
        }
    }

    /// After a job has ended: more of them, unless the disk is full.
    pub(super) fn start_writes(&mut self, now: Time) {
        if self.work.stuck.is_empty() {
            self.work.retry_at = None;
            self.spawn_writers();
        } else if self.work.writers == 0 {
            self.work.retry_at = Some(now.after(RETRY_EVERY));
            if self.stop.is_some() {
                self.work.queue.clear();
            }
        }
    }

    fn spawn_writers(&mut self) {
        self.mark_repairs();
        while self.work.writers < self.work.writers_max {
            let mut jobs = Vec::new();
            let mut bytes = 0;
            while self.work.queue.front().is_some_and(|job| self.may_write(job.piece))
                && let Some(job) = self.work.queue.pop_front()
            {
                bytes += job.buf.len();
                jobs.push(job);
                if bytes >= WRITE_BYTES_MAX / 2 {
                    break;
                }
            }
            if jobs.is_empty() {
                break;
            }
            self.work.writers += 1;
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_blocking(move || {
                let write = |mut job: WriteJob| {
                    if !job.check(&shared.metainfo) {
                        return (job, WriteResult::Wrong);
                    }
                    let len = shared.metainfo.piece_bytes(job.piece) as usize;
                    let result = shared.storage.write_piece(job.piece, &job.buf[..len], &job.leaves);
                    (job, result.map_or_else(WriteResult::Failed, |()| WriteResult::Written))
                };
                let results = jobs.into_iter().map(write).collect();
                shared.tell(Msg::Written(results));
            });
        }
    }

    fn retry_writes(&mut self, now: Time) {
        if self.work.retry_at.is_some_and(|at| at <= now) {
            self.work.retry_at = None;
            let stuck = std::mem::take(&mut self.work.stuck);
            stuck.into_iter().rev().for_each(|job| self.work.queue.push_front(job));
            self.spawn_writers();
        }
    }

    /// All pieces are there.
    pub(super) fn rename(&mut self) {
        if !matches!(self.work.kind, Kind::Part { .. }) || self.scrub.is_waiting() {
            return;
        }
        let (wanted, shared) = (self.work.wanted.clone(), Arc::clone(&self.shared));
        self.work.renaming = true;
        tokio::task::spawn_blocking(move || {
            let result = shared.storage.files().finish(&|file| is_wanted(wanted.as_ref(), file));
            shared.tell(Msg::Renamed(result));
        });
    }

    pub(super) fn renamed(&mut self, now: Time, result: io::Result<()>) {
        self.work.renaming = false;
        let place = self.work.place.clone();
        if let Err(error) = result {
            let why = format!(
                "cannot give the complete download its name `{}`: {}",
                place.display(),
                describe(&error)
            );
            return self.fail(now, why, download_failed);
        }
        self.work.kind = Kind::Complete;
        (self.work.looked_at, self.work.synced) = (now, false);
        self.scrub.all_right();
        self.pieces.clear();
        self.downloads = None;
        self.report.progress();
        self.save(now, true);
        self.enter(now, TorrentState::Seeding);
        self.shared.engine.emit(EngineEvent::Completed { info_hash: self.shared.info_hash, path: place });
        self.sync();
    }

    /// What is complete and was not on the device yet when that was saved last.
    pub(super) fn sync_if_needed(&self) {
        if self.work.is_complete() && !self.work.synced {
            self.sync();
        }
    }

    fn sync(&self) {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let result = shared.storage.files().sync();
            shared.tell(Msg::Synced(result));
        });
    }

    pub(super) fn synced(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {
                self.work.synced = true;
                self.report.progress();
                self.save(self.now(), true);
            }
            // It will be checked after the next start of the machine.
            Err(error) => tracing::warn!(path = %self.work.place.display(), %error, "cannot sync"),
        }
    }

    /// Looks whether what is complete is still what it was.
    pub(super) fn look(&mut self, now: Time) {
        if std::mem::replace(&mut self.work.looking, true) {
            return;
        }
        self.work.looked_at = now;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.tell(Msg::Looked(shared.storage.files().look())));
    }

    pub(super) fn looked(&mut self, now: Time, result: io::Result<()>) {
        self.work.looking = false;
        if let (Kind::Complete, Err(error)) = (&self.work.kind, result) {
            self.break_share(now, &describe(&error));
        }
    }

    pub(super) fn read_failed(&mut self, now: Time, error: &io::Error) {
        if self.work.is_complete() {
            self.break_share(now, &describe(error));
        } else {
            let why = format!("cannot read `{}`: {}", self.work.place.display(), describe(error));
            self.fail(now, why, download_failed);
        }
    }

    fn break_share(&mut self, now: Time, why: &str) {
        self.shared.broken.store(true, std::sync::atomic::Ordering::Relaxed);
        let why = format!("`{}` is not shared any more: {why}", self.work.place.display());
        self.fail(now, why, share_broken);
    }

    /// Saves progress if there was any, at most every second unless `at_once`.
    pub(super) fn save(&mut self, now: Time, at_once: bool) {
        let due = at_once || now.since(self.work.saved_at) >= SAVE_EVERY;
        let known = self.state != TorrentState::Checking
            && !self.shared.broken.load(std::sync::atomic::Ordering::Relaxed);
        if self.work.saving || !due || !known || !self.report.take_progress() {
            return;
        }
        (self.work.saving, self.work.saved_at) = (true, now);
        let mut saved = Saved::new(self.shared.info_hash, &self.work.place, &self.held());
        saved.settled = self.shared.storage.files().stamps();
        saved.synced = self.work.kind == Kind::Complete && self.work.synced;
        (saved.scrubbed_unix_ms, saved.scrub_next) = self.scrub.saved();
        saved.sources.clone_from(self.report.sources());
        saved.repairing = self.work.marks.keys().copied().collect();
        self.work.marking.clone_from(&saved.repairing);
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.tell(Msg::Saved(saved.store(&shared.engine.state_dir))));
    }

    pub(super) fn saved(&mut self, result: io::Result<()>) {
        self.work.saving = false;
        let marking = std::mem::take(&mut self.work.marking);
        match result {
            Ok(()) => {
                for piece in marking {
                    if let Some(saved) = self.work.marks.get_mut(&piece) {
                        *saved = true;
                    }
                }
            }
            Err(error) => {
                // Costs checking again after a restart.
                tracing::warn!(name = %self.shared.metainfo.name(), %error, "cannot save progress");
                self.marks_failed(&error);
            }
        }
        if self.work.stuck.is_empty() {
            self.spawn_writers();
        }
        if self.stop.is_some() {
            self.save(self.now(), true);
        }
    }

    /// What is done from time to time.
    pub(super) fn tick(&mut self, now: Time) {
        self.hashes_timeout(now);
        self.tell_uploads(now);
        self.retry_writes(now);
        self.save(now, self.stop.is_some());
        self.part_with_complete(now);
        self.compare_later(now);
        self.scrub_again(now);
        self.lose(now);
        self.fetch_again(now);
        self.scrub_if_due(now);
        if matches!(self.state, TorrentState::Seeding | TorrentState::Repairing) {
            let every = if self.peers.is_empty() { LOOK_EVERY_IDLE } else { LOOK_EVERY };
            if now.since(self.work.looked_at) >= every {
                self.look(now);
            }
            if self.peers.is_empty() && self.scrub.wake_at().is_none() {
                self.shared.storage.close();
            }
        }
        if matches!(self.state, TorrentState::Failed { .. }) {
            self.shared.storage.close();
        }
        self.want_peers(now);
        self.report.sample(now, &self.peers);
        self.publish();
    }
}

/// Whether a file is to be fetched.
fn is_wanted(wanted: Option<&Bitfield>, file: usize) -> bool {
    wanted.is_none_or(|wanted| wanted.get(index(file)))
}

//! How much of the trackers' logs this account has seen: sent along with every question, so that a tracker that is
//! behind catches up before it answers, or says that it has not.
//!
//! What counts as seen: where acknowledged writes stand, and the receipts of snapshots that were accepted. Kept in a
//! file of the account; only the origins heard of last, since an origin is one run of one tracker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use peerage_ledger::{Origin, Receipt};
use peerage_link::api::seen::{SEEN_ORIGINS_MAX, encode};
use peerage_replica::Vector;
use peerage_types::Stamp;

use super::folder::{FolderError, read_file, write_atomic};

/// The file's name in an account's folder.
const FILE: &str = "seen";

/// What one account has seen, or, before a login, what this program has.
#[derive(Debug, Default)]
pub struct Seen {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How far each origin's log was seen, and the latest stamp of it.
    reached: BTreeMap<Origin, (u64, Stamp)>,
    /// As it goes into the header, until `reached` changes.
    text: Option<Arc<str>>,
    unsaved: bool,
    /// The last answer that may have been older than this, and who gave it.
    stale: Option<(Instant, String)>,
}

impl Seen {
    /// Reads what an account has seen. A file that makes no sense counts as none: it only spares waiting.
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join(FILE);
        let bytes = read_file(&path)?.unwrap_or_default();
        let kept = minicbor::decode::<Vec<(Origin, u64, Stamp)>>(&bytes).unwrap_or_default();
        let reached = kept.into_iter().map(|(origin, seq, stamp)| (origin, (seq, stamp)));
        let mut state = State { reached: reached.collect(), ..State::default() };
        state.prune();
        Ok(Self { path: Some(path), state: Mutex::new(state) })
    }

    /// A write was acknowledged: it stands there.
    pub fn wrote(&self, places: &Vector, stamp: Stamp) {
        let mut state = self.lock();
        for (origin, seq) in places.iter() {
            state.raise(*origin, seq, stamp);
        }
        state.prune();
    }

    /// Records were shown with these receipts.
    pub fn read<'a>(&self, receipts: impl Iterator<Item = &'a Receipt>) {
        let mut state = self.lock();
        for receipt in receipts {
            state.raise(receipt.origin, receipt.seq, receipt.stamp);
        }
        state.prune();
    }

    /// Takes over what was seen before the login.
    pub fn add(&self, other: &Self) {
        let reached = other.lock().reached.clone();
        let mut state = self.lock();
        for (origin, (seq, stamp)) in reached {
            state.raise(origin, seq, stamp);
        }
        state.prune();
    }

    /// A tracker that reaches only so far was given every record that we know of: what we saw elsewhere in the log is
    /// there under other numbers, and those of a log that was lost never come again.
    pub fn settle_for(&self, vector: &Vector) {
        let mut state = self.lock();
        let before = state.reached.len();
        state.reached.retain(|origin, (seq, _)| vector.get(origin) >= *seq);
        if state.reached.len() != before {
            state.changed();
        }
    }

    /// The header's value; nothing while nothing was seen.
    pub fn text(&self) -> Option<Arc<str>> {
        let mut state = self.lock();
        if state.text.is_none() {
            let vector: Vector = state.reached.iter().map(|(origin, (seq, _))| (*origin, *seq)).collect();
            state.text = encode(&vector).map(Arc::from);
        }
        state.text.clone()
    }

    /// A tracker said that it is behind.
    pub fn note_stale(&self, tracker: String) {
        self.lock().stale = Some((Instant::now(), tracker));
    }

    /// Who said so last, if that was since then.
    pub fn stale_since(&self, since: Instant) -> Option<String> {
        self.lock().stale.as_ref().filter(|(at, _)| *at >= since).map(|(_, tracker)| tracker.clone())
    }

    /// Writes what has changed. Blocking, but short.
    pub fn save(&self) {
        let Some(path) = &self.path else { return };
        let kept: Vec<(Origin, u64, Stamp)> = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.unsaved) {
                return;
            }
            state.reached.iter().map(|(origin, (seq, stamp))| (*origin, *seq, *stamp)).collect()
        };
        let saved = minicbor::to_vec(kept).map_err(|e| e.to_string());
        let saved = saved.and_then(|bytes| write_atomic(path, &bytes).map_err(|e| e.to_string()));
        if let Err(error) = saved {
            tracing::warn!(%error, "what was seen cannot be kept");
            self.lock().unsaved = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Single inserts and assignments leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn raise(&mut self, origin: Origin, seq: u64, stamp: Stamp) {
        let known = self.reached.entry(origin).or_default();
        if seq > known.0 {
            *known = (seq, stamp.max(known.1));
            self.changed();
        }
    }

    fn changed(&mut self) {
        self.text = None;
        self.unsaved = true;
    }

    fn prune(&mut self) {
        while self.reached.len() > SEEN_ORIGINS_MAX {
            let oldest = self.reached.iter().min_by_key(|(_, (_, stamp))| *stamp).map(|(origin, _)| *origin);
            oldest.and_then(|origin| self.reached.remove(&origin));
            self.changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use peerage_link::api::seen::decode;
    use peerage_types::TrackerId;

    use super::*;

    fn origin(n: u8) -> Origin {
        Origin { tracker: TrackerId([n; 16]), incarnation: 1 }
    }

    fn shown(seen: &Seen) -> Option<Vector> {
        seen.text().map(|text| decode(text.as_bytes()).unwrap())
    }

    #[test]
    fn only_grows_survives_and_forgets_the_oldest_runs() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Seen::open(dir.path()).unwrap();
        assert_eq!(shown(&seen), None);
        seen.wrote(&Vector::from_iter([(origin(1), 7)]), Stamp(5));
        seen.wrote(&Vector::from_iter([(origin(1), 3), (origin(2), 1)]), Stamp(6));
        seen.save();
        let seen = Seen::open(dir.path()).unwrap();
        assert_eq!(shown(&seen), Some(Vector::from_iter([(origin(1), 7), (origin(2), 1)])));
        for n in 3..=66 {
            seen.wrote(&Vector::from_iter([(origin(n), 1)]), Stamp(u64::from(n) + 10));
        }
        let vector = shown(&seen).unwrap();
        assert_eq!((vector.len(), vector.get(&origin(1)), vector.get(&origin(66))), (64, 0, 1));
    }

    #[test]
    fn a_lost_log_is_not_waited_for_for_ever() {
        let seen = Seen::default();
        seen.wrote(&Vector::from_iter([(origin(1), 7), (origin(2), 4)]), Stamp(5));
        seen.settle_for(&Vector::from_iter([(origin(1), 9), (origin(2), 3)]));
        assert_eq!(shown(&seen), Some(Vector::from_iter([(origin(1), 7)])));
    }

    #[test]
    fn a_hint_is_as_old_as_the_answer() {
        let seen = Seen::default();
        let before = Instant::now();
        assert_eq!(seen.stale_since(before), None);
        seen.note_stale("127.0.0.1:1".into());
        assert_eq!(seen.stale_since(before).as_deref(), Some("127.0.0.1:1"));
        assert_eq!(seen.stale_since(Instant::now() + std::time::Duration::from_secs(1)), None);
    }
}

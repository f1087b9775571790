//! Bundles that are not yet on two trackers: kept in a file of the account until they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_ledger::{Body, Record};
use peerage_link::api::{self, ErrorCode};
use peerage_link::http::TrackerConn;
use peerage_replica::{BundleId, Outbox};
use peerage_types::{ClusterId, RecordId};

use super::folder::{FolderError, read_file, remove_file, write_atomic};
use super::trackers::{Trackers, TrackersError};

/// The outbox file's name in an account's folder.
pub const FILE: &str = "outbox";
/// Bundles that one tracker acknowledged and lost, and that all others refuse.
pub const ASIDE_FILE: &str = "outbox.refused";
/// As many are kept there; the oldest go.
const ASIDE_MAX: usize = 256;
/// All trackers must refuse such a bundle for so long: after a fault members bring back what it rests on first.
const REFUSED_MIN: Duration = Duration::from_secs(20);
/// So often all of them are asked.
const ASK_ALL_EVERY: Duration = Duration::from_secs(5);

/// A record's exact bytes.
pub type RecordBytes = Arc<[u8]>;

/// Why a bundle was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No tracker took it.
    #[error(transparent)]
    Trackers(#[from] TrackersError),
    /// It could not be kept.
    #[error("the outbox cannot be written: {0}")]
    Folder(#[from] FolderError),
}

/// What becomes of a bundle that no tracker could be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// The command is refused, so nothing may happen later.
    GiveUp,
    /// It is sent as soon as a tracker is there.
    Keep,
}

/// One account's outbox. Only one process uses it at a time: whoever holds the account's folder.
#[derive(Debug)]
pub struct OutboxFile {
    path: PathBuf,
    state: Mutex<Outbox>,
    /// Acknowledged bundles that all trackers refuse: since when, and when they were asked the last time.
    refused: Mutex<BTreeMap<BundleId, (Option<Instant>, Instant)>>,
}

/// A bundle that is sent no more.
#[derive(Debug)]
pub struct GivenUp {
    /// The command that made it.
    pub what: String,
    /// What trackers refuse it with.
    pub why: String,
    /// Where it is kept.
    pub path: PathBuf,
}

/// Records by id that a tracker may lack, with all that they rest on, what comes first first.
pub type Supply<'a> = &'a (dyn Fn(&[RecordId]) -> Vec<RecordBytes> + Send + Sync);

/// Knows no record but those in the outbox.
pub fn no_supply(_: &[RecordId]) -> Vec<RecordBytes> {
    Vec::new()
}

impl OutboxFile {
    /// Reads the outbox of an account's folder; none yet is an empty one.
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join(FILE);
        let outbox = match read_file(&path)? {
            Some(bytes) => Outbox::decode(&bytes).map_err(|e| FolderError::Io {
                path: path.clone(),
                source: std::io::Error::other(e.to_string()),
            })?,
            None => Outbox::new(),
        };
        Ok(Self { path, state: Mutex::new(outbox), refused: Mutex::default() })
    }

    /// Bundles that are not on two trackers yet.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// The records of all waiting bundles, oldest first.
    pub fn records(&self) -> Vec<RecordBytes> {
        self.lock().pending().flat_map(|(_, bundle)| bundle.records.iter().cloned()).collect()
    }

    /// What waits, one entry per bundle: the command that made it.
    pub fn described(&self, cluster: &ClusterId) -> Vec<String> {
        let outbox = self.lock();
        outbox.pending().map(|(_, bundle)| describe(&bundle.records, cluster)).collect()
    }

    /// Submits a bundle. It is on disk before a tracker sees it and until it is on two.
    pub async fn send(
        &self,
        trackers: &Trackers,
        records: Vec<RecordBytes>,
        unreachable: Unreachable,
        supply: Supply<'_>,
    ) -> Result<(), SendError> {
        let id = self.push(records)?;
        match self.submit(trackers, id, supply).await {
            Ok(_) => Ok(()),
            Err(TrackersError::Unreachable { .. } | TrackersError::WrongKey { .. })
                if unreachable == Unreachable::Keep =>
            {
                tracing::info!("no tracker reachable, the bundle is kept");
                Ok(())
            }
            Err(error) => {
                self.remove(id)?;
                Err(error.into())
            }
        }
    }

    /// Submits what the tracker in use has not taken from us yet, so that it knows what we know. With `again`,
    /// also what it has taken while it could not reach the other trackers. Returns what another tracker acknowledged and
    /// this one refuses for good: see [`Self::reconsider`].
    pub async fn flush(
        &self,
        trackers: &Trackers,
        again: bool,
        supply: Supply<'_>,
    ) -> Result<Vec<BundleId>, SendError> {
        let mut refused = Vec::new();
        let waiting: Vec<BundleId> = self.lock().pending().map(|(id, _)| id).collect();
        for id in waiting {
            let taken = trackers.current_id().is_some_and(|tracker| {
                self.lock().get(id).is_some_and(|bundle| bundle.taken_by.contains(&tracker))
            });
            if !again && taken {
                continue;
            }
            match self.submit(trackers, id, supply).await {
                Ok(true) => {}
                // Still on one tracker only, and so would be the rest.
                Ok(false) if again && taken => break,
                Ok(false) => {}
                // Another tracker has acknowledged it; this one has yet to hear what it rests on.
                Err(TrackersError::Refused(error)) if is_final(error.code) && self.is_taken(id) => {
                    tracing::info!(%error, "a bundle that another tracker took is kept");
                    refused.push(id);
                }
                Err(TrackersError::Refused(error)) if is_final(error.code) => {
                    tracing::warn!(%error, "a kept bundle was refused and is given up");
                    self.remove(id)?;
                }
                // It stands in nobody else's way.
                Err(TrackersError::Refused(error)) if error.code == ErrorCode::Missing => {
                    tracing::info!(%error, "a bundle waits for what it rests on");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(refused)
    }

    /// Gives up what no tracker has any more, though one acknowledged it: its disk died, and all trackers of the list
    /// refuse the bundle for good, and go on doing so for a while. It is kept beside the outbox.
    pub async fn reconsider(
        &self,
        trackers: &Trackers,
        refused: &[BundleId],
        cluster: &ClusterId,
    ) -> Result<Vec<GivenUp>, FolderError> {
        let mut given_up = Vec::new();
        for id in refused {
            let now = Instant::now();
            let since = match self.refused().get(id) {
                Some((_, asked)) if *asked + ASK_ALL_EVERY > now => continue,
                Some((since, _)) => *since,
                None => None,
            };
            let why = self.refused_by_all(trackers, *id).await;
            let since = why.as_ref().map(|_| since.unwrap_or(now));
            self.refused().insert(*id, (since, now));
            let Some((why, _)) = why.zip(since.filter(|since| now - *since >= REFUSED_MIN)) else { continue };
            if let Some(what) = self.set_aside(*id, cluster)? {
                given_up.push(GivenUp { what, why, path: self.path.with_file_name(ASIDE_FILE) });
            }
        }
        let waiting = self.lock();
        self.refused().retain(|id, _| waiting.get(*id).is_some());
        Ok(given_up)
    }

    /// Why no tracker takes the bundle; nothing if one has it, or does not answer, or may take it later.
    async fn refused_by_all(&self, trackers: &Trackers, id: BundleId) -> Option<String> {
        let request = &self.request(id)?;
        let ask = |conn: TrackerConn| async move {
            conn.call::<_, api::BundleResponse>(api::path::BUNDLE, request).await
        };
        let mut why = None;
        for answer in trackers.each(ask).await {
            match answer.map_err(|silent| silent.refused) {
                Err(Some(error)) if is_final(error.code) => why = Some(error.message),
                _ => return None,
            }
        }
        why
    }

    /// From the outbox to the file beside it. Returns the command that made the bundle.
    fn set_aside(&self, id: BundleId, cluster: &ClusterId) -> Result<Option<String>, FolderError> {
        let path = self.path.with_file_name(ASIDE_FILE);
        // A file that cannot be read any more is no reason to send for ever.
        let mut aside = read_file(&path)?.and_then(|bytes| Outbox::decode(&bytes).ok()).unwrap_or_default();
        let mut outbox = self.lock();
        let Some(bundle) = outbox.get(id) else { return Ok(None) };
        let what = describe(&bundle.records, cluster);
        aside.push(bundle.records.clone());
        let excess = aside.len().saturating_sub(ASIDE_MAX);
        let oldest: Vec<BundleId> = aside.pending().map(|(id, _)| id).take(excess).collect();
        for id in oldest {
            aside.remove(id);
        }
        write_atomic(&path, &aside.encode())?;
        outbox.remove(id);
        self.write(&outbox)?;
        Ok(Some(what))
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<BundleId, (Option<Instant>, Instant)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_taken(&self, id: BundleId) -> bool {
        self.lock().get(id).is_some_and(|bundle| !bundle.taken_by.is_empty())
    }

    /// As [`Self::submit_once`]; if the tracker lacks what the bundle rests on, it gets that first: earlier bundles,
    /// and what this device knows from others.
    async fn submit(
        &self,
        trackers: &Trackers,
        id: BundleId,
        supply: Supply<'_>,
    ) -> Result<bool, TrackersError> {
        let missing = match self.submit_once(trackers, id).await {
            Err(TrackersError::Refused(error)) if error.code == ErrorCode::Missing => error,
            result => return result,
        };
        let earlier: Vec<BundleId> =
            self.lock().pending().map(|(id, _)| id).filter(|other| *other < id).collect();
        let known = supply(&missing.missing);
        if earlier.is_empty() && known.is_empty() {
            return Err(TrackersError::Refused(missing));
        }
        trackers.hand_over(&known).await?;
        for earlier in earlier {
            match self.submit_once(trackers, earlier).await {
                Ok(_) | Err(TrackersError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.submit_once(trackers, id).await
    }

    /// True when the bundle is durable enough and has been forgotten.
    async fn submit_once(&self, trackers: &Trackers, id: BundleId) -> Result<bool, TrackersError> {
        let Some(request) = self.request(id) else { return Ok(true) };
        let answer: api::BundleResponse = trackers.call(api::path::BUNDLE, &request).await?;
        trackers.note_id(answer.tracker);
        trackers.seen().wrote(&answer.places, answer.stamp);
        trackers.seen().save();
        let mut outbox = self.lock();
        let done =
            outbox.acked(id, answer.durable_on, answer.of) || outbox.taken(id, answer.tracker, answer.of);
        if let Err(error) = self.write(&outbox) {
            // The bundle is accepted; at worst it is sent once more.
            tracing::warn!(%error, "the outbox cannot be written");
        }
        Ok(done)
    }

    fn request(&self, id: BundleId) -> Option<api::BundleRequest> {
        self.lock().get(id).map(|bundle| api::BundleRequest::new(bundle.records.iter()))
    }

    fn push(&self, records: Vec<RecordBytes>) -> Result<BundleId, FolderError> {
        let mut outbox = self.lock();
        let id = outbox.push(records);
        if let Err(error) = self.write(&outbox) {
            outbox.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    fn remove(&self, id: BundleId) -> Result<(), FolderError> {
        let mut outbox = self.lock();
        outbox.remove(id);
        self.write(&outbox)
    }

    fn write(&self, outbox: &Outbox) -> Result<(), FolderError> {
        if outbox.is_empty() { remove_file(&self.path) } else { write_atomic(&self.path, &outbox.encode()) }
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        // Every change is a single call on the outbox, which leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command that these records come from.
fn describe(records: &[RecordBytes], cluster: &ClusterId) -> String {
    let records = records.iter().filter_map(|bytes| Record::decode(bytes, cluster).ok());
    records.map(|record| command_of(record.body())).max_by_key(String::len).unwrap_or_default()
}

/// The command that a record comes from, as people know it.
fn command_of(body: &Body) -> String {
    match body {
        Body::AccountGenesis { .. } => "create_user".to_owned(),
        Body::UserNameClaim { name } => format!("create_user {name}"),
        Body::DeviceCert { .. } => "login".to_owned(),
        Body::GroupGenesis { name, .. } => format!("create_group {name}"),
        Body::JoinRequest { .. } => "join_group".to_owned(),
        Body::Invite { .. } => "invite".to_owned(),
        Body::InviteWithdraw { .. } => "withdraw_invite".to_owned(),
        Body::Redeem { .. } => "join".to_owned(),
        Body::Accept { .. } => "accept_request".to_owned(),
        Body::Reject { .. } => "reject_request".to_owned(),
        Body::Kick { .. } => "kick".to_owned(),
        Body::Leave { .. } | Body::Handover { stays: false, .. } => "leave_group".to_owned(),
        Body::Manifest { name, .. } => format!("upload_file {name}"),
        Body::Share { .. } => "upload_file".to_owned(),
        Body::Unshare { .. } => "stop_share".to_owned(),
        other => format!("{:?}", other.kind()),
    }
}

/// Would another tracker, or the same one later, refuse it too?
fn is_final(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::Missing | ErrorCode::Unavailable | ErrorCode::RateLimited | ErrorCode::Internal
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waiting_survives_and_an_empty_outbox_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = OutboxFile::open(dir.path()).unwrap();
        let record = |n: u8| -> RecordBytes { Arc::from([n; 3].as_slice()) };
        let first = outbox.push(vec![record(1)]).unwrap();
        let second = outbox.push(vec![record(2), record(3)]).unwrap();
        let again = OutboxFile::open(dir.path()).unwrap();
        assert_eq!(again.records(), vec![record(1), record(2), record(3)]);
        again.remove(first).unwrap();
        again.remove(second).unwrap();
        assert_eq!(OutboxFile::open(dir.path()).unwrap().len(), 0);
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn a_damaged_outbox_is_reported_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"\x83\x09").unwrap();
        let error = OutboxFile::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("version 9"), "{error}");
    }
}

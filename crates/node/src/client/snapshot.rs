//! Group snapshots: every record and receipt is verified, and the views are computed here.
//!
//! A snapshot only grows: what a tracker or a member sends is united with what is kept, so nobody can take this device
//! back to an older view. The union is kept on disk and used when no tracker answers. What a tracker shows is compared
//! with it: one that shows less lags, or keeps something back (see `catch_up`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use peerage_ledger::{AccountView, Body, Fact, GroupView, Receipt};
use peerage_link::api::{SignedRow, SnapshotRequest, SnapshotResponse, path};
use peerage_types::{ClusterId, GroupId, Name, RecordId, Scope, UserId};
use tokio::sync::mpsc;

use super::folder::{FolderError, list_files, read_file, write_atomic};
use super::forged::forged;
pub use super::group_state::GroupState;
use super::group_state::KeptGroup;
pub use super::rows::{Keys, SnapshotFault, account_of};
use super::trackers::{Trackers, TrackersError};
use super::usernames::UserNames;

const EXT: &str = "group";
/// Requests for fresh snapshots that may wait; more are dropped, since they would ask for the same groups.
pub const WANTED_MAX: usize = 64;

/// Why there is no view of a group.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// No tracker answered, and nothing is kept; or the tracker refused.
    #[error(transparent)]
    Trackers(#[from] TrackersError),
    /// What came does not verify.
    #[error(transparent)]
    Fault(#[from] SnapshotFault),
}

/// All groups that this account looked at.
#[derive(Debug)]
pub struct Groups {
    keys: Keys,
    folder: PathBuf,
    states: RwLock<BTreeMap<GroupId, Arc<GroupState>>>,
    unsaved: RwLock<BTreeSet<GroupId>>,
    names: Arc<UserNames>,
    wanted: mpsc::Sender<GroupId>,
    /// What the tracker that was asked last did not show although it is known here.
    behind: RwLock<BTreeMap<GroupId, BTreeSet<RecordId>>>,
}

impl Groups {
    /// Reads and verifies what is kept. Blocking. `wanted` gets groups that a peer made us doubt our view of.
    pub fn open(keys: Keys, folder: PathBuf, wanted: mpsc::Sender<GroupId>) -> Result<Self, FolderError> {
        let (states, unsaved, behind) = (RwLock::default(), RwLock::default(), RwLock::default());
        let groups =
            Self { keys, folder, states, unsaved, names: Arc::new(UserNames::default()), wanted, behind };
        for path in list_files(&groups.folder, EXT)? {
            let bytes = read_file(&path)?.unwrap_or_default();
            let kept = minicbor::decode::<KeptGroup>(&bytes).map_err(|e| e.to_string());
            let state = kept.and_then(|k| {
                groups.build(None, k.group, &k.snapshot, k.fetched_unix_ms).map_err(|e| e.to_string())
            });
            match state {
                Ok(state) => drop(groups.keep(None, state)),
                // It can be fetched again; nothing else hangs on it.
                Err(error) => tracing::warn!(path = %path.display(), %error, "a kept snapshot is unusable"),
            }
        }
        write(&groups.unsaved).clear();
        Ok(groups)
    }

    /// What is known without asking.
    pub fn get(&self, group: &GroupId) -> Option<Arc<GroupState>> {
        read(&self.states).get(group).cloned()
    }

    /// Everything that is known without asking.
    pub fn all(&self) -> Vec<Arc<GroupState>> {
        read(&self.states).values().cloned().collect()
    }

    /// Who has which user name.
    pub fn names(&self) -> &Arc<UserNames> {
        &self.names
    }

    /// The cluster whose records count.
    pub fn cluster(&self) -> ClusterId {
        self.keys.cluster
    }

    /// Those of these records that are known, each with all that its device wrote before it and with the account that
    /// certifies the device; what comes first first.
    pub fn supply(&self, ids: &[RecordId]) -> Vec<Arc<[u8]>> {
        let mut supplied = Vec::new();
        for state in self.all() {
            let facts = &state.rows.facts;
            let mut chain = BTreeSet::new();
            let mut next: Vec<RecordId> = ids.to_vec();
            while let Some(id) = next.pop() {
                if let Some(fact) = facts.get(&id)
                    && chain.insert(fact.rank())
                {
                    next.extend(fact.record.prev());
                }
            }
            let authors = chain.iter().filter_map(|(_, id)| Some(facts.get(id)?.record.author()));
            for user in authors.collect::<BTreeSet<_>>() {
                supplied.extend(
                    state.account_rows.get(&user).map(|rows| rows.in_order(|_| true)).unwrap_or_default(),
                );
            }
            supplied.extend(chain.iter().filter_map(|(_, id)| Some(facts.get(id)?.record.shared_bytes())));
        }
        supplied
    }

    /// The genesis of an account that takes part in a kept group, with its receipt.
    pub fn genesis_of(&self, user: &UserId) -> Option<SignedRow> {
        self.all().iter().find_map(|state| {
            let rows = state.account_rows.get(user)?;
            let is_genesis = |fact: &&Fact| matches!(fact.record.body(), Body::AccountGenesis { .. });
            rows.row(&rows.facts.iter().find(is_genesis)?.record.id())
        })
    }

    /// Asks for the newest state. When no tracker answers, what is kept has to do.
    pub async fn refresh(
        self: &Arc<Self>,
        trackers: &Trackers,
        group: GroupId,
        me: &UserId,
    ) -> Result<Arc<GroupState>, RefreshError> {
        let kept = self.get(&group);
        let request = SnapshotRequest { group, have: kept.as_ref().map(|k| k.digest) };
        let answer = trackers.call::<_, SnapshotResponse>(path::GROUP_SNAPSHOT, &request).await;
        let state = match (answer, kept) {
            (Ok(answer), Some(kept)) if answer.unchanged => {
                kept.fetched_unix_ms.store(unix_ms(), Ordering::Relaxed);
                kept
            }
            (Ok(answer), _) => {
                let this = Arc::clone(self);
                let accounts = answer.accounts.iter().flat_map(|account| &account.rows);
                let receipts: Vec<Receipt> =
                    answer.rows.iter().chain(accounts).map(|row| row.receipt.clone()).collect();
                let unite = move || this.unite(group, &answer);
                let united = tokio::task::spawn_blocking(unite).await;
                let united = united.map_err(|e| SnapshotFault::Record(e.to_string()))??;
                // Whatever a liar stamped is not waited for.
                let all = receipts.iter().map(|receipt| receipt.record).collect();
                let bad = forged(&united, &all);
                trackers.seen().read(receipts.iter().filter(|receipt| !bad.contains(&receipt.record)));
                self.note_behind(&united, me, receipts.iter().map(|receipt| receipt.record).collect());
                united
            }
            // A tracker that knows less than we do: it has yet to hear from the others, or from our outbox.
            (Err(TrackersError::Refused(error)), Some(kept))
                if error.code == peerage_link::api::ErrorCode::NotFound =>
            {
                self.note_behind(&kept, me, BTreeSet::new());
                kept
            }
            (Err(TrackersError::Unreachable { .. }), Some(kept)) => kept,
            (Err(error), _) => return Err(error.into()),
        };
        let claims = state.accounts.values().flat_map(|account| &account.names);
        let people: Vec<Name> = claims.map(|claim| claim.name.clone()).collect();
        self.names.learn(trackers, people.into_iter()).await;
        Ok(state)
    }

    /// What the tracker that was asked last did not show of a group although it is known here.
    pub fn behind(&self, group: &GroupId) -> BTreeSet<RecordId> {
        read(&self.behind).get(group).cloned().unwrap_or_default()
    }

    fn note_behind(&self, state: &GroupState, me: &UserId, shown: BTreeSet<RecordId>) {
        let lacking: BTreeSet<RecordId> = state.visible_to(me).difference(&shown).copied().collect();
        let mut behind = write(&self.behind);
        if lacking.is_empty() {
            behind.remove(&state.view.group);
        } else {
            behind.insert(state.view.group, lacking);
        }
    }

    /// Says that a view may be old; somebody refreshes it soon.
    pub fn doubt(&self, group: GroupId) {
        // Full means that enough is on its way.
        let _ = self.wanted.try_send(group);
    }

    /// Writes what has changed. Blocking.
    pub fn save(&self) -> Result<(), FolderError> {
        // In a statement of its own: a guard that lived through the loop would wait for `states`, while `keep`
        // holds that one and waits for this.
        let unsaved = std::mem::take(&mut *write(&self.unsaved));
        for group in unsaved {
            if let Some(state) = self.get(&group) {
                let path = self.folder.join(format!("{group}.{EXT}"));
                let bytes = minicbor::to_vec(state.kept()).map_err(|e| FolderError::Io {
                    path: path.clone(),
                    source: std::io::Error::other(e.to_string()),
                })?;
                write_atomic(&path, &bytes)?;
            }
        }
        Ok(())
    }

    /// Adds an answer to what is known by then. Another answer may come in meanwhile: then this one is added to
    /// that, so a view never loses a fact and no clock decides.
    fn unite(&self, group: GroupId, answer: &SnapshotResponse) -> Result<Arc<GroupState>, SnapshotFault> {
        self.unite_as_of(group, answer, |_| unix_ms())
    }

    /// Adds what a member told. That no tracker has confirmed, so the view is no fresher, and the next answer of a
    /// tracker comes in full. Blocking.
    pub(super) fn unite_from_member(
        &self,
        group: GroupId,
        told: &SnapshotResponse,
    ) -> Result<Arc<GroupState>, SnapshotFault> {
        self.unite_as_of(group, told, |known| known.map_or(0, GroupState::fetched_unix_ms))
    }

    fn unite_as_of(
        &self,
        group: GroupId,
        answer: &SnapshotResponse,
        as_of: impl Fn(Option<&GroupState>) -> u64,
    ) -> Result<Arc<GroupState>, SnapshotFault> {
        loop {
            let known = self.get(&group);
            let state = self.build(known.as_deref(), group, answer, as_of(known.as_deref()))?;
            if let Some(kept) = self.keep(known.as_ref(), state) {
                return Ok(kept);
            }
        }
    }

    /// What is known and what came, the latter verified.
    fn build(
        &self,
        known: Option<&GroupState>,
        group: GroupId,
        answer: &SnapshotResponse,
        fetched_unix_ms: u64,
    ) -> Result<GroupState, SnapshotFault> {
        let (mut rows, mut account_rows) = match known {
            Some(known) => (known.rows.clone(), known.account_rows.clone()),
            None => Default::default(),
        };
        rows.add(&answer.rows, Scope::Group(group), &self.keys)?;
        for account in &answer.accounts {
            let known = account_rows.entry(account.user).or_default();
            known.add(&account.rows, Scope::Account(account.user), &self.keys)?;
        }
        let accounts: BTreeMap<UserId, Arc<AccountView>> = account_rows
            .iter()
            .filter_map(|(user, rows)| Some((*user, Arc::new(AccountView::of(*user, &rows.facts)?))))
            .collect();
        let view = GroupView::of(group, &rows.facts, &accounts).ok_or(SnapshotFault::Incomplete)?;
        let names = Arc::clone(&self.names);
        let fetched_unix_ms = AtomicU64::new(fetched_unix_ms);
        let (digest, known) = (answer.digest, OnceLock::new());
        Ok(GroupState { view, accounts, fetched_unix_ms, digest, rows, account_rows, names, known })
    }

    /// Puts a state into the place of the one that it was built on; nothing if that has been replaced.
    fn keep(&self, base: Option<&Arc<GroupState>>, state: GroupState) -> Option<Arc<GroupState>> {
        let group = state.view.group;
        let mut states = write(&self.states);
        let replaced = match (states.get(&group), base) {
            (None, None) => false,
            (Some(current), Some(base)) => !Arc::ptr_eq(current, base),
            _ => true,
        };
        if replaced {
            return None;
        }
        let state = Arc::new(state);
        states.insert(group, Arc::clone(&state));
        write(&self.unsaved).insert(group);
        Some(state)
    }
}

/// Now, in milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

// The maps are only changed by single inserts, removes and swaps, which leave them whole whatever happens.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
pub(crate) mod tests;

//! Group snapshots: every record and receipt is verified here, and the views are computed here.
//!
//! A snapshot only grows: what a tracker sends is united with what is kept, so no tracker can take this device back
//! to an older view. The union is kept on disk and used when no tracker answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use minicbor::{Decode, Encode};
use peerage_ledger::{AccountView, Facts, GroupView, Receipt, Record, shown_name};
use peerage_link::api::{AccountRows, SignedRow, SnapshotRequest, SnapshotResponse, path};
use peerage_types::{ClusterId, DeviceId, GroupId, PublicKey, RecordId, Scope, UserId};
use tokio::sync::mpsc;

use super::folder::{FolderError, list_files, read_file, write_atomic};
use super::trackers::{Trackers, TrackersError};
use super::usernames::UserNames;

const EXT: &str = "group";
/// Requests for fresh snapshots that may wait; more are dropped, since they would ask for the same groups.
pub const WANTED_MAX: usize = 64;

/// Why a snapshot was not accepted: the tracker is at fault, or the disk the rows were kept on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// A record that does not verify.
    #[error("a record is invalid: {0}")]
    Record(String),
    /// A receipt that the cluster key did not sign, or for another record.
    #[error("the receipt of record {0} is invalid")]
    Receipt(RecordId),
    /// A record of another group or account.
    #[error("record {0} does not belong here")]
    Scope(RecordId),
    /// Valid rows that make no group: the genesis or its author's account is missing.
    #[error("the group's beginning is missing")]
    Incomplete,
}

/// What a snapshot's bytes on disk look like.
#[derive(Encode, Decode)]
#[cbor(array)]
struct KeptGroup {
    #[n(0)]
    group: GroupId,
    #[n(1)]
    fetched_unix_ms: u64,
    #[n(2)]
    snapshot: SnapshotResponse,
}

/// The rows of one scope, verified.
#[derive(Debug, Clone, Default)]
struct Rows {
    facts: Facts,
    receipts: BTreeMap<RecordId, Receipt>,
}

impl Rows {
    /// Verifies and adds rows; known ones cost nothing.
    fn add(&mut self, rows: &[SignedRow], scope: Scope, keys: &Keys) -> Result<(), SnapshotFault> {
        for SignedRow { record, receipt } in rows {
            if self.receipts.get(&receipt.record) == Some(receipt) {
                continue;
            }
            let record = match self.facts.get(&receipt.record) {
                Some(known) if known.record.bytes() == record.as_slice() => Arc::clone(&known.record),
                _ => Arc::new(
                    Record::decode(record, &keys.cluster)
                        .map_err(|e| SnapshotFault::Record(e.to_string()))?,
                ),
            };
            let id = record.id();
            if record.scope() != scope {
                return Err(SnapshotFault::Scope(id));
            }
            if receipt.record != id || !receipt.verify(&keys.cluster_key) {
                return Err(SnapshotFault::Receipt(id));
            }
            if self.facts.insert(record, receipt.order()) {
                self.receipts.insert(id, receipt.clone());
            }
        }
        Ok(())
    }

    /// All records, each after those that it can rest on.
    fn in_order(&self) -> Vec<Arc<[u8]>> {
        let mut facts: Vec<_> = self.facts.iter().collect();
        facts.sort_by_key(|fact| fact.rank());
        facts.into_iter().map(|fact| fact.record.shared_bytes()).collect()
    }

    fn signed(&self) -> Vec<SignedRow> {
        let row = |id: &RecordId, receipt: &Receipt| {
            let record = self.facts.get(id)?.record.bytes().to_vec();
            Some(SignedRow { record, receipt: receipt.clone() })
        };
        self.receipts.iter().filter_map(|(id, receipt)| row(id, receipt)).collect()
    }
}

/// What signatures are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// Whose records count.
    pub cluster: ClusterId,
    /// What signs receipts.
    pub cluster_key: PublicKey,
}

/// Verifies the records of one account and settles it.
pub fn account_of(
    user: UserId,
    rows: &[SignedRow],
    keys: &Keys,
) -> Result<(Facts, AccountView), SnapshotFault> {
    let mut verified = Rows::default();
    verified.add(rows, Scope::Account(user), keys)?;
    let view = AccountView::of(user, &verified.facts).ok_or(SnapshotFault::Incomplete)?;
    Ok((verified.facts, view))
}

/// One group as this device knows it. Immutable; a fresh snapshot makes a new one.
#[derive(Debug)]
pub struct GroupState {
    /// The settled view.
    pub view: GroupView,
    /// The accounts of everybody who signed something in it.
    pub accounts: BTreeMap<UserId, Arc<AccountView>>,
    /// When a tracker last confirmed it, milliseconds since the Unix epoch.
    fetched_unix_ms: AtomicU64,
    digest: [u8; 32],
    rows: Rows,
    account_rows: BTreeMap<UserId, Rows>,
    names: Arc<UserNames>,
}

impl GroupState {
    /// When a tracker last confirmed it, milliseconds since the Unix epoch.
    pub fn fetched_unix_ms(&self) -> u64 {
        self.fetched_unix_ms.load(Ordering::Relaxed)
    }

    /// The group scope's facts.
    pub fn facts(&self) -> &Facts {
        &self.rows.facts
    }

    /// One account's facts.
    pub fn account_facts(&self, user: &UserId) -> Option<&Facts> {
        self.account_rows.get(user).map(|rows| &rows.facts)
    }

    /// How to show and to call a user: the chosen name, or `name#tag` when it belongs to somebody else.
    pub fn user(&self, user: &UserId) -> String {
        let name = self.accounts.get(user).and_then(|account| account.name());
        match name {
            Some(name) => shown_name(name.as_str(), self.names.holds(name, user), &user.tag()),
            None => format!("user#{}", user.tag()),
        }
    }

    /// The account that certified this device; of several the first, for anybody can certify a stranger's key.
    pub fn account_of_device(&self, device: &DeviceId) -> Option<&AccountView> {
        let claims = self.accounts.values().filter_map(|a| Some((a.devices.get(device)?, a)));
        claims.min_by_key(|(d, a)| (d.revoked.is_some(), d.order, a.user)).map(|(_, a)| a.as_ref())
    }

    fn kept(&self) -> KeptGroup {
        let accounts =
            self.account_rows.iter().map(|(user, rows)| AccountRows { user: *user, rows: rows.signed() });
        KeptGroup {
            group: self.view.group,
            fetched_unix_ms: self.fetched_unix_ms(),
            snapshot: SnapshotResponse {
                digest: self.digest,
                rows: self.rows.signed(),
                accounts: accounts.collect(),
                unchanged: false,
            },
        }
    }
}

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
}

impl Groups {
    /// Reads and verifies what is kept. Blocking. `wanted` gets groups that a peer made us doubt our view of.
    pub fn open(keys: Keys, folder: PathBuf, wanted: mpsc::Sender<GroupId>) -> Result<Self, FolderError> {
        let (states, unsaved) = (RwLock::default(), RwLock::default());
        let groups = Self { keys, folder, states, unsaved, names: Arc::new(UserNames::default()), wanted };
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
                supplied.extend(state.account_rows.get(&user).map(Rows::in_order).unwrap_or_default());
            }
            supplied.extend(chain.iter().filter_map(|(_, id)| Some(facts.get(id)?.record.shared_bytes())));
        }
        supplied
    }

    /// Asks for the newest state. When no tracker answers, what is kept has to do.
    pub async fn refresh(
        self: &Arc<Self>,
        trackers: &Trackers,
        group: GroupId,
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
                trackers.seen().read(receipts.iter());
                united
            }
            // A tracker that knows less than we do: it has yet to hear from the others, or from our outbox.
            (Err(TrackersError::Refused(error)), Some(kept))
                if error.code == peerage_link::api::ErrorCode::NotFound =>
            {
                kept
            }
            (Err(TrackersError::Unreachable { .. }), Some(kept)) => kept,
            (Err(error), _) => return Err(error.into()),
        };
        let people = state.accounts.values().filter_map(|account| account.name().cloned());
        self.names.learn(trackers, people).await;
        Ok(state)
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
        loop {
            let known = self.get(&group);
            let state = self.build(known.as_deref(), group, answer, unix_ms())?;
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
        Ok(GroupState { view, accounts, fetched_unix_ms, digest: answer.digest, rows, account_rows, names })
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
mod tests;

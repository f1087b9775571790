//! A session: one account, logged in on this device.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use peerage_ledger::{GroupView, Record, Role, Standing};
use peerage_link::api;
use peerage_types::{DeviceId, FoldedName, GroupId, InfoHash, RecordId, UserId};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;

use super::Refusal;
use super::catch_up::Lagging;
use super::cluster::Cluster;
use super::content::MetainfoStore;
use super::downloads::{DownloadState, Downloads};
use super::folder::{AccountFolder, read_file, write_atomic};
use super::forged::forged;
use super::forks::forks;
use super::names::GroupRef;
use super::outbox::{GivenUp, OutboxFile};
use super::own::OwnAccount;
use super::reply::{Change, Changed, Decision, Notice};
use super::shares::{NotShared, Shares};
use super::snapshot::{GroupState, Groups, RefreshError};
use super::trackers::{Trackers, TrackersError};
use crate::engine::{Engine, RateLimits, TorrentState};

/// Longest wait for the tracker to hear that we are gone.
const WITHDRAW_MAX: Duration = Duration::from_secs(1);
/// Longest wait for transfers to stop.
const ENGINE_MAX: Duration = Duration::from_secs(5);
const PINNED_FILE: &str = "names";
const LIMITS_FILE: &str = "limits";

/// Everything that exists from login to logout.
pub(super) struct Session {
    pub(super) user: UserId,
    /// The account's own records; see [`Session::shown`] and [`Session::refresh_account`].
    pub(super) own: OwnAccount,
    /// Turns true when a tracker says that this device was removed from the account.
    pub(super) removed: watch::Sender<bool>,
    pub(super) device: DeviceId,
    pub(super) key: SigningKey,
    pub(super) cluster: Arc<Cluster>,
    /// Connections with the device key.
    pub(super) trackers: Arc<Trackers>,
    pub(super) folder: AccountFolder,
    pub(super) outbox: OutboxFile,
    pub(super) groups: Arc<Groups>,
    pub(super) shares: Shares,
    pub(super) downloads: Downloads,
    pub(super) metainfo: MetainfoStore,
    pub(super) engine: Engine,
    /// Downloads that are served only until others can do without, and when this session took them up again.
    pub(super) staying: Mutex<BTreeMap<InfoHash, Instant>>,
    /// Shares that did not come back, and why.
    pub(super) not_shared: Mutex<BTreeMap<InfoHash, NotShared>>,
    /// Downloads of which the command that starts them has not answered yet, and why they have ended meanwhile.
    pub(super) starting: Mutex<BTreeMap<InfoHash, Option<String>>>,
    /// Where peers reach this device, if that is not where it listens.
    pub(super) announced: Option<SocketAddr>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) changes: broadcast::Sender<Change>,
    /// Who was online when it was asked last, of the group that was asked about last.
    pub(super) online: Mutex<Option<super::commands::Online>>,
    /// One bundle after another: each record names the one before it.
    pub(super) heads: tokio::sync::Mutex<BTreeMap<GroupId, RecordId>>,
    /// The number of the last word about presence.
    pub(super) said: Mutex<u64>,
    /// One announce after another.
    pub(super) announcing: tokio::sync::Mutex<()>,
    /// Groups of which a tracker shows less than is known here.
    pub(super) lagging: Lagging,
    /// Something to announce.
    pub(super) announce_soon: Notify,
    /// Where group names led when they were first used.
    pub(super) pinned: Mutex<BTreeMap<String, GroupId>>,
    pub(super) limits: Mutex<RateLimits>,
    pub(super) tasks: Mutex<JoinSet<()>>,
}

impl Session {
    /// What a failed call means to a command.
    pub(super) fn refuse(&self, error: TrackersError) -> Refusal {
        self.cluster.refuse(error)
    }

    /// Tells whoever listens.
    pub(super) fn notify(&self, notice: Notice) {
        // Nobody listening is fine.
        let _ = self.notices.send(notice);
    }

    /// Tells whoever shows a group that something about it is different; nothing when it is not known here.
    pub(super) fn changed(&self, group: &GroupId, what: Changed) {
        if what != Changed::Requests {
            self.forget_online(group);
        }
        if let Some(state) = self.groups.get(group) {
            // Nobody looking is fine.
            let _ = self.changes.send(Change { group: state.view.name.to_string(), what });
        }
    }

    /// The newest state of the group with this name.
    pub(super) async fn group(self: &Arc<Self>, name: &GroupRef) -> Result<Arc<GroupState>, Refusal> {
        self.sent_before().await;
        let request = api::GroupNameRequest { name: name.to_string() };
        let answer = self.trackers.call::<_, api::GroupNameResponse>(api::path::GROUP_NAME, &request).await;
        let mut denied = false;
        let group = match answer {
            Ok(answer) => answer.group,
            Err(TrackersError::Unreachable { tried, .. }) => {
                return self.kept_group(name).ok_or(Refusal::NoTracker { tried });
            }
            // A tracker that was set back does not know what we know.
            Err(TrackersError::Refused(error)) if error.code == api::ErrorCode::NotFound => {
                denied = true;
                self.kept_group(name).ok_or(Refusal::GroupUnknown)?.view.group
            }
            Err(error) => return Err(self.refuse(error)),
        };
        let state = self.refresh(group).await?;
        let named = state.view.name.folded() == name.folded()
            && name.tag().is_none_or(|tag| tag == state.view.group.tag());
        if !named {
            let found = format!("asked for group `{name}`, the tracker named `{}`", state.view.name);
            return Err(Refusal::Untrusted(found));
        }
        if let Some(first) = self.known_before(name, &state) {
            let (tracker, name) = (self.trackers.current_address(), name.to_string());
            self.notify(Notice::LaterGroup { tracker, name, named: group });
            return self.refresh(first).await;
        }
        if denied && state.view.ended_by.is_none() {
            self.unknown_to_tracker(&state, false);
        }
        self.pin(name, group);
        if state.view.ended_by.is_some() { Err(Refusal::GroupUnknown) } else { Ok(state) }
    }

    /// As [`Self::group`], for what only members may do.
    pub(super) async fn my_group(self: &Arc<Self>, name: &GroupRef) -> Result<Arc<GroupState>, Refusal> {
        let state = self.group(name).await?;
        match state.view.standing(&self.user) {
            _ if state.view.is_member(&self.user) => Ok(state),
            Standing::Requested { .. } => Err(Refusal::NotMemberYet),
            _ => Err(Refusal::NotMember),
        }
    }

    /// As [`Self::group`], for what only the owner may do.
    pub(super) async fn owned_group(self: &Arc<Self>, name: &GroupRef) -> Result<Arc<GroupState>, Refusal> {
        let state = self.group(name).await?;
        if state.view.is_owner(&self.user) { Ok(state) } else { Err(Refusal::NotOwner) }
    }

    /// As [`Self::group`], for what owner and admins may do.
    pub(super) async fn decided_group(self: &Arc<Self>, name: &GroupRef) -> Result<Arc<GroupState>, Refusal> {
        let state = self.group(name).await?;
        match state.view.role(&self.user) {
            Some(Role::Owner | Role::Admin) => Ok(state),
            _ => Err(Refusal::NotOwner),
        }
    }

    /// After a decision: the engine learns of it at once, and not only when the tracker tells.
    pub(super) async fn read_back(&self, group: GroupId) {
        if let Err(error) = self.refresh(group).await {
            tracing::info!(%error, "the decision cannot be read back yet");
        }
    }

    /// Tells this person what others decided about them.
    fn tell_of_decisions(&self, before: &GroupView, now: &GroupView) {
        let group = now.name.to_string();
        let (was, is) = (before.standing(&self.user), now.standing(&self.user));
        let decision = match (before.role(&self.user), now.role(&self.user)) {
            (Some(Role::Admin | Role::Member), Some(Role::Owner)) => Decision::Owner,
            (None | Some(Role::Member), Some(Role::Admin)) => Decision::Admin,
            (Some(Role::Admin), Some(Role::Member)) => Decision::NoAdmin,
            _ => match (was, is) {
                (Standing::Requested { .. }, Standing::Member { .. }) => Decision::Accepted,
                (Standing::Requested { .. }, Standing::Rejected { .. }) => Decision::Rejected,
                (Standing::Member { .. }, Standing::Kicked { .. }) => Decision::Kicked,
                (Standing::Member { .. } | Standing::Requested { .. }, _)
                    if now.ended_by.is_some()
                        && before.ended_by.is_none()
                        && !before.is_owner(&self.user) =>
                {
                    Decision::Closed
                }
                _ => return,
            },
        };
        self.notify(Notice::Decided { group, decision });
    }

    /// The newest state of a group, or what is kept when no tracker answers. The engine hears of changes.
    pub(super) async fn refresh(&self, group: GroupId) -> Result<Arc<GroupState>, Refusal> {
        let before = self.groups.get(&group);
        let refreshed = self.groups.refresh(&self.trackers, group, &self.user).await;
        let state = refreshed.map_err(|error| match error {
            RefreshError::Trackers(TrackersError::Refused(e)) if e.code == api::ErrorCode::NotFound => {
                Refusal::GroupUnknown
            }
            RefreshError::Trackers(error) => self.refuse(error),
            RefreshError::Fault(fault) => Refusal::Untrusted(fault.to_string()),
        })?;
        let behind = self.groups.behind(&group);
        if !behind.is_empty() {
            self.lagging.note(&self.trackers.current_address(), group, &behind);
        }
        let members = |s: &Arc<GroupState>| s.view.members.keys().copied().collect::<Vec<_>>();
        let same = |b: &Arc<GroupState>| {
            let known = |s: &Arc<GroupState>| s.heads().digest;
            Arc::ptr_eq(b, &state) || (known(b) == known(&state) && members(b) == members(&state))
        };
        if let Some(before) = &before {
            self.tell_of_decisions(&before.view, &state.view);
            self.tell_of_requests(&before.view, &state);
        }
        if !before.as_ref().is_some_and(same) {
            self.warn_of_forged(&state, before.as_ref());
            self.warn_of_forks(&state, before.as_ref());
            self.engine.roster_changed(group);
        }
        Ok(state)
    }

    /// Says who has asked to join meanwhile, to those who decide.
    fn tell_of_requests(&self, before: &GroupView, now: &GroupState) {
        if !matches!(now.view.role(&self.user), Some(Role::Owner | Role::Admin)) {
            return;
        }
        let known: BTreeSet<UserId> = before.requests.iter().map(|request| request.user).collect();
        for request in now.view.requests.iter().filter(|request| !known.contains(&request.user)) {
            let (group, user) = (now.view.name.to_string(), now.user(&request.user));
            self.notify(Notice::Requested { group, user });
        }
    }

    /// Another member told something that trackers had not.
    pub(super) async fn learned(&self, group: GroupId) {
        self.engine.roster_changed(group);
        if self.groups.get(&group).is_some_and(|state| !state.view.is_member(&self.user)) {
            self.leave_swarms(group).await;
        }
        // The trackers may lack it.
        self.groups.doubt(group);
    }

    /// The group that this name leads to, as far as known without asking.
    pub(super) fn kept_group(&self, name: &GroupRef) -> Option<Arc<GroupState>> {
        let pinned = self.pinned().get(&key_of(name)).copied();
        let named = |state: &Arc<GroupState>| {
            let fits = state.view.name.folded() == name.folded() && state.view.ended_by.is_none();
            fits && name.tag().is_none_or(|tag| state.view.group.tag() == tag)
        };
        pinned.and_then(|group| self.groups.get(&group)).or_else(|| self.groups.all().into_iter().find(named))
    }

    /// Says whose devices turned out to have forked.
    fn warn_of_forks(&self, state: &GroupState, before: Option<&Arc<GroupState>>) {
        let known = before.map(|before| forks(before.facts())).unwrap_or_default();
        let new = forks(state.facts()).into_keys().filter(|place| !known.contains_key(place));
        // A stranger may say what they like.
        let whose: BTreeSet<UserId> =
            new.map(|(user, ..)| user).filter(|user| state.view.is_member(user)).collect();
        for user in whose {
            let (group, user) = (state.view.name.to_string(), state.user(&user));
            self.notify(Notice::Forked { group, user });
        }
    }

    /// Says, once per tracker and group, that a tracker denies a group (`listed`: leaves it out of its list).
    pub(super) fn unknown_to_tracker(&self, state: &GroupState, listed: bool) {
        let tracker = self.trackers.current_address();
        let what = if listed { "listed" } else { "named" };
        if state.view.is_member(&self.user) && self.lagging.tell(&tracker, state.view.group, what) {
            self.notify(Notice::Unknown { tracker, group: state.view.name.to_string(), listed });
        }
    }

    /// Says that what a tracker shows is partly forged; each record is told once.
    fn warn_of_forged(&self, state: &GroupState, before: Option<&Arc<GroupState>>) {
        let new: BTreeSet<RecordId> = match before {
            Some(before) => state.ids().difference(before.ids()).copied().collect(),
            None => state.ids().clone(),
        };
        let records = forged(state, &new).len();
        let tracker = self.trackers.current_address();
        if records > 0 {
            self.notify(Notice::Forged { tracker, group: state.view.name.to_string(), records });
        }
    }

    /// The group that this name led to before, if it goes on and came before the one that a tracker now names: then
    /// the tracker cannot be right, whatever else it has heard.
    fn known_before(&self, name: &GroupRef, named: &GroupState) -> Option<GroupId> {
        let pinned =
            self.pinned().get(&key_of(name)).copied().filter(|pinned| *pinned != named.view.group)?;
        let pinned = self.groups.get(&pinned).filter(|state| state.view.ended_by.is_none())?;
        let rank = |state: &GroupState| (state.view.created, state.view.group);
        (rank(&pinned) < rank(named)).then_some(pinned.view.group)
    }

    /// Remembers where a name leads, and warns when it leads elsewhere although the former group goes on.
    fn pin(&self, name: &GroupRef, group: GroupId) {
        let before = self.pinned().insert(key_of(name), group);
        if before == Some(group) {
            return;
        }
        let former = before.and_then(|before| self.groups.get(&before));
        if let Some(former) = former.filter(|state| state.view.ended_by.is_none()) {
            self.notify(Notice::GroupNameMoved {
                name: name.to_string(),
                before: former.view.group,
                now: group,
            });
        }
        let pinned = self.pinned().clone();
        let saved = minicbor::to_vec(&pinned)
            .map_err(|e| e.to_string())
            .and_then(|bytes| write_atomic(&self.pinned_path(), &bytes).map_err(|e| e.to_string()));
        if let Err(error) = saved {
            tracing::warn!(%error, "group names cannot be remembered");
        }
    }

    /// Reads where group names led.
    pub(super) fn load_pinned(folder: &AccountFolder) -> BTreeMap<String, GroupId> {
        let bytes = read_file(&folder.path().join(PINNED_FILE)).ok().flatten().unwrap_or_default();
        minicbor::decode(&bytes).unwrap_or_default()
    }

    /// Reads the rate limits; none if there are none.
    pub(super) fn load_limits(folder: &AccountFolder) -> Result<RateLimits, String> {
        let path = folder.path().join(LIMITS_FILE);
        let Some(bytes) = read_file(&path).map_err(|error| error.to_string())? else {
            return Ok(RateLimits::default());
        };
        let fix =
            |error| format!("`{}` is damaged ({error}): remove it and set the limits again", path.display());
        minicbor::decode(&bytes).map_err(fix)
    }

    /// The rate limits of this moment.
    pub(super) fn limits(&self) -> RateLimits {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps rate limits and goes by them from now on.
    pub(super) fn keep_limits(&self, limits: &RateLimits) -> Result<(), String> {
        let bytes = minicbor::to_vec(limits).map_err(|error| error.to_string())?;
        let path = self.folder.path().join(LIMITS_FILE);
        write_atomic(&path, &bytes).map_err(|error| error.to_string())?;
        self.engine.set_limits(limits);
        Ok(())
    }

    /// What a group was called when it was first used, for when nothing else is known of it.
    pub(super) fn pinned_name(&self, group: &GroupId) -> Option<String> {
        self.pinned().iter().find(|(_, id)| *id == group).map(|(name, _)| name.clone())
    }

    fn pinned_path(&self) -> PathBuf {
        self.folder.path().join(PINNED_FILE)
    }

    fn pinned(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, GroupId>> {
        // Single inserts leave the map whole.
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that the tracker in use knows what others were told, so that this device can read what it wrote.
    pub(super) async fn sent_before(&self) {
        self.flush_outbox(false).await;
    }

    /// Submits what waits in the outbox; with `again` also what the tracker in use has taken already. True: nothing
    /// went wrong.
    pub(super) async fn flush_outbox(&self, again: bool) -> bool {
        if self.outbox.len() == 0 {
            return true;
        }
        let supply = |ids: &[RecordId]| self.groups.supply(ids);
        let refused = match self.outbox.flush(&self.trackers, again, &supply).await {
            Ok(refused) => refused,
            Err(error) => {
                tracing::info!(%error, "the outbox stays as it is");
                return false;
            }
        };
        match self.outbox.reconsider(&self.trackers, &refused, &self.cluster.id).await {
            Ok(given_up) => given_up.into_iter().for_each(|bundle| {
                let GivenUp { what, why, path } = bundle;
                self.notify(Notice::GivenUp { what, why, path });
            }),
            Err(error) => tracing::warn!(%error, "what trackers refuse cannot be put aside"),
        }
        true
    }

    /// Waits a while until everything is on two trackers.
    pub(super) async fn settle_outbox(&self, patience: Duration) {
        let settle = async {
            while self.outbox.len() > 0 {
                if !self.flush_outbox(true).await {
                    return;
                }
                if self.outbox.len() > 0 {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        // Whatever is left is reported.
        let _ = tokio::time::timeout(patience, settle).await;
    }

    /// Ends the session: presence withdrawn, transfers stopped, keys gone with the last reference. Tells which
    /// downloads were cut short.
    pub(super) async fn end(&self) -> Vec<String> {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        let running = self.engine.status();
        let cut_short = self.downloads.all().into_iter().filter(|(info_hash, entry)| {
            let failed = running
                .iter()
                .any(|s| s.info_hash == *info_hash && matches!(s.state, TorrentState::Failed { .. }));
            entry.state == DownloadState::Running && !failed
        });
        let cut_short = cut_short.map(|(_, entry)| entry.label()).collect();
        let request = api::WithdrawRequest { said: self.word() };
        let withdraw = self.trackers.call::<_, api::Empty>(api::path::WITHDRAW, &request);
        if !matches!(tokio::time::timeout(WITHDRAW_MAX, withdraw).await, Ok(Ok(_))) {
            tracing::info!("presence could not be withdrawn, it expires by itself");
        }
        if tokio::time::timeout(ENGINE_MAX, self.engine.shutdown()).await.is_err() {
            tracing::warn!("transfers did not stop in time");
        }
        self.save_groups().await;
        cut_short
    }

    /// Writes changed snapshots.
    pub(super) async fn save_groups(&self) {
        self.trackers.seen().save();
        let groups = Arc::clone(&self.groups);
        match tokio::task::spawn_blocking(move || groups.save()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "snapshots cannot be kept"),
            Err(error) => tracing::warn!(%error, "snapshots cannot be kept"),
        }
    }

    /// Runs a task until logout.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }
}

fn key_of(name: &GroupRef) -> String {
    let folded: FoldedName = name.folded();
    match name.tag() {
        Some(tag) => format!("{}#{tag}", folded.as_str()),
        None => folded.as_str().to_owned(),
    }
}

/// The records that show another peer whose device this is.
pub(super) fn certificate(records: &[Arc<Record>], device: &DeviceId) -> Vec<Vec<u8>> {
    use peerage_ledger::Body;
    let needed = |record: &&Arc<Record>| match record.body() {
        Body::AccountGenesis { .. } => true,
        Body::DeviceCert { device: d, .. } => d == device,
        _ => false,
    };
    records.iter().filter(needed).map(|record| record.bytes().to_vec()).collect()
}

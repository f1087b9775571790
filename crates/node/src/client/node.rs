//! The program's node: configuration, the cluster, and at most one session.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peerage_link::list::{LOOK_INTERVAL, ListWatch, TrackerList};
use tokio::sync::{Mutex, OnceCell, broadcast};
use tokio::task::JoinHandle;

use super::cluster::{Cluster, StartError};
use super::folder::{AccountFolder, DataRoot, FolderError};
use super::outbox::{FILE as OUTBOX_FILE, OutboxFile, no_supply};
use super::reply::{Change, CloseReport, Notice};
use super::session::Session;
use super::{GroupRef, Invite, Refusal};

/// Notices that wait for a slow reader; older ones are dropped.
const NOTICES_MAX: usize = 256;
/// Changes that wait for a slow reader; who lost some looks at everything again.
const CHANGES_MAX: usize = 64;
/// Files and sockets of a busy node: connections of its torrents, and files of shared folders.
const OPEN_FILES: u64 = 16_384;
/// How often accounts that nobody is logged in to get their outboxes emptied.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(10);
/// How long `exit` waits for the outbox.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where this device listens for peers, `HOST:PORT`.
    pub listen: String,
    /// Where peers reach this device, if that is not where it listens: the outside of a forwarded port.
    pub announce: Option<SocketAddr>,
    /// What trackers may ask of those who create accounts.
    pub registration_code: Option<String>,
    /// The tracker list.
    pub list: PathBuf,
    /// Where everything is kept; `None`: the user's data folder.
    pub data: Option<PathBuf>,
}

/// A member's node.
pub struct Node {
    pub(super) inner: Arc<Inner>,
    background: Mutex<Option<JoinHandle<()>>>,
}

/// What the node's tasks share.
pub(super) struct Inner {
    pub(super) listen: SocketAddr,
    pub(super) announce: Option<SocketAddr>,
    pub(super) registration_code: Option<String>,
    list: PathBuf,
    pub(super) root: DataRoot,
    cluster: OnceCell<Arc<Cluster>>,
    pub(super) session: std::sync::RwLock<Option<Arc<Session>>>,
    /// Logging in and out, one at a time.
    pub(super) changing: Mutex<()>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) changes: broadcast::Sender<Change>,
    /// Downloads that a logout of this program cut short.
    pub(super) cut_short: std::sync::Mutex<Vec<String>>,
}

impl Inner {
    /// Somebody's newer invite may name trackers that came since.
    pub(super) fn complete_list(&self, invite: &Invite) -> Result<(), Refusal> {
        invite.complete(&self.list, self.root.path()).map_err(|error| Refusal::Local(error.to_string()))
    }
}

impl Node {
    /// Checks the configuration: the list can be read, the address can be listened on, the folder can be written.
    /// Contacts no tracker yet.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        peerage_link::files::allow(OPEN_FILES);
        let list = TrackerList::load(&config.list)?;
        let listen = listen_address(&config.listen).await?;
        let root = DataRoot::resolve(config.data.as_deref()).map_err(|e| {
            let path = config.data.clone().unwrap_or_default();
            StartError::Data(e.to_string(), path)
        })?;
        super::settle_format(root.path())?;
        let inner = Arc::new(Inner {
            listen,
            announce: config.announce,
            registration_code: config.registration_code,
            list: config.list,
            root,
            cluster: OnceCell::new(),
            session: std::sync::RwLock::default(),
            changing: Mutex::new(()),
            notices: broadcast::channel(NOTICES_MAX).0,
            changes: broadcast::channel(CHANGES_MAX).0,
            cut_short: std::sync::Mutex::default(),
        });
        let (outboxes, changes) = (empty_outboxes(Arc::clone(&inner)), follow_list(Arc::clone(&inner), list));
        let background = tokio::spawn(async move {
            tokio::join!(outboxes, changes);
        });
        Ok(Self { inner, background: Mutex::new(Some(background)) })
    }

    /// What happens by itself, from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.inner.notices.subscribe()
    }

    /// What becomes different about groups that this device knows, from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// The folder in which everything is kept.
    pub fn data_path(&self) -> &Path {
        self.inner.root.path()
    }

    /// Where this device listens for peers once somebody is logged in.
    pub fn listen(&self) -> SocketAddr {
        self.inner.listen
    }

    /// Is anybody logged in?
    pub fn is_logged_in(&self) -> bool {
        self.inner.session().is_ok()
    }

    /// Who is logged in.
    pub fn user_name(&self) -> Option<String> {
        self.inner.session().ok().map(|session| session.shown())
    }

    /// The tracker, if one said since then that it has less than was seen before; for the hint beside a reply.
    pub fn stale_since(&self, since: std::time::Instant) -> Option<String> {
        match self.inner.session() {
            Ok(session) => session.trackers.seen().stale_since(since),
            Err(_) => self.inner.cluster.get()?.trackers.seen().stale_since(since),
        }
    }

    /// Names of all groups that are known without asking, for completion.
    pub fn known_groups(&self) -> Vec<String> {
        let Ok(session) = self.inner.session() else { return Vec::new() };
        let mut names: Vec<String> = session
            .groups
            .all()
            .iter()
            .filter(|g| g.view.ended_by.is_none())
            .map(|g| g.view.name.to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Files of a group that are known without asking, for completion.
    pub fn known_files(&self, group: &str) -> Vec<String> {
        self.known(group, |state| state.view.files.iter().map(|f| f.shown.clone()).collect())
    }

    /// Users of a group, or who ask to join it, as far as known without asking, for completion.
    pub fn known_users(&self, group: &str) -> Vec<String> {
        self.known(group, |state| {
            let asking = state.view.requests.iter().map(|r| r.user);
            asking.chain(state.view.members.keys().copied()).map(|user| state.user(&user)).collect()
        })
    }

    fn known(&self, group: &str, what: impl Fn(&super::snapshot::GroupState) -> Vec<String>) -> Vec<String> {
        let (Ok(session), Ok(group)) = (self.inner.session(), group.parse::<GroupRef>()) else {
            return Vec::new();
        };
        session.kept_group(&group).map(|state| what(&state)).unwrap_or_default()
    }

    /// Logs out, and waits at most two seconds for the outbox.
    pub async fn close(&self) -> CloseReport {
        if let Some(background) = self.background.lock().await.take() {
            background.abort();
        }
        let _one_at_a_time = self.inner.changing.lock().await;
        let mut report = CloseReport::default();
        if let Some(session) = self.inner.take_session() {
            let last_held = session.last_held();
            ((), report.last_held) = tokio::join!(session.settle_outbox(CLOSE_MAX), last_held);
            report.not_on_two_trackers = session.outbox.described(&session.cluster.id);
            self.inner.note_cut_short(session.end().await);
        } else if let Some(cluster) = self.inner.cluster.get() {
            // Whatever is left then is reported.
            let _ = tokio::time::timeout(CLOSE_MAX, flush_accounts(&self.inner, cluster)).await;
            let accounts = self.inner.root.accounts(&cluster.id);
            let left = accounts.iter().filter_map(|path| OutboxFile::open(path).ok());
            report.not_on_two_trackers = left.flat_map(|outbox| outbox.described(&cluster.id)).collect();
        }
        report.downloads_cut_short = std::mem::take(&mut self.inner.cut_short());
        report
    }
}

impl Inner {
    /// The cluster behind the list; found once, at the first command that needs it.
    pub(super) async fn cluster(&self) -> Result<Arc<Cluster>, Refusal> {
        let found = self.cluster.get_or_try_init(async || {
            let cluster = Cluster::find(&self.list, &self.root).await?;
            Ok::<_, Refusal>(Arc::new(cluster))
        });
        found.await.cloned()
    }

    /// The session, for commands that need one.
    pub(super) fn session(&self) -> Result<Arc<Session>, Refusal> {
        self.session.read().ok().and_then(|s| s.clone()).ok_or(Refusal::NotLoggedIn)
    }

    pub(super) fn set_session(&self, session: Option<Arc<Session>>) -> Option<Arc<Session>> {
        let mut slot = self.session.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut slot, session)
    }

    pub(super) fn take_session(&self) -> Option<Arc<Session>> {
        self.set_session(None)
    }

    pub(super) fn note_cut_short(&self, files: Vec<String>) {
        self.cut_short().extend(files);
    }

    pub(super) fn cut_short(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.cut_short.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Resolves `HOST:PORT` and sees whether it can be listened on.
async fn listen_address(given: &str) -> Result<SocketAddr, StartError> {
    let fail = |why: String| StartError::Listen { given: given.to_owned(), why };
    let mut found = tokio::net::lookup_host(given).await.map_err(|e| fail(e.to_string()))?;
    let address = found.next().ok_or_else(|| fail("the name has no address".to_owned()))?;
    // Better to say so now than at the first login.
    tokio::net::TcpListener::bind(address).await.map_err(|e| fail(e.to_string()))?;
    Ok(address)
}

/// Sends what accounts left behind, as soon as the cluster is known.
async fn empty_outboxes(inner: Arc<Inner>) {
    let mut interval = tokio::time::interval(OUTBOX_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Some(cluster) = inner.cluster.get() {
            flush_accounts(&inner, cluster).await;
        }
    }
}

/// Takes over what changes in the tracker list while the program runs.
async fn follow_list(inner: Arc<Inner>, list: TrackerList) {
    let mut watch = ListWatch::new(list);
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let looked = tokio::task::spawn_blocking(move || {
            let changed = watch.look();
            (watch, changed)
        });
        let Ok((same, changed)) = looked.await else { return };
        watch = same;
        // Nobody listening is fine.
        let tell = |text: String| drop(inner.notices.send(Notice::Warning(text)));
        match changed {
            Ok(Some(list)) => {
                if let Some(cluster) = inner.cluster.get() {
                    cluster.trackers.set_entries(&list.entries);
                }
                if let Ok(session) = inner.session() {
                    session.trackers.set_entries(&list.entries);
                }
                let trackers = list.entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                tell(format!("the tracker list has changed: {trackers}"));
            }
            Ok(None) => {}
            Err(error) => tell(format!("the changed tracker list is not used: {error}")),
        }
    }
}

/// Sends what waits in accounts that nobody is logged in to.
async fn flush_accounts(inner: &Inner, cluster: &Cluster) {
    for path in inner.root.accounts(&cluster.id) {
        if !path.join(OUTBOX_FILE).exists() {
            continue;
        }
        // Whoever is logged in looks after the account's outbox.
        let folder = match AccountFolder::lock(path.clone()) {
            Ok(folder) => folder,
            Err(FolderError::Locked(_)) => continue,
            Err(error) => {
                tracing::warn!(%error, "an outbox cannot be emptied");
                continue;
            }
        };
        match OutboxFile::open(folder.path()) {
            Ok(outbox) => {
                if let Err(error) = outbox.flush(&cluster.trackers, true, &no_supply).await {
                    tracing::info!(%error, "an outbox stays as it is");
                }
            }
            Err(error) => tracing::warn!(%error, "an outbox cannot be read"),
        }
    }
}

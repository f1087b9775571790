//! Starts the parts of a tracker in their order, and ends them in the opposite one.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use peerage_ledger::Origin;
use peerage_link::keyring::{Keyring, keyring_path};
use peerage_link::list::{self, TrackerEntry, TrackerList};
use peerage_link::tls::{self, ClientKey, ExpectedKey};
use peerage_replica::{Config, Input, Limits, Replica, Vector};
use peerage_store::{SqliteStore, Store, StoreError};
use peerage_types::{PublicKey, Stamp, TrackerId};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::accept::Serving;
use crate::clock::Monotonic;
use crate::config::{Started, TrackerConfig, TrackerError};
use crate::folder::{DataFolder, default_folder};
use crate::invitations::Invitations;
use crate::lanes::Lanes;
use crate::limits::EVENT_STREAMS_PER_DEVICE_MAX;
use crate::metainfo_slots::MetainfoSlots;
use crate::metrics::Metrics;
use crate::monitor::{self, Life};
use crate::neighbours::{Identities, NeighbourConfig, Neighbours};
use crate::notices::Notices;
use crate::places::Places;
use crate::presence_shell::{self, PresenceShell};
use crate::rate::Rates;
use crate::replica_shell::{self, Done, ReplicaHandle, Shell};
use crate::routes::Waiting;
use crate::state::{Shared, State};
use crate::views::Views;
use crate::writer::{self, Commit, Signals};
use crate::{accept, files, keeper, mend, reload, routes};

/// Keys under which the store keeps who it belongs to.
pub(crate) const META_CLUSTER: &str = "cluster";
pub(crate) const META_TRACKER: &str = "tracker";

/// How long a tracker that comes back from a drill tries to get its port again.
const LISTEN_AGAIN_MAX: Duration = Duration::from_secs(10);
/// Between two attempts.
const LISTEN_AGAIN_PAUSE: Duration = Duration::from_millis(200);

/// Runs one tracker until `shutdown` is ready: then it finishes what is in flight and returns. It prints nothing;
/// `started` is called once, as soon as connections are accepted. A drill
/// ends everything but the counters and the lock of the data folder, and starts anew when it is over.
///
/// # Errors
/// [`TrackerError`], whose message says what the operator should do. A broken database ends a running tracker.
pub async fn run(
    config: TrackerConfig,
    shutdown: impl Future<Output = ()>,
    started: impl FnOnce(&Started),
) -> Result<(), TrackerError> {
    run_behind(config, shutdown, started, |router| router).await
}

/// As [`run`], with something of the caller's before the routes: a test makes a hostile tracker of a real one.
///
/// # Errors
/// As [`run`].
#[doc(hidden)]
pub async fn run_behind(
    config: TrackerConfig,
    shutdown: impl Future<Output = ()>,
    started: impl FnOnce(&Started),
    before: impl Fn(axum::Router) -> axum::Router,
) -> Result<(), TrackerError> {
    files::allow();
    let watched = Watched::start(config.metrics).await?;
    let mut shutdown = pin!(shutdown);
    let mut started = Some(started);
    let mut earlier = None;
    loop {
        let (prepared, last) = (config.clone(), earlier.take());
        let ground = tokio::task::spawn_blocking(move || Ground::prepare(prepared, last))
            .await
            .map_err(|_| TrackerError::Crashed("start"))??;
        let listener = ground.listen().await?;
        let addr = listener.local_addr().map_err(|source| ground.listen_error(source))?;
        let (list, own) = (ground.list.clone(), ground.own.clone());
        let report = ground.report(addr, watched.addr);
        let (running, folder) = Running::start(ground, listener, &watched, &before)?;
        if let Some(started) = started.take() {
            started(&report);
        }
        let end = running.until(shutdown.as_mut(), &watched.life).await?;
        // The lock goes last: whoever starts on this folder finds everything on disk. It stays through a drill.
        let End::Drill(away) = end else { return Ok(()) };
        tracing::warn!(seconds = away.as_secs(), "a drill keeps this tracker away");
        watched.life.send_replace(Life::Away(Instant::now() + away));
        tokio::select! {
            () = shutdown.as_mut() => return Ok(()),
            () = config.resume.requested() => {}
            () = tokio::time::sleep(away) => {}
        }
        tracing::info!("the drill is over: starting again");
        watched.life.send_replace(Life::Changing);
        earlier = Some(Earlier { list, own, folder, addr });
    }
}

/// What outlives a drill: the counters, and whoever watches them.
struct Watched {
    metrics: Arc<Metrics>,
    life: watch::Sender<Life>,
    addr: Option<SocketAddr>,
    _monitor: Option<Part>,
}

impl Watched {
    async fn start(addr: Option<SocketAddr>) -> Result<Self, TrackerError> {
        let metrics = Metrics::new(addr.is_some())
            .map_err(|e| TrackerError::System { what: "counters", why: e.to_string() })?;
        let metrics = Arc::new(metrics);
        let (life, seen) = watch::channel(Life::default());
        let Some(addr) = addr else { return Ok(Self { metrics, life, addr: None, _monitor: None }) };
        let fault = |source| TrackerError::Metrics { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(fault)?;
        let addr = Some(listener.local_addr().map_err(fault)?);
        let monitor = Part(tokio::spawn(monitor::serve(listener, Arc::clone(&metrics), seen)));
        Ok(Self { metrics, life, addr, _monitor: Some(monitor) })
    }
}

/// What a tracker comes back to after a drill.
struct Earlier {
    /// Good enough if the file cannot be read just now.
    list: TrackerList,
    own: TrackerEntry,
    folder: DataFolder,
    /// Where it listened.
    addr: SocketAddr,
}

/// Why a life of the tracker ended well.
enum End {
    Shutdown,
    /// It is to start again after so long.
    Drill(Duration),
}

/// What is there before anything runs.
struct Ground {
    config: TrackerConfig,
    list: TrackerList,
    /// The line of the list that this tracker is.
    own: TrackerEntry,
    keyring: Keyring,
    invitations: Invitations,
    folder: DataFolder,
    store: Arc<dyn Store>,
    tracker: TrackerId,
    incarnation: u64,
    vector: Vector,
    last_stamp: Stamp,
    /// Where this process listened before a drill.
    listened: Option<SocketAddr>,
}

impl Ground {
    /// Blocking. `earlier`: what this process had before a drill.
    fn prepare(config: TrackerConfig, earlier: Option<Earlier>) -> Result<Self, TrackerError> {
        let loaded = TrackerList::load(&config.list);
        let (list, own, folder, listened) = match (loaded, earlier) {
            (Ok(list), Some(earlier)) => (list, earlier.own, Some(earlier.folder), Some(earlier.addr)),
            (Err(error), Some(earlier)) => {
                tracing::error!(%error, "going on with the list as it was");
                (earlier.list, earlier.own, Some(earlier.folder), Some(earlier.addr))
            }
            (loaded, None) => {
                let list = loaded?;
                let Some(own) = list.entry(config.number).cloned() else {
                    let (list, trackers) = (config.list, list.entries.len());
                    return Err(TrackerError::NoSuchNumber { list, number: config.number, trackers });
                };
                (list, own, None, None)
            }
        };
        let keyring = Keyring::load_or_create(&config.list)?;
        pin(&list, &keyring.public())?;
        let folder = match folder {
            Some(locked) => locked,
            None => DataFolder::open(data_folder(config.data.as_deref(), &keyring, config.number)?)?,
        };
        let invitations = Invitations::read(config.registration_code.as_deref()).map_err(|source| {
            let path = config.registration_code.clone().unwrap_or_default();
            TrackerError::RegistrationCode { path, source }
        })?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.database())?);
        let tracker = identity(&*store, &keyring, &folder)?;
        let mut incarnation = [0; 8];
        fill_random(&mut incarnation)?;
        let (vector, last_stamp) = (store.vector()?, store.last_stamp()?);
        let incarnation = u64::from_be_bytes(incarnation);
        let ground = Self {
            config,
            list,
            own,
            keyring,
            invitations,
            folder,
            store,
            tracker,
            incarnation,
            vector,
            last_stamp,
            listened,
        };
        Ok(ground)
    }

    fn report(&self, addr: SocketAddr, metrics: Option<SocketAddr>) -> Started {
        Started {
            addr,
            cluster: self.keyring.cluster(),
            tracker: self.tracker,
            key: self.keyring.public(),
            pin_path: list::pin_path(&self.list.path),
            data: self.folder.path().to_owned(),
            trackers: self.list.entries.len(),
            metrics,
        }
    }

    async fn listen(&self) -> Result<TcpListener, TrackerError> {
        let bound = match (self.listened, self.config.listen) {
            (Some(addr), _) => listen_again(addr).await,
            (None, Some(addr)) => TcpListener::bind(addr).await,
            (None, None) => TcpListener::bind((self.own.host.as_str(), self.own.port)).await,
        };
        bound.map_err(|source| self.listen_error(source))
    }

    fn listen_error(&self, source: io::Error) -> TrackerError {
        let addr = self.config.listen.map_or_else(|| self.own.to_string(), |addr| addr.to_string());
        match source.kind() {
            io::ErrorKind::AddrInUse => TrackerError::PortInUse { addr },
            _ => TrackerError::Listen { addr, source },
        }
    }

    /// The other trackers of the list, each with its slot.
    fn neighbours(&self) -> Neighbours {
        let key = self.keyring.signing_key();
        let tls = tls::client_config(Some(key), ExpectedKey::Exactly(self.keyring.public()), &[tls::ALPN_H2]);
        let neighbours = Neighbours::new(NeighbourConfig {
            tls,
            cluster: self.keyring.cluster(),
            us: self.tracker,
            list: self.list.path.display().to_string(),
            identities: Identities::default(),
        });
        for entry in self.list.entries.iter().filter(|entry| **entry != self.own) {
            neighbours.add(entry);
        }
        neighbours
    }
}

/// After a drill: whoever took the port meanwhile, such as an outgoing connection, is given time to go.
async fn listen_again(addr: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + LISTEN_AGAIN_MAX;
    loop {
        match TcpListener::bind(addr).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                tokio::time::sleep(LISTEN_AGAIN_PAUSE).await;
            }
            bound => return bound,
        }
    }
}

/// Where a tracker keeps its data.
pub(crate) fn data_folder(
    data: Option<&Path>,
    keyring: &Keyring,
    number: usize,
) -> Result<PathBuf, TrackerError> {
    match data {
        Some(data) => Ok(data.to_owned()),
        None => {
            let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
            Ok(default_folder(&keyring.cluster(), number, env)?)
        }
    }
}

/// Leaves the cluster's key beside the list, unless it is pinned already.
fn pin(list: &TrackerList, key: &PublicKey) -> Result<(), TrackerError> {
    match list.pin {
        None => Ok(list::write_pin(&list.path, key)?),
        Some(pinned) if pinned == *key => Ok(()),
        Some(pinned) => {
            let keyring = keyring_path(&list.path);
            Err(TrackerError::OtherCluster { pinned, have: *key, keyring })
        }
    }
}

/// Who this database belongs to; a new one is claimed.
fn identity(store: &dyn Store, keyring: &Keyring, folder: &DataFolder) -> Result<TrackerId, TrackerError> {
    let expected = keyring.cluster();
    match store.meta(META_CLUSTER)? {
        None => store.set_meta(META_CLUSTER, expected.as_bytes())?,
        Some(found) if found == expected.as_bytes() => {}
        Some(found) => {
            let found = data_encoding::HEXLOWER.encode(&found);
            return Err(TrackerError::OtherData { data: folder.path().to_owned(), found, expected });
        }
    }
    if let Some(tracker) = store.meta(META_TRACKER)?.and_then(|bytes| TrackerId::from_slice(&bytes)) {
        return Ok(tracker);
    }
    let mut tracker = TrackerId([0; TrackerId::LEN]);
    fill_random(&mut tracker.0)?;
    store.set_meta(META_TRACKER, tracker.as_bytes())?;
    Ok(tracker)
}

fn fill_random(bytes: &mut [u8]) -> Result<(), TrackerError> {
    getrandom::fill(bytes).map_err(|e| TrackerError::System { what: "random numbers", why: e.to_string() })
}

/// A task that ends with its owner, also when `run` is dropped half-way.
struct Part(tokio::task::JoinHandle<()>);

impl Part {
    /// Waits for the end; may be called again afterwards.
    async fn ended(&mut self) {
        if !self.0.is_finished()
            && let Err(error) = (&mut self.0).await
            && error.is_panic()
        {
            tracing::error!(%error, "a part of the tracker crashed");
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Everything that runs.
struct Running {
    server: Part,
    replica: Part,
    helpers: JoinSet<()>,
    writer: std::thread::JoinHandle<Result<(), StoreError>>,
    /// Ready when the writer has ended by itself: the database failed.
    writer_ended: oneshot::Receiver<()>,
    signals: Arc<Signals>,
    closing: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
    drills: mpsc::Receiver<Duration>,
}

impl Running {
    fn start(
        ground: Ground,
        listener: TcpListener,
        watched: &Watched,
        before: &impl Fn(axum::Router) -> axum::Router,
    ) -> Result<(Self, DataFolder), TrackerError> {
        let clock = Monotonic::start();
        let (closing, closing_seen) = watch::channel(false);
        let (stopped, stopped_seen) = watch::channel(false);
        let (handle, commands) = ReplicaHandle::new(ground.vector.clone());
        let (keeper, wanted) = mpsc::channel(keeper::WANTED_MAX);
        let tls = tls::server_config(ground.keyring.signing_key(), ClientKey::Optional, &[tls::ALPN_H2]);
        let neighbours = ground.neighbours();
        let replica = Replica::new(
            Config {
                tracker: ground.tracker,
                incarnation: ground.incarnation,
                peers: neighbours.all().iter().map(|neighbour| neighbour.peer()).collect(),
                signing_key: ground.keyring.signing_key().clone(),
                vector: ground.vector.clone(),
                last_stamp: ground.last_stamp,
                limits: Limits::default(),
            },
            clock.now(),
        );
        let origin = Origin { tracker: ground.tracker, incarnation: ground.incarnation };
        let Ground { config, list, own, keyring, invitations, folder, store, tracker, .. } = ground;
        let signals = Arc::new(Signals::default());
        // One order is enough: it ends this life.
        let (drill, drills) = mpsc::channel(1);
        let (report, done) = mpsc::unbounded_channel();
        let (commits, writer, writer_ended) = start_writer(&store, &report, &signals, &watched.metrics)?;
        let state: Shared = Arc::new(State {
            cluster: keyring.cluster(),
            cluster_key: keyring.public(),
            tracker,
            views: Views::new(keyring.cluster(), Arc::clone(&store)),
            keyring,
            store,
            replica: handle,
            presence: PresenceShell::new(origin, clock),
            neighbours,
            reload: config.reload,
            notices: Notices::new(),
            lanes: Lanes::default(),
            rates: Arc::new(Rates::default()),
            invitations,
            metainfo: MetainfoSlots::default(),
            catching_up: Waiting::default(),
            keeper,
            streams: Places::new(EVENT_STREAMS_PER_DEVICE_MAX),
            signals: Arc::clone(&signals),
            metrics: Arc::clone(&watched.metrics),
            data: folder.path().to_owned(),
            origin,
            drill,
            closing: closing_seen.clone(),
        });
        let mut helpers = JoinSet::new();
        helpers.spawn(keeper::run(Arc::clone(&state), wanted));
        helpers.spawn(mend::run(Arc::clone(&state)));
        helpers.spawn(presence_shell::run(Arc::clone(&state), closing_seen.clone()));
        helpers.spawn(reload::run(Arc::clone(&state), list, own, closing_seen.clone()));
        let shell =
            Shell { state: Arc::clone(&state), replica, clock, commands, done, report, writer: commits };
        let replica = Part(tokio::spawn(replica_shell::run(shell, stopped_seen)));
        let serving = Serving {
            tls,
            rates: Arc::clone(&state.rates),
            cluster_key: state.cluster_key,
            router: before(routes::router(Arc::clone(&state))),
            metrics: Arc::clone(&watched.metrics),
            closing: closing_seen,
        };
        let server = Part(tokio::spawn(accept::serve(listener, serving)));
        watched.life.send_replace(Life::Up(state));
        let running =
            Self { server, replica, helpers, writer, writer_ended, signals, closing, stopped, drills };
        Ok((running, folder))
    }

    async fn until(
        mut self,
        shutdown: Pin<&mut impl Future<Output = ()>>,
        life: &watch::Sender<Life>,
    ) -> Result<End, TrackerError> {
        let mut end = End::Shutdown;
        let crashed = tokio::select! {
            () = shutdown => None,
            Some(away) = self.drills.recv() => {
                end = End::Drill(away);
                None
            }
            _ = &mut self.writer_ended => None,
            () = self.replica.ended() => Some("replica"),
            () = self.server.ended() => Some("server"),
        };
        life.send_replace(Life::Changing);
        // No new work, then no new rows, then everything to the disk.
        self.closing.send_replace(true);
        self.server.ended().await;
        self.signals.stopping.store(true, Ordering::Relaxed);
        self.helpers.shutdown().await;
        self.stopped.send_replace(true);
        self.replica.ended().await;
        let writer = tokio::task::spawn_blocking(move || self.writer.join()).await;
        match (writer, crashed) {
            (Ok(Ok(Err(error))), _) => Err(error.into()),
            (Ok(Ok(Ok(()))), None) => Ok(end),
            (_, Some(part)) => Err(TrackerError::Crashed(part)),
            _ => Err(TrackerError::Crashed("writer")),
        }
    }
}

type Writer =
    (std_mpsc::Sender<Commit>, std::thread::JoinHandle<Result<(), StoreError>>, oneshot::Receiver<()>);

fn start_writer(
    store: &Arc<dyn Store>,
    report: &mpsc::UnboundedSender<Done>,
    signals: &Arc<Signals>,
    metrics: &Arc<Metrics>,
) -> Result<Writer, TrackerError> {
    let (commits, inbox) = std_mpsc::channel();
    let (ending, ended) = oneshot::channel();
    let (store, report) = (Arc::clone(store), report.clone());
    let (signals, metrics) = (Arc::clone(signals), Arc::clone(metrics));
    let thread = std::thread::Builder::new().name("peerage-writer".to_owned()).spawn(move || {
        let outcome = writer::write(&store, &inbox, &signals, &metrics, |batch| {
            // The replica's task ends first when the tracker stops.
            let _ = report.send(Done::Input(Input::Persisted { batch }));
        });
        drop(ending);
        outcome
    });
    let thread = thread.map_err(|e| TrackerError::System { what: "a thread", why: e.to_string() })?;
    Ok((commits, thread, ended))
}

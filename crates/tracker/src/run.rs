//! Starts the parts of a tracker in their order, and ends them in the opposite one.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use peerage_ledger::Origin;
use peerage_link::tls::{self, ClientKey};
use peerage_replica::{Config, Input, Limits, Replica};
use peerage_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::accept::Serving;
use crate::clock::Monotonic;
use crate::config::{Started, TrackerConfig, TrackerError};
use crate::folder::DataFolder;
use crate::ground::{Earlier, Ground};
use crate::lanes::Lanes;
use crate::limits::{EVENT_STREAMS_PER_DEVICE_MAX, OPEN_FILES};
use crate::metainfo_slots::MetainfoSlots;
use crate::metrics::Metrics;
use crate::monitor::{self, Life};
use crate::notices::Notices;
use crate::places::Places;
use crate::presence_shell::{self, PresenceShell};
use crate::rate::Rates;
use crate::replica_shell::{self, Done, ReplicaHandle, Shell};
use crate::routes::{Reaching, Waiting};
use crate::state::{Shared, State};
use crate::verifier::{self, Verifier};
use crate::views::Views;
use crate::writer::{self, Commit, Signals, Written};
use crate::{accept, keeper, mend, reload, routes};

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
    peerage_link::files::allow(OPEN_FILES);
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

/// Why a life of the tracker ended well.
enum End {
    Shutdown,
    /// It is to start again after so long.
    Drill(Duration),
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
        let (verifier, unverified) = Verifier::new();
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
            verifier,
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
            reaching: Reaching::default(),
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
        helpers.spawn(verifier::run(unverified));
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
        let outcome = writer::write(&store, &inbox, &signals, &metrics, |written| {
            let done = match written {
                Written::Batch(batch) => Done::Input(Input::Persisted { batch }),
                Written::Twins(twins) => Done::Input(Input::TwinsKept { twins }),
            };
            // The replica's task ends first when the tracker stops.
            let _ = report.send(done);
        });
        drop(ending);
        outcome
    });
    let thread = thread.map_err(|e| TrackerError::System { what: "a thread", why: e.to_string() })?;
    Ok((commits, thread, ended))
}

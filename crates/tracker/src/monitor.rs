//! `/metrics` and `/health` for whoever watches over this tracker: plain HTTP/1.1 on an address of its own.
//!
//! Driven by `run`; stays up while a drill keeps the tracker away, and says so. Nobody proves who they are here, so it
//! tells nothing about people, and by default only this machine can ask.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::limits::{MONITOR_CONNECTIONS_MAX, MONITOR_HEADER_TIMEOUT, MONITOR_TIMEOUT};
use crate::metrics::Metrics;
use crate::observe::{healthy, observe};
use crate::state::Shared;

/// How often what was recorded is sorted into buckets.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// A verdict on the disk is good for this long: asking often must not make it busy.
const VERDICT_KEPT: Duration = Duration::from_secs(1);
/// Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the tracker of this process is doing.
#[derive(Clone, Default)]
pub(crate) enum Life {
    /// Not up yet, or on its way down.
    #[default]
    Changing,
    /// Serving.
    Up(Shared),
    /// A drill keeps it away until then.
    Away(Instant),
}

/// What every connection needs.
pub(crate) struct Monitor {
    metrics: Arc<Metrics>,
    life: watch::Receiver<Life>,
    verdict: Mutex<Option<(Instant, Verdict)>>,
}

/// A status and one JSON line.
type Verdict = (StatusCode, String);

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, life: watch::Receiver<Life>) {
    let monitor = Arc::new(Monitor { metrics, life, verdict: Mutex::default() });
    let places = Arc::new(Semaphore::new(MONITOR_CONNECTIONS_MAX));
    let mut upkeep = interval(UPKEEP_INTERVAL);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = upkeep.tick() => {
                monitor.metrics.upkeep();
                continue;
            }
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            // Out of descriptors or the like: it passes when connections close.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let monitor = Arc::clone(&monitor);
        connections.spawn(async move {
            let _place = place;
            // Whoever is slow here is cut off; there is nothing to say to them.
            let _ = timeout(MONITOR_TIMEOUT, connection(stream, monitor)).await;
        });
    }
}

/// Waits for a free place first: what does not fit waits in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    Some((stream, place))
}

async fn connection(stream: TcpStream, monitor: Arc<Monitor>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let monitor = Arc::clone(&monitor);
        async move { Ok::<_, Infallible>(monitor.answer(request.method(), request.uri().path()).await) }
    });
    let mut http = http1::Builder::new();
    // One request a connection: no idle ones to count and to close.
    http.timer(TokioTimer::new()).header_read_timeout(MONITOR_HEADER_TIMEOUT).keep_alive(false);
    let served = http.serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection for metrics ended");
    }
}

impl Monitor {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, kind, body) = match (method, path) {
            (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, TEXT, self.metrics().await),
            (&Method::GET | &Method::HEAD, "/health") => {
                let (status, line) = self.health().await;
                (status, "application/json", line)
            }
            (_, "/metrics" | "/health") => {
                (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned())
            }
            _ => (StatusCode::NOT_FOUND, "text/plain", "there are /metrics and /health\n".to_owned()),
        };
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        let value = hyper::header::HeaderValue::from_static;
        response.headers_mut().insert(CONTENT_TYPE, value(kind));
        response.headers_mut().insert(CACHE_CONTROL, value("no-store"));
        response
    }

    async fn metrics(&self) -> String {
        let observed = match self.now() {
            Life::Up(state) => observe(&state).await.ok(),
            Life::Changing | Life::Away(_) => None,
        };
        self.metrics.render(observed.as_ref())
    }

    async fn health(&self) -> Verdict {
        let state = match self.now() {
            Life::Up(state) => state,
            Life::Changing => return unhealthy("the tracker is starting or stopping"),
            Life::Away(until) => {
                let left = until.saturating_duration_since(Instant::now()).as_secs() + 1;
                return unhealthy(&format!("a drill keeps the tracker away for {left} more seconds"));
            }
        };
        // One look at the disk for all who ask at the same time.
        let mut kept = self.verdict.lock().await;
        if let Some((at, verdict)) = &*kept
            && at.elapsed() < VERDICT_KEPT
        {
            return verdict.clone();
        }
        let verdict = match healthy(&state).await {
            Err(reason) => unhealthy(&reason),
            Ok(status) => {
                let suspected = status.peers.iter().filter(|peer| peer.suspected);
                let suspected: Vec<String> = suspected
                    .filter_map(|peer| {
                        state.neighbours.get(peer.peer).map(|neighbour| neighbour.entry().to_string())
                    })
                    .collect();
                let line = serde_json::json!({
                    "ok": true,
                    "tracker": state.tracker.to_string(),
                    "version": env!("CARGO_PKG_VERSION"),
                    "uptime_seconds": self.metrics.uptime().as_secs(),
                    "suspected": suspected,
                });
                (StatusCode::OK, format!("{line}\n"))
            }
        };
        *kept = Some((Instant::now(), verdict.clone()));
        verdict
    }

    fn now(&self) -> Life {
        self.life.borrow().clone()
    }
}

fn unhealthy(reason: &str) -> Verdict {
    let line = serde_json::json!({ "ok": false, "reason": reason });
    (StatusCode::SERVICE_UNAVAILABLE, format!("{line}\n"))
}

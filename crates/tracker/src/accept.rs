//! The accept loop: TCP, TLS, HTTP/2, each with a deadline and a cap, then the router.
//!
//! Driven by `run`. Every connection is one task, which may be ended at any time to make room (`gate`); the loop ends
//! when `closing` turns true, lets requests in flight finish and then drops what is left.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peerage_link::place::Place;
use peerage_types::PublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::activity;
use crate::error::Failure;
use crate::gate::{Gate, Ticket};
use crate::limits;
use crate::metrics::Metrics;
use crate::rate::Rates;

/// What a request handler knows about the connection it came on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    /// As seen from here.
    pub(crate) addr: SocketAddr,
    /// The TLS key that the other end proved to hold.
    pub(crate) key: Option<PublicKey>,
}

/// What the accept loop works with.
pub(crate) struct Serving {
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) router: Router,
    pub(crate) rates: Arc<Rates>,
    /// Whoever holds it is a tracker of ours.
    pub(crate) cluster_key: PublicKey,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) closing: watch::Receiver<bool>,
}

/// Serves until `closing` turns true, then drains.
pub(crate) async fn serve(listener: TcpListener, serving: Serving) {
    let serving = Arc::new(serving);
    let mut closing = serving.closing.clone();
    let gate = Arc::new(Gate::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, addr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or the like: what stalls goes, and do not spin meanwhile.
                tracing::warn!(%error, "cannot accept connections at the moment");
                gate.relieve();
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let place = Place::of(addr.ip());
        if serving.rates.connections.take(&place).is_err() {
            serving.metrics.refused("rate");
            tracing::debug!(%addr, "too many new connections from this host or network");
            continue;
        }
        let ticket = gate.enter(place);
        let serving = Arc::clone(&serving);
        connections.spawn(async move {
            let activity = Arc::clone(&ticket.activity);
            let ended = tokio::select! {
                () = activity.evicted() => {
                    serving.metrics.refused("evicted");
                    Err("it made room for others, or asked for too much".to_owned())
                }
                ended = connection(stream, addr, ticket, &serving) => ended,
            };
            if let Err(reason) = ended {
                tracing::debug!(%addr, reason, "connection ended");
            }
        });
    }
    drop(listener);
    let drained =
        timeout(limits::SHUTDOWN_TIMEOUT, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::debug!(connections = connections.len(), "closing connections that did not drain");
        connections.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    addr: SocketAddr,
    ticket: Ticket,
    serving: &Serving,
) -> Result<(), String> {
    // Answers are small and awaited: never hold them back for a full segment.
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let acceptor = TlsAcceptor::from(Arc::clone(&serving.tls));
    let handshaking = serving.metrics.handshaking.enter();
    let refused = |reason, why: String| {
        serving.metrics.refused(reason);
        why
    };
    let tls = timeout(limits::HANDSHAKE_TIMEOUT, acceptor.accept(stream))
        .await
        .map_err(|_| refused("handshake_timeout", "the TLS handshake took too long".to_owned()))?
        .map_err(|e| refused("handshake_failed", format!("TLS handshake: {e}")))?;
    drop(handshaking);
    let _open = serving.metrics.connections.enter();
    let activity = Arc::clone(&ticket.activity);
    activity.awaits_request();
    let remote = Remote { addr, key: peerage_link::tls::peer_key(tls.get_ref().1) };
    let service = service(remote, ticket, serving);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(limits::HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(limits::STREAMS_RESET_UNSEEN_MAX)
        .max_local_error_reset_streams(limits::STREAMS_FAILED_MAX)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT);
    let mut http = pin!(builder.serve_connection(TokioIo::new(tls), service));
    let mut closing = serving.closing.clone();
    let mut draining = false;
    let mut behind = Behind::default();
    loop {
        let over = async {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => {}
                () = activity.idle() => {}
                () = activity.turned_away() => {}
            }
        };
        tokio::select! {
            ended = poll_fn(|cx| behind.poll(activity.in_flight() > 1, http.as_mut(), cx)) => {
                return ended.map_err(|e| e.to_string());
            }
            () = over, if !draining => {
                draining = true;
                http.as_mut().graceful_shutdown();
            }
            () = activity.stalled_for(limits::STALLED_TIMEOUT), if !draining => {
                serving.metrics.refused("stalled");
                return Err("it took nothing of its answers, or sent nothing of its requests".to_owned());
            }
            () = activity.stalled_for(limits::SHUTDOWN_TIMEOUT), if draining => {
                return Err("it did not take its last answers".to_owned());
            }
            // A graceful end waits for the other side, which may be silent.
            () = activity.quiet_for(limits::SHUTDOWN_TIMEOUT), if draining => {
                return Err("it did not close when asked to".to_owned());
            }
        }
    }
}

/// Polls a connection with several requests in flight when everything else that is ready to run has run: what is answered
/// at the same moment leaves in one write.
#[derive(Default)]
struct Behind {
    waited: bool,
}

impl Behind {
    fn poll<F: Future>(
        &mut self,
        several: bool,
        connection: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        if several && !std::mem::replace(&mut self.waited, true) {
            // Wakes this task again behind the others.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
            return Poll::Pending;
        }
        self.waited = false;
        connection.poll(cx)
    }
}

/// Passes requests on to the router, and keeps the books about them.
fn service(
    remote: Remote,
    ticket: Ticket,
    serving: &Serving,
) -> impl Service<
    hyper::Request<Incoming>,
    Response = hyper::Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + use<> {
    let router = TowerToHyperService::new(serving.router.clone());
    let trusted = remote.key == Some(serving.cluster_key);
    let metrics = Arc::clone(&serving.metrics);
    service_fn(move |mut request: hyper::Request<Incoming>| {
        let busy = ticket.activity.begin();
        let metrics = Arc::clone(&metrics);
        let answer = ticket.establish(trusted).then(|| {
            request.extensions_mut().insert(remote);
            let activity = Arc::clone(&ticket.activity);
            router.call(request.map(|body| Body::new(activity::Incoming::new(body, activity))))
        });
        async move {
            let awaited = busy.awaited();
            let response = match answer {
                Some(answer) => answer.await?,
                None => {
                    busy.turn_away();
                    metrics.refused("crowded");
                    Failure::crowded().into_response()
                }
            };
            awaited.answered();
            Ok::<_, Infallible>(response.map(|body| Body::new(activity::Outgoing::new(body, busy))))
        }
    })
}

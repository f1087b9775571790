//! The accept loop: TCP, TLS, HTTP/2, each with a deadline and a cap, then the router.
//!
//! Driven by `run`. Every connection is one task; the loop ends when `closing` turns true, lets requests in flight
//! finish and then drops what is left.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peerage_types::PublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::limits;

/// What a request handler knows about the connection it came on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    /// As seen from here.
    pub(crate) addr: SocketAddr,
    /// The TLS key that the other end proved to hold.
    pub(crate) key: Option<PublicKey>,
}

/// Serves until `closing` turns true, then drains.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let total = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let per_address = Arc::new(PerAddress::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &total) => accepted,
        };
        let (stream, addr, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or the like: it passes when connections close, so do not spin meanwhile.
                tracing::warn!(%error, "cannot accept connections at the moment");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(slot) = PerAddress::take(&per_address, addr.ip()) else {
            tracing::debug!(%addr, "too many connections from this address");
            continue;
        };
        let (acceptor, router, closing) = (acceptor.clone(), router.clone(), closing.clone());
        connections.spawn(async move {
            let _held = (permit, slot);
            if let Err(reason) = connection(stream, addr, acceptor, router, closing).await {
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

/// Waits for a free slot first: what does not fit waits in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    total: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(total).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, addr) = listener.accept().await?;
    Ok((stream, addr, permit))
}

async fn connection(
    stream: TcpStream,
    addr: SocketAddr,
    acceptor: TlsAcceptor,
    router: Router,
    mut closing: watch::Receiver<bool>,
) -> Result<(), String> {
    // Answers are small and awaited: never hold them back for a full segment.
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let tls = timeout(limits::HANDSHAKE_TIMEOUT, acceptor.accept(stream))
        .await
        .map_err(|_| "the TLS handshake took too long".to_owned())?
        .map_err(|e| format!("TLS handshake: {e}"))?;
    let remote = Remote { addr, key: peerage_link::tls::peer_key(tls.get_ref().1) };
    let activity = Arc::new(Activity::default());
    let service = {
        let activity = Arc::clone(&activity);
        let router = TowerToHyperService::new(router);
        service_fn(move |mut request: hyper::Request<Incoming>| {
            let busy = activity.begin();
            request.extensions_mut().insert(remote);
            let answer = router.call(request.map(Body::new));
            async move {
                let response = answer.await?;
                // The connection counts as busy until the last byte of the body is out.
                Ok::<_, std::convert::Infallible>(response.map(|body| {
                    body.map_frame(move |frame| {
                        let _until_dropped = &busy;
                        frame
                    })
                }))
            }
        })
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(limits::HEADER_BYTES_MAX)
        .keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT);
    let mut http = pin!(builder.serve_connection(TokioIo::new(tls), service));
    let mut draining = false;
    loop {
        tokio::select! {
            ended = http.as_mut() => return ended.map_err(|e| e.to_string()),
            _ = closing.wait_for(|closing| *closing), if !draining => {
                draining = true;
                http.as_mut().graceful_shutdown();
            }
            () = activity.idle(), if !draining => {
                draining = true;
                http.as_mut().graceful_shutdown();
            }
            // A graceful end waits for the other side, which may be silent.
            () = sleep(limits::SHUTDOWN_TIMEOUT), if draining && activity.in_flight() == 0 => {
                return Err("it did not close when asked to".to_owned());
            }
        }
    }
}

/// Requests in flight on one connection, and since when there are none.
#[derive(Debug)]
struct Activity {
    in_flight: AtomicUsize,
    state: Mutex<(Instant, Duration)>,
}

impl Default for Activity {
    fn default() -> Self {
        let first = (Instant::now(), limits::FIRST_REQUEST_TIMEOUT);
        Self { in_flight: AtomicUsize::new(0), state: Mutex::new(first) }
    }
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn idle_at(&self) -> Instant {
        let (since, allowed) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        since + allowed
    }

    /// Ready once there was no request for too long.
    async fn idle(&self) {
        loop {
            let deadline = self.idle_at().max(Instant::now() + Duration::from_secs(1));
            tokio::time::sleep_until(deadline).await;
            if self.in_flight() == 0 && self.idle_at() <= Instant::now() {
                return;
            }
        }
    }
}

struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), limits::IDLE_TIMEOUT);
    }
}

/// Counts connections per remote address.
#[derive(Debug, Default)]
struct PerAddress(Mutex<HashMap<IpAddr, usize>>);

#[derive(Debug)]
struct Slot(Arc<PerAddress>, IpAddr);

impl PerAddress {
    fn take(table: &Arc<Self>, ip: IpAddr) -> Option<Slot> {
        let mut counts = table.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_insert(0);
        if *count >= limits::CONNECTIONS_PER_ADDRESS_MAX && !ip.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Slot(Arc::clone(table), ip))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_per_address_are_bounded_and_given_back() {
        let table = Arc::new(PerAddress::default());
        let ip: IpAddr = [192, 0, 2, 1].into();
        let slots: Vec<_> = (0..300).filter_map(|_| PerAddress::take(&table, ip)).collect();
        assert_eq!(slots.len(), limits::CONNECTIONS_PER_ADDRESS_MAX);
        drop(slots);
        assert!(table.0.lock().unwrap().is_empty());
    }
}

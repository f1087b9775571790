//! What one connection is doing: requests in flight, whose turn it is in them, and when it may or must go.
//!
//! Driven by the bodies that pass through `accept`; read by the connection's own task and by `gate`.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::MonotonicClock;
use governor::state::{InMemoryState, NotKeyed};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits;

/// Requests in flight on one connection, since when there are none, and whether the other side does its part.
#[derive(Debug)]
pub(crate) struct Activity {
    in_flight: AtomicUsize,
    /// Requests in which it is the other side's turn: to send more of its body, or to take more of the answer.
    owed: AtomicUsize,
    /// When the other side did its part the last time, or first owed something: milliseconds after `begun`.
    progress_ms: AtomicU64,
    begun: Instant,
    idle: Mutex<(Instant, Duration)>,
    established: AtomicBool,
    evicted: Notify,
    turned_away: Notify,
    given_up: GivenUp,
}

/// Requests that the other side gave up: opening and resetting streams costs it nothing (CVE-2023-44487).
type GivenUp = RateLimiter<NotKeyed, InMemoryState, MonotonicClock>;

impl Default for Activity {
    fn default() -> Self {
        let first = (Instant::now(), limits::HANDSHAKE_TIMEOUT + limits::FIRST_REQUEST_TIMEOUT);
        Self {
            in_flight: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
            progress_ms: AtomicU64::new(0),
            begun: first.0,
            idle: Mutex::new(first),
            established: AtomicBool::new(false),
            evicted: Notify::new(),
            turned_away: Notify::new(),
            given_up: RateLimiter::direct_with_clock(limits::GIVEN_UP.quota(), MonotonicClock),
        }
    }
}

impl Activity {
    /// The TLS handshake is through: from now on a request is awaited.
    pub(crate) fn awaits_request(&self) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) =
            (Instant::now(), limits::FIRST_REQUEST_TIMEOUT);
    }

    /// One request more, until what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Requests that are not answered to the end.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it has a place among those who work.
    pub(crate) fn is_established(&self) -> bool {
        self.established.load(Ordering::Acquire)
    }

    pub(crate) fn establish(&self) {
        self.established.store(true, Ordering::Release);
    }

    /// Makes the connection end.
    pub(crate) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Whether it may go when places are short, the least first: what has not moved for a while though it is the other
    /// side's turn in all of its requests, then what has no request.
    pub(crate) fn dispensable(&self, now: Instant) -> Option<Dispensable> {
        let (in_flight, owed) = (self.in_flight(), self.owed.load(Ordering::Relaxed));
        if in_flight == 0 {
            return Some(Dispensable::Idle(self.idle.lock().unwrap_or_else(PoisonError::into_inner).0));
        }
        let stalled = owed >= in_flight && self.progress() + limits::STALLED_EVICTABLE <= now;
        stalled.then(|| Dispensable::Stalled(self.progress()))
    }

    fn progress(&self) -> Instant {
        self.begun + Duration::from_millis(self.progress_ms.load(Ordering::Relaxed))
    }

    fn progressed(&self) {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress_ms.store(ms, Ordering::Relaxed);
    }

    /// Ready once the other side has owed something for so long and done nothing.
    pub(crate) async fn stalled_for(&self, time: Duration) {
        loop {
            let deadline = (self.progress() + time).max(Instant::now() + Duration::from_secs(1));
            tokio::time::sleep_until(deadline).await;
            if self.owed.load(Ordering::Relaxed) > 0 && self.progress() + time <= Instant::now() {
                return;
            }
        }
    }

    fn idle_until(&self) -> Instant {
        let (since, allowed) = *self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        since + allowed
    }

    /// Ready once there was no request for too long.
    pub(crate) async fn idle(&self) {
        loop {
            let deadline = self.idle_until().max(Instant::now() + Duration::from_secs(1));
            tokio::time::sleep_until(deadline).await;
            if self.in_flight() == 0 && self.idle_until() <= Instant::now() {
                return;
            }
        }
    }

    /// The other side gave a request up; whoever does that all the time has to go.
    pub(crate) fn gave_up(&self) {
        if self.given_up.check().is_err() {
            self.evicted.notify_one();
        }
    }

    /// Ready once no request has been in flight for so long.
    pub(crate) async fn quiet_for(&self, time: Duration) {
        loop {
            tokio::time::sleep(time).await;
            if self.in_flight() == 0 {
                return;
            }
        }
    }

    /// Ready when a request was refused because there are too many connections.
    pub(crate) async fn turned_away(&self) {
        self.turned_away.notified().await;
    }

    /// Ready when the connection has to make room for another, or gave up too many requests.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Busy {
    /// Notes it if the other side gives up before [`Awaited::answered`].
    pub(crate) fn awaited(&self) -> Awaited {
        Awaited { activity: Some(Arc::clone(&self.0)) }
    }

    /// The connection may not stay.
    pub(crate) fn turn_away(&self) {
        self.0.turned_away.notify_one();
    }
}

/// A request whose answer is not ready yet.
#[derive(Debug)]
pub(crate) struct Awaited {
    activity: Option<Arc<Activity>>,
}

impl Awaited {
    pub(crate) fn answered(mut self) {
        self.activity = None;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(activity) = &self.activity {
            activity.gave_up();
        }
    }
}

/// Why a connection may go when places are short; what goes first is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dispensable {
    /// It has not taken or sent anything since.
    Stalled(Instant),
    /// It has had no request since.
    Idle(Instant),
}

/// One side of a request: whose turn it is.
#[derive(Debug)]
struct Turn {
    activity: Arc<Activity>,
    owed: bool,
}

impl Turn {
    fn ours(&mut self) {
        if std::mem::take(&mut self.owed) {
            self.activity.progressed();
            self.activity.owed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn theirs(&mut self) {
        if !std::mem::replace(&mut self.owed, true) && self.activity.owed.fetch_add(1, Ordering::Relaxed) == 0
        {
            // The clock starts. Asking for ever more without taking any of it does not set it back.
            self.activity.progressed();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.ours();
    }
}

/// A request's body as its handler reads it: while it waits, it is the other side's turn.
#[derive(Debug)]
pub(crate) struct Incoming<B> {
    inner: B,
    turn: Turn,
}

impl<B> Incoming<B> {
    pub(crate) fn new(inner: B, activity: Arc<Activity>) -> Self {
        Self { inner, turn: Turn { activity, owed: false } }
    }
}

impl<B: Body + Unpin> Body for Incoming<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Pending => self.turn.theirs(),
            Poll::Ready(Some(Err(_))) => {
                // The other side reset the stream: handlers just see a body that breaks off.
                self.turn.ours();
                self.turn.activity.gave_up();
            }
            Poll::Ready(_) => self.turn.ours(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body: from each part that it gives until the next is asked for, it is the other side's turn, because
/// HTTP/2 asks when there is room for more. The connection counts as busy until it is dropped.
#[derive(Debug)]
pub(crate) struct Outgoing<B> {
    inner: B,
    turn: Turn,
    _busy: Busy,
}

impl<B> Outgoing<B> {
    pub(crate) fn new(inner: B, busy: Busy) -> Self {
        Self { inner, turn: Turn { activity: Arc::clone(&busy.0), owed: false }, _busy: busy }
    }
}

impl<B: Body + Unpin> Body for Outgoing<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.turn.ours();
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(&polled, Poll::Ready(Some(Ok(_)))) {
            self.turn.theirs();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        *self.0.idle.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), limits::IDLE_TIMEOUT);
    }
}

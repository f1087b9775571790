//! One connection to whichever tracker answers.
//!
//! The choice is sticky: the tracker in use stays in use until it fails. While a call waits for its answer, a small
//! question on the same connection asks whether the tracker is still there; so a call notices a dead tracker in
//! about a second, whatever the deadline of the call itself, and goes on through another one. No new login is
//! needed, since the device key *is* the session and every tracker accepts it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use peerage_link::api;
use peerage_link::http::{CallError, ConnectError, TrackerConn};
use peerage_link::list::TrackerEntry;
use tokio::sync::watch;

/// A tracker that has not accepted a connection by then is passed over.
const CONNECT_MAX: Duration = Duration::from_millis(1_000);
/// The second and last round, when all were slow in the first: a loaded machine is not a dead one.
const CONNECT_MAX_PATIENT: Duration = Duration::from_secs(3);
/// After all were slow in both rounds, so long nobody else looks for one: a command asks several times.
const GIVEN_UP_FOR: Duration = Duration::from_secs(1);
/// Each further tracker is tried so much later than the one before it, unless that one fails earlier. Members who ask
/// the same tracker see each other at once, so the first one of the list is worth waiting for.
const HEAD_START: Duration = Duration::from_millis(300);
/// A call that takes longer than this makes us ask whether the tracker is alive.
const PROBE_AFTER: Duration = Duration::from_millis(300);
/// No answer to that question by then means that it is not.
const PROBE_MAX: Duration = Duration::from_millis(900);
/// Deadline of a call. Generous, because a tracker that is alive but busy is still the best one to ask: whether it
/// is alive is asked separately.
const CALL_MAX: Duration = Duration::from_secs(15);
/// How often each tracker may fail one call before the call is given up.
const ROUNDS: usize = 3;

// A command must get through another tracker within 2 s of one dying.
const _: () = assert!(PROBE_AFTER.as_millis() + PROBE_MAX.as_millis() + 2 * HEAD_START.as_millis() < 2_000);

/// Why no tracker did what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TrackersError {
    /// Not one of them could be reached.
    #[error("no tracker reachable, tried {}", .tried.join(", "))]
    Unreachable {
        /// `host:port (reason)` of each.
        tried: Vec<String>,
    },
    /// A tracker showed another key than the pinned one.
    #[error("{address} has another key: expected {expected}, got {got}")]
    WrongKey {
        /// Its address.
        address: String,
        /// The pinned key.
        expected: peerage_types::PublicKey,
        /// The key it showed.
        got: peerage_types::PublicKey,
    },
    /// A tracker answered with a refusal.
    #[error("{}", .0.message)]
    Refused(api::ApiError),
    /// A tracker answered something that cannot be read.
    #[error("{0}")]
    Protocol(String),
}

/// The trackers of one list, seen with one TLS identity.
pub struct Trackers {
    entries: Vec<TrackerEntry>,
    config: Arc<rustls::ClientConfig>,
    state: Mutex<State>,
    /// Only one task looks for a tracker; the others wait and find the result.
    connecting: tokio::sync::Mutex<()>,
    /// The index of the tracker in use, whenever it changes.
    chosen: watch::Sender<Option<usize>>,
}

#[derive(Default)]
struct State {
    current: Option<(usize, TrackerConn)>,
    /// Where to look first.
    preferred: usize,
    /// When all were too slow, and what each said.
    given_up: Option<(Instant, Vec<String>)>,
}

impl Trackers {
    /// `config` carries the pinned cluster key, and the device key when there is a session.
    pub fn new(entries: Vec<TrackerEntry>, config: Arc<rustls::ClientConfig>, preferred: usize) -> Self {
        let state = State { current: None, preferred, given_up: None };
        let (chosen, _) = watch::channel(None);
        Self { entries, config, state: Mutex::new(state), connecting: tokio::sync::Mutex::new(()), chosen }
    }

    /// `host:port` of the tracker in use, or of the one that would be asked first.
    pub fn current_address(&self) -> String {
        let state = self.lock();
        let index = state.current.as_ref().map_or(state.preferred, |(i, _)| *i);
        self.address_of(index)
    }

    /// Index of the tracker in use, or of the one that would be asked first.
    pub fn preferred(&self) -> usize {
        self.lock().preferred
    }

    /// Tells of each change of the tracker in use.
    pub fn watch(&self) -> watch::Receiver<Option<usize>> {
        self.chosen.subscribe()
    }

    /// `host:port` of one of them.
    pub fn address_of(&self, index: usize) -> String {
        self.entries.get(index).map(ToString::to_string).unwrap_or_default()
    }

    /// Asks; goes on to the next tracker as often as the one in use fails.
    pub async fn call<Req, Resp>(&self, path: &str, request: &Req) -> Result<Resp, TrackersError>
    where
        Req: minicbor::Encode<()> + Sync,
        Resp: for<'b> minicbor::Decode<'b, ()>,
    {
        self.through(|conn| async move { conn.call_within(path, request, CALL_MAX).await }).await
    }

    /// Sends a metainfo file.
    pub async fn put_bytes(&self, path: &str, bytes: &bytes::Bytes) -> Result<(), TrackersError> {
        self.through(|conn| async move { conn.put_bytes(path, bytes.clone()).await }).await
    }

    /// Fetches a metainfo file.
    pub async fn get_bytes(&self, path: &str, bytes_max: usize) -> Result<bytes::Bytes, TrackersError> {
        self.through(|conn| async move { conn.get_bytes(path, bytes_max).await }).await
    }

    /// The connection in use, made if there is none.
    pub async fn connection(&self) -> Result<TrackerConn, TrackersError> {
        Ok(self.current().await?.1)
    }

    /// Asks the tracker in use for a sign of life, and looks for another one if it gives none.
    pub async fn probe(&self) {
        if let Ok((index, conn)) = self.current().await
            && !alive(&conn).await
        {
            self.failed(index);
            if let Err(error) = self.current().await {
                tracing::info!(%error, "no tracker answers");
            }
        }
    }

    async fn through<T, F>(&self, ask: impl Fn(TrackerConn) -> F) -> Result<T, TrackersError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut tried = Vec::new();
        let more = |tried: &Vec<_>| tried.len() + 1 < self.entries.len();
        for _ in 0..self.entries.len() * ROUNDS {
            let (index, conn) = self.current().await?;
            let answer = tokio::select! {
                answer = ask(conn.clone()) => answer,
                () = until_dead(&conn), if self.entries.len() > 1 => {
                    Err(CallError::Timeout { tracker: conn.entry().to_string(), deadline: PROBE_MAX })
                }
            };
            match answer {
                Ok(answer) => return Ok(answer),
                // A tracker that is sick itself may have a healthy neighbour.
                Err(CallError::Refused(error))
                    if error.code != api::ErrorCode::Unavailable
                        && (error.code != api::ErrorCode::Internal || !more(&tried)) =>
                {
                    return Err(TrackersError::Refused(error));
                }
                Err(error @ CallError::Protocol { .. }) if !more(&tried) => {
                    return Err(TrackersError::Protocol(error.to_string()));
                }
                Err(error) => {
                    tracing::info!(tracker = %self.address_of(index), %error, "going on with another tracker");
                    tried.push(describe(&self.address_of(index), &error));
                    self.failed(index);
                }
            }
        }
        Err(TrackersError::Unreachable { tried })
    }

    async fn current(&self) -> Result<(usize, TrackerConn), TrackersError> {
        if let Some(current) = self.living() {
            return Ok(current);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(current) = self.living() {
            return Ok(current);
        }
        let (preferred, given_up) = {
            let state = self.lock();
            (state.preferred, state.given_up.clone())
        };
        if let Some((at, tried)) = given_up
            && at.elapsed() < GIVEN_UP_FOR
        {
            return Err(TrackersError::Unreachable { tried });
        }
        let found = match self.connect_any(preferred, CONNECT_MAX).await {
            Err(Tried { slow: true, .. }) => self.connect_any(preferred, CONNECT_MAX_PATIENT).await,
            found => found,
        };
        let (index, conn) = found.map_err(|tried| {
            if let (true, TrackersError::Unreachable { tried }) = (tried.slow, &tried.error) {
                self.lock().given_up = Some((Instant::now(), tried.clone()));
            }
            tried.error
        })?;
        *self.lock() = State { current: Some((index, conn.clone())), preferred: index, given_up: None };
        self.chosen.send_replace(Some(index));
        Ok((index, conn))
    }

    fn living(&self) -> Option<(usize, TrackerConn)> {
        self.lock().current.clone().filter(|(_, conn)| !conn.is_closed())
    }

    /// Tries all, the preferred one first, each further one when those before it failed or are slow; the first that
    /// answers wins.
    async fn connect_any(&self, preferred: usize, deadline: Duration) -> Result<(usize, TrackerConn), Tried> {
        let count = self.entries.len();
        let mut waiting = (0..count).map(|i| (preferred + i) % count.max(1));
        let mut attempts = FuturesUnordered::new();
        let mut failures = vec![None; count];
        let mut wrong_key = None;
        let mut slow = false;
        loop {
            if let Some(index) = waiting.next() {
                attempts.extend(self.entries.get(index).map(|entry| async move {
                    (index, TrackerConn::connect(entry, Arc::clone(&self.config), deadline).await)
                }));
            }
            let tried = tokio::select! {
                biased;
                tried = attempts.next() => tried,
                () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => continue,
            };
            match tried {
                None if waiting.len() == 0 => break,
                None => {}
                Some((index, Ok(conn))) => return Ok((index, conn)),
                Some((index, Err(error))) => {
                    slow |= matches!(error, ConnectError::Timeout { .. });
                    if let ConnectError::WrongKey { tracker, expected, got } = &error {
                        let address = tracker.clone();
                        wrong_key = Some(TrackersError::WrongKey { address, expected: *expected, got: *got });
                    }
                    failures[index] = Some(describe_connect(&self.address_of(index), &error));
                }
            }
        }
        let tried = failures.into_iter().flatten().collect();
        Err(Tried { error: wrong_key.unwrap_or(TrackersError::Unreachable { tried }), slow })
    }

    /// Drops the connection to this tracker, if it is the one in use, and looks at the others first from now on.
    fn failed(&self, index: usize) {
        let mut state = self.lock();
        if state.current.as_ref().is_some_and(|(i, _)| *i == index) {
            state.current = None;
            state.preferred = (index + 1) % self.entries.len().max(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Two plain fields, each assigned whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tried {
    error: TrackersError,
    slow: bool,
}

/// `host:port (reason)`: the reason without the address, which the library's own messages repeat.
fn describe(address: &str, error: &CallError) -> String {
    match error {
        CallError::Unreachable { why, .. } => format!("{address} ({why})"),
        CallError::Timeout { .. } => format!("{address} (no answer)"),
        error => format!("{address} ({error})"),
    }
}

fn describe_connect(address: &str, error: &ConnectError) -> String {
    match error {
        ConnectError::Unreachable { why, .. } | ConnectError::NotATracker { why, .. } => {
            format!("{address} ({why})")
        }
        ConnectError::Timeout { deadline, .. } => {
            format!("{address} (no answer in {} ms)", deadline.as_millis())
        }
        ConnectError::WrongKey { .. } => format!("{address} (another key than the pinned one)"),
    }
}

/// Returns when the tracker gives no sign of life any more.
async fn until_dead(conn: &TrackerConn) {
    loop {
        tokio::time::sleep(PROBE_AFTER).await;
        if !alive(conn).await {
            return;
        }
    }
}

async fn alive(conn: &TrackerConn) -> bool {
    let hello = conn.call_within::<_, api::HelloResponse>(api::path::HELLO, &api::Empty {}, PROBE_MAX);
    // A refusal is an answer, too.
    matches!(hello.await, Ok(_) | Err(CallError::Refused(_)))
}

#[cfg(test)]
#[path = "trackers_tests.rs"]
mod tests;

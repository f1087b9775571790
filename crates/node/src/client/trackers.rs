//! One connection to whichever tracker answers.
//!
//! The choice is sticky: the tracker in use stays in use until it fails. While a call waits for its answer, a small
//! question on the same connection asks whether the tracker is still there; so a call notices a dead tracker in
//! about a second, whatever the deadline of the call itself, and goes on through another one. No new login is
//! needed, since the device key *is* the session and every tracker accepts it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use peerage_link::api;
use peerage_link::http::{CallError, ConnectError, TrackerConn};
use peerage_link::list::TrackerEntry;
use peerage_types::TrackerId;
use tokio::sync::watch;

use super::outbox::RecordBytes;
use super::seen::Seen;

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
    /// Not one of them could be reached, or none answered.
    #[error("no tracker reachable, tried {}", .tried.join(", "))]
    Unreachable {
        /// `host:port (reason)` of each.
        tried: Vec<String>,
        /// At least one was given the request before it fell silent: whether it did what was asked is open.
        sent: bool,
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
    config: Arc<rustls::ClientConfig>,
    state: Mutex<State>,
    /// Only one task looks for a tracker; the others wait and find the result.
    connecting: tokio::sync::Mutex<()>,
    /// The tracker in use, whenever it changes.
    chosen: watch::Sender<Option<TrackerEntry>>,
    seen: Arc<Seen>,
    /// See [`Trackers::introduce_with`].
    pub(super) introduction: Mutex<Vec<RecordBytes>>,
    /// See [`Trackers::vouch_with`].
    pub(super) receipts: OnceLock<ReceiptOf>,
}

/// Finds the receipt of an account's genesis.
pub(super) type ReceiptOf = Box<dyn Fn(&RecordBytes) -> Option<api::SignedRow> + Send + Sync>;

struct State {
    /// Changes while the program runs, whenever the list does.
    entries: Arc<[TrackerEntry]>,
    current: Option<TrackerConn>,
    /// Where to look first.
    preferred: usize,
    /// When all were too slow, and what each said.
    given_up: Option<(Instant, Vec<String>)>,
    /// Installations behind the addresses, as far as they said so.
    ids: BTreeMap<String, TrackerId>,
}

impl Trackers {
    /// `config` carries the pinned cluster key, and the device key when there is a session. `seen` goes along with
    /// every question.
    pub fn new(
        entries: Vec<TrackerEntry>,
        config: Arc<rustls::ClientConfig>,
        preferred: usize,
        seen: Arc<Seen>,
    ) -> Self {
        let (current, given_up, ids) = (None, None, BTreeMap::new());
        let state = State { entries: entries.into(), current, preferred, given_up, ids };
        let (chosen, _) = watch::channel(None);
        let state = Mutex::new(state);
        let (introduction, receipts) = (Mutex::default(), OnceLock::new());
        Self { config, state, connecting: tokio::sync::Mutex::new(()), chosen, seen, introduction, receipts }
    }

    /// `host:port` of the tracker in use, or of the one that would be asked first.
    pub fn current_address(&self) -> String {
        self.lock().address()
    }

    /// Index of the tracker in use, or of the one that would be asked first.
    pub fn preferred(&self) -> usize {
        self.lock().preferred
    }

    /// All of them.
    pub fn entries(&self) -> Arc<[TrackerEntry]> {
        Arc::clone(&self.lock().entries)
    }

    /// The list has changed. The tracker in use stays in use while it is on it.
    pub fn set_entries(&self, entries: &[TrackerEntry]) {
        let mut state = self.lock();
        if *state.entries == *entries || entries.is_empty() {
            return;
        }
        let used =
            state.current.as_ref().map(TrackerConn::entry).or_else(|| state.entries.get(state.preferred));
        let preferred = used.and_then(|used| entries.iter().position(|entry| entry == used));
        if preferred.is_none() {
            state.current = None;
        }
        state.preferred = preferred.unwrap_or(0);
        state.entries = entries.into();
        state.given_up = None;
        state.ids.retain(|address, _| entries.iter().any(|entry| entry.to_string() == *address));
    }

    /// The tracker in use, as far as it has said who it is.
    pub fn current_id(&self) -> Option<TrackerId> {
        let state = self.lock();
        state.ids.get(&state.address()).copied()
    }

    /// The tracker in use has said who it is.
    pub fn note_id(&self, id: TrackerId) {
        let mut state = self.lock();
        let address = state.address();
        state.ids.insert(address, id);
    }

    /// What was seen through them.
    pub fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// Tells of each change of the tracker in use.
    pub fn watch(&self) -> watch::Receiver<Option<TrackerEntry>> {
        self.chosen.subscribe()
    }

    /// Asks; goes on to the next tracker as often as the one in use fails.
    pub async fn call<Req, Resp>(&self, path: &str, request: &Req) -> Result<Resp, TrackersError>
    where
        Req: minicbor::Encode<()> + Sync,
        Resp: for<'b> minicbor::Decode<'b, ()>,
    {
        match self.ask(path, request).await {
            Err(TrackersError::Refused(error))
                if error.code == api::ErrorCode::NotLoggedIn && self.introduce().await =>
            {
                self.ask(path, request).await
            }
            answer => answer,
        }
    }

    /// As [`Self::call`], without telling a tracker who we are that does not know us.
    pub(super) async fn ask<Req, Resp>(&self, path: &str, request: &Req) -> Result<Resp, TrackersError>
    where
        Req: minicbor::Encode<()> + Sync,
        Resp: for<'b> minicbor::Decode<'b, ()>,
    {
        let seen = if is_read(path) { self.seen.text() } else { None };
        let seen = seen.as_deref();
        self.through(|conn| async move {
            let heard = conn.ask_within(path, request, CALL_MAX, seen).await;
            if heard.stale {
                self.seen.note_stale(conn.entry().to_string());
            }
            heard.answer
        })
        .await
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
        self.current().await
    }

    /// Asks the tracker in use for a sign of life, and looks for another one if it gives none.
    /// Whether one does.
    pub async fn probe(&self) -> bool {
        let conn = match self.current().await {
            Ok(conn) if alive(&conn).await => return true,
            Ok(conn) => conn,
            Err(_) => return false,
        };
        self.failed(&conn);
        let found = self.current().await;
        if let Err(error) = &found {
            tracing::info!(%error, "no tracker answers");
        }
        found.is_ok()
    }

    async fn through<T, F>(&self, ask: impl Fn(TrackerConn) -> F) -> Result<T, TrackersError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut tried = Vec::new();
        let count = self.entries().len();
        let more = |tried: &Vec<_>| tried.len() + 1 < count;
        for _ in 0..count * ROUNDS {
            let conn = self.current().await.map_err(|error| match error {
                TrackersError::Unreachable { tried: now, .. } if !tried.is_empty() => {
                    TrackersError::Unreachable { tried: now, sent: true }
                }
                error => error,
            })?;
            let answer = tokio::select! {
                answer = ask(conn.clone()) => answer,
                () = until_dead(&conn), if count > 1 => {
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
                    let address = conn.entry().to_string();
                    tracing::info!(tracker = address, %error, "going on with another tracker");
                    tried.push(describe(&address, &error));
                    self.failed(&conn);
                }
            }
        }
        Err(TrackersError::Unreachable { tried, sent: true })
    }

    /// Asks each tracker of the list, all at once, on connections of their own: the one in use stays in use. Who gives
    /// no sign of life is told apart from who answers, as `host:port (reason)`.
    pub async fn each<T, F>(&self, ask: impl Fn(TrackerConn) -> F) -> Vec<Result<T, Silent>>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let entries = self.entries();
        let one = async |entry: &TrackerEntry| {
            let address = entry.to_string();
            let silent = |why: String| Silent { why, refused: None };
            let conn = TrackerConn::connect(entry, Arc::clone(&self.config), CONNECT_MAX_PATIENT)
                .await
                .map_err(|error| silent(describe_connect(&address, &error)))?;
            let answer = tokio::select! {
                answer = ask(conn.clone()) => answer,
                () = until_dead(&conn) => return Err(silent(format!("{address} (no answer)"))),
            };
            answer.map_err(|error| {
                let why = describe(&address, &error);
                let refused = if let CallError::Refused(error) = error { Some(error) } else { None };
                Silent { why, refused }
            })
        };
        futures_util::future::join_all(entries.iter().map(one)).await
    }

    /// A connection to an address that is not of the list, or not yet; with the pinned key like every other.
    pub(super) async fn reach(&self, entry: &TrackerEntry) -> Result<TrackerConn, ConnectError> {
        TrackerConn::connect(entry, Arc::clone(&self.config), CONNECT_MAX_PATIENT).await
    }

    async fn current(&self) -> Result<TrackerConn, TrackersError> {
        if let Some(current) = self.living() {
            return Ok(current);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(current) = self.living() {
            return Ok(current);
        }
        let (preferred, given_up, entries) = {
            let state = self.lock();
            (state.preferred, state.given_up.clone(), Arc::clone(&state.entries))
        };
        if let Some((at, tried)) = given_up
            && at.elapsed() < GIVEN_UP_FOR
        {
            return Err(TrackersError::Unreachable { tried, sent: false });
        }
        let found = match self.connect_any(&entries, preferred, CONNECT_MAX).await {
            Err(Tried { slow: true, .. }) => self.connect_any(&entries, preferred, CONNECT_MAX_PATIENT).await,
            found => found,
        };
        let conn = found.map_err(|tried| {
            if let (true, TrackersError::Unreachable { tried, .. }) = (tried.slow, &tried.error) {
                self.lock().given_up = Some((Instant::now(), tried.clone()));
            }
            tried.error
        })?;
        {
            let mut state = self.lock();
            // The list may have changed meanwhile; then this one serves until it fails.
            state.preferred = state.entries.iter().position(|e| e == conn.entry()).unwrap_or(0);
            state.current = Some(conn.clone());
            state.given_up = None;
        }
        self.chosen.send_replace(Some(conn.entry().clone()));
        Ok(conn)
    }

    fn living(&self) -> Option<TrackerConn> {
        self.lock().current.clone().filter(|conn| !conn.is_closed())
    }

    /// Tries all, the preferred one first, each further one when those before it failed or are slow; the first that
    /// answers wins.
    async fn connect_any(
        &self,
        entries: &[TrackerEntry],
        preferred: usize,
        deadline: Duration,
    ) -> Result<TrackerConn, Tried> {
        let count = entries.len();
        let mut waiting = (0..count).map(|i| (preferred + i) % count.max(1));
        let mut attempts = FuturesUnordered::new();
        let mut failures = vec![None; count];
        let mut wrong_key = None;
        let mut slow = false;
        loop {
            if let Some(index) = waiting.next() {
                attempts.extend(entries.get(index).map(|entry| async move {
                    (index, entry, TrackerConn::connect(entry, Arc::clone(&self.config), deadline).await)
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
                Some((_, _, Ok(conn))) => return Ok(conn),
                Some((index, entry, Err(error))) => {
                    slow |= matches!(error, ConnectError::Timeout { .. });
                    if let ConnectError::WrongKey { tracker, expected, got } = &error {
                        let address = tracker.clone();
                        wrong_key = Some(TrackersError::WrongKey { address, expected: *expected, got: *got });
                    }
                    failures[index] = Some(describe_connect(&entry.to_string(), &error));
                }
            }
        }
        let tried = failures.into_iter().flatten().collect();
        Err(Tried { error: wrong_key.unwrap_or(TrackersError::Unreachable { tried, sent: false }), slow })
    }

    /// Drops this connection, if it is the one in use, and looks at the others first from now on.
    fn failed(&self, conn: &TrackerConn) {
        let mut state = self.lock();
        if state.current.as_ref().is_some_and(|current| current.entry() == conn.entry()) {
            state.current = None;
            let at = state.entries.iter().position(|entry| entry == conn.entry());
            state.preferred = at.map_or(0, |at| (at + 1) % state.entries.len().max(1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain fields, each assigned whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `host:port` of the tracker in use, or of the one that would be asked first.
    fn address(&self) -> String {
        let used = self.current.as_ref().map(TrackerConn::entry).or_else(|| self.entries.get(self.preferred));
        used.map(ToString::to_string).unwrap_or_default()
    }
}

/// Does an answer show what others wrote? Then it must not be older than what was seen.
fn is_read(path: &str) -> bool {
    use api::path::*;
    matches!(path, OPAQUE_LOGIN | USER_NAMES | GROUP_NAME | GROUPS | ACCOUNT | GROUP_SNAPSHOT | PRESENCE)
}

/// A tracker that did not do what each was asked to.
#[derive(Debug)]
pub struct Silent {
    /// `host:port (reason)`.
    pub why: String,
    /// What it refused it with, if it did.
    pub refused: Option<api::ApiError>,
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

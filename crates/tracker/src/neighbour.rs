//! Another tracker of the list: one connection that is made when it is needed, and what goes over it.
//!
//! The cluster key is our client key and the only key we accept there. Each new connection begins with `hello`: it tells
//! another cluster and a list that leads back to ourselves, and the presence shell then tells the other side everything.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use peerage_link::api::{
    AskRequest, AskResponse, Empty, HelloResponse, PullRequest, PullResponse, PushRequest, PushResponse, path,
};
use peerage_link::http::{CallError, ConnectError, TrackerConn};
use peerage_link::list::TrackerEntry;
use peerage_replica::{Ask, BatchId, ExchangeId, Input, LogRow, PeerId, Vector, VerifiedRow};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::limits::{METAINFO_BODY_BYTES_MAX, PEER_CALL_TIMEOUT, PEER_CONNECT_TIMEOUT};
use crate::neighbours::NeighbourConfig;
use crate::replica_shell::Done;
use crate::state::Shared;

/// Attempts to connect for one pull, while the other side actively refuses.
const CONNECT_ATTEMPTS: u32 = 5;
/// Between two of them: refusing costs nothing.
const CONNECT_PAUSE: Duration = Duration::from_millis(150);

/// Why another tracker did not do what we asked of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NeighbourError {
    /// The environment: it is down or out of reach.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It went away, was too slow, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The operator must act: the two do not share a keyring.
    #[error(
        "tracker {entry} belongs to another cluster ({theirs}): carry one keyring to the other machine (`peerage cluster key export {list}` where the accounts are, `peerage cluster key import` there, its own `{list}.keyring`, `{list}.pin` and data folder moved away first) and restart that tracker"
    )]
    OtherCluster { entry: TrackerEntry, theirs: String, list: String },
    /// The operator must act: the list names us twice, or our data folder was copied.
    #[error(
        "tracker {0} answers with our own id: its list line leads back to this tracker, or its data folder is a copy of ours"
    )]
    Ourselves(TrackerEntry),
    /// The operator must act: one tracker would count as two.
    #[error(
        "tracker {0} answers with the id of another tracker of the list: two lines lead to it, or one data folder is a copy of the other"
    )]
    Twice(TrackerEntry),
}

/// One of the other trackers.
pub(crate) struct Neighbour {
    peer: PeerId,
    entry: TrackerEntry,
    config: Arc<NeighbourConfig>,
    conn: tokio::sync::Mutex<Option<TrackerConn>>,
    /// What was last said to the log about it: each trouble is told once.
    trouble: Mutex<Option<String>>,
    /// Counts connections.
    fresh: tokio::sync::watch::Sender<u64>,
}

impl Neighbour {
    pub(crate) fn new(peer: PeerId, entry: TrackerEntry, config: Arc<NeighbourConfig>) -> Self {
        let (conn, trouble) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { peer, entry, config, conn, trouble, fresh: tokio::sync::watch::Sender::new(0) }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    pub(crate) fn entry(&self) -> &TrackerEntry {
        &self.entry
    }

    /// Changes with each new connection: what the other side knew of us may be gone.
    pub(crate) fn connections(&self) -> tokio::sync::watch::Receiver<u64> {
        self.fresh.subscribe()
    }

    /// Is there a connection now?
    pub(crate) async fn is_connected(&self) -> bool {
        self.conn.lock().await.as_ref().is_some_and(|conn| !conn.is_closed())
    }

    /// One call; connects first if need be.
    pub(crate) async fn call<Q, A>(
        &self,
        path: &str,
        request: &Q,
        within: Duration,
    ) -> Result<A, NeighbourError>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        let conn = self.connected().await?;
        Ok(conn.call_within(path, request, within).await?)
    }

    /// One metainfo file.
    pub(crate) async fn get_bytes(&self, path: &str) -> Result<Bytes, NeighbourError> {
        let conn = self.connected().await?;
        Ok(conn.get_bytes(path, METAINFO_BODY_BYTES_MAX).await?)
    }

    async fn connected(&self) -> Result<TrackerConn, NeighbourError> {
        let mut slot = self.conn.lock().await;
        if let Some(conn) = slot.as_ref().filter(|conn| !conn.is_closed()) {
            return Ok(conn.clone());
        }
        *slot = None;
        let made = self.connect().await;
        if made.is_err() {
            self.config.identities.forget(self.peer);
        }
        self.tell(made.as_ref().err());
        let conn = made?;
        *slot = Some(conn.clone());
        self.fresh.send_modify(|count| *count += 1);
        Ok(conn)
    }

    async fn connect(&self) -> Result<TrackerConn, NeighbourError> {
        let other = |theirs| {
            let (entry, list) = (self.entry.clone(), self.config.list.clone());
            NeighbourError::OtherCluster { entry, theirs, list }
        };
        let made =
            TrackerConn::connect(&self.entry, Arc::clone(&self.config.tls), PEER_CONNECT_TIMEOUT).await;
        let conn = match made {
            Err(ConnectError::WrongKey { got, .. }) => return Err(other(format!("key {}", got.tag()))),
            made => made?,
        };
        let hello: HelloResponse = conn.call(path::HELLO, &Empty {}).await?;
        if hello.cluster != self.config.cluster {
            return Err(other(format!("id {}", hello.cluster)));
        }
        if hello.tracker == self.config.us {
            return Err(NeighbourError::Ourselves(self.entry.clone()));
        }
        match self.config.identities.learn(self.peer, hello.tracker) {
            Ok(()) => Ok(conn),
            Err(_) => Err(NeighbourError::Twice(self.entry.clone())),
        }
    }

    fn tell(&self, error: Option<&NeighbourError>) {
        let now = error.map(ToString::to_string);
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == now {
            return;
        }
        match error {
            None => tracing::info!(tracker = %self.entry, "connected"),
            Some(
                NeighbourError::OtherCluster { .. } | NeighbourError::Ourselves(_) | NeighbourError::Twice(_),
            ) => {
                tracing::warn!("{}; not syncing with it", now.as_deref().unwrap_or_default());
            }
            Some(error) => tracing::info!(%error, "cannot reach another tracker; trying again"),
        }
        *last = now;
    }
}

/// Pushes rows to one tracker and reports how it went.
pub(crate) fn spawn_push(
    state: &Shared,
    peer: PeerId,
    batch: BatchId,
    rows: Vec<LogRow>,
    report: UnboundedSender<Done>,
) {
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let request = PushRequest { from: state.tracker, rows };
        let input = match ask::<_, PushResponse>(&state, peer, path::PEER_PUSH, &request).await {
            Some(answer) => Input::PushAcked { peer, batch, vector: answer.vector },
            None => Input::PushFailed { peer, batch },
        };
        // The replica's task ends first when the tracker stops.
        let _ = report.send(Done::Input(input));
    });
}

/// Pulls from one tracker, verifies what came, and reports it.
pub(crate) fn spawn_pull(state: &Shared, peer: PeerId, vector: Vector, report: UnboundedSender<Done>) {
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let request = PullRequest { from: state.tracker, vector };
        let answer = match reach(&state, peer).await {
            true => ask::<_, PullResponse>(&state, peer, path::PEER_PULL, &request).await,
            false => None,
        };
        let input = match answer {
            Some(answer) => verified(&state, peer, answer).await,
            None => Input::PullFailed { peer },
        };
        let _ = report.send(Done::Input(input));
    });
}

/// Puts a question to one tracker, verifies the rows of its answer, and reports it.
pub(crate) fn spawn_ask(
    state: &Shared,
    peer: PeerId,
    exchange: ExchangeId,
    ask: Ask,
    report: UnboundedSender<Done>,
) {
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let request = AskRequest { from: state.tracker, ask };
        let told = match self::ask::<_, AskResponse>(&state, peer, path::PEER_ASK, &request).await {
            None => None,
            Some(AskResponse { told }) => {
                let verified = state.blocking(move |state| {
                    let verify = |row: LogRow| VerifiedRow::verify(&row, &state.cluster, &state.cluster_key);
                    let told = told.try_map(verify);
                    told.map_err(|fault| crate::error::Failure::bad_request(fault.to_string()))
                });
                let refused = |failure: &crate::error::Failure| {
                    tracing::warn!(?peer, reason = %failure.0, "another tracker sent rows that cannot be");
                };
                verified.await.inspect_err(refused).ok()
            }
        };
        let _ = report.send(Done::Input(Input::Told { peer, exchange, told }));
    });
}

/// Connects. Trackers that are started together find each other a moment later than the first one asks: a few quick
/// attempts spare them a suspicion and a whole pull interval.
async fn reach(state: &Shared, peer: PeerId) -> bool {
    let Some(neighbour) = state.neighbours.get(peer) else { return false };
    let mut closing = state.closing.clone();
    let attempts = async {
        for attempt in 1.. {
            match neighbour.connected().await {
                Ok(_) => return true,
                Err(NeighbourError::Connect(ConnectError::Unreachable { .. }))
                    if attempt < CONNECT_ATTEMPTS =>
                {
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
                Err(_) => return false,
            }
        }
        false
    };
    tokio::select! {
        _ = closing.wait_for(|closing| *closing) => false,
        reached = attempts => reached,
    }
}

async fn verified(state: &Shared, peer: PeerId, answer: PullResponse) -> Input {
    let PullResponse { rows, more, vector, unix_ms, snapshot } = answer;
    let verified = state.blocking(move |state| verify_rows(state, &rows)).await;
    match verified {
        Ok(rows) => Input::PullAnswered { peer, rows, more, snapshot, vector, unix_ms },
        Err(failure) => {
            tracing::warn!(?peer, reason = %failure.0, "another tracker sent rows that cannot be");
            Input::PullFailed { peer }
        }
    }
}

/// Checks rows from another tracker, two signatures each. Blocking.
pub(crate) fn verify_rows(
    state: &crate::state::State,
    rows: &[LogRow],
) -> Result<Vec<VerifiedRow>, crate::error::Failure> {
    let verified =
        VerifiedRow::verify_all(rows, &state.cluster, &state.cluster_key, |key| state.verifier.key(key));
    verified.map_err(|fault| crate::error::Failure::bad_request(fault.to_string()))
}

/// None: it did not work; what is worth telling was logged.
async fn ask<Q, A>(state: &Shared, peer: PeerId, path: &str, request: &Q) -> Option<A>
where
    Q: Encode<()>,
    A: for<'b> Decode<'b, ()>,
{
    let neighbour = state.neighbours.get(peer)?;
    let mut closing = state.closing.clone();
    let call = timeout(PEER_CALL_TIMEOUT, neighbour.call(path, request, PEER_CALL_TIMEOUT));
    tokio::select! {
        _ = closing.wait_for(|closing| *closing) => None,
        answer = call => match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(path, %error, "a call to another tracker failed");
                None
            }
            Err(_) => None,
        },
    }
}

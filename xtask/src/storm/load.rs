//! Write load: many writers, each submitting new accounts one after another to whichever tracker answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_link::api::{BundleRequest, BundleResponse, path};
use peerage_link::http::{CallError, TrackerConn};
use peerage_link::list::TrackerList;
use peerage_types::{ClusterId, PublicKey, RecordId, Scope, UserId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::dice::Dice;

/// Before the next tracker is tried when one does not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Connecting and one call, each.
const PATIENCE: Duration = Duration::from_secs(5);

/// A bundle that a tracker acknowledged.
#[derive(Debug)]
pub struct Acked {
    /// Its records.
    pub ids: Vec<RecordId>,
    /// The tracker that answered.
    pub tracker: usize,
    /// On how many disks, by its word.
    pub durable_on: u32,
}

/// Writers at work.
pub struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    acked: UnboundedReceiver<Acked>,
    /// Bundles refused for good: none should be.
    refused: Arc<AtomicU64>,
}

struct Writer {
    number: usize,
    list: TrackerList,
    tls: Arc<rustls::ClientConfig>,
    cluster: ClusterId,
    dice: Dice,
    stop: Arc<AtomicBool>,
    acked: UnboundedSender<Acked>,
    refused: Arc<AtomicU64>,
}

impl Load {
    /// Sets writers to work; each has its own tracker to begin with.
    pub fn start(cluster: &Cluster, writers: usize, seed: u64) -> Self {
        let (list, tls) = cluster.doors();
        let (report, acked) = unbounded_channel();
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..writers {
            let writer = Writer {
                number,
                list: list.clone(),
                tls: Arc::clone(&tls),
                cluster: cluster.cluster,
                dice: Dice::new(seed ^ ((number as u64 + 1) << 40)),
                stop: Arc::clone(&stop),
                acked: report.clone(),
                refused: Arc::clone(&refused),
            };
            tasks.spawn(writer.run());
        }
        Self { tasks, stop, acked, refused }
    }

    /// What was acknowledged since the last call.
    pub fn take(&mut self) -> Vec<Acked> {
        std::iter::from_fn(|| self.acked.try_recv().ok()).collect()
    }

    /// Ends the writers, each after its present bundle; gives the rest, and how many bundles were refused.
    pub async fn stop(mut self) -> (Vec<Acked>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        (self.take(), self.refused.load(Ordering::Relaxed))
    }
}

impl Writer {
    async fn run(mut self) {
        let mut tracker = self.number % self.list.entries.len();
        let mut conn: Option<TrackerConn> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let records = account(self.cluster, &mut self.dice);
            let request = BundleRequest::new(records.iter().map(Record::bytes));
            // The same bundle until somebody takes it: sending it again is harmless.
            while !self.stop.load(Ordering::Relaxed) {
                match self.submit(&mut conn, tracker, &request).await {
                    Ok(answer) => {
                        let ids = records.iter().map(Record::id).collect();
                        let durable_on = answer.durable_on;
                        // Nobody listening means that the storm is over.
                        drop(self.acked.send(Acked { ids, tracker, durable_on }));
                        break;
                    }
                    Err(Some(CallError::Refused(error))) if error.code.status() < 429 => {
                        eprintln!("refused: {error}");
                        self.refused.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    Err(_) => {
                        conn = None;
                        tracker = (tracker + 1) % self.list.entries.len();
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn submit(
        &self,
        conn: &mut Option<TrackerConn>,
        tracker: usize,
        request: &BundleRequest,
    ) -> Result<BundleResponse, Option<CallError>> {
        let open = match conn {
            Some(open) => open,
            None => {
                let entry = &self.list.entries[tracker];
                let made = TrackerConn::connect(entry, Arc::clone(&self.tls), PATIENCE).await;
                conn.insert(made.map_err(|_| None)?)
            }
        };
        open.call_within(path::BUNDLE, request, PATIENCE).await.map_err(Some)
    }
}

/// A new account's records: genesis and name.
fn account(cluster: ClusterId, dice: &mut Dice) -> Vec<Record> {
    let key = SigningKey::from_bytes(&dice.bytes());
    let identity = PublicKey(key.verifying_key().to_bytes());
    let author = UserId::of_identity(&identity);
    let scope = Scope::Account(author);
    let genesis = Draft { cluster, scope, author, prev: None, body: Body::AccountGenesis { identity } };
    let mut records = vec![Record::sign(genesis, &key)];
    if let Ok(name) = format!("s-{:016x}", dice.next()).parse() {
        let prev = records.last().map(Record::id);
        let claim = Draft { cluster, scope, author, prev, body: Body::UserNameClaim { name } };
        records.push(Record::sign(claim, &key));
    }
    records
}

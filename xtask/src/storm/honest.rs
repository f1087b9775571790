//! Clients that do what members do, with the client's own connection code, and note how long it takes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_link::api::{BundleRequest, BundleResponse, Empty, HelloResponse, path};
use peerage_link::http::TrackerConn;
use peerage_link::list::TrackerEntry;
use peerage_types::{ClusterId, PublicKey, Scope, UserId};
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// One action of each client per so long: far from what the tracker can do, as real clients are.
const PACE: Duration = Duration::from_millis(40);
/// Nothing honest takes longer, or the run has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long each kind of action took, in milliseconds.
#[derive(Debug, Default)]
pub struct Latencies {
    /// TCP, TLS, HTTP/2 and one call on a connection made for it.
    pub newcomer: Vec<f64>,
    /// One call on a connection that is kept.
    pub call: Vec<f64>,
    /// A new account, durable on the tracker's disk.
    pub write: Vec<f64>,
}

impl Latencies {
    fn add(&mut self, other: Self) {
        self.newcomer.extend(other.newcomer);
        self.call.extend(other.call);
        self.write.extend(other.write);
    }
}

/// The value below which `share` (0–1) of them lie.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Where the clients go.
#[derive(Clone)]
pub struct Target {
    pub entry: TrackerEntry,
    pub tls: Arc<ClientConfig>,
    pub cluster: ClusterId,
}

/// `clients` side by side for so long. `salt` makes the accounts of each run their own.
///
/// # Errors
/// When a single action fails: honest clients must always get in.
pub async fn work(target: &Target, clients: u32, lasting: Duration, salt: u8) -> Result<Latencies> {
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let target = target.clone();
        tasks.spawn(async move { client(&target, number, lasting, salt).await });
    }
    let mut all = Latencies::default();
    while let Some(ended) = tasks.join_next().await {
        all.add(ended.context("an honest client crashed")??);
    }
    Ok(all)
}

async fn client(target: &Target, number: u32, lasting: Duration, salt: u8) -> Result<Latencies> {
    let until = Instant::now() + lasting;
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut latencies = Latencies::default();
    let kept = connect(target).await?;
    let mut round = 0_u32;
    while Instant::now() < until {
        pace.tick().await;
        let started = Instant::now();
        let taken = match round % 3 {
            0 => {
                hello(&connect(target).await?).await?;
                &mut latencies.newcomer
            }
            1 => {
                hello(&kept).await?;
                &mut latencies.call
            }
            _ => {
                write(&kept, account(target.cluster, salt, number, round)?).await?;
                &mut latencies.write
            }
        };
        taken.push(started.elapsed().as_secs_f64() * 1e3);
        round += 1;
    }
    Ok(latencies)
}

async fn connect(target: &Target) -> Result<TrackerConn> {
    let conn = TrackerConn::connect(&target.entry, Arc::clone(&target.tls), PATIENCE).await;
    conn.context("an honest client could not connect")
}

async fn hello(conn: &TrackerConn) -> Result<HelloResponse> {
    conn.call_within(path::HELLO, &Empty {}, PATIENCE).await.context("an honest call failed")
}

async fn write(conn: &TrackerConn, records: [Record; 2]) -> Result<()> {
    let request = BundleRequest::new(records.iter().map(Record::bytes));
    let stored: Result<BundleResponse, _> = conn.call_within(path::BUNDLE, &request, PATIENCE).await;
    stored.map(drop).context("an honest write failed")
}

/// A person and their name.
fn account(cluster: ClusterId, salt: u8, number: u32, round: u32) -> Result<[Record; 2]> {
    let mut seed = [salt; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    seed[4..8].copy_from_slice(&round.to_be_bytes());
    let key = SigningKey::from_bytes(&seed);
    let identity = PublicKey(key.verifying_key().to_bytes());
    let user = UserId::of_identity(&identity);
    let scope = Scope::Account(user);
    let genesis = Draft { cluster, scope, author: user, prev: None, body: Body::AccountGenesis { identity } };
    let genesis = Record::sign(genesis, &key);
    let name = format!("storm-{salt}-{number}-{round}").parse()?;
    let prev = Some(genesis.id());
    let claim = Draft { cluster, scope, author: user, prev, body: Body::UserNameClaim { name } };
    Ok([genesis, Record::sign(claim, &key)])
}

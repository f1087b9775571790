//! A cluster in a temporary folder, and people with keys.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_link::api::{
    ApiError, BundleRequest, BundleResponse, ErrorCode, Event, HelloResponse, SnapshotRequest,
    SnapshotResponse, path,
};
use peerage_link::http::{CallError, Events, TrackerConn};
use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_link::tls::{self, ExpectedKey};
use peerage_tracker::{Reload, Reloaded, Started, TrackerConfig, TrackerError};
use peerage_types::{ClusterId, GroupId, PublicKey, RecordId, Scope, UserId};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Everything here takes milliseconds; only a hang gets near this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A port that nobody has: below the range from which the system takes ports for outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = u16::try_from(std::process::id() % 10_000).unwrap() * 2 + 10_000;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub struct Running {
    pub started: Started,
    pub reload: Reload,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), TrackerError>>,
}

pub struct World {
    pub dir: TempDir,
    pub list: PathBuf,
    pub trackers: Vec<Option<Running>>,
}

impl World {
    /// `count` trackers in the list, all started.
    pub async fn new(count: usize) -> Self {
        let mut world = Self::stopped(count);
        for number in 1..=count {
            world.start(number).await;
        }
        if count > 1 {
            world.in_touch().await;
        }
        world
    }

    /// Waits until every tracker makes bundles durable on all: before they have found each other it may say less.
    pub async fn in_touch(&self) {
        for number in 1..=self.trackers.len() {
            let conn = self.anonymous(number).await;
            loop {
                let mut probe = Person::new(self.cluster());
                let name = format!("probe-{}", probe.user.tag());
                let stored = submit(&conn, &probe.founding(&name)).await.unwrap();
                if stored.durable_on == stored.of {
                    break;
                }
            }
        }
    }

    pub fn stopped(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("tracker_info.txt");
        let lines: Vec<String> = (0..count).map(|_| format!("127.0.0.1:{}\n", free_port())).collect();
        std::fs::write(&list, lines.concat()).unwrap();
        Self { dir, list, trackers: (0..count).map(|_| None).collect() }
    }

    pub fn config(&self, number: usize) -> TrackerConfig {
        let data = Some(self.dir.path().join(format!("data-{number}")));
        TrackerConfig { data, ..TrackerConfig::new(self.list.clone(), number) }
    }

    pub async fn start(&mut self, number: usize) {
        let running = start(self.config(number)).await.unwrap();
        self.trackers[number - 1] = Some(running);
    }

    pub async fn stop(&mut self, number: usize) {
        let Running { stop, task, .. } = self.trackers[number - 1].take().unwrap();
        stop.send(()).unwrap();
        timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    }

    /// Makes a tracker read the list again.
    pub async fn reload(&self, number: usize) -> Result<Reloaded, String> {
        let reload = self.trackers[number - 1].as_ref().unwrap().reload.clone();
        timeout(PATIENCE, reload.request()).await.unwrap()
    }

    /// Ends it without letting it finish anything.
    pub async fn crash(&mut self, number: usize) {
        let Running { task, .. } = self.trackers[number - 1].take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    pub fn started(&self, number: usize) -> &Started {
        &self.trackers[number - 1].as_ref().unwrap().started
    }

    pub fn cluster(&self) -> ClusterId {
        self.trackers.iter().flatten().next().unwrap().started.cluster
    }

    pub fn entry(&self, number: usize) -> TrackerEntry {
        TrackerList::load(&self.list).unwrap().entry(number).unwrap().clone()
    }

    /// A connection without a client key.
    pub async fn anonymous(&self, number: usize) -> TrackerConn {
        self.connect(number, None).await
    }

    pub async fn connect(&self, number: usize, key: Option<&SigningKey>) -> TrackerConn {
        let pin = TrackerList::load(&self.list).unwrap().pin.unwrap();
        let config = tls::client_config(key, ExpectedKey::Exactly(pin), &[tls::ALPN_H2]);
        TrackerConn::connect(&self.entry(number), config, PATIENCE).await.unwrap()
    }

    /// A connection of this person's device.
    pub async fn session(&self, number: usize, person: &Person) -> TrackerConn {
        self.connect(number, Some(&person.device)).await
    }

    /// A person whose account is on every tracker that runs. The password record is a dummy.
    pub async fn person(&self, name: &str) -> Person {
        let mut person = Person::new(self.cluster());
        let records = person.founding(name);
        let number = self.trackers.iter().position(Option::is_some).unwrap() + 1;
        submit(&self.anonymous(number).await, &records).await.unwrap();
        person
    }
}

/// Starts a tracker and waits until it listens.
pub async fn start(config: TrackerConfig) -> Result<Running, TrackerError> {
    let reload = config.reload.clone();
    let (stop, stopped) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(peerage_tracker::run(config, shutdown, move |started| {
        let _ = tell.send(started.clone());
    }));
    match timeout(PATIENCE, told).await.unwrap() {
        Ok(started) => Ok(Running { started, reload, stop, task }),
        Err(_) => match task.await.unwrap() {
            Err(error) => Err(error),
            Ok(()) => panic!("the tracker ended before it started"),
        },
    }
}

pub struct Person {
    pub user: UserId,
    pub identity: SigningKey,
    pub device: SigningKey,
    cluster: ClusterId,
    heads: BTreeMap<(PublicKey, Scope), Vec<RecordId>>,
    nonce: u128,
}

fn random_key() -> SigningKey {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    SigningKey::from_bytes(&seed)
}

pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

impl Person {
    pub fn new(cluster: ClusterId) -> Self {
        let (identity, device) = (random_key(), random_key());
        let user = UserId::of_identity(&public(&identity));
        Self { user, identity, device, cluster, heads: BTreeMap::new(), nonce: 0 }
    }

    /// What the founder of an account signs, with a password that nobody knows.
    pub fn founding(&mut self, name: &str) -> Vec<Arc<Record>> {
        let device = public(&self.device);
        let auth = Body::AuthRecord {
            opaque_key: 1,
            password_file: vec![1; 192],
            vault: vec![2; 61],
            previous: None,
        };
        vec![
            self.account(Body::AccountGenesis { identity: public(&self.identity) }),
            self.account(Body::UserNameClaim { name: name.parse().unwrap() }),
            self.account(auth),
            self.account(Body::DeviceCert { device, label: "laptop".to_owned() }),
        ]
    }

    /// Signed by the identity.
    pub fn account(&mut self, body: Body) -> Arc<Record> {
        let key = self.identity.clone();
        self.sign(Scope::Account(self.user), body, &key)
    }

    /// Signed by the device.
    pub fn group(&mut self, group: GroupId, body: Body) -> Arc<Record> {
        let key = self.device.clone();
        self.sign(Scope::Group(group), body, &key)
    }

    /// A new group.
    pub fn found(&mut self, name: &str, after: Option<RecordId>) -> (GroupId, Arc<Record>) {
        self.nonce += 1;
        let body = Body::GroupGenesis { name: name.parse().unwrap(), after, nonce: self.nonce.to_be_bytes() };
        let record = self.group(GroupId([0; 32]), body);
        let group = record.id().into();
        self.heads.insert((public(&self.device), Scope::Group(group)), vec![record.id()]);
        (group, record)
    }

    /// The last record was refused: the next one does not follow it.
    pub fn rewind(&mut self, group: GroupId) {
        let head = (public(&self.device), Scope::Group(group));
        self.heads.entry(head).or_default().pop();
    }

    fn sign(&mut self, scope: Scope, body: Body, key: &SigningKey) -> Arc<Record> {
        let head = (public(key), scope);
        let prev = self
            .heads
            .get(&head)
            .and_then(|ids| ids.last().copied())
            .filter(|_| !matches!(body, Body::GroupGenesis { .. }));
        let draft = Draft { cluster: self.cluster, scope, author: self.user, prev, body };
        let record = Arc::new(Record::sign(draft, key));
        self.heads.entry(head).or_default().push(record.id());
        record
    }
}

pub async fn submit(conn: &TrackerConn, records: &[Arc<Record>]) -> Result<BundleResponse, CallError> {
    let request = BundleRequest::new(records.iter().map(|record| record.bytes()));
    conn.call_within(path::BUNDLE, &request, PATIENCE).await
}

/// Submits and expects a refusal.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, CallError>) -> ApiError {
    match result {
        Err(CallError::Refused(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The code of a refusal.
#[track_caller]
pub fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> ErrorCode {
    refusal(result).code
}

pub async fn hello(conn: &TrackerConn) -> HelloResponse {
    conn.call(path::HELLO, &peerage_link::api::Empty {}).await.unwrap()
}

pub async fn snapshot(conn: &TrackerConn, group: GroupId) -> Result<SnapshotResponse, CallError> {
    conn.call(path::GROUP_SNAPSHOT, &SnapshotRequest { group, have: None }).await
}

/// Reads events until one is what the test waits for.
pub async fn wait_for(events: &mut Events, wanted: impl Fn(&Event) -> bool) {
    let found = async { while !wanted(&events.next().await.unwrap()) {} };
    timeout(PATIENCE, found).await.expect("the event never came");
}

/// A group of `owner` with `members`, all on tracker `number`.
pub async fn group_of(
    world: &World,
    number: usize,
    owner: &mut Person,
    members: &mut [&mut Person],
) -> GroupId {
    let conn = world.session(number, owner).await;
    let (group, genesis) = owner.found("lab", None);
    submit(&conn, &[genesis]).await.unwrap();
    for member in members {
        let ask = member.group(group, Body::JoinRequest { incarnation: 1 });
        submit(&conn, &[ask]).await.unwrap();
        let accept =
            owner.group(group, Body::Accept { user: member.user, incarnation: 1, epoch: 0, grant: None });
        submit(&conn, &[accept]).await.unwrap();
    }
    group
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

//! Trackers as child processes on one list, and looks at them from outside: over the wire and on their disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use peerage_drive::{Tracker, free_addresses};
use peerage_link::api::{Empty, HelloResponse, path};
use peerage_link::http::TrackerConn;
use peerage_link::list::TrackerList;
use peerage_link::tls::{self, ExpectedKey};
use peerage_replica::{Digest, Vector};
use peerage_store::{SqliteStore, Store};
use peerage_types::{ClusterId, RecordId, Scope};

use crate::process;

/// How long a healthy tracker may take to let somebody in. Generous: these machines are shared.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Scopes that are read from a disk at once.
const DIGESTS_PAGE: usize = 10_000;
/// Between two looks at what trackers hold.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Trackers (killed on drop) and their folder (removed on drop).
pub struct Cluster {
    pub trackers: Vec<Tracker>,
    pub list: TrackerList,
    pub cluster: ClusterId,
    tls: Arc<rustls::ClientConfig>,
    folder: Folder,
}

/// A temporary folder, removed on drop.
pub struct Folder(pub PathBuf);

impl Folder {
    /// Below the system's temporary folder.
    pub fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("peerage-storm-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is a temporary folder.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Builds the program and tells where it is.
pub fn program() -> Result<PathBuf> {
    process::cargo("build", &["build", "--release", "--locked", "--package", "peerage-cli"], &[])?;
    Ok(process::root().join("target/release/peerage"))
}

impl Cluster {
    /// Starts so many trackers and learns their key.
    pub async fn start(program: &Path, count: usize, name: &str) -> Result<Self> {
        let folder = Folder::new(name)?;
        let path = folder.0.join("tracker_info.txt");
        let lines: String = free_addresses(count)?.iter().map(|address| format!("{address}\n")).collect();
        fs::write(&path, lines)?;
        let start =
            |number| Tracker::start(program, &path, number, &folder.0.join(format!("tracker-{number}")));
        let trackers = (1..=count).map(start).collect::<Result<_, _>>()?;
        let list = TrackerList::load(&path)?;
        let pin = list.pin.context("the first tracker wrote no pin")?;
        let tls = tls::client_config(None, ExpectedKey::Exactly(pin), &[tls::ALPN_H2]);
        let mut cluster = Self { trackers, list, cluster: ClusterId([0; 16]), tls, folder };
        cluster.cluster = cluster.hello(0).await?.cluster;
        Ok(cluster)
    }

    /// The folder of everything that belongs to this run.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// A connection without a session.
    pub async fn connect(&self, tracker: usize) -> Result<TrackerConn> {
        let entry = &self.list.entries[tracker];
        Ok(TrackerConn::connect(entry, Arc::clone(&self.tls), CONNECT_DEADLINE).await?)
    }

    /// What other tasks need in order to connect by themselves.
    pub fn doors(&self) -> (TrackerList, Arc<rustls::ClientConfig>) {
        (self.list.clone(), Arc::clone(&self.tls))
    }

    /// Who a tracker is, and what its disk holds.
    pub async fn hello(&self, tracker: usize) -> Result<HelloResponse> {
        Ok(self.connect(tracker).await?.call(path::HELLO, &Empty {}).await?)
    }

    /// Waits until all trackers hold the same; tells how long it took.
    pub async fn converged(&self, within: Duration) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let mut vectors: Vec<Vector> = Vec::new();
            for tracker in 0..self.trackers.len() {
                vectors.push(self.hello(tracker).await?.vector);
            }
            if vectors.windows(2).all(|pair| pair[0] == pair[1]) {
                return Ok(started.elapsed());
            }
            if started.elapsed() > within {
                let missing: Vec<u64> = vectors.iter().map(|v| vectors[0].rows_beyond(v)).collect();
                bail!(
                    "after {} s the trackers still differ; rows that tracker 1 has and they lack: {missing:?}",
                    within.as_secs()
                );
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Opens a tracker's database as the tracker does. Beside a running tracker this only reads.
    pub fn disk(&self, tracker: usize) -> Result<SqliteStore> {
        let path = self.folder.0.join(format!("tracker-{}", tracker + 1)).join("tracker.db");
        SqliteStore::open(&path)
            .with_context(|| format!("tracker {}: its database does not open", tracker + 1))
    }

    /// Which of these records a tracker's disk lacks.
    pub fn lacks(&self, tracker: usize, ids: &[RecordId]) -> Result<Vec<RecordId>> {
        let there = self.disk(tracker)?.has_records(ids)?;
        Ok(ids.iter().zip(there).filter(|(_, there)| !there).map(|(id, _)| *id).collect())
    }

    /// Every scope's digest on a tracker's disk.
    pub fn digests(&self, tracker: usize) -> Result<Vec<(Scope, Digest)>> {
        let disk = self.disk(tracker)?;
        let mut all: Vec<(Scope, Digest)> = Vec::new();
        loop {
            let page = disk.scope_digests(all.last().map(|(scope, _)| scope), DIGESTS_PAGE)?;
            let last = page.len() < DIGESTS_PAGE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// Compares all digests of all disks.
    pub fn compare(&self) -> Result<usize> {
        let first = self.digests(0)?;
        for tracker in 1..self.trackers.len() {
            if self.digests(tracker)? != first {
                bail!("trackers 1 and {} hold different records", tracker + 1);
            }
        }
        Ok(first.len())
    }
}

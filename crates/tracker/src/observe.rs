//! How this tracker is: what `/metrics`, `/health` and `peerage cluster status` tell, gathered when somebody asks.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use peerage_replica::{PeerReport, Status, Vector};
use peerage_store::Counts;
use tokio::time::timeout;

use crate::error::Failure;
use crate::state::Shared;

/// A replica that takes longer than this to say how it is, is stuck.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(2);
/// A disk that takes longer than this to take a few bytes is of no use to anybody who waits.
const DISK_TIMEOUT: Duration = Duration::from_secs(3);

/// One look at everything.
pub(crate) struct Observation {
    pub(crate) replica: Status,
    pub(crate) vector: Vector,
    pub(crate) counts: Counts,
    /// `host:port` of each other tracker of the list, and how the replica sees it.
    pub(crate) neighbours: Vec<(String, PeerReport)>,
    /// Trackers in the list, this one included.
    pub(crate) trackers: u32,
    pub(crate) presence: usize,
    pub(crate) database_bytes: u64,
    /// None: the system does not say.
    pub(crate) disk_free_bytes: Option<u64>,
    pub(crate) disk_full: bool,
}

/// Looks at everything.
pub(crate) async fn observe(state: &Shared) -> Result<Observation, Failure> {
    let replica = replica(state).await?;
    let named = |peer: &PeerReport| {
        let entry = state.neighbours.get(peer.peer).map(|neighbour| neighbour.entry().to_string());
        entry.map(|entry| (entry, peer.clone()))
    };
    let neighbours = replica.peers.iter().filter_map(named).collect();
    let vector = state.replica.vector();
    let (counts, database_bytes, disk_free_bytes) = state
        .blocking(|state| {
            let bytes = folder_bytes(&state.data);
            Ok((state.store.counts()?, bytes, free_bytes(&state.data)))
        })
        .await?;
    Ok(Observation {
        replica,
        vector,
        counts,
        neighbours,
        trackers: state.neighbours.trackers(),
        presence: state.presence.len(),
        database_bytes,
        disk_free_bytes,
        disk_full: state.signals.disk_full.load(Ordering::Relaxed),
    })
}

async fn replica(state: &Shared) -> Result<Status, Failure> {
    let answer = timeout(REPLICA_TIMEOUT, state.replica.status()).await;
    let late =
        || Failure::internal(&format!("the replica did not answer within {} s", REPLICA_TIMEOUT.as_secs()));
    answer.map_err(|_| late())?.ok_or_else(Failure::stopping)
}

/// Can this tracker do its work? Writes a few bytes to its disk, durably.
///
/// # Errors
/// What is wrong, for the operator.
pub(crate) async fn healthy(state: &Shared) -> Result<Status, String> {
    if state.signals.disk_full.load(Ordering::Relaxed) {
        return Err("the disk is full".to_owned());
    }
    let data = state.data.clone();
    let written = tokio::task::spawn_blocking(move || probe_disk(&data));
    match timeout(DISK_TIMEOUT, written).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(why))) => return Err(format!("the disk cannot be written: {why}")),
        Ok(Err(_)) => return Err("the check of the disk crashed".to_owned()),
        Err(_) => {
            return Err(format!("the disk takes more than {} s for a few bytes", DISK_TIMEOUT.as_secs()));
        }
    }
    replica(state).await.map_err(|failure| failure.0.message)
}

fn probe_disk(data: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::create(data.join("health"))?;
    file.write_all(b"This file shows that the disk can be written.\n")?;
    file.sync_all()
}

/// The databases with their write-ahead logs.
fn folder_bytes(data: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(data) else { return 0 };
    files.flatten().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(unix)]
fn free_bytes(data: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(data).ok()?;
    // What the superuser keeps for itself is not ours.
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

//! What a tracker is started with, what it reports once it listens, and why it cannot run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use peerage_link::keyring::KeyringError;
use peerage_link::list::ListError;
use peerage_store::StoreError;
use peerage_types::{ClusterId, PublicKey, TrackerId};
use tokio::sync::Notify;

use crate::folder::FolderError;
use crate::reload::Reload;

/// How to start one tracker.
#[derive(Debug, Clone)]
pub struct TrackerConfig {
    /// The tracker list. The keyring and the pin lie beside it and are made if there are none.
    pub list: PathBuf,
    /// Which line of the list this tracker is, counted from 1.
    pub number: usize,
    /// Where to keep the database; by default a folder of its own below `$XDG_STATE_HOME/peerage`.
    pub data: Option<PathBuf>,
    /// Where to listen; by default what the list's line says.
    pub listen: Option<SocketAddr>,
    /// A file with the code that whoever creates an account must know; without one everybody may create accounts.
    pub registration_code: Option<PathBuf>,
    /// Asks the running tracker to read the list again; keep a clone. It also looks by itself every two seconds.
    pub reload: Reload,
    /// Where `/metrics` and `/health` are served; by default nowhere.
    pub metrics: Option<SocketAddr>,
    /// Ends a drill early; keep a clone.
    pub resume: Resume,
}

impl TrackerConfig {
    /// Tracker `number` of this list, everything else as by default.
    pub fn new(list: PathBuf, number: usize) -> Self {
        let (reload, resume) = (Reload::default(), Resume::default());
        Self {
            list,
            number,
            data: None,
            listen: None,
            registration_code: None,
            reload,
            metrics: None,
            resume,
        }
    }
}

/// Tells a tracker that a drill keeps away to come back at once. Without a drill it does nothing. Clones reach the same
/// tracker.
#[derive(Debug, Clone, Default)]
pub struct Resume(Arc<Notify>);

impl Resume {
    /// Ends the drill, if there is one.
    pub fn request(&self) {
        self.0.notify_waiters();
    }

    pub(crate) async fn requested(&self) {
        self.0.notified().await;
    }
}

/// A tracker that accepts connections.
#[derive(Debug, Clone)]
pub struct Started {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The trackers' common identity.
    pub cluster: ClusterId,
    /// This installation.
    pub tracker: TrackerId,
    /// The cluster's public key, which clients pin.
    pub key: PublicKey,
    /// The file that carries this key to the clients of this machine.
    pub pin_path: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// Trackers in the list, this one included.
    pub trackers: usize,
    /// Where `/metrics` and `/health` are served.
    pub metrics: Option<SocketAddr>,
}

/// Why a tracker could not start, or had to end. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The list cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
    /// The list has no such line.
    #[error("the tracker list `{}` has {trackers} trackers, so there is no number {number}; numbers start at 1", .list.display())]
    NoSuchNumber {
        /// The list.
        list: PathBuf,
        /// What was asked for.
        number: usize,
        /// How many there are.
        trackers: usize,
    },
    /// The registration code cannot be used.
    #[error("the registration code cannot be read from `{}`: {source}", .path.display())]
    RegistrationCode {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The keyring cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The list pins the key of another cluster.
    #[error("the tracker list pins the key {pinned}, but the keyring `{}` has {have}; move that keyring away and carry the right one here with `peerage cluster key export` and `import`", .keyring.display())]
    OtherCluster {
        /// What clients of this list trust.
        pinned: PublicKey,
        /// What this tracker could prove.
        have: PublicKey,
        /// The keyring file.
        keyring: PathBuf,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The data folder belongs to another cluster.
    #[error("the data folder `{}` belongs to cluster {found}, the keyring to {expected}; name another folder with --data", .data.display())]
    OtherData {
        /// The folder.
        data: PathBuf,
        /// Whose records it holds.
        found: String,
        /// Our cluster.
        expected: ClusterId,
    },
    /// The database failed. While running that ends the tracker: nobody knows what is on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process listens there.
    #[error("{addr} is in use by another program; is this tracker running already?")]
    PortInUse {
        /// Where we wanted to listen.
        addr: String,
    },
    /// The address does not belong to this machine, or may not be used.
    #[error("cannot listen on {addr}: {source}; a tracker behind a forwarded address needs --listen")]
    Listen {
        /// Where we wanted to listen.
        addr: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The address for metrics cannot be used.
    #[error("cannot serve metrics on {addr}: {source}; choose another address with --metrics")]
    Metrics {
        /// What was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// No randomness, no thread.
    #[error("the system refuses {what}: {why}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// A bug: a part of the tracker ended that never should.
    #[error("the tracker's {0} ended unexpectedly; restart it and report this")]
    Crashed(&'static str),
}

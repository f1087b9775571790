//! What a tracker stands on before anything runs: its line of the list, the keyring, the folder, the database.
//!
//! Blocking, and driven by `run`; any of it may be missing or somebody else's, and then nothing has been started yet.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_link::keyring::{Keyring, keyring_path};
use peerage_link::list::{self, TrackerEntry, TrackerList};
use peerage_link::tls::{self, ExpectedKey};
use peerage_replica::Vector;
use peerage_store::{SqliteStore, Store};
use peerage_types::{PublicKey, Stamp, TrackerId};
use tokio::net::TcpListener;

use crate::config::{Started, TrackerConfig, TrackerError};
use crate::folder::{DataFolder, default_folder};
use crate::invitations::Invitations;
use crate::neighbours::{Identities, NeighbourConfig, Neighbours};

/// Keys under which the store keeps who it belongs to.
pub(crate) const META_CLUSTER: &str = "cluster";
pub(crate) const META_TRACKER: &str = "tracker";

/// How long a tracker that comes back from a drill tries to get its port again.
const LISTEN_AGAIN_MAX: Duration = Duration::from_secs(10);
/// Between two attempts.
const LISTEN_AGAIN_PAUSE: Duration = Duration::from_millis(200);

/// What a tracker comes back to after a drill.
pub(crate) struct Earlier {
    /// Good enough if the file cannot be read just now.
    pub(crate) list: TrackerList,
    pub(crate) own: TrackerEntry,
    pub(crate) folder: DataFolder,
    /// Where it listened.
    pub(crate) addr: SocketAddr,
}

/// What is there before anything runs.
pub(crate) struct Ground {
    pub(crate) config: TrackerConfig,
    pub(crate) list: TrackerList,
    /// The line of the list that this tracker is.
    pub(crate) own: TrackerEntry,
    pub(crate) keyring: Keyring,
    pub(crate) invitations: Invitations,
    pub(crate) folder: DataFolder,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tracker: TrackerId,
    pub(crate) incarnation: u64,
    pub(crate) vector: Vector,
    pub(crate) last_stamp: Stamp,
    /// Where this process listened before a drill.
    pub(crate) listened: Option<SocketAddr>,
}

impl Ground {
    /// Blocking. `earlier`: what this process had before a drill.
    pub(crate) fn prepare(config: TrackerConfig, earlier: Option<Earlier>) -> Result<Self, TrackerError> {
        let loaded = TrackerList::load(&config.list);
        let (list, own, folder, listened) = match (loaded, earlier) {
            (Ok(list), Some(earlier)) => (list, earlier.own, Some(earlier.folder), Some(earlier.addr)),
            (Err(error), Some(earlier)) => {
                tracing::error!(%error, "going on with the list as it was");
                (earlier.list, earlier.own, Some(earlier.folder), Some(earlier.addr))
            }
            (loaded, None) => {
                let list = loaded?;
                let Some(own) = list.entry(config.number).cloned() else {
                    let (list, trackers) = (config.list, list.entries.len());
                    return Err(TrackerError::NoSuchNumber { list, number: config.number, trackers });
                };
                (list, own, None, None)
            }
        };
        let keyring = Keyring::load_or_create(&config.list)?;
        pin(&list, &keyring.public())?;
        let folder = match folder {
            Some(locked) => locked,
            None => DataFolder::open(data_folder(config.data.as_deref(), &keyring, config.number)?)?,
        };
        let invitations = Invitations::read(config.registration_code.as_deref()).map_err(|source| {
            let path = config.registration_code.clone().unwrap_or_default();
            TrackerError::RegistrationCode { path, source }
        })?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.database())?);
        let tracker = identity(&*store, &keyring, &folder)?;
        let mut incarnation = [0; 8];
        fill_random(&mut incarnation)?;
        let (vector, last_stamp) = (store.vector()?, store.last_stamp()?);
        let incarnation = u64::from_be_bytes(incarnation);
        let ground = Self {
            config,
            list,
            own,
            keyring,
            invitations,
            folder,
            store,
            tracker,
            incarnation,
            vector,
            last_stamp,
            listened,
        };
        Ok(ground)
    }

    pub(crate) fn report(&self, addr: SocketAddr, metrics: Option<SocketAddr>) -> Started {
        Started {
            addr,
            cluster: self.keyring.cluster(),
            tracker: self.tracker,
            key: self.keyring.public(),
            pin_path: list::pin_path(&self.list.path),
            data: self.folder.path().to_owned(),
            trackers: self.list.entries.len(),
            metrics,
        }
    }

    pub(crate) async fn listen(&self) -> Result<TcpListener, TrackerError> {
        let bound = match (self.listened, self.config.listen) {
            (Some(addr), _) => listen_again(addr).await,
            (None, Some(addr)) => TcpListener::bind(addr).await,
            (None, None) => TcpListener::bind((self.own.host.as_str(), self.own.port)).await,
        };
        bound.map_err(|source| self.listen_error(source))
    }

    pub(crate) fn listen_error(&self, source: io::Error) -> TrackerError {
        let addr = self.config.listen.map_or_else(|| self.own.to_string(), |addr| addr.to_string());
        match source.kind() {
            io::ErrorKind::AddrInUse => TrackerError::PortInUse { addr },
            _ => TrackerError::Listen { addr, source },
        }
    }

    /// The other trackers of the list, each with its slot.
    pub(crate) fn neighbours(&self) -> Neighbours {
        let key = self.keyring.signing_key();
        let tls = tls::client_config(Some(key), ExpectedKey::Exactly(self.keyring.public()), &[tls::ALPN_H2]);
        let neighbours = Neighbours::new(NeighbourConfig {
            tls,
            cluster: self.keyring.cluster(),
            us: self.tracker,
            list: self.list.path.display().to_string(),
            identities: Identities::default(),
        });
        neighbours.set_listed(&self.list);
        for entry in self.list.entries.iter().filter(|entry| **entry != self.own) {
            neighbours.add(entry);
        }
        neighbours
    }
}

/// After a drill: whoever took the port meanwhile, such as an outgoing connection, is given time to go.
async fn listen_again(addr: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + LISTEN_AGAIN_MAX;
    loop {
        match TcpListener::bind(addr).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                tokio::time::sleep(LISTEN_AGAIN_PAUSE).await;
            }
            bound => return bound,
        }
    }
}

/// Where a tracker keeps its data.
pub(crate) fn data_folder(
    data: Option<&Path>,
    keyring: &Keyring,
    number: usize,
) -> Result<PathBuf, TrackerError> {
    match data {
        Some(data) => Ok(data.to_owned()),
        None => {
            let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
            Ok(default_folder(&keyring.cluster(), number, env)?)
        }
    }
}

/// Leaves the cluster's key beside the list, unless it is pinned already.
fn pin(list: &TrackerList, key: &PublicKey) -> Result<(), TrackerError> {
    match list.pin {
        None => Ok(list::write_pin(&list.path, key)?),
        Some(pinned) if pinned == *key => Ok(()),
        Some(pinned) => {
            let keyring = keyring_path(&list.path);
            Err(TrackerError::OtherCluster { pinned, have: *key, keyring })
        }
    }
}

/// Who this database belongs to; a new one is claimed.
fn identity(store: &dyn Store, keyring: &Keyring, folder: &DataFolder) -> Result<TrackerId, TrackerError> {
    let expected = keyring.cluster();
    match store.meta(META_CLUSTER)? {
        None => store.set_meta(META_CLUSTER, expected.as_bytes())?,
        Some(found) if found == expected.as_bytes() => {}
        Some(found) => {
            let found = data_encoding::HEXLOWER.encode(&found);
            return Err(TrackerError::OtherData { data: folder.path().to_owned(), found, expected });
        }
    }
    if let Some(tracker) = store.meta(META_TRACKER)?.and_then(|bytes| TrackerId::from_slice(&bytes)) {
        return Ok(tracker);
    }
    let mut tracker = TrackerId([0; TrackerId::LEN]);
    fill_random(&mut tracker.0)?;
    store.set_meta(META_TRACKER, tracker.as_bytes())?;
    Ok(tracker)
}

fn fill_random(bytes: &mut [u8]) -> Result<(), TrackerError> {
    getrandom::fill(bytes).map_err(|e| TrackerError::System { what: "random numbers", why: e.to_string() })
}

//! Moves content between members' devices: peers, torrents, disk. Knows nothing about trackers or accounts; who may
//! connect it asks a [`Roster`], where peers are it is told.
//!
//! ```text
//! listen ─┐                       ┌─ conn (task per connection: TLS, framing)
//! dial  ──┴─ handshake ─ torrent ─┤
//!            (admission) (owner:  └─ blocking jobs (read, hash and write, check, save)
//!                         Swarm)
//! ```
//!
//! A block is decrypted and copied into its piece's buffer by the connection's own task; a complete piece is hashed and
//! written with one call by a blocking thread, and then announced and served. Nothing on that path takes a lock that
//! others contend for.

mod api;
mod below;
mod buffer;
mod conn;
mod dial;
mod disk;
mod doors;
mod files;
mod handshake;
mod hashes;
mod limits;
mod listen;
mod prepare;
mod saved;
mod shared;
mod socket;
mod spelling;
mod storage;
#[cfg(test)]
mod tests;
mod tls;
mod torrent;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerage_metainfo::Metainfo;
use peerage_swarm::{Priority, Rank};
use peerage_types::{FileName, GroupId, InfoHash, InfoHashV1};
use peerage_wire::{Bitfield, CERT_BYTES_MAX};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, oneshot};

pub use self::api::{
    AddError, EngineConfig, EngineError, EngineEvent, NotAdmitted, PeerAddr, PeerStatus, Records, Roster,
    Scrubbed, Source, TorrentSpec, TorrentState, TorrentStatus,
};
use self::buffer::lock;
use self::hashes::ByRoot;
pub use self::limits::{RATE_MIN, RateLimits, Rates};
use self::prepare::{Kind, Prepared};
use self::shared::{AtomicBits, EngineShared, TorrentShared};
use self::torrent::{Msg, Owner, Start};

/// What [`Engine::shutdown`] waits for connections to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// All transfers of one login. Ends when it is dropped, properly with [`Engine::shutdown`].
pub struct Engine {
    shared: Arc<EngineShared>,
    registry: Arc<Registry>,
    accepting: tokio::task::AbortHandle,
    /// One torrent is added at a time: looking at the disk and taking a place is one step.
    adding: tokio::sync::Mutex<()>,
}

/// The running torrents.
#[derive(Default)]
struct Registry {
    torrents: Mutex<Torrents>,
}

#[derive(Default)]
struct Torrents {
    by_hash: BTreeMap<InfoHash, Arc<TorrentShared>>,
    by_short_hash: BTreeMap<InfoHashV1, InfoHash>,
    /// Where downloads go.
    places: BTreeMap<InfoHash, PathBuf>,
    closed: bool,
}

impl Registry {
    /// The torrent that a handshake names (BEP 52: the first 20 bytes of the v2 info hash).
    fn by_short_hash(&self, hash: &InfoHashV1) -> Option<Arc<TorrentShared>> {
        let torrents = lock(&self.torrents);
        let hash = torrents.by_short_hash.get(hash)?;
        torrents.by_hash.get(hash).cloned()
    }

    fn get(&self, hash: &InfoHash) -> Option<Arc<TorrentShared>> {
        lock(&self.torrents).by_hash.get(hash).cloned()
    }

    fn all(&self) -> Vec<Arc<TorrentShared>> {
        lock(&self.torrents).by_hash.values().cloned().collect()
    }

    fn take(&self, hash: &InfoHash) -> Option<Arc<TorrentShared>> {
        let mut torrents = lock(&self.torrents);
        torrents.by_short_hash.remove(&hash.truncated());
        torrents.places.remove(hash);
        torrents.by_hash.remove(hash)
    }
}

impl Engine {
    /// Starts listening for peers. `cert` are the own account records that certify `device`, encoded; `state_dir` is
    /// created if needed and must belong to this engine alone. Runs on the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on, the folder not be created, or the certificate is too long.
    pub async fn start(
        config: EngineConfig,
        device: SigningKey,
        cert: Vec<Vec<u8>>,
        roster: Arc<dyn Roster>,
        state_dir: PathBuf,
    ) -> Result<Self, EngineError> {
        let addr = config.listen;
        let cert = handshake::encode_cert(cert);
        if cert.len() > CERT_BYTES_MAX {
            return Err(EngineError::Cert(cert.len()));
        }
        tokio::fs::create_dir_all(&state_dir)
            .await
            .map_err(|error| EngineError::StateDir { path: state_dir.clone(), error })?;
        let listen = |error| EngineError::Listen { addr, error };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let peer_id = peer_id()?;
        let shared = Arc::new(EngineShared::new(config, device, cert, peer_id, roster, state_dir, bound));
        let registry = Arc::new(Registry::default());
        let accepting = listen::run(listener, Arc::clone(&shared), Arc::clone(&registry));
        let accepting = tokio::spawn(accepting).abort_handle();
        Ok(Self { shared, registry, accepting, adding: tokio::sync::Mutex::default() })
    }

    /// Where peers can connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.listen
    }

    /// Takes part in a torrent from now on. What happens then is told by [`Engine::subscribe`] and
    /// [`Engine::status`].
    ///
    /// # Errors
    /// When it runs already, or the disk does not allow it; nothing is changed then.
    pub async fn add(&self, spec: TorrentSpec) -> Result<(), AddError> {
        let TorrentSpec { group, metainfo, source, rank, seed } = spec;
        if metainfo.group() != group {
            return Err(AddError::WrongGroup { expected: group, got: metainfo.group() });
        }
        let info_hash = metainfo.info_hash();
        let _adding = self.adding.lock().await;
        let places: BTreeSet<PathBuf> = {
            let torrents = lock(&self.registry.torrents);
            if torrents.closed {
                return Err(AddError::Closed);
            }
            if torrents.by_short_hash.contains_key(&info_hash.truncated()) {
                return Err(AddError::AlreadyAdded(info_hash));
            }
            torrents.places.values().cloned().collect()
        };
        let (for_prepare, state_dir) = (Arc::clone(&metainfo), self.shared.state_dir.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            prepare::prepare(&for_prepare, source, &state_dir, &|place: &Path| places.contains(place))
        });
        let prepared = prepared.await.map_err(|_| AddError::Closed)??;
        self.start_torrent(group, metainfo, prepared, rank, seed)
    }

    fn start_torrent(
        &self,
        group: GroupId,
        metainfo: Arc<Metainfo>,
        prepared: Prepared,
        rank: Option<Rank>,
        seed: u64,
    ) -> Result<(), AddError> {
        let Prepared { storage, have, check, kind, place, sources, wanted, priorities, scrubbed, synced } =
            prepared;
        let info_hash = metainfo.info_hash();
        let is_download = matches!(kind, Kind::Part { .. });
        let (owner, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(TorrentShared {
            engine: Arc::clone(&self.shared),
            info_hash,
            group,
            storage,
            have: AtomicBits::new(&Bitfield::new(metainfo.piece_count())),
            status: Mutex::new(Arc::new(TorrentStatus::before(&metainfo, &place))),
            by_root: ByRoot::new(&metainfo),
            limits: self.shared.limits.of(group),
            metainfo,
            broken: false.into(),
            owner,
        });
        let mut torrents = lock(&self.registry.torrents);
        if torrents.closed {
            return Err(AddError::Closed);
        }
        torrents.by_hash.insert(info_hash, Arc::clone(&shared));
        torrents.by_short_hash.insert(info_hash.truncated(), info_hash);
        if is_download {
            torrents.places.insert(info_hash, place.clone());
        }
        drop(torrents);
        let downloads = self.shared.downloads.running(is_download);
        let partial_bytes_max = self.shared.config.download_memory_bytes / downloads.count();
        let start = Start {
            shared,
            inbox,
            have,
            check,
            kind,
            place,
            sources,
            wanted,
            priorities,
            scrubbed,
            synced,
            rank,
            seed,
            partial_bytes_max,
            downloads,
        };
        tokio::spawn(Owner::new(start).run());
        Ok(())
    }

    /// Replaces the peers that a torrent may dial. Connections that exist stay.
    pub fn set_peers(&self, info_hash: InfoHash, peers: Vec<PeerAddr>) {
        if let Some(torrent) = self.registry.get(&info_hash) {
            torrent.tell(Msg::SetPeers(peers));
        }
    }

    /// One more peer that a torrent may dial, because it asks to be dialled.
    pub fn add_peer(&self, info_hash: InfoHash, peer: PeerAddr) {
        if let Some(torrent) = self.registry.get(&info_hash) {
            torrent.tell(Msg::AddPeer(peer));
        }
    }

    /// Ends a torrent; returns when everything that was verified is on disk. An incomplete download can be added again
    /// and goes on; what was remembered about a complete file (its hashes) is forgotten.
    pub async fn remove(&self, info_hash: InfoHash) {
        let Some(torrent) = self.registry.take(&info_hash) else { return };
        stop(&torrent).await;
        if torrent.status().piece_map.is_full() {
            let state_dir = self.shared.state_dir.clone();
            // Fails only when the runtime ends.
            let _ = tokio::task::spawn_blocking(move || saved::forget(&state_dir, info_hash)).await;
        }
    }

    /// Ends a download that is not to go on, and removes what has arrived of it but the files that are complete.
    ///
    /// # Errors
    /// When something cannot be removed; the download has ended all the same.
    pub async fn discard(
        &self,
        metainfo: &Arc<Metainfo>,
        folder: PathBuf,
        file_name: FileName,
    ) -> std::io::Result<()> {
        self.remove(metainfo.info_hash()).await;
        let (metainfo, state_dir) = (Arc::clone(metainfo), self.shared.state_dir.clone());
        let job = tokio::task::spawn_blocking(move || {
            saved::forget(&state_dir, metainfo.info_hash());
            prepare::discard(&metainfo, &folder, &file_name)
        });
        // Fails only when the runtime ends.
        job.await.unwrap_or(Ok(()))
    }

    /// From now on these files of a running download are wanted, and so much; see [`Source::Download`]. A file that was
    /// not wanted before takes [`Engine::remove`] and [`Engine::add`], because something may lie at its place.
    pub fn set_files(
        &self,
        info_hash: InfoHash,
        wanted: Option<Bitfield>,
        levels: &[Priority],
        preview: bool,
    ) {
        if let Some(torrent) = self.registry.get(&info_hash) {
            let mut priorities = prepare::priorities(&torrent.metainfo, wanted.as_ref(), levels, preview);
            priorities.resize(torrent.metainfo.piece_count() as usize, Priority::Normal);
            torrent.tell(Msg::SetFiles { wanted, priorities });
        }
    }

    /// Reads all of a complete torrent again, now, and tells how much of it is damaged; that is not served any more,
    /// and fetched from peers. `None` when there is no such torrent, or it ends meanwhile.
    ///
    /// # Errors
    /// When it is not complete, or a file was changed or is gone: then the share ends.
    pub async fn scrub(&self, info_hash: InfoHash) -> Option<Result<Scrubbed, String>> {
        let torrent = self.registry.get(&info_hash)?;
        let (answer, scrubbed) = oneshot::channel();
        torrent.tell(Msg::Scrub(answer));
        scrubbed.await.ok()
    }

    /// How fast everything together and single groups may be, from now on.
    pub fn set_limits(&self, limits: &RateLimits) {
        self.shared.limits.set(limits);
    }

    /// The roster of `group` has changed: connections of whoever is not a member any more end at once.
    pub fn roster_changed(&self, group: GroupId) {
        let torrents = self.registry.all();
        torrents.iter().filter(|torrent| torrent.group == group).for_each(|t| t.tell(Msg::RosterChanged));
    }

    /// All torrents, by info hash. At most a quarter of a second old; events come after the status that they tell of.
    pub fn status(&self) -> Vec<TorrentStatus> {
        self.registry.all().iter().map(|torrent| (*torrent.status()).clone()).collect()
    }

    /// As [`Engine::status`], of one torrent.
    pub fn torrent(&self, info_hash: &InfoHash) -> Option<Arc<TorrentStatus>> {
        self.registry.get(info_hash).map(|torrent| torrent.status())
    }

    /// Everything that happens from now on. A reader that falls far behind loses the oldest events.
    pub fn subscribe(&self) -> broadcast::Receiver<EngineEvent> {
        self.shared.events.subscribe()
    }

    /// Ends everything; returns when what was verified is on disk and progress is saved. Nothing is forgotten.
    pub async fn shutdown(&self) {
        let torrents = self.close();
        futures_util::future::join_all(torrents.iter().map(|torrent| stop(torrent))).await;
        let all = u32::try_from(self.shared.config.connections_max).unwrap_or(u32::MAX);
        // Whoever takes longer to hang up is left to the runtime.
        let _ = tokio::time::timeout(GOODBYE, self.shared.connections.acquire_many(all)).await;
    }

    fn close(&self) -> Vec<Arc<TorrentShared>> {
        self.accepting.abort();
        let mut torrents = lock(&self.registry.torrents);
        torrents.closed = true;
        torrents.by_short_hash.clear();
        std::mem::take(&mut torrents.by_hash).into_values().collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for torrent in self.close() {
            torrent.tell(Msg::Stop(oneshot::channel().0));
        }
    }
}

async fn stop(torrent: &TorrentShared) {
    let (answer, stopped) = oneshot::channel();
    torrent.tell(Msg::Stop(answer));
    // The owner may have ended already.
    let _ = stopped.await;
}

/// `-PG` and the version in the usual form, then random.
fn peer_id() -> Result<[u8; 20], EngineError> {
    let mut id = *b"-PG0100-............";
    getrandom::fill(&mut id[8..]).map_err(|error| EngineError::Random(error.to_string()))?;
    Ok(id)
}

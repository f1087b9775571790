//! A group of members on this machine, each with an engine of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_metainfo::{HashJob, Hashed, Leaves, Metainfo, hash_path};
use peerage_types::{ClusterId, DeviceId, FileName, GroupId, InfoHash, PublicKey, RecordId, Scope, UserId};
use peerage_wire::{Answer, Ask, Heads};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

use crate::engine::buffer::lock;
use crate::engine::{
    AddError, Engine, EngineConfig, EngineEvent, NotAdmitted, PeerAddr, Records, Roster, Source, TorrentSpec,
    TorrentState, TorrentStatus,
};

const CLUSTER: ClusterId = ClusterId([7; 16]);
pub const GROUP: GroupId = GroupId([8; 32]);
/// Only a hang takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Members by user; a device counts as certified if it shows a DeviceCert for itself.
#[derive(Default)]
pub struct TestRoster(Mutex<BTreeMap<UserId, ()>>, pub Mutex<BTreeSet<u8>>);

impl Roster for TestRoster {
    fn admits(&self, group: &GroupId, device: &DeviceId, cert: &[Record]) -> Result<UserId, NotAdmitted> {
        if *group != GROUP {
            return Err(NotAdmitted::UnknownGroup);
        }
        let certifies =
            |record: &&Record| matches!(record.body(), Body::DeviceCert { device: of, .. } if of == device);
        let user = cert.iter().find(certifies).ok_or(NotAdmitted::NotCertified)?.author();
        if lock(&self.0).contains_key(&user) { Ok(user) } else { Err(NotAdmitted::NotMember) }
    }

    fn still_member(&self, _: &GroupId, user: &UserId, _: &DeviceId) -> bool {
        lock(&self.0).contains_key(user)
    }

    fn cluster(&self) -> ClusterId {
        CLUSTER
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }
}

/// Knows as many records as it learnt; each is its own head.
impl Records for TestRoster {
    fn heads(&self, _: &GroupId) -> Option<Heads> {
        Some(Heads { digest: [lock(&self.1).len() as u8; 32], ends: Vec::new() })
    }

    fn lacking(&self, _: &GroupId, theirs: &Heads) -> Option<Ask> {
        theirs.ends.iter().any(|id| !lock(&self.1).contains(&id.0[0])).then(Ask::default)
    }

    fn ask_after(&self, _: &GroupId, after: RecordId) -> Option<Ask> {
        Some(Ask { after: Some(after), ..Ask::default() })
    }

    fn answer(&self, _: &GroupId, _: &Ask) -> Answer {
        Answer { rows: lock(&self.1).iter().copied().collect(), through: None }
    }

    /// A row is one byte; 0 is a forgery.
    fn learn(&self, _: &GroupId, rows: &[Bytes]) -> Result<bool, String> {
        let rows: Vec<u8> = rows.concat();
        if rows.contains(&0) {
            return Err("it sent a forgery".to_owned());
        }
        let mut known = lock(&self.1);
        let before = known.len();
        known.extend(rows);
        Ok(known.len() > before)
    }
}

/// A person with one device.
#[derive(Clone)]
pub struct Person {
    pub user: UserId,
    pub key: SigningKey,
    pub device: DeviceId,
    pub cert: Vec<Vec<u8>>,
}

impl Person {
    /// Two keys from one number.
    pub fn new(number: u8) -> Self {
        let identity = SigningKey::from_bytes(&[number; 32]);
        let key = SigningKey::from_bytes(&[number ^ 0x80; 32]);
        let device = PublicKey(key.verifying_key().to_bytes());
        let user = UserId::of_identity(&PublicKey(identity.verifying_key().to_bytes()));
        let body = Body::DeviceCert { device, label: "test".to_owned() };
        let draft = Draft { cluster: CLUSTER, scope: Scope::Account(user), author: user, prev: None, body };
        let cert = vec![Record::sign(draft, &identity).bytes().to_vec()];
        Self { user, key, device, cert }
    }

    pub fn at(&self, addr: SocketAddr) -> PeerAddr {
        PeerAddr { device: self.device, user: self.user, addresses: vec![addr] }
    }
}

/// One member's engine.
pub struct Node {
    pub person: Person,
    pub engine: Engine,
    pub events: Receiver<EngineEvent>,
    pub folder: PathBuf,
}

/// See the module.
pub struct World {
    pub dir: TempDir,
    pub roster: Arc<TestRoster>,
}

/// A file that is shared.
pub struct Shared {
    pub path: PathBuf,
    pub content: Vec<u8>,
    pub metainfo: Arc<Metainfo>,
    pub leaves: Leaves,
}

impl Shared {
    pub fn hash(&self) -> InfoHash {
        self.metainfo.info_hash()
    }

    pub fn piece(&self, piece: u32) -> &[u8] {
        let start = self.metainfo.piece_file(piece).offset as usize;
        &self.content[start..][..self.metainfo.piece_bytes(piece) as usize]
    }
}

impl World {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), roster: Arc::default() }
    }

    pub fn join(&self, number: u8) -> Person {
        let person = Person::new(number);
        lock(&self.roster.0).insert(person.user, ());
        person
    }

    pub fn kick(&self, person: &Person) {
        lock(&self.roster.0).remove(&person.user);
    }

    /// The folder of a member; the same after a restart.
    pub fn folder(&self, person: &Person) -> PathBuf {
        self.dir.path().join(person.user.tag())
    }

    /// A member's engine, with whatever an earlier one left behind.
    pub async fn node(&self, person: Person) -> Node {
        self.node_with(person, |_| ()).await
    }

    /// The same with other bounds.
    pub async fn node_with(&self, person: Person, change: impl FnOnce(&mut EngineConfig)) -> Node {
        let folder = self.folder(&person);
        std::fs::create_dir_all(&folder).unwrap();
        let mut config = EngineConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        change(&mut config);
        let state = folder.join(".state");
        let engine =
            Engine::start(config, person.key.clone(), person.cert.clone(), self.roster.clone(), state).await;
        let engine = engine.unwrap();
        Node { events: engine.subscribe(), engine, person, folder }
    }

    pub async fn member(&self, number: u8) -> Node {
        self.node(self.join(number)).await
    }

    /// A download into the folder of a member.
    pub fn fetched_by(&self, person: &Person) -> Source {
        into_folder(&self.folder(person))
    }

    /// A file of this length with content of its own, hashed.
    pub fn share(&self, len: usize) -> Shared {
        let mut state = len as u64 ^ 0x9e37_79b9_7f4a_7c15;
        let mut content = Vec::with_capacity(len + 8);
        while content.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend_from_slice(&state.to_le_bytes());
        }
        content.truncate(len);
        let path = self.dir.path().join(format!("shared-{len}.bin"));
        std::fs::write(&path, &content).unwrap();
        let name: FileName = "file.bin".parse().unwrap();
        let (progress, cancelled) = (|_: u64| {}, AtomicBool::new(false));
        let job = HashJob {
            path: &path,
            name: &name,
            group: GROUP,
            found: &progress,
            progress: &progress,
            cancelled: &cancelled,
        };
        let Hashed { metainfo, leaves, .. } = hash_path(&job).unwrap();
        Shared { path, content, metainfo: Arc::new(metainfo), leaves }
    }
}

impl Node {
    pub async fn seed(&self, shared: &Shared) {
        let leaves = Some(shared.leaves.clone());
        self.add(shared, Source::Seed { path: shared.path.clone(), leaves }).await.unwrap();
    }

    pub async fn download(&self, shared: &Shared) {
        self.try_download(shared, &self.folder).await.unwrap();
    }

    pub async fn try_download(&self, shared: &Shared, folder: &Path) -> Result<(), AddError> {
        self.add(shared, into_folder(folder)).await
    }

    pub async fn add(&self, shared: &Shared, source: Source) -> Result<(), AddError> {
        let metainfo = Arc::clone(&shared.metainfo);
        self.engine.add(TorrentSpec { group: GROUP, metainfo, source, rank: None, seed: 1 }).await
    }

    pub fn peer(&self) -> PeerAddr {
        self.person.at(self.engine.local_addr())
    }

    pub fn meets(&self, shared: &Shared, others: &[&Node]) {
        self.engine.set_peers(shared.hash(), others.iter().map(|other| other.peer()).collect());
    }

    pub fn status(&self, shared: &Shared) -> TorrentStatus {
        let status = self.engine.status();
        status.into_iter().find(|status| status.info_hash == shared.hash()).unwrap()
    }

    /// The next event that `pick` takes.
    pub async fn event<T>(&mut self, pick: impl Fn(&EngineEvent) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
        };
        soon(wait).await
    }

    /// The path of the next download that completes, with its content compared.
    pub async fn completed(&mut self, shared: &Shared) -> PathBuf {
        let path = self
            .event(|event| match event {
                EngineEvent::Completed { info_hash, path } if *info_hash == shared.hash() => {
                    Some(path.clone())
                }
                EngineEvent::Failed { why, .. } | EngineEvent::ShareBroken { why, .. } => panic!("{why}"),
                _ => None,
            })
            .await;
        assert!(
            std::fs::read(&path).unwrap() == shared.content,
            "the content of `{}` differs",
            path.display()
        );
        let status = self.status(shared);
        assert_eq!((status.state, status.bytes_done), (TorrentState::Seeding, shared.content.len() as u64));
        path
    }

    /// Waits until the published status fits.
    pub async fn until(&self, shared: &Shared, fits: impl Fn(&TorrentStatus) -> bool) -> TorrentStatus {
        let wait = async {
            loop {
                let status = self.status(shared);
                if fits(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(wait).await
    }
}

/// A download of all of a file.
fn into_folder(folder: &Path) -> Source {
    Source::Download {
        folder: folder.to_owned(),
        file_name: "file.bin".parse().unwrap(),
        wanted: None,
        levels: Vec::new(),
        preview: false,
        into_existing: false,
    }
}

/// `future`, within a time that only a hang takes.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it hangs")
}

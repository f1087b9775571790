//! `login`: open the vault with the password, certify or unseal this device's key, wipe the identity key, resume.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerage_ledger::{AccountView, Body, Draft, Facts, Record, device_label};
use peerage_link::api::{self, ErrorCode, path};
use peerage_link::tls::{ALPN_H2, ExpectedKey, client_config};
use peerage_link::{opaque, vault};
use peerage_types::{GroupId, Name, Scope, UserId};
use tokio::sync::{Notify, mpsc};

use super::super::catch_up::Lagging;
use super::super::cluster::Cluster;
use super::super::content::MetainfoStore;
use super::super::downloads::Downloads;
use super::super::folder::{AccountFolder, FolderError, read_file, write_atomic};
use super::super::outbox::{OutboxFile, SendError, Unreachable, no_supply};
use super::super::own_account;
use super::super::reply::LoggedIn;
use super::super::roster::SessionRoster;
use super::super::seen::Seen;
use super::super::session::{Session, certificate};
use super::super::shares::Shares;
use super::super::snapshot::{Groups, Keys, WANTED_MAX, account_of};
use super::super::trackers::{Trackers, TrackersError};
use super::super::{Node, Refusal};
use super::create_user::{new_key, public};
use crate::engine::{Engine, EngineConfig};

/// Where the sealed device key lies in the account's folder.
const DEVICE_FILE: &str = "device";
/// Another program may be sending what this account left behind; that takes a moment.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The account after the password was right.
struct Opened {
    user: UserId,
    identity: SigningKey,
    facts: Facts,
    view: AccountView,
    /// What the tracker showed of it.
    rows: Vec<api::SignedRow>,
}

impl Node {
    /// Logs in, and resumes what was shared and downloaded before.
    pub async fn login(&self, name: &Name, password: &str) -> Result<LoggedIn, Refusal> {
        let _one_at_a_time = self.inner.changing.lock().await;
        if self.inner.session().is_ok() {
            return Err(Refusal::AlreadyLoggedIn);
        }
        let cluster = self.inner.cluster().await?;
        let pinned = own_account::pinned(&self.inner.root, &cluster.id, name);
        let mut opened = open(&cluster, name, password, pinned).await?;
        let folder = lock(self.inner.root.account(&cluster.id, &opened.user)).await?;
        let keys = Keys { cluster: cluster.id, cluster_key: cluster.key };
        (opened.facts, opened.view) = own_account::unite(folder.path(), opened.user, &opened.rows, &keys)
            .map_err(|error| Refusal::Untrusted(error.to_string()))?;
        own_account::pin(&self.inner.root, &cluster.id, name, opened.user).map_err(local)?;
        let outbox = OutboxFile::open(folder.path()).map_err(local)?;
        let (key, facts) = device_key(&cluster, &folder, &outbox, &opened).await?;
        let user = opened.user;
        let name = opened.view.name().cloned().unwrap_or_else(|| name.clone());
        // From here on the device key speaks; the identity key is wiped as it is dropped.
        drop(opened);

        let (wanted, in_doubt) = mpsc::channel(WANTED_MAX);
        let kept = folder.sub("groups").map_err(local)?;
        let groups = tokio::task::spawn_blocking(move || Groups::open(keys, kept, wanted)).await;
        let groups = Arc::new(groups.map_err(local)?.map_err(local)?);
        let mut own: Vec<_> = facts.iter().collect();
        own.sort_by_key(|fact| fact.rank());
        let records: Vec<Arc<Record>> = own.into_iter().map(|f| Arc::clone(&f.record)).collect();
        let cert = certificate(&records, &public(&key));
        let roster = Arc::new(SessionRoster(Arc::clone(&groups)));
        let state_dir = folder.sub("engine").map_err(local)?;
        let engine =
            Engine::start(EngineConfig::new(self.inner.listen), key.clone(), cert, roster, state_dir);
        let engine = engine.await.map_err(local)?;
        let config = client_config(Some(&key), ExpectedKey::Exactly(cluster.key), &[ALPN_H2]);
        let seen = Arc::new(Seen::open(folder.path()).map_err(local)?);
        seen.add(cluster.trackers.seen());
        let entries = cluster.trackers.entries().to_vec();
        let trackers = Trackers::new(entries, config, cluster.trackers.preferred(), seen);
        trackers.introduce_with(records.iter().map(|record| record.shared_bytes()).collect());
        let session = Arc::new(Session {
            user,
            name,
            device: public(&key),
            key,
            trackers: Arc::new(trackers),
            cluster,
            outbox,
            groups,
            shares: Shares::open(folder.sub("shares").map_err(local)?, "share").map_err(local)?,
            downloads: Downloads::open(folder.sub("downloads").map_err(local)?, "download").map_err(local)?,
            metainfo: MetainfoStore::new(folder.sub("metainfo").map_err(local)?),
            engine,
            announced: self.inner.announce,
            notices: self.inner.notices.clone(),
            heads: tokio::sync::Mutex::new(BTreeMap::new()),
            announcing: tokio::sync::Mutex::new(()),
            lagging: Lagging::default(),
            announce_soon: Notify::new(),
            pinned: std::sync::Mutex::new(Session::load_pinned(&folder)),
            tasks: std::sync::Mutex::default(),
            folder,
        });
        let reply = begin(&session, in_doubt).await;
        self.inner.set_session(Some(session));
        Ok(reply)
    }
}

/// Brings the groups up to date and everything back online.
async fn begin(session: &Arc<Session>, in_doubt: mpsc::Receiver<GroupId>) -> LoggedIn {
    let own_name = std::iter::once(session.name.clone());
    session.groups.names().learn(&session.trackers, own_name).await;
    session.sent_before().await;
    // The program may have ended before the snapshot of a group was kept.
    let mut groups: BTreeSet<GroupId> = session.shares.all().iter().map(|(_, share)| share.group).collect();
    groups.extend(session.downloads.all().iter().map(|(_, download)| download.group));
    groups.extend(session.groups.all().iter().filter(|g| g.view.ended_by.is_none()).map(|g| g.view.group));
    for group in groups {
        refresh(session, group).await;
    }
    let resumed = session.resume().await;
    session.start_tasks(in_doubt);
    session.announce_now().await;
    LoggedIn {
        user: session.shown(),
        shares: resumed.shares,
        downloads: resumed.downloads,
        broken: resumed.broken,
    }
}

async fn refresh(session: &Session, group: GroupId) {
    if let Err(error) = session.refresh(group).await {
        tracing::info!(%error, "a group cannot be brought up to date");
    }
}

/// OPAQUE in one round trip: only the right password opens the vault.
async fn open(
    cluster: &Cluster,
    name: &Name,
    password: &str,
    pinned: Option<UserId>,
) -> Result<Opened, Refusal> {
    let (login, request) = opaque::Login::start(password).map_err(local)?;
    let request = api::LoginRequest { name: name.clone(), request };
    let answer = cluster.trackers.call::<_, api::LoginResponse>(path::OPAQUE_LOGIN, &request).await;
    let answer = answer.map_err(|error| match error {
        TrackersError::Refused(e) if e.code == ErrorCode::NotFound => Refusal::UserUnknown,
        error => cluster.refuse(error),
    })?;
    let user = answer.user;
    let other = pinned.filter(|pinned| *pinned != user);
    let (ke2, sealed) = (answer.response, answer.vault);
    let name = name.clone();
    let finish = move || -> Result<SigningKey, Refusal> {
        let export_key = login.finish(&ke2).map_err(|error| match error {
            opaque::OpaqueError::WrongPassword => match other {
                Some(known) => Refusal::Untrusted(format!(
                    "it answers for another account ({}) than the one that this name led to here ({}); if that one \
                     lost the name, log in as {name}#{}",
                    user.tag(),
                    known.tag(),
                    known.tag()
                )),
                None => Refusal::WrongPassword,
            },
            error => Refusal::Untrusted(error.to_string()),
        })?;
        vault::open(&export_key, &sealed, &user).map_err(|error| Refusal::Untrusted(error.to_string()))
    };
    // Stretching the password takes a moment of one core.
    let identity = tokio::task::spawn_blocking(finish).await.map_err(local)??;
    let keys = Keys { cluster: cluster.id, cluster_key: cluster.key };
    let (facts, view) =
        account_of(user, &answer.account, &keys).map_err(|error| Refusal::Untrusted(error.to_string()))?;
    Ok(Opened { user, identity, facts, view, rows: answer.account })
}

async fn lock(path: std::path::PathBuf) -> Result<AccountFolder, Refusal> {
    for _ in 0..LOCK_TRIES {
        match AccountFolder::lock(path.clone()) {
            Err(FolderError::Locked(_)) => tokio::time::sleep(LOCK_PAUSE).await,
            locked => return locked.map_err(local),
        }
    }
    Err(Refusal::AlreadyLoggedIn)
}

/// This device's key for the account: unsealed, or a new one that the identity certifies. With it the account's
/// records, the certificate included.
async fn device_key(
    cluster: &Cluster,
    folder: &AccountFolder,
    outbox: &OutboxFile,
    account: &Opened,
) -> Result<(SigningKey, Facts), Refusal> {
    let file = folder.path().join(DEVICE_FILE);
    let sealed = read_file(&file).map_err(local)?;
    let known = sealed.and_then(|sealed| match vault::open_device(&account.identity, &sealed) {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::warn!(%error, "the sealed device key does not open; this becomes a new device");
            None
        }
    });
    let revoked = |key: &SigningKey| {
        account.view.devices.get(&public(key)).is_some_and(|device| device.revoked.is_some())
    };
    let key = match known.filter(|key| !revoked(key)) {
        Some(key) if account.view.device_ok(&public(&key)) => return Ok((key, account.facts.clone())),
        // Its certificate never arrived: certify it again.
        Some(key) => key,
        None => {
            let key = new_key()?;
            let sealed = vault::seal_device(&account.identity, &key).map_err(local)?;
            write_atomic(&file, &sealed).map_err(local)?;
            key
        }
    };
    let record = Arc::new(certify(cluster, account, &key));
    let sent =
        outbox.send(&cluster.trackers, vec![record.shared_bytes()], Unreachable::GiveUp, &no_supply).await;
    sent.map_err(|error| match error {
        SendError::Trackers(error) => cluster.refuse(error),
        SendError::Folder(error) => local(error),
    })?;
    let mut facts = account.facts.clone();
    facts.insert(record, peerage_ledger::Order::LAST);
    Ok((key, facts))
}

fn certify(cluster: &Cluster, account: &Opened, device: &SigningKey) -> Record {
    let label = device_label(&host_name());
    let draft = Draft {
        cluster: cluster.id,
        scope: Scope::Account(account.user),
        author: account.user,
        // The last record that trackers show: password records, which they keep to themselves, are not seen here.
        prev: account.view.head,
        body: Body::DeviceCert { device: public(device), label },
    };
    Record::sign(draft, &account.identity)
}

/// What the owner will recognise this device by.
fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let set = ["HOSTNAME", "COMPUTERNAME"].into_iter().find_map(|key| std::env::var(key).ok());
    match kernel.trim() {
        "" => set.unwrap_or_else(|| "device".to_owned()),
        name => name.to_owned(),
    }
}

fn local(error: impl std::fmt::Display) -> Refusal {
    Refusal::Local(error.to_string())
}

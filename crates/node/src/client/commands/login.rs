//! `login`: open the vault with the password, certify or unseal this device's key, wipe the identity key, resume.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerage_ledger::{AccountView, Body, Facts, Record, device_label};
use peerage_link::tls::{ALPN_H2, ExpectedKey, client_config};
use peerage_link::vault;
use peerage_types::{GroupId, UserId, utc};
use tokio::sync::{Notify, mpsc, watch};

use super::super::catch_up::Lagging;
use super::super::cluster::Cluster;
use super::super::content::MetainfoStore;
use super::super::downloads::Downloads;
use super::super::folder::{AccountFolder, FolderError, read_file, write_atomic};
use super::super::node::Inner;
use super::super::outbox::{OutboxFile, SendError, Unreachable, no_supply};
use super::super::own::{OwnAccount, Remembered, accounts_here};
use super::super::own_account;
use super::super::passwords;
use super::super::reply::{LoggedIn, Notice};
use super::super::roster::SessionRoster;
use super::super::seen::Seen;
use super::super::session::{Session, certificate};
use super::super::shares::Shares;
use super::super::snapshot::{Groups, Keys, WANTED_MAX, unix_ms};
use super::super::trackers::Trackers;
use super::super::unlock::{Attempt, Opened, Wrong, attempt, new_key, public};
use super::super::{Node, Refusal, UserRef};
use crate::engine::{Engine, EngineConfig};

/// Where the sealed device key lies in the account's folder.
const DEVICE_FILE: &str = "device";
/// Accounts that lost a name, with which a password is tried: each costs as much as a login.
const NAMESAKES_TRIED: usize = 4;
/// Another program may be sending what this account left behind; that takes a moment.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

impl Node {
    /// Logs in, and resumes what was shared and downloaded before. Without a tag the name is whose it is now.
    pub async fn login(&self, name: &UserRef, password: &str) -> Result<LoggedIn, Refusal> {
        let _one_at_a_time = self.inner.changing.lock().await;
        if self.inner.session().is_ok() {
            return Err(Refusal::AlreadyLoggedIn);
        }
        let cluster = self.inner.cluster().await?;
        let mut opened = match attempt(&cluster, &cluster.trackers, &name.to_string(), password).await? {
            Attempt::Opened(opened) => *opened,
            Attempt::Wrong(wrong) => return Err(self.explain(&cluster, name, password, *wrong).await),
        };
        let user = opened.identity.user;
        let folder = lock(self.inner.root.account(&cluster.id, &user)).await?;
        let keys = Keys { cluster: cluster.id, cluster_key: cluster.key };
        (opened.facts, opened.view) = own_account::unite(folder.path(), user, &opened.rows, &keys)
            .map_err(|error| Refusal::Untrusted(error.to_string()))?;
        if name.tag().is_none() {
            own_account::pin(&self.inner.root, &cluster.id, &name.folded(), user).map_err(local)?;
        }
        let outbox = OutboxFile::open(folder.path()).map_err(local)?;
        let (key, facts) = device_key(&cluster, &folder, &outbox, &mut opened).await?;
        let view = AccountView::of(user, &facts).unwrap_or(opened.view);
        let made_here =
            passwords::kept(folder.path(), &opened.identity.key, opened.secrets.auth, &cluster.id);
        let remembered = Remembered::load(folder.path());
        let own = OwnAccount::new(facts.clone(), view, opened.secrets, remembered);
        // From here on the device key speaks; the identity key is wiped as it is dropped.
        drop(opened.identity);

        let (wanted, in_doubt) = mpsc::channel(WANTED_MAX);
        let kept = folder.sub("groups").map_err(local)?;
        let groups = tokio::task::spawn_blocking(move || Groups::open(keys, kept, wanted)).await;
        let groups = Arc::new(groups.map_err(local)?.map_err(local)?);
        let mut in_order: Vec<_> = facts.iter().collect();
        in_order.sort_by_key(|fact| fact.rank());
        let records: Vec<Arc<Record>> = in_order.into_iter().map(|f| Arc::clone(&f.record)).collect();
        let cert = certificate(&records, &public(&key));
        let roster = Arc::new(SessionRoster(Arc::clone(&groups)));
        let state_dir = folder.sub("engine").map_err(local)?;
        let engine =
            Engine::start(EngineConfig::new(self.inner.listen), key.clone(), cert, roster, state_dir);
        let engine = engine.await.map_err(local)?;
        let limits = Session::load_limits(&folder).map_err(local)?;
        engine.set_limits(&limits);
        let config = client_config(Some(&key), ExpectedKey::Exactly(cluster.key), &[ALPN_H2]);
        let seen = Arc::new(Seen::open(folder.path()).map_err(local)?);
        seen.add(cluster.trackers.seen());
        let entries = cluster.trackers.entries().to_vec();
        let trackers = Trackers::new(entries, config, cluster.trackers.preferred(), seen);
        let mut introduction: Vec<_> = records.iter().map(|record| record.shared_bytes()).collect();
        // Behind the genesis: a tracker that was set back has lost the password, and nobody else can bring it back.
        let behind = introduction.len().min(1);
        introduction.splice(behind..behind, made_here);
        trackers.introduce_with(introduction);
        let (known, ids, own_rows) = (Arc::clone(&groups), cluster.id, opened.rows);
        trackers.vouch_with(move |bytes| {
            let record = Record::decode(bytes, &ids).ok()?;
            let own = || own_rows.iter().find(|row| row.receipt.record == record.id()).cloned();
            match record.body() {
                Body::AccountGenesis { .. } => own().or_else(|| known.genesis_of(&record.author())),
                _ => None,
            }
        });
        let session = Arc::new(Session {
            user,
            own,
            removed: watch::Sender::new(false),
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
            staying: std::sync::Mutex::default(),
            not_shared: std::sync::Mutex::default(),
            starting: std::sync::Mutex::default(),
            announced: self.inner.announce,
            notices: self.inner.notices.clone(),
            changes: self.inner.changes.clone(),
            online: std::sync::Mutex::default(),
            heads: tokio::sync::Mutex::new(BTreeMap::new()),
            said: std::sync::Mutex::new(0),
            announcing: tokio::sync::Mutex::new(()),
            lagging: Lagging::default(),
            announce_soon: Notify::new(),
            pinned: std::sync::Mutex::new(Session::load_pinned(&folder)),
            limits: std::sync::Mutex::new(limits),
            tasks: std::sync::Mutex::default(),
            folder,
        });
        let reply = begin(&session, in_doubt).await;
        end_when_removed(&self.inner, &session);
        self.inner.set_session(Some(session));
        Ok(reply)
    }

    /// Why a password does not open a name.
    async fn explain(&self, cluster: &Cluster, name: &UserRef, password: &str, wrong: Wrong) -> Refusal {
        let Wrong { view, secrets, namesakes } = wrong;
        let here = Remembered::load(&self.inner.root.account(&cluster.id, &view.user));
        if here.auth.is_some_and(|id| secrets.superseded.contains(&id)) {
            return Refusal::PasswordSuperseded;
        }
        if name.tag().is_some() {
            return Refusal::WrongPassword;
        }
        // Those that were made on this machine first: the others are whoever the tracker happens to name.
        let mut others = accounts_here(&self.inner.root.accounts(&cluster.id), &name.folded());
        others.extend(namesakes);
        others.retain(|user| *user != view.user);
        let mut tried = BTreeSet::new();
        others.retain(|user| tried.insert(*user));
        let tagged = |user: &UserId| format!("{name}#{}", user.tag());
        for user in others.iter().take(NAMESAKES_TRIED) {
            let opened = attempt(cluster, &cluster.trackers, &tagged(user), password).await;
            if matches!(opened, Ok(Attempt::Opened(opened)) if opened.identity.user == *user) {
                let claim = view.names.iter().find(|claim| claim.name.folded() == name.folded());
                let since = claim.map_or(0, |claim| claim.order.stamp.unix_ms());
                let (name, yours) = (name.to_string(), tagged(user));
                return Refusal::NameLost { name, since: utc(since), yours };
            }
        }
        let pinned = own_account::pinned(&self.inner.root, &cluster.id, &name.folded());
        match pinned.filter(|pinned| *pinned != view.user) {
            Some(known) => Refusal::Untrusted(format!(
                "it answers for another account ({}) than the one that this name led to here ({}); if that one lost \
                 the name, log in as {}",
                view.user.tag(),
                known.tag(),
                tagged(&known)
            )),
            None if others.is_empty() => Refusal::WrongPassword,
            None => {
                let others = others.iter().map(tagged).collect();
                Refusal::WrongPasswordOfMany { name: name.to_string(), others }
            }
        }
    }
}

/// Ends the session once a tracker says that its device was removed: nothing works any more, and what it still holds
/// open would only look alive.
fn end_when_removed(inner: &Arc<Inner>, session: &Arc<Session>) {
    let (inner, session) = (Arc::downgrade(inner), Arc::downgrade(session));
    let Some(mut removed) = session.upgrade().map(|session| session.removed.subscribe()) else { return };
    tokio::spawn(async move {
        // The sender goes with the session: then there is nothing to end.
        if removed.wait_for(|removed| *removed).await.is_err() {
            return;
        }
        let (Some(inner), Some(session)) = (inner.upgrade(), session.upgrade()) else { return };
        let _one_at_a_time = inner.changing.lock().await;
        if inner.session().is_ok_and(|current| Arc::ptr_eq(&current, &session)) {
            drop(inner.take_session());
            session.notify(Notice::Account(format!(
                "this device was removed from the account {}; `login` makes it a new device",
                session.shown()
            )));
            inner.note_cut_short(session.end().await);
        }
    });
}

/// Brings the groups up to date and everything back online.
async fn begin(session: &Arc<Session>, in_doubt: mpsc::Receiver<GroupId>) -> LoggedIn {
    let begun_unix_ms = unix_ms();
    session.sent_before().await;
    let own_names: Vec<_> = session.own.view().names.iter().map(|claim| claim.name.clone()).collect();
    session.groups.names().learn(&session.trackers, own_names.into_iter()).await;
    session.account_begins();
    // The program may have ended before the snapshot of a group was kept.
    let mut groups: BTreeSet<GroupId> = session.shares.all().iter().map(|(_, share)| share.group).collect();
    groups.extend(session.downloads.all().iter().map(|(_, download)| download.group));
    groups.extend(session.groups.all().iter().filter(|g| g.view.ended_by.is_none()).map(|g| g.view.group));
    for group in groups {
        refresh(session, group).await;
    }
    let resumed = session.resume(begun_unix_ms).await;
    session.start_tasks(in_doubt);
    // Who was cut off may have less to offer now than trackers still believe.
    session.announce_anew().await;
    LoggedIn {
        user: session.shown(),
        shares: resumed.shares,
        downloads: resumed.downloads,
        broken: resumed.broken,
        notes: session.account_notes(),
    }
}

async fn refresh(session: &Session, group: GroupId) {
    if let Err(error) = session.refresh(group).await {
        tracing::info!(%error, "a group cannot be brought up to date");
    }
}

/// Locks the account's folder; waits a little for another program that is only passing through.
pub(super) async fn lock(path: std::path::PathBuf) -> Result<AccountFolder, Refusal> {
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
    account: &mut Opened,
) -> Result<(SigningKey, Facts), Refusal> {
    let file = folder.path().join(DEVICE_FILE);
    let sealed = read_file(&file).map_err(local)?;
    let known = sealed.and_then(|sealed| match vault::open_device(&account.identity.key, &sealed) {
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
            let sealed = vault::seal_device(&account.identity.key, &key).map_err(local)?;
            write_atomic(&file, &sealed).map_err(local)?;
            key
        }
    };
    let label = device_label(&host_name());
    let record = account.identity.sign(Body::DeviceCert { device: public(&key), label });
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

//! The session's own account: its names, devices and password, kept up to date, and what its owner must be told.
//!
//! Each event about the account, and each new event stream, leads to [`Session::refresh_account`]. A small file in
//! the account's folder remembers what the trackers' answer alone does not tell a person on this machine: which
//! names this account claimed, so that the loser of a name finds its tag, and which password record was made here.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minicbor::{Decode, Encode};
use peerage_ledger::{AccountView, Facts, shown_name};
use peerage_link::api::{self, Secrets};
use peerage_types::{DeviceId, Name, RecordId, UserId};

use super::Refusal;
use super::folder::{FolderError, read_file, write_atomic};
use super::own_account;
use super::reply::Notice;
use super::session::Session;
use super::snapshot::Keys;
use super::unlock::{Attempt, Opened, attempt};
use super::usernames::UserNames;

/// The file's name in an account's folder.
const FILE: &str = "remembered";

/// Of two changes of the password that did not know of each other, the earlier one counts.
const SUPERSEDED: &str =
    "password change superseded: another device changed it first, and the password that was set there counts";

fn name_lost(name: &str, now: &str) -> String {
    format!(
        "another account claimed `{name}` first; you are now `{now}`; `claim_name <name> <passwd>` gives you \
         another name"
    )
}

/// What this machine remembers of an account without a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Remembered {
    /// Names that it claimed, in order.
    #[n(0)]
    pub(super) names: Vec<Name>,
    /// The password record that was made on this machine last, until its owner was told that it lost.
    #[n(1)]
    pub(super) auth: Option<RecordId>,
}

impl Remembered {
    /// Reads it; a missing or damaged file says nothing.
    pub(super) fn load(folder: &Path) -> Self {
        let bytes = read_file(&folder.join(FILE)).ok().flatten().unwrap_or_default();
        minicbor::decode(&bytes).unwrap_or_default()
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), FolderError> {
        let path = folder.join(FILE);
        let bytes = minicbor::to_vec(self).map_err(|e| FolderError::Io {
            path: path.clone(),
            source: std::io::Error::other(e.to_string()),
        })?;
        write_atomic(&path, &bytes)
    }
}

/// The account as the session knows it.
pub(super) struct OwnAccount(Mutex<State>);

struct State {
    facts: Facts,
    view: Arc<AccountView>,
    secrets: Secrets,
    remembered: Remembered,
    /// What was said last, so that only changes are told.
    said: Said,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    shown: String,
    /// The newest name, if another account holds it.
    lost: Option<String>,
    superseded: bool,
}

impl OwnAccount {
    pub(super) fn new(facts: Facts, view: AccountView, secrets: Secrets, remembered: Remembered) -> Self {
        let said = Said { shown: String::new(), lost: None, superseded: false };
        Self(Mutex::new(State { facts, view: Arc::new(view), secrets, remembered, said }))
    }

    pub(super) fn view(&self) -> Arc<AccountView> {
        Arc::clone(&self.lock().view)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole values are replaced, so every state of it is a good one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn said_now(&self, names: &UserNames) -> Said {
        let user = self.view.user;
        let newest = self.view.names.last().map(|claim| &claim.name);
        Said {
            shown: shown(&self.view, names),
            lost: newest.filter(|name| !names.holds(name, &user)).map(ToString::to_string),
            superseded: self.remembered.auth.is_some_and(|id| self.secrets.superseded.contains(&id)),
        }
    }
}

/// How an account is shown: the latest name that it won, or the latest that it claimed, with its tag.
pub(super) fn shown(view: &AccountView, names: &UserNames) -> String {
    match view.shown_name(|name| names.holds(name, &view.user)) {
        Some((name, holds)) => shown_name(name.as_str(), holds, &view.user.tag()),
        None => format!("user#{}", view.user.tag()),
    }
}

impl Session {
    /// The name as others see it.
    pub(super) fn shown(&self) -> String {
        shown(&self.own.view(), self.groups.names())
    }

    /// What the owner should know about the account now, a sentence each.
    pub(super) fn account_notes(&self) -> Vec<String> {
        let said = self.own.lock().said_now(self.groups.names());
        let lost = said.lost.as_deref().map(|name| name_lost(name, &said.shown));
        let superseded = said.superseded.then(|| SUPERSEDED.to_owned());
        lost.into_iter().chain(superseded).collect()
    }

    /// After a login: what is said in its reply is not said again, and a password change that came to nothing is
    /// forgotten with the next login.
    pub(super) fn account_begins(&self) {
        let names = self.groups.names();
        let mut own = self.own.lock();
        own.said = own.said_now(names);
        let auth = own.remembered.auth.filter(|_| !own.said.superseded);
        let claimed = own.view.names.iter().map(|claim| claim.name.clone()).collect();
        let next_time = Remembered { names: claimed, auth };
        drop(own);
        if let Err(error) = next_time.save(self.folder.path()) {
            tracing::warn!(%error, "the account's names cannot be remembered");
        }
    }

    /// Remembers which password record this device makes, before anybody sees it.
    pub(super) fn remember_auth(&self, auth: Option<RecordId>) -> Result<(), Refusal> {
        let mut own = self.own.lock();
        own.remembered.auth = auth;
        own.remembered.names = own.view.names.iter().map(|claim| claim.name.clone()).collect();
        own.remembered.save(self.folder.path()).map_err(|e| Refusal::Local(e.to_string()))
    }

    /// Asks for the account's newest records and tells what changed.
    pub(super) async fn refresh_account(&self) -> Result<Arc<AccountView>, Refusal> {
        let request = api::AccountRequest { user: self.user };
        let answer = self.trackers.call::<_, api::AccountResponse>(api::path::ACCOUNT, &request).await;
        let api::AccountResponse { rows, secrets } = answer.map_err(|e| self.refuse(e))?;
        let keys = Keys { cluster: self.cluster.id, cluster_key: self.cluster.key };
        let (folder, user) = (self.folder.path().to_owned(), self.user);
        let unite = move || own_account::unite(&folder, user, &rows, &keys);
        let united = tokio::task::spawn_blocking(unite).await.map_err(|e| Refusal::Local(e.to_string()))?;
        let (facts, _) = united.map_err(|e| Refusal::Untrusted(e.to_string()))?;
        let names = self.groups.names();
        let known = self.own.view();
        let claimed = facts.iter().filter_map(|fact| match fact.record.body() {
            peerage_ledger::Body::UserNameClaim { name } => Some(name.clone()),
            _ => None,
        });
        let claimed: BTreeSet<Name> =
            known.names.iter().map(|claim| claim.name.clone()).chain(claimed).collect();
        names.learn_again(&self.trackers, claimed.into_iter()).await;
        let (view, notices) = self.own.lock().update(&facts, secrets, names, &self.device);
        notices.into_iter().for_each(|text| self.notify(Notice::Account(text)));
        Ok(view)
    }

    /// Opens the identity key for a command that signs with it.
    pub(super) async fn unlock(&self, password: &str) -> Result<Opened, Refusal> {
        self.sent_before().await;
        let view = self.own.view();
        let name = view.names.first().map(|claim| format!("{}#{}", claim.name, self.user.tag()));
        let name = name.ok_or_else(|| Refusal::Local("this account has no name".to_owned()))?;
        match attempt(&self.cluster, &self.trackers, &name, password).await? {
            Attempt::Opened(opened) if opened.identity.user == self.user => Ok(*opened),
            Attempt::Wrong(wrong) if wrong.view.user == self.user => Err(Refusal::WrongPassword),
            _ => Err(Refusal::Untrusted(format!("asked for account `{name}`, got another one"))),
        }
    }
}

impl State {
    /// Unites what is known with what came, and says what is new about it.
    fn update(
        &mut self,
        facts: &Facts,
        secrets: Secrets,
        names: &UserNames,
        this: &DeviceId,
    ) -> (Arc<AccountView>, Vec<String>) {
        let before = Arc::clone(&self.view);
        let auth_before = self.secrets.auth;
        self.facts.merge(facts);
        if let Some(view) = AccountView::of(before.user, &self.facts) {
            self.view = Arc::new(view);
        }
        self.secrets = secrets;
        let mut notices = device_notices(&before, &self.view, this);
        let now = self.said_now(names);
        if now != self.said {
            match &now.lost {
                Some(name) if now.lost != self.said.lost => {
                    notices.push(name_lost(name, &now.shown));
                }
                _ if now.shown != self.said.shown && !self.said.shown.is_empty() => {
                    notices.push(format!("this account is called {} now", now.shown));
                }
                _ => {}
            }
            if now.superseded && !self.said.superseded {
                notices.push(SUPERSEDED.to_owned());
            }
            self.said = now;
        }
        if self.secrets.auth != auth_before
            && self.secrets.auth != self.remembered.auth
            && !self.said.superseded
        {
            notices.push("the password of this account was changed on another device".to_owned());
        }
        (Arc::clone(&self.view), notices)
    }
}

fn device_notices(before: &AccountView, now: &AccountView, this: &DeviceId) -> Vec<String> {
    let mut notices = Vec::new();
    for (id, device) in now.devices.iter().filter(|(id, _)| *id != this) {
        let (tag, label) = (id.tag(), &device.label);
        let known = before.devices.get(id);
        let text = match (known, device.revoked) {
            (None, None) => format!(
                "a new device logged in: {tag} ({label}); if that was not you: change_password, then \
                 revoke_device {tag} <passwd>"
            ),
            (Some(known), Some(_)) if known.revoked.is_none() => {
                format!("the device {tag} ({label}) was removed from this account")
            }
            _ => continue,
        };
        notices.push(text);
    }
    notices
}

/// Whose accounts on this machine ever claimed a name.
pub(super) fn accounts_here(folders: &[std::path::PathBuf], name: &peerage_types::FoldedName) -> Vec<UserId> {
    let claimed = |folder: &Path| Remembered::load(folder).names.iter().any(|n| n.folded() == *name);
    let user = |folder: &Path| folder.file_name().and_then(|n| n.to_str()).and_then(UserId::from_hex);
    folders.iter().filter(|folder| claimed(folder)).filter_map(|folder| user(folder)).collect()
}

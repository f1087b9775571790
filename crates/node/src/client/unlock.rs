//! The identity key: opened with a password, used for a moment, wiped when it is dropped.
//!
//! Trackers see OPAQUE messages and a sealed vault. Which record the identity signed last, and which password
//! record counts, is what a tracker says ([`Secrets`]); if that is wrong, the next record is refused.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerage_ledger::{AccountView, Body, Draft, Facts, Record};
use peerage_link::api::{self, ErrorCode, Secrets, SignedRow, path};
use peerage_link::{opaque, vault};
use peerage_types::{ClusterId, PublicKey, RecordId, Scope, UserId};

use super::Refusal;
use super::cluster::Cluster;
use super::snapshot::{Keys, account_of};
use super::trackers::{Trackers, TrackersError};

/// The allocator (mimalloc) gives the memory of a stretched password back no earlier than a tenth of a second after it
/// was freed, and only when something makes it look.
const GIVE_BACK: Duration = Duration::from_millis(200);

/// A person's key in use: each record names the one before it.
pub(super) struct Identity {
    cluster: ClusterId,
    pub(super) user: UserId,
    pub(super) key: SigningKey,
    head: Option<RecordId>,
}

impl Identity {
    /// A new person.
    pub(super) fn new(cluster: ClusterId) -> Result<Self, Refusal> {
        let key = new_key()?;
        Ok(Self { cluster, user: UserId::of_identity(&public(&key)), key, head: None })
    }

    /// The person of an account; `key` was found to be theirs when its vault was opened.
    pub(super) fn of(cluster: ClusterId, user: UserId, key: SigningKey, head: Option<RecordId>) -> Self {
        Self { cluster, user, key, head }
    }

    /// Signs the next record of the account.
    pub(super) fn sign(&mut self, body: Body) -> Arc<Record> {
        let (user, prev) = (self.user, self.head);
        let draft = Draft { cluster: self.cluster, scope: Scope::Account(user), author: user, prev, body };
        let record = Arc::new(Record::sign(draft, &self.key));
        self.head = Some(record.id());
        record
    }
}

/// An account whose password was right.
pub(super) struct Opened {
    pub(super) identity: Identity,
    pub(super) facts: Facts,
    pub(super) view: AccountView,
    pub(super) secrets: Secrets,
    /// What the tracker showed of it.
    pub(super) rows: Vec<SignedRow>,
}

/// An account whose password was wrong, as far as that tells whose it is.
pub(super) struct Wrong {
    pub(super) view: AccountView,
    pub(super) secrets: Secrets,
    /// Who claimed the plain name later.
    pub(super) namesakes: Vec<UserId>,
}

/// What a password led to.
pub(super) enum Attempt {
    Opened(Box<Opened>),
    Wrong(Box<Wrong>),
}

/// OPAQUE in one round trip: only the right password opens the vault. `name` may have a tag.
pub(super) async fn attempt(
    cluster: &Cluster,
    trackers: &Trackers,
    name: &str,
    password: &str,
) -> Result<Attempt, Refusal> {
    let (login, request) = opaque::Login::start(password).map_err(local)?;
    let request = api::LoginRequest { name: name.to_owned(), request };
    let answer = trackers.call::<_, api::LoginResponse>(path::OPAQUE_LOGIN, &request).await;
    let answer = answer.map_err(|error| unknown_or(cluster, error))?;
    let api::LoginResponse { user, response, vault: sealed, account, secrets, namesakes } = answer;
    let finish = move || -> Result<Option<SigningKey>, Refusal> {
        let export_key = match login.finish(&response) {
            Ok(export_key) => export_key,
            Err(opaque::OpaqueError::WrongPassword) => return Ok(None),
            Err(error) => return Err(untrusted(error)),
        };
        vault::open(&export_key, &sealed, &user).map(Some).map_err(untrusted)
    };
    let key = stretch(finish).await??;
    let keys = Keys { cluster: cluster.id, cluster_key: cluster.key };
    let (facts, view) = account_of(user, &account, &keys).map_err(untrusted)?;
    Ok(match key {
        Some(key) => {
            let identity = Identity::of(cluster.id, user, key, secrets.head.or(view.head));
            Attempt::Opened(Box::new(Opened { identity, facts, view, secrets, rows: account }))
        }
        None => Attempt::Wrong(Box::new(Wrong { view, secrets, namesakes })),
    })
}

/// Registers a password and seals the identity key under it. `previous`: the password record that this
/// replaces. `code`: what the trackers ask of those who create accounts.
pub(super) async fn register(
    cluster: &Cluster,
    trackers: &Trackers,
    identity: &Identity,
    password: &str,
    previous: Option<RecordId>,
    code: Option<String>,
) -> Result<Body, Refusal> {
    let (registration, request) = opaque::Registration::start(password).map_err(local)?;
    let user = identity.user;
    let request = api::RegisterRequest { user, request, code };
    let answer = trackers.call::<_, api::RegisterResponse>(path::OPAQUE_REGISTER, &request).await;
    let api::RegisterResponse { opaque_key, response } = answer.map_err(|e| cluster.refuse(e))?;
    let key = identity.key.clone();
    let finish = move || -> Result<_, Refusal> {
        let (password_file, export_key) = registration.finish(&response).map_err(local)?;
        Ok((password_file, vault::seal(&export_key, &key, &user).map_err(local)?))
    };
    let (password_file, vault) = stretch(finish).await??;
    Ok(Body::AuthRecord { opaque_key, password_file, vault, previous })
}

/// Runs what stretches a password: it takes a moment of one core, and memory that is wanted for nothing else afterwards.
async fn stretch<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(job).await.map_err(local)?;
    tokio::spawn(async {
        tokio::time::sleep(GIVE_BACK).await;
        // A thread that has used the allocator makes it look when it ends. If there is none, that comes later.
        let _ = std::thread::Builder::new().spawn(|| drop(std::hint::black_box(vec![0_u8; 64])));
    });
    Ok(done)
}

/// What a failed question by name means to a command.
pub(super) fn unknown_or(cluster: &Cluster, error: TrackersError) -> Refusal {
    match error {
        TrackersError::Refused(e) if e.code == ErrorCode::NotFound => Refusal::UserUnknown,
        error => cluster.refuse(error),
    }
}

/// A fresh key from the system's randomness.
pub(super) fn new_key() -> Result<SigningKey, Refusal> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|e| Refusal::local("no randomness", e))?;
    Ok(SigningKey::from_bytes(&seed))
}

pub(super) fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

fn local(error: impl std::fmt::Display) -> Refusal {
    Refusal::Local(error.to_string())
}

fn untrusted(error: impl std::fmt::Display) -> Refusal {
    Refusal::Untrusted(error.to_string())
}

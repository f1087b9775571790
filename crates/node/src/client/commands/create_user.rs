//! `create_user`: an identity key, a password that no tracker sees, and a name.

use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_link::api::{self, ErrorCode, path};
use peerage_link::{opaque, vault};
use peerage_types::{Name, PublicKey, RecordId, Scope, UserId};

use super::super::cluster::Cluster;
use super::super::folder::AccountFolder;
use super::super::outbox::{OutboxFile, SendError, Unreachable, no_supply};
use super::super::trackers::TrackersError;
use super::super::{Node, Refusal};

impl Node {
    /// Creates an account. Its identity key leaves this function only sealed under the password.
    /// `code`: what the trackers ask of those who create accounts, if it is not in the node's configuration.
    pub async fn create_user(&self, name: &Name, password: &str, code: Option<&str>) -> Result<(), Refusal> {
        let cluster = self.inner.cluster().await?;
        let request = api::UserNamesRequest { names: vec![name.clone()] };
        let taken: api::UserNamesResponse =
            cluster.trackers.call(path::USER_NAMES, &request).await.map_err(|e| cluster.refuse(e))?;
        if taken.users.iter().any(Option::is_some) {
            return Err(Refusal::UserExists);
        }
        let code = code.map(str::to_owned).or_else(|| self.inner.registration_code.clone());
        let identity = new_key()?;
        let user = UserId::of_identity(&public(&identity));
        let auth = register(&cluster, user, &identity, password, code).await?;
        let records = sign(&cluster, user, &identity, name, auth);

        let folder = AccountFolder::lock(self.inner.root.account(&cluster.id, &user))
            .map_err(|e| Refusal::Local(e.to_string()))?;
        let outbox = OutboxFile::open(folder.path()).map_err(|e| Refusal::Local(e.to_string()))?;
        let sent = outbox.send(&cluster.trackers, records, Unreachable::GiveUp, &no_supply).await;
        sent.map_err(|error| {
            // The account never came into being, and its folder holds nothing but an empty lock.
            let _ = std::fs::remove_dir_all(folder.path());
            match error {
                SendError::Trackers(TrackersError::Refused(e))
                    if matches!(e.code, ErrorCode::NameTaken | ErrorCode::UserExists) =>
                {
                    Refusal::UserExists
                }
                SendError::Trackers(error) => cluster.refuse(error),
                SendError::Folder(error) => Refusal::Local(error.to_string()),
            }
        })
    }
}

/// Registers the password and seals the identity key under it.
async fn register(
    cluster: &Cluster,
    user: UserId,
    identity: &SigningKey,
    password: &str,
    code: Option<String>,
) -> Result<Body, Refusal> {
    let failed = |e: &dyn std::fmt::Display| Refusal::Local(e.to_string());
    let (registration, request) = opaque::Registration::start(password).map_err(|e| failed(&e))?;
    let request = api::RegisterRequest { user, request, code };
    let answer: api::RegisterResponse =
        cluster.trackers.call(path::OPAQUE_REGISTER, &request).await.map_err(|e| cluster.refuse(e))?;
    let identity = identity.clone();
    let finish = move || -> Result<_, Refusal> {
        let (password_file, export_key) =
            registration.finish(&answer.response).map_err(|e| Refusal::Local(e.to_string()))?;
        let vault = vault::seal(&export_key, &identity, &user).map_err(|e| Refusal::Local(e.to_string()))?;
        Ok((password_file, vault))
    };
    // Stretching the password takes a moment of one core.
    let (password_file, vault) = tokio::task::spawn_blocking(finish).await.map_err(|e| failed(&e))??;
    let opaque_key = answer.opaque_key;
    Ok(Body::AuthRecord { opaque_key, password_file, vault, previous: None })
}

/// Genesis, name and password, each naming the one before it.
fn sign(
    cluster: &Cluster,
    user: UserId,
    identity: &SigningKey,
    name: &Name,
    auth: Body,
) -> Vec<std::sync::Arc<[u8]>> {
    let bodies = [
        Body::AccountGenesis { identity: public(identity) },
        Body::UserNameClaim { name: name.clone() },
        auth,
    ];
    let mut prev: Option<RecordId> = None;
    let sign = |body| {
        let draft = Draft { cluster: cluster.id, scope: Scope::Account(user), author: user, prev, body };
        let record = Record::sign(draft, identity);
        prev = Some(record.id());
        record.shared_bytes()
    };
    bodies.into_iter().map(sign).collect()
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

//! `recovery_code` and `recover`: a way back into the account when the password is lost.

use peerage_ledger::Body;
use peerage_link::api::{self, ErrorCode, path};
use peerage_link::recovery::RecoveryCode;
use peerage_link::vault;

use super::super::outbox::{OutboxFile, SendError, Unreachable, no_supply};
use super::super::own::Remembered;
use super::super::passwords;
use super::super::trackers::TrackersError;
use super::super::unlock::{Identity, register, unknown_or};
use super::super::{Node, Refusal, UserRef};
use super::login::lock;

impl Node {
    /// Makes a new recovery code. It is shown this once; the ones before it open nothing any more.
    pub async fn recovery_code(&self, password: &str) -> Result<String, Refusal> {
        let session = self.inner.session()?;
        let mut opened = session.unlock(password).await?;
        let code = RecoveryCode::random().map_err(|e| Refusal::local("no randomness", e))?;
        let identity = &opened.identity;
        let vault = vault::seal_recovery(&code, &identity.key, &identity.user)
            .map_err(|error| Refusal::Local(error.to_string()))?;
        let record = opened.identity.sign(Body::Recovery { vault, previous: opened.secrets.recovery });
        session.send_account(vec![record]).await.map_err(|error| match error {
            SendError::Trackers(TrackersError::Refused(e)) if e.code == ErrorCode::Superseded => {
                Refusal::CodeSuperseded
            }
            error => session.refuse_send(error),
        })?;
        session.read_account_back().await;
        Ok(code.text())
    }

    /// Sets a new password with the recovery code.
    pub async fn recover(&self, name: &UserRef, code: &str, password: &str) -> Result<(), Refusal> {
        let code = RecoveryCode::parse(code).map_err(Refusal::NoCode)?;
        let cluster = self.inner.cluster().await?;
        let trackers = &cluster.trackers;
        let request = api::RecoveryRequest { name: name.to_string() };
        let answer = trackers.call::<_, api::RecoveryResponse>(path::RECOVERY, &request).await;
        let api::RecoveryResponse { user, vault, secrets } =
            answer.map_err(|error| unknown_or(&cluster, error))?;
        let vault = vault.ok_or(Refusal::NoRecovery)?;
        let key = vault::open_recovery(&code, &vault, &user).map_err(|error| match error {
            vault::VaultError::Key(_) => Refusal::WrongCode,
            error => Refusal::Untrusted(error.to_string()),
        })?;
        let mut identity = Identity::of(cluster.id, user, key, secrets.head);
        let folder = lock(self.inner.root.account(&cluster.id, &user)).await?;
        let local = |error: &dyn std::fmt::Display| Refusal::Local(error.to_string());
        let outbox = OutboxFile::open(folder.path()).map_err(|e| local(&e))?;
        let auth = register(&cluster, trackers, &identity, password, secrets.auth, None).await?;
        let record = identity.sign(auth);
        let mut remembered = Remembered::load(folder.path());
        remembered.auth = Some(record.id());
        remembered.save(folder.path()).map_err(|e| local(&e))?;
        passwords::keep(folder.path(), &identity.key, &record);
        let records = vec![record.shared_bytes()];
        outbox.send(trackers, records, Unreachable::GiveUp, &no_supply).await.map_err(|error| match error {
            SendError::Trackers(TrackersError::Refused(e)) if e.code == ErrorCode::Superseded => {
                Refusal::PasswordSuperseded
            }
            SendError::Trackers(error) => cluster.refuse(error),
            SendError::Folder(error) => local(&error),
        })
    }
}

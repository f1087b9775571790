//! `change_password`: the identity key sealed anew; of two changes at once the first counts.

use peerage_link::api::ErrorCode;

use super::super::outbox::{SendError, Unreachable};
use super::super::passwords;
use super::super::trackers::TrackersError;
use super::super::unlock::register;
use super::super::{Node, Refusal};

impl Node {
    /// Changes the password. The devices of the account stay logged in.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let mut opened = session.unlock(old).await?;
        let previous = opened.secrets.auth;
        let auth =
            register(&session.cluster, &session.trackers, &opened.identity, new, previous, None).await?;
        let record = opened.identity.sign(auth);
        session.remember_auth(Some(record.id()))?;
        let sent = session.send_account(vec![record.clone()]).await;
        if sent.is_err() {
            session.remember_auth(None)?;
        }
        sent.map_err(|error| match error {
            SendError::Trackers(TrackersError::Refused(e)) if e.code == ErrorCode::Superseded => {
                Refusal::PasswordSuperseded
            }
            error => session.refuse_send(error),
        })?;
        passwords::keep(session.folder.path(), &opened.identity.key, &record);
        session.trackers.introduce_also(record.shared_bytes());
        session.read_account_back().await;
        Ok(())
    }
}

impl super::super::session::Session {
    /// Submits records that the identity signed.
    pub(in super::super) async fn send_account(
        &self,
        records: Vec<std::sync::Arc<peerage_ledger::Record>>,
    ) -> Result<(), SendError> {
        let records = records.iter().map(|record| record.shared_bytes()).collect();
        let supply = |ids: &[peerage_types::RecordId]| self.groups.supply(ids);
        self.outbox.send(&self.trackers, records, Unreachable::GiveUp, &supply).await
    }

    /// After a change of our own: an event will bring it, but the next command should know it already.
    pub(in super::super) async fn read_account_back(&self) {
        if let Err(error) = self.refresh_account().await {
            tracing::info!(%error, "the change cannot be read back yet");
        }
    }
}

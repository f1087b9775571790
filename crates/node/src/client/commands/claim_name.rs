//! `claim_name`: another name for the account, for example after its own went to somebody else.

use peerage_ledger::Body;
use peerage_link::api::{self, ErrorCode, path};
use peerage_types::Name;

use super::super::outbox::SendError;
use super::super::trackers::TrackersError;
use super::super::{Node, Refusal};

impl Node {
    /// Claims a name, or chooses one again that the account holds already. Earlier names stay its own.
    pub async fn claim_name(&self, name: &Name, password: &str) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        session.sent_before().await;
        let request = api::UserNamesRequest { names: vec![name.clone()] };
        let answer = session.trackers.call::<_, api::UserNamesResponse>(path::USER_NAMES, &request).await;
        let holder = answer.map_err(|e| session.refuse(e))?.users.into_iter().next().flatten();
        if holder.is_some_and(|holder| holder != session.user) {
            return Err(Refusal::NameTaken);
        }
        if session.shown() == name.as_str() {
            return Err(Refusal::NameYours);
        }
        let mut opened = session.unlock(password).await?;
        let record = opened.identity.sign(Body::UserNameClaim { name: name.clone() });
        session.send_account(vec![record]).await.map_err(|error| match error {
            SendError::Trackers(TrackersError::Refused(e)) if e.code == ErrorCode::NameTaken => {
                Refusal::NameTaken
            }
            error => session.refuse_send(error),
        })?;
        session.read_account_back().await;
        Ok(())
    }
}

//! `create_group`.

use peerage_ledger::Body;
use peerage_link::api::{self, ErrorCode, path};
use peerage_types::Name;

use super::super::bundle::refused;
use super::super::outbox::Unreachable;
use super::super::trackers::TrackersError;
use super::super::{Node, Refusal};

impl Node {
    /// Founds a group that the caller owns. A name whose last group has ended is free again.
    pub async fn create_group(&self, name: &Name) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        session.sent_before().await;
        let request = api::GroupNameRequest { name: name.to_string() };
        let answer = session.trackers.call::<_, api::GroupNameResponse>(path::GROUP_NAME, &request).await;
        let after = match answer {
            Ok(_) => return Err(Refusal::GroupExists),
            Err(TrackersError::Refused(error)) if error.code == ErrorCode::NotFound => {
                error.missing.first().copied()
            }
            Err(error) => return Err(session.refuse(error)),
        };
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|e| Refusal::local("no randomness", e))?;
        let mut bundle = session.founding().await;
        bundle.add(Body::GroupGenesis { name: name.clone(), after, nonce });
        let group = bundle.group();
        bundle.send(Unreachable::GiveUp).await.map_err(|error| match refused(&error) {
            Some(e) if e.code == ErrorCode::NameTaken => Refusal::GroupExists,
            _ => session.refuse_send(error),
        })?;
        // Peers may come from now on; a failure here is made good by the next command.
        if let Err(error) = session.refresh(group).await {
            tracing::info!(%error, "the new group cannot be read back yet");
        }
        Ok(())
    }
}

//! `invite` and `join`.

use peerage_ledger::{Body, Standing};

use super::super::session::Session;
use super::super::{GroupRef, Invite, Node, Refusal};

impl Node {
    /// A line that leads somebody to a group of the caller's.
    pub async fn invite(&self, name: &GroupRef) -> Result<Invite, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        let trackers = session.trackers.entries().to_vec();
        let (group, name) = (state.view.group, state.view.name.clone());
        Ok(Invite { trackers, key: session.cluster.key, group, name })
    }

    /// Asks the owner of the group that an invite leads to.
    pub async fn join(&self, invite: &Invite) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        if session.cluster.key != invite.key {
            return Err(Refusal::OtherCluster { group: invite.name.to_string() });
        }
        let state = session.refresh(invite.group).await?;
        if state.view.ended_by.is_some() {
            return Err(Refusal::GroupUnknown);
        }
        request(&session, &state).await
    }
}

/// Asks to be let in.
pub(super) async fn request(
    session: &std::sync::Arc<Session>,
    state: &super::super::snapshot::GroupState,
) -> Result<(), Refusal> {
    match state.view.standing(&session.user) {
        Standing::Member { .. } => return Err(Refusal::AlreadyMember),
        Standing::Requested { .. } => return Err(Refusal::AlreadyRequested),
        _ => {}
    }
    let incarnation = state.view.next_incarnation(&session.user);
    let mut bundle = session.bundle(state.view.group, state.facts()).await;
    bundle.add(Body::JoinRequest { incarnation });
    bundle.submit().await
}

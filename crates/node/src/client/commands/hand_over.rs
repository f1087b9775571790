//! `hand_over` and `close_group`: how an owner ends their term without leaving, and the group with everybody in it.

use peerage_ledger::Body;
use peerage_link::api::ErrorCode;

use super::super::bundle::refused;
use super::super::names::UserRef;
use super::super::outbox::Unreachable;
use super::super::{GroupRef, Node, Refusal};
use super::answer_request::find;

/// A handover that leaves out what the owner or an admin just did on another device is made anew.
pub(super) const TRIES: usize = 3;

impl Node {
    /// Makes a member the owner; the caller stays a plain member. If the chosen one leaves before hearing of it, the
    /// group stays with the caller.
    pub async fn hand_over(&self, name: &GroupRef, user: &UserRef) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let mut tries = 0;
        loop {
            let state = session.owned_group(name).await?;
            let view = &state.view;
            let members = view.members.iter().map(|(user, m)| (*user, m.incarnation));
            let heir = find(&state, members, user)?.ok_or(Refusal::NotInGroup)?;
            if view.is_owner(&heir.0) {
                return Err(Refusal::IsOwner);
            }
            let mut bundle = session.bundle(view.group, state.facts()).await;
            for body in view.handover(vec![heir], true) {
                bundle.add(body);
            }
            tries += 1;
            match bundle.send(Unreachable::GiveUp).await {
                Ok(()) => {
                    session.read_back(view.group).await;
                    return Ok(());
                }
                Err(error) => match refused(&error) {
                    Some(e) if e.code == ErrorCode::StaleHandover && tries < TRIES => {}
                    _ => return Err(session.refuse_send(error)),
                },
            }
        }
    }

    /// Ends the group for everybody and frees its name. For the owner.
    pub async fn close_group(&self, name: &GroupRef) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.owned_group(name).await?;
        let (group, epoch) = (state.view.group, state.view.epoch);
        let mut bundle = session.bundle(group, state.facts()).await;
        bundle.add(Body::Close { epoch });
        bundle.submit().await?;
        session.leave_swarms(group).await;
        session.forget_downloads(group);
        session.announce_anew().await;
        session.read_back(group).await;
        Ok(())
    }
}

//! `grant_admin` and `revoke_admin`: whom the owner lets decide about plain members.

use peerage_ledger::{Body, Role};

use super::super::names::UserRef;
use super::super::{GroupRef, Node, Refusal};
use super::answer_request::find;

impl Node {
    /// Lets a member accept, reject and kick plain members. For the owner.
    pub async fn grant_admin(&self, name: &GroupRef, user: &UserRef) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.owned_group(name).await?;
        let view = &state.view;
        let members = view.members.iter().map(|(user, m)| (*user, m.incarnation));
        let (user, incarnation) = find(&state, members, user)?.ok_or(Refusal::NotInGroup)?;
        match view.role(&user) {
            Some(Role::Owner) => return Err(Refusal::IsOwner),
            Some(Role::Admin) => return Err(Refusal::AlreadyAdmin),
            _ => {}
        }
        let mut bundle = session.bundle(view.group, state.facts()).await;
        bundle.add(Body::AdminGrant { user, incarnation, epoch: view.epoch });
        bundle.submit().await?;
        session.read_back(view.group).await;
        Ok(())
    }

    /// Makes an admin a plain member again; what they decided so far stays as it is. For the owner.
    pub async fn revoke_admin(&self, name: &GroupRef, user: &UserRef) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.owned_group(name).await?;
        let view = &state.view;
        let members = view.members.iter().map(|(user, m)| (*user, m.incarnation));
        let (user, _) = find(&state, members, user)?.ok_or(Refusal::NotInGroup)?;
        if view.role(&user) != Some(Role::Admin) {
            return Err(Refusal::NotAnAdmin);
        }
        let mut bundle = session.bundle(view.group, state.facts()).await;
        for body in view.admin_revokes(&user) {
            bundle.add(body);
        }
        bundle.submit().await?;
        session.read_back(view.group).await;
        Ok(())
    }
}

//! `accept_request`, `reject_request` and `kick`: what owner and admins decide about people.

use peerage_ledger::{Body, Role};
use peerage_types::UserId;

use super::super::names::UserRef;
use super::super::snapshot::GroupState;
use super::super::{GroupRef, Node, Refusal};

/// What is decided.
#[derive(Clone, Copy)]
enum Decision {
    Accept,
    Reject,
    Kick,
}

impl Node {
    /// Lets somebody in who has asked.
    pub async fn accept_request(&self, group: &GroupRef, user: &UserRef) -> Result<(), Refusal> {
        self.decide(group, user, Decision::Accept).await
    }

    /// Turns somebody away who has asked.
    pub async fn reject_request(&self, group: &GroupRef, user: &UserRef) -> Result<(), Refusal> {
        self.decide(group, user, Decision::Reject).await
    }

    /// Ends a membership; live connections end with it.
    pub async fn kick(&self, group: &GroupRef, user: &UserRef) -> Result<(), Refusal> {
        self.decide(group, user, Decision::Kick).await
    }

    async fn decide(&self, name: &GroupRef, user: &UserRef, decision: Decision) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.decided_group(name).await?;
        let view = &state.view;
        let requests = || view.requests.iter().map(|r| (r.user, r.incarnation));
        let members = || view.members.iter().map(|(user, m)| (*user, m.incarnation));
        let (user, incarnation) = match decision {
            Decision::Accept | Decision::Reject => {
                find(&state, requests(), user)?.ok_or(Refusal::NotRequested)?
            }
            Decision::Kick => find(&state, members(), user)?.ok_or(Refusal::NotInGroup)?,
        };
        match view.role(&user).filter(|_| matches!(decision, Decision::Kick)) {
            Some(Role::Owner) => return Err(Refusal::OwnerStays),
            Some(Role::Admin) => return Err(Refusal::AdminStays),
            _ => {}
        }
        let (epoch, grant) = (view.epoch, view.admin_grant(&session.user));
        let mut bundle = session.bundle(view.group, state.facts()).await;
        bundle.add(match decision {
            Decision::Accept => Body::Accept { user, incarnation, epoch, grant },
            Decision::Reject => Body::Reject { user, incarnation, epoch, grant },
            Decision::Kick => Body::Kick { user, incarnation, epoch, grant },
        });
        bundle.submit().await?;
        session.read_back(view.group).await;
        Ok(())
    }
}

/// The one of these people whom a command names. Which of two namesakes holds the name is what a tracker says,
/// and no tracker decides who is let in: then only the tag tells them apart.
pub(super) fn find(
    state: &GroupState,
    people: impl Iterator<Item = (UserId, u32)>,
    wanted: &UserRef,
) -> Result<Option<(UserId, u32)>, Refusal> {
    let claims = |account: &std::sync::Arc<peerage_ledger::AccountView>| account.claims(&wanted.folded());
    let same_name = |user: &UserId| state.accounts.get(user).is_some_and(claims);
    let mut namesakes: Vec<_> = people.filter(|(user, _)| same_name(user)).collect();
    match wanted.tag() {
        Some(tag) => namesakes.retain(|(user, _)| user.tag() == tag),
        None if namesakes.len() > 1 => {
            let choices = namesakes.iter().map(|(user, _)| format!("{wanted}#{}", user.tag()));
            return Err(Refusal::SeveralUsers { name: wanted.to_string(), choices: choices.collect() });
        }
        None => {}
    }
    Ok(namesakes.pop())
}

//! `list_members`.

use std::collections::BTreeSet;

use peerage_types::UserId;

use super::super::forks::forks;
use super::super::reply::MemberLine;
use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Who is in a group, who came first first.
    pub async fn list_members(&self, name: &GroupRef) -> Result<Vec<MemberLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        let mut members: Vec<_> = state.view.members.iter().collect();
        members.sort_by_key(|(user, member)| (member.since, **user));
        let forked: BTreeSet<UserId> = forks(state.facts()).into_keys().map(|(user, ..)| user).collect();
        let line = |user: &UserId| MemberLine {
            user: state.user(user),
            user_id: *user,
            owner: state.view.is_owner(user),
            forked: forked.contains(user),
        };
        Ok(members.into_iter().map(|(user, _)| line(user)).collect())
    }
}

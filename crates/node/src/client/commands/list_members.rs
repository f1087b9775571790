//! `list_members`.

use super::super::reply::MemberLine;
use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Who is in a group, who came first first.
    pub async fn list_members(&self, name: &GroupRef) -> Result<Vec<MemberLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        let mut members: Vec<_> = state.view.members.iter().collect();
        members.sort_by_key(|(user, member)| (member.since, **user));
        let line = |user: &peerage_types::UserId| MemberLine {
            user: state.user(user),
            user_id: *user,
            owner: state.view.is_owner(user),
        };
        Ok(members.into_iter().map(|(user, _)| line(user)).collect())
    }
}

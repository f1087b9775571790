//! `join_group`.

use peerage_ledger::{Body, Standing};

use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Asks the owner of a group to be let in.
    pub async fn join_group(&self, name: &GroupRef) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.group(name).await?;
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
}

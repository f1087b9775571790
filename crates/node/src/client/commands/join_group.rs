//! `join_group`.

use super::super::{GroupRef, Node, Refusal};
use super::invite::request;

impl Node {
    /// Asks the owner of a group to be let in.
    pub async fn join_group(&self, name: &GroupRef) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.group(name).await?;
        request(&session, &state).await
    }
}

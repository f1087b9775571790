//! `list_requests`.

use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Who has asked to join, first come first. For the owner.
    pub async fn list_requests(&self, name: &GroupRef) -> Result<Vec<String>, Refusal> {
        let session = self.inner.session()?;
        let state = session.owned_group(name).await?;
        Ok(state.view.requests.iter().map(|request| state.user(&request.user)).collect())
    }
}

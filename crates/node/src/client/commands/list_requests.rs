//! `list_requests`.

use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Who has asked to join, first come first. For owner and admins.
    pub async fn list_requests(&self, name: &GroupRef) -> Result<Vec<String>, Refusal> {
        let session = self.inner.session()?;
        let state = session.decided_group(name).await?;
        Ok(state.view.requests.iter().map(|request| state.user(&request.user)).collect())
    }
}

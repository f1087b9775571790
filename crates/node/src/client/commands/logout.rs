//! `logout`: presence withdrawn, transfers stopped, the device key unloaded. No record is written.

use super::super::{Node, Refusal};

impl Node {
    /// Ends the session.
    pub async fn logout(&self) -> Result<(), Refusal> {
        let _one_at_a_time = self.inner.changing.lock().await;
        let session = self.inner.take_session().ok_or(Refusal::NotLoggedIn)?;
        self.inner.note_cut_short(session.end().await);
        Ok(())
    }
}

//! `logout`: presence withdrawn, transfers stopped, the device key unloaded. No record is written.

use super::super::reply::LastHeld;
use super::super::{Node, Refusal};

impl Node {
    /// Ends the session. Tells what nobody else who is online has.
    pub async fn logout(&self) -> Result<Vec<LastHeld>, Refusal> {
        let _one_at_a_time = self.inner.changing.lock().await;
        let session = self.inner.take_session().ok_or(Refusal::NotLoggedIn)?;
        let last_held = session.last_held().await;
        self.inner.note_cut_short(session.end().await);
        Ok(last_held)
    }
}

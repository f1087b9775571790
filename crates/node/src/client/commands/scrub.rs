//! `scrub`.

use super::super::{GroupRef, Node, Refusal};
use crate::engine::{Scrubbed, TorrentState};

impl Node {
    /// Reads all of a share again and compares it with what was hashed; returns when that is done. What is damaged is
    /// not served any more and fetched from members who have it.
    pub async fn scrub(&self, group: &GroupRef, file: &str) -> Result<Scrubbed, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let file = super::download_file::listed(&state, file).ok_or(Refusal::FileUnknown)?;
        let state = session.engine.torrent(&file.info_hash).map(|status| status.state.clone());
        if matches!(state, Some(TorrentState::Downloading | TorrentState::Paused { .. })) {
            return Err(Refusal::NotComplete { file: file.shown.clone() });
        }
        if let Some(TorrentState::Failed { why }) = state {
            return Err(Refusal::ShareChanged { file: file.shown.clone(), why });
        }
        match session.engine.scrub(file.info_hash).await {
            Some(Ok(scrubbed)) => Ok(scrubbed),
            Some(Err(why)) => Err(Refusal::ShareChanged { file: file.shown.clone(), why }),
            None => Err(Refusal::NotSharing),
        }
    }

    /// Shares of which pieces went bad on the disk and are being fetched again, by name.
    pub fn damaged_now(&self) -> Vec<String> {
        let Ok(session) = self.inner.session() else { return Vec::new() };
        let status = session.engine.status();
        let damaged = status.iter().filter(|status| status.state == TorrentState::Repairing);
        damaged.map(|status| session.label(&status.info_hash)).collect()
    }
}

//! `scrub`.

use peerage_ledger::FileView;

use super::super::downloads::DownloadState;
use super::super::session::Session;
use super::super::{GroupRef, Node, Refusal};
use crate::engine::{Scrubbed, TorrentState};

impl Node {
    /// Reads all of a share again and compares it with what was hashed; returns when that is done. What is damaged is
    /// not served any more and fetched from members who have it.
    pub async fn scrub(&self, group: &GroupRef, file: &str) -> Result<Scrubbed, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let file = super::download_file::listed(&state, file).ok_or(Refusal::FileUnknown)?;
        if let Some(refusal) = not_complete(&session, file) {
            return Err(refusal);
        }
        if let Some(TorrentState::Failed { why }) = state_of(&session, file) {
            return Err(Refusal::ShareChanged { file: file.shown.clone(), why });
        }
        match session.engine.scrub(file.info_hash).await {
            Some(Ok(scrubbed)) => Ok(scrubbed),
            // It may have come to be checked only now.
            Some(Err(why)) => Err(not_complete(&session, file)
                .unwrap_or_else(|| Refusal::ShareChanged { file: file.shown.clone(), why })),
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

fn state_of(session: &Session, file: &FileView) -> Option<TorrentState> {
    session.engine.torrent(&file.info_hash).map(|status| status.state.clone())
}

/// Why there is nothing to look through yet.
fn not_complete(session: &Session, file: &FileView) -> Option<Refusal> {
    match state_of(session, file)? {
        TorrentState::Checking => Some(Refusal::StillChecking { file: file.shown.clone() }),
        TorrentState::Downloading | TorrentState::Paused { .. } => {
            Some(Refusal::NotComplete { file: file.shown.clone() })
        }
        TorrentState::Failed { why } => {
            let entry = session.downloads.get(&file.info_hash)?;
            let running = entry.state == DownloadState::Running;
            running.then(|| Refusal::DownloadFailed { file: entry.label(), why })
        }
        TorrentState::Seeding | TorrentState::Repairing => None,
    }
}

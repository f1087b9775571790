//! `pause_download`, `resume_download` and `cancel_download`.

use std::path::PathBuf;

use peerage_types::InfoHash;

use super::super::downloads::{DownloadEntry, DownloadState};
use super::super::session::Session;
use super::super::{GroupRef, Node, Refusal};

/// What became of what had arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It was removed. Complete files of a folder, if there are any, are still there.
    Removed,
    /// It is still there, because files of the user's are among it.
    Kept(PathBuf),
}

impl Node {
    /// Stops a download, also over restarts, until it is resumed.
    pub async fn pause_download(&self, group: &GroupRef, file: &str) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let (info_hash, entry) = unfinished(&session, group, file)?;
        if entry.paused {
            return Err(Refusal::AlreadyPaused);
        }
        session
            .downloads
            .update(&info_hash, |d| d.paused = true)
            .map_err(|e| Refusal::Local(e.to_string()))?;
        session.engine.remove(info_hash).await;
        session.announce_anew().await;
        Ok(())
    }

    /// Takes a complete download off the list. What it brought stays where it is, and shared.
    pub async fn forget_download(&self, group: &GroupRef, file: &str) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let (info_hash, entry) = super::wait::named(&session, group, file)?;
        if entry.state != DownloadState::Complete {
            return Err(Refusal::DownloadRunning);
        }
        session.downloads.remove(&info_hash).map_err(|e| Refusal::Local(e.to_string()))?;
        if session.shares.get(&info_hash).is_none() {
            // Some files of a folder: nothing would bring them back at the next login.
            session.engine.remove(info_hash).await;
            session.announce_anew().await;
        }
        Ok(())
    }

    /// The folder in which the files of a download lie or will lie, and the download's name there.
    pub fn place_of_download(&self, group: &GroupRef, file: &str) -> Result<(PathBuf, PathBuf), Refusal> {
        let session = self.inner.session()?;
        let (_, entry) = super::wait::named(&session, group, file)?;
        Ok((PathBuf::from(&entry.folder), entry.path()))
    }

    /// Lets a paused download go on.
    pub async fn resume_download(&self, group: &GroupRef, file: &str) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let (info_hash, mut entry) = unfinished(&session, group, file)?;
        let status = session.engine.status().into_iter().find(|s| s.info_hash == info_hash);
        let failed =
            status.as_ref().is_some_and(|s| matches!(s.state, crate::engine::TorrentState::Failed { .. }));
        if !entry.paused && status.is_some() && !failed {
            return Err(Refusal::AlreadyDownloading { path: entry.path() });
        }
        // What failed may be there still.
        session.engine.remove(info_hash).await;
        entry.paused = false;
        if !session.resume_download(&entry).await.map_err(Refusal::Local)? {
            return Err(Refusal::DownloadFailed {
                file: entry.label(),
                why: session.why_not_running(&entry),
            });
        }
        session
            .downloads
            .update(&info_hash, |d| d.paused = false)
            .map_err(|e| Refusal::Local(e.to_string()))?;
        session.announce_now().await;
        Ok(())
    }

    /// Ends a download and removes what has arrived of it.
    pub async fn cancel_download(&self, group: &GroupRef, file: &str) -> Result<Cancelled, Refusal> {
        let session = self.inner.session()?;
        let (info_hash, entry) = super::wait::named(&session, group, file)?;
        if entry.state != DownloadState::Running && entry.wanted.is_none() {
            return Err(Refusal::DownloadComplete { path: entry.path() });
        }
        let folder = PathBuf::from(&entry.folder);
        let cancelled = match session.metainfo.get(&entry.metainfo).filter(|_| !entry.into_existing) {
            Some(metainfo) => {
                let gone = session.engine.discard(&metainfo, folder, entry.file_name.clone()).await;
                gone.map_err(|error| Refusal::local("what has arrived cannot be removed", error))?;
                Cancelled::Removed
            }
            None => {
                session.engine.remove(info_hash).await;
                Cancelled::Kept(folder)
            }
        };
        session.downloads.remove(&info_hash).map_err(|e| Refusal::Local(e.to_string()))?;
        session.announce_anew().await;
        Ok(cancelled)
    }
}

/// The download that a command names, if bytes of it are missing.
pub(super) fn unfinished(
    session: &Session,
    group: &GroupRef,
    file: &str,
) -> Result<(InfoHash, DownloadEntry), Refusal> {
    let (info_hash, entry) = super::wait::named(session, group, file)?;
    match entry.state {
        DownloadState::Running => Ok((info_hash, entry)),
        DownloadState::Verified | DownloadState::Complete => {
            Err(Refusal::DownloadComplete { path: entry.path() })
        }
    }
}

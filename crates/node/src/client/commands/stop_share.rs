//! `stop_share`.

use peerage_ledger::Body;

use super::super::downloads::DownloadState;
use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Stops offering a file on this device. The file itself, and a finished download's entry, stay.
    pub async fn stop_share(&self, group: &GroupRef, file: &str) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let view = super::download_file::listed(&state, file);
        let kept = session.shares.all().into_iter().find(|(info_hash, entry)| {
            entry.group == state.view.group && view.map_or(entry.name == file, |v| v.info_hash == *info_hash)
        });
        let own =
            view.map(|v| v.shares.iter().filter(|s| s.user == session.user && s.device == session.device));
        let shares: Vec<_> = own.into_iter().flatten().map(|share| share.share).collect();
        // What is to be left soon is served until then.
        let leaving = view.is_some_and(|view| {
            let entry = session.downloads.get(&view.info_hash);
            entry.is_some_and(|entry| entry.leave) && session.is_seeding(&view.info_hash)
        });
        if shares.is_empty() && kept.is_none() && !leaving {
            // What nobody lists and this device does not have is an unknown file, not one that is not shared.
            return Err(if view.is_some() { Refusal::NotSharing } else { Refusal::FileUnknown });
        }
        if !shares.is_empty() {
            let mut bundle = session.bundle(state.view.group, state.facts()).await;
            for share in shares {
                bundle.add(Body::Unshare { share });
            }
            bundle.submit().await?;
        }
        let info_hash = view.map(|v| v.info_hash).or(kept.map(|(info_hash, _)| info_hash));
        if let Some(info_hash) = info_hash {
            let downloading =
                session.downloads.get(&info_hash).is_some_and(|d| d.state == DownloadState::Running);
            if !downloading {
                session.engine.remove(info_hash).await;
            }
            session.forget_share(&info_hash);
            if !downloading {
                // Nor at the next login.
                session.change_download(&info_hash, |d| {
                    (d.state, d.left) = (DownloadState::Complete, d.leave);
                });
            }
        }
        session.announce_anew().await;
        Ok(())
    }
}

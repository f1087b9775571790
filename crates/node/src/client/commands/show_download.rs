//! `show_download`: one download in detail, as far as this device knows it; `list_folder`: what is in a shared folder.

use peerage_metainfo::FileEntry;
use peerage_swarm::Priority;
use peerage_wire::Bitfield;

use super::super::downloads::DownloadState;
use super::super::names::GroupRef;
use super::super::reply::{DownloadDetail, FolderLine, PeerLine, PieceMap};
use super::super::{Node, Refusal};
use super::download_file::{listed, metainfo};
use super::list_peers::connected_line;
use super::set_priority::FilePriority;
use super::show_downloads::{activity, note, rate_down};
use crate::engine::TorrentState;

impl Node {
    /// Which pieces of a download are here, and who is connected for it. Asks nobody.
    pub async fn show_download(&self, group: &GroupRef, file: &str) -> Result<DownloadDetail, Refusal> {
        let session = self.inner.session()?;
        let (info_hash, entry) = super::wait::named(&session, group, file)?;
        let status = session.engine.status().into_iter().find(|s| s.info_hash == info_hash);
        let state = session.groups.get(&entry.group);
        let line = |peer: &crate::engine::PeerStatus| match &state {
            Some(state) => connected_line(state, peer),
            None => PeerLine {
                user: format!("user#{}", peer.user.tag()),
                address: peer.addr.to_string(),
                percent: peer.percent,
                seeding: peer.piece_map.is_full(),
                connected: true,
                bytes_from: peer.bytes_from,
                bytes_to: peer.bytes_to,
                pieces: Some(PieceMap(peer.piece_map.clone())),
            },
        };
        let mut peers: Vec<PeerLine> = status.iter().flat_map(|s| &s.peers).map(line).collect();
        peers.sort_by(|a, b| a.user.cmp(&b.user).then_with(|| a.address.cmp(&b.address)));
        let piece_bytes = session.metainfo.get(&entry.metainfo).map(|metainfo| metainfo.piece_length());
        let activity = activity(&entry, status.as_ref());
        Ok(DownloadDetail {
            piece_bytes,
            activity,
            note: note(&session, &info_hash, &entry, status.as_ref()),
            bytes_per_second_down: status.as_ref().map_or(0, |s| rate_down(activity, s)),
            bytes_per_second_up: status.as_ref().map_or(0, |s| s.bytes_per_second_up),
            // What has ended serves none of them.
            pieces: status
                .filter(|s| !matches!(s.state, TorrentState::Failed { .. }))
                .map(|s| PieceMap(s.piece_map)),
            peers,
        })
    }

    /// Each file of a shared folder, and while it is downloaded here how much it is wanted; of a single file, itself.
    pub async fn list_folder(&self, group: &GroupRef, file: &str) -> Result<Vec<FolderLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let file = listed(&state, file).ok_or(Refusal::FileUnknown)?;
        let metainfo = metainfo(&session, file).await?;
        let entry = session.downloads.get(&file.info_hash).filter(|d| d.state == DownloadState::Running);
        let entry = entry.filter(|_| !metainfo.is_single_file());
        let wanted = entry.as_ref().and_then(|entry| entry.wanted(&metainfo));
        let levels = entry.as_ref().map(|entry| entry.levels()).unwrap_or_default();
        let priority = |index: usize| {
            let out = |wanted: &Bitfield| u32::try_from(index).is_ok_and(|index| !wanted.get(index));
            match levels.get(index) {
                _ if wanted.as_ref().is_some_and(out) => FilePriority::Skip,
                Some(Priority::First) => FilePriority::High,
                Some(Priority::Low) => FilePriority::Low,
                _ => FilePriority::Normal,
            }
        };
        let line = |(index, file): (usize, &FileEntry)| FolderLine {
            path: file.path.to_string(),
            size: file.size,
            priority: entry.is_some().then(|| priority(index)),
        };
        Ok(metainfo.files().iter().enumerate().map(line).collect())
    }
}

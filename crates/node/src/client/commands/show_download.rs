//! `show_download`: one download in detail, as far as this device knows it; `list_folder`: what is in a shared folder.

use super::super::names::GroupRef;
use super::super::reply::{DownloadDetail, PeerLine, PieceMap};
use super::super::{Node, Refusal};
use super::download_file::{listed, metainfo};
use super::list_peers::connected_line;

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
        Ok(DownloadDetail {
            piece_bytes,
            bytes_per_second_up: status.as_ref().map_or(0, |s| s.bytes_per_second_up),
            pieces: status.map(|s| PieceMap(s.piece_map)),
            peers,
        })
    }

    /// Path and size of each file of a shared folder; of a single file, itself.
    pub async fn list_folder(&self, group: &GroupRef, file: &str) -> Result<Vec<(String, u64)>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let file = listed(&state, file).ok_or(Refusal::FileUnknown)?;
        let metainfo = metainfo(&session, file).await?;
        Ok(metainfo.files().iter().map(|file| (file.path.to_string(), file.size)).collect())
    }
}

//! `list_peers`.

use peerage_link::api::{self, SwarmState, path};
use peerage_wire::Bitfield;

use super::super::reply::{PeerLine, PieceMap};
use super::super::session::Session;
use super::super::snapshot::GroupState;
use super::super::trackers::TrackersError;
use super::super::{GroupRef, Node, Refusal};
use crate::engine::{PeerStatus, TorrentStatus};

impl Node {
    /// Who has how much of a file: those that a tracker names, and those that are connected.
    pub async fn list_peers(&self, group: &GroupRef, file: &str) -> Result<Vec<PeerLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let file = super::download_file::listed(&state, file).ok_or(Refusal::FileUnknown)?;
        let status = session.engine.status().into_iter().find(|s| s.info_hash == file.info_hash);
        let announced = match announced(&session, &state, file.info_hash, status.as_ref()).await {
            Ok(peers) => peers,
            // Connected peers are known without a tracker.
            Err(TrackersError::Unreachable { .. }) => Vec::new(),
            Err(error) => return Err(session.refuse(error)),
        };
        let pieces = match (&status, session.metainfo.get(&file.metainfo)) {
            (Some(status), _) => Some(status.piece_map.len()),
            (None, Some(metainfo)) => Some(metainfo.piece_count()),
            // Each file of a folder begins a piece: how many there are, only the metainfo says.
            (None, None) if file.folder_files.is_some() => None,
            (None, None) => u32::try_from(file.size.div_ceil(u64::from(file.piece_length.max(1)))).ok(),
        };
        let connected = status.map(|s| s.peers).unwrap_or_default();
        let mut lines: Vec<PeerLine> = connected.iter().map(|peer| connected_line(&state, peer)).collect();
        let others = announced.iter().filter(|a| !connected.iter().any(|c| c.device == a.device));
        lines.extend(others.map(|peer| announced_line(&state, peer, pieces)));
        lines.sort_by(|a, b| a.user.cmp(&b.user).then_with(|| a.address.cmp(&b.address)));
        Ok(lines)
    }
}

/// Who the tracker knows. Asking is announcing, so whoever takes no part asks without giving an address.
async fn announced(
    session: &Session,
    state: &GroupState,
    info_hash: peerage_types::InfoHash,
    status: Option<&TorrentStatus>,
) -> Result<Vec<api::PeerEntry>, TrackersError> {
    let want = u16::try_from(api::PEERS_MAX).unwrap_or(u16::MAX);
    let item = match status {
        Some(status) => session.announce_item(status, want).await?,
        None => Some(api::AnnounceItem {
            group: state.view.group,
            info_hash,
            state: SwarmState::Leeching,
            percent: 0,
            addresses: Vec::new(),
            want,
        }),
    };
    let Some(item) = item else { return Ok(Vec::new()) };
    let request = api::AnnounceRequest { items: vec![item], said: session.word() };
    let answer: api::AnnounceResponse = session.trackers.call(path::ANNOUNCE, &request).await?;
    if status.is_none() {
        session.announce_anew().await;
    }
    Ok(answer.answers.into_iter().flat_map(|a| a.peers).collect())
}

pub(super) fn connected_line(state: &GroupState, peer: &PeerStatus) -> PeerLine {
    PeerLine {
        user: state.user(&peer.user),
        address: peer.addr.to_string(),
        percent: peer.percent,
        seeding: peer.piece_map.is_full(),
        connected: true,
        bytes_from: peer.bytes_from,
        bytes_to: peer.bytes_to,
        pieces: Some(PieceMap(peer.piece_map.clone())),
    }
}

fn announced_line(state: &GroupState, peer: &api::PeerEntry, pieces: Option<u32>) -> PeerLine {
    let seeding = peer.state == SwarmState::Seeding;
    PeerLine {
        user: state.user(&peer.user),
        address: peer.addresses.first().cloned().unwrap_or_else(|| "-".to_owned()),
        percent: peer.percent,
        seeding,
        connected: false,
        bytes_from: 0,
        bytes_to: 0,
        pieces: pieces.filter(|_| seeding).map(|pieces| PieceMap(Bitfield::full(pieces))),
    }
}

//! Peers that no address leads to: they are asked, through a tracker, to dial us; and we dial whoever asks, if their
//! device belongs to a member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_link::api::{self, Empty, path};
use peerage_types::{DeviceId, GroupId, InfoHash};
use tokio::sync::mpsc;

use super::session::Session;
use crate::engine::PeerAddr;

/// The same peer is asked about the same torrent at most so often.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Peers that were asked within that time.
const ASKED_MAX: usize = 256;
/// Peers waiting to be asked.
pub(super) const QUEUE_MAX: usize = 64;

/// A torrent, and a peer of it that cannot be reached.
pub(super) type Unreachable = (InfoHash, DeviceId);

/// Asks whoever is named in the queue, until logout.
pub(super) async fn ask(session: Arc<Session>, mut unreachable: mpsc::Receiver<Unreachable>) {
    let mut asked: BTreeMap<Unreachable, Instant> = BTreeMap::new();
    while let Some(who) = unreachable.recv().await {
        asked.retain(|_, at| at.elapsed() < ASK_AGAIN);
        if asked.len() >= ASKED_MAX || asked.contains_key(&who) {
            continue;
        }
        let (info_hash, device) = who;
        let Some(group) = group_of(&session, info_hash) else { continue };
        asked.insert(who, Instant::now());
        let request = api::DialBackRequest { group, info_hash, device };
        match session.trackers.call::<_, Empty>(path::DIAL_BACK, &request).await {
            Ok(_) => tracing::debug!(device = %device.tag(), "asked to dial us"),
            Err(error) => tracing::debug!(device = %device.tag(), %error, "cannot be asked to dial us"),
        }
    }
}

/// Somebody asks to be dialled. Only a member's device is, and the handshake proves that it is there.
pub(super) fn dial(
    session: &Session,
    group: GroupId,
    info_hash: InfoHash,
    device: DeviceId,
    addresses: &[String],
) {
    if group_of(session, info_hash) != Some(group) {
        return;
    }
    let state = session.groups.get(&group);
    let account = state.as_ref().and_then(|state| state.account_of_device(&device));
    let member = account.filter(|account| {
        account.device_ok(&device) && state.as_ref().is_some_and(|state| state.view.is_member(&account.user))
    });
    let Some(account) = member else {
        // A member or a device that is newer than our view looks like a stranger; they will ask again.
        return session.groups.doubt(group);
    };
    let addresses = addresses.iter().filter_map(|text| text.parse().ok()).collect();
    session.engine.add_peer(info_hash, PeerAddr { device, user: account.user, addresses });
}

fn group_of(session: &Session, info_hash: InfoHash) -> Option<GroupId> {
    session.engine.status().iter().find(|status| status.info_hash == info_hash).map(|status| status.group)
}

//! Files that nobody else who is online has: who goes now takes them along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use peerage_link::api::FilePresence;
use peerage_types::{GroupId, InfoHash, UserId};
use tokio::task::JoinSet;

use super::Node;
use super::reply::LastHeld;
use super::session::Session;
use super::shares::ShareEntry;
use crate::engine::TorrentState;

/// How long is asked at most: going must not wait for a tracker.
const ASK_MAX: Duration = Duration::from_secs(1);
/// Groups that are asked about at once.
const ASKED_AT_ONCE: usize = 16;

impl Node {
    /// What nobody could fetch any more if this device went now, by group and name. Answers within a second with what
    /// trackers have said by then; nothing when nobody is logged in.
    pub async fn last_held(&self) -> Vec<LastHeld> {
        match self.inner.session() {
            Ok(session) => session.last_held().await,
            Err(_) => Vec::new(),
        }
    }
}

impl Session {
    /// See [`Node::last_held`].
    pub(super) async fn last_held(self: &Arc<Self>) -> Vec<LastHeld> {
        let seeding = self.seeding();
        let mut shares: BTreeMap<GroupId, Vec<(InfoHash, ShareEntry)>> = BTreeMap::new();
        for (info_hash, share) in self.shares.all() {
            if seeding.contains(&info_hash) {
                shares.entry(share.group).or_default().push((info_hash, share));
            }
        }
        let mut groups = shares.into_iter();
        let mut asked = JoinSet::new();
        let mut found = Vec::new();
        let ask = async {
            loop {
                while asked.len() < ASKED_AT_ONCE
                    && let Some((group, shares)) = groups.next()
                {
                    let session = Arc::clone(self);
                    asked.spawn(async move { session.last_held_in(group, shares).await });
                }
                match asked.join_next().await {
                    Some(files) => found.extend(files.into_iter().flatten()),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(ASK_MAX, ask).await.is_err() {
            tracing::info!("trackers have not said in time who else is online");
        }
        found.sort();
        found
    }

    async fn last_held_in(&self, group: GroupId, shares: Vec<(InfoHash, ShareEntry)>) -> Vec<LastHeld> {
        let Some(state) = self.groups.get(&group) else { return Vec::new() };
        if state.view.ended_by.is_some() || !state.view.is_member(&self.user) {
            return Vec::new();
        }
        let online = match self.presence(group).await {
            Ok(online) => online,
            Err(error) => {
                tracing::info!(%error, "it is not known who else is online");
                return Vec::new();
            }
        };
        let last = shares.into_iter().filter(|(info_hash, _)| is_alone(online.get(info_hash), &self.user));
        let held = last.map(|(info_hash, share)| {
            let listed = state.view.files.iter().find(|file| file.info_hash == info_hash);
            let name = listed.map_or(share.name, |file| file.shown.clone());
            LastHeld { group: state.view.name.to_string(), name }
        });
        held.collect()
    }

    /// What this device has all of and serves.
    pub(super) fn seeding(&self) -> BTreeSet<InfoHash> {
        self.seeding_and_repairing().0
    }

    /// The same, and what this device would serve whole if its disk had kept it.
    pub(super) fn seeding_and_repairing(&self) -> (BTreeSet<InfoHash>, BTreeSet<InfoHash>) {
        let all = self.engine.status();
        let of =
            |state: &TorrentState| all.iter().filter(|s| s.state == *state).map(|s| s.info_hash).collect();
        (of(&TorrentState::Seeding), of(&TorrentState::Repairing))
    }
}

/// Whether nobody but this user, on one device, is online with all of a file. The tracker may not have heard of this
/// device yet.
pub(super) fn is_alone(online: Option<&FilePresence>, me: &UserId) -> bool {
    online.is_none_or(|online| online.seeders <= 1 && online.users.iter().all(|user| user == me))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_device_is_another_holder() {
        let (me, other) = (UserId([1; 32]), UserId([2; 32]));
        let alone = |seeders, users: &[UserId]| {
            let users = users.to_vec();
            is_alone(Some(&FilePresence { info_hash: InfoHash([3; 32]), seeders, leechers: 7, users }), &me)
        };
        assert!(is_alone(None, &me) && alone(0, &[]) && alone(1, &[me]));
        assert!(!alone(1, &[other]) && !alone(2, &[me, other]) && !alone(2, &[me]));
    }
}

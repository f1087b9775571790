//! `list_files`.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_link::api::{self, path};
use peerage_types::{GroupId, InfoHash};

use super::super::last_held::is_alone;
use super::super::reply::FileLine;
use super::super::session::Session;
use super::super::trackers::TrackersError;
use super::super::{GroupRef, Node, Refusal};

/// How long it is believed who was online, when a list is only looked at further.
const ONLINE_KEPT: Duration = Duration::from_secs(10);

/// Who is online with what in a group, and when that was heard.
#[derive(Debug)]
pub struct Online {
    group: GroupId,
    heard: Instant,
    files: Arc<BTreeMap<InfoHash, api::FilePresence>>,
}

impl Node {
    /// Every file of a group, with who shares it now.
    pub async fn list_files(&self, name: &GroupRef) -> Result<Vec<FileLine>, Refusal> {
        self.inner.session()?.forget_all_online();
        self.list_files_further(name).await
    }

    /// The same for whoever looks at parts of it one after another: who is online is as it was heard a few seconds ago,
    /// unless the tracker has said meanwhile that it changed.
    pub async fn list_files_further(&self, name: &GroupRef) -> Result<Vec<FileLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        let online = match session.presence_of_late(state.view.group).await {
            Ok(online) => Some(online),
            // The list itself is known without a tracker; who is online is not.
            Err(TrackersError::Unreachable { .. }) => None,
            Err(error) => return Err(session.refuse(error)),
        };
        let (seeding, repairing) = session.seeding_and_repairing();
        let line = |file: &peerage_ledger::FileView| {
            let mut sharers: Vec<_> = file.shares.iter().map(|share| share.user).collect();
            sharers.sort_unstable();
            sharers.dedup();
            let here = online.as_ref().and_then(|online| online.get(&file.info_hash));
            let users = here.map(|f| f.users.as_slice()).unwrap_or_default();
            let mine = file.shares.iter().any(|share| share.device == session.device);
            let last = mine && seeding.contains(&file.info_hash) && is_alone(here, &session.user);
            FileLine {
                name: file.shown.clone(),
                size: file.size,
                files: file.folder_files,
                sharers: count(sharers.len()),
                sharers_online: count(users.iter().filter(|user| sharers.contains(user)).count()),
                content: file.content,
                mine,
                last_holder: online.as_ref().map(|_| last),
                damaged: repairing.contains(&file.info_hash),
                scrub_percent: session.engine.torrent(&file.info_hash).and_then(|s| s.scrub_percent),
            }
        };
        Ok(state.view.files.iter().map(line).collect())
    }
}

impl Session {
    async fn presence_of_late(
        &self,
        group: GroupId,
    ) -> Result<Arc<BTreeMap<InfoHash, api::FilePresence>>, TrackersError> {
        let kept = self.online().as_ref().and_then(|online| {
            let fits = online.group == group && online.heard.elapsed() < ONLINE_KEPT;
            fits.then(|| Arc::clone(&online.files))
        });
        if let Some(files) = kept {
            return Ok(files);
        }
        let heard = Instant::now();
        let files = Arc::new(self.presence(group).await?);
        *self.online() = Some(Online { group, heard, files: Arc::clone(&files) });
        Ok(files)
    }

    /// Who is online in a group has changed.
    pub(in super::super) fn forget_online(&self, group: &GroupId) {
        let mut online = self.online();
        if online.as_ref().is_some_and(|online| online.group == *group) {
            *online = None;
        }
    }

    fn forget_all_online(&self) {
        *self.online() = None;
    }

    fn online(&self) -> MutexGuard<'_, Option<Online>> {
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is online with what.
    pub(in super::super) async fn presence(
        &self,
        group: GroupId,
    ) -> Result<BTreeMap<InfoHash, api::FilePresence>, TrackersError> {
        let request = api::GroupPresenceRequest { group };
        let answer: api::GroupPresenceResponse = self.trackers.call(path::PRESENCE, &request).await?;
        Ok(answer.files.into_iter().map(|file| (file.info_hash, file)).collect())
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

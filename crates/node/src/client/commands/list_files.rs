//! `list_files`.

use std::collections::BTreeMap;

use peerage_link::api::{self, path};
use peerage_types::{GroupId, InfoHash};

use super::super::reply::FileLine;
use super::super::session::Session;
use super::super::trackers::TrackersError;
use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Every file of a group, with who shares it now.
    pub async fn list_files(&self, name: &GroupRef) -> Result<Vec<FileLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        let online = match session.presence(state.view.group).await {
            Ok(online) => online,
            // The list itself is known without a tracker; who is online is not.
            Err(TrackersError::Unreachable { .. }) => BTreeMap::new(),
            Err(error) => return Err(session.refuse(error)),
        };
        let line = |file: &peerage_ledger::FileView| {
            let mut sharers: Vec<_> = file.shares.iter().map(|share| share.user).collect();
            sharers.sort_unstable();
            sharers.dedup();
            let online = online.get(&file.info_hash).map(|f| f.users.as_slice()).unwrap_or_default();
            FileLine {
                name: file.shown.clone(),
                size: file.size,
                files: file.folder_files,
                sharers: count(sharers.len()),
                sharers_online: count(online.iter().filter(|user| sharers.contains(user)).count()),
                content: file.content,
            }
        };
        Ok(state.view.files.iter().map(line).collect())
    }
}

impl Session {
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

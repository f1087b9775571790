//! `list_groups`.

use std::collections::BTreeSet;

use peerage_ledger::Role;
use peerage_link::api::{GROUPS_PAGE_MAX, GroupsRequest, GroupsResponse, Standing, path};

use peerage_types::GroupId;

use super::super::reply::{GroupLine, MyStanding};
use super::super::session::Session;
use super::super::snapshot::GroupState;
use super::super::{Node, Refusal};

impl Node {
    /// All groups that have not ended, by name.
    pub async fn list_groups(&self) -> Result<Vec<GroupLine>, Refusal> {
        let session = self.inner.session()?;
        session.sent_before().await;
        let mut lines: Vec<GroupLine> = Vec::new();
        let mut shown: BTreeSet<GroupId> = BTreeSet::new();
        loop {
            let after = lines.last().map(|line| line.name.clone());
            let request = GroupsRequest { after, limit: GROUPS_PAGE_MAX as u32 };
            let page: GroupsResponse =
                session.trackers.call(path::GROUPS, &request).await.map_err(|e| session.refuse(e))?;
            let more = page.more && !page.groups.is_empty();
            shown.extend(page.groups.iter().map(|group| group.group));
            lines.extend(page.groups.into_iter().map(|group| GroupLine {
                requests: session.groups.get(&group.group).and_then(|state| asking(&session, &state)),
                name: group.shown,
                members: group.members,
                standing: match group.standing {
                    Standing::Stranger => MyStanding::None,
                    Standing::Requested => MyStanding::Requested,
                    Standing::Member => MyStanding::Member,
                    Standing::Owner => MyStanding::Owner,
                },
            }));
            if !more {
                break;
            }
        }
        // What this device has seen of its own groups stays true, whatever this tracker has heard of so far.
        let ours = session.groups.all().into_iter().filter(|state| state.view.is_member(&session.user));
        for state in ours.filter(|state| !shown.contains(&state.view.group)) {
            // It may have ended, or put the caller out.
            let state = session.refresh(state.view.group).await.unwrap_or(state);
            if !state.view.is_member(&session.user) {
                continue;
            }
            session.unknown_to_tracker(&state, true);
            let owner = state.view.is_owner(&session.user);
            lines.push(GroupLine {
                name: state.view.name.to_string(),
                members: u32::try_from(state.view.members.len()).unwrap_or(u32::MAX),
                standing: if owner { MyStanding::Owner } else { MyStanding::Member },
                requests: asking(&session, &state),
            });
        }
        Ok(lines)
    }
}

/// How many ask to join, for those who decide.
fn asking(session: &Session, state: &GroupState) -> Option<u32> {
    let decides = matches!(state.view.role(&session.user), Some(Role::Owner | Role::Admin));
    decides.then(|| u32::try_from(state.view.requests.len()).unwrap_or(u32::MAX))
}

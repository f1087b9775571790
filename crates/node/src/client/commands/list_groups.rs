//! `list_groups`.

use peerage_link::api::{GROUPS_PAGE_MAX, GroupsRequest, GroupsResponse, Standing, path};

use super::super::reply::{GroupLine, MyStanding};
use super::super::{Node, Refusal};

impl Node {
    /// All groups that have not ended, by name.
    pub async fn list_groups(&self) -> Result<Vec<GroupLine>, Refusal> {
        let session = self.inner.session()?;
        session.sent_before().await;
        let mut lines: Vec<GroupLine> = Vec::new();
        loop {
            let after = lines.last().map(|line| line.name.clone());
            let request = GroupsRequest { after, limit: GROUPS_PAGE_MAX as u32 };
            let page: GroupsResponse =
                session.trackers.call(path::GROUPS, &request).await.map_err(|e| session.refuse(e))?;
            let more = page.more && !page.groups.is_empty();
            lines.extend(page.groups.into_iter().map(|group| GroupLine {
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
                return Ok(lines);
            }
        }
    }
}

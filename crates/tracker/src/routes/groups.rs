//! Groups by name and the list of all groups.

use axum::extract::State;
use peerage_ledger::{self as ledger, GroupClaim, shown_name};
use peerage_link::api::{
    GROUPS_PAGE_MAX, GroupItem, GroupNameRequest, GroupNameResponse, GroupsRequest, GroupsResponse, Standing,
};
use peerage_types::{FoldedName, GroupId, UserId};

use crate::accept::Remote;
use crate::body::{Answer, Cbor};
use crate::error::Failure;
use crate::limits::GROUPS_CHUNK;
use crate::names::NameRef;
use crate::session::{MaybeSession, Session};
use crate::state::{Shared, State as Tracker};

/// The group that has a name now. When there is none, the answer names the record that ended the last one.
pub(crate) async fn named(
    State(state): State<Shared>,
    _: Session,
    Cbor(request): Cbor<GroupNameRequest>,
) -> Answer<GroupNameResponse> {
    let group = state.blocking(move |state| find(state, &request.name)).await?;
    Ok(Cbor(GroupNameResponse { group }))
}

fn find(state: &Tracker, text: &str) -> Result<GroupId, Failure> {
    let wanted: NameRef = text.parse().map_err(|e| Failure::not_found(format!("no such group: {e}")))?;
    let claims = state.group_claims(&wanted.name.folded())?;
    let holder = ledger::settle_group_name(&claims);
    let found = match &wanted.tag {
        None => holder.filter(|holder| holder.ended_by.is_none()).map(|holder| holder.group),
        Some(tag) => claims.iter().map(|claim| GroupId::from(claim.genesis)).find(|id| id.tag() == *tag),
    };
    found.ok_or_else(|| {
        let mut failure = Failure::not_found(format!("no group is called `{text}`"));
        if wanted.tag.is_none() {
            failure.0.missing = holder.and_then(|holder| holder.ended_by).into_iter().collect();
        }
        failure
    })
}

/// All groups that have not ended, a page at a time.
pub(crate) async fn list(
    State(state): State<Shared>,
    remote: Remote,
    MaybeSession(session): MaybeSession,
    Cbor(request): Cbor<GroupsRequest>,
) -> Answer<GroupsResponse> {
    if session.is_none() {
        state.rates.lookup(&remote)?;
    }
    let caller = session.map(|session| session.user);
    let page = state.blocking(move |state| page(state, caller.as_ref(), &request)).await?;
    Ok(Cbor(page))
}

/// Where a page begins and what a list is sorted by: the name without regard to case, then what tells groups
/// of one name apart.
type Place = (FoldedName, String);

fn page(
    state: &Tracker,
    caller: Option<&UserId>,
    request: &GroupsRequest,
) -> Result<GroupsResponse, Failure> {
    let limit = (request.limit as usize).clamp(1, GROUPS_PAGE_MAX);
    let after: Option<Place> = match &request.after {
        None => None,
        Some(text) => {
            let start: NameRef =
                text.parse().map_err(|_| Failure::bad_request(format!("`{text}` is no group name")))?;
            Some((start.name.folded(), start.tag.unwrap_or_default()))
        }
    };
    let mut groups: Vec<GroupItem> = Vec::new();
    let mut last = after.as_ref().map(|(name, _)| name.clone());
    // The name at which the last page ended may have more groups.
    let mut names = match &last {
        Some(name) => vec![(name.clone(), state.store.group_claims(name)?)],
        None => Vec::new(),
    };
    loop {
        for (name, claims) in names {
            let claims = state.with_ends(claims)?;
            groups.extend(groups_named(state, caller, &name, &claims, after.as_ref())?);
            last = Some(name);
            if groups.len() > limit {
                groups.truncate(limit);
                return Ok(GroupsResponse { groups, more: true });
            }
        }
        names = state.store.groups(last.as_ref(), GROUPS_CHUNK)?;
        if names.is_empty() {
            return Ok(GroupsResponse { groups, more: false });
        }
    }
}

/// The living groups of one name, behind `after`.
fn groups_named(
    state: &Tracker,
    caller: Option<&UserId>,
    name: &FoldedName,
    claims: &[GroupClaim],
    after: Option<&Place>,
) -> Result<Vec<GroupItem>, Failure> {
    let holder = ledger::settle_group_name(claims).map(|holder| holder.group);
    let mut found: Vec<(Place, GroupItem)> = Vec::new();
    for claim in claims.iter().filter(|claim| claim.ended_by.is_none()) {
        let group = GroupId::from(claim.genesis);
        let settled = state.views.group(&group)?;
        let Some(view) = &settled.view else { continue };
        let holds = holder == Some(group);
        let place = (name.clone(), if holds { String::new() } else { group.tag() });
        if after.is_some_and(|after| place <= *after) {
            continue;
        }
        let shown = shown_name(view.name.as_str(), holds, &group.tag());
        let members = u32::try_from(view.members.len()).unwrap_or(u32::MAX);
        let standing = caller.map_or(Standing::Stranger, |user| standing(view, user));
        found.push((place, GroupItem { group, shown, members, standing }));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found.into_iter().map(|(_, item)| item).collect())
}

fn standing(view: &ledger::GroupView, user: &UserId) -> Standing {
    match view.standing(user) {
        _ if view.is_owner(user) => Standing::Owner,
        _ if view.is_member(user) => Standing::Member,
        ledger::Standing::Requested { .. } => Standing::Requested,
        _ => Standing::Stranger,
    }
}

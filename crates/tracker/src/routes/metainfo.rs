//! Metainfo files: content-addressed, stored for members of the group they belong to, given to members only.

use axum::body::{Body as HttpBody, HttpBody as _};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use peerage_ledger::Body;
use peerage_link::api::{Empty, ErrorCode};
use peerage_metainfo::Metainfo;
use peerage_types::{GroupId, MetainfoId, UserId};

use crate::accept::Remote;
use crate::body::{self, Answer, Cbor};
use crate::error::Failure;
use crate::keeper;
use crate::limits::METAINFO_BODY_BYTES_MAX;
use crate::metainfo_slots::{Sending, time_for};
use crate::session::{MaybeSession, Session};
use crate::state::{Shared, State as Tracker};

/// Who may do this, and for how much there is room, is settled before the first byte of the content is read.
pub(crate) async fn store(
    State(state): State<Shared>,
    session: Session,
    Path((group, id)): Path<(String, String)>,
    body: HttpBody,
) -> Answer<Empty> {
    let (group, id) = (parse_group(&group)?, parse_id(&id)?);
    // Whoever does not say how long it is gets room for the longest.
    let claimed = body.size_hint().exact().unwrap_or(METAINFO_BODY_BYTES_MAX as u64);
    let bytes = usize::try_from(claimed).unwrap_or(usize::MAX);
    if bytes > METAINFO_BODY_BYTES_MAX {
        let message =
            format!("a metainfo file of {bytes} bytes, at most {METAINFO_BODY_BYTES_MAX} are allowed");
        return Err(Failure::new(ErrorCode::TooLarge, message));
    }
    state.blocking(move |state| require_member(state, &group, &session.user)).await?;
    let _slot = state.metainfo.uploads.room(Some(session.user), bytes).await?;
    let bytes = body::read(body, METAINFO_BODY_BYTES_MAX, time_for(bytes)).await?;
    state.blocking(move |state| keep(state, id, group, session.user, &bytes)).await?;
    Ok(Cbor(Empty {}))
}

fn keep(state: &Tracker, id: MetainfoId, group: GroupId, by: UserId, bytes: &Bytes) -> Result<(), Failure> {
    if MetainfoId::of(bytes) != id {
        let message = format!(
            "the content does not belong to this path: its id is {}, not {id}",
            MetainfoId::of(bytes)
        );
        return Err(Failure::bad_request(message));
    }
    let metainfo = Metainfo::parse(bytes)
        .map_err(|e| Failure::bad_request(format!("not a usable metainfo file: {e}")))?;
    if metainfo.group() != group {
        let message = format!("a metainfo file of group {}, not {group}", metainfo.group());
        return Err(Failure::bad_request(message));
    }
    // The member may have been put out meanwhile.
    require_member(state, &group, &by)?;
    state.store.put_metainfo(id, by, bytes).map_err(Failure::from)
}

/// To members, and to the other trackers. What this tracker lacks it asks the others for.
pub(crate) async fn fetch(
    State(state): State<Shared>,
    remote: Remote,
    session: MaybeSession,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = parse_id(&id)?;
    let user = match (remote.key == Some(state.cluster_key), session.0) {
        (true, _) => None,
        (false, Some(session)) => Some(session.user),
        (false, None) => return Err(not_logged_in()),
    };
    let nowhere = || Failure::not_found(format!("no metainfo file {id} here"));
    let size = state.blocking(move |state| Ok(state.store.metainfo_size(&id)?)).await?;
    let (bytes, slot) = match (size, user) {
        (Some(size), _) => {
            // Room first: reading it is what costs.
            let slot = state.metainfo.reads.room(user, usize::try_from(size).unwrap_or(usize::MAX)).await?;
            let bytes = state.blocking(move |state| Ok(state.store.metainfo(&id)?.map(Bytes::from))).await?;
            (bytes.ok_or_else(nowhere)?, slot)
        }
        (None, None) => return Err(nowhere()),
        (None, Some(by)) => {
            let Some(_of_user) = state.metainfo.fetching.take(by) else {
                let message =
                    "this account asks for more files at once that other trackers must be asked for";
                return Err(Failure::new(ErrorCode::TooMany, message).hint("try again in a moment"));
            };
            let _few = state.metainfo.fetches.acquire().await.map_err(|_| Failure::stopping())?;
            let bytes = keeper::fetch(&state, id).await.ok_or_else(nowhere)?;
            let slot = state.metainfo.reads.room(user, bytes.len()).await?;
            (bytes, slot)
        }
    };
    let bytes = match user {
        None => bytes,
        Some(user) => state.blocking(move |state| give(state, id, bytes, user, size.is_none())).await?,
    };
    let body = HttpBody::new(Sending::new(bytes, slot));
    Ok(([(header::CONTENT_TYPE, "application/x-bittorrent")], body).into_response())
}

/// Checks that a file may be given to this user; one that had to be fetched from another tracker is kept now.
fn give(state: &Tracker, id: MetainfoId, bytes: Bytes, to: UserId, fetched: bool) -> Result<Bytes, Failure> {
    let metainfo = Metainfo::parse(&bytes).map_err(|e| Failure::internal(&e))?;
    require_member(state, &metainfo.group(), &to)?;
    if fetched {
        let group = state.views.group(&metainfo.group())?;
        let by = group.data.facts.iter().find_map(|fact| match fact.record.body() {
            Body::Manifest { metainfo, .. } if *metainfo == id => Some(fact.record.author()),
            _ => None,
        });
        // Who described it pays for it; a file without a Manifest stays where it was put.
        if let Some(Err(error)) = by.map(|by| state.store.put_metainfo(id, by, &bytes)) {
            tracing::warn!(%id, %error, "cannot keep a metainfo file of another tracker");
        }
    }
    Ok(bytes)
}

fn not_logged_in() -> Failure {
    Failure::new(ErrorCode::NotLoggedIn, "this device is not logged in").hint("log in again")
}

fn parse_group(text: &str) -> Result<GroupId, Failure> {
    GroupId::from_hex(text).ok_or_else(|| {
        Failure::bad_request(format!("`{text}` is no group id: 64 hexadecimal digits expected"))
    })
}

fn parse_id(text: &str) -> Result<MetainfoId, Failure> {
    MetainfoId::from_hex(text).ok_or_else(|| {
        Failure::bad_request(format!("`{text}` is no metainfo id: 64 hexadecimal digits expected"))
    })
}

/// Refuses whoever is not in the group now.
pub(crate) fn require_member(state: &Tracker, group: &GroupId, user: &UserId) -> Result<(), Failure> {
    let settled = state.views.group(group)?;
    match &settled.view {
        None => Err(Failure::not_found(format!("no such group: {group}"))),
        Some(view) if view.ended_by.is_some() => {
            Err(Failure::new(ErrorCode::GroupEnded, "the group has ended"))
        }
        Some(view) if !view.is_member(user) => {
            Err(Failure::new(ErrorCode::NotMember, format!("user {user} is not in this group")))
        }
        Some(_) => Ok(()),
    }
}

//! Metainfo files: content-addressed, stored for members of the group they belong to, given to members only.

use std::time::Duration;

use axum::body::Body as HttpBody;
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
use crate::session::{MaybeSession, Session};
use crate::state::{Shared, State as Tracker};

/// 32 MiB through a slow uplink of 4 Mbit/s.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(70);

pub(crate) async fn store(
    State(state): State<Shared>,
    session: Session,
    Path(id): Path<String>,
    body: HttpBody,
) -> Answer<Empty> {
    let id = parse_id(&id)?;
    let _slot = state.metainfo_uploads.acquire().await.map_err(|_| Failure::stopping())?;
    let bytes = body::read(body, METAINFO_BODY_BYTES_MAX, UPLOAD_TIMEOUT).await?;
    state.blocking(move |state| keep(state, id, session.user, &bytes)).await?;
    Ok(Cbor(Empty {}))
}

fn keep(state: &Tracker, id: MetainfoId, by: UserId, bytes: &Bytes) -> Result<(), Failure> {
    if MetainfoId::of(bytes) != id {
        let message = format!(
            "the content does not belong to this path: its id is {}, not {id}",
            MetainfoId::of(bytes)
        );
        return Err(Failure::bad_request(message));
    }
    let metainfo = Metainfo::parse(bytes)
        .map_err(|e| Failure::bad_request(format!("not a usable metainfo file: {e}")))?;
    require_member(state, &metainfo.group(), &by)?;
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
    let from_tracker = remote.key == Some(state.cluster_key);
    let slot = state.metainfo_reads.clone().acquire_owned().await.map_err(|_| Failure::stopping())?;
    let here = state.blocking(move |state| Ok(state.store.metainfo(&id)?.map(Bytes::from))).await?;
    let (found, fetched) = match here {
        Some(bytes) => (Some(bytes), false),
        None if from_tracker => (None, false),
        None if session.0.is_none() => return Err(not_logged_in()),
        None => (keeper::fetch(&state, id).await, true),
    };
    let bytes = found.ok_or_else(|| Failure::not_found(format!("no metainfo file {id} here")))?;
    let bytes = match (from_tracker, session.0) {
        (true, _) => bytes,
        (false, None) => return Err(not_logged_in()),
        (false, Some(session)) => {
            state.blocking(move |state| give(state, id, bytes, session.user, fetched)).await?
        }
    };
    drop(slot);
    Ok(([(header::CONTENT_TYPE, "application/x-bittorrent")], bytes).into_response())
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

//! Tracker to tracker. Only who holds the cluster key gets here; what it sends is verified all the same.

use axum::extract::State;
use peerage_link::api::{
    AskRequest, AskResponse, Empty, ErrorCode, Event, PeerDialBackRequest, PresenceRequest, PullRequest,
    PullResponse, PushRequest, PushResponse,
};
use peerage_replica::{Ask, PeerId};
use peerage_types::TrackerId;
use peerage_types::limits::ADDRESSES_MAX;

use crate::body::{Answer, Cbor};
use crate::clock::unix_ms;
use crate::error::Failure;
use crate::limits::PEER_BYTES_MAX;
use crate::neighbour::verify_rows;
use crate::replica_shell::Pulled;
use crate::session::FromTracker;
use crate::state::{Shared, State as Tracker};

pub(crate) async fn push(
    State(state): State<Shared>,
    _: FromTracker,
    Cbor(request): Cbor<PushRequest, PEER_BYTES_MAX>,
) -> Answer<PushResponse> {
    let from = sender(&state, &request.from)?;
    let rows = state.blocking(move |state| verify_rows(state, &request.rows)).await?;
    let vector = state.replica.push(from, rows).await.ok_or_else(Failure::stopping)?;
    Ok(Cbor(PushResponse { vector }))
}

pub(crate) async fn pull(
    State(state): State<Shared>,
    _: FromTracker,
    Cbor(request): Cbor<PullRequest, PEER_BYTES_MAX>,
) -> Answer<PullResponse> {
    let from = sender(&state, &request.from)?;
    let pulled = state.replica.pull(from, request.vector).await.ok_or_else(Failure::stopping)?;
    let Pulled { rows, more, snapshot, vector } = pulled;
    Ok(Cbor(PullResponse { rows, more, vector, unix_ms: unix_ms(), snapshot }))
}

pub(crate) async fn ask(
    State(state): State<Shared>,
    _: FromTracker,
    Cbor(request): Cbor<AskRequest, PEER_BYTES_MAX>,
) -> Answer<AskResponse> {
    sender(&state, &request.from)?;
    if request.ask == Ask::Compare {
        state.replica.compare_soon().await;
    }
    let told = state
        .blocking(move |state| {
            Ok(peerage_store::answer(&*state.store, state.origin.incarnation, &request.ask)?)
        })
        .await?;
    Ok(Cbor(AskResponse { told }))
}

pub(crate) async fn presence(
    State(state): State<Shared>,
    _: FromTracker,
    Cbor(request): Cbor<PresenceRequest, PEER_BYTES_MAX>,
) -> Answer<Empty> {
    sender(&state, &request.from)?;
    state.presence.heard(&state, &request.from, &request.deltas)?;
    Ok(Cbor(Empty {}))
}

/// Another tracker has checked that this device may be asked.
pub(crate) async fn dial_back(
    State(state): State<Shared>,
    _: FromTracker,
    Cbor(request): Cbor<PeerDialBackRequest>,
) -> Answer<Empty> {
    sender(&state, &request.from)?;
    let PeerDialBackRequest { group, info_hash, target, device, mut addresses, .. } = request;
    addresses.truncate(ADDRESSES_MAX);
    state.notices.dial_back(target, Event::DialBack { group, info_hash, device, addresses });
    Ok(Cbor(Empty {}))
}

/// Which tracker of the list this is. `None`: our list does not name it, or we have not reached it yet; it is one of the
/// cluster all the same.
fn sender(state: &Tracker, from: &TrackerId) -> Result<Option<PeerId>, Failure> {
    if *from == state.tracker {
        return Err(Failure::new(ErrorCode::BadRequest, "this request comes from this very tracker"));
    }
    Ok(state.neighbours.slot_of(from))
}

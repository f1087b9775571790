//! `hello`: who this tracker is; and which trackers there are.

use axum::extract::State;
use peerage_link::api::{Empty, HelloResponse, TrackersResponse};

use crate::accept::Remote;
use crate::body::{Answer, Cbor};
use crate::clock::unix_ms;
use crate::session::Session;
use crate::state::Shared;

pub(crate) async fn hello(
    State(state): State<Shared>,
    remote: Remote,
    _: Cbor<Empty>,
) -> Answer<HelloResponse> {
    Ok(Cbor(HelloResponse {
        cluster: state.cluster,
        tracker: state.tracker,
        unix_ms: unix_ms(),
        opaque_key: state.opaque_key().0,
        trackers: state.neighbours.trackers(),
        vector: state.replica.vector(),
        observed: remote.addr.to_string(),
    }))
}

/// Members learn of trackers that came after their invite.
pub(crate) async fn trackers(
    State(state): State<Shared>,
    _: Session,
    _: Cbor<Empty>,
) -> Answer<TrackersResponse> {
    Ok(Cbor(TrackersResponse { list: state.neighbours.listed() }))
}

//! `hello`: who this tracker is.

use axum::extract::State;
use peerage_link::api::{Empty, HelloResponse};

use crate::accept::Remote;
use crate::body::{Answer, Cbor};
use crate::clock::unix_ms;
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

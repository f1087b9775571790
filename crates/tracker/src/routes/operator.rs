//! For operators, who hold the cluster key like the other trackers: how this tracker is, and drills.

use std::time::Duration;

use axum::extract::State;
use peerage_link::api::{
    CheckResponse, CheckedNeighbour, DRILL_SECONDS_MAX, DrillRequest, Empty, ErrorCode, NeighbourStatus,
    StatusResponse,
};
use peerage_replica::Outcome;

use crate::body::{Answer, Cbor};
use crate::clock::unix_ms;
use crate::error::Failure;
use crate::observe::observe;
use crate::session::FromTracker;
use crate::state::Shared;

pub(crate) async fn status(
    State(state): State<Shared>,
    _: FromTracker,
    _: Cbor<Empty>,
) -> Answer<StatusResponse> {
    let root = state.blocking(|state| Ok(state.store.root_digest()?)).await?;
    let observed = observe(&state).await?;
    let neighbours = observed.neighbours.into_iter().map(|(entry, peer)| NeighbourStatus {
        entry,
        suspected: peer.suspected,
        lacks_rows: peer.lacks_rows,
        skew_ms: peer.skew_ms,
    });
    let metrics = &state.metrics;
    Ok(Cbor(StatusResponse {
        tracker: state.tracker,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: u64::try_from(metrics.uptime().as_millis()).unwrap_or(u64::MAX),
        incarnation: state.origin.incarnation,
        unix_ms: unix_ms(),
        vector: observed.vector,
        records: observed.counts.records,
        scopes: observed.counts.scopes,
        root,
        trackers: observed.trackers,
        neighbours: neighbours.collect(),
        connections: metrics.connections.now() as u64,
        streams: metrics.streams.now() as u64,
        presence: observed.presence as u64,
        equivocations: metrics.equivocations(),
        database_bytes: observed.database_bytes,
        disk_free_bytes: observed.disk_free_bytes,
        disk_full: observed.disk_full,
    }))
}

pub(crate) async fn check(
    State(state): State<Shared>,
    _: FromTracker,
    _: Cbor<Empty>,
) -> Answer<CheckResponse> {
    let compared = state.replica.compare().await.ok_or_else(Failure::stopping)?;
    let neighbours = compared.peers.into_iter().map(|(entry, outcome)| {
        let (repaired, lacks, failed) = match outcome {
            Outcome::Equal => (0, 0, None),
            Outcome::Differed { repaired, lacks } => (repaired, lacks, None),
            Outcome::Failed(why) => (0, 0, Some(why.to_string())),
        };
        CheckedNeighbour { entry, repaired, lacks, failed }
    });
    Ok(Cbor(CheckResponse { corrected: compared.corrected, neighbours: neighbours.collect() }))
}

pub(crate) async fn drill(
    State(state): State<Shared>,
    _: FromTracker,
    Cbor(request): Cbor<DrillRequest>,
) -> Answer<Empty> {
    if !(1..=DRILL_SECONDS_MAX).contains(&request.seconds) {
        let message = format!("a drill of {} s: 1 to {DRILL_SECONDS_MAX} are allowed", request.seconds);
        return Err(Failure::bad_request(message));
    }
    let away = Duration::from_secs(request.seconds.into());
    match state.drill.try_send(away) {
        // The answer still goes out: stopping waits for requests in flight.
        Ok(()) => Ok(Cbor(Empty {})),
        Err(_) => Err(Failure::new(ErrorCode::Unavailable, "a drill is about to begin here already")),
    }
}

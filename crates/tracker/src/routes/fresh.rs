//! Before a request is answered: has its sender seen more than this tracker has? Then it catches up for a moment.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use peerage_link::api::seen;

use crate::limits::CATCH_UP_MAX;
use crate::state::Shared;

/// Answers late rather than with less than the caller has seen; if it has to, it says so.
pub(crate) async fn catch_up(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let wanted = request.headers().get(seen::SEEN).and_then(|value| seen::decode(value.as_bytes()));
    let stale = match wanted {
        Some(wanted) => !has(&state, &wanted).await,
        None => false,
    };
    let mut response = next.run(request).await;
    if stale {
        response.headers_mut().insert(seen::STALE, HeaderValue::from_static("1"));
    }
    response
}

async fn has(state: &Shared, wanted: &peerage_replica::Vector) -> bool {
    if state.replica.vector().covers(wanted) {
        return true;
    }
    // Nobody to ask, or enough requests wait already: whoever wants to keep us busy gains nothing.
    let Ok(_place) = state.catching_up.try_acquire() else { return false };
    !state.neighbours.is_empty() && state.replica.catch_up(wanted, CATCH_UP_MAX).await
}

//! The HTTP API, one file per group of routes. `peerage_link::api` documents the messages.

mod account;
pub(crate) mod answers;
mod bundle;
mod events;
mod fresh;
mod groups;
mod hello;
mod metainfo;
mod operator;
mod peer;
mod presence;
mod reach;
mod snapshot;

use std::sync::Arc;

use axum::routing::{get, post, put};
use axum::{Router, middleware};
use peerage_link::api::path;

use crate::error::Failure;
use crate::metrics::measure;
use crate::state::Shared;

pub(crate) use fresh::Waiting;
pub(crate) use reach::Reaching;

/// Everything this tracker answers.
pub(crate) fn router(state: Shared) -> Router {
    let metainfo = format!("{}{{id}}", path::METAINFO_PREFIX);
    let metainfo_of = format!("{}{{group}}/{{id}}", path::METAINFO_PREFIX);
    let metrics = state.metrics.is_on().then(|| Arc::clone(&state.metrics));
    let router = Router::new()
        .route(path::HELLO, post(hello::hello))
        .route(path::TRACKERS, post(hello::trackers))
        .route(path::OPAQUE_REGISTER, post(account::register))
        .route(path::OPAQUE_LOGIN, post(account::login))
        .route(path::RECOVERY, post(account::recovery))
        .route(path::VOUCH, post(account::vouch))
        .route(path::ACCOUNT, post(account::rows))
        .route(path::ACCOUNT_HEADS, post(account::heads))
        .route(path::USER_NAMES, post(account::names))
        .route(path::BUNDLE, post(bundle::submit))
        .route(path::GROUP_NAME, post(groups::named))
        .route(path::GROUPS, post(groups::list))
        .route(path::GROUP_SNAPSHOT, post(snapshot::snapshot))
        .route(&metainfo, get(metainfo::fetch))
        .route(&metainfo_of, put(metainfo::store))
        .route(path::ANNOUNCE, post(presence::announce))
        .route(path::WITHDRAW, post(presence::withdraw))
        .route(path::PRESENCE, post(presence::of_group))
        .route(path::DIAL_BACK, post(presence::dial_back))
        .route(path::REACH, post(reach::reach))
        .route(path::ECHO, post(reach::echo))
        .route(path::EVENTS, get(events::stream))
        .route(path::PEER_PUSH, post(peer::push))
        .route(path::PEER_PULL, post(peer::pull))
        .route(path::PEER_ASK, post(peer::ask))
        .route(path::PEER_PRESENCE, post(peer::presence))
        .route(path::PEER_DIAL_BACK, post(peer::dial_back))
        .route(path::PEER_STATUS, post(operator::status))
        .route(path::PEER_CHECK, post(operator::check))
        .route(path::PEER_DRILL, post(operator::drill))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&state), fresh::catch_up))
        .with_state(state);
    match metrics {
        Some(metrics) => router.layer(middleware::from_fn_with_state(metrics, measure)),
        // Nobody reads it, so nothing is measured.
        None => router,
    }
}

async fn nowhere(uri: axum::http::Uri) -> Failure {
    Failure::not_found(format!("this tracker has no `{}`", uri.path()))
        .hint("it may be older than your client")
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> Failure {
    Failure::bad_request(format!("`{}` does not take {method}", uri.path()))
}

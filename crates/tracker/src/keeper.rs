//! Keeps metainfo files on every tracker: a client puts a file on one, the others fetch it when they learn of the
//! Manifest, or at the latest when somebody asks them for it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use peerage_link::api::path;
use peerage_types::{MetainfoId, UserId};
use tokio::sync::mpsc;

use crate::state::Shared;

/// A Manifest that came from another tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) id: MetainfoId,
    /// Whose quota it counts against.
    pub(crate) by: UserId,
}

/// How often what nobody had is asked for again.
const RETRY: Duration = Duration::from_secs(10);
/// Wanted files that are remembered; beyond that they come when somebody asks.
pub(crate) const WANTED_MAX: usize = 10_000;
/// How often a file is looked for before it is left to [`fetch`].
const TRIES_MAX: u8 = 30;

/// Runs until the sender is dropped.
pub(crate) async fn run(state: Shared, mut inbox: mpsc::Receiver<Wanted>) {
    let mut wanted: BTreeSet<(Wanted, u8)> = BTreeSet::new();
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = inbox.recv() => match next {
                Some(next) => try_one(&state, &mut wanted, next, 0).await,
                None => return,
            },
            _ = retry.tick(), if !wanted.is_empty() => {
                for (next, tries) in std::mem::take(&mut wanted) {
                    try_one(&state, &mut wanted, next, tries).await;
                }
            }
        }
    }
}

async fn try_one(state: &Shared, wanted: &mut BTreeSet<(Wanted, u8)>, next: Wanted, tries: u8) {
    let here = state.blocking(move |state| Ok(state.store.has_metainfo(&next.id)?)).await;
    if matches!(here, Ok(true)) {
        return;
    }
    let Some(bytes) = fetch(state, next.id).await else {
        if tries < TRIES_MAX && wanted.len() < WANTED_MAX {
            wanted.insert((next, tries + 1));
        }
        return;
    };
    let kept = state.blocking(move |state| Ok(state.store.put_metainfo(next.id, next.by, &bytes)?)).await;
    if let Err(failure) = kept {
        tracing::warn!(id = %next.id, reason = %failure.0, "cannot keep a metainfo file of another tracker");
    }
}

/// Asks the other trackers, one after the other. The content address says whether an answer is right.
pub(crate) async fn fetch(state: &Shared, id: MetainfoId) -> Option<Bytes> {
    for neighbour in state.neighbours.all() {
        match neighbour.get_bytes(&path::metainfo(&id)).await {
            Ok(bytes) if MetainfoId::of(&bytes) == id => return Some(bytes),
            Ok(_) => tracing::warn!(%id, tracker = %neighbour.entry(), "wrong content for a metainfo id"),
            Err(error) => {
                tracing::debug!(%id, tracker = %neighbour.entry(), %error, "no metainfo from there");
            }
        }
    }
    None
}

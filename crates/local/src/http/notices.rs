//! `GET /api/v1/notices`: what happened by itself lately, for whoever opens the page only now.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use peerage_node::client::Notice;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Api, answer};
use crate::reply::{notice_group, notice_kind, notice_line};

/// Notices that are kept; older ones are forgotten.
const KEPT_MAX: usize = 200;

/// Something that happened by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Told {
    /// Counts from 1 when the node starts.
    pub id: u64,
    /// When it happened, milliseconds since 1970.
    pub unix_ms: u64,
    /// What it is, in one word, such as `completed` or `requested`.
    pub kind: String,
    /// The group that it is about.
    pub group: Option<String>,
    /// The same in words.
    pub text: String,
}

/// The notices that are kept, and who hears of new ones.
#[derive(Debug)]
pub(super) struct Notices {
    kept: Mutex<VecDeque<Told>>,
    told: broadcast::Sender<Told>,
}

impl Notices {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default(), told: broadcast::channel(KEPT_MAX).0 }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }

    /// Keeps what comes, until the node is gone.
    pub(super) async fn collect(self: Arc<Self>, mut notices: broadcast::Receiver<Notice>) {
        loop {
            match notices.recv().await {
                Ok(notice) => self.add(&notice),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn add(&self, notice: &Notice) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut kept = self.kept();
        let told = Told {
            id: kept.back().map_or(1, |last| last.id + 1),
            unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            kind: notice_kind(notice).to_owned(),
            group: notice_group(notice).map(str::to_owned),
            text: notice_line(notice),
        };
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(told.clone());
        // Nobody listening is fine.
        let _ = self.told.send(told);
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kept ones, oldest first.
pub(super) async fn notices(State(api): State<Arc<Api>>) -> Response {
    let kept: Vec<Told> = api.notices.kept().iter().cloned().collect();
    answer::json(StatusCode::OK, &kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let notices = Notices::new();
        for n in 0..KEPT_MAX + 3 {
            notices.add(&Notice::Warning(n.to_string()));
        }
        let (first, last, count) = {
            let kept = notices.kept();
            (kept[0].clone(), kept[KEPT_MAX - 1].clone(), kept.len())
        };
        assert_eq!((first.id, first.text.as_str(), last.id, count), (4, "3", KEPT_MAX as u64 + 3, KEPT_MAX));
    }
}

//! `GET /api/v1/events`: what changes, as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `session` | `{"user": …}`: who is logged in, at the beginning and at each change |
//! | `downloads` | all of `show_downloads`, at the beginning and when something moved |
//! | `hashing` | list of `path`, `done`, `total`: files that are being made ready to share |
//! | `notice` | `{"kind": …, "text": …}`: something that happened by itself |

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use peerage_node::client::Notice;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::{Api, Hashed};
use crate::reply::{model, notice_kind, notice_line};

/// How often it is looked at what moved.
const LOOK: Duration = Duration::from_millis(250);

/// One listener.
struct Listener {
    api: Arc<Api>,
    notices: broadcast::Receiver<Notice>,
    ending: watch::Receiver<bool>,
    tick: Interval,
    /// What was told last, by event.
    told: [(&'static str, Value); 3],
    /// Where in `told` this look goes on.
    at: usize,
}

pub(super) async fn events(State(api): State<Arc<Api>>) -> Response {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = ["session", "downloads", "hashing"].map(|event| (event, Value::Null));
    let at = told.len();
    let (notices, ending) = (api.node.notices(), api.ending.clone());
    let listener = Listener { api, notices, ending, tick, told, at };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl Listener {
    /// `None` when the node ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while self.at < self.told.len() {
                let at = self.at;
                self.at += 1;
                let (event, before) = &self.told[at];
                let now = self.look(event);
                if now != *before {
                    let told = Event::default().event(*event).data(now.to_string());
                    self.told[at].1 = now;
                    return Some(told);
                }
            }
            tokio::select! {
                _ = self.ending.wait_for(|ending| *ending) => return None,
                _ = self.tick.tick() => self.at = 0,
                notice = self.notices.recv() => match notice {
                    Ok(notice) => return Some(told_notice(&notice)),
                    // The lost ones are older than what is looked at next.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    fn look(&self, event: &str) -> Value {
        match event {
            "session" => json!({ "user": self.api.node.user_name() }),
            "downloads" => {
                let downloads = self.api.node.downloads_now();
                let downloads: Vec<model::Download> = downloads.iter().map(model::Download::from).collect();
                serde_json::to_value(downloads).unwrap_or_default()
            }
            _ => {
                let hashing = self.api.hashing();
                let shown = |(path, hashed): (&PathBuf, &Hashed)| model::Hashing {
                    path: path.to_string_lossy().into_owned(),
                    done: hashed.done,
                    total: hashed.total,
                };
                let hashing: Vec<model::Hashing> = hashing.iter().map(shown).collect();
                serde_json::to_value(hashing).unwrap_or_default()
            }
        }
    }
}

fn told_notice(notice: &Notice) -> Event {
    let data = json!({ "kind": notice_kind(notice), "text": notice_line(notice) });
    Event::default().event("notice").data(data.to_string())
}

//! `GET /api/v1/events`: what changes, as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `session` | `{"user": …}`: who is logged in, at the beginning and at each change |
//! | `downloads` | all of `show_downloads`, at the beginning and when one was added or taken away |
//! | `moved` | those of them in which something moved |
//! | `hashing` | list of `path`, `done`, `total`: files that are being made ready to share |
//! | `changed` | `{"group": …, "what": …}`: `members`, `requests`, `files` or `online` of a group are not what they were |
//! | `notice` | `id`, `unix_ms`, `kind`, `group`, `text`: something that happened by itself |

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use peerage_node::client::{Change, Changed};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::notices::Told;
use super::{Api, Hashed};
use crate::reply::model::{Download, Hashing};

/// How often it is looked at what moved.
const LOOK: Duration = Duration::from_millis(250);

/// One listener.
struct Listener {
    api: Arc<Api>,
    notices: broadcast::Receiver<Told>,
    changes: broadcast::Receiver<Change>,
    ending: watch::Receiver<bool>,
    tick: Interval,
    /// What was told last; `None`: nothing yet.
    user: Option<Option<String>>,
    downloads: Option<Vec<Download>>,
    hashing: Option<Vec<Hashing>>,
    /// What is looked at next, in one look.
    next: Look,
}

/// In this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Session,
    Downloads,
    Hashing,
    Nothing,
}

pub(super) async fn events(State(api): State<Arc<Api>>) -> Response {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener = Listener {
        notices: api.notices.subscribe(),
        changes: api.source.changes(),
        ending: api.ending.clone(),
        api,
        tick,
        user: None,
        downloads: None,
        hashing: None,
        next: Look::Nothing,
    };
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
            while self.next != Look::Nothing {
                if let Some(event) = self.look() {
                    return Some(event);
                }
            }
            tokio::select! {
                _ = self.ending.wait_for(|ending| *ending) => return None,
                _ = self.tick.tick() => self.next = Look::Session,
                notice = self.notices.recv() => match notice {
                    Ok(notice) => return Some(event("notice", &notice)),
                    // They are kept, for whoever wants them all.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                change = self.changes.recv() => match change {
                    Ok(change) => return Some(changed(&change)),
                    Err(RecvError::Lagged(_)) => return Some(event("changed", &json!({ "group": null, "what": "all" }))),
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    /// Looks at one thing, and says if it is not what was told.
    fn look(&mut self) -> Option<Event> {
        match self.next {
            Look::Session => {
                self.next = Look::Downloads;
                let user = Some(self.api.source.user());
                let same = self.user == user;
                self.user = user;
                (!same).then(|| {
                    event("session", &json!({ "user": self.user.as_ref().and_then(Option::as_ref) }))
                })
            }
            Look::Downloads => {
                self.next = Look::Hashing;
                let now = self.api.source.downloads();
                let told = match &self.downloads {
                    Some(before) if same_list(before, &now) => {
                        let moved: Vec<&Download> = before
                            .iter()
                            .zip(&now)
                            .filter(|(a, b)| has_moved(a, b))
                            .map(|(_, b)| b)
                            .collect();
                        (!moved.is_empty()).then(|| event("moved", &moved))
                    }
                    _ => Some(event("downloads", &now)),
                };
                self.downloads = Some(now);
                told
            }
            Look::Hashing => {
                self.next = Look::Nothing;
                let now = Some(self.hashing());
                let same = self.hashing == now;
                self.hashing = now;
                (!same).then(|| event("hashing", &self.hashing))
            }
            Look::Nothing => None,
        }
    }

    fn hashing(&self) -> Vec<Hashing> {
        let shown = |(path, hashed): (&PathBuf, &Hashed)| Hashing {
            path: path.to_string_lossy().into_owned(),
            done: hashed.done,
            total: hashed.total,
        };
        self.api.hashing().iter().map(shown).collect()
    }
}

fn same_list(before: &[Download], now: &[Download]) -> bool {
    let same = |(a, b): (&Download, &Download)| (&a.group, &a.name) == (&b.group, &b.name);
    before.len() == now.len() && before.iter().zip(now).all(same)
}

/// That time passes is no news.
fn has_moved(before: &Download, now: &Download) -> bool {
    *before != Download { seconds: before.seconds, ..now.clone() }
}

fn changed(change: &Change) -> Event {
    let what = match change.what {
        Changed::Members => "members",
        Changed::Requests => "requests",
        Changed::Files => "files",
        Changed::Online => "online",
    };
    event("changed", &json!({ "group": change.group, "what": what }))
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // Strings and plain values: nothing here has a form that JSON lacks.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::model::{Activity, State};

    #[test]
    fn only_what_moved_is_told() {
        let download = Download {
            group: "g".into(),
            name: "n".into(),
            state: State::D,
            percent: 1.0,
            bytes_done: 1,
            bytes_total: 100,
            bytes_per_second: 0,
            seconds: 1.0,
            peers: 0,
            sources: Vec::new(),
            path: "/n".into(),
            activity: Activity::NoSharer,
            note: None,
            files: None,
            files_selected: None,
        };
        let later = Download { seconds: 2.0, ..download.clone() };
        let further = Download { bytes_done: 2, ..later.clone() };
        let other = Download { name: "m".into(), ..download.clone() };
        assert!(!has_moved(&download, &later) && has_moved(&download, &further));
        assert!(same_list(std::slice::from_ref(&download), std::slice::from_ref(&further)));
        assert!(!same_list(std::slice::from_ref(&download), &[other]));
    }
}

//! `POST /api/v1/commands/NAME`: one command, arguments by name.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use peerage_node::client::{HashReport, HashStep};
use serde_json::{Map, Value};

use super::{Api, Hashed, answer};
use crate::command::{Command, ParseError, Spec, from_object};
use crate::reply::{Outcome, shown};

/// A request with this header gets the lines of a listing as a terminal shows them, too.
pub(crate) const LINES: &str = "peerage-lines";

pub(super) async fn command(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let spec = Spec::find(&name).filter(|spec| spec.is_remote());
    let Some(spec) = spec else {
        return answer::error(StatusCode::NOT_FOUND, &format!("there is no command `{name}`"));
    };
    let parsed = arguments(&body).and_then(|object| from_object(spec, &object));
    let hashing = match &parsed {
        Ok(Command::UploadFile { path, .. }) => Some(Hashing::begin(&api, path)),
        _ => None,
    };
    let report: HashReport = match &hashing {
        Some(hashing) => hashing.report(),
        None => Arc::new(|_| {}),
    };
    // These may take as long as they like, and undo nothing when they are given up.
    let may_wait =
        matches!(parsed, Ok(Command::Wait { .. } | Command::UploadFile { .. } | Command::JoinAndWait { .. }));
    let mut ending = api.ending.clone();
    let outcome = tokio::select! {
        outcome = api.source.run(parsed.map(Some), report) => outcome,
        _ = ending.wait_for(|ending| *ending), if may_wait => {
            return answer::error(StatusCode::SERVICE_UNAVAILABLE, "the node is being ended");
        }
    };
    let Some(outcome) = outcome else {
        return answer::error(StatusCode::BAD_REQUEST, "nothing to do");
    };
    let reply = shown(spec.name, &outcome, headers.contains_key(LINES));
    (status(&outcome), [(header::CONTENT_TYPE, "application/json")], reply).into_response()
}

/// An empty body means no arguments.
fn arguments(body: &[u8]) -> Result<Map<String, Value>, ParseError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|why| ParseError::Field(format!("not a JSON object: {why}")))
}

/// The refusals' exit codes as HTTP has them.
fn status(outcome: &Outcome) -> StatusCode {
    match outcome.as_ref().err().map(|failed| failed.exit_code) {
        None => StatusCode::OK,
        Some(2) => StatusCode::BAD_REQUEST,
        Some(3) => StatusCode::FORBIDDEN,
        Some(4) => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) => StatusCode::CONFLICT,
    }
}

/// A file that is being hashed; forgotten when dropped.
struct Hashing {
    api: Arc<Api>,
    path: PathBuf,
}

impl Hashing {
    fn begin(api: &Arc<Api>, path: &std::path::Path) -> Self {
        api.hashing().insert(path.to_owned(), Hashed { done: 0, total: 0 });
        Self { api: Arc::clone(api), path: path.to_owned() }
    }

    fn report(&self) -> HashReport {
        let (api, path) = (Arc::clone(&self.api), self.path.clone());
        Arc::new(move |step| {
            // Hashing threads end a little later than a command that is given up.
            if let Some(hashed) = api.hashing().get_mut(&path) {
                match step {
                    HashStep::Found(bytes) => hashed.total = bytes,
                    HashStep::Done(bytes) => hashed.done = bytes,
                }
            }
        })
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.api.hashing().remove(&self.path);
    }
}

//! The local HTTP API: the same commands as the shell's, what happens meanwhile, and the page.
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v1/commands/NAME` | runs a command; arguments and reply are JSON objects |
//! | `GET /api/v1/status` | who is logged in, where the node listens |
//! | `GET /api/v1/events` | server-sent events: downloads, hashing, groups, notices, logins |
//! | `GET /api/v1/notices` | what happened by itself lately |
//! | `POST /api/v1/folder`, `find`, `open`, `qr` | folders of this machine, and a picture for a camera |
//! | `POST /api/v1/stop` | ends the node |
//! | `GET /openapi.json` | all of this, described |
//! | `GET /…` | the page |
//!
//! It listens on loopback only. `guard` says who may ask.

mod answer;
mod commands;
mod events;
mod guard;
mod machine;
mod notices;
mod openapi;
mod page;
mod source;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::home::Running;

pub(crate) use self::commands::LINES;
pub use self::machine::{Entry, FindQuery, Folder, FolderQuery, Found, OpenQuery, Qr, QrQuery};
pub use self::notices::Told;
pub use self::openapi::{document, reply_schema};
pub use self::source::{Asking, Running as RunningCommand, Source};

/// Where the API is, below the address.
pub const API: &str = "/api/v1";
/// How long requests under way may take when the node ends.
const CLOSE_MAX: Duration = Duration::from_secs(3);
/// Largest request; above a command that names each of 10,000 files of a folder by its path.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `GET /api/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Where everything is kept.
    pub data: PathBuf,
    /// Where this device listens for peers once somebody is logged in, `ip:port`.
    pub listen: String,
    /// Who is logged in.
    pub user: Option<String>,
    /// Received bytes per second at most, of everything together; nothing for no limit.
    pub limit_down: Option<u64>,
    /// Sent bytes per second at most; the same.
    pub limit_up: Option<u64>,
    /// Shares of which pieces went bad on the disk and are being fetched again.
    pub damaged: Vec<String>,
    /// The page, without what opens it.
    pub page: String,
    /// Where downloads go unless something else is said.
    #[serde(default)]
    pub downloads: Option<PathBuf>,
    /// Whether folders can be shown on a desktop.
    #[serde(default)]
    pub desktop: bool,
}

/// What a node says that was asked to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stopping {
    /// It ends now.
    pub ok: bool,
    /// What whoever asked should know: files that nobody else online has.
    pub hint: Option<String>,
}

/// How far a file that is to be shared is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hashed {
    done: u64,
    total: u64,
}

/// What all requests share.
struct Api {
    source: Arc<dyn Source>,
    notices: Arc<notices::Notices>,
    running: Running,
    /// Files that are being hashed, by path as it was given.
    hashing: Mutex<BTreeMap<PathBuf, Hashed>>,
    stop: mpsc::Sender<()>,
    /// Turns true when the node ends: streams end then.
    ending: watch::Receiver<bool>,
}

impl Api {
    fn hashing(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Hashed>> {
        self.hashing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running API.
pub struct Server {
    running: Running,
    ending: watch::Sender<bool>,
    stop: mpsc::Receiver<()>,
    serving: tokio::task::JoinHandle<io::Result<()>>,
    collecting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens at `address`, which must be loopback; port 0 takes any free one. Requests show `token`, or else a new one.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on.
    pub async fn start(
        source: Arc<dyn Source>,
        address: SocketAddr,
        token: Option<&str>,
    ) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why = "the page and the API have no password and no TLS of their own, so they are for this machine \
                       only; from elsewhere use an SSH tunnel: ssh -L 7610:127.0.0.1:7610 HOST";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address).await?;
        let running = Running::new(listener.local_addr()?, token)?;
        let (ending, ends) = watch::channel(false);
        let (stop, stopped) = mpsc::channel(1);
        let notices = Arc::new(notices::Notices::new());
        let collecting = tokio::spawn(Arc::clone(&notices).collect(source.notices()));
        let api = Api {
            source,
            notices,
            running: running.clone(),
            hashing: Mutex::default(),
            stop,
            ending: ends.clone(),
        };
        let serving = axum::serve(listener, router(Arc::new(api))).with_graceful_shutdown(async move {
            let mut ends = ends;
            // The sender gone means the same.
            let _ = ends.wait_for(|ending| *ending).await;
        });
        let serving = tokio::spawn(async move { serving.await });
        Ok(Self { running, ending, stop: stopped, serving, collecting })
    }

    /// Where it is, and what opens it.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Waits until somebody asks the node to end.
    pub async fn stop_asked(&mut self) {
        if self.stop.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends all streams and commands that wait, and closes; what has not ended then is cut off.
    pub async fn close(mut self) {
        // Nobody listening means that it has ended already.
        let _ = self.ending.send(true);
        match tokio::time::timeout(CLOSE_MAX, &mut self.serving).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the local API ended badly"),
            Ok(Err(error)) => tracing::warn!(%error, "the local API ended badly"),
            Err(_) => self.serving.abort(),
        }
        self.collecting.abort();
    }
}

fn router(api: Arc<Api>) -> Router {
    let behind_token = Router::new()
        .route("/status", get(status))
        .route("/events", get(events::events))
        .route("/notices", get(notices::notices))
        .route("/folder", post(machine::folder))
        .route("/find", post(machine::find))
        .route("/open", post(machine::open))
        .route("/qr", post(machine::qr))
        .route("/stop", post(stop))
        .route("/commands/{name}", post(commands::command))
        .fallback(async || answer::error(StatusCode::NOT_FOUND, "there is no such path in this API"))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::token));
    Router::new()
        .nest(API, behind_token)
        .route("/openapi.json", get(async || answer::json(StatusCode::OK, &document())))
        .fallback(page::asset)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::host))
        .layer(middleware::from_fn(answer::safe_headers))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(api)
}

async fn status(State(api): State<Arc<Api>>) -> Response {
    let limits = api.source.limits();
    let status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        limit_down: limits.down,
        limit_up: limits.up,
        data: api.source.data().to_owned(),
        listen: api.source.listen().to_string(),
        user: api.source.user(),
        damaged: api.source.damaged(),
        page: format!("http://{}/", api.running.api),
        downloads: machine::downloads_folder(),
        desktop: crate::desktop::is_there(),
    };
    answer::json(StatusCode::OK, &status)
}

async fn stop(State(api): State<Arc<Api>>) -> Response {
    let hint = api.source.last_held().await;
    // A full channel: somebody has asked already.
    let _ = api.stop.try_send(());
    answer::json(StatusCode::ACCEPTED, &Stopping { ok: true, hint })
}

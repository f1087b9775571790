//! A hostile tracker: the real one in this process, whose answers a test rewrites on their way out.
//!
//! It speaks the real API with the real cluster key, so whatever it says is signed and encoded as it should be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ed25519_dalek::SigningKey;
use peerage_ledger::{Origin, Receipt, Record};
use peerage_link::api::{ApiError, ErrorCode, SignedRow, SnapshotRequest, path};
use peerage_link::keyring::Keyring;
use peerage_tracker::{TrackerConfig, run_behind};
use peerage_types::Stamp;
use tokio::sync::oneshot;

/// No answer in these tests comes near this.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What it says.
pub enum Said {
    /// The honest answer.
    Truth,
    Bytes(Vec<u8>),
    NotFound,
}

/// Turns a request and the honest answer, if there is one, into a lie.
type Lie = Arc<dyn Fn(&[u8], Option<&[u8]>) -> Said + Send + Sync>;
type Lies = Arc<Mutex<BTreeMap<String, Lie>>>;

/// Running until it is dropped.
pub struct Double {
    lies: Lies,
    list: PathBuf,
    _stop: oneshot::Sender<()>,
    _runtime: tokio::runtime::Runtime,
}

impl Double {
    /// Starts tracker `number` of `list`.
    pub fn start(list: &Path, number: usize, data: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let lies = Lies::default();
        let config = TrackerConfig { data: Some(data.into()), ..TrackerConfig::new(list.into(), number) };
        let (tell, told) = std::sync::mpsc::channel();
        let before = {
            let lies = Arc::clone(&lies);
            move |router: axum::Router| router.layer(from_fn_with_state(Arc::clone(&lies), rewrite))
        };
        runtime.spawn(async move {
            let shutdown = async { drop(stopped.await) };
            run_behind(config, shutdown, move |_| tell.send(()).unwrap(), before).await.unwrap();
        });
        told.recv().unwrap();
        Self { lies, list: list.into(), _stop: stop, _runtime: runtime }
    }

    /// From now on answers of this path, or of those that begin so, are what `lie` makes of them.
    pub fn lie(&self, path: &str, lie: impl Fn(&[u8], Option<&[u8]>) -> Said + Send + Sync + 'static) {
        self.lies.lock().unwrap().insert(path.to_owned(), Arc::new(lie));
    }

    /// As [`Self::lie`], about the message inside.
    pub fn twist<T>(&self, path: &str, twist: impl Fn(T) -> T + Send + Sync + 'static)
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        self.lie(path, move |_, honest| match honest {
            Some(honest) => {
                let message = minicbor::decode::<T>(honest).unwrap();
                Said::Bytes(minicbor::to_vec(twist(message)).unwrap())
            }
            None => Said::Truth,
        });
    }

    /// Back to the truth.
    pub fn be_honest(&self) {
        self.lies.lock().unwrap().clear();
    }

    /// The key with which trackers sign receipts.
    pub fn cluster_key(&self) -> SigningKey {
        Keyring::load(&self.list).unwrap().signing_key().clone()
    }

    /// A record with a receipt that the cluster key signed: as genuine as a tracker can make it.
    pub fn stamped(&self, record: &Record, origin: Origin, seq: u64, stamp: Stamp) -> SignedRow {
        let receipt = Receipt::sign(origin, seq, stamp, record.id(), &self.cluster_key());
        SignedRow { record: record.bytes().to_vec(), receipt }
    }
}

async fn rewrite(State(lies): State<Lies>, request: Request, next: Next) -> Response {
    let at = request.uri().path().to_owned();
    let lie =
        lies.lock().unwrap().iter().find(|(of, _)| at.starts_with(of.as_str())).map(|(_, l)| Arc::clone(l));
    let Some(lie) = lie else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let mut asked = to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    if at == path::GROUP_SNAPSHOT {
        // "Unchanged" leaves nothing to twist.
        let all = SnapshotRequest { have: None, ..minicbor::decode(&asked).unwrap() };
        asked = minicbor::to_vec(all).unwrap().into();
    }
    let answer = next.run(Request::from_parts(parts, Body::from(asked.clone()))).await;
    let status = answer.status();
    let (mut parts, body) = answer.into_parts();
    let honest = to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    match lie(&asked, Some(&honest[..]).filter(|_| status == StatusCode::OK)) {
        Said::Truth => Response::from_parts(parts, Body::from(honest)),
        Said::Bytes(bytes) => {
            parts.status = StatusCode::OK;
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(bytes))
        }
        Said::NotFound => {
            let error = ApiError::new(ErrorCode::NotFound, "never heard of it");
            (StatusCode::NOT_FOUND, minicbor::to_vec(error).unwrap()).into_response()
        }
    }
}

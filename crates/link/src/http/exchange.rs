//! One request and its answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use minicbor::{Decode, Encode};
use tokio::time::timeout;

use super::{CALL_DEADLINE, CallError, TrackerConn, UPLOAD_RATE_MIN, deadline_of, explain};
use crate::api::{ApiError, RESPONSE_BYTES_MAX, seen};

/// RFC 8949, 9.5.
const CBOR: &str = "application/cbor";
/// Metainfo and other content that the tracker does not look into.
const OCTETS: &str = "application/octet-stream";
/// An [`ApiError`] is a code and a few lines.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// What came back, and whether the tracker said that it is behind what the caller has seen.
#[derive(Debug)]
pub struct Heard<A> {
    /// The answer, or why there is none.
    pub answer: Result<A, CallError>,
    /// The answer, also a refusal, may be older than what the caller knows.
    pub stale: bool,
}

impl TrackerConn {
    /// Posts a request to one of [`crate::api::path`] and reads the answer, within the path's own deadline
    /// ([`deadline_of`]).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call<Q, A>(&self, path: &str, request: &Q) -> Result<A, CallError>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        self.call_within(path, request, deadline_of(path)).await
    }

    /// As [`TrackerConn::call`]. The head of the answer must come within `deadline`, and so must each further
    /// part of its body: a large answer may take longer as long as it moves.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_within<Q, A>(&self, path: &str, request: &Q, deadline: Duration) -> Result<A, CallError>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        self.ask_within(path, request, deadline, None).await.answer
    }

    /// As [`TrackerConn::call_within`], telling the tracker what the caller has seen (see [`seen`]) and the caller
    /// whether the tracker has as much.
    pub async fn ask_within<Q, A>(
        &self,
        path: &str,
        request: &Q,
        deadline: Duration,
        seen_so_far: Option<&str>,
    ) -> Heard<A>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        let mut stale = false;
        let answer = async {
            let mut body = Vec::new();
            minicbor::encode(request, &mut body).map_err(|e| self.strange(path, e))?;
            let answer = self.send(Method::POST, path, CBOR, body.into(), deadline, seen_so_far).await?;
            stale = answer.headers().contains_key(seen::STALE);
            let answer = self.accepted(path, answer, deadline).await?;
            let bytes = self.read(path, answer, RESPONSE_BYTES_MAX, deadline).await?;
            minicbor::decode(&bytes).map_err(|e| self.strange(path, e))
        };
        let answer = answer.await;
        Heard { answer, stale }
    }

    /// Stores raw bytes under `path` (PUT). Large ones are given time according to [`UPLOAD_RATE_MIN`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn put_bytes(&self, path: &str, bytes: Bytes) -> Result<(), CallError> {
        let upload = Duration::from_secs(bytes.len() as u64 / UPLOAD_RATE_MIN);
        let answer = self.exchange(Method::PUT, path, OCTETS, bytes, CALL_DEADLINE + upload).await?;
        self.read(path, answer, ERROR_BYTES_MAX, CALL_DEADLINE).await.map(|_| ())
    }

    /// Reads the raw bytes under `path` (GET), at most `bytes_max`. They may take long as long as they move.
    ///
    /// # Errors
    /// [`CallError`]; more than `bytes_max` is `Protocol`.
    pub async fn get_bytes(&self, path: &str, bytes_max: usize) -> Result<Bytes, CallError> {
        let answer = self.exchange(Method::GET, path, OCTETS, Bytes::new(), CALL_DEADLINE).await?;
        self.read(path, answer, bytes_max, CALL_DEADLINE).await
    }

    /// Sends one request and waits for the head of a successful answer.
    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Response<Incoming>, CallError> {
        let answer = self.send(method, path, content_type, body, deadline, None).await?;
        self.accepted(path, answer, deadline).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
        deadline: Duration,
        seen_so_far: Option<&str>,
    ) -> Result<Response<Incoming>, CallError> {
        if self.is_closed() {
            return Err(self.unreachable("it was closed"));
        }
        let mut request =
            self.request(method, path, content_type, body).map_err(|e| self.strange(path, e))?;
        if let Some(text) = seen_so_far {
            let value = HeaderValue::from_str(text).map_err(|e| self.strange(path, e))?;
            request.headers_mut().insert(seen::SEEN, value);
        }
        let mut requests = self.requests.clone();
        let sent = timeout(deadline, requests.send_request(request)).await;
        sent.map_err(|_| self.late(deadline))?.map_err(|e| self.unreachable(explain(&e)))
    }

    /// The answer, or the refusal that it is.
    async fn accepted(
        &self,
        path: &str,
        answer: Response<Incoming>,
        deadline: Duration,
    ) -> Result<Response<Incoming>, CallError> {
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = self.read(path, answer, ERROR_BYTES_MAX, deadline).await?;
        Err(match minicbor::decode::<ApiError>(&bytes) {
            Ok(refusal) => CallError::Refused(refusal),
            Err(_) => self.strange(path, format!("status {status} without a reason")),
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let uri = Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(self.shared.authority.clone())
            .path_and_query(PathAndQuery::try_from(path)?)
            .build()?;
        let kind = if body.is_empty() { header::ACCEPT } else { header::CONTENT_TYPE };
        Request::builder().method(method).uri(uri).header(kind, content_type).body(Full::new(body))
    }

    /// Reads a body part by part: nothing is reserved for a length that is only claimed.
    async fn read(
        &self,
        path: &str,
        answer: Response<Incoming>,
        bytes_max: usize,
        silence_max: Duration,
    ) -> Result<Bytes, CallError> {
        let mut body = answer.into_body();
        let mut bytes = BytesMut::new();
        loop {
            let frame = timeout(silence_max, body.frame()).await.map_err(|_| self.late(silence_max))?;
            let Some(frame) = frame else { return Ok(bytes.freeze()) };
            let frame = frame.map_err(|e| self.unreachable(explain(&e)))?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > bytes_max {
                    return Err(self.strange(path, format!("more than {bytes_max} bytes")));
                }
                bytes.extend_from_slice(&data);
            }
        }
    }
}

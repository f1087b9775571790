//! The stream of events that a tracker sends to a session.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{CALL_DEADLINE, CallError, TrackerConn, explain};
use crate::api::Event;
use crate::sse::{self, Decoder};

/// Two keep-alive comments and some time to travel: after this the tracker has forgotten about the stream,
/// although its connection lives.
pub const SILENCE_MAX: Duration = Duration::from_secs(2 * sse::KEEP_ALIVE_INTERVAL_S + 5);

/// Events of one session, in the order in which the tracker sent them. Keeps the connection open.
pub struct Events {
    conn: TrackerConn,
    path: String,
    body: Incoming,
    decoder: Decoder,
    heard: Instant,
}

impl TrackerConn {
    /// Subscribes to the events under `path` ([`crate::api::path::EVENTS`]).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn events(&self, path: &str) -> Result<Events, CallError> {
        let answer = self.exchange(Method::GET, path, sse::CONTENT_TYPE, Bytes::new(), CALL_DEADLINE).await?;
        Ok(Events {
            conn: self.clone(),
            path: path.to_owned(),
            body: answer.into_body(),
            decoder: Decoder::default(),
            heard: Instant::now(),
        })
    }
}

impl Events {
    /// Waits for the next event. May be dropped and called again: nothing gets lost.
    ///
    /// # Errors
    /// [`CallError`]; after one the stream is over, and whatever happened since is unknown.
    pub async fn next(&mut self) -> Result<Event, CallError> {
        loop {
            match self.decoder.poll() {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(e) => return Err(self.conn.strange(&self.path, e)),
            }
            let frame = timeout_at(self.heard + SILENCE_MAX, self.body.frame()).await;
            match frame.map_err(|_| self.conn.late(SILENCE_MAX))? {
                Some(Ok(frame)) => {
                    self.heard = Instant::now();
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                }
                Some(Err(e)) => return Err(self.conn.unreachable(explain(&e))),
                None => return Err(self.conn.unreachable("the tracker ended the event stream")),
            }
        }
    }
}

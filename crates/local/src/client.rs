//! Asks a running node, as the subcommands do.

use std::io;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::net::TcpStream;

use crate::command::Spec;
use crate::home::Running;
use crate::http::{API, LINES, Status, Stopping};
use crate::reply::Shown;
use crate::reply::model::{Download, Hashing};

/// Longest event that is read; a listing of very many downloads.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why the node did not answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It is gone, or something else listens there.
    #[error("the node at {address} does not answer: {why}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// The cause.
        why: String,
    },
    /// It answered something that this program does not understand: another version.
    #[error("the node's answer cannot be read: {0}")]
    Answer(String),
}

/// A command's reply.
#[derive(Debug, Deserialize)]
pub struct Reply {
    /// Whether it worked.
    pub ok: bool,
    /// If it did.
    #[serde(default)]
    pub message: String,
    /// If it did not.
    pub error: Option<String>,
    /// What to try next, or what else to know.
    pub hint: Option<String>,
    /// What people usually do next.
    pub next: Option<String>,
    /// A listing.
    pub lines: Option<Vec<Shown>>,
    /// The object as it came, on one line.
    #[serde(skip)]
    pub text: String,
    /// What a process that ran only this command ends with.
    #[serde(skip)]
    pub exit_code: u8,
}

/// A running node.
#[derive(Clone, Debug)]
pub struct Remote {
    running: Running,
}

impl Remote {
    /// Contacts nobody yet.
    pub fn new(running: Running) -> Self {
        Self { running }
    }

    /// The page's address, with what opens it.
    pub fn page(&self) -> String {
        self.running.page()
    }

    /// Who is logged in, where it listens.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub async fn status(&self) -> Result<Status, RemoteError> {
        let response = self.send(Method::GET, "/status", Bytes::new(), false).await?;
        parse(&self.collect(response).await?)
    }

    /// Asks it to end. Answers with what whoever asks should know.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub async fn stop(&self) -> Result<Stopping, RemoteError> {
        let response = self.send(Method::POST, "/stop", Bytes::new(), false).await?;
        match response.status() {
            StatusCode::ACCEPTED => parse(&self.collect(response).await?),
            status => Err(RemoteError::Answer(status.to_string())),
        }
    }

    /// Runs a command and waits for its reply, however long it takes. With `lines` the reply of a listing has them, too.
    ///
    /// # Errors
    /// See [`RemoteError`]; a refusal is a reply.
    pub async fn command(
        &self,
        spec: &Spec,
        args: &Map<String, Value>,
        lines: bool,
    ) -> Result<Reply, RemoteError> {
        let body = serde_json::to_vec(args).map_err(|e| RemoteError::Answer(e.to_string()))?;
        let response =
            self.send(Method::POST, &format!("/commands/{}", spec.name), body.into(), lines).await?;
        let exit_code = match response.status() {
            StatusCode::OK => 0,
            StatusCode::BAD_REQUEST => 2,
            StatusCode::FORBIDDEN => 3,
            StatusCode::SERVICE_UNAVAILABLE => 4,
            _ => 1,
        };
        let body = self.collect(response).await?;
        let reply: Reply = parse(&body)?;
        Ok(Reply { text: String::from_utf8_lossy(&body).into_owned(), exit_code, ..reply })
    }

    /// What changes, from now on.
    ///
    /// # Errors
    /// See [`RemoteError`].
    pub async fn events(&self) -> Result<Events, RemoteError> {
        let response = self.send(Method::GET, "/events", Bytes::new(), false).await?;
        match response.status() {
            StatusCode::OK => {
                Ok(Events { body: response.into_body(), read: BytesMut::new(), downloads: Vec::new() })
            }
            status => Err(RemoteError::Answer(status.to_string())),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        lines: bool,
    ) -> Result<Response<Incoming>, RemoteError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{API}{path}"))
            .header(header::HOST, self.running.api.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.running.token))
            .header(header::CONTENT_TYPE, "application/json");
        if lines {
            request = request.header(LINES, "1");
        }
        let request = request.body(Full::new(body)).map_err(|e| RemoteError::Answer(e.to_string()))?;
        let stream = TcpStream::connect(self.running.api).await.map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.unreachable(&e))?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|e| self.unreachable(&e))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, RemoteError> {
        let body = response.into_body().collect().await.map_err(|e| self.unreachable(&e))?;
        Ok(body.to_bytes())
    }

    fn unreachable(&self, why: &dyn std::error::Error) -> RemoteError {
        let address = self.running.api.to_string();
        RemoteError::Unreachable { address, why: why.source().map_or(why.to_string(), ToString::to_string) }
    }
}

/// How far long work is.
#[derive(Debug)]
pub enum Progress {
    /// All downloads.
    Downloads(Vec<Download>),
    /// All files that are being made ready to share.
    Hashing(Vec<Hashing>),
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    read: BytesMut,
    /// As they were told last.
    downloads: Vec<Download>,
}

impl Events {
    /// The next one that progress is drawn from; `None` when the node ends.
    ///
    /// # Errors
    /// When the stream breaks off.
    pub async fn progress(&mut self) -> io::Result<Option<Progress>> {
        while let Some((event, data)) = self.next().await? {
            match event.as_str() {
                "downloads" => {
                    self.downloads = read(&data)?;
                    return Ok(Some(Progress::Downloads(self.downloads.clone())));
                }
                "moved" => {
                    for moved in read::<Vec<Download>>(&data)? {
                        let same = |d: &&mut Download| (&d.group, &d.name) == (&moved.group, &moved.name);
                        if let Some(download) = self.downloads.iter_mut().find(same) {
                            *download = moved;
                        }
                    }
                    return Ok(Some(Progress::Downloads(self.downloads.clone())));
                }
                "hashing" => return read(&data).map(|all| Some(Progress::Hashing(all))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Name and data of the next event; `None` when the node ends.
    async fn next(&mut self) -> io::Result<Option<(String, String)>> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let block = self.read.split_to(end + 2);
                if let Some(event) = event(&String::from_utf8_lossy(&block)) {
                    return Ok(Some(event));
                }
                continue;
            }
            if self.read.len() > EVENT_BYTES_MAX {
                return Err(io::Error::other("an event without end"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Name and data; `None` for a comment that only keeps the connection alive.
fn event(block: &str) -> Option<(String, String)> {
    let field = |name: &str| {
        let values = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<&str> = values.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect();
        (!values.is_empty()).then(|| values.join("\n"))
    };
    Some((field("event")?, field("data")?))
}

fn read<T: DeserializeOwned>(data: &str) -> io::Result<T> {
    serde_json::from_str(data).map_err(io::Error::other)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RemoteError> {
    serde_json::from_slice(bytes).map_err(|e| RemoteError::Answer(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut() {
        assert_eq!(event("event: a\ndata: {\"x\":1}\n\n"), Some(("a".into(), "{\"x\":1}".into())));
        assert_eq!(event("event:a\ndata:1\ndata:2\n\n"), Some(("a".into(), "1\n2".into())));
        assert_eq!(event(":\n\n"), None);
    }
}

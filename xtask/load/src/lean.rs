//! Connections that write: HTTP/2 by hand, so that the load generator takes little of the processors that it shares
//! with the trackers.
//!
//! Only what these requests need of RFC 9113 and RFC 7541: POSTs with one DATA frame to one path, answers with status
//! 200 and a short body. On the wire they are what the program's own client sends: fields that repeat are indexed.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use peerage_link::tls::{self, ExpectedKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::Target;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// PADDED or PRIORITY, which our trackers never set.
const UNEXPECTED: u8 = 8 | 32;
const FRAME_HEADER_BYTES: usize = 9;
/// RFC 9113, 6.9.2: of a connection and of each stream, before anybody says more.
const WINDOW_BYTES: usize = 65_535;
/// Of answers, for the whole measurement.
const RECEIVE_BYTES: u32 = (1 << 31) - 1 - WINDOW_BYTES as u32;
/// `:status 200`, the entry of the static table (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// One connection.
pub struct Lean {
    stream: TlsStream<TcpStream>,
    authority: String,
    path: String,
    next_stream: u32,
    /// What the connection may still send.
    window: usize,
    out: Vec<u8>,
    read: Vec<u8>,
}

/// A request under way.
struct UnderWay {
    stream: u32,
    slot: usize,
    answer: Vec<u8>,
    /// Anything but 200: its field, as it came.
    refused: Option<Vec<u8>>,
}

impl Lean {
    /// Connects from `from`; all requests will go to `path`.
    pub async fn open(target: Target, from: Ipv4Addr, path: &str) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from.into(), 0)).with_context(|| format!("cannot bind {from}"))?;
        let tcp = socket.connect(target.addr).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        let config = tls::client_config(None, ExpectedKey::Exactly(target.key), &[tls::ALPN_H2]);
        let stream = TlsConnector::from(config).connect(tls::server_name(), tcp).await.context("TLS")?;
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut out, SETTINGS, 0, 0, &[]);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &RECEIVE_BYTES.to_be_bytes());
        Ok(Self {
            stream,
            authority: target.addr.to_string(),
            path: path.to_owned(),
            next_stream: 1,
            window: WINDOW_BYTES,
            out,
            read: Vec::with_capacity(64 * 1024),
        })
    }

    /// Keeps one request of each of `slots` under way until none has a next one. `answered` gets the body.
    pub async fn drive(
        &mut self,
        slots: usize,
        mut next: impl FnMut(usize) -> Result<Option<Bytes>>,
        mut answered: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut ready: Vec<usize> = (0..slots).collect();
        let mut under_way: Vec<UnderWay> = Vec::new();
        let mut waiting: Option<(usize, Bytes)> = None;
        loop {
            loop {
                let (slot, body) = match waiting.take() {
                    Some(waiting) => waiting,
                    None => match ready.pop() {
                        Some(slot) => match next(slot)? {
                            Some(body) => (slot, body),
                            None => continue,
                        },
                        None => break,
                    },
                };
                if body.len() > self.window {
                    waiting = Some((slot, body));
                    break;
                }
                let stream = self.request(&body)?;
                under_way.push(UnderWay { stream, slot, answer: Vec::new(), refused: None });
            }
            if under_way.is_empty() && waiting.is_none() {
                return Ok(());
            }
            if !self.out.is_empty() {
                self.stream.write_all(&self.out).await?;
                self.stream.flush().await?;
                self.out.clear();
            }
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the tracker closed the connection");
            for (slot, answer) in self.take_frames(&mut under_way)? {
                answered(slot, &answer)?;
                ready.push(slot);
            }
        }
    }

    /// Queues one.
    fn request(&mut self, body: &[u8]) -> Result<u32> {
        ensure!(body.len() <= WINDOW_BYTES, "a body of {} bytes", body.len());
        let stream = self.next_stream;
        let mut fields = vec![0x83, 0x87];
        if stream == 1 {
            // Into the dynamic table, in which the latest has the lowest number.
            for (name, value) in [(0x41, &*self.authority), (0x44, &*self.path), (0x5f, "application/cbor")] {
                fields.push(name);
                text(&mut fields, value)?;
            }
        } else {
            fields.extend([0x80 | 64, 0x80 | 63, 0x80 | 62]);
        }
        // content-length, which is not indexed.
        fields.extend([0x0f, 28 - 15]);
        text(&mut fields, &body.len().to_string())?;
        frame(&mut self.out, HEADERS, END_HEADERS, stream, &fields);
        frame(&mut self.out, DATA, END_STREAM, stream, body);
        self.window -= body.len();
        self.next_stream += 2;
        Ok(stream)
    }

    /// Takes whole frames out of what was read. Returns answers that are complete.
    fn take_frames(&mut self, under_way: &mut Vec<UnderWay>) -> Result<Vec<(usize, Vec<u8>)>> {
        let mut complete = Vec::new();
        let mut at = 0;
        while let Some(header) = self.read.get(at..at + FRAME_HEADER_BYTES) {
            let len = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
            let (kind, flags) = (header[3], header[4]);
            let stream = u32::from_be_bytes([header[5] & 0x7f, header[6], header[7], header[8]]);
            let from = at + FRAME_HEADER_BYTES;
            let Some(payload) = self.read.get(from..from + len) else { break };
            at = from + len;
            match kind {
                HEADERS | DATA => {
                    ensure!(flags & UNEXPECTED == 0, "a frame with flags {flags:#x}");
                    let index = under_way.iter().position(|one| one.stream == stream);
                    let index = index.with_context(|| format!("an answer on stream {stream}"))?;
                    if kind == DATA {
                        under_way[index].answer.extend_from_slice(payload);
                    } else if payload.first() != Some(&STATUS_200) {
                        under_way[index].refused = Some(payload.to_vec());
                    }
                    if flags & END_STREAM != 0 {
                        let UnderWay { slot, answer, refused, .. } = under_way.swap_remove(index);
                        if let Some(fields) = refused {
                            let fields = String::from_utf8_lossy(&fields).into_owned();
                            bail!(
                                "a request was refused: {fields:?}: {:?}",
                                String::from_utf8_lossy(&answer)
                            );
                        }
                        complete.push((slot, answer));
                    }
                }
                SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => {
                    let payload = payload.to_vec();
                    frame(&mut self.out, PING, ACK, 0, &payload);
                }
                WINDOW_UPDATE if stream == 0 => {
                    let more: [u8; 4] = payload.try_into().context("a WINDOW_UPDATE")?;
                    self.window += u32::from_be_bytes(more) as usize;
                }
                RST_STREAM | GOAWAY => bail!("the tracker gave up: frame {kind} {payload:?}"),
                _ => {}
            }
        }
        self.read.drain(..at);
        Ok(complete)
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, high, middle, low] = (payload.len() as u32).to_be_bytes();
    out.extend([high, middle, low, kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// A string literal without Huffman coding.
fn text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    ensure!(text.len() < 127, "`{text}` is too long");
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
    Ok(())
}

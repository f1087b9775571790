//! The TLS 1.3 stream between two devices, made for moving much data: large reads, records opened in the receive
//! buffer and sealed straight from the read buffers, one write for many records.
//!
//! Buffers come from a pool of the engine. One is out for reading only while a turn lasts, and for writing only
//! while the socket does not take what is sealed, so idle connections hold next to nothing.

mod handshake;
mod layer;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(super) use self::handshake::{accept, connect};
use self::layer::{Layer, OVERHEAD_BYTES, Opened, PLAIN_BYTES_MAX, RECORD_BYTES_MAX, TlsFault};
use super::buffer::{Pool, PooledBuf};

/// Bytes of one buffer: 256 KiB of content in full records, and a last one for what is small.
pub(super) const BUF_BYTES: usize = 17 * (PLAIN_BYTES_MAX + OVERHEAD_BYTES);
/// Bytes that are read at a time before the peer is admitted: it is nobody that we would give memory to.
const SMALL_READ_BYTES: usize = 4 * 1024;

const _: () = assert!(BUF_BYTES > 2 * RECORD_BYTES_MAX);

/// A connection between two devices, after the handshake.
pub(super) struct PeerStream {
    tcp: TcpStream,
    layer: Layer,
    pool: Arc<Pool>,
    /// The beginning of a record.
    partial: Vec<u8>,
    /// Opened, and nobody has taken it yet: only while messages are awaited one by one.
    plain: Vec<u8>,
    sending: Option<Sending>,
    /// The other side sends no more.
    is_ended: bool,
    /// We send no more.
    is_closing: bool,
    /// What the other side is told at the end.
    alert: Option<u8>,
}

/// Sealed records, some of which may be sent.
struct Sending {
    buf: PooledBuf,
    at: usize,
    end: usize,
}

impl PeerStream {
    fn new(tcp: TcpStream, layer: Layer, pool: Arc<Pool>, plain: Vec<u8>, partial: Vec<u8>) -> Self {
        Self {
            tcp,
            layer,
            pool,
            partial,
            plain,
            sending: None,
            is_ended: false,
            is_closing: false,
            alert: None,
        }
    }

    /// Reads once, at most `bytes_max` (at least 1) bytes, and gives `sink` what the records hold, each slice where it was opened. How many bytes were read
    /// from the socket, whatever was in them; `None` at the end.
    pub(super) fn poll_each<E: From<io::Error>>(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Poll<Result<Option<usize>, E>> {
        if !self.plain.is_empty() {
            let plain = std::mem::take(&mut self.plain);
            return Poll::Ready(sink(&plain).map(|()| Some(plain.len())));
        }
        self.poll_records(cx, bytes_max.min(BUF_BYTES), &mut sink)
    }

    fn poll_records<E: From<io::Error>>(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Poll<Result<Option<usize>, E>> {
        if self.is_ended {
            return Poll::Ready(Ok(None));
        }
        // What came with the handshake may hold whole records.
        let held = self.partial.len();
        let whole = held > 0 && self.check(Layer::frame(&self.partial))?.is_some();
        if !whole {
            ready!(self.tcp.poll_read_ready(cx)).map_err(E::from)?;
        }
        let mut buf = self.pool.take();
        buf[..held].copy_from_slice(&self.partial);
        let mut n = 0;
        if !whole {
            let end = (held + bytes_max).min(buf.len());
            let mut read = ReadBuf::new(&mut buf[held..end]);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut read)).map_err(E::from)?;
            n = read.filled().len();
            if n == 0 {
                // Without a word: what is missing may have been cut off by somebody else.
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
        }
        self.partial.clear();
        let (mut at, end) = (0, held + n);
        while let Some(len) = self.check(Layer::frame(&buf[at..end]))? {
            let opened = self.layer.open(&mut buf[at..at + len]);
            match opened.map_err(|fault| failed(&mut self.alert, fault))? {
                Opened::Data(plain) => sink(plain)?,
                Opened::Nothing => {}
                Opened::Closed => {
                    self.is_ended = true;
                    return Poll::Ready(Ok(Some(n.max(1))));
                }
            }
            at += len;
        }
        self.partial.extend_from_slice(&buf[at..end]);
        Poll::Ready(Ok(Some(n.max(1))))
    }

    fn check<T>(&mut self, result: Result<T, TlsFault>) -> io::Result<T> {
        result.map_err(|fault| failed(&mut self.alert, fault))
    }

    /// Ready when everything that is sealed is with the system.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(sending) = &mut self.sending {
            let bytes = &sending.buf[sending.at..sending.end];
            let n = ready!(Pin::new(&mut self.tcp).poll_write(cx, bytes))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            sending.at += n;
            if sending.at == sending.end {
                self.sending = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Remembers what the other side should be told.
fn failed(alert: &mut Option<u8>, fault: TlsFault) -> io::Error {
    *alert = fault.alert();
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

impl AsyncRead for PeerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.plain.is_empty() {
            let mut plain = Vec::new();
            let mut sink = |bytes: &[u8]| {
                plain.extend_from_slice(bytes);
                io::Result::Ok(())
            };
            if ready!(this.poll_records(cx, SMALL_READ_BYTES, &mut sink))?.is_none() {
                return Poll::Ready(Ok(()));
            }
            this.plain = plain;
        }
        let n = this.plain.len().min(into.remaining());
        into.put_slice(&this.plain[..n]);
        this.plain.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Seals up to a buffer full, and sends what the socket takes; the rest goes with the next call, or with a flush.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if this.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut buf = this.pool.take();
        let sealed = this.layer.seal(slices, &mut buf);
        let (taken, end) = this.check(sealed)?;
        if end > 0 {
            this.sending = Some(Sending { buf, at: 0, end });
            if let Poll::Ready(sent) = this.poll_send(cx) {
                sent?;
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if !this.is_closing {
            this.is_closing = true;
            let mut buf = this.pool.take();
            let sealed = this.layer.seal_end(this.alert, &mut buf);
            let end = this.check(sealed)?;
            this.sending = Some(Sending { buf, at: 0, end });
            ready!(this.poll_send(cx))?;
        }
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

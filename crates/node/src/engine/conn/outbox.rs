//! What waits to be sent to one peer: small messages, and blocks that lie in read buffers.
//!
//! Small messages go before blocks, but never into the middle of one. Everything that is ready leaves in one
//! vectored write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use peerage_wire::{Message, PIECE_HEADER_BYTES};
use tokio::io::AsyncWrite;

/// Slices in one vectored write: 16 KiB each is more than the TLS layer takes at once.
const SLICES_MAX: usize = 32;
/// A control buffer that grew beyond this is not kept.
const CONTROL_KEEP_BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    control: BytesMut,
    blocks: VecDeque<OutBlock>,
    /// Bytes of the first block's message that are sent.
    sent: usize,
    /// Bytes of all waiting blocks' data.
    data_bytes: usize,
    /// Something was written and not flushed.
    unflushed: bool,
}

#[derive(Debug)]
struct OutBlock {
    header: Bytes,
    data: Bytes,
}

impl OutBlock {
    fn len(&self) -> usize {
        self.header.len() + self.data.len()
    }
}

impl Outbox {
    /// Queues a small message.
    pub(super) fn push(&mut self, message: &Message) {
        peerage_wire::encode(message, &mut self.control);
    }

    /// Queues blocks: the headers of all of them in one allocation.
    pub(super) fn push_blocks(&mut self, blocks: impl ExactSizeIterator<Item = (u32, u32, Bytes)>) {
        let mut headers = BytesMut::with_capacity(blocks.len() * PIECE_HEADER_BYTES);
        for (piece, begin, data) in blocks {
            peerage_wire::encode_piece_header(piece, begin, data.len() as u32, &mut headers);
            self.data_bytes += data.len();
            self.blocks.push_back(OutBlock { header: headers.split().freeze(), data });
        }
    }

    /// Data of blocks that still wait.
    pub(super) fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    /// Bytes of small messages that still wait.
    pub(super) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.blocks.is_empty()
    }

    /// Writes until everything is out (`Ready`) or the socket takes no more. Adds what it wrote to `written`.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        cx: &mut Context<'_>,
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.gather(&mut slices);
            let n = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n;
            self.unflushed = true;
            self.advance(n);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        let mut add = |bytes: &'a [u8]| {
            let room = count < SLICES_MAX;
            if room && !bytes.is_empty() {
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
            room
        };
        let begun = usize::from(self.sent > 0);
        if let Some(first) = self.blocks.front().filter(|_| begun == 1) {
            let header_sent = self.sent.min(first.header.len());
            add(&first.header[header_sent..]);
            add(&first.data[self.sent - header_sent..]);
        }
        add(&self.control);
        for block in self.blocks.iter().skip(begun) {
            if !(add(&block.header) && add(&block.data)) {
                break;
            }
        }
        count
    }

    /// `n` bytes of what `gather` gave are sent.
    fn advance(&mut self, mut n: usize) {
        if self.sent > 0 {
            n = self.advance_block(n);
        }
        let control = n.min(self.control.len());
        self.control.advance(control);
        if self.control.is_empty() && self.control.capacity() > CONTROL_KEEP_BYTES_MAX {
            self.control = BytesMut::new();
        }
        n -= control;
        while n > 0 {
            n = self.advance_block(n);
        }
    }

    /// Sends up to `n` bytes of the first block; what is left of `n`.
    fn advance_block(&mut self, n: usize) -> usize {
        let Some(first) = self.blocks.front() else { return 0 };
        let left = first.len() - self.sent;
        if n < left {
            self.sent += n;
            return 0;
        }
        self.data_bytes -= first.data.len();
        self.blocks.pop_front();
        self.sent = 0;
        n - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `step` bytes at a time.
    struct Drip {
        step: usize,
        got: Vec<u8>,
    }

    impl AsyncWrite for Drip {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let n = buf.len().min(self.step);
            self.got.extend(&buf[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let step = self.step;
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).take(step).collect();
            self.got.extend(&all);
            Poll::Ready(Ok(all.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn drain(out: &mut Outbox, drip: &mut Drip) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(out.poll_write(drip, &mut cx, &mut 0), Poll::Ready(Ok(()))));
    }

    #[test]
    fn any_cut_gives_the_same_stream() {
        let data = Bytes::from((0..200_u8).collect::<Vec<_>>());
        for step in [1, 7, 13, 14, 50, 1000] {
            let mut out = Outbox::default();
            out.push_blocks([(1, 0, data.slice(..90)), (1, 90, data.slice(90..))].into_iter());
            assert_eq!(out.data_bytes(), 200);
            out.push(&Message::Have(5));
            let mut drip = Drip { step, got: Vec::new() };
            drain(&mut out, &mut drip);
            assert!(out.is_empty() && out.data_bytes() == 0);
            let mut input = BytesMut::from(&drip.got[..]);
            let mut got = Vec::new();
            while let Some(message) = peerage_wire::decode(&mut input).unwrap() {
                got.push(message);
            }
            assert_eq!(got[0], Message::Have(5), "small messages go first");
            assert_eq!(got[1], Message::Piece { piece: 1, begin: 0, data: data.slice(..90) });
            assert_eq!(got[2], Message::Piece { piece: 1, begin: 90, data: data.slice(90..) });
        }
    }

    #[test]
    fn never_in_the_middle_of_a_block() {
        let mut out = Outbox::default();
        out.push_blocks([(0, 0, Bytes::from_static(b"abcd"))].into_iter());
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        assert_eq!(out.gather(&mut slices), 2);
        out.advance(5);
        out.push(&Message::Choke);
        let mut drip = Drip { step: 3, got: Vec::new() };
        drain(&mut out, &mut drip);
        assert_eq!(drip.got, [0, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', b'c', b'd', 0, 0, 0, 1, 0]);
    }
}

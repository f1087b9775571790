//! A peer made by hand, which can lie.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ed25519_dalek::SigningKey;
use peerage_link::tls::{self, ClientKey, ExpectedKey};
use peerage_types::{DeviceId, InfoHash};
use peerage_wire::{
    Bitfield, BlockRef, ExtendedHandshake, HANDSHAKE_BYTES, Handshake, HashRange, Message, RECORDS_EXTENSION,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::world::{Person, Shared, soon};
use crate::engine::handshake::encode_cert;
use crate::engine::hashes::{self, ByRoot};
use crate::engine::socket::ALPN;

/// Under which id a raw peer takes messages about records.
pub const RAW_RECORDS_ID: u8 = 77;

pub struct RawPeer {
    stream: TlsStream<TcpStream>,
    input: BytesMut,
}

/// What a raw peer shows of itself.
pub struct Shown<'a> {
    pub key: &'a SigningKey,
    pub cert: Vec<Vec<u8>>,
    pub info_hash: InfoHash,
}

impl<'a> Shown<'a> {
    /// What an honest member shows.
    pub fn honest(person: &'a Person, shared: &Shared) -> Self {
        Self { key: &person.key, cert: person.cert.clone(), info_hash: shared.hash() }
    }
}

impl RawPeer {
    /// Connects and sends both handshakes; the answer is not read yet.
    pub async fn connect(addr: SocketAddr, device: DeviceId, shown: Shown<'_>) -> std::io::Result<Self> {
        let config = tls::client_config(Some(shown.key), ExpectedKey::Exactly(device), &[ALPN]);
        let tcp = TcpStream::connect(addr).await?;
        let stream = TlsConnector::from(config).connect(tls::server_name(), tcp).await?;
        let mut peer = Self { stream: TlsStream::Client(stream), input: BytesMut::new() };
        peer.greet(shown).await?;
        Ok(peer)
    }

    /// Connects as an honest member and is admitted.
    pub async fn admitted(addr: SocketAddr, device: DeviceId, person: &Person, shared: &Shared) -> Self {
        let mut peer = Self::connect(addr, device, Shown::honest(person, shared)).await.unwrap();
        assert!(peer.is_admitted().await);
        peer
    }

    /// Waits for somebody who connects, and admits them.
    pub async fn accept(listener: &TcpListener, shown: Shown<'_>) -> std::io::Result<Self> {
        let (tcp, _) = listener.accept().await?;
        let config = tls::server_config(shown.key, ClientKey::Required, &[ALPN]);
        let stream = TlsAcceptor::from(config).accept(tcp).await?;
        let mut peer = Self { stream: TlsStream::Server(stream), input: BytesMut::new() };
        peer.is_admitted().await;
        peer.greet(shown).await?;
        Ok(peer)
    }

    async fn greet(&mut self, shown: Shown<'_>) -> std::io::Result<()> {
        let shake = Handshake::new(shown.info_hash.truncated(), *b"-RAW---------------1");
        self.write(&shake.encode()).await?;
        let extended = ExtendedHandshake {
            peerage_cert: Some(encode_cert(shown.cert)),
            request_queue: Some(500),
            messages: [(RECORDS_EXTENSION.to_owned(), RAW_RECORDS_ID)].into(),
            ..ExtendedHandshake::default()
        };
        self.send(&Message::Extended { id: 0, payload: extended.encode() }).await
    }

    /// Whether the other side has sent both handshakes.
    pub async fn is_admitted(&mut self) -> bool {
        let mut shake = [0; HANDSHAKE_BYTES];
        if soon(self.stream.read_exact(&mut shake)).await.is_err() {
            return false;
        }
        matches!(self.recv().await, Some(Message::Extended { id: 0, .. }))
    }

    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub async fn send(&mut self, message: &Message) -> std::io::Result<()> {
        let mut out = BytesMut::new();
        peerage_wire::encode(message, &mut out);
        self.write(&out).await
    }

    /// The next message; `None` when the other side has closed.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = peerage_wire::decode(&mut self.input).unwrap() {
                return Some(message);
            }
            match soon(self.stream.read_buf(&mut self.input)).await {
                Ok(n) if n > 0 => {}
                _ => return None,
            }
        }
    }

    /// The next message that is one of these.
    pub async fn expect<T>(&mut self, pick: impl Fn(Message) -> Option<T>) -> T {
        loop {
            let message = self.recv().await.expect("the other side has closed");
            if let Some(found) = pick(message) {
                return found;
            }
        }
    }

    /// Reads until the other side closes; whether it sent any content meanwhile.
    pub async fn drained(&mut self) -> bool {
        let mut content = false;
        while let Some(message) = self.recv().await {
            content |= matches!(message, Message::Piece { .. });
        }
        content
    }

    /// Serves `shared` until the other side closes: `has` of it, each block as `send` makes it, hashes only if
    /// `tells`. Requests that `send` gives nothing for stay unanswered. How many blocks were sent.
    pub async fn serve(
        mut self,
        shared: &Shared,
        has: &Bitfield,
        tells: Tells,
        mut send: impl FnMut(BlockRef, &[u8]) -> Option<Vec<u8>>,
    ) -> usize {
        let mut sent = 0;
        let hello = [Message::Bitfield(has.to_wire()), Message::Unchoke];
        for message in &hello {
            if self.send(message).await.is_err() {
                return sent;
            }
        }
        while let Some(message) = self.recv().await {
            let answer = match message {
                Message::Request(block) => {
                    let bytes = &shared.piece(block.piece)[block.begin as usize..][..block.len as usize];
                    let Some(data) = send(block, bytes) else { continue };
                    sent += 1;
                    Message::Piece { piece: block.piece, begin: block.begin, data: Bytes::from(data) }
                }
                Message::Cancel(block) => Message::Reject(block),
                Message::HashRequest(range) => match tells.answer(shared, &range) {
                    Some(hashes) => Message::Hashes { range, hashes },
                    None => Message::HashReject(range),
                },
                _ => continue,
            };
            if self.send(&answer).await.is_err() {
                break;
            }
        }
        sent
    }
}

/// What a raw seeder answers to hash requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    Truth,
    Nothing,
    Lies,
}

impl Tells {
    fn answer(self, shared: &Shared, range: &HashRange) -> Option<Vec<peerage_types::Sha256>> {
        let piece = ByRoot::new(&shared.metainfo)
            .pieces_of(&shared.metainfo, range)
            .next()
            .filter(|_| self != Self::Nothing)?;
        let start = shared.metainfo.leaf_start(piece) as usize;
        let mut leaves = shared.leaves.kept()[start..][..shared.metainfo.leaf_count(piece) as usize].to_vec();
        if self == Self::Lies {
            leaves[0].0[5] ^= 1;
        }
        Some(hashes::answer(range, leaves))
    }
}

/// A listener on the loopback, and where it is.
pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Whether the other side closes a plain connection without a word.
pub async fn is_hung_up(mut tcp: TcpStream, after: &[u8]) -> bool {
    tcp.write_all(after).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), tcp.read_to_end(&mut rest)).await;
    read.is_ok() && rest.is_empty()
}

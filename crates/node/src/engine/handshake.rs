//! From a TCP connection to an admitted peer, on both sides.
//!
//! ```text
//! dialler                                         listener
//! TLS 1.3: expects exactly this device's key  →   takes any device's key
//! BitTorrent handshake, BEP 10 handshake      →   knows the torrent? admits the device?
//!   admits the device?                        ←   BitTorrent handshake, BEP 10 handshake
//! ```
//!
//! The listener says nothing before it has admitted the dialler, so a stranger does not even learn whether a torrent
//! is here. Nothing but these messages is sent or read before both sides have admitted each other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use minicbor::bytes::ByteVec;
use peerage_ledger::{Record, RecordFault};
use peerage_link::tls::{self, ClientKey, ExpectedKey};
use peerage_types::limits::BLOCK_BYTES;
use peerage_types::{DeviceId, InfoHashV1, UserId};
use peerage_wire::{
    BLOCK_BYTES_WIRE_MAX, CERT_BYTES_MAX, EXTENDED_HANDSHAKE_ID, ExtendedError, ExtendedHandshake,
    HANDSHAKE_BYTES, HEADS_MAX, Handshake, HandshakeError, Heads, Message, RECORDS_EXTENSION, WireError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::api::NotAdmitted;
use super::conn::REQUESTS_MAX;
use super::shared::{EngineShared, TorrentShared};
use super::socket::{self, ALPN};
use super::tls::{self as stream, PeerStream};

/// The account records of a device, the heads of its group, the rest of the extended handshake, and some room.
const EXTENDED_BYTES_MAX: usize = CERT_BYTES_MAX + (1 + HEADS_MAX) * 32 + 16 * 1024;
/// Account records that a device shows.
const CERT_RECORDS_MAX: usize = 64;
/// From the first packet to a TCP connection: two of them may get lost. An address that swallows packets must not keep
/// others waiting for longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Requests that a peer queues if it does not say (BEP 10).
const REQUESTS_DEFAULT: u32 = 250;
/// Under which id we take messages about the group's records (BEP 10).
pub(super) const RECORDS_ID: u8 = 1;

/// A peer that may take part.
pub(super) struct Admitted {
    pub(super) stream: PeerStream,
    pub(super) device: DeviceId,
    pub(super) user: UserId,
    pub(super) addr: SocketAddr,
    /// Whether we dialled.
    pub(super) outbound: bool,
    /// Requests that it queues, each of up to `block_bytes_max`.
    pub(super) request_queue: u32,
    /// Longest block that it sends, a multiple of 16 KiB.
    pub(super) block_bytes_max: u32,
    /// Under which id it takes messages about the group's records, and what it knows of the group.
    pub(super) records: Option<(u8, Option<Heads>)>,
    /// What it was told that we know of the group.
    pub(super) told: Option<Heads>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeFailed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the other side showed no device key")]
    NoKey,
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Extended(#[from] ExtendedError),
    #[error("the other side speaks neither BEP 10 nor BEP 52, expected both")]
    Capabilities,
    #[error("there is no torrent {0} here")]
    UnknownTorrent(InfoHashV1),
    #[error("the other side answered for another torrent")]
    WrongTorrent,
    #[error(
        "the first message has {0} bytes, expected an extended handshake of at most {EXTENDED_BYTES_MAX}"
    )]
    FirstLength(usize),
    #[error("the first message is not an extended handshake")]
    NotExtended,
    #[error("the shown account records are not a list of at most {CERT_RECORDS_MAX} byte strings")]
    CertList,
    #[error("a shown account record is invalid: {0}")]
    Record(#[from] RecordFault),
    #[error("not admitted: {0}")]
    NotAdmitted(#[from] NotAdmitted),
}

/// The dialler's side.
pub(super) async fn dial(
    torrent: &TorrentShared,
    device: DeviceId,
    addr: SocketAddr,
) -> Result<Admitted, HandshakeFailed> {
    let engine = &torrent.engine;
    let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(addr));
    let tcp = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    socket::tune(&tcp)?;
    let config = tls::client_config(Some(&engine.device), ExpectedKey::Exactly(device), &[ALPN]);
    let pool = Arc::clone(&engine.wire_pool);
    let mut stream = stream::connect(tcp, config, tls::server_name(), pool).await?;
    let told = known(torrent);
    stream.write_all(&greeting(torrent, &told)).await?;
    stream.flush().await?;
    let shake = read_handshake(&mut stream).await?;
    if shake.info_hash != torrent.info_hash.truncated() {
        return Err(HandshakeFailed::WrongTorrent);
    }
    let extended = read_extended(&mut stream).await?;
    let user = admit(torrent, &device, &extended)?;
    Ok(admitted(stream, device, user, addr, true, extended, told))
}

/// The listener's side, up to TLS: who is there.
pub(super) async fn accept_tls(
    engine: &EngineShared,
    tcp: TcpStream,
) -> Result<(PeerStream, DeviceId), HandshakeFailed> {
    socket::tune(&tcp)?;
    let config = tls::server_config(&engine.device, ClientKey::Required, &[ALPN]);
    let (stream, device) = stream::accept(tcp, config, Arc::clone(&engine.wire_pool)).await?;
    Ok((stream, device.ok_or(HandshakeFailed::NoKey)?))
}

/// The listener's side, after TLS. `find` knows the torrents by the handshake's short hash.
pub(super) async fn accept(
    mut stream: PeerStream,
    device: DeviceId,
    addr: SocketAddr,
    find: impl Fn(&InfoHashV1) -> Option<Arc<TorrentShared>>,
) -> Result<(Arc<TorrentShared>, Admitted), HandshakeFailed> {
    let shake = read_handshake(&mut stream).await?;
    let torrent = find(&shake.info_hash).ok_or(HandshakeFailed::UnknownTorrent(shake.info_hash))?;
    let extended = read_extended(&mut stream).await?;
    let user = admit(&torrent, &device, &extended)?;
    let told = known(&torrent);
    stream.write_all(&greeting(&torrent, &told)).await?;
    stream.flush().await?;
    let admitted = admitted(stream, device, user, addr, false, extended, told);
    Ok((torrent, admitted))
}

/// Packs the own account records as `peerage_cert` carries them.
pub(super) fn encode_cert(records: Vec<Vec<u8>>) -> Bytes {
    let list: Vec<ByteVec> = records.into_iter().map(ByteVec::from).collect();
    // Writing to memory cannot fail.
    minicbor::to_vec(list).unwrap_or_default().into()
}

/// What we know of the torrent's group.
fn known(torrent: &TorrentShared) -> Option<Heads> {
    torrent.engine.roster.records().and_then(|records| records.heads(&torrent.group))
}

/// Both handshakes of ours.
fn greeting(torrent: &TorrentShared, known: &Option<Heads>) -> BytesMut {
    let engine = &torrent.engine;
    let shake = Handshake::new(torrent.info_hash.truncated(), engine.peer_id);
    let extended = ExtendedHandshake {
        client: concat!("Peerage ", env!("CARGO_PKG_VERSION")).to_owned(),
        request_queue: Some(REQUESTS_MAX),
        listen_port: Some(engine.listen.port()),
        peerage_cert: Some(engine.cert.clone()),
        block_bytes_max: Some(BLOCK_BYTES_WIRE_MAX),
        messages: [(RECORDS_EXTENSION.to_owned(), RECORDS_ID)].into(),
        peerage_heads: known.clone(),
        ..ExtendedHandshake::default()
    };
    let mut bytes = BytesMut::from(&shake.encode()[..]);
    peerage_wire::encode(
        &Message::Extended { id: EXTENDED_HANDSHAKE_ID, payload: extended.encode() },
        &mut bytes,
    );
    bytes
}

async fn read_handshake(stream: &mut PeerStream) -> Result<Handshake, HandshakeFailed> {
    let mut bytes = [0; HANDSHAKE_BYTES];
    stream.read_exact(&mut bytes).await?;
    let shake = Handshake::decode(&bytes)?;
    // BEP 6 comes along with BEP 52 in every client that speaks it; without, requests could stay unanswered.
    let capable = shake.supports_extended() && shake.fast() && shake.v2();
    if capable { Ok(shake) } else { Err(HandshakeFailed::Capabilities) }
}

async fn read_extended(stream: &mut PeerStream) -> Result<ExtendedHandshake, HandshakeFailed> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await?;
    let len = u32::from_be_bytes(prefix) as usize;
    if !(2..=EXTENDED_BYTES_MAX).contains(&len) {
        return Err(HandshakeFailed::FirstLength(len));
    }
    let mut frame = BytesMut::from(&prefix[..]);
    frame.resize(prefix.len() + len, 0);
    stream.read_exact(&mut frame[prefix.len()..]).await?;
    match peerage_wire::decode(&mut frame)? {
        Some(Message::Extended { id: EXTENDED_HANDSHAKE_ID, payload }) => {
            Ok(ExtendedHandshake::decode(&payload)?)
        }
        _ => Err(HandshakeFailed::NotExtended),
    }
}

fn admit(
    torrent: &TorrentShared,
    device: &DeviceId,
    extended: &ExtendedHandshake,
) -> Result<UserId, HandshakeFailed> {
    let roster = &torrent.engine.roster;
    let cluster = roster.cluster();
    let mut cert = Vec::new();
    if let Some(bytes) = &extended.peerage_cert {
        for record in decode_cert(bytes)? {
            cert.push(Record::decode(record, &cluster)?);
        }
    }
    Ok(roster.admits(&torrent.group, device, &cert)?)
}

fn decode_cert(bytes: &[u8]) -> Result<Vec<&[u8]>, HandshakeFailed> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let wrong = |_| HandshakeFailed::CertList;
    let count = decoder.array().map_err(wrong)?.ok_or(HandshakeFailed::CertList)?;
    if count > CERT_RECORDS_MAX as u64 {
        return Err(HandshakeFailed::CertList);
    }
    (0..count).map(|_| decoder.bytes().map_err(wrong)).collect()
}

fn admitted(
    stream: PeerStream,
    device: DeviceId,
    user: UserId,
    addr: SocketAddr,
    outbound: bool,
    extended: ExtendedHandshake,
    told: Option<Heads>,
) -> Admitted {
    let records = extended.messages.get(RECORDS_EXTENSION).copied().filter(|id| *id != 0);
    let block = extended.block_bytes_max.unwrap_or(BLOCK_BYTES).clamp(BLOCK_BYTES, BLOCK_BYTES_WIRE_MAX);
    Admitted {
        stream,
        device,
        user,
        addr,
        outbound,
        request_queue: extended.request_queue.unwrap_or(REQUESTS_DEFAULT),
        block_bytes_max: block - block % BLOCK_BYTES,
        records: records.map(|id| (id, extended.peerage_heads)),
        told,
    }
}

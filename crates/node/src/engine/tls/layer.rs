//! TLS 1.3 records after the handshake (RFC 8446, 5), sealed and opened in the caller's buffers.
//!
//! rustls makes the handshake and derives every key, those of key updates too; only the records are ours, because
//! its own record layer, buffered or not, copies each byte into a fresh vector and out of it again. Here a record is
//! opened where the socket put it and sealed from where the disk put it. No socket in here.

use std::io::IoSlice;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets, SupportedCipherSuite};

/// Type, version, length.
const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
const IV_BYTES: usize = 12;
/// Content of one record (RFC 8446, 5.1).
pub(in crate::engine) const PLAIN_BYTES_MAX: usize = 1 << 14;
/// What may follow the header (RFC 8446, 5.2).
const SEALED_BYTES_MAX: usize = PLAIN_BYTES_MAX + 256;
/// The longest record.
pub(super) const RECORD_BYTES_MAX: usize = HEADER_BYTES + SEALED_BYTES_MAX;
/// What sealing adds: the header, the content's type, the tag.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + TAG_BYTES;
/// Room for a key update before a record.
const KEY_UPDATE_BYTES: usize = 5 + OVERHEAD_BYTES;
/// Slices up to this share a record with their neighbours; the rest is sealed from where it lies.
const SMALL_BYTES_MAX: usize = 1024;
/// Records without data, one after another: key updates, tickets, padding. Nobody needs more; each key update costs
/// us a key derivation.
const IDLE_RECORDS_MAX: u32 = 32;

/// Content types (RFC 8446, B.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// Handshake messages that may come after the handshake (RFC 8446, 4.6).
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
/// Alerts (RFC 8446, 6).
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// Why a connection cannot go on. Everything but `Keys` and `Exhausted` is the other side's fault.
#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum TlsFault {
    #[error("a TLS record of type {0}, expected application data (23)")]
    Outer(u8),
    #[error("a TLS record of {0} bytes, expected {min} to {SEALED_BYTES_MAX}", min = TAG_BYTES + 1)]
    Length(usize),
    #[error("a TLS record that is not from the other side, or was changed on its way")]
    Forged,
    #[error("a TLS record with {0}")]
    Content(&'static str),
    #[error("more than {IDLE_RECORDS_MAX} TLS records without data, one after another")]
    Idle,
    #[error("the other side ended the connection with TLS alert {0}")]
    Alert(u8),
    #[error("the keys of this connection are used up")]
    Exhausted,
    #[error("no new keys: {0}")]
    Keys(#[from] rustls::Error),
}

impl TlsFault {
    /// What the other side is told (RFC 8446, 6.2).
    pub(super) fn alert(&self) -> Option<u8> {
        match self {
            Self::Outer(_) | Self::Content(_) | Self::Idle => Some(10),
            Self::Forged => Some(20),
            Self::Length(_) => Some(22),
            Self::Exhausted | Self::Keys(_) => Some(80),
            Self::Alert(_) => None,
        }
    }
}

/// What a record was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened<'a> {
    Data(&'a [u8]),
    /// Something that is dealt with.
    Nothing,
    /// The other side sends no more.
    Closed,
}

/// Where the keys after a key update come from.
pub(super) enum Keys {
    Client(Box<KernelConnection<ClientConnectionData>>),
    Server(Box<KernelConnection<ServerConnectionData>>),
}

impl Keys {
    fn next_tx(&mut self) -> Result<Half, TlsFault> {
        let (seq, secrets) = match self {
            Self::Client(keys) => keys.update_tx_secret(),
            Self::Server(keys) => keys.update_tx_secret(),
        }?;
        Half::new(seq, &secrets)
    }

    fn next_rx(&mut self) -> Result<Half, TlsFault> {
        let (seq, secrets) = match self {
            Self::Client(keys) => keys.update_rx_secret(),
            Self::Server(keys) => keys.update_rx_secret(),
        }?;
        Half::new(seq, &secrets)
    }

    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(keys) => keys.negotiated_cipher_suite(),
            Self::Server(keys) => keys.negotiated_cipher_suite(),
        }
    }
}

/// One direction.
struct Half {
    key: LessSafeKey,
    iv: [u8; IV_BYTES],
    /// Records so far with this key.
    seq: u64,
}

impl Half {
    fn new(seq: u64, secrets: &ConnectionTrafficSecrets) -> Result<Self, TlsFault> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(rustls::Error::General("a cipher that we do not know".to_owned()).into()),
        };
        let unfit = || rustls::Error::General("a key that does not fit its cipher".to_owned());
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| unfit())?;
        let iv = iv.as_ref().try_into().map_err(|_| unfit())?;
        Ok(Self { key: LessSafeKey::new(key), iv, seq })
    }

    /// Of the next record; never the same twice with one key (RFC 8446, 5.3).
    fn nonce(&mut self) -> Result<Nonce, TlsFault> {
        let seq = self.seq.to_be_bytes();
        self.seq = self.seq.checked_add(1).ok_or(TlsFault::Exhausted)?;
        let mut nonce = self.iv;
        nonce[IV_BYTES - seq.len()..].iter_mut().zip(seq).for_each(|(byte, seq)| *byte ^= seq);
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals one record at the front of `out`; how long it is.
    fn seal(&mut self, kind: u8, plain: &[u8], out: &mut [u8]) -> Result<usize, TlsFault> {
        debug_assert!(plain.len() <= PLAIN_BYTES_MAX && out.len() >= plain.len() + OVERHEAD_BYTES);
        let len = plain.len() + OVERHEAD_BYTES;
        let sealed = u16::try_from(len - HEADER_BYTES).map_err(|_| TlsFault::Length(plain.len()))?;
        let [high, low] = sealed.to_be_bytes();
        let header = [DATA, 3, 3, high, low];
        let out = out.get_mut(..len).ok_or(TlsFault::Length(plain.len()))?;
        out[..HEADER_BYTES].copy_from_slice(&header);
        let (content, end) = out[HEADER_BYTES..].split_at_mut(plain.len());
        let nonce = self.nonce()?;
        self.key
            .seal_out_of_place_scatter(nonce, Aad::from(header), plain, content, &[kind], end)
            .map_err(|_| TlsFault::Exhausted)?;
        Ok(len)
    }

    /// Opens a whole record in place: its content and its type.
    fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<(&'a [u8], u8), TlsFault> {
        let len = record.len();
        let (header, sealed) = record.split_first_chunk_mut::<HEADER_BYTES>().ok_or(TlsFault::Length(len))?;
        let (content, tag) =
            sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(TlsFault::Length(len - HEADER_BYTES))?;
        let nonce = self.nonce()?;
        let content = self
            .key
            .open_in_place_separate_tag(nonce, Aad::from(*header), tag, content)
            .map_err(|_| TlsFault::Forged)?;
        // The type is the last byte that is not padding.
        let end = content.iter().rposition(|byte| *byte != 0).ok_or(TlsFault::Content("no type"))?;
        if end > PLAIN_BYTES_MAX {
            return Err(TlsFault::Length(len - HEADER_BYTES));
        }
        Ok((&content[..end], content[end]))
    }
}

/// Both directions of one connection.
pub(super) struct Layer {
    keys: Keys,
    tx: Half,
    rx: Half,
    /// Records that may be sealed with one key; then it is updated.
    pub(super) tx_records_max: u64,
    /// The other side has asked for new keys of ours.
    pub(super) update_due: bool,
    idle_records: u32,
}

impl Layer {
    /// Goes on where rustls stopped.
    pub(super) fn new(secrets: &ExtractedSecrets, keys: Keys) -> Result<Self, TlsFault> {
        let limit = keys.suite().tls13().map(|suite| suite.common.confidentiality_limit);
        Ok(Self {
            tx: Half::new(secrets.tx.0, &secrets.tx.1)?,
            rx: Half::new(secrets.rx.0, &secrets.rx.1)?,
            // One is for the key update itself.
            tx_records_max: limit.unwrap_or(1 << 23) - 1,
            keys,
            update_due: false,
            idle_records: 0,
        })
    }

    /// How long the record at the front of `bytes` is, once all of it is there.
    pub(super) fn frame(bytes: &[u8]) -> Result<Option<usize>, TlsFault> {
        if let Some(kind) = bytes.first().filter(|kind| **kind != DATA) {
            return Err(TlsFault::Outer(*kind));
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if !(TAG_BYTES + 1..=SEALED_BYTES_MAX).contains(&len) {
            return Err(TlsFault::Length(len));
        }
        Ok((rest.len() >= len).then_some(HEADER_BYTES + len))
    }

    /// Opens a record that [`Layer::frame`] has measured.
    pub(super) fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<Opened<'a>, TlsFault> {
        let (content, kind) = self.rx.open(record)?;
        if kind == DATA && !content.is_empty() {
            self.idle_records = 0;
            return Ok(Opened::Data(content));
        }
        self.idle_records += 1;
        if self.idle_records > IDLE_RECORDS_MAX {
            return Err(TlsFault::Idle);
        }
        match kind {
            DATA => Ok(Opened::Nothing),
            ALERT => alert(content),
            HANDSHAKE => self.handshake(content).map(|()| Opened::Nothing),
            _ => Err(TlsFault::Content("content of an unknown type")),
        }
    }

    /// Seals as much of `slices` as `out` has room for: how many bytes of them, and how long the records are.
    pub(super) fn seal(
        &mut self,
        slices: &[IoSlice<'_>],
        out: &mut [u8],
    ) -> Result<(usize, usize), TlsFault> {
        let mut small = [0; SMALL_BYTES_MAX];
        let (mut waiting, mut taken, mut at) = (0, 0, 0);
        let room = out.len();
        let fits = |at: usize, len: usize| at + len + OVERHEAD_BYTES + KEY_UPDATE_BYTES <= room;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            if slice.len() <= SMALL_BYTES_MAX - waiting && fits(at, waiting + slice.len()) {
                small[waiting..waiting + slice.len()].copy_from_slice(slice);
                (waiting, taken) = (waiting + slice.len(), taken + slice.len());
                continue;
            }
            if waiting > 0 {
                at += self.seal_one(&small[..std::mem::take(&mut waiting)], &mut out[at..])?;
            }
            for chunk in slice.chunks(PLAIN_BYTES_MAX) {
                if !fits(at, chunk.len()) {
                    return Ok((taken, at));
                }
                at += self.seal_one(chunk, &mut out[at..])?;
                taken += chunk.len();
            }
        }
        if waiting > 0 {
            at += self.seal_one(&small[..waiting], &mut out[at..])?;
        }
        Ok((taken, at))
    }

    /// The record that says why we send no more: a fatal alert, or that all is well.
    pub(super) fn seal_end(&mut self, alert: Option<u8>, out: &mut [u8]) -> Result<usize, TlsFault> {
        let content = alert.map_or([WARNING, CLOSE_NOTIFY], |alert| [FATAL, alert]);
        self.tx.seal(ALERT, &content, out)
    }

    fn seal_one(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, TlsFault> {
        let mut at = 0;
        if self.update_due || self.tx.seq >= self.tx_records_max {
            self.update_due = false;
            at = self.tx.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0], out)?;
            self.tx = self.keys.next_tx()?;
        }
        Ok(at + self.tx.seal(DATA, plain, &mut out[at..])?)
    }

    /// Messages after the handshake, each whole in its record.
    fn handshake(&mut self, mut content: &[u8]) -> Result<(), TlsFault> {
        while let Some((head, rest)) = content.split_first_chunk::<4>() {
            let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            let body = rest.get(..len).ok_or(TlsFault::Content("a part of a handshake message"))?;
            content = &rest[len..];
            match (head[0], body) {
                // What comes after it is under the new key, so nothing may follow in this record.
                (KEY_UPDATE, [asks @ (0 | 1)]) if content.is_empty() => {
                    self.rx = self.keys.next_rx()?;
                    self.update_due |= *asks == 1;
                    return Ok(());
                }
                // We resume nothing.
                (NEW_SESSION_TICKET, _) => {}
                _ => return Err(TlsFault::Content("an unexpected handshake message")),
            }
        }
        if content.is_empty() { Ok(()) } else { Err(TlsFault::Content("a part of a handshake message")) }
    }
}

fn alert(content: &[u8]) -> Result<Opened<'static>, TlsFault> {
    match *content {
        [_, CLOSE_NOTIFY] => Ok(Opened::Closed),
        [_, USER_CANCELED] => Ok(Opened::Nothing),
        [_, code] => Err(TlsFault::Alert(code)),
        _ => Err(TlsFault::Content("something else than one alert")),
    }
}

//! The one way in which two programs of ours talk: TLS 1.3 (RFC 8446) with raw ed25519 public keys (RFC 7250)
//! on both sides. No certificates, names, dates or authorities; no tickets, resumption or early data.
//!
//! At this level any ed25519 key is a good client key: who it belongs to is decided by the roster or the
//! account view, through [`peer_key`].

use std::io;
use std::sync::Arc;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use peerage_types::PublicKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey as TlsSigningKey};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, OtherError,
    PeerMisbehaved, ServerConfig, SignatureAlgorithm, SignatureScheme,
};

/// ALPN of a tracker connection (RFC 7540, 3.1).
pub const ALPN_H2: &[u8] = b"h2";

/// DER of an ed25519 SubjectPublicKeyInfo up to the key itself (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whether a server insists on knowing its client's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKey {
    /// Asked for; a client without one may still register or log in.
    Optional,
    /// A client without one is refused in the handshake.
    Required,
}

/// Which server a client wants to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedKey {
    /// This one; any other key ends the handshake with [`TlsError::WrongKey`].
    Exactly(PublicKey),
    /// Whoever answers: the caller reads [`peer_key`] afterwards and decides (trust on first use).
    Learn,
}

/// What our own checks refuse inside a handshake. Find it again in a library error with [`TlsError::of`] or
/// [`TlsError::of_io`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The server holds another key than the pinned one.
    #[error("expected the key {expected}, the other side has {got}")]
    WrongKey {
        /// The pinned key.
        expected: PublicKey,
        /// The key that the server showed.
        got: PublicKey,
    },
    /// The other side showed something else than one ed25519 key.
    #[error("the other side did not show an ed25519 public key (RFC 8410)")]
    NotEd25519,
}

impl TlsError {
    /// Our refusal inside a TLS error, if it is one.
    pub fn of(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref().copied()
            }
            _ => None,
        }
    }

    /// As [`TlsError::of`], for the I/O error in which an async connection wraps it.
    pub fn of_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().and_then(Self::of)
    }
}

impl From<TlsError> for rustls::Error {
    fn from(error: TlsError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// A server that proves `key` and asks its clients for theirs. `alpn` in order of preference, may be empty.
pub fn server_config(key: &SigningKey, client: ClientKey, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider());
    #[expect(
        clippy::expect_used,
        reason = "depends on the suites in `provider` alone, which the tests cover"
    )]
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3 suites");
    let mut config = builder
        .with_client_cert_verifier(Arc::new(AnyClient { client }))
        .with_cert_resolver(Arc::new(OwnKey::new(Some(key))));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// A client that proves `key` when it has one and accepts `server`. `alpn` in order of preference, may be empty.
/// Connect with [`server_name`].
pub fn client_config(key: Option<&SigningKey>, server: ExpectedKey, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    client(provider(), key, server, alpn)
}

/// As [`client_config`] without a key, but what it says first fits into any packet (some 300 bytes): it does without the
/// hybrid key exchange. To find out whether large packets are what is lost on the way; nothing secret is told over it.
pub fn small_client_config(server: ExpectedKey, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let base = provider();
    let kx_groups = vec![aws_lc_rs::kx_group::X25519];
    client(Arc::new(CryptoProvider { kx_groups, ..CryptoProvider::clone(&base) }), None, server, alpn)
}

fn client(
    provider: Arc<CryptoProvider>,
    key: Option<&SigningKey>,
    server: ExpectedKey,
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider);
    #[expect(
        clippy::expect_used,
        reason = "depends on the suites in `provider` alone, which the tests cover"
    )]
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3 suites");
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ThisServer { server }))
        .with_client_cert_resolver(Arc::new(OwnKey::new(key)));
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// What rustls wants to be told as the server's name. Raw keys have no names and none is sent.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())
}

/// The key that the other side proved; `None` before the handshake is complete or when it showed none.
pub fn peer_key(conn: &CommonState) -> Option<PublicKey> {
    match conn.is_handshaking() {
        true => None,
        false => conn.peer_certificates().and_then(|chain| parse_spki(chain.first()?)),
    }
}

/// AES-128-GCM comes first: it is the fastest wherever the processor has AES, and fast enough elsewhere. The
/// hybrid key exchange keeps recorded transfers closed to a later quantum computer.
fn provider() -> Arc<CryptoProvider> {
    let base = aws_lc_rs::default_provider();
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519],
        ..base
    })
}

fn encode_spki(key: &VerifyingKey) -> CertificateDer<'static> {
    CertificateDer::from([&SPKI_PREFIX[..], key.as_bytes()].concat())
}

fn parse_spki(spki: &[u8]) -> Option<PublicKey> {
    PublicKey::from_slice(spki.strip_prefix(&SPKI_PREFIX)?)
}

/// One raw key and no chain: anything else is not what RFC 7250 sends.
fn shown_key(end_entity: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<PublicKey, TlsError> {
    parse_spki(end_entity).filter(|_| rest.is_empty()).ok_or(TlsError::NotEd25519)
}

/// Strict verification, as everywhere else: a key of small order would "prove" itself with any signature.
fn verify(
    message: &[u8],
    spki: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    if dss.scheme != SignatureScheme::ED25519 {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    let key = parse_spki(spki).ok_or(TlsError::NotEd25519)?;
    let bad = |_| rustls::Error::InvalidCertificate(CertificateError::BadSignature);
    let key = VerifyingKey::from_bytes(&key.0).map_err(bad)?;
    let signature = Signature::from_slice(dss.signature()).map_err(bad)?;
    key.verify_strict(message, &signature).map_err(bad)?;
    Ok(HandshakeSignatureValid::assertion())
}

/// TLS 1.2 is never negotiated; the library asks all the same.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}

#[derive(Debug)]
struct ThisServer {
    server: ExpectedKey,
}

impl ServerCertVerifier for ThisServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let got = shown_key(end_entity, rest)?;
        match self.server {
            ExpectedKey::Exactly(expected) if expected != got => {
                Err(TlsError::WrongKey { expected, got }.into())
            }
            ExpectedKey::Exactly(_) | ExpectedKey::Learn => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct AnyClient {
    client: ClientKey,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.client == ClientKey::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        shown_key(end_entity, rest)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Our own key, or none. A client without a key must speak RFC 7250 all the same, else the server, which
/// accepts nothing but raw keys, refuses it before it can say that it has none.
#[derive(Debug)]
struct OwnKey(Option<Arc<CertifiedKey>>);

impl OwnKey {
    fn new(key: Option<&SigningKey>) -> Self {
        Self(key.map(|key| {
            let spki = encode_spki(&key.verifying_key());
            Arc::new(CertifiedKey::new(vec![spki], Arc::new(Ed25519 { key: key.clone() })))
        }))
    }

    fn offered(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone().filter(|_| schemes.contains(&SignatureScheme::ED25519))
    }
}

impl ResolvesServerCert for OwnKey {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.offered(hello.signature_schemes())
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}

impl ResolvesClientCert for OwnKey {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.offered(schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Signs with the key type that the rest of the program uses: it wipes itself, where a DER copy would not.
#[derive(Debug, Clone)]
struct Ed25519 {
    key: SigningKey,
}

impl TlsSigningKey for Ed25519 {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Ed25519 {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;

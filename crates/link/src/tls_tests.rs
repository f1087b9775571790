use std::io::{Read, Write};

use expect_test::{Expect, expect};
use rustls::{ClientConnection, ServerConnection};

use super::*;

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

impl Pair {
    fn new(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Self {
        Self {
            client: ClientConnection::new(client, server_name()).unwrap(),
            server: ServerConnection::new(server).unwrap(),
        }
    }

    /// Carries bytes both ways until neither side has any, or one fails.
    fn shake_hands(&mut self) -> Result<(), (&'static str, rustls::Error)> {
        while self.client.wants_write() || self.server.wants_write() {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).unwrap();
            }
            let mut unread = &wire[..];
            while !unread.is_empty() {
                self.server.read_tls(&mut unread).unwrap();
                self.server.process_new_packets().map_err(|e| ("server", e))?;
            }
            wire.clear();
            while self.server.wants_write() {
                self.server.write_tls(&mut wire).unwrap();
            }
            let mut unread = &wire[..];
            while !unread.is_empty() {
                self.client.read_tls(&mut unread).unwrap();
                self.client.process_new_packets().map_err(|e| ("client", e))?;
            }
        }
        Ok(())
    }
}

#[test]
fn both_sides_prove_their_keys() {
    let (client, server) = (key(1), key(2));
    let expected = ExpectedKey::Exactly(public(&server));
    let mut pair = Pair::new(
        client_config(Some(&client), expected, &[ALPN_H2]),
        server_config(&server, ClientKey::Required, &[ALPN_H2]),
    );
    assert_eq!(peer_key(&pair.client), None);
    pair.shake_hands().unwrap();

    assert_eq!(peer_key(&pair.client), Some(public(&server)));
    assert_eq!(peer_key(&pair.server), Some(public(&client)));
    assert_eq!(pair.client.alpn_protocol(), Some(ALPN_H2));
    assert_eq!(pair.client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let suite = pair.client.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let group = pair.client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);

    pair.client.writer().write_all(b"a piece").unwrap();
    pair.shake_hands().unwrap();
    let mut got = [0; 7];
    pair.server.reader().read_exact(&mut got).unwrap();
    assert_eq!(&got, b"a piece");
}

#[test]
fn a_client_without_a_key() {
    let server = key(2);
    let client = || client_config(None, ExpectedKey::Learn, &[]);
    let mut pair = Pair::new(client(), server_config(&server, ClientKey::Optional, &[]));
    pair.shake_hands().unwrap();
    assert_eq!(peer_key(&pair.client), Some(public(&server)));
    assert_eq!(peer_key(&pair.server), None);

    let mut pair = Pair::new(client(), server_config(&server, ClientKey::Required, &[]));
    assert_eq!(pair.shake_hands(), Err(("server", rustls::Error::NoCertificatesPresented)));
}

#[test]
fn another_server_key_is_named() {
    let expected = ExpectedKey::Exactly(public(&key(3)));
    let mut pair = Pair::new(
        client_config(Some(&key(1)), expected, &[]),
        server_config(&key(2), ClientKey::Optional, &[]),
    );
    let (side, error) = pair.shake_hands().unwrap_err();
    let ours = TlsError::WrongKey { expected: public(&key(3)), got: public(&key(2)) };
    assert_eq!((side, TlsError::of(&error)), ("client", Some(ours)));
    assert_eq!(TlsError::of_io(&io::Error::new(io::ErrorKind::InvalidData, error)), Some(ours));
    expect!["expected the key ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1, the other side has 8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"].assert_eq(&ours.to_string());
    assert_eq!(TlsError::of(&rustls::Error::HandshakeNotComplete), None);
}

#[test]
fn no_ticket_is_sent() {
    let mut pair = Pair::new(
        client_config(Some(&key(1)), ExpectedKey::Learn, &[]),
        server_config(&key(2), ClientKey::Optional, &[]),
    );
    pair.shake_hands().unwrap();
    // `shake_hands` let the server write all that it had, and the client has read it.
    assert_eq!(pair.client.tls13_tickets_received(), 0);
    assert_eq!(pair.client.handshake_kind(), Some(rustls::HandshakeKind::Full));
}

/// A server that has only a certificate to show, and a client that wants one, are no peers of ours.
#[test]
fn hellos_that_are_refused() {
    // Record header, handshake header, then the hello: legacy version 1.2, 32 bytes of random, no session id,
    // one suite, no compression, and the given extensions.
    #[track_caller]
    fn check(suite: [u8; 2], extensions: &[u8], expected: Expect) {
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, suite[0], suite[1], 1, 0]);
        hello.extend((extensions.len() as u16).to_be_bytes());
        hello.extend(extensions);
        let mut message = vec![1, 0];
        message.extend((hello.len() as u16).to_be_bytes());
        message.extend(hello);
        let mut wire = vec![0x16, 3, 1];
        wire.extend((message.len() as u16).to_be_bytes());
        wire.extend(message);

        let mut server = ServerConnection::new(server_config(&key(2), ClientKey::Optional, &[])).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        expected.assert_eq(&format!("{:?}", server.process_new_packets().map(|_| ()).unwrap_err()));
    }
    // TLS 1.2: ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, signature_algorithms and supported_groups only.
    let tls12: &[u8] = &[0, 13, 0, 4, 0, 2, 8, 7, 0, 10, 0, 4, 0, 2, 0, 29];
    check([0xc0, 0x2b], tls12, expect!["PeerIncompatible(SupportedVersionsExtensionRequired)"]);
    // TLS 1.3 from somebody who speaks X.509 only.
    let mut tls13 = tls12.to_vec();
    tls13.extend([0, 43, 0, 3, 2, 3, 4, 0, 51, 0, 38, 0, 36, 0, 29, 0, 32]);
    tls13.extend([9; 32]);
    check([0x13, 1], &tls13, expect!["PeerIncompatible(IncorrectCertificateTypeExtension)"]);
}

/// The identity point as a public key: a lax verifier accepts a constant signature for it.
#[test]
fn a_key_of_small_order_proves_nothing() {
    let mut weak = [0; 32];
    weak[0] = 1;
    let spki = CertificateDer::from([&SPKI_PREFIX[..], &weak].concat());
    let mut signature = [0; 64];
    signature[0] = 1;
    // DigitallySignedStruct on the wire: scheme, length, signature (RFC 8446, 4.4.3).
    let mut wire = vec![8, 7, 0, 64];
    wire.extend(signature);
    let dss = <DigitallySignedStruct as rustls::internal::msgs::codec::Codec<'_>>::read_bytes(&wire).unwrap();
    assert!(verify(b"anything", &spki, &dss).is_err());
}

#[test]
fn only_the_one_encoding_of_a_key_is_read() {
    let spki = encode_spki(&key(1).verifying_key());
    assert_eq!(parse_spki(&spki), Some(public(&key(1))));
    assert_eq!(parse_spki(&spki[..43]), None);
    assert_eq!(parse_spki(&[&spki[..], &[0]].concat()), None);
    assert_eq!(parse_spki(&[&[0x31], &spki[1..]].concat()), None);
    assert_eq!(shown_key(&spki, std::slice::from_ref(&spki)), Err(TlsError::NotEd25519));
}

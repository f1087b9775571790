//! Both handshakes.

use bytes::Bytes;
use expect_test::{Expect, expect};
use peerage_types::{InfoHashV1, RecordId};
use peerage_wire::{CLIENT_BYTES_MAX, ExtendedHandshake, HANDSHAKE_BYTES, Handshake, Heads};
use proptest::prelude::*;

#[test]
fn golden_handshake() {
    let shake = Handshake::new(InfoHashV1([0xab; 20]), *b"-PG0100-0123456789ab");
    let bytes = shake.encode();
    expect![[r#""\u{13}BitTorrent protocol\0\0\0\0\0\u{10}\0\u{14}""#]]
        .assert_eq(&format!("{:?}", String::from_utf8_lossy(&bytes[..28])));
    assert_eq!((&bytes[28..48], &bytes[48..]), ([0xab; 20].as_slice(), b"-PG0100-0123456789ab".as_slice()));
    assert_eq!(Handshake::decode(&bytes), Ok(shake));
    assert!(shake.supports_extended() && shake.fast() && shake.v2());
    let plain = Handshake { reserved: [0; 8], ..shake };
    assert!(!plain.supports_extended() && !plain.fast() && !plain.v2());
}

#[test]
fn tls_is_not_a_handshake() {
    let error = Handshake::decode(&[0x16; HANDSHAKE_BYTES]).unwrap_err();
    expect!["the handshake starts with byte 22, expected 19 and `BitTorrent protocol`"]
        .assert_eq(&error.to_string());
}

#[track_caller]
fn check(payload: &str, expected: Expect) {
    let result = match ExtendedHandshake::decode(payload.as_bytes()) {
        Ok(shake) => String::from_utf8_lossy(&shake.encode()).into_owned(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&result);
}

#[test]
fn golden_extended_handshake() {
    let shake = ExtendedHandshake {
        client: "Peerage 0.1".to_owned(),
        request_queue: Some(2000),
        listen_port: Some(7600),
        metadata_size: Some(31_235),
        messages: [("ut_metadata".to_owned(), 3)].into(),
        peerage_cert: Some(Bytes::from_static(b"\x80")),
        block_bytes_max: Some(262_144),
        peerage_heads: Some(Heads { digest: [b'd'; 32], ends: vec![RecordId([b'e'; 32])] }),
    };
    let bytes = shake.encode();
    expect!["d1:md11:ut_metadatai3ee13:metadata_sizei31235e1:pi7600e17:peerage_block_maxi262144e12:peerage_cert1:�13:peerage_heads64:ddddddddddddddddddddddddddddddddeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee4:reqqi2000e1:v11:Peerage 0.1e"]
    .assert_eq(&String::from_utf8_lossy(&bytes));
    assert_eq!(ExtendedHandshake::decode(&bytes), Ok(shake));
}

#[test]
fn extended_handshakes_of_strangers() {
    check("de", expect!["d1:mdee"]);
    check(
        "d1:md6:ut_pexi1e11:ut_metadatai2ee1:pi0e4:reqqi250e6:yourip4:abcde",
        expect![[
            r#"the extended handshake is not canonical bencode: the dictionary key at byte 16 is not larger than the one before it"#
        ]],
    );
    check(
        "d1:md11:ut_metadatai2e6:ut_pexi1ee1:pi0e4:reqqi250e6:yourip4:abcde",
        expect!["d1:md11:ut_metadatai2e6:ut_pexi1ee4:reqqi250ee"],
    );
    check("i1e", expect!["the extended handshake is not a dictionary"]);
    check(
        "dee",
        expect![
            "the extended handshake is not canonical bencode: 1 bytes follow the value that ends at byte 2"
        ],
    );
    check("d1:pi65536ee", expect!["`p` in the extended handshake is not a number of 16 bits"]);
    check("d4:reqqi-1ee", expect!["`reqq` in the extended handshake is not a number of 32 bits"]);
    check("d4:reqq1:1e", expect!["`reqq` in the extended handshake is not a number of 32 bits"]);
    check("d1:mi1ee", expect!["`m` in the extended handshake is not a dictionary"]);
    check(
        "d1:md1:ai256eee",
        expect!["`m` in the extended handshake is not a dictionary of numbers from 0 to 255"],
    );
    check("d1:vi1ee", expect!["`v` in the extended handshake is not a string"]);
    check(
        "d13:peerage_heads31:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaae",
        expect!["`peerage_heads` in the extended handshake is not a digest and at most 255 ids"],
    );
    check(
        "d12:peerage_certi1ee",
        expect!["`peerage_cert` in the extended handshake is not a string of at most 64 KiB"],
    );
}

#[test]
fn extended_handshakes_are_bounded() {
    let decode = |text: String| ExtendedHandshake::decode(text.as_bytes());
    let many: String = (100..165).map(|n| format!("3:{n}i1e")).collect();
    assert!(decode(format!("d1:md{many}ee")).is_err());
    assert!(decode(format!("d12:peerage_cert65537:{}e", "x".repeat(65_537))).is_err());
    assert!(decode(format!("d1:x131072:{}e", "x".repeat(131_072))).is_err());
    let long = decode(format!("d1:md65:{}i1ee1:v300:{}e", "n".repeat(65), "é".repeat(150))).unwrap();
    assert_eq!(long.messages.len(), 0);
    assert_eq!(long.client.len(), CLIENT_BYTES_MAX);
}

proptest! {
    #[test]
    fn extended_round_trip(
        client in "[a-zA-Zé. ]{0,40}",
        numbers in any::<[Option<u32>; 3]>(),
        listen_port in prop::option::of(1_u16..),
        messages in prop::collection::btree_map("[a-z_]{1,20}", any::<u8>(), 0..6),
        cert in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
        heads in prop::option::of((any::<[u8; 32]>(), prop::collection::vec(any::<[u8; 32]>(), 0..4))),
    ) {
        let shake = ExtendedHandshake {
            client, listen_port, messages,
            request_queue: numbers[0], metadata_size: numbers[1], block_bytes_max: numbers[2],
            peerage_cert: cert.map(Bytes::from),
            peerage_heads: heads.map(|(digest, ends)| Heads { digest, ends: ends.into_iter().map(RecordId).collect() }),
        };
        prop_assert_eq!(ExtendedHandshake::decode(&shake.encode()), Ok(shake));
    }
}

//! Framing and messages.

use bytes::{Bytes, BytesMut};
use expect_test::{Expect, expect};
use peerage_types::Sha256;
use peerage_wire::{BlockRef, HashRange, Message, decode, encode, encode_piece_header, needed};
use proptest::prelude::*;

const BLOCK: BlockRef = BlockRef { piece: 1, begin: 0x4000, len: 0x4000 };

fn range() -> HashRange {
    HashRange { root: Sha256([0xaa; 32]), base_layer: 0, index: 512, length: 2, proof_layers: 3 }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> BytesMut {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect::<Vec<_>>().as_slice().into()
}

/// Encodes to these bytes, and decodes back from them.
#[track_caller]
fn golden(message: &Message, bytes: Expect) {
    let mut out = BytesMut::new();
    encode(message, &mut out);
    bytes.assert_eq(&hex(&out));
    assert_eq!(decode(&mut out).unwrap().as_ref(), Some(message));
    assert!(out.is_empty());
}

#[track_caller]
fn check(input: &str, expected: Expect) {
    let mut input = unhex(input);
    let result = match decode(&mut input) {
        Ok(Some(message)) => format!("{message:?}, {} left", input.len()),
        Ok(None) => format!("needs {}", needed(&input)),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&result);
}

#[test]
fn golden_core_messages() {
    golden(&Message::KeepAlive, expect!["00000000"]);
    golden(&Message::Choke, expect!["0000000100"]);
    golden(&Message::Unchoke, expect!["0000000101"]);
    golden(&Message::Interested, expect!["0000000102"]);
    golden(&Message::NotInterested, expect!["0000000103"]);
    golden(&Message::Have(0x01020304), expect!["000000050401020304"]);
    golden(&Message::Bitfield(Bytes::from_static(b"\xf0\x80")), expect!["0000000305f080"]);
    golden(&Message::Request(BLOCK), expect!["0000000d06000000010000400000004000"]);
    golden(
        &Message::Piece { piece: 1, begin: 0x4000, data: Bytes::from_static(b"data") },
        expect!["0000000d07000000010000400064617461"],
    );
    golden(&Message::Cancel(BLOCK), expect!["0000000d08000000010000400000004000"]);
}

#[test]
fn golden_extension_messages() {
    golden(&Message::Suggest(7), expect!["000000050d00000007"]);
    golden(&Message::HaveAll, expect!["000000010e"]);
    golden(&Message::HaveNone, expect!["000000010f"]);
    golden(&Message::Reject(BLOCK), expect!["0000000d10000000010000400000004000"]);
    golden(&Message::AllowedFast(7), expect!["000000051100000007"]);
    golden(&Message::Extended { id: 3, payload: Bytes::from_static(b"de") }, expect!["0000000414036465"]);
    golden(&Message::Unknown { id: 9 }, expect!["0000000109"]);
}

#[test]
fn golden_hash_messages() {
    golden(
        &Message::HashRequest(range()),
        expect![[
            r#"0000003115aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa00000000000002000000000200000003"#
        ]],
    );
    golden(
        &Message::Hashes { range: range(), hashes: vec![Sha256([1; 32]), Sha256([2; 32])] },
        expect![[
            r#"0000007116aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0000000000000200000000020000000301010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202"#
        ]],
    );
    golden(
        &Message::HashReject(range()),
        expect![[
            r#"0000003117aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa00000000000002000000000200000003"#
        ]],
    );
}

#[test]
fn hostile_and_partial_input() {
    check("", expect!["needs 4"]);
    check("000000", expect!["needs 1"]);
    check("00000005", expect!["needs 5"]);
    check("00000005 04 0000", expect!["needs 2"]);
    check("00000001 00 00", expect!["Choke, 1 left"]);
    check("00000003 09 1ae1", expect!["Unknown { id: 9 }, 0 left"]);
    check("ffffffff", expect!["a message of 4294967295 bytes was announced, at most 2097152 are allowed"]);
    check("00200001", expect!["a message of 2097153 bytes was announced, at most 2097152 are allowed"]);
    check("00000002 00", expect!["message 0 announced 2 bytes (its id included), expected 1"]);
    check("00000004 04", expect!["message 4 announced 4 bytes (its id included), expected 5"]);
    check("0000000e 06", expect!["message 6 announced 14 bytes (its id included), expected 13"]);
    check("00000008 07", expect!["message 7 announced 8 bytes (its id included), expected 9 to 262153"]);
    check(
        "00100000 07",
        expect!["message 7 announced 1048576 bytes (its id included), expected 9 to 262153"],
    );
    check("00000001 14", expect!["message 20 announced 1 bytes (its id included), expected 2 to 2097152"]);
    check(
        "00000032 16",
        expect!["message 22 announced 50 bytes (its id included), expected 49 and a multiple of 32"],
    );
}

#[test]
fn payloads_share_the_input_buffer() {
    let mut input = unhex("0000000d 07 00000001 00004000 64617461 00000000");
    let memory = input.as_ptr();
    let Ok(Some(Message::Piece { data, .. })) = decode(&mut input) else { panic!("not a piece") };
    assert_eq!(data.as_ptr(), memory.wrapping_add(13));
    assert_eq!(decode(&mut input), Ok(Some(Message::KeepAlive)));
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let mut input = unhex("00200000 05 00");
    let before = input.capacity();
    assert_eq!(decode(&mut input), Ok(None));
    assert_eq!((input.capacity(), needed(&input)), (before, 2 * 1024 * 1024 - 2));
}

#[test]
fn piece_header_is_the_front_of_a_piece() {
    let (mut split, mut whole) = (BytesMut::new(), BytesMut::new());
    encode_piece_header(5, 0x8000, 4, &mut split);
    split.extend_from_slice(b"data");
    encode(&Message::Piece { piece: 5, begin: 0x8000, data: Bytes::from_static(b"data") }, &mut whole);
    assert_eq!(split, whole);
}

fn payload(min: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), min..80).prop_map(Bytes::from)
}

fn any_message() -> impl Strategy<Value = Message> {
    let block = || any::<[u32; 3]>().prop_map(|[piece, begin, len]| BlockRef { piece, begin, len });
    let range = || {
        (any::<[u8; 32]>(), any::<[u32; 4]>()).prop_map(
            |(root, [base_layer, index, length, proof_layers])| HashRange {
                root: Sha256(root),
                base_layer,
                index,
                length,
                proof_layers,
            },
        )
    };
    let simple = prop::sample::select(vec![
        Message::KeepAlive,
        Message::Choke,
        Message::Unchoke,
        Message::Interested,
        Message::NotInterested,
        Message::HaveAll,
        Message::HaveNone,
        Message::Unknown { id: 9 },
        Message::Unknown { id: 255 },
    ]);
    let hashes = prop::collection::vec(any::<[u8; 32]>().prop_map(Sha256), 0..4);
    prop_oneof![
        simple,
        any::<u32>().prop_map(Message::Have),
        any::<u32>().prop_map(Message::Suggest),
        any::<u32>().prop_map(Message::AllowedFast),
        payload(0).prop_map(Message::Bitfield),
        block().prop_map(Message::Request),
        block().prop_map(Message::Cancel),
        block().prop_map(Message::Reject),
        (any::<u32>(), any::<u32>(), payload(0)).prop_map(|(piece, begin, data)| Message::Piece {
            piece,
            begin,
            data
        }),
        (any::<u8>(), payload(0)).prop_map(|(id, payload)| Message::Extended { id, payload }),
        range().prop_map(Message::HashRequest),
        (range(), hashes).prop_map(|(range, hashes)| Message::Hashes { range, hashes }),
        range().prop_map(Message::HashReject),
    ]
}

proptest! {
    #[test]
    fn messages_survive_any_fragmentation(
        messages in prop::collection::vec(any_message(), 1..12),
        cuts in prop::collection::vec(1_usize..40, 0..60),
    ) {
        let mut bytes = BytesMut::new();
        for message in &messages {
            encode(message, &mut bytes);
        }
        for mut steps in [cuts, vec![1; bytes.len()], Vec::new()] {
            let (mut rest, mut input, mut got) = (bytes.clone(), BytesMut::new(), Vec::new());
            while !rest.is_empty() {
                let step = steps.pop().unwrap_or(rest.len()).min(rest.len());
                input.extend_from_slice(&rest.split_to(step));
                while let Some(message) = decode(&mut input).unwrap() {
                    got.push(message);
                }
                prop_assert!(needed(&input) > 0);
            }
            prop_assert_eq!(&got, &messages);
        }
    }

    #[test]
    fn noise_breaks_nothing(data in prop::collection::vec(any::<u8>(), 0..300)) {
        peerage_wire::fuzzing::run(&data);
    }

    /// Small lengths and known ids get past the frame check.
    #[test]
    fn framed_noise_breaks_nothing(
        frames in prop::collection::vec((0_u8..26, prop::collection::vec(any::<u8>(), 0..90)), 0..10),
    ) {
        let mut data = Vec::new();
        for (id, body) in frames {
            data.extend_from_slice(&(body.len() as u32 + 1).to_be_bytes());
            data.push(id);
            data.extend_from_slice(&body);
        }
        peerage_wire::fuzzing::run(&data);
    }
}

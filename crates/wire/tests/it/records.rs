//! What members tell each other about a group's records.

use bytes::Bytes;
use expect_test::{Expect, expect};
use peerage_types::RecordId;
use peerage_wire::{Answer, Ask, HEADS_MAX, Heads, KNOWN_MAX, ROWS_BYTES_MAX, RecordsMessage};
use proptest::prelude::*;

fn id(n: u8) -> RecordId {
    RecordId([n; 32])
}

/// Encodes to these bytes, and decodes back from them.
#[track_caller]
fn golden(message: &RecordsMessage, bytes: Expect) {
    let encoded = message.encode();
    bytes.assert_eq(&encoded.escape_ascii().to_string());
    assert_eq!(RecordsMessage::decode(&encoded).as_ref(), Ok(message));
}

#[test]
fn golden_records_messages() {
    golden(
        &RecordsMessage::Heads(Heads { digest: [b'd'; 32], ends: vec![id(b'a')] }),
        expect!["d5:heads64:ddddddddddddddddddddddddddddddddaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa8:msg_typei0ee"],
    );
    golden(&RecordsMessage::Ask(Ask::default()), expect!["d5:known0:8:msg_typei1ee"]);
    golden(
        &RecordsMessage::Ask(Ask {
            after: Some(id(b'a')),
            until: Some(id(b'b')),
            known: vec![*b"12345678"; 2],
        }),
        expect![
            "d5:after32:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa5:known16:12345678123456788:msg_typei1e5:until32:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbe"
        ],
    );
    golden(
        &RecordsMessage::Answer(Answer { rows: Bytes::from_static(b"\x80"), through: Some(id(b'c')) }),
        expect![[r#"d8:msg_typei2e4:rows1:\x807:through32:cccccccccccccccccccccccccccccccce"#]],
    );
    golden(
        &RecordsMessage::Answer(Answer { rows: Bytes::new(), through: None }),
        expect!["d8:msg_typei2e4:rows0:e"],
    );
}

#[track_caller]
fn refused(payload: &[u8], expected: Expect) {
    expected.assert_eq(&RecordsMessage::decode(payload).unwrap_err().to_string());
}

#[test]
fn hostile_records_messages() {
    refused(b"", expect!["the message is not canonical bencode: the input ends at byte 0 inside of a value"]);
    refused(b"i1e", expect!["`message` in the message is not a dictionary"]);
    refused(b"de", expect!["`msg_type` in the message is not 0, 1 or 2"]);
    refused(b"d8:msg_typei3ee", expect!["`msg_type` in the message is not 0, 1 or 2"]);
    refused(
        b"d5:heads31:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa8:msg_typei0ee",
        expect!["`heads` in the message is not a digest and at most 255 ids"],
    );
    refused(
        b"d5:heads33:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa8:msg_typei0ee",
        expect!["`heads` in the message is not a digest and at most 255 ids"],
    );
    refused(
        b"d5:after3:abc5:known0:8:msg_typei1ee",
        expect!["`after` in the message is not an id of 32 bytes"],
    );
    refused(
        b"d5:known7:12345678:msg_typei1ee",
        expect!["`known` in the message is not at most 8192 beginnings of ids"],
    );
    refused(b"d8:msg_typei2ee", expect!["`rows` in the message is not a string of at most 112 KiB"]);
    refused(&[b'x'; 128 * 1024 + 1], expect!["the message has 131073 bytes, at most 131072 are allowed"]);
    let rows = Bytes::from(vec![0; ROWS_BYTES_MAX + 1]);
    refused(
        &RecordsMessage::Answer(Answer { rows, through: None }).encode(),
        expect!["`rows` in the message is not a string of at most 112 KiB"],
    );
    let known = vec![[0; 8]; KNOWN_MAX + 1];
    refused(
        &RecordsMessage::Ask(Ask { known, ..Ask::default() }).encode(),
        expect!["`known` in the message is not at most 8192 beginnings of ids"],
    );
}

#[test]
fn heads_are_bounded() {
    let many = Heads { digest: [1; 32], ends: vec![id(2); HEADS_MAX + 10] };
    assert_eq!(Heads::from_bytes(&many.to_bytes()).unwrap().ends.len(), HEADS_MAX);
    assert_eq!(Heads::from_bytes(&vec![0; 32 * (HEADS_MAX + 2)]), None);
}

fn ids() -> impl Strategy<Value = RecordId> {
    any::<[u8; 32]>().prop_map(RecordId)
}

fn messages() -> impl Strategy<Value = RecordsMessage> {
    let some_id = || prop::option::of(ids());
    prop_oneof![
        (any::<[u8; 32]>(), prop::collection::vec(ids(), 0..5))
            .prop_map(|(digest, ends)| RecordsMessage::Heads(Heads { digest, ends })),
        (some_id(), some_id(), prop::collection::vec(any::<[u8; 8]>(), 0..9))
            .prop_map(|(after, until, known)| RecordsMessage::Ask(Ask { after, until, known })),
        (prop::collection::vec(any::<u8>(), 0..80), some_id())
            .prop_map(|(rows, through)| RecordsMessage::Answer(Answer { rows: rows.into(), through })),
    ]
}

proptest! {
    #[test]
    fn records_round_trip(message in messages()) {
        prop_assert_eq!(RecordsMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn any_records_bytes_decode_or_fail(bytes: Vec<u8>, cut in any::<prop::sample::Index>(), message in messages()) {
        let _ = RecordsMessage::decode(&bytes);
        let encoded = message.encode();
        let cut = cut.index(encoded.len());
        prop_assert!(RecordsMessage::decode(&encoded[..cut]).is_err());
    }
}

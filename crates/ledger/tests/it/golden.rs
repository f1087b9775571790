//! The format: golden bytes, and what is refused.

use ed25519_dalek::Signer;
use expect_test::{Expect, expect};
use minicbor::Encoder;
use peerage_ledger::fuzzing::CLUSTER;
use peerage_ledger::{Body, Draft, FOUNDING, Kind, Origin, Receipt, Record, RecordFault};
use peerage_types::limits::{AUTH_RECORD_BYTES_MAX, RECORD_BYTES_MAX};
use peerage_types::{ClusterId, GroupId, RecordId, Scope, Stamp, TrackerId};

use crate::corpus::{bodies, fullest};
use crate::world::{device, key, public, user};

/// In lines that a review can read.
fn hex(bytes: &[u8]) -> String {
    let lines =
        bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

fn join_request() -> Record {
    let draft = Draft {
        cluster: CLUSTER,
        scope: Scope::Group(GroupId([0x90; 32])),
        author: user("ann"),
        prev: Some(RecordId([0x91; 32])),
        body: Body::JoinRequest { incarnation: 3 },
    };
    Record::sign(draft, &key("ann/1"))
}

fn auth(vault: usize) -> Record {
    let body = Body::AuthRecord {
        opaque_key: 1,
        password_file: vec![1; 192],
        vault: vec![2; vault],
        previous: None,
    };
    let draft =
        Draft { cluster: CLUSTER, scope: Scope::Account(user("ann")), author: user("ann"), prev: None, body };
    Record::sign(draft, &key("ann"))
}

#[test]
fn one_record() {
    let record = join_request();
    expect![[r#"
        8258b2896e70656572616765207265636f726418180150c1c1c1c1c1c1c1c1c1
        c1c1c1c1c1c1c182018158209090909090909090909090909090909090909090
        9090909090909090909090905820aa8450d10f2f37b0dec7fcb0c58db474b5ca
        4035ca48a7eb9612cf93ec222b76582010484722852a5e4a3dde56a7fcfe4b96
        b56f197725af85ba083fee0e5a62efc358209191919191919191919191919191
        91919191919191919191919191919191919142810358405648fa0c6ae013c5c9
        e9d15f6ec315e4a1ff8d343de8c295e5bb0009390475da3a3c9b8825f98e1e01
        778d53b136f935fb48a659f0fb2e324abcfa6342ed2801"#]]
    .assert_eq(&hex(record.bytes()));
    expect!["206de918d762de63ad8d0f118395228cc5797562ef5a61510400c22807adaa8d"]
        .assert_eq(&record.id().to_hex());
}

#[test]
fn one_receipt() {
    let origin = Origin { tracker: TrackerId([3; 16]), incarnation: 4 };
    let receipt = Receipt::sign(origin, 5, Stamp::new(6, 7), RecordId([8; 32]), &key("cluster"));
    let bytes = minicbor::to_vec(&receipt).unwrap();
    expect![[r#"
        8582500303030303030303030303030303030304051a00060007582008080808
        0808080808080808080808080808080808080808080808080808080858401ee8
        473d93b370b530707e4f41db0c0b1f2b036a9c174422a7b10b2aa67f02512f47
        7c29fa84ce5fbe3eb8df046809a8be4e48c728c5104a63aaba2b7a5f330b"#]]
    .assert_eq(&hex(&bytes));
    let again: Receipt = minicbor::decode(&bytes).unwrap();
    assert_eq!(again, receipt);
    assert!(again.verify(&public(&key("cluster"))));
    assert!(!again.verify(&public(&key("other"))));
    assert!(!Receipt { seq: 6, ..receipt.clone() }.verify(&public(&key("cluster"))));
    assert!(!Receipt { record: RecordId([9; 32]), ..receipt }.verify(&public(&key("cluster"))));
}

#[test]
fn receipts_under_one_signature() {
    let origin = Origin { tracker: TrackerId([3; 16]), incarnation: 4 };
    let rows: Vec<_> = (0..3).map(|n| (Stamp::new(6, n), RecordId([n as u8; 32]))).collect();
    let receipts = Receipt::sign_all(origin, 5, &rows, &key("cluster"));
    expect![[r#"
        d8287b14050f0b317d5e80b9e9ab295ae7a764906de4a917ca07d455473d795a
        8f2b29c3672687f39b08922eac2d57d63f653a5e410a0a1744edb46a3073ac00
        0003f1941011f1772fcbc8ff946951b86f9f206fae9e48ae060af7b90b34576b
        06a75a43469e38e988d158fc65fcb3adeb86ca8f52045d8395f328a624f4b897
        be21"#]]
    .assert_eq(&hex(receipts[0].seal.as_bytes()));
    expect![[r#"
        d8287b14050f0b317d5e80b9e9ab295ae7a764906de4a917ca07d455473d795a
        8f2b29c3672687f39b08922eac2d57d63f653a5e410a0a1744edb46a3073ac00
        020300524cb80d7e42e76adc32cc690924893bab1aba9a6c8fd7f4d6f0815d2f
        425c"#]]
    .assert_eq(&hex(receipts[2].seal.as_bytes()));
    let sealed: Vec<_> = receipts.iter().map(Receipt::sealed).collect();
    assert!(sealed[0] == sealed[1] && sealed[1] == sealed[2]);
    assert!(receipts.iter().all(|receipt| receipt.verify(&public(&key("cluster")))));
    let alone = Receipt::sign(origin, 5, rows[0].0, rows[0].1, &key("cluster"));
    assert!(alone != receipts[0] && alone.says_same(&receipts[0]) && !alone.says_same(&receipts[1]));
}

#[test]
fn every_body() {
    let all: Vec<String> = bodies()
        .iter()
        .map(|body| format!("{:?} = {}\n{}", body.kind(), body.kind().number(), hex(&body.encode())))
        .collect();
    expect![[r#"
        AccountGenesis = 1
        81582029ba5145214e99310e21bd60e5a28093aaa30689ae9331ec51050a5e0c
        9c01ae

        UserNameClaim = 2
        816446696c6d

        AuthRecord = 3
        840158c001010101010101010101010101010101010101010101010101010101
        0101010101010101010101010101010101010101010101010101010101010101
        0101010101010101010101010101010101010101010101010101010101010101
        0101010101010101010101010101010101010101010101010101010101010101
        0101010101010101010101010101010101010101010101010101010101010101
        0101010101010101010101010101010101010101010101010101010101010101
        0101010158640202020202020202020202020202020202020202020202020202
        0202020202020202020202020202020202020202020202020202020202020202
        0202020202020202020202020202020202020202020202020202020202020202
        0202020202020202020258201111111111111111111111111111111111111111
        111111111111111111111111

        DeviceCert = 4
        82582010484722852a5e4a3dde56a7fcfe4b96b56f197725af85ba083fee0e5a
        62efc36c616e6e2773206c6170746f70

        DeviceRevoke = 5
        82582010484722852a5e4a3dde56a7fcfe4b96b56f197725af85ba083fee0e5a
        62efc38258201111111111111111111111111111111111111111111111111111
        1111111111115820121212121212121212121212121212121212121212121212
        1212121212121212

        Recovery = 6
        8258640202020202020202020202020202020202020202020202020202020202
        0202020202020202020202020202020202020202020202020202020202020202
        0202020202020202020202020202020202020202020202020202020202020202
        0202020202020258201111111111111111111111111111111111111111111111
        111111111111111111

        GroupGenesis = 16
        836446696c6d5820111111111111111111111111111111111111111111111111
        11111111111111115009090909090909090909090909090909

        Handover = 17
        840182825820cbd08319d28a6543e38724fd1444dfacd37540572e2ec2b2640d
        be0e93d5372b0182582093c2b1f954dd6b4c0426ded0e9724d29ca5eaf996589
        defad95a2038972143711affffffff8258201111111111111111111111111111
        1111111111111111111111111111111111115820121212121212121212121212
        1212121212121212121212121212121212121212f5

        Close = 18
        8101

        AdminGrant = 19
        835820cbd08319d28a6543e38724fd1444dfacd37540572e2ec2b2640dbe0e93
        d5372b0201

        AdminRevoke = 20
        8358201111111111111111111111111111111111111111111111111111111111
        1111118258201111111111111111111111111111111111111111111111111111
        1111111111115820121212121212121212121212121212121212121212121212
        121212121212121201

        Invite = 21
        865820c20bf9694e047ebe9f82939cd31cd5e4fb7c4403f26bb4672c879a2c3e
        1c954b50090909090909090909090909090909091a000f42400501f6

        InviteWithdraw = 22
        8358201111111111111111111111111111111111111111111111111111111111
        1111110158201111111111111111111111111111111111111111111111111111
        111111111111

        JoinRequest = 24
        8102

        Accept = 25
        845820cbd08319d28a6543e38724fd1444dfacd37540572e2ec2b2640dbe0e93
        d5372b0201f6

        Reject = 26
        845820cbd08319d28a6543e38724fd1444dfacd37540572e2ec2b2640dbe0e93
        d5372b0201582011111111111111111111111111111111111111111111111111
        11111111111111

        Kick = 27
        845820cbd08319d28a6543e38724fd1444dfacd37540572e2ec2b2640dbe0e93
        d5372b0201f6

        Leave = 28
        8102

        Redeem = 29
        835820c20bf9694e047ebe9f82939cd31cd5e4fb7c4403f26bb4672c879a2c3e
        1c954b02584012bd1dabeca1e4e0719e6c1986f15273ca72d5114a7c1b9e6ddc
        a1b2b0d1e406ac2ad451e8317c67a294558b9cbff1a735d13723783b34b5eba2
        1ee518846f00

        Manifest = 32
        896866696c6d2e6d6b761903e858200505050505050505050505050505050505
        0505050505050505050505050505055820050505050505050505050505050505
        0505050505050505050505050505050505540505050505050505050505050505
        0505050505055820050505050505050505050505050505050505050505050505
        05050505050505051901f4194000f6

        Share = 33
        8258201111111111111111111111111111111111111111111111111111111111
        11111102

        Unshare = 34
        8158201111111111111111111111111111111111111111111111111111111111
        111111

        Unknown(900) = 900
        667574757265"#]]
    .assert_eq(&all.join("\n\n"));
}

#[test]
fn signed_is_decoded() {
    for body in bodies().into_iter().chain(fullest()) {
        let identity = body.kind().number() < 16;
        let scope = match body.kind() {
            Kind::GroupGenesis => FOUNDING,
            _ if identity => Scope::Account(user("ann")),
            _ => Scope::Group(GroupId([0x90; 32])),
        };
        let key = if identity { key("ann") } else { key("ann/1") };
        let draft = Draft { cluster: CLUSTER, scope, author: user("ann"), prev: None, body: body.clone() };
        let signed = Record::sign(draft, &key);
        let record = Record::decode(signed.bytes(), &CLUSTER).unwrap();
        assert_eq!(record, signed);
        assert_eq!((record.body(), record.kind(), record.author()), (&body, body.kind(), user("ann")));
        assert_eq!((record.signer(), record.prev()), (public(&key), None));
        assert_eq!(Kind::from_number(record.kind().number()), record.kind());
        match record.kind() {
            Kind::GroupGenesis => assert_eq!(record.scope(), Scope::Group(record.id().into())),
            _ => assert_eq!(record.scope(), scope),
        }
    }
}

#[test]
fn any_changed_or_missing_byte_is_noticed() {
    let record = join_request();
    let bytes = record.bytes();
    for at in 0..bytes.len() {
        assert!(Record::decode(&bytes[..at], &CLUSTER).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            assert!(Record::decode(&changed, &CLUSTER).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[track_caller]
fn check_fault(bytes: &[u8], expected: Expect) {
    let fault = Record::decode(bytes, &CLUSTER).expect_err("refused");
    expected.assert_eq(&fault.to_string());
}

#[test]
fn context_free_faults() {
    let bytes = join_request().bytes().to_vec();
    check_fault(&[], expect!["not a record: end of input bytes"]);
    check_fault(&[bytes.as_slice(), &[0]].concat(), expect!["the record is not in canonical form"]);
    check_fault(
        &vec![0x9f; AUTH_RECORD_BYTES_MAX + 1],
        expect!["the record has 16385 bytes, at most 16384 are allowed"],
    );
    // A claimed length is not believed.
    check_fault(
        &[0x82, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        expect!["not a record: end of input bytes"],
    );
    let fault = Record::decode(&bytes, &ClusterId([2; 16])).unwrap_err();
    expect!["the record belongs to cluster c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1, expected 02020202020202020202020202020202"].assert_eq(&fault.to_string());
}

/// Signs whatever it is given.
fn signed_raw(write: impl Fn(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    write(&mut e);
    let signed = e.into_writer();
    let mut e = Encoder::new(Vec::new());
    e.array(2).unwrap().bytes(&signed).unwrap().bytes(&key("ann/1").sign(&signed).to_bytes()).unwrap();
    e.into_writer()
}

fn raw(domain: &str, kind: u16, version: u8, scope: Scope, body: &[u8], extra: bool) -> Vec<u8> {
    signed_raw(|e| {
        e.array(if extra { 10 } else { 9 }).unwrap().str(domain).unwrap();
        e.u16(kind).unwrap().u8(version).unwrap().encode(CLUSTER).unwrap().encode(scope).unwrap();
        e.encode(user("ann")).unwrap().encode(device("ann/1")).unwrap().null().unwrap().bytes(body).unwrap();
        if extra {
            e.null().unwrap();
        }
    })
}

#[test]
fn well_signed_nonsense() {
    let group = Scope::Group(GroupId([0x90; 32]));
    let ask = Body::JoinRequest { incarnation: 3 }.encode();
    assert!(Record::decode(&raw("peerage record", 24, 1, group, &ask, false), &CLUSTER).is_ok());
    check_fault(
        &raw("another record", 24, 1, group, &ask, false),
        expect!["not a record: it does not start with `peerage record`"],
    );
    check_fault(
        &raw("peerage record", 24, 1, group, &ask, true),
        expect!["not a record: decode error at position 0: expected an array of 9"],
    );
    check_fault(
        &raw("peerage record", 24, 1, FOUNDING, &ask, false),
        expect!["JoinRequest does not belong into Group(GroupId(aaaaaaaa))"],
    );
    check_fault(
        &raw("peerage record", 24, 1, Scope::Account(user("ann")), &ask, false),
        expect!["JoinRequest does not belong into Account(UserId(vkcfbuip))"],
    );
    check_fault(
        &raw("peerage record", 24, 1, group, &[&ask[..], &[0]].concat(), false),
        expect!["the record is not in canonical form"],
    );
    // The number 3 in two bytes.
    check_fault(
        &raw("peerage record", 24, 1, group, &[0x81, 0x18, 0x03], false),
        expect!["the record is not in canonical form"],
    );
    check_fault(
        &raw("peerage record", 24, 1, group, &[0x9f, 0x03, 0xff], false),
        expect!["not a record: decode error at position 0: expected an array of 1"],
    );
    check_fault(
        &raw("peerage record", 24, 1, group, &[], false),
        expect!["not a record: end of input bytes"],
    );
    // A DeviceRevoke with more heads than it may name, and a name outside its alphabet.
    let heads = [&[0x82, 0x58, 0x20][..], &[1; 32], &[0x98, 33]].concat();
    check_fault(
        &raw("peerage record", 5, 1, Scope::Account(user("ann")), &heads, false),
        expect!["not a record: decode error at position 35: expected a list of up to 32"],
    );
    check_fault(
        &raw("peerage record", 2, 1, Scope::Account(user("ann")), b"\x81\x61 ", false),
        expect![
            "not a record: decode error at position 1: ` ` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"
        ],
    );
    // An account's record by a device key.
    let claim = Body::UserNameClaim { name: "ann".parse().unwrap() }.encode();
    check_fault(
        &raw("peerage record", 2, 1, Scope::Account(user("ann")), &claim, false),
        expect![
            "UserNameClaim of user aa8450d10f2f37b0dec7fcb0c58db474b5ca4035ca48a7eb9612cf93ec222b76 must be signed by that user's identity key, not by 10484722852a5e4a3dde56a7fcfe4b96b56f197725af85ba083fee0e5a62efc3"
        ],
    );
    check_fault(
        &raw("peerage record", 2, 1, Scope::Account(user("bob")), &claim, false),
        expect!["UserNameClaim does not belong into Account(UserId(zpiiggos))"],
    );
    let large = vec![0; RECORD_BYTES_MAX];
    check_fault(
        &raw("peerage record", 900, 1, group, &large, false),
        expect!["the record has 4312 bytes, at most 4096 are allowed"],
    );
}

#[test]
fn the_future_is_kept() {
    let group = Scope::Group(GroupId([0x90; 32]));
    for (kind, version) in [(900, 1), (35, 1), (24, 2)] {
        let bytes = raw("peerage record", kind, version, group, b"anything", false);
        let record = Record::decode(&bytes, &CLUSTER).unwrap();
        assert_eq!(record.kind(), Kind::Unknown(kind));
        assert_eq!(record.body(), &Body::Unknown { kind, body: b"anything".to_vec() });
        assert_eq!(record.bytes(), bytes);
    }
    // A genesis of a later version founds its scope all the same.
    let bytes = raw("peerage record", 16, 2, FOUNDING, b"anything", false);
    let record = Record::decode(&bytes, &CLUSTER).unwrap();
    assert_eq!(record.scope(), Scope::Group(record.id().into()));
}

#[test]
fn sizes() {
    assert!(Record::decode(auth(RECORD_BYTES_MAX).bytes(), &CLUSTER).is_ok());
    assert!(matches!(
        Record::decode(auth(AUTH_RECORD_BYTES_MAX).bytes(), &CLUSTER),
        Err(RecordFault::TooLarge { max: AUTH_RECORD_BYTES_MAX, .. })
    ));
    for body in bodies().into_iter().chain(fullest()) {
        assert!(body.encode().len() + 300 <= RECORD_BYTES_MAX || body.kind() == Kind::AuthRecord, "{body:?}");
    }
}

#[test]
fn identities_sign_for_themselves_only() {
    let genesis = |identity, author, key: &_| {
        let scope = Scope::Account(author);
        let body = Body::AccountGenesis { identity };
        Record::sign(Draft { cluster: CLUSTER, scope, author, prev: None, body }, key)
    };
    let (ann, bob) = (key("ann"), key("bob"));
    for record in [
        genesis(public(&ann), user("ann"), &bob),
        genesis(public(&bob), user("ann"), &ann),
        genesis(public(&ann), user("bob"), &ann),
    ] {
        let fault = Record::decode(record.bytes(), &CLUSTER).unwrap_err();
        assert!(matches!(fault, RecordFault::NotByIdentity { .. }), "{fault}");
    }
}

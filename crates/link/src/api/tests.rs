use std::fmt::Debug;

use data_encoding::HEXLOWER;
use expect_test::{Expect, expect};
use minicbor::{Decode, Encode};
use peerage_ledger::{Origin, Receipt, Refusal, Seal};
use peerage_replica::Vector;
use peerage_types::*;

use super::*;

/// The message as it goes over the wire, and back again.
#[track_caller]
fn check<T>(message: T, expected: Expect)
where
    T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + Debug,
{
    let bytes = minicbor::to_vec(&message).unwrap();
    expected.assert_eq(&HEXLOWER.encode(&bytes));
    assert_eq!(minicbor::decode::<T>(&bytes).unwrap(), message);
    for len in 0..bytes.len() {
        assert!(minicbor::decode::<T>(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
}

fn group() -> GroupId {
    GroupId([0x11; 32])
}

fn user() -> UserId {
    UserId([0x22; 32])
}

fn row() -> SignedRow {
    let receipt = Receipt {
        origin: Origin { tracker: TrackerId([0x33; 16]), incarnation: 4 },
        seq: 5,
        stamp: Stamp::new(6, 7),
        record: RecordId([0x44; 32]),
        seal: Seal::alone([0x55; 64]),
    };
    SignedRow { record: b"rec".to_vec(), receipt }
}

#[test]
fn wire_forms_of_sessions() {
    check(Empty {}, expect!["80"]);
    let (cluster, tracker) = (ClusterId([1; 16]), TrackerId([2; 16]));
    let observed = "192.0.2.1:5000".to_owned();
    check(
        HelloResponse {
            cluster,
            tracker,
            unix_ms: 3,
            opaque_key: 4,
            trackers: 5,
            vector: Vector::default(),
            observed,
        },
        expect![
            "8750010101010101010101010101010101015002020202020202020202020202020202030405806e3139322e302e322e313a35303030"
        ],
    );
    check(TrackersResponse { list: "a:1\n".to_owned() }, expect!["8164613a310a"]);
    check(
        RegisterRequest { user: user(), request: vec![1, 2], code: Some("c".to_owned()) },
        expect!["83582022222222222222222222222222222222222222222222222222222222222222224201026163"],
    );
    check(RegisterResponse { opaque_key: 1, response: vec![3] }, expect!["82014103"]);
    check(LoginRequest { name: "Ada".to_owned(), request: vec![1] }, expect!["82634164614101"]);
    let (account, secrets) = (vec![row()], Secrets::default());
    check(
        LoginResponse {
            user: user(),
            response: vec![1],
            vault: vec![2],
            account,
            secrets,
            namesakes: vec![user()],
        },
        expect![
            "8658202222222222222222222222222222222222222222222222222222222222222222410141028182437265638582503333333333333333333333333333333304051a000600075820444444444444444444444444444444444444444444444444444444444444444458405555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555583f6f6808158202222222222222222222222222222222222222222222222222222222222222222"
        ],
    );
    check(UserNamesRequest { names: vec!["a".parse().unwrap()] }, expect!["81816161"]);
    check(
        UserNamesResponse { users: vec![None, Some(user())] },
        expect!["8182f658202222222222222222222222222222222222222222222222222222222222222222"],
    );
    check(
        AccountRequest { user: user() },
        expect!["8158202222222222222222222222222222222222222222222222222222222222222222"],
    );
    let superseded = vec![RecordId([8; 32])];
    let secrets = Secrets { auth: Some(RecordId([7; 32])), head: None, superseded, recovery: None };
    check(
        AccountResponse { rows: Vec::new(), secrets: secrets.clone() },
        expect![
            "82808358200707070707070707070707070707070707070707070707070707070707070707f68158200808080808080808080808080808080808080808080808080808080808080808"
        ],
    );
    check(RecoveryRequest { name: "ada#abcdefgh".to_owned() }, expect!["816c616461236162636465666768"]);
    check(
        RecoveryResponse { user: user(), vault: Some(vec![1]), secrets },
        expect![
            "835820222222222222222222222222222222222222222222222222222222222222222241018358200707070707070707070707070707070707070707070707070707070707070707f68158200808080808080808080808080808080808080808080808080808080808080808"
        ],
    );
    check(
        DeviceHeadsRequest { device: PublicKey([9; 32]), after: None },
        expect!["8158200909090909090909090909090909090909090909090909090909090909090909"],
    );
    check(DeviceHeadsResponse { rows: Vec::new(), next: None }, expect!["8180"]);
    check(WithdrawRequest { said: 300 }, expect!["8119012c"]);
    check(VouchRequest { accounts: Vec::new() }, expect!["8180"]);
    check(BundleRequest::new([b"one", b"two"]), expect!["8182436f6e654374776f"]);
    let places = Vector::from_iter([(Origin { tracker: TrackerId([3; 16]), incarnation: 4 }, 5)]);
    check(
        BundleResponse { stamp: Stamp(1), durable_on: 2, of: 3, places, tracker: TrackerId([6; 16]) },
        expect!["85010203818282500303030303030303030303030303030304055006060606060606060606060606060606"],
    );
}

#[test]
fn wire_forms_of_groups() {
    check(GroupNameRequest { name: "lab#abc".to_owned() }, expect!["81676c616223616263"]);
    check(
        GroupNameResponse { group: group() },
        expect!["8158201111111111111111111111111111111111111111111111111111111111111111"],
    );
    check(GroupsRequest { after: None, limit: 10 }, expect!["82f60a"]);
    let item = GroupItem { group: group(), shown: "lab".to_owned(), members: 3, standing: Standing::Owner };
    check(
        GroupsResponse { groups: vec![item], more: true },
        expect!["82818458201111111111111111111111111111111111111111111111111111111111111111636c61620303f5"],
    );
    check(
        SnapshotRequest { group: group(), have: None },
        expect!["8158201111111111111111111111111111111111111111111111111111111111111111"],
    );
    check(
        SnapshotRequest { group: group(), have: Some([9; 32]) },
        expect![
            "825820111111111111111111111111111111111111111111111111111111111111111158200909090909090909090909090909090909090909090909090909090909090909"
        ],
    );
    let accounts = vec![AccountRows { user: user(), rows: Vec::new() }];
    check(
        SnapshotResponse { digest: [8; 32], rows: Vec::new(), accounts, unchanged: false },
        expect![
            "84582008080808080808080808080808080808080808080808080808080808080808088081825820222222222222222222222222222222222222222222222222222222222222222280f4"
        ],
    );
}

#[test]
fn wire_forms_of_presence() {
    let (info_hash, addresses) = (InfoHash([7; 32]), vec!["192.0.2.1:80".to_owned()]);
    let state = SwarmState::Leeching;
    let item = AnnounceItem { group: group(), info_hash, state, percent: 40, addresses, want: 50 };
    check(
        AnnounceRequest { items: vec![item], said: 7 },
        expect![
            "8281865820111111111111111111111111111111111111111111111111111111111111111158200707070707070707070707070707070707070707070707070707070707070707011828816c3139322e302e322e313a3830183207"
        ],
    );
    let addresses = vec!["[::1]:9".to_owned(), "nonsense".to_owned()];
    let state = SwarmState::Seeding;
    let peer = PeerEntry { device: PublicKey([6; 32]), user: user(), addresses, state, percent: 100 };
    assert_eq!(peer.socket_addrs().collect::<Vec<_>>(), ["[::1]:9".parse().unwrap()]);
    let answers = vec![
        AnnounceAnswer { peers: vec![peer], refused: None },
        AnnounceAnswer { peers: Vec::new(), refused: Some(ErrorCode::NotMember) },
    ];
    check(
        AnnounceResponse { answers, interval_s: 30 },
        expect![
            "8282818185582006060606060606060606060606060606060606060606060606060606060606065820222222222222222222222222222222222222222222222222222222222222222282675b3a3a315d3a39686e6f6e73656e7365001864828016181e"
        ],
    );
    check(
        DialBackRequest { group: group(), info_hash, device: PublicKey([0x66; 32]) },
        expect![
            "83582011111111111111111111111111111111111111111111111111111111111111115820070707070707070707070707070707070707070707070707070707070707070758206666666666666666666666666666666666666666666666666666666666666666"
        ],
    );
    check(
        GroupPresenceRequest { group: group() },
        expect!["8158201111111111111111111111111111111111111111111111111111111111111111"],
    );
    let file = FilePresence { info_hash, seeders: 1, leechers: 2, users: vec![user()] };
    check(
        GroupPresenceResponse { files: vec![file] },
        expect![
            "8181845820070707070707070707070707070707070707070707070707070707070707070701028158202222222222222222222222222222222222222222222222222222222222222222"
        ],
    );
}

#[test]
fn wire_forms_of_reach() {
    check(Echo { bytes: vec![1, 2] }, expect!["81420102"]);
    check(ReachRequest { port: 7600 }, expect!["81191db0"]);
    let address = "192.0.2.1:80".to_owned();
    check(ReachResponse { address, reach: Reach::Refused }, expect!["826c3139322e302e322e313a383002"]);
}

#[test]
fn wire_forms_of_errors() {
    check(ApiError::new(ErrorCode::NotOwner, "no").with_hint("ask"), expect!["8415626e6f6361736b80"]);
    check(ErrorCode::Unknown(999), expect!["1903e7"]);
}

#[test]
fn a_longer_message_of_a_newer_program_is_read() {
    // AccountRequest with one field more.
    let mut bytes = minicbor::to_vec(AccountRequest { user: user() }).unwrap();
    bytes[0] = 0x82;
    bytes.extend([0x82, 0x01, 0x02]);
    assert_eq!(minicbor::decode::<AccountRequest>(&bytes).unwrap(), AccountRequest { user: user() });
}

#[test]
fn a_claimed_length_reserves_nothing() {
    // A list of 2^62 rows, of which none follows.
    assert!(minicbor::decode::<AccountResponse>(&[0x81, 0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0]).is_err());
    assert!(minicbor::decode::<RegisterRequest>(&[0x82, 0x5b, 0x40, 0, 0, 0, 0, 0, 0, 0]).is_err());
}

#[test]
fn codes_and_statuses() {
    let table: String = ErrorCode::ALL
        .iter()
        .map(|code| {
            assert_eq!(ErrorCode::from_number(code.number()), *code);
            format!("{} {:?} {}\n", code.number(), code, code.status())
        })
        .collect();
    expect![[r#"
        1 BadRequest 400
        2 NotLoggedIn 401
        3 NotFound 404
        4 TooLarge 413
        5 RateLimited 429
        6 Unavailable 503
        7 WrongCluster 421
        8 Internal 500
        9 Missing 424
        20 NotCertified 403
        21 NotOwner 403
        22 NotMember 403
        23 NotSharer 403
        24 AlreadyRequested 409
        25 AlreadyMember 409
        26 NotRequested 409
        27 GroupEnded 410
        28 NameTaken 409
        29 SameNameOtherContent 409
        30 TooMany 409
        31 NoSuchUser 404
        32 UserExists 409
        33 Superseded 409
        34 WrongScope 400
        35 OwnerMustHandOver 409
        36 WrongIncarnation 409
        37 StaleHandover 409
        38 RegistrationCode 403
        39 DeviceRevoked 401
        40 NotAdmin 403
        41 IsAdmin 409
        42 IsOwner 409
        43 NoSuchGrant 409
        44 InviteOver 410
        45 InviteUsedUp 409
    "#]]
    .assert_eq(&table);
    assert!(ErrorCode::ALL.windows(2).all(|pair| pair[0].number() != pair[1].number()));
    assert_eq!(ErrorCode::from_number(999), ErrorCode::Unknown(999));
}

#[test]
fn refusals_of_the_ledger_keep_their_ids() {
    let ids = vec![RecordId([1; 32])];
    let error = ApiError::from(Refusal::Missing(ids.clone()));
    assert_eq!((error.code, error.missing), (ErrorCode::Missing, ids.clone()));
    let error = ApiError::from(Refusal::StaleHandover { uncovered: ids.clone() });
    assert_eq!((error.code, error.missing), (ErrorCode::StaleHandover, ids));
    let (theirs, ours) = (ContentId([2; 32]), ContentId([3; 32]));
    let error = ApiError::from(Refusal::SameNameOtherContent { theirs, ours });
    assert_eq!((error.code, error.theirs), (ErrorCode::SameNameOtherContent, Some(theirs)));
    assert!(error.message.contains(&theirs.to_hex()) && error.message.contains(&ours.to_hex()));
}

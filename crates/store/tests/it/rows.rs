//! Real records and receipts for tests: everything is signed.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Origin, Receipt, Record};
use peerage_replica::{LogRow, VerifiedRow};
use peerage_types::{
    ClusterId, DeviceId, GroupId, Name, PublicKey, RecordId, Scope, Stamp, TrackerId, UserId,
};

pub const CLUSTER: ClusterId = ClusterId([9; 16]);

pub fn origin(n: u8) -> Origin {
    // The highest bit shows that unsigned values survive SQLite's signed integers.
    Origin { tracker: TrackerId([n; 16]), incarnation: u64::MAX - u64::from(n) }
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

pub fn user(n: u8) -> UserId {
    UserId::of_identity(&public(&key(n)))
}

pub fn device(n: u8) -> DeviceId {
    public(&key(n + 100))
}

fn account_record(n: u8, body: Body) -> Arc<Record> {
    let author = user(n);
    let draft = Draft { cluster: CLUSTER, scope: Scope::Account(author), author, prev: None, body };
    Arc::new(Record::sign(draft, &key(n)))
}

pub fn genesis(n: u8) -> Arc<Record> {
    account_record(n, Body::AccountGenesis { identity: public(&key(n)) })
}

pub fn user_name(n: u8, text: &str) -> Arc<Record> {
    account_record(n, Body::UserNameClaim { name: name(text) })
}

pub fn certificate(n: u8, of: u8) -> Arc<Record> {
    account_record(n, Body::DeviceCert { device: device(of), label: "laptop".to_owned() })
}

fn group_record(n: u8, scope: Scope, body: Body) -> Arc<Record> {
    let draft = Draft { cluster: CLUSTER, scope, author: user(n), prev: None, body };
    Arc::new(Record::sign(draft, &key(n + 100)))
}

pub fn group(n: u8, text: &str, after: Option<RecordId>) -> Arc<Record> {
    let body = Body::GroupGenesis { name: name(text), after, nonce: [n; 16] };
    group_record(n, Scope::Group(GroupId([0; 32])), body)
}

pub fn join(n: u8, group: GroupId, incarnation: u32) -> Arc<Record> {
    group_record(n, Scope::Group(group), Body::JoinRequest { incarnation })
}

/// The same row, signed beside another one.
pub fn resealed(row: &VerifiedRow) -> VerifiedRow {
    let key = key(200);
    let Receipt { origin, seq, stamp, record, .. } = *row.receipt();
    let beside = [(stamp, record), (stamp, RecordId([7; 32]))];
    let receipt = Receipt::sign_all(origin, seq, &beside, &key).swap_remove(0);
    assert!(receipt != *row.receipt() && receipt.says_same(row.receipt()));
    let row = LogRow { receipt, ..row.row() };
    VerifiedRow::verify(&row, &CLUSTER, &public(&key)).unwrap()
}

/// Row `seq` of an origin.
pub fn row(from: Origin, seq: u64, stamp: u64, record: &Arc<Record>) -> VerifiedRow {
    let key = key(200);
    let receipt = Receipt::sign(from, seq, Stamp(stamp), record.id(), &key);
    let row = LogRow { receipt, record: record.shared_bytes() };
    VerifiedRow::verify(&row, &CLUSTER, &public(&key)).unwrap()
}

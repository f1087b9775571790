//! The fuzz corpus: one record and one body of each kind, replayed on every test run.

use std::path::{Path, PathBuf};
use std::{env, fs};

use peerage_ledger::fuzzing::{CLUSTER, run};
use peerage_ledger::{Body, Draft, HEADS_MAX, Kind, Origin, Receipt, Record, device_label, invite_proof};
use peerage_types::limits::HEIRS_MAX;
use peerage_types::{GroupId, RecordId, Scope, Stamp, TrackerId, UserId};

use crate::script::manifest;
use crate::world::{device, key, public, user};

/// The kinds with lists, as long as they may be.
pub fn fullest() -> Vec<Body> {
    let heirs = (0..HEIRS_MAX as u8).map(|at| (UserId([at; 32]), u32::MAX)).collect();
    let heads: Vec<RecordId> = (0..HEADS_MAX as u8).map(|at| RecordId([at; 32])).collect();
    vec![
        Body::DeviceRevoke { device: device("ann/1"), heads: heads.clone() },
        Body::Handover { epoch: u32::MAX, heirs, heads: heads.clone(), stays: true },
        Body::AdminRevoke { grant: RecordId([0x11; 32]), heads, epoch: u32::MAX },
    ]
}

/// One body of each kind.
pub fn bodies() -> Vec<Body> {
    let (id, person, name) = (RecordId([0x11; 32]), user("bob"), || "Film".parse().unwrap());
    let heirs = vec![(person, 1), (user("cat"), u32::MAX)];
    let heads = vec![id, RecordId([0x12; 32])];
    let proof = invite_proof(&key("i"), &GroupId([0x90; 32]), &user("ann"), 2);
    let (user, incarnation, epoch, grant) = (person, 2, 1, None);
    vec![
        Body::AccountGenesis { identity: public(&key("ann")) },
        Body::UserNameClaim { name: name() },
        Body::AuthRecord {
            opaque_key: 1,
            password_file: vec![1; 192],
            vault: vec![2; 100],
            previous: Some(id),
        },
        Body::DeviceCert { device: device("ann/1"), label: device_label("ann's\u{7} laptop") },
        Body::DeviceRevoke { device: device("ann/1"), heads: heads.clone() },
        Body::Recovery { vault: vec![2; 100], previous: Some(id) },
        Body::GroupGenesis { name: name(), after: Some(id), nonce: [9; 16] },
        Body::Handover { epoch, heirs, heads: heads.clone(), stays: true },
        Body::Close { epoch },
        Body::AdminGrant { user, incarnation, epoch },
        Body::AdminRevoke { grant: id, heads, epoch },
        Body::Invite { key: device("i"), salt: [9; 16], expires_ms: 1_000_000, uses: 5, epoch, grant },
        Body::InviteWithdraw { invite: id, epoch, grant: Some(id) },
        Body::JoinRequest { incarnation },
        Body::Accept { user, incarnation, epoch, grant },
        Body::Reject { user, incarnation, epoch, grant: Some(id) },
        Body::Kick { user, incarnation, epoch, grant },
        Body::Leave { incarnation },
        Body::Redeem { key: device("i"), incarnation, proof },
        manifest("film.mkv=5"),
        Body::Share { manifest: id, incarnation },
        Body::Unshare { share: id },
        Body::Unknown { kind: 900, body: b"future".to_vec() },
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/record")
}

/// File name and content of each seed.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let full = fullest().into_iter().map(|body| (body, "-full"));
    for (body, suffix) in bodies().into_iter().map(|body| (body, "")).chain(full) {
        let kind = body.kind();
        let name = match kind {
            Kind::Unknown(_) => "Unknown".to_owned(),
            known => format!("{known:?}{suffix}"),
        };
        let identity = kind.number() < 16;
        let scope = if identity { Scope::Account(user("ann")) } else { Scope::Group(GroupId([0x90; 32])) };
        let key = if identity { key("ann") } else { key("ann/1") };
        let bytes = [&kind.number().to_be_bytes()[..], &body.encode()].concat();
        seeds.push((format!("body-{name}"), bytes));
        let draft = Draft { cluster: CLUSTER, scope, author: user("ann"), prev: None, body };
        seeds.push((format!("record-{name}"), Record::sign(draft, &key).bytes().to_vec()));
    }
    let origin = Origin { tracker: TrackerId([3; 16]), incarnation: 4 };
    let receipt = Receipt::sign(origin, 5, Stamp::new(6, 7), RecordId([8; 32]), &key("cluster"));
    seeds.push(("receipt".to_owned(), minicbor::to_vec(&receipt).unwrap()));
    let rows: Vec<_> = (0..5).map(|n| (Stamp::new(6, n), RecordId([n as u8; 32]))).collect();
    for (index, receipt) in Receipt::sign_all(origin, 5, &rows, &key("cluster")).iter().enumerate() {
        seeds.push((format!("receipt-{index}-of-5"), minicbor::to_vec(receipt).unwrap()));
    }
    seeds
}

/// `UPDATE_EXPECT=1` writes them, as it does for every other golden value here.
#[test]
fn seeds_are_current() {
    for (name, bytes) in seeds() {
        let path = folder().join(&name);
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_else(|error| panic!("seed {name}: {error}"));
        assert_eq!(kept, bytes, "seed {name}");
    }
}

#[test]
fn replay() {
    let mut count = 0;
    for entry in fs::read_dir(folder()).expect("the corpus folder") {
        run(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "the corpus is empty");
}

#[test]
fn cut_and_bent_seeds() {
    for (_, bytes) in seeds() {
        for at in (0..bytes.len()).step_by(7) {
            run(&bytes[..at]);
            let mut bent = bytes.clone();
            bent[at] = bent[at].wrapping_add(0x20);
            run(&bent);
        }
    }
}

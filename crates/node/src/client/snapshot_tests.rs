use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Origin, Record};
use peerage_link::api::{AccountRows, SignedRow};
use peerage_types::{PublicKey, Stamp, TrackerId};

use super::*;
use crate::client::roster::SessionRoster;
use crate::engine::{NotAdmitted, Roster};

/// A cluster key, people with one device each, and the rows they made.
pub(crate) struct World {
    pub(crate) cluster_key: SigningKey,
    pub(crate) seq: u64,
    pub(crate) snapshot: SnapshotResponse,
}

pub(crate) struct Person {
    pub(crate) user: UserId,
    identity: SigningKey,
    pub(crate) device: SigningKey,
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

const CLUSTER: ClusterId = ClusterId([7; 16]);

impl World {
    pub(crate) fn new() -> Self {
        let snapshot = SnapshotResponse { digest: [0; 32], rows: vec![], accounts: vec![], unchanged: false };
        Self { cluster_key: SigningKey::from_bytes(&[1; 32]), seq: 0, snapshot }
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys { cluster: CLUSTER, cluster_key: public(&self.cluster_key) }
    }

    pub(crate) fn row(&mut self, record: &Record) -> SignedRow {
        self.seq += 1;
        self.snapshot.digest = [self.seq as u8; 32];
        let origin = Origin { tracker: TrackerId([1; 16]), incarnation: 1 };
        let receipt = Receipt::sign(origin, self.seq, Stamp(self.seq << 16), record.id(), &self.cluster_key);
        SignedRow { record: record.bytes().to_vec(), receipt }
    }

    pub(crate) fn person(&mut self, n: u8, name: &str) -> Person {
        let (identity, device) = (SigningKey::from_bytes(&[n; 32]), SigningKey::from_bytes(&[n + 100; 32]));
        let user = UserId::of_identity(&public(&identity));
        let bodies = [
            Body::AccountGenesis { identity: public(&identity) },
            Body::UserNameClaim { name: name.parse().unwrap() },
            Body::DeviceCert { device: public(&device), label: "x".into() },
        ];
        let mut rows = Vec::new();
        for body in bodies {
            let draft =
                Draft { cluster: CLUSTER, scope: Scope::Account(user), author: user, prev: None, body };
            let record = Record::sign(draft, &identity);
            rows.push(self.row(&record));
        }
        self.snapshot.accounts.push(AccountRows { user, rows });
        Person { user, identity, device }
    }

    pub(crate) fn say(&mut self, who: &Person, group: GroupId, body: Body) -> GroupId {
        let draft =
            Draft { cluster: CLUSTER, scope: Scope::Group(group), author: who.user, prev: None, body };
        let record = Record::sign(draft, &who.device);
        let row = self.row(&record);
        self.snapshot.rows.push(row);
        match record.scope() {
            Scope::Group(group) => group,
            Scope::Account(_) => unreachable!("a group record"),
        }
    }

    pub(crate) fn founded(&mut self, owner: &Person) -> GroupId {
        let body = Body::GroupGenesis { name: "films".parse().unwrap(), after: None, nonce: [0; 16] };
        self.say(owner, GroupId([0; 32]), body)
    }

    pub(crate) fn join(&mut self, owner: &Person, who: &Person, group: GroupId) {
        self.say(who, group, Body::JoinRequest { incarnation: 1 });
        let accept = Body::Accept { user: who.user, incarnation: 1, epoch: 0, grant: None };
        self.say(owner, group, accept);
    }

    fn groups(&self, dir: &tempfile::TempDir) -> Arc<Groups> {
        let (wanted, _) = mpsc::channel(WANTED_MAX);
        Arc::new(Groups::open(self.keys(), dir.path().to_owned(), wanted).unwrap())
    }
}

pub(crate) fn take(groups: &Groups, world: &World, group: GroupId) -> Result<(), SnapshotFault> {
    let known = groups.get(&group);
    let state = groups.build(known.as_deref(), group, &world.snapshot, unix_ms())?;
    assert!(groups.keep(known.as_ref(), state).is_some());
    Ok(())
}

#[test]
fn a_snapshot_is_verified_settled_kept_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let (ada, ben) = (world.person(1, "ada"), world.person(2, "ben"));
    let group = world.founded(&ada);
    world.join(&ada, &ben, group);
    let groups = world.groups(&dir);
    take(&groups, &world, group).unwrap();
    groups.save().unwrap();
    let again = world.groups(&dir).get(&group).unwrap();
    assert_eq!(again.view, groups.get(&group).unwrap().view);
    assert!(again.view.is_member(&ben.user) && again.view.is_owner(&ada.user));
    assert_eq!(again.user(&ben.user), "ben");
}

#[test]
fn nothing_that_is_not_signed_gets_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let ada = world.person(1, "ada");
    let group = world.founded(&ada);
    let groups = world.groups(&dir);
    let check = |world: &World, expected: &str| {
        let error = take(&groups, world, group).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(groups.get(&group).is_none());
    };
    let good = world.snapshot.clone();
    *world.snapshot.rows[0].record.last_mut().unwrap() ^= 1;
    check(&world, "a record is invalid");
    world.snapshot = good.clone();
    world.snapshot.rows[0].receipt.seq += 1;
    check(&world, "the receipt of record");
    world.snapshot = good.clone();
    world.snapshot.rows = good.accounts[0].rows.clone();
    check(&world, "does not belong here");
    world.snapshot = good.clone();
    world.snapshot.accounts.clear();
    check(&world, "the group's beginning is missing");
    world.snapshot = good;
    take(&groups, &world, group).unwrap();
}

#[test]
fn an_older_answer_takes_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let (ada, ben) = (world.person(1, "ada"), world.person(2, "ben"));
    let group = world.founded(&ada);
    let before = world.snapshot.clone();
    world.join(&ada, &ben, group);
    let groups = world.groups(&dir);
    take(&groups, &world, group).unwrap();
    world.snapshot = before;
    take(&groups, &world, group).unwrap();
    assert!(groups.get(&group).unwrap().view.is_member(&ben.user));
}

#[test]
fn the_roster_admits_members_and_their_new_devices_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let (ada, ben, eve) = (world.person(1, "ada"), world.person(2, "ben"), world.person(3, "eve"));
    let group = world.founded(&ada);
    world.join(&ada, &ben, group);
    world.say(&eve, group, Body::JoinRequest { incarnation: 1 });
    let groups = world.groups(&dir);
    take(&groups, &world, group).unwrap();
    let roster = SessionRoster(groups);
    assert_eq!(roster.admits(&group, &public(&ben.device), &[]), Ok(ben.user));
    assert_eq!(roster.admits(&group, &public(&eve.device), &[]), Err(NotAdmitted::NotMember));
    assert_eq!(roster.admits(&GroupId([9; 32]), &public(&ben.device), &[]), Err(NotAdmitted::UnknownGroup));
    assert!(roster.still_member(&group, &ben.user, &public(&ben.device)));
    assert!(!roster.still_member(&group, &eve.user, &public(&eve.device)));

    // A device that Ben has just added, and one that Eve says is Ben's.
    let laptop = SigningKey::from_bytes(&[77; 32]);
    let cert = |key: &SigningKey, author: UserId| {
        let body = Body::DeviceCert { device: public(&laptop), label: "laptop".into() };
        let draft = Draft { cluster: CLUSTER, scope: Scope::Account(author), author, prev: None, body };
        Record::sign(draft, key)
    };
    assert_eq!(roster.admits(&group, &public(&laptop), &[]), Err(NotAdmitted::NotCertified));
    let ben_says = [cert(&ben.identity, ben.user)];
    assert_eq!(roster.admits(&group, &public(&laptop), &ben_says), Ok(ben.user));
    let eve_says = [cert(&eve.identity, eve.user)];
    assert_eq!(roster.admits(&group, &public(&laptop), &eve_says), Err(NotAdmitted::NotMember));
}

#[test]
fn a_view_that_nobody_confirmed_for_a_day_admits_nobody_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let ada = world.person(1, "ada");
    let group = world.founded(&ada);
    let groups = world.groups(&dir);
    let old = unix_ms() - 25 * 60 * 60 * 1000;
    let known = groups.get(&group);
    let state = groups.build(None, group, &world.snapshot, old).unwrap();
    assert!(groups.keep(known.as_ref(), state).is_some());
    let roster = SessionRoster(Arc::clone(&groups));
    assert_eq!(roster.admits(&group, &public(&ada.device), &[]), Err(NotAdmitted::UnknownGroup));
    assert!(roster.still_member(&group, &ada.user, &public(&ada.device)));
    take(&groups, &world, group).unwrap();
    assert_eq!(roster.admits(&group, &public(&ada.device), &[]), Ok(ada.user));
}

/// Anybody may certify a stranger's key in their own account; whoever holds the key says for whom it speaks.
#[test]
fn certifying_a_strangers_device_locks_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let (ada, ben) = (world.person(1, "ada"), world.person(2, "ben"));
    let group = world.founded(&ada);
    world.join(&ada, &ben, group);
    // Whatever the order of their ids, one of these squatters comes before Ben.
    for n in 3..9 {
        let eve = world.person(n, &format!("eve{n}"));
        let body = Body::DeviceCert { device: public(&ben.device), label: "mine".into() };
        let draft =
            Draft { cluster: CLUSTER, scope: Scope::Account(eve.user), author: eve.user, prev: None, body };
        let row = world.row(&Record::sign(draft, &eve.identity));
        let account = world.snapshot.accounts.iter_mut().find(|a| a.user == eve.user).unwrap();
        account.rows.push(row);
    }
    let groups = world.groups(&dir);
    take(&groups, &world, group).unwrap();
    let state = groups.get(&group).unwrap();
    assert_eq!(state.account_of_device(&public(&ben.device)).map(|account| account.user), Some(ben.user));
    let roster = SessionRoster(groups);
    assert_eq!(roster.admits(&group, &public(&ben.device), &[]), Ok(ben.user));
}

/// Two answers to the same state: the second is added to the first, whatever the clock says.
#[test]
fn no_answer_is_lost_to_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let (ada, ben) = (world.person(1, "ada"), world.person(2, "ben"));
    let group = world.founded(&ada);
    world.join(&ada, &ben, group);
    let groups = world.groups(&dir);
    take(&groups, &world, group).unwrap();
    let base = groups.get(&group).unwrap();
    let kick = Body::Kick { user: ben.user, incarnation: 1, epoch: 0, grant: None };
    let lagging = world.snapshot.clone();
    world.say(&ada, group, kick);
    let ahead = unix_ms() + 1_000_000_000;
    let kicked = groups.build(Some(&base), group, &world.snapshot, ahead).unwrap();
    let late = groups.build(Some(&base), group, &lagging, unix_ms()).unwrap();
    assert!(groups.keep(Some(&base), kicked).is_some());
    assert!(groups.keep(Some(&base), late).is_none(), "built on a state that has been replaced");
    groups.unite(group, &lagging).unwrap();
    assert!(!groups.get(&group).unwrap().view.is_member(&ben.user), "the kick stays");
}

//! A small world of people, devices and groups with deterministic keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerage_ledger::fuzzing::CLUSTER;
use peerage_ledger::{
    AccountView, Body, Draft, FOUNDING, Facts, GroupView, Order, Origin, Record, device_label,
};
use peerage_types::{GroupId, PublicKey, RecordId, Scope, Stamp, TrackerId, UserId};

/// A key that follows from its name.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(name.as_bytes()).as_bytes())
}

pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

pub fn user(name: &str) -> UserId {
    UserId::of_identity(&public(&key(name)))
}

/// `ann/2` is the name of ann's second device, and of its key.
pub fn device(name: &str) -> PublicKey {
    public(&key(name))
}

pub fn order(stamp: u64) -> Order {
    Order { stamp: Stamp(stamp), origin: Origin { tracker: TrackerId([1; 16]), incarnation: 1 } }
}

/// What a statement of a script needs, with every default already chosen.
pub struct Say<'a> {
    pub author: &'a str,
    /// Name of the signing key.
    pub signer: &'a str,
    pub prev: Option<RecordId>,
    pub body: Body,
}

/// All facts there are.
#[derive(Clone, Default)]
pub struct World {
    pub accounts: BTreeMap<UserId, Facts>,
    pub groups: BTreeMap<GroupId, Facts>,
    /// Everyone ever mentioned, by name.
    pub people: BTreeSet<String>,
}

impl World {
    /// Makes sure that this person has an account. Stamps 0 to 9 are for that.
    pub fn person(&mut self, name: &str) {
        if self.people.insert(name.to_owned()) {
            let identity = public(&key(name));
            let genesis = self.account_record(name, None, Body::AccountGenesis { identity });
            self.add(genesis, order(0));
        }
    }

    /// Makes sure that this device (`ann/1`) is certified.
    pub fn device(&mut self, owner: &str, name: &str) {
        self.person(owner);
        if !self.account(owner).devices.contains_key(&device(name)) {
            let cert = Body::DeviceCert { device: device(name), label: device_label(name) };
            let prev = self.account(owner).head;
            let cert = self.account_record(owner, prev, cert);
            self.add(cert, order(1));
        }
    }

    pub fn account_record(&self, name: &str, prev: Option<RecordId>, body: Body) -> Arc<Record> {
        let scope = Scope::Account(user(name));
        let draft = Draft { cluster: CLUSTER, scope, author: user(name), prev, body };
        Arc::new(Record::sign(draft, &key(name)))
    }

    pub fn group_record(&self, group: Option<GroupId>, say: Say<'_>) -> Arc<Record> {
        let scope = group.map_or(FOUNDING, Scope::Group);
        let Say { author, signer, prev, body } = say;
        let draft = Draft { cluster: CLUSTER, scope, author: user(author), prev, body };
        Arc::new(Record::sign(draft, &key(signer)))
    }

    pub fn add(&mut self, record: Arc<Record>, order: Order) {
        match record.scope() {
            Scope::Account(user) => self.accounts.entry(user).or_default().insert(record, order),
            Scope::Group(group) => self.groups.entry(group).or_default().insert(record, order),
        };
    }

    pub fn account(&self, name: &str) -> AccountView {
        AccountView::of(user(name), &self.accounts[&user(name)]).unwrap()
    }

    pub fn account_views(&self) -> BTreeMap<UserId, AccountView> {
        let views = self.accounts.iter().filter_map(|(user, facts)| AccountView::of(*user, facts));
        views.map(|view| (view.user, view)).collect()
    }

    pub fn facts(&self, group: &GroupId) -> Facts {
        self.groups.get(group).cloned().unwrap_or_default()
    }

    pub fn group(&self, group: &GroupId) -> Option<GroupView> {
        GroupView::of(*group, &self.facts(group), &self.account_views())
    }

    /// The name behind an id.
    pub fn name_of(&self, id: &UserId) -> String {
        self.people.iter().find(|name| user(name) == *id).cloned().unwrap_or_else(|| id.tag())
    }
}

//! What an account's facts say: its name claims, its current password record, its devices.
//!
//! Every record of an account scope is signed by the identity whose hash is the account's id
//! ([`crate::Record::decode`] saw to that), so nobody else can add to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_types::{DeviceId, FoldedName, Name, PublicKey, RecordId, Scope, UserId};

use crate::body::Body;
use crate::facts::{Fact, Facts, Rank};
use crate::fork::{Fork, forks};
use crate::receipt::Order;

/// A name that an account claims. Whether it wins is decided across accounts, see
/// [`crate::settle_user_name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameClaim {
    /// The UserNameClaim.
    pub record: RecordId,
    /// When it came in.
    pub order: Order,
    /// The name.
    pub name: Name,
}

/// A device that an account certified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What its owner calls it.
    pub label: String,
    /// The first DeviceCert for it.
    pub cert: RecordId,
    /// When that came in.
    pub order: Order,
    /// The first DeviceRevoke for it, and when that came in. Final: a revoked device never comes back.
    pub revoked: Option<Rank>,
    /// With their ancestors, all records of a revoked device that stay valid, in any scope.
    pub heads: BTreeSet<RecordId>,
}

/// One account, as its facts describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The account.
    pub user: UserId,
    /// The identity's public key.
    pub identity: PublicKey,
    /// The first AccountGenesis.
    pub genesis: RecordId,
    /// Claims in order; the first is what the account was created with.
    pub names: Vec<NameClaim>,
    /// The AuthRecord that decides about passwords now.
    pub auth: Option<RecordId>,
    /// The Recovery whose code opens the account now.
    pub recovery: Option<RecordId>,
    /// AuthRecords and Recoveries that lost against one with the same predecessor, and what builds on them.
    pub superseded: BTreeSet<RecordId>,
    /// All devices ever certified.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Where the identity's chain forks.
    pub forks: Vec<Fork>,
    /// The identity's last record here: what its next one names as `prev`.
    pub head: Option<RecordId>,
}

impl AccountView {
    /// Settles one account; nothing without its genesis.
    pub fn of(user: UserId, facts: &Facts) -> Option<Self> {
        let mut own: Vec<&Fact> =
            facts.iter().filter(|fact| fact.record.scope() == Scope::Account(user)).collect();
        own.sort_by_key(|fact| fact.rank());
        let (genesis, identity) = own.iter().find_map(|fact| match fact.record.body() {
            Body::AccountGenesis { identity } => Some((fact.record.id(), *identity)),
            _ => None,
        })?;
        let mut superseded = BTreeSet::new();
        let auth = settle_latest(&own, &mut superseded, |body| match body {
            Body::AuthRecord { previous, .. } => Some(*previous),
            _ => None,
        });
        let recovery = settle_latest(&own, &mut superseded, |body| match body {
            Body::Recovery { previous, .. } => Some(*previous),
            _ => None,
        });
        Some(Self {
            user,
            identity,
            genesis,
            names: own.iter().filter_map(|fact| name_claim(fact)).collect(),
            auth,
            recovery,
            superseded,
            devices: settle_devices(&own),
            forks: forks(own.iter().copied()),
            head: facts.head(&identity),
        })
    }

    /// The name to show, and whether the account holds it (else it is shown as `name#tag`): of the claims that
    /// win the latest, and of an account that holds no name the latest claim. `holds` tells whether the account
    /// has won a name, see [`crate::settle_user_name`].
    ///
    /// A name is shown only after its own account claimed it, so that nobody is promoted silently; claiming a name
    /// that the account holds already shows that one again.
    pub fn shown_name(&self, holds: impl Fn(&Name) -> bool) -> Option<(&Name, bool)> {
        let claimed = || self.names.iter().rev().map(|claim| &claim.name);
        let held = claimed().find(|name| holds(name)).map(|name| (name, true));
        held.or_else(|| claimed().next().map(|name| (name, false)))
    }

    /// Did the account ever claim this name?
    pub fn claims(&self, name: &FoldedName) -> bool {
        self.names.iter().any(|claim| claim.name.folded() == *name)
    }

    /// Is this device certified and not revoked?
    pub fn device_ok(&self, device: &DeviceId) -> bool {
        self.devices.get(device).is_some_and(|device| device.revoked.is_none())
    }
}

/// Where a group's view finds the accounts of its authors.
pub trait Accounts {
    /// The account, if it is known here.
    fn account(&self, user: &UserId) -> Option<&AccountView>;
}

impl Accounts for BTreeMap<UserId, AccountView> {
    fn account(&self, user: &UserId) -> Option<&AccountView> {
        self.get(user)
    }
}

impl Accounts for BTreeMap<UserId, Arc<AccountView>> {
    fn account(&self, user: &UserId) -> Option<&AccountView> {
        self.get(user).map(AsRef::as_ref)
    }
}

fn name_claim(fact: &Fact) -> Option<NameClaim> {
    let Body::UserNameClaim { name } = fact.record.body() else { return None };
    Some(NameClaim { record: fact.record.id(), order: fact.order, name: name.clone() })
}

/// Follows the records of one kind that replace each other, from the first one on: of several with one
/// predecessor the first wins. One whose predecessor is unknown is neither current nor superseded. `previous`
/// tells of a record of this kind which one it replaces.
fn settle_latest(
    own: &[&Fact],
    superseded: &mut BTreeSet<RecordId>,
    previous: impl Fn(&Body) -> Option<Option<RecordId>>,
) -> Option<RecordId> {
    let mut winners: BTreeMap<Option<RecordId>, Rank> = BTreeMap::new();
    let mut rooted = BTreeMap::new();
    for fact in own {
        if let Some(previous) = previous(fact.record.body()) {
            winners.entry(previous).or_insert(fact.rank());
            rooted.insert(fact.record.id(), previous);
        }
    }
    let (mut current, mut chain) = (None, BTreeSet::new());
    while let Some((_, next)) = winners.get(&current) {
        chain.insert(*next);
        current = Some(*next);
    }
    let known = |previous: &Option<RecordId>| previous.is_none_or(|id| rooted.contains_key(&id));
    let lost = rooted.iter().filter(|(id, previous)| known(previous) && !chain.contains(id));
    superseded.extend(lost.map(|(id, _)| *id));
    current
}

fn settle_devices(own: &[&Fact]) -> BTreeMap<DeviceId, Device> {
    let mut devices: BTreeMap<DeviceId, Device> = BTreeMap::new();
    for fact in own {
        if let Body::DeviceCert { device, label } = fact.record.body() {
            devices.entry(*device).or_insert_with(|| Device {
                label: label.clone(),
                cert: fact.record.id(),
                order: fact.order,
                revoked: None,
                heads: BTreeSet::new(),
            });
        }
    }
    for fact in own {
        if let Body::DeviceRevoke { device, heads } = fact.record.body()
            && let Some(device) = devices.get_mut(device)
        {
            device.revoked.get_or_insert(fact.rank());
            device.heads.extend(heads);
        }
    }
    devices
}

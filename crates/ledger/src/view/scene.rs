//! What every layer starts from: the group's facts in order, and whose devices signed them.

use std::collections::{BTreeMap, BTreeSet};

use peerage_types::{DeviceId, GroupId, RecordId, Scope, UserId};

use crate::account::Accounts;
use crate::facts::{Fact, Facts, Rank};
use crate::lineage::{Cover, Lineage};

/// The facts of one group, before anyone's authority is looked at.
pub(super) struct Scene<'a> {
    pub group: GroupId,
    pub facts: &'a Facts,
    pub lineage: Lineage,
    /// Signed by a device that the author certified. In order.
    pub signed: Vec<Act<'a>>,
    /// Those of them that no revocation cuts off. In order.
    pub acts: Vec<&'a Fact>,
    /// Revoked devices with their owners: what they did may stay valid, but they share nothing any more.
    revoked: BTreeSet<(UserId, DeviceId)>,
}

/// A fact with the fate of the device that signed it.
#[derive(Clone, Copy)]
pub(super) struct Act<'a> {
    pub fact: &'a Fact,
    /// The revocation of the device, unless a head that it names covers the fact.
    pub cut: Option<Rank>,
    /// The revocation of the device, whatever it takes note of: promises that it left open end there.
    pub gone: Option<Rank>,
}

impl Act<'_> {
    /// Did this come in before its device was revoked?
    pub(super) fn is_timely(&self) -> bool {
        self.cut.is_none_or(|revoked| self.fact.rank() < revoked)
    }

    /// A revocation cuts off what its device did last. It does not reach into books that others had closed and
    /// built on by then: into what came in before it and was noted down at `closed`, also before it.
    pub(super) fn survives(&self, closed: Option<Rank>) -> bool {
        let spared = |revoked| self.fact.rank() < revoked && closed.is_some_and(|closed| closed < revoked);
        self.cut.is_none_or(spared)
    }
}

impl<'a> Scene<'a> {
    pub(super) fn of(group: GroupId, facts: &'a Facts, accounts: &dyn Accounts) -> Self {
        let lineage = Lineage::of(facts);
        let mut covers: BTreeMap<(UserId, DeviceId), Cover> = BTreeMap::new();
        let mut signed = Vec::new();
        for fact in facts.iter().filter(|fact| fact.record.scope() == Scope::Group(group)) {
            let (author, signer) = (fact.record.author(), fact.record.signer());
            let account = accounts.account(&author);
            let Some(device) = account.and_then(|account| account.devices.get(&signer)) else { continue };
            let cut = device.revoked.filter(|_| {
                let cover = covers.entry((author, signer)).or_insert_with(|| lineage.cover(&device.heads));
                !lineage.covers(cover, &fact.record.id())
            });
            signed.push(Act { fact, cut, gone: device.revoked });
        }
        signed.sort_by_key(|act| act.fact.rank());
        let acts = signed.iter().filter(|act| act.cut.is_none()).map(|act| act.fact).collect();
        let revoked = covers.into_keys().collect();
        Self { group, facts, lineage, signed, acts, revoked }
    }

    /// May the device that signed this still act?
    pub(super) fn device_live(&self, fact: &Fact) -> bool {
        !self.revoked.contains(&(fact.record.author(), fact.record.signer()))
    }

    /// The record that founded the group. Nothing that happens to the founder's device undoes it: everybody's
    /// membership hangs on it.
    pub(super) fn genesis(&self) -> Option<&'a Fact> {
        let id = RecordId::from(self.group);
        self.signed.iter().map(|act| act.fact).find(|fact| fact.record.id() == id)
    }
}

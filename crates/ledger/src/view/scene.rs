//! What every layer starts from: the group's authentic facts in order.

use std::collections::{BTreeMap, BTreeSet};

use peerage_types::{DeviceId, GroupId, RecordId, Scope, UserId};

use crate::account::Accounts;
use crate::facts::{Fact, Facts};
use crate::lineage::{Cover, Lineage};

/// The facts of one group, before anyone's authority is looked at.
pub(super) struct Scene<'a> {
    pub group: GroupId,
    pub facts: &'a Facts,
    pub lineage: Lineage,
    /// Signed by a device that the author certified and, if it is revoked, covered by a head that a revocation
    /// names. In order.
    pub acts: Vec<&'a Fact>,
    /// Revoked devices with their owners: what they did may stay valid, but they share nothing any more.
    revoked: BTreeSet<(UserId, DeviceId)>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(group: GroupId, facts: &'a Facts, accounts: &dyn Accounts) -> Self {
        let lineage = Lineage::of(facts);
        let mut covers: BTreeMap<(UserId, DeviceId), Cover> = BTreeMap::new();
        let mut authentic = |fact: &&Fact| {
            let record = &fact.record;
            let (author, signer) = (record.author(), record.signer());
            let account = accounts.account(&author);
            match account.and_then(|account| account.devices.get(&signer)) {
                None => false,
                Some(device) if device.revoked.is_none() => true,
                Some(device) => {
                    let cover =
                        covers.entry((author, signer)).or_insert_with(|| lineage.cover(&device.heads));
                    lineage.covers(cover, &record.id())
                }
            }
        };
        let here = |fact: &&Fact| fact.record.scope() == Scope::Group(group);
        let mut acts: Vec<&Fact> = facts.iter().filter(here).filter(|fact| authentic(fact)).collect();
        acts.sort_by_key(|fact| fact.rank());
        let revoked = covers.into_keys().collect();
        Self { group, facts, lineage, acts, revoked }
    }

    /// May the device that signed this still act?
    pub(super) fn device_live(&self, fact: &Fact) -> bool {
        !self.revoked.contains(&(fact.record.author(), fact.record.signer()))
    }

    /// The record that founded the group, if it is here and authentic.
    pub(super) fn genesis(&self) -> Option<&'a Fact> {
        let id = RecordId::from(self.group);
        self.acts.iter().copied().find(|fact| fact.record.id() == id)
    }
}

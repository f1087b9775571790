//! A scope's facts: a grow-only set of records, each with its lowest receipt.
//!
//! Union is commutative, associative and idempotent, so no order of arrival can matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_types::{DeviceId, RecordId, UserId};

use crate::receipt::Order;
use crate::record::Record;

/// What "first" compares.
pub type Rank = (Order, RecordId);

/// A record and when it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What is stated.
    pub record: Arc<Record>,
    /// The lowest receipt known for it.
    pub order: Order,
}

impl Fact {
    /// Its place among all facts.
    pub fn rank(&self) -> Rank {
        (self.order, self.record.id())
    }
}

/// The facts of one scope. Cloning is cheap; a clone that changes copies the map, not the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    by_id: Arc<BTreeMap<RecordId, Fact>>,
}

impl Facts {
    /// No facts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record, or an earlier receipt of a known one. Tells whether anything changed.
    pub fn insert(&mut self, record: Arc<Record>, order: Order) -> bool {
        let id = record.id();
        if self.by_id.get(&id).is_some_and(|known| known.order <= order) {
            return false;
        }
        let by_id = Arc::make_mut(&mut self.by_id);
        by_id.entry(id).and_modify(|known| known.order = order).or_insert(Fact { record, order });
        true
    }

    /// Set union; of two receipts the lower stays. Tells whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for fact in other.iter() {
            changed |= self.insert(Arc::clone(&fact.record), fact.order);
        }
        changed
    }

    /// One fact.
    pub fn get(&self, id: &RecordId) -> Option<&Fact> {
        self.by_id.get(id)
    }

    /// Is this record known?
    pub fn contains(&self, id: &RecordId) -> bool {
        self.by_id.contains_key(id)
    }

    /// All facts, by record id.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.by_id.values()
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Everyone in whose name a record stands, whether truly or not: whose accounts a group's view needs.
    pub fn authors(&self) -> BTreeSet<UserId> {
        self.iter().map(|fact| fact.record.author()).collect()
    }

    /// The key's last record here: what its next record names as `prev`. Of several ends (a restored backup)
    /// the latest.
    pub fn head(&self, device: &DeviceId) -> Option<RecordId> {
        tips(self.iter().filter(|f| f.record.signer() == *device)).last().map(|f| f.record.id())
    }

    /// All ends of the key's chain here, in order: what a DeviceRevoke names as `heads`.
    pub fn heads(&self, device: &DeviceId) -> Vec<RecordId> {
        let tips = tips(self.iter().filter(|f| f.record.signer() == *device));
        tips.into_iter().map(|f| f.record.id()).collect()
    }
}

impl Extend<(Arc<Record>, Order)> for Facts {
    fn extend<I: IntoIterator<Item = (Arc<Record>, Order)>>(&mut self, facts: I) {
        for (record, order) in facts {
            self.insert(record, order);
        }
    }
}

impl FromIterator<(Arc<Record>, Order)> for Facts {
    fn from_iter<I: IntoIterator<Item = (Arc<Record>, Order)>>(facts: I) -> Self {
        let mut set = Self::new();
        set.extend(facts);
        set
    }
}

/// Of these facts the ones that no other of them names as its `prev`, in order.
pub(crate) fn tips<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<&'a Fact> {
    let all: Vec<&Fact> = facts.collect();
    let followed: BTreeSet<_> =
        all.iter().filter_map(|f| Some((f.record.signer(), f.record.prev()?))).collect();
    let mut tips: Vec<_> =
        all.into_iter().filter(|f| !followed.contains(&(f.record.signer(), f.record.id()))).collect();
    tips.sort_by_key(|fact| fact.rank());
    tips
}

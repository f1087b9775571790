//! Forks: a device that said twice what comes after one of its records. It was copied, or set back to an old state, or
//! somebody else has its key; people are told, and decide.

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::Facts;
use peerage_types::{DeviceId, RecordId, UserId};

/// Whose device, and which of its records have one predecessor: two or more.
pub type Forks = BTreeMap<(UserId, DeviceId, Option<RecordId>), BTreeSet<RecordId>>;

/// The forks among the facts of one group.
pub fn forks(facts: &Facts) -> Forks {
    let mut next = Forks::new();
    for fact in facts.iter() {
        let record = &fact.record;
        let place = (record.author(), record.signer(), record.prev());
        next.entry(place).or_default().insert(record.id());
    }
    next.retain(|_, records| records.len() > 1);
    next
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ed25519_dalek::SigningKey;
    use peerage_ledger::{Body, Draft, Order, Record};
    use peerage_types::{ClusterId, GroupId, Scope};

    use super::*;

    #[test]
    fn two_records_after_one_are_a_fork_and_a_chain_is_none() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let mut facts = Facts::new();
        let mut say = |prev, incarnation| {
            let (scope, author) = (Scope::Group(GroupId([2; 32])), UserId([3; 32]));
            let body = Body::Leave { incarnation };
            let record = Record::sign(Draft { cluster: ClusterId([4; 16]), scope, author, prev, body }, &key);
            let id = record.id();
            facts.insert(Arc::new(record), Order::LAST);
            id
        };
        let first = say(None, 1);
        let second = say(Some(first), 2);
        let third = say(Some(second), 3);
        let other = say(Some(second), 4);
        let found = forks(&facts);
        assert_eq!(found.len(), 1);
        assert_eq!(found.values().next(), Some(&BTreeSet::from([third, other])));
    }
}

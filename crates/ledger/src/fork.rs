//! Forks: a key that says twice what comes after one of its records.
//!
//! A device links its records of a scope into one chain. Two records with one predecessor mean that it was copied
//! or set back to an old state, that somebody else has its key, or, harmlessly, that a record it had given up on
//! reached a tracker after all. An account's identity key also forks honestly, when two devices use it without
//! knowing of each other. Nothing is decided by it: people are told.

use std::collections::BTreeMap;

use peerage_types::{DeviceId, RecordId, UserId};

use crate::facts::Fact;

/// Records by one key with one predecessor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// In whose name.
    pub author: UserId,
    /// The key that signed them: a device, or in an account its identity.
    pub signer: DeviceId,
    /// What each of them names as the one before it; nothing if each claims to be the first.
    pub prev: Option<RecordId>,
    /// Two or more, in order.
    pub records: Vec<RecordId>,
}

/// The forks among these facts of one scope, which come in order.
pub(crate) fn forks<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<Fork> {
    let mut next: BTreeMap<(UserId, DeviceId, Option<RecordId>), Vec<RecordId>> = BTreeMap::new();
    for fact in facts {
        let record = &fact.record;
        next.entry((record.author(), record.signer(), record.prev())).or_default().push(record.id());
    }
    let forked = next.into_iter().filter(|(_, records)| records.len() > 1);
    forked.map(|((author, signer, prev), records)| Fork { author, signer, prev, records }).collect()
}

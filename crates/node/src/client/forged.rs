//! Records that have no effect and that no honest tracker takes: somebody tried to speak for somebody else, or to decide
//! what they never could. Views ignore them by themselves; here they are counted, so that people hear of it.

use std::collections::BTreeSet;

use peerage_ledger::{Body, Fact};
use peerage_types::{RecordId, UserId};

use super::snapshot::GroupState;

/// Of these records of the group the ones that were signed by a device that their author never certified, or decide
/// about the group by somebody who never owned it, never was to own it and was never an admin.
pub fn forged(state: &GroupState, shown: &BTreeSet<RecordId>) -> BTreeSet<RecordId> {
    let certified = |fact: &Fact| {
        let account = state.accounts.get(&fact.record.author());
        // An account that is not known yet may still certify the device.
        account.is_none_or(|account| account.devices.contains_key(&fact.record.signer()))
    };
    let mut facts: Vec<&Fact> = state.facts().iter().collect();
    facts.sort_by_key(|fact| fact.rank());
    let mut deciders: BTreeSet<UserId> = BTreeSet::from([state.founder()]);
    for fact in facts.iter().filter(|fact| certified(fact)) {
        match fact.record.body() {
            _ if !deciders.contains(&fact.record.author()) => {}
            Body::Handover { heirs, .. } => deciders.extend(heirs.iter().map(|(heir, _)| *heir)),
            Body::AdminGrant { user, .. } => {
                deciders.insert(*user);
            }
            _ => {}
        }
    }
    let may = |fact: &Fact| !decides(fact.record.body()) || deciders.contains(&fact.record.author());
    let bad =
        facts.into_iter().filter(|fact| shown.contains(&fact.record.id()) && !(certified(fact) && may(fact)));
    bad.map(|fact| fact.record.id()).collect()
}

fn decides(body: &Body) -> bool {
    matches!(
        body,
        Body::Accept { .. }
            | Body::Reject { .. }
            | Body::Kick { .. }
            | Body::Handover { .. }
            | Body::Close { .. }
            | Body::AdminGrant { .. }
            | Body::AdminRevoke { .. }
            | Body::Invite { .. }
            | Body::InviteWithdraw { .. }
    )
}

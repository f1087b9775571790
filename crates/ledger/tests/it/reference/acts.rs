//! What the reference has to go by: the facts of certified devices in their order, and what each of them says.

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::{AccountView, Body, Fact, Facts, Rank};
use peerage_types::{RecordId, UserId};

/// A fact by a certified device, with the device's revocation, and with that revocation if it cuts the fact off.
pub(super) struct Act<'a> {
    pub(super) fact: &'a Fact,
    pub(super) revoked: Option<Rank>,
    pub(super) cut: Option<Rank>,
}

impl Act<'_> {
    pub(super) fn body(&self) -> &Body {
        self.fact.record.body()
    }

    pub(super) fn author(&self) -> UserId {
        self.fact.record.author()
    }

    pub(super) fn id(&self) -> RecordId {
        self.fact.record.id()
    }

    pub(super) fn timely(&self) -> bool {
        self.cut.is_none_or(|cut| self.fact.rank() < cut)
    }

    pub(super) fn stands(&self, closed: Option<Rank>) -> bool {
        self.cut.is_none() || self.timely() && closed.is_some() && closed < self.cut
    }
}

/// The record and all before it on its device's chain.
fn ancestry(facts: &Facts, head: &RecordId) -> BTreeSet<RecordId> {
    let mut line = BTreeSet::new();
    let mut next = facts.get(head);
    while let Some(fact) = next {
        line.insert(fact.record.id());
        let same = |prev: &&Fact| {
            prev.record.signer() == fact.record.signer() && prev.record.author() == fact.record.author()
        };
        next = fact.record.prev().and_then(|prev| facts.get(&prev)).filter(same);
    }
    line
}

pub(super) fn ancestries<'a>(
    facts: &Facts,
    heads: impl IntoIterator<Item = &'a RecordId>,
) -> BTreeSet<RecordId> {
    heads.into_iter().flat_map(|head| ancestry(facts, head)).collect()
}

/// All facts by certified devices, in order.
pub(super) fn signed<'a>(facts: &'a Facts, accounts: &BTreeMap<UserId, AccountView>) -> Vec<Act<'a>> {
    let mut acts = Vec::new();
    for fact in facts.iter() {
        let record = &fact.record;
        let account = accounts.get(&record.author());
        let Some(device) = account.and_then(|account| account.devices.get(&record.signer())) else {
            continue;
        };
        let spared = device.heads.iter().any(|head| {
            facts.get(head).is_some_and(|head| head.record.signer() == record.signer())
                && ancestry(facts, head).contains(&record.id())
        });
        acts.push(Act { fact, revoked: device.revoked, cut: device.revoked.filter(|_| !spared) });
    }
    acts.sort_by_key(|act| act.fact.rank());
    acts
}

/// Verdicts are true for Accept. (accepts, user, incarnation, epoch, grant)
pub(super) fn about(body: &Body) -> Option<(bool, UserId, u32, u32, Option<RecordId>)> {
    match *body {
        Body::Accept { user, incarnation, epoch, grant } => Some((true, user, incarnation, epoch, grant)),
        Body::AdminGrant { user, incarnation, epoch } => Some((true, user, incarnation, epoch, None)),
        Body::Kick { user, incarnation, epoch, grant } | Body::Reject { user, incarnation, epoch, grant } => {
            Some((false, user, incarnation, epoch, grant))
        }
        _ => None,
    }
}

/// (epoch, grant) of what concerns invites and is for the owner and admins.
pub(super) fn inviting(body: &Body) -> Option<(u32, Option<RecordId>)> {
    match *body {
        Body::Invite { epoch, grant, .. } | Body::InviteWithdraw { epoch, grant, .. } => Some((epoch, grant)),
        _ => None,
    }
}

/// The term that an owner's record names.
pub(super) fn epoch_of(body: &Body) -> Option<u32> {
    match *body {
        Body::Invite { epoch, grant: None, .. } | Body::InviteWithdraw { epoch, grant: None, .. } => {
            Some(epoch)
        }
        Body::Handover { epoch, .. } | Body::Close { epoch } | Body::AdminRevoke { epoch, .. } => Some(epoch),
        _ => about(body).filter(|(.., grant)| grant.is_none()).map(|(_, _, _, epoch, _)| epoch),
    }
}

//! The part of a group's facts that someone outside may see.

use std::collections::BTreeSet;
use std::sync::Arc;

use peerage_types::{GroupId, PublicKey, RecordId, UserId};

use super::owner::Ruling;
use crate::account::Accounts;
use crate::body::Body;
use crate::facts::Facts;

/// The facts that tell `user` who owns the group, whether it has ended, and how `user` stands to it, and as
/// few others as that allows: computed from them, these three come out the same as from all facts.
///
/// As long as there was no Handover, nobody was made admin and the founder revoked no device, that is the genesis,
/// a Close, and what is by or about `user`. Otherwise all records of founder, heirs and admins are needed, because
/// Handovers and revocations rest on unbroken chains of them. Whoever came by an invite is shown all about it: who came
/// before them decides whether they are in.
pub fn outline(group: GroupId, facts: &Facts, accounts: &dyn Accounts, user: &UserId) -> Facts {
    let mut candidates = BTreeSet::new();
    let mut chains = false;
    if let Some(genesis) = facts.get(&group.into()) {
        let founder = genesis.record.author();
        candidates.insert(founder);
        let account = accounts.account(&founder);
        chains = account.is_none_or(|account| account.devices.values().any(|d| d.revoked.is_some()));
    }
    for fact in facts.iter() {
        match fact.record.body() {
            Body::Handover { heirs, .. } => {
                candidates.insert(fact.record.author());
                candidates.extend(heirs.iter().map(|(heir, _)| *heir));
                chains = true;
            }
            Body::AdminGrant { user, .. } => {
                candidates.extend([fact.record.author(), *user]);
                chains = true;
            }
            _ => {}
        }
    }
    let invites = invites_of(facts, user);
    let wanted = facts.iter().filter(|fact| {
        let record = &fact.record;
        let about = Ruling::of(record.body()).map(|ruling| ruling.user);
        let ends = matches!(record.body(), Body::GroupGenesis { .. } | Body::Close { .. });
        let by_candidate = candidates.contains(&record.author()) && (chains || ends);
        let invited = match record.body() {
            Body::Invite { key, .. } | Body::Redeem { key, .. } => invites.0.contains(key),
            Body::InviteWithdraw { invite, .. } => invites.1.contains(invite),
            _ => false,
        };
        by_candidate || invited || record.author() == *user || about == Some(*user)
    });
    wanted.map(|fact| (Arc::clone(&fact.record), fact.order)).collect()
}

/// The invites that this person came by: their keys and records.
fn invites_of(facts: &Facts, user: &UserId) -> (BTreeSet<PublicKey>, BTreeSet<RecordId>) {
    let own = facts.iter().filter(|fact| fact.record.author() == *user);
    let keys: BTreeSet<PublicKey> = own
        .filter_map(|fact| match fact.record.body() {
            Body::Redeem { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    if keys.is_empty() {
        return (keys, BTreeSet::new());
    }
    let issued =
        facts.iter().filter(|f| matches!(f.record.body(), Body::Invite { key, .. } if keys.contains(key)));
    let records = issued.map(|fact| fact.record.id()).collect();
    (keys, records)
}

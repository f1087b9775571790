//! Names across scopes: exactly one winner each, and nobody is promoted silently.
//!
//! A user name goes to the first claim, for good. A group name goes to the first genesis without `after`; once
//! that group has ended, to the first genesis that names its end; and so on.

use std::collections::BTreeMap;

use peerage_types::{FoldedName, GroupId, Name, RecordId, UserId};

use crate::receipt::Order;

/// One claim to a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When it came in.
    pub order: Order,
    /// The UserNameClaim.
    pub id: RecordId,
    /// Whose it is.
    pub user: UserId,
}

/// Who has a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winner {
    /// The account.
    pub user: UserId,
    /// The claim that won.
    pub claim: RecordId,
}

/// One claim to a group name: its genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupClaim {
    /// When the genesis came in.
    pub order: Order,
    /// The GroupGenesis.
    pub genesis: RecordId,
    /// The record that, it says, ended the group which had the name before.
    pub after: Option<RecordId>,
    /// The record that ended this group, from its [`crate::GroupView`].
    pub ended_by: Option<RecordId>,
}

/// Who has a group name, or had it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The group.
    pub group: GroupId,
    /// What ended it: the name is free, and the next genesis names this as `after`.
    pub ended_by: Option<RecordId>,
}

/// First claim wins, whatever comes later.
pub fn settle_user_name(claims: &[Claim]) -> Option<Winner> {
    let first = claims.iter().min_by_key(|claim| (claim.order, claim.id))?;
    Some(Winner { user: first.user, claim: first.id })
}

/// Follows the chain of ended groups to its last link.
pub fn settle_group_name(claims: &[GroupClaim]) -> Option<Holder> {
    let mut firsts: BTreeMap<Option<RecordId>, &GroupClaim> = BTreeMap::new();
    for claim in claims {
        let first = firsts.entry(claim.after).or_insert(claim);
        if (claim.order, claim.genesis) < (first.order, first.genesis) {
            *first = claim;
        }
    }
    // Removing each link keeps this finite even for claims that no real records could make.
    let mut holder = firsts.remove(&None)?;
    while holder.ended_by.is_some()
        && let Some(next) = firsts.remove(&holder.ended_by)
    {
        holder = next;
    }
    Some(Holder { group: holder.genesis.into(), ended_by: holder.ended_by })
}

/// `name` for who holds it, `name#tag` for everyone else; `tag` is the `tag()` of the user's or group's id.
pub fn shown_name(name: &str, wins: bool, tag: &str) -> String {
    if wins { name.to_owned() } else { format!("{name}#{tag}") }
}

/// All claims, by name. The order of insertion does not matter, the lowest receipt of a claim counts; only
/// how a group ended is what was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameTable {
    users: BTreeMap<FoldedName, Vec<Claim>>,
    groups: BTreeMap<FoldedName, Vec<GroupClaim>>,
}

impl NameTable {
    /// No claims.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a claim to a user name.
    pub fn claim_user(&mut self, name: &Name, claim: Claim) {
        let claims = self.users.entry(name.folded()).or_default();
        match claims.binary_search_by_key(&claim.id, |known| known.id) {
            Ok(at) if claim.order < claims[at].order => claims[at] = claim,
            Ok(_) => {}
            Err(at) => claims.insert(at, claim),
        }
    }

    /// Adds a claim to a group name, or tells anew how that group ended.
    pub fn claim_group(&mut self, name: &Name, claim: GroupClaim) {
        let claims = self.groups.entry(name.folded()).or_default();
        match claims.binary_search_by_key(&claim.genesis, |known| known.genesis) {
            Ok(at) => {
                let order = claim.order.min(claims[at].order);
                claims[at] = GroupClaim { order, ..claim };
            }
            Err(at) => claims.insert(at, claim),
        }
    }

    /// Who has this user name.
    pub fn user(&self, name: &FoldedName) -> Option<Winner> {
        settle_user_name(self.users.get(name)?)
    }

    /// Who has this group name, or had it last.
    pub fn group(&self, name: &FoldedName) -> Option<Holder> {
        settle_group_name(self.groups.get(name)?)
    }
}

//! What a group's facts say, settled in layers: each reads only the ones before it.
//!
//! 1. [`owner`]: who owns the group in which term, and whether it has ended.
//! 2. Admins: not in this version. AdminGrant and AdminRevoke are reserved kinds without effect, and an owner
//!    record that names a grant does not count.
//! 3. [`members`]: who may take part, reads 1.
//! 4. [`files`]: what they share, reads 1 and 3.

mod append;
mod files;
mod members;
mod outline;
mod owner;
mod scene;

use std::collections::BTreeMap;

use peerage_types::limits::HEIRS_MAX;
use peerage_types::{DeviceId, GroupId, Name, RecordId, UserId};

pub use self::files::{FileView, ShareView};
pub use self::members::{Member, Request, Standing};
pub use self::outline::outline;

use self::append::Tail;
use self::members::{NEVER_SEEN, Roster};
use self::owner::Tenure;
use self::scene::Scene;
use crate::account::Accounts;
use crate::body::{Body, HEADS_MAX};
use crate::facts::{Fact, Facts, tips};
use crate::receipt::Order;

/// One group, as its facts and its authors' accounts describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub group: GroupId,
    /// Its name. Shown plain only if it holds it, see [`crate::settle_group_name`].
    pub name: Name,
    /// The genesis that this one follows under the same name.
    pub after: Option<RecordId>,
    /// When the genesis came in.
    pub created: Order,
    /// The owner; of a group that has ended the last one.
    pub owner: UserId,
    /// The owner's term: 0 for the founder, plus one with each Handover.
    pub epoch: u32,
    /// The Close, or the Handover without a willing heir, that ended the group. It then has no members,
    /// requests or files.
    pub ended_by: Option<RecordId>,
    /// Who may take part, the owner included.
    pub members: BTreeMap<UserId, Member>,
    /// Who waits for an answer, in order.
    pub requests: Vec<Request>,
    /// What a current member shares, by name; of several contents under one name the first shared comes first.
    pub files: Vec<FileView>,
    standings: BTreeMap<UserId, Standing>,
    heads: BTreeMap<UserId, Vec<(DeviceId, RecordId)>>,
    tail: Tail,
}

impl GroupView {
    /// Settles one group; nothing without its genesis, or while the founder's account is unknown.
    pub fn of(group: GroupId, facts: &Facts, accounts: &dyn Accounts) -> Option<Self> {
        let scene = Scene::of(group, facts, accounts);
        let genesis = scene.genesis()?;
        let Body::GroupGenesis { name, after, .. } = genesis.record.body() else { return None };
        let tenure = Tenure::settle(&scene, genesis);
        let roster = Roster::settle(&scene, &tenure);
        let files = files::settle(&scene, &roster.members);
        let heads = heads(&scene, &roster.standings);
        Some(Self {
            group,
            name: name.clone(),
            after: *after,
            created: genesis.order,
            owner: tenure.last().owner,
            epoch: tenure.epoch(),
            ended_by: tenure.ended_by(),
            members: roster.members,
            requests: roster.requests,
            files,
            standings: roster.standings,
            heads,
            tail: Tail::of(facts, genesis),
        })
    }

    /// How this person stands to the group.
    pub fn standing(&self, user: &UserId) -> Standing {
        self.standings.get(user).copied().unwrap_or(NEVER_SEEN)
    }

    /// The incarnation that this person's next JoinRequest must carry; the first is 1 (the founder has 0).
    pub fn next_incarnation(&self, user: &UserId) -> u32 {
        self.standing(user).incarnation().saturating_add(1)
    }

    /// Does this person own the group now?
    pub fn is_owner(&self, user: &UserId) -> bool {
        self.ended_by.is_none() && self.owner == *user
    }

    /// May this person take part?
    pub fn is_member(&self, user: &UserId) -> bool {
        self.members.contains_key(user)
    }

    /// The file with this shown name: `name`, or `name#tag` for a content that came second.
    pub fn file(&self, shown: &str) -> Option<&FileView> {
        self.files.iter().find(|file| file.shown == shown)
    }

    /// Whom a Handover by the owner should name: the other members, first joined first, at most [`HEIRS_MAX`].
    pub fn heirs(&self) -> Vec<(UserId, u32)> {
        let mut others: Vec<_> = self.members.iter().filter(|(user, _)| **user != self.owner).collect();
        others.sort_by_key(|(user, member)| (member.since, **user));
        others.into_iter().take(HEIRS_MAX).map(|(user, member)| (*user, member.incarnation)).collect()
    }

    /// The device's last valid record here: what its next record names as `prev`.
    pub fn head(&self, device: &DeviceId) -> Option<RecordId> {
        self.heads.values().flatten().rev().find(|(signer, _)| signer == device).map(|(_, id)| *id)
    }

    /// Whom a Handover by the owner should name as `heads`: the last records of all the owner's devices, the
    /// latest first, at most [`HEADS_MAX`].
    pub fn owner_heads(&self) -> Vec<RecordId> {
        let own = self.heads.get(&self.owner).map(Vec::as_slice).unwrap_or_default();
        own.iter().rev().take(HEADS_MAX).map(|(_, id)| *id).collect()
    }
}

/// The ends of each person's chains, in order, for everyone whose records could matter.
fn heads(
    scene: &Scene<'_>,
    standings: &BTreeMap<UserId, Standing>,
) -> BTreeMap<UserId, Vec<(DeviceId, RecordId)>> {
    let mut heads: BTreeMap<UserId, Vec<(DeviceId, RecordId)>> = BTreeMap::new();
    let mut acts: Vec<&Fact> = scene.acts.clone();
    acts.retain(|act| standings.contains_key(&act.record.author()));
    for fact in tips(acts.into_iter()) {
        let record = &fact.record;
        heads.entry(record.author()).or_default().push((record.signer(), record.id()));
    }
    heads
}

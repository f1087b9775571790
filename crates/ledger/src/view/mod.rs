//! What a group's facts say, settled in layers: each reads only the ones before it.
//!
//! 1. [`owner`]: who owns the group in which term, and whether it has ended.
//! 2. [`admins`]: who may decide beside the owner, reads 1.
//! 3. [`members`]: who may take part, reads 1 and 2 and, settled between them, [`invites`].
//! 4. [`files`]: what they share, reads 3.

mod admins;
mod append;
mod audit;
mod files;
mod invites;
mod members;
mod outline;
mod owner;
mod scene;

use std::collections::BTreeMap;

use peerage_types::limits::HEIRS_MAX;
use peerage_types::{DeviceId, GroupId, Name, PublicKey, RecordId, UserId};

pub use self::audit::{AuditEntry, Void, audit};
pub use self::files::{FileView, ShareView};
pub use self::invites::{InviteState, InviteView};
pub use self::members::{Member, Request, Standing};
pub use self::outline::outline;

use self::admins::Admins;
use self::append::Tail;
use self::invites::Invites;
use self::members::{NEVER_SEEN, Roster};
use self::owner::{OwnerAct, Ruling, Tenure};
use self::scene::{Act, Scene};
use crate::account::Accounts;
use crate::body::{Body, HEADS_MAX};
use crate::facts::{Fact, Facts, Rank, tips};
use crate::fork::{Fork, forks};
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
    /// requests, files or invites.
    pub ended_by: Option<RecordId>,
    /// Who may take part, the owner included.
    pub members: BTreeMap<UserId, Member>,
    /// Who waits for an answer, in order.
    pub requests: Vec<Request>,
    /// What a current member shares, by name; of several contents under one name the first shared comes first.
    pub files: Vec<FileView>,
    /// Who accepts, rejects and kicks plain members beside the owner. All of them are members.
    pub admins: BTreeMap<UserId, Admin>,
    /// Every invite that owner or admins made, in order, whatever has become of it.
    pub invites: Vec<InviteView>,
    /// Where chains of people who have to do with the group fork.
    pub forks: Vec<Fork>,
    standings: BTreeMap<UserId, Standing>,
    put_out: BTreeMap<UserId, Rank>,
    heads: BTreeMap<UserId, Vec<(DeviceId, RecordId)>>,
    tail: Tail,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Decides about everybody, names admins and successors.
    Owner,
    /// Decides about plain members.
    Admin,
    /// Takes part.
    Member,
}

/// A member whom the owner lets decide about plain members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The AdminGrants that hold, in order: their records name the first, and a revocation must end each of them.
    pub grants: Vec<RecordId>,
    /// The last records of each of their devices that were made under these grants and count: what an AdminRevoke
    /// or Handover must name lest they become void.
    pub heads: Vec<RecordId>,
}

impl GroupView {
    /// Settles one group; nothing without its genesis, or while the founder's account is unknown.
    pub fn of(group: GroupId, facts: &Facts, accounts: &dyn Accounts) -> Option<Self> {
        let scene = Scene::of(group, facts, accounts);
        let genesis = scene.genesis()?;
        let Body::GroupGenesis { name, after, .. } = genesis.record.body() else { return None };
        let tenure = Tenure::settle(&scene, genesis);
        let admins = Admins::settle(&scene, &tenure);
        let invites = Invites::settle(&scene, &tenure, &admins);
        let roster = Roster::settle(&scene, &tenure, &admins, &invites);
        let signed = scene.signed.iter().map(|act| act.fact);
        let forks = forks(signed.filter(|fact| roster.standings.contains_key(&fact.record.author())));
        let files = files::settle(&scene, &roster.members);
        let heads = heads(&scene, &roster.standings);
        let admins = open_admins(&scene, &tenure, &admins, &invites, &roster);
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
            admins,
            invites: if tenure.ended_by().is_none() { invites.views() } else { Vec::new() },
            forks,
            standings: roster.standings,
            put_out: roster.put_out,
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

    /// What this member may do; nothing for who is no member.
    pub fn role(&self, user: &UserId) -> Option<Role> {
        let member = if self.admins.contains_key(user) { Role::Admin } else { Role::Member };
        self.is_member(user).then_some(if self.is_owner(user) { Role::Owner } else { member })
    }

    /// What Accept, Reject and Kick by this person name as `grant`; nothing if they are no admin.
    pub fn admin_grant(&self, user: &UserId) -> Option<RecordId> {
        self.admins.get(user)?.grants.first().copied()
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

    /// What the owner signs, in this order, to hand the group over to the first willing of these heirs: one Handover,
    /// and before it an AdminRevoke for each grant if all admins' records are too many for its `heads`.
    pub fn handover(&self, heirs: Vec<(UserId, u32)>, stays: bool) -> Vec<Body> {
        let epoch = self.epoch;
        let mut heads = self.owner_heads();
        let owners = heads.len();
        heads.extend(self.admins.values().flat_map(|admin| &admin.heads));
        let mut bodies = Vec::new();
        if heads.len() > HEADS_MAX {
            heads.truncate(owners);
            bodies = self.admins.keys().flat_map(|admin| self.admin_revokes(admin)).collect();
        }
        bodies.push(Body::Handover { epoch, heirs, heads, stays });
        bodies
    }

    /// What the owner signs to end this person's grants, so that all they did so far stays valid.
    pub fn admin_revokes(&self, user: &UserId) -> Vec<Body> {
        let Some(admin) = self.admins.get(user) else { return Vec::new() };
        let heads: Vec<RecordId> = admin.heads.iter().take(HEADS_MAX).copied().collect();
        let epoch = self.epoch;
        admin
            .grants
            .iter()
            .map(|grant| Body::AdminRevoke { grant: *grant, heads: heads.clone(), epoch })
            .collect()
    }

    /// The invite with this key.
    pub fn invite(&self, key: &PublicKey) -> Option<&InviteView> {
        self.invites.iter().find(|invite| invite.key == *key)
    }

    /// Was this person kicked or rejected after the invite was made? Then it is not for them.
    pub fn is_put_out_since(&self, user: &UserId, invite: &InviteView) -> bool {
        self.put_out.get(user).is_some_and(|out| *out > (invite.order, invite.invite))
    }

    /// How many of the group's records stand in this person's name, whatever they are worth.
    pub fn records_of(&self, user: &UserId) -> usize {
        self.tail.records_of(user)
    }

    /// The last records of all the owner's devices, the latest first, at most [`HEADS_MAX`]: what a Handover must
    /// name as `heads` or rest on.
    pub fn owner_heads(&self) -> Vec<RecordId> {
        let own = self.heads.get(&self.owner).map(Vec::as_slice).unwrap_or_default();
        own.iter().rev().take(HEADS_MAX).map(|(_, id)| *id).collect()
    }
}

/// What this record says about a person, if it is of that kind and has the authority to; else why it has not.
fn ruling(
    scene: &Scene<'_>,
    tenure: &Tenure,
    admins: &Admins,
    act: &Act<'_>,
) -> Option<Result<Ruling, Void>> {
    let ruling = Ruling::of(act.fact.record.body())?;
    let verdict = match OwnerAct::of(act.fact.record.body()) {
        None => admins.judge(scene, tenure, act, &ruling),
        // Nobody judges themself: an owner leaves by Handover only.
        Some(_) if ruling.user == act.fact.record.author() => Err(Void::BeyondReach),
        Some(owner) => tenure.judge(scene, &owner, act),
    };
    Some(verdict.map(|()| ruling))
}

/// Members with a grant that holds.
fn open_admins(
    scene: &Scene<'_>,
    tenure: &Tenure,
    admins: &Admins,
    invites: &Invites,
    roster: &Roster,
) -> BTreeMap<UserId, Admin> {
    let mut open: BTreeMap<UserId, Admin> = BTreeMap::new();
    for (grant, id) in admins.open(tenure) {
        let in_at = roster.members.get(&grant.user).map(|member| member.incarnation);
        if in_at == Some(grant.incarnation) {
            open.entry(grant.user).or_default().grants.push(id);
        }
    }
    if open.is_empty() {
        return open;
    }
    let mut under: BTreeMap<UserId, Vec<RecordId>> = BTreeMap::new();
    for act in &scene.signed {
        let author = act.fact.record.author();
        let Some(admin) = open.get(&author) else { continue };
        let id = act.fact.record.id();
        let grant = match *act.fact.record.body() {
            Body::Invite { grant, .. } | Body::InviteWithdraw { grant, .. } => {
                grant.filter(|_| invites.void(&id).is_none())
            }
            _ => ruling(scene, tenure, admins, act).and_then(Result::ok).and_then(|ruling| ruling.grant),
        };
        if grant.is_some_and(|grant| admin.grants.contains(&grant)) {
            under.entry(author).or_default().push(id);
        }
    }
    for (user, acts) in under {
        if let Some(admin) = open.get_mut(&user) {
            admin.heads = scene.lineage.leaves(acts);
        }
    }
    open
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

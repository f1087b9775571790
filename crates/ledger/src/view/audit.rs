//! Who did what in a group, and whether it counts: for people who look into a dispute.

use std::collections::BTreeSet;
use std::sync::Arc;

use peerage_types::{GroupId, RecordId, Scope, UserId};

use super::owner::{OwnerAct, Tenure};
use super::scene::{Act, Scene};
use super::{Admins, Invites, Roster, files, forks, ruling};
use crate::account::Accounts;
use crate::body::Body;
use crate::facts::Facts;
use crate::receipt::Order;
use crate::record::Record;

/// Why a record has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// Its signer is no device of its author.
    #[error("signed by a key that the user never certified")]
    NotCertified,
    /// Its device was revoked, and the revocation does not take note of it.
    #[error("its device was revoked, and the revocation cuts it off")]
    DeviceRevoked,
    /// Only the owner of the term that it names could say this.
    #[error("its author was not the owner in that term")]
    NotOwner,
    /// A Handover that does not take note of it ended the term.
    #[error("the owner had handed over by then")]
    TermEnded,
    /// It names no AdminGrant of its author in that term.
    #[error("its author was no admin in that term")]
    NoGrant,
    /// The AdminGrant had ended.
    #[error("its author was no admin any more")]
    GrantEnded,
    /// It is about the owner, an admin, or its own author.
    #[error("it is about the owner, an admin, or its own author")]
    BeyondReach,
    /// An AdminGrant for somebody who never asked, or for the owner.
    #[error("it is about somebody who had not asked to join")]
    NeverAsked,
    /// An AdminRevoke of something else than a grant of that term.
    #[error("it names no grant of that term")]
    NoSuchGrant,
    /// A Leave of the owner.
    #[error("an owner leaves by handing over")]
    OwnerStays,
    /// A Share that its author's Unshare ended.
    #[error("the sharing has ended")]
    Unshared,
    /// A Share or Unshare of somebody who is not in the group any more, under that incarnation.
    #[error("its author is not in the group any more")]
    AuthorGone,
    /// A Share without its Manifest, or an Unshare of what is no Share of its author.
    #[error("what it names is not here")]
    Dangling,
    /// An InviteWithdraw or Redeem of what is no invite of owner or admins in that term.
    #[error("no invite of the owner or an admin is meant")]
    NoSuchInvite,
    /// An Invite with another one's key.
    #[error("an earlier invite has this key")]
    KnownInvite,
    /// A Redeem that came too late.
    #[error("the invite had expired or been withdrawn, or who made it was not in office any more")]
    InviteOver,
    /// A Redeem when others had used the invite up.
    #[error("others had used the invite up")]
    InviteUsedUp,
    /// A Redeem of somebody who was put out after the invite was made.
    #[error("its author was put out after the invite was made")]
    PutOut,
    /// Of a kind or version that this program does not know.
    #[error("this program is too old to understand it")]
    UnknownKind,
}

/// One record of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What is stated.
    pub record: Arc<Record>,
    /// When it came in.
    pub order: Order,
    /// Why it has no effect, if it has none.
    pub void: Option<Void>,
    /// Another record of the same key names the same predecessor.
    pub forked: bool,
}

/// Every record of a group in order, each judged as its view judges it; empty without the genesis. Whoever was given
/// an [`outline`](super::outline()) only sees that part.
pub fn audit(group: GroupId, facts: &Facts, accounts: &dyn Accounts) -> Vec<AuditEntry> {
    let scene = Scene::of(group, facts, accounts);
    let Some(genesis) = scene.genesis() else { return Vec::new() };
    let tenure = Tenure::settle(&scene, genesis);
    let admins = Admins::settle(&scene, &tenure);
    let invites = Invites::settle(&scene, &tenure, &admins);
    let roster = Roster::settle(&scene, &tenure, &admins, &invites);
    let files = files::settle(&scene, &roster.members);
    let shares = files.iter().flat_map(|file| &file.shares).map(|share| share.share).collect();
    let forked = forks(scene.signed.iter().map(|act| act.fact));
    let forked: BTreeSet<RecordId> = forked.into_iter().flat_map(|fork| fork.records).collect();
    let judge = Judge { scene: &scene, tenure, admins, invites, roster, shares };
    let mut all: Vec<_> = facts.iter().filter(|f| f.record.scope() == Scope::Group(group)).collect();
    all.sort_by_key(|fact| fact.rank());
    let mut signed = scene.signed.iter().peekable();
    let entry = |fact: &crate::facts::Fact| {
        let act = signed.next_if(|act| act.fact.rank() == fact.rank());
        let void = act.map_or(Some(Void::NotCertified), |act| judge.void(act));
        let forked = forked.contains(&fact.record.id());
        AuditEntry { record: Arc::clone(&fact.record), order: fact.order, void, forked }
    };
    all.into_iter().map(entry).collect()
}

/// All layers, settled.
struct Judge<'a> {
    scene: &'a Scene<'a>,
    tenure: Tenure,
    admins: Admins,
    invites: Invites,
    roster: Roster,
    /// Shares that are open.
    shares: BTreeSet<RecordId>,
}

impl Judge<'_> {
    fn void(&self, act: &Act<'_>) -> Option<Void> {
        let record = &act.fact.record;
        let body = record.body();
        match body {
            Body::Invite { .. } | Body::InviteWithdraw { .. } => return self.invites.void(&record.id()),
            Body::Redeem { key, .. } => {
                let out = self.roster.put_out.get(&record.author());
                let late = out.zip(self.invites.made(key)).is_some_and(|(out, made)| *out > made);
                return self.invites.void(&record.id()).or(late.then_some(Void::PutOut));
            }
            _ => {}
        }
        if let Some(judged) = ruling(self.scene, &self.tenure, &self.admins, act) {
            let known = !matches!(body, Body::AdminGrant { .. }) || self.admins.knows(&record.id());
            return judged.err().or((!known).then_some(Void::NeverAsked));
        }
        if let Some(owner) = OwnerAct::of(body) {
            let judged = self.tenure.judge(self.scene, &owner, act).err();
            return judged.or_else(|| match body {
                Body::AdminRevoke { grant, epoch, .. } if !self.admins.is_of_term(grant, *epoch) => {
                    Some(Void::NoSuchGrant)
                }
                _ => None,
            });
        }
        // Everybody's membership hangs on the genesis, so nothing undoes it.
        let void =
            act.cut.filter(|_| !matches!(body, Body::GroupGenesis { .. })).map(|_| Void::DeviceRevoked);
        void.or_else(|| self.own_affair(record))
    }

    /// Records that need nobody's authority but their author's.
    fn own_affair(&self, record: &Record) -> Option<Void> {
        let author = record.author();
        match record.body() {
            Body::Leave { .. } if self.tenure.is_taken_back(&record.id()) => Some(Void::OwnerStays),
            Body::Leave { .. } if self.tenure.ended_by().is_none() && self.tenure.last().owner == author => {
                Some(Void::OwnerStays)
            }
            Body::Share { .. } if self.shares.contains(&record.id()) => None,
            Body::Share { manifest, incarnation } => Some(self.share(record, manifest, *incarnation)),
            Body::Unshare { share } => {
                let own = |fact: &&crate::facts::Fact| {
                    fact.record.author() == author && matches!(fact.record.body(), Body::Share { .. })
                };
                self.scene.facts.get(share).filter(own).is_none().then_some(Void::Dangling)
            }
            Body::Unknown { .. } => Some(Void::UnknownKind),
            _ => None,
        }
    }

    /// Why this Share is not open.
    fn share(&self, record: &Record, manifest: &RecordId, incarnation: u32) -> Void {
        let author: UserId = record.author();
        let current = self.roster.members.get(&author).is_some_and(|m| m.incarnation == incarnation);
        let ended = self.scene.acts.iter().any(|fact| {
            fact.record.author() == author
                && matches!(fact.record.body(), Body::Unshare { share } if *share == record.id())
        });
        match self.scene.facts.get(manifest) {
            _ if ended => Void::Unshared,
            _ if !current => Void::AuthorGone,
            Some(fact) if matches!(fact.record.body(), Body::Manifest { .. }) => Void::DeviceRevoked,
            _ => Void::Dangling,
        }
    }
}

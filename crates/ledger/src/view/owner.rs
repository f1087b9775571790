//! Layer 1: who owns the group in which term, and what ended it.
//!
//! The founder's term is 0; the first Handover by a term's owner ends it. The next owner is the first heir
//! listed who had asked to join, was not put out, and did not leave before taking office; if there is none and
//! the past owner stays, it is they. A past owner's records count as far as the Handover descends from them or
//! from what it names as `heads`: so nothing signed afterwards can creep in under an old term.
//!
//! A revocation of an owner's device cuts off what the device did last, with two exceptions: it neither undoes
//! the genesis, nor reopens a term once somebody else has taken office after it. Otherwise a past owner could
//! void the Handover by revoking the device that signed it, and own the group again years later. Whether the
//! other was in office by then is read off the order of the receipts: the only evidence that the past owner,
//! who signs the revocation, has no hand in.

use std::collections::{BTreeMap, BTreeSet};

use peerage_types::{RecordId, UserId};

use super::audit::Void;
use super::scene::{Act, Scene};
use crate::body::Body;
use crate::facts::{Fact, Rank};
use crate::lineage::Cover;

/// One owner's time in office.
#[derive(Debug)]
pub(super) struct Term {
    pub owner: UserId,
    pub incarnation: u32,
    /// The genesis or Handover that began it.
    pub since: Rank,
    /// The Handover that ended it. All that the owner of the current term says counts.
    pub end: Option<TermEnd>,
}

/// A Handover, and what counts of the term that it ended.
#[derive(Debug)]
pub(super) struct TermEnd {
    pub at: Rank,
    pub cover: Cover,
    /// The past owner goes on as a plain member.
    pub stays: bool,
    /// Since when somebody else is in office, so that no later revocation reopens this term.
    pub closed: Option<Rank>,
}

/// All terms so far, the current (or last) one at the end.
#[derive(Debug)]
pub(super) struct Tenure {
    founder: Term,
    later: Vec<Term>,
    ended_by: Option<RecordId>,
    /// Leaves that owners wrote and took back: their Handover takes note of them, and says that they stay.
    taken_back: BTreeSet<RecordId>,
}

/// What an owner or admin says about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Reject,
    Kick,
}

/// A record about a person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruling {
    pub verdict: Verdict,
    pub user: UserId,
    pub incarnation: u32,
    pub epoch: u32,
    /// The AdminGrant that an admin names.
    pub grant: Option<RecordId>,
}

impl Ruling {
    pub(super) fn of(body: &Body) -> Option<Self> {
        let (verdict, user, incarnation, epoch, grant) = match *body {
            Body::Accept { user, incarnation, epoch, grant } => {
                (Verdict::Accept, user, incarnation, epoch, grant)
            }
            Body::Reject { user, incarnation, epoch, grant } => {
                (Verdict::Reject, user, incarnation, epoch, grant)
            }
            Body::Kick { user, incarnation, epoch, grant } => {
                (Verdict::Kick, user, incarnation, epoch, grant)
            }
            // Whom the owner lets decide about others is in: an admin is never less than a member.
            Body::AdminGrant { user, incarnation, epoch } => {
                (Verdict::Accept, user, incarnation, epoch, None)
            }
            _ => return None,
        };
        Some(Self { verdict, user, incarnation, epoch, grant })
    }
}

/// A record that only an owner can make.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnerAct {
    pub epoch: u32,
    /// About whom; nothing for Handover, Close, AdminRevoke and what concerns invites.
    pub ruling: Option<Ruling>,
}

impl OwnerAct {
    pub(super) fn of(body: &Body) -> Option<Self> {
        match *body {
            Body::Handover { epoch, .. }
            | Body::Close { epoch }
            | Body::AdminRevoke { epoch, .. }
            | Body::Invite { epoch, grant: None, .. }
            | Body::InviteWithdraw { epoch, grant: None, .. } => Some(Self { epoch, ruling: None }),
            _ => {
                let ruling = Ruling::of(body).filter(|ruling| ruling.grant.is_none())?;
                Some(Self { epoch: ruling.epoch, ruling: Some(ruling) })
            }
        }
    }
}

/// What settling the terms looks at, indexed once.
struct Evidence<'a> {
    /// Owner acts by the term they name and their author, in order.
    acts: BTreeMap<(u32, UserId), Vec<Act<'a>>>,
    /// Comings that somebody asked for, or that a past owner who stayed goes on with.
    present: BTreeMap<(UserId, u32), Rank>,
    /// Own Leaves with their incarnation, in order.
    leaves: BTreeMap<UserId, Vec<(u32, Rank)>>,
    /// Highest incarnation that a past owner's counting Kick or Reject, or the person's own Handover, ended.
    over: BTreeMap<UserId, u32>,
}

impl<'a> Evidence<'a> {
    fn of(scene: &Scene<'a>) -> Self {
        let mut evidence = Self {
            acts: BTreeMap::new(),
            present: BTreeMap::new(),
            leaves: BTreeMap::new(),
            over: BTreeMap::new(),
        };
        for act in scene.signed.iter().filter(|act| act.is_timely()) {
            let (author, rank) = (act.fact.record.author(), act.fact.rank());
            match act.fact.record.body() {
                // That the device is lost since then takes nobody out of office.
                Body::JoinRequest { incarnation } => {
                    evidence.present.entry((author, *incarnation)).or_insert(rank);
                }
                Body::Leave { incarnation } if act.cut.is_none() => {
                    evidence.leaves.entry(author).or_default().push((*incarnation, rank));
                }
                body => {
                    if let Some(owner) = OwnerAct::of(body) {
                        evidence.acts.entry((owner.epoch, author)).or_default().push(*act);
                    }
                }
            }
        }
        evidence
    }

    fn of_term(&self, epoch: u32, owner: UserId) -> &[Act<'a>] {
        self.acts.get(&(epoch, owner)).map(Vec::as_slice).unwrap_or_default()
    }

    /// When this person first acted as owner of this term.
    fn took_office(&self, person: UserId, epoch: u32) -> Option<Rank> {
        self.of_term(epoch, person).first().map(|act| act.fact.rank())
    }

    /// Can this heir be the owner of term `epoch`?
    fn succeeds(&self, (heir, incarnation): (UserId, u32), epoch: u32) -> bool {
        let present = self.present.contains_key(&(heir, incarnation));
        let over = self.over.get(&heir).is_some_and(|until| *until >= incarnation);
        present && !over && !self.left_before_office(heir, incarnation, epoch)
    }

    /// Whoever acted as owner has taken office and can only hand over: otherwise a Leave written years later
    /// would take the term away from them, and undo all that they and their successors decided.
    fn left_before_office(&self, heir: UserId, incarnation: u32, epoch: u32) -> bool {
        let took_office = self.took_office(heir, epoch);
        let leaves = self.leaves.get(&heir).map(Vec::as_slice).unwrap_or_default();
        leaves
            .iter()
            .any(|(left, rank)| *left >= incarnation && took_office.is_none_or(|office| *rank < office))
    }

    /// Ends a coming, with all earlier ones.
    fn ends(&mut self, user: UserId, incarnation: u32) {
        let until = self.over.entry(user).or_insert(incarnation);
        *until = incarnation.max(*until);
    }
}

impl Term {
    /// Does this record, signed by the owner for this term, count?
    fn admits(&self, scene: &Scene<'_>, act: &Act<'_>) -> bool {
        match &self.end {
            None => act.cut.is_none(),
            Some(end) => scene.lineage.covers(&end.cover, &act.fact.record.id()) && act.survives(end.closed),
        }
    }
}

impl Tenure {
    /// Follows the Handovers from the founder on. Ends because each step uses up the records of one term.
    pub(super) fn settle(scene: &Scene<'_>, genesis: &Fact) -> Self {
        let mut evidence = Evidence::of(scene);
        let founder =
            Term { owner: genesis.record.author(), incarnation: 0, since: genesis.rank(), end: None };
        let mut tenure = Self { founder, later: Vec::new(), ended_by: None, taken_back: BTreeSet::new() };
        while let Some(next) = tenure.step(scene, &mut evidence) {
            tenure.later.push(next);
        }
        tenure
    }

    /// Ends the last term if its records say so; gives the one that follows.
    fn step(&mut self, scene: &Scene<'_>, evidence: &mut Evidence<'_>) -> Option<Term> {
        let (epoch, owner, incarnation) = (self.epoch(), self.last().owner, self.last().incarnation);
        let next = epoch.checked_add(1)?;
        let acts = evidence.of_term(epoch, owner).to_vec();
        let handover = acts.iter().find_map(|act| {
            let fact = act.fact;
            let Body::Handover { heirs, heads, stays, .. } = fact.record.body() else { return None };
            let others = heirs.iter().filter(|(heir, _)| *heir != owner);
            let office = others.filter_map(|(heir, _)| evidence.took_office(*heir, next)).min();
            let (at, closed) = (fact.rank(), office.map(|office| office.max(fact.rank())));
            let cover = scene.lineage.cover(heads.iter().chain([&fact.record.id()]));
            act.survives(closed).then_some((heirs, TermEnd { at, cover, stays: *stays, closed }))
        });
        let (heirs, end) = handover.unzip();
        let (at, stays) = (end.as_ref().map(|end| end.at), end.as_ref().is_some_and(|end| end.stays));
        self.last_mut().end = end;
        let counting: Vec<&Fact> =
            acts.iter().filter(|act| self.last().admits(scene, act)).map(|act| act.fact).collect();
        let close = counting.iter().find(|fact| matches!(fact.record.body(), Body::Close { .. }));
        if let Some(close) = close {
            self.ended_by = Some(close.record.id());
            return None;
        }
        let (at, heirs) = (at?, heirs?);
        let rulings = counting.iter().filter_map(|fact| OwnerAct::of(fact.record.body())?.ruling);
        for ruling in rulings.filter(|r| r.verdict != Verdict::Accept && r.user != owner) {
            evidence.ends(ruling.user, ruling.incarnation);
        }
        match stays {
            true => {
                evidence.present.entry((owner, incarnation)).or_insert(at);
                self.take_back(scene, evidence);
            }
            false => evidence.ends(owner, incarnation),
        }
        let last_resort = stays.then_some((owner, incarnation));
        let mut willing =
            heirs.iter().copied().chain(last_resort).filter(|heir| evidence.succeeds(*heir, next));
        let Some((owner, incarnation)) = willing.next() else {
            self.ended_by = Some(at.1);
            return None;
        };
        Some(Term { owner, incarnation, since: at, end: None })
    }

    /// Forgets Leaves of the last term's owner that the Handover rests on.
    fn take_back(&mut self, scene: &Scene<'_>, evidence: &mut Evidence<'_>) {
        let Term { owner, end: Some(end), .. } = self.last() else { return };
        let Some(leaves) = evidence.leaves.get_mut(owner) else { return };
        let mut taken_back = Vec::new();
        leaves.retain(|(_, (_, id))| {
            let noted = scene.lineage.covers(&end.cover, id);
            taken_back.extend(noted.then_some(*id));
            !noted
        });
        self.taken_back.extend(taken_back);
    }

    /// Did the author, an owner, take this Leave back?
    pub(super) fn is_taken_back(&self, leave: &RecordId) -> bool {
        self.taken_back.contains(leave)
    }

    /// The current term, or the last one of a group that has ended.
    pub(super) fn last(&self) -> &Term {
        self.later.last().unwrap_or(&self.founder)
    }

    fn last_mut(&mut self) -> &mut Term {
        self.later.last_mut().unwrap_or(&mut self.founder)
    }

    /// All terms, the founder's first.
    pub(super) fn terms(&self) -> impl Iterator<Item = &Term> {
        [&self.founder].into_iter().chain(&self.later)
    }

    fn term(&self, epoch: u32) -> Option<&Term> {
        match epoch {
            0 => Some(&self.founder),
            epoch => self.later.get(epoch as usize - 1),
        }
    }

    /// Whose term it is.
    pub(super) fn owner_of(&self, epoch: u32) -> Option<UserId> {
        self.term(epoch).map(|term| term.owner)
    }

    /// How this term ended, if a Handover ended it.
    pub(super) fn end_of(&self, epoch: u32) -> Option<&TermEnd> {
        self.term(epoch)?.end.as_ref()
    }

    /// The number of the last term.
    pub(super) fn epoch(&self) -> u32 {
        u32::try_from(self.later.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn ended_by(&self) -> Option<RecordId> {
        self.ended_by
    }

    /// Was this owner act made with authority?
    pub(super) fn judge(&self, scene: &Scene<'_>, owner: &OwnerAct, act: &Act<'_>) -> Result<(), Void> {
        let term = self.term(owner.epoch).filter(|term| term.owner == act.fact.record.author());
        let term = term.ok_or(Void::NotOwner)?;
        match act.cut {
            _ if term.admits(scene, act) => Ok(()),
            Some(_) => Err(Void::DeviceRevoked),
            None => Err(Void::TermEnded),
        }
    }

    /// As [`Self::judge`], in a word.
    pub(super) fn counts(&self, scene: &Scene<'_>, owner: &OwnerAct, act: &Act<'_>) -> bool {
        self.judge(scene, owner, act).is_ok()
    }
}

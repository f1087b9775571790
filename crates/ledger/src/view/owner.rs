//! Layer 1: who owns the group in which term, and what ended it.
//!
//! The founder's term is 0; the first Handover by a term's owner ends it. The next owner is the first heir
//! listed who had asked to join, was not put out, and did not leave before taking office. A past owner's
//! records count as far as the Handover descends from them or from what it names as `heads`: so nothing signed
//! afterwards can creep in under an old term.

use std::collections::BTreeMap;

use peerage_types::{RecordId, UserId};

use super::scene::Scene;
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
    /// What counts of a past term; of the current one everything does.
    cover: Option<Cover>,
}

/// All terms so far, the current (or last) one at the end.
#[derive(Debug)]
pub(super) struct Tenure {
    founder: Term,
    later: Vec<Term>,
    ended_by: Option<RecordId>,
}

/// What an owner says about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Reject,
    Kick,
}

/// A record that only an owner can make.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnerAct {
    pub epoch: u32,
    /// On whom, at which incarnation; nothing for Handover and Close.
    pub verdict: Option<(Verdict, UserId, u32)>,
}

impl OwnerAct {
    pub(super) fn of(body: &Body) -> Option<Self> {
        let (verdict, user, incarnation, epoch) = match *body {
            Body::Handover { epoch, .. } | Body::Close { epoch } => {
                return Some(Self { epoch, verdict: None });
            }
            Body::Accept { user, incarnation, epoch, grant: None } => {
                (Verdict::Accept, user, incarnation, epoch)
            }
            Body::Reject { user, incarnation, epoch, grant: None } => {
                (Verdict::Reject, user, incarnation, epoch)
            }
            Body::Kick { user, incarnation, epoch, grant: None } => (Verdict::Kick, user, incarnation, epoch),
            _ => return None,
        };
        Some(Self { epoch, verdict: Some((verdict, user, incarnation)) })
    }
}

/// What settling the terms looks at, indexed once.
struct Evidence<'a> {
    /// Owner acts by the term they name and their author, in order.
    acts: BTreeMap<(u32, UserId), Vec<&'a Fact>>,
    /// Own JoinRequests.
    requests: BTreeMap<(UserId, u32), Rank>,
    /// Own Leaves with their incarnation, in order.
    leaves: BTreeMap<UserId, Vec<(u32, Rank)>>,
    /// Highest incarnation that a past owner's counting Kick or Reject, or the person's own Handover, ended.
    over: BTreeMap<UserId, u32>,
}

impl<'a> Evidence<'a> {
    fn of(scene: &Scene<'a>) -> Self {
        let mut evidence = Self {
            acts: BTreeMap::new(),
            requests: BTreeMap::new(),
            leaves: BTreeMap::new(),
            over: BTreeMap::new(),
        };
        for fact in &scene.acts {
            let author = fact.record.author();
            match fact.record.body() {
                Body::JoinRequest { incarnation } => {
                    evidence.requests.entry((author, *incarnation)).or_insert(fact.rank());
                }
                Body::Leave { incarnation } => {
                    evidence.leaves.entry(author).or_default().push((*incarnation, fact.rank()));
                }
                body => {
                    if let Some(act) = OwnerAct::of(body) {
                        evidence.acts.entry((act.epoch, author)).or_default().push(fact);
                    }
                }
            }
        }
        evidence
    }

    fn of_term(&self, epoch: u32, owner: UserId) -> &[&'a Fact] {
        self.acts.get(&(epoch, owner)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Can this heir be the owner of term `epoch`?
    fn succeeds(&self, (heir, incarnation): (UserId, u32), epoch: u32) -> bool {
        let asked = self.requests.contains_key(&(heir, incarnation));
        let over = self.over.get(&heir).is_some_and(|until| *until >= incarnation);
        asked && !over && !self.left_before_office(heir, incarnation, epoch)
    }

    /// Whoever acted as owner has taken office and can only hand over: otherwise a Leave written years later
    /// would take the term away from them, and undo all that they and their successors decided.
    fn left_before_office(&self, heir: UserId, incarnation: u32, epoch: u32) -> bool {
        let took_office = self.of_term(epoch, heir).first().map(|act| act.rank());
        let leaves = self.leaves.get(&heir).map(Vec::as_slice).unwrap_or_default();
        leaves
            .iter()
            .any(|(left, rank)| *left >= incarnation && took_office.is_none_or(|office| *rank < office))
    }
}

impl Tenure {
    /// Follows the Handovers from the founder on. Ends because each step uses up the records of one term.
    pub(super) fn settle(scene: &Scene<'_>, genesis: &Fact) -> Self {
        let mut evidence = Evidence::of(scene);
        let founder =
            Term { owner: genesis.record.author(), incarnation: 0, since: genesis.rank(), cover: None };
        let mut tenure = Self { founder, later: Vec::new(), ended_by: None };
        while let Some(next) = tenure.step(scene, &mut evidence) {
            tenure.later.push(next);
        }
        tenure
    }

    /// Ends the last term if its records say so; gives the one that follows.
    fn step(&mut self, scene: &Scene<'_>, evidence: &mut Evidence<'_>) -> Option<Term> {
        let (epoch, owner) = (self.epoch(), self.last().owner);
        let acts = evidence.of_term(epoch, owner);
        let handover = acts.iter().find_map(|fact| match fact.record.body() {
            Body::Handover { heirs, heads, .. } => Some((*fact, heirs, heads)),
            _ => None,
        });
        let cover = handover.map(|(fact, _, heads)| {
            let id = fact.record.id();
            scene.lineage.cover(heads.iter().chain([&id]))
        });
        let counts =
            |fact: &&&Fact| cover.as_ref().is_none_or(|cover| scene.lineage.covers(cover, &fact.record.id()));
        let close = acts
            .iter()
            .filter(counts)
            .find(|fact| matches!(fact.record.body(), Body::Close { .. }))
            .map(|fact| fact.record.id());
        let put_out: Vec<(UserId, u32)> = acts
            .iter()
            .filter(counts)
            .filter_map(|fact| OwnerAct::of(fact.record.body())?.verdict)
            .filter(|(verdict, user, _)| *verdict != Verdict::Accept && *user != owner)
            .map(|(_, user, incarnation)| (user, incarnation))
            .collect();
        self.last_mut().cover = cover;
        if close.is_some() {
            self.ended_by = close;
            return None;
        }
        let (fact, heirs, _) = handover?;
        for (user, incarnation) in put_out.into_iter().chain([(owner, self.last().incarnation)]) {
            let until = evidence.over.entry(user).or_insert(incarnation);
            *until = incarnation.max(*until);
        }
        let next = epoch.checked_add(1)?;
        match heirs.iter().find(|heir| evidence.succeeds(**heir, next)) {
            Some((owner, incarnation)) => {
                Some(Term { owner: *owner, incarnation: *incarnation, since: fact.rank(), cover: None })
            }
            None => {
                self.ended_by = Some(fact.record.id());
                None
            }
        }
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

    /// The number of the last term.
    pub(super) fn epoch(&self) -> u32 {
        u32::try_from(self.later.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn ended_by(&self) -> Option<RecordId> {
        self.ended_by
    }

    /// Was this owner act made with authority?
    pub(super) fn counts(&self, scene: &Scene<'_>, act: &OwnerAct, fact: &Fact) -> bool {
        let term = match act.epoch {
            0 => Some(&self.founder),
            epoch => self.later.get(epoch as usize - 1),
        };
        term.is_some_and(|term| {
            let covered = |cover| scene.lineage.covers(cover, &fact.record.id());
            term.owner == fact.record.author() && term.cover.as_ref().is_none_or(covered)
        })
    }
}

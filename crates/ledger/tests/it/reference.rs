//! Layers 1 and 3 once more, written for slowness and plainness: every rule looks at all facts anew.

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::{AccountView, Body, Fact, Facts, Rank};
use peerage_types::{GroupId, RecordId, Scope, UserId};

/// What the group's view must agree with.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    pub owner: UserId,
    pub epoch: u32,
    pub ended_by: Option<RecordId>,
    pub members: BTreeMap<UserId, u32>,
}

struct Term {
    owner: UserId,
    incarnation: u32,
    /// The Handover that ended it, with what it rests on.
    end: Option<BTreeSet<RecordId>>,
}

struct Slow<'a> {
    facts: &'a Facts,
    acts: Vec<&'a Fact>,
    terms: Vec<Term>,
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

fn authentic(fact: &Fact, facts: &Facts, accounts: &BTreeMap<UserId, AccountView>) -> bool {
    let record = &fact.record;
    let device = accounts.get(&record.author()).and_then(|account| account.devices.get(&record.signer()));
    device.is_some_and(|device| {
        device.revoked.is_none()
            || device.heads.iter().any(|head| {
                facts.get(head).is_some_and(|head| head.record.signer() == record.signer())
                    && ancestry(facts, head).contains(&record.id())
            })
    })
}

/// The (user, incarnation) that a Kick or Reject puts out.
fn puts_out(body: &Body) -> Option<(UserId, u32)> {
    match *body {
        Body::Kick { user, incarnation, grant: None, .. }
        | Body::Reject { user, incarnation, grant: None, .. } => Some((user, incarnation)),
        _ => None,
    }
}

fn epoch_of(body: &Body) -> Option<u32> {
    match *body {
        Body::Handover { epoch, .. } | Body::Close { epoch } => Some(epoch),
        Body::Accept { epoch, grant: None, .. }
        | Body::Reject { epoch, grant: None, .. }
        | Body::Kick { epoch, grant: None, .. } => Some(epoch),
        _ => None,
    }
}

impl Slow<'_> {
    fn counts(&self, fact: &Fact) -> bool {
        let Some(term) = epoch_of(fact.record.body()).and_then(|epoch| self.terms.get(epoch as usize)) else {
            return false;
        };
        term.owner == fact.record.author()
            && term.end.as_ref().is_none_or(|covered| covered.contains(&fact.record.id()))
    }

    fn counting(&self) -> impl Iterator<Item = &Fact> {
        self.acts.iter().copied().filter(|fact| self.counts(fact))
    }

    /// Was this person put out at this incarnation or a later one, by someone else?
    fn is_out(&self, user: UserId, incarnation: u32) -> bool {
        self.counting().filter(|fact| fact.record.author() != user).any(|fact| {
            puts_out(fact.record.body()).is_some_and(|(out, until)| out == user && until >= incarnation)
        })
    }

    fn asked(&self, user: UserId, incarnation: u32) -> bool {
        let wanted = Body::JoinRequest { incarnation };
        self.acts.iter().any(|fact| fact.record.author() == user && *fact.record.body() == wanted)
    }

    fn left_before_office(&self, user: UserId, incarnation: u32, epoch: u32) -> bool {
        let by = |fact: &&&Fact| fact.record.author() == user;
        let office: Option<Rank> = self
            .acts
            .iter()
            .filter(by)
            .filter(|fact| epoch_of(fact.record.body()) == Some(epoch))
            .map(|fact| fact.rank())
            .min();
        self.acts.iter().filter(by).any(|fact| match fact.record.body() {
            Body::Leave { incarnation: left } => {
                *left >= incarnation && office.is_none_or(|office| fact.rank() < office)
            }
            _ => false,
        })
    }

    /// Ends the last term; tells what ended the group, or nothing if it goes on.
    fn walk(&mut self) -> Option<RecordId> {
        loop {
            let epoch = self.terms.len() as u32 - 1;
            let owner = self.terms.last().unwrap().owner;
            let own =
                |fact: &&&Fact| fact.record.author() == owner && epoch_of(fact.record.body()) == Some(epoch);
            let mut handovers: Vec<&Fact> = self.acts.iter().filter(own).copied().collect();
            handovers.retain(|fact| matches!(fact.record.body(), Body::Handover { .. }));
            let handover = handovers.into_iter().min_by_key(|fact| fact.rank());
            if let Some(fact) = handover {
                let Body::Handover { heads, .. } = fact.record.body() else { unreachable!() };
                let mut covered = ancestry(self.facts, &fact.record.id());
                for head in heads {
                    covered.extend(ancestry(self.facts, head));
                }
                self.terms.last_mut().unwrap().end = Some(covered);
            }
            let closes = self.counting().filter(|fact| fact.record.body() == &Body::Close { epoch });
            if let Some(close) = closes.min_by_key(|fact| fact.rank()) {
                return Some(close.record.id());
            }
            let fact = handover?;
            let Body::Handover { heirs, .. } = fact.record.body() else { unreachable!() };
            let served = |user: UserId, incarnation: u32| {
                self.terms.iter().any(|term| term.owner == user && term.incarnation >= incarnation)
            };
            let heir = heirs.iter().copied().find(|(user, incarnation)| {
                self.asked(*user, *incarnation)
                    && !served(*user, *incarnation)
                    && !self.is_out(*user, *incarnation)
                    && !self.left_before_office(*user, *incarnation, epoch + 1)
            });
            match heir {
                Some((owner, incarnation)) => self.terms.push(Term { owner, incarnation, end: None }),
                None => return Some(fact.record.id()),
            }
        }
    }

    fn is_member(&self, user: UserId, incarnation: u32) -> bool {
        let accepted = self.counting().any(|fact| match *fact.record.body() {
            Body::Accept { user: whom, incarnation: at, .. } => {
                whom == user && at == incarnation && fact.record.author() != user
            }
            _ => false,
        });
        let left = self.acts.iter().any(|fact| match fact.record.body() {
            Body::Leave { incarnation: at } => fact.record.author() == user && *at >= incarnation,
            _ => false,
        });
        let past = &self.terms[..self.terms.len() - 1];
        let served = past.iter().any(|term| term.owner == user && term.incarnation >= incarnation);
        accepted && !left && !served && !self.is_out(user, incarnation)
    }
}

/// Settles a group the slow way.
pub fn expected(group: GroupId, facts: &Facts, accounts: &BTreeMap<UserId, AccountView>) -> Option<Expected> {
    let mut acts: Vec<&Fact> = facts
        .iter()
        .filter(|fact| fact.record.scope() == Scope::Group(group))
        .filter(|fact| authentic(fact, facts, accounts))
        .collect();
    acts.sort_by_key(|fact| fact.rank());
    let genesis = acts.iter().find(|fact| fact.record.id() == group.into())?;
    let founder = Term { owner: genesis.record.author(), incarnation: 0, end: None };
    let mut slow = Slow { facts, acts, terms: vec![founder] };
    let ended_by = slow.walk();
    let mut members = BTreeMap::new();
    let last = slow.terms.last().unwrap();
    if ended_by.is_none() {
        for user in facts.authors() {
            let asked = slow.acts.iter().filter_map(|fact| match fact.record.body() {
                Body::JoinRequest { incarnation } if fact.record.author() == user => Some(*incarnation),
                _ => None,
            });
            if let Some(incarnation) = asked.max().filter(|at| slow.is_member(user, *at)) {
                members.insert(user, incarnation);
            }
        }
        members.insert(last.owner, last.incarnation);
    }
    Some(Expected { owner: last.owner, epoch: slow.terms.len() as u32 - 1, ended_by, members })
}

/// Everyone whom a counting Kick put out, with the highest such incarnation, the current owner left aside.
pub fn kicked(
    group: GroupId,
    facts: &Facts,
    accounts: &BTreeMap<UserId, AccountView>,
) -> BTreeMap<UserId, u32> {
    let mut acts: Vec<&Fact> = facts.iter().filter(|fact| authentic(fact, facts, accounts)).collect();
    acts.sort_by_key(|fact| fact.rank());
    let Some(genesis) = acts.iter().find(|fact| fact.record.id() == group.into()) else {
        return BTreeMap::new();
    };
    let founder = Term { owner: genesis.record.author(), incarnation: 0, end: None };
    let mut slow = Slow { facts, acts, terms: vec![founder] };
    slow.walk();
    let mut kicked = BTreeMap::new();
    for fact in slow.counting() {
        if let Body::Kick { user, incarnation, .. } = *fact.record.body()
            && user != fact.record.author()
        {
            let until = kicked.entry(user).or_insert(incarnation);
            *until = incarnation.max(*until);
        }
    }
    kicked
}

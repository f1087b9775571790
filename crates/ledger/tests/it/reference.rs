//! Layers 1 to 3 once more, written for slowness and plainness: every rule looks at all facts anew.

mod acts;

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::{AccountView, Body, Facts, InviteView, Rank};
use peerage_types::{GroupId, PublicKey, RecordId, Scope, UserId};

use self::acts::{Act, about, ancestries, epoch_of, inviting, signed};

/// What the group's view must agree with.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    pub owner: UserId,
    pub epoch: u32,
    pub ended_by: Option<RecordId>,
    pub members: BTreeMap<UserId, u32>,
    pub admins: BTreeMap<UserId, Vec<RecordId>>,
    pub invites: Vec<Invited>,
}

/// Who came by an invite, and whether it lets more in.
#[derive(Debug, PartialEq, Eq)]
pub struct Invited {
    pub invite: RecordId,
    pub used: Vec<UserId>,
    pub withdrawn: bool,
    pub in_office: bool,
}

impl Invited {
    pub fn of(view: &InviteView) -> Self {
        let InviteView { invite, ref used, withdrawn, in_office, .. } = *view;
        Self { invite, used: used.clone(), withdrawn, in_office }
    }
}

/// Somebody's coming by an invite that counts.
struct Redeemed {
    user: UserId,
    incarnation: u32,
    /// When the invite was made.
    invited: Rank,
}

struct Term {
    owner: UserId,
    incarnation: u32,
    end: Option<End>,
}

/// The Handover that ended a term, what it takes note of, and since when somebody else was in office.
struct End {
    at: Rank,
    noted: BTreeSet<RecordId>,
    stays: bool,
    closed: Option<Rank>,
}

struct Slow<'a> {
    facts: &'a Facts,
    acts: Vec<Act<'a>>,
    terms: Vec<Term>,
}

impl Slow<'_> {
    /// Is this an owner's record, made with authority?
    fn owner_said(&self, act: &Act<'_>) -> bool {
        let Some(term) = epoch_of(act.body()).and_then(|epoch| self.terms.get(epoch as usize)) else {
            return false;
        };
        let stands = match &term.end {
            None => act.stands(None),
            Some(end) => end.noted.contains(&act.id()) && act.stands(end.closed),
        };
        term.owner == act.author() && stands
    }

    fn by_owners(&self) -> impl Iterator<Item = &Act<'_>> {
        self.acts.iter().filter(|act| self.owner_said(act))
    }

    /// Was this person put out at this incarnation or a later one, by somebody else who owned the group?
    fn put_out_by_owner(&self, user: UserId, incarnation: u32) -> Vec<Rank> {
        let out = self.by_owners().filter(|act| {
            act.author() != user
                && about(act.body())
                    .is_some_and(|(accepts, whom, at, ..)| !accepts && whom == user && at >= incarnation)
        });
        out.map(|act| act.fact.rank()).collect()
    }

    /// JoinRequests for exactly this coming that were in before their device was revoked.
    fn requests(&self, user: UserId, incarnation: u32) -> Vec<&Act<'_>> {
        let wanted = Body::JoinRequest { incarnation };
        let all = self.acts.iter().filter(|act| act.author() == user && *act.body() == wanted);
        all.filter(|act| act.timely()).collect()
    }

    /// Did this person own the group in an earlier term than `before`, and stay?
    fn stayed(&self, user: UserId, incarnation: u32, before: usize) -> bool {
        self.terms.iter().take(before).any(|term| {
            (term.owner, term.incarnation) == (user, incarnation)
                && term.end.as_ref().is_some_and(|end| end.stays)
        })
    }

    fn left_by_handover(&self, user: UserId, incarnation: u32) -> Vec<Rank> {
        let own = self.terms.iter().filter(|term| term.owner == user && term.incarnation >= incarnation);
        own.filter_map(|term| term.end.as_ref()).filter(|end| !end.stays).map(|end| end.at).collect()
    }

    /// First act of this person as owner of this term.
    fn office(&self, user: UserId, epoch: u32) -> Option<Rank> {
        let own = self.acts.iter().filter(|act| act.author() == user && epoch_of(act.body()) == Some(epoch));
        own.filter(|act| act.timely()).map(|act| act.fact.rank()).min()
    }

    fn leaves(&self, user: UserId, incarnation: u32) -> Vec<Rank> {
        // What an owner wrote before handing over and staying was taken back.
        let stays = |term: &&Term| term.owner == user && term.end.as_ref().is_some_and(|end| end.stays);
        let ends: Vec<&End> = self.terms.iter().filter(stays).filter_map(|term| term.end.as_ref()).collect();
        let left = self.acts.iter().filter(|act| {
            act.author() == user
                && act.cut.is_none()
                && !ends.iter().any(|end| end.noted.contains(&act.id()))
                && matches!(act.body(), Body::Leave { incarnation: at } if *at >= incarnation)
        });
        left.map(|act| act.fact.rank()).collect()
    }

    fn willing(&self, (user, incarnation): (UserId, u32), epoch: u32) -> bool {
        let present =
            !self.requests(user, incarnation).is_empty() || self.stayed(user, incarnation, self.terms.len());
        let office = self.office(user, epoch);
        let left = self.leaves(user, incarnation).into_iter().any(|rank| office.is_none_or(|at| rank < at));
        present
            && !left
            && self.left_by_handover(user, incarnation).is_empty()
            && self.put_out_by_owner(user, incarnation).is_empty()
    }

    /// Ends the last term; tells what ended the group, or nothing if it goes on.
    fn walk(&mut self) -> Option<RecordId> {
        loop {
            let epoch = self.terms.len() as u32 - 1;
            let (owner, incarnation) = self.terms.last().map(|term| (term.owner, term.incarnation)).unwrap();
            let mut handover = None;
            for act in &self.acts {
                let Body::Handover { epoch: at, heirs, heads, stays } = act.body() else { continue };
                if act.author() != owner || *at != epoch || !act.timely() || handover.is_some() {
                    continue;
                }
                let others = heirs.iter().filter(|(heir, _)| *heir != owner);
                let office = others.filter_map(|(heir, _)| self.office(*heir, epoch + 1)).min();
                let closed = office.map(|office| office.max(act.fact.rank()));
                if act.stands(closed) {
                    let noted = ancestries(self.facts, heads.iter().chain([&act.id()]));
                    let end = End { at: act.fact.rank(), noted, stays: *stays, closed };
                    handover = Some((act.id(), heirs.clone(), end));
                }
            }
            let ended = handover.map(|(id, heirs, end)| {
                let last = end.stays.then_some((owner, incarnation));
                self.terms.last_mut().unwrap().end = Some(end);
                (id, heirs.into_iter().chain(last).collect::<Vec<_>>())
            });
            if let Some(close) = self.by_owners().find(|act| *act.body() == Body::Close { epoch }) {
                return Some(close.id());
            }
            let (id, heirs) = ended?;
            match heirs.into_iter().find(|heir| self.willing(*heir, epoch + 1)) {
                Some((owner, incarnation)) => self.terms.push(Term { owner, incarnation, end: None }),
                None => return Some(id),
            }
        }
    }

    /// The grant with this id: its person, incarnation and term, if the owner had the right to give it and the
    /// person ever came.
    fn grant(&self, id: &RecordId) -> Option<(UserId, u32, u32)> {
        let act = self.by_owners().find(|act| act.id() == *id)?;
        let Body::AdminGrant { user, incarnation, epoch } = *act.body() else { return None };
        let came =
            !self.requests(user, incarnation).is_empty() || self.stayed(user, incarnation, epoch as usize);
        (came && act.author() != user).then_some((user, incarnation, epoch))
    }

    /// When the membership ended that this grant hangs on.
    fn out(&self, user: UserId, incarnation: u32, epoch: u32) -> Option<Rank> {
        let mut ends = self.leaves(user, incarnation);
        ends.extend(self.put_out_by_owner(user, incarnation));
        ends.extend(self.left_by_handover(user, incarnation));
        ends.extend(self.acts.iter().filter(|act| act.author() == user && act.cut.is_none()).filter_map(
            |act| match act.body() {
                Body::JoinRequest { incarnation: at } if *at > incarnation => Some(act.fact.rank()),
                _ => None,
            },
        ));
        if !self.stayed(user, incarnation, epoch as usize) {
            let requests = self.requests(user, incarnation);
            let lost = requests.iter().all(|act| act.cut.is_some());
            ends.extend(requests.iter().filter_map(|act| act.cut).max().filter(|_| lost));
        }
        ends.into_iter().min()
    }

    /// The owner's revocations of this grant.
    fn revocations(&self, id: RecordId, term: u32) -> Vec<&Act<'_>> {
        let revokes = |act: &&Act<'_>| matches!(*act.body(), Body::AdminRevoke { grant, epoch, .. } if grant == id && epoch == term);
        self.by_owners().filter(revokes).collect()
    }

    /// Was this admin's record made with authority?
    fn admin_said(&self, act: &Act<'_>) -> bool {
        let Some((accepts, target, at, epoch, Some(id))) = about(act.body()) else { return false };
        self.under_grant(act, epoch, id)
            && target != act.author()
            && (accepts || !self.beyond_reach(target, at, epoch, act.fact.rank()))
    }

    /// Did its author sign this under this grant of theirs, while it held?
    fn under_grant(&self, act: &Act<'_>, epoch: u32, id: RecordId) -> bool {
        let Some((user, incarnation, term)) = self.grant(&id) else { return false };
        if user != act.author() || term != epoch {
            return false;
        }
        let (revoked, rank) = (self.revocations(id, term), act.fact.rank());
        let end = self.terms[term as usize].end.as_ref();
        let in_time = match (revoked.first(), end) {
            (Some(first), _) => {
                let noted = |by: &&Act<'_>| match by.body() {
                    Body::AdminRevoke { heads, .. } => ancestries(self.facts, heads).contains(&act.id()),
                    _ => false,
                };
                revoked.iter().all(noted) && act.stands(Some(first.fact.rank()))
            }
            (None, Some(end)) => end.noted.contains(&act.id()) && act.stands(end.closed),
            (None, None) => act.stands(None),
        };
        in_time && self.out(user, incarnation, term).is_none_or(|out| rank <= out)
    }

    /// Is this person an owner or admin for a Kick or Reject of that coming, term and place?
    fn beyond_reach(&self, target: UserId, at: u32, epoch: u32, rank: Rank) -> bool {
        let mut terms = self.terms.iter().skip(epoch as usize);
        let owner = terms.any(|term| term.owner == target && term.incarnation <= at);
        let admin = self.acts.iter().any(|act| {
            self.grant(&act.id()).is_some_and(|(user, incarnation, term)| {
                let revoked = self.revocations(act.id(), term).first().map(|by| by.fact.rank());
                let out = self.out(user, incarnation, term);
                user == target
                    && incarnation <= at
                    && epoch <= term
                    && revoked.is_none_or(|end| rank <= end)
                    && out.is_none_or(|end| rank <= end)
            })
        });
        owner || admin
    }

    fn has_authority(&self, act: &Act<'_>) -> bool {
        self.owner_said(act) || self.admin_said(act)
    }

    /// Does this Invite or InviteWithdraw come from somebody with the right to it?
    fn may_invite(&self, act: &Act<'_>) -> bool {
        match inviting(act.body()) {
            Some((epoch, Some(grant))) => self.under_grant(act, epoch, grant),
            Some((_, None)) => self.owner_said(act),
            None => false,
        }
    }

    /// When the office ended that this act was done in, if it ever was somebody's office and has ended.
    fn office_end(&self, epoch: u32, grant: Option<RecordId>) -> Option<Rank> {
        let term = self.terms.get(epoch as usize).and_then(|term| term.end.as_ref()).map(|end| end.at);
        let Some(id) = grant else { return term };
        let (user, incarnation, term_of_grant) = self.grant(&id)?;
        let revoked = self.revocations(id, term_of_grant).first().map(|act| act.fact.rank());
        [term, revoked, self.out(user, incarnation, term_of_grant)].into_iter().flatten().min()
    }

    /// Was this withdrawal in time, as far as its author knew?
    fn withdraws(&self, act: &Act<'_>) -> bool {
        let Some((epoch, grant)) = inviting(act.body()) else { return false };
        let office = match grant {
            Some(id) => self.grant(&id).map(|(user, _, term)| (user, term)),
            None => self.terms.get(epoch as usize).map(|term| (term.owner, epoch)),
        };
        let held = act.timely() && office == Some((act.author(), epoch));
        let end = self.office_end(epoch, grant);
        self.may_invite(act) || held && end.is_none_or(|end| act.fact.rank() <= end)
    }

    /// The Invite with this key that counts: the first.
    fn invite(&self, wanted: &PublicKey) -> Option<&Act<'_>> {
        self.acts.iter().find(|act| {
            matches!(act.body(), Body::Invite { key, .. } if key == wanted) && self.may_invite(act)
        })
    }

    /// When an invite ended before its time: (by a withdrawal, because of its maker).
    fn ends(&self, invite: &Act<'_>) -> (Option<Rank>, Option<Rank>) {
        let (epoch, grant) = inviting(invite.body()).unwrap();
        let withdrawn = self.acts.iter().filter(|act| {
            matches!(*act.body(), Body::InviteWithdraw { invite: id, epoch: at, .. }
                if id == invite.id() && at == epoch)
                && self.withdraws(act)
        });
        let office = [self.office_end(epoch, grant), invite.revoked].into_iter().flatten().min();
        (withdrawn.map(|act| act.fact.rank()).min(), office)
    }

    /// Who used an invite up, and which of the Redeems count.
    fn users(&self, invite: &Act<'_>) -> (Vec<UserId>, Vec<Redeemed>) {
        let Body::Invite { key: invited, expires_ms, uses, .. } = *invite.body() else { unreachable!() };
        let (withdrawn, office) = self.ends(invite);
        let (mut used, mut redeemed) = (Vec::new(), Vec::new());
        for act in &self.acts {
            let Body::Redeem { key, incarnation, .. } = *act.body() else { continue };
            let (user, rank) = (act.author(), act.fact.rank());
            let over = [withdrawn, office].into_iter().flatten().any(|end| rank > end);
            if key != invited || over || rank.0.stamp.unix_ms() >= expires_ms {
                continue;
            }
            if !used.contains(&user) && used.len() < uses as usize {
                used.push(user);
            }
            if used.contains(&user) && act.cut.is_none() {
                redeemed.push(Redeemed { user, incarnation, invited: invite.fact.rank() });
            }
        }
        (used, redeemed)
    }

    /// The invites that count, in order.
    fn invites(&self) -> Vec<&Act<'_>> {
        let first = |act: &&Act<'_>| match act.body() {
            Body::Invite { key, .. } => self.invite(key).is_some_and(|first| first.id() == act.id()),
            _ => false,
        };
        self.acts.iter().filter(first).collect()
    }

    /// Did this person come by an invite that is younger than all that put them out?
    fn came_by_invite(&self, user: UserId, incarnation: u32) -> bool {
        let out = self.acts.iter().filter(|act| {
            about(act.body()).is_some_and(|(accepts, whom, ..)| !accepts && whom == user)
                && act.author() != user
                && self.has_authority(act)
        });
        let out = out.map(|act| act.fact.rank()).max();
        self.invites().into_iter().flat_map(|invite| self.users(invite).1).any(|redeemed| {
            (redeemed.user, redeemed.incarnation) == (user, incarnation)
                && out.is_none_or(|out| out < redeemed.invited)
        })
    }

    fn is_member(&self, user: UserId, incarnation: u32) -> bool {
        let past = self.terms.len() - 1;
        let verdicts: Vec<bool> = self
            .acts
            .iter()
            .filter(|act| act.author() != user && self.has_authority(act))
            .filter_map(|act| about(act.body()))
            .filter(|(accepts, whom, at, ..)| {
                *whom == user && if *accepts { *at == incarnation } else { *at >= incarnation }
            })
            .map(|(accepts, ..)| accepts)
            .collect();
        let accepted = verdicts.contains(&true) || self.came_by_invite(user, incarnation);
        (accepted || self.stayed(user, incarnation, past))
            && !verdicts.contains(&false)
            && self.leaves(user, incarnation).is_empty()
            && self.left_by_handover(user, incarnation).is_empty()
    }

    fn members(&self) -> BTreeMap<UserId, u32> {
        let (past, mut members) = (self.terms.len() - 1, BTreeMap::new());
        for user in self.facts.authors() {
            let asked = self.acts.iter().filter(|act| act.author() == user && act.cut.is_none());
            let asked = asked.filter_map(|act| match act.body() {
                Body::JoinRequest { incarnation } => Some(*incarnation),
                _ => None,
            });
            let stayed = self.terms[..past].iter().filter(|term| term.owner == user);
            let stayed = stayed.map(|term| term.incarnation).filter(|at| self.stayed(user, *at, past));
            if let Some(incarnation) = asked.chain(stayed).max().filter(|at| self.is_member(user, *at)) {
                members.insert(user, incarnation);
            }
        }
        let last = self.terms.last().unwrap();
        members.insert(last.owner, last.incarnation);
        members
    }

    fn admins(&self, members: &BTreeMap<UserId, u32>) -> BTreeMap<UserId, Vec<RecordId>> {
        let mut admins: BTreeMap<UserId, Vec<RecordId>> = BTreeMap::new();
        for act in &self.acts {
            let Some((user, incarnation, term)) = self.grant(&act.id()) else { continue };
            let holds = term as usize == self.terms.len() - 1
                && self.revocations(act.id(), term).is_empty()
                && self.out(user, incarnation, term).is_none();
            if holds && members.get(&user) == Some(&incarnation) {
                admins.entry(user).or_default().push(act.id());
            }
        }
        admins
    }
}

/// The terms of a group, and what ended it.
fn settled<'a>(
    group: GroupId,
    facts: &'a Facts,
    accounts: &BTreeMap<UserId, AccountView>,
) -> Option<(Slow<'a>, Option<RecordId>)> {
    let mut acts = signed(facts, accounts);
    acts.retain(|act| act.fact.record.scope() == Scope::Group(group));
    let genesis = acts.iter().find(|act| act.id() == group.into())?;
    let founder = Term { owner: genesis.author(), incarnation: 0, end: None };
    let mut slow = Slow { facts, acts, terms: vec![founder] };
    let ended_by = slow.walk();
    Some((slow, ended_by))
}

/// Settles a group the slow way.
pub fn expected(group: GroupId, facts: &Facts, accounts: &BTreeMap<UserId, AccountView>) -> Option<Expected> {
    let (slow, ended_by) = settled(group, facts, accounts)?;
    let members = if ended_by.is_none() { slow.members() } else { BTreeMap::new() };
    let admins = slow.admins(&members);
    let invites = if ended_by.is_none() { slow.invites() } else { Vec::new() };
    let invites = invites.into_iter().map(|invite| {
        let (withdrawn, office) = slow.ends(invite);
        Invited {
            invite: invite.id(),
            used: slow.users(invite).0,
            withdrawn: withdrawn.is_some(),
            in_office: office.is_none(),
        }
    });
    let invites = invites.collect();
    let (owner, epoch) = (slow.terms.last()?.owner, slow.terms.len() as u32 - 1);
    Some(Expected { owner, epoch, ended_by, members, admins, invites })
}

/// Everyone whom a counting Kick put out, with the highest such incarnation.
pub fn kicked(
    group: GroupId,
    facts: &Facts,
    accounts: &BTreeMap<UserId, AccountView>,
) -> BTreeMap<UserId, u32> {
    let mut kicked = BTreeMap::new();
    let Some((slow, _)) = settled(group, facts, accounts) else { return kicked };
    for act in slow.acts.iter().filter(|act| slow.has_authority(act)) {
        if let Body::Kick { user, incarnation, .. } = *act.body()
            && user != act.author()
        {
            let until = kicked.entry(user).or_insert(incarnation);
            *until = incarnation.max(*until);
        }
    }
    kicked
}

//! Layer 2: who may decide beside the owner, and what of it counts. Reads layer 1 only.
//!
//! An AdminGrant names a member, their incarnation and the owner's term, and ends with each of the three, or by an
//! AdminRevoke. Two kinds of end cut differently:
//!
//! - The owner's word (AdminRevoke, or the Handover that ends the term) names the last records that it takes note
//!   of. What descends no further counts, anything else does not, whatever its stamp: who is out of office cannot
//!   slip something in under an old grant.
//! - Leaving, a kick by the owner, and the loss of the device that asked to join name no records. There what came
//!   in before counts, and nothing later.
//!
//! Admins decide about plain members. Their Kick or Reject of an owner or admin, whether they could know of it or
//! not, never counts; the owner's word stands above theirs.

use std::collections::BTreeMap;

use peerage_types::{RecordId, UserId};

use super::audit::Void;
use super::owner::{OwnerAct, Ruling, Tenure, Verdict};
use super::scene::{Act, Scene};
use crate::body::Body;
use crate::facts::Rank;
use crate::lineage::Cover;

/// An AdminGrant that the owner of its term had the right to make.
#[derive(Debug)]
pub(super) struct Grant {
    pub user: UserId,
    pub incarnation: u32,
    pub epoch: u32,
    /// What the AdminRevokes take note of: only what is in each of them counts.
    revoked: Vec<Cover>,
    /// The first AdminRevoke.
    revoked_at: Option<Rank>,
    /// When the membership ended that the grant hangs on.
    out: Option<Rank>,
}

impl Grant {
    /// Was this signed after the grant's end, as far as its person's reach into others' affairs goes?
    fn is_over(&self, epoch: u32, rank: Rank) -> bool {
        let past = |end: Option<Rank>| end.is_some_and(|end| rank > end);
        epoch > self.epoch || past(self.revoked_at) || past(self.out)
    }
}

/// All grants that count or counted.
#[derive(Debug)]
pub(super) struct Admins {
    grants: BTreeMap<RecordId, Grant>,
    by_user: BTreeMap<UserId, Vec<RecordId>>,
}

impl Admins {
    pub(super) fn settle(scene: &Scene<'_>, tenure: &Tenure) -> Self {
        let mut admins = Self { grants: BTreeMap::new(), by_user: BTreeMap::new() };
        let presence = Presence::of(scene, tenure);
        for act in scene.signed.iter().filter(|act| counts(scene, tenure, act)) {
            let Body::AdminGrant { user, incarnation, epoch } = *act.fact.record.body() else { continue };
            // Only who asked to be let in can be given anything, and the owner needs nothing.
            let out = presence.out(user, incarnation, epoch);
            let (Some(out), true) = (out, user != act.fact.record.author()) else { continue };
            let id = act.fact.record.id();
            let grant = Grant { user, incarnation, epoch, revoked: Vec::new(), revoked_at: None, out };
            admins.grants.insert(id, grant);
            admins.by_user.entry(user).or_default().push(id);
        }
        for act in scene.signed.iter().filter(|act| counts(scene, tenure, act)) {
            let Body::AdminRevoke { grant, heads, epoch } = act.fact.record.body() else { continue };
            if let Some(grant) = admins.grants.get_mut(grant).filter(|grant| grant.epoch == *epoch) {
                grant.revoked.push(scene.lineage.cover(heads));
                grant.revoked_at.get_or_insert(act.fact.rank());
            }
        }
        admins
    }

    /// The grants of this term that still hold, of each person in order.
    pub(super) fn open<'a>(&'a self, tenure: &Tenure) -> impl Iterator<Item = (&'a Grant, RecordId)> {
        let epoch = tenure.ended_by().is_none().then_some(tenure.epoch());
        let all = self.by_user.values().flatten();
        all.filter_map(|id| Some((self.grants.get(id)?, *id))).filter(move |(grant, _)| {
            Some(grant.epoch) == epoch && grant.revoked.is_empty() && grant.out.is_none()
        })
    }

    /// Is this a grant that counts or counted?
    pub(super) fn knows(&self, grant: &RecordId) -> bool {
        self.grants.contains_key(grant)
    }

    /// Is this a grant of this term?
    pub(super) fn is_of_term(&self, grant: &RecordId, epoch: u32) -> bool {
        self.grants.get(grant).is_some_and(|grant| grant.epoch == epoch)
    }

    /// Was this ruling, which names a grant, made with an admin's authority?
    pub(super) fn judge(
        &self,
        scene: &Scene<'_>,
        tenure: &Tenure,
        act: &Act<'_>,
        ruling: &Ruling,
    ) -> Result<(), Void> {
        self.in_office(scene, tenure, act, ruling.epoch, ruling.grant)?;
        let beyond = self.is_beyond_reach(tenure, ruling, act.fact.rank());
        if ruling.user == act.fact.record.author() || beyond { Err(Void::BeyondReach) } else { Ok(()) }
    }

    /// The first end of the office under this grant that is known, if there is any: what hangs on the office counts
    /// until then.
    pub(super) fn office_end(&self, tenure: &Tenure, grant: &RecordId) -> Option<Rank> {
        let grant = self.grants.get(grant)?;
        let term = tenure.end_of(grant.epoch).map(|end| end.at);
        [grant.revoked_at, grant.out, term].into_iter().flatten().min()
    }

    /// Was this person made admin by this grant, in this term?
    pub(super) fn is_granted(&self, grant: &RecordId, user: UserId, epoch: u32) -> bool {
        self.grants.get(grant).is_some_and(|grant| grant.user == user && grant.epoch == epoch)
    }

    /// Did the author sign this under a grant of theirs, as far as that counts?
    pub(super) fn in_office(
        &self,
        scene: &Scene<'_>,
        tenure: &Tenure,
        act: &Act<'_>,
        epoch: u32,
        grant: Option<RecordId>,
    ) -> Result<(), Void> {
        let (author, id, rank) = (act.fact.record.author(), act.fact.record.id(), act.fact.rank());
        let own = |grant: &&Grant| grant.user == author && grant.epoch == epoch;
        let grant = grant.and_then(|grant| self.grants.get(&grant)).filter(own).ok_or(Void::NoGrant)?;
        let end = tenure.end_of(grant.epoch);
        let noted = |cover: &Cover| scene.lineage.covers(cover, &id);
        let (in_time, closed) = match (grant.revoked_at, end) {
            (Some((at, by)), _) => (grant.revoked.iter().all(noted), Some((at, by))),
            (None, Some(end)) => (noted(&end.cover), end.closed),
            (None, None) => (true, None),
        };
        if !in_time || !act.survives(closed) || grant.out.is_some_and(|out| rank > out) {
            return Err(Void::GrantEnded);
        }
        Ok(())
    }

    /// Is the person owner or admin, as far as a Kick or Reject with this place is concerned? An earlier coming of
    /// theirs, which ended before they were, is nobody's office.
    fn is_beyond_reach(&self, tenure: &Tenure, ruling: &Ruling, rank: Rank) -> bool {
        if ruling.verdict == Verdict::Accept {
            return false;
        }
        let in_office = (0..).zip(tenure.terms()).any(|(epoch, term): (u32, _)| {
            term.owner == ruling.user && term.incarnation <= ruling.incarnation && epoch >= ruling.epoch
        });
        let grants = self.by_user.get(&ruling.user).into_iter().flatten();
        let grants = grants.filter_map(|id| self.grants.get(id));
        in_office
            || grants
                .filter(|grant| grant.incarnation <= ruling.incarnation)
                .any(|grant| !grant.is_over(ruling.epoch, rank))
    }
}

/// Does this owner's record count?
fn counts(scene: &Scene<'_>, tenure: &Tenure, act: &Act<'_>) -> bool {
    OwnerAct::of(act.fact.record.body()).is_some_and(|owner| tenure.counts(scene, &owner, act))
}

/// When people came and went, as far as owners and the people themselves say.
struct Presence {
    /// JoinRequests with the revocation that cut them off, if there is one: the latest of several.
    asked: BTreeMap<(UserId, u32), Option<Rank>>,
    /// Incarnations that ended, with all earlier ones, and when.
    gone: BTreeMap<UserId, Vec<(u32, Rank)>>,
    /// Past owners who stayed: their incarnation, and which term they had.
    stayed: Vec<(UserId, u32, u32)>,
}

impl Presence {
    fn of(scene: &Scene<'_>, tenure: &Tenure) -> Self {
        let mut presence = Self { asked: BTreeMap::new(), gone: BTreeMap::new(), stayed: Vec::new() };
        for act in &scene.signed {
            let (author, rank) = (act.fact.record.author(), act.fact.rank());
            match (act.fact.record.body(), act.cut) {
                (Body::JoinRequest { incarnation }, cut) if act.is_timely() => {
                    let known = presence.asked.entry((author, *incarnation)).or_insert(cut);
                    // Nothing beats a rank: the request that no revocation cut off.
                    *known = if known.is_none() || cut.is_none() { None } else { cut.max(*known) };
                    if let (None, Some(before)) = (cut, incarnation.checked_sub(1)) {
                        presence.gone.entry(author).or_default().push((before, rank));
                    }
                }
                (Body::Leave { incarnation }, None) if !tenure.is_taken_back(&act.fact.record.id()) => {
                    presence.gone.entry(author).or_default().push((*incarnation, rank));
                }
                (body, _) => {
                    let ruling = Ruling::of(body).filter(|ruling| ruling.verdict != Verdict::Accept);
                    let Some(ruling) = ruling.filter(|ruling| ruling.user != author) else { continue };
                    if counts(scene, tenure, act) {
                        presence.gone.entry(ruling.user).or_default().push((ruling.incarnation, rank));
                    }
                }
            }
        }
        for (epoch, term) in (0..).zip(tenure.terms()) {
            match &term.end {
                Some(end) if end.stays => presence.stayed.push((term.owner, term.incarnation, epoch)),
                Some(end) => {
                    presence.gone.entry(term.owner).or_default().push((term.incarnation, end.at));
                }
                None => {}
            }
        }
        presence
    }

    /// When this coming ended, as far as a grant of this term is concerned; nothing if it never began.
    fn out(&self, user: UserId, incarnation: u32, epoch: u32) -> Option<Option<Rank>> {
        let stayed =
            self.stayed.iter().any(|(who, at, term)| (*who, *at) == (user, incarnation) && *term < epoch);
        let asked = match self.asked.get(&(user, incarnation)) {
            _ if stayed => None,
            Some(cut) => *cut,
            None => return None,
        };
        let gone = self.gone.get(&user).into_iter().flatten();
        Some(gone.filter(|(until, _)| *until >= incarnation).map(|(_, rank)| *rank).chain(asked).min())
    }
}

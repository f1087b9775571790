//! A second opinion on views: simple rules, read straight from the facts, that share no code with the ledger's.
//!
//! They do not settle a group. They only ask of what a view says: who said so, and was that person entitled to?

use std::collections::BTreeSet;

use peerage_ledger::{
    AccountView, Accounts, Body, Claim, Device, Fact, Facts, GroupClaim, GroupView, Rank, Standing,
};
use peerage_types::{GroupId, RecordId, UserId};

use super::{Broken, Rule};

/// One group's facts, in order.
struct Reading<'a> {
    facts: &'a Facts,
    accounts: &'a dyn Accounts,
    /// Signed by a device that the author certified, in order.
    signed: Vec<&'a Fact>,
    /// Of these, what no revocation cuts off.
    acts: Vec<&'a Fact>,
    /// Who may have been the owner in each term: usually one person, more while it is open which heir was willing.
    owners: Vec<BTreeSet<UserId>>,
}

/// Checks a group's view against its facts.
pub(crate) fn group(view: &GroupView, facts: &Facts, accounts: &dyn Accounts) -> Result<(), Broken> {
    let reading = Reading::of(view, facts, accounts);
    reading.ownership(view)?;
    reading.members(view)?;
    reading.admins(view)?;
    reading.kicks(view)?;
    reading.files(view)
}

/// Checks an account's view against its facts.
pub(crate) fn account(view: &AccountView, facts: &Facts) -> Result<(), Broken> {
    let mut own: Vec<&Fact> = facts.iter().collect();
    own.sort_by_key(|fact| fact.rank());
    if own.iter().any(|fact| fact.record.signer() != view.identity) {
        return Rule::Authority.broken(format!("{:?} holds a record of another key", view.user));
    }
    for (device, known) in &view.devices {
        let certified =
            own.iter().any(|f| matches!(f.record.body(), Body::DeviceCert { device: d, .. } if d == device));
        let revoked = own
            .iter()
            .any(|f| matches!(f.record.body(), Body::DeviceRevoke { device: d, .. } if d == device));
        if !certified || revoked != known.revoked.is_some() {
            return Rule::Authority.broken(format!(
                "device {device:?} of {:?}: certified {certified}, revoked {revoked}, shown as {known:?}",
                view.user
            ));
        }
    }
    // From the first password on, each is the first that names the one before.
    let mut current: Option<RecordId> = None;
    loop {
        let next = own
            .iter()
            .find(|f| matches!(f.record.body(), Body::AuthRecord { previous, .. } if *previous == current));
        match next {
            Some(fact) => current = Some(fact.record.id()),
            None => break,
        }
    }
    if current != view.auth {
        return Rule::Authority
            .broken(format!("the password of {:?} is {:?}, expected {current:?}", view.user, view.auth));
    }
    Ok(())
}

/// The first of some claims to a user name.
pub(crate) fn first_claim(claims: &[Claim]) -> Option<&Claim> {
    let mut first: Option<&Claim> = None;
    for claim in claims {
        if first.is_none_or(|f| (claim.order, claim.id) < (f.order, f.id)) {
            first = Some(claim);
        }
    }
    first
}

/// Who has a group name: from each ended group on to the first one that names its end.
pub(crate) fn holder(claims: &[GroupClaim]) -> Option<GroupId> {
    let (mut holder, mut after) = (None, None);
    for _ in 0..claims.len() {
        let next = claims.iter().filter(|claim| claim.after == after).min_by_key(|c| (c.order, c.genesis));
        let Some(next) = next else { break };
        holder = Some(next.genesis.into());
        if next.ended_by.is_none() {
            break;
        }
        after = next.ended_by;
    }
    holder
}

impl<'a> Reading<'a> {
    fn of(view: &GroupView, facts: &'a Facts, accounts: &'a dyn Accounts) -> Self {
        let mut reading = Self { facts, accounts, signed: Vec::new(), acts: Vec::new(), owners: Vec::new() };
        let mut signed: Vec<&Fact> = facts.iter().filter(|fact| reading.device(fact).is_some()).collect();
        signed.sort_by_key(|fact| fact.rank());
        reading.acts = signed.iter().copied().filter(|fact| reading.authentic(fact)).collect();
        reading.signed = signed;
        let founder = facts.get(&view.group.into()).map(|genesis| genesis.record.author());
        let mut current: BTreeSet<UserId> = founder.into_iter().collect();
        for epoch in 0..=view.epoch {
            let next =
                current.iter().flat_map(|owner| reading.handovers(epoch, owner)).flat_map(heirs).collect();
            reading.owners.push(std::mem::replace(&mut current, next));
        }
        reading
    }

    fn device(&self, fact: &Fact) -> Option<&Device> {
        self.accounts.account(&fact.record.author())?.devices.get(&fact.record.signer())
    }

    /// Did a device that the author certified sign this, before it was revoked?
    fn authentic(&self, fact: &Fact) -> bool {
        self.device(fact).is_some_and(|device| {
            device.revoked.is_none() || self.reaches(&device.heads, fact.record.id(), fact)
        })
    }

    /// Is this record one of the heads, or an ancestor of one along one key's chain?
    fn reaches<'i>(&self, heads: impl IntoIterator<Item = &'i RecordId>, id: RecordId, fact: &Fact) -> bool {
        heads.into_iter().any(|head| {
            let mut at = Some(*head);
            while let Some(here) = at.and_then(|id| self.facts.get(&id)) {
                let same = here.record.signer() == fact.record.signer()
                    && here.record.author() == fact.record.author();
                if !same {
                    return false;
                }
                if here.record.id() == id {
                    return true;
                }
                at = here.record.prev();
            }
            false
        })
    }

    /// The Handovers that this person signed as owner of this term. That a device was revoked later reopens no term.
    fn handovers(&self, epoch: u32, owner: &UserId) -> Vec<&'a Fact> {
        let by = |fact: &&&Fact| {
            fact.record.author() == *owner
                && matches!(fact.record.body(), Body::Handover { epoch: e, .. } if *e == epoch)
        };
        self.signed.iter().filter(by).copied().collect()
    }

    /// Has this person handed over a term before this one, to stay?
    fn stayed(&self, view: &GroupView, user: &UserId) -> bool {
        (0..view.epoch).filter(|epoch| self.may_own(*epoch, user)).any(|epoch| {
            let handovers = self.handovers(epoch, user);
            handovers.iter().any(|fact| matches!(fact.record.body(), Body::Handover { stays: true, .. }))
        })
    }

    fn may_own(&self, epoch: u32, user: &UserId) -> bool {
        self.owners.get(epoch as usize).is_some_and(|owners| owners.contains(user))
    }

    fn ownership(&self, view: &GroupView) -> Result<(), Broken> {
        if !self.may_own(view.epoch, &view.owner) {
            return Rule::Authority
                .broken(format!("{:?} owns {:?} in term {}", view.owner, view.group, view.epoch));
        }
        let Some(end) = view.ended_by else { return Ok(()) };
        let ends = self.signed.iter().any(|fact| {
            let names = match fact.record.body() {
                Body::Close { epoch } | Body::Handover { epoch, .. } => *epoch == view.epoch,
                _ => false,
            };
            fact.record.id() == end && names && fact.record.author() == view.owner
        });
        if !ends || !view.members.is_empty() || !view.files.is_empty() {
            return Rule::Authority.broken(format!("{:?} was ended by {end:?}", view.group));
        }
        Ok(())
    }

    /// Does this record let this person in?
    fn lets_in(&self, view: &GroupView, fact: &Fact, user: &UserId, wanted: u32) -> bool {
        let author = fact.record.author();
        let (whom, incarnation, epoch, entitled) = match fact.record.body() {
            Body::Accept { user, incarnation, epoch, grant: None } => {
                (user, *incarnation, *epoch, self.may_own(*epoch, &author))
            }
            Body::Accept { user, incarnation, epoch, grant: Some(grant) } => {
                (user, *incarnation, *epoch, self.granted(grant, &author, *epoch))
            }
            // Whom the owner lets decide about others is in.
            Body::AdminGrant { user, incarnation, epoch } => {
                (user, *incarnation, *epoch, self.may_own(*epoch, &author))
            }
            _ => return false,
        };
        // What was done in a term that somebody else followed, or under a grant that was ended, a later revocation of
        // the device does not undo.
        let ended = match fact.record.body() {
            Body::Accept { grant: Some(grant), .. } => self.grant_ended(grant),
            _ => false,
        };
        let stands = epoch < view.epoch || ended || self.authentic(fact);
        whom == user && incarnation == wanted && author != *user && entitled && stands
    }

    /// Did an owner of this term make this person an admin?
    fn granted(&self, grant: &RecordId, person: &UserId, term: u32) -> bool {
        self.signed.iter().any(|fact| {
            let names = matches!(fact.record.body(), Body::AdminGrant { user, epoch, .. }
                if user == person && *epoch == term);
            fact.record.id() == *grant && names && self.may_own(term, &fact.record.author())
        })
    }

    fn grant_ended(&self, grant: &RecordId) -> bool {
        let ends = |body: &Body| matches!(body, Body::AdminRevoke { grant: ended, .. } if ended == grant);
        self.signed.iter().any(|fact| ends(fact.record.body()))
    }

    fn asked(&self, facts: &[&Fact], user: &UserId, wanted: u32) -> bool {
        facts.iter().any(|fact| {
            fact.record.author() == *user
                && matches!(fact.record.body(), Body::JoinRequest { incarnation } if *incarnation == wanted)
        })
    }

    fn members(&self, view: &GroupView) -> Result<(), Broken> {
        for (user, member) in &view.members {
            let owner = view.is_owner(user);
            let was_owner = owner && view.epoch == 0 && member.incarnation == 0 || self.stayed(view, user);
            let accepted =
                || self.signed.iter().any(|fact| self.lets_in(view, fact, user, member.incarnation));
            // An owner's request stands although the device that signed it is lost.
            let asked = match owner {
                true => self.asked(&self.signed, user, member.incarnation),
                false => self.asked(&self.acts, user, member.incarnation) && accepted(),
            };
            if !was_owner && !asked {
                let told = self.facts.iter().map(|fact| {
                    let (signed, authentic) = (self.device(fact).is_some(), self.authentic(fact));
                    format!("\n{:?} signed: {signed}, authentic: {authentic}", fact.record)
                });
                return Rule::Authority.broken(format!(
                    "{user:?} is in {:?} as {member:?}, let in by nobody; owner {:?} in term {}; {}",
                    view.group,
                    view.owner,
                    view.epoch,
                    told.collect::<String>()
                ));
            }
        }
        for request in &view.requests {
            if !self.asked(&self.acts, &request.user, request.incarnation) {
                return Rule::Authority.broken(format!("{request:?} was never made"));
            }
        }
        Ok(())
    }

    /// Is this a Kick that nothing can have taken the force from: by the owner of a term beyond doubt, and of a past
    /// term within what the Handover covers?
    fn kick(&self, view: &GroupView, fact: &Fact) -> Option<(UserId, u32)> {
        let Body::Kick { user, incarnation, epoch, grant } = *fact.record.body() else { return None };
        let author = fact.record.author();
        if let Some(grant) = grant {
            return self.admins_kick(view, &author, grant, user, epoch).then_some((user, incarnation));
        }
        let sole = self.owners.get(epoch as usize).is_some_and(|o| o.len() == 1 && o.contains(&author));
        let stands = if epoch == view.epoch {
            author == view.owner && view.ended_by.is_none()
        } else {
            match self.handovers(epoch, &author)[..] {
                [handover] if self.authentic(handover) => match handover.record.body() {
                    Body::Handover { heads, .. } => {
                        let own = handover.record.id();
                        self.reaches(heads.iter().chain([&own]), fact.record.id(), fact)
                    }
                    _ => false,
                },
                _ => false,
            }
        };
        (sole && stands && user != author).then_some((user, incarnation))
    }

    /// A Kick under a grant of the current term that nobody revoked, of somebody who never was anything but a member.
    fn admins_kick(
        &self,
        view: &GroupView,
        author: &UserId,
        grant: RecordId,
        user: UserId,
        term: u32,
    ) -> bool {
        let revoked = self.grant_ended(&grant);
        let was_admin = self
            .signed
            .iter()
            .any(|fact| matches!(fact.record.body(), Body::AdminGrant { user: other, .. } if *other == user));
        let was_owner = self.owners.iter().any(|owners| owners.contains(&user));
        let open = term == view.epoch && view.ended_by.is_none() && self.owners[term as usize].len() == 1;
        let holds = view.admins.get(author).is_some_and(|admin| admin.grants.contains(&grant));
        open && holds && !revoked && !was_admin && !was_owner && user != *author
    }

    fn admins(&self, view: &GroupView) -> Result<(), Broken> {
        for (user, admin) in &view.admins {
            let granted = admin.grants.iter().all(|grant| self.granted(grant, user, view.epoch));
            if !granted || admin.grants.is_empty() || !view.is_member(user) {
                return Rule::Authority
                    .broken(format!("{user:?} is an admin of {:?} by {admin:?}", view.group));
            }
        }
        Ok(())
    }

    fn kicks(&self, view: &GroupView) -> Result<(), Broken> {
        for fact in &self.acts {
            let Some((user, until)) = self.kick(view, fact) else { continue };
            let in_again = match view.standing(&user) {
                Standing::Member { incarnation } | Standing::Requested { incarnation } => {
                    incarnation <= until
                }
                _ => false,
            };
            if in_again || view.members.get(&user).is_some_and(|member| member.incarnation <= until) {
                return Rule::Kicks.broken(format!(
                    "{user:?} is in {:?} as {:?}, although kicked up to incarnation {until} by {:?}",
                    view.group,
                    view.standing(&user),
                    fact.record.id()
                ));
            }
        }
        Ok(())
    }

    fn files(&self, view: &GroupView) -> Result<(), Broken> {
        let unshared = |share: &RecordId, user: &UserId| {
            self.acts.iter().any(|fact| {
                fact.record.author() == *user
                    && matches!(fact.record.body(), Body::Unshare { share: ended } if ended == share)
            })
        };
        for (file, share) in view.files.iter().flat_map(|file| file.shares.iter().map(move |s| (file, s))) {
            let member = view.members.get(&share.user);
            let stated = self.facts.get(&share.share).is_some_and(|fact| {
                let named = matches!(fact.record.body(), Body::Share { incarnation, .. }
                    if member.is_some_and(|member| member.incarnation == *incarnation));
                let by = fact.record.author() == share.user && fact.record.signer() == share.device;
                named && by && self.authentic(fact)
            });
            let live = self.accounts.account(&share.user).is_some_and(|a| a.device_ok(&share.device));
            if !stated || !live || unshared(&share.share, &share.user) {
                return Rule::Authority
                    .broken(format!("`{}` is listed in {:?} by {share:?}", file.shown, view.group));
            }
        }
        Ok(())
    }
}

/// Who may own the group after this: the heirs and, if none is willing, who stays.
fn heirs(handover: &Fact) -> Vec<UserId> {
    match handover.record.body() {
        Body::Handover { heirs, stays, .. } => {
            let own = stays.then_some(handover.record.author());
            heirs.iter().map(|(heir, _)| *heir).chain(own).collect()
        }
        _ => Vec::new(),
    }
}

/// What "first" compares, as the rule has it.
pub(crate) fn rank(claim: &Claim) -> Rank {
    (claim.order, claim.id)
}

//! Between layers 2 and 3: acceptances beforehand. Reads layers 1 and 2.
//!
//! An Invite counts if its issuer had the right to let people in. A Redeem counts if it came in before the invite
//! expired, was withdrawn or its issuer's office ended, and if fewer than `uses` other accounts were faster. All these
//! are questions of order and of the trackers' stamps, never of what a client says about the time. Whether somebody
//! *held* the invite is settled with the record itself ([`crate::Record::decode`]).
//!
//! An account uses an invite up whatever else becomes of it: later facts about the person move nobody else up.

use std::collections::BTreeMap;

use peerage_types::{PublicKey, RecordId, UserId};

use super::admins::Admins;
use super::audit::Void;
use super::owner::{OwnerAct, Tenure};
use super::scene::{Act, Scene};
use crate::body::Body;
use crate::facts::Rank;
use crate::receipt::Order;

/// An invite whose issuer had the right to make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteView {
    /// The Invite.
    pub invite: RecordId,
    /// Its public key.
    pub key: PublicKey,
    /// What its issuer's device finds the private key by.
    pub salt: [u8; 16],
    /// Who made it.
    pub issuer: UserId,
    /// When it came in.
    pub order: Order,
    /// Milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// How many accounts may come in by it.
    pub uses: u32,
    /// Which have, first come first: at most `uses`.
    pub used: Vec<UserId>,
    /// Somebody who had the right to withdrew it.
    pub withdrawn: bool,
    /// Its issuer still decides about members, on a device that was not revoked.
    pub in_office: bool,
}

/// What has become of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteState {
    /// It lets people in.
    Open,
    /// It was withdrawn.
    Withdrawn,
    /// Its issuer decides about nobody any more, or the device that it was made on was revoked.
    IssuerGone,
    /// As many accounts as it allows have come in by it.
    UsedUp,
    /// Its time is over.
    Expired,
}

impl InviteView {
    /// What has become of it by `now_ms`, milliseconds since the Unix epoch.
    pub fn state(&self, now_ms: u64) -> InviteState {
        if self.withdrawn {
            InviteState::Withdrawn
        } else if !self.in_office {
            InviteState::IssuerGone
        } else if self.used.len() >= self.uses as usize {
            InviteState::UsedUp
        } else if now_ms >= self.expires_ms {
            InviteState::Expired
        } else {
            InviteState::Open
        }
    }
}

/// Somebody came by an invite in time.
pub(super) struct Redeemed {
    pub user: UserId,
    pub incarnation: u32,
    pub rank: Rank,
    /// When the invite was made: a later Kick or Reject of the person stands above it.
    pub invited: Rank,
}

struct Issued {
    rank: Rank,
    epoch: u32,
    view: InviteView,
    /// From then on it lets nobody in.
    until: Option<Rank>,
}

/// All invites, and who came by them.
pub(super) struct Invites {
    issued: BTreeMap<PublicKey, Issued>,
    /// By their records, as withdrawals name them.
    keys: BTreeMap<RecordId, PublicKey>,
    pub redeemed: Vec<Redeemed>,
    /// Invites, withdrawals and Redeems that have no effect.
    voids: BTreeMap<RecordId, Void>,
}

impl Invites {
    pub(super) fn settle(scene: &Scene<'_>, tenure: &Tenure, admins: &Admins) -> Self {
        let mut invites = Self {
            issued: BTreeMap::new(),
            keys: BTreeMap::new(),
            redeemed: Vec::new(),
            voids: BTreeMap::new(),
        };
        invites.pass(scene, |invites, act| invites.issue(scene, tenure, admins, act));
        invites.pass(scene, |invites, act| invites.withdraw(scene, tenure, admins, act));
        invites.pass(scene, |invites, act| invites.redeem(act));
        invites
    }

    fn pass(&mut self, scene: &Scene<'_>, step: impl Fn(&mut Self, &Act<'_>) -> Result<(), Void>) {
        for act in &scene.signed {
            if let Err(void) = step(self, act) {
                self.voids.insert(act.fact.record.id(), void);
            }
        }
    }

    fn issue(
        &mut self,
        scene: &Scene<'_>,
        tenure: &Tenure,
        admins: &Admins,
        act: &Act<'_>,
    ) -> Result<(), Void> {
        let Body::Invite { key, salt, expires_ms, uses, epoch, grant } = *act.fact.record.body() else {
            return Ok(());
        };
        authority(scene, tenure, admins, act, epoch, grant)?;
        if self.issued.contains_key(&key) {
            return Err(Void::KnownInvite);
        }
        // Whoever stole the device may have made invites that its revocation takes note of unseen.
        let until = [office_end(tenure, admins, epoch, grant), act.gone].into_iter().flatten().min();
        let record = &act.fact.record;
        let view = InviteView {
            invite: record.id(),
            key,
            salt,
            issuer: record.author(),
            order: act.fact.order,
            expires_ms,
            uses,
            used: Vec::new(),
            withdrawn: false,
            in_office: until.is_none(),
        };
        self.keys.insert(record.id(), key);
        self.issued.insert(key, Issued { rank: act.fact.rank(), epoch, view, until });
        Ok(())
    }

    fn withdraw(
        &mut self,
        scene: &Scene<'_>,
        tenure: &Tenure,
        admins: &Admins,
        act: &Act<'_>,
    ) -> Result<(), Void> {
        let Body::InviteWithdraw { invite, epoch, grant } = *act.fact.record.body() else { return Ok(()) };
        let rank = act.fact.rank();
        if let Err(void) = authority(scene, tenure, admins, act, epoch, grant) {
            // A withdrawal only ever keeps people out, so it counts if it came while its author was in office, even
            // if what ended the office takes no note of it.
            let held = act.is_timely() && holds(tenure, admins, act, epoch, grant);
            if !held || office_end(tenure, admins, epoch, grant).is_some_and(|end| rank > end) {
                return Err(void);
            }
        }
        let key = self.keys.get(&invite).ok_or(Void::NoSuchInvite)?;
        let issued = self.issued.get_mut(key).filter(|issued| issued.epoch == epoch);
        let issued = issued.ok_or(Void::NoSuchInvite)?;
        issued.view.withdrawn = true;
        issued.until = Some(issued.until.map_or(rank, |until| until.min(rank)));
        Ok(())
    }

    /// In order, so whoever is first comes in.
    fn redeem(&mut self, act: &Act<'_>) -> Result<(), Void> {
        let Body::Redeem { key, incarnation, .. } = *act.fact.record.body() else { return Ok(()) };
        let issued = self.issued.get_mut(&key).ok_or(Void::NoSuchInvite)?;
        let (user, rank) = (act.fact.record.author(), act.fact.rank());
        let in_time = rank.0.stamp.unix_ms() < issued.view.expires_ms;
        if !in_time || issued.until.is_some_and(|until| rank > until) {
            return Err(Void::InviteOver);
        }
        let used = &mut issued.view.used;
        if !used.contains(&user) {
            if used.len() >= issued.view.uses as usize {
                return Err(Void::InviteUsedUp);
            }
            used.push(user);
        }
        if act.cut.is_some() {
            return Err(Void::DeviceRevoked);
        }
        self.redeemed.push(Redeemed { user, incarnation, rank, invited: issued.rank });
        Ok(())
    }

    /// Why this record, an Invite, InviteWithdraw or Redeem, has no effect, if it has none.
    pub(super) fn void(&self, record: &RecordId) -> Option<Void> {
        self.voids.get(record).copied()
    }

    /// When the invite with this key was made.
    pub(super) fn made(&self, key: &PublicKey) -> Option<Rank> {
        self.issued.get(key).map(|issued| issued.rank)
    }

    /// All of them, in order.
    pub(super) fn views(self) -> Vec<InviteView> {
        let mut all: Vec<Issued> = self.issued.into_values().collect();
        all.sort_by_key(|issued| issued.rank);
        all.into_iter().map(|issued| issued.view).collect()
    }
}

/// Was this signed by the owner of the term, or under a grant that held?
fn authority(
    scene: &Scene<'_>,
    tenure: &Tenure,
    admins: &Admins,
    act: &Act<'_>,
    epoch: u32,
    grant: Option<RecordId>,
) -> Result<(), Void> {
    match grant {
        None => tenure.judge(scene, &OwnerAct { epoch, ruling: None }, act),
        Some(_) => admins.in_office(scene, tenure, act, epoch, grant),
    }
}

/// Was the author given this office at all?
fn holds(tenure: &Tenure, admins: &Admins, act: &Act<'_>, epoch: u32, grant: Option<RecordId>) -> bool {
    let author = act.fact.record.author();
    match grant {
        None => tenure.owner_of(epoch) == Some(author),
        Some(grant) => admins.is_granted(&grant, author, epoch),
    }
}

/// When the office ended, if it did.
fn office_end(tenure: &Tenure, admins: &Admins, epoch: u32, grant: Option<RecordId>) -> Option<Rank> {
    match grant {
        Some(grant) => admins.office_end(tenure, &grant),
        None => tenure.end_of(epoch).map(|end| end.at),
    }
}

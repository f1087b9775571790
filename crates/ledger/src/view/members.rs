//! Layer 3: who may take part. Reads layers 1 and 2.
//!
//! A member asked *and* was accepted. A person's state is settled at the highest incarnation at which they
//! asked; there the stricter record wins (kick, leave, reject, accept), and a kick, leave or reject also ends
//! all earlier incarnations, so that withdrawing a later request cannot bring an older membership back.
//!
//! Coming by an invite is being accepted, unless a Kick or Reject of the person is later than the invite: whoever was
//! put out needs a new one.

use std::collections::BTreeMap;

use peerage_types::UserId;

use super::admins::Admins;
use super::invites::Invites;
use super::owner::{Tenure, Verdict};
use super::ruling;
use super::scene::Scene;
use crate::body::Body;
use crate::facts::Rank;
use crate::receipt::Order;

/// A current member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which coming of this person.
    pub incarnation: u32,
    /// When both request and acceptance were in; for the founder the genesis.
    pub since: Order,
}

/// Someone who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub user: UserId,
    /// What Accept and Reject must name.
    pub incarnation: u32,
    /// When the request came in.
    pub order: Order,
}

/// How a person stands to a group. Each incarnation is the last that is used up or in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Never asked, as far as we know; or only from a device that is void now.
    Stranger {
        /// The highest incarnation that a Kick, Leave or Reject already ended; 0 if there is none.
        last_incarnation: u32,
    },
    /// Waits for an answer.
    Requested {
        /// Which coming.
        incarnation: u32,
    },
    /// Was refused.
    Rejected {
        /// Which coming.
        incarnation: u32,
    },
    /// May take part.
    Member {
        /// Which coming.
        incarnation: u32,
    },
    /// Left, handed the group over, or saw it end.
    Left {
        /// Which coming.
        incarnation: u32,
    },
    /// Was put out.
    Kicked {
        /// Which coming.
        incarnation: u32,
    },
}

impl Standing {
    /// The last incarnation that is used up or in use.
    pub fn incarnation(&self) -> u32 {
        match *self {
            Self::Stranger { last_incarnation: incarnation }
            | Self::Requested { incarnation }
            | Self::Rejected { incarnation }
            | Self::Member { incarnation }
            | Self::Left { incarnation }
            | Self::Kicked { incarnation } => incarnation,
        }
    }
}

/// How everyone stands of whom nothing is known.
pub(super) const NEVER_SEEN: Standing = Standing::Stranger { last_incarnation: 0 };

pub(super) struct Roster {
    pub members: BTreeMap<UserId, Member>,
    pub requests: Vec<Request>,
    pub standings: BTreeMap<UserId, Standing>,
    /// When somebody was last kicked or rejected: invites that are older are not for them.
    pub put_out: BTreeMap<UserId, Rank>,
}

/// All that counts about one person. Incarnations are the highest ones.
#[derive(Default)]
struct Dossier {
    asked: BTreeMap<u32, Rank>,
    accepted: BTreeMap<u32, Rank>,
    kicked: Option<u32>,
    left: Option<u32>,
    rejected: Option<u32>,
    /// Terms as owner that are over.
    past_term: Option<u32>,
}

impl Dossier {
    fn standing(&self) -> Standing {
        let out = [self.kicked, self.left, self.rejected, self.past_term].into_iter().flatten().max();
        let asked = self.asked.keys().next_back().copied();
        let Some(current) = asked.max(self.past_term) else {
            return Standing::Stranger { last_incarnation: out.unwrap_or(0) };
        };
        let ended = |by: Option<u32>| by.is_some_and(|by| by >= current);
        let incarnation = out.unwrap_or(0).max(current);
        if ended(self.kicked) {
            Standing::Kicked { incarnation }
        } else if ended(self.left.max(self.past_term)) {
            Standing::Left { incarnation }
        } else if ended(self.rejected) {
            Standing::Rejected { incarnation }
        } else if self.accepted.contains_key(&current) {
            Standing::Member { incarnation: current }
        } else {
            Standing::Requested { incarnation: current }
        }
    }

    /// When this incarnation became a membership.
    fn since(&self, incarnation: u32) -> Option<Order> {
        let (asked, accepted) = (self.asked.get(&incarnation)?, self.accepted.get(&incarnation)?);
        Some(asked.0.max(accepted.0))
    }
}

impl Roster {
    pub(super) fn settle(scene: &Scene<'_>, tenure: &Tenure, admins: &Admins, invites: &Invites) -> Self {
        let mut roster = Self {
            members: BTreeMap::new(),
            requests: Vec::new(),
            standings: BTreeMap::new(),
            put_out: BTreeMap::new(),
        };
        let dossiers = collect(scene, tenure, admins, invites, &mut roster.put_out);
        let mut waiting: Vec<(Rank, Request)> = Vec::new();
        let ended = tenure.ended_by().is_some();
        for (user, dossier) in &dossiers {
            let standing = match dossier.standing() {
                Standing::Requested { incarnation } | Standing::Member { incarnation } if ended => {
                    Standing::Left { incarnation }
                }
                standing => standing,
            };
            if standing == NEVER_SEEN {
                // Said nothing that counts, and nothing that counts was said about them.
                continue;
            }
            roster.standings.insert(*user, standing);
            match standing {
                Standing::Member { incarnation } => {
                    let since = dossier.since(incarnation).unwrap_or(tenure.last().since.0);
                    roster.members.insert(*user, Member { incarnation, since });
                }
                Standing::Requested { incarnation } => {
                    if let Some(rank) = dossier.asked.get(&incarnation) {
                        waiting.push((*rank, Request { user: *user, incarnation, order: rank.0 }));
                    }
                }
                _ => {}
            }
        }
        waiting.sort_by_key(|(rank, _)| *rank);
        roster.requests = waiting.into_iter().map(|(_, request)| request).collect();
        if !ended {
            roster.seat_owner(tenure, &dossiers);
        }
        roster
    }

    /// The current owner is a member whatever else is said about them.
    fn seat_owner(&mut self, tenure: &Tenure, dossiers: &BTreeMap<UserId, Dossier>) {
        let term = tenure.last();
        let joined = dossiers.get(&term.owner).and_then(|dossier| dossier.since(term.incarnation));
        let member = Member { incarnation: term.incarnation, since: joined.unwrap_or(term.since.0) };
        self.members.insert(term.owner, member);
        self.standings.insert(term.owner, Standing::Member { incarnation: term.incarnation });
        self.requests.retain(|request| request.user != term.owner);
    }
}

fn collect(
    scene: &Scene<'_>,
    tenure: &Tenure,
    admins: &Admins,
    invites: &Invites,
    put_out: &mut BTreeMap<UserId, Rank>,
) -> BTreeMap<UserId, Dossier> {
    let mut dossiers: BTreeMap<UserId, Dossier> = BTreeMap::new();
    for act in &scene.signed {
        let (author, rank) = (act.fact.record.author(), act.fact.rank());
        match act.fact.record.body() {
            Body::JoinRequest { incarnation } if act.cut.is_none() => {
                dossiers.entry(author).or_default().asked.entry(*incarnation).or_insert(rank);
            }
            Body::Leave { .. } if tenure.is_taken_back(&act.fact.record.id()) => {}
            Body::Leave { incarnation } if act.cut.is_none() => {
                let left = &mut dossiers.entry(author).or_default().left;
                *left = Some(*incarnation).max(*left);
            }
            _ => {
                let Some(Ok(ruling)) = ruling(scene, tenure, admins, act) else { continue };
                let dossier = dossiers.entry(ruling.user).or_default();
                let incarnation = ruling.incarnation;
                if ruling.verdict != Verdict::Accept {
                    // In order, so the last one stays.
                    put_out.insert(ruling.user, rank);
                }
                match ruling.verdict {
                    Verdict::Accept => {
                        dossier.accepted.entry(incarnation).or_insert(rank);
                    }
                    Verdict::Reject => dossier.rejected = Some(incarnation).max(dossier.rejected),
                    Verdict::Kick => dossier.kicked = Some(incarnation).max(dossier.kicked),
                }
            }
        }
    }
    for redeemed in &invites.redeemed {
        if put_out.get(&redeemed.user).is_none_or(|out| *out < redeemed.invited) {
            let accepted = &mut dossiers.entry(redeemed.user).or_default().accepted;
            let since = accepted.entry(redeemed.incarnation).or_insert(redeemed.rank);
            *since = redeemed.rank.min(*since);
        }
    }
    let past = tenure.terms().count() - usize::from(tenure.ended_by().is_none());
    for term in tenure.terms().take(past) {
        let dossier = dossiers.entry(term.owner).or_default();
        if term.end.as_ref().is_some_and(|end| end.stays) {
            // As if they had asked and been accepted when they took office.
            dossier.asked.entry(term.incarnation).or_insert(term.since);
            dossier.accepted.entry(term.incarnation).or_insert(term.since);
        } else {
            dossier.past_term = Some(term.incarnation).max(dossier.past_term);
        }
    }
    dossiers
}

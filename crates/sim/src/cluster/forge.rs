//! What people try who may not: strangers, compromised devices of members, devices after their revocation.
//!
//! Nobody here has a tracker: the records go to one like anybody's. Honest trackers refuse what their view does not
//! authorise; what a lagging or lax one takes gets into the facts, and must come to nothing in the views.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, GroupView, Record, RecordFault};
use peerage_types::{GroupId, RecordId, Scope, UserId};

use super::acts::manifest;
use super::person::{CLUSTER, public};
use super::submission::{Sender, Submission};
use super::world::World;
use super::{Broken, Rule};

/// A term or incarnation out of the air is this far off at most.
const OFF_MAX: u64 = 3;

impl World {
    /// Somebody tries something forbidden in some group, on some tracker.
    pub(super) fn forge(&mut self) -> Result<(), Broken> {
        let lax = |at: &usize| self.nodes[*at].lax && self.nodes[*at].run.is_some();
        let node = match (0..self.nodes.len()).find(lax) {
            Some(lax) if self.rng.chance(85) => lax,
            _ => self.any_node(),
        };
        if self.nodes[node].run.is_none() {
            return Ok(());
        }
        let Some(group) = self.rng.pick(&self.groups).copied() else { return Ok(()) };
        let Some(view) = self.group_at(node, group) else { return Ok(()) };
        let person = match self.rng.chance(60) {
            true => self.people.len() - 1,
            false => self.rng.between(0, self.people.len() as u64 - 1) as usize,
        };
        if self.rng.chance(8) {
            return self.foreign_account(person);
        }
        let user = self.people[person].user;
        // Who may do all that is no forger.
        if view.is_owner(&user) && view.ended_by.is_none() {
            return self.past_term(node, person, group, &view);
        }
        let key = self.forging_key(node, person);
        let bodies = self.forbidden(user, &view)?;
        self.smuggle(node, person, user, group, &key, bodies)
    }

    /// A device of this person, at times one that is revoked or that nobody certified.
    fn forging_key(&mut self, node: usize, person: usize) -> SigningKey {
        let revoked = self.account_at(node, self.people[person].user).and_then(|account| {
            let keys = &self.people[person].devices;
            keys.iter().find(|key| account.devices.get(&public(key)).is_some_and(|d| d.revoked.is_some()))
        });
        match self.rng.between(0, 9) {
            0 => self.people[person].identity.clone(),
            1..6 if revoked.is_some() => revoked.cloned().unwrap_or(self.people[person].identity.clone()),
            _ => {
                let keys = self.people[person].devices.clone();
                self.rng.pick(&keys).cloned().unwrap_or(self.people[person].identity.clone())
            }
        }
    }

    /// Something that this person must not do, in this group as it looks there.
    fn forbidden(&mut self, user: UserId, view: &GroupView) -> Result<Vec<Body>, Broken> {
        let off = self.rng.between(0, OFF_MAX) as u32;
        let epoch = if self.rng.chance(70) { view.epoch } else { view.epoch.saturating_add(off) };
        // A grant that does not exist, or that was made for somebody else.
        let foreign =
            view.admins.iter().find(|(admin, _)| **admin != user).and_then(|(_, a)| a.grants.first());
        let grant = match self.rng.between(0, 7) {
            0 => Some(RecordId(self.rng.bytes())),
            1 | 2 => foreign.copied(),
            _ => None,
        };
        let friend = self.rng.pick(&view.requests).map_or(user, |request| request.user);
        let asked = view.requests.iter().find(|r| r.user == friend).map_or(1, |request| request.incarnation);
        let owner_incarnation = view.members.get(&view.owner).map_or(0, |member| member.incarnation);
        let someone =
            self.rng.pick(&view.members.iter().collect::<Vec<_>>()).map(|(user, m)| (**user, m.incarnation));
        let (member, incarnation) = someone.unwrap_or((view.owner, owner_incarnation));
        Ok(match self.rng.between(0, 9) {
            0 => vec![Body::Accept { user: friend, incarnation: asked, epoch, grant }],
            // To let oneself in takes both.
            1 => {
                let incarnation = view.next_incarnation(&user);
                vec![Body::JoinRequest { incarnation }, Body::Accept { user, incarnation, epoch, grant }]
            }
            2 => vec![Body::Kick { user: view.owner, incarnation: owner_incarnation + off, epoch, grant }],
            3 => vec![Body::Kick { user: member, incarnation, epoch, grant }],
            4 => {
                let name = "forged.bin".parse().map_err(|e| format!("{e}"))?;
                let wrong = view.members.get(&user).map_or(off, |member| member.incarnation + 1 + off);
                let share = Body::Share { manifest: RecordId([0; 32]), incarnation: wrong };
                vec![manifest(name, 9), share]
            }
            5 => vec![Body::Close { epoch }],
            6 => vec![Body::Handover { epoch, heirs: vec![(user, off)], heads: Vec::new(), stays: true }],
            7 => vec![Body::AdminGrant {
                user,
                incarnation: view.next_incarnation(&user).saturating_sub(1),
                epoch,
            }],
            8 => {
                let grant = foreign.copied().unwrap_or(RecordId(self.rng.bytes()));
                vec![Body::AdminRevoke { grant, heads: Vec::new(), epoch }]
            }
            _ => vec![Body::Reject { user: friend, incarnation: asked, epoch, grant }],
        })
    }

    /// The owner acts in a term that is not theirs: one to come.
    fn past_term(
        &mut self,
        node: usize,
        person: usize,
        group: GroupId,
        view: &GroupView,
    ) -> Result<(), Broken> {
        let Some(request) = self.rng.pick(&view.requests).copied() else { return Ok(()) };
        let epoch = view.epoch + 1 + self.rng.between(0, OFF_MAX) as u32;
        let accept =
            Body::Accept { user: request.user, incarnation: request.incarnation, epoch, grant: None };
        let key = self.forging_key(node, person);
        let user = self.people[person].user;
        self.smuggle(node, person, user, group, &key, vec![accept])
    }

    fn smuggle(
        &mut self,
        node: usize,
        person: usize,
        author: UserId,
        group: GroupId,
        key: &SigningKey,
        bodies: Vec<Body>,
    ) -> Result<(), Broken> {
        let scope = Scope::Group(group);
        let mut prev = self.people[person].head(key, scope);
        let mut records: Vec<Arc<Record>> = Vec::new();
        for mut body in bodies {
            if let (Body::Share { manifest, .. }, Some(described)) = (&mut body, records.last()) {
                *manifest = described.id();
            }
            let asks = matches!(body, Body::JoinRequest { .. });
            let record = Arc::new(Record::sign(Draft { cluster: CLUSTER, scope, author, prev, body }, key));
            prev = Some(record.id());
            if self.people[person].stranger && !asks {
                self.forged.insert(record.id());
            }
            self.report.forged += 1;
            records.push(record);
        }
        let submission = Submission::new(Sender::Forger, node, records);
        self.trace.add("forge", &[self.now.0, node as u64, person as u64]);
        self.requested(submission)
    }

    /// A device for somebody else's account: not even a record.
    fn foreign_account(&mut self, person: usize) -> Result<(), Broken> {
        let victim = self.people[(person + 1) % self.people.len()].user;
        let key = self.people[person].identity.clone();
        let body = Body::DeviceCert { device: public(&key), label: "mine".to_owned() };
        let draft =
            Draft { cluster: CLUSTER, scope: Scope::Account(victim), author: victim, prev: None, body };
        let forged = Record::sign(draft, &key);
        self.report.forged += 1;
        match Record::decode(forged.bytes(), &CLUSTER) {
            Err(RecordFault::NotByIdentity { .. }) => Ok(()),
            other => Rule::Authority.broken(format!("a foreign device certificate gave {other:?}")),
        }
    }
}

//! The healed phase: everything must finish, and everything is looked at once more as a whole.

use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_replica::{Input, Ticket};
use peerage_types::{Scope, Time, UserId};

use super::checks::Checks;
use super::person::{CLUSTER, public};
use super::submission::{Sender, Submission};
use super::views;
use super::world::World;
use super::{Broken, Rule};

/// Healing may take as long as the slowest timers need several times over.
const HEAL_MS_MAX: u64 = 180_000;
/// Healed, the last failure is noticed within 3 s, the last lost pull within 5 s, and pulled again a second later.
const RECOVER_MS: u64 = 10_000;
/// So many rounds of comparisons repair everything that can be repaired.
const ROUNDS_MAX: usize = 2;

impl World {
    pub(super) fn healed(&mut self) -> Result<(), Broken> {
        self.settle()?;
        // Alive is more than equal: once everybody has heard from everybody, a write reaches all at once.
        self.rest(RECOVER_MS)?;
        self.repair()?;
        for node in self.members() {
            self.probe(node)?;
        }
        self.settle()?;
        Checks::equal(&self.nodes)?;
        self.checks.kept(&self.nodes)?;
        for at in self.members() {
            self.checks.claims_what_it_has(at, self.nodes[at].disk.image())?;
        }
        views::names_agree(&mut self.nodes)?;
        for at in 0..self.nodes.len() {
            self.look_at_all(at)?;
        }
        self.everybody_can_log_in()
    }

    /// Each tracker compares itself with all others, as often as it may take.
    fn repair(&mut self) -> Result<(), Broken> {
        for _ in 0..ROUNDS_MAX {
            for at in self.members() {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.handle(at, Input::CompareNow { ticket: Some(ticket), damaged: Vec::new() })?;
                let deadline = Time(self.now.0 + HEAL_MS_MAX);
                while !self.rounds.contains(&ticket) {
                    if self.now > deadline {
                        return Rule::Liveness
                            .broken(format!("healed, yet tracker {at} does not finish a comparison"));
                    }
                    self.rest(100)?;
                }
            }
        }
        self.settle()?;
        Checks::equal(&self.nodes)
    }

    /// Lets time pass until all vectors are equal, nobody waits and all outboxes are empty.
    pub(super) fn settle(&mut self) -> Result<(), Broken> {
        let deadline = Time(self.now.0 + HEAL_MS_MAX);
        loop {
            let idle = self.waiting.is_empty() && self.people.iter().all(|person| person.outbox.is_empty());
            if idle && Checks::converged(&self.nodes) {
                return Ok(());
            }
            if self.now > deadline {
                let roots: Vec<_> = self.nodes.iter().map(|node| node.disk.image().root()).collect();
                let boxes: Vec<_> = self.people.iter().map(|person| person.outbox.len()).collect();
                return Rule::Liveness.broken(format!(
                    "healed for {HEAL_MS_MAX} ms, yet not done: digests {roots:?}, outboxes {boxes:?}, waiting {}",
                    self.waiting.len()
                ));
            }
            self.rest(100)?;
        }
    }

    /// The next write at a tracker is durable on all.
    fn probe(&mut self, node: usize) -> Result<(), Broken> {
        let key = SigningKey::from_bytes(&self.rng.bytes());
        let identity = public(&key);
        let author = UserId::of_identity(&identity);
        let body = Body::AccountGenesis { identity };
        let draft = Draft { cluster: CLUSTER, scope: Scope::Account(author), author, prev: None, body };
        let records = vec![Record::sign(draft, &key).into()];
        self.probed = None;
        let submission = Submission::new(Sender::Probe, node, records);
        self.requested(submission)?;
        let deadline = Time(self.now.0 + HEAL_MS_MAX);
        while self.probed.is_none() && self.now < deadline {
            self.rest(100)?;
        }
        match self.probed {
            Some(durable_on) if durable_on as usize == self.members().len() => Ok(()),
            answer => Rule::Liveness.broken(format!("healed, yet tracker {node} answered {answer:?}")),
        }
    }

    /// Settles every scope from the disk, and judges it anew.
    fn look_at_all(&mut self, at: usize) -> Result<(), Broken> {
        let first = self.members().first().copied();
        let node = &mut self.nodes[at];
        let image = node.disk.image();
        let Some(run) = &mut node.run else { return Ok(()) };
        let scopes: Vec<Scope> = image.scopes().copied().collect();
        self.views.applied(at, &mut run.serving, image, &scopes)?;
        // One that left has nothing to show.
        if first == Some(at) {
            let strangers = self.people.iter().filter(|p| p.stranger).map(|p| p.user).collect();
            for group in &self.founded {
                let forged = |id: &_| self.forged.contains(id);
                self.report.forged_inert +=
                    views::without_effect(&mut run.serving, image, *group, &strangers, forged)?;
            }
        }
        Ok(())
    }

    /// Whoever lost a name goes on as `name#tag`: each account is complete, and what people type leads to it.
    pub(super) fn everybody_can_log_in(&mut self) -> Result<(), Broken> {
        // Nobody mends the disk of a tracker that has left.
        for at in self.members() {
            for person in 0..self.people.len() {
                let Some(view) = self.account_at(at, self.people[person].user) else { continue };
                let Some(claim) = view.names.first() else { continue };
                let name = &claim.name;
                // What the last disk that had it lost is nowhere, although some still remember it.
                let held = |at: &usize| self.nodes[*at].disk.image().get(&claim.record).is_some();
                if self.checks.is_harmed() && !self.members().iter().any(held) {
                    continue;
                }
                // A bundle may be torn when the only disk that has it dies before everything was passed on.
                let lost = self.nodes.iter().any(|node| node.disk.generation + node.disk.harmed > 0);
                if lost && (view.auth.is_none() || view.devices.is_empty()) {
                    continue;
                }
                let (node, person) = (&self.nodes[at], &self.people[person]);
                let (image, Some(run)) = (node.disk.image(), &node.run) else { continue };
                if view.auth.is_none() || view.devices.is_empty() {
                    return Rule::OneWinner
                        .broken(format!("{:?} is incomplete on tracker {at}", person.user));
                }
                // Without a tag the winner, with a tag the one claimant whose id has it.
                let winner = run.serving.user_named(&name.folded(), image).map(|winner| winner.user);
                let claims = image.user_claims(&name.folded());
                let tagged = claims.iter().filter(|claim| claim.user.tag() == person.user.tag());
                let users: std::collections::BTreeSet<_> = tagged.map(|claim| claim.user).collect();
                if winner.is_none() || users.len() != 1 || !users.contains(&person.user) {
                    return Rule::OneWinner.broken(format!(
                        "nobody finds {:?} as `{}` on tracker {at}: winner {winner:?}, by tag {users:?} of {claims:?}",
                        person.user,
                        name.as_str()
                    ));
                }
            }
        }
        Ok(())
    }
}

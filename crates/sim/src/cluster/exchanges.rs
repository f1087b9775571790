//! The shell's part in comparisons and snapshots: questions to disks, the own and others', and what came of them.

use peerage_replica::{
    Ask, Comparison, ExchangeId, Input, LogRow, Outcome, PeerId, Ticket, Told, VerifiedRow,
};
use peerage_types::Scope;

use super::event::Event;
use super::network::{Body, Message};
use super::shell::READ_MS_MAX;
use super::world::World;
use super::{Broken, Rule, Sabotage};

impl World {
    /// A question sets out.
    pub(super) fn asks(&mut self, at: usize, peer: PeerId, ask: &Ask) {
        if *ask == Ask::Snapshot(0) {
            self.report.snapshots_begun += 1;
            self.trace.add("snapshot", &[self.now.0, at as u64, peer.0.into()]);
        }
    }

    /// Another tracker's question arrives. Whoever is told to compare itself does so soon.
    pub(super) fn asked(
        &mut self,
        at: usize,
        asker: usize,
        asker_life: u64,
        exchange: ExchangeId,
        ask: Ask,
    ) -> Result<(), Broken> {
        let life = self.nodes[at].life;
        if ask == Ask::Compare {
            self.handle(at, Input::CompareNow { ticket: None, damaged: Vec::new() })?;
        }
        let delay = self.rng.between(0, READ_MS_MAX);
        self.schedule(delay, Event::Answered { node: at, life, asker, asker_life, exchange, ask });
        Ok(())
    }

    /// The disk has read what another tracker asked.
    pub(super) fn answers(&mut self, at: usize, to: usize, life: u64, exchange: ExchangeId, ask: &Ask) {
        let told = self.nodes[at].answer(ask, &self.cluster.pages);
        self.trace.note(|| format!("{at} tells {to} {}", outline(&told)));
        self.send(Message { from: at, to, life, body: Body::Told { exchange, told } });
    }

    /// The disk has read what its own tracker asked.
    pub(super) fn looked(&mut self, at: usize, exchange: ExchangeId, ask: &Ask) -> Result<(), Broken> {
        let told = self.nodes[at].answer(ask, &self.cluster.pages);
        self.handle(at, Input::Looked { exchange, told: Some(told) })
    }

    /// One step of making digests true. What it says is true from then on, until something is harmed again.
    pub(super) fn scrubbed(
        &mut self,
        at: usize,
        exchange: ExchangeId,
        after: Option<&Scope>,
    ) -> Result<(), Broken> {
        let disk = &mut self.nodes[at].disk;
        let (step, through) = disk.image().scrub_step(after, &self.cluster.pages);
        let lies = disk.image().lie(step.iter().copied()).is_some();
        if lies && disk.full {
            return self.handle(at, Input::Scrubbed { exchange, found: None });
        }
        let mut corrected = 0;
        if lies && self.options.sabotage != Some(Sabotage::CarriedDigest) {
            corrected = step.iter().filter(|scope| disk.image_mut().mend(scope)).count() as u64;
        }
        if lies && let Some(scope) = disk.image().lie(step.iter().copied()) {
            return Rule::Repair
                .broken(format!("tracker {at} vouches for records in {scope:?} that it cannot read"));
        }
        let next = step.last().filter(|_| !through).copied();
        self.handle(at, Input::Scrubbed { exchange, found: Some((next, corrected)) })
    }

    /// A round of comparisons is over.
    pub(super) fn compared(&mut self, at: usize, tickets: &[Ticket], corrected: u64, peers: &[Comparison]) {
        self.report.corrected += corrected;
        for Comparison { peer, outcome } in peers {
            let numbers = match outcome {
                Outcome::Equal => [1, 0],
                Outcome::Differed { repaired, lacks } => {
                    self.report.differed += 1;
                    self.report.repaired += repaired;
                    [*repaired, *lacks]
                }
                Outcome::Failed(_) => {
                    self.report.comparisons_failed += 1;
                    continue;
                }
            };
            self.report.comparisons += 1;
            let [repaired, lacks] = numbers;
            self.trace.add("compared", &[self.now.0, at as u64, peer.0.into(), repaired, lacks]);
        }
        self.rounds.extend(tickets);
    }

    /// Verifies the rows of an answer as a tracker's shell does.
    pub(super) fn verify_told(&mut self, told: Told<LogRow>) -> Result<Told<VerifiedRow>, Broken> {
        told.try_map(|row| self.verify_row(row))
    }
}

fn outline(told: &Told) -> String {
    match told {
        Told::Root(digest) => format!("root {digest:?}"),
        Told::Scopes(page, more) => format!("{} scopes, more: {more}", page.len()),
        Told::Facts(page, more) => format!("{} facts, more: {more}", page.len()),
        Told::Rows(rows) => format!("{} rows", rows.len()),
        Told::Snapshot { rows, next, vector, .. } => {
            format!("a page of {} rows, then {next:?}, at {vector:?}", rows.len())
        }
        Told::Noted => "noted".to_owned(),
    }
}

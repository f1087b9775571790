//! The world: who and what is there, the queue of what happens when, and the two phases of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_ledger::{Origin, Record};
use peerage_replica::{Ticket, VerifiedRow};
use peerage_types::{GroupId, RecordId, Time};

use super::checks::Checks;
use super::event::Event;
use super::network::Network;
use super::node::{Cluster, Node};
use super::person::Person;
use super::submission::Submission;
use super::views::ViewChecks;
use super::{Broken, Options, Report, Rule, Sabotage, Violation};
use crate::rng::Rng;
use crate::trace::Trace;

/// More than this between two operations, and something goes in circles.
const EVENTS_PER_REST_MAX: u64 = 200_000;
/// Most trackers in one list.
pub(super) const TRACKERS_MAX: u64 = 7;

pub(crate) struct World {
    pub(super) options: Options,
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    pub(super) now: Time,
    events: BTreeMap<(Time, u64), Event>,
    scheduled: u64,
    pub(super) cluster: Cluster,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) people: Vec<Person>,
    /// Groups that people may act in, oldest first.
    pub(super) groups: Vec<GroupId>,
    /// Every group ever founded.
    pub(super) founded: BTreeSet<GroupId>,
    /// What strangers signed inside groups.
    pub(super) forged: BTreeSet<RecordId>,
    pub(super) waiting: BTreeMap<Ticket, Submission>,
    pub(super) tickets: u64,
    /// Trackers at which lanes became free.
    pub(super) released: BTreeSet<usize>,
    pub(super) checks: Checks,
    pub(super) views: ViewChecks,
    pub(super) report: Report,
    /// Rows by place, verified before or made by their origin's own replica: the same bytes have the same signatures.
    pub(super) verified: BTreeMap<(Origin, u64), VerifiedRow>,
    /// Records by their bytes, verified before or signed by a client here.
    pub(super) decoded: BTreeMap<Arc<[u8]>, Arc<Record>>,
    /// Counts what is verified anew now and then although it need not be.
    pub(super) samples: u64,
    /// Disks lose and flip what is on them.
    pub(super) harmful: bool,
    /// Rounds of comparisons that somebody waited for and that are over.
    pub(super) rounds: BTreeSet<Ticket>,
    /// The answer to the last probe.
    pub(super) probed: Option<u32>,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let mut rng = Rng::new(options.seed);
        let trackers = rng.between(1, TRACKERS_MAX) as usize;
        let people = rng.between(4, 14) as usize;
        let mut world = Self::with(options, rng, trackers);
        for at in 0..=people {
            let home = world.any_node();
            // The last one is nobody's friend.
            world.people.push(Person::new(&mut world.rng, at == people, home));
        }
        // Views with these bugs are judged by what the disk holds.
        let by_disk = matches!(options.sabotage, Some(Sabotage::ForgottenKick | Sabotage::ArrivalOrder));
        world.harmful = world.rng.chance(50) && !by_disk;
        if world.rng.chance(60) {
            let at = world.any_node();
            world.nodes[at].lax = true;
        }
        world
    }

    /// A world without people.
    pub(super) fn with(options: Options, mut rng: Rng, trackers: usize) -> Self {
        let cluster = Cluster::new(options.sabotage, &mut rng);
        let others = |at| (0..trackers).filter(|other| *other != at).collect();
        let nodes = (0..trackers).map(|at| Node::new(&mut rng, others(at))).collect();
        let network = Network::new(&mut rng);
        Self {
            options,
            trace: Trace::new(options.lines),
            now: Time(0),
            events: BTreeMap::new(),
            scheduled: 0,
            cluster,
            nodes,
            network,
            people: Vec::new(),
            groups: Vec::new(),
            founded: BTreeSet::new(),
            forged: BTreeSet::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            released: BTreeSet::new(),
            checks: Checks::default(),
            views: ViewChecks::default(),
            report: Report { seed: options.seed, trackers, ..Report::default() },
            verified: BTreeMap::new(),
            decoded: BTreeMap::new(),
            samples: 0,
            harmful: false,
            rounds: BTreeSet::new(),
            probed: None,
            rng,
        }
    }

    pub(crate) fn run(mut self, operations: u32) -> (Result<Report, Violation>, Vec<String>) {
        let result = self.live(operations);
        self.finish(result)
    }

    pub(super) fn finish(mut self, result: Result<(), Broken>) -> (Result<Report, Violation>, Vec<String>) {
        let lines = self.trace.take_lines();
        let result = match result {
            Ok(()) => Ok(Report {
                elapsed: self.now,
                rows: self.nodes.iter().map(|node| node.disk.image().rows()).max().unwrap_or(0),
                judged: self.views.judged,
                compared: self.views.compared,
                trace: self.trace.hash(),
                ..self.report
            }),
            Err(Broken { rule, what }) => {
                Err(Violation { seed: self.options.seed, at: self.now, rule, what })
            }
        };
        (result, lines)
    }

    fn live(&mut self, operations: u32) -> Result<(), Broken> {
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for _ in 0..operations {
            let pause = self.rng.between(1, 160);
            self.rest(pause)?;
            self.operate()?;
        }
        self.heal()?;
        self.healed()
    }

    /// Handles what happens in the next `ms` milliseconds.
    pub(super) fn rest(&mut self, ms: u64) -> Result<(), Broken> {
        self.schedule(ms, Event::Rested);
        for _ in 0..EVENTS_PER_REST_MAX {
            let Some(((at, _), event)) = self.events.pop_first() else { break };
            self.now = self.now.max(at);
            self.report.events += 1;
            if matches!(event, Event::Rested) {
                return Checks::prompt(self.now, self.waiting.values());
            }
            self.event(event)?;
            while let Some(node) = self.released.pop_first() {
                self.admit_queued(node)?;
            }
        }
        Rule::Liveness
            .broken(format!("{EVENTS_PER_REST_MAX} events in less than {ms} ms: something goes in circles"))
    }

    /// Trackers that did not leave for good.
    pub(super) fn members(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| !self.nodes[*at].retired).collect()
    }

    pub(super) fn any_node(&mut self) -> usize {
        let members = self.members();
        self.rng.pick(&members).copied().unwrap_or(0)
    }

    pub(super) fn schedule(&mut self, in_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((Time(self.now.0 + in_ms), self.scheduled), event);
    }

    pub(super) fn runs(&self, node: usize, life: u64) -> bool {
        self.nodes[node].run.is_some() && self.nodes[node].life == life
    }

    fn event(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Arrive(message) => self.arrive(message),
            Event::Fail(failure) if self.runs(failure.node, failure.life) => self.failed(failure),
            Event::Written { node, life, batch } if self.runs(node, life) => self.written(node, batch),
            Event::Synced { node, life, batch } if self.runs(node, life) => self.synced(node, batch),
            Event::Persisted { node, life, batch } if self.runs(node, life) => self.persisted(node, batch),
            Event::Loaded { node, life, reply, after, limit_rows, limit_bytes } if self.runs(node, life) => {
                self.loaded(node, reply, &after, limit_rows, limit_bytes)
            }
            Event::Scrubbed { node, life, exchange, after } if self.runs(node, life) => {
                self.scrubbed(node, exchange, after.as_ref())
            }
            Event::Looked { node, life, exchange, ask } if self.runs(node, life) => {
                self.looked(node, exchange, &ask)
            }
            Event::Answered { node, life, asker, asker_life, exchange, ask } if self.runs(node, life) => {
                self.answers(node, asker, asker_life, exchange, &ask);
                Ok(())
            }
            Event::Wake { node, life } if self.runs(node, life) => self.woken(node),
            Event::Request(submission) => self.requested(submission),
            Event::Reply { person, attempt, answer } => {
                self.replied(person, attempt, &answer);
                Ok(())
            }
            Event::Patience { person, attempt } => {
                self.out_of_patience(person, attempt);
                Ok(())
            }
            Event::Send { person } => self.send_bundle(person),
            Event::Fail(_)
            | Event::Written { .. }
            | Event::Synced { .. }
            | Event::Persisted { .. }
            | Event::Loaded { .. }
            | Event::Scrubbed { .. }
            | Event::Looked { .. }
            | Event::Answered { .. }
            | Event::Wake { .. }
            | Event::Rested => Ok(()),
        }
    }
}

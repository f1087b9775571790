//! The event loop: a queue of what happens when, and the shells of all trackers around their replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerage_ledger::Record;
use peerage_replica::{BatchId, Input, LogRow, Output, ReplyId, Vector, VerifiedRow};
use peerage_types::{PublicKey, Time};

use super::checks::{Broken, Checks};
use super::client::{CLUSTER, Clients, Submission};
use super::network::{Body, Failure, Fate, Message, Network};
use super::node::{Call, CallKind, Cluster, Commit, Node, offset, peer_id};
use super::{Report, Violation};
use crate::rng::Rng;
use crate::trace::Trace;

/// More than this between two operations, and something goes in circles.
const EVENTS_PER_REST_MAX: u64 = 20_000;
/// Healing may take as long as the slowest timers need several times over.
const HEAL_MS_MAX: u64 = 120_000;
/// Healed, the last failure is noticed within 3 s, the last lost pull within 5 s, and pulled again a second later.
const RECOVER_MS: u64 = 10_000;

#[derive(Debug)]
enum Event {
    Arrive(Message),
    Fail(Failure),
    /// A batch is on the disk.
    Written {
        node: usize,
        life: u64,
        batch: BatchId,
    },
    /// The replica hears that it is.
    Persisted {
        node: usize,
        life: u64,
        batch: BatchId,
    },
    /// The store read what a pull asked for.
    Loaded {
        node: usize,
        life: u64,
        reply: ReplyId,
        after: Vector,
        limit_rows: usize,
        limit_bytes: usize,
    },
    Wake {
        node: usize,
        life: u64,
    },
    /// The end of a pause between operations.
    Rested,
}

pub(crate) struct World {
    seed: u64,
    rng: Rng,
    trace: Trace,
    now: Time,
    events: BTreeMap<(Time, u64), Event>,
    scheduled: u64,
    handled: u64,
    cluster: Cluster,
    cluster_key: PublicKey,
    nodes: Vec<Node>,
    network: Network,
    clients: Clients,
    checks: Checks,
    crashes: u64,
    /// Rows verified before: the same bytes have the same signatures.
    verified: BTreeMap<Vec<u8>, VerifiedRow>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let cluster = Cluster::new(&mut rng);
        let nodes = (0..cluster.trackers).map(|_| Node::new(&mut rng)).collect();
        let network = Network::new(&mut rng);
        Self {
            seed,
            trace: Trace::new(),
            now: Time(0),
            events: BTreeMap::new(),
            scheduled: 0,
            handled: 0,
            cluster_key: PublicKey(cluster.key.verifying_key().to_bytes()),
            cluster,
            nodes,
            network,
            clients: Clients::default(),
            checks: Checks::default(),
            crashes: 0,
            verified: BTreeMap::new(),
            rng,
        }
    }

    pub(crate) fn run(mut self, operations: u32) -> Result<Report, Violation> {
        match self.live(operations) {
            Ok(()) => Ok(Report {
                seed: self.seed,
                trackers: self.nodes.len(),
                events: self.handled,
                elapsed: self.now,
                bundles: self.clients.bundles.len(),
                answers: self.clients.answers,
                rows: self.nodes.first().map_or(0, |node| node.disk.rows()),
                crashes: self.crashes,
                trace: self.trace.hash(),
            }),
            Err(what) => Err(Violation { seed: self.seed, at: self.now, what }),
        }
    }

    fn live(&mut self, operations: u32) -> Result<(), Broken> {
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for _ in 0..operations {
            let pause = self.rng.between(1, 300);
            self.rest(pause)?;
            self.operate()?;
        }
        self.heal()?;
        self.settle()?;
        // Alive is more than equal: once everybody has heard from everybody, a write reaches all at once.
        self.rest(RECOVER_MS)?;
        for node in 0..self.nodes.len() {
            let bundle = self.clients.create(&mut self.rng);
            self.submit(node, bundle)?;
            self.settle()?;
            let durable_on = self.clients.bundles[bundle].durable_on as usize;
            if durable_on != self.nodes.len() {
                return Err(format!("healed, yet tracker {node} answered {durable_on}"));
            }
        }
        Checks::kept(&self.nodes, &self.clients.bundles)
    }

    /// Handles what happens in the next `ms` milliseconds.
    fn rest(&mut self, ms: u64) -> Result<(), Broken> {
        self.schedule(ms, Event::Rested);
        for _ in 0..EVENTS_PER_REST_MAX {
            let Some(((at, _), event)) = self.events.pop_first() else { break };
            self.now = self.now.max(at);
            self.handled += 1;
            if matches!(event, Event::Rested) {
                return Ok(());
            }
            self.event(event)?;
            Checks::prompt(self.now, self.clients.waiting.values())?;
        }
        Err(format!("{EVENTS_PER_REST_MAX} events in less than {ms} ms: something goes in circles"))
    }

    /// Lets time pass until all logs are equal and nobody waits.
    fn settle(&mut self) -> Result<(), Broken> {
        let deadline = Time(self.now.0 + HEAL_MS_MAX);
        while !(self.clients.waiting.is_empty() && Checks::converged(&self.nodes)) {
            self.rest(100)?;
            if self.now > deadline {
                let states = self.nodes.iter().map(|node| node.disk.vector().len()).collect::<Vec<_>>();
                return Err(format!(
                    "healed for {HEAL_MS_MAX} ms, yet not equal (origins known: {states:?})"
                ));
            }
        }
        Ok(())
    }

    fn operate(&mut self) -> Result<(), Broken> {
        let (n, m) = (self.any_node(), self.any_node());
        let what = self.rng.between(0, 99);
        self.trace.add("operate", &[self.now.0, what, n as u64, m as u64]);
        match what {
            0..60 => {
                let bundle = self.clients.create(&mut self.rng);
                self.submit(n, bundle)?;
                // A client that lost patience asks two trackers at once.
                if self.rng.chance(10) {
                    self.submit(m, bundle)?;
                }
            }
            60..72 => {
                if let Some(bundle) = self.clients.unfinished(&mut self.rng, self.nodes.len()) {
                    self.submit(n, bundle)?;
                }
            }
            72..76 => self.crash(n)?,
            76..86 => self.start(n)?,
            86..89 => self.network.block(n, m),
            89..92 => self.network.unblock_one(&mut self.rng),
            92..94 => self.network.clog(n, m),
            94..96 => {
                let held = self.network.unclog_one(&mut self.rng);
                self.release(held);
            }
            96 => {
                self.crash(n)?;
                self.nodes[n].wipe(&mut self.rng);
            }
            97 => self.nodes[n].commit_ms_max = *self.rng.pick(&[1, 20, 300, 3_000]).unwrap_or(&20),
            98 => self.nodes[n].clock_offset_ms = offset(&mut self.rng, 900_000),
            _ => {
                for node in 0..self.nodes.len() {
                    self.crash(node)?;
                }
            }
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<(), Broken> {
        self.trace.add("heal", &[self.now.0]);
        let held = self.network.heal();
        self.release(held);
        for node in 0..self.nodes.len() {
            self.nodes[node].commit_ms_max = 20;
            self.start(node)?;
        }
        Ok(())
    }

    fn any_node(&mut self) -> usize {
        self.rng.between(0, self.nodes.len() as u64 - 1) as usize
    }

    fn schedule(&mut self, in_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((Time(self.now.0 + in_ms), self.scheduled), event);
    }

    fn start(&mut self, at: usize) -> Result<(), Broken> {
        if self.nodes[at].run.is_some() {
            return Ok(());
        }
        self.trace.add("start", &[at as u64]);
        self.nodes[at].start(&self.cluster, at, &mut self.rng, self.now);
        self.pump(at)
    }

    /// The process ends. Of what was under way to the disk, some may have got there.
    fn crash(&mut self, at: usize) -> Result<(), Broken> {
        let Some(run) = &mut self.nodes[at].run else { return Ok(()) };
        self.crashes += 1;
        let unwritten = run.commits.iter().filter(|commit| !commit.written).count() as u64;
        let written = self.rng.between(0, unwritten);
        self.trace.add("crash", &[at as u64, unwritten, written]);
        for _ in 0..written {
            self.write_next(at)?;
        }
        self.clients.forget(at);
        let calls = self.nodes[at].run.take().map(|run| run.calls).unwrap_or_default();
        for call in calls.into_values() {
            // Its connections break, and most of those who wait notice.
            if self.rng.chance(70) {
                let batch = match call.kind {
                    CallKind::Push(batch) => Some(batch),
                    CallKind::Pull => None,
                };
                let failure = Failure { node: call.asker, life: call.life, peer: at, batch };
                self.schedule(1, Event::Fail(failure));
            }
        }
        Ok(())
    }

    /// The oldest batch that is not on the disk gets there.
    fn write_next(&mut self, at: usize) -> Result<(), Broken> {
        let Some(run) = &mut self.nodes[at].run else { return Ok(()) };
        let Some(commit) = run.commits.iter_mut().find(|commit| !commit.written) else { return Ok(()) };
        commit.written = true;
        let (rows, last_stamp) = (commit.rows.clone(), commit.last_stamp);
        self.checks.before_append(at, &self.nodes[at], &rows)?;
        let appended = self.nodes[at].disk.append(&rows, last_stamp);
        appended.map_err(|what| format!("tracker {at}: {what}"))
    }

    fn submit(&mut self, at: usize, bundle: usize) -> Result<(), Broken> {
        let node = &self.nodes[at];
        if node.run.is_none() {
            return Ok(());
        }
        let mut known = Vec::new();
        let mut records: Vec<Arc<Record>> = Vec::new();
        for record in &self.clients.bundles[bundle].records {
            match node.disk.receipt(&record.id()) {
                Some(receipt) => known.push(receipt.clone()),
                None => records.push(Arc::clone(record)),
            }
        }
        let submission = Submission { bundle, node: at, life: node.life, since: self.now };
        let ticket = self.clients.ticket(submission);
        self.trace.add("submit", &[at as u64, ticket.0, known.len() as u64]);
        self.handle(at, Input::Submit { ticket, records, known })
    }

    fn event(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Arrive(message) => self.arrive(message),
            Event::Fail(Failure { node, life, peer, batch }) if self.runs(node, life) => {
                let peer = peer_id(peer);
                let input = match batch {
                    Some(batch) => Input::PushFailed { peer, batch },
                    None => Input::PullFailed { peer },
                };
                self.trace.add("fail", &[self.now.0, node as u64]);
                self.handle(node, input)
            }
            Event::Written { node, life, batch } if self.runs(node, life) => {
                self.trace.add("written", &[self.now.0, node as u64, batch.0]);
                self.write_next(node)?;
                let delay = self.rng.between(0, 3);
                self.schedule(delay, Event::Persisted { node, life, batch });
                Ok(())
            }
            Event::Persisted { node, life, batch } if self.runs(node, life) => {
                if let Some(run) = &mut self.nodes[node].run {
                    while run.commits.pop_front_if(|commit| commit.batch <= batch).is_some() {}
                }
                self.handle(node, Input::Persisted { batch })
            }
            Event::Loaded { node, life, reply, after, limit_rows, limit_bytes } if self.runs(node, life) => {
                let (rows, more) = self.nodes[node].disk.rows_after(&after, limit_rows, limit_bytes);
                self.handle(node, Input::RowsLoaded { reply, rows, more })
            }
            Event::Wake { node, life } if self.runs(node, life) => {
                let due = self.nodes[node].run.as_ref().and_then(|run| run.wake_at) <= Some(self.now);
                if due { self.handle(node, Input::Timeout) } else { Ok(()) }
            }
            Event::Fail(_)
            | Event::Written { .. }
            | Event::Persisted { .. }
            | Event::Loaded { .. }
            | Event::Wake { .. }
            | Event::Rested => Ok(()),
        }
    }

    fn runs(&self, node: usize, life: u64) -> bool {
        self.nodes[node].run.is_some() && self.nodes[node].life == life
    }

    fn arrive(&mut self, message: Message) -> Result<(), Broken> {
        let Message { from, to, life, body } = message.clone();
        self.trace.add("arrive", &[self.now.0, from as u64, to as u64]);
        let Some(run) = &mut self.nodes[to].run else {
            // Nobody listens: the asking tracker is told at once.
            self.schedule(1, Event::Fail(message.failure()));
            return Ok(());
        };
        if let Some(kind) = CallKind::of(&body) {
            run.reply_last += 1;
            run.calls.insert(ReplyId(run.reply_last), Call { asker: from, life, kind });
        } else if self.nodes[to].life != life {
            return Ok(());
        }
        let (peer, reply) = (peer_id(from), ReplyId(self.nodes[to].run.as_ref().map_or(0, |r| r.reply_last)));
        let input = match body {
            Body::Push { rows, .. } => {
                Input::PushReceived { from: Some(peer), rows: self.verify(&rows)?, reply }
            }
            Body::PushAnswer { batch, vector } => Input::PushAcked { peer, batch, vector: decoded(&vector)? },
            Body::Pull { vector } => {
                Input::PullReceived { from: Some(peer), vector: decoded(&vector)?, reply }
            }
            Body::PullAnswer { rows, more, vector, unix_ms } => {
                let (rows, vector) = (self.verify(&rows)?, decoded(&vector)?);
                Input::PullAnswered { peer, rows, more, vector, unix_ms }
            }
        };
        self.handle(to, input)
    }

    /// Decodes and verifies rows, as a tracker's shell does.
    fn verify(&mut self, bytes: &[u8]) -> Result<Vec<VerifiedRow>, Broken> {
        let rows: Vec<LogRow> = decoded(bytes)?;
        let verified = rows.iter().map(|row| {
            let key = encoded(row)?;
            if let Some(known) = self.verified.get(&key) {
                return Ok(known.clone());
            }
            let fresh = VerifiedRow::verify(row, &CLUSTER, &self.cluster_key).map_err(|e| e.to_string())?;
            self.verified.insert(key, fresh.clone());
            Ok(fresh)
        });
        verified.collect()
    }

    fn handle(&mut self, at: usize, input: Input) -> Result<(), Broken> {
        let unix_ms = self.nodes[at].unix_ms(self.now);
        if let Some(run) = &mut self.nodes[at].run {
            run.replica.handle(self.now, unix_ms, input);
        }
        self.pump(at)
    }

    /// Does what the replica wants.
    fn pump(&mut self, at: usize) -> Result<(), Broken> {
        loop {
            let Some(run) = &mut self.nodes[at].run else { return Ok(()) };
            let output = run.replica.poll();
            if let Output::WakeAt(wake_at) = output {
                let news = run.wake_at != wake_at;
                run.wake_at = wake_at;
                if let (true, Some(wake_at)) = (news, wake_at) {
                    let life = self.nodes[at].life;
                    let in_ms = wake_at.since(self.now).as_millis() as u64;
                    self.schedule(in_ms, Event::Wake { node: at, life });
                }
                let node = &self.nodes[at];
                return node.vector().map_or(Ok(()), |vector| Checks::claimed(at, node, vector));
            }
            self.output(at, output)?;
        }
    }

    fn output(&mut self, at: usize, output: Output) -> Result<(), Broken> {
        let (life, unix_ms) = (self.nodes[at].life, self.nodes[at].unix_ms(self.now));
        match output {
            Output::Persist { batch, rows, last_stamp } => self.commit(at, batch, rows, last_stamp),
            Output::Push { peer, batch, rows } => {
                let body = Body::Push { batch, rows: encoded(&rows)? };
                self.send(Message { from: at, to: peer.0 as usize, life, body });
            }
            Output::Pull { peer, vector } => {
                Checks::claimed(at, &self.nodes[at], &vector)?;
                let body = Body::Pull { vector: encoded(&vector)? };
                self.send(Message { from: at, to: peer.0 as usize, life, body });
            }
            Output::LoadRows { reply, after, limit_rows, limit_bytes } => {
                let delay = self.rng.between(0, 10);
                let loaded = Event::Loaded { node: at, life, reply, after, limit_rows, limit_bytes };
                self.schedule(delay, loaded);
            }
            Output::PushReply { reply, vector } => {
                Checks::claimed(at, &self.nodes[at], &vector)?;
                let vector = encoded(&vector)?;
                self.reply(at, reply, |kind| match kind {
                    CallKind::Push(batch) => Some(Body::PushAnswer { batch, vector }),
                    CallKind::Pull => None,
                })?;
            }
            Output::PullReply { reply, rows, more, vector } => {
                Checks::claimed(at, &self.nodes[at], &vector)?;
                let (rows, vector) = (encoded(&rows)?, encoded(&vector)?);
                self.reply(at, reply, |kind| match kind {
                    CallKind::Pull => Some(Body::PullAnswer { rows, more, vector, unix_ms }),
                    CallKind::Push(_) => None,
                })?;
            }
            Output::Answer { ticket, stamp, durable_on, of, .. } => {
                self.trace.add("answer", &[self.now.0, ticket.0, stamp.0, durable_on.into()]);
                self.answered(at, ticket, durable_on, of)?;
            }
            Output::Applied { rows } => Checks::applied(at, &self.nodes[at], &rows)?,
            Output::Suspect { peer } => self.trace.add("suspect", &[at as u64, peer.0.into()]),
            Output::Recovered { peer } => self.trace.add("recovered", &[at as u64, peer.0.into()]),
            Output::ClockSkew { peer, ms } => {
                self.trace.add("skew", &[at as u64, peer.0.into(), ms.cast_unsigned()]);
            }
            Output::Equivocation { origin, seq, .. } => {
                return Err(format!("tracker {at} saw two records for row {seq} of {origin:?}"));
            }
            Output::WakeAt(_) => {}
        }
        Ok(())
    }

    fn commit(
        &mut self,
        at: usize,
        batch: BatchId,
        rows: Vec<VerifiedRow>,
        last_stamp: peerage_types::Stamp,
    ) {
        let (life, slowest) = (self.nodes[at].life, self.nodes[at].commit_ms_max);
        let takes = self.rng.between(0, slowest);
        self.trace.add("persist", &[at as u64, batch.0, rows.len() as u64, last_stamp.0]);
        let Some(run) = &mut self.nodes[at].run else { return };
        // Group commit: batches wait for the one before, not for each other's full time.
        let done = run.disk_free_at.max(Time(self.now.0 + takes));
        run.disk_free_at = done;
        run.commits.push_back(Commit { batch, rows, last_stamp, written: false });
        self.schedule(done.0 - self.now.0, Event::Written { node: at, life, batch });
    }

    fn answered(
        &mut self,
        at: usize,
        ticket: peerage_replica::Ticket,
        durable_on: u32,
        of: u32,
    ) -> Result<(), Broken> {
        let Some(submission) = self.clients.waiting.remove(&ticket) else {
            return Err(format!("tracker {at} answered {ticket:?} twice"));
        };
        if of as usize != self.nodes.len() || submission.node != at || submission.life != self.nodes[at].life
        {
            return Err(format!("tracker {at} answered {ticket:?} of {submission:?} for {of} trackers"));
        }
        let bundle = &self.clients.bundles[submission.bundle];
        self.checks.answered(&self.nodes, &submission, bundle, durable_on)?;
        let ids = bundle.ids();
        let holders = self.nodes.iter().enumerate().filter(|(_, node)| node.disk.has_all(&ids));
        let holders: Vec<_> = holders.map(|(at, node)| (at, node.wipes)).collect();
        let bundle = &mut self.clients.bundles[submission.bundle];
        bundle.holders.extend(holders);
        bundle.durable_on = bundle.durable_on.max(durable_on);
        self.clients.answers += 1;
        Ok(())
    }

    /// Sends the answer to a request, if it fits the request.
    fn reply(
        &mut self,
        at: usize,
        reply: ReplyId,
        body: impl FnOnce(CallKind) -> Option<Body>,
    ) -> Result<(), Broken> {
        let call = self.nodes[at].run.as_mut().and_then(|run| run.calls.remove(&reply));
        let Some(Call { asker, life, kind }) = call else {
            return Err(format!("tracker {at} answered {reply:?} twice"));
        };
        let Some(body) = body(kind) else {
            return Err(format!("tracker {at} gave {reply:?} an answer of another kind"));
        };
        self.send(Message { from: at, to: asker, life, body });
        Ok(())
    }

    fn send(&mut self, message: Message) {
        match self.network.send(&mut self.rng, &message) {
            Fate::Held => {}
            Fate::Arrives(delays) => {
                for delay in delays {
                    self.schedule(delay, Event::Arrive(message.clone()));
                }
            }
            // Half of the losses are noticed by the connection; the rest by the replica's own deadlines.
            Fate::Lost if self.rng.chance(50) => {
                let delay = self.rng.between(1, 3_000);
                self.schedule(delay, Event::Fail(message.failure()));
            }
            Fate::Lost => {}
        }
    }

    fn release(&mut self, held: Vec<Message>) {
        for message in held {
            let delay = self.rng.between(1, 50);
            self.schedule(delay, Event::Arrive(message));
        }
    }
}

fn encoded<T: minicbor::Encode<()>>(value: &T) -> Result<Vec<u8>, Broken> {
    minicbor::to_vec(value).map_err(|e| e.to_string())
}

fn decoded<'b, T: minicbor::Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, Broken> {
    minicbor::decode(bytes).map_err(|e| format!("a replica's own encoding: {e}"))
}

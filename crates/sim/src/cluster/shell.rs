//! The shell of each tracker around its replica: does what the replica wants, and feeds it what came of it.

use peerage_replica::{Input, LogRow, Output, ReplyId, Ticket, Vector, VerifiedRow};

use super::checks::Checks;
use super::disk::Change;
use super::event::Event;
use super::image::Page;
use super::network::{Body, Failure, Fate, Message, Request};
use super::node::{Call, peer_id};
use super::person::CLUSTER;
use super::submission::Answer;
use super::world::World;
use super::{Broken, Rule, Sabotage};

/// Of what need not be verified again, one in so many is.
pub(crate) const VERIFIED_AGAIN_ONE_IN: u64 = 16;
/// The slowest answer of a store to a question.
pub(crate) const READ_MS_MAX: u64 = 10;

impl World {
    pub(super) fn handle(&mut self, at: usize, input: Input) -> Result<(), Broken> {
        let unix_ms = self.nodes[at].unix_ms(self.now);
        if let Some(run) = &mut self.nodes[at].run {
            run.replica.handle(self.now, unix_ms, input);
            // Whoever reads a scope notices what cannot be read there.
            let damaged: Vec<_> = std::mem::take(&mut run.serving.damaged).into_iter().collect();
            if !damaged.is_empty() {
                run.replica.handle(self.now, unix_ms, Input::CompareNow { ticket: None, damaged });
            }
        }
        self.pump(at)
    }

    /// Does what the replica wants.
    pub(super) fn pump(&mut self, at: usize) -> Result<(), Broken> {
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
                return node.vector().map_or(Ok(()), |vector| self.claims(at, vector));
            }
            self.output(at, output)?;
        }
    }

    /// With disks that lie about syncs the process cannot know better.
    pub(super) fn trusting(&self) -> bool {
        self.options.sabotage == Some(Sabotage::AckBeforeSync)
    }

    fn claims(&self, at: usize, vector: &Vector) -> Result<(), Broken> {
        Checks::claimed(at, &self.nodes[at], vector, self.trusting())
    }

    fn output(&mut self, at: usize, output: Output) -> Result<(), Broken> {
        let life = self.nodes[at].life;
        let send = |to: peerage_replica::PeerId, body| Message { from: at, to: to.0 as usize, life, body };
        match output {
            Output::Persist { batch, rows, last_stamp } => {
                self.commit(at, batch, Change::Append(rows, last_stamp));
            }
            Output::Keep { batch, rows } => self.commit(at, batch, Change::Keep(rows)),
            Output::Adopt { batch, vector } => self.commit(at, batch, Change::Adopt(vector)),
            Output::Push { peer, batch, rows } => self.send(send(peer, Body::Push { batch, rows })),
            Output::Pull { peer, vector } => {
                self.claims(at, &vector)?;
                self.send(send(peer, Body::Pull { vector }));
            }
            Output::LoadRows { reply, after, limit_rows, limit_bytes } => {
                let delay = self.rng.between(0, READ_MS_MAX);
                let loaded = Event::Loaded { node: at, life, reply, after, limit_rows, limit_bytes };
                self.schedule(delay, loaded);
            }
            Output::Scrub { exchange, after } => {
                let delay = self.rng.between(0, READ_MS_MAX);
                self.schedule(delay, Event::Scrubbed { node: at, life, exchange, after });
            }
            Output::Look { exchange, ask } => {
                let delay = self.rng.between(0, READ_MS_MAX);
                self.schedule(delay, Event::Looked { node: at, life, exchange, ask });
            }
            Output::Ask { peer, exchange, ask } => {
                self.asks(at, peer, &ask);
                self.send(send(peer, Body::Ask { exchange, ask }));
            }
            Output::Compared { tickets, corrected, peers } => self.compared(at, &tickets, corrected, &peers),
            Output::PushReply { reply, vector } => {
                self.claims(at, &vector)?;
                self.reply(at, reply, |call| match call.request {
                    Request::Push(batch) => Some(Body::PushAnswer { batch, vector }),
                    _ => None,
                })?;
            }
            Output::PullReply { reply, rows, more, snapshot, vector } => {
                self.claims(at, &vector)?;
                self.pull_reply(at, reply, rows, more, snapshot, vector)?;
            }
            Output::Answer { ticket, stamp, durable_on, of, places } => {
                self.claims(at, &places)?;
                self.trace.add("answer", &[self.now.0, ticket.0, stamp.0, durable_on.into()]);
                self.answered(at, ticket, durable_on, of)?;
            }
            Output::Applied { rows } => self.applied(at, &rows)?,
            Output::Suspect { peer } => {
                self.trace.add("suspect", &[self.now.0, at as u64, peer.0.into()]);
            }
            Output::Recovered { peer } => {
                self.trace.add("recovered", &[self.now.0, at as u64, peer.0.into()]);
            }
            Output::ClockSkew { peer, ms } => {
                self.trace.add("skew", &[self.now.0, at as u64, peer.0.into(), ms.cast_unsigned()]);
            }
            Output::Equivocation { origin, seq, .. } => {
                return Rule::Log.broken(format!("tracker {at} saw two records for row {seq} of {origin:?}"));
            }
            Output::WakeAt(_) => {}
        }
        Ok(())
    }

    /// What a pull is told fits what the asker has: nothing is left out in silence.
    fn pull_reply(
        &mut self,
        at: usize,
        reply: ReplyId,
        rows: Vec<LogRow>,
        more: bool,
        snapshot: bool,
        vector: Vector,
    ) -> Result<(), Broken> {
        let call = self.nodes[at].run.as_ref().and_then(|run| run.calls.get(&reply));
        let asked = call.map(|call| call.vector.clone()).unwrap_or_default();
        self.report.floors += u64::from(!self.nodes[at].disk.image().reaches_down_to(&asked));
        Checks::served(at, self.nodes[at].disk.image(), &asked, &rows, snapshot, &vector)?;
        let unix_ms = self.nodes[at].unix_ms(self.now);
        self.reply(at, reply, |call| match call.request {
            Request::Pull => Some(Body::PullAnswer { rows, more, snapshot, vector, unix_ms }),
            _ => None,
        })
    }

    pub(super) fn loaded(
        &mut self,
        at: usize,
        reply: ReplyId,
        after: &Vector,
        limit_rows: usize,
        limit_bytes: usize,
    ) -> Result<(), Broken> {
        let image = self.nodes[at].disk.image();
        let page = match self.options.sabotage {
            Some(Sabotage::BelowFloor) => image.rows_below_floors(after, limit_rows),
            _ => image.rows_after(after, limit_rows, limit_bytes),
        };
        let Page { rows, more, snapshot, holes } = page;
        self.report.holes += holes;
        self.handle(at, Input::RowsLoaded { reply, rows, more, snapshot })?;
        match holes {
            0 => Ok(()),
            _ => self.handle(at, Input::CompareNow { ticket: None, damaged: Vec::new() }),
        }
    }

    pub(super) fn woken(&mut self, at: usize) -> Result<(), Broken> {
        let due = self.nodes[at].run.as_ref().and_then(|run| run.wake_at).is_some_and(|due| due <= self.now);
        if due { self.handle(at, Input::Timeout) } else { Ok(()) }
    }

    pub(super) fn failed(&mut self, failure: Failure) -> Result<(), Broken> {
        let Failure { node, peer, request, .. } = failure;
        self.trace.add("fail", &[self.now.0, node as u64, peer as u64]);
        let peer = peer_id(peer);
        let input = match request {
            Request::Push(batch) => Input::PushFailed { peer, batch },
            Request::Pull => Input::PullFailed { peer },
            Request::Ask(exchange) => Input::Told { peer, exchange, told: None },
        };
        self.handle(node, input)
    }

    pub(super) fn arrive(&mut self, message: Message) -> Result<(), Broken> {
        self.trace.add("arrive", &[self.now.0, message.from as u64, message.to as u64]);
        // Whoever is not on the list is answered all the same.
        let listed = self.nodes[message.to].listed.contains(&message.from).then_some(peer_id(message.from));
        let Some(run) = &mut self.nodes[message.to].run else {
            // Nobody listens: the asking tracker is told at once.
            self.schedule(1, Event::Fail(message.failure()));
            return Ok(());
        };
        let Message { from, to, life, body } = message;
        let peer = peer_id(from);
        let mut call = |request, vector| {
            run.reply_last += 1;
            run.calls.insert(ReplyId(run.reply_last), Call { asker: from, life, request, vector });
            ReplyId(run.reply_last)
        };
        let input = match body {
            Body::Push { batch, rows } => {
                let reply = call(Request::Push(batch), Vector::new());
                Input::PushReceived { from: listed, rows: self.verify(rows)?, reply }
            }
            Body::Pull { vector } => {
                let reply = call(Request::Pull, vector.clone());
                Input::PullReceived { from: listed, vector, reply }
            }
            Body::Ask { exchange, ask } => return self.asked(to, from, life, exchange, ask),
            _ if self.nodes[to].life != life => return Ok(()),
            Body::PushAnswer { batch, vector } => Input::PushAcked { peer, batch, vector },
            Body::PullAnswer { rows, more, snapshot, vector, unix_ms } => {
                Input::PullAnswered { peer, rows: self.verify(rows)?, more, snapshot, vector, unix_ms }
            }
            Body::Told { exchange, told } => {
                let told = self.verify_told(told)?;
                Input::Told { peer, exchange, told: Some(told) }
            }
        };
        self.handle(to, input)
    }

    /// Verifies rows as a tracker's shell does, each once; some again, and these in their encoding.
    fn verify(&mut self, rows: Vec<LogRow>) -> Result<Vec<VerifiedRow>, Broken> {
        rows.into_iter().map(|row| self.verify_row(row)).collect()
    }

    pub(super) fn verify_row(&mut self, row: LogRow) -> Result<VerifiedRow, Broken> {
        let place = (row.receipt.origin, row.receipt.seq);
        self.samples += 1;
        let known = self.verified.get(&place).filter(|known| {
            *known.receipt() == row.receipt
                && known.record().bytes() == &row.record[..]
                && !self.samples.is_multiple_of(VERIFIED_AGAIN_ONE_IN)
        });
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let bytes = minicbor::to_vec(&row).map_err(|e| e.to_string())?;
        let row: LogRow = minicbor::decode(&bytes).map_err(|e| e.to_string())?;
        let fresh = VerifiedRow::verify(&row, &CLUSTER, &self.cluster.public_key);
        let fresh = fresh.map_err(|fault| Broken { rule: Rule::Log, what: fault.to_string() })?;
        self.verified.insert(place, fresh.clone());
        Ok(fresh)
    }

    /// Rows are on the disk: views change, and bundles that waited for that may go on.
    fn applied(&mut self, at: usize, rows: &[VerifiedRow]) -> Result<(), Broken> {
        let trusting = self.trusting() || self.options.sabotage == Some(Sabotage::EarlyAdopt);
        Checks::applied(at, &self.nodes[at], rows, trusting || self.nodes[at].disk.harmed > 0)?;
        let node = &mut self.nodes[at];
        let (image, generation) = (node.disk.image(), node.disk.generation + node.disk.harmed);
        let Some(run) = &mut node.run else { return Ok(()) };
        let touched = run.serving.apply(rows, image);
        self.views.applied(at, &mut run.serving, image, &touched)?;
        self.views.names(at, generation, &mut run.serving, image, rows)?;
        for row in rows {
            let id = row.record().id();
            for ahead in run.held.values_mut() {
                ahead.remove(&id);
            }
        }
        let done: Vec<Ticket> =
            run.held.extract_if(.., |_, ahead| ahead.is_empty()).map(|(t, _)| t).collect();
        if !done.is_empty() {
            run.lanes.retain(|_, holder| !done.contains(holder));
            self.released.insert(at);
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, ticket: Ticket, durable_on: u32, of: u32) -> Result<(), Broken> {
        let Some(submission) = self.waiting.remove(&ticket) else {
            return Rule::Liveness.broken(format!("tracker {at} answered {ticket:?} twice"));
        };
        if of as usize != 1 + self.nodes[at].listed.len()
            || submission.node != at
            || submission.life != self.nodes[at].life
        {
            return Rule::Liveness
                .broken(format!("tracker {at} answered {ticket:?} of {submission:?} for {of} trackers"));
        }
        self.checks.answered(&self.nodes, &submission, durable_on, self.trusting())?;
        self.report.answers += 1;
        self.answer(&submission, Answer::Durable { durable_on, of });
        Ok(())
    }

    /// Sends the answer to a request, if it fits the request.
    fn reply(
        &mut self,
        at: usize,
        reply: ReplyId,
        body: impl FnOnce(&Call) -> Option<Body>,
    ) -> Result<(), Broken> {
        let call = self.nodes[at].run.as_mut().and_then(|run| run.calls.remove(&reply));
        let Some(call) = call else {
            return Rule::Liveness.broken(format!("tracker {at} answered {reply:?} twice"));
        };
        let Some(body) = body(&call) else {
            return Rule::Liveness.broken(format!("tracker {at} gave {reply:?} an answer of another kind"));
        };
        self.send(Message { from: at, to: call.asker, life: call.life, body });
        Ok(())
    }

    pub(super) fn send(&mut self, message: Message) {
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

    pub(super) fn release(&mut self, held: Vec<Message>) {
        for message in held {
            let delay = self.rng.between(1, 50);
            self.schedule(delay, Event::Arrive(message));
        }
    }
}

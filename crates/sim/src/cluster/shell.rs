//! The shell of each tracker around its replica: does what the replica wants, and feeds it what came of it.

use peerage_replica::{BatchId, Input, LogRow, Output, ReplyId, Ticket, Vector, VerifiedRow};
use peerage_types::{Stamp, Time};

use super::checks::Checks;
use super::disk::Commit;
use super::event::Event;
use super::network::{Body, Failure, Fate, Message};
use super::node::{Call, CallKind, peer_id};
use super::person::CLUSTER;
use super::submission::Answer;
use super::world::World;
use super::{Broken, Rule, Sabotage};

/// Of what need not be verified again, one in so many is.
pub(crate) const VERIFIED_AGAIN_ONE_IN: u64 = 16;
/// A full disk is tried again after so long.
const FULL_RETRY_MS: u64 = 500;
/// The slowest sync of what is written.
const SYNC_MS_MAX: u64 = 40;

impl World {
    pub(super) fn handle(&mut self, at: usize, input: Input) -> Result<(), Broken> {
        let unix_ms = self.nodes[at].unix_ms(self.now);
        if let Some(run) = &mut self.nodes[at].run {
            run.replica.handle(self.now, unix_ms, input);
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
    fn trusting(&self) -> bool {
        self.options.sabotage == Some(Sabotage::AckBeforeSync)
    }

    fn claims(&self, at: usize, vector: &Vector) -> Result<(), Broken> {
        Checks::claimed(at, &self.nodes[at], vector, self.trusting())
    }

    fn output(&mut self, at: usize, output: Output) -> Result<(), Broken> {
        let (life, unix_ms) = (self.nodes[at].life, self.nodes[at].unix_ms(self.now));
        match output {
            Output::Persist { batch, rows, last_stamp } => self.commit(at, batch, rows, last_stamp),
            Output::Push { peer, batch, rows } => {
                let body = Body::Push { batch, rows };
                self.send(Message { from: at, to: peer.0 as usize, life, body });
            }
            Output::Pull { peer, vector } => {
                self.claims(at, &vector)?;
                self.send(Message { from: at, to: peer.0 as usize, life, body: Body::Pull { vector } });
            }
            Output::LoadRows { reply, after, limit_rows, limit_bytes } => {
                let delay = self.rng.between(0, 10);
                let loaded = Event::Loaded { node: at, life, reply, after, limit_rows, limit_bytes };
                self.schedule(delay, loaded);
            }
            Output::PushReply { reply, vector } => {
                self.claims(at, &vector)?;
                self.reply(at, reply, |kind| match kind {
                    CallKind::Push(batch) => Some(Body::PushAnswer { batch, vector }),
                    CallKind::Pull => None,
                })?;
            }
            Output::PullReply { reply, rows, more, vector, .. } => {
                self.claims(at, &vector)?;
                self.reply(at, reply, |kind| match kind {
                    CallKind::Pull => Some(Body::PullAnswer { rows, more, vector, unix_ms }),
                    CallKind::Push(_) => None,
                })?;
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
            Output::Keep { .. }
            | Output::Adopt { .. }
            | Output::Scrub { .. }
            | Output::Look { .. }
            | Output::Ask { .. }
            | Output::Compared { .. } => {
                return Err(
                    format!("tracker {at} compares or takes a snapshot, and its limits say never").into()
                );
            }
        }
        Ok(())
    }

    fn commit(&mut self, at: usize, batch: BatchId, rows: Vec<VerifiedRow>, last_stamp: Stamp) {
        let (life, slowest) = (self.nodes[at].life, self.nodes[at].disk.commit_ms_max);
        let takes = self.rng.between(0, slowest);
        self.trace.add("persist", &[self.now.0, at as u64, batch.0, rows.len() as u64, last_stamp.0]);
        let Some(run) = &mut self.nodes[at].run else { return };
        for row in rows.iter().filter(|row| row.receipt().origin == run.replica.origin()) {
            self.verified.insert((row.receipt().origin, row.receipt().seq), row.clone());
        }
        // Group commit: batches wait for the one before, not for each other's full time.
        let done = run.disk_free_at.max(Time(self.now.0 + takes));
        run.disk_free_at = done;
        self.nodes[at].disk.queue(Commit { batch, rows, last_stamp });
        self.schedule(done.0 - self.now.0, Event::Written { node: at, life, batch });
    }

    /// The batches up to this one get written, unless there is no space.
    pub(super) fn written(&mut self, at: usize, batch: BatchId) -> Result<(), Broken> {
        let life = self.nodes[at].life;
        if self.nodes[at].disk.full {
            self.schedule(FULL_RETRY_MS, Event::Written { node: at, life, batch });
            return Ok(());
        }
        while let Some(commit) = self.nodes[at].disk.next_queued(batch) {
            let rows = commit.rows.clone();
            self.checks.before_write(at, &self.nodes[at], &rows)?;
            self.nodes[at].disk.write();
        }
        self.trace.add("written", &[self.now.0, at as u64, batch.0]);
        let delay = self.rng.between(0, SYNC_MS_MAX);
        self.schedule(delay, Event::Synced { node: at, life, batch });
        if self.trusting() {
            self.schedule(0, Event::Persisted { node: at, life, batch });
        }
        Ok(())
    }

    pub(super) fn synced(&mut self, at: usize, batch: BatchId) -> Result<(), Broken> {
        let life = self.nodes[at].life;
        self.nodes[at].disk.sync(batch)?;
        self.views.disk(at, self.nodes[at].disk.image())?;
        let delay = self.rng.between(0, 3);
        if !self.trusting() {
            self.schedule(delay, Event::Persisted { node: at, life, batch });
        }
        Ok(())
    }

    pub(super) fn persisted(&mut self, at: usize, batch: BatchId) -> Result<(), Broken> {
        self.handle(at, Input::Persisted { batch })?;
        for submission in self.waiting.values_mut().filter(|s| s.node == at && s.batch <= batch) {
            submission.durable_at.get_or_insert(self.now);
        }
        Ok(())
    }

    pub(super) fn loaded(
        &mut self,
        at: usize,
        reply: ReplyId,
        after: &Vector,
        limit_rows: usize,
        limit_bytes: usize,
    ) -> Result<(), Broken> {
        let (rows, more) = self.nodes[at].disk.image().rows_after(after, limit_rows, limit_bytes);
        self.handle(at, Input::RowsLoaded { reply, rows, more, snapshot: false })
    }

    pub(super) fn woken(&mut self, at: usize) -> Result<(), Broken> {
        let due = self.nodes[at].run.as_ref().and_then(|run| run.wake_at).is_some_and(|due| due <= self.now);
        if due { self.handle(at, Input::Timeout) } else { Ok(()) }
    }

    pub(super) fn failed(&mut self, failure: Failure) -> Result<(), Broken> {
        let Failure { node, peer, batch, .. } = failure;
        self.trace.add("fail", &[self.now.0, node as u64, peer as u64]);
        let peer = peer_id(peer);
        let input = match batch {
            Some(batch) => Input::PushFailed { peer, batch },
            None => Input::PullFailed { peer },
        };
        self.handle(node, input)
    }

    pub(super) fn arrive(&mut self, message: Message) -> Result<(), Broken> {
        self.trace.add("arrive", &[self.now.0, message.from as u64, message.to as u64]);
        let Some(run) = &mut self.nodes[message.to].run else {
            // Nobody listens: the asking tracker is told at once.
            self.schedule(1, Event::Fail(message.failure()));
            return Ok(());
        };
        let Message { from, to, life, body } = message;
        if let Some(kind) = CallKind::of(&body) {
            run.reply_last += 1;
            run.calls.insert(ReplyId(run.reply_last), Call { asker: from, life, kind });
        } else if self.nodes[to].life != life {
            return Ok(());
        }
        let (peer, reply) = (peer_id(from), ReplyId(self.nodes[to].run.as_ref().map_or(0, |r| r.reply_last)));
        // Whoever is not on the list is answered all the same.
        let listed = self.nodes[to].listed.contains(&from).then_some(peer);
        let input = match body {
            Body::Push { rows, .. } => Input::PushReceived { from: listed, rows: self.verify(rows)?, reply },
            Body::PushAnswer { batch, vector } => Input::PushAcked { peer, batch, vector },
            Body::Pull { vector } => Input::PullReceived { from: listed, vector, reply },
            Body::PullAnswer { rows, more, vector, unix_ms } => {
                Input::PullAnswered { peer, rows: self.verify(rows)?, more, snapshot: false, vector, unix_ms }
            }
        };
        self.handle(to, input)
    }

    /// Verifies rows as a tracker's shell does, each once; some again, and these in their encoding.
    fn verify(&mut self, rows: Vec<LogRow>) -> Result<Vec<VerifiedRow>, Broken> {
        let mut verified = Vec::with_capacity(rows.len());
        for row in rows {
            let place = (row.receipt.origin, row.receipt.seq);
            self.samples += 1;
            let known = self.verified.get(&place).filter(|known| {
                *known.receipt() == row.receipt
                    && known.record().bytes() == &row.record[..]
                    && !self.samples.is_multiple_of(VERIFIED_AGAIN_ONE_IN)
            });
            if let Some(known) = known {
                verified.push(known.clone());
                continue;
            }
            let bytes = minicbor::to_vec(&row).map_err(|e| e.to_string())?;
            let row: LogRow = minicbor::decode(&bytes).map_err(|e| e.to_string())?;
            let fresh = VerifiedRow::verify(&row, &CLUSTER, &self.cluster.public_key);
            let fresh = fresh.map_err(|fault| Broken { rule: Rule::Log, what: fault.to_string() })?;
            self.verified.insert(place, fresh.clone());
            verified.push(fresh);
        }
        Ok(verified)
    }

    /// Rows are on the disk: views change, and bundles that waited for that may go on.
    fn applied(&mut self, at: usize, rows: &[VerifiedRow]) -> Result<(), Broken> {
        Checks::applied(at, &self.nodes[at], rows, self.trusting())?;
        let node = &mut self.nodes[at];
        let (image, generation) = (node.disk.image(), node.disk.generation);
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
        body: impl FnOnce(CallKind) -> Option<Body>,
    ) -> Result<(), Broken> {
        let call = self.nodes[at].run.as_mut().and_then(|run| run.calls.remove(&reply));
        let Some(Call { asker, life, kind }) = call else {
            return Rule::Liveness.broken(format!("tracker {at} answered {reply:?} twice"));
        };
        let Some(body) = body(kind) else {
            return Rule::Liveness.broken(format!("tracker {at} gave {reply:?} an answer of another kind"));
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

    pub(super) fn release(&mut self, held: Vec<Message>) {
        for message in held {
            let delay = self.rng.between(1, 50);
            self.schedule(delay, Event::Arrive(message));
        }
    }
}

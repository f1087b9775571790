//! Clients on their way to trackers: attempts, answers, patience; and the trackers' queue in front of admission.

use std::collections::BTreeSet;
use std::sync::Arc;

use peerage_ledger::{Record, Refusal};
use peerage_replica::{BatchId, Input, Ticket};

use super::admission::{admit, lanes};
use super::event::Event;
use super::person::{Attempt, CLUSTER};
use super::shell::VERIFIED_AGAIN_ONE_IN;
use super::submission::{Answer, Sender, Submission};
use super::world::World;
use super::{Broken, Sabotage};

/// How long a client waits for one answer.
const PATIENCE_MS: u64 = 5_000;
/// So often a client tries again when trackers lack something, or refuse what another one has taken.
const REFUSALS_MAX: u32 = 6;
/// Within so long somebody sends the same once more.
const AGAIN_MS_MAX: u64 = 300;

impl World {
    /// Puts a bundle into a client's outbox and lets the client look into it.
    pub(super) fn enqueue(&mut self, person: usize, records: &[Arc<Record>]) {
        for record in records {
            self.decoded.insert(record.shared_bytes(), Arc::clone(record));
        }
        self.people[person].enqueue(records);
        self.report.bundles += 1;
        self.look(person, 1);
    }

    /// The client looks into its outbox after so long.
    pub(super) fn look(&mut self, person: usize, in_ms: u64) {
        let at = self.now.after(std::time::Duration::from_millis(in_ms));
        let due = &mut self.people[person].send_at;
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.schedule(in_ms, Event::Send { person });
        }
    }

    /// The oldest bundle goes to a tracker.
    pub(super) fn send_bundle(&mut self, person: usize) -> Result<(), Broken> {
        let client = &mut self.people[person];
        if client.send_at != Some(self.now) {
            return Ok(());
        }
        client.send_at = None;
        if client.attempt.is_some() {
            return Ok(());
        }
        // First what this tracker has not taken yet, so that it knows what we know.
        let tracker = self.nodes[client.home].disk.image().tracker;
        let fresh = client.outbox.pending().find(|(_, bundle)| !bundle.taken_by.contains(&tracker));
        let Some((bundle, content)) = fresh.or(client.outbox.pending().next()) else { return Ok(()) };
        let records = content.records.clone();
        client.attempts += 1;
        let (number, node) = (client.attempts, client.home);
        client.attempt = Some(Attempt { number, bundle, node });
        let records = records.iter().map(|bytes| self.decode(bytes)).collect::<Result<Vec<_>, _>>()?;
        let sender = Sender::Person { person, attempt: number, bundle };
        self.trace.add("send", &[self.now.0, person as u64, node as u64, bundle.0]);
        self.schedule(PATIENCE_MS, Event::Patience { person, attempt: number });
        if let Some(delay) = self.network.client_delay(&mut self.rng, person, node) {
            self.schedule(delay, Event::Request(Submission::new(sender, node, records)));
        }
        Ok(())
    }

    /// Somebody sends a tracker more than once what a snapshot that has not come to its end brought it.
    pub(super) fn send_again(&mut self) -> Result<(), Broken> {
        let ahead = |at: &usize| self.nodes[*at].run.is_some() && self.nodes[*at].disk.image().is_ahead();
        let trackers: Vec<usize> = (0..self.nodes.len()).filter(ahead).collect();
        let Some(at) = self.rng.pick(&trackers).copied() else { return Ok(()) };
        let records: Vec<_> =
            self.nodes[at].disk.image().ahead().map(|row| Arc::clone(row.record())).collect();
        let Some(record) = self.rng.pick(&records).cloned() else { return Ok(()) };
        self.report.sent_again += 1;
        self.trace.add("again", &[self.now.0, at as u64]);
        let submission = Submission::new(Sender::Repeater, at, vec![record]);
        let delay = self.rng.between(1, AGAIN_MS_MAX);
        self.schedule(delay, Event::Request(submission.clone()));
        self.requested(submission)
    }

    /// A client's record in the form in which a tracker takes it; verified now and then.
    fn decode(&mut self, bytes: &Arc<[u8]>) -> Result<Arc<Record>, Broken> {
        self.samples += 1;
        if let Some(known) = self.decoded.get(bytes)
            && !self.samples.is_multiple_of(VERIFIED_AGAIN_ONE_IN)
        {
            return Ok(Arc::clone(known));
        }
        let record = Arc::new(Record::decode(bytes, &CLUSTER).map_err(|fault| fault.to_string())?);
        self.decoded.insert(Arc::clone(bytes), Arc::clone(&record));
        Ok(record)
    }

    /// A bundle reaches a tracker.
    pub(super) fn requested(&mut self, submission: Submission) -> Result<(), Broken> {
        let at = submission.node;
        let life = self.nodes[at].life;
        let full = self.nodes[at].disk.full;
        match &mut self.nodes[at].run {
            None => self.answer(&submission, Answer::Unreachable),
            Some(_) if full => self.answer(&submission, Answer::Full),
            Some(run) => {
                run.queue.push_back(Submission { life, ..submission });
                self.admit_queued(at)?;
            }
        }
        Ok(())
    }

    /// Lets in those whose lanes are free, in their order.
    pub(super) fn admit_queued(&mut self, at: usize) -> Result<(), Broken> {
        let Some(run) = &mut self.nodes[at].run else { return Ok(()) };
        let mut taken = BTreeSet::new();
        let queue = std::mem::take(&mut run.queue);
        for submission in queue {
            let wanted = lanes(&submission.records);
            let Some(run) = &mut self.nodes[at].run else { return Ok(()) };
            let busy = wanted.iter().any(|lane| run.lanes.contains_key(lane) || taken.contains(lane));
            if busy {
                taken.extend(wanted);
                run.queue.push_back(submission);
                continue;
            }
            self.admit(at, submission)?;
        }
        Ok(())
    }

    fn admit(&mut self, at: usize, submission: Submission) -> Result<(), Broken> {
        let node = &mut self.nodes[at];
        let (lax, image) = (node.lax, node.disk.image());
        let Some(run) = &mut node.run else { return Ok(()) };
        let (records, known) = match admit(&mut run.serving, image, &submission.records, lax) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.trace.note(|| format!("refused by {at}: {:?}: {refusal}", submission.records));
                self.report.refusals += 1;
                let answer = match refusal {
                    Refusal::Missing(_) => Answer::Missing,
                    _ => Answer::Refused,
                };
                self.answer(&submission, answer);
                return Ok(());
            }
        };
        // With these bugs the replica believes to have reached what is not on the disk.
        if !self.trusting() && self.options.sabotage != Some(Sabotage::EarlyAdopt) {
            self.checks.admitted(at, &self.nodes[at], &records)?;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.trace.add("admit", &[self.now.0, at as u64, ticket.0, records.len() as u64, known.len() as u64]);
        self.trace.note(|| format!("admitted by {at}: {:?}", submission.records));
        let Some(run) = &mut self.nodes[at].run else { return Ok(()) };
        if !records.is_empty() {
            run.held.insert(ticket, records.iter().map(|record| record.id()).collect());
            run.lanes.extend(lanes(&submission.records).into_iter().map(|lane| (lane, ticket)));
        }
        self.waiting.insert(ticket, submission);
        let fresh: Vec<_> = records.iter().map(|record| record.id()).collect();
        self.handle(at, Input::Submit { ticket, records, known })?;
        let node = &self.nodes[at];
        let unsigned = node.run.as_ref().is_some_and(|run| run.replica.unsigned_rows() > 0);
        let (queued, idle) = (node.disk.last_queued, node.disk.idle());
        if let Some(submission) = self.waiting.get_mut(&ticket) {
            // What the disk was given already, or has, comes with no later batch.
            let later = unsigned && !node.disk.given_all(&fresh);
            submission.batch = if later { BatchId(u64::MAX) } else { queued };
            submission.durable_at = idle.then_some(self.now);
        }
        Ok(())
    }

    /// A tracker's answer sets out.
    pub(super) fn answer(&mut self, submission: &Submission, answer: Answer) {
        match submission.sender {
            Sender::Person { person, attempt, .. } => {
                if let Some(delay) = self.network.client_delay(&mut self.rng, person, submission.node) {
                    self.schedule(delay, Event::Reply { person, attempt, answer });
                }
            }
            Sender::Probe => {
                self.probed = match answer {
                    Answer::Durable { durable_on, .. } => Some(durable_on),
                    _ => Some(0),
                };
            }
            Sender::Forger | Sender::Repeater => {}
        }
    }

    /// An answer reaches the client, which may not wait for it any more.
    pub(super) fn replied(&mut self, person: usize, attempt: u64, answer: &Answer) {
        let client = &mut self.people[person];
        let Some(Attempt { bundle, node, .. }) = client.attempt.take_if(|a| a.number == attempt) else {
            return;
        };
        self.trace.add("reply", &[self.now.0, person as u64, bundle.0]);
        self.trace.note(|| format!("answer to person {person}: {answer:?}"));
        match *answer {
            Answer::Durable { durable_on, of } => {
                let tracker = self.nodes[node].disk.image().tracker;
                let enough =
                    client.outbox.acked(bundle, durable_on, of) || client.outbox.taken(bundle, tracker, of);
                let more = client.outbox.pending().any(|(_, bundle)| !bundle.taken_by.contains(&tracker));
                client.refusals.remove(&bundle);
                client.save();
                if enough || more {
                    self.look(person, 1);
                } else {
                    self.elsewhere(person, 3_000);
                }
            }
            Answer::Missing | Answer::Refused => {
                let content = client.outbox.get(bundle).cloned();
                let Some(content) = content else { return self.look(person, 1) };
                let refusals = client.refusals.entry(bundle).or_default();
                *refusals += 1;
                // What somebody has taken may only be ahead of what this tracker knows.
                let final_word = *answer == Answer::Refused && content.taken_by.is_empty();
                if final_word || *refusals > REFUSALS_MAX {
                    let bytes = content.records.iter();
                    let records: Vec<_> = bytes.filter_map(|b| self.decoded.get(b).cloned()).collect();
                    client.give_up(bundle, &records);
                    self.look(person, 1);
                } else {
                    self.elsewhere(person, 2_000);
                }
            }
            Answer::Full | Answer::Unreachable => self.elsewhere(person, 1_500),
        }
    }

    pub(super) fn out_of_patience(&mut self, person: usize, attempt: u64) {
        if self.people[person].attempt.take_if(|a| a.number == attempt).is_some() {
            self.trace.add("patience", &[self.now.0, person as u64]);
            self.elsewhere(person, 500);
        }
    }

    /// The next attempt goes to any tracker, some time soon.
    fn elsewhere(&mut self, person: usize, within_ms: u64) {
        self.people[person].home = self.any_node();
        let delay = self.rng.between(1, within_ms);
        self.look(person, delay);
    }

    /// Submissions to a run that ended are never answered.
    pub(super) fn forget(&mut self, at: usize) {
        self.waiting.retain(|_, submission| submission.node != at);
    }
}

//! The one task that owns the replica, and the handle through which requests reach it.
//!
//! Requests come in through a bounded queue; what the task itself set going (the disk, other trackers) comes back
//! through an unbounded one, which the number of such jobs bounds. After each input it drains the replica's outputs and
//! hands them on; it never waits for anything but its queues.

mod jobs;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender as CommitSender;
use std::time::Duration;

use peerage_ledger::{Receipt, Record};
use peerage_replica::{
    Comparison, Input, LogRow, Outcome, Output, PeerId, Replica, ReplyId, Status, Ticket, Vector, VerifiedRow,
};
use peerage_types::{RecordId, Stamp, Time};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::clock::{Monotonic, unix_ms};
use crate::lanes::Held;
use crate::limits::REPLICA_QUEUE_MAX;
use crate::state::Shared;
use crate::writer::Commit;
use crate::{neighbour, presence_shell, ripples};

/// Inputs taken before outputs are looked at: bounds one turn.
const INPUTS_PER_TURN: usize = 64;

/// How durable a submission is.
#[derive(Clone, Debug)]
pub(crate) struct Durable {
    pub(crate) stamp: Stamp,
    pub(crate) durable_on: u32,
    pub(crate) of: u32,
    /// Where the records stand.
    pub(crate) places: Vector,
}

/// The answer to a pull.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) rows: Vec<LogRow>,
    pub(crate) more: bool,
    pub(crate) snapshot: bool,
    pub(crate) vector: Vector,
}

/// What a round of comparisons found.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    /// Own scopes whose digest did not fit what could be read.
    pub(crate) corrected: u64,
    /// One per other tracker, under the address that the list gives it.
    pub(crate) peers: Vec<(String, Outcome)>,
}

/// What requests ask of the replica.
pub(crate) enum Command {
    Submit {
        records: Vec<Arc<Record>>,
        known: Vec<Receipt>,
        held: Held,
        answer: oneshot::Sender<Durable>,
    },
    Push {
        from: Option<PeerId>,
        rows: Vec<VerifiedRow>,
        answer: oneshot::Sender<Vector>,
    },
    Pull {
        from: Option<PeerId>,
        vector: Vector,
        answer: oneshot::Sender<Pulled>,
    },
    /// The list changed.
    Peer(Input),
    /// Compare digests with the other trackers.
    Compare {
        answer: Option<oneshot::Sender<Compared>>,
        damaged: Vec<RecordId>,
    },
    /// Ask all other trackers at once for what they have.
    PullNow,
    Status {
        answer: oneshot::Sender<Status>,
    },
}

/// What the task's own jobs report.
pub(crate) enum Done {
    Input(Input),
    /// The store could not read what a pull asked for.
    LoadFailed(ReplyId),
}

/// Reaches the replica from anywhere.
pub(crate) struct ReplicaHandle {
    commands: mpsc::Sender<Command>,
    /// Told after the views have changed.
    vector: watch::Sender<Vector>,
}

impl ReplicaHandle {
    /// The handle, and the ends that [`run`] needs. `vector` is what the disk holds.
    pub(crate) fn new(vector: Vector) -> (Self, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(REPLICA_QUEUE_MAX);
        (Self { commands, vector: watch::Sender::new(vector) }, inbox)
    }

    /// Does the own log reach up to the place that this receipt names?
    pub(crate) fn reaches(&self, receipt: &Receipt) -> bool {
        self.vector.borrow().get(&receipt.origin) >= receipt.seq
    }

    /// What the own disk holds.
    pub(crate) fn vector(&self) -> Vector {
        self.vector.borrow().clone()
    }

    /// Asks the other trackers and waits until everything up to `wanted` is on the disk and in the views, at most so
    /// long. False: it is not yet.
    pub(crate) async fn catch_up(&self, wanted: &Vector, within: Duration) -> bool {
        let mut vector = self.vector.subscribe();
        if vector.borrow().covers(wanted) {
            return true;
        }
        let caught_up = async {
            self.commands.send(Command::PullNow).await.is_ok()
                && vector.wait_for(|vector| vector.covers(wanted)).await.is_ok()
        };
        timeout(within, caught_up).await.unwrap_or(false)
    }

    /// What the replica knows about itself and the others. None: the tracker is stopping.
    pub(crate) async fn status(&self) -> Option<Status> {
        self.ask(|answer| Command::Status { answer }).await
    }

    /// Waits until the records are as durable as they can be now. None: the tracker is stopping.
    ///
    /// `held` is let go as soon as the records are in the views.
    pub(crate) async fn submit(
        &self,
        records: Vec<Arc<Record>>,
        known: Vec<Receipt>,
        held: Held,
    ) -> Option<Durable> {
        self.ask(|answer| Command::Submit { records, known, held, answer }).await
    }

    /// Rows that another tracker pushed. Answers with what is on our disk. None: the tracker is stopping.
    pub(crate) async fn push(&self, from: Option<PeerId>, rows: Vec<VerifiedRow>) -> Option<Vector> {
        self.ask(|answer| Command::Push { from, rows, answer }).await
    }

    /// What the other tracker lacks. None: the tracker is stopping or the store failed.
    pub(crate) async fn pull(&self, from: Option<PeerId>, vector: Vector) -> Option<Pulled> {
        self.ask(|answer| Command::Pull { from, vector, answer }).await
    }

    /// Compares digests with every other tracker, fetches what this one lost, and tells the outcome per tracker. It takes
    /// as long as reading all records. None: the tracker is stopping.
    pub(crate) async fn compare(&self) -> Option<Compared> {
        self.ask(|answer| Command::Compare { answer: Some(answer), damaged: Vec::new() }).await
    }

    /// As [`Self::compare`], and nobody waits for it.
    pub(crate) async fn compare_soon(&self) {
        self.mend(Vec::new()).await;
    }

    /// Fetches these records, which the own store cannot read, from other trackers.
    pub(crate) async fn mend(&self, damaged: Vec<RecordId>) {
        let _ = self.commands.send(Command::Compare { answer: None, damaged }).await;
    }

    /// The list names one more tracker.
    pub(crate) async fn add_peer(&self, peer: PeerId) {
        // It fails only when the tracker is stopping.
        let _ = self.commands.send(Command::Peer(Input::PeerAdded { peer })).await;
    }

    /// The list does not name this tracker any more.
    pub(crate) async fn remove_peer(&self, peer: PeerId) {
        let _ = self.commands.send(Command::Peer(Input::PeerRemoved { peer })).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.ok()?;
        answered.await.ok()
    }
}

/// What [`run`] works with.
pub(crate) struct Shell {
    pub(crate) state: Shared,
    pub(crate) replica: Replica,
    pub(crate) clock: Monotonic,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) done: mpsc::UnboundedReceiver<Done>,
    /// Given to the jobs that report through `done`.
    pub(crate) report: mpsc::UnboundedSender<Done>,
    pub(crate) writer: CommitSender<Commit>,
}

/// Runs the replica until `stopped` turns true. What has its number by then still reaches the disk: the replica hands it
/// over, and the writer works off its queue.
pub(crate) async fn run(shell: Shell, mut stopped: watch::Receiver<bool>) {
    let Shell { state, replica, clock, mut commands, mut done, report, writer } = shell;
    let mut task = Task {
        state,
        replica,
        report,
        writer,
        next_number: 0,
        submissions: HashMap::new(),
        tickets: HashMap::new(),
        pushes: HashMap::new(),
        pulls: HashMap::new(),
        comparisons: HashMap::new(),
    };
    // A crash may have come between the two.
    task.keep_twins();
    loop {
        let wake = task.drain();
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(clock.instant(at).into()).await,
                None => std::future::pending().await,
            }
        };
        let first = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => {
                task.replica.handle(clock.now(), unix_ms(), Input::Stopping);
                task.drain();
                return;
            }
            Some(report) = done.recv() => Next::Done(report),
            Some(command) = commands.recv() => Next::Command(command),
            () = timer => Next::Timeout,
        };
        // Whatever is ready to be run now adds its own: a commit, a push and an answer are cheaper for many.
        tokio::task::yield_now().await;
        let now = clock.now();
        task.take(now, first);
        for _ in 1..INPUTS_PER_TURN {
            let next = match (done.try_recv(), commands.try_recv()) {
                (Ok(report), Ok(command)) => {
                    task.take(now, Next::Done(report));
                    Next::Command(command)
                }
                (Ok(report), Err(_)) => Next::Done(report),
                (Err(_), Ok(command)) => Next::Command(command),
                (Err(_), Err(_)) => break,
            };
            task.take(now, next);
        }
    }
}

enum Next {
    Done(Done),
    Command(Command),
    Timeout,
}

struct Submission {
    answer: oneshot::Sender<Durable>,
    held: Option<Held>,
    /// Records that are not in the views yet.
    ahead: usize,
}

struct Task {
    state: Shared,
    replica: Replica,
    report: mpsc::UnboundedSender<Done>,
    writer: CommitSender<Commit>,
    next_number: u64,
    submissions: HashMap<Ticket, Submission>,
    /// Whose records are on their way to the disk.
    tickets: HashMap<RecordId, Vec<Ticket>>,
    pushes: HashMap<ReplyId, oneshot::Sender<Vector>>,
    pulls: HashMap<ReplyId, oneshot::Sender<Pulled>>,
    comparisons: HashMap<Ticket, oneshot::Sender<Compared>>,
}

impl Task {
    fn take(&mut self, now: Time, next: Next) {
        let input = match next {
            Next::Done(Done::Input(input)) => input,
            Next::Done(Done::LoadFailed(reply)) => {
                self.pulls.remove(&reply);
                return;
            }
            Next::Command(Command::Status { answer }) => {
                // Who asked may have gone away meanwhile.
                let _ = answer.send(self.replica.status());
                return;
            }
            Next::Command(command) => self.input(command),
            Next::Timeout => Input::Timeout,
        };
        self.replica.handle(now, unix_ms(), input);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn input(&mut self, command: Command) -> Input {
        match command {
            Command::Submit { records, known, held, answer } => {
                let ticket = Ticket(self.number());
                for record in &records {
                    self.tickets.entry(record.id()).or_default().push(ticket);
                }
                let ahead = records.len();
                let held = Some(held).filter(|_| ahead > 0);
                self.submissions.insert(ticket, Submission { answer, held, ahead });
                Input::Submit { ticket, records, known }
            }
            Command::Push { from, rows, answer } => {
                let reply = ReplyId(self.number());
                self.pushes.insert(reply, answer);
                Input::PushReceived { from, rows, reply }
            }
            Command::Pull { from, vector, answer } => {
                let reply = ReplyId(self.number());
                self.pulls.insert(reply, answer);
                Input::PullReceived { from, vector, reply }
            }
            // Answered where it came in.
            Command::Status { .. } => Input::Timeout,
            Command::PullNow => Input::PullNow,
            Command::Peer(input) => input,
            Command::Compare { answer, damaged } => {
                let ticket = answer.map(|answer| {
                    let ticket = Ticket(self.number());
                    self.comparisons.insert(ticket, answer);
                    ticket
                });
                Input::CompareNow { ticket, damaged }
            }
        }
    }

    /// Hands on everything the replica wants done; says when it wants to be woken.
    fn drain(&mut self) -> Option<Time> {
        loop {
            match self.replica.poll() {
                Output::WakeAt(at) => return at,
                Output::Persist { batch, rows, last_stamp } => {
                    // The writer is gone only when the tracker is going down because of it.
                    let _ = self.writer.send(Commit::Append { batch, rows, last_stamp });
                }
                Output::Keep { batch, rows } => {
                    let _ = self.writer.send(Commit::Keep { batch, rows });
                }
                Output::Adopt { batch, vector } => {
                    tracing::info!("took a snapshot of another tracker");
                    let _ = self.writer.send(Commit::Adopt { batch, vector });
                }
                Output::Scrub { exchange, after } => self.scrub(exchange, after),
                Output::Look { exchange, ask } => self.look(exchange, ask),
                Output::Ask { peer, exchange, ask } => {
                    neighbour::spawn_ask(&self.state, peer, exchange, ask, self.report.clone());
                }
                Output::Compared { tickets, corrected, peers } => self.compared(tickets, corrected, &peers),
                Output::Push { peer, batch, rows } => {
                    let report = self.report.clone();
                    neighbour::spawn_push(&self.state, peer, batch, rows, report);
                }
                Output::Pull { peer, vector } => {
                    neighbour::spawn_pull(&self.state, peer, vector, self.report.clone());
                }
                Output::LoadRows { reply, after, limit_rows, limit_bytes } => {
                    self.load(reply, after, limit_rows, limit_bytes);
                }
                Output::PushReply { reply, vector } => {
                    if let Some(answer) = self.pushes.remove(&reply) {
                        let _ = answer.send(vector);
                    }
                }
                Output::PullReply { reply, rows, more, snapshot, vector } => {
                    if let Some(answer) = self.pulls.remove(&reply) {
                        let _ = answer.send(Pulled { rows, more, snapshot, vector });
                    }
                }
                Output::Answer { ticket, stamp, durable_on, of, places } => {
                    self.state.metrics.acknowledged(durable_on);
                    if let Some(submission) = self.submissions.remove(&ticket) {
                        let _ = submission.answer.send(Durable { stamp, durable_on, of, places });
                    }
                }
                Output::Applied { rows } => self.applied(&rows),
                Output::Suspect { peer } => {
                    tracing::warn!(tracker = %self.entry(peer), "does not answer; going on without it");
                }
                Output::Recovered { peer } => {
                    tracing::info!(tracker = %self.entry(peer), "answers again");
                }
                Output::ClockSkew { peer, ms } => {
                    let tracker = self.entry(peer);
                    tracing::warn!(%tracker, ms, "its clock differs from ours; set both by NTP");
                }
                Output::Equivocation { origin, seq, ids } => {
                    self.state.metrics.equivocation();
                    tracing::error!(
                        ?origin,
                        seq,
                        ?ids,
                        "ALARM: one log position holds two records; a data folder was copied, or the cluster key leaked"
                    );
                }
            }
        }
    }

    fn applied(&mut self, rows: &[VerifiedRow]) {
        self.state.views.apply(rows);
        self.state.replica.vector.send_modify(|vector| vector.clone_from(self.replica.vector()));
        for row in rows {
            for ticket in self.tickets.remove(&row.record().id()).unwrap_or_default() {
                if let Some(submission) = self.submissions.get_mut(&ticket) {
                    submission.ahead -= 1;
                    if submission.ahead == 0 {
                        submission.held = None;
                    }
                }
            }
        }
        self.state.notices.applied(rows);
        self.state.keeper_wants(rows);
        presence_shell::expel_after(&self.state, rows);
        ripples::spread(&self.state, rows);
    }

    fn compared(&mut self, tickets: Vec<Ticket>, corrected: u64, peers: &[Comparison]) {
        if corrected > 0 {
            tracing::error!(scopes = corrected, "the database had lost or damaged records");
        }
        for Comparison { peer, outcome } in peers {
            let tracker = self.entry(*peer);
            match outcome {
                Outcome::Equal => tracing::debug!(%tracker, "has the same records"),
                Outcome::Differed { repaired, lacks } => {
                    tracing::warn!(%tracker, repaired, lacks, "had other records; each fetches what it lacks");
                }
                Outcome::Failed(why) => tracing::debug!(%tracker, %why, "not compared with"),
            }
        }
        let peers = peers.iter().map(|found| (self.entry(found.peer), found.outcome)).collect();
        let compared = Compared { corrected, peers };
        for answer in tickets.into_iter().filter_map(|ticket| self.comparisons.remove(&ticket)) {
            let _ = answer.send(compared.clone());
        }
    }

    fn entry(&self, peer: PeerId) -> String {
        self.state.neighbours.get(peer).map_or_else(|| format!("{peer:?}"), |n| n.entry().to_string())
    }
}

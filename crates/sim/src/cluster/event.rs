//! What is going to happen.

use peerage_replica::{Ask, BatchId, ExchangeId, ReplyId, Vector};
use peerage_types::Scope;

use super::network::{Failure, Message};
use super::submission::{Answer, Submission};

#[derive(Debug)]
pub(crate) enum Event {
    Arrive(Message),
    Fail(Failure),
    /// A batch is handed to the operating system.
    Written {
        node: usize,
        life: u64,
        batch: BatchId,
    },
    /// It would survive a power cut.
    Synced {
        node: usize,
        life: u64,
        batch: BatchId,
    },
    /// The replica hears of it.
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
    /// The store made some digests true.
    Scrubbed {
        node: usize,
        life: u64,
        exchange: ExchangeId,
        after: Option<Scope>,
    },
    /// The store read what its own tracker asked.
    Looked {
        node: usize,
        life: u64,
        exchange: ExchangeId,
        ask: Ask,
    },
    /// It read what another tracker asked.
    Answered {
        node: usize,
        life: u64,
        asker: usize,
        asker_life: u64,
        exchange: ExchangeId,
        ask: Ask,
    },
    Wake {
        node: usize,
        life: u64,
    },
    /// A client's bundle reaches a tracker.
    Request(Submission),
    /// A tracker's answer reaches the client.
    Reply {
        person: usize,
        attempt: u64,
        answer: Answer,
    },
    /// A client waits no longer for an answer.
    Patience {
        person: usize,
        attempt: u64,
    },
    /// A client looks into its outbox.
    Send {
        person: usize,
    },
    /// The end of a pause between operations.
    Rested,
}

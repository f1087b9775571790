//! Clients: bundles of signed records, submitted to any tracker until they are durable enough.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_replica::{Ticket, durable_enough};
use peerage_types::{ClusterId, PublicKey, RecordId, Scope, Time, UserId};

use crate::rng::Rng;

/// The cluster that all records are made for.
pub(crate) const CLUSTER: ClusterId = ClusterId([5; 16]);

/// Records in one bundle.
pub(crate) const BUNDLE_RECORDS_MAX: u64 = 3;

/// One atomic bundle.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) durable_on: u32,
    /// Disks that held it when it was acknowledged, each as (tracker, how often its disk had been lost).
    pub(crate) holders: BTreeSet<(usize, u64)>,
}

impl Bundle {
    pub(crate) fn ids(&self) -> Vec<RecordId> {
        self.records.iter().map(|record| record.id()).collect()
    }
}

/// A submission that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submission {
    pub(crate) bundle: usize,
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) since: Time,
}

/// All clients together.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) bundles: Vec<Bundle>,
    pub(crate) waiting: BTreeMap<Ticket, Submission>,
    pub(crate) answers: u64,
    tickets: u64,
}

impl Clients {
    /// A new account's bundle of a few records.
    pub(crate) fn create(&mut self, rng: &mut Rng) -> usize {
        let key = SigningKey::from_bytes(&rng.bytes());
        let identity = PublicKey(key.verifying_key().to_bytes());
        let author = UserId::of_identity(&identity);
        let count = rng.between(1, BUNDLE_RECORDS_MAX);
        let bodies = (0..count).map(|n| match n {
            0 => Body::AccountGenesis { identity },
            n => Body::Unknown { kind: 0xff00, body: n.to_le_bytes().to_vec() },
        });
        let mut records: Vec<Arc<Record>> = Vec::new();
        for body in bodies {
            let prev = records.last().map(|record| record.id());
            let draft = Draft { cluster: CLUSTER, scope: Scope::Account(author), author, prev, body };
            records.push(Arc::new(Record::sign(draft, &key)));
        }
        self.bundles.push(Bundle { records, durable_on: 0, holders: BTreeSet::new() });
        self.bundles.len() - 1
    }

    /// A bundle that a client would send again: unanswered, or on too few disks.
    pub(crate) fn unfinished(&self, rng: &mut Rng, trackers: usize) -> Option<usize> {
        let of = trackers as u32;
        let unfinished = self.bundles.iter().enumerate().filter(|(_, b)| !durable_enough(b.durable_on, of));
        let unfinished: Vec<usize> = unfinished.map(|(n, _)| n).collect();
        rng.pick(&unfinished).copied()
    }

    pub(crate) fn ticket(&mut self, submission: Submission) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, submission);
        ticket
    }

    /// Nobody answers what was submitted to a run that ended.
    pub(crate) fn forget(&mut self, node: usize) {
        self.waiting.retain(|_, submission| submission.node != node);
    }
}

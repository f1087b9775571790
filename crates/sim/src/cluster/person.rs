//! A client: an identity, devices, and an outbox that outlives crashes because it is written down first.

use std::collections::BTreeMap;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use peerage_ledger::{Body, Draft, Record};
use peerage_replica::{BundleId, Outbox};
use peerage_types::{ClusterId, PublicKey, RecordId, Scope, Time, UserId};

use crate::rng::Rng;

/// The cluster that all records are made for.
pub(crate) const CLUSTER: ClusterId = ClusterId([5; 16]);

/// What a client keeps on its disk.
#[derive(Clone, Debug, Default)]
struct Saved {
    outbox: Vec<u8>,
    heads: BTreeMap<(PublicKey, Scope), RecordId>,
}

/// A bundle under way to a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u64,
    pub(crate) bundle: BundleId,
    pub(crate) node: usize,
}

/// One person with a client.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) identity: SigningKey,
    pub(crate) user: UserId,
    /// All devices ever, certified or about to be.
    pub(crate) devices: Vec<SigningKey>,
    /// Never let in by anybody: whatever is done in this name inside groups must come to nothing.
    pub(crate) stranger: bool,
    /// An account was created, and as far as the client knows that was not refused.
    pub(crate) created: bool,
    pub(crate) outbox: Outbox,
    /// The last own record of each key in each scope.
    heads: BTreeMap<(PublicKey, Scope), RecordId>,
    saved: Saved,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) attempts: u64,
    /// How often trackers would not take a bundle, be it that they lacked something.
    pub(crate) refusals: BTreeMap<BundleId, u32>,
    /// Where this client asks first.
    pub(crate) home: usize,
    /// When the next attempt is due.
    pub(crate) send_at: Option<Time>,
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

impl Person {
    pub(crate) fn new(rng: &mut Rng, stranger: bool, home: usize) -> Self {
        let identity = SigningKey::from_bytes(&rng.bytes());
        Self {
            user: UserId::of_identity(&public(&identity)),
            devices: vec![SigningKey::from_bytes(&rng.bytes())],
            identity,
            stranger,
            created: false,
            outbox: Outbox::new(),
            heads: BTreeMap::new(),
            saved: Saved { outbox: Outbox::new().encode(), heads: BTreeMap::new() },
            attempt: None,
            attempts: 0,
            refusals: BTreeMap::new(),
            home,
            send_at: None,
        }
    }

    /// Signs the next record of this key in this scope; `head` is the last one that a tracker knows.
    pub(crate) fn sign(
        &mut self,
        key: &SigningKey,
        scope: Scope,
        head: Option<RecordId>,
        body: Body,
    ) -> Arc<Record> {
        let prev = self.heads.get(&(public(key), scope)).copied().or(head);
        let draft = Draft { cluster: CLUSTER, scope, author: self.user, prev, body };
        let record = Arc::new(Record::sign(draft, key));
        self.heads.insert((public(key), record.scope()), record.id());
        record
    }

    /// The last record that this key signed here, as far as the client knows.
    pub(crate) fn head(&self, key: &SigningKey, scope: Scope) -> Option<RecordId> {
        self.heads.get(&(public(key), scope)).copied()
    }

    /// Puts a bundle into the outbox and onto the client's disk.
    pub(crate) fn enqueue(&mut self, records: &[Arc<Record>]) {
        self.outbox.push(records.iter().map(|record| record.shared_bytes()).collect());
        self.save();
    }

    pub(crate) fn save(&mut self) {
        self.saved = Saved { outbox: self.outbox.encode(), heads: self.heads.clone() };
    }

    /// Trackers refuse a bundle: forget it, and do not build upon it.
    pub(crate) fn give_up(&mut self, bundle: BundleId, records: &[Arc<Record>]) {
        self.outbox.remove(bundle);
        self.refusals.remove(&bundle);
        for record in records.iter().rev() {
            self.created &= !matches!(record.body(), Body::AccountGenesis { .. });
            let key = (record.signer(), record.scope());
            if self.heads.get(&key) == Some(&record.id()) {
                self.heads.remove(&key);
            }
        }
        self.save();
    }

    /// The client ends and starts again with what its disk holds.
    pub(crate) fn crash(&mut self) -> Result<(), String> {
        self.outbox = Outbox::decode(&self.saved.outbox).map_err(|e| e.to_string())?;
        self.heads = self.saved.heads.clone();
        self.refusals.clear();
        self.attempt = None;
        self.attempts += 1;
        self.send_at = None;
        Ok(())
    }
}

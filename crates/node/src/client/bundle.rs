//! Signing and submitting the records of one command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_ledger::{Body, Draft, Facts, Order, Record};
use peerage_types::{GroupId, RecordId, Scope};
use tokio::sync::MutexGuard;

use super::Refusal;
use super::outbox::{SendError, Unreachable};
use super::session::Session;
use super::trackers::TrackersError;

/// Records of one group, signed one after another by this device. Nobody else signs meanwhile.
pub(super) struct Bundle<'a> {
    session: &'a Session,
    heads: MutexGuard<'a, BTreeMap<GroupId, RecordId>>,
    group: GroupId,
    head: Option<RecordId>,
    records: Vec<Arc<[u8]>>,
}

impl Session {
    /// Starts the records of a command. `facts`: the group as the command saw it.
    pub(super) async fn bundle(&self, group: GroupId, facts: &Facts) -> Bundle<'_> {
        let heads = self.heads.lock().await;
        let head = heads.get(&group).copied().or_else(|| self.head(facts));
        Bundle { session: self, heads, group, head, records: Vec::new() }
    }

    /// Starts a new group.
    pub(super) async fn founding(&self) -> Bundle<'_> {
        let group = GroupId([0; 32]);
        Bundle { session: self, heads: self.heads.lock().await, group, head: None, records: Vec::new() }
    }

    /// This device's last record, also counting what is still in the outbox.
    fn head(&self, facts: &Facts) -> Option<RecordId> {
        let mut facts = facts.clone();
        for bytes in self.outbox.records() {
            if let Ok(record) = Record::decode(&bytes, &self.cluster.id)
                && record.signer() == self.device
                && facts.iter().next().is_some_and(|f| f.record.scope() == record.scope())
            {
                facts.insert(Arc::new(record), Order::LAST);
            }
        }
        facts.head(&self.device)
    }
}

impl Bundle<'_> {
    /// Signs one more record.
    pub(super) fn add(&mut self, body: Body) -> RecordId {
        let draft = Draft {
            cluster: self.session.cluster.id,
            scope: Scope::Group(self.group),
            author: self.session.user,
            prev: self.head,
            body,
        };
        let record = Record::sign(draft, &self.session.key);
        if let Scope::Group(group) = record.scope() {
            self.group = group;
        }
        self.head = Some(record.id());
        self.records.push(record.shared_bytes());
        record.id()
    }

    /// The group; of a new one the id that its genesis gave it.
    pub(super) fn group(&self) -> GroupId {
        self.group
    }

    /// Submits all of them, or none takes effect.
    pub(super) async fn send(mut self, unreachable: Unreachable) -> Result<(), SendError> {
        let records = std::mem::take(&mut self.records);
        let mut sent = self.session.send(records.clone(), unreachable).await;
        // A tracker that shows less than we know may refuse because of that: then it gets what it lacks.
        if sent.as_ref().is_err_and(|error| refused(error).is_some())
            && !self.session.groups.behind(&self.group).is_empty()
        {
            match self.session.catch_up(self.group, &BTreeSet::new()).await {
                Ok(_) => sent = self.session.send(records, unreachable).await,
                Err(error) => tracing::info!(%error, "a tracker that lags could not be helped"),
            }
        }
        match (&sent, self.head) {
            (Ok(()), Some(head)) => self.heads.insert(self.group, head),
            // What the next record builds on is found out anew.
            _ => self.heads.remove(&self.group),
        };
        sent
    }

    /// As [`Self::send`], for a command.
    pub(super) async fn submit(self) -> Result<(), Refusal> {
        let session = self.session;
        self.send(Unreachable::GiveUp).await.map_err(|error| session.refuse_send(error))
    }
}

impl Session {
    async fn send(&self, records: Vec<Arc<[u8]>>, unreachable: Unreachable) -> Result<(), SendError> {
        let supply = |ids: &[RecordId]| self.groups.supply(ids);
        self.outbox.send(&self.trackers, records, unreachable, &supply).await
    }

    /// What a failed submission means to a command.
    pub(super) fn refuse_send(&self, error: SendError) -> Refusal {
        match error {
            SendError::Trackers(TrackersError::Unreachable { tried, sent: true }) => {
                Refusal::OutcomeOpen { tried }
            }
            SendError::Trackers(error) => self.refuse(error),
            SendError::Folder(error) => Refusal::Local(error.to_string()),
        }
    }
}

/// The tracker's refusal, if it is one.
pub(super) fn refused(error: &SendError) -> Option<&peerage_link::api::ApiError> {
    match error {
        SendError::Trackers(TrackersError::Refused(error)) => Some(error),
        _ => None,
    }
}

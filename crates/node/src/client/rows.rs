//! Records with their receipts, as trackers and members show them: nothing gets further unverified.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerage_ledger::{AccountView, CheckedKey, Facts, Receipt, Record, Sealed};
use peerage_link::api::SignedRow;
use peerage_types::{ClusterId, PublicKey, RecordId, Scope, UserId};

/// Why a snapshot was not accepted: the tracker is at fault, or the disk the rows were kept on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// A record that does not verify.
    #[error("a record is invalid: {0}")]
    Record(String),
    /// A receipt that the cluster key did not sign, or for another record.
    #[error("the receipt of record {0} is invalid")]
    Receipt(RecordId),
    /// A record of another group or account.
    #[error("record {0} does not belong here")]
    Scope(RecordId),
    /// Valid rows that make no group: the genesis or its author's account is missing.
    #[error("the group's beginning is missing")]
    Incomplete,
}

/// The rows of one scope, verified.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) facts: Facts,
    pub(super) receipts: BTreeMap<RecordId, Receipt>,
}

impl Rows {
    /// Verifies and adds rows; known ones cost nothing.
    pub(super) fn add(&mut self, rows: &[SignedRow], scope: Scope, keys: &Keys) -> Result<(), SnapshotFault> {
        let cluster_key = CheckedKey::new(&keys.cluster_key);
        // What was signed together is looked at once.
        let mut seals = BTreeMap::new();
        let mut sealed = |receipt: &Receipt| {
            let right = |sealed: &Sealed| Some(sealed.check(cluster_key.as_ref()?)?.holds());
            let sealed = receipt.sealed()?;
            Some(*seals.entry(sealed).or_insert_with_key(|sealed| right(sealed) == Some(true)))
        };
        for SignedRow { record, receipt } in rows {
            // Verified when it came first, whoever it was signed with.
            if self.receipts.get(&receipt.record).is_some_and(|known| known.says_same(receipt)) {
                continue;
            }
            let record = match self.facts.get(&receipt.record) {
                Some(known) if known.record.bytes() == record.as_slice() => Arc::clone(&known.record),
                _ => Arc::new(
                    Record::decode(record, &keys.cluster)
                        .map_err(|e| SnapshotFault::Record(e.to_string()))?,
                ),
            };
            let id = record.id();
            if record.scope() != scope {
                return Err(SnapshotFault::Scope(id));
            }
            if receipt.record != id || sealed(receipt) != Some(true) {
                return Err(SnapshotFault::Receipt(id));
            }
            if self.facts.insert(record, receipt.order()) {
                self.receipts.insert(id, receipt.clone());
            }
        }
        Ok(())
    }

    /// The chosen records, each after those that it can rest on.
    pub(super) fn in_order(&self, chosen: impl Fn(&RecordId) -> bool) -> Vec<Arc<[u8]>> {
        let mut facts: Vec<_> = self.facts.iter().filter(|fact| chosen(&fact.record.id())).collect();
        facts.sort_by_key(|fact| fact.rank());
        facts.into_iter().map(|fact| fact.record.shared_bytes()).collect()
    }

    /// One record with its receipt.
    pub(super) fn row(&self, id: &RecordId) -> Option<SignedRow> {
        let record = self.facts.get(id)?.record.bytes().to_vec();
        Some(SignedRow { record, receipt: self.receipts.get(id)?.clone() })
    }

    /// All of them.
    pub(super) fn signed(&self) -> Vec<SignedRow> {
        self.receipts.keys().filter_map(|id| self.row(id)).collect()
    }
}

/// What signatures are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// Whose records count.
    pub cluster: ClusterId,
    /// What signs receipts.
    pub cluster_key: PublicKey,
}

/// Verifies the records of one account and settles it.
pub fn account_of(
    user: UserId,
    rows: &[SignedRow],
    keys: &Keys,
) -> Result<(Facts, AccountView), SnapshotFault> {
    let mut verified = Rows::default();
    verified.add(rows, Scope::Account(user), keys)?;
    let view = AccountView::of(user, &verified.facts).ok_or(SnapshotFault::Incomplete)?;
    Ok((verified.facts, view))
}

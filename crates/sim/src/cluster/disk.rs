//! One tracker's disk: what is on it survives a crash.

use std::collections::BTreeMap;

use peerage_ledger::{Origin, Receipt};
use peerage_replica::{LogRow, Vector, VerifiedRow};
use peerage_types::{RecordId, Stamp, TrackerId};

/// The durable state of one tracker.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Made with the disk: a tracker that lost its disk is another installation.
    pub(crate) tracker: TrackerId,
    log: BTreeMap<Origin, Vec<LogRow>>,
    records: BTreeMap<RecordId, Receipt>,
    pub(crate) last_stamp: Stamp,
}

impl Disk {
    pub(crate) fn new(tracker: TrackerId) -> Self {
        Self { tracker, log: BTreeMap::new(), records: BTreeMap::new(), last_stamp: Stamp::default() }
    }

    /// One transaction. Fails when a row does not continue its origin.
    pub(crate) fn append(&mut self, rows: &[VerifiedRow], last_stamp: Stamp) -> Result<(), String> {
        for row in rows {
            let receipt = row.receipt();
            let log = self.log.entry(receipt.origin).or_default();
            let expected = log.len() as u64 + 1;
            if receipt.seq != expected {
                return Err(format!(
                    "{:?} goes on with {}, expected {expected}",
                    receipt.origin, receipt.seq
                ));
            }
            if log.last().is_some_and(|last| last.receipt.stamp >= receipt.stamp) {
                return Err(format!("row {} of {:?} has no higher stamp", receipt.seq, receipt.origin));
            }
            log.push(row.row());
            let lowest = self.records.entry(receipt.record).or_insert_with(|| receipt.clone());
            if receipt.order() < lowest.order() {
                *lowest = receipt.clone();
            }
        }
        self.last_stamp = last_stamp;
        Ok(())
    }

    pub(crate) fn vector(&self) -> Vector {
        self.log.iter().map(|(origin, rows)| (*origin, rows.len() as u64)).collect()
    }

    /// The lowest receipt of a record, if it is here.
    pub(crate) fn receipt(&self, id: &RecordId) -> Option<&Receipt> {
        self.records.get(id)
    }

    pub(crate) fn has_all<'a>(&self, ids: impl IntoIterator<Item = &'a RecordId>) -> bool {
        ids.into_iter().all(|id| self.records.contains_key(id))
    }

    pub(crate) fn has_row(&self, receipt: &Receipt) -> bool {
        let log = self.log.get(&receipt.origin);
        let at = usize::try_from(receipt.seq - 1).ok();
        log.zip(at).and_then(|(log, at)| log.get(at)).is_some_and(|row| row.receipt == *receipt)
    }

    pub(crate) fn rows_after(
        &self,
        vector: &Vector,
        limit_rows: usize,
        limit_bytes: usize,
    ) -> (Vec<LogRow>, bool) {
        let (mut picked, mut bytes) = (Vec::new(), 0);
        for (origin, log) in &self.log {
            let from = usize::try_from(vector.get(origin)).unwrap_or(usize::MAX).min(log.len());
            for row in &log[from..] {
                bytes += row.record.len();
                if !picked.is_empty() && (picked.len() >= limit_rows || bytes > limit_bytes) {
                    return (picked, true);
                }
                picked.push(row.clone());
            }
        }
        (picked, false)
    }

    /// The highest stamp that any run of this installation gave out, as far as it is on this disk.
    pub(crate) fn own_stamp_max(&self) -> Stamp {
        let own = self.log.iter().filter(|(origin, _)| origin.tracker == self.tracker);
        own.filter_map(|(_, rows)| rows.last()).map(|row| row.receipt.stamp).max().unwrap_or_default()
    }

    pub(crate) fn rows(&self) -> usize {
        self.log.values().map(Vec::len).sum()
    }

    /// Same rows, same records?
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.log == other.log && self.records == other.records
    }
}

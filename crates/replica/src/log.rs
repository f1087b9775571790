//! The parts of the log that are kept in memory: own rows that others may still need, and ids seen lately.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerage_ledger::Origin;
use peerage_types::{RecordId, Stamp};

use crate::exchange::Place;
use crate::row::LogRow;

/// The last rows of the own origin that are on the disk, for pushing.
///
/// Invariant: sequence numbers are contiguous and end where the own durable log ends.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Each with whether a bundle ends with it.
    rows: VecDeque<(LogRow, bool)>,
    bytes: usize,
}

impl Tail {
    /// `ends`: a bundle ends with this row.
    pub(crate) fn push(&mut self, row: LogRow, ends: bool, rows_max: usize, bytes_max: usize) {
        let follows = self.rows.back().is_none_or(|(last, _)| last.receipt.seq + 1 == row.receipt.seq);
        assert!(follows, "the own log has a gap before row {}", row.receipt.seq);
        self.bytes += row.record.len();
        self.rows.push_back((row, ends));
        while self.rows.len() > rows_max || (self.bytes > bytes_max && self.rows.len() > 1) {
            if let Some((row, _)) = self.rows.pop_front() {
                self.bytes -= row.record.len();
            }
        }
    }

    /// The rows that follow number `seq`, as many as fit, but whole bundles: receivers apply them in one step. If they
    /// are gone already, the oldest that are left:
    /// the receiver notices the gap and pulls.
    pub(crate) fn after(&self, seq: u64, rows_max: usize, bytes_max: usize) -> Vec<LogRow> {
        let Some((first, _)) = self.rows.front() else { return Vec::new() };
        let skip = usize::try_from((seq + 1).saturating_sub(first.receipt.seq)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut picked = Vec::new();
        let mut between = false;
        for (row, ends) in self.rows.iter().skip(skip) {
            bytes += row.record.len();
            if between && (picked.len() >= rows_max || bytes > bytes_max) {
                break;
            }
            picked.push(row.clone());
            between = *ends;
        }
        picked
    }
}

/// Records that were staged lately, by id and by place. The oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    by_id: BTreeMap<RecordId, Place>,
    by_place: BTreeMap<(Origin, u64), (RecordId, Stamp)>,
    arrival: VecDeque<(Origin, u64)>,
}

impl Recent {
    pub(crate) fn insert(&mut self, record: RecordId, place: Place, rows_max: usize) {
        let Place { origin, seq, stamp, .. } = place;
        self.by_id.entry(record).or_insert(place);
        self.by_place.insert((origin, seq), (record, stamp));
        self.arrival.push_back((origin, seq));
        while self.arrival.len() > rows_max {
            if let Some(place) = self.arrival.pop_front()
                && let Some((id, _)) = self.by_place.remove(&place)
                && self.by_id.get(&id).is_some_and(|known| (known.origin, known.seq) == place)
            {
                self.by_id.remove(&id);
            }
        }
    }

    pub(crate) fn place_of(&self, id: &RecordId) -> Option<Place> {
        self.by_id.get(id).copied()
    }

    /// The next place that this record gets is the one that counts.
    pub(crate) fn forget_place_of(&mut self, id: &RecordId) {
        self.by_id.remove(id);
    }

    /// Which record was given this number, and when.
    pub(crate) fn at(&self, origin: Origin, seq: u64) -> Option<(RecordId, Stamp)> {
        self.by_place.get(&(origin, seq)).copied()
    }
}

/// Twins that were told of. The oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    known: BTreeSet<(Origin, u64, RecordId)>,
    arrival: VecDeque<(Origin, u64, RecordId)>,
    count: u64,
}

impl Alarms {
    /// Notes it.
    pub(crate) fn is_new(&mut self, origin: Origin, seq: u64, record: RecordId, alarms_max: usize) -> bool {
        let twin = (origin, seq, record);
        if !self.known.insert(twin) {
            return false;
        }
        self.count += 1;
        self.arrival.push_back(twin);
        while self.arrival.len() > alarms_max {
            if let Some(oldest) = self.arrival.pop_front() {
                self.known.remove(&oldest);
            }
        }
        true
    }

    /// Was this row told of as a twin?
    pub(crate) fn is_twin(&self, origin: Origin, seq: u64, record: RecordId) -> bool {
        self.known.contains(&(origin, seq, record))
    }

    /// Does this place stand for several records or times, as far as is known?
    pub(crate) fn is_contested(&self, origin: Origin, seq: u64) -> bool {
        let all = (origin, seq, RecordId([0; 32]))..=(origin, seq, RecordId([u8::MAX; 32]));
        self.known.range(all).next().is_some()
    }

    /// How many there were, the forgotten ones too.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use peerage_ledger::{Receipt, Seal};
    use peerage_types::TrackerId;

    use super::*;

    fn receipt(seq: u64, record: u8) -> Receipt {
        let origin = Origin { tracker: TrackerId([1; 16]), incarnation: 1 };
        let record = RecordId([record; 32]);
        Receipt { origin, seq, stamp: Stamp(seq), record, seal: Seal::alone([0; 64]) }
    }

    fn row(seq: u64) -> LogRow {
        LogRow { receipt: receipt(seq, 0), record: Arc::from([0; 10].as_slice()) }
    }

    #[test]
    fn tail_keeps_the_end_and_serves_from_anywhere() {
        let mut tail = Tail::default();
        let after = |tail: &Tail, seq, rows, bytes| -> Vec<u64> {
            tail.after(seq, rows, bytes).iter().map(|row| row.receipt.seq).collect()
        };
        assert!(after(&tail, 0, 9, 99).is_empty());
        for seq in 1..=6 {
            tail.push(row(seq), true, 4, 1_000);
        }
        assert_eq!(after(&tail, 0, 9, 999), [3, 4, 5, 6]);
        assert_eq!(after(&tail, 3, 2, 999), [4, 5]);
        assert_eq!(after(&tail, 3, 9, 20), [4, 5]);
        assert_eq!(after(&tail, 4, 9, 1), [5]);
        assert!(after(&tail, 6, 9, 999).is_empty());
        assert!(after(&tail, 99, 9, 999).is_empty());
        tail.push(row(7), true, 4, 15);
        assert_eq!(after(&tail, 0, 9, 999), [7]);
    }

    #[test]
    fn tail_does_not_part_a_bundle() {
        let mut tail = Tail::default();
        for (seq, ends) in [(1, true), (2, false), (3, true), (4, false), (5, false), (6, true)] {
            tail.push(row(seq), ends, 9, 1_000);
        }
        let after = |seq, rows, bytes| -> Vec<u64> {
            tail.after(seq, rows, bytes).iter().map(|row| row.receipt.seq).collect()
        };
        assert_eq!(after(0, 1, 999), [1]);
        assert_eq!(after(0, 2, 999), [1, 2, 3]);
        assert_eq!(after(1, 9, 1), [2, 3]);
        assert_eq!(after(3, 1, 1), [4, 5, 6]);
    }

    #[test]
    fn recent_forgets_the_oldest() {
        let mut recent = Recent::default();
        for (seq, id) in [(1, 10), (2, 11), (3, 10), (4, 12)] {
            recent.insert(RecordId([id; 32]), Place::of(&receipt(seq, id)), 2);
        }
        let origin = receipt(1, 0).origin;
        assert!(recent.at(origin, 1).is_none() && recent.at(origin, 2).is_none());
        assert_eq!(recent.at(origin, 3), Some((RecordId([10; 32]), Stamp(3))));
        assert_eq!(recent.place_of(&RecordId([12; 32])).map(|place| place.seq), Some(4));
        assert!(recent.place_of(&RecordId([11; 32])).is_none());
    }
}

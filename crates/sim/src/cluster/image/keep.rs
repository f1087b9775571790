//! Rows that come outside the order of the log: what was lost and is fetched again, and the pages of a snapshot.

use std::collections::BTreeSet;

use peerage_ledger::Receipt;
use peerage_replica::{Vector, VerifiedRow};

use super::{Image, Row};

impl Image {
    /// Puts rows where they belong, and leaves the vector alone. A row whose place holds another one is passed over.
    pub(crate) fn keep(&mut self, rows: &[VerifiedRow]) {
        let mut mended = BTreeSet::new();
        for row in rows {
            if self.keep_row(row) {
                mended.insert(row.record().scope());
            }
        }
        mended.iter().for_each(|scope| _ = self.mend(scope));
    }

    /// Tells whether more had to be done than to add what was not there.
    fn keep_row(&mut self, row: &VerifiedRow) -> bool {
        let Receipt { origin, seq, .. } = *row.receipt();
        let id = row.record().id();
        let held = self.log.get(&origin).and_then(|log| log.rows.get(&seq));
        if held.is_some_and(|held| !held.row.receipt().says_same(row.receipt())) {
            return false;
        }
        let held = held.map(|held| held.number);
        let mut mended = false;
        let number = match self.records.get_mut(&id) {
            None => {
                mended = held.is_some();
                self.insert(row, held)
            }
            Some(stored) => {
                mended |= std::mem::take(&mut stored.damaged);
                let (number, unplaced) = (stored.number, stored.unplaced);
                if unplaced {
                    mended = true;
                    self.place(row);
                } else if row.receipt().order() < stored.lowest.receipt().order() {
                    self.lower(row);
                }
                number
            }
        };
        mended |= held.is_some_and(|held| held != number);
        self.log.entry(origin).or_default().rows.insert(seq, Row { row: row.clone(), number });
        mended
    }

    /// Raises the vector. What the log lacks below it stays missing.
    pub(crate) fn adopt(&mut self, vector: &Vector) {
        for (origin, seq) in vector.iter() {
            if self.vector.get(origin) < seq {
                self.reach(*origin, seq);
                self.log.entry(*origin).or_default().floor = seq;
            }
        }
    }

    /// The deliberate bug of [`Sabotage::SnapshotReplaces`](crate::cluster::Sabotage::SnapshotReplaces): the vector
    /// becomes the snapshot's, whatever was reached before.
    pub(crate) fn replace(&mut self, vector: &Vector) {
        self.vector = Vector::new();
        self.vector_sum = 0;
        self.adopt(vector);
    }
}

//! The database of one tracker, table by table as `peerage_store` has it, so that what gets lost there gets lost here.
//!
//! The log names records by number, the record names the log row of its lowest receipt, and each scope carries its
//! digest along. A fact can be read when all of that fits together: faults ([`harm`]) take parts away without telling
//! the others. [`keep`] puts them back, [`digests`] tells what is there, and [`Image::rows_after`] serves the log.

mod digests;
mod harm;
mod keep;

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::{Body, Claim, GroupClaim, Order, Origin, Receipt};
use peerage_replica::{Digest, LogRow, Vector, VerifiedRow};
use peerage_types::{FoldedName, RecordId, Scope, Stamp, TrackerId};

pub(crate) use self::digests::Pages;
pub(crate) use self::harm::Harm;

/// A database, as one moment left it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Made with the disk: a tracker that lost its disk is another installation.
    pub(crate) tracker: TrackerId,
    pub(crate) last_stamp: Stamp,
    log: BTreeMap<Origin, Log>,
    vector: Vector,
    /// Sum over the vector's entries: equal for equal vectors.
    vector_sum: u128,
    records: BTreeMap<RecordId, Stored>,
    /// Records by number: the order in which they came.
    numbers: BTreeMap<u64, RecordId>,
    /// Never given out again.
    number_last: u64,
    scopes: BTreeMap<Scope, ScopeRow>,
    /// Sum of the scopes' digests.
    root: Digest,
    /// Claims by name, in the order in which they arrived here.
    users: BTreeMap<FoldedName, Vec<RecordId>>,
    groups: BTreeMap<FoldedName, Vec<RecordId>>,
}

/// One origin's rows.
#[derive(Clone, Debug, Default)]
struct Log {
    rows: BTreeMap<u64, Row>,
    /// Below it only rows that came with a snapshot are there.
    floor: u64,
}

#[derive(Clone, Debug)]
struct Row {
    row: VerifiedRow,
    /// The record that it is about.
    number: u64,
}

/// A record with the row of its lowest receipt.
#[derive(Clone, Debug)]
struct Stored {
    number: u64,
    lowest: VerifiedRow,
    /// Its bytes are not what they were.
    damaged: bool,
    /// The log lacks the row of its lowest receipt.
    unplaced: bool,
}

#[derive(Clone, Debug, Default)]
struct ScopeRow {
    ids: BTreeSet<RecordId>,
    digest: Digest,
}

/// What the log has for somebody who pulls.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Contiguous per origin.
    pub(crate) rows: Vec<LogRow>,
    pub(crate) more: bool,
    /// Some of what the asker lacks is not in the log any more, or never was.
    pub(crate) snapshot: bool,
    /// A row is missing or cannot be read.
    pub(crate) holes: u64,
}

impl Stored {
    fn readable(&self) -> bool {
        !self.damaged && !self.unplaced
    }
}

impl Image {
    pub(crate) fn new(tracker: TrackerId) -> Self {
        Self {
            tracker,
            last_stamp: Stamp::default(),
            log: BTreeMap::new(),
            vector: Vector::new(),
            vector_sum: 0,
            records: BTreeMap::new(),
            numbers: BTreeMap::new(),
            number_last: 0,
            scopes: BTreeMap::new(),
            root: Digest::EMPTY,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// One transaction. Fails when a row does not continue its origin.
    pub(crate) fn append(&mut self, rows: &[VerifiedRow], last_stamp: Stamp) -> Result<(), String> {
        let mut mended = BTreeSet::new();
        for row in rows {
            let Receipt { origin, seq, stamp, .. } = *row.receipt();
            let expected = self.vector.get(&origin) + 1;
            if seq != expected {
                return Err(format!("{origin:?} goes on with {seq}, expected {expected}"));
            }
            let before = self.log.get(&origin).and_then(|log| log.rows.range(..seq).next_back());
            if before.is_some_and(|(_, before)| before.row.receipt().stamp >= stamp) {
                return Err(format!("row {seq} of {origin:?} has no higher stamp"));
            }
            let number = match self.records.get(&row.record().id()) {
                Some(stored) if stored.unplaced => {
                    mended.insert(row.record().scope());
                    self.place(row)
                }
                Some(stored) => {
                    let (number, lower) =
                        (stored.number, row.receipt().order() < stored.lowest.receipt().order());
                    if lower {
                        self.lower(row);
                    }
                    number
                }
                None => self.insert(row, None),
            };
            // A snapshot may have brought the row before its turn.
            let held = self.log.entry(origin).or_default().rows.entry(seq);
            let held = held.or_insert_with(|| Row { row: row.clone(), number });
            if !held.row.receipt().says_same(row.receipt()) {
                return Err(format!("row {seq} of {origin:?} is there already, and another"));
            }
            held.number = number;
            self.reach(origin, seq);
        }
        mended.iter().for_each(|scope| _ = self.mend(scope));
        self.last_stamp = last_stamp;
        Ok(())
    }

    fn reach(&mut self, origin: Origin, seq: u64) {
        let before = entry_sum(&origin, self.vector.get(&origin));
        self.vector.raise(origin, seq);
        let after = entry_sum(&origin, self.vector.get(&origin));
        self.vector_sum = self.vector_sum.wrapping_sub(before).wrapping_add(after);
    }

    /// A record that is not there, under this number if that is free. Its digest is another matter if it was lost.
    fn insert(&mut self, row: &VerifiedRow, number: Option<u64>) -> u64 {
        let (id, scope) = (row.record().id(), row.record().scope());
        let number = number.filter(|number| !self.numbers.contains_key(number)).unwrap_or_else(|| {
            self.number_last += 1;
            self.number_last
        });
        self.numbers.insert(number, id);
        let stored = Stored { number, lowest: row.clone(), damaged: false, unplaced: false };
        self.records.insert(id, stored);
        self.scopes.entry(scope).or_default().ids.insert(id);
        self.count(scope, |digest| digest.add(&id, &row.receipt().order()));
        let index = match row.record().body() {
            Body::UserNameClaim { name } => Some((&mut self.users, name)),
            Body::GroupGenesis { name, .. } => Some((&mut self.groups, name)),
            _ => None,
        };
        if let Some((index, name)) = index {
            let claims = index.entry(name.folded()).or_default();
            claims.retain(|claim| *claim != id);
            claims.push(id);
        }
        number
    }

    /// A lower receipt for a record that is there.
    fn lower(&mut self, row: &VerifiedRow) {
        let id = row.record().id();
        let Some(stored) = self.records.get_mut(&id) else { return };
        let before = std::mem::replace(&mut stored.lowest, row.clone()).receipt().order();
        self.count(row.record().scope(), |digest| {
            digest.remove(&id, &before);
            digest.add(&id, &row.receipt().order());
        });
    }

    /// The log row of a record's lowest receipt was lost: this one stands for it. The digest is to be mended.
    fn place(&mut self, row: &VerifiedRow) -> u64 {
        let Some(stored) = self.records.get_mut(&row.record().id()) else { return 0 };
        stored.lowest = row.clone();
        stored.unplaced = false;
        stored.number
    }

    /// Changes a scope's digest, and the root with it.
    fn count(&mut self, scope: Scope, change: impl Fn(&mut Digest)) {
        change(&mut self.scopes.entry(scope).or_default().digest);
        change(&mut self.root);
    }

    pub(crate) fn vector(&self) -> &Vector {
        &self.vector
    }

    /// Equal for equal vectors, different for different ones.
    pub(crate) fn vector_sum(&self) -> u128 {
        self.vector_sum
    }

    /// A receipt of a record within the vector, not necessarily its lowest. None: it is not there, or only where an
    /// unfinished snapshot put it.
    pub(crate) fn reached(&self, id: &RecordId) -> Option<&Receipt> {
        let number = self.records.get(id)?.number;
        let rows = self.log.iter().flat_map(|(origin, log)| log.rows.range(..=self.vector.get(origin)));
        let mut receipts = rows.filter(|(_, row)| row.number == number).map(|(_, row)| row.row.receipt());
        receipts.find(|receipt| receipt.record == *id)
    }

    /// Records whose lowest receipts are beyond the vector.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = &VerifiedRow> {
        let rows = self.log.iter().flat_map(|(origin, log)| log.rows.range(self.vector.get(origin) + 1..));
        let lowest = rows.filter_map(|(_, row)| Some((row, self.get(&row.row.receipt().record)?)));
        lowest.filter(|(row, lowest)| row.row.receipt().says_same(lowest.receipt())).map(|(_, lowest)| lowest)
    }

    /// Are there rows beyond the vector, of a snapshot that was not finished or that went on meanwhile?
    pub(crate) fn is_ahead(&self) -> bool {
        let last = |log: &Log| log.rows.last_key_value().map_or(0, |(seq, _)| *seq);
        self.log.iter().any(|(origin, log)| last(log) > self.vector.get(origin))
    }

    /// From where on each origin's log is whole, where that is not from its beginning on.
    pub(crate) fn floors(&self) -> impl Iterator<Item = (&Origin, u64)> {
        self.log.iter().map(|(origin, log)| (origin, log.floor)).filter(|(_, floor)| *floor > 0)
    }

    /// A record with its lowest receipt, if it can be read.
    pub(crate) fn get(&self, id: &RecordId) -> Option<&VerifiedRow> {
        self.records.get(id).filter(|stored| stored.readable()).map(|stored| &stored.lowest)
    }

    /// One scope's records with their lowest receipts.
    pub(crate) fn scope(&self, scope: &Scope) -> impl Iterator<Item = &VerifiedRow> {
        self.scopes.get(scope).into_iter().flat_map(|row| &row.ids).filter_map(|id| self.get(id))
    }

    /// Records of a scope whose bytes are not what their id says: whoever reads the scope notices these.
    pub(crate) fn damaged(&self, scope: &Scope) -> Vec<RecordId> {
        let ids = self.scopes.get(scope).into_iter().flat_map(|row| &row.ids);
        let noticed = |id: &&RecordId| self.records.get(id).is_some_and(|s| s.damaged && !s.unplaced);
        ids.filter(noticed).copied().collect()
    }

    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.keys()
    }

    /// Claims to a user name, in order of arrival.
    pub(crate) fn user_claims(&self, name: &FoldedName) -> Vec<Claim> {
        let ids = self.users.get(name).into_iter().flatten();
        let rows = ids.filter_map(|id| self.get(id));
        rows.map(|row| Claim {
            order: row.receipt().order(),
            id: row.record().id(),
            user: row.record().author(),
        })
        .collect()
    }

    /// Claims to a group name, in order of arrival; how the groups ended is for the views to tell.
    pub(crate) fn group_claims(&self, name: &FoldedName) -> Vec<GroupClaim> {
        let ids = self.groups.get(name).into_iter().flatten();
        let rows = ids.filter_map(|id| self.get(id));
        rows.filter_map(|row| {
            let Body::GroupGenesis { after, .. } = row.record().body() else { return None };
            let (order, genesis) = (row.receipt().order(), row.record().id());
            Some(GroupClaim { order, genesis, after: *after, ended_by: None })
        })
        .collect()
    }

    pub(crate) fn user_names(&self) -> impl Iterator<Item = &FoldedName> {
        self.users.keys()
    }

    pub(crate) fn group_names(&self) -> impl Iterator<Item = &FoldedName> {
        self.groups.keys()
    }

    /// Is the row at this place about this record?
    pub(crate) fn has_place(&self, origin: &Origin, seq: u64, id: &RecordId) -> bool {
        let row = self.log.get(origin).and_then(|log| log.rows.get(&seq));
        row.is_some_and(|held| held.row.receipt().record == *id)
    }

    pub(crate) fn has_row(&self, receipt: &Receipt) -> bool {
        let row = self.log.get(&receipt.origin).and_then(|log| log.rows.get(&receipt.seq));
        row.is_some_and(|held| held.row.receipt().says_same(receipt))
    }

    /// Rows beyond a vector: of each origin as far as the log is whole, and nothing of one whose beginning the asker
    /// lacks and the log too.
    pub(crate) fn rows_after(&self, vector: &Vector, limit_rows: usize, limit_bytes: usize) -> Page {
        let mut page = Page { snapshot: !self.reaches_down_to(vector), ..Page::default() };
        let mut bytes = 0;
        for (origin, log) in &self.log {
            let (seq, last) = (vector.get(origin), self.vector.get(origin));
            if seq >= last || seq < log.floor {
                continue;
            }
            let mut expected = seq;
            for (seq, row) in log.rows.range(seq + 1..=last) {
                expected += 1;
                if *seq != expected || !self.serves(row) {
                    expected -= 1;
                    break;
                }
                bytes += row.row.record().bytes().len();
                if !page.rows.is_empty() && (page.rows.len() >= limit_rows || bytes > limit_bytes) {
                    page.more = true;
                    return page;
                }
                page.rows.push(row.row.row());
            }
            if expected < last {
                page.holes += 1;
                page.snapshot = true;
            }
        }
        page
    }

    /// The deliberate bug of [`Sabotage::BelowFloor`](super::Sabotage::BelowFloor): what there is, as if nothing were
    /// missing.
    pub(crate) fn rows_below_floors(&self, vector: &Vector, limit_rows: usize) -> Page {
        let mut page = Page::default();
        for (origin, log) in &self.log {
            let (seq, last) = (vector.get(origin), self.vector.get(origin));
            page.rows.extend(log.rows.range(seq + 1..=last.max(seq + 1)).map(|(_, row)| row.row.row()));
        }
        page.more = page.rows.len() > limit_rows;
        page.rows.truncate(limit_rows);
        page
    }

    /// Is the log whole from there on?
    pub(crate) fn reaches_down_to(&self, vector: &Vector) -> bool {
        self.floors().all(|(origin, floor)| vector.get(origin) >= floor)
    }

    /// Does the row lead to its record, and is that what its id says?
    fn serves(&self, row: &Row) -> bool {
        let stored = self.records.get(&row.row.record().id());
        stored.is_some_and(|stored| stored.number == row.number && !stored.damaged)
    }

    /// The highest stamp that any run of this installation gave out, as far as it is on this disk.
    pub(crate) fn own_stamp_max(&self) -> Stamp {
        let own = self.log.iter().filter(|(origin, _)| origin.tracker == self.tracker);
        let last = own.filter_map(|(_, log)| log.rows.last_key_value());
        last.map(|(_, row)| row.row.receipt().stamp).max().unwrap_or_default()
    }

    pub(crate) fn rows(&self) -> usize {
        self.log.values().map(|log| log.rows.len()).sum()
    }

    /// Same vector, and the same records with the same receipts to be read?
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let facts = |image: &Self| {
            let readable = image.records.iter().filter(|(_, stored)| stored.readable());
            readable.map(|(id, stored)| (*id, stored.lowest.receipt().order())).collect::<Vec<_>>()
        };
        self.vector == other.vector && facts(self) == facts(other)
    }

    /// A row of the vector's range whose record cannot be read with that receipt or a lower one, unless it is excused.
    pub(crate) fn lacks(
        &self,
        places: &BTreeMap<(Origin, u64), (RecordId, Stamp)>,
        excused: impl Fn(&RecordId) -> bool,
    ) -> Option<(Origin, u64, RecordId)> {
        let all = self.vector.iter().flat_map(|(origin, last)| places.range((*origin, 1)..=(*origin, last)));
        let mut missing = all.filter(|((origin, _), (id, stamp))| {
            let order = Order { stamp: *stamp, origin: *origin };
            self.get(id).is_none_or(|row| row.receipt().order() > order) && !excused(id)
        });
        missing.next().map(|((origin, seq), (id, _))| (*origin, *seq, *id))
    }
}

/// One entry's share of the sum; an origin at 0 has none.
fn entry_sum(origin: &Origin, seq: u64) -> u128 {
    if seq == 0 {
        return 0;
    }
    let tracker = u128::from_le_bytes(origin.tracker.0);
    let mixed = tracker ^ (u128::from(origin.incarnation) << 64 | u128::from(seq));
    let mixed = (mixed ^ (mixed >> 67)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (mixed ^ (mixed >> 61)).wrapping_mul(0xda94_2042_e4dd_58b5_94d0_49bb_1331_11eb) | 1
}

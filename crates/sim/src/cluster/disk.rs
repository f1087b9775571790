//! One tracker's disk: what a sync has reached survives everything, what was only written survives a crash of the
//! process but not a power cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerage_ledger::{Body, Claim, GroupClaim, Origin, Receipt};
use peerage_replica::{BatchId, Digest, LogRow, Vector, VerifiedRow};
use peerage_types::{FoldedName, RecordId, Scope, Stamp, TrackerId};

/// A database, as one moment left it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Made with the disk: a tracker that lost its disk is another installation.
    pub(crate) tracker: TrackerId,
    pub(crate) last_stamp: Stamp,
    log: BTreeMap<Origin, Vec<VerifiedRow>>,
    vector: Vector,
    /// Sum over the vector's entries: equal for equal vectors.
    vector_sum: u128,
    /// Each record with its lowest receipt.
    records: BTreeMap<RecordId, VerifiedRow>,
    scopes: BTreeMap<Scope, BTreeSet<RecordId>>,
    /// Claims by name, in the order in which they arrived here.
    users: BTreeMap<FoldedName, Vec<RecordId>>,
    groups: BTreeMap<FoldedName, Vec<RecordId>>,
    root: Digest,
}

impl Image {
    fn new(tracker: TrackerId) -> Self {
        Self {
            tracker,
            last_stamp: Stamp::default(),
            log: BTreeMap::new(),
            vector: Vector::new(),
            vector_sum: 0,
            records: BTreeMap::new(),
            scopes: BTreeMap::new(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            root: Digest::EMPTY,
        }
    }

    /// One transaction. Fails when a row does not continue its origin.
    fn append(&mut self, rows: &[VerifiedRow], last_stamp: Stamp) -> Result<(), String> {
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
            if log.last().is_some_and(|last| last.receipt().stamp >= receipt.stamp) {
                return Err(format!("row {} of {:?} has no higher stamp", receipt.seq, receipt.origin));
            }
            log.push(row.clone());
            self.reach(receipt.origin, receipt.seq);
            self.keep(row);
        }
        self.last_stamp = last_stamp;
        Ok(())
    }

    fn reach(&mut self, origin: Origin, seq: u64) {
        let before = entry_sum(&origin, self.vector.get(&origin));
        self.vector.raise(origin, seq);
        let after = entry_sum(&origin, self.vector.get(&origin));
        self.vector_sum = self.vector_sum.wrapping_sub(before).wrapping_add(after);
    }

    /// Keeps the record, or the lower receipt of a known one.
    fn keep(&mut self, row: &VerifiedRow) {
        let (id, order) = (row.record().id(), row.receipt().order());
        match self.records.get(&id).map(|known| known.receipt().order()) {
            Some(known) if known <= order => return,
            Some(known) => self.root.remove(&id, &known),
            None => {
                self.scopes.entry(row.record().scope()).or_default().insert(id);
                match row.record().body() {
                    Body::UserNameClaim { name } => self.users.entry(name.folded()).or_default().push(id),
                    Body::GroupGenesis { name, .. } => {
                        self.groups.entry(name.folded()).or_default().push(id);
                    }
                    _ => {}
                }
            }
        }
        self.root.add(&id, &order);
        self.records.insert(id, row.clone());
    }

    pub(crate) fn vector(&self) -> &Vector {
        &self.vector
    }

    /// Equal for equal vectors, different for different ones.
    pub(crate) fn vector_sum(&self) -> u128 {
        self.vector_sum
    }

    /// Digest over all records and their lowest receipts.
    pub(crate) fn root(&self) -> Digest {
        self.root
    }

    /// A record with its lowest receipt, if it is here.
    pub(crate) fn get(&self, id: &RecordId) -> Option<&VerifiedRow> {
        self.records.get(id)
    }

    /// One scope's records with their lowest receipts.
    pub(crate) fn scope(&self, scope: &Scope) -> impl Iterator<Item = &VerifiedRow> {
        self.scopes.get(scope).into_iter().flatten().filter_map(|id| self.records.get(id))
    }

    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.keys()
    }

    /// Claims to a user name, in order of arrival.
    pub(crate) fn user_claims(&self, name: &FoldedName) -> Vec<Claim> {
        let ids = self.users.get(name).into_iter().flatten();
        let rows = ids.filter_map(|id| self.records.get(id));
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
        let rows = ids.filter_map(|id| self.records.get(id));
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

    pub(crate) fn has_row(&self, receipt: &Receipt) -> bool {
        let log = self.log.get(&receipt.origin);
        let at = usize::try_from(receipt.seq - 1).ok();
        log.zip(at).and_then(|(log, at)| log.get(at)).is_some_and(|row| row.receipt() == receipt)
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
                bytes += row.record().bytes().len();
                if !picked.is_empty() && (picked.len() >= limit_rows || bytes > limit_bytes) {
                    return (picked, true);
                }
                picked.push(row.row());
            }
        }
        (picked, false)
    }

    /// The highest stamp that any run of this installation gave out, as far as it is on this disk.
    pub(crate) fn own_stamp_max(&self) -> Stamp {
        let own = self.log.iter().filter(|(origin, _)| origin.tracker == self.tracker);
        own.filter_map(|(_, rows)| rows.last()).map(|row| row.receipt().stamp).max().unwrap_or_default()
    }

    pub(crate) fn rows(&self) -> usize {
        self.log.values().map(Vec::len).sum()
    }

    /// Same rows, same records with the same receipts?
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let same = |a: &BTreeMap<RecordId, VerifiedRow>, b: &BTreeMap<RecordId, VerifiedRow>| {
            a.len() == b.len() && a.values().zip(b.values()).all(|(a, b)| a.receipt() == b.receipt())
        };
        self.vector == other.vector && self.root == other.root && same(&self.records, &other.records)
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

/// A batch on its way.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) batch: BatchId,
    pub(crate) rows: Vec<VerifiedRow>,
    pub(crate) last_stamp: Stamp,
}

/// The durable state of one tracker, and what is on the way there.
#[derive(Debug)]
pub(crate) struct Disk {
    image: Image,
    /// Handed over by the process, not written.
    queued: VecDeque<Commit>,
    /// The last batch handed over.
    pub(crate) last_queued: BatchId,
    /// Written, not synced: a power cut drops it from the end.
    unsynced: VecDeque<Commit>,
    /// A copy from earlier, for whoever restores it.
    backup: Option<Image>,
    /// An older copy was put in place: the tracker has given out numbers and stamps that it does not remember.
    pub(crate) restored: bool,
    /// No space is left: nothing is written.
    pub(crate) full: bool,
    /// The slowest that a commit gets.
    pub(crate) commit_ms_max: u64,
    /// How often what was on it got lost.
    pub(crate) generation: u64,
}

impl Disk {
    pub(crate) fn new(tracker: TrackerId) -> Self {
        Self {
            image: Image::new(tracker),
            queued: VecDeque::new(),
            last_queued: BatchId(0),
            unsynced: VecDeque::new(),
            backup: None,
            restored: false,
            full: false,
            commit_ms_max: 20,
            generation: 0,
        }
    }

    /// What survives a power cut.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// Everything that was reported as written: what survives if only the process ends.
    pub(crate) fn written_has_all(&self, ids: &[RecordId]) -> bool {
        let written = |id: &RecordId| {
            let mut rows = self.unsynced.iter().flat_map(|commit| &commit.rows);
            rows.any(|row| row.record().id() == *id)
        };
        ids.iter().all(|id| self.image.records.contains_key(id) || written(id))
    }

    pub(crate) fn queue(&mut self, commit: Commit) {
        self.last_queued = commit.batch;
        self.queued.push_back(commit);
    }

    /// The next batch up to this one that is to be written.
    pub(crate) fn next_queued(&self, up_to: BatchId) -> Option<&Commit> {
        self.queued.front().filter(|commit| commit.batch <= up_to)
    }

    /// Writes the oldest batch.
    pub(crate) fn write(&mut self) {
        self.unsynced.extend(self.queued.pop_front());
    }

    /// Everything written up to this batch becomes safe.
    pub(crate) fn sync(&mut self, up_to: BatchId) -> Result<(), String> {
        while let Some(commit) = self.unsynced.pop_front_if(|commit| commit.batch <= up_to) {
            self.image.append(&commit.rows, commit.last_stamp)?;
        }
        Ok(())
    }

    /// Nothing on the way?
    pub(crate) fn idle(&self) -> bool {
        self.queued.is_empty() && self.unsynced.is_empty()
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The process is gone: what was not written is forgotten, what was written stays.
    pub(crate) fn process_ended(&mut self) -> Result<(), String> {
        self.last_queued = BatchId(0);
        self.queued.clear();
        self.sync(BatchId(u64::MAX))
    }

    /// The power is gone: of what was not synced, the first `kept` batches happen to be there. Gives the rest.
    pub(crate) fn power_cut(&mut self, kept: usize) -> Result<Vec<Commit>, String> {
        let lost = self.unsynced.split_off(kept.min(self.unsynced.len()));
        self.process_ended()?;
        Ok(lost.into())
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = Some(self.image.clone());
    }

    /// Puts the backup in place. Tells whether there was one.
    pub(crate) fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.clone() else { return false };
        self.generation += 1;
        self.image = backup;
        self.restored = true;
        true
    }

    /// Another, empty disk.
    pub(crate) fn lose(&mut self, tracker: TrackerId) {
        let generation = self.generation + 1;
        *self = Self { generation, ..Self::new(tracker) };
    }
}

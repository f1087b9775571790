//! Digests, and what lies below them; pages of records for whoever compares or takes a snapshot.

use std::ops::Bound;

use peerage_ledger::Receipt;
use peerage_replica::{Ask, Digest, LogRow, Place, Told};
use peerage_types::{RecordId, Scope};

use super::Image;
use crate::rng::Rng;

/// How much one answer holds: less than in the store, so that everything comes in parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages {
    scopes_max: usize,
    facts_max: usize,
    rows_max: usize,
    scrub_records_max: usize,
}

impl Pages {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            scopes_max: rng.between(2, 20) as usize,
            facts_max: rng.between(3, 60) as usize,
            rows_max: rng.between(1, 60) as usize,
            scrub_records_max: rng.between(20, 300) as usize,
        }
    }
}

impl Image {
    /// Answers a question about this database, as the store does.
    pub(crate) fn answer(&self, run: u64, ask: &Ask, pages: &Pages) -> Told {
        match ask {
            Ask::Root => Told::Root(self.root),
            Ask::Scopes(after) => {
                let behind = self.scopes.range((behind(after.as_ref()), Bound::Unbounded));
                let page: Vec<_> =
                    behind.take(pages.scopes_max).map(|(scope, row)| (*scope, row.digest)).collect();
                let more = page.len() >= pages.scopes_max;
                Told::Scopes(page, more)
            }
            Ask::Facts(scope, after) => {
                let (page, more) = self.facts(scope, after.as_ref(), pages.facts_max);
                Told::Facts(page, more)
            }
            Ask::Rows(ids) => Told::Rows(
                ids.iter().filter_map(|id| self.get(id)).take(pages.rows_max).map(|r| r.row()).collect(),
            ),
            Ask::Snapshot(after) => {
                let (rows, next) = self.snapshot(*after, pages.rows_max);
                Told::Snapshot { rows, next, vector: self.vector.clone(), run }
            }
            Ask::Compare => Told::Noted,
        }
    }

    fn facts(&self, scope: &Scope, after: Option<&RecordId>, limit: usize) -> (Vec<(RecordId, Place)>, bool) {
        let Some(row) = self.scopes.get(scope) else { return (Vec::new(), false) };
        let behind = row.ids.range((behind(after), Bound::Unbounded));
        let mut readable = behind.filter_map(|id| Some((*id, self.stands(self.get(id)?.receipt()))));
        let page = readable.by_ref().take(limit).collect();
        (page, readable.next().is_some())
    }

    fn stands(&self, receipt: &Receipt) -> Place {
        Place { ahead: receipt.seq > self.vector.get(&receipt.origin), ..Place::of(receipt) }
    }

    fn snapshot(&self, after: u64, limit: usize) -> (Vec<LogRow>, Option<u64>) {
        let (mut picked, mut last) = (Vec::new(), after);
        for (number, id) in self.numbers.range((Bound::Excluded(after), Bound::Unbounded)) {
            if let Some(row) = self.get(id) {
                if picked.len() >= limit {
                    return (picked, Some(last));
                }
                picked.push(row.row());
            }
            last = *number;
        }
        (picked, None)
    }

    /// Digest over all records and their lowest receipts, as it is carried along.
    pub(crate) fn root(&self) -> Digest {
        self.root
    }

    /// A scope whose digest is not that of what can be read there.
    pub(crate) fn lie(&self, scopes: impl Iterator<Item = Scope>) -> Option<Scope> {
        scopes
            .into_iter()
            .find(|scope| self.scopes.get(scope).is_some_and(|row| row.digest != self.actual(scope).0))
    }

    /// The digest as it should be, and of how many records.
    fn actual(&self, scope: &Scope) -> (Digest, usize) {
        let (mut digest, mut count) = (Digest::EMPTY, 0);
        for row in self.scope(scope) {
            digest.add(&row.record().id(), &row.receipt().order());
            count += 1;
        }
        (digest, count)
    }

    /// Scopes behind `after`, as many as one step of a scrub reads, and whether it is through.
    pub(crate) fn scrub_step(&self, after: Option<&Scope>, pages: &Pages) -> (Vec<Scope>, bool) {
        let (mut step, mut records) = (Vec::new(), 0);
        for (scope, row) in self.scopes.range((behind(after), Bound::Unbounded)) {
            if records >= pages.scrub_records_max || step.len() >= pages.scopes_max {
                return (step, false);
            }
            records += row.ids.len();
            step.push(*scope);
        }
        (step, true)
    }

    /// Makes a scope's digest true. Tells whether it was not.
    pub(crate) fn mend(&mut self, scope: &Scope) -> bool {
        let (digest, _) = self.actual(scope);
        let Some(row) = self.scopes.get_mut(scope) else { return false };
        let lied = row.digest != digest;
        if lied {
            row.digest = digest;
            let mut root = Digest::EMPTY;
            self.scopes.values().for_each(|row| root.merge(&row.digest));
            self.root = root;
        }
        lied
    }
}

fn behind<K>(after: Option<&K>) -> Bound<&K> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

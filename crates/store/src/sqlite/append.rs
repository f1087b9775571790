//! The one transaction that makes rows durable.

use std::collections::{BTreeMap, BTreeSet};

use peerage_ledger::{Body, Order, Origin, Receipt, Record};
use peerage_replica::{Digest, Twin, VerifiedRow};
use peerage_types::{RecordId, Scope, Stamp};
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Transaction};

use super::digests;
use super::pool::Fault;
use super::read::scope_key;
use crate::StoreError;

/// What one call gathers and writes once at its end.
pub(crate) struct Append<'a> {
    pub(crate) db: &'a Transaction<'a>,
    origins: BTreeMap<Origin, OriginRow>,
    scopes: BTreeMap<Scope, ScopeRow>,
    /// Scopes in which something was found missing: what their digests say is not to be trusted.
    damaged: BTreeSet<Scope>,
}

pub(crate) struct OriginRow {
    pub(crate) n: i64,
    last_seq: u64,
    /// A snapshot has brought rows beyond `last_seq`.
    beyond: bool,
}

pub(crate) struct ScopeRow {
    pub(crate) n: i64,
    digest: Digest,
}

/// The row of a record that is there already, and its lowest receipt so far.
pub(crate) struct Known {
    pub(crate) n: i64,
    pub(crate) order: Order,
}

/// Returns the rows that found their place taken.
pub(crate) fn append(
    db: &Transaction<'_>,
    rows: &[VerifiedRow],
    last_stamp: Stamp,
) -> Result<Vec<Twin>, Fault> {
    let mut append = Append::new(db);
    let mut twins = Vec::new();
    for row in rows {
        twins.extend(append.row(row)?);
    }
    append.finish(last_stamp)?;
    Ok(twins)
}

impl<'a> Append<'a> {
    pub(crate) fn new(db: &'a Transaction<'a>) -> Self {
        Self { db, origins: BTreeMap::new(), scopes: BTreeMap::new(), damaged: BTreeSet::new() }
    }

    /// Tells if the row's place was taken.
    fn row(&mut self, row: &VerifiedRow) -> Result<Option<Twin>, Fault> {
        let Receipt { origin, seq, stamp, record: id, seal } = row.receipt();
        let (origin, seq) = (*origin, *seq);
        let OriginRow { n: origin_n, last_seq, beyond } = *self.origin(origin)?;
        if seq <= last_seq {
            return self.repeated(origin, origin_n, seq, *id).map(|()| None);
        }
        if seq != last_seq + 1 {
            return Err(StoreError::Gap { origin, expected: last_seq + 1, got: seq }.into());
        }
        if beyond && let Some((ours, at)) = self.at(origin_n, seq)? {
            // What the snapshot brought stays, and its digest with it.
            if ours != *id || at != *stamp {
                let twin = self.twin(row, origin_n, ours)?;
                self.origin(origin)?.last_seq = seq;
                return Ok(Some(twin));
            }
        }
        let order = row.receipt().order();
        let record_n = match self.find(id)? {
            None => self.insert(row.record(), order, origin_n, seq)?,
            Some((n, None)) => self.place(row.record(), n, origin_n, seq)?,
            Some((n, Some(lowest))) => {
                let known = Known { n, order: lowest };
                match order < lowest {
                    true => self.lower(row.record(), &known, order, origin_n, seq)?,
                    false => self.further(n, origin_n, seq)?,
                }
                n
            }
        };
        let mut insert = self.db.prepare_cached(
            "INSERT INTO log (origin, seq, stamp, record, seal) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (origin, seq) DO NOTHING",
        )?;
        // A snapshot may have brought it before its turn.
        let stamp = stamp.0.cast_signed();
        if insert.execute((origin_n, seq.cast_signed(), stamp, record_n, seal.as_bytes()))? == 0 {
            self.lead_to(origin_n, seq, record_n)?;
            self.repeated(origin, origin_n, seq, *id)?;
        }
        self.origin(origin)?.last_seq = seq;
        Ok(None)
    }

    /// Which record the log has at a place, and its stamp.
    fn at(&self, origin_n: i64, seq: u64) -> Result<Option<(RecordId, Stamp)>, Fault> {
        let mut select = self.db.prepare_cached(
            "SELECT records.id, log.stamp FROM log JOIN records ON records.n = log.record
             WHERE log.origin = ?1 AND log.seq = ?2",
        )?;
        let found = select.query_row((origin_n, seq.cast_signed()), |row| {
            Ok((RecordId(row.get(0)?), Stamp(row.get::<_, i64>(1)?.cast_unsigned())))
        });
        Ok(found.optional()?)
    }

    /// Keeps a row whose place another record holds: the log goes on behind the two, and the replica gives the record a
    /// place of its own. Of two stamps for one record the first stays.
    pub(crate) fn twin(&self, row: &VerifiedRow, origin_n: i64, ours: RecordId) -> Result<Twin, Fault> {
        let Receipt { seq, stamp, record, seal, .. } = row.receipt();
        if ours == *record {
            return Ok(Twin { ours, row: row.clone(), placed: true });
        }
        let mut insert = self.db.prepare_cached(
            "INSERT OR IGNORE INTO twins (origin, seq, record, stamp, seal, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let (stamp, bytes) = (stamp.0.cast_signed(), row.record().bytes());
        insert.execute((origin_n, seq.cast_signed(), &record.0, stamp, seal.as_bytes(), bytes))?;
        let placed = self.known(record)?.is_some();
        Ok(Twin { ours, row: row.clone(), placed })
    }

    /// A row that is there already must be the same row.
    fn repeated(&self, origin: Origin, origin_n: i64, seq: u64, theirs: RecordId) -> Result<(), Fault> {
        match self.at(origin_n, seq)? {
            Some((ours, _)) if ours == theirs => Ok(()),
            Some((ours, _)) => Err(StoreError::Conflict { origin, seq, ours, theirs }.into()),
            None => Err(Fault::Damaged(format!("row {seq} of {origin:?} is missing"))),
        }
    }

    /// Gives a record that is there, but whose lowest receipt's row was lost, this row instead.
    fn place(&mut self, record: &Record, n: i64, origin_n: i64, seq: u64) -> Result<i64, Fault> {
        let mut update = self.db.prepare_cached("UPDATE records SET origin = ?2, seq = ?3 WHERE n = ?1")?;
        update.execute((n, origin_n, seq.cast_signed()))?;
        self.damaged.insert(record.scope());
        Ok(n)
    }

    /// Makes a log row whose record was lost lead to where that is now.
    fn lead_to(&self, origin_n: i64, seq: u64, record_n: i64) -> Result<(), Fault> {
        let mut update = self.db.prepare_cached(
            "UPDATE log SET record = ?3 WHERE origin = ?1 AND seq = ?2
             AND NOT EXISTS (SELECT 1 FROM records WHERE n = log.record)",
        )?;
        update.execute((origin_n, seq.cast_signed(), record_n))?;
        Ok(())
    }

    pub(crate) fn known(&self, id: &RecordId) -> Result<Option<Known>, Fault> {
        Ok(self.find(id)?.and_then(|(n, order)| Some(Known { n, order: order? })))
    }

    /// A record that is there, and its lowest receipt if the log has its row.
    fn find(&self, id: &RecordId) -> Result<Option<(i64, Option<Order>)>, Fault> {
        let mut select = self.db.prepare_cached(
            "SELECT records.n, log.stamp, origins.tracker, origins.incarnation
             FROM records
             LEFT JOIN log ON log.origin = records.origin AND log.seq = records.seq
             LEFT JOIN origins ON origins.n = log.origin
             WHERE records.id = ?1",
        )?;
        let found = select.query_row([&id.0], |row| {
            let order = match row.get_ref(2)? {
                ValueRef::Null => None,
                _ => Some(read_order(row, 1)?),
            };
            Ok((row.get(0)?, order))
        });
        Ok(found.optional()?)
    }

    /// A lower receipt for a record that is there already.
    pub(crate) fn lower(
        &mut self,
        record: &Record,
        known: &Known,
        order: Order,
        origin_n: i64,
        seq: u64,
    ) -> Result<(), Fault> {
        let digest = &mut self.scope(record.scope())?.digest;
        digest.remove(&record.id(), &known.order);
        digest.add(&record.id(), &order);
        let sql = "INSERT OR IGNORE INTO further (id, origin, seq) SELECT id, origin, seq FROM records WHERE n = ?1";
        self.db.prepare_cached(sql)?.execute([known.n])?;
        let mut update = self.db.prepare_cached("UPDATE records SET origin = ?2, seq = ?3 WHERE n = ?1")?;
        update.execute((known.n, origin_n, seq.cast_signed()))?;
        Ok(())
    }

    /// Remembers where else the log has a record that is there already.
    pub(crate) fn further(&self, record_n: i64, origin_n: i64, seq: u64) -> Result<(), Fault> {
        let mut insert = self.db.prepare_cached(
            "INSERT OR IGNORE INTO further (id, origin, seq)
             SELECT id, ?2, ?3 FROM records WHERE n = ?1 AND NOT (origin = ?2 AND seq = ?3)",
        )?;
        insert.execute((record_n, origin_n, seq.cast_signed()))?;
        Ok(())
    }

    pub(crate) fn insert(
        &mut self,
        record: &Record,
        order: Order,
        origin_n: i64,
        seq: u64,
    ) -> Result<i64, Fault> {
        let scope = self.scope(record.scope())?;
        scope.digest.add(&record.id(), &order);
        let scope_n = scope.n;
        let mut insert = self.db.prepare_cached(
            "INSERT INTO records (id, scope, origin, seq, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let n = insert.insert((&record.id().0, scope_n, origin_n, seq.cast_signed(), record.bytes()))?;
        self.index(record, n)?;
        Ok(n)
    }

    pub(crate) fn index(&self, record: &Record, n: i64) -> Result<(), Fault> {
        let author = &record.author().0;
        match record.body() {
            Body::UserNameClaim { name } => {
                let sql = "INSERT INTO user_names (folded, record, user) VALUES (?1, ?2, ?3)";
                self.db.prepare_cached(sql)?.execute((name.folded().as_str(), n, author))?;
            }
            Body::GroupGenesis { name, after, .. } => {
                let sql = "INSERT INTO group_names (folded, record, after) VALUES (?1, ?2, ?3)";
                let after = after.as_ref().map(|id| &id.0);
                self.db.prepare_cached(sql)?.execute((name.folded().as_str(), n, after))?;
            }
            Body::DeviceCert { device, .. } => {
                let sql = "INSERT INTO devices (device, record, user) VALUES (?1, ?2, ?3)";
                self.db.prepare_cached(sql)?.execute((&device.0, n, author))?;
            }
            _ => {}
        }
        if let Scope::Group(group) = record.scope() {
            let sql = "INSERT OR IGNORE INTO authors (user, group_id) VALUES (?1, ?2)";
            self.db.prepare_cached(sql)?.execute((author, &group.0))?;
        }
        Ok(())
    }

    pub(crate) fn origin(&mut self, origin: Origin) -> Result<&mut OriginRow, Fault> {
        // Looked up twice, because the borrow checker does not let a found entry be returned early.
        if !self.origins.contains_key(&origin) {
            let (tracker, incarnation) = (&origin.tracker.0, origin.incarnation.cast_signed());
            let sql = "SELECT n, last_seq,
                              EXISTS (SELECT 1 FROM log WHERE log.origin = origins.n AND log.seq > origins.last_seq)
                       FROM origins WHERE tracker = ?1 AND incarnation = ?2";
            let found = self.db.prepare_cached(sql)?.query_row((tracker, incarnation), |row| {
                let last_seq = row.get::<_, i64>(1)?.cast_unsigned();
                Ok(OriginRow { n: row.get(0)?, last_seq, beyond: row.get(2)? })
            });
            let row = match found.optional()? {
                Some(row) => row,
                None => {
                    let sql = "INSERT INTO origins (tracker, incarnation, last_seq) VALUES (?1, ?2, 0)";
                    let n = self.db.prepare_cached(sql)?.insert((tracker, incarnation))?;
                    OriginRow { n, last_seq: 0, beyond: false }
                }
            };
            self.origins.insert(origin, row);
        }
        self.origins.get_mut(&origin).ok_or_else(|| Fault::Damaged("an origin vanished".to_owned()))
    }

    pub(crate) fn scope(&mut self, scope: Scope) -> Result<&mut ScopeRow, Fault> {
        if !self.scopes.contains_key(&scope) {
            let key = scope_key(&scope);
            let sql = "SELECT n, digest FROM scopes WHERE scope = ?1";
            let found = self
                .db
                .prepare_cached(sql)?
                .query_row([&key], |row| Ok(ScopeRow { n: row.get(0)?, digest: Digest(row.get(1)?) }));
            let row = match found.optional()? {
                Some(row) => row,
                None => {
                    let digest = Digest::EMPTY;
                    let sql = "INSERT INTO scopes (scope, digest) VALUES (?1, ?2)";
                    ScopeRow { n: self.db.prepare_cached(sql)?.insert((&key, &digest.0))?, digest }
                }
            };
            self.scopes.insert(scope, row);
        }
        self.scopes.get_mut(&scope).ok_or_else(|| Fault::Damaged("a scope vanished".to_owned()))
    }

    pub(crate) fn write_digests(&self) -> Result<(), Fault> {
        let mut update = self.db.prepare_cached("UPDATE scopes SET digest = ?2 WHERE n = ?1")?;
        for ScopeRow { n, digest } in self.scopes.values() {
            update.execute((n, &digest.0))?;
        }
        Ok(())
    }

    fn finish(self, last_stamp: Stamp) -> Result<(), Fault> {
        let mut update = self.db.prepare_cached("UPDATE origins SET last_seq = ?2 WHERE n = ?1")?;
        for OriginRow { n, last_seq, .. } in self.origins.values() {
            update.execute((n, last_seq.cast_signed()))?;
        }
        self.write_digests()?;
        for scope in &self.damaged {
            digests::mend(self.db, scope)?;
        }
        let mut update = self.db.prepare_cached("UPDATE clock SET last_stamp = ?1")?;
        update.execute([last_stamp.0.cast_signed()])?;
        Ok(())
    }
}

/// Reads `stamp, tracker, incarnation` from three columns.
pub(crate) fn read_order(row: &rusqlite::Row<'_>, first: usize) -> Result<Order, rusqlite::Error> {
    let stamp = Stamp(row.get::<_, i64>(first)?.cast_unsigned());
    Ok(Order { stamp, origin: read_origin(row, first + 1)? })
}

/// Reads `tracker, incarnation` from two columns.
pub(crate) fn read_origin(row: &rusqlite::Row<'_>, first: usize) -> Result<Origin, rusqlite::Error> {
    let tracker = peerage_types::TrackerId(row.get(first)?);
    Ok(Origin { tracker, incarnation: row.get::<_, i64>(first + 1)?.cast_unsigned() })
}

//! Log rows: a record with the receipt of the tracker that accepted it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Decoder, Encode, Encoder};
use peerage_ledger::{CheckedKey, Origin, Receipt, Record, RecordFault, SignatureCheck, Unverified};
use peerage_types::limits::AUTH_RECORD_BYTES_MAX;
use peerage_types::{ClusterId, PublicKey, RecordId, Stamp};

/// A row as it is stored and sent: CBOR `[receipt, record bytes]`. Nothing about it has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Who accepted the record, when, and as which number.
    pub receipt: Receipt,
    /// The record's exact bytes.
    pub record: Arc<[u8]>,
}

/// Why a row from another tracker is refused: that tracker, or whoever speaks in its name, is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// The record itself is invalid, whatever the receipt says.
    #[error("row {seq} of {}: {source}", .origin.tracker.tag())]
    Record {
        /// Whose log.
        origin: Origin,
        /// Which row.
        seq: u64,
        /// What is wrong with the record.
        source: RecordFault,
    },
    /// The receipt is for another record.
    #[error("row {seq} of {}: the receipt names record {expected}, the record is {got}", .origin.tracker.tag())]
    OtherRecord {
        /// Whose log.
        origin: Origin,
        /// Which row.
        seq: u64,
        /// What the receipt names.
        expected: RecordId,
        /// What came with it.
        got: RecordId,
    },
    /// The cluster key did not sign the receipt.
    #[error("row {seq} of {}: the cluster key did not sign this receipt", .origin.tracker.tag())]
    Receipt {
        /// Whose log.
        origin: Origin,
        /// Which row.
        seq: u64,
    },
    /// Numbers start at 1 and no log ever reaches 2^63.
    #[error("row {seq} of {}: no log has such a row", .origin.tracker.tag())]
    Number {
        /// Whose log.
        origin: Origin,
        /// Which row.
        seq: u64,
    },
}

/// A row whose record and receipt are genuine. Only such rows enter a replica or a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VerifiedRow {
    receipt: Receipt,
    record: Arc<Record>,
}

impl VerifiedRow {
    /// Checks a row from outside: two signatures, about 100 µs. Call it where that does not hold up others.
    pub fn verify(row: &LogRow, cluster: &ClusterId, cluster_key: &PublicKey) -> Result<Self, RowFault> {
        Self::verify_all(std::slice::from_ref(row), cluster, cluster_key, CheckedKey::new)?
            .pop()
            .ok_or(RowFault::Number { origin: row.receipt.origin, seq: row.receipt.seq })
    }

    /// The same of many rows, for a fraction of the time each. The first fault speaks for all. `keys` says what
    /// [`CheckedKey::new`] says, perhaps from memory.
    pub fn verify_all(
        rows: &[LogRow],
        cluster: &ClusterId,
        cluster_key: &PublicKey,
        mut keys: impl FnMut(&PublicKey) -> Option<CheckedKey>,
    ) -> Result<Vec<Self>, RowFault> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let Receipt { origin, seq, .. } = first.receipt;
        let cluster_key = CheckedKey::new(cluster_key).ok_or(RowFault::Receipt { origin, seq })?;
        let mut records = Vec::with_capacity(rows.len());
        // What was signed together is looked at once.
        let (mut seals, mut checks) = (BTreeMap::new(), Vec::new());
        let mut seal_of = Vec::with_capacity(rows.len());
        for row in rows {
            let Receipt { origin, seq, .. } = row.receipt;
            let fault = RowFault::Receipt { origin, seq };
            records.push(Self::read(row, cluster, &mut keys)?);
            let sealed = row.receipt.sealed().ok_or(fault.clone())?;
            let at = match seals.entry(sealed) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(fresh) => {
                    checks.push(fresh.key().check(&cluster_key).ok_or(fault)?);
                    *fresh.insert(checks.len() - 1)
                }
            };
            seal_of.push(at);
        }
        let all: Vec<_> = records.iter().map(Unverified::check).chain(&checks).collect();
        let mut of_records = SignatureCheck::all(&all);
        let of_seals = of_records.split_off(records.len());
        let mut verified = Vec::with_capacity(rows.len());
        for (((record, right), row), seal) in records.into_iter().zip(of_records).zip(rows).zip(seal_of) {
            let Receipt { origin, seq, .. } = row.receipt;
            let fault = |source| RowFault::Record { origin, seq, source };
            let record = record.judged(right).map_err(fault)?;
            if of_seals.get(seal) != Some(&true) {
                return Err(RowFault::Receipt { origin, seq });
            }
            verified.push(Self { receipt: row.receipt.clone(), record: Arc::new(record) });
        }
        Ok(verified)
    }

    /// Everything but the signatures.
    fn read(
        row: &LogRow,
        cluster: &ClusterId,
        keys: impl FnOnce(&PublicKey) -> Option<CheckedKey>,
    ) -> Result<Unverified, RowFault> {
        let Receipt { origin, seq, record: expected, .. } = row.receipt;
        if seq == 0 || i64::try_from(seq).is_err() {
            return Err(RowFault::Number { origin, seq });
        }
        let fault = |source| RowFault::Record { origin, seq, source };
        let record = Unverified::decode_with(&row.record, cluster, keys).map_err(fault)?;
        if record.id() != expected {
            return Err(RowFault::OtherRecord { origin, seq, expected, got: record.id() });
        }
        Ok(record)
    }

    /// Accepts verified records into the own log, from row `first` on, each with its stamp.
    pub(crate) fn accept(
        records: impl Iterator<Item = (Stamp, Arc<Record>)>,
        origin: Origin,
        first: u64,
        key: &SigningKey,
    ) -> Vec<Self> {
        let (stamped, records): (Vec<_>, Vec<_>) =
            records.map(|(stamp, record)| ((stamp, record.id()), record)).unzip();
        let receipts = Receipt::sign_all(origin, first, &stamped, key);
        receipts.into_iter().zip(records).map(|(receipt, record)| Self { receipt, record }).collect()
    }

    /// Who accepted the record, when, and as which number.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The verified record.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// The row as it is stored and sent; shares the record's bytes.
    pub fn row(&self) -> LogRow {
        LogRow { receipt: self.receipt.clone(), record: self.record.shared_bytes() }
    }
}

impl<C> Encode<C> for LogRow {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.encode_with(&self.receipt, ctx)?.bytes(&self.record)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for LogRow {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let fault = |what| minicbor::decode::Error::message(what).at(at);
        if d.array()? != Some(2) {
            return Err(fault("a log row has two items"));
        }
        let receipt = d.decode_with(ctx)?;
        let record: &ByteSlice = d.decode_with(ctx)?;
        if record.len() > AUTH_RECORD_BYTES_MAX {
            return Err(fault("a log row's record is too large"));
        }
        Ok(Self { receipt, record: Arc::from(&record[..]) })
    }
}

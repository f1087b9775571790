//! The client's side of the acknowledgement rule: bundles stay on its disk until enough trackers hold them.
//!
//! Driven by the client: [`Outbox::push`] before the first attempt, [`Outbox::acked`] after each answer, and the
//! encoded outbox written to disk after each change. Sending a bundle again is harmless: records have ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Decoder, Encode, Encoder};
use peerage_types::TrackerId;
use peerage_types::limits::{AUTH_RECORD_BYTES_MAX, BUNDLE_RECORDS_MAX, TRACKERS_MAX};

/// Version of the encoding. Another one is refused, not guessed at.
const VERSION: u8 = 2;

/// Are `durable_on` of `of` trackers enough to forget a bundle? Two, or the only one.
pub fn durable_enough(durable_on: u32, of: u32) -> bool {
    durable_on >= of.min(2)
}

/// One bundle of one outbox. Ascending in the order of [`Outbox::push`]; never used twice in one outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct BundleId(#[n(0)] pub u64);

/// Records that were or will be submitted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Each record's exact bytes, in the order of submission.
    pub records: Vec<Arc<[u8]>>,
    /// The most trackers that were known to hold it: 0 until the first answer.
    pub durable_on: u32,
    /// Who acknowledged it. Such a bundle is never given up: what one tracker acknowledged, another one refuses only
    /// because it lacks what the bundle rests on.
    pub taken_by: BTreeSet<TrackerId>,
}

/// Why an outbox cannot be read. Its file is damaged or was written by a newer program.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Written by another version.
    #[error("the outbox has version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// Not an outbox.
    #[error("the outbox is damaged: {0}")]
    Damaged(#[from] minicbor::decode::Error),
}

/// What one account still has to get onto trackers, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    bundles: BTreeMap<BundleId, Bundle>,
    last: BundleId,
}

impl Outbox {
    /// Nothing to send.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a bundle behind all others. Write the outbox to disk before submitting it.
    pub fn push(&mut self, records: Vec<Arc<[u8]>>) -> BundleId {
        self.last.0 += 1;
        self.bundles.insert(self.last, Bundle { records, durable_on: 0, taken_by: BTreeSet::new() });
        self.last
    }

    /// A tracker answered. Tells whether the bundle is durable enough and was forgotten (or had been before).
    pub fn acked(&mut self, id: BundleId, durable_on: u32, of: u32) -> bool {
        if durable_enough(durable_on, of) {
            self.bundles.remove(&id);
            return true;
        }
        let Some(bundle) = self.bundles.get_mut(&id) else { return true };
        bundle.durable_on = bundle.durable_on.max(durable_on);
        false
    }

    /// Notes who acknowledged a bundle. Tells, like [`Self::acked`], whether it is durable enough: trackers that took
    /// it one after the other, while they could not reach each other, count like those that passed it on.
    pub fn taken(&mut self, id: BundleId, by: TrackerId, of: u32) -> bool {
        let Some(bundle) = self.bundles.get_mut(&id) else { return true };
        bundle.taken_by.insert(by);
        let takers = u32::try_from(bundle.taken_by.len()).unwrap_or(u32::MAX);
        self.acked(id, takers, of)
    }

    /// Gives a bundle up, because trackers refuse it.
    pub fn remove(&mut self, id: BundleId) -> Option<Bundle> {
        self.bundles.remove(&id)
    }

    /// One bundle.
    pub fn get(&self, id: BundleId) -> Option<&Bundle> {
        self.bundles.get(&id)
    }

    /// Bundles to submit (again), oldest first: later ones may build upon earlier ones.
    pub fn pending(&self) -> impl Iterator<Item = (BundleId, &Bundle)> {
        self.bundles.iter().map(|(id, bundle)| (*id, bundle))
    }

    /// How many bundles are not durable enough yet.
    pub fn len(&self) -> usize {
        self.bundles.len()
    }

    /// Everything durable enough?
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// The outbox as it is kept on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        let mut put = || {
            e.array(3)?.u8(VERSION)?.encode(self.last)?.array(self.bundles.len() as u64)?;
            for (id, bundle) in &self.bundles {
                e.array(4)?.encode(id)?.u32(bundle.durable_on)?.array(bundle.taken_by.len() as u64)?;
                for tracker in &bundle.taken_by {
                    e.encode(tracker)?;
                }
                e.array(bundle.records.len() as u64)?;
                for record in &bundle.records {
                    e.bytes(record)?;
                }
            }
            e.ok()
        };
        let written: Result<(), minicbor::encode::Error<std::convert::Infallible>> = put();
        assert!(written.is_ok(), "writing to memory cannot fail");
        e.into_writer()
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, OutboxError> {
        let d = &mut Decoder::new(bytes);
        counted(d, 3)?;
        let version = d.u8()?;
        if version != VERSION {
            return Err(OutboxError::Version(version));
        }
        let last = d.decode()?;
        let mut bundles = BTreeMap::new();
        for _ in 0..d.array()?.unwrap_or(0) {
            let (id, bundle) = bundle(d)?;
            bundles.insert(id, bundle);
        }
        if bundles.last_key_value().is_some_and(|(id, _)| *id > last) || d.position() != bytes.len() {
            return Err(minicbor::decode::Error::message("what follows is no outbox")
                .at(d.position())
                .into());
        }
        Ok(Self { bundles, last })
    }
}

fn bundle(d: &mut Decoder<'_>) -> Result<(BundleId, Bundle), minicbor::decode::Error> {
    counted(d, 4)?;
    let (id, durable_on) = (d.decode()?, d.u32()?);
    let takers = d.array()?.unwrap_or(0);
    if takers > TRACKERS_MAX as u64 {
        return Err(minicbor::decode::Error::message("a bundle was taken by too many").at(d.position()));
    }
    let taken_by = (0..takers).map(|_| d.decode()).collect::<Result<_, _>>()?;
    let count = d.array()?.unwrap_or(0);
    if count > BUNDLE_RECORDS_MAX as u64 {
        return Err(minicbor::decode::Error::message("a bundle has too many records").at(d.position()));
    }
    let mut records = Vec::new();
    for _ in 0..count {
        let record: &ByteSlice = d.decode()?;
        if record.len() > AUTH_RECORD_BYTES_MAX {
            return Err(minicbor::decode::Error::message("a record is too large").at(d.position()));
        }
        records.push(Arc::from(&record[..]));
    }
    Ok((id, Bundle { records, durable_on, taken_by }))
}

fn counted(d: &mut Decoder<'_>, items: u64) -> Result<(), minicbor::decode::Error> {
    let at = d.position();
    match d.array()? {
        Some(got) if got == items => Ok(()),
        _ => Err(minicbor::decode::Error::message(format!("expected an array of {items} items")).at(at)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(n: u8) -> Arc<[u8]> {
        Arc::from([n; 3].as_slice())
    }

    fn tracker(n: u8) -> TrackerId {
        TrackerId([n; 16])
    }

    #[test]
    fn two_trackers_that_took_it_one_by_one_are_enough() {
        let mut outbox = Outbox::new();
        let id = outbox.push(vec![record(1)]);
        assert!(!outbox.taken(id, tracker(1), 3) && !outbox.taken(id, tracker(1), 3));
        let mut outbox = Outbox::decode(&outbox.encode()).unwrap();
        assert_eq!(outbox.get(id).unwrap().taken_by, BTreeSet::from([tracker(1)]));
        assert!(outbox.taken(id, tracker(2), 3) && outbox.is_empty());
    }

    #[test]
    fn forgets_what_two_trackers_hold() {
        let mut outbox = Outbox::new();
        let (a, b) = (outbox.push(vec![record(1)]), outbox.push(vec![record(2), record(3)]));
        assert!(!outbox.acked(a, 1, 3) && !outbox.acked(a, 0, 3));
        assert_eq!(outbox.get(a).unwrap().durable_on, 1);
        assert!(outbox.acked(b, 2, 3));
        assert_eq!(outbox.pending().map(|(id, _)| id).collect::<Vec<_>>(), [a]);
        // A list with one tracker left in it asks for no more than that one.
        assert!(outbox.acked(a, 1, 1) && outbox.acked(a, 1, 3));
        let c = outbox.push(Vec::new());
        assert!(c > b && outbox.remove(c).is_some() && outbox.is_empty());
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(bundles in prop::collection::vec((0usize..4, 0u32..2, 0u8..3), 0..5)) {
            let mut outbox = Outbox::new();
            for (count, durable_on, by) in bundles {
                let id = outbox.push((0..count).map(|n| record(n as u8)).collect());
                outbox.acked(id, durable_on, 3);
                if by > 0 {
                    outbox.taken(id, tracker(by), 3);
                }
            }
            let bytes = outbox.encode();
            prop_assert_eq!(Outbox::decode(&bytes).unwrap(), outbox);
            prop_assert!(bytes.len() < 2 || Outbox::decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes: Vec<u8>) {
            let _ = Outbox::decode(&bytes);
        }
    }

    #[test]
    fn names_a_foreign_version() {
        let error = Outbox::decode(&[0x83, 9, 0, 0x80]).unwrap_err();
        assert_eq!(error.to_string(), "the outbox has version 9, this program reads version 2");
    }
}

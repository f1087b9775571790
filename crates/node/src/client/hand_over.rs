//! Giving a tracker records that it seems to lack.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use peerage_link::api::{self, ErrorCode, path};
use peerage_types::RecordId;
use peerage_types::limits::BUNDLE_RECORDS_MAX;

use super::outbox::RecordBytes;
use super::trackers::{Trackers, TrackersError};

/// What became of records that a tracker was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// It has them on disk.
    pub taken: usize,
    /// It says that they would have no effect, or that it lacks what they rest on.
    pub refused: usize,
}

impl Trackers {
    /// Gives the tracker in use records, each after those it rests on. Harmless when it has them, and no session is
    /// needed. A bundle is taken whole or not at all, so one that is refused is halved.
    pub async fn hand_over(&self, records: &[RecordBytes]) -> Result<HandedOver, TrackersError> {
        let mut done = HandedOver::default();
        let mut waiting: Vec<&[RecordBytes]> = records.chunks(BUNDLE_RECORDS_MAX).rev().collect();
        let mut vouched = BTreeSet::new();
        while let Some(some) = waiting.pop() {
            let request = api::BundleRequest::new(some.iter());
            match self.ask::<_, api::BundleResponse>(path::BUNDLE, &request).await {
                Ok(answer) => {
                    self.note_id(answer.tracker);
                    done.taken += some.len();
                }
                Err(TrackersError::Refused(error)) if error.code == ErrorCode::RateLimited => {
                    return Err(TrackersError::Refused(error));
                }
                Err(TrackersError::Refused(error))
                    if error.code == ErrorCode::RegistrationCode
                        && self.vouch(some, &mut vouched).await? =>
                {
                    waiting.push(some);
                }
                Err(TrackersError::Refused(_)) if some.len() > 1 => {
                    let (first, second) = some.split_at(some.len() / 2);
                    waiting.extend([second, first]);
                }
                Err(TrackersError::Refused(error)) => {
                    tracing::debug!(%error, "a record was not taken");
                    done.refused += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Shows a tracker that asks for a registration code the receipts of the accounts among these records: it had accepted
    /// them before it was set back. False: there is nothing new to show.
    async fn vouch(
        &self,
        records: &[RecordBytes],
        vouched: &mut BTreeSet<RecordId>,
    ) -> Result<bool, TrackersError> {
        let Some(receipt_of) = self.receipts.get() else { return Ok(false) };
        let accounts: Vec<api::SignedRow> =
            records.iter().filter_map(receipt_of).filter(|row| vouched.insert(row.receipt.record)).collect();
        if accounts.is_empty() {
            return Ok(false);
        }
        match self.ask::<_, api::Empty>(path::VOUCH, &api::VouchRequest { accounts }).await {
            Ok(_) => Ok(true),
            Err(TrackersError::Refused(error)) => {
                tracing::info!(%error, "a tracker does not take our word for accounts");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Where the receipts of accounts are found, by the bytes of their genesis.
    pub fn vouch_with(
        &self,
        receipt_of: impl Fn(&RecordBytes) -> Option<api::SignedRow> + Send + Sync + 'static,
    ) {
        // Set once, at login.
        let _ = self.receipts.set(Box::new(receipt_of));
    }

    /// From now on a tracker that does not know this device is told about it: one that was set back, or has yet to
    /// hear from the others.
    pub fn introduce_with(&self, records: Vec<RecordBytes>) {
        *self.introduction.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    /// This belongs to it, too, from now on.
    pub fn introduce_also(&self, record: RecordBytes) {
        self.introduction.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    /// Whether the tracker in use was told about this device.
    pub(super) async fn introduce(&self) -> bool {
        let records = self.introduction.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if records.is_empty() {
            return false;
        }
        match self.hand_over(&records).await {
            Ok(done) => done.taken > 0,
            Err(error) => {
                tracing::info!(%error, "a tracker does not know this device, and could not be told");
                false
            }
        }
    }
}

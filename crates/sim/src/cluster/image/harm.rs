//! What happens to a database behind its back.

use peerage_types::{RecordId, Scope};

use super::Image;
use crate::rng::Rng;

/// One piece of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The record is gone; the log still names its number.
    RecordLost,
    /// The log row of its lowest receipt is gone.
    RowLost,
    /// Its bytes are others.
    Damaged,
}

impl Image {
    /// A record that can be read, one of the latest as often as any.
    pub(crate) fn victim(&self, rng: &mut Rng) -> Option<RecordId> {
        let number = match rng.chance(50) {
            true => self.number_last.saturating_sub(rng.between(0, 20)),
            false => rng.between(0, self.number_last),
        };
        let (_, id) = self.numbers.range(number..).next()?;
        self.get(id).map(|_| *id)
    }

    /// Harms a record. Gives its scope.
    pub(crate) fn harm(&mut self, id: &RecordId, harm: Harm) -> Option<Scope> {
        let stored = self.records.get_mut(id)?;
        let scope = stored.lowest.record().scope();
        match harm {
            Harm::Damaged => stored.damaged = true,
            Harm::RowLost => {
                stored.unplaced = true;
                let receipt = stored.lowest.receipt();
                if let Some(log) = self.log.get_mut(&receipt.origin) {
                    log.rows.remove(&receipt.seq);
                }
            }
            Harm::RecordLost => {
                let number = stored.number;
                self.numbers.remove(&number);
                self.records.remove(id);
                if let Some(row) = self.scopes.get_mut(&scope) {
                    row.ids.remove(id);
                }
            }
        }
        Some(scope)
    }
}

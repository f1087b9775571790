//! What this device tells other members of a group's records, and what it takes from them: the engine's [`Records`].
//!
//! A member is believed no more than a tracker: every record and receipt is verified, and what comes is united with
//! what is kept. So a kick, or anything else that a tracker keeps back, arrives through whoever has seen it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minicbor::Decoder;
use peerage_ledger::{Body, Record};
use peerage_link::api::{AccountRows, SignedRow, SnapshotResponse};
use peerage_types::{GroupId, RecordId, Scope, UserId};
use peerage_wire::{Answer, Ask, HEADS_MAX, Heads, KNOWN_MAX, ROWS_BYTES_MAX, SHORT_ID_BYTES};

use super::snapshot::{GroupState, Groups};
use crate::engine::Records;

/// Rows taken from one member at a time; each costs two signature checks.
const ROWS_MAX: usize = 32_768;

impl Records for Groups {
    fn heads(&self, group: &GroupId) -> Option<Heads> {
        self.get(group).map(|state| state.heads().clone())
    }

    fn lacking(&self, group: &GroupId, theirs: &Heads) -> Option<Ask> {
        let state = self.get(group)?;
        let known = theirs.ends.iter().all(|id| state.knows(id));
        // A member with more chains than fit may know something that does not show.
        let hidden = theirs.ends.len() >= HEADS_MAX;
        let more = state.heads().digest != theirs.digest && (hidden || !known);
        more.then(|| ask(&state, None)).flatten()
    }

    fn ask_after(&self, group: &GroupId, after: RecordId) -> Option<Ask> {
        ask(&*self.get(group)?, Some(after))
    }

    fn answer(&self, group: &GroupId, ask: &Ask) -> Answer {
        self.get(group).map(|state| answer(&state, ask)).unwrap_or_default()
    }

    fn learn(&self, group: &GroupId, rows: &[Bytes]) -> Result<bool, String> {
        let before = self.get(group).ok_or("the group is not known here")?;
        let told = sort(*group, &before, rows, self)?;
        if told.rows.is_empty() && told.accounts.is_empty() {
            return Ok(false);
        }
        let after = self.unite_from_member(*group, &told).map_err(|fault| fault.to_string())?;
        Ok(after.heads().digest != before.heads().digest)
    }
}

/// The part of a question that begins behind an id.
fn ask(state: &GroupState, after: Option<RecordId>) -> Option<Ask> {
    let mut ids = state.ids().iter().filter(|id| after.is_none_or(|after| **id > after));
    let known: Vec<RecordId> = ids.by_ref().take(KNOWN_MAX).copied().collect();
    let until = ids.next().and_then(|_| known.last().copied());
    Some(Ask { after, until, known: known.iter().map(short).collect() })
}

fn short(id: &RecordId) -> [u8; SHORT_ID_BYTES] {
    let mut short = [0; SHORT_ID_BYTES];
    short.copy_from_slice(&id.0[..SHORT_ID_BYTES]);
    short
}

fn answer(state: &GroupState, ask: &Ask) -> Answer {
    let known: BTreeSet<_> = ask.known.iter().collect();
    let inside = |id: &&RecordId| {
        ask.after.is_none_or(|after| **id > after) && ask.until.is_none_or(|until| **id <= until)
    };
    let mut rows = Vec::new();
    let mut through = None;
    for id in state.ids().iter().filter(inside) {
        if !known.contains(&short(id))
            && let Some(row) = state.row(id).and_then(|row| minicbor::to_vec(row).ok())
        {
            if rows.len() + row.len() > ROWS_BYTES_MAX {
                return Answer { rows: rows.into(), through };
            }
            rows.extend(row);
        }
        through = Some(*id);
    }
    Answer { rows: rows.into(), through: None }
}

/// Puts a member's rows where a tracker's snapshot would have them. Known ones are left out before anything is
/// verified; accounts must be those of people who signed something in the group.
fn sort(
    group: GroupId,
    known: &GroupState,
    parts: &[Bytes],
    groups: &Groups,
) -> Result<SnapshotResponse, String> {
    let mut rows = Vec::new();
    let mut accounts: BTreeMap<UserId, Vec<SignedRow>> = BTreeMap::new();
    let mut count = 0;
    for part in parts {
        let mut decoder = Decoder::new(part);
        while decoder.position() < part.len() {
            let row: SignedRow = decoder.decode().map_err(|e| format!("its records cannot be read: {e}"))?;
            count += 1;
            if count > ROWS_MAX {
                return Err(format!("it sent more than {ROWS_MAX} records"));
            }
            if known.knows(&row.receipt.record) {
                continue;
            }
            let record = Record::decode(&row.record, &groups.cluster())
                .map_err(|fault| format!("it sent an invalid record: {fault}"))?;
            match record.scope() {
                Scope::Group(of) if of == group => rows.push(row),
                // Passwords and recovery codes are between a member and the trackers.
                Scope::Account(_)
                    if matches!(record.body(), Body::AuthRecord { .. } | Body::Recovery { .. }) => {}
                Scope::Account(user) => accounts.entry(user).or_default().push(row),
                Scope::Group(of) => return Err(format!("it sent a record of another group: {of}")),
            }
        }
    }
    let mut authors: BTreeSet<UserId> = known.facts().authors();
    for row in &rows {
        let record = Record::decode(&row.record, &groups.cluster()).map_err(|fault| fault.to_string())?;
        authors.insert(record.author());
    }
    accounts.retain(|user, _| authors.contains(user));
    let accounts = accounts.into_iter().map(|(user, rows)| AccountRows { user, rows }).collect();
    Ok(SnapshotResponse { digest: [0; 32], rows, accounts, unchanged: false })
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;

//! `group/snapshot`: a group's records, as far as the caller may see them.

use std::collections::BTreeSet;

use axum::extract::State;
use peerage_ledger::{Record, outline};
use peerage_link::api::{AccountRows, SignedRow, SnapshotRequest, SnapshotResponse};
use peerage_types::{GroupId, RecordId, UserId};

use super::account::{public, signed_rows};
use crate::body::{Answer, Cbor};
use crate::error::Failure;
use crate::session::Session;
use crate::state::{Shared, State as Tracker};
use crate::views::Group;

pub(crate) async fn snapshot(
    State(state): State<Shared>,
    session: Session,
    Cbor(request): Cbor<SnapshotRequest>,
) -> Answer<SnapshotResponse> {
    let answer = state.blocking(move |state| answer(state, session.user, &request)).await?;
    Ok(Cbor(answer))
}

fn answer(state: &Tracker, caller: UserId, request: &SnapshotRequest) -> Result<SnapshotResponse, Failure> {
    let group = state.views.group(&request.group)?;
    let Some(view) = &group.view else {
        return Err(Failure::not_found(format!("no such group: {}", request.group)));
    };
    let rows = match view.is_member(&caller) {
        true => signed_rows(&group.data, |_| true),
        false => outside(request.group, &group, &caller),
    };
    let accounts = accounts(&group, &rows, &caller);
    let digest = digest(&rows, &accounts);
    Ok(match request.have == Some(digest) {
        true => SnapshotResponse { digest, rows: Vec::new(), accounts: Vec::new(), unchanged: true },
        false => SnapshotResponse { digest, rows, accounts, unchanged: false },
    })
}

/// What somebody outside may see: who owns the group, whether it has ended, and their own standing.
fn outside(id: GroupId, group: &Group, caller: &UserId) -> Vec<SignedRow> {
    let visible = outline(id, &group.data.facts, &group.accounts, caller);
    signed_rows(&group.data, |record: &Record| visible.contains(&record.id()))
}

/// The accounts of everybody who signed one of the rows.
fn accounts(group: &Group, rows: &[SignedRow], caller: &UserId) -> Vec<AccountRows> {
    let given: BTreeSet<RecordId> = rows.iter().map(|row| row.receipt.record).collect();
    let mut authors: BTreeSet<UserId> = BTreeSet::from([*caller]);
    authors.extend(
        group.data.facts.iter().filter(|f| given.contains(&f.record.id())).map(|f| f.record.author()),
    );
    let accounts = authors.into_iter().filter_map(|user| {
        let account = group.accounts.0.get(&user)?;
        Some(AccountRows { user, rows: signed_rows(&account.data, public) })
    });
    accounts.collect()
}

/// Over which records this is, and when each came in: receipts may be replaced by lower ones.
fn digest(rows: &[SignedRow], accounts: &[AccountRows]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("peerage 2026 snapshot digest");
    let all = [rows].into_iter().chain(accounts.iter().map(|account| account.rows.as_slice()));
    for rows in all {
        hasher.update(&rows.len().to_be_bytes());
        for row in rows {
            hasher.update(row.receipt.record.as_bytes());
            hasher.update(&row.receipt.stamp.0.to_be_bytes());
            hasher.update(row.receipt.origin.tracker.as_bytes());
            hasher.update(&row.receipt.origin.incarnation.to_be_bytes());
        }
    }
    *hasher.finalize().as_bytes()
}

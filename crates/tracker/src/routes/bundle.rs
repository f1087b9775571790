//! `bundle`: submit records. They carry their own authority, so no session is needed.

use axum::extract::State;
use peerage_ledger::{Body, Unverified};
use peerage_link::api::{BundleRequest, BundleResponse};

use crate::accept::Remote;
use crate::admission;
use crate::body::{Answer, Cbor};
use crate::error::Failure;
use crate::limits::{BUNDLE_BYTES_MAX, VERIFIED_INLINE_MAX};
use crate::replica_shell::Durable;
use crate::state::{Shared, State as Tracker};

pub(crate) async fn submit(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(request): Cbor<BundleRequest, BUNDLE_BYTES_MAX>,
) -> Answer<BundleResponse> {
    state.rates.bundle(&remote)?;
    state.require_space()?;
    let count = request.records.len();
    let decode = move |state: &Tracker| {
        let bytes: Vec<&[u8]> = request.records.iter().map(|record| record.as_slice()).collect();
        admission::decode(state, &bytes)
    };
    let verdicts = match count <= VERIFIED_INLINE_MAX {
        true => state.verifier.verify(decode(&state)?).await.ok_or_else(Failure::stopping)?,
        false => state.blocking(move |state| Ok(Unverified::verify_all(decode(state)?))).await?,
    };
    let records = admission::verified(verdicts)?;
    let held = state.lanes.hold(admission::lanes(&records)).await;
    let (new, known) = match admission::at_hand(&state, &records) {
        true => admission::admit(&state, records)?,
        false => state.blocking(move |state| admission::admit(state, records)).await?,
    };
    for record in new.iter().filter(|record| matches!(record.body(), Body::AccountGenesis { .. })) {
        state.invitations.require(&record.author())?;
        state.rates.registration(&remote)?;
    }
    let durable = state.replica.submit(new, known, held).await.ok_or_else(Failure::stopping)?;
    let Durable { stamp, durable_on, of, places } = durable;
    Ok(Cbor(BundleResponse { stamp, durable_on, of, places, tracker: state.tracker }))
}

//! What the replica's task has done elsewhere, because it reads the disk: each job reports through the task's queue.

use std::sync::Arc;

use peerage_replica::{Ask, ExchangeId, Input, ReplyId, Twin, Vector, VerifiedRow};
use peerage_store::{LogPage, StoreError};
use peerage_types::Scope;

use super::{Done, Task};
use crate::writer::Commit;

impl Task {
    pub(super) fn load(&self, reply: ReplyId, after: Vector, limit_rows: usize, limit_bytes: usize) {
        let (state, report) = (Arc::clone(&self.state), self.report.clone());
        tokio::task::spawn_blocking(move || {
            let done = match state.store.rows_after(&after, limit_rows, limit_bytes) {
                Ok(LogPage { rows, more, snapshot, damaged }) => {
                    if damaged {
                        let compare = Input::CompareNow { ticket: None, damaged: Vec::new() };
                        let _ = report.send(Done::Input(compare));
                    }
                    Done::Input(Input::RowsLoaded { reply, rows, more, snapshot })
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the log");
                    Done::LoadFailed(reply)
                }
            };
            let _ = report.send(done);
        });
    }

    /// Makes digests true. It may write: what that cannot do for certain ends the tracker.
    pub(super) fn scrub(&self, exchange: ExchangeId, after: Option<Scope>) {
        let (state, report, writer) = (Arc::clone(&self.state), self.report.clone(), self.writer.clone());
        tokio::task::spawn_blocking(move || {
            let found = match state.store.scrub(after.as_ref()) {
                Ok(found) => Some(found),
                Err(error) => {
                    tracing::error!(%error, "cannot check the database");
                    if matches!(error, StoreError::Fatal { .. }) {
                        let _ = writer.send(Commit::Failed(error));
                    }
                    None
                }
            };
            let _ = report.send(Done::Input(Input::Scrubbed { exchange, found }));
        });
    }

    pub(super) fn look(&self, exchange: ExchangeId, ask: Ask) {
        let (state, report) = (Arc::clone(&self.state), self.report.clone());
        tokio::task::spawn_blocking(move || {
            let told = peerage_store::answer(&*state.store, state.origin.incarnation, &ask);
            let told = told.inspect_err(|error| tracing::error!(%error, "cannot read the digests")).ok();
            let _ = report.send(Done::Input(Input::Looked { exchange, told }));
        });
    }

    /// Gives records that found their place taken one in the own log, with the alarm that this deserves.
    pub(super) fn keep_twins(&self) {
        let (state, report) = (Arc::clone(&self.state), self.report.clone());
        tokio::task::spawn_blocking(move || {
            let rows = match state.store.twins() {
                Ok(rows) => rows,
                Err(error) => return tracing::error!(%error, "cannot read the database"),
            };
            let verified = |(ours, row)| match VerifiedRow::verify(&row, &state.cluster, &state.cluster_key) {
                Ok(row) => Some(Twin { ours, row, placed: false }),
                Err(error) => {
                    tracing::error!(%error, "a row of the database is damaged");
                    None
                }
            };
            let twins: Vec<_> = rows.into_iter().filter_map(verified).collect();
            if !twins.is_empty() {
                let _ = report.send(Done::Input(Input::TwinsKept { twins }));
            }
        });
    }
}

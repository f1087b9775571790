//! `join --wait`: until somebody has answered the request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_ledger::Standing;
use peerage_types::UserId;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::super::reply::Change;
use super::super::snapshot::GroupState;
use super::super::{Invite, Node, Refusal};
use super::invite::{follow, led_to};

/// How often it looks when no tracker says that something is different.
const LOOK: Duration = Duration::from_secs(2);

impl Node {
    /// As [`Self::join`], and returns when the caller is in. Who has asked before goes on waiting, and who is in is in.
    pub async fn join_and_wait(&self, invite: &Invite, timeout: Option<Duration>) -> Result<(), Refusal> {
        let started = Instant::now();
        let session = self.inner.session()?;
        let mut changes = self.changes();
        let state = led_to(&session, invite).await?;
        let coming = match state.view.standing(&session.user) {
            Standing::Requested { incarnation } => incarnation,
            _ => state.view.next_incarnation(&session.user),
        };
        match follow(&session, &state, invite).await {
            Ok(_) | Err(Refusal::AlreadyRequested) => {}
            Err(Refusal::AlreadyMember) => return Ok(()),
            Err(refusal) => return Err(refusal),
        }
        loop {
            match session.refresh(invite.group).await {
                Ok(state) => {
                    if let Some(answer) = answer(&state, &session.user, coming) {
                        return answer;
                    }
                }
                // One that comes back knows the answer.
                Err(Refusal::NoTracker { .. }) => {}
                Err(refusal) => return Err(refusal),
            }
            let group = || state.view.name.to_string();
            let left = timeout.map_or(LOOK, |timeout| timeout.saturating_sub(started.elapsed()));
            if left.is_zero() {
                return Err(Refusal::JoinTimeout { group: group() });
            }
            // Whichever comes first.
            let _ = tokio::time::timeout(left.min(LOOK), heard(&mut changes, &group())).await;
            // A logout ends the wait.
            if !Arc::ptr_eq(&session, &self.inner.session()?) {
                return Err(Refusal::NotLoggedIn);
            }
        }
    }
}

/// What has been said about this coming; nothing while the request waits, or no tracker shows it yet.
fn answer(state: &GroupState, user: &UserId, coming: u32) -> Option<Result<(), Refusal>> {
    if state.view.ended_by.is_some() {
        return Some(Err(Refusal::GroupUnknown));
    }
    match state.view.standing(user) {
        Standing::Member { .. } => Some(Ok(())),
        Standing::Rejected { incarnation }
        | Standing::Kicked { incarnation }
        | Standing::Left { incarnation }
            if incarnation >= coming =>
        {
            Some(Err(Refusal::JoinRejected { group: state.view.name.to_string() }))
        }
        _ => None,
    }
}

/// Until something about the group is different.
async fn heard(changes: &mut broadcast::Receiver<Change>, group: &str) {
    loop {
        match changes.recv().await {
            Ok(change) if change.group == group => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

//! Before a request is answered: has its sender seen more than this tracker has? Then it catches up for a moment.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use peerage_link::api::seen;
use peerage_types::UserId;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::accept::Remote;
use crate::limits::{CATCH_UP_MAX, CATCHING_UP_MAX, CATCHING_UP_OF_USER_MAX, CATCHING_UP_STRANGERS_MAX};
use crate::places::{Place, Places};
use crate::state::Shared;

/// Places for requests that wait for other trackers. Whoever wants to keep us busy gains nothing: strangers have a few
/// of their own, and no account has more than its share.
pub(crate) struct Waiting {
    members: Semaphore,
    strangers: Semaphore,
    of_user: Places<UserId>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            members: Semaphore::new(CATCHING_UP_MAX),
            strangers: Semaphore::new(CATCHING_UP_STRANGERS_MAX),
            of_user: Places::new(CATCHING_UP_OF_USER_MAX),
        }
    }
}

impl Waiting {
    fn place(&self, user: Option<UserId>) -> Option<(SemaphorePermit<'_>, Option<Place<UserId>>)> {
        match user {
            None => Some((self.strangers.try_acquire().ok()?, None)),
            Some(user) => {
                let own = self.of_user.take(user)?;
                Some((self.members.try_acquire().ok()?, Some(own)))
            }
        }
    }
}

/// Answers late rather than with less than the caller has seen; if it has to, it says so.
pub(crate) async fn catch_up(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let wanted = request.headers().get(seen::SEEN).and_then(|value| seen::decode(value.as_bytes()));
    let stale = match wanted {
        Some(wanted) => !has(&state, request.extensions().get(), &wanted).await,
        None => false,
    };
    let mut response = next.run(request).await;
    if stale {
        response.headers_mut().insert(seen::STALE, HeaderValue::from_static("1"));
    }
    response
}

async fn has(state: &Shared, remote: Option<&Remote>, wanted: &peerage_replica::Vector) -> bool {
    if state.replica.vector().covers(wanted) {
        return true;
    }
    // Nobody to ask, or enough requests wait already.
    if state.neighbours.is_empty() {
        return false;
    }
    let user = match remote.and_then(|remote| remote.key) {
        Some(device) => {
            state.blocking(move |state| Ok(state.views.user_of_device(&device)?)).await.ok().flatten()
        }
        None => None,
    };
    let Some(_place) = state.catching_up.place(user) else { return false };
    state.replica.catch_up(wanted, CATCH_UP_MAX).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_and_busy_accounts_leave_room_for_others() {
        let waiting = Waiting::default();
        let strangers: Vec<_> = (0..).map_while(|_| waiting.place(None)).collect();
        assert_eq!(strangers.len(), CATCHING_UP_STRANGERS_MAX);
        let ada: Vec<_> = (0..).map_while(|_| waiting.place(Some(UserId([1; 32])))).collect();
        assert_eq!(ada.len(), CATCHING_UP_OF_USER_MAX);
        assert!(waiting.place(Some(UserId([2; 32]))).is_some());
        drop(strangers);
        assert!(waiting.place(None).is_some() && waiting.place(Some(UserId([1; 32]))).is_none());
    }
}

//! Who is asking: the TLS client key says it, the account views say what it is worth. Checked per request, so a
//! revocation counts at once.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use peerage_link::api::ErrorCode;
use peerage_types::{DeviceId, UserId};

use crate::accept::Remote;
use crate::error::Failure;
use crate::state::Shared;

/// A device that is certified and not revoked, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) device: DeviceId,
    pub(crate) user: UserId,
}

/// The same where none is needed but makes a difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaybeSession(pub(crate) Option<Session>);

/// The other end holds the cluster key: a tracker of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromTracker;

impl FromRequestParts<Shared> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Failure> {
        let MaybeSession(session) = MaybeSession::from_request_parts(parts, state).await?;
        if let Some(session) = session {
            return Ok(session);
        }
        // A device that is not certified here yet may go on elsewhere; one that was removed never comes back.
        let revoked = match remote(parts)?.key {
            Some(device) => state.blocking(move |state| Ok(state.views.device_revoked(&device)?)).await?,
            None => false,
        };
        let failure = match revoked {
            true => Failure::new(ErrorCode::DeviceRevoked, "this device was removed from its account"),
            false => Failure::new(
                ErrorCode::NotLoggedIn,
                "this device is not logged in: its key is not certified by any account",
            ),
        };
        Err(failure.hint("log in again"))
    }
}

impl FromRequestParts<Shared> for MaybeSession {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Failure> {
        let remote = remote(parts)?;
        let Some(device) = remote.key else { return Ok(Self(None)) };
        // Nearly always known: a hop to another thread would cost more than the answer.
        let user = match state.views.user_of_device_at_hand(&device) {
            Some(user) => user,
            None => state.blocking(move |state| Ok(state.views.user_of_device(&device)?)).await?,
        };
        if let Some(user) = &user {
            state.rates.session(&remote, user);
        }
        Ok(Self(user.map(|user| Session { device, user })))
    }
}

impl FromRequestParts<Shared> for FromTracker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Failure> {
        match remote(parts)?.key {
            Some(key) if key == state.cluster_key => Ok(Self),
            _ => Err(Failure::new(ErrorCode::NotLoggedIn, "only trackers of this cluster may do this")),
        }
    }
}

impl FromRequestParts<Shared> for Remote {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        remote(parts)
    }
}

fn remote(parts: &Parts) -> Result<Remote, Failure> {
    let remote = parts.extensions.get::<Remote>().copied();
    remote.ok_or_else(|| Failure::internal(&"a request without its connection"))
}

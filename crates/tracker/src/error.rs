//! What a request may fail with, and the one map from each cause to the answer.
//!
//! Inside the tracker errors are typed; at this edge they become an [`ApiError`]. Who is to blame decides how much
//! it says: the caller learns the offending value, a fault of ours is logged here and answered without details.

use std::fmt::Display;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use peerage_ledger::{RecordFault, Refusal};
use peerage_link::api::{ApiError, ErrorCode};
use peerage_store::StoreError;

use crate::views::ViewError;

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ApiError::new(code, message))
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self(self.0.with_hint(hint))
    }

    /// The caller must wait this long.
    pub(crate) fn rate_limited(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        Self::new(ErrorCode::RateLimited, "too many requests").hint(format!("try again in {seconds} s"))
    }

    /// All connections that this caller may have are in use.
    pub(crate) fn crowded() -> Self {
        Self::new(ErrorCode::Unavailable, "this tracker has too many connections")
            .hint("close some, try again in a while, or ask another tracker of the list")
    }

    /// A bug or a broken disk: details go to the log only.
    pub(crate) fn internal(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "a request failed on our side");
        Self::new(ErrorCode::Internal, "the tracker failed to do this")
            .hint("its log says why; another tracker may work")
    }

    /// This tracker is on its way down (or up): another one will do it.
    pub(crate) fn stopping() -> Self {
        Self::new(ErrorCode::Unavailable, "this tracker is stopping").hint("ask another tracker of the list")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Encoding into memory cannot fail; an empty body would still carry the status.
        let body = minicbor::to_vec(&self.0).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, crate::body::CBOR)], body).into_response()
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        Self::internal(&error)
    }
}

impl From<RecordFault> for Failure {
    fn from(fault: RecordFault) -> Self {
        let code = match &fault {
            RecordFault::TooLarge { .. } => ErrorCode::TooLarge,
            RecordFault::WrongCluster { .. } => ErrorCode::WrongCluster,
            RecordFault::Malformed(_)
            | RecordFault::NotCanonical
            | RecordFault::NotByIdentity { .. }
            | RecordFault::WrongScope { .. }
            | RecordFault::BadSignature { .. }
            | RecordFault::BadProof { .. } => ErrorCode::BadRequest,
        };
        Self::new(code, fault.to_string())
    }
}

/// What a record would not take effect for, as the client's classroom reply needs it.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::OverQuota { .. } | StoreError::TooLarge { .. } => {
                Self::new(ErrorCode::TooLarge, error.to_string())
            }
            error => Self::internal(&error),
        }
    }
}

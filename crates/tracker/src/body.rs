//! CBOR bodies in both directions, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use peerage_link::api::ErrorCode;
use tokio::time::timeout;

use crate::error::Failure;
use crate::limits::{BODY_BYTES_MAX, BODY_TIMEOUT};

/// Media type of every body but metainfo and events (RFC 8949, 9.1).
pub(crate) const CBOR: &str = "application/cbor";

/// A message. As a request its body may have `MAX` bytes.
#[derive(Debug)]
pub(crate) struct Cbor<T, const MAX: usize = BODY_BYTES_MAX>(pub(crate) T);

/// What a CBOR route returns.
pub(crate) type Answer<T> = Result<Cbor<T>, Failure>;

impl<S, T, const MAX: usize> FromRequest<S> for Cbor<T, MAX>
where
    S: Send + Sync,
    T: for<'b> minicbor::Decode<'b, ()>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let bytes = read(request.into_body(), MAX, BODY_TIMEOUT).await?;
        decode(&bytes).map(Self)
    }
}

impl<T: minicbor::Encode<()>, const MAX: usize> IntoResponse for Cbor<T, MAX> {
    fn into_response(self) -> Response {
        match minicbor::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, CBOR)], body).into_response(),
            Err(error) => Failure::internal(&error).into_response(),
        }
    }
}

/// The whole body; nothing beyond `max` is kept, whatever length it claims.
pub(crate) async fn read(body: Body, max: usize, within: Duration) -> Result<Bytes, Failure> {
    let collected = timeout(within, Limited::new(body, max).collect())
        .await
        .map_err(|_| Failure::bad_request("the request body took too long"))?;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the request body is larger than {max} bytes");
            Err(Failure::new(ErrorCode::TooLarge, message))
        }
        Err(error) => Err(Failure::bad_request(format!("the request body broke off: {error}"))),
    }
}

/// Exactly one message, nothing behind it.
fn decode<T: for<'b> minicbor::Decode<'b, ()>>(bytes: &[u8]) -> Result<T, Failure> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let message = decoder.decode().map_err(|e| Failure::bad_request(format!("malformed request: {e}")))?;
    match bytes.len() - decoder.position() {
        0 => Ok(message),
        extra => Err(Failure::bad_request(format!("malformed request: {extra} bytes after its end"))),
    }
}

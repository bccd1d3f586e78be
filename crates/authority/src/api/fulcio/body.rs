//! The body of a request, received within its bounds.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::MAX_BODY_BYTES;
use super::refusal::Refusal;

/// How long a client may take to send its request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The whole body, or why there is none.
pub(super) async fn received(body: Body) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(Refusal::TooLarge);
    }
    let collected = tokio::time::timeout(TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
    match collected.map_err(|_elapsed| Refusal::Slow)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(error) => Err(Refusal::Invalid(format!("body ended early: {error}"))),
    }
}

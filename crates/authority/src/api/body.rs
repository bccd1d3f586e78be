//! The body of a request, received within its bounds; each door answers in its own form when it is not.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// Why there is no body; whoever sent it can read why.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// It is longer than it may be.
    #[error("body is too large, at most {limit} bytes were expected")]
    TooLarge {
        /// Bytes.
        limit: usize,
    },
    /// It did not come in time.
    #[error("body did not come within {} seconds", TIMEOUT.as_secs())]
    Slow,
    /// It did not come whole.
    #[error("body ended early: {0}")]
    Broken(String),
}

impl Unread {
    /// The status that says so.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// How long a client may take to send its request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The whole body, of at most so many bytes. One that announces more is not received at all.
pub(super) async fn received(body: Body, limit: usize) -> Result<Bytes, Unread> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLarge { limit });
    }
    let collected = tokio::time::timeout(TIMEOUT, Limited::new(body, limit).collect()).await;
    match collected.map_err(|_elapsed| Unread::Slow)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLarge { limit }),
        Err(error) => Err(Unread::Broken(error.to_string())),
    }
}

//! The body of a request, received within its bounds.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::door::Settings;

/// Why a body is not there.
pub(crate) enum Unreceived {
    /// It is longer than that, or says so.
    TooLarge { limit: usize },
    /// It did not come in that time.
    Slow { seconds: u64 },
    /// It ended early, or the connection broke.
    Broken(String),
}

/// Receives the whole body, or refuses it: by the length it announces, then by the length it has.
pub(crate) async fn received(settings: &Settings, body: Body) -> Result<Bytes, Unreceived> {
    let (limit, timeout): (usize, Duration) = (settings.max_body_bytes, settings.body_timeout);
    if body.size_hint().lower() > limit as u64 {
        return Err(Unreceived::TooLarge { limit });
    }
    match tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await {
        Err(_elapsed) => Err(Unreceived::Slow { seconds: timeout.as_secs() }),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unreceived::TooLarge { limit }),
        Ok(Err(error)) => Err(Unreceived::Broken(error.to_string())),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

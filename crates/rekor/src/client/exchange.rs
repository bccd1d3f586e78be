//! What every client of a server far away keeps to: bodies are bounded, attempts and waits are counted.

use std::time::Duration;

use bulla_web::chain;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::RETRY_AFTER;
use reqwest::{Response, Url};

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The connection ended, or was silent for too long.
    Broken(String),
    /// It is longer than it can be.
    TooLong,
}

/// Reads a body of at most so many bytes.
pub(super) async fn read_body(mut response: Response, limit: usize) -> Result<Bytes, BodyError> {
    let expected = response.content_length().unwrap_or(0);
    if expected > limit as u64 {
        return Err(BodyError::TooLong);
    }
    let broken = |error: reqwest::Error| BodyError::Broken(chain(&error));
    let Some(first) = response.chunk().await.map_err(broken)? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(BodyError::TooLong);
    }
    let Some(mut next) = response.chunk().await.map_err(broken)? else { return Ok(first) };
    let mut body = BytesMut::with_capacity((expected as usize).max(first.len() + next.len()).min(limit));
    body.extend_from_slice(&first);
    loop {
        if body.len() + next.len() > limit {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&next);
        next = match response.chunk().await.map_err(broken)? {
            Some(next) => next,
            None => return Ok(body.freeze()),
        };
    }
}

/// Whether the same request may succeed a little later.
pub(super) fn is_for_now(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// When the server said that it wants to be asked again.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map(Duration::from_secs)
}

/// How long to wait before the next attempt: at least `planned`, at most [`LONGEST_WAIT`], else as the server asked.
pub(super) fn wait(planned: Duration, asked: Option<Duration>) -> Duration {
    asked.unwrap_or_default().clamp(planned.min(LONGEST_WAIT), LONGEST_WAIT)
}

/// Waits after an attempt that failed, the first of which is number 0.
pub(super) async fn pause(attempt: u32, asked: Option<Duration>) {
    let planned = WAITS[(attempt as usize).min(WAITS.len() - 1)];
    tokio::time::sleep(wait(planned, asked)).await;
}

/// Where a redirect leads, for the message of a client that does not follow it.
pub(super) fn redirect(response: &Response) -> Option<String> {
    let to = response.headers().get(http::header::LOCATION)?;
    response.status().is_redirection().then(|| format!("{to:?}"))
}

/// Reads the URL of a server: http or https, a host, neither query nor fragment; its path ends in a slash.
pub(super) fn base_url(url: &str) -> Result<Url, String> {
    let mut base = Url::parse(url).map_err(|error| error.to_string())?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err("http://HOST or https://HOST was expected".to_owned());
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err("a query or fragment is no part of a log's URL".to_owned());
    }
    let path = format!("{}/", base.path().trim_end_matches('/'));
    base.set_path(&path);
    Ok(base)
}

/// Before the second attempt, the third, and so on.
pub(super) const WAITS: &[Duration] = &[
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
    Duration::from_secs(5),
];
const LONGEST_WAIT: Duration = Duration::from_secs(10);

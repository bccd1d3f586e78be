//! What registries answer: read within bounds, and, when it is not what was asked for, which of the three values it is.

use std::error::Error as _;
use std::time::Duration;

use bulla_web::chain;
use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use reqwest::Response;
use serde::Deserialize;

use super::error::Problem;

/// A body, part by part, of at most so many bytes.
pub(super) struct Body {
    response: Response,
    left: u64,
    limit: u64,
}

impl Body {
    pub(super) fn new(response: Response, limit: u64) -> Result<Self, Problem> {
        match response.content_length() {
            Some(len) if len > limit => Err(Problem::TooLarge { limit }),
            _ => Ok(Self { response, left: limit, limit }),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let part = self.response.chunk().await;
        let part = part.map_err(|error| Problem::Broken(chain(&error.without_url())))?;
        let len = part.as_ref().map_or(0, |part| part.len() as u64);
        self.left = self.left.checked_sub(len).ok_or(Problem::TooLarge { limit: self.limit })?;
        Ok(part)
    }
}

/// Reads a body of at most so many bytes.
pub(super) async fn read(response: Response, limit: u64) -> Result<Bytes, Problem> {
    let mut body = Body::new(response, limit)?;
    let mut bytes = BytesMut::new();
    while let Some(part) = body.next().await? {
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// What a registry says that does not do what it was asked for.
pub(super) async fn refusal(response: Response) -> Problem {
    let status = response.status();
    let asked = retry_after(response.headers());
    let body = read(response, LARGEST_ERROR).await.unwrap_or_default();
    let said: Errors = serde_json::from_slice(&body).unwrap_or_default();
    let first = said.errors.into_iter().next().unwrap_or_default();
    let words: String = first.message.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect();
    let code: String = first.code.chars().filter(char::is_ascii_graphic).take(40).collect();
    let mut said = status.to_string();
    if !code.is_empty() {
        said = format!("{said}, {code}");
    }
    if !words.is_empty() {
        said = format!("{said}: {words}");
    }
    if code == "TOOMANYREQUESTS" || is_for_now(status) || status.is_server_error() {
        let when = asked.map(|asked| format!("; it asks to wait {} s", asked.as_secs())).unwrap_or_default();
        return Problem::Unavailable(format!("{said}{when}"));
    }
    match (status, code.as_str()) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "UNAUTHORIZED" | "DENIED") => {
            Problem::Unauthorized(format!("the registry does not let us: {said}"))
        }
        (StatusCode::NOT_FOUND | StatusCode::GONE, _)
        | (_, "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN") => Problem::Missing(said),
        _ => Problem::Rejected(said),
    }
}

#[derive(Default, Deserialize)]
struct Errors {
    errors: Vec<Said>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    code: String,
    message: String,
}

/// Whether the same request may succeed a little later.
pub(super) fn is_for_now(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502..=504)
}

/// How long the registry wants to be left alone: in seconds, or until a time. RFC 9110, §10.2.3.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let seconds = until.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

const LARGEST_ERROR: u64 = 64 << 10;
const LONGEST_MESSAGE: usize = 200;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        let of = |text: &str| {
            let value = HeaderValue::from_str(text).expect("a header");
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = of("Tue, 01 Jan 2999 00:00:00 GMT").expect("a time");
        assert!(later > Duration::from_hours(24 * 365), "{later:?}");
        for text in ["", "soon", "-1", "1e9", "18446744073709551616"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}

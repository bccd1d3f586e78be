//! Everything that the proxy refuses, and the one table from a refusal to its status and code (OCI distribution, "Error codes";
//! `TAG_INVALID` is an older one of Docker's). An error of the registry stays one: it is never taken for a tag that moved.

use std::fmt;

use axum::body::Body;
use axum::response::Response;
use bulla_claims::tag::TagName;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::{Digest, Error, Problem};

/// Why there is no answer, and whose fault it is.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No such path.
    #[error("path {0} is none of a registry's")]
    Path(String),
    /// Only reading is offered.
    #[error("the proxy is read-only: push to the registry itself")]
    Method,
    /// What is no name.
    #[error("{0}")]
    Name(String),
    /// What is no tag.
    #[error("{0}")]
    Tag(String),
    /// What is no digest.
    #[error("{0}")]
    Digest(String),
    /// Another registry than the one that is served.
    #[error("this proxy serves {served}, {asked} was asked for")]
    Elsewhere {
        /// What was asked for.
        asked: String,
        /// What is served.
        served: String,
    },
    /// A registry that was not named.
    #[error("registry {0} is not served here: --registry names those that are")]
    NotNamed(String),
    /// The tag moved.
    #[error("tag {:?} mismatch; got \"{}\", want \"{}\"", .0.tag.as_str(), .0.got, .0.want)]
    Moved(Box<Moved>),
    /// What the registry said, with its status.
    #[error("{0}")]
    Upstream(Box<Said>),
    /// The registry cannot be reached, or what it sent is not what it must be.
    #[error("{0}")]
    Unreached(String),
    /// The registry wants to be left alone.
    #[error("the registry is left alone for {seconds} s, as it asked: {said}")]
    Busy {
        /// For so long.
        seconds: u64,
        /// What it said.
        said: String,
    },
    /// The tag is not known, and the log cannot be asked.
    #[error("tag {tag} is not known, and cannot be recorded: {cause}")]
    Unrecorded {
        /// Which.
        tag: TagName,
        /// Why.
        cause: String,
    },
    /// Too many new tags.
    #[error("too many tags that were never seen were asked for from your address: try again in {seconds} s")]
    NewTags {
        /// When there is room again.
        seconds: u64,
    },
    /// What is written down of the tag is not believed.
    #[error("the record of tag {tag} does not hold: {cause}")]
    Corrupt {
        /// Which.
        tag: TagName,
        /// Why.
        cause: String,
    },
    /// The image is not signed by whom it must be.
    #[error("image {image} may not be served: {cause}")]
    Unsigned {
        /// Which.
        image: String,
        /// Why.
        cause: String,
    },
    /// The client does not accept what the tag points to.
    #[error("{image} is {media_type}, which the request does not accept")]
    NotAccepted {
        /// Which.
        image: String,
        /// What it is.
        media_type: String,
    },
}

/// A tag that moved.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// Which.
    pub(crate) tag: TagName,
    /// Where it points.
    pub(crate) got: Digest,
    /// Where it should.
    pub(crate) want: Digest,
    /// When it was first seen.
    pub(crate) first_seen: Timestamp,
    /// The record that holds.
    pub(crate) index: u64,
    /// Its name in the log.
    pub(crate) uuid: String,
    /// Where the log has it.
    pub(crate) look: String,
    /// What kept us from looking for approvals, if anything did.
    pub(crate) unasked: Option<String>,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first seen {}, log index {}: {}", self.first_seen, self.index, self.look)
    }
}

/// What a registry said instead of what was asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Said {
    /// With which status.
    pub(crate) status: StatusCode,
    /// What of its headers clients need.
    pub(crate) headers: HeaderMap,
    /// What it said.
    pub(crate) problem: String,
}

impl Refusal {
    /// Status, code, and the word by which it is counted.
    pub(crate) fn row(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Path(_) => (StatusCode::NOT_FOUND, "UNSUPPORTED", "path"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "method"),
            Self::Name(_) => (StatusCode::BAD_REQUEST, "NAME_INVALID", "name"),
            Self::Tag(_) => (StatusCode::BAD_REQUEST, "TAG_INVALID", "name"),
            Self::Digest(_) => (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "name"),
            Self::Elsewhere { .. } | Self::NotNamed(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN", "registry"),
            Self::Moved(_) => (StatusCode::BAD_REQUEST, "TAG_INVALID", "moved"),
            Self::Upstream(said) => (said.status, code_of(said.status), "upstream"),
            Self::Unreached(_) => (StatusCode::BAD_GATEWAY, "UNAVAILABLE", "unreached"),
            Self::Busy { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "busy"),
            Self::Unrecorded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "unrecorded"),
            Self::NewTags { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "new-tags"),
            Self::Corrupt { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "TAG_INVALID", "corrupt"),
            Self::Unsigned { .. } => (StatusCode::FORBIDDEN, "DENIED", "unsigned"),
            Self::NotAccepted { .. } => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "not-accepted"),
        }
    }

    /// What came of asking a registry, if that was no answer.
    pub(crate) fn of(error: &Error) -> Self {
        match error.problem() {
            Problem::Missing(_) | Problem::Unauthorized(_) => {
                let status =
                    if error.is_missing() { StatusCode::NOT_FOUND } else { StatusCode::UNAUTHORIZED };
                Self::Upstream(Box::new(Said {
                    status,
                    headers: HeaderMap::new(),
                    problem: error.to_string(),
                }))
            }
            _ => Self::Unreached(error.to_string()),
        }
    }

    /// Whether the registry may have it and does not say so now.
    pub(crate) fn is_for_now(&self) -> bool {
        match self {
            Self::Unreached(_) | Self::Busy { .. } => true,
            Self::Upstream(said) => {
                said.status.is_server_error() || said.status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::Moved(moved) => json!({
                "tag": moved.tag.as_str(),
                "got": moved.got.to_string(),
                "want": moved.want.to_string(),
                "firstSeen": moved.first_seen.to_string(),
                "logIndex": moved.index,
                "uuid": moved.uuid,
                "look": moved.look,
                "approvals": moved.unasked.as_ref().map_or_else(
                    || "none allows this move".to_owned(),
                    |cause| format!("could not be looked for: {cause}"),
                ),
            }),
            _ => Value::Null,
        }
    }

    /// The answer. HEAD has no body, so what a person needs to know stands in a header too.
    pub(crate) fn response(&self) -> Response {
        let (status, code, why) = self.row();
        metrics::counter!("bulla_proxy_refused_total", "why" => why).increment(1);
        let mut error = json!({ "code": code, "message": self.to_string() });
        if let detail @ Value::Object(_) = self.detail() {
            error["detail"] = detail;
        }
        // Of the first error clients show the message; those that show more show where to look, too.
        let more = match self {
            Self::Moved(moved) => Some(json!({ "code": code, "message": moved.to_string() })),
            _ => None,
        };
        let errors: Vec<Value> = std::iter::once(error).chain(more).collect();
        let body = format!("{}\n", json!({ "errors": errors }));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        match self {
            Self::Upstream(said) => {
                for name in [RETRY_AFTER, WWW_AUTHENTICATE] {
                    headers.extend(
                        said.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())),
                    );
                }
            }
            Self::Busy { seconds, .. } | Self::NewTags { seconds } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::Unrecorded { .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::Moved(moved) => headers.extend(warning(&moved.to_string())),
            _ => {}
        }
        response
    }

    /// The answer to HEAD, whose status line says why: containerd resolves tags with HEAD, and that line is all it shows.
    pub(crate) fn response_to_head(&self) -> Response {
        let mut response = self.response();
        let phrase = match self {
            Self::Moved(moved) => format!("{self}, {moved}"),
            _ => self.to_string(),
        };
        if let Ok(phrase) = ReasonPhrase::try_from(printable(&phrase)) {
            response.extensions_mut().insert(phrase);
        }
        response
    }
}

/// A word for people in a header (distribution-spec, "Warnings").
pub(crate) fn warning(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let quoted = printable(text).replace('\\', "\\\\").replace('"', "\\\"");
    Some((WARNING, HeaderValue::try_from(format!("299 - \"{quoted}\"")).ok()?))
}

/// What may stand in a header or a status line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| (' '..='~').contains(c)).take(LONGEST_WARNING).collect()
}

fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "DENIED",
        StatusCode::NOT_FOUND => "MANIFEST_UNKNOWN",
        StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
        _ => "UNAVAILABLE",
    }
}

pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const LONGEST_WARNING: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_with_head_reads_why_in_the_status_line() {
        let [got, want] = [b"new", b"old"].map(|bytes| Digest::of(bytes));
        let moved = Refusal::Moved(Box::new(Moved {
            tag: TagName::parse("ghcr.io/org/app:1").expect("a tag"),
            got: got.clone(),
            want: want.clone(),
            first_seen: Timestamp::UNIX_EPOCH,
            index: 7,
            uuid: "ab".to_owned(),
            look: "http://log/ab".to_owned(),
            unasked: None,
        }));
        let phrase = |refusal: &Refusal| {
            let response = refusal.response_to_head();
            let phrase = response.extensions().get::<ReasonPhrase>().expect("a phrase");
            String::from_utf8(phrase.as_bytes().to_vec()).expect("text")
        };
        assert_eq!(
            phrase(&moved),
            format!(
                "tag \"ghcr.io/org/app:1\" mismatch; got \"{got}\", want \"{want}\", \
                 first seen 1970-01-01T00:00:00Z, log index 7: http://log/ab"
            )
        );
        assert_eq!(phrase(&Refusal::Unreached("a\r\nb: é".to_owned())), "ab: ", "one line");
        assert_eq!(phrase(&Refusal::Unreached("a".repeat(2000))).len(), LONGEST_WARNING);
    }
}

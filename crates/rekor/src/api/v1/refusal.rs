//! Everything the v1 door refuses, and the one table from a refusal to its status and number. Messages keep the reference
//! server's phrases, since clients and their tests search for some of them.

use axum::body::Body;
use axum::response::Response;
use bulla_claims::entry::v1 as kinds;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use crate::api::trouble::Trouble;
use crate::door::Door;
use crate::guard::Denied;
use crate::wire::v1::entry::quoted;
use crate::wire::v1::id::EntryId;
use crate::wire::v1::once::Once;
use crate::wire::v1::request::{RequestError, TreeError};

/// Why a request got no answer, and whose fault it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The request cannot be read, or breaks a rule of the API's description.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The entry is not admitted.
    #[error("error processing entry: {0}")]
    Entry(String),
    /// The client may not write, or not so often, or not this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// No entry is of this kind.
    #[error("invalid kind value: {kind:?}")]
    Kind { kind: String },
    /// A value that no rule of the description covers.
    #[error("{0}")]
    Argument(String),
    #[error("an equivalent entry already exists in the transparency log with UUID {0}")]
    Duplicate(EntryId),
    /// The condition of the request does not hold.
    #[error(
        "an entry with {} from index {} on already exists in the transparency log: index {index}, UUID {id}",
        once.term(), once.since
    )]
    Once { once: Once, index: u64, id: EntryId },
    #[error("Request Entity Too Large. Limit set to {limit}")]
    TooLarge { limit: usize },
    #[error("request body was not received within {seconds} s")]
    Slow { seconds: u64 },
    #[error("request body could not be read: {0}")]
    Broken(String),
    #[error("unsupported media type {given:?}, only [application/json] are allowed")]
    MediaType { given: String },
    #[error("unsupported media type requested, only [{offered}] are available")]
    Accept { offered: String },
    #[error("path {0} was not found")]
    Path(String),
    #[error("method {method} is not allowed, but [{allowed}] are")]
    Method { method: String, allowed: &'static str },
    /// Not there; answered without a word, as clients expect.
    #[error("not found")]
    Absent,
    #[error("{0} API not enabled in this Rekor instance")]
    NotEnabled(&'static str),
    /// An idempotency key that was used for another request.
    #[error("Idempotency-Key was used for a request with another body: use a new one")]
    OtherBody,
    /// An idempotency key whose first request has not ended.
    #[error("a request with this Idempotency-Key is still running: ask again later")]
    Running,
    #[error("log frozen: this log has ended and takes no more entries")]
    Frozen,
    #[error("reached max pushback; retry")]
    Full,
    #[error("the log is stopping; retry")]
    Stopping,
    #[error("the log cannot store or publish entries now; retry")]
    Unavailable { cause: String },
    #[error("unexpected result from transparency log")]
    Corrupt { cause: String },
}

impl Refusal {
    /// Status, the number in the body, and the reason as the metrics label it.
    fn row(&self) -> (StatusCode, u16, &'static str) {
        let same = |status: StatusCode, reason| (status, status.as_u16(), reason);
        match self {
            Self::Request(RequestError::Invalid { code, .. }) => {
                (StatusCode::UNPROCESSABLE_ENTITY, *code, "invalid")
            }
            Self::Request(RequestError::TooMany) => same(StatusCode::UNPROCESSABLE_ENTITY, "too-many"),
            Self::Request(RequestError::Malformed { .. }) => same(StatusCode::BAD_REQUEST, "malformed"),
            Self::Request(RequestError::Id(_)) | Self::Argument(_) => {
                same(StatusCode::BAD_REQUEST, "argument")
            }
            Self::Entry(_) => same(StatusCode::BAD_REQUEST, "entry"),
            Self::Denied(denied) => same(denied.row().0, denied.row().2),
            Self::Kind { .. } => same(StatusCode::UNPROCESSABLE_ENTITY, "type"),
            Self::Duplicate(_) => same(StatusCode::CONFLICT, "duplicate"),
            Self::Once { .. } => same(StatusCode::PRECONDITION_FAILED, "once"),
            Self::TooLarge { .. } => same(StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::Slow { .. } => same(StatusCode::REQUEST_TIMEOUT, "slow"),
            Self::Broken(_) => same(StatusCode::BAD_REQUEST, "broken"),
            Self::MediaType { .. } => same(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type"),
            Self::Accept { .. } => same(StatusCode::NOT_ACCEPTABLE, "accept"),
            Self::Path(_) | Self::Absent => same(StatusCode::NOT_FOUND, "not-found"),
            Self::Method { .. } => same(StatusCode::METHOD_NOT_ALLOWED, "method"),
            Self::NotEnabled(_) => same(StatusCode::NOT_IMPLEMENTED, "not-enabled"),
            Self::OtherBody => same(StatusCode::UNPROCESSABLE_ENTITY, "other-body"),
            Self::Running => same(StatusCode::CONFLICT, "running"),
            Self::Frozen => same(StatusCode::METHOD_NOT_ALLOWED, "frozen"),
            Self::Full => same(StatusCode::SERVICE_UNAVAILABLE, "full"),
            Self::Stopping => same(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::Unavailable { .. } => same(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Corrupt { .. } => same(StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
        }
    }

    /// Status as the batch reports it for one of its entries.
    pub(super) fn status(&self) -> StatusCode {
        self.row().0
    }

    /// Counts the refusal, and tells the log what the client is not told.
    pub(crate) fn note(&self, request_id: &str) {
        let (_, _, reason) = self.row();
        metrics::counter!("bulla_refused_total", "door" => "v1", "reason" => reason).increment(1);
        match self {
            Self::Corrupt { cause } => tracing::error!(request_id, cause, "corrupt: a request failed"),
            Self::Unavailable { cause } => tracing::warn!(request_id, cause, "unavailable: a request failed"),
            other => tracing::debug!(request_id, reason, message = %other, "refused"),
        }
    }

    /// The answer.
    pub(crate) fn response(&self, door: &Door) -> Response {
        let (status, code, _) = self.row();
        if matches!(self, Self::Absent) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            return response;
        }
        let body = format!("{{\"code\":{code},\"message\":{}}}\n", quoted(&self.to_string()));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Self::Denied(denied) = self {
            denied.note_on(headers);
        }
        let mut insert = |name, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Duplicate(id) | Self::Once { id, .. } => insert(LOCATION, super::entries::location(id)),
            Self::Method { allowed, .. } => insert(ALLOW, (*allowed).to_owned()),
            Self::Full | Self::Stopping | Self::Unavailable { .. } | Self::Running => {
                insert(RETRY_AFTER, door.settings.retry_after_seconds.to_string());
            }
            _ => {}
        }
        response
    }
}

impl From<kinds::Refusal> for Refusal {
    fn from(refusal: kinds::Refusal) -> Self {
        match refusal {
            kinds::Refusal::Kind { kind } => Self::Kind { kind },
            other => Self::Entry(other.to_string()),
        }
    }
}

impl From<TreeError> for Refusal {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Form(error) => Self::Request(error),
            TreeError::Unknown(tree) => Self::unknown_tree(&tree),
        }
    }
}

impl Refusal {
    /// A tree that this log never had.
    pub(super) fn unknown_tree(tree: &dyn std::fmt::Display) -> Self {
        Self::Argument(format!("invalid tree ID specified: {tree}"))
    }
}

impl From<bulla_tlog::note::SignError> for Refusal {
    fn from(error: bulla_tlog::note::SignError) -> Self {
        Self::Unavailable { cause: format!("the v1 key does not sign: {error}") }
    }
}

impl<T: Into<Trouble>> From<T> for Refusal {
    fn from(trouble: T) -> Self {
        match trouble.into() {
            Trouble::Frozen => Self::Frozen,
            Trouble::Full => Self::Full,
            Trouble::Stopping => Self::Stopping,
            Trouble::Unavailable { cause } => Self::Unavailable { cause },
            Trouble::Corrupt { cause } => Self::Corrupt { cause },
            Trouble::Unfit(problem) => Self::Entry(problem),
            Trouble::TooLarge { limit } => Self::TooLarge { limit },
            Trouble::Slow { seconds } => Self::Slow { seconds },
            Trouble::Broken(problem) => Self::Broken(problem),
        }
    }
}

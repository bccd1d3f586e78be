//! Everything the v2 door refuses, and the one table from a refusal to its HTTP status and gRPC code.
//!
//! A message starts with the reference's phrase where it has one, because people search for it, and goes on with what is
//! wrong and what was expected.

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tonic::Code;

use crate::api::trouble::Trouble;
use crate::api::v1::refusal as v1;
use crate::door::Door;
use crate::guard::Denied;
use crate::wire::v2::error;
use crate::wire::v2::request::RequestError;

/// Carries the index of the entry that was there first; as gRPC metadata too.
const X_LOG_INDEX: &str = "x-log-index";

/// Why a request got no answer, and whose fault it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The request cannot be read, or the entry in it is not admitted.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The client may not write, or not so often, or not this.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The admitted entry does not fit a leaf.
    #[error("invalid entry: {0}")]
    Leaf(String),
    /// A path or query names something in a form that cannot be read.
    #[error("invalid request: {0}")]
    Argument(String),
    #[error("http: request body too large: at most {limit} bytes are accepted")]
    TooLarge { limit: usize },
    #[error("request body was not received within {seconds} s")]
    Slow { seconds: u64 },
    /// The client's body ended early or broke.
    #[error("request body could not be read: {0}")]
    Broken(String),
    #[error("an equivalent entry already exists in the transparency log with index {index}")]
    Duplicate { index: u64 },
    #[error("log frozen")]
    Frozen,
    #[error("reached max pushback; retry")]
    Full,
    #[error("the log is stopping; retry")]
    Stopping,
    /// Ours or the world's to mend; the cause is for the log, not for the client.
    #[error("the log cannot store or publish entries now; retry")]
    Unavailable { cause: String },
    #[error("internal server error")]
    Corrupt { cause: String },
    #[error("Not Found")]
    UnknownPath,
    #[error("Not Found: {0}")]
    Absent(String),
    /// An idempotency key that cannot be used now, or not for this request.
    #[error("{0}")]
    Again(String),
    #[error("{0}")]
    OtherBody(String),
    #[error("Method Not Allowed")]
    Method { allowed: &'static str },
    #[error("range not satisfiable: there are {len} bytes")]
    Range { len: usize },
}

impl Refusal {
    /// HTTP status, gRPC code, and the reason as the metrics label it.
    pub(crate) fn row(&self) -> (StatusCode, Code, &'static str) {
        use RequestError::{Invalid, Malformed, Type};
        match self {
            Self::Request(Malformed(_)) => (StatusCode::BAD_REQUEST, Code::InvalidArgument, "malformed"),
            Self::Request(Type(_)) => (StatusCode::BAD_REQUEST, Code::InvalidArgument, "type"),
            Self::Request(Invalid { .. }) => (StatusCode::BAD_REQUEST, Code::InvalidArgument, "invalid"),
            Self::Denied(denied) => denied.row(),
            Self::Leaf(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument, "leaf"),
            Self::Argument(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument, "argument"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument, "too-large"),
            Self::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "slow"),
            Self::Broken(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument, "broken"),
            Self::Duplicate { .. } => (StatusCode::CONFLICT, Code::AlreadyExists, "duplicate"),
            Self::Frozen => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "frozen"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "full"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "stopping"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "unavailable"),
            Self::Corrupt { .. } => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "corrupt"),
            Self::UnknownPath | Self::Absent(_) => (StatusCode::NOT_FOUND, Code::NotFound, "not-found"),
            Self::Again(_) => (StatusCode::CONFLICT, Code::Aborted, "running"),
            Self::OtherBody(_) => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument, "other-body"),
            Self::Method { .. } => (StatusCode::NOT_IMPLEMENTED, Code::Unimplemented, "method"),
            Self::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, Code::OutOfRange, "range"),
        }
    }

    /// Counts the refusal, and tells the log what the client is not told.
    pub(crate) fn note(&self, door: &'static str, request_id: &str) {
        let (_, _, reason) = self.row();
        metrics::counter!("bulla_refused_total", "door" => door, "reason" => reason).increment(1);
        match self {
            Self::Corrupt { cause } => tracing::error!(request_id, cause, "corrupt: a request failed"),
            Self::Unavailable { cause } => tracing::warn!(request_id, cause, "unavailable: a request failed"),
            other => tracing::debug!(request_id, reason, message = %other, "refused"),
        }
    }

    /// The HTTP answer.
    pub(crate) fn response(&self, door: &Door) -> Response {
        let (status, code, _) = self.row();
        let (kind, body) = match self {
            Self::Frozen => ("text/plain; charset=utf-8", FROZEN.as_bytes().to_vec()),
            other => ("application/json", error::write(code as i32, &other.to_string())),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        // Many of these turn into an answer a moment later.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Duplicate { index } => {
                headers.insert(HeaderName::from_static(X_LOG_INDEX), HeaderValue::from(*index));
                insert(headers, LOCATION, &format!("/api/v2/log/entries/{index}"));
            }
            Self::Full | Self::Stopping | Self::Unavailable { .. } | Self::Again(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(door.settings.retry_after_seconds));
            }
            Self::Denied(denied) => denied.note_on(headers),
            Self::Method { allowed } => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Range { len } => insert(headers, CONTENT_RANGE, &format!("bytes */{len}")),
            _ => {}
        }
        response
    }

    /// The gRPC answer.
    pub(crate) fn status(&self) -> tonic::Status {
        let (_, code, _) = self.row();
        let mut status = tonic::Status::new(code, self.to_string());
        if let Self::Duplicate { index } = self {
            status.metadata_mut().insert(X_LOG_INDEX, (*index).into());
        }
        status
    }
}

/// What clients of a frozen log are told, word for word as the reference does.
const FROZEN: &str = "This log has been frozen, please switch to the latest log.\n";

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What a batch is refused for at either door.
impl From<v1::Refusal> for Refusal {
    fn from(refusal: v1::Refusal) -> Self {
        match refusal {
            v1::Refusal::Frozen => Self::Frozen,
            v1::Refusal::Full => Self::Full,
            v1::Refusal::Stopping => Self::Stopping,
            v1::Refusal::Unavailable { cause } => Self::Unavailable { cause },
            v1::Refusal::Corrupt { cause } => Self::Corrupt { cause },
            running @ v1::Refusal::Running => Self::Again(running.to_string()),
            other @ v1::Refusal::OtherBody => Self::OtherBody(other.to_string()),
            other => Self::Argument(other.to_string()),
        }
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
            Trouble::Unfit(problem) => Self::Leaf(problem),
            Trouble::TooLarge { limit } => Self::TooLarge { limit },
            Trouble::Slow { seconds } => Self::Slow { seconds },
            Trouble::Broken(problem) => Self::Broken(problem),
        }
    }
}

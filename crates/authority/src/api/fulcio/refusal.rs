//! Why a request was not answered as its client had wished, in the words of a gRPC gateway: `{"code", "message", "details"}`.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tonic::{Code, Status};

use crate::api::body::Unread;
use crate::ca::IssueError;

/// See the module.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request is wrong. The text names the field or claim, and is the client's to read.
    Invalid(String),
    /// There is no request.
    Body(Unread),
    /// Someone whom we ask does not answer. The cause is for the log only.
    Unavailable(String),
    /// The authority is broken. The cause is for the log only.
    Failed(String),
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        Self::Body(unread)
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Refused(problem) => Self::Invalid(problem),
            IssueError::Unavailable(cause) => Self::Unavailable(cause),
            IssueError::Failed(cause) => Self::Failed(cause),
        }
    }
}

impl Refusal {
    /// As a label of metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Invalid(_) | Self::Body(_) => "refused",
            Self::Unavailable(_) => "unavailable",
            Self::Failed(_) => "failed",
        }
    }

    /// Says to our own people what clients are not told.
    pub(super) fn note(&self, door: &'static str) {
        match self {
            Self::Unavailable(cause) => tracing::warn!(door, cause, "no certificate for now"),
            Self::Failed(cause) => tracing::error!(door, cause, "no certificate"),
            Self::Invalid(_) | Self::Body(_) => {}
        }
    }

    fn parts(&self) -> (StatusCode, Code, String) {
        match self {
            Self::Invalid(problem) => (StatusCode::BAD_REQUEST, Code::InvalidArgument, problem.clone()),
            Self::Body(unread) => {
                let late = matches!(unread, Unread::Slow);
                let code = if late { Code::DeadlineExceeded } else { Code::InvalidArgument };
                (unread.status(), code, unread.to_string())
            }
            Self::Unavailable(_) => {
                let problem = "the certificate authority cannot answer now, try again later".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, problem)
            }
            Self::Failed(_) => {
                let problem = "the certificate authority failed".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, problem)
            }
        }
    }

    /// Over gRPC.
    pub(super) fn status(&self) -> Status {
        let (_, code, message) = self.parts();
        Status::new(code, message)
    }

    /// Over HTTP.
    pub(super) fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let body = json!({"code": code as i32, "message": message, "details": []}).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, super::json::CONTENT);
        response
    }
}

//! The door of the timestamp authority: `POST /api/v1/timestamp`, `GET /api/v1/timestamp/certchain`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::InForce;
use crate::api::body::{Unread, received};
use crate::tsa::{MAX_DER_BYTES, MAX_JSON_BYTES, Refusal, Request, RequestError, TimestampAuthority};

/// The routes of one authority, whichever is in force. No more is held of a body than it may have, and not for longer than ten seconds.
pub fn routes(authority: Arc<InForce<TimestampAuthority>>) -> Router {
    Router::new()
        .route("/api/v1/timestamp", post(timestamp))
        .route("/api/v1/timestamp/certchain", get(chain))
        .with_state(authority)
}

async fn timestamp(
    State(authority): State<Arc<InForce<TimestampAuthority>>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let form = Form::of(&headers)?;
    let body = received(body, form.limit()).await?;
    let request = match form {
        Form::Der => Request::from_der(&body)?,
        Form::Json => Request::from_json(&body)?,
    };
    let answer = authority.now().respond(&request).await?;
    metrics::counter!("bulla_tsa_timestamps_total").increment(1);
    let headers = [(CONTENT_TYPE, "application/timestamp-reply"), (CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, answer).into_response())
}

async fn chain(State(authority): State<Arc<InForce<TimestampAuthority>>>) -> Response {
    let headers = [(CONTENT_TYPE, "application/pem-certificate-chain")];
    (headers, authority.now().chain_pem().to_owned()).into_response()
}

/// In what a request is written.
#[derive(Clone, Copy)]
enum Form {
    Der,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let value = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let value = value.ok_or_else(|| Fault::media("missing"))?;
        let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
        let named = |parameter: &str| {
            let name = parameter.split_once('=').map(|(name, _)| name.trim());
            parameter.trim().is_empty() || name.is_some_and(|name| !name.is_empty())
        };
        if !parameters.split(';').all(named) {
            return Err(Fault::new(
                StatusCode::BAD_REQUEST,
                format!("content type {value:?} has parameters that are not NAME=VALUE"),
            ));
        }
        match essence.trim() {
            der if der.eq_ignore_ascii_case("application/timestamp-query") => Ok(Self::Der),
            json if json.eq_ignore_ascii_case("application/json") => Ok(Self::Json),
            other => Err(Fault::media(&format!("{other:?}"))),
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Der => MAX_DER_BYTES,
            Self::Json => MAX_JSON_BYTES,
        }
    }
}

/// What is answered instead: a status, and a text for `{"code":…,"message":…}`.
struct Fault {
    status: StatusCode,
    message: String,
}

impl Fault {
    fn new(status: StatusCode, message: String) -> Self {
        Self { status, message }
    }

    fn media(found: &str) -> Self {
        let message =
            format!("content type is {found}, application/timestamp-query or application/json was expected");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }
}

impl From<Unread> for Fault {
    fn from(unread: Unread) -> Self {
        Self::new(unread.status(), unread.to_string())
    }
}

impl From<RequestError> for Fault {
    fn from(error: RequestError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Policy(..) => StatusCode::BAD_REQUEST,
            Refusal::Clock(_) | Refusal::Expired(_) | Refusal::Key(_) => {
                tracing::warn!(%refusal, "a timestamp was refused");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, refusal.to_string())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let class = if self.status == StatusCode::SERVICE_UNAVAILABLE { "unavailable" } else { "refused" };
        metrics::counter!("bulla_tsa_refusals_total", "class" => class).increment(1);
        let body = serde_json::json!({ "code": self.status.as_u16(), "message": self.message });
        (self.status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

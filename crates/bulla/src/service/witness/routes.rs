//! The witness's two addresses: `POST /add-checkpoint` for logs and `GET /<SHA-256 of the origin>/checkpoint` for
//! monitors (C2SP tlog-witness).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bulla_tlog::Hash;
use bulla_tlog::add_checkpoint::{Refusal, SIZE_CONTENT_TYPE, size_body};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::Semaphore;

use super::{MAX_BODY, Refused, Witness};

struct Shared {
    witness: Arc<Witness>,
    /// Each request that waits for the disk has a thread.
    threads: Semaphore,
}

/// The addresses.
pub(crate) fn routes(witness: Arc<Witness>) -> Router {
    let shared = Arc::new(Shared { witness, threads: Semaphore::new(MAX_THREADS) });
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(last_checkpoint))
        .with_state(shared)
}

async fn add_checkpoint(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let body = match tokio::time::timeout(BODY_WITHIN, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("body is over {MAX_BODY} bytes, which are read at most\n");
            return text(StatusCode::PAYLOAD_TOO_LARGE, message);
        }
        Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "body ended early\n".to_owned()),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "body did not come in time\n".to_owned()),
    };
    let Ok(_thread) = shared.threads.acquire().await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the witness is stopping\n".to_owned());
    };
    let witness = shared.witness.clone();
    // It runs to its end even when the log hangs up: a record half written would be no gain.
    let judged = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await;
    match judged.unwrap_or_else(|error| Err(Refused::Unavailable(error.to_string()))) {
        Ok(lines) => text(StatusCode::OK, lines),
        Err(Refused::Judged(Refusal::Conflict { known, .. })) => {
            (StatusCode::CONFLICT, [(CONTENT_TYPE, SIZE_CONTENT_TYPE)], size_body(known)).into_response()
        }
        Err(refused) => {
            if let Refused::Unavailable(cause) = &refused {
                tracing::error!(cause, "not cosigned");
            } else {
                tracing::warn!(%refused, "not cosigned");
            }
            let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            text(status, format!("{refused}\n"))
        }
    }
}

async fn last_checkpoint(State(shared): State<Arc<Shared>>, Path(origin): Path<String>) -> Response {
    // The specification has one spelling of each address.
    let hash = Hash::from_hex(&origin).filter(|hash| hash.to_string() == origin);
    match hash.and_then(|hash| shared.witness.last(&hash)) {
        Some(last) => {
            let headers = [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-cache")];
            (headers, last.note.clone()).into_response()
        }
        None => text(StatusCode::NOT_FOUND, "no checkpoint of such a log was cosigned here\n".to_owned()),
    }
}

fn text(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, TEXT)], text).into_response()
}

const TEXT: &str = "text/plain; charset=utf-8";
const MAX_THREADS: usize = 64;
const BODY_WITHIN: Duration = Duration::from_secs(10);

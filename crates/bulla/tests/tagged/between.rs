//! Somebody between a proxy and its log, who lets everything pass, nothing, or everything but what they hide.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::Value;

use crate::fake::listen;

/// What they do.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything passes.
    Open,
    /// Nobody is answered well.
    Down,
    /// The search does not name these entries, by the last digits of their IDs.
    Hides(Vec<String>),
    /// The search names nothing.
    HidesAll,
    /// The log is told no conditions, as one that does not know them.
    Unconditional,
    /// Whoever reads entries by their indexes from 10 on gets those of another log.
    TwoTrees(String),
}

/// See the module.
pub(crate) struct Between {
    pub(crate) url: String,
    mode: Arc<Mutex<Mode>>,
}

impl Between {
    /// Before the log at that address.
    pub(crate) async fn before(log: &str) -> Self {
        let mode = Arc::new(Mutex::new(Mode::Open));
        let (client, log, shared) =
            (bulla_web::client().build().expect("a client"), log.to_owned(), Arc::clone(&mode));
        let app = Router::new().fallback(move |request: Request| {
            let mode = shared.lock().expect("lock").clone();
            answer(client.clone(), log.clone(), mode, request)
        });
        let (listener, host) = listen().await;
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url: format!("http://{host}"), mode }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().expect("lock") = mode;
    }
}

async fn answer(client: reqwest::Client, log: String, mode: Mode, request: Request) -> Response {
    if mode == Mode::Down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await.expect("a body");
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut headers = parts.headers;
    headers.remove("host");
    if mode == Mode::Unconditional {
        headers.remove("entry-once");
    }
    let log = match mode {
        Mode::TwoTrees(ref other) if body.starts_with(br#"{"logIndexes":[10,"#) => other.clone(),
        _ => log,
    };
    let asked = client.request(parts.method, format!("http://{log}{path}")).headers(headers).body(body);
    let response = asked.send().await.expect("the log answers");
    let (status, mut headers) = (response.status(), response.headers().clone());
    let mut body = response.bytes().await.expect("a body");
    if path == "/api/v1/index/retrieve" {
        body = shown(&body, &mode);
    }
    headers.remove("content-length");
    headers.remove("transfer-encoding");
    (status, headers, body).into_response()
}

/// What is left of an answer of the search.
fn shown(body: &Bytes, mode: &Mode) -> Bytes {
    let ids: Vec<String> = serde_json::from_slice(body).expect("a list");
    let is_hidden = |id: &String| match mode {
        Mode::Hides(hidden) => hidden.iter().any(|hidden| id.ends_with(hidden.as_str())),
        Mode::HidesAll => true,
        Mode::Open | Mode::Down | Mode::Unconditional | Mode::TwoTrees(_) => false,
    };
    let ids: Vec<Value> = ids.into_iter().filter(|id| !is_hidden(id)).map(Value::from).collect();
    Value::from(ids).to_string().into()
}

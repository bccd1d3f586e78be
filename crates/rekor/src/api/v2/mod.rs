//! The v2 door over HTTP: its routes, and what every answer has in common.

mod entries;
pub(crate) mod read;
pub(crate) mod refusal;
pub(crate) mod write;

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
};
use http::{HeaderValue, StatusCode};

use self::refusal::Refusal;
use crate::api::meter::Route;
use crate::api::request_id::{self, X_REQUEST_ID};
use crate::door::Door;
use crate::guard::Admission;

/// Where the API lives. The read side is served below the root too, as static copies of a log are.
const PREFIX: &str = "/api/v2";
const READ_METHODS: &str = "GET, HEAD, OPTIONS";
const BATCH_METHODS: &str = "POST, OPTIONS";
const WRITE_METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// The routes of the v2 door.
pub(super) fn routes() -> axum::Router<Arc<Door>> {
    let mut routes = axum::Router::new()
        .route(
            "/api/v2/log/entries",
            on(MethodFilter::POST, Route::Create, write::post)
                .merge(on(MethodFilter::GET, Route::Entry, entries::by_leaf_hash))
                .merge(others(WRITE_METHODS)),
        )
        .route(
            "/api/v2/log/entries/batch",
            on(MethodFilter::POST, Route::Create, write::batch).merge(others(BATCH_METHODS)),
        )
        .route("/api/v2/log/entries/{index}", get(Route::Entry, entries::by_index))
        .route("/api/v2/checkpoints", get(Route::History, read::history))
        .route("/api/v2/checkpoint/{size}", get(Route::History, read::checkpoint_of_size))
        .route("/api/v2/proof/consistency", get(Route::Consistency, read::consistency));
    for prefix in ["", PREFIX] {
        routes = routes
            .route(&format!("{prefix}/checkpoint"), get(Route::Checkpoint, read::checkpoint))
            .route(&format!("{prefix}/tile/{{*tile}}"), get(Route::Tile, read::tile))
            .route(&format!("{prefix}/trusted_root.json"), get(Route::Trust, read::trusted_root))
            .route(&format!("{prefix}/signing_config.v0.2.json"), get(Route::Trust, read::signing_config));
    }
    routes
}

/// What is answered to a path of this door that is none.
pub(super) async fn unknown(door: Arc<Door>, request: Request) -> Response {
    answered(door, Route::Unknown, request, async |_, _| Err(Refusal::UnknownPath)).await
}

/// A route that is read.
fn get<H, F>(route: Route, handler: H) -> MethodRouter<Arc<Door>>
where
    H: FnOnce(Arc<Door>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Refusal>> + Send,
{
    on(MethodFilter::GET, route, handler).merge(others(READ_METHODS))
}

fn on<H, F>(method: MethodFilter, route: Route, handler: H) -> MethodRouter<Arc<Door>>
where
    H: FnOnce(Arc<Door>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Refusal>> + Send,
{
    axum::routing::on(method, move |State(door), request| answered(door, route, request, handler))
}

/// The methods a known path does not take, and OPTIONS, which browsers ask before they post.
fn others(allowed: &'static str) -> MethodRouter<Arc<Door>> {
    axum::routing::options(async move || preflight(allowed)).fallback(
        async move |State(door): State<Arc<Door>>, request: Request| {
            answered(door, Route::Unknown, request, async |_, _| Err(Refusal::Method { allowed })).await
        },
    )
}

/// Runs a handler, if the client may ask it, and does what every answer needs: refusals become answers, the request is named, counted and timed.
async fn answered<F>(
    door: Arc<Door>,
    route: Route,
    request: Request,
    handler: impl FnOnce(Arc<Door>, Request) -> F,
) -> Response
where
    F: Future<Output = Result<Response, Refusal>>,
{
    let started = Instant::now();
    let given = request_id::given(request.headers());
    let admission = match route {
        Route::Create => door.settings.guard.admission(request.headers(), request.extensions()),
        _ => Admission::free(),
    };
    let answer = match &admission.verdict {
        Ok(()) => handler(door.clone(), request).await,
        Err(denied) => Err(denied.clone().into()),
    };
    // What caches keep for a year is not the answer to one request; it is named only if its client asked.
    let named = given.is_some() || route != Route::Tile || answer.is_err();
    let id = named.then(|| given.unwrap_or_else(|| door.request_ids.make()));
    let mut response = answer.unwrap_or_else(|refusal| {
        refusal.note("v2", id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default());
        refusal.response(&door)
    });
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    admission.note_on(headers);
    if let Some(id) = id {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.insert(X_REQUEST_ID, id);
    }
    door.meter.answered(route, response.status(), started.elapsed());
    response
}

/// Headers a page of another origin may read.
const EXPOSED: &str = "ETag, Content-Range, Location, Retry-After, X-Log-Index, X-Request-Id, RateLimit-Limit, \
                       RateLimit-Remaining, RateLimit-Reset";

fn preflight(allowed: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (ALLOW, allowed),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, allowed),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-None-Match, Range, X-Request-Id"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

//! The v1 door over HTTP: its routes, and what every answer has in common.

pub mod about;
pub(crate) mod batch;
mod entries;
mod index;
mod log;
pub(crate) mod once;
pub(crate) mod refusal;
mod retrieve;

pub(crate) use entries::addition;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, PRAGMA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use self::refusal::Refusal;
use crate::api::body::{self, Received};
use crate::api::meter::Route;
use crate::api::request_id::{self, X_REQUEST_ID};
use crate::door::Door;
use crate::guard::Admission;

const READ: &str = "GET";
const WRITE: &str = "POST";
const BOTH: &str = "GET,POST";

/// The routes of the v1 door.
pub(super) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/api/v1/log", get(Route::Checkpoint, log::info))
        .route("/api/v1/log/publicKey", get(Route::Trust, log::public_key))
        .route("/api/v1/log/proof", get(Route::Consistency, log::consistency))
        .route(
            "/api/v1/log/entries",
            on(MethodFilter::POST, Route::Create, entries::create)
                .merge(on(MethodFilter::GET, Route::Entry, index::by_index_or_search))
                .merge(others(BOTH)),
        )
        .route("/api/v1/log/entries/{entryUUID}", get(Route::Entry, entries::by_id))
        .route("/api/v1/log/entries/{entryUUID}/proof", get(Route::Entry, entries::proof))
        .route("/api/v1/log/entries/retrieve", post(Route::Entry, retrieve::retrieve))
        .route("/api/v1/log/entries/batch", post(Route::Create, batch::post))
        .route("/api/v1/index/retrieve", post(Route::Search, index::lookup))
        .route("/api/v1/version", get(Route::About, about::version))
        .route("/ping", get(Route::About, about::ping))
        .route("/swagger.json", get(Route::About, about::description))
}

/// What is answered to a path of this door that is none.
pub(super) async fn unknown(door: Arc<Door>, request: Request) -> Response {
    answered(door, Route::Unknown, request, async |_, request| {
        Err(Refusal::Path(request.uri().path().to_owned()))
    })
    .await
}

/// Whether a path is this door's.
pub(super) fn owns(path: &str) -> bool {
    path.starts_with("/api/v1/") || path == "/api/v1"
}

fn get<H, F>(route: Route, handler: H) -> MethodRouter<Arc<Door>>
where
    H: FnOnce(Arc<Door>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Refusal>> + Send,
{
    on(MethodFilter::GET, route, handler).merge(others(READ))
}

fn post<H, F>(route: Route, handler: H) -> MethodRouter<Arc<Door>>
where
    H: FnOnce(Arc<Door>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Refusal>> + Send,
{
    on(MethodFilter::POST, route, handler).merge(others(WRITE))
}

fn on<H, F>(method: MethodFilter, route: Route, handler: H) -> MethodRouter<Arc<Door>>
where
    H: FnOnce(Arc<Door>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Refusal>> + Send,
{
    axum::routing::on(method, move |State(door), request| answered(door, route, request, handler))
}

/// The methods that a known path does not take, and OPTIONS, which browsers ask before they post.
fn others(allowed: &'static str) -> MethodRouter<Arc<Door>> {
    axum::routing::options(preflight).fallback(
        async move |State(door): State<Arc<Door>>, request: Request| {
            answered(door, Route::Unknown, request, async |_, request| {
                Err(Refusal::Method { method: request.method().to_string(), allowed })
            })
            .await
        },
    )
}

async fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    insert(
        response.headers_mut(),
        &[
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, HEAD"),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type, X-Requested-With, Idempotency-Key, Entry-Once",
            ),
            (ACCESS_CONTROL_MAX_AGE, "86400"),
        ],
    );
    response
}

fn insert(headers: &mut HeaderMap, values: &[(HeaderName, &'static str)]) {
    for (name, value) in values {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
}

/// Runs a handler, if the client may ask it, and does what every answer needs: what the client accepts is compared with what
/// there is, refusals become answers, the request is named, counted and timed.
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
    let id = request_id::given(request.headers()).unwrap_or_else(|| door.request_ids.make());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let offered = offered(request.uri().path());
    let acceptable = offered.iter().any(|offered| accepts(request.headers(), offered));
    let admission = match route {
        Route::Create => door.settings.guard.admission(request.headers(), request.extensions()),
        _ => Admission::free(),
    };
    let answer = if let Err(denied) = &admission.verdict {
        Err(denied.clone().into())
    } else if acceptable || !request.uri().path().starts_with("/api/") {
        handler(door.clone(), request).await
    } else {
        Err(Refusal::Accept { offered: offered.join(", ") })
    };
    let mut response = answer.unwrap_or_else(|refusal| {
        refusal.note(id.to_str().unwrap_or_default());
        refusal.response(&door)
    });
    let headers = response.headers_mut();
    insert(headers, &[(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)]);
    if reads {
        insert(headers, &NEVER_CACHED);
    }
    admission.note_on(headers);
    headers.insert(X_REQUEST_ID, id);
    door.v1_meter.answered(route, response.status(), started.elapsed());
    response
}

/// Headers a page of another origin may read.
const EXPOSED: &str = "ETag, Location, Retry-After, X-Request-Id, X-Complete-Tree-Size, Entry-Once, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset";

static NEVER_CACHED: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-cache, no-store, no-transform, must-revalidate, private, max-age=0"),
    (PRAGMA, "no-cache"),
    (EXPIRES, "Thu, 01 Jan 1970 00:00:00 UTC"),
    (HeaderName::from_static("x-accel-expires"), "0"),
];

const JSON: &str = "application/json";

/// What a path has. Clients that ask for JSON everywhere get keys and files nevertheless.
fn offered(path: &str) -> &'static [&'static str] {
    match path {
        path if path.ends_with("/publicKey") => &[JSON, log::PEM_FILE],
        path if path.ends_with(entries::PROOF_FILE) => &[JSON, "text/plain"],
        _ => &[JSON],
    }
}

/// Whether a client takes what is offered (RFC 9110 §12.5.1).
fn accepts(headers: &HeaderMap, offered: &str) -> bool {
    let mut any = false;
    let family = offered.split_once('/').map_or(offered, |(family, _)| family);
    for value in headers.get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default();
            if range.is_empty() {
                continue;
            }
            any = true;
            let refused = parts
                .any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            let fits = range == "*/*"
                || range.eq_ignore_ascii_case(offered)
                || range.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(family));
            if fits && !refused {
                return true;
            }
        }
    }
    !any
}

/// Receives the whole body of a request that must be JSON, or refuses it: by its type, by the length it announces, by the
/// length it has.
async fn received(door: &Door, request: Request) -> Result<Received, Refusal> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(JSON) {
        return Err(Refusal::MediaType { given: given.chars().take(80).collect() });
    }
    Ok(body::received(&door.settings, &door.room, request.into_body()).await?)
}

/// An answer in JSON.
fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

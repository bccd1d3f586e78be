//! The door of the trust repository: its files, to be read, and nothing else of its directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::{Path as Name, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};

use crate::tuf::{is_name, read_file};

/// The files of a repository in this directory.
pub fn routes(dir: Arc<Path>) -> Router {
    Router::new().route("/{*name}", get(file)).with_state(dir)
}

async fn file(State(dir): State<Arc<Path>>, Name(name): Name<String>, headers: HeaderMap) -> Response {
    // Only names of the right shape become paths.
    if !is_name(&name) {
        return nothing();
    }
    let path: PathBuf = dir.join(&name);
    let bytes = match tokio::task::spawn_blocking(move || read_file(&path)).await {
        Ok(Ok(Some(bytes))) => bytes,
        Ok(Ok(None)) => return nothing(),
        Ok(Err(error)) => return failed(&error),
        Err(error) => return failed(&error),
    };
    let tag = URL_SAFE_NO_PAD.encode(&digest(&SHA256, &bytes).as_ref()[..16]);
    let tag = format!("\"{tag}\"");
    let headers_out = [(ETAG, tag.as_str()), (CACHE_CONTROL, lasting(&name))];
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    if known.flat_map(|tags| tags.split(',')).any(|known| matches(known.trim(), &tag)) {
        return (StatusCode::NOT_MODIFIED, headers_out).into_response();
    }
    let json = Path::new(&name).extension().is_some_and(|extension| extension == "json");
    let kind = if json { "application/json" } else { "application/octet-stream" };
    (headers_out, [(CONTENT_TYPE, kind)], bytes).into_response()
}

fn matches(known: &str, tag: &str) -> bool {
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}

/// What has a version in its name is never written twice with other bytes that anybody was told of; what has not changes.
fn lasting(name: &str) -> &'static str {
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        "public, max-age=86400, immutable"
    } else {
        "no-cache"
    }
}

/// Not to be remembered: the next root is not there until it is.
fn nothing() -> Response {
    (StatusCode::NOT_FOUND, [(CACHE_CONTROL, "no-store")], "no such file\n").into_response()
}

fn failed(error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "a file of the trust repository was not read");
    (StatusCode::INTERNAL_SERVER_ERROR, [(CACHE_CONTROL, "no-store")], "file was not read\n").into_response()
}

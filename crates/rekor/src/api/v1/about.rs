//! Small things people type: version, ping, the description of the API.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::json;
use super::refusal::Refusal;
use crate::door::Door;
use crate::wire::v1::entry::quoted;

/// What was built.
#[derive(Clone, Debug)]
pub struct Build {
    /// Version of the program.
    pub version: &'static str,
    /// Commit that it was built from.
    pub commit: &'static str,
    /// `clean`, `dirty` or `unknown`.
    pub tree_state: &'static str,
    /// When the commit was made, RFC 3339.
    pub date: &'static str,
}

/// `GET /api/v1/version`.
pub(super) async fn version(door: Arc<Door>, _request: Request) -> Result<Response, Refusal> {
    let Build { version, commit, tree_state, date } = &door.settings.v1.build;
    let text = format!(
        "{{\"builddate\":{},\"commit\":{},\"treestate\":{},\"version\":{}}}\n",
        quoted(date),
        quoted(commit),
        quoted(tree_state),
        quoted(version)
    );
    Ok(json(StatusCode::OK, text))
}

/// `GET /ping`: one dot.
pub(super) async fn ping(_door: Arc<Door>, _request: Request) -> Result<Response, Refusal> {
    let mut response = Response::new(Body::from("."));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// `GET /swagger.json`: the API's description (`OpenAPI` 2.0).
pub(super) async fn description(_door: Arc<Door>, _request: Request) -> Result<Response, Refusal> {
    Ok(json(StatusCode::OK, DESCRIPTION.to_owned()))
}

const DESCRIPTION: &str = include_str!("swagger.json");

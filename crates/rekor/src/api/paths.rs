//! Both doors on one listener: their routes, and what becomes of paths that fit none. Clients join base URLs and paths in
//! several ways, so a path gets a second look with its slashes put in order; and `/shards/TREE/…` is the read side of the v2
//! door for that tree.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::uri::PathAndQuery;
use http::{Method, Uri};
use tower::ServiceExt as _;

use crate::api::{v1, v2};
use crate::door::Door;

/// Where the trees are by their IDs.
const SHARDS: &str = "/shards/";

/// The routes of both doors.
pub fn router(door: Arc<Door>) -> Router {
    let routes = v1::routes().merge(v2::routes());
    let strict = routes.clone().fallback(unknown).with_state(door.clone());
    routes.fallback(move |State(door), request| second_look(door, request, strict)).with_state(door)
}

async fn second_look(door: Arc<Door>, mut request: Request, strict: Router) -> Response {
    let cleaned = cleaned(request.uri().path());
    let path = cleaned.as_deref().unwrap_or_else(|| request.uri().path());
    let (path, shard) = match of_shard(&door, path, request.method()) {
        Some((path, shard)) => (Some(path), Some(shard)),
        None => (cleaned, None),
    };
    let Some(uri) = path.and_then(|path| with_path(request.uri(), &path)) else {
        return unknown(State(door), request).await;
    };
    *request.uri_mut() = uri;
    if let Some(shard) = shard {
        request.extensions_mut().insert(shard);
    }
    strict.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// The tree that a path names and the rest of the path; trees are read.
fn of_shard(door: &Door, path: &str, method: &Method) -> Option<(String, Arc<crate::shard::Placed>)> {
    let (tree, rest) = path.strip_prefix(SHARDS)?.split_once('/')?;
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let shard = tree.parse().ok().and_then(|tree| door.shards.of_tree(tree)).filter(|_| reads)?;
    let rest = format!("/{rest}");
    (!v1::owns(&rest)).then_some((rest, shard))
}

async fn unknown(State(door): State<Arc<Door>>, request: Request) -> Response {
    if v1::owns(request.uri().path()) {
        v1::unknown(door, request).await
    } else {
        v2::unknown(door, request).await
    }
}

/// The path without empty and `.` segments and without a slash at its end, if it has any.
fn cleaned(path: &str) -> Option<String> {
    let kept = || path.split('/').filter(|segment| !matches!(*segment, "" | "."));
    let cleaned = kept().fold(String::new(), |path, segment| path + "/" + segment);
    (!cleaned.is_empty() && cleaned != path).then_some(cleaned)
}

/// The same URI with another path.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::cleaned;

    #[test]
    fn slashes_are_put_in_order() {
        for (path, clean) in [
            ("//api/v1/log", Some("/api/v1/log")),
            ("/api/v1/log/entries/retrieve/", Some("/api/v1/log/entries/retrieve")),
            ("/api/./v2//checkpoint", Some("/api/v2/checkpoint")),
            ("/api/v1/log", None),
            ("/", None),
            ("//", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }
}

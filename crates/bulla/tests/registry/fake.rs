//! A registry that answers as a test tells it to, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::registry::{
    Client, Credentials, Descriptor, Digest, EMPTY, Manifest, Name, OCI_EMPTY, OCI_MANIFEST, Options,
    Repository,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }
}

/// A registry on a port of its own.
pub(crate) struct Fake {
    /// Host and port.
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A port that nobody answers at yet.
pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    (listener, host)
}

/// Answers each request with what the function says.
pub(crate) async fn serve(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Fake {
    serve_at(listen().await, answer)
}

pub(crate) fn serve_at(
    (listener, host): (TcpListener, String),
    answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
) -> Fake {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (heard, answer) = (Arc::clone(&seen), Arc::new(answer));
    let app = Router::new().fallback(move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 8 << 20).await.expect("a body");
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let request = Seen { method: parts.method, path, headers: parts.headers, body };
        let response = answer(&request);
        heard.lock().expect("lock").push(request);
        response
    });
    tokio::spawn(axum::serve(listener, app).into_future());
    Fake { host, seen }
}

impl Fake {
    pub(crate) fn repository(&self) -> Repository {
        Repository::parse(&format!("{}/team/app", self.host)).expect("a repository")
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("lock").clone()
    }

    /// Methods and paths, without the name of the repository.
    pub(crate) fn asked(&self) -> Vec<String> {
        let short = |seen: &Seen| format!("{} {}", seen.method, seen.path.replace("/v2/team/app/", ""));
        self.seen().iter().map(short).collect()
    }
}

/// A client that is in a hurry.
pub(crate) fn client() -> Client {
    client_with(Credentials::anonymous())
}

pub(crate) fn client_with(credentials: Credentials) -> Client {
    Client::new(Options {
        credentials,
        timeout: Duration::from_secs(2),
        patience: Duration::from_secs(1),
        ..Options::default()
    })
    .expect("a client")
}

/// What a file of credentials says that names one host.
pub(crate) fn credentials(host: &str, entry: &Value) -> (tempfile::TempDir, Credentials) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("auth.json");
    std::fs::write(&file, json!({ "auths": { host: entry } }).to_string()).expect("is written");
    let credentials = Credentials::from_environment(|name| {
        (name == "REGISTRY_AUTH_FILE").then(|| file.clone().into_os_string())
    });
    (dir, credentials)
}

/// An artifact of one layer, which is empty.
pub(crate) fn artifact(note: &str, subject: Option<&Manifest>) -> Manifest {
    let empty = json!({ "mediaType": OCI_EMPTY, "digest": Digest::of(EMPTY), "size": 2 });
    let mut document = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.example.note",
        "config": empty, "layers": [empty], "annotations": { "note": note },
    });
    if let Some(subject) = subject {
        document["subject"] = serde_json::to_value(subject.descriptor()).expect("JSON");
    }
    manifest(&document)
}

pub(crate) fn manifest(document: &Value) -> Manifest {
    let bytes = Bytes::from(document.to_string());
    let digest = Digest::of(&bytes);
    Manifest::parse(bytes, digest, None).expect("a manifest")
}

pub(crate) fn index(entries: &[Descriptor]) -> Manifest {
    manifest(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries,
    }))
}

pub(crate) fn by_digest(manifest: &Manifest) -> Name {
    Name::Digest(manifest.digest.clone())
}

pub(crate) fn tag(text: &str) -> Name {
    Name::parse(text).expect("a tag")
}

/// A manifest as a registry serves it.
pub(crate) fn served(manifest: &Manifest) -> Response {
    let digest = manifest.digest.to_string();
    let headers = [("content-type", manifest.media_type.clone()), ("docker-content-digest", digest)];
    (headers, manifest.bytes.clone()).into_response()
}

pub(crate) fn status(code: u16) -> Response {
    StatusCode::from_u16(code).expect("a status").into_response()
}

pub(crate) fn with(code: u16, name: &'static str, value: &str) -> Response {
    let status = StatusCode::from_u16(code).expect("a status");
    (status, [(name, value.to_owned())]).into_response()
}

/// Parts without an end, or their length said.
pub(crate) fn endless() -> Response {
    let parts = futures_util::stream::repeat_with(|| {
        Ok::<_, std::convert::Infallible>(Bytes::from(vec![b' '; 1 << 16]))
    });
    let mut response = Body::from_stream(parts).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, OCI_MANIFEST.parse().expect("a header"));
    response
}

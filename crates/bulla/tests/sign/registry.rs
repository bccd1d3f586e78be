//! A registry in memory, with one image for one platform, that a test can keep from taking anything. It has no list of
//! referrers of its own, as docker-registry has none.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// What is done with those who write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// Too many requests.
    Throttled,
    /// They wait for ever.
    Silent,
}

struct State {
    mode: Mode,
    /// By digest, and manifests by tag too; with their type.
    content: BTreeMap<String, (String, Bytes)>,
    writes: usize,
    heard: Sender<()>,
}

pub(crate) struct Registry {
    host: String,
    index: String,
    state: Arc<Mutex<State>>,
    heard: Mutex<Receiver<()>>,
    _runtime: tokio::runtime::Runtime,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    hash.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

impl Registry {
    pub(crate) fn start() -> Self {
        let (heard, writes) = channel();
        let state = State { mode: Mode::Open, content: BTreeMap::new(), writes: 0, heard };
        let state = Arc::new(Mutex::new(state));
        let put = |media_type: &str, value: &Value| {
            let bytes = Bytes::from(value.to_string());
            let (digest, size) = (digest(&bytes), bytes.len());
            let content = (media_type.to_owned(), bytes);
            state.lock().expect("lock").content.insert(digest.clone(), content);
            json!({ "mediaType": media_type, "digest": digest, "size": size })
        };
        let config = put(
            "application/vnd.oci.image.config.v1+json",
            &json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } }),
        );
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] });
        let mut member = put(MANIFEST, &manifest);
        member["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        let index = put(INDEX, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [member] }));
        let index = index["digest"].as_str().expect("text").to_owned();
        {
            let content = &mut state.lock().expect("lock").content;
            let tagged = content[&index].clone();
            content.insert("1.0".to_owned(), tagged);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let shared = Arc::clone(&state);
        let app = Router::new().fallback(move |request: Request| answer(Arc::clone(&shared), request));
        runtime.spawn(axum::serve(listener, app).into_future());
        Self { host, index, state, heard: Mutex::new(writes), _runtime: runtime }
    }

    pub(crate) fn image(&self) -> String {
        format!("{}/team/app:1.0", self.host)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.lock().expect("lock").mode = mode;
        while self.heard.lock().expect("lock").try_recv().is_ok() {}
    }

    /// Waits until somebody wants to write.
    pub(crate) fn wait_for_write(&self) {
        let patience = std::time::Duration::from_mins(1);
        self.heard.lock().expect("lock").recv_timeout(patience).expect("somebody writes");
    }

    pub(crate) fn writes(&self) -> usize {
        self.state.lock().expect("lock").writes
    }

    fn content(&self, name: &str) -> Option<Value> {
        let state = self.state.lock().expect("lock");
        state.content.get(name).map(|(_, bytes)| serde_json::from_slice(bytes).expect("JSON"))
    }

    /// What is stored under the tag of the image with that ending.
    pub(crate) fn tagged(&self, suffix: &str) -> Value {
        self.content(&format!("{}{suffix}", self.index.replace(':', "-"))).expect("is there")
    }

    /// Changes what the log promised about the signature that is stored so.
    pub(crate) fn spoil(&self, suffix: &str) {
        let mut manifest = self.tagged(suffix);
        let promise = &mut manifest["layers"][0]["annotations"]["dev.sigstore.cosign/bundle"];
        *promise = promise.as_str().expect("text").replace("\"logIndex\":", "\"logIndex\":1").into();
        let name = format!("{}{suffix}", self.index.replace(':', "-"));
        let content = (MANIFEST.to_owned(), Bytes::from(manifest.to_string()));
        self.state.lock().expect("lock").content.insert(name, content);
    }

    /// What refers to the image.
    pub(crate) fn referrers(&self) -> Vec<Value> {
        let list = self.content(&self.index.replace(':', "-"));
        list.and_then(|list| list["manifests"].as_array().cloned()).unwrap_or_default()
    }

    /// The bundle that was stored last.
    pub(crate) fn last_bundle(&self) -> Value {
        let last = self.referrers().pop().expect("a referrer");
        let manifest = self.content(last["digest"].as_str().expect("text")).expect("is there");
        self.content(manifest["layers"][0]["digest"].as_str().expect("text")).expect("is there")
    }

    /// Writes the image as a layout.
    pub(crate) fn to_layout(&self, dir: &Path) {
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("is made");
        let state = self.state.lock().expect("lock");
        for (name, (_, bytes)) in &state.content {
            if let Some(hex) = name.strip_prefix("sha256:") {
                std::fs::write(blobs.join(hex), bytes).expect("is written");
            }
        }
        let entry =
            json!({ "mediaType": INDEX, "digest": self.index, "size": state.content[&self.index].1.len() });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        std::fs::write(dir.join("index.json"), index.to_string()).expect("is written");
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("is written");
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await.expect("a body");
    let path = parts.uri.path().to_owned();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    if matches!(parts.method, Method::POST | Method::PUT) {
        let mode = {
            let mut state = state.lock().expect("lock");
            state.writes += 1;
            // Nobody may wait for it.
            let _nobody = state.heard.send(());
            state.mode
        };
        match mode {
            Mode::Open => {}
            Mode::Throttled => {
                return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")]).into_response();
            }
            Mode::Silent => std::future::pending::<()>().await,
        }
        if parts.method == Method::POST {
            return (StatusCode::ACCEPTED, [("location", format!("{path}upload"))]).into_response();
        }
        let media_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
        let content = (media_type.unwrap_or_default().to_owned(), body.clone());
        let digest = digest(&body);
        let mut state = state.lock().expect("lock");
        if path.contains("/manifests/") {
            state.content.insert(name, content.clone());
        }
        state.content.insert(digest.clone(), content);
        return (StatusCode::CREATED, [("docker-content-digest", digest)]).into_response();
    }
    let found = state.lock().expect("lock").content.get(&name).cloned();
    match found.filter(|_| !path.contains("/referrers/")) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some((media_type, bytes)) => {
            let headers = [("content-type", media_type), ("docker-content-digest", digest(&bytes))];
            (headers, bytes).into_response()
        }
    }
}

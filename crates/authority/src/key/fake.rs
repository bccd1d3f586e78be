//! Services that keep keys, as far as their documentation says how they answer: what is common to the fakes of the tests. They make
//! keys and sign with openssl, so that a wrong hash or form does not hold.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{FromRequest, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::kept::{Found, Trouble, opened};
use super::{OpenKeyError, PrivateKey};

/// A key that the fake keeps.
#[derive(Clone)]
pub(super) struct Pair {
    folder: Arc<TempDir>,
    kind: &'static str,
}

impl Pair {
    /// `P-256`, `P-384`, `P-521`, `RSA`, `secp256k1` or `ED25519`.
    pub(super) fn make(kind: &'static str) -> Self {
        let pair = Self { folder: Arc::new(tempfile::tempdir().expect("a folder")), kind };
        let curve = format!("ec_paramgen_curve:{kind}");
        let options: &[&str] = match kind {
            "RSA" => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "ED25519" => &["-algorithm", "ED25519"],
            _ => &["-algorithm", "EC", "-pkeyopt", &curve],
        };
        pair.openssl("genpkey", &[options, &["-out", "key.pem"]].concat());
        pair.openssl("pkey", &["-in", "key.pem", "-pubout", "-out", "public.pem"]);
        pair.openssl("pkey", &["-in", "key.pem", "-pubout", "-outform", "DER", "-out", "public.der"]);
        pair
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, verb: &str, arguments: &[&str]) {
        let output =
            Command::new("openssl").arg(verb).args(arguments).current_dir(self.folder.path()).output();
        let output = output.expect("openssl runs");
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        std::fs::read(self.at("public.der")).expect("is there")
    }

    pub(super) fn public_pem(&self) -> String {
        std::fs::read_to_string(self.at("public.pem")).expect("is there")
    }

    pub(super) fn private_pem(&self) -> String {
        std::fs::read_to_string(self.at("key.pem")).expect("is there")
    }

    /// Signs a digest, with Ed25519 a message.
    pub(super) fn sign(&self, input: &[u8]) -> Vec<u8> {
        std::fs::write(self.at("input"), input).expect("is written");
        let options: &[&str] = match self.kind {
            "RSA" => &["-pkeyopt", "digest:sha256"],
            "ED25519" => &["-rawin"],
            _ => &[],
        };
        self.openssl(
            "pkeyutl",
            &[&["-sign", "-inkey", "key.pem", "-in", "input", "-out", "signature"], options].concat(),
        );
        std::fs::read(self.at("signature")).expect("is there")
    }
}

/// A body of JSON.
pub(super) struct Json(pub(super) Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        self.0.to_string().into_response()
    }
}

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = StatusCode;

    async fn from_request(request: Request, state: &S) -> Result<Self, StatusCode> {
        let text = String::from_request(request, state).await.map_err(|_| StatusCode::BAD_REQUEST)?;
        serde_json::from_str(&text).map(Self).map_err(|_| StatusCode::BAD_REQUEST)
    }
}

/// What was asked so far.
type Asked = Arc<Mutex<Vec<String>>>;

/// A service that listens.
pub(super) struct Fake {
    /// `http://127.0.0.1:PORT`
    pub(super) url: String,
    /// How many of the next requests are answered with 503.
    pub(super) outage: Arc<AtomicU32>,
    /// Method, path and query of every request.
    pub(super) asked: Asked,
    listening: JoinHandle<()>,
}

impl Fake {
    pub(super) async fn start(routes: Router) -> Self {
        let (outage, asked) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let routes = routes.layer(from_fn_with_state((outage.clone(), asked.clone()), met));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let listening = tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        Self { url, outage, asked, listening }
    }

    /// `HOST:PORT`
    pub(super) fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Forgets what was asked, and returns it.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("whole"))
    }

    /// Ends in mid-flight.
    pub(super) async fn stop(self) {
        self.listening.abort();
        let _aborted = self.listening.await;
    }
}

async fn met(
    State((outage, asked)): State<(Arc<AtomicU32>, Asked)>,
    request: Request,
    next: Next,
) -> Response {
    asked.lock().expect("whole").push(format!("{} {}", request.method(), request.uri()));
    let down = outage.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    if down {
        return (StatusCode::SERVICE_UNAVAILABLE, r#"{"error": "sealed"}"#).into_response();
    }
    // What is there already would be used again without asking.
    let mut response = next.run(request).await;
    response.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
    response
}

/// Opens a key as strangers see it.
pub(super) async fn key(
    opening: impl Future<Output = Result<Found, Trouble>>,
) -> Result<Arc<dyn PrivateKey>, OpenKeyError> {
    opened("test://key", opening).await
}

/// What is said of a key that does not open.
pub(super) async fn refused(opening: impl Future<Output = Result<Found, Trouble>>) -> String {
    key(opening).await.err().expect("is refused").to_string()
}

/// What is said of a signature that is not made.
pub(super) async fn unsigned(key: &dyn PrivateKey) -> String {
    key.sign(b"message").await.expect_err("is refused").to_string()
}

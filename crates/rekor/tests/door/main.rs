//! Both doors over a log in memory: scripts a reviewer can read, replays of what real clients sent, entries under a
//! condition, and the gRPC service.

mod grpc;
mod once;
mod public_log;
mod script;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::{DsseRule, LogSigner, Rules, SigningKey};
use bulla_ledger::storage::Storage;
use bulla_ledger::storage::memory::Memory;
use bulla_ledger::{IndexAt, Log, Options};
use bulla_rekor::search::Search;
use bulla_rekor::wire::v1::id::TreeId;
use bulla_rekor::{Document, Door, Duplicates, Settings, Shard, Shards, Shelves, Trust};
use bulla_tlog::note::Verifier;
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::script::{Script, fixture};

/// The log key of the worked vectors: the Ed25519 seed 00 01 … 1f.
const LOG_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
    -----END PRIVATE KEY-----\n";
const ORIGIN: &str = "log.example.org";
/// The tree's ID, that of the public log, so that entries have the IDs that they have there.
const TREE: u64 = 1_193_050_959_916_656_506;

/// A log over a storage, signing as the worked vectors do.
async fn started(storage: Arc<dyn Storage>) -> (Log, Verifier) {
    let key = SigningKey::from_pem(LOG_KEY, None).expect("a key");
    let signer = LogSigner::new(ORIGIN, key).expect("a signer");
    let verifier = signer.verifier().clone();
    let options = Options::new(Arc::new(signer), verifier.clone(), IndexAt::Memory);
    (Log::start(storage, options).await.expect("starts"), verifier)
}

/// A door to a log that holds these leaves.
async fn door(leaves: &[Vec<u8>], frozen: bool, settings: Settings) -> Arc<Door> {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let (mut log, verifier) = started(storage.clone()).await;
    for leaf in leaves {
        log.add(bytes::Bytes::from(leaf.clone())).await.expect("adds");
    }
    if frozen {
        log.freeze(1_700_000_000).await.expect("freezes");
        log = started(storage).await.0;
    }
    let trusted_root = Document::from(String::from(r#"{"tlogs":[]}"#));
    let signing_config = Document::from(String::from(r#"{"caUrls":[]}"#));
    let tree = TreeId::new(TREE).expect("an ID");
    let v1_key = SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key");
    let search = Some(Arc::new(Search::memory()));
    let shard = Shard::new(tree, log, verifier.clone(), v1_key, search);
    let trust = Trust { trusted_root, signing_config };
    Arc::new(Door::new(Arc::new(Shards::new(vec![shard])), settings, trust, Shelves::default()))
}

/// The bodies of entries 0 to 2 of the worked vectors.
fn three() -> Vec<Vec<u8>> {
    let values = String::from_utf8(fixture("vectors/values.txt")).expect("text");
    let bodies = values.lines().filter(|line| line.starts_with("BODY"));
    bodies.map(|line| STANDARD.decode(&line["BODY0 ".len()..]).expect("base64")).collect()
}

async fn run(name: &str) {
    let script = Script::read(name);
    let mut settings = Settings::new(Rules::default());
    match script.setting("duplicates") {
        None => {}
        Some("existing") => settings.duplicates = Duplicates::Existing,
        Some(other) => panic!("duplicates: {other}"),
    }
    match script.setting("dsse") {
        None => {}
        Some("reject") => settings.rules.dsse = DsseRule::Reject,
        Some(other) => panic!("dsse: {other}"),
    }
    if let Some(limit) = script.setting("max-body-bytes") {
        settings.max_body_bytes = limit.parse().expect("a number");
    }
    let (leaves, frozen) = match script.setting("log") {
        Some("empty") => (Vec::new(), false),
        Some("three") => (three(), false),
        Some("frozen") => (three(), true),
        other => panic!("log: {other:?}"),
    };
    let router = bulla_rekor::api::router(door(&leaves, frozen, settings).await);
    let differences = script.run(&router).await;
    assert!(differences.is_empty(), "tests/cases/{name}.txt:\n{differences}");
}

macro_rules! scripts {
    ($($test:ident: $name:literal),+ $(,)?) => {$(
        #[tokio::test]
        async fn $test() {
            run($name).await;
        }
    )+};
}

scripts! {
    worked_vectors: "vectors",
    duplicates_refused: "duplicates-refused",
    duplicates_existing: "duplicates-existing",
    dsse_rejected: "dsse-rejected",
    frozen: "frozen",
    limits: "limits",
    malformed: "malformed",
    refused: "refused",
    lenient: "lenient",
    read_side: "read-side",
    paths: "paths",
    v1_entries: "v1-entries",
    v1_frozen: "v1-frozen",
    v1_http: "v1-http",
    v1_refused: "v1-refused",
}

#[tokio::test]
async fn received_length_is_bounded_where_none_is_announced() {
    let settings = Settings { max_body_bytes: 10_000, ..Settings::new(Rules::default()) };
    let router = bulla_rekor::api::router(door(&[], false, settings).await);
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1000]));
    let request = Request::post("/api/v2/log/entries").body(Body::from_stream(endless)).expect("request");
    let response = router.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let router = bulla_rekor::api::router(door(&[], false, Settings::new(Rules::default())).await);
    let silent = stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = Request::post("/api/v2/log/entries").body(Body::from_stream(silent)).expect("request");
    let response = router.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 408);
}

/// What unmodified clients sent is recorded as the body their verifiers rebuild.
#[tokio::test]
async fn captured_requests_are_accepted() {
    let door = door(&[], false, Settings::new(Rules::default())).await;
    let router = bulla_rekor::api::router(door);
    let clients = [
        "sigstore-python-4.5.1-sign-v2",
        "sigstore-python-4.5.1-attest-dsse-v2",
        "sigstore-js-4.1.1-messageSignature",
        "sigstore-js-4.1.1-dsseEnvelope",
        "sigstore-js-5.0.1-messageSignature",
        "sigstore-js-5.0.1-dsseEnvelope",
        "sigstore-rust-0.15.1-sign-v2",
        "sigstore-rust-0.15.1-sign-v2-dsse",
        "model-signing-1.1.1-sign-v2",
    ];
    for (index, client) in clients.into_iter().enumerate() {
        let (status, answer) = post(&router, fixture(&format!("captured/{client}.json"))).await;
        assert_eq!(status, 201, "{client}: {answer}");
        assert_eq!(answer["logIndex"], Value::String(index.to_string()), "{client}");
        let body = STANDARD.decode(answer["canonicalizedBody"].as_str().expect("text")).expect("base64");
        let expected = fixture(&format!("captured/{client}.body"));
        assert_eq!(String::from_utf8(body), String::from_utf8(expected), "{client}");
    }
}

/// sigstore-js puts a bare public key where a certificate belongs when it is given one.
#[tokio::test]
async fn the_key_that_sigstore_js_calls_a_certificate_is_refused() {
    let router = bulla_rekor::api::router(door(&[], false, Settings::new(Rules::default())).await);
    for (client, place) in [
        (
            "sigstore-js-5.0.1-rawkey-messageSignature",
            "invalid hashedrekord request: hashedRekordRequestV002.signature.verifier.x509Certificate.rawBytes: certificate is a bare public key, send it as publicKey",
        ),
        (
            "sigstore-js-5.0.1-rawkey-dsseEnvelope",
            "invalid dsse request: dsseRequestV002.verifiers[0].x509Certificate.rawBytes: certificate is a bare public key, send it as publicKey",
        ),
    ] {
        let (status, answer) = post(&router, fixture(&format!("captured/{client}.json"))).await;
        assert_eq!(status, 400, "{client}: {answer}");
        let message = answer["message"].as_str().expect("text");
        assert_eq!(message, place);
    }
}

async fn post(router: &axum::Router, body: Vec<u8>) -> (u16, Value) {
    let request = Request::post("/api/v2/log/entries").body(Body::from(body)).expect("request");
    let response = router.clone().oneshot(request).await.expect("infallible");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

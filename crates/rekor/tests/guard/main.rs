//! The guard at the write path of both doors and of gRPC, over a log in memory, and bodies that are too long. The clock of
//! these tests stands still unless a test moves it.

#[path = "../door/script.rs"]
mod script;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::keys::public_key_pem;
use bulla_claims::{LogSigner, Rules, SigningKey};
use bulla_ledger::storage::memory::Memory;
use bulla_ledger::{IndexAt, Log, Options};
use bulla_rekor::guard::{Guard, Peer, Protection, Signers, Tokens};
use bulla_rekor::search::Search;
use bulla_rekor::wire::v2::protos::dev::sigstore::rekor::v2 as pb;
use bulla_rekor::wire::v2::protos::dev::sigstore::rekor::v2::rekor_client::RekorClient;
use bulla_rekor::{Document, Door, Settings, Shard, Shards, Shelves, Trust};
use bulla_tlog::sha256;
use http_body_util::BodyExt as _;
use tonic::Code;
use tower::ServiceExt as _;

use crate::script::{Script, fixture};

const ORIGIN: &str = "log.example.org";

async fn door(settings: Settings) -> Arc<Door> {
    let key = |pem: &str| SigningKey::from_pem(pem, None).expect("a key");
    let signer = LogSigner::new(ORIGIN, key(&SigningKey::generate_ed25519_pem())).expect("a signer");
    let verifier = signer.verifier().clone();
    let options = Options::new(Arc::new(signer), verifier.clone(), IndexAt::Memory);
    let log = Log::start(Arc::new(Memory::default()), options).await.expect("starts");
    let v1_key = key(&SigningKey::generate_ecdsa_p256_pem());
    let tree = "0000000000000001".parse().expect("an ID");
    let search = Some(Arc::new(Search::memory()));
    let shard = Shard::new(tree, log, verifier.clone(), v1_key, search);
    let document = || Document::from(String::from("{}"));
    let trust = Trust { trusted_root: document(), signing_config: document() };
    Arc::new(Door::new(Arc::new(Shards::new(vec![shard])), settings, trust, Shelves::default()))
}

async fn guarded(protection: Protection) -> Arc<Door> {
    door(Settings { guard: Arc::new(Guard::new(protection)), ..Settings::new(Rules::default()) }).await
}

async fn router(protection: Protection) -> axum::Router {
    bulla_rekor::api::router(guarded(protection).await)
}

fn limited(writes: u32) -> Protection {
    Protection { writes_per_minute: writes.try_into().ok(), ..Protection::default() }
}

/// What was answered: status, the three `RateLimit` headers and `Retry-After`, body.
#[derive(Debug)]
struct Answer {
    status: u16,
    limits: String,
    headers: http::HeaderMap,
    body: String,
}

async fn send(router: &axum::Router, request: Request) -> Answer {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let value =
        |name: &str| parts.headers.get(name).map_or("-", |value| value.to_str().expect("text")).to_owned();
    let limits =
        ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"].map(value).join(" ");
    let body = String::from_utf8_lossy(&body).into_owned();
    Answer { status: parts.status.as_u16(), limits, headers: parts.headers, body }
}

fn post_from(peer: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).expect("a request");
    request.extensions_mut().insert(Peer(peer.parse().expect("an address")));
    request
}

fn post(path: &str, body: &str) -> Request {
    post_from("192.0.2.1", path, &[], body)
}

const V1: &str = "/api/v1/log/entries";
const V2: &str = "/api/v2/log/entries";
const WRITES: [&str; 4] = [V1, V2, "/api/v1/log/entries/batch", "/api/v2/log/entries/batch"];

/// Entry 0 of the worked vectors as both doors take it, and its key.
struct Entry {
    v1: String,
    v2: String,
    spki: Vec<u8>,
}

fn entry() -> Entry {
    let values = String::from_utf8(fixture("vectors/values.txt")).expect("text");
    let value = |name: &str| {
        values
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .expect("a value")
            .to_owned()
    };
    let (digest, signature, key) = (value("DIGEST0"), value("SIGNATURE0"), value("KEY0"));
    let decoded = |text: &str| STANDARD.decode(text).expect("base64");
    let hex = bulla_tlog::Hash::from_slice(&decoded(&digest)).expect("32 bytes").to_string();
    let pem = STANDARD.encode(public_key_pem(&decoded(&key)));
    Entry {
        v1: format!(
            r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{hex}"}}}},"signature":{{"content":"{signature}","publicKey":{{"content":"{pem}"}}}}}}}}"#
        ),
        v2: format!(
            r#"{{"hashedRekordRequestV002":{{"digest":"{digest}","signature":{{"content":"{signature}","verifier":{{"publicKey":{{"rawBytes":"{key}"}},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}}}}"#
        ),
        spki: decoded(&key),
    }
}

#[tokio::test]
async fn oversize_is_refused_before_what_is_wrong_inside() {
    let script = Script::read("oversize");
    let limit = script.setting("max-body-bytes").expect("a limit").parse().expect("a number");
    let door = door(Settings { max_body_bytes: limit, ..Settings::new(Rules::default()) }).await;
    let differences = script.run(&bulla_rekor::api::router(door)).await;
    assert!(differences.is_empty(), "tests/cases/oversize.txt:\n{differences}");
}

#[tokio::test(start_paused = true)]
async fn every_way_to_write_is_one_write_whatever_becomes_of_it() {
    let router = router(limited(6)).await;
    // Neither is an entry; a batch counts once, and so does what is too long or of the wrong type.
    for (n, (path, status)) in WRITES.into_iter().zip([422, 400, 422, 400]).enumerate() {
        let answer = send(&router, post(path, "{}")).await;
        let left = 5 - n;
        assert_eq!(
            (answer.status, answer.limits),
            (status, format!("6 {left} {} -", 10 * (n + 1))),
            "{path}"
        );
    }
    let untyped = post_from("192.0.2.1", V1, &[("content-type", "text/plain")], "{}");
    assert_eq!(send(&router, untyped).await.limits, "6 1 50 -");
    let long = post(&format!("{V1}/"), &" ".repeat(5 << 20));
    let answer = send(&router, long).await;
    assert_eq!((answer.status, answer.limits.as_str()), (413, "6 0 60 -"));

    for path in WRITES {
        let answer = send(&router, post(path, "{}")).await;
        assert_eq!((answer.status, answer.limits.as_str()), (429, "6 0 60 10"), "{path}");
        let message = "too many writes from your address, at most 6 a minute are taken: try again in 10 s";
        let expected = if path.starts_with("/api/v2") {
            format!(r#"{{"code":8,"message":"{message}","details":[]}}"#)
        } else {
            format!("{{\"code\":429,\"message\":\"{message}\"}}\n")
        };
        assert_eq!(answer.body, expected, "{path}");
    }
    // Somebody else is not concerned, and reading is free.
    assert_eq!(send(&router, post_from("192.0.2.2", V1, &[], "{}")).await.status, 422);
    for path in ["/api/v1/log/entries/retrieve", "/api/v1/index/retrieve"] {
        let answer = send(&router, post(path, "{}")).await;
        assert_eq!((answer.status == 429, answer.limits.as_str()), (false, "- - - -"), "{path}");
    }
    for path in ["/api/v1/log", "/api/v2/checkpoint", "/api/v1/log/entries?logIndex=0"] {
        let get = Request::get(path).body(Body::empty()).expect("a request");
        assert_eq!(send(&router, get).await.limits, "- - - -", "{path}");
    }
    // Being refused cost nothing.
    tokio::time::advance(Duration::from_millis(9_999)).await;
    let answer = send(&router, post(V1, "{}")).await;
    assert_eq!((answer.status, answer.limits.as_str()), (429, "6 0 51 1"));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(send(&router, post(V1, "{}")).await.status, 422);
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_not_read() {
    let router = router(limited(1)).await;
    assert_eq!(send(&router, post(V2, "{}")).await.status, 400);
    // A body that never comes would be waited for.
    for path in WRITES {
        let silent = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let mut request = post(path, "");
        *request.body_mut() = Body::from_stream(silent);
        let before = tokio::time::Instant::now();
        assert_eq!(send(&router, request).await.status, 429, "{path}");
        assert_eq!(before.elapsed(), Duration::ZERO, "{path}");
    }
}

#[tokio::test]
async fn a_successful_write_says_how_its_client_stands() {
    let router = router(limited(100)).await;
    let entry = entry();
    for (path, body, left) in [(V2, &entry.v2, "99"), (V1, &entry.v1, "98")] {
        let answer = send(&router, post(path, body)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(answer.limits.starts_with(&format!("100 {left} ")), "{}", answer.limits);
        let exposed = answer.headers["access-control-expose-headers"].to_str().expect("text");
        assert!(exposed.contains("RateLimit-Remaining") && exposed.contains("Retry-After"), "{exposed}");
    }
    let batch = format!("{{\"entries\":[{},{}]}}", entry.v1, entry.v1);
    let answer = send(&router, post("/api/v1/log/entries/batch", &batch)).await;
    assert_eq!(answer.status, 207, "{}", answer.body);
    assert!(answer.limits.starts_with("100 97 "), "two entries are one write: {}", answer.limits);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_is_counted() {
    let router = router(Protection::default()).await;
    for _ in 0..200 {
        let answer = send(&router, post(V2, "{}")).await;
        assert_eq!((answer.status, answer.limits.as_str()), (400, "- - - -"));
    }
}

#[tokio::test(start_paused = true)]
async fn forwarded_addresses_count_if_a_trusted_proxy_says_them() {
    let trusted = "10.0.0.0/8".parse().expect("a network");
    let router = router(Protection { trusted_proxies: vec![trusted], ..limited(1) }).await;
    let write = async |peer: &str, forwarded: &str| {
        send(&router, post_from(peer, V1, &[("x-forwarded-for", forwarded)], "{}")).await.status
    };
    // A stranger who names others is himself.
    assert_eq!(write("192.0.2.1", "198.51.100.1").await, 422);
    assert_eq!(write("192.0.2.1", "198.51.100.2").await, 429);
    // Clients of a proxy are told apart, and their own inventions are ignored.
    assert_eq!(write("10.0.0.1", "198.51.100.1").await, 422);
    assert_eq!(write("10.0.0.1", "203.0.113.5, 198.51.100.1").await, 429);
    assert_eq!(write("10.0.0.2", "198.51.100.1, 10.0.0.1").await, 429, "through another proxy");
    assert_eq!(write("10.0.0.1", "198.51.100.2").await, 422);
    assert_eq!(write("10.0.0.1", "rubbish").await, 422, "the proxy itself");
    assert_eq!(write("10.0.0.1", "more rubbish").await, 429);
}

#[tokio::test]
async fn writes_need_a_token_where_there_are_tokens() {
    let tokens = Tokens::parse("ci:the-token-of-ci\n").expect("tokens");
    let router = router(Protection { tokens: Some(tokens), ..limited(100) }).await;
    for path in WRITES {
        for (authorization, message) in [
            (None, "writing to this log needs a token: send it as Authorization: Bearer TOKEN"),
            (Some("Basic dTpw"), "writing to this log needs a token: send it as Authorization: Bearer TOKEN"),
            (Some("Bearer wrong"), "the write token in Authorization is not known here"),
        ] {
            let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
            let answer = send(&router, post_from("192.0.2.1", path, &headers, "{}")).await;
            assert_eq!(answer.status, 401, "{path} {authorization:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            let (code, end) =
                if path.starts_with("/api/v2") { (16, ",\"details\":[]}") } else { (401, "}\n") };
            assert_eq!(answer.body, format!("{{\"code\":{code},\"message\":\"{message}\"{end}"), "{path}");
        }
        let right = [("authorization", "Bearer the-token-of-ci")];
        let answer = send(&router, post_from("192.0.2.1", path, &right, "{}")).await;
        assert!(matches!(answer.status, 400 | 422), "{path}: {}", answer.body);
    }
    // Guesses count as writes.
    let answer = send(&router, post(V1, "{}")).await;
    assert!(answer.limits.starts_with("100 83 "), "{}", answer.limits);
    let get = Request::get("/api/v1/log").body(Body::empty()).expect("a request");
    assert_eq!(send(&router, get).await.status, 200, "reading needs none");
}

fn allowing(key: &str) -> Protection {
    let keys = vec![key.parse().expect("a fingerprint")];
    Protection { signers: Signers { keys, ..Signers::default() }, ..Protection::default() }
}

#[tokio::test]
async fn only_entries_of_allowed_signers_are_taken_by_either_door() {
    let entry = entry();
    let der = sha256(&entry.spki).to_string();
    let pem = format!("sha256:{}", sha256(public_key_pem(&entry.spki).as_bytes()));
    for allowed in [&der, &pem] {
        let router = router(allowing(allowed)).await;
        assert_eq!(send(&router, post(V1, &entry.v1)).await.status, 201, "{allowed}");
        assert_eq!(send(&router, post(V2, &entry.v2)).await.status, 201, "{allowed}");
    }
    let other = "ab".repeat(32);
    let router = router(allowing(&other)).await;
    let message = format!("entry is signed by sha256:{der}, this log takes entries of certain keys only");
    let answer = send(&router, post(V1, &entry.v1)).await;
    assert_eq!((answer.status, answer.body), (403, format!("{{\"code\":403,\"message\":\"{message}\"}}\n")));
    let answer = send(&router, post(V2, &entry.v2)).await;
    let expected = format!(r#"{{"code":7,"message":"{message}","details":[]}}"#);
    assert_eq!((answer.status, answer.body), (403, expected));
    for (path, one) in [(WRITES[2], &entry.v1), (WRITES[3], &entry.v2)] {
        let answer = send(&router, post(path, &format!("{{\"entries\":[{one}]}}"))).await;
        assert_eq!(answer.status, 207, "{path}: {}", answer.body);
        let expected = format!(r#"{{"entries":[{{"error":"{message}","status":403}}]"#);
        assert!(answer.body.starts_with(&expected), "{path}: {}", answer.body);
    }
    // What is wrong with an entry is said first.
    let answer = send(&router, post(V2, &entry.v2.replace("2j/l", "3j/l"))).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    let get = Request::get("/api/v1/log").body(Body::empty()).expect("a request");
    assert!(send(&router, get).await.body.contains("\"treeSize\":0"), "nothing was added");
}

#[tokio::test]
async fn an_identity_is_allowed_by_pattern_and_issuer() {
    let captured =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../claims/tests/vectors/v1/sigstore-python-4.5.1-sign-v1.json");
    let captured = std::fs::read_to_string(captured).expect("a captured request");
    let captured: serde_json::Value = serde_json::from_str(&captured).expect("JSON");
    let request = captured["request"].to_string();
    let write = async |identity: &str, issuer: Option<&str>| {
        let identities = vec![identity.parse().expect("a pattern")];
        let issuers = issuer.into_iter().map(|issuer| issuer.parse().expect("an issuer")).collect();
        let signers = Signers { identities, issuers, ..Signers::default() };
        let router = router(Protection { signers, ..Protection::default() }).await;
        send(&router, post(V1, &request)).await
    };
    let answer = write("nobody@example.net", None).await;
    assert_eq!(answer.status, 403);
    let (_, rest) = answer.body.split_once(" (").expect("names");
    let (names, rest) = rest.split_once(')').expect("names");
    assert_eq!(rest, ", this log takes entries of certain identities only\"}\n");
    let (identity, issuer) = names.split_once(", issuer ").expect("an identity and its issuer");
    let (_, host) = identity.split_once('@').expect("an address");
    let pattern = format!("*@{}", host.to_uppercase());
    assert_eq!(write(identity, None).await.status, 201);
    assert_eq!(write(&pattern, None).await.status, 201);
    assert_eq!(write(&pattern, Some(issuer)).await.status, 201);
    assert_eq!(write(&pattern, Some("https://issuer.example.net")).await.status, 403);
}

#[tokio::test]
async fn kinds_are_named_for_both_doors() {
    let entry = entry();
    let mut settings = Settings::new(Rules::default());
    settings.v1.rules.kinds = vec!["dsse".into()];
    let router = bulla_rekor::api::router(door(settings).await);
    let answer = send(&router, post(V1, &entry.v1)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("entry kind 'hashedrekord' is not enabled for submission on this server"));
    let answer = send(&router, post(V2, &entry.v2)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("hashedRekordRequestV002 is not enabled for submission on this server"));
}

fn call<T>(message: T, headers: &[(&'static str, &str)]) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().expect("ASCII"));
    }
    request.extensions_mut().insert(Peer("192.0.2.1".parse().expect("an address")));
    request
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_for_grpc() {
    let tokens = Tokens::parse("the-token-of-ci\n").expect("tokens");
    let door = guarded(Protection { tokens: Some(tokens), ..limited(2) }).await;
    let routes = bulla_rekor::api::grpc::grpc(door.clone(), Arc::new(|| true), &[]).expect("descriptors");
    let mut client = RekorClient::new(routes);
    let value = |status: &tonic::Status, name: &str| {
        status.metadata().get(name).map(|value| value.to_str().expect("ASCII").to_owned())
    };
    let empty = pb::CreateEntryRequest::default;
    let status = client.create_entry(call(empty(), &[])).await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(value(&status, "www-authenticate").as_deref(), Some("Bearer"));
    assert_eq!(value(&status, "ratelimit-remaining").as_deref(), Some("1"));
    assert!(value(&status, "x-request-id").is_some());
    let right = [("authorization", "Bearer the-token-of-ci")];
    let status = client.create_entry(call(empty(), &right)).await.expect_err("no entry");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(value(&status, "ratelimit-remaining").as_deref(), Some("0"));
    let status = client.create_entry(call(empty(), &right)).await.expect_err("too many");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(value(&status, "retry-after").as_deref(), Some("30"));
    assert!(status.message().starts_with("too many writes from your address"), "{status:?}");
    client.get_checkpoint(call((), &[])).await.expect("reading is free");
    // It is the same bucket at every door.
    assert_eq!(send(&bulla_rekor::api::router(door), post(V1, "{}")).await.status, 429);
}

#[tokio::test]
async fn grpc_writers_are_judged_by_their_keys() {
    let entry = entry();
    let verifier = pb::Verifier {
        verifier: Some(pb::verifier::Verifier::PublicKey(pb::PublicKey { raw_bytes: entry.spki.clone() })),
        key_details: 5,
    };
    let decoded = |name: &str| {
        let value: serde_json::Value = serde_json::from_str(&entry.v2).expect("JSON");
        STANDARD.decode(value.pointer(name).and_then(|text| text.as_str()).expect("text")).expect("base64")
    };
    let request = pb::HashedRekordRequestV002 {
        digest: decoded("/hashedRekordRequestV002/digest"),
        signature: Some(pb::Signature {
            content: decoded("/hashedRekordRequestV002/signature/content"),
            verifier: Some(verifier),
        }),
    };
    let spec = pb::create_entry_request::Spec::HashedRekordRequestV002(request);
    let request = pb::CreateEntryRequest { spec: Some(spec) };
    let other = "ab".repeat(32);
    for (allowed, code) in [(other, Some(Code::PermissionDenied)), (sha256(&entry.spki).to_string(), None)] {
        let routes = bulla_rekor::api::grpc::grpc(guarded(allowing(&allowed)).await, Arc::new(|| true), &[]);
        let mut client = RekorClient::new(routes.expect("descriptors"));
        let answer = client.create_entry(call(request.clone(), &[])).await;
        assert_eq!(answer.as_ref().err().map(tonic::Status::code), code, "{answer:?}");
    }
}

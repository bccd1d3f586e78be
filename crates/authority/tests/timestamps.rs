//! The timestamp authority as clients meet it: over HTTP, and judged by OpenSSL.

#[path = "chain/mod.rs"]
mod chain;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::InForce;
use bulla_authority::api::tsa::routes;
use bulla_authority::client::tsa::{TsaClient, TsaClientError};
use bulla_authority::tsa::{Clock, Offset, Request, Settings, SetupError, TimestampAuthority, Unchecked};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use sigstore_tsa::verify_timestamp_for_authority;
use sigstore_types::TsaAuthority;
use tower::ServiceExt as _;

use chain::{chain, chain_with};

const BOUND: Duration = Duration::from_secs(5);
const DER: &str = "application/timestamp-query";
const JSON: &str = "application/json";

fn local() -> Arc<Clock> {
    Arc::new(Clock::local(BOUND))
}

fn authority(settings: Settings) -> Arc<InForce<TimestampAuthority>> {
    let (chain, key) = chain(&PKCS_ECDSA_P256_SHA256);
    Arc::new(InForce::new(TimestampAuthority::new(&chain, key, settings, local()).expect("an authority")))
}

async fn post(authority: &Arc<InForce<TimestampAuthority>>, media: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let request = http::Request::post("/api/v1/timestamp").header("content-type", media);
    let answer = routes(authority.clone())
        .oneshot(request.body(Body::from(body)).expect("works"))
        .await
        .expect("works");
    let status = answer.status().as_u16();
    if status == 201 {
        assert_eq!(answer.headers()["content-type"], "application/timestamp-reply");
    }
    (status, answer.into_body().collect().await.expect("works").to_bytes().to_vec())
}

async fn refused(authority: &Arc<InForce<TimestampAuthority>>, media: &str, body: Vec<u8>) -> (u16, String) {
    let (status, body) = post(authority, media, body).await;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["code"], status);
    (status, body["message"].as_str().expect("a message").to_owned())
}

fn openssl(dir: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new("openssl").current_dir(dir).args(arguments).output().expect("openssl is installed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    said
}

#[tokio::test]
async fn openssl_verifies_what_it_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data"), "the signature of something").unwrap();
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
        let (chain, key) = chain(algorithm);
        let settings = Settings { accuracy: Duration::from_micros(1_500_020), ..Settings::default() };
        let authority = TimestampAuthority::new(&chain, key, settings, local()).unwrap();
        let pem = authority.chain_pem().to_owned();
        let root = pem.rfind("-----BEGIN").unwrap();
        fs::write(dir.path().join("root.pem"), &pem[root..]).unwrap();
        fs::write(dir.path().join("others.pem"), &pem[..root]).unwrap();
        let authority = Arc::new(InForce::new(authority));
        for hash in ["-sha256", "-sha384", "-sha512"] {
            for extra in [&["-cert"][..], &["-no_nonce"], &["-cert", "-no_nonce"], &[]] {
                let ask = [&["ts", "-query", "-data", "data", hash, "-out", "query"], extra].concat();
                openssl(dir.path(), &ask);
                let query = fs::read(dir.path().join("query")).unwrap();
                let (status, reply) = post(&authority, DER, query).await;
                assert_eq!(status, 201);
                fs::write(dir.path().join("reply"), reply).unwrap();
                let verify =
                    ["ts", "-verify", "-in", "reply", "-CAfile", "root.pem", "-untrusted", "others.pem"];
                openssl(dir.path(), &[&verify[..], &["-queryfile", "query"]].concat());
                let text = openssl(dir.path(), &["ts", "-reply", "-in", "reply", "-text"]);
                for line in [
                    "Status: Granted.",
                    "Version: 1",
                    "Policy OID: 1.3.6.1.4.1.57264.2",
                    "Accuracy: 0x01 seconds, 0x01F4 millis, 0x14 micros",
                    "Ordering: no",
                    "TSA: unspecified",
                ] {
                    assert!(text.contains(line), "{line}: {text}");
                }
                assert_eq!(text.contains("Nonce: unspecified"), extra.contains(&"-no_nonce"), "{text}");
                let token = ["ts", "-reply", "-in", "reply", "-token_out", "-out", "token"];
                openssl(dir.path(), &token);
                let list = ["pkcs7", "-inform", "DER", "-in", "token", "-print_certs"];
                let listed = openssl(dir.path(), &list).matches("BEGIN CERTIFICATE").count();
                assert_eq!(listed, usize::from(extra.contains(&"-cert")));
            }
        }
        fs::write(dir.path().join("other"), "something else").unwrap();
        openssl(dir.path(), &["ts", "-query", "-data", "other", "-sha256", "-out", "query"]);
        let verify = ["ts", "-verify", "-queryfile", "query", "-in", "reply", "-CAfile", "root.pem"];
        let output = Command::new("openssl").current_dir(dir.path()).args(verify).output().unwrap();
        assert!(!output.status.success(), "it is about something else");
    }
}

#[tokio::test]
async fn a_client_of_sigstore_believes_it() {
    let data = b"the signature of something".to_vec();
    let imprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &data);
    let time: Timestamp = "2026-11-21T12:00:00.9Z".parse().unwrap();
    // It knows no RSA here.
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        for certificates in [true, false] {
            let (chain, key) = chain(algorithm);
            let authority = TimestampAuthority::new(&chain, key, Settings::default(), local()).unwrap();
            let request = Request::sha256(imprint.as_ref(), None, certificates).unwrap();
            let reply = authority.respond_at(&request, time).await.unwrap();
            let [leaf, middle, root] = chain.try_into().unwrap();
            let trusted = TsaAuthority::new(leaf.into(), vec![middle.into()], root.into(), None);
            let believed =
                |data: Vec<u8>| verify_timestamp_for_authority(&reply.clone().into(), &data.into(), &trusted);
            let seconds = believed(data.clone()).unwrap().as_second();
            assert_eq!(seconds, time.as_second());
            assert!(believed(b"something else".to_vec()).is_err());
        }
    }
}

#[tokio::test]
async fn json_asks_for_the_same() {
    let other = "1.2.3.4".parse().unwrap();
    let authority = authority(Settings { accepted_policies: vec![other], ..Settings::default() });
    let dir = tempfile::tempdir().unwrap();
    let nonce = "123456789012345678901234567890";
    let text = format!(
        r#"{{"artifactHash":"{}","hashAlgorithm":"sha512","certificates":true,"nonce":{nonce},"tsaPolicyOID":"1.2.3.4"}}"#,
        STANDARD.encode([7; 64])
    );
    let (status, reply) = post(&authority, "Application/JSON; charset=utf-8", text.into_bytes()).await;
    assert_eq!(status, 201);
    fs::write(dir.path().join("reply"), reply).unwrap();
    let text = openssl(dir.path(), &["ts", "-reply", "-in", "reply", "-text"]);
    for line in ["Policy OID: 1.2.3.4", "Hash Algorithm: sha512", "Nonce: 0x018EE90FF6C373E0EE4E3F0AD2"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // As a client of sigstore sends it: nothing but the digest.
    let text = json!({"artifactHash": STANDARD.encode([7; 32]), "hashAlgorithm": "sha256"}).to_string();
    assert_eq!(post(&authority, JSON, text.into_bytes()).await.0, 201);
}

#[tokio::test]
async fn what_cannot_be_stamped_is_refused() {
    let authority = authority(Settings::default());
    let good = Request::sha256(&[7; 32], None, false).unwrap();
    let with_policy = Request { policy: Some("1.2.3.4".parse().unwrap()), ..good.clone() };
    let good = good.to_der().unwrap();
    let refused = async |media, body| refused(&authority, media, body).await;
    let (status, message) = refused(DER, with_policy.to_der().unwrap()).await;
    assert_eq!(
        (status, message.as_str()),
        (400, "policy is 1.2.3.4, 1.3.6.1.4.1.57264.2 was expected, or none")
    );
    assert_eq!(refused(DER, vec![1, 2, 3]).await.0, 400);
    assert_eq!(refused(DER, Vec::new()).await.0, 400);
    assert_eq!(refused(JSON, b"{}".to_vec()).await.0, 400);
    assert_eq!(refused("text/plain", good.clone()).await.0, 415);
    assert_eq!(refused("application/timestamp-query; what", good.clone()).await.0, 400);
    assert_eq!(refused(DER, vec![0; 70_000]).await.0, 413);
    assert_eq!(refused(JSON, vec![b' '; 1025]).await.0, 413);
    assert_eq!(post(&authority, "application/timestamp-query;a=b;", good).await.0, 201);
    let old = json!({"artifactHash": STANDARD.encode([7; 20]), "hashAlgorithm": "sha1"}).to_string();
    let (status, message) = refused(JSON, old.into_bytes()).await;
    assert_eq!((status, message.starts_with("hash algorithm is sha1")), (400, true));
}

#[tokio::test]
async fn a_clock_that_nobody_confirms_gives_no_timestamps() {
    let (chain, key) = chain(&PKCS_ECDSA_P256_SHA256);
    let clock = Arc::new(Clock::checked(BOUND, Duration::from_mins(1)));
    let authority = TimestampAuthority::new(&chain, key, Settings::default(), clock.clone()).unwrap();
    let authority = Arc::new(InForce::new(authority));
    let request = Request::sha256(&[7; 32], None, false).unwrap().to_der().unwrap();
    let (status, message) = refused(&authority, DER, request.clone()).await;
    assert_eq!(status, 503);
    assert_eq!(message, "no timestamps now: the clock was not checked against its time sources within 180 s");
    clock.record(Ok(Offset::from_nanos(1)));
    assert_eq!(post(&authority, DER, request.clone()).await.0, 201);
    clock.record(Err(Unchecked::Off { offset: Offset::from_nanos(7_000_000_000), bound: BOUND }));
    let (status, message) = refused(&authority, DER, request).await;
    assert_eq!((status, message.contains("off by 7.000 s")), (503, true));
}

#[tokio::test]
async fn outside_its_certificates_life_it_is_silent() {
    let authority = authority(Settings::default());
    let request = Request::sha256(&[7; 32], None, false).unwrap();
    for year in ["1970-01-01T00:00:00Z", "1950-01-01T00:00:00Z", "5000-01-01T00:00:00Z"] {
        let refusal = authority.now().respond_at(&request, year.parse().unwrap()).await.unwrap_err();
        assert!(refusal.to_string().contains("are not valid at"), "{refusal}");
    }
    assert!(authority.now().respond_at(&request, "2030-01-01T00:00:00.5Z".parse().unwrap()).await.is_ok());
}

#[test]
fn an_authority_is_set_up_with_what_clients_accept() {
    let new = |chain: &[Vec<u8>], key| {
        TimestampAuthority::new(chain, key, Settings::default(), local()).map(|_| ()).unwrap_err()
    };
    let (certificates, key) = chain(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(new(&[], key.clone()), SetupError::Length(0));
    let reversed: Vec<Vec<u8>> = certificates.iter().rev().cloned().collect();
    assert!(matches!(new(&reversed, key.clone()), SetupError::Order(0, ..)));
    assert!(matches!(new(&[vec![1]], key), SetupError::Der(0, _)));
    assert_eq!(new(&certificates, chain(&PKCS_ECDSA_P256_SHA256).1), SetupError::Key);
    let (certificates, key) = chain(&PKCS_ED25519);
    assert!(new(&certificates, key).to_string().starts_with("timestamp key is PKIX_ED25519"));
    let (certificates, key) = chain_with(&PKCS_ECDSA_P256_SHA256, |leaf| leaf.custom_extensions.clear());
    assert!(matches!(new(&certificates, key), SetupError::Profile(_)));
    let (certificates, key) = chain_with(&PKCS_ECDSA_P256_SHA256, |leaf| {
        leaf.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    assert!(matches!(new(&certificates, key), SetupError::Profile(_)));
}

#[tokio::test]
async fn our_client_asks_and_judges_the_answer() {
    let authority = authority(Settings::default());
    let lying = authority.clone();
    let app = axum::Router::new().merge(routes(authority)).route(
        "/another",
        axum::routing::post(async move || {
            lying.now().respond(&Request::sha256(&[9; 32], None, true).unwrap()).await.unwrap()
        }),
    );
    let moved = axum::response::Redirect::permanent("/api/v1/timestamp");
    let app = app.route("/moved", axum::routing::post(async move || moved));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = |path: &str| TsaClient::new(&format!("{base}{path}")).unwrap();
    let answer = client("/api/v1/timestamp").timestamp(&[7; 32]).await.unwrap();
    assert!(answer.len() > 500);
    assert!(matches!(client("/api/v1/timestamp").timestamp(&[7; 31]).await, Err(TsaClientError::Request(_))));
    let error = client("/another").timestamp(&[7; 32]).await.unwrap_err();
    assert!(error.to_string().contains("another digest"), "{error}");
    let error = client("/another").timestamp(&[9; 32]).await.unwrap_err();
    assert!(error.to_string().contains("nonce"), "{error}");
    let error = client("/nowhere").timestamp(&[7; 32]).await.unwrap_err();
    assert!(matches!(error, TsaClientError::Status { status: 404, .. }));
    let error = client("/moved").timestamp(&[7; 32]).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(&format!("/moved answered 308, and sends on to {base}/api/v1/timestamp: "))
    );
    assert!(matches!(TsaClient::new("ftp://x"), Err(TsaClientError::Url(_))));
    serving.abort();
    let error = client("/api/v1/timestamp").timestamp(&[7; 32]).await.unwrap_err();
    assert!(matches!(error, TsaClientError::Unavailable(..)), "{error}");
}

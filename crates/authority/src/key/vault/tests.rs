//! Against a fake of the transit engine, written from its documentation: there is no server of it in the registries that the
//! tests install from.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path as At, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};

use super::super::fake::{Fake, Json, Pair, key, refused, unsigned};
use super::*;

/// The versions of one key, and what the last signature was asked with.
#[derive(Clone)]
struct Engine(Arc<Mutex<(Vec<Pair>, Value)>>);

impl Engine {
    fn rotate(&self, pair: Pair) {
        self.0.lock().expect("whole").0.push(pair);
    }

    fn replace(&self, pair: Pair) {
        self.0.lock().expect("whole").0[0] = pair;
    }

    fn last(&self) -> Value {
        self.0.lock().expect("whole").1.clone()
    }
}

fn judge(headers: &HeaderMap, name: &str) -> Option<Response> {
    let token = headers.get("x-vault-token").and_then(|token| token.to_str().ok()).unwrap_or_default();
    let said = if token != "s.right" {
        // No server says it; a proxy might.
        format!("permission denied for {token}")
    } else if headers.get("x-vault-namespace").is_none_or(|namespace| namespace != "team") {
        "no handler for route".to_owned()
    } else if name != "ca" {
        return Some((StatusCode::NOT_FOUND, Json(json!({"errors": []}))).into_response());
    } else {
        return None;
    };
    Some((StatusCode::FORBIDDEN, Json(json!({"errors": [said]}))).into_response())
}

async fn show(State(engine): State<Engine>, At(name): At<String>, headers: HeaderMap) -> Response {
    if let Some(refusal) = judge(&headers, &name) {
        return refusal;
    }
    let versions = &engine.0.lock().expect("whole").0;
    let half = |pair: &Pair| match pair.spki() {
        spki if spki.len() == 44 => STANDARD.encode(&spki[12..]),
        _ => pair.public_pem(),
    };
    let keys: serde_json::Map<_, _> = versions
        .iter()
        .enumerate()
        .map(|(at, pair)| ((at + 1).to_string(), json!({"public_key": half(pair)})))
        .collect();
    if versions.is_empty() {
        return Json(
            json!({"data": {"type": "aes256-gcm96", "latest_version": 1, "keys": {"1": 1_700_000_000}}}),
        )
        .into_response();
    }
    Json(json!({"data": {"type": "any", "latest_version": versions.len(), "keys": keys}})).into_response()
}

async fn sign(
    State(engine): State<Engine>,
    At(name): At<String>,
    headers: HeaderMap,
    Json(body): Json,
) -> Response {
    if let Some(refusal) = judge(&headers, &name) {
        return refusal;
    }
    let mut held = engine.0.lock().expect("whole");
    let version = body["key_version"].as_u64().expect("a version") as usize;
    let signature =
        held.0[version - 1].sign(&STANDARD.decode(body["input"].as_str().expect("text")).expect("base64"));
    held.1 = body;
    Json(json!({"data": {"signature": format!("vault:v{version}:{}", STANDARD.encode(signature))}}))
        .into_response()
}

async fn start(pairs: Vec<Pair>) -> (Fake, Engine) {
    let engine = Engine(Arc::new(Mutex::new((pairs, Value::Null))));
    let routes = Router::new()
        .route("/v1/team/transit/keys/{name}", get(show))
        .route("/v1/team/transit/sign/{name}", post(sign))
        .with_state(engine.clone());
    (Fake::start(routes).await, engine)
}

fn environment(fake: &Fake, token: &str) -> Environment {
    Environment::of(&[
        ("VAULT_ADDR", &fake.url),
        ("VAULT_TOKEN", token),
        ("VAULT_NAMESPACE", "team"),
        ("TRANSIT_SECRET_ENGINE_PATH", "team/transit"),
    ])
}

#[tokio::test]
async fn every_kind_of_key_signs() {
    for (kind, hash) in [
        ("P-256", Some("sha2-256")),
        ("P-384", Some("sha2-384")),
        ("P-521", Some("sha2-512")),
        ("RSA", Some("sha2-256")),
        ("ED25519", None),
    ] {
        let pair = Pair::make(kind);
        let (fake, engine) = start(vec![pair.clone()]).await;
        let key = key(open_in("ca", &environment(&fake, "s.right"))).await.expect("opens");
        assert_eq!(key.spki(), pair.spki());
        key.sign(b"message").await.expect("signs");
        let asked = engine.last();
        assert_eq!(asked["hash_algorithm"].as_str(), hash);
        assert_eq!(asked["prehashed"].as_bool(), hash.map(|_| true));
        assert_eq!(fake.asked(), ["GET /v1/team/transit/keys/ca", "POST /v1/team/transit/sign/ca"]);
    }
}

#[tokio::test]
async fn a_rotation_changes_nothing_and_another_key_is_noticed() {
    let first = Pair::make("P-256");
    let (fake, engine) = start(vec![first.clone()]).await;
    let environment = environment(&fake, "s.right");
    let before = key(open_in("ca", &environment)).await.expect("opens");
    let second = Pair::make("P-256");
    engine.rotate(second.clone());
    before.sign(b"message").await.expect("signs with the first version");
    let after = key(open_in("ca", &environment)).await.expect("opens");
    assert_eq!((before.spki(), after.spki()), (&first.spki()[..], &second.spki()[..]));
    after.sign(b"message").await.expect("signs with the second version");
    engine.replace(second);
    let said = unsigned(&*before).await;
    assert!(
        said.starts_with("cannot sign: key test://key: the signature that came back does not hold"),
        "{said}"
    );
}

#[tokio::test]
async fn outages_are_borne_for_a_while() {
    let (fake, _engine) = start(vec![Pair::make("P-256")]).await;
    fake.outage.store(2, Ordering::Relaxed);
    let key = key(open_in("ca", &environment(&fake, "s.right"))).await.expect("opens");
    fake.outage.store(2, Ordering::Relaxed);
    key.sign(b"message").await.expect("signs");
    fake.outage.store(3, Ordering::Relaxed);
    let expected = "cannot sign: key test://key: it answers 503 Service Unavailable: \"sealed\"";
    assert_eq!(unsigned(&*key).await, expected);
    fake.stop().await;
    let said = unsigned(&*key).await;
    assert!(said.contains("error sending request") && !said.contains("s.right"), "{said}");
}

#[tokio::test]
async fn refusals_say_why_and_never_the_token() {
    let (fake, _engine) = start(vec![Pair::make("P-256")]).await;
    let wrong = environment(&fake, "s.wrong");
    assert_eq!(
        refused(open_in("ca", &wrong)).await,
        "key test://key: it answers 403 Forbidden: \"permission denied for [secret]\""
    );
    let right = environment(&fake, "s.right");
    assert_eq!(refused(open_in("other", &right)).await, "key test://key: it answers 404 Not Found");
    let (symmetric, _engine) = start(Vec::new()).await;
    let said = refused(open_in("ca", &environment(&symmetric, "s.right"))).await;
    assert!(
        said.starts_with("key test://key: it is of type aes256-gcm96, a key that signs with ECDSA"),
        "{said}"
    );
    let (foreign, _engine) = start(vec![Pair::make("secp256k1")]).await;
    let said = refused(open_in("ca", &environment(&foreign, "s.right"))).await;
    assert!(said.contains("public key"), "{said}");
}

#[tokio::test]
async fn what_is_set_is_looked_at() {
    let expected = "key \"test://key\": it names no key: hashivault://KEY was expected";
    for name in ["", "a/b", "..", "a b", "a?b"] {
        assert_eq!(refused(open_in(name, &Environment::of(&[]))).await, expected);
    }
    for (variables, problem) in [
        (&[][..], "VAULT_ADDR is not set: it is the URL of the server"),
        (&[("VAULT_ADDR", "vault:8200")][..], "VAULT_ADDR is \"vault:8200\", https://HOST was expected"),
        (&[("VAULT_ADDR", "https://vault")][..], "VAULT_TOKEN is not set"),
        (
            &[("VAULT_ADDR", "https://vault"), ("HOME", "/nowhere")][..],
            "VAULT_TOKEN is not set, and /nowhere/.vault-token: No such file or directory (os error 2)",
        ),
        (
            &[("VAULT_ADDR", "https://vault"), ("VAULT_CACERT", "/nowhere")][..],
            "VAULT_CACERT /nowhere: No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(
            refused(open_in("ca", &Environment::of(variables))).await,
            format!("key test://key: {problem}")
        );
    }
}

#[tokio::test]
async fn a_token_in_a_file_is_read_anew() {
    let (fake, _engine) = start(vec![Pair::make("P-256")]).await;
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join(".vault-token");
    std::fs::write(&path, "s.right\n").expect("is written");
    let environment = Environment::of(&[
        ("VAULT_ADDR", &fake.url),
        ("HOME", home.path().to_str().expect("text")),
        ("VAULT_NAMESPACE", "team"),
        ("TRANSIT_SECRET_ENGINE_PATH", "/team/transit/"),
    ]);
    let key = key(open_in("ca", &environment)).await.expect("opens");
    std::fs::write(&path, "s.expired").expect("is written");
    assert!(unsigned(&*key).await.contains("403"));
    std::fs::write(&path, "s.right").expect("is written");
    key.sign(b"message").await.expect("signs");
}

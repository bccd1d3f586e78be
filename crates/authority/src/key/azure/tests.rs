//! Against a fake of the vault and of the places to sign in, written from their documentation: there is no free server of them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path as At, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use der::Decode as _;
use der::asn1::UintRef;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::collections::HashMap;

use super::super::fake::{Fake, Json, Pair, key, refused, unsigned};
use super::*;

/// The versions of one key, and what the service says of each.
#[derive(Clone, Default)]
struct Vault(Arc<Mutex<Vec<(Pair, Value)>>>);

#[derive(der::Sequence)]
struct Two<'a> {
    first: UintRef<'a>,
    second: UintRef<'a>,
}

fn of(kind: &'static str) -> (Pair, Value) {
    let pair = Pair::make(kind);
    let spki = pair.spki();
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = if kind == "RSA" {
        let rsa = Two::from_der(&spki[24..]).expect("numbers");
        json!({"kty": "RSA-HSM", "n": encoded(rsa.first.as_bytes()), "e": encoded(rsa.second.as_bytes())})
    } else {
        let len = match kind {
            "P-384" => 48,
            "P-521" => 66,
            _ => 32,
        };
        let (x, y) = spki[spki.len() - 2 * len..].split_at(len);
        json!({"kty": "EC", "crv": kind, "x": encoded(x), "y": encoded(y)})
    };
    (pair, jwk)
}

fn judge(headers: &HeaderMap, query: &HashMap<String, String>) -> Option<Response> {
    assert_eq!(query.get("api-version").map(String::as_str), Some("7.4"));
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given == "Bearer eyJ.right" {
        return None;
    }
    let body = json!({"error": {"code": "Unauthorized", "message": format!("[TokenExpired] {given}")}});
    Some((StatusCode::UNAUTHORIZED, Json(body)).into_response())
}

type Asked = Query<HashMap<String, String>>;

fn show(vault: &Vault, version: usize) -> Response {
    let held = vault.0.lock().expect("whole");
    let Some((_, jwk)) = held.get(version.wrapping_sub(1)) else {
        let body =
            json!({"error": {"code": "KeyNotFound", "message": "A key with (name/id) ca was not found"}});
        return (StatusCode::NOT_FOUND, Json(body)).into_response();
    };
    let mut key = jwk.clone();
    key["kid"] = format!("https://elsewhere.example.org/keys/ca/{version}").into();
    if key["key_ops"].is_null() {
        key["key_ops"] = json!(["sign", "verify"]);
    }
    Json(json!({"key": key, "attributes": {"enabled": true}})).into_response()
}

async fn newest(State(vault): State<Vault>, Query(query): Asked, headers: HeaderMap) -> Response {
    let count = vault.0.lock().expect("whole").len();
    judge(&headers, &query).unwrap_or_else(|| show(&vault, count))
}

async fn version(
    State(vault): State<Vault>,
    At(version): At<usize>,
    Query(query): Asked,
    headers: HeaderMap,
) -> Response {
    judge(&headers, &query).unwrap_or_else(|| show(&vault, version))
}

async fn sign(
    State(vault): State<Vault>,
    At(version): At<usize>,
    Query(query): Asked,
    headers: HeaderMap,
    Json(body): Json,
) -> Response {
    if let Some(refusal) = judge(&headers, &query) {
        return refusal;
    }
    let (pair, _) = vault.0.lock().expect("whole")[version - 1].clone();
    let digest = URL_SAFE_NO_PAD.decode(body["value"].as_str().expect("text")).expect("base64");
    let (len, half) = match body["alg"].as_str().expect("text") {
        "RS256" => (32, 0),
        "ES256" => (32, 32),
        "ES384" => (48, 48),
        "ES512" => (64, 66),
        other => panic!("{other}"),
    };
    assert_eq!(digest.len(), len);
    let mut signature = pair.sign(&digest);
    if half != 0 {
        let numbers = Two::from_der(&signature).expect("numbers");
        let fixed = |number: UintRef<'_>| {
            let bytes = number.as_bytes();
            [&vec![0; half - bytes.len()][..], bytes].concat()
        };
        signature = [fixed(numbers.first), fixed(numbers.second)].concat();
    }
    Json(json!({"kid": "x", "value": URL_SAFE_NO_PAD.encode(signature)})).into_response()
}

fn token(right: bool, said: &str) -> Response {
    if right {
        return Json(json!({"access_token": "eyJ.right", "expires_in": "3599", "token_type": "Bearer"}))
            .into_response();
    }
    let body = json!({"error": "invalid_client", "error_description": format!("AADSTS7000215: {said}")});
    (StatusCode::UNAUTHORIZED, Json(body)).into_response()
}

async fn sign_in(body: String) -> Response {
    let fields: HashMap<_, _> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(field("grant_type"), "client_credentials");
    assert_eq!((field("client_id"), field("scope")), ("client", "https://vault.azure.net/.default"));
    let federated =
        field("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let proof = if federated { field("client_assertion") } else { field("client_secret") };
    token(proof == "our secret" || (federated && proof == "eyJ.cluster"), proof)
}

async fn metadata(Query(query): Asked, headers: HeaderMap) -> Response {
    let asked = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(asked("resource"), "https://vault.azure.net");
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match asked("api-version") {
        "2018-02-01" => token(header("metadata") == "true" && asked("client_id") == "client", ""),
        "2019-08-01" => token(header("x-identity-header") == "our header", header("x-identity-header")),
        other => panic!("{other}"),
    }
}

async fn start(keys: Vec<(Pair, Value)>) -> (Fake, Vault) {
    let vault = Vault(Arc::new(Mutex::new(keys)));
    let routes = Router::new()
        .route("/keys/ca", get(newest))
        .route("/keys/ca/{version}", get(version))
        .route("/keys/ca/{version}/sign", post(sign))
        .route("/tenant/oauth2/v2.0/token", post(sign_in))
        .route("/metadata/identity/oauth2/token", get(metadata))
        .route("/msi/token", get(metadata))
        .with_state(vault.clone());
    (Fake::start(routes).await, vault)
}

fn with_secret(fake: &Fake, secret: &str) -> Environment {
    Environment::of(&[
        ("AZURE_AUTHORITY_HOST", &fake.url),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_CLIENT_SECRET", secret),
    ])
}

fn uri(fake: &Fake) -> String {
    format!("{}/ca", fake.host())
}

#[tokio::test]
async fn every_kind_of_key_signs() {
    for kind in ["P-256", "P-384", "P-521", "RSA"] {
        let held = of(kind);
        let (fake, _vault) = start(vec![held.clone()]).await;
        let key = key(open_in(&uri(&fake), &with_secret(&fake, "our secret"))).await.expect("opens");
        assert_eq!(key.spki(), held.0.spki());
        // Some numbers begin with zeros.
        for message in 0..20_u8 {
            key.sign(&[message]).await.expect("signs");
        }
        assert_eq!(
            fake.asked()[..3],
            [
                "POST /tenant/oauth2/v2.0/token",
                "GET /keys/ca?api-version=7.4",
                "POST /keys/ca/1/sign?api-version=7.4"
            ]
        );
    }
}

#[tokio::test]
async fn a_version_is_named_or_the_newest_and_stays() {
    let [first, second, third] = [of("P-256"), of("P-256"), of("P-256")];
    let (fake, vault) = start(vec![first.clone(), second.clone()]).await;
    let environment = with_secret(&fake, "our secret");
    let newest = key(open_in(&uri(&fake), &environment)).await.expect("opens");
    let named = key(open_in(&format!("{}/1", uri(&fake)), &environment)).await.expect("opens");
    assert_eq!((newest.spki(), named.spki()), (&second.0.spki()[..], &first.0.spki()[..]));
    vault.0.lock().expect("whole").push(third.clone());
    newest.sign(b"message").await.expect("signs as before");
    vault.0.lock().expect("whole")[1] = third;
    assert!(unsigned(&*newest).await.contains("the signature that came back does not hold"));
    let expected = "key test://key: it answers 404 Not Found: \"A key with (name/id) ca was not found\"";
    assert_eq!(refused(open_in(&format!("{}/9", uri(&fake)), &environment)).await, expected);
}

#[tokio::test]
async fn each_way_to_sign_in_works() {
    let (fake, _vault) = start(vec![of("P-256")]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "eyJ.cluster\n").expect("is written");
    let endpoint = format!("{}/msi/token", fake.url);
    for variables in [
        &[
            ("AZURE_AUTHORITY_HOST", fake.url.as_str()),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().expect("text")),
        ][..],
        &[("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "our header")],
        &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", fake.url.as_str()), ("AZURE_CLIENT_ID", "client")],
    ] {
        let key = key(open_in(&uri(&fake), &Environment::of(variables))).await.expect("opens");
        key.sign(b"message").await.expect("signs");
    }
    let half = Environment::of(&[("AZURE_CLIENT_SECRET", "our secret"), ("AZURE_CLIENT_ID", "client")]);
    let expected = "key test://key: AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE is set, and AZURE_TENANT_ID is not";
    assert_eq!(refused(open_in(&uri(&fake), &half)).await, expected);
}

#[tokio::test]
async fn silence_and_refusals_say_why_and_never_the_secret() {
    let (fake, _vault) = start(vec![of("P-256")]).await;
    let expected =
        "key test://key: no access token: it answers 401 Unauthorized: \"AADSTS7000215: [secret]\"";
    assert_eq!(refused(open_in(&uri(&fake), &with_secret(&fake, "a wrong secret"))).await, expected);
    let key = key(open_in(&uri(&fake), &with_secret(&fake, "our secret"))).await.expect("opens");
    fake.outage.store(2, Ordering::Relaxed);
    key.sign(b"message").await.expect("signs");
    fake.stop().await;
    let said = unsigned(&*key).await;
    assert!(said.contains("error sending request") && !said.contains("eyJ"), "{said}");
}

#[tokio::test]
async fn keys_for_something_else_are_refused() {
    let (pair, mut sealing) = of("RSA");
    sealing["key_ops"] = json!(["wrapKey", "unwrapKey"]);
    let foreign = json!({"kty": "EC", "crv": "P-256K", "x": "AA", "y": "AA"});
    let symmetric = json!({"kty": "oct-HSM"});
    for (jwk, kind) in
        [(sealing, "a key for wrapKey, unwrapKey"), (foreign, "EC P-256K"), (symmetric, "oct-HSM")]
    {
        let (fake, _vault) = start(vec![(pair.clone(), jwk)]).await;
        let said = refused(open_in(&uri(&fake), &with_secret(&fake, "our secret"))).await;
        assert!(
            said.starts_with(&format!("key test://key: it is {kind}, a key that signs with ECDSA")),
            "{said}"
        );
    }
}

#[test]
fn uris_name_vaults_and_nobody_else() {
    let name = parse("team.vault.azure.net/ca/0123abc").expect("a key");
    assert_eq!(
        (name.vault.as_str(), name.resource.as_str()),
        ("https://team.vault.azure.net/", "https://vault.azure.net")
    );
    assert_eq!((name.key, name.version), ("ca", Some("0123abc")));
    let hsm = parse("team.managedhsm.azure.net/ca").expect("a key");
    assert_eq!((hsm.resource.as_str(), hsm.version), ("https://managedhsm.azure.net", None));
    for (rest, problem) in [
        ("example.org/ca", "\"example.org\" is not the host of a vault"),
        ("evil.org\\.vault.azure.net/ca", "\"evil.org\\\\.vault.azure.net\" is not the host of a vault"),
        ("team.vault.azure.net:1/ca", "\"team.vault.azure.net:1\" is not the host of a vault"),
        ("u@team.vault.azure.net/ca", "\"u@team.vault.azure.net\" is not the host of a vault"),
        ("team.vault.azure.net", "it names no key"),
        ("team.vault.azure.net/c.a", "it names no key"),
        ("team.vault.azure.net/ca/", "what follows the key is no version"),
        ("team.vault.azure.net/ca/1/2", "what follows the key is no version"),
    ] {
        let expected = format!("{problem}: azurekms://VAULT.vault.azure.net/KEY[/VERSION] was expected");
        assert_eq!(parse(rest), Err(Trouble::Uri(expected)));
    }
}

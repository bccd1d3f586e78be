//! Against a fake of the service, of its sign-in and of the metadata server, written from their documentation: there is no free
//! server of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::Router;
use axum::extract::{Path as At, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};

use super::super::fake::{Fake, Json, Pair, key, refused, unsigned};
use super::*;

const KEY: &str = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/ca";

#[derive(Clone)]
struct Cloud {
    versions: Arc<Mutex<Vec<(Pair, &'static str)>>>,
    account: Option<Pair>,
    /// How many tokens were handed out; the last one is good.
    tokens: Arc<AtomicU32>,
    seconds: u64,
}

impl Cloud {
    fn of(pairs: impl IntoIterator<Item = (Pair, &'static str)>) -> Self {
        let versions = Arc::new(Mutex::new(pairs.into_iter().collect()));
        Self { versions, account: None, tokens: Arc::default(), seconds: 3599 }
    }

    fn token(&self) -> Response {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
        Json(json!({"access_token": format!("ya29.{number}"), "expires_in": self.seconds, "token_type": "Bearer"}))
            .into_response()
    }

    fn judge(&self, headers: &HeaderMap) -> Option<Response> {
        let good = format!("Bearer ya29.{}", self.tokens.load(Ordering::Relaxed));
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if given == good {
            return None;
        }
        let message = format!("Request had invalid authentication credentials: {given}");
        Some(
            (StatusCode::UNAUTHORIZED, Json(json!({"error": {"code": 401, "message": message}})))
                .into_response(),
        )
    }
}

async fn metadata(State(cloud): State<Cloud>, headers: HeaderMap) -> Response {
    assert_eq!(headers.get("metadata-flavor").expect("is sent"), "Google");
    cloud.token()
}

async fn sign_in(State(cloud): State<Cloud>, body: String) -> Response {
    let fields: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!(
        fields[0],
        ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned())
    );
    let (signed, signature) = fields[1].1.rsplit_once('.').expect("a token");
    let (header, claims) = signed.split_once('.').expect("a token");
    let json =
        |part| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON");
    assert_eq!(json(header)["alg"], "RS256");
    let claims = json(claims);
    assert_eq!(claims["iss"], "ca@p.iam.gserviceaccount.com");
    assert_eq!(claims["exp"].as_u64().expect("a time") - claims["iat"].as_u64().expect("a time"), 3600);
    let spki = cloud.account.as_ref().expect("an account").spki();
    let holds = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki)
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).expect("base64"));
    if holds.is_ok() {
        return cloud.token();
    }
    let said = format!("Invalid JWT Signature: {}", fields[1].1);
    let body = json!({"error": "invalid_grant", "error_description": said});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

async fn list(State(cloud): State<Cloud>, headers: HeaderMap) -> Response {
    if let Some(refusal) = cloud.judge(&headers) {
        return refusal;
    }
    let count = cloud.versions.lock().expect("whole").len();
    let versions: Vec<_> =
        (1..=count).map(|at| json!({"name": format!("{KEY}/cryptoKeyVersions/{at}")})).collect();
    // Members that have nothing in them are left out.
    Json(if count == 0 { json!({}) } else { json!({"cryptoKeyVersions": versions, "totalSize": count}) })
        .into_response()
}

async fn public(State(cloud): State<Cloud>, At(version): At<usize>, headers: HeaderMap) -> Response {
    if let Some(refusal) = cloud.judge(&headers) {
        return refusal;
    }
    let versions = cloud.versions.lock().expect("whole");
    let Some((pair, algorithm)) = versions.get(version - 1) else {
        let body =
            json!({"error": {"code": 404, "message": "CryptoKeyVersion not found.", "status": "NOT_FOUND"}});
        return (StatusCode::NOT_FOUND, Json(body)).into_response();
    };
    Json(json!({"pem": pair.public_pem(), "algorithm": algorithm})).into_response()
}

async fn sign(
    State(cloud): State<Cloud>,
    At(method): At<String>,
    headers: HeaderMap,
    Json(body): Json,
) -> Response {
    if let Some(refusal) = cloud.judge(&headers) {
        return refusal;
    }
    let version: usize =
        method.strip_suffix(":asymmetricSign").expect("the method").parse().expect("a number");
    let (pair, algorithm) = cloud.versions.lock().expect("whole")[version - 1].clone();
    let input = match algorithm {
        "EC_SIGN_ED25519" => &body["data"],
        "EC_SIGN_P384_SHA384" => &body["digest"]["sha384"],
        _ => &body["digest"]["sha256"],
    };
    let signature = pair.sign(&STANDARD.decode(input.as_str().expect("text")).expect("base64"));
    Json(json!({"signature": STANDARD.encode(signature)})).into_response()
}

async fn start(cloud: &Cloud) -> Fake {
    let below = format!("/v1/{KEY}/cryptoKeyVersions");
    let routes = Router::new()
        .route("/computeMetadata/v1/instance/service-accounts/default/token", get(metadata))
        .route("/token", post(sign_in))
        .route(&below, get(list))
        .route(&format!("{below}/{{version}}/publicKey"), get(public))
        .route(&format!("{below}/{{method}}"), post(sign))
        .with_state(cloud.clone());
    Fake::start(routes).await
}

fn on_a_machine(fake: &Fake) -> Environment {
    Environment::of(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &fake.url),
        ("GCE_METADATA_HOST", fake.host()),
    ])
}

#[tokio::test]
async fn every_kind_of_key_signs() {
    for (kind, algorithm) in [
        ("P-256", "EC_SIGN_P256_SHA256"),
        ("P-384", "EC_SIGN_P384_SHA384"),
        ("RSA", "RSA_SIGN_PKCS1_2048_SHA256"),
        ("ED25519", "EC_SIGN_ED25519"),
    ] {
        let pair = Pair::make(kind);
        let cloud = Cloud::of([(pair.clone(), algorithm)]);
        let fake = start(&cloud).await;
        let key = key(open_in(KEY, &on_a_machine(&fake))).await.expect("opens");
        assert_eq!(key.spki(), pair.spki());
        key.sign(b"message").await.expect("signs");
        assert_eq!(
            fake.asked(),
            [
                "GET /computeMetadata/v1/instance/service-accounts/default/token".to_owned(),
                format!("GET /v1/{KEY}/cryptoKeyVersions?filter=state%3DENABLED&pageSize=1000"),
                format!("GET /v1/{KEY}/cryptoKeyVersions/1/publicKey"),
                format!("POST /v1/{KEY}/cryptoKeyVersions/1:asymmetricSign"),
            ]
        );
    }
}

#[tokio::test]
async fn a_version_is_named_or_the_newest_and_stays() {
    let pairs: Vec<_> = (0..11).map(|_| (Pair::make("P-256"), "EC_SIGN_P256_SHA256")).collect();
    let cloud = Cloud::of(pairs[..10].iter().cloned());
    let fake = start(&cloud).await;
    let environment = on_a_machine(&fake);
    let newest = key(open_in(KEY, &environment)).await.expect("opens");
    assert_eq!(newest.spki(), pairs[9].0.spki());
    for rest in [format!("{KEY}/cryptoKeyVersions/2"), format!("{KEY}/versions/2")] {
        let second = key(open_in(&rest, &environment)).await.expect("opens");
        assert_eq!(second.spki(), pairs[1].0.spki());
        second.sign(b"message").await.expect("signs");
    }
    cloud.versions.lock().expect("whole").push(pairs[10].clone());
    newest.sign(b"message").await.expect("signs as before");
    cloud.versions.lock().expect("whole").swap(9, 10);
    assert!(unsigned(&*newest).await.contains("the signature that came back does not hold"));
    let missing = format!("{KEY}/versions/12");
    let expected = "key test://key: it answers 404 Not Found: \"CryptoKeyVersion not found.\"";
    assert_eq!(refused(open_in(&missing, &environment)).await, expected);
}

#[tokio::test]
async fn keys_for_something_else_are_refused() {
    for (kind, algorithm) in [("RSA", "RSA_SIGN_PSS_2048_SHA256"), ("RSA", "RSA_DECRYPT_OAEP_2048_SHA256")] {
        let fake = start(&Cloud::of([(Pair::make(kind), algorithm)])).await;
        let said = refused(open_in(KEY, &on_a_machine(&fake))).await;
        assert!(
            said.starts_with(&format!("key test://key: it is {algorithm}, a key that signs with ECDSA")),
            "{said}"
        );
    }
    let fake = start(&Cloud::of([])).await;
    let expected = "key test://key: it has no version that is enabled";
    assert_eq!(refused(open_in(KEY, &on_a_machine(&fake))).await, expected);
    let expected = "key \"test://key\": gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V] was expected";
    for rest in
        ["", "x", "projects/p", &format!("{KEY}/"), &format!("{KEY}/x/1"), &KEY.replace("/p/", "/../")]
    {
        assert_eq!(refused(open_in(rest, &on_a_machine(&fake))).await, expected);
    }
}

#[tokio::test]
async fn tokens_are_kept_until_they_end_or_are_revoked() {
    let mut cloud = Cloud::of([(Pair::make("P-256"), "EC_SIGN_P256_SHA256")]);
    let fake = start(&cloud).await;
    let long = key(open_in(KEY, &on_a_machine(&fake))).await.expect("opens");
    long.sign(b"message").await.expect("signs");
    assert_eq!(cloud.tokens.load(Ordering::Relaxed), 1);
    // Somebody revokes it.
    cloud.tokens.fetch_add(1, Ordering::Relaxed);
    long.sign(b"message").await.expect("signs with a new one");
    assert_eq!(cloud.tokens.load(Ordering::Relaxed), 3);

    (cloud.seconds, cloud.tokens) = (30, Arc::default());
    let fake = start(&cloud).await;
    let short = key(open_in(KEY, &on_a_machine(&fake))).await.expect("opens");
    short.sign(b"message").await.expect("signs");
    assert_eq!(cloud.tokens.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_service_account_asks_with_its_key() {
    let account = Pair::make("RSA");
    let mut cloud = Cloud::of([(Pair::make("P-256"), "EC_SIGN_P256_SHA256")]);
    cloud.account = Some(account.clone());
    let fake = start(&cloud).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("account.json");
    let write = |private_key: String, kind: &str| {
        let file = json!({
            "type": kind, "client_email": "ca@p.iam.gserviceaccount.com", "private_key_id": "1",
            "private_key": private_key, "token_uri": format!("{}/token", fake.url),
        });
        std::fs::write(&path, file.to_string()).expect("is written");
    };
    let environment = Environment::of(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &fake.url),
        ("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().expect("text")),
    ]);
    write(account.private_pem(), "service_account");
    key(open_in(KEY, &environment)).await.expect("opens").sign(b"message").await.expect("signs");

    write(Pair::make("RSA").private_pem(), "service_account");
    let said = refused(open_in(KEY, &environment)).await;
    let expected = "key test://key: no access token for the service account: it answers 400 Bad Request: \"Invalid JWT Signature: [secret]\"";
    assert_eq!(said, expected);
    write(account.private_pem(), "authorized_user");
    let said = refused(open_in(KEY, &environment)).await;
    assert!(said.ends_with("is of the type \"authorized_user\", \"service_account\" was expected"), "{said}");
    write("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7".to_owned(), "service_account");
    let said = refused(open_in(KEY, &environment)).await;
    assert!(said.contains("private_key ") && !said.contains("MIIE"), "{said}");
}

#[tokio::test]
async fn silence_and_refusals_say_why_and_never_the_token() {
    let cloud = Cloud::of([(Pair::make("P-256"), "EC_SIGN_P256_SHA256")]);
    let fake = start(&cloud).await;
    let key = key(open_in(KEY, &on_a_machine(&fake))).await.expect("opens");
    fake.outage.store(2, Ordering::Relaxed);
    key.sign(b"message").await.expect("signs");
    fake.stop().await;
    let said = unsigned(&*key).await;
    assert!(said.contains("error sending request") && !said.contains("ya29"), "{said}");

    let fake = start(&cloud).await;
    let stranger = Cloud::of([]);
    stranger.tokens.store(100, Ordering::Relaxed);
    let elsewhere = start(&stranger).await;
    let environment = Environment::of(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &fake.url),
        ("GCE_METADATA_HOST", elsewhere.host()),
    ]);
    let expected = "key test://key: it answers 401 Unauthorized: \"Request had invalid authentication credentials: Bearer [secret]\"";
    assert_eq!(refused(open_in(KEY, &environment)).await, expected);
    elsewhere.stop().await;
    let said = refused(open_in(KEY, &environment)).await;
    let expected =
        "GOOGLE_APPLICATION_CREDENTIALS is not set, and the metadata server gives no access token: ";
    assert!(said.starts_with(&format!("key test://key: {expected}")), "{said}");
}

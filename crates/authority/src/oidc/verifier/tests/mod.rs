//! Tokens of every sort against issuers of every mood.

mod keys;
mod refusals;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RsaKeyPair,
};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::oidc::issuers::Issuer;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOW + second).expect("a time")
}

/// A key that tokens are signed with.
enum Signer {
    Ec(EcdsaKeyPair, &'static str, &'static str),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str, name: &'static str) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).expect("a key"), curve, name)
    }

    fn p256() -> Self {
        Self::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256")
    }

    fn p384() -> Self {
        Self::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384")
    }

    fn p521() -> Self {
        Self::ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521", "ES512")
    }

    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a key"))
    }

    /// The public half, as issuers publish it.
    fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec(key, curve, _) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y), "kid": id, "use": "sig"})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()), "kid": id})
            }
            Self::Rsa(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                let n = text(n.big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": n, "e": text(e.big_endian_without_leading_zero()), "kid": id})
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(key, ..) => key.sign(&random, message).expect("signs").as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let encoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature).expect("signs");
                signature
            }
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_, _, name) => name,
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    /// A token with the header that belongs to the key.
    fn token(&self, id: &str, claims: &Value) -> String {
        self.with_header(&json!({"alg": self.algorithm(), "kid": id, "typ": "JWT"}), claims)
    }

    fn with_header(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = self.sign(header["alg"].as_str().unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", text(header), text(claims))
}

fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "aud": "sigstore", "sub": "1", "email": "a@example.org", "email_verified": true,
           "iat": NOW, "nbf": NOW, "exp": NOW + 600})
}

/// With one claim otherwise.
fn changed(issuer: &str, name: &str, value: Value) -> Value {
    let mut claims = claims(issuer);
    claims[name] = value;
    claims
}

/// With one claim less.
fn lacking(issuer: &str, name: &str) -> Value {
    let mut claims = claims(issuer);
    claims.as_object_mut().expect("claims").remove(name);
    claims
}

/// A verifier that knows these keys of one issuer.
fn knowing(issuer: &str, keys: &[Value]) -> Verifier {
    let mut issuers = Issuers::default();
    let keys = json!({"keys": keys}).to_string();
    issuers
        .add(Issuer::with_keys(issuer, "sigstore", keys.as_bytes()).expect("an issuer"))
        .expect("is added");
    Verifier::new(issuers, &HttpSettings::default()).expect("a verifier")
}

/// A verifier that asks.
fn asking(entry: &str) -> Verifier {
    let issuers = Issuers::parse(&format!("[[issuer]]\n{entry}\ntype = \"email\"")).expect("issuers");
    Verifier::new(issuers, &HttpSettings::default()).expect("a verifier")
}

/// An issuer that answers as a test wants.
struct Local {
    address: SocketAddr,
    served: Arc<Served>,
}

/// Status, `Location`, body.
type Odd = (u16, String, Vec<u8>);

#[derive(Default)]
struct Served {
    url: Mutex<String>,
    keys: Mutex<Vec<Value>>,
    /// Answers that are not the usual ones, by path.
    odd: Mutex<HashMap<String, Odd>>,
    /// Paths that were asked for.
    asked: Mutex<Vec<String>>,
}

impl Local {
    async fn start() -> Self {
        let served = Arc::new(Served::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        *served.url.lock().expect("whole") = format!("http://{address}");
        let router = Router::new().fallback(serve).with_state(served.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { address, served }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn publish(&self, keys: &[(&str, &Signer)]) {
        *self.served.keys.lock().expect("whole") = keys.iter().map(|(id, key)| key.jwk(id)).collect();
    }

    /// Answers a path with this status, `Location` and body from now on.
    fn odd(&self, path: &str, status: u16, location: &str, body: &[u8]) {
        let answer = (status, location.to_owned(), body.to_vec());
        self.served.odd.lock().expect("whole").insert(path.to_owned(), answer);
    }

    fn even(&self) {
        self.served.odd.lock().expect("whole").clear();
    }

    /// How often keys were asked for.
    fn asked(&self) -> usize {
        self.served.asked.lock().expect("whole").iter().filter(|path| path.ends_with("/keys")).count()
    }
}

const CONFIGURATION: &str = "/.well-known/openid-configuration";

async fn serve(State(served): State<Arc<Served>>, uri: Uri) -> Response {
    let path = uri.path().to_owned();
    served.asked.lock().expect("whole").push(path.clone());
    if let Some((status, location, body)) = served.odd.lock().expect("whole").get(&path).cloned() {
        let status = StatusCode::from_u16(status).expect("a status");
        return (status, [("location", location)], body).into_response();
    }
    let url = served.url.lock().expect("whole").clone();
    if let Some(below) = path.strip_suffix(CONFIGURATION) {
        return json!({"issuer": format!("{url}{below}"), "jwks_uri": format!("{url}{below}/keys")})
            .to_string()
            .into_response();
    }
    if path.ends_with("/keys") {
        return json!({"keys": *served.keys.lock().expect("whole")}).to_string().into_response();
    }
    StatusCode::NOT_FOUND.into_response()
}

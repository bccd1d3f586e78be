//! Requests to the authorities beside a log, and the signatures that they cannot be answered without.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;

use super::load::Target;
use super::machine::Speed;
use super::prepare::{Requests, post};
use crate::command::Failure;

/// Whom the certificates are for.
const SUBJECT: &str = "bench@example.org";
/// A token of the issuer for laptops is there at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request for a certificate, with a token of the issuer for laptops (`bulla up --dev`).
pub(super) async fn certificate(target: &Target) -> Result<Requests, Failure> {
    let mint = format!("http://{}/oidc/mint", target.host);
    let unavailable = |error: reqwest::Error| {
        Failure::unavailable(format!("{mint} gives no token: start the log with `bulla up --dev`: {error}"))
    };
    let client = bulla_web::client().timeout(PATIENCE).build().map_err(unavailable)?;
    let asked = client.post(&mint).body(format!("email={SUBJECT}")).send().await;
    let answer = asked.and_then(reqwest::Response::error_for_status).map_err(unavailable)?;
    let answer = answer.text().await.map_err(unavailable)?;
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(Failure::unavailable)?;
    let token = answer["token"].as_str().unwrap_or_default();
    let key =
        SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).map_err(Failure::unavailable)?;
    let proof = key.sign(SUBJECT.as_bytes()).map_err(Failure::unavailable)?;
    let json = serde_json::json!({
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": public_key_pem(key.spki())},
            "proofOfPossession": STANDARD.encode(proof),
        },
    });
    Ok(Requests::one(post(target, "/api/v2/signingCert", &json.to_string())))
}

/// One request for a timestamp.
pub(super) fn timestamp(target: &Target) -> Requests {
    let json = serde_json::json!({
        "artifactHash": STANDARD.encode([7; 32]),
        "hashAlgorithm": "sha256",
        "certificates": true,
        "nonce": 1,
    });
    Requests::one(post(target, "/api/v1/timestamp", &json.to_string()))
}

/// The yardstick of the project for a certificate, whatever the keys of the authority are: one P-256 check, two P-256 signatures,
/// one P-384 signature. What an authority with a P-256 key cannot do without is two P-256 checks (the token, the proof of
/// possession) and three P-256 signatures (the precertificate, the timestamp of the transparency log, the certificate).
pub(super) fn certificate_limit() -> Result<Speed, Failure> {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(Failure::unavailable)?;
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map_err(Failure::unavailable)?;
    let random = SystemRandom::new();
    let signature = p256.sign(&random, MESSAGE).map_err(Failure::unavailable)?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, p256.public_key().as_ref());
    Ok(Speed::of(|| {
        std::hint::black_box(public.verify(MESSAGE, signature.as_ref()).is_ok());
        for key in [&p256, &p256, &p384] {
            std::hint::black_box(key.sign(&random, MESSAGE).is_ok());
        }
    }))
}

/// What a timestamp costs at least: one P-256 signature.
pub(super) fn timestamp_limit() -> Result<Speed, Failure> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(Failure::unavailable)?;
    let random = SystemRandom::new();
    Ok(Speed::of(|| {
        std::hint::black_box(key.sign(&random, MESSAGE).is_ok());
    }))
}

const MESSAGE: &[u8] = b"one message";

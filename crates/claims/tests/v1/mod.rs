//! What the tests of the v1 door share: signers, and the way from JSON to a verdict.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fmt::Write as _;

use aws_lc_rs::digest::{self, Algorithm, SHA256};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::{Admitted, Proposed, Refusal, Rules, admit, template};
use ed25519_dalek::{Digest as _, Sha512, Signer as _, SigningKey};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) const ARTIFACT: &[u8] = b"hello transparency\n";

/// A key that signs one way.
pub(crate) enum Signer {
    Ecdsa(EcdsaKeyPair),
    /// PKCS#1 v1.5 over SHA-256.
    Rsa(RsaKeyPair),
    Ed25519(SigningKey),
    Ed25519ph(SigningKey),
}

impl Signer {
    pub(crate) fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(algorithm).expect("a key"))
    }

    pub(crate) fn p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    pub(crate) fn p384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)
    }

    pub(crate) fn p521() -> Self {
        Self::ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING)
    }

    pub(crate) fn p521_with_sha256() -> Self {
        Self::ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING)
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(SigningKey::from_bytes(&[7; 32]))
    }

    pub(crate) fn ed25519ph() -> Self {
        Self::Ed25519ph(SigningKey::from_bytes(&[8; 32]))
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa(pair) => pair.public_key().as_der().expect("DER").as_ref().to_vec(),
            Self::Rsa(pair) => pair.public_key().as_der().expect("DER").as_ref().to_vec(),
            Self::Ed25519(key) | Self::Ed25519ph(key) => [
                b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
                key.verifying_key().as_bytes().as_slice(),
            ]
            .concat(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki())
    }

    /// The PEM in base64, as requests have it.
    pub(crate) fn key(&self) -> String {
        STANDARD.encode(self.pem())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => pair.sign(&random, message).expect("it signs").as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut raw = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut raw).expect("it signs");
                raw
            }
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Self::Ed25519ph(key) => {
                let hashed = Sha512::new_with_prefix(message);
                key.sign_prehashed(hashed, None).expect("it signs").to_bytes().to_vec()
            }
        }
    }
}

/// PEM as OpenSSL writes it.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The hash of a message, in hex.
pub(crate) fn hash(function: &'static Algorithm, message: &[u8]) -> String {
    digest::digest(function, message).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("memory");
        hex
    })
}

/// Its SHA-256.
pub(crate) fn sha256(message: &[u8]) -> String {
    hash(&SHA256, message)
}

/// Has that entry judged by a log with these rules.
pub(crate) fn judged(kind: &str, version: &str, spec: &Value, rules: &Rules) -> Result<Admitted, Refusal> {
    let spec = raw(spec);
    admit(&Proposed { kind, api_version: version, spec: &spec }, rules)
}

/// The body that a search for that entry stands for.
pub(crate) fn searched(kind: &str, version: &str, spec: &Value) -> Result<Value, Refusal> {
    let spec = raw(spec);
    let body = template(&Proposed { kind, api_version: version, spec: &spec }, &Rules::default())?;
    let value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(serde_json_canonicalizer::to_vec(&value).expect("canonical"), body);
    Ok(value)
}

fn raw(spec: &Value) -> Box<RawValue> {
    RawValue::from_string(spec.to_string()).expect("JSON")
}

/// The `spec` of an admitted body, which is canonical.
pub(crate) fn stored(admitted: &Admitted) -> Value {
    let mut value: Value = serde_json::from_slice(&admitted.body).expect("JSON");
    assert_eq!(serde_json_canonicalizer::to_vec(&value).expect("canonical"), admitted.body);
    value["spec"].take()
}

/// What a DSSE signature is over.
pub(crate) fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoding =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoding.extend(payload);
    encoding
}

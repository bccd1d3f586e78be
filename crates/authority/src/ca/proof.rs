//! Proof that whoever asks has the private key: a signature over what the token says.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use bulla_claims::HashAlgorithm::{self, Sha256, Sha384, Sha512};
use bulla_claims::pki::x509::{KeyType, PublicKey};
use der::asn1::ObjectIdentifier;

use super::x509;

/// Whether the signature is the key's over the challenge: ECDSA over the hash as long as the curve, RSA PKCS#1 v1.5 over
/// SHA-256, Ed25519.
pub fn is_proof(key: &PublicKey, challenge: &str, signature: &[u8]) -> bool {
    let message = challenge.as_bytes();
    match key.key_type() {
        KeyType::Ed25519 => key.verify_message(message, signature),
        KeyType::P256 | KeyType::Rsa(_) => is_hashed(key, Sha256, message, signature),
        KeyType::P384 => is_hashed(key, Sha384, message, signature),
        KeyType::P521 => is_hashed(key, Sha512, message, signature),
    }
}

/// Whether a signature labelled by `algorithm` in X.509 or PKCS#10 is the key's over the message. The error says what is
/// wrong.
pub(super) fn judge(
    key: &PublicKey,
    algorithm: ObjectIdentifier,
    message: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    let key_type = key.key_type();
    let is_ecdsa = matches!(key_type, KeyType::P256 | KeyType::P384 | KeyType::P521);
    let is_rsa = matches!(key_type, KeyType::Rsa(_));
    let hash = match algorithm {
        x509::ED25519 if key_type == KeyType::Ed25519 => None,
        x509::ECDSA_SHA256 if is_ecdsa => Some(Sha256),
        x509::ECDSA_SHA384 if is_ecdsa => Some(Sha384),
        x509::ECDSA_SHA512 if is_ecdsa => Some(Sha512),
        x509::RSA_SHA256 if is_rsa => Some(Sha256),
        x509::RSA_SHA384 if is_rsa => Some(Sha384),
        x509::RSA_SHA512 if is_rsa => Some(Sha512),
        other => {
            return Err(format!(
                "signature is of algorithm {other} for a key of {key_type}, ECDSA or RSA PKCS#1 v1.5 over SHA-256, SHA-384 or SHA-512, or Ed25519 was expected"
            ));
        }
    };
    let holds = match hash {
        None => key.verify_message(message, signature),
        Some(hash) => is_hashed(key, hash, message, signature),
    };
    if holds { Ok(()) } else { Err("signature does not verify".to_owned()) }
}

fn is_hashed(key: &PublicKey, hash: HashAlgorithm, message: &[u8], signature: &[u8]) -> bool {
    let function: &'static Algorithm = match hash {
        Sha256 => &SHA256,
        Sha384 => &SHA384,
        Sha512 => &SHA512,
    };
    key.verify_digest(hash, digest(function, message).as_ref(), signature)
}

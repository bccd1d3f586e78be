//! Keys as the framework's metadata names them, and signing with ours.
//!
//! ECDSA on P-256 is written as every client reads it (`ecdsa`, `ecdsa-sha2-nistp256`, PEM), Ed25519 in hexadecimal.

use std::collections::HashMap;

use bulla_claims::keys::public_key_pem;
use bulla_claims::{Algorithm, Key as PublicKey};
use der::pem::PemLabel as _;
use der::{Decode as _, Document};
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};
use tough::schema::{Role, Signature, Signed};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::repository::RepositoryError;
use crate::PrivateKey;

/// A key that metadata cannot be signed with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("trust repository key {0}: ECDSA on P-256 or Ed25519 was expected")]
pub struct KeyIdError(String);

/// The ID under which metadata names a public key, DER `SubjectPublicKeyInfo`: hexadecimal of a SHA-256.
pub fn key_id(spki: &[u8]) -> Result<String, KeyIdError> {
    let (id, _) = named(spki)?;
    Ok(hex(&id))
}

/// A public key and its ID.
pub(super) fn named(spki: &[u8]) -> Result<(Decoded<Hex>, Key), KeyIdError> {
    let not = |problem: String| KeyIdError(problem);
    let key = PublicKey::from_spki(spki).map_err(|error| not(error.to_string()))?;
    let key = match key.algorithm() {
        Algorithm::EcdsaP256 => {
            public_key_pem(spki).parse().map_err(|error| not(format!("is not read: {error}")))?
        }
        Algorithm::Ed25519Ph => {
            let spki = SubjectPublicKeyInfoRef::from_der(spki).map_err(|error| not(error.to_string()))?;
            let raw = spki.subject_public_key.raw_bytes().to_vec();
            let keyval = Ed25519Key { public: raw.into(), _extra: HashMap::new() };
            Key::Ed25519 { keyval, scheme: Ed25519Scheme::Ed25519, _extra: HashMap::new() }
        }
        other => return Err(not(format!("is {other}"))),
    };
    let id = key.key_id().map_err(|error| not(error.to_string()))?;
    Ok((id, key))
}

/// The first public key in a PEM text, DER.
pub(super) fn from_pem(text: &str) -> Result<Vec<u8>, KeyIdError> {
    let (label, document) =
        Document::from_pem(text.trim()).map_err(|error| KeyIdError(format!("is not PEM ({error})")))?;
    if label != SubjectPublicKeyInfoRef::PEM_LABEL {
        return Err(KeyIdError(format!("is PEM of {label:?}, \"PUBLIC KEY\" is needed")));
    }
    Ok(document.into_vec())
}

/// Signs a role with each of these keys.
pub(super) async fn signed<T: Role>(role: T, keys: &[&dyn PrivateKey]) -> Result<Signed<T>, RepositoryError> {
    let mut signed = Signed { signed: role, signatures: Vec::new() };
    for key in keys {
        add_signature(&mut signed, *key).await?;
    }
    Ok(signed)
}

/// Adds a key's signature, in place of an older one of the same key. Returns the key's ID.
pub(super) async fn add_signature<T: Role>(
    role: &mut Signed<T>,
    key: &dyn PrivateKey,
) -> Result<Decoded<Hex>, RepositoryError> {
    let (keyid, _) = named(key.spki())?;
    let message = role.signed.canonical_form().map_err(|error| RepositoryError::Write(error.to_string()))?;
    let sig = key.sign(&message).await.map_err(|error| RepositoryError::Key(error.to_string()))?;
    role.signatures.retain(|signature| signature.keyid != keyid);
    role.signatures.push(Signature { keyid: keyid.clone(), sig: sig.into() });
    Ok(keyid)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

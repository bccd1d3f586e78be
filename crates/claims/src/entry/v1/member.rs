//! Members of a proposed `spec`, read so that what is wrong is named by its path.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Fault;
use super::body::Hash;
use crate::keys::HashAlgorithm;
use crate::pki::x509::PublicKey;
use crate::traces::unhex;

/// The `spec` as its type. Absent and `null` are the same; unknown members are passed over.
pub(super) fn spec<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Fault> {
    json(raw.get(), "spec")
}

/// JSON text, which stands at that place.
pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a str, field: &str) -> Result<T, Fault> {
    // The path costs time, so it is only looked for when there is something to say.
    serde_json::from_str(text).map_err(|plain| {
        let mut parser = serde_json::Deserializer::from_str(text);
        let traced = serde_path_to_error::deserialize::<_, T>(&mut parser).err();
        let path = traced.map(|error| error.path().to_string()).unwrap_or_default();
        // Where the text itself breaks off, its last part is a question mark.
        let path = path.trim_end_matches(['.', '?']);
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        Fault::new(format!("{field}{dot}{path}"), plain.to_string())
    })
}

/// A member that must be there.
pub(super) fn required<T>(value: Option<T>, field: &str) -> Result<T, Fault> {
    value.ok_or_else(|| {
        let name = field.rsplit('.').next().unwrap_or(field);
        Fault::new(field, format!("{name} is missing, it is required"))
    })
}

/// The bytes of a member in base64, at least one.
pub(super) fn bytes(value: Option<String>, field: &str) -> Result<Vec<u8>, Fault> {
    let text = required(value, field)?;
    match base64(&text) {
        Some(bytes) if bytes.is_empty() => required(None, field),
        Some(bytes) => Ok(bytes),
        None => {
            let problem = "value is not base64, the standard alphabet with padding was expected";
            Err(Fault::new(field, problem))
        }
    }
}

/// Standard base64 with padding. Lines that an encoder broke are joined, as the reference server does.
fn base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['\r', '\n']) {
        return STANDARD.decode(text.replace(['\r', '\n'], "")).ok();
    }
    STANDARD.decode(text).ok()
}

/// Base64 as DSSE has it: standard or safe in URLs.
pub(super) fn dsse_base64(text: &str) -> Option<Vec<u8>> {
    base64(text).or_else(|| URL_SAFE.decode(text).ok())
}

/// Bytes that a body holds, as it holds them.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A public key in PEM, in base64.
pub(super) fn public_key(value: Option<String>, field: &str) -> Result<PublicKey, Fault> {
    PublicKey::parse(&bytes(value, field)?).map_err(|error| Fault::new(field, error.problem))
}

/// A hash as it is proposed.
#[derive(Deserialize)]
pub(super) struct ProposedHash {
    algorithm: Option<String>,
    value: Option<String>,
}

/// The hash at that place, of one of these functions, and its bytes. The case of its digits is kept.
pub(super) fn hash(
    proposed: Option<ProposedHash>,
    field: &str,
    known: &[HashAlgorithm],
) -> Result<(Hash<'static>, HashAlgorithm, Vec<u8>), Fault> {
    let ProposedHash { algorithm, value } = required(proposed, field)?;
    let algorithm = required(algorithm, &format!("{field}.algorithm"))?;
    let Some(function) = known.iter().copied().find(|function| name(*function) == algorithm) else {
        let known: Vec<_> = known.iter().map(|function| name(*function)).collect();
        let problem = format!("algorithm is {algorithm:?}, known are {}", known.join(", "));
        return Err(Fault::new(format!("{field}.algorithm"), problem));
    };
    let field = format!("{field}.value");
    let value = required(value, &field)?;
    let digits = 2 * function.digest_len();
    if value.len() != digits {
        let problem = format!("value is {} characters, {algorithm} needs {digits} hex digits", value.len());
        return Err(Fault::new(field, problem));
    }
    let Some(bytes) = unhex(&value) else {
        return Err(Fault::new(field, format!("value {value:?} is not hex")));
    };
    Ok((Hash { algorithm: algorithm.into(), value: value.into() }, function, bytes))
}

/// The name of a hash function at the v1 door.
pub(super) fn name(function: HashAlgorithm) -> &'static str {
    match function {
        HashAlgorithm::Sha256 => "sha256",
        HashAlgorithm::Sha384 => "sha384",
        HashAlgorithm::Sha512 => "sha512",
    }
}

//! A signed token in compact form (RFC 7515 §7.1), taken apart and not yet believed.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::claims::{Claims, kind};
use super::error::{TokenError, quoted};
use super::keys::Algorithm;

/// What stands between the dots.
pub(super) struct Parsed<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Claims,
    pub(super) signature: Vec<u8>,
    /// What was signed.
    pub(super) signed: &'a [u8],
}

/// Takes a token apart. Refuses what is long before it looks at it.
pub(super) fn parse(token: &str) -> Result<Parsed<'_>, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::TooLong { bytes: token.len(), limit: LONGEST });
    }
    let malformed = |problem: &str| TokenError::Malformed(problem.to_owned());
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(malformed("three parts with dots between them were expected"));
    };
    let decoded = |part: &str, name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part);
        bytes.map_err(|_| malformed(&format!("its {name} is not base64url without padding")))
    };
    let header = match serde_json::from_slice(&decoded(header, "header")?) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Err(malformed("its header is not a JSON object")),
        Err(error) => return Err(malformed(&format!("its header is not JSON: {error}"))),
    };
    let (algorithm, key_id) = read_header(&header)?;
    let signature = decoded(signature, "signature")?;
    let claims = Claims::read(&decoded(payload, "payload")?)?;
    Ok(Parsed { algorithm, key_id, claims, signature, signed: signed(token).as_bytes() })
}

/// What tells one token from another. An ECDSA signature can be written in two ways by anyone, so it is left out.
pub fn token_hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, signed(token).as_bytes()).as_ref());
    hash
}

fn signed(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(signed, _)| signed)
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), TokenError> {
    let wrong = |member, problem| Err(TokenError::Header { member, problem });
    if header.contains_key("crit") {
        return wrong("crit", "names extensions, none is understood".to_owned());
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => match Algorithm::named(name) {
            Some(algorithm) => algorithm,
            None => {
                return wrong("alg", format!("is {}, expected one of {}", quoted(name), Algorithm::NAMES));
            }
        },
        other => {
            return wrong("alg", format!("is {}, expected one of {}", kind(other), Algorithm::NAMES));
        }
    };
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        other => return wrong("kid", format!("is {}, a string was expected", kind(other))),
    };
    Ok((algorithm, key_id))
}

/// Bytes of a token; those of CI providers have some 2,000.
const LONGEST: usize = 16 << 10;

//! The public keys of an issuer (RFC 7517), and whether a signature is by one of them. Only signatures by asymmetric keys
//! are known here, so that a public key can never serve as a shared secret.

use std::fmt;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::quoted;

/// How a token may be signed (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// Their names, for errors.
    pub(super) const NAMES: &str = "RS256, RS384, RS512, ES256, ES384, ES512, EdDSA";

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// The keys of an issuer that can sign tokens.
#[derive(Clone, Debug)]
pub(super) struct KeySet(Vec<Jwk>);

#[derive(Clone, Debug)]
struct Jwk {
    id: Option<String>,
    /// What it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Rsa(PublicKeyComponents<Vec<u8>>),
    /// The uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa(_) => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::P521(_) => "P-521",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

/// What came of looking for the key that a header names.
pub(super) enum Found<'a> {
    /// These, one of which has signed or none.
    Keys(Vec<VerifyingKey<'a>>),
    /// None is called that, or could have signed so; a newer set may have it.
    Unknown(String),
    /// The token does not say enough, or what cannot be; a newer set will not help.
    Unfit(String),
}

/// A key with the algorithm it is used by.
pub(super) struct VerifyingKey<'a>(&'a Key, Algorithm);

impl KeySet {
    /// Reads a JWK set. Keys of types that cannot sign tokens are passed over; a set without any other is refused.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let set: Set<'_> =
            serde_json::from_slice(bytes).map_err(|error| format!("is not a JWK set: {error}"))?;
        if set.keys.len() > MOST {
            return Err(format!("has {} keys, at most {MOST} are read", set.keys.len()));
        }
        let keys: Vec<Jwk> = set.keys.iter().filter_map(|key| Jwk::read(key.get())).collect();
        if keys.is_empty() {
            return Err(format!("has no key that signs with one of {}", Algorithm::NAMES));
        }
        Ok(Self(keys))
    }

    /// Looks for the key of a token.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let named: Vec<&Jwk> =
            self.0.iter().filter(|jwk| id.is_none_or(|id| jwk.id.as_deref() == Some(id))).collect();
        let fitting =
            named.iter().filter(|jwk| jwk.fits(algorithm)).map(|jwk| VerifyingKey(&jwk.key, algorithm));
        let fitting: Vec<VerifyingKey<'_>> = fitting.collect();
        match (id, named.len(), fitting.len()) {
            (Some(id), 0, _) => Found::Unknown(format!("is {}, which is none of its keys", quoted(id))),
            (Some(id), _, 0) => {
                Found::Unfit(format!("is {}, a key that does not sign by {algorithm:?}", quoted(id)))
            }
            (None, _, 0) => Found::Unknown(format!("is missing, and no key signs by {algorithm:?}")),
            (None, _, 2..) => {
                Found::Unfit(format!("is missing, and more than one key signs by {algorithm:?}"))
            }
            (_, _, _) => Found::Keys(fitting),
        }
    }
}

impl VerifyingKey<'_> {
    /// Whether the signature is by this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm as A;
        let verified = match (self.0, self.1) {
            (Key::Rsa(key), A::Rs256) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            (Key::Rsa(key), A::Rs384) => key.verify(&RSA_PKCS1_2048_8192_SHA384, message, signature),
            (Key::Rsa(key), A::Rs512) => key.verify(&RSA_PKCS1_2048_8192_SHA512, message, signature),
            (Key::P256(point), A::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Key::P384(point), A::Es384) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            (Key::P521(point), A::Es512) => {
                UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).verify(message, signature)
            }
            (Key::Ed25519(key), A::EdDsa) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            _ => return false,
        };
        verified.is_ok()
    }
}

impl Jwk {
    fn read(text: &str) -> Option<Self> {
        let members: Members = serde_json::from_str(text).ok()?;
        if members.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if members.operations.is_some_and(|operations| !operations.iter().any(|name| name == "verify")) {
            return None;
        }
        let number = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        let point = |x, y, bytes: usize| {
            let (x, y) = (padded(number(x)?, bytes)?, padded(number(y)?, bytes)?);
            Some([&[4], x.as_slice(), y.as_slice()].concat())
        };
        let (x, y) = (members.x, members.y);
        let key = match (members.kind.as_str(), members.curve.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (number(members.n)?, number(members.e)?);
                let zeros = n.iter().take_while(|byte| **byte == 0).count();
                Key::Rsa(PublicKeyComponents { n: n[zeros..].to_vec(), e })
            }
            ("EC", Some("P-256")) => Key::P256(point(x, y, 32)?),
            ("EC", Some("P-384")) => Key::P384(point(x, y, 48)?),
            ("EC", Some("P-521")) => Key::P521(point(x, y, 66)?),
            ("OKP", Some("Ed25519")) => Key::Ed25519(number(x).filter(|key| key.len() == 32)?),
            _ => return None,
        };
        let algorithm = match members.algorithm {
            None => None,
            // For another use, or by an algorithm that is not known here.
            Some(name) => Some(Algorithm::named(&name)?),
        };
        Some(Self { id: members.id, algorithm, key })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        let by_type = matches!(
            (&self.key, algorithm),
            (Key::Rsa(_), A::Rs256 | A::Rs384 | A::Rs512)
                | (Key::P256(_), A::Es256)
                | (Key::P384(_), A::Es384)
                | (Key::P521(_), A::Es512)
                | (Key::Ed25519(_), A::EdDsa)
        );
        by_type && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

/// Some writers leave leading zeros out of coordinates.
fn padded(mut number: Vec<u8>, bytes: usize) -> Option<Vec<u8>> {
    let missing = bytes.checked_sub(number.len())?;
    number.splice(0..0, std::iter::repeat_n(0, missing));
    Some(number)
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Members {
    #[serde(rename = "kty")]
    kind: String,
    #[serde(rename = "kid")]
    id: Option<String>,
    #[serde(rename = "alg")]
    algorithm: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    #[serde(rename = "key_ops")]
    operations: Option<Vec<String>>,
    #[serde(rename = "crv")]
    curve: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Keys of one issuer.
const MOST: usize = 128;

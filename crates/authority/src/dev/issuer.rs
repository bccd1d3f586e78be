//! The issuer itself: its key, what it publishes, and the tokens that it makes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulla_claims::{PublicKeyDetails, SigningKey};
use bulla_web::is_loopback;
use der::asn1::UintRef;
use der::{Decode as _, Reader as _, SliceReader};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::codes::Codes;
use crate::oidc::{Issuer, Name, is_email, issuer_url, quoted, uri};

/// An issuer for this machine.
pub struct DevIssuer {
    url: String,
    key: SigningKey,
    key_id: String,
    key_set: String,
    codes: Mutex<Codes>,
}

/// Whom a token is to be about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// An e-mail address, which counts as verified.
    Email(String),
    /// A URI, as the subjects of build services are.
    Uri(String),
}

/// A subject that no certificate can be about.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SubjectError(String);

impl Subject {
    /// Reads an e-mail address: ASCII, neither name nor comment.
    pub fn email(text: &str) -> Result<Self, SubjectError> {
        if is_email(text) {
            return Ok(Self::Email(text.to_owned()));
        }
        Err(SubjectError(format!(
            "email is {}, an address such as you@example.org was expected",
            quoted(text)
        )))
    }

    /// Reads a URI; what a certificate cannot hold is escaped.
    pub fn uri(text: &str) -> Result<Self, SubjectError> {
        match uri(text, "sub") {
            Ok(Name::Uri(text)) => Ok(Self::Uri(text)),
            _ => Err(SubjectError(format!("sub is {}, a URI was expected", quoted(text)))),
        }
    }
}

impl DevIssuer {
    /// Makes the issuer of this URL, whose host must be this machine, with an ECDSA P-256 key.
    pub fn new(url: &str, key: SigningKey) -> Result<Self, String> {
        let wrong = |problem: &str| format!("issuer for this machine: url is {}, {problem}", quoted(url));
        let parsed = issuer_url(url).map_err(|problem| wrong(&problem))?;
        if !parsed.host_str().is_some_and(is_loopback) {
            return Err(wrong("localhost or a loopback address was expected"));
        }
        if key.details() != PublicKeyDetails::PkixEcdsaP256Sha256 {
            return Err("issuer for this machine: its key must be ECDSA P-256".to_owned());
        }
        let spki = key.spki();
        // An uncompressed point ends the structure: 04, x, y.
        let (x, y) = spki[spki.len() - 64..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638: the hash of the members that make the key, in this order.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let key_id = URL_SAFE_NO_PAD.encode(digest(&SHA256, thumbprint.as_bytes()));
        let jwk =
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": key_id, "alg": "ES256", "use": "sig"});
        let key_set = json!({"keys": [jwk]}).to_string();
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, key, key_id, key_set, codes: Mutex::default() })
    }

    /// The same with a key that is made now and forgotten with it.
    pub fn with_new_key(url: &str) -> Result<Self, String> {
        let pem = SigningKey::generate_ecdsa_p256_pem();
        Self::new(url, SigningKey::from_pem(&pem, None).map_err(|error| error.to_string())?)
    }

    /// The `iss` of its tokens, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// It, as one of those whose tokens are believed: its keys are known without asking. Its tokens are about e-mail
    /// addresses, or about URIs if they have none.
    pub fn entry(&self, audience: &str) -> Result<Issuer, String> {
        Issuer::with_keys(&self.url, audience, self.key_set.as_bytes())
    }

    /// Its key set (RFC 7517), JSON.
    pub fn key_set(&self) -> &str {
        &self.key_set
    }

    /// What it says about itself (`OpenID` Connect Discovery 1.0 §3).
    pub fn configuration(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": self.url,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "device_authorization_endpoint": at("/device/code"),
            "jwks_uri": at("/keys"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", DEVICE_GRANT],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "email"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "claims_supported": ["iss", "aud", "sub", "iat", "exp", "email", "email_verified", "nonce"],
        })
    }

    /// Makes a token that is good for ten minutes.
    pub fn mint(
        &self,
        subject: &Subject,
        audience: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<String, String> {
        let seconds = now.as_second();
        let mut claims =
            json!({"iss": self.url, "aud": audience, "iat": seconds, "exp": seconds + LIFETIME_SECONDS});
        match subject {
            Subject::Email(email) => {
                claims["sub"] = json!(email);
                claims["email"] = json!(email);
                claims["email_verified"] = json!(true);
            }
            Subject::Uri(uri) => claims["sub"] = json!(uri),
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.key_id});
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self.key.sign(signed.as_bytes()).map_err(|error| error.to_string())?;
        let signature = fixed(&signature).map_err(|error| error.to_string())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    pub(crate) fn codes(&self) -> MutexGuard<'_, Codes> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An ECDSA signature as tokens have it (RFC 7518 §3.4): both numbers in full length, instead of DER.
fn fixed(signature: &[u8]) -> der::Result<[u8; 64]> {
    let numbers = |reader: &mut SliceReader<'_>| {
        reader.sequence(|reader| {
            Ok([UintRef::decode(reader)?, UintRef::decode(reader)?].map(|number| {
                let bytes = number.as_bytes();
                let mut padded = [0; 32];
                let from = padded.len().saturating_sub(bytes.len());
                padded[from..].copy_from_slice(&bytes[bytes.len().saturating_sub(32)..]);
                padded
            }))
        })
    };
    let mut reader = SliceReader::new(signature)?;
    let [r, s] = numbers(&mut reader)?;
    let mut fixed = [0; 64];
    fixed[..32].copy_from_slice(&r);
    fixed[32..].copy_from_slice(&s);
    Ok(fixed)
}

/// The grant of a code that a device polls with (RFC 8628 §3.4).
pub(crate) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// For how long a token is good.
pub(crate) const LIFETIME_SECONDS: i64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_this_machine_and_signs_with_p256() {
        for url in ["http://log.example.org", "https://log.example.org", "http://192.168.1.1", "x"] {
            assert!(DevIssuer::with_new_key(url).is_err(), "{url}");
        }
        let ed25519 = SigningKey::from_pem(&SigningKey::generate_ed25519_pem(), None).expect("a key");
        let refused = DevIssuer::new("http://localhost:3000/dev", ed25519).err();
        assert_eq!(refused.as_deref(), Some("issuer for this machine: its key must be ECDSA P-256"));
        assert!(DevIssuer::with_new_key("http://[::1]:3000").is_ok());
    }

    #[test]
    fn short_numbers_are_padded() {
        let signature = fixed(&[0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]).expect("a signature");
        let mut expected = [0; 64];
        (expected[31], expected[63]) = (1, 0x80);
        assert_eq!(signature, expected);
        assert!(fixed(&[0x30, 3, 2, 1, 1]).is_err());
    }

    #[test]
    fn subjects_are_what_certificates_can_be_about() {
        let said = Subject::email("you").expect_err("is refused").to_string();
        assert_eq!(said, r#"email is "you", an address such as you@example.org was expected"#);
        let said = Subject::uri("you").expect_err("is refused").to_string();
        assert_eq!(said, r#"sub is "you", a URI was expected"#);
    }
}

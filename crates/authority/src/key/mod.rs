//! A private key of an authority, wherever it is kept: what it can do, and the list of those who keep keys for others.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bulla_claims::{PublicKeyDetails, SigningKey};
use bulla_tlog::note::SignError;

#[cfg(feature = "kms-aws")]
mod aws;
#[cfg(feature = "kms-azure")]
mod azure;
#[cfg(all(test, feature = "web-keys"))]
mod fake;
#[cfg(feature = "kms-gcp")]
mod gcp;
#[cfg(any(feature = "kms-aws", feature = "kms-azure"))]
mod host;
#[cfg(any(feature = "pkcs11", feature = "kms-aws", feature = "web-keys"))]
mod kept;
#[cfg(any(feature = "pkcs11", feature = "kms-azure", feature = "kms-vault"))]
mod parts;
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(feature = "kms-vault")]
mod vault;
#[cfg(feature = "web-keys")]
mod web;

/// A future that is sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A private key: in a file, in a token, or in somebody's service.
pub trait PrivateKey: Send + Sync {
    /// Its public half, DER `SubjectPublicKeyInfo`.
    fn spki(&self) -> &[u8];

    /// What it signs with.
    fn details(&self) -> PublicKeyDetails;

    /// Signs a message: ECDSA in DER over the hash as long as the curve, RSA PKCS#1 v1.5 over SHA-256, Ed25519.
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SignError>>;
}

impl PrivateKey for SigningKey {
    fn spki(&self) -> &[u8] {
        self.spki()
    }

    fn details(&self) -> PublicKeyDetails {
        self.details()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(std::future::ready(self.sign(message)))
    }
}

/// Why a key that somebody keeps cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenKeyError {
    /// The URI names no key.
    #[error("key {uri:?}: {problem}")]
    Uri {
        /// What was given, up to the first `?`: behind it there may be a PIN.
        uri: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Who keeps it is known, but not to this build.
    #[error("{scheme} needs a build with --features {feature}")]
    NotBuilt {
        /// How such URIs begin.
        scheme: &'static str,
        /// The feature that has it.
        feature: &'static str,
    },
    /// Its keeper refuses, or has it otherwise than it must be.
    #[error("key {uri}: {problem}")]
    Refused {
        /// As above.
        uri: String,
        /// What is wrong.
        problem: String,
    },
    /// Its keeper does not answer, or not now.
    #[error("key {uri}: {problem}")]
    Unavailable {
        /// As above.
        uri: String,
        /// What happened.
        problem: String,
    },
}

/// Opens the key that a URI names. Its public half is asked for once, here; a signature that does not hold under it later is
/// an error. Every question has ten seconds, and is asked at most three times while nobody answers.
///
/// | URI | who keeps it | feature |
/// |---|---|---|
/// | `pkcs11:token=NAME;object=NAME?module-path=FILE&pin-source=file:FILE` (RFC 7512) | a token | `pkcs11` |
/// | `awskms://[ENDPOINT]/KEY`, with the ID, the ARN or `alias/NAME` of a key | AWS KMS | `kms-aws` |
/// | `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V]` | Google Cloud KMS | `kms-gcp` |
/// | `azurekms://VAULT.vault.azure.net/KEY[/VERSION]` | Azure Key Vault | `kms-azure` |
/// | `hashivault://KEY` | the transit engine of Vault | `kms-vault` |
pub async fn open(uri: &str) -> Result<Arc<dyn PrivateKey>, OpenKeyError> {
    let Some((place, rest)) = PLACES.iter().find_map(|place| Some((place, uri.strip_prefix(place.scheme)?)))
    else {
        let known: Vec<_> = PLACES.iter().map(|place| place.scheme).collect();
        let problem = format!("one of {} was expected at its beginning", known.join(", "));
        return Err(OpenKeyError::Uri { uri: shown(uri), problem });
    };
    if uri.len() > LONGEST {
        let problem = format!("is {} bytes long, at most {LONGEST} are read", uri.len());
        return Err(OpenKeyError::Uri { uri: shown(place.scheme), problem });
    }
    (place.open)(uri, rest).await
}

/// Whether a text is the URI of a key that somebody keeps, and no path of a file.
pub fn is_uri(text: &str) -> bool {
    PLACES.iter().any(|place| text.starts_with(place.scheme))
}

/// Who keeps keys.
struct Place {
    scheme: &'static str,
    open: for<'a> fn(&'a str, &'a str) -> Opening<'a>,
}

type Opening<'a> = BoxFuture<'a, Result<Arc<dyn PrivateKey>, OpenKeyError>>;

macro_rules! place {
    ($scheme:literal, $feature:literal, $member:ident) => {
        Place {
            scheme: $scheme,
            #[cfg(feature = $feature)]
            open: |uri, rest| Box::pin(kept::opened(uri, $member::open(rest))),
            #[cfg(not(feature = $feature))]
            open: |_, _| {
                Box::pin(std::future::ready(Err(OpenKeyError::NotBuilt {
                    scheme: $scheme,
                    feature: $feature,
                })))
            },
        }
    };
}

const PLACES: [Place; 5] = [
    place!("pkcs11:", "pkcs11", pkcs11),
    place!("awskms://", "kms-aws", aws),
    place!("gcpkms://", "kms-gcp", gcp),
    place!("azurekms://", "kms-azure", azure),
    place!("hashivault://", "kms-vault", vault),
];

/// A URI without what may be secret in it.
fn shown(uri: &str) -> String {
    let named = uri.split('?').next().unwrap_or_default();
    // Some write the attributes of the query before it.
    let named = named.split(";pin-value=").next().unwrap_or_default();
    crate::oidc::quoted(named).trim_matches('"').to_owned()
}

/// Longer than any name of a key.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(uri: &str) -> String {
        open(uri).await.err().expect("is refused").to_string()
    }

    #[tokio::test]
    async fn what_is_no_uri_of_a_key_is_refused() {
        let expected =
            "one of pkcs11:, awskms://, gcpkms://, azurekms://, hashivault:// was expected at its beginning";
        for uri in ["", "ca.key", "/etc/ca.key", "file:///etc/ca.key", "AWSKMS:///x", "kms://x"] {
            assert!(!is_uri(uri));
            assert_eq!(refused(uri).await, format!("key {uri:?}: {expected}"));
        }
        for uri in ["pkcs11:x", "awskms:///x", "gcpkms://x", "azurekms://x", "hashivault://x"] {
            assert!(is_uri(uri));
        }
        let long = format!("hashivault://{}", "x".repeat(5000));
        assert_eq!(refused(&long).await, "key \"hashivault://\": is 5013 bytes long, at most 4096 are read");
    }

    #[test]
    fn a_pin_is_not_shown() {
        assert_eq!(shown("pkcs11:token=a?pin-value=1234"), "pkcs11:token=a");
        assert_eq!(shown("pkcs11:token=a;pin-value=1234;object=b"), "pkcs11:token=a");
    }

    #[cfg(not(any(feature = "pkcs11", feature = "kms-aws", feature = "web-keys")))]
    #[tokio::test]
    async fn a_build_without_it_says_what_is_needed() {
        for (uri, expected) in [
            ("pkcs11:token=x", "pkcs11: needs a build with --features pkcs11"),
            ("awskms:///alias/x", "awskms:// needs a build with --features kms-aws"),
            ("gcpkms://projects/x", "gcpkms:// needs a build with --features kms-gcp"),
            ("azurekms://x", "azurekms:// needs a build with --features kms-azure"),
            ("hashivault://x", "hashivault:// needs a build with --features kms-vault"),
        ] {
            assert_eq!(refused(uri).await, expected);
        }
    }
}

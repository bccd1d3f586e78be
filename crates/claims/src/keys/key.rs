//! A public key that was read and can verify. Its type and size are what the key itself says, whatever its label claims.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaParameters, VerificationAlgorithm,
};
use ed25519_dalek::VerifyingKey;

use super::{Algorithm, certificate, spki, verify};

/// A public key of one of the seven [`Algorithm`]s.
pub struct Key {
    algorithm: Algorithm,
    parsed: Parsed,
}

enum Parsed {
    /// ECDSA and RSA.
    Lc(ParsedPublicKey),
    Ed25519(VerifyingKey),
}

impl Key {
    /// Reads DER `SubjectPublicKeyInfo` without trailing bytes.
    pub fn from_spki(raw: &[u8]) -> Result<Self, KeyError> {
        spki::parse(raw, "public key")
    }

    /// Reads the key of one DER X.509 certificate without trailing bytes. Nothing else in the certificate is judged.
    pub fn from_certificate(raw: &[u8]) -> Result<Self, KeyError> {
        certificate::parse(raw)
    }

    /// What the key is and how it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the signature is this key's over a digest made with its algorithm's hash function. ECDSA signatures are
    /// DER or raw `r‖s`, with low or high `s`; Ed25519 ones are Ed25519ph with an empty context.
    pub fn verifies(&self, digest: &[u8], signature: &[u8]) -> bool {
        match &self.parsed {
            Parsed::Lc(key) => match self.algorithm {
                Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
                    verify::rsa(key, digest, signature)
                }
                _ => verify::ecdsa(key, self.algorithm.hash(), digest, signature),
            },
            Parsed::Ed25519(key) => verify::ed25519ph(key, digest, signature),
        }
    }

    /// From an uncompressed point. `None` when it is not on the curve.
    pub(super) fn ecdsa(algorithm: Algorithm, point: &[u8]) -> Option<Self> {
        let curve: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
            Algorithm::EcdsaP521 => &ECDSA_P521_SHA512_ASN1,
            _ => &ECDSA_P256_SHA256_ASN1,
        };
        let parsed = Parsed::Lc(ParsedPublicKey::new(curve, point).ok()?);
        Some(Self { algorithm, parsed })
    }

    /// From the 32 bytes of a point. `None` when they are none.
    pub(super) fn ed25519(point: &[u8; 32]) -> Option<Self> {
        let parsed = Parsed::Ed25519(VerifyingKey::from_bytes(point).ok()?);
        Some(Self { algorithm: Algorithm::Ed25519Ph, parsed })
    }

    /// From a DER `RSAPublicKey`.
    pub(super) fn rsa(der: &[u8], what: &str) -> Result<Self, KeyError> {
        let broken =
            || KeyError::new(format!("{what} is not an RSA key: its modulus or exponent is no good"));
        let bits = RsaParameters::public_modulus_len(der).map_err(|_| broken())?;
        let algorithm = match bits.div_ceil(8) {
            256 => Algorithm::Rsa2048,
            384 => Algorithm::Rsa3072,
            512 => Algorithm::Rsa4096,
            _ => {
                return Err(KeyError::new(format!(
                    "{what} is RSA of {bits} bits, 2048, 3072 or 4096 was expected"
                )));
            }
        };
        // The lower bound of 1024 bits plays no part after the check above. That of the other constant does: it would
        // refuse the moduli of 2041 to 2047 bits that upstream takes for 2048.
        let key = ParsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, der);
        Ok(Self { algorithm, parsed: Parsed::Lc(key.map_err(|_| broken())?) })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.algorithm.key_name())
    }
}

/// Bytes that are not a key which can verify here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct KeyError {
    /// What they are, and what was expected.
    pub problem: String,
}

impl KeyError {
    pub(crate) fn new(problem: String) -> Self {
        Self { problem }
    }

    /// For bytes that are no DER of what they should be: says so if they are something that people often send instead.
    pub(super) fn not_der(raw: &[u8], what: &str, expected: &str) -> Self {
        let problem = if raw.starts_with(b"-----BEGIN ") {
            format!(
                "{what} is PEM, DER was expected: send the bytes that the lines between the dashes encode"
            )
        } else if raw.starts_with(b"MII") || raw.starts_with(b"MFk") || raw.starts_with(b"LS0tLS1") {
            format!("{what} is base64 twice, {expected} was expected")
        } else {
            format!("{what} is not {expected}")
        };
        Self { problem }
    }
}

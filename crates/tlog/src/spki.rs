//! Public keys as `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), read in the one DER form each has: the key ID of a note is a
//! hash of these bytes, so a second spelling of a key would be a second identity.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};

use crate::der;

/// The key families that sign notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    Ed25519,
    Ecdsa,
    Rsa,
}

/// A public key, ready to verify.
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) family: Family,
    pub(crate) spki: Box<[u8]>,
    pub(crate) key: ParsedPublicKey,
}

impl PublicKey {
    /// Reads an Ed25519, ECDSA (P-256, P-384, P-521, uncompressed point) or RSA (2048 to 8192 bits) key.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        for (prefix, point_len, algorithm) in FIXED {
            let Some(key) = spki.strip_prefix(*prefix) else { continue };
            let family = if *point_len == 32 { Family::Ed25519 } else { Family::Ecdsa };
            if key.len() != *point_len || (family == Family::Ecdsa && key[0] != 4) {
                return None;
            }
            return Self::parse(family, spki, key, *algorithm);
        }
        let content = der::content(0x30, spki)?;
        let bits = der::content(0x03, content.strip_prefix(RSA_ALGORITHM)?)?;
        Self::parse(Family::Rsa, spki, bits.strip_prefix(&[0])?, &RSA_PKCS1_2048_8192_SHA256)
    }

    /// An Ed25519 key from its 32 bytes.
    pub(crate) fn from_ed25519(key: &[u8]) -> Option<Self> {
        Self::from_spki(&ed25519(key))
    }

    /// The 32 bytes of an Ed25519 key; of another key, its DER after as many bytes.
    pub(crate) fn ed25519_bytes(&self) -> &[u8] {
        &self.spki[ED25519_PREFIX.len()..]
    }

    /// Whether it is ECDSA on P-256: only its DER has that length.
    pub(crate) fn is_p256(&self) -> bool {
        self.family == Family::Ecdsa && self.spki.len() == 91
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    fn parse(
        family: Family,
        spki: &[u8],
        key: &[u8],
        algorithm: &'static dyn VerificationAlgorithm,
    ) -> Option<Self> {
        let key = ParsedPublicKey::new(algorithm, key).ok()?;
        Some(Self { family, spki: spki.into(), key })
    }
}

/// The `SubjectPublicKeyInfo` of an Ed25519 key of 32 bytes.
pub(crate) fn ed25519(key: &[u8]) -> Vec<u8> {
    [ED25519_PREFIX, key].concat()
}

/// SEQUENCE { SEQUENCE { 1.3.101.112 }, BIT STRING of 32 bytes }
const ED25519_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// SEQUENCE { 1.2.840.113549.1.1.1, NULL }
const RSA_ALGORITHM: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// All that comes before the key, how long the key is, and how it verifies.
type Fixed = (&'static [u8], usize, &'static dyn VerificationAlgorithm);
const FIXED: &[Fixed] = &[
    (ED25519_PREFIX, 32, &ED25519),
    (
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
        65,
        &ECDSA_P256_SHA256_ASN1,
    ),
    (
        b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
        97,
        &ECDSA_P384_SHA384_ASN1,
    ),
    (
        b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00",
        133,
        &ECDSA_P521_SHA512_ASN1,
    ),
];

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    };

    use super::*;

    type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

    /// A key of every kind, as SPKI, and how it signs.
    fn keys() -> Vec<(Family, Vec<u8>, Sign)> {
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let spki = [ED25519_PREFIX, ed25519.public_key().as_ref()].concat();
        let sign = move |message: &[u8]| ed25519.sign(message).as_ref().to_vec();
        let mut keys: Vec<(Family, Vec<u8>, Sign)> = vec![(Family::Ed25519, spki, Box::new(sign))];
        for algorithm in [
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &ECDSA_P384_SHA384_ASN1_SIGNING,
            &ECDSA_P521_SHA512_ASN1_SIGNING,
        ] {
            let key = EcdsaKeyPair::generate(algorithm).unwrap();
            let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
            let sign =
                move |message: &[u8]| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
            keys.push((Family::Ecdsa, spki, Box::new(sign)));
        }
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki = rsa.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        keys.push((Family::Rsa, spki, Box::new(sign)));
        keys
    }

    #[test]
    fn every_kind_of_key_verifies() {
        for (family, spki, sign) in keys() {
            let key = PublicKey::from_spki(&spki).unwrap();
            assert_eq!((key.family, key.spki.as_ref()), (family, spki.as_slice()));
            let signature = sign(b"message");
            assert!(key.verify(b"message", &signature), "{family:?}");
            assert!(!key.verify(b"massage", &signature));
            assert!(!key.verify(b"message", &signature[1..]));
            assert!(!key.verify(b"message", &[]));
        }
    }

    #[test]
    fn only_one_spelling_is_a_key() {
        for (family, spki, _) in keys() {
            assert!(PublicKey::from_spki(&[&spki, &[0][..]].concat()).is_none(), "{family:?}");
            for len in 0..spki.len() {
                assert!(PublicKey::from_spki(&spki[..len]).is_none());
            }
            // A changed header is another algorithm, another length, or not DER.
            for byte in 0..12 {
                let mut changed = spki.clone();
                changed[byte] ^= 1;
                assert!(PublicKey::from_spki(&changed).is_none(), "{family:?} {byte}");
            }
        }
    }
}

//! Public keys and certificate chains in PEM: what most clients sign with.

use std::fmt;

use aws_lc_rs::digest::{self, Digest, SHA256};
use aws_lc_rs::signature::{
    self, ED25519, ParsedPublicKey, RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};

use super::{certificate, pem};
use crate::keys::{HashAlgorithm, KeyError, Material, spki, verify};
use crate::traces::KeyTraces;

/// The most certificates that are read of one chain.
pub const MAX_CHAIN: usize = 10;

/// The type and size of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyType {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA with a modulus of so many bits.
    Rsa(u32),
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// A public key that can verify, bare or in a certificate with its chain.
pub struct PublicKey {
    document: Document,
    key_type: KeyType,
    key: Parsed,
}

enum Parsed {
    /// ECDSA and RSA, with SHA-256.
    Lc(ParsedPublicKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Whether its signatures say nothing: an Ed25519 key of small order, under which one signature fits any message.
    pub fn is_weak(&self) -> bool {
        matches!(&self.key, Parsed::Ed25519(key) if key.is_weak())
    }

    /// Reads PEM: one `PUBLIC KEY`, or up to [`MAX_CHAIN`] times `CERTIFICATE`, leaf first.
    pub fn parse(pem: &[u8]) -> Result<Self, KeyError> {
        let document = Document::read(pem)?;
        let what = if document.chain.is_empty() { "public key" } else { "key of the certificate" };
        let (key_type, key) = match spki::read(&document.spki, what)? {
            spki::Spki::Ed25519(point) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(point);
                let key = key.map_err(|_| KeyError::new(format!("{what} is not a point on Ed25519")))?;
                (KeyType::Ed25519, Parsed::Ed25519(key))
            }
            spki::Spki::Ecdsa(curve, point) => {
                let key_type = match curve {
                    spki::Curve::P256 => KeyType::P256,
                    spki::Curve::P384 => KeyType::P384,
                    spki::Curve::P521 => KeyType::P521,
                };
                let refused = || KeyError::new(format!("{what} is not an uncompressed point on {curve}"));
                (key_type, lc(key_type, point).ok_or_else(refused)?)
            }
            spki::Spki::Rsa(der) => {
                let broken =
                    || KeyError::new(format!("{what} is not an RSA key: its modulus or exponent is no good"));
                let bits = RsaParameters::public_modulus_len(der).map_err(|_| broken())?;
                if !RSA_BITS.contains(&bits) {
                    let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
                    let problem = format!("{what} is RSA of {bits} bits, {least} to {most} were expected");
                    return Err(KeyError::new(problem));
                }
                let key_type = KeyType::Rsa(bits);
                (key_type, lc(key_type, der).ok_or_else(broken)?)
            }
        };
        Ok(Self { document, key_type, key })
    }

    /// What it is.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The PEM that is stored: lines of 64 columns, one line feed at the end, the certificates of a chain one after the
    /// other.
    pub fn canonical(&self) -> &[u8] {
        self.document.canonical.as_bytes()
    }

    /// DER `SubjectPublicKeyInfo`, of a chain that of its first certificate.
    pub fn spki(&self) -> &[u8] {
        &self.document.spki
    }

    /// Subject alternative names of the first certificate: DNS, e-mail, IP, URI, and the other name that Fulcio writes, in
    /// this order.
    pub fn subjects(&self) -> Vec<String> {
        self.document.names.clone()
    }

    /// What it can be found by.
    pub fn traces(&self) -> KeyTraces {
        self.document.traces()
    }

    /// Whether the certificates of a chain lead from the first to the last, when the first begins to be valid. A certificate
    /// alone and a bare key are not judged.
    pub fn judge_chain(&self) -> Result<(), KeyError> {
        certificate::judge(&self.document.chain)
            .map_err(|problem| KeyError::new(format!("certificate {problem}")))
    }

    /// Whether the signature is this key's over the message: over its SHA-256 for RSA (PKCS#1 v1.5) and, whatever the
    /// curve, ECDSA (DER), over itself for Ed25519.
    pub fn verify_message(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verify_hashed(message, &digest::digest(&SHA256, message), signature)
    }

    /// The same, where the SHA-256 of the message is known.
    pub(crate) fn verify_hashed(&self, message: &[u8], hash: &Digest, signature: &[u8]) -> bool {
        match &self.key {
            Parsed::Lc(key) => key.verify_digest_sig(hash, signature).is_ok(),
            Parsed::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(message, signature).is_ok()
            }
        }
    }

    /// Whether the signature is this key's over a message of that digest: RSA PKCS#1 v1.5, ECDSA in DER or as two halves
    /// `r‖s`, Ed25519ph with an empty context, which goes with SHA-512 alone.
    pub fn verify_digest(&self, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
        let key = match &self.key {
            Parsed::Lc(key) => key,
            Parsed::Ed25519(key) => {
                return hash == HashAlgorithm::Sha512 && verify::ed25519ph(key, digest, signature);
            }
        };
        let Ok(digest) = Digest::import_less_safe(digest, hash.function()) else { return false };
        let is_signed = |signature: &[u8]| match hash {
            HashAlgorithm::Sha256 => key.verify_digest_sig(&digest, signature).is_ok(),
            _ => UnparsedPublicKey::new(algorithm(self.key_type, hash), key.as_ref())
                .verify_digest(&digest, signature)
                .is_ok(),
        };
        match self.key_type {
            KeyType::Rsa(_) => is_signed(signature),
            _ => verify::der_of(signature).is_some_and(|signature| is_signed(&signature)),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {} certificates)", self.key_type, self.document.chain.len())
    }
}

fn lc(key_type: KeyType, bytes: &[u8]) -> Option<Parsed> {
    ParsedPublicKey::new(algorithm(key_type, HashAlgorithm::Sha256), bytes).ok().map(Parsed::Lc)
}

fn algorithm(key_type: KeyType, hash: HashAlgorithm) -> &'static dyn VerificationAlgorithm {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    match (key_type, hash) {
        (KeyType::P256, Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyType::P256, Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyType::P256, Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyType::P384, Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyType::P384, Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyType::P384, Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyType::P521, Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyType::P521, Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyType::P521, Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        // The lower bound of the other constant would refuse moduli of 2041 to 2047 bits.
        (KeyType::Rsa(_), Sha256) => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (KeyType::Rsa(_), Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyType::Rsa(_), Sha512) => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (KeyType::Ed25519, _) => &ED25519,
    }
}

/// What the reference server's library verifies with, and the most that ours does.
const RSA_BITS: std::ops::RangeInclusive<u32> = 1024..=8192;

/// PEM that was read, whether or not the key in it can verify here: what entries of other logs are found by.
pub(crate) struct Document {
    canonical: String,
    spki: Vec<u8>,
    /// The certificates, none around a bare key.
    chain: Vec<Vec<u8>>,
    names: Vec<String>,
    issuer: Option<String>,
}

impl Document {
    pub(crate) fn read(text: &[u8]) -> Result<Self, KeyError> {
        let wrong = |problem: String| KeyError::new(format!("public key {problem}"));
        let mut blocks = pem::read(text, MAX_CHAIN).map_err(wrong)?;
        let first = blocks[0].label.as_str();
        if first == PUBLIC_KEY && blocks.len() == 1 {
            return Ok(Self::of_spki(blocks.remove(0).der));
        }
        if let Some(other) = blocks.iter().find(|block| block.label != CERTIFICATE) {
            let problem = match first {
                PUBLIC_KEY => {
                    "has several PEM blocks, one PUBLIC KEY or a chain of CERTIFICATE was expected".into()
                }
                _ => format!("is PEM of {:?}, PUBLIC KEY or CERTIFICATE was expected", other.label),
            };
            return Err(wrong(problem));
        }
        let chain: Vec<_> = blocks.into_iter().map(|block| block.der).collect();
        Self::of_chain(chain).map_err(wrong)
    }

    /// From DER `SubjectPublicKeyInfo`, taken as it is.
    pub(crate) fn of_spki(spki: Vec<u8>) -> Self {
        let mut canonical = String::new();
        pem::write(PUBLIC_KEY, &spki, &mut canonical);
        Self { canonical, spki, chain: Vec::new(), names: Vec::new(), issuer: None }
    }

    /// From DER certificates, leaf first.
    pub(crate) fn of_chain(chain: Vec<Vec<u8>>) -> Result<Self, String> {
        let mut canonical = String::new();
        let mut leaf = None;
        for (at, raw) in chain.iter().enumerate() {
            let parts = certificate::read(raw);
            let parts = parts.ok_or_else(|| {
                format!("has a CERTIFICATE that is no X.509 certificate, number {}", at + 1)
            })?;
            leaf.get_or_insert(parts);
            pem::write(CERTIFICATE, raw, &mut canonical);
        }
        let certificate::Parts { spki, names, issuer } = leaf.ok_or("has no CERTIFICATE")?;
        Ok(Self { canonical, spki, chain, names, issuer })
    }

    /// The key, or the first certificate, as DER.
    pub(crate) fn into_material(self) -> Material {
        let Self { spki, chain, .. } = self;
        chain.into_iter().next().map_or(Material::PublicKey(spki), Material::Certificate)
    }

    pub(crate) fn traces(&self) -> KeyTraces {
        let mut fingerprints = KeyTraces::fingerprints_of(self.canonical.as_bytes());
        fingerprints.extend(KeyTraces::fingerprints_of(&self.spki));
        KeyTraces {
            fingerprints,
            identities: self.names.iter().map(|name| name.to_lowercase()).collect(),
            issuer: self.issuer.as_ref().map(|issuer| issuer.to_lowercase()),
        }
    }
}

const PUBLIC_KEY: &str = "PUBLIC KEY";
const CERTIFICATE: &str = "CERTIFICATE";

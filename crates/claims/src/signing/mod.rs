//! A log's own keys: the files they are in, and the signer of its checkpoints (reference rekor-v2 §4.3). Making a key or
//! an ECDSA signature takes randomness, which comes from the signature library and from nowhere else.

mod encrypted;
mod error;
mod kind;
mod pem;
mod write;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use bulla_tlog::note::{self, SignError, VkeyError};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};

pub use error::KeyFileError;
pub use kind::{KeyKind, UnknownKeyKind};

use crate::keys::PublicKeyDetails;

/// A private key: Ed25519, ECDSA P-256, P-384 or P-521, or RSA of 2048, 3072 or 4096 bits.
pub struct SigningKey {
    private: Private,
    spki: Vec<u8>,
    details: PublicKeyDetails,
}

enum Private {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl SigningKey {
    /// Makes a new Ed25519 key: PKCS#8 in PEM, as `openssl genpkey` writes it.
    pub fn generate_ed25519_pem() -> String {
        generate_pem(KeyKind::Ed25519)
    }

    /// Makes a new ECDSA P-256 key: PKCS#8 in PEM.
    pub fn generate_ecdsa_p256_pem() -> String {
        generate_pem(KeyKind::P256)
    }

    /// Makes a new ECDSA P-384 key: PKCS#8 in PEM.
    pub fn generate_ecdsa_p384_pem() -> String {
        generate_pem(KeyKind::P384)
    }

    /// Reads the text of a key file: the first private key in it, as PEM of PKCS#8 (`PRIVATE KEY`, `ENCRYPTED PRIVATE
    /// KEY`), SEC 1 (`EC PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`), or as cosign writes it (`ENCRYPTED SIGSTORE PRIVATE
    /// KEY`, `ENCRYPTED COSIGN PRIVATE KEY`). A password that a file has no use for is not looked at.
    pub fn from_pem(text: &str, password: Option<&[u8]>) -> Result<Self, KeyFileError> {
        let block = pem::private_key(text)?;
        let password = || password.ok_or(KeyFileError::NoPassword);
        match block.label {
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            "EC PRIVATE KEY" => Self::from_sec1(&block.der),
            "RSA PRIVATE KEY" => Self::from_pkcs1(&block.der),
            "ENCRYPTED PRIVATE KEY" => Self::decrypted(&encrypted::pkcs8(&block.der, password()?)?),
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                Self::decrypted(&encrypted::sigstore(&block.der, password()?)?)
            }
            label => Err(KeyFileError::Label { label: label.to_owned() }),
        }
    }

    /// The public key as DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The public key's label in trust files. Notes are signed as they are, so that of an Ed25519 key is the pure one.
    pub fn details(&self) -> PublicKeyDetails {
        self.details
    }

    /// Signs a text as a note needs it: Ed25519, ECDSA in DER over the hash as long as the curve, RSA PKCS#1 v1.5 over
    /// SHA-256.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::new("the signature library failed");
        let random = SystemRandom::new();
        match &self.private {
            Private::Ed25519(key) => Ok(key.try_sign(text).map_err(failed)?.as_ref().to_vec()),
            Private::Ecdsa(key) => Ok(key.sign(&random, text).map_err(failed)?.as_ref().to_vec()),
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }

    /// What a password opened. A wrong one passes the padding of PBES2 once in 256 times, and makes no key then.
    fn decrypted(der: &[u8]) -> Result<Self, KeyFileError> {
        match PrivateKeyInfo::try_from(der) {
            Ok(_) => Self::from_pkcs8(der),
            Err(_) => Err(KeyFileError::WrongPassword),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyFileError> {
        let not = |problem: String| KeyFileError::Key { problem };
        let info = PrivateKeyInfo::try_from(der).map_err(|error| not(format!("not PKCS#8: {error}")))?;
        let oid = info.algorithm.oid;
        match oid {
            ED25519 => Ed25519KeyPair::from_pkcs8(der)
                .map_err(|error| not(format!("not an Ed25519 key: {error}")))
                .and_then(Self::ed25519),
            EC => {
                let oid = info.algorithm.parameters_oid();
                let oid =
                    oid.map_err(|_| not("elliptic curve key that does not name its curve".to_owned()))?;
                let curve = CURVES.iter().find(|curve| curve.oid == oid).ok_or_else(|| {
                    not(format!("key is on curve {oid}, P-256, P-384 or P-521 was expected"))
                })?;
                let key = EcdsaKeyPair::from_pkcs8(curve.algorithm, der);
                key.map_err(|error| not(format!("not an ECDSA key: {error}")))
                    .and_then(|key| Self::ecdsa(key, curve))
            }
            RSA => rsa::KeyPair::from_pkcs8(der)
                .map_err(|error| not(format!("not an RSA key: {error}")))
                .and_then(Self::rsa),
            oid => Err(not(format!("key is of algorithm {oid}, Ed25519, ECDSA or RSA was expected"))),
        }
    }

    fn from_sec1(der: &[u8]) -> Result<Self, KeyFileError> {
        let on = |curve: &'static Curve| {
            Some((EcdsaKeyPair::from_private_key_der(curve.algorithm, der).ok()?, curve))
        };
        let (key, curve) = CURVES.iter().find_map(on).ok_or_else(|| KeyFileError::Key {
            problem: "not an SEC 1 key on P-256, P-384 or P-521".to_owned(),
        })?;
        Self::ecdsa(key, curve)
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyFileError> {
        let key = rsa::KeyPair::from_der(der);
        key.map_err(|error| KeyFileError::Key { problem: format!("not a PKCS#1 RSA key: {error}") })
            .and_then(Self::rsa)
    }

    fn ed25519(key: Ed25519KeyPair) -> Result<Self, KeyFileError> {
        let spki = key.public_key().as_der().map_err(|_| no_public_key())?.as_ref().to_vec();
        Ok(Self { private: Private::Ed25519(key), spki, details: PublicKeyDetails::PkixEd25519 })
    }

    fn ecdsa(key: EcdsaKeyPair, curve: &Curve) -> Result<Self, KeyFileError> {
        let spki = key.public_key().as_der().map_err(|_| no_public_key())?.as_ref().to_vec();
        Ok(Self { private: Private::Ecdsa(key), spki, details: curve.details })
    }

    fn rsa(key: rsa::KeyPair) -> Result<Self, KeyFileError> {
        let details = match key.public_modulus_len() {
            256 => PublicKeyDetails::PkixRsaPkcs1v15Of2048Sha256,
            384 => PublicKeyDetails::PkixRsaPkcs1v15Of3072Sha256,
            512 => PublicKeyDetails::PkixRsaPkcs1v15Of4096Sha256,
            len => {
                let problem = format!("key is RSA of {} bits, 2048, 3072 or 4096 was expected", len * 8);
                return Err(KeyFileError::Key { problem });
            }
        };
        let spki = key.public_key().as_der().map_err(|_| no_public_key())?.as_ref().to_vec();
        Ok(Self { private: Private::Rsa(key), spki, details })
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.details)
    }
}

fn generate_pem(kind: KeyKind) -> String {
    let key = SigningKey::generate(kind).and_then(|key| key.to_pkcs8());
    let key =
        key.expect("the library makes keys until one is good, and does not return without random bytes");
    crate::keys::pem("PRIVATE KEY", &key)
}

fn no_public_key() -> KeyFileError {
    KeyFileError::Key { problem: "its public key cannot be written".to_owned() }
}

struct Curve {
    oid: ObjectIdentifier,
    algorithm: &'static EcdsaSigningAlgorithm,
    details: PublicKeyDetails,
}

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

static CURVES: [Curve; 3] = [
    Curve {
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        algorithm: &ECDSA_P256_SHA256_ASN1_SIGNING,
        details: PublicKeyDetails::PkixEcdsaP256Sha256,
    },
    Curve {
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        algorithm: &ECDSA_P384_SHA384_ASN1_SIGNING,
        details: PublicKeyDetails::PkixEcdsaP384Sha384,
    },
    Curve {
        oid: ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        algorithm: &ECDSA_P521_SHA512_ASN1_SIGNING,
        details: PublicKeyDetails::PkixEcdsaP521Sha512,
    },
];

/// What signs a log's checkpoints: its key under its origin.
#[derive(Debug)]
pub struct LogSigner {
    key: SigningKey,
    verifier: note::Verifier,
}

impl LogSigner {
    /// A key under an origin. Refused is a name that cannot be an origin.
    pub fn new(origin: &str, key: SigningKey) -> Result<Self, VkeyError> {
        note::valid_origin(origin)?;
        let verifier = note::Verifier::from_spki(origin, key.spki())?;
        Ok(Self { key, verifier })
    }

    /// What verifies its signatures.
    pub fn verifier(&self) -> &note::Verifier {
        &self.verifier
    }

    /// The key.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

impl note::Signer for LogSigner {
    fn name(&self) -> &str {
        self.verifier.name()
    }

    fn key_id(&self) -> [u8; 4] {
        self.verifier.key_id()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(text)
    }
}

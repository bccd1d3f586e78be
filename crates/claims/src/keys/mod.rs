//! Public keys as clients send them: what they are called, in what they come, and what they verify (reference
//! rekor-v2 §1.3, §1.4.1).

mod algorithm;
mod certificate;
mod details;
mod key;
pub(crate) mod spki;
pub(crate) mod verify;

pub use algorithm::{Algorithm, AlgorithmSet, UnknownAlgorithm};
pub use details::{HashAlgorithm, PublicKeyDetails};
pub use key::{Key, KeyError};

/// In what a public key comes. The bytes are stored as they were sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Material {
    /// DER `SubjectPublicKeyInfo`.
    PublicKey(Vec<u8>),
    /// One DER X.509 certificate: a container of the key, nothing else in it is judged.
    Certificate(Vec<u8>),
}

impl Material {
    /// The bytes as sent.
    pub fn raw_bytes(&self) -> &[u8] {
        match self {
            Self::PublicKey(raw) | Self::Certificate(raw) => raw,
        }
    }

    /// The key in it.
    pub fn key(&self) -> Result<Key, KeyError> {
        match self {
            Self::PublicKey(raw) => Key::from_spki(raw),
            Self::Certificate(raw) => Key::from_certificate(raw),
        }
    }
}

/// A key and what its sender says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verifier {
    /// The key.
    pub material: Material,
    /// Number of its [`PublicKeyDetails`]; an unknown one is refused by name of the field.
    pub key_details: i32,
}

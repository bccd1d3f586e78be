//! The kinds of private key that can be made here, and how they are made. Randomness is the signature library's own.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};

use super::{CURVES, Curve, KeyFileError, SigningKey};

/// A kind of private key.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum KeyKind {
    /// ECDSA on P-256: what every client of Sigstore can verify.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
    /// RSA with a modulus of 4096 bits.
    Rsa4096,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::P256, Self::P384, Self::P521, Self::Ed25519, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// What people call it in an option.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-p256",
            Self::P384 => "ecdsa-p384",
            Self::P521 => "ecdsa-p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flag())
    }
}

/// A flag value that names no [`KeyKind`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown kind of key {name:?}, known are {}", KeyKind::ALL.map(KeyKind::flag).join(", "))]
pub struct UnknownKeyKind {
    /// The value.
    pub name: String,
}

impl FromStr for KeyKind {
    type Err = UnknownKeyKind;

    fn from_str(name: &str) -> Result<Self, UnknownKeyKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.flag() == name);
        known.ok_or_else(|| UnknownKeyKind { name: name.to_owned() })
    }
}

impl SigningKey {
    /// Makes a new key. RSA keys of 4096 bits take some seconds.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyFileError> {
        let [p256, p384, p521] = &CURVES;
        let ecdsa = |curve: &Curve| {
            Self::ecdsa(EcdsaKeyPair::generate(curve.algorithm).map_err(|_| failed())?, curve)
        };
        let rsa = |size| Self::rsa(rsa::KeyPair::generate(size).map_err(|_| failed())?);
        match kind {
            KeyKind::P256 => ecdsa(p256),
            KeyKind::P384 => ecdsa(p384),
            KeyKind::P521 => ecdsa(p521),
            KeyKind::Ed25519 => Self::ed25519(Ed25519KeyPair::generate().map_err(|_| failed())?),
            KeyKind::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyKind::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
        }
    }
}

fn failed() -> KeyFileError {
    KeyFileError::Key { problem: "the signature library made no key".to_owned() }
}

//! Which keys may sign with which hash function in a hashedrekord: the operator's list.

use std::fmt;
use std::str::FromStr;

use crate::keys::HashAlgorithm;
use crate::pki::x509::KeyType;

/// What a name in the list stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pair {
    /// A type of key, of RSA its size in bytes, and the hash function of the digests it signs.
    Signs(KeyType, HashAlgorithm),
    /// A way to sign that takes the message itself, which no hashedrekord has.
    Nothing,
}

/// Every name, those of the default list first.
const NAMES: [(&str, Pair); 13] = {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    use KeyType::{Ed25519, P256, P384, P521, Rsa};
    use Pair::{Nothing, Signs};
    [
        ("ecdsa-sha2-256-nistp256", Signs(P256, Sha256)),
        ("ecdsa-sha2-384-nistp384", Signs(P384, Sha384)),
        ("ecdsa-sha2-512-nistp521", Signs(P521, Sha512)),
        ("ed25519", Nothing),
        ("ed25519-ph", Signs(Ed25519, Sha512)),
        ("rsa-sign-pkcs1-2048-sha256", Signs(Rsa(2048), Sha256)),
        ("rsa-sign-pkcs1-3072-sha256", Signs(Rsa(3072), Sha256)),
        ("rsa-sign-pkcs1-4096-sha256", Signs(Rsa(4096), Sha256)),
        // A list says which keys are welcome, not how they pad; the signature itself must be PKCS#1 v1.5 all the same.
        ("rsa-sign-pss-2048-sha256", Signs(Rsa(2048), Sha256)),
        ("rsa-sign-pss-3072-sha256", Signs(Rsa(3072), Sha256)),
        ("rsa-sign-pss-4096-sha256", Signs(Rsa(4096), Sha256)),
        ("ecdsa-sha2-256-nistp384", Signs(P384, Sha256)),
        ("ecdsa-sha2-256-nistp521", Signs(P521, Sha256)),
    ]
};

/// How many of the names are in the default list.
const DEFAULT: usize = 8;

/// Pairs of a key and a hash function that a log accepts in hashedrekord entries. The default is that of the reference
/// server: each key with one hash function, so P-384 with SHA-256 must be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlgorithmPolicy(u16);

impl AlgorithmPolicy {
    /// From names such as `ecdsa-sha2-256-nistp256`.
    pub fn from_flags<'a>(flags: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownPair> {
        flags.into_iter().try_fold(Self(0), |policy, flag| Ok(Self(policy.0 | flag.parse::<Self>()?.0)))
    }

    /// Whether it is in the list.
    pub(super) fn allows(self, key: KeyType, hash: HashAlgorithm) -> bool {
        // Moduli of up to seven bits less are as many bytes, and of the same name.
        let key = match key {
            KeyType::Rsa(bits) => KeyType::Rsa(bits.div_ceil(8) * 8),
            other => other,
        };
        self.iter().any(|(_, pair)| *pair == Pair::Signs(key, hash))
    }

    fn iter(self) -> impl Iterator<Item = &'static (&'static str, Pair)> {
        NAMES.iter().enumerate().filter(move |(at, _)| self.0 & 1 << at != 0).map(|(_, name)| name)
    }
}

impl Default for AlgorithmPolicy {
    fn default() -> Self {
        Self((1 << DEFAULT) - 1)
    }
}

impl FromStr for AlgorithmPolicy {
    type Err = UnknownPair;

    /// The list of that one name.
    fn from_str(name: &str) -> Result<Self, UnknownPair> {
        let at = NAMES.iter().position(|(known, _)| *known == name);
        at.map(|at| Self(1 << at)).ok_or_else(|| UnknownPair { name: name.to_owned() })
    }
}

impl fmt::Display for AlgorithmPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, _)) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

/// A name that stands for no pair of key and hash function.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown algorithm {name:?}, known are {}", AlgorithmPolicy((1 << NAMES.len()) - 1))]
pub struct UnknownPair {
    /// The name.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_is_that_of_the_reference_server() {
        let default = AlgorithmPolicy::default();
        assert_eq!(
            default.to_string(),
            "ecdsa-sha2-256-nistp256, ecdsa-sha2-384-nistp384, ecdsa-sha2-512-nistp521, ed25519, ed25519-ph, \
             rsa-sign-pkcs1-2048-sha256, rsa-sign-pkcs1-3072-sha256, rsa-sign-pkcs1-4096-sha256"
        );
        let mut allowed = Vec::new();
        for key in [
            KeyType::P256,
            KeyType::P384,
            KeyType::P521,
            KeyType::Ed25519,
            KeyType::Rsa(1024),
            KeyType::Rsa(2040),
            KeyType::Rsa(2041),
            KeyType::Rsa(2048),
            KeyType::Rsa(2560),
            KeyType::Rsa(4096),
        ] {
            for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
                if default.allows(key, hash) {
                    allowed.push(format!("{key} {hash}"));
                }
            }
        }
        assert_eq!(
            allowed,
            [
                "ECDSA P-256 SHA2_256",
                "ECDSA P-384 SHA2_384",
                "ECDSA P-521 SHA2_512",
                "Ed25519 SHA2_512",
                "RSA 2041 SHA2_256",
                "RSA 2048 SHA2_256",
                "RSA 4096 SHA2_256"
            ]
        );
    }

    #[test]
    fn a_list_is_what_its_names_say() {
        let policy =
            AlgorithmPolicy::from_flags(["ecdsa-sha2-256-nistp384", "ed25519"]).expect("known names");
        assert!(policy.allows(KeyType::P384, HashAlgorithm::Sha256));
        assert!(!policy.allows(KeyType::P384, HashAlgorithm::Sha384));
        assert!(!policy.allows(KeyType::Ed25519, HashAlgorithm::Sha512));
        let policy = AlgorithmPolicy::from_flags(["rsa-sign-pss-2048-sha256"]).expect("a known name");
        assert!(policy.allows(KeyType::Rsa(2048), HashAlgorithm::Sha256));
        for (name, _) in NAMES {
            assert_eq!(AlgorithmPolicy::from_flags([name]).expect("a known name").to_string(), name);
        }
        assert_eq!(
            AlgorithmPolicy::from_flags(["ed25519", "ed448"]).expect_err("no such name").to_string(),
            "unknown algorithm \"ed448\", known are ecdsa-sha2-256-nistp256, ecdsa-sha2-384-nistp384, \
             ecdsa-sha2-512-nistp521, ed25519, ed25519-ph, rsa-sign-pkcs1-2048-sha256, rsa-sign-pkcs1-3072-sha256, \
             rsa-sign-pkcs1-4096-sha256, rsa-sign-pss-2048-sha256, rsa-sign-pss-3072-sha256, \
             rsa-sign-pss-4096-sha256, ecdsa-sha2-256-nistp384, ecdsa-sha2-256-nistp521"
        );
    }
}

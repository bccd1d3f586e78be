//! The seven algorithms whose signatures a log can check from a digest, and the subset that one log accepts (reference
//! rekor-v2 §1.3).

use std::fmt;
use std::str::FromStr;

use super::{HashAlgorithm, PublicKeyDetails};

/// A type and size of key with the one hash function it is accepted with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// ECDSA on P-256 over SHA-256.
    EcdsaP256,
    /// ECDSA on P-384 over SHA-384.
    EcdsaP384,
    /// ECDSA on P-521 over SHA-512.
    EcdsaP521,
    /// RSA PKCS#1 v1.5 with a modulus of 256 bytes over SHA-256.
    Rsa2048,
    /// RSA PKCS#1 v1.5 with a modulus of 384 bytes over SHA-256.
    Rsa3072,
    /// RSA PKCS#1 v1.5 with a modulus of 512 bytes over SHA-256.
    Rsa4096,
    /// Ed25519ph (RFC 8032 §5.1, empty context) over SHA-512.
    Ed25519Ph,
}

impl Algorithm {
    /// All of them: the default list of a log.
    pub const ALL: [Self; 7] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Ed25519Ph,
    ];

    /// The label that fits.
    pub const fn details(self) -> PublicKeyDetails {
        match self {
            Self::EcdsaP256 => PublicKeyDetails::PkixEcdsaP256Sha256,
            Self::EcdsaP384 => PublicKeyDetails::PkixEcdsaP384Sha384,
            Self::EcdsaP521 => PublicKeyDetails::PkixEcdsaP521Sha512,
            Self::Rsa2048 => PublicKeyDetails::PkixRsaPkcs1v15Of2048Sha256,
            Self::Rsa3072 => PublicKeyDetails::PkixRsaPkcs1v15Of3072Sha256,
            Self::Rsa4096 => PublicKeyDetails::PkixRsaPkcs1v15Of4096Sha256,
            Self::Ed25519Ph => PublicKeyDetails::PkixEd25519Ph,
        }
    }

    /// The hash function of the digests it signs.
    pub const fn hash(self) -> HashAlgorithm {
        match self {
            Self::EcdsaP384 => HashAlgorithm::Sha384,
            Self::EcdsaP521 | Self::Ed25519Ph => HashAlgorithm::Sha512,
            Self::EcdsaP256 | Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => HashAlgorithm::Sha256,
        }
    }

    /// What operators call it in a flag or a configuration file.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-sha2-256-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-384-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-512-nistp521",
            Self::Rsa2048 => "rsa-sign-pkcs1-2048-sha256",
            Self::Rsa3072 => "rsa-sign-pkcs1-3072-sha256",
            Self::Rsa4096 => "rsa-sign-pkcs1-4096-sha256",
            Self::Ed25519Ph => "ed25519-ph",
        }
    }

    /// What people call its keys.
    pub const fn key_name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::EcdsaP521 => "ECDSA P-521",
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
            Self::Rsa4096 => "RSA 4096",
            Self::Ed25519Ph => "Ed25519",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flag())
    }
}

/// A flag value that names none of [`Algorithm::ALL`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown algorithm {name:?}, known are {}", AlgorithmSet::ALL)]
pub struct UnknownAlgorithm {
    /// The value.
    pub name: String,
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.flag() == name);
        known.ok_or_else(|| UnknownAlgorithm { name: name.to_owned() })
    }
}

/// Which algorithms a log accepts. The default is all that it can check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlgorithmSet(u8);

impl AlgorithmSet {
    /// All seven.
    pub const ALL: Self = Self(0x7f);

    /// Whether it is in the set.
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & 1 << algorithm as u8 != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in the set, in the order of [`Algorithm::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }

    /// From flag values such as `ecdsa-sha2-256-nistp256`.
    pub fn from_flags<'a>(flags: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownAlgorithm> {
        flags.into_iter().map(Algorithm::from_str).collect()
    }
}

impl Default for AlgorithmSet {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |set, algorithm| set | 1 << algorithm as u8))
    }
}

impl fmt::Display for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, algorithm) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{algorithm}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_implies_the_hash_of_its_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.details().hash(), Some(algorithm.hash()));
            assert_eq!(algorithm.flag().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn a_set_is_what_its_flags_say() {
        let set =
            AlgorithmSet::from_flags(["ed25519-ph", "ecdsa-sha2-256-nistp256"]).expect("both are known");
        assert_eq!(set.to_string(), "ecdsa-sha2-256-nistp256, ed25519-ph");
        assert!(set.contains(Algorithm::Ed25519Ph) && !set.contains(Algorithm::Rsa2048));
        assert!(AlgorithmSet::from_flags([]).expect("nothing is fine here").is_empty());
        assert_eq!(Algorithm::ALL.into_iter().collect::<AlgorithmSet>(), AlgorithmSet::default());
        assert_eq!(
            AlgorithmSet::from_flags(["ed25519"]).expect_err("pure Ed25519 is none").to_string(),
            "unknown algorithm \"ed25519\", known are ecdsa-sha2-256-nistp256, ecdsa-sha2-384-nistp384, \
             ecdsa-sha2-512-nistp521, rsa-sign-pkcs1-2048-sha256, rsa-sign-pkcs1-3072-sha256, \
             rsa-sign-pkcs1-4096-sha256, ed25519-ph"
        );
    }
}

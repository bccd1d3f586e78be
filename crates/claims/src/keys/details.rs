//! The labels of keys on the wire: `dev.sigstore.common.v1.PublicKeyDetails` and `HashAlgorithm` (reference rekor-v2 §1.3).

use std::fmt;

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};

/// A hash function that a label implies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// Its name on the wire, as `data.algorithm` of an entry has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA2_256",
            Self::Sha384 => "SHA2_384",
            Self::Sha512 => "SHA2_512",
        }
    }

    /// Its number on the wire.
    pub const fn number(self) -> i32 {
        match self {
            Self::Sha256 => 1,
            Self::Sha384 => 2,
            Self::Sha512 => 3,
        }
    }

    /// By its name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512].into_iter().find(|hash| hash.name() == name)
    }

    /// How many bytes its digests have.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The implementation.
    pub(crate) fn function(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! public_key_details {
    ($($variant:ident = $number:literal, $name:literal, $hash:expr;)*) => {
        /// The label of a key: its type, its size, how it signs. The names are those of the wire.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum PublicKeyDetails {
            $(#[doc = concat!("`", $name, "`")] $variant = $number,)*
        }

        impl PublicKeyDetails {
            /// Every label there is, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The label of that number.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The hash function it implies. `None` where the key signs the artifact itself or nothing here knows how.
            pub const fn hash(self) -> Option<HashAlgorithm> {
                match self {
                    $(Self::$variant => $hash,)*
                }
            }
        }
    };
}

use HashAlgorithm::{Sha256, Sha384, Sha512};

public_key_details! {
    Unspecified = 0, "PUBLIC_KEY_DETAILS_UNSPECIFIED", None;
    Pkcs1RsaPkcs1v5 = 1, "PKCS1_RSA_PKCS1V5", None;
    Pkcs1RsaPss = 2, "PKCS1_RSA_PSS", None;
    PkixRsaPkcs1v5 = 3, "PKIX_RSA_PKCS1V5", None;
    PkixRsaPss = 4, "PKIX_RSA_PSS", None;
    PkixEcdsaP256Sha256 = 5, "PKIX_ECDSA_P256_SHA_256", Some(Sha256);
    PkixEcdsaP256HmacSha256 = 6, "PKIX_ECDSA_P256_HMAC_SHA_256", None;
    PkixEd25519 = 7, "PKIX_ED25519", None;
    PkixEd25519Ph = 8, "PKIX_ED25519_PH", Some(Sha512);
    PkixRsaPkcs1v15Of2048Sha256 = 9, "PKIX_RSA_PKCS1V15_2048_SHA256", Some(Sha256);
    PkixRsaPkcs1v15Of3072Sha256 = 10, "PKIX_RSA_PKCS1V15_3072_SHA256", Some(Sha256);
    PkixRsaPkcs1v15Of4096Sha256 = 11, "PKIX_RSA_PKCS1V15_4096_SHA256", Some(Sha256);
    PkixEcdsaP384Sha384 = 12, "PKIX_ECDSA_P384_SHA_384", Some(Sha384);
    PkixEcdsaP521Sha512 = 13, "PKIX_ECDSA_P521_SHA_512", Some(Sha512);
    LmsSha256 = 14, "LMS_SHA256", None;
    LmotsSha256 = 15, "LMOTS_SHA256", None;
    PkixRsaPssOf2048Sha256 = 16, "PKIX_RSA_PSS_2048_SHA256", Some(Sha256);
    PkixRsaPssOf3072Sha256 = 17, "PKIX_RSA_PSS_3072_SHA256", Some(Sha256);
    PkixRsaPssOf4096Sha256 = 18, "PKIX_RSA_PSS_4096_SHA256", Some(Sha256);
    PkixEcdsaP384Sha256 = 19, "PKIX_ECDSA_P384_SHA_256", Some(Sha256);
    PkixEcdsaP521Sha256 = 20, "PKIX_ECDSA_P521_SHA_256", Some(Sha256);
    MlDsa65 = 21, "ML_DSA_65", None;
    MlDsa87 = 22, "ML_DSA_87", None;
    MlDsa44 = 23, "ML_DSA_44", None;
}

impl PublicKeyDetails {
    /// Its number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// By its name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|details| details.name() == name)
    }
}

impl fmt::Display for PublicKeyDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_one_to_one() {
        assert_eq!(PublicKeyDetails::ALL.len(), 24);
        for (number, details) in (0..).zip(PublicKeyDetails::ALL) {
            assert_eq!(details.number(), number);
            assert_eq!(PublicKeyDetails::from_number(number), Some(*details));
            assert_eq!(PublicKeyDetails::from_name(details.name()), Some(*details));
        }
        for number in [-1, 24, 50, i32::MAX, i32::MIN] {
            assert_eq!(PublicKeyDetails::from_number(number), None);
        }
        assert_eq!(PublicKeyDetails::from_name("PKIX_ECDSA_P256"), None);
    }

    #[test]
    fn digests_have_the_length_of_the_function() {
        for hash in [Sha256, Sha384, Sha512] {
            assert_eq!(hash.digest_len(), hash.function().output_len());
            assert_eq!(HashAlgorithm::from_name(hash.name()), Some(hash));
        }
        assert_eq!([Sha256, Sha384, Sha512].map(HashAlgorithm::number), [1, 2, 3]);
        assert_eq!(HashAlgorithm::from_name("SHA3_256"), None);
    }
}

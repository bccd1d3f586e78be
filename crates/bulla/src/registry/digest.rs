//! What content in a registry is named by: the hash of its bytes. <https://github.com/opencontainers/image-spec>, "Digests".

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest as hash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A digest in its one spelling: `sha256:` or `sha512:` and lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest {
    text: String,
    algorithm: Algorithm,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hash(self) -> &'static hash::Algorithm {
        match self {
            Self::Sha256 => &hash::SHA256,
            Self::Sha512 => &hash::SHA512,
        }
    }

    fn digits(self) -> usize {
        2 * self.hash().output_len()
    }
}

/// What is no digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DigestError {
    /// The name before the colon.
    #[error("digest algorithm {0:?} is not sha256 or sha512")]
    Algorithm(String),
    /// The number of digits.
    #[error("digest has {len} characters after {algorithm}:, {algorithm} needs {needs}")]
    Length {
        /// Of which hash.
        algorithm: &'static str,
        /// Bytes that were given.
        len: usize,
        /// Digits of that hash.
        needs: usize,
    },
    /// The digits.
    #[error("digest has {0:?}, lower-case hexadecimal digits were expected")]
    Digit(char),
    /// No colon.
    #[error("digest has no colon, sha256:HEX was expected")]
    NoColon,
}

impl Digest {
    /// The SHA-256 digest of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of some bytes with the hash that this one has.
    pub(crate) fn same_hash_of(&self, bytes: &[u8]) -> Self {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Hashes content that comes in parts, to be compared with this.
    pub(crate) fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm)
    }

    /// `sha256` or `sha512`.
    pub(crate) fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// The digits alone.
    pub(crate) fn hex(&self) -> &str {
        &self.text[self.algorithm().len() + 1..]
    }

    /// The tag under which registries without the referrers API list what refers to this digest (distribution-spec,
    /// "Referrers tag schema": at most 32 characters of the algorithm and 64 of the digits).
    pub(crate) fn referrers_tag(&self) -> String {
        format!("{}-{}", self.algorithm(), &self.hex()[..64])
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, digits) = text.split_once(':').ok_or(DigestError::NoColon)?;
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        let algorithm = algorithm.ok_or_else(|| DigestError::Algorithm(name.chars().take(32).collect()))?;
        if digits.len() != algorithm.digits() {
            let (len, needs) = (digits.len(), algorithm.digits());
            return Err(DigestError::Length { algorithm: algorithm.name(), len, needs });
        }
        match digits.chars().find(|digit| !matches!(digit, '0'..='9' | 'a'..='f')) {
            Some(wrong) => Err(DigestError::Digit(wrong)),
            None => Ok(Self { text: text.to_owned(), algorithm }),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A digest that is still growing.
pub(crate) struct Hasher {
    algorithm: Algorithm,
    context: hash::Context,
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, context: hash::Context::new(algorithm.hash()) }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of everything that was taken.
    pub(crate) fn finish(self) -> Digest {
        use fmt::Write as _;
        let mut text = format!("{}:", self.algorithm.name());
        for byte in self.context.finish().as_ref() {
            // Writing to a string cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
        }
        Digest { text, algorithm: self.algorithm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn digests_are_read_in_one_spelling() {
        let digest: Digest = EMPTY.parse().expect("a digest");
        assert_eq!((digest.algorithm(), digest.to_string()), ("sha256", EMPTY.to_owned()));
        assert_eq!(digest, Digest::of(b"{}"));
        assert_eq!(digest.same_hash_of(b"{}"), digest);
        assert_eq!(digest.referrers_tag(), EMPTY.replace(':', "-"));
        let long: Digest = format!("sha512:{}", "0a".repeat(64)).parse().expect("a digest");
        assert_eq!(long.referrers_tag(), format!("sha512-{}", "0a".repeat(32)));
        assert_ne!(long.same_hash_of(b""), long);
    }

    #[test]
    fn what_is_no_digest_is_refused_by_name() {
        for (text, problem) in [
            ("", "digest has no colon, sha256:HEX was expected"),
            ("md5:00", "digest algorithm \"md5\" is not sha256 or sha512"),
            ("SHA256:00", "digest algorithm \"SHA256\" is not sha256 or sha512"),
            ("sha256:00", "digest has 2 characters after sha256:, sha256 needs 64"),
            (
                &EMPTY.to_uppercase().replace("SHA", "sha"),
                "digest has 'F', lower-case hexadecimal digits were expected",
            ),
        ] {
            assert_eq!(text.parse::<Digest>().expect_err(text).to_string(), problem);
        }
    }
}

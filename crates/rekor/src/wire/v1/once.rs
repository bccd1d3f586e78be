//! `Entry-Once: sha256:<64 hexadecimal digits>; since=<virtual index>`: the condition under which an entry is to be added.
//! It is ours; the reference server does not know it.

use std::fmt;
use std::str::FromStr;

use bulla_tlog::Hash;
use http::HeaderName;

/// The header's name.
pub const ENTRY_ONCE: HeaderName = HeaderName::from_static("entry-once");

/// That no entry from an index on is found by a digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Once {
    /// SHA-256 of what the entry is about.
    pub digest: Hash,
    /// The first virtual index that counts.
    pub since: u64,
}

impl Once {
    /// The digest as the search knows it.
    pub fn term(&self) -> String {
        format!("sha256:{}", self.digest)
    }
}

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}; since={}", self.digest, self.since)
    }
}

/// What the header's value is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("sha256:<64 hexadecimal digits>; since=<virtual index> was expected")]
pub struct Malformed;

impl FromStr for Once {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let space = [' ', '\t'];
        let (digest, since) = text.split_once(';').ok_or(Malformed)?;
        let digest = digest.trim_end_matches(space).strip_prefix("sha256:").ok_or(Malformed)?;
        let digest = Hash::from_hex(digest).ok_or(Malformed)?;
        let since = since.trim_start_matches(space).strip_prefix("since=").ok_or(Malformed)?;
        let plain =
            since.bytes().all(|byte| byte.is_ascii_digit()) && (since == "0" || !since.starts_with('0'));
        let since = since.parse().ok().filter(|_| plain).ok_or(Malformed)?;
        Ok(Self { digest, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_a_digest_and_an_index() {
        let digest = Hash([0xab; 32]);
        let hex = "ab".repeat(32);
        for (text, since) in [
            (format!("sha256:{hex}; since=0"), 0),
            (format!("sha256:{hex};since=17"), 17),
            (format!("sha256:{hex} \t;\t since=18446744073709551615"), u64::MAX),
            (format!("sha256:{}; since=5", hex.to_uppercase()), 5),
        ] {
            let once: Once = text.parse().expect("is one");
            assert_eq!(once, Once { digest, since }, "{text}");
            assert_eq!(once.to_string(), format!("sha256:{hex}; since={since}"));
            assert_eq!(once.to_string().parse(), Ok(once));
            assert_eq!(once.term(), format!("sha256:{hex}"));
        }
    }

    #[test]
    fn all_else_is_refused() {
        let hex = "ab".repeat(32);
        for wrong in [
            String::new(),
            hex.clone(),
            format!("{hex}; since=0"),
            format!("sha256:{hex}"),
            format!("sha256:{hex};"),
            format!("sha256:{hex}; since="),
            format!("sha256:{hex}; since=-1"),
            format!("sha256:{hex}; since=+1"),
            format!("sha256:{hex}; since=01"),
            format!("sha256:{hex}; since=1 "),
            format!("sha256:{hex}; since=18446744073709551616"),
            format!("sha256:{hex}; since=0; since=0"),
            format!("sha256:{hex}; Since=0"),
            format!("sha256: {hex}; since=0"),
            format!("SHA256:{hex}; since=0"),
            format!("sha512:{hex}{hex}; since=0"),
            format!("sha256:{}; since=0", &hex[1..]),
            format!("sha256:{}; since=0", "g".repeat(64)),
            format!("sha256:{hex}; since=0, sha256:{hex}; since=0"),
        ] {
            assert_eq!(wrong.parse::<Once>(), Err(Malformed), "{wrong}");
        }
        assert_eq!(
            Malformed.to_string(),
            "sha256:<64 hexadecimal digits>; since=<virtual index> was expected"
        );
    }
}

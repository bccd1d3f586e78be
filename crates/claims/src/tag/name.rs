//! The one canonical name of a tag, and which tags move by design.

use std::fmt;

use bulla_tlog::{Hash, sha256};

use crate::identity::{Pattern, PatternError};

/// The longest name: registry, repository and tag, in bytes.
const LONGEST: usize = 512;
/// The most patterns of tags that move.
const MOST: usize = 256;

/// A tag as everybody names it alike: `docker.io/library/alpine:3.20`. Whoever makes one has brought the registry and the
/// repository into their one spelling; what is checked here is that it has these parts and can stand in a header.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TagName(String);

impl TagName {
    /// Reads `REGISTRY/REPOSITORY:TAG`, at most 512 bytes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            format!(
                "{shown:?} was found, REGISTRY/REPOSITORY:TAG of at most {LONGEST} printable characters was expected"
            )
        };
        let parts = text.rsplit_once(':').and_then(|(repository, tag)| {
            let (registry, path) = repository.split_once('/')?;
            Some([registry, path, tag])
        });
        let parts = parts.ok_or_else(wrong)?;
        let has_all = parts.iter().all(|part| !part.is_empty()) && !parts[2].contains('/');
        let printable =
            text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'@'));
        if text.len() > LONGEST || !has_all || !printable {
            return Err(wrong());
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes after the last colon.
    pub fn tag(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(_, tag)| tag)
    }

    /// What comes before it.
    pub fn repository(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(repository, _)| repository)
    }

    /// What a log finds everything about the tag by: SHA-256 of the name.
    pub fn digest(&self) -> Hash {
        sha256(self.0.as_bytes())
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a tag is made of a digest, as the tags of signatures, attestations and lists of referrers are: those move whenever one
/// is added.
pub fn is_made_of_digest(tag: &str) -> bool {
    let stem = [".sig", ".att", ".sbom"].iter().find_map(|suffix| tag.strip_suffix(suffix)).unwrap_or(tag);
    let hex = |text: &str, len| {
        text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    // A registry without referrers cuts longer digests down to 64 digits.
    stem.strip_prefix("sha256-").is_some_and(|rest| hex(rest, 64))
        || stem.strip_prefix("sha512-").is_some_and(|rest| hex(rest, 64) || hex(rest, 128))
}

/// Which tags move by design: those made of digests, and those with a name that somebody chose.
#[derive(Clone, Debug)]
pub struct Moving(Vec<Pattern>);

impl Moving {
    /// What moves where nobody says otherwise: `latest`, `edge`, `nightly` and `*-nightly`.
    pub const DEFAULT: [&'static str; 4] = ["latest", "edge", "nightly", "*-nightly"];

    /// These patterns of tags, without their repositories: `*` is any text, `?` one character. At most 256.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        patterns.into_iter().take(MOST + 1).map(Pattern::glob).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are more patterns than are looked at.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > MOST
    }

    /// Whether that tag moves by design.
    pub fn has(&self, tag: &str) -> bool {
        is_made_of_digest(tag) || self.0.iter().any(|pattern| pattern.matches(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_three_parts() {
        let name = TagName::parse("docker.io/library/alpine:3.20").expect("a name");
        assert_eq!((name.repository(), name.tag()), ("docker.io/library/alpine", "3.20"));
        let with_port = TagName::parse("localhost:5000/app:1").expect("a name");
        assert_eq!((with_port.repository(), with_port.tag()), ("localhost:5000/app", "1"));
        // The reference's own vector is of the name that it gave Docker Hub.
        let vector = TagName::parse("index.docker.io/library/alpine:3.16.0").expect("a name");
        assert_eq!(
            vector.digest().to_string(),
            "580eec9ca7a233bc4e7cd5c9afce8756f313feb5e222b3da93f00d1687a8275b"
        );
        let long = format!("r/{}:1", "a".repeat(LONGEST));
        for wrong in
            ["", ":", "a:1", "/a:1", "a/:1", "a/b:", "a/b", "host:5/a", "a/b:1\n", "a/ b:1", "a/b@c:1", &long]
        {
            let problem = TagName::parse(wrong).expect_err(wrong);
            assert!(problem.ends_with("printable characters was expected"), "{problem}");
        }
    }

    #[test]
    fn tags_of_signatures_move() {
        let hex = "ab".repeat(32);
        for tag in ["", ".sig", ".att", ".sbom"] {
            assert!(is_made_of_digest(&format!("sha256-{hex}{tag}")), "{tag}");
        }
        assert!(
            is_made_of_digest(&format!("sha512-{hex}"))
                && is_made_of_digest(&format!("sha512-{hex}{hex}.sig"))
        );
        for tag in [
            "latest",
            "sha256-",
            &format!("sha256-{}", &hex[1..]),
            &format!("sha256-{hex}.exe"),
            &format!("sha256-{}", hex.to_uppercase()),
        ] {
            assert!(!is_made_of_digest(tag), "{tag}");
        }
    }

    #[test]
    fn moving_names_are_patterns_of_whole_tags() {
        let moving = Moving::new(Moving::DEFAULT).expect("patterns");
        for tag in ["latest", "edge", "nightly", "v2-nightly"] {
            assert!(moving.has(tag), "{tag}");
        }
        for tag in ["latest-1", "3.20", "nightly2", "Latest"] {
            assert!(!moving.has(tag), "{tag}");
        }
        assert!(Moving::new(std::iter::repeat_n("a", MOST + 5)).expect("patterns").is_too_long());
    }
}

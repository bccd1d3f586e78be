//! Whose entries are taken: allow-lists of keys, identities and issuers, held against what an admitted entry says of its
//! signers. A certificate is taken at its word, as the log takes it: who issued it is for those who verify the entry.

use std::str::FromStr;

use bulla_claims::traces::{self, KeyCache, KeyTraces};

/// Allow-lists; with nothing in them, everybody's entries are taken.
#[derive(Default)]
pub struct Signers {
    /// Keys, whoever holds them.
    pub keys: Vec<Fingerprint>,
    /// Names in certificates, PGP and SSH keys.
    pub identities: Vec<Pattern>,
    /// Who must have vouched for an identity; without patterns beside them, for any.
    pub issuers: Vec<Issuer>,
}

/// The SHA-256 of a public key as PEM text or as DER `SubjectPublicKeyInfo`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint(String);

/// An identity, or a pattern of some: `*` stands for any characters. Large and small letters are the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    parts: Vec<String>,
}

/// The URL of an OIDC issuer. Large and small letters are the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issuer(String);

const LONGEST: usize = 2_048;

impl Signers {
    /// Takes the entries of a key too, if not everybody's are taken.
    pub fn also(&mut self, spki: &[u8]) {
        if !(self.keys.is_empty() && self.identities.is_empty() && self.issuers.is_empty()) {
            self.keys.push(Fingerprint::of_spki(spki));
        }
    }
}

impl Fingerprint {
    /// That of a key, DER `SubjectPublicKeyInfo`.
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(bulla_tlog::sha256(spki).to_string())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("the SHA-256 of a key in PEM or DER was expected, 64 hexadecimal digits".to_owned());
        }
        Ok(Self(hex))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !(1..=LONGEST).contains(&text.len()) {
            return Err(format!(
                "an identity was expected, such as *@example.org, of at most {LONGEST} bytes"
            ));
        }
        Ok(Self { parts: text.to_lowercase().split('*').map(str::to_owned).collect() })
    }
}

impl FromStr for Issuer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains("://") || text.len() > LONGEST {
            return Err("the URL of an issuer was expected, such as https://accounts.example.org".to_owned());
        }
        Ok(Self(text.to_lowercase()))
    }
}

impl Pattern {
    /// Whether an identity in small letters is one of these.
    fn fits(&self, identity: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.iter().any(|part| part == identity);
        };
        let Some(mut rest) = identity.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            // The leftmost place leaves most to the parts behind it.
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

impl Signers {
    fn is_everybody(&self) -> bool {
        self.keys.is_empty() && self.identities.is_empty() && self.issuers.is_empty()
    }

    /// Refuses an entry that none of these signed, and says who did.
    pub(super) fn judge(&self, body: &[u8]) -> Result<(), String> {
        if self.is_everybody() {
            return Ok(());
        }
        let said = traces::traces(body, &mut KeyCache::new())
            .map_err(|error| format!("the signers of the entry cannot be told: {error}"))?;
        if said.keys.iter().any(|key| self.include(key)) {
            return Ok(());
        }
        let named: Vec<String> = said.keys.iter().take(NAMED).map(|key| described(key)).collect();
        let more = if said.keys.len() > NAMED { " and others" } else { "" };
        let who = if named.is_empty() { "nobody".to_owned() } else { named.join(", ") + more };
        Err(format!("entry is signed by {who}, this log takes entries of {} only", self.described()))
    }

    fn include(&self, key: &KeyTraces) -> bool {
        let by_key = self.keys.iter().any(|Fingerprint(listed)| key.fingerprints.contains(listed));
        let vouched = || {
            let issuer = key.issuer.as_ref();
            self.issuers.is_empty() || self.issuers.iter().any(|Issuer(listed)| issuer == Some(listed))
        };
        let by_name = || {
            let fits = |identity: &String| self.identities.iter().any(|pattern| pattern.fits(identity));
            match (self.identities.is_empty(), self.issuers.is_empty()) {
                (true, true) => false,
                (true, false) => vouched(),
                (false, _) => key.identities.iter().any(fits) && vouched(),
            }
        };
        by_key || by_name()
    }

    /// What is allowed, without a name from the lists.
    fn described(&self) -> &'static str {
        match (self.keys.is_empty(), self.identities.is_empty(), self.issuers.is_empty()) {
            (_, true, true) => "certain keys",
            (true, false, true) => "certain identities",
            (true, false, false) => "certain identities from certain issuers",
            (true, true, false) => "identities from certain issuers",
            (false, false, true) => "certain keys and identities",
            (false, _, false) => "certain keys, and of identities from certain issuers",
        }
    }
}

/// How many signers and names of each a message has.
const NAMED: usize = 3;
/// How much of a name a message has.
const SHOWN: usize = 128;

fn described(key: &KeyTraces) -> String {
    // The last is the one of the DER form, where there is one.
    let print = key.fingerprints.last().map_or("a key", String::as_str);
    let shown =
        |text: &str| text.chars().filter(|character| !character.is_control()).take(SHOWN).collect::<String>();
    let mut names: Vec<String> = key.identities.iter().take(NAMED).map(|name| shown(name)).collect();
    names.extend(key.issuer.as_ref().map(|issuer| format!("issuer {}", shown(issuer))));
    if names.is_empty() { print.to_owned() } else { format!("{print} ({})", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, identity: &str) -> bool {
        pattern.parse::<Pattern>().expect("a pattern").fits(identity)
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, identity, expected) in [
            ("a@example.org", "a@example.org", true),
            ("A@Example.org", "a@example.org", true),
            ("a@example.org", "aa@example.org", false),
            ("*@example.org", "a@example.org", true),
            ("*@example.org", "a@example.org.evil.net", false),
            ("https://github.com/o/*", "https://github.com/o/r/.github/workflows/w.yml@refs/tags/v1", true),
            ("https://github.com/o/*", "https://github.com/other/r", false),
            ("*/w.yml@refs/tags/*", "https://github.com/o/r/.github/workflows/w.yml@refs/tags/v1", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("**", "anything", true),
        ] {
            assert_eq!(fits(pattern, identity), expected, "{pattern} {identity}");
        }
    }

    fn key(identities: &[&str], issuer: Option<&str>) -> KeyTraces {
        KeyTraces {
            fingerprints: ["11", "22"].map(|digits| digits.repeat(32)).to_vec(),
            identities: identities.iter().map(|name| (*name).to_owned()).collect(),
            issuer: issuer.map(str::to_owned),
        }
    }

    fn signers(keys: &[&str], identities: &[&str], issuers: &[&str]) -> Signers {
        Signers {
            keys: keys.iter().map(|text| text.parse().expect("a fingerprint")).collect(),
            identities: identities.iter().map(|text| text.parse().expect("a pattern")).collect(),
            issuers: issuers.iter().map(|text| text.parse().expect("an issuer")).collect(),
        }
    }

    #[test]
    fn one_list_is_enough_and_an_identity_needs_its_issuer() {
        let (pem, der, other) = ("11".repeat(32), format!("sha256:{}", "22".repeat(32)), "33".repeat(32));
        let (me, google) = ("me@example.org", "https://accounts.google.com");
        for (signers, signer, expected) in [
            (signers(&[&pem], &[], &[]), key(&[], None), true),
            (signers(&[&other, &der], &[], &[]), key(&[], None), true),
            (signers(&[&other], &[], &[]), key(&[me], None), false),
            (signers(&[&other], &[me], &[]), key(&[me], None), true),
            (signers(&[], &[me], &[]), key(&["x", me], None), true),
            (signers(&[], &[me], &[google]), key(&[me], None), false),
            (signers(&[], &[me], &[google]), key(&[me], Some(google)), true),
            (signers(&[], &[me], &[google]), key(&[me], Some("https://evil.example")), false),
            (signers(&[], &[], &[google]), key(&["x"], Some(google)), true),
            (signers(&[], &[], &[google]), key(&["x"], None), false),
            (signers(&[&pem], &[], &[google]), key(&[], None), true),
        ] {
            assert_eq!(signers.include(&signer), expected, "{signer:?}, {}", signers.described());
        }
    }

    #[test]
    fn who_signed_is_said_in_bounds() {
        let long = "x".repeat(10_000);
        let said = described(&key(&["a\u{7}b", &long, "c", "d"], Some("https://i.example")));
        assert!(said.starts_with(&"22".repeat(32)), "{said}");
        assert!(said.contains("(ab, ") && said.ends_with(", c, issuer https://i.example)"), "{said}");
        assert!(said.len() < 300, "{said}");
    }

    #[test]
    fn lists_are_refused_with_what_was_expected() {
        assert!("sha256:12".parse::<Fingerprint>().is_err());
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
        assert!("".parse::<Pattern>().is_err());
        assert!("accounts.google.com".parse::<Issuer>().is_err());
    }
}

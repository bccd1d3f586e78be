//! The issuers file: who is asked to vouch for identities, and what their tokens are about. TOML, a table `[[issuer]]` for
//! each; everything is checked when it is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bulla_web::Authorities;
use jiff::Timestamp;
use serde::Serialize;
use toml::{Table, Value};

use super::address::Address;
use super::error::{TokenError, quoted};
use super::identity::{Extensions, Identity};
use super::keys::KeySet;
use super::kind::{Kind, Settings};
use super::kinds;
use super::nearest::nearest;
use super::{claims, claims::Claims};

/// The issuers whose tokens are believed.
#[derive(Default, Debug)]
pub struct Issuers(Vec<Issuer>);

/// An issuer, or all that a wildcard covers.
#[derive(Debug)]
pub struct Issuer {
    pub(super) address: Address,
    audience: String,
    kind_name: &'static str,
    kind: Box<dyn Kind>,
    named_by: Option<String>,
    challenge_claim: Option<String>,
    pub(super) keys: KeySource,
}

/// Where the keys of an issuer are.
#[derive(Debug)]
pub(super) enum KeySource {
    /// At its URL, over TLS that these roots vouch for too.
    Discovery { ca_file: Option<PathBuf> },
    /// In a file.
    File(PathBuf),
    /// Here.
    Fixed(KeySet),
}

/// What is said about an issuer in public, in the members of `GET /api/v2/configuration`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Its URL, unless it is a wildcard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_url: Option<String>,
    /// The wildcard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard_issuer_url: Option<String>,
    /// Whom its tokens must be for.
    pub audience: String,
    /// The claim that is signed as proof of possession.
    pub challenge_claim: String,
    /// Its type.
    pub issuer_type: String,
    /// What the names of its subjects are within.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_domain: Option<String>,
    /// The trust domain of its subjects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe_trust_domain: Option<String>,
}

/// What is wrong with the issuers file: which entry, which key, and what was expected.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct IssuersError {
    place: String,
    problem: String,
}

impl Issuers {
    /// Reads the file, at most 1 MiB. Paths in it are from its own folder; what they name must be there and be right.
    pub fn read(path: &Path) -> Result<Self, IssuersError> {
        let wrong = |problem| IssuersError { place: path.display().to_string(), problem };
        let bytes = read_at_most(path, LARGEST).map_err(wrong)?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
        let mut issuers = Self::parse(&text).map_err(|error| wrong(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for issuer in &mut issuers.0 {
            let placed = |problem| wrong(format!("issuer {}: {problem}", issuer.address.text()));
            match &mut issuer.keys {
                KeySource::File(file) => {
                    *file = folder.join(&*file);
                    read_keys(file).map_err(|problem| placed(format!("jwks-file {problem}")))?;
                }
                KeySource::Discovery { ca_file: Some(file) } => {
                    *file = folder.join(&*file);
                    read_roots(file).map_err(|problem| placed(format!("ca-file {problem}")))?;
                }
                KeySource::Discovery { ca_file: None } | KeySource::Fixed(_) => {}
            }
        }
        Ok(issuers)
    }

    /// Reads the text of the file. The files that it names are not looked at.
    pub fn parse(text: &str) -> Result<Self, IssuersError> {
        let wrong = |problem: String| IssuersError { place: "issuers".to_owned(), problem };
        if text.len() as u64 > LARGEST {
            return Err(wrong(format!("are {} bytes, at most {LARGEST} are read", text.len())));
        }
        let mut file: Table = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let tables = match file.remove("issuer") {
            None => Vec::new(),
            Some(Value::Array(tables)) => tables,
            Some(_) => return Err(wrong("issuer is not a list: write [[issuer]]".to_owned())),
        };
        if let Some(key) = file.keys().next() {
            return Err(wrong(unknown(key, &["issuer"])));
        }
        if tables.len() > MOST {
            return Err(wrong(format!("are {}, at most {MOST} are read", tables.len())));
        }
        let mut issuers = Self::default();
        for (at, table) in tables.into_iter().enumerate() {
            let mut place = format!("issuer {}", at + 1);
            let Value::Table(table) = table else {
                return Err(IssuersError { place, problem: "is not a table: write [[issuer]]".to_owned() });
            };
            for key in ["url", "wildcard"] {
                if let Some(url) = table.get(key).and_then(Value::as_str) {
                    place = format!("{place} ({})", quoted(url));
                }
            }
            let added = Issuer::read(table).and_then(|issuer| issuers.add(issuer));
            added.map_err(|problem| IssuersError { place, problem })?;
        }
        Ok(issuers)
    }

    /// Adds an issuer. There cannot be two at one address.
    pub fn add(&mut self, issuer: Issuer) -> Result<(), String> {
        if self.0.iter().any(|other| other.address == issuer.address) {
            return Err(format!("there is another issuer {}", issuer.address.text()));
        }
        self.0.push(issuer);
        Ok(())
    }

    /// How many there are, a wildcard being one.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is said about them in public, in the order of the file.
    pub fn descriptions(&self) -> Vec<Description> {
        self.0.iter().map(Issuer::description).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter()
    }

    /// The place of the issuer whose tokens have this `iss`: its own entry before any wildcard.
    pub(super) fn find(&self, issuer: &str) -> Option<usize> {
        let covers = |entry: &Issuer| entry.address.covers(issuer);
        let exact = self.0.iter().position(|entry| !entry.address.is_wildcard() && covers(entry));
        exact.or_else(|| self.0.iter().position(covers))
    }

    pub(super) fn at(&self, place: usize) -> &Issuer {
        &self.0[place]
    }
}

impl Issuer {
    /// The issuer for tests and laptops, by the key set that it publishes.
    pub(crate) fn with_keys(url: &str, audience: &str, keys: &[u8]) -> Result<Self, String> {
        Ok(Self {
            address: Address::url(url)?,
            audience: audience.to_owned(),
            kind_name: "email",
            kind: Box::new(kinds::EmailOrUri),
            named_by: None,
            challenge_claim: None,
            keys: KeySource::Fixed(KeySet::read(keys)?),
        })
    }

    fn read(table: Table) -> Result<Self, String> {
        let mut settings = Settings::default();
        for (key, value) in table {
            let known = KEYS.iter().find(|known| **known == key);
            let Some(known) = known else { return Err(unknown(&key, KEYS)) };
            let wrong = |expected: &str| format!("{key} is {}, {expected} was expected", value.type_str());
            match (*known, &value) {
                ("skip-email-verified", value) => {
                    settings.skip_email_verified =
                        Some(value.as_bool().ok_or_else(|| wrong("true or false"))?);
                }
                ("extensions", value) => {
                    let table = value.as_table().ok_or_else(|| wrong("a table"))?;
                    let mut extensions = BTreeMap::new();
                    for (name, value) in table {
                        let text = value.as_str().ok_or_else(|| {
                            format!("extensions' {name:?} is {}, a string was expected", value.type_str())
                        })?;
                        extensions.insert(name.clone(), text.to_owned());
                    }
                    settings.extensions = Some(extensions);
                }
                (known, Value::String(text)) if !text.is_empty() => {
                    settings.texts.insert(known, text.clone());
                }
                (_, Value::String(_)) => return Err(format!("{key} is empty: set it or leave it out")),
                _ => return Err(wrong("a string")),
            }
        }
        Self::from_settings(settings)
    }

    fn from_settings(mut settings: Settings) -> Result<Self, String> {
        let mut take = |key| settings.texts.remove(key);
        let address = match (take("url"), take("wildcard")) {
            (Some(url), None) => Address::url(&url)?,
            (None, Some(wildcard)) => Address::wildcard(&wildcard)?,
            (None, None) => return Err("url is missing: set it, or wildcard".to_owned()),
            (Some(_), Some(_)) => return Err("has both url and wildcard: leave one out".to_owned()),
        };
        let audience = take("audience").unwrap_or_else(|| "sigstore".to_owned());
        let (named_by, challenge_claim) = (take("issuer-claim"), take("challenge-claim"));
        for (key, path) in [("issuer-claim", &named_by), ("challenge-claim", &challenge_claim)] {
            if path
                .as_ref()
                .is_some_and(|path| path.len() > LONGEST_PATH || path.contains(['$', '[', ']', '*']))
            {
                return Err(format!(
                    "{key} is no path of claims: write names with dots between them, such as \"federated_claims.connector_id\""
                ));
            }
        }
        let keys = match (take("jwks-file"), take("ca-file")) {
            (Some(file), None) => KeySource::File(file.into()),
            (None, file) => KeySource::Discovery { ca_file: file.map(Into::into) },
            (Some(_), Some(_)) => {
                return Err("has both jwks-file and ca-file: with its keys in a file an issuer is not asked"
                    .to_owned());
            }
        };
        let names = || kinds::LIST.iter().map(|(name, _)| *name);
        let wanted = take("type").ok_or_else(|| {
            format!("type is missing: set it to one of {}", names().collect::<Vec<_>>().join(", "))
        })?;
        let Some((kind_name, open)) = kinds::LIST.iter().find(|(name, _)| *name == wanted) else {
            let hint = nearest(&wanted, names());
            let hint = hint.map(|name| format!("did you mean {name:?}?"));
            let all = || format!("one of {} was expected", names().collect::<Vec<_>>().join(", "));
            return Err(format!("type is {}, {}", quoted(&wanted), hint.unwrap_or_else(all)));
        };
        let kind = open(&mut settings)?;
        let flags = [
            settings.skip_email_verified.map(|_| "skip-email-verified"),
            settings.extensions.map(|_| "extensions"),
        ];
        let left = settings.texts.keys().copied().chain(flags.into_iter().flatten()).next();
        if let Some(key) = left {
            return Err(format!("{key} means nothing for the type {kind_name:?}: leave it out"));
        }
        Ok(Self { address, audience, kind_name, kind, named_by, challenge_claim, keys })
    }

    fn description(&self) -> Description {
        let text = self.address.text().to_owned();
        let (issuer_url, wildcard_issuer_url) =
            if self.address.is_wildcard() { (None, Some(text)) } else { (Some(text), None) };
        Description {
            issuer_url,
            wildcard_issuer_url,
            audience: self.audience.clone(),
            challenge_claim: self.challenge_claim().to_owned(),
            issuer_type: self.kind_name.to_owned(),
            subject_domain: self.kind.subject_domain().map(ToOwned::to_owned),
            spiffe_trust_domain: self.kind.spiffe_trust_domain().map(ToOwned::to_owned),
        }
    }

    fn challenge_claim(&self) -> &str {
        self.challenge_claim.as_deref().unwrap_or(self.kind.challenge_claim())
    }

    /// Whether a token is for us and of now; if so, until when.
    pub(super) fn check(&self, claims: &Claims, now: Timestamp) -> Result<Timestamp, TokenError> {
        let named = match claims.at("aud") {
            Some(serde_json::Value::String(audience)) => *audience == self.audience,
            Some(serde_json::Value::Array(audiences)) => {
                audiences.iter().any(|audience| audience.as_str() == Some(&self.audience))
            }
            _ => false,
        };
        let refused = |claim: &str, problem: String| Err(TokenError::claim(claim, problem));
        if !named {
            let shown = match claims.at("aud") {
                Some(list @ serde_json::Value::Array(_)) => quoted(&list.to_string()),
                other => claims::kind(other),
            };
            let (issuer, expected) = (self.address.text(), &self.audience);
            return refused("aud", format!("is {shown}, issuer {issuer} expects {expected:?}"));
        }
        let now = now.as_second();
        let Some(expires) = claims.seconds("exp")? else {
            return refused("exp", "is missing, a token must expire".to_owned());
        };
        if expires <= now {
            return refused("exp", format!("is {expires}, {} s ago", now - expires));
        }
        for claim in ["nbf", "iat"] {
            if let Some(begins) = claims.seconds(claim)?
                && begins > now + LEEWAY_SECONDS
            {
                return refused(claim, format!("is {begins}, {} s in the future", begins - now));
            }
        }
        Timestamp::from_second(expires).or_else(|_| refused("exp", format!("is {expires}, which is no time")))
    }

    /// Whom a token is about that was found to be true.
    pub(super) fn identify(&self, issuer: &str, claims: &Claims) -> Result<Identity, TokenError> {
        let subject = claims.string("sub")?.to_owned();
        let issuer = match &self.named_by {
            None => issuer.to_owned(),
            Some(path) => claims.string(path)?.to_owned(),
        };
        let mut extensions = Extensions { issuer, subject, ..Extensions::default() };
        let name = self.kind.identify(claims, &mut extensions)?;
        let challenge = claims.text(self.challenge_claim())?;
        Ok(Identity { name, challenge, extensions })
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let hint = nearest(key, known.iter().copied());
    let hint = hint.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default();
    format!("unknown key {}{hint}", quoted(key))
}

/// The keys in a `jwks-file`.
pub(super) fn read_keys(path: &Path) -> Result<KeySet, String> {
    let named = |problem| format!("{}: {problem}", path.display());
    KeySet::read(&read_at_most(path, LARGEST_KEYS).map_err(named)?).map_err(named)
}

/// The certificates in a `ca-file`.
pub(super) fn read_roots(path: &Path) -> Result<Authorities, String> {
    let named = |problem| format!("{}: {problem}", path.display());
    Authorities::from_pem(&read_at_most(path, LARGEST).map_err(named)?).map_err(named)
}

fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(format!("is longer than {limit} bytes"));
    }
    Ok(bytes)
}

const KEYS: &[&str] = &[
    "url",
    "wildcard",
    "audience",
    "type",
    "subject-domain",
    "spiffe-trust-domain",
    "skip-email-verified",
    "issuer-claim",
    "challenge-claim",
    "jwks-file",
    "ca-file",
    "name",
    "name-kind",
    "extensions",
];
const LARGEST: u64 = 1 << 20;
const LARGEST_KEYS: u64 = 512 << 10;
const LONGEST_PATH: usize = 256;
const MOST: usize = 1000;
/// How far the clocks of issuers may be ahead of ours.
const LEEWAY_SECONDS: i64 = 60;

#[cfg(test)]
mod tests;

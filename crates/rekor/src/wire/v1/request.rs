//! Requests of the v1 door: JSON in, values out, and what is wrong with them in the words and numbers of the reference
//! server. Absent members may be `null`, since clients in Go and Java send that.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bulla_claims::entry::v1::Proposed;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::id::{IdError, Named, TreeId};

/// The most entries that can be asked for at once.
pub const MAX_QUERIES: usize = 10;
/// The most entries in a batch.
pub const MAX_BATCH: usize = 100;
/// What an entry may be named by.
const ID_PATTERN: &str = "^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$";
const HASH_PATTERN: &str = "^(sha512:)?[0-9a-fA-F]{128}$|^(sha384:)?[0-9a-fA-F]{96}$|^(sha256:)?[0-9a-fA-F]{64}$|^(sha1:)?[0-9a-fA-F]{40}$";
const VERSION_PATTERN: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$";

/// Why a request cannot be followed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, or not of the shape.
    #[error("parsing {name} body from \"\" failed, because {problem}")]
    Malformed {
        /// What was to be read.
        name: &'static str,
        /// What the parser says.
        problem: String,
    },
    /// A value breaks a rule of the API's description.
    #[error("{message}")]
    Invalid {
        /// The rule's number.
        code: u16,
        /// Which value, and the rule.
        message: String,
    },
    /// More queries than one request may have, in all.
    #[error("more than max allowed {MAX_QUERIES} entries in request")]
    TooMany,
    /// An ID whose tree no log can have.
    #[error("invalid entryID {0}")]
    Id(String),
}

/// A rule of the API's description, by the number that a broken one is answered with.
#[derive(Clone, Copy)]
enum Rule {
    Type = 601,
    Required = 602,
    TooLong = 603,
    TooShort = 604,
    Pattern = 605,
    Enum = 606,
    Minimum = 609,
    TooMany = 611,
    TooFew = 612,
}

fn broken(rule: Rule, message: String) -> RequestError {
    RequestError::Invalid { code: rule as u16, message }
}

/// The refusal of a request that lacks something.
pub fn required(name: &str, place: &str) -> RequestError {
    broken(Rule::Required, format!("{name} in {place} is required"))
}

fn parse<'a, T: Deserialize<'a>>(name: &'static str, bytes: &'a [u8]) -> Result<T, RequestError> {
    if bytes.trim_ascii().is_empty() {
        return Err(required(name, "body"));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| RequestError::Malformed { name, problem: error.to_string() })
}

/// A proposed entry whose parts are not judged yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

impl<'a> Document<'a> {
    /// Reads one.
    pub fn read(bytes: &'a [u8]) -> Result<Self, RequestError> {
        parse("proposedEntry", bytes)
    }

    /// What it says to be; empty if it does not say.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or_default()
    }

    /// Its parts, all of which must be there.
    pub fn proposed(&self) -> Result<Proposed<'_>, RequestError> {
        let api_version = self.api_version.as_deref().ok_or_else(|| required("apiVersion", "body"))?;
        if !is_version(api_version) {
            let message = format!("apiVersion in body should match '{VERSION_PATTERN}'");
            return Err(broken(Rule::Pattern, message));
        }
        let spec = self.spec.filter(|spec| spec.get() != "null").ok_or_else(|| required("spec", "body"))?;
        Ok(Proposed { kind: self.kind(), api_version, spec })
    }
}

/// Three numbers and, after `-` or `+`, what belongs to them (<https://semver.org>).
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    };
    let parts: Vec<_> = core.split('.').collect();
    let rest = &text[core.len()..];
    let suffix = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
    parts.len() == 3 && parts.into_iter().all(number) && rest.len() != 1 && rest.bytes().all(suffix)
}

/// `POST /api/v1/log/entries/retrieve`.
pub struct Retrieve<'a> {
    /// Entries by name.
    pub names: Vec<Named>,
    /// Virtual indexes.
    pub indexes: Vec<u64>,
    /// Entries that are looked for by what they say.
    pub entries: Vec<Document<'a>>,
}

impl<'a> Retrieve<'a> {
    /// Reads one.
    pub fn read(bytes: &'a [u8]) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            #[serde(rename = "entryUUIDs")]
            entry_uuids: Option<First<Option<String>, MAX_QUERIES>>,
            log_indexes: Option<First<Option<i64>, MAX_QUERIES>>,
            #[serde(borrow)]
            entries: Option<First<Option<Document<'a>>, MAX_QUERIES>>,
        }
        let body: Body<'_> = parse("entry", bytes)?;
        let uuids = at_most("entryUUIDs", body.entry_uuids)?;
        let indexes = at_most("logIndexes", body.log_indexes)?;
        let entries = at_most("entries", body.entries)?;
        let name = |(n, text): (usize, String)| name(&format!("entryUUIDs.{n} in body"), &text);
        let index = |(n, index): (usize, i64)| {
            u64::try_from(index).map_err(|_| minimum(&format!("logIndexes.{n} in body"), 0))
        };
        let read = Self {
            names: uuids.into_iter().enumerate().map(name).collect::<Result<_, _>>()?,
            indexes: indexes.into_iter().enumerate().map(index).collect::<Result<_, _>>()?,
            entries,
        };
        if read.names.len() + read.indexes.len() + read.entries.len() > MAX_QUERIES {
            return Err(RequestError::TooMany);
        }
        Ok(read)
    }
}

/// The first members of a list, and how many it has. The others are passed over: a list that is too long costs no memory.
struct First<T, const N: usize> {
    members: Vec<T>,
    len: usize,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for First<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Reading<T, N> {
            type Value = First<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T, N>, A::Error> {
                let mut first = First { members: Vec::new(), len: 0 };
                while first.len < N {
                    let Some(member) = list.next_element()? else { return Ok(first) };
                    first.members.push(member);
                    first.len += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    first.len += 1;
                }
                Ok(first)
            }
        }

        deserializer.deserialize_seq(Reading(PhantomData))
    }
}

fn at_most<T>(name: &str, list: Option<First<Option<T>, MAX_QUERIES>>) -> Result<Vec<T>, RequestError> {
    let Some(First { members: list, len }) = list else { return Ok(Vec::new()) };
    if len > MAX_QUERIES {
        let message = format!("{name} in body should have at most {MAX_QUERIES} items");
        return Err(broken(Rule::TooMany, message));
    }
    let member =
        |(n, member): (usize, Option<T>)| member.ok_or_else(|| required(&format!("{name}.{n}"), "body"));
    list.into_iter().enumerate().map(member).collect()
}

/// Reads the name of an entry; `at` is where it stands, such as `entryUUID in path`.
pub fn name(at: &str, text: &str) -> Result<Named, RequestError> {
    text.parse().map_err(|error| match error {
        IdError::Form => broken(Rule::Pattern, format!("{at} should match '{ID_PATTERN}'")),
        IdError::Tree => RequestError::Id(text.to_owned()),
    })
}

fn minimum(at: &str, least: u64) -> RequestError {
    broken(Rule::Minimum, format!("{at} should be greater than or equal to {least}"))
}

/// `POST /api/v1/index/retrieve`, all of it lower case.
#[derive(Debug)]
pub struct Lookup {
    /// What to look for; none finds nothing.
    pub terms: Vec<String>,
    /// A public key to look for: its format and itself.
    pub key: Option<(String, Vec<u8>)>,
    /// All of them must be found, not any.
    pub all: bool,
}

impl Lookup {
    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            email: Option<String>,
            subject: Option<String>,
            hash: Option<String>,
            public_key: Option<PublicKey>,
            operator: Option<String>,
        }
        #[derive(Deserialize)]
        struct PublicKey {
            format: Option<String>,
            content: Option<String>,
        }
        let body: Body = parse("query", bytes)?;
        let mut terms = Vec::new();
        if let Some(email) = body.email {
            if !is_email(&email) {
                return Err(broken(Rule::Type, format!("email in body must be of type email: {email:?}")));
            }
            terms.push(email.to_lowercase());
        }
        if let Some(subject) = body.subject {
            terms.push(checked_subject(&subject)?);
        }
        if let Some(hash) = body.hash {
            terms.push(digest_term("hash in body", &hash)?);
        }
        let key = match body.public_key {
            None => None,
            Some(PublicKey { format: None, .. }) => return Err(required("publicKey.format", "body")),
            Some(PublicKey { format: Some(format), content }) => {
                if !KEY_FORMATS.contains(&format.as_str()) {
                    let known = KEY_FORMATS.join(" ");
                    let message = format!("publicKey.format in body should be one of [{known}]");
                    return Err(broken(Rule::Enum, message));
                }
                let content = content.unwrap_or_default();
                let malformed = |_| {
                    broken(
                        Rule::Type,
                        "publicKey.content in body must be of type byte: not base64".to_owned(),
                    )
                };
                Some((format, base64(&content).map_err(malformed)?))
            }
        };
        let all = match body.operator.as_deref() {
            None | Some("or") => false,
            Some("and") => true,
            Some(_) => {
                let message = "operator in body should be one of [and or]".to_owned();
                return Err(broken(Rule::Enum, message));
            }
        };
        Ok(Self { terms, key, all })
    }
}

const KEY_FORMATS: [&str; 5] = ["pgp", "x509", "minisign", "ssh", "tuf"];

fn base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text)
}

/// Something before an `@` and a domain after it, as far as a look-up can care.
fn is_email(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    text.len() <= 512
        && text.chars().all(plain)
        && text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

fn checked_subject(subject: &str) -> Result<String, RequestError> {
    match subject.chars().count() {
        0 => Err(broken(Rule::TooShort, "subject in body should be at least 1 chars long".to_owned())),
        1..=512 => Ok(subject.to_lowercase()),
        _ => Err(broken(Rule::TooLong, "subject in body should be at most 512 chars long".to_owned())),
    }
}

/// A digest as the index has it, `algorithm:hex`; the algorithm may be left out, its length says it.
pub fn digest_term(at: &str, text: &str) -> Result<String, RequestError> {
    let lower = text.to_ascii_lowercase();
    let (algorithm, hex) =
        lower.split_once(':').map_or((None, lower.as_str()), |(name, hex)| (Some(name), hex));
    let implied = match hex.len() {
        40 => Some("sha1"),
        64 => Some("sha256"),
        96 => Some("sha384"),
        128 => Some("sha512"),
        _ => None,
    };
    let fits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    match implied.filter(|implied| fits && algorithm.is_none_or(|given| given == *implied)) {
        Some(algorithm) => Ok(format!("{algorithm}:{hex}")),
        None => Err(broken(Rule::Pattern, format!("{at} should match '{HASH_PATTERN}'"))),
    }
}

/// A whole number in the query, at least `least`; `None` when it is not there.
pub fn number(name: &str, text: Option<&str>, least: u64) -> Result<Option<u64>, RequestError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        broken(Rule::Type, format!("{name} in query must be of type int64: {shown:?}"))
    })?;
    let number = u64::try_from(number).ok().filter(|number| *number >= least);
    number.map(Some).ok_or_else(|| minimum(&format!("{name} in query"), least))
}

/// A whole number that must be in the query.
pub fn required_number(name: &str, text: Option<&str>, least: u64) -> Result<u64, RequestError> {
    number(name, text, least)?.ok_or_else(|| required(name, "query"))
}

/// The tree that a query names; empty or absent means the active one.
pub fn tree(text: Option<&str>) -> Result<Option<TreeId>, TreeError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "treeID in query should match '^[0-9]+$'".to_owned();
        return Err(TreeError::Form(broken(Rule::Pattern, message)));
    }
    text.parse().map(Some).map_err(|()| TreeError::Unknown(text.chars().take(80).collect()))
}

/// What is wrong with a tree ID.
#[derive(Debug)]
pub enum TreeError {
    /// Not digits.
    Form(RequestError),
    /// Digits that name no tree.
    Unknown(String),
}

/// `POST /api/v1/log/entries/batch`: `{"entries": […]}`.
pub fn batch(bytes: &[u8]) -> Result<Vec<&RawValue>, RequestError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        entries: Option<First<&'a RawValue, MAX_BATCH>>,
    }
    let body: Body<'_> = parse("batch", bytes)?;
    let entries = body.entries.ok_or_else(|| required("entries", "body"))?;
    match entries.len {
        0 => Err(broken(Rule::TooFew, "entries in body should have at least 1 items".to_owned())),
        1..=MAX_BATCH => Ok(entries.members),
        n => {
            let message = format!("entries in body should have at most {MAX_BATCH} items, it has {n}");
            Err(broken(Rule::TooMany, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T, RequestError>) -> String {
        match result {
            Ok(_) => "is accepted".to_owned(),
            Err(RequestError::Invalid { code, message }) => format!("{code} {message}"),
            Err(other) => format!("400 {other}"),
        }
    }

    #[test]
    fn each_broken_rule_has_its_number_and_words() {
        let retrieve = |text: &str| message(Retrieve::read(text.as_bytes()));
        let lookup = |text: &str| message(Lookup::read(text.as_bytes()));
        assert_eq!(retrieve(""), "602 entry in body is required");
        assert_eq!(
            retrieve(r#"{"logIndexes":[1,-1]}"#),
            "609 logIndexes.1 in body should be greater than or equal to 0"
        );
        assert_eq!(
            retrieve(r#"{"entryUUIDs":["x"]}"#),
            "605 entryUUIDs.0 in body should match '^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$'"
        );
        assert_eq!(
            retrieve(r#"{"logIndexes":[1,2,3,4,5,6,7,8,9,10,11]}"#),
            "611 logIndexes in body should have at most 10 items"
        );
        assert_eq!(
            retrieve(r#"{"logIndexes":[1,2,3,4,5,6],"entries":[{},{},{},{},{}]}"#),
            "400 more than max allowed 10 entries in request"
        );
        assert!(
            retrieve(r#"{"logIndexes":[1,]}"#)
                .starts_with("400 parsing entry body from \"\" failed, because")
        );
        for fine in ["{}", r#"{"entryUUIDs":null,"logIndexes":null,"entries":null}"#, r#"{"logIndexes":[]}"#]
        {
            assert_eq!(retrieve(fine), "is accepted");
        }
        assert_eq!(lookup(r#"{"email":"nobody"}"#), "601 email in body must be of type email: \"nobody\"");
        assert_eq!(lookup(r#"{"operator":"xor"}"#), "606 operator in body should be one of [and or]");
        assert_eq!(lookup(r#"{"publicKey":{}}"#), "602 publicKey.format in body is required");
        assert!(lookup(r#"{"hash":"sha256:00"}"#).starts_with("605 hash in body should match '"));
        let long = format!(r#"{{"subject":"{}"}}"#, "x".repeat(513));
        assert_eq!(lookup(&long), "603 subject in body should be at most 512 chars long");
        assert_eq!(lookup(r#"{"subject":""}"#), "604 subject in body should be at least 1 chars long");
        assert_eq!(
            message(number("logIndex", Some("abc"), 0)),
            "601 logIndex in query must be of type int64: \"abc\""
        );
        assert_eq!(message(required_number("lastSize", None, 1)), "602 lastSize in query is required");
        assert_eq!(
            message(number("logIndex", Some("-1"), 0)),
            "609 logIndex in query should be greater than or equal to 0"
        );
    }

    #[test]
    fn a_list_that_is_too_long_is_counted_and_not_kept() {
        let many = format!(r#"{{"entries":[{}{{}}]}}"#, "{},".repeat(100_000));
        assert_eq!(
            message(Retrieve::read(many.as_bytes())),
            "611 entries in body should have at most 10 items"
        );
        let said = message(batch(many.as_bytes()));
        assert_eq!(said, "611 entries in body should have at most 100 items, it has 100001");
        let first: First<u8, 2> = serde_json::from_str("[1,2,3,4]").expect("reads");
        assert_eq!((first.members, first.len), (vec![1, 2], 4));
    }

    #[test]
    fn a_digest_is_completed_by_its_length() {
        for (text, term) in
            [("AA".repeat(20), "sha1:"), ("bB".repeat(48), "sha384:"), ("0".repeat(128), "sha512:")]
        {
            assert_eq!(digest_term("hash", &text), Ok(format!("{term}{}", text.to_lowercase())));
        }
        let hex = "0".repeat(64);
        assert_eq!(digest_term("hash", &format!("SHA256:{hex}")), Ok(format!("sha256:{hex}")));
        for wrong in [format!("sha1:{hex}"), format!("md5:{hex}"), "g".repeat(64), String::new()] {
            assert!(digest_term("hash", &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_are_those_of_semver() {
        for fine in ["0.0.1", "1.20.300", "0.0.1-rc.1", "0.0.1+5"] {
            assert!(is_version(fine), "{fine}");
        }
        for wrong in ["", "1", "0.0", "0.0.01", "0.0.1-", "v0.0.1", "0.0.x", "0.0.1 "] {
            assert!(!is_version(wrong), "{wrong}");
        }
    }
}

//! Revocations: a statement that a key, an identity or an entry of a log is not to be believed from some time on. A log cannot
//! forget, so what is taken back is said beside what was said.
//!
//! The predicate, of type `urn:bulla:revocation:v1`:
//!
//! ```json
//! { "revoked": { "key": { "sha256": "…" } }, "from": "2026-01-31T12:00:00Z", "reason": "the laptop was stolen" }
//! ```
//!
//! In place of `key` (SHA-256 of the DER `SubjectPublicKeyInfo`) there may be `identity` (`issuer`, `subject`) or `entry`
//! (`logId`, `leafHash`, both in hex). The one subject of the statement has the same as a digest, by which a log finds it: of a
//! key its SHA-256, of an entry its leaf hash, of an identity the SHA-256 over issuer, line feed, subject.

use std::fmt;

use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::attestation::shape::At;
use crate::attestation::{REVOCATION, Statement, StatementType, Subject};
use crate::entry::Refusal;
use crate::identity::{Identity, LoggedAs, MAX_NAME, Signer};

/// The longest reason, in bytes.
const MAX_REASON: usize = 1024;

/// What is no longer to be believed, since when, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// What.
    pub revoked: Revoked,
    /// Since when: of what was signed before, nothing is said.
    pub from: Timestamp,
    /// Why, in a sentence for people: 1 to 1024 bytes without control characters.
    pub reason: String,
}

/// What can be revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Revoked {
    /// A key: the SHA-256 of its DER `SubjectPublicKeyInfo`.
    Key(Hash),
    /// Everything that somebody signs.
    Identity(Identity),
    /// One signature, wherever a copy of it is.
    Entry(LoggedAs),
}

impl Revoked {
    /// By what a log finds a statement about it: that digest of its subject.
    pub fn digest(&self) -> Hash {
        match self {
            Self::Key(key) => *key,
            Self::Identity(identity) => identity.digest(),
            Self::Entry(entry) => entry.leaf_hash,
        }
    }

    /// What a statement about it has as its subject.
    fn subject(&self) -> Subject {
        let name = match self {
            Self::Key(_) => "key",
            Self::Identity(_) => "identity",
            Self::Entry(_) => "entry",
        };
        Subject::sha256(Some(name), &self.digest().to_string())
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "the key of sha256 {key}"),
            Self::Identity(identity) => identity.fmt(f),
            Self::Entry(entry) => write!(f, "the entry of leaf hash {}", entry.leaf_hash),
        }
    }
}

impl Revocation {
    /// Whether it holds for what was signed at that time.
    pub fn holds_at(&self, time: Timestamp) -> bool {
        time >= self.from
    }

    /// Whether it is about a signature by that signer.
    pub fn concerns(&self, signer: &Signer<'_>) -> bool {
        match &self.revoked {
            Revoked::Key(key) => *key == sha256(signer.spki),
            Revoked::Identity(identity) => signer.identity == Some(identity),
            Revoked::Entry(entry) => signer.entry == Some(*entry),
        }
    }

    /// The statement that says it, to be signed.
    pub fn statement(&self) -> Result<Vec<u8>, Refusal> {
        let revoked = match &self.revoked {
            Revoked::Key(key) => json!({ "key": { "sha256": key.to_string() } }),
            Revoked::Identity(Identity { issuer, subject }) => {
                json!({ "identity": { "issuer": issuer, "subject": subject } })
            }
            Revoked::Entry(LoggedAs { log_id, leaf_hash }) => {
                json!({ "entry": { "logId": log_id.to_string(), "leafHash": leaf_hash.to_string() } })
            }
        };
        let predicate = json!({ "revoked": revoked, "from": self.from.to_string(), "reason": self.reason });
        Statement::write(StatementType::V1, &[self.revoked.subject()], REVOCATION, &predicate.to_string())
    }

    /// Reads a statement whose signature was verified. Its subject must be what its predicate revokes, for the search finds it by
    /// the one and it holds by the other.
    pub fn of(statement: &Statement) -> Result<Self, Refusal> {
        let found = Value::from(&*statement.predicate_type);
        At::new(&found, "payload.predicateType").one_of(&[REVOCATION])?;
        let revocation = Self::read(&At::root(&statement.predicate))?;
        let expected = revocation.revoked.subject();
        match statement.subjects.as_slice() {
            [subject] if subject.digest == expected.digest => Ok(revocation),
            _ => {
                let digest = expected.digest.into_values().next().unwrap_or_default();
                let problem = format!(
                    "is not what the predicate revokes, one subject with sha256 {digest} was expected"
                );
                Err(Refusal::new("payload.subject", problem))
            }
        }
    }

    /// Reads a predicate. A member that is not known is refused: it could say that less is revoked.
    pub(crate) fn read(predicate: &At<'_>) -> Result<Self, Refusal> {
        predicate.nothing_but(&["revoked", "from", "reason"])?;
        let at = predicate.member("revoked")?;
        let only = at.object()?.keys().next().filter(|_| at.object().is_ok_and(|members| members.len() == 1));
        let revoked = match only.map(String::as_str) {
            Some("key") => {
                let key = at.member("key")?;
                key.nothing_but(&["sha256"])?;
                Revoked::Key(hash(&key.member("sha256")?)?)
            }
            Some("identity") => {
                let identity = at.member("identity")?;
                identity.nothing_but(&["issuer", "subject"])?;
                let issuer = line(&identity.member("issuer")?, MAX_NAME)?;
                Revoked::Identity(Identity { issuer, subject: line(&identity.member("subject")?, MAX_NAME)? })
            }
            Some("entry") => {
                let entry = at.member("entry")?;
                entry.nothing_but(&["logId", "leafHash"])?;
                let leaf_hash = hash(&entry.member("leafHash")?)?;
                Revoked::Entry(LoggedAs { log_id: hash(&entry.member("logId")?)?, leaf_hash })
            }
            _ => return Err(at.refuse("an object with one of key, identity and entry")),
        };
        let from = predicate.member("from")?.time()?;
        Ok(Self { revoked, from, reason: line(&predicate.member("reason")?, MAX_REASON)? })
    }
}

fn hash(at: &At<'_>) -> Result<Hash, Refusal> {
    let found =
        at.value.as_str().and_then(|text| Hash::from_hex(text).filter(|hash| hash.to_string() == text));
    found.ok_or_else(|| at.refuse("64 digits of lower-case hexadecimal"))
}

fn line(at: &At<'_>, most: usize) -> Result<String, Refusal> {
    let text = at.text()?;
    if text.len() > most || text.chars().any(char::is_control) {
        return Err(at.refuse(&format!("text of at most {most} bytes without control characters")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::{PAYLOAD_TYPE, judge};

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn revocation(revoked: Revoked) -> Revocation {
        Revocation { revoked, from: time("2026-01-31T12:00:00Z"), reason: "the laptop was stolen".to_owned() }
    }

    fn alice() -> Identity {
        Identity { issuer: "https://issuer.example".to_owned(), subject: "alice@example.org".to_owned() }
    }

    fn entry() -> LoggedAs {
        LoggedAs { log_id: sha256(b"log"), leaf_hash: sha256(b"leaf") }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for revoked in [Revoked::Key(sha256(b"key")), Revoked::Identity(alice()), Revoked::Entry(entry())] {
            let revocation = revocation(revoked);
            let written = revocation.statement().expect("is written");
            let statement = Statement::parse(PAYLOAD_TYPE, &written).expect("is read");
            assert_eq!(Revocation::of(&statement), Ok(revocation));
        }
        let written = revocation(Revoked::Key(sha256(b"key"))).statement().expect("is written");
        let digest = sha256(b"key");
        assert_eq!(
            String::from_utf8(written).expect("text"),
            format!(
                r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"key","digest":{{"sha256":"{digest}"}}}}],"predicateType":"urn:bulla:revocation:v1","predicate":{{"from":"2026-01-31T12:00:00Z","reason":"the laptop was stolen","revoked":{{"key":{{"sha256":"{digest}"}}}}}}}}"#
            )
        );
    }

    #[test]
    fn it_holds_from_its_time_on() {
        let revocation = revocation(Revoked::Key(sha256(b"key")));
        assert!(!revocation.holds_at(time("2026-01-31T11:59:59.999Z")));
        assert!(revocation.holds_at(time("2026-01-31T12:00:00Z")));
        assert!(revocation.holds_at(time("2026-01-31T13:00:01+01:00")));
    }

    #[test]
    fn it_concerns_whom_it_names() {
        let (alice, bob) = (alice(), Identity { subject: "bob@example.org".to_owned(), ..alice() });
        let signer = |identity, entry| Signer { spki: b"key", identity, entry };
        let concerns = |revoked, signer| revocation(revoked).concerns(&signer);
        assert!(concerns(Revoked::Key(sha256(b"key")), signer(None, None)));
        assert!(!concerns(Revoked::Key(sha256(b"another")), signer(Some(&alice), Some(entry()))));
        assert!(concerns(Revoked::Identity(alice.clone()), signer(Some(&alice), None)));
        assert!(!concerns(Revoked::Identity(alice.clone()), signer(Some(&bob), None)));
        let other = Identity { issuer: "https://other.example".to_owned(), ..alice.clone() };
        assert!(!concerns(Revoked::Identity(alice.clone()), signer(Some(&other), None)));
        assert!(!concerns(Revoked::Identity(alice.clone()), signer(None, None)));
        assert!(concerns(Revoked::Entry(entry()), signer(None, Some(entry()))));
        let copy = LoggedAs { log_id: sha256(b"another log"), ..entry() };
        assert!(!concerns(Revoked::Entry(entry()), signer(None, Some(copy))));
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        let refused = |predicate: Value| judge(REVOCATION, &predicate).expect_err("is refused").to_string();
        let with =
            |revoked: Value| json!({ "revoked": revoked, "from": "2026-01-31T12:00:00Z", "reason": "x" });
        assert_eq!(refused(json!(5)), "predicate: 5 was found, an object was expected");
        assert_eq!(refused(json!({})), "predicate.revoked: is missing, it is required");
        for revoked in [json!({}), json!({ "key": {}, "entry": {} }), json!({ "tag": {} })] {
            let members = revoked.as_object().map_or(0, serde_json::Map::len);
            assert_eq!(
                refused(with(revoked)),
                format!(
                    "predicate.revoked: an object of {members} members was found, an object with one of key, identity and entry was expected"
                )
            );
        }
        let upper = "AB".repeat(32);
        assert_eq!(
            refused(with(json!({ "key": { "sha256": upper } }))),
            format!(
                "predicate.revoked.key.sha256: \"{}\"… was found, 64 digits of lower-case hexadecimal was expected",
                &upper[..60]
            )
        );
        assert_eq!(
            refused(with(json!({ "identity": { "issuer": "a", "subject": "b\nc" } }))),
            "predicate.revoked.identity.subject: \"b\\nc\" was found, text of at most 4096 bytes without control characters was expected"
        );
        let mut more = with(json!({ "key": { "sha256": "ab".repeat(32) } }));
        more["until"] = "2026-02-01T00:00:00Z".into();
        assert_eq!(
            refused(more.clone()),
            "predicate.until: is not known, revoked, from, reason were expected"
        );
        more["until"].take();
        more["from"] = "yesterday".into();
        more.as_object_mut().expect("is one").remove("until");
        assert_eq!(
            refused(more),
            "predicate.from: \"yesterday\" was found, a time of RFC 3339 such as 2026-01-31T12:00:00Z was expected"
        );
    }

    #[test]
    fn a_statement_that_would_be_found_by_another_digest_is_refused() {
        let written = revocation(Revoked::Key(sha256(b"key"))).statement().expect("is written");
        let mut statement = Statement::parse(PAYLOAD_TYPE, &written).expect("is read");
        statement.subjects.push(statement.subjects[0].clone());
        let said = Revocation::of(&statement).expect_err("two").to_string();
        let expected = sha256(b"key");
        assert_eq!(
            said,
            format!(
                "payload.subject: is not what the predicate revokes, one subject with sha256 {expected} was expected"
            )
        );
        statement.subjects = vec![Subject::sha256(None, &"ab".repeat(32))];
        assert!(Revocation::of(&statement).is_err());
        statement.predicate_type = "https://example.org/other".to_owned();
        assert_eq!(
            Revocation::of(&statement).expect_err("another type").to_string(),
            "payload.predicateType: \"https://example.org/other\" was found, \"urn:bulla:revocation:v1\" was expected"
        );
    }
}

//! A record: a proxy saw that a tag points to a digest. Each names the record before it, so that the records of a tag are one
//! chain, and a second chain beside it shows.
//!
//! The predicate, of type `urn:bulla:tag-record:v1`:
//!
//! ```json
//! { "tag": "docker.io/library/alpine:3.20", "digest": "sha256:…", "mediaType": "application/vnd.oci.image.index.v1+json",
//!   "seen": "2026-01-31T12:00:00Z", "upstream": "https://registry-1.docker.io", "rule": "enforce",
//!   "previous": 17, "approval": 18 }
//! ```
//!
//! `previous` is the index of the record before, across all shards, and missing in the first; `approval` that of the approval by
//! which the tag moved.

use std::fmt;

use bulla_tlog::Hash;
use jiff::Timestamp;
use serde_json::json;

use super::{TagName, index_at, line, sha256_at, tag_of, write};
use crate::attestation::Statement;
use crate::attestation::shape::At;
use crate::entry::Refusal;

/// The predicate type of a record.
pub const RECORD: &str = "urn:bulla:tag-record:v1";

/// The longest media type and the longest address of an upstream, in bytes.
const MAX_TEXT: usize = 512;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which tag.
    pub tag: TagName,
    /// SHA-256 of the manifest that it pointed to.
    pub digest: Hash,
    /// What that manifest is.
    pub media_type: String,
    /// When the proxy saw it, by its own clock.
    pub seen: Timestamp,
    /// Where it saw it.
    pub upstream: String,
    /// Under which rule it was recorded.
    pub rule: Rule,
    /// The record before this one.
    pub previous: Option<u64>,
    /// The approval by which the tag moved here.
    pub approval: Option<u64>,
}

/// What a proxy does when a tag moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The tag is refused until somebody approves.
    Enforce,
    /// It is served with a warning, and recorded.
    Warn,
    /// It is served, and recorded.
    Observe,
    /// It moves by design: it is served, and recorded.
    Moving,
}

impl Rule {
    pub(super) const ALL: [Self; 4] = [Self::Enforce, Self::Warn, Self::Observe, Self::Moving];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Observe => "observe",
            Self::Moving => "moving",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Record {
    /// The statement that says it, to be signed.
    pub fn statement(&self) -> Result<Vec<u8>, Refusal> {
        let mut predicate = json!({
            "tag": self.tag.as_str(),
            "digest": format!("sha256:{}", self.digest),
            "mediaType": self.media_type,
            "seen": self.seen.to_string(),
            "upstream": self.upstream,
            "rule": self.rule.name(),
        });
        for (name, index) in [("previous", self.previous), ("approval", self.approval)] {
            if let Some(index) = index {
                predicate[name] = index.into();
            }
        }
        let written = write(&self.tag, RECORD, &predicate)?;
        // What cannot be read again is not written.
        Self::read(&self.tag, &At::root(&predicate))?;
        Ok(written)
    }

    /// Reads a statement whose signature was verified.
    pub fn of(statement: &Statement) -> Result<Self, Refusal> {
        let tag = tag_of(statement, RECORD)?;
        Self::read(&tag, &At::root(&statement.predicate))
    }

    /// A member that is not known is passed over: a later version may say more of the same.
    fn read(tag: &TagName, predicate: &At<'_>) -> Result<Self, Refusal> {
        let rule = predicate.member("rule")?.one_of(&Rule::ALL.map(Rule::name))?;
        let rule = Rule::ALL.into_iter().find(|known| known.name() == rule).unwrap_or(Rule::Enforce);
        Ok(Self {
            tag: tag.clone(),
            digest: sha256_at(&predicate.member("digest")?)?,
            media_type: line(&predicate.member("mediaType")?, MAX_TEXT)?,
            seen: predicate.member("seen")?.time()?,
            upstream: line(&predicate.member("upstream")?, MAX_TEXT)?,
            rule,
            previous: index_at(predicate, "previous")?,
            approval: index_at(predicate, "approval")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use bulla_tlog::sha256;
    use serde_json::Value;

    use super::*;
    use crate::attestation::PAYLOAD_TYPE;

    fn record() -> Record {
        Record {
            tag: TagName::parse("docker.io/library/alpine:3.20").expect("a name"),
            digest: sha256(b"manifest"),
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            seen: "2026-01-31T12:00:00Z".parse().expect("a time"),
            upstream: "https://registry-1.docker.io".to_owned(),
            rule: Rule::Enforce,
            previous: Some(17),
            approval: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for record in
            [record(), Record { previous: None, approval: Some(1 << 53), rule: Rule::Moving, ..record() }]
        {
            let written = record.statement().expect("is written");
            let statement = Statement::parse(PAYLOAD_TYPE, &written).expect("is read");
            assert_eq!(Record::of(&statement), Ok(record));
        }
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        let written = record().statement().expect("is written");
        let statement = Statement::parse(PAYLOAD_TYPE, &written).expect("is read");
        let refused = |name: &str, value: Value| {
            let mut changed = statement.clone();
            changed.predicate[name] = value;
            Record::of(&changed).expect_err(name).to_string()
        };
        assert_eq!(
            refused("digest", "md5:00".into()),
            "predicate.digest: \"md5:00\" was found, sha256: and 64 digits of lower-case hexadecimal was expected"
        );
        assert_eq!(
            refused("previous", (-1).into()),
            "predicate.previous: -1 was found, the index of an entry was expected"
        );
        assert_eq!(
            refused("rule", "off".into()),
            "predicate.rule: \"off\" was found, one of enforce, warn, observe, moving was expected"
        );
        assert_eq!(
            refused("upstream", "a\nb".into()),
            "predicate.upstream: \"a\\nb\" was found, text of at most 512 bytes without control characters was expected"
        );
        let other = refused("tag", "docker.io/library/alpine:3.21".into());
        assert!(other.starts_with("payload.subject: is not the tag, one subject with sha256 "), "{other}");
        let mut approval = statement;
        approval.predicate_type = super::super::APPROVAL.to_owned();
        assert_eq!(
            Record::of(&approval).expect_err("another type").to_string(),
            "payload.predicateType: \"urn:bulla:tag-approval:v1\" was found, \"urn:bulla:tag-record:v1\" was expected"
        );
    }
}

//! An approval: somebody who may allows a tag to move to a digest, once and for a while. It names the record that the tag stands
//! at, so that it is used up by the next one: to move the tag there again takes another approval.
//!
//! The predicate, of type `urn:bulla:tag-approval:v1`:
//!
//! ```json
//! { "tag": "docker.io/library/alpine:3.20", "to": "sha256:…", "after": 17, "reason": "CVE-2026-1", "until": "2026-01-31T13:00:00Z" }
//! ```

use bulla_tlog::Hash;
use jiff::Timestamp;
use serde_json::json;

use super::{TagName, index_at, line, sha256_at, tag_of, write};
use crate::attestation::Statement;
use crate::attestation::shape::At;
use crate::entry::Refusal;

/// The predicate type of an approval.
pub const APPROVAL: &str = "urn:bulla:tag-approval:v1";

/// With fewer seconds left a proxy no longer begins a record by an approval: it could be logged too late to hold.
pub const SECONDS_LEFT: i64 = 60;

/// The longest reason, in bytes.
const MAX_REASON: usize = 1024;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    /// Which tag.
    pub tag: TagName,
    /// SHA-256 of the manifest that it may point to.
    pub to: Hash,
    /// The record that it stands at; none before there is one.
    pub after: Option<u64>,
    /// Why, in a sentence for people: 1 to 1024 bytes without control characters.
    pub reason: String,
    /// Until when the record of the move must be in the log.
    pub until: Timestamp,
}

impl Approval {
    /// The statement that says it, to be signed.
    pub fn statement(&self) -> Result<Vec<u8>, Refusal> {
        let mut predicate = json!({
            "tag": self.tag.as_str(),
            "to": format!("sha256:{}", self.to),
            "reason": self.reason,
            "until": self.until.to_string(),
        });
        if let Some(after) = self.after {
            predicate["after"] = after.into();
        }
        Self::read(&self.tag, &At::root(&predicate))?;
        write(&self.tag, APPROVAL, &predicate)
    }

    /// Reads a statement whose signature was verified.
    pub fn of(statement: &Statement) -> Result<Self, Refusal> {
        let tag = tag_of(statement, APPROVAL)?;
        Self::read(&tag, &At::root(&statement.predicate))
    }

    /// A member that is not known is refused: it could say that less is approved.
    fn read(tag: &TagName, predicate: &At<'_>) -> Result<Self, Refusal> {
        predicate.nothing_but(&["tag", "to", "after", "reason", "until"])?;
        Ok(Self {
            tag: tag.clone(),
            to: sha256_at(&predicate.member("to")?)?,
            after: index_at(predicate, "after")?,
            reason: line(&predicate.member("reason")?, MAX_REASON)?,
            until: predicate.member("until")?.time()?,
        })
    }

    /// Whether it allows that move, logged then (Unix seconds).
    pub fn allows(&self, after: Option<u64>, to: &Hash, logged_at: i64) -> bool {
        self.after == after && self.to == *to && logged_at <= self.until.as_second()
    }
}

#[cfg(test)]
mod tests {
    use bulla_tlog::sha256;

    use super::*;
    use crate::attestation::PAYLOAD_TYPE;

    fn approval() -> Approval {
        Approval {
            tag: TagName::parse("docker.io/library/alpine:3.20").expect("a name"),
            to: sha256(b"manifest"),
            after: Some(17),
            reason: "CVE-2026-1".to_owned(),
            until: "2026-01-31T13:00:00Z".parse().expect("a time"),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for approval in [approval(), Approval { after: None, ..approval() }] {
            let written = approval.statement().expect("is written");
            let statement = Statement::parse(PAYLOAD_TYPE, &written).expect("is read");
            assert_eq!(Approval::of(&statement), Ok(approval));
        }
    }

    #[test]
    fn what_could_say_less_is_refused() {
        let empty = Approval { reason: String::new(), ..approval() };
        let problem = empty.statement().expect_err("no reason").to_string();
        assert!(problem.starts_with("predicate.reason: "), "{problem}");
        let mut statement =
            Statement::parse(PAYLOAD_TYPE, &approval().statement().expect("is written")).expect("is read");
        statement.predicate["only"] = "amd64".into();
        assert_eq!(
            Approval::of(&statement).expect_err("more").to_string(),
            "predicate.only: is not known, tag, to, after, reason, until were expected"
        );
    }

    #[test]
    fn it_allows_one_move_in_time() {
        let (approval, until) = (approval(), 1_769_864_400);
        assert!(approval.allows(Some(17), &sha256(b"manifest"), until));
        assert!(!approval.allows(Some(17), &sha256(b"manifest"), until + 1));
        assert!(!approval.allows(Some(18), &sha256(b"manifest"), until));
        assert!(!approval.allows(None, &sha256(b"manifest"), until));
        assert!(!approval.allows(Some(17), &sha256(b"other"), until));
    }
}

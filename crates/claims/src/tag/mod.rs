//! Tags of images that cannot move without everyone knowing: what is logged of a tag, and what all of it comes to.
//!
//! | file | what it says |
//! |---|---|
//! | `name` | the one canonical name of a tag, and which tags move by design |
//! | `record` | a proxy saw that a tag points to a digest, after the record before |
//! | `approval` | somebody who may allows a tag to move, once |
//! | `leaf` | how a statement stands in a leaf, so that the log alone can tell it again |
//! | `history` | which of the records of a tag hold, and which are a second history beside the first |
//!
//! Both statements are found in a log by one digest, the SHA-256 of the tag's name.

mod approval;
mod history;
mod leaf;
mod name;
mod record;

pub use approval::{APPROVAL, Approval, SECONDS_LEFT};
pub use history::{Finding, History, Logged, Said, Step};
pub use leaf::{carried, carrying};
pub use name::{Moving, TagName, is_made_of_digest};
pub use record::{RECORD, Record, Rule};

use bulla_tlog::Hash;

use crate::attestation::shape::At;
use crate::attestation::{Statement, StatementType, Subject};
use crate::entry::Refusal;

/// Writes a statement about a tag.
fn write(tag: &TagName, predicate_type: &str, predicate: &serde_json::Value) -> Result<Vec<u8>, Refusal> {
    let subject = Subject::sha256(Some(tag.as_str()), &tag.digest().to_string());
    Statement::write(StatementType::V1, &[subject], predicate_type, &predicate.to_string())
}

/// Reads the tag of a statement, which must be what its one subject is about: it is found by the one and holds for the other.
fn tag_of(statement: &Statement, predicate_type: &str) -> Result<TagName, Refusal> {
    let found = serde_json::Value::from(&*statement.predicate_type);
    At::new(&found, "payload.predicateType").one_of(&[predicate_type])?;
    let at = At::root(&statement.predicate).member("tag")?;
    let tag = TagName::parse(at.text()?).map_err(|problem| Refusal::new("predicate.tag", problem))?;
    let digest = tag.digest().to_string();
    match statement.subjects.as_slice() {
        [only] if only.digest.get("sha256") == Some(&digest) && only.digest.len() == 1 => Ok(tag),
        _ => {
            let problem = format!("is not the tag, one subject with sha256 {digest} was expected");
            Err(Refusal::new("payload.subject", problem))
        }
    }
}

/// The SHA-256 that a digest of an image names.
fn sha256_at(at: &At<'_>) -> Result<Hash, Refusal> {
    let hex = at.text()?.strip_prefix("sha256:").unwrap_or_default();
    let found = Hash::from_hex(hex).filter(|hash| hash.to_string() == hex);
    found.ok_or_else(|| at.refuse("sha256: and 64 digits of lower-case hexadecimal"))
}

/// An index in a log, if it is there.
fn index_at(predicate: &At<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(at) = predicate.optional(name)? else { return Ok(None) };
    let index = at.value.as_u64().filter(|index| *index <= LARGEST_INDEX);
    index.map(Some).ok_or_else(|| at.refuse("the index of an entry"))
}

/// Text of one line.
fn line(at: &At<'_>, most: usize) -> Result<String, Refusal> {
    let text = at.text()?;
    if text.len() > most || text.chars().any(char::is_control) {
        return Err(at.refuse(&format!("text of at most {most} bytes without control characters")));
    }
    Ok(text.to_owned())
}

/// What every reader of JSON reads as it was written.
const LARGEST_INDEX: u64 = 1 << 53;

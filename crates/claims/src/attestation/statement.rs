//! The statement: which artifacts, and what is stated of them
//! (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::judge;
use super::shape::At;
use crate::entry::Refusal;
use crate::json;

/// The payload type of a statement in a DSSE envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The version of a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatementType {
    /// What `cosign attest` writes. Its subjects have names.
    V01,
    /// The current one, which is in the bundles of image signatures.
    V1,
}

impl StatementType {
    /// What `_type` says.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::V01 => "https://in-toto.io/Statement/v0.1",
            Self::V1 => "https://in-toto.io/Statement/v1",
        }
    }
}

/// An artifact that a statement is about.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Subject {
    /// What it is called; of an image its repository, without a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its digests by algorithm, SHA-2 in lower-case hex: `sha256`, `sha384`, `sha512`; others as they are.
    pub digest: BTreeMap<String, String>,
    /// What else the signer says of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

impl Subject {
    /// One with a SHA-256, in lower-case hex.
    pub fn sha256(name: Option<&str>, hex: &str) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), hex.to_owned())]);
        Self { name: name.map(str::to_owned), digest, annotations: BTreeMap::new() }
    }
}

/// A statement that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    /// Its version.
    pub version: StatementType,
    /// What it is about, at least one, each with at least one digest.
    pub subjects: Vec<Subject>,
    /// The URI of its predicate type.
    pub predicate_type: String,
    /// What is stated; `null` if it is not there. Not judged yet: that is [`judge`].
    pub predicate: Value,
}

impl Statement {
    /// Reads the payload of an envelope. Its type is looked at before its content; a member that is there twice is refused
    /// anywhere in it, one that is not known is passed over.
    pub fn parse(payload_type: &str, payload: &[u8]) -> Result<Self, Refusal> {
        if payload_type != PAYLOAD_TYPE {
            let found = At::new(&payload_type.into(), "payloadType").refuse(&format!("{PAYLOAD_TYPE:?}"));
            return Err(found);
        }
        let value = json::read(payload, "payload")?;
        let root = At::new(&value, "payload");
        let types = [StatementType::V01, StatementType::V1];
        let uri = root.member("_type")?.one_of(&types.map(StatementType::uri))?;
        let version = if uri == StatementType::V1.uri() { StatementType::V1 } else { StatementType::V01 };
        let subjects: Vec<Subject> = root
            .member("subject")?
            .some_items()?
            .map(|at| subject(&at, version))
            .collect::<Result<_, _>>()?;
        let predicate_type = root.member("predicateType")?.text()?.to_owned();
        let Value::Object(mut members) = value else { return Err(root.refuse("an object")) };
        let predicate = members.remove("predicate").unwrap_or_default();
        Ok(Self { version, subjects, predicate_type, predicate })
    }

    /// Writes a statement around the text of a predicate, once that is judged and found good. The predicate stays as it is
    /// written: numbers and the order of members are its author's.
    pub fn write(
        version: StatementType,
        subjects: &[Subject],
        predicate_type: &str,
        predicate: &str,
    ) -> Result<Vec<u8>, Refusal> {
        let value = json::read(predicate.as_bytes(), "predicate")?;
        judge(predicate_type, &value)?;
        let refused = |error: serde_json::Error| Refusal::new("predicate", error.to_string());
        let predicate: &RawValue = serde_json::from_str(predicate).map_err(refused)?;
        let written = match version {
            StatementType::V01 => serde_json::to_vec(&V01 {
                r#type: version.uri(),
                predicate_type,
                subject: subjects,
                predicate,
            }),
            StatementType::V1 => serde_json::to_vec(&V1 {
                r#type: version.uri(),
                subject: subjects,
                predicate_type,
                predicate,
            }),
        };
        let written = written.map_err(refused)?;
        // Whatever is written can be read: the subjects are judged there.
        Self::parse(PAYLOAD_TYPE, &written)?;
        Ok(written)
    }
}

/// The members in the order of cosign.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V01<'a> {
    #[serde(rename = "_type")]
    r#type: &'static str,
    predicate_type: &'a str,
    subject: &'a [Subject],
    predicate: &'a RawValue,
}

/// The members in the order of the specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V1<'a> {
    #[serde(rename = "_type")]
    r#type: &'static str,
    subject: &'a [Subject],
    predicate_type: &'a str,
    predicate: &'a RawValue,
}

fn subject(at: &At<'_>, version: StatementType) -> Result<Subject, Refusal> {
    let name = match version {
        StatementType::V01 => Some(at.member("name")?),
        StatementType::V1 => at.optional("name")?,
    };
    let name = name.map(|name| name.any_text().map(str::to_owned)).transpose()?;
    let mut digest = BTreeMap::new();
    let digests = at.member("digest")?;
    for (algorithm, value) in digests.members()? {
        digest.insert(algorithm.to_owned(), self::digest(algorithm, &value)?.to_owned());
    }
    if digest.is_empty() {
        return Err(digests.refuse("at least one digest"));
    }
    let mut annotations = BTreeMap::new();
    if let Some(at) = at.optional("annotations")? {
        annotations.extend(at.members()?.map(|(name, at)| (name.to_owned(), at.value.clone())));
    }
    Ok(Subject { name, digest, annotations })
}

/// A digest is compared as text, so that of a hash function that everybody writes in one way has to be in that way.
fn digest<'a>(algorithm: &str, value: &At<'a>) -> Result<&'a str, Refusal> {
    let len = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return value.text(),
    };
    let is_hex =
        |text: &&str| text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let text = value.value.as_str().filter(is_hex);
    text.ok_or_else(|| value.refuse(&format!("{len} digits of lower-case hexadecimal")))
}

//! What the kinds have in common that carry a key and an artifact: members that hold bytes, how a body is written, and
//! how it is read again. Of such a kind one type says what its body holds, for both directions.

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Fault, Refusal};
use crate::entry::{DescribeError, body};
use crate::traces::hex;

/// The one version that these kinds have.
pub(super) const VERSION: &str = "0.0.1";

/// `{"content": <base64>}`, with `null` as good as nothing.
#[derive(Deserialize, Default)]
pub(super) struct Content {
    content: Option<String>,
}

impl Content {
    pub(super) fn new(content: Option<String>) -> Self {
        Self { content }
    }

    /// The bytes of a member that must have some.
    pub(super) fn bytes(member: Option<&Self>, field: &str) -> Result<Vec<u8>, Refusal> {
        let text = member.and_then(|member| member.content.as_deref()).filter(|text| !text.is_empty());
        match text {
            Some(text) => decode(text, &format!("{field}.content")),
            None => Err(refuse(field, format!("{} has no content, base64 was expected", last(field)))),
        }
    }

    /// Whether there are any.
    pub(super) fn is_present(member: Option<&Self>) -> bool {
        member.and_then(|member| member.content.as_deref()).is_some_and(|text| !text.is_empty())
    }
}

/// The bytes of a base64 text.
pub(super) fn decode(text: &str, field: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD
        .decode(text)
        .map_err(|_| refuse(field, format!("{} is not padded standard base64", last(field))))
}

/// Base64 as a body has it.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// `{"content": <base64>}` in a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    content: String,
}

impl Stored {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { content: encode(bytes) }
    }

    pub(super) fn bytes(&self, kind: &'static str, field: &'static str) -> Result<Vec<u8>, DescribeError> {
        let expected = "padded standard base64";
        STANDARD.decode(&self.content).map_err(|_| DescribeError::Value { kind, field, expected })
    }
}

/// A hash in a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hash {
    pub(super) algorithm: String,
    pub(super) value: String,
}

impl Hash {
    /// SHA-256 of the bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { algorithm: "sha256".to_owned(), value: sha256(bytes) }
    }

    /// As it is looked up.
    pub(super) fn trace(&self) -> String {
        format!("{}:{}", self.algorithm, self.value).to_lowercase()
    }
}

/// Lower-case hex SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&SHA256, bytes).as_ref())
}

/// Reads a proposed spec.
pub(super) fn read<'a, T: Deserialize<'a>>(spec: &'a RawValue) -> Result<T, Refusal> {
    serde_json::from_str(spec.get())
        .map_err(|error| refuse("spec", format!("spec does not have the members of its kind: {error}")))
}

/// Writes a body.
pub(super) fn write<S: Serialize>(kind: &str, spec: &S) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a, S> {
        api_version: &'a str,
        kind: &'a str,
        spec: &'a S,
    }
    serde_json_canonicalizer::to_vec(&Entry { api_version: VERSION, kind, spec })
        .expect("texts in structs have a canonical form")
}

/// The body that a spec stands for which is already in the form of a body, or the refusal that was the answer to it as a
/// proposed one.
pub(super) fn rewrite<S: Serialize + DeserializeOwned>(
    kind: &str,
    spec: &RawValue,
    refusal: Refusal,
) -> Result<Vec<u8>, Refusal> {
    serde_json::from_str::<S>(spec.get()).map(|spec| write(kind, &spec)).map_err(|_| refusal)
}

/// The spec of a body.
pub(super) fn parse<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, DescribeError> {
    body::parse::<body::Entry<S>>(bytes).map(|entry| entry.spec)
}

/// A refusal at that place of the proposed entry.
pub(super) fn refuse(field: &str, problem: impl Into<String>) -> Refusal {
    let field = if field == "spec" { field.to_owned() } else { format!("spec.{field}") };
    Fault::new(field, problem).into()
}

fn last(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

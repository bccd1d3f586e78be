//! What the kinds have in common that carry a key and a package: members that hold bytes, and a body that one type reads and
//! writes, so that what was stored can be searched for in the form it was stored in.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::{Fault, Refusal, member};
use crate::entry::{DescribeError, body::decode};
use crate::pki::Format;
use crate::traces::{KeyCache, KeyForm, KeyTraces};

/// The one version that these kinds have.
pub(super) const VERSION: &str = "0.0.1";

/// `{"content": <base64>}` as it is proposed.
#[derive(Deserialize)]
pub(super) struct Proposed {
    content: Option<String>,
}

/// The bytes of such a member, which must have some.
pub(super) fn bytes(member: Option<Proposed>, field: &str) -> Result<Vec<u8>, Fault> {
    member::bytes(member::required(member, field)?.content, &format!("{field}.content"))
}

/// `{"content": <base64>}` in a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    pub(super) content: String,
}

impl Stored {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { content: member::encode(bytes) }
    }

    /// What is stored, of an entry of that kind.
    pub(super) fn bytes(&self, kind: &'static str) -> Result<Vec<u8>, DescribeError> {
        decode(&self.content, kind, "content")
    }

    /// What it is found by, being a key of that format.
    pub(super) fn key(
        &self,
        format: Format,
        kind: &'static str,
        keys: &mut KeyCache,
    ) -> Result<std::sync::Arc<KeyTraces>, DescribeError> {
        keys.key(KeyForm::of(format), &self.content, kind)
    }
}

/// `{"hash": {…}}` in a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hashed {
    #[serde(deserialize_with = "hash")]
    pub(super) hash: Hash<'static>,
}

/// A package and the key that signed it, as they are proposed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProposedPackage {
    pub(super) package: Option<Proposed>,
    pub(super) public_key: Option<Proposed>,
}

/// What is stored of a package and its key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Packaged<P> {
    pub(super) package: P,
    pub(super) public_key: Stored,
}

/// A hash that owns its texts.
pub(super) fn hash<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Hash<'static>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Owned {
        algorithm: String,
        value: String,
    }
    let Owned { algorithm, value } = Owned::deserialize(from)?;
    Ok(Hash { algorithm: algorithm.into(), value: value.into() })
}

/// The spec of a body.
pub(super) fn read<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, DescribeError> {
    body::read(bytes)
}

/// The body of a spec in a search. It is the one that the same spec proposed would get, or, if it lacks what would be
/// proposed, already in the form of a body.
pub(super) fn template<S: Serialize + DeserializeOwned>(
    kind: &'static str,
    spec: &RawValue,
    admitted: Result<super::Admitted, Refusal>,
) -> Result<Vec<u8>, Refusal> {
    match admitted {
        Ok(admitted) => Ok(admitted.body),
        Err(refusal) => match serde_json::from_str::<S>(spec.get()) {
            Ok(stored) => Ok(body::write(kind, VERSION, &stored)),
            Err(_) => Err(refusal),
        },
    }
}

/// A refusal at that place.
pub(super) fn refuse(field: &str, problem: impl Into<String>) -> Fault {
    Fault::new(field, problem)
}

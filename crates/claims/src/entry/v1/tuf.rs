//! tuf 0.0.1: TUF metadata and the root whose keys signed it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::body;
use super::content::{self, Stored, VERSION, refuse};
use super::{Admitted, Fault, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::keys::KeyError;
use crate::pki::tuf::{Metadata, Root};
use crate::traces::{Door, KeyCache, KeyTraces, Traces};

pub(super) const KIND: Kind = Kind { name: "tuf", version: VERSION, admit, template, traces };

#[derive(Deserialize)]
struct Proposed {
    metadata: Option<Document>,
    root: Option<Document>,
}

/// JSON as it is, or in base64.
#[derive(Deserialize)]
struct Document {
    content: Option<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    metadata: Stored,
    root: Stored,
    #[serde(rename = "spec_version")]
    follows: String,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let Proposed { metadata, root } = member::spec(spec)?;
    let root = read(root, "spec.root")?;
    let metadata = read(metadata, "spec.metadata")?;
    let root = Root::of(root).map_err(|error| refuse("spec.root.content", error.problem))?;
    root.verify(&metadata).map_err(|error| refuse("spec.metadata.content", error.problem))?;
    let spec = Spec {
        metadata: Stored::new(metadata.canonical()),
        root: Stored::new(root.canonical()),
        follows: root.spec_version().to_owned(),
    };
    let body = body::write(KIND.name, VERSION, &spec);
    Ok(Admitted { body, named: Vec::new(), attestation: None })
}

fn read(document: Option<Document>, field: &str) -> Result<Metadata, Fault> {
    let content = member::required(member::required(document, field)?.content, &format!("{field}.content"))?;
    let field = format!("{field}.content");
    let metadata = match content {
        Value::String(text) => Metadata::parse(&member::bytes(Some(text), &field)?),
        content => Metadata::from_json(content),
    };
    metadata.map_err(|error: KeyError| refuse(&field, error.problem))
}

/// A body has all that is needed to make it again.
fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    admit(spec, rules).map(|admitted| admitted.body)
}

fn traces(body: &[u8], _: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { metadata, root, .. } = content::read(body)?;
    let (metadata, root) = (metadata.bytes(KIND.name)?, root.bytes(KIND.name)?);
    let mut digests: Vec<_> =
        [&metadata, &root].into_iter().flat_map(|content| KeyTraces::fingerprints_of(content)).collect();
    let expected = "TUF metadata";
    let metadata = Metadata::parse(&metadata).map_err(|_| DescribeError::Value {
        kind: KIND.name,
        field: "metadata",
        expected,
    })?;
    digests.extend([metadata.role().to_lowercase(), metadata.version().to_string()]);
    Ok(Traces { door: Door::V1, kind: KIND.name, digests, keys: Vec::new() })
}

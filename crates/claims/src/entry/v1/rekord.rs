//! rekord 0.0.1: a signature over an artifact that comes with it, by a key of any format: x509, PGP, minisign or SSH.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::content::{self, Hashed, Stored, VERSION, refuse};
use super::statement::named;
use super::{Admitted, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::pki::Format;
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind = Kind { name: "rekord", version: VERSION, admit, template, traces };

#[derive(Deserialize)]
struct Proposed {
    signature: Option<ProposedSignature>,
    data: Option<content::Proposed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProposedSignature {
    format: Option<String>,
    content: Option<String>,
    public_key: Option<content::Proposed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    data: Hashed,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Signature {
    content: String,
    format: String,
    public_key: Stored,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let Proposed { signature, data } = member::spec(spec)?;
    let ProposedSignature { format, content, public_key } = member::required(signature, "spec.signature")?;
    let name = member::required(format, "spec.signature.format")?;
    let Some(format) = Format::named(&name) else {
        let problem = format!("format is {name:?}, {} was expected", Format::NAMES);
        return Err(refuse("spec.signature.format", problem).into());
    };
    let signature = member::bytes(content, SIGNATURE)?;
    let key = content::bytes(public_key, "spec.signature.publicKey")?;
    let artifact = content::bytes(data, "spec.data")?;

    let key = format.key(&key).map_err(|error| refuse("spec.signature.publicKey.content", error.problem))?;
    let signature = key.verify(&artifact, &signature).map_err(|error| refuse(SIGNATURE, error.problem))?;
    let named = named(None, &artifact, "spec.data.content")?;
    let spec = Spec {
        data: Hashed { hash: Hash::of(&artifact) },
        signature: Signature {
            content: member::encode(&signature),
            format: name,
            public_key: Stored::new(key.canonical()),
        },
    };
    Ok(Admitted { body: body::write(KIND.name, VERSION, &spec), named, attestation: None })
}

/// Only with its artifact can an entry be searched for, as upstream has it.
fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    admit(spec, rules).map(|admitted| admitted.body)
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { data, signature } = content::read(body)?;
    let Some(format) = Format::named(&signature.format) else {
        let expected = "the name of a format of keys";
        return Err(DescribeError::Value { kind: KIND.name, field: "format", expected });
    };
    let key = signature.public_key.key(format, KIND.name, keys)?;
    Ok(Traces { door: Door::V1, kind: KIND.name, digests: vec![data.hash.trace()], keys: vec![key] })
}

const SIGNATURE: &str = "spec.signature.content";

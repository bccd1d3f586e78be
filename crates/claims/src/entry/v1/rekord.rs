//! rekord 0.0.1: a signature over an artifact that comes with it, by a key of any format (x509, PGP, minisign, SSH).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::content::{self, Content, Hash, Stored, refuse};
use super::{Admitted, Kind, Refusal, Rules};
use crate::entry::DescribeError;
use crate::pki::Format;
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind =
    Kind { name: "rekord", version: content::VERSION, admit, template, traces };

#[derive(Deserialize)]
struct Spec {
    signature: Option<ProposedSignature>,
    data: Option<Content>,
}

#[derive(Deserialize)]
struct ProposedSignature {
    format: Option<String>,
    content: Option<String>,
    #[serde(rename = "publicKey")]
    public_key: Option<Content>,
}

/// What the body holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    data: Data,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    hash: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    content: String,
    format: String,
    #[serde(rename = "publicKey")]
    public_key: Stored,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let Spec { signature, data } = content::read(spec)?;
    let Some(ProposedSignature { format, content, public_key }) = signature else {
        return Err(refuse("signature", "signature is missing, one over data.content was expected"));
    };
    let name = format.unwrap_or_default();
    let Some(format) = Format::named(&name) else {
        let problem = format!("format {name:?} is not known, {} was expected", Format::NAMES);
        return Err(refuse("signature.format", problem));
    };
    let content = Content::bytes(Some(&Content::new(content)), "signature")?;
    let key = Content::bytes(public_key.as_ref(), "signature.publicKey")?;
    let artifact = Content::bytes(data.as_ref(), "data")?;

    let key = format.key(&key).map_err(|error| refuse("signature.publicKey.content", error.problem))?;
    let signature = key
        .verify(&artifact, &content)
        .map_err(|error| refuse("signature.content", error.problem))?;
    let body = Body {
        data: Data { hash: Hash::of(&artifact) },
        signature: Signature {
            content: content::encode(&signature),
            format: name,
            public_key: Stored::new(key.canonical()),
        },
    };
    Ok(Admitted { body: content::write(KIND.name, &body), named: Vec::new(), attestation: None })
}

/// The body does not say enough: only with the artifact can it be found.
fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    admit(spec, rules).map(|admitted| admitted.body)
}

fn traces(body: &[u8], _: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Body { data, signature } = content::parse(body)?;
    let key = signature.public_key.bytes(KIND.name, "publicKey")?;
    let keys = vec![Arc::new(Format::traces(&signature.format, &key))];
    Ok(Traces { door: Door::V1, kind: KIND.name, digests: vec![data.hash.trace()], keys })
}

//! intoto 0.0.1: a DSSE envelope with one key. The leaf keeps hashes of the envelope and its payload and the key, but no
//! signature; the payload may be kept beside the log.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::envelope::Envelope;
use super::member::{self, ProposedHash};
use super::statement::named;
use super::{Admitted, Attestation, Fault, Kind, Refusal, Rules};
use crate::entry::{DescribeError, Facts};
use crate::keys::HashAlgorithm;
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind = Kind { name: "intoto", version: "0.0.1", admit, template, traces };

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proposed {
    content: Option<ProposedContent>,
    public_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProposedContent {
    envelope: Option<String>,
    hash: Option<ProposedHash>,
    payload_hash: Option<ProposedHash>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(borrow)]
    public_key: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow)]
    hash: Hash<'a>,
    /// Only what is searched for can be without it.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    payload_hash: Option<Hash<'a>>,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    Ok(verify(member::spec(spec)?)?)
}

fn verify(proposed: Proposed) -> Result<Admitted, Fault> {
    let content = member::required(proposed.content, "spec.content")?;
    let text = member::required(content.envelope.filter(|text| !text.is_empty()), ENVELOPE)?;
    let key = member::public_key(proposed.public_key, PUBLIC_KEY)?;
    let mut envelope = Envelope::parse(&text, ENVELOPE)?;
    envelope.signed_by(&key, ENVELOPE)?;
    let named = named(Some(&envelope.payload_type), &envelope.payload, ENVELOPE)?;
    let payload_hash = Hash::of(&envelope.payload);
    let attestation = Attestation { key: payload_hash.trace(), bytes: envelope.payload };
    let spec = Spec {
        content: Content { hash: Hash::of(text.as_bytes()), payload_hash: Some(payload_hash) },
        public_key: member::encode(key.canonical()).into(),
    };
    let body = body::write(KIND.name, KIND.version, &spec);
    Ok(Admitted { body, named, attestation: Some(attestation) })
}

fn template(spec: &RawValue, _: &Rules) -> Result<Vec<u8>, Refusal> {
    let proposed: Proposed = member::spec(spec)?;
    let envelope = proposed.content.as_ref().and_then(|content| content.envelope.as_deref());
    if envelope.is_some_and(|envelope| !envelope.is_empty()) {
        return Ok(verify(proposed)?.body);
    }
    let content = member::required(proposed.content, "spec.content")?;
    let key = member::public_key(proposed.public_key, PUBLIC_KEY)?;
    let hash = |hash, field: &str| member::hash(hash, field, &[HashAlgorithm::Sha256]).map(|(hash, ..)| hash);
    let payload_hash = content.payload_hash.map(|proposed| hash(Some(proposed), "spec.content.payloadHash"));
    let spec = Spec {
        content: Content {
            hash: hash(content.hash, "spec.content.hash")?,
            payload_hash: payload_hash.transpose()?,
        },
        public_key: member::encode(key.canonical()).into(),
    };
    Ok(body::write(KIND.name, KIND.version, &spec))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { content: Content { hash, payload_hash }, public_key } = body::read(body)?;
    let digests = [Some(hash), payload_hash].into_iter().flatten().map(|hash| hash.trace()).collect();
    Ok(Traces { door: Door::V1, kind: KIND.name, digests, keys: vec![keys.pem(&public_key, KIND.name)?] })
}

pub(super) fn describe(body: &[u8]) -> Result<Facts, DescribeError> {
    let Spec { content, public_key } = body::read(body)?;
    Ok(Facts {
        kind: KIND.name.to_owned(),
        version: KIND.version.to_owned(),
        digest: content.payload_hash.map(|hash| hash.facts(KIND.name)).transpose()?,
        signatures: vec![body::facts_of(KIND.name, Vec::new(), &public_key)?],
    })
}

const ENVELOPE: &str = "spec.content.envelope";
const PUBLIC_KEY: &str = "spec.publicKey";

//! dsse 0.0.1: a DSSE envelope, of which the leaf keeps hashes and signatures.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::envelope::{Envelope, Rest, at_most};
use super::member::{self, ProposedHash};
use super::statement::named;
use super::{Admitted, Fault, Kind, Refusal, Rules};
use crate::entry::{DescribeError, Facts};
use crate::keys::HashAlgorithm;
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind = Kind { name: "dsse", version: "0.0.1", admit, template, traces };

/// What is proposed, or what a log made of it: never both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    proposed_content: Option<Content>,
    envelope_hash: Option<ProposedHash>,
    payload_hash: Option<ProposedHash>,
    signatures: Option<Vec<ProposedSignature>>,
}

#[derive(Deserialize)]
struct Content {
    envelope: Option<String>,
    verifiers: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
struct ProposedSignature {
    signature: Option<String>,
    verifier: Option<String>,
}

impl Request {
    fn has_canonical(&self) -> bool {
        self.envelope_hash.is_some()
            || self.payload_hash.is_some()
            || self.signatures.as_ref().is_some_and(|signatures| !signatures.is_empty())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    envelope_hash: Hash<'a>,
    #[serde(borrow)]
    payload_hash: Hash<'a>,
    #[serde(borrow)]
    signatures: Vec<Signature<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Signature<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    verifier: Cow<'a, str>,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let proposed: Request = member::spec(spec)?;
    if proposed.proposed_content.is_none() && proposed.has_canonical() {
        let problem = "proposedContent is missing: the canonical form can be searched for, not added";
        return Err(Fault::new(CONTENT, problem).into());
    }
    Ok(verify(proposed)?)
}

fn verify(proposed: Request) -> Result<Admitted, Fault> {
    if proposed.has_canonical() {
        let problem = "either proposedContent or envelopeHash, payloadHash and signatures must be present but not \
                       both: send proposedContent alone";
        return Err(Fault::new("spec", problem));
    }
    let content = member::required(proposed.proposed_content, CONTENT)?;
    let text = member::required(content.envelope, ENVELOPE)?;
    let verifiers = member::required(content.verifiers.filter(|keys| !keys.is_empty()), VERIFIERS)?;
    at_most(verifiers.len(), "verifiers", VERIFIERS)?;
    let mut envelope = Envelope::parse(&text, ENVELOPE)?;
    let keys = verifiers.into_iter().enumerate().map(|(n, key)| (key, format!("{VERIFIERS}[{n}]")));
    let signers = envelope.verify(keys.collect(), Rest::Ignored)?;
    envelope.judge(&signers, ENVELOPE)?;
    let named = named(Some(&envelope.payload_type), &envelope.payload, ENVELOPE)?;
    // Signers come in the order of the texts of their signatures.
    let signature = |(signature, verifier): (String, String)| Signature {
        signature: signature.into(),
        verifier: verifier.into(),
    };
    let spec = Spec {
        envelope_hash: Hash::of(text.as_bytes()),
        payload_hash: Hash::of(&envelope.payload),
        signatures: signers.into_iter().map(signature).collect(),
    };
    Ok(Admitted { body: body::write(KIND.name, KIND.version, &spec), named, attestation: None })
}

fn template(spec: &RawValue, _: &Rules) -> Result<Vec<u8>, Refusal> {
    let proposed: Request = member::spec(spec)?;
    if proposed.proposed_content.is_some() {
        return Ok(verify(proposed)?.body);
    }
    let hash = |hash, field: &str| member::hash(hash, field, &[HashAlgorithm::Sha256]).map(|(hash, ..)| hash);
    let envelope_hash = hash(proposed.envelope_hash, "spec.envelopeHash")?;
    let payload_hash = hash(proposed.payload_hash, "spec.payloadHash")?;
    let proposed = proposed.signatures.filter(|signatures| !signatures.is_empty());
    let proposed = member::required(proposed, SIGNATURES)?;
    at_most(proposed.len(), "signatures", SIGNATURES)?;
    let mut signatures = Vec::with_capacity(proposed.len());
    for (n, ProposedSignature { signature, verifier }) in proposed.into_iter().enumerate() {
        let signature = member::required(signature, &format!("{SIGNATURES}[{n}].signature"))?;
        let verifier = member::bytes(verifier, &format!("{SIGNATURES}[{n}].verifier"))?;
        signatures
            .push(Signature { signature: signature.into(), verifier: member::encode(&verifier).into() });
    }
    signatures.sort_by(|a, b| a.signature.cmp(&b.signature));
    Ok(body::write(KIND.name, KIND.version, &Spec { envelope_hash, payload_hash, signatures }))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { envelope_hash, payload_hash, signatures } = body::read(body)?;
    let keys = signatures.iter().map(|signature| keys.pem(&signature.verifier, KIND.name));
    Ok(Traces {
        door: Door::V1,
        kind: KIND.name,
        digests: vec![payload_hash.trace(), envelope_hash.trace()],
        keys: keys.collect::<Result<_, _>>()?,
    })
}

pub(super) fn describe(body: &[u8]) -> Result<Facts, DescribeError> {
    let Spec { payload_hash, signatures, .. } = body::read(body)?;
    let facts = |Signature { signature, verifier }: &Signature<'_>| {
        let bytes = member::dsse_base64(signature).ok_or(DescribeError::Value {
            kind: KIND.name,
            field: "signature",
            expected: "base64",
        })?;
        body::facts_of(KIND.name, bytes, verifier)
    };
    Ok(Facts {
        kind: KIND.name.to_owned(),
        version: KIND.version.to_owned(),
        digest: Some(payload_hash.facts(KIND.name)?),
        signatures: signatures.iter().map(facts).collect::<Result<_, _>>()?,
    })
}

const CONTENT: &str = "spec.proposedContent";
const ENVELOPE: &str = "spec.proposedContent.envelope";
const VERIFIERS: &str = "spec.proposedContent.verifiers";
const SIGNATURES: &str = "spec.signatures";

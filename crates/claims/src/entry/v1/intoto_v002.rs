//! intoto 0.0.2: a DSSE envelope in parts, a key beside each signature. The leaf keeps all but the payload, of which it has
//! the hash; the payload may be kept beside the log.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::envelope::{self, Envelope, Rest};
use super::member::{self, ProposedHash};
use super::statement::named;
use super::{Admitted, Attestation, Fault, Kind, Refusal, Rules};
use crate::entry::{DescribeError, Facts};
use crate::keys::HashAlgorithm;
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind = Kind { name: "intoto", version: "0.0.2", admit, template, traces };

#[derive(Deserialize)]
struct Proposed {
    content: Option<ProposedContent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProposedContent {
    envelope: Option<ProposedEnvelope>,
    hash: Option<ProposedHash>,
    payload_hash: Option<ProposedHash>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProposedEnvelope {
    payload: Option<String>,
    payload_type: Option<String>,
    signatures: Option<Vec<ProposedSignature>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProposedSignature {
    keyid: Option<String>,
    public_key: Option<String>,
    sig: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow)]
    envelope: Stored<'a>,
    #[serde(borrow)]
    hash: Hash<'a>,
    #[serde(borrow)]
    payload_hash: Hash<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'a> {
    #[serde(borrow)]
    payload_type: Cow<'a, str>,
    #[serde(borrow)]
    signatures: Vec<Signature<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature<'a> {
    #[serde(default, skip_serializing_if = "str::is_empty", borrow)]
    keyid: Cow<'a, str>,
    #[serde(borrow)]
    public_key: Cow<'a, str>,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let Proposed { content } = member::spec(spec)?;
    Ok(verify(Read::new(content)?)?)
}

/// A proposed entry whose members are all there, but for those that only one of its two uses has.
struct Read {
    payload: Option<String>,
    payload_type: String,
    /// As they are stored.
    signatures: Vec<Signature<'static>>,
    /// The text of each signature, which is in base64 once more.
    texts: Vec<String>,
    hash: Hash<'static>,
    payload_hash: Option<ProposedHash>,
}

impl Read {
    fn new(content: Option<ProposedContent>) -> Result<Self, Fault> {
        let content = member::required(content, "spec.content")?;
        let envelope = member::required(content.envelope, ENVELOPE)?;
        let payload_type = member::required(envelope.payload_type, "spec.content.envelope.payloadType")?;
        let proposed = envelope.signatures.filter(|signatures| !signatures.is_empty());
        let proposed = member::required(proposed, SIGNATURES)?;
        envelope::at_most(proposed.len(), "signatures", SIGNATURES)?;
        let mut signatures = Vec::with_capacity(proposed.len());
        let mut texts = Vec::with_capacity(proposed.len());
        for (n, ProposedSignature { keyid, public_key, sig }) in proposed.into_iter().enumerate() {
            let field = format!("{SIGNATURES}[{n}].sig");
            let sig = member::bytes(sig, &field)?;
            let key = member::bytes(public_key, &format!("{SIGNATURES}[{n}].publicKey"))?;
            signatures.push(Signature {
                keyid: keyid.unwrap_or_default().into(),
                public_key: member::encode(&key).into(),
                sig: member::encode(&sig).into(),
            });
            texts.push(text(sig, &field)?);
        }
        let (hash, ..) = member::hash(content.hash, "spec.content.hash", &[HashAlgorithm::Sha256])?;
        Ok(Self {
            payload: envelope.payload.filter(|payload| !payload.is_empty()),
            payload_type,
            signatures,
            texts,
            hash,
            payload_hash: content.payload_hash,
        })
    }

    fn body(self, payload_hash: Hash<'static>) -> Vec<u8> {
        let Self { payload_type, signatures, hash, .. } = self;
        let envelope = Stored { payload_type: payload_type.into(), signatures };
        body::write(KIND.name, KIND.version, &Spec { content: Content { envelope, hash, payload_hash } })
    }
}

fn verify(mut read: Read) -> Result<Admitted, Fault> {
    let payload = text(member::bytes(read.payload.take(), PAYLOAD)?, PAYLOAD)?;
    let mut envelope =
        Envelope::new(read.payload_type.clone(), &payload, std::mem::take(&mut read.texts), ENVELOPE)?;
    let keys = read.signatures.iter().enumerate();
    let keys = keys.map(|(n, signature)| {
        (Some(signature.public_key.clone().into_owned()), format!("{SIGNATURES}[{n}].publicKey"))
    });
    let signers = envelope.verify(keys.collect(), Rest::Tried)?;
    envelope.judge(&signers, SIGNATURES)?;
    let named = named(Some(&envelope.payload_type), &envelope.payload, ENVELOPE)?;
    let payload_hash = Hash::of(&envelope.payload);
    let attestation = Attestation { key: payload_hash.trace(), bytes: envelope.payload };
    Ok(Admitted { body: read.body(payload_hash), named, attestation: Some(attestation) })
}

/// The texts of DSSE are in base64 already, and in base64 once more where a schema asks for bytes.
fn text(bytes: Vec<u8>, field: &str) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| {
        let problem = "could not verify envelope: value is base64 of bytes, base64 of the base64 text in the \
                       envelope was expected";
        Fault::new(field, problem)
    })
}

fn template(spec: &RawValue, _: &Rules) -> Result<Vec<u8>, Refusal> {
    let Proposed { content } = member::spec(spec)?;
    let mut read = Read::new(content)?;
    if read.payload.is_some() {
        return Ok(verify(read)?.body);
    }
    // The canonical form: nothing is left to verify.
    let hash = member::hash(read.payload_hash.take(), "spec.content.payloadHash", &[HashAlgorithm::Sha256]);
    Ok(read.body(hash?.0))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { content: Content { envelope, payload_hash, .. } } = body::read(body)?;
    let keys = envelope.signatures.iter().map(|signature| keys.pem(&signature.public_key, KIND.name));
    let keys = keys.collect::<Result<_, _>>()?;
    Ok(Traces { door: Door::V1, kind: KIND.name, digests: vec![payload_hash.trace()], keys })
}

pub(super) fn describe(body: &[u8]) -> Result<Facts, DescribeError> {
    let Spec { content: Content { envelope, payload_hash, .. } } = body::read(body)?;
    let facts = |signature: &Signature<'_>| {
        let wrong = || DescribeError::Value { kind: KIND.name, field: "sig", expected: "base64 of base64" };
        let text = crate::entry::body::decode(&signature.sig, KIND.name, "sig")?;
        let text = String::from_utf8(text).map_err(|_| wrong())?;
        let bytes = member::dsse_base64(&text).ok_or_else(wrong)?;
        body::facts_of(KIND.name, bytes, &signature.public_key)
    };
    Ok(Facts {
        kind: KIND.name.to_owned(),
        version: KIND.version.to_owned(),
        digest: Some(payload_hash.facts(KIND.name)?),
        signatures: envelope.signatures.iter().map(facts).collect::<Result<_, _>>()?,
    })
}

const ENVELOPE: &str = "spec.content.envelope";
const PAYLOAD: &str = "spec.content.envelope.payload";
const SIGNATURES: &str = "spec.content.envelope.signatures";

//! DSSE envelopes. A proposed one is stored as a hashedrekord over the hash of its pre-authentication encoding; the kind
//! dsse 0.0.2, which older servers wrote, is only read (reference rekor-v2 §1.4.2, §1.4.3, §1.5).

use aws_lc_rs::digest;
use serde::Deserialize;

use super::body::{self, Entry, HashOutput, Signature};
use super::hashedrekord::Checked;
use super::v1::statement::named;
use super::verifier::judge;
use super::{Admitted, DescribeError, DsseRule, Facts, Kind, MAX_BODY, Refusal, Rules};
use crate::attestation::encoding_head;
use crate::keys::{Algorithm, HashAlgorithm, Verifier};
use crate::traces::{Door, KeyCache, Traces};

/// The longest payload that is hashed: what a request of the reference server can hold, and more.
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;
/// The longest payload type.
pub const MAX_PAYLOAD_TYPE: usize = 4 * 1024;

/// A proposed DSSE envelope with the keys that verify it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dsse {
    /// What was signed, but for its type.
    pub payload: Vec<u8>,
    /// The type of the payload.
    pub payload_type: String,
    /// The signatures over the pre-authentication encoding of both.
    pub signatures: Vec<Vec<u8>>,
    /// The keys of the signatures.
    pub verifiers: Vec<Verifier>,
}

pub(super) const KIND: Kind = Kind { name: "dsse", version: "0.0.2", describe, traces };

/// Judges a proposed envelope and makes the hashedrekord that says the same.
pub(super) fn admit(proposed: &Dsse, rules: &Rules) -> Result<Admitted, Refusal> {
    let Dsse { payload, payload_type, signatures, verifiers } = proposed;
    if rules.dsse == DsseRule::Reject {
        let problem = "dsse is not accepted by this log, hashedRekordRequestV002 with the digest of the \
                       envelope's pre-authentication encoding was expected";
        return Err(Refusal::new(REQUEST, problem));
    }
    at_most(PAYLOAD, "payload", payload.len(), MAX_PAYLOAD)?;
    at_most(PAYLOAD_TYPE, "payloadType", payload_type.len(), MAX_PAYLOAD_TYPE)?;
    let [signature] = signatures.as_slice() else {
        let problem = format!("envelope has {} signatures, exactly one was expected", signatures.len());
        return Err(Refusal::new("dsseRequestV002.envelope.signatures", problem));
    };
    at_most(SIGNATURE, "signature", signature.len(), MAX_BODY)?;
    let [verifier] = verifiers.as_slice() else {
        let problem = format!("request has {} verifiers, exactly one was expected", verifiers.len());
        return Err(Refusal::new("dsseRequestV002.verifiers", problem));
    };
    let judged = judge("dsseRequestV002.verifiers[0]", verifier, rules)?;
    let digest = hash_of_encoding(judged.key.algorithm().hash(), payload_type, payload);
    let checked = Checked { digest: digest.as_ref(), signature, verifier, judged: &judged };
    let admitted = checked.admit(REQUEST, |algorithm| {
        // Older servers took pure Ed25519 here, so this is where a client of theirs learns better.
        let form = match algorithm {
            Algorithm::Ed25519Ph => {
                ", Ed25519ph was expected: a pure Ed25519 signature does not go with the hash that is stored"
            }
            _ => "",
        };
        let key = algorithm.key_name();
        let problem = format!("signature is not the {key} key's over the pre-authentication encoding{form}");
        Refusal::new(SIGNATURE, problem)
    })?;
    // The leaf has but one hash of it all, so what the payload is about must be told now or never.
    Ok(Admitted { named: named(Some(payload_type), payload, PAYLOAD)?, ..admitted })
}

fn at_most(field: &str, what: &str, len: usize, most: usize) -> Result<(), Refusal> {
    match len {
        0 => Err(Refusal::new(field, format!("{what} is empty, at least one byte was expected"))),
        len if len > most => {
            Err(Refusal::new(field, format!("{what} is {len} bytes, at most {most} were expected")))
        }
        _ => Ok(()),
    }
}

/// The hash of what a DSSE signature is over.
fn hash_of_encoding(hash: HashAlgorithm, payload_type: &str, payload: &[u8]) -> digest::Digest {
    let mut context = digest::Context::new(hash.function());
    context.update(encoding_head(payload_type, payload.len()).as_bytes());
    context.update(payload);
    context.finish()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec<'a> {
    #[serde(rename = "dsseV002", borrow)]
    dsse: DsseV002<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DsseV002<'a> {
    #[serde(borrow)]
    payload_hash: HashOutput<'a>,
    #[serde(borrow)]
    signatures: Vec<Signature<'a>>,
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Entry { spec: Spec { dsse }, .. } = body::parse(body)?;
    let keys = dsse.signatures.iter().map(|signature| signature.trace(KIND.name, keys));
    Ok(Traces {
        door: Door::V2,
        kind: KIND.name,
        digests: vec![dsse.payload_hash.trace(KIND.name)?],
        keys: keys.collect::<Result<_, _>>()?,
    })
}

fn describe(body: &[u8]) -> Result<Facts, DescribeError> {
    let Entry { kind, api_version, spec: Spec { dsse } } = body::parse(body)?;
    if dsse.signatures.is_empty() {
        let expected = "a list of at least one";
        return Err(DescribeError::Value { kind: KIND.name, field: "signatures", expected });
    }
    let signatures = dsse.signatures.into_iter().map(|signature| signature.facts(KIND.name));
    Ok(Facts {
        kind: kind.into_owned(),
        version: api_version.into_owned(),
        digest: Some(dsse.payload_hash.facts(KIND.name)?),
        signatures: signatures.collect::<Result<_, _>>()?,
    })
}

const REQUEST: &str = "dsseRequestV002";
const PAYLOAD: &str = "dsseRequestV002.envelope.payload";
const PAYLOAD_TYPE: &str = "dsseRequestV002.envelope.payloadType";
const SIGNATURE: &str = "dsseRequestV002.envelope.signatures[0].sig";

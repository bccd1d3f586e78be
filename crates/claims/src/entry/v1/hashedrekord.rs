//! hashedrekord 0.0.1: a signature over the digest of an artifact, which the log does not see.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::member::{self, ProposedHash};
use super::{Admitted, Fault, Kind, Refusal, Rules};
use crate::entry::{DescribeError, Facts};
use crate::keys::HashAlgorithm;
use crate::pki::x509::{KeyType, PublicKey};
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind = Kind { name: "hashedrekord", version: "0.0.1", admit, template, traces };

#[derive(Deserialize)]
struct Proposed {
    data: Option<ProposedData>,
    signature: Option<ProposedSignature>,
}

#[derive(Deserialize)]
struct ProposedData {
    hash: Option<ProposedHash>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProposedSignature {
    content: Option<String>,
    public_key: Option<ProposedContent>,
}

#[derive(Deserialize)]
struct ProposedContent {
    content: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    data: Data<'a>,
    #[serde(borrow)]
    signature: Signature<'a>,
}

#[derive(Serialize, Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    hash: Hash<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(borrow)]
    public_key: Content<'a>,
}

#[derive(Serialize, Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

fn admit(spec: &RawValue, rules: &Rules) -> Result<Admitted, Refusal> {
    let verified = verify(spec)?;
    rules.judge_kind(KIND.name)?;
    let (key, hash) = (verified.key.key_type(), verified.hash);
    if !rules.algorithms.allows(key, hash) {
        let (hash, accepted) = (member::name(hash), rules.algorithms);
        let problem = format!("{key} with {hash}, this log accepts {accepted}");
        return Err(Refusal::Algorithms { problem });
    }
    Ok(Admitted { body: verified.body, named: Vec::new(), attestation: None })
}

/// A hashedrekord holds all that was proposed, so what it stands for is found as it is admitted, whatever the log accepts.
fn template(spec: &RawValue, _: &Rules) -> Result<Vec<u8>, Refusal> {
    Ok(verify(spec)?.body)
}

struct Verified {
    body: Vec<u8>,
    key: PublicKey,
    hash: HashAlgorithm,
}

fn verify(spec: &RawValue) -> Result<Verified, Fault> {
    let Proposed { data, signature } = member::spec(spec)?;
    let signature = member::required(signature, "spec.signature")?;
    let content = member::bytes(signature.content, CONTENT)?;
    let key = member::required(signature.public_key, "spec.signature.publicKey")?;
    let key = member::public_key(key.content, PUBLIC_KEY)?;
    let data = member::required(data, "spec.data")?;
    let known = [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512];
    let (stored, hash, digest) = member::hash(data.hash, "spec.data.hash", &known)?;
    key.judge_chain().map_err(|error| Fault::new(PUBLIC_KEY, error.problem))?;
    if !key.verify_digest(hash, &digest, &content) {
        return Err(Fault::new(CONTENT, refusal(key.key_type(), hash)));
    }
    let spec = Spec {
        data: Data { hash: stored },
        signature: Signature {
            content: member::encode(&content).into(),
            public_key: Content { content: member::encode(key.canonical()).into() },
        },
    };
    Ok(Verified { body: body::write(KIND.name, KIND.version, &spec), key, hash })
}

/// Why a signature is none. Clients look for what stands before the second colon.
fn refusal(key: KeyType, hash: HashAlgorithm) -> String {
    let hash = member::name(hash);
    match key {
        KeyType::Ed25519 if hash != "sha512" => format!(
            "verifying signature: ed25519: invalid signature: Ed25519ph goes with sha512, the digest is {hash}"
        ),
        KeyType::Ed25519 => {
            "verifying signature: ed25519: invalid signature: Ed25519ph with an empty context was expected, pure \
             Ed25519 signs the artifact itself, which the log does not see"
                .to_owned()
        }
        KeyType::Rsa(_) => format!(
            "verifying signature: crypto/rsa: verification error: it is not the {key} key's over the digest, PKCS#1 \
             v1.5 with {hash} was expected"
        ),
        _ => format!(
            "verifying signature: invalid signature when validating ASN.1 encoded signature: it is not the {key} \
             key's over the digest"
        ),
    }
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { data, signature } = body::read(body)?;
    let key = keys.pem(&signature.public_key.content, KIND.name)?;
    Ok(Traces { door: Door::V1, kind: KIND.name, digests: vec![data.hash.trace()], keys: vec![key] })
}

pub(super) fn describe(body: &[u8]) -> Result<Facts, DescribeError> {
    let Spec { data, signature } = body::read(body)?;
    let bytes = crate::entry::body::decode(&signature.content, KIND.name, "signature")?;
    Ok(Facts {
        kind: KIND.name.to_owned(),
        version: KIND.version.to_owned(),
        digest: Some(data.hash.facts(KIND.name)?),
        signatures: vec![body::facts_of(KIND.name, bytes, &signature.public_key.content)?],
    })
}

const CONTENT: &str = "spec.signature.content";
const PUBLIC_KEY: &str = "spec.signature.publicKey.content";

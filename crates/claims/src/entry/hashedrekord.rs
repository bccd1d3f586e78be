//! hashedrekord 0.0.2: a signature over the digest of an artifact (reference rekor-v2 §1.4.1, §1.5).

use serde::Deserialize;

use super::body::{self, Entry, HashOutput, HashedRekordBody, Signature};
use super::verifier::{Judged, judge};
use super::{Admitted, DescribeError, Facts, Kind, MAX_BODY, Refusal, Rules};
use crate::keys::{Algorithm, Verifier};
use crate::traces::{Door, KeyCache, Traces};

/// A proposed hashedrekord.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashedRekord {
    /// The digest of the artifact.
    pub digest: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
    /// The key that verifies it.
    pub verifier: Option<Verifier>,
}

pub(super) const KIND: Kind = Kind { name: "hashedrekord", version: "0.0.2", describe, traces };

/// Judges a proposed hashedrekord, in the order of the reference server.
pub(super) fn admit(proposed: &HashedRekord, rules: &Rules) -> Result<Admitted, Refusal> {
    let HashedRekord { digest, signature, verifier } = proposed;
    if signature.is_empty() {
        return Err(Refusal::new(SIGNATURE, "signature is empty, one over the digest was expected"));
    }
    if signature.len() > MAX_BODY {
        let problem =
            format!("signature is {} bytes, an entry holds at most {MAX_BODY} in all", signature.len());
        return Err(Refusal::new(SIGNATURE, problem));
    }
    let Some(verifier) = verifier else {
        let problem = "verifier is missing, a publicKey or x509Certificate with its keyDetails was expected";
        return Err(Refusal::new(VERIFIER, problem));
    };
    if digest.is_empty() {
        return Err(Refusal::new(DIGEST, "digest is empty, the hash of the artifact was expected"));
    }
    let judged = judge(VERIFIER, verifier, rules)?;
    let hash = judged.key.algorithm().hash();
    if digest.len() != hash.digest_len() {
        let problem = format!("digest is {} bytes, {hash} needs {}", digest.len(), hash.digest_len());
        return Err(Refusal::new(DIGEST, problem));
    }
    let checked = Checked { digest, signature, verifier, judged: &judged };
    checked.admit(REQUEST, |algorithm| {
        let form = match algorithm {
            Algorithm::Ed25519Ph => ", Ed25519ph with an empty context was expected",
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => ", PKCS#1 v1.5 was expected",
            _ => "",
        };
        let key = algorithm.key_name();
        Refusal::new(SIGNATURE, format!("signature is not the {key} key's over the digest{form}"))
    })
}

/// All but the signature was found good; the digest has the length of the key's hash function.
pub(super) struct Checked<'a> {
    pub(super) digest: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) verifier: &'a Verifier,
    pub(super) judged: &'a Judged,
}

impl Checked<'_> {
    /// Verifies the signature, last because it costs the most, and writes the body.
    pub(super) fn admit(
        &self,
        request: &str,
        refuse_signature: impl FnOnce(Algorithm) -> Refusal,
    ) -> Result<Admitted, Refusal> {
        let Judged { key, details } = self.judged;
        let body = HashedRekordBody {
            algorithm: key.algorithm().hash().name(),
            digest: self.digest,
            signature: self.signature,
            details: *details,
            material: &self.verifier.material,
        };
        if body.len() > MAX_BODY {
            let problem =
                format!("entry is {} bytes in the log, at most {MAX_BODY} were expected", body.len());
            return Err(Refusal::new(request, problem));
        }
        if !key.verifies(self.digest, self.signature) {
            return Err(refuse_signature(key.algorithm()));
        }
        Ok(Admitted { body: body.write(), named: Vec::new() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec<'a> {
    #[serde(borrow)]
    hashed_rekord_v002: HashedRekordV002<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekordV002<'a> {
    #[serde(borrow)]
    data: HashOutput<'a>,
    #[serde(borrow)]
    signature: Signature<'a>,
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Entry { spec: Spec { hashed_rekord_v002: spec }, .. } = body::parse(body)?;
    Ok(Traces {
        door: Door::V2,
        kind: KIND.name,
        digests: vec![spec.data.trace(KIND.name)?],
        keys: vec![spec.signature.trace(KIND.name, keys)?],
    })
}

fn describe(body: &[u8]) -> Result<Facts, DescribeError> {
    let Entry { kind, api_version, spec: Spec { hashed_rekord_v002: spec } } = body::parse(body)?;
    Ok(Facts {
        kind: kind.into_owned(),
        version: api_version.into_owned(),
        digest: Some(spec.data.facts(KIND.name)?),
        signatures: vec![spec.signature.facts(KIND.name)?],
    })
}

const REQUEST: &str = "hashedRekordRequestV002";
const DIGEST: &str = "hashedRekordRequestV002.digest";
const SIGNATURE: &str = "hashedRekordRequestV002.signature.content";
const VERIFIER: &str = "hashedRekordRequestV002.signature.verifier";

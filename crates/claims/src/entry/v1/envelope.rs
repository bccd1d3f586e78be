//! DSSE envelopes (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>) and who signed them.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{self, Digest, SHA256};
use serde::Deserialize;

use super::{Fault, member};
use crate::attestation;
use crate::pki::x509::{KeyType, PublicKey};

/// The most signatures in an envelope, and the most keys beside it.
pub(super) const MAX_SIGNERS: usize = 100;
/// The most bytes that are hashed anew for each pair of key and signature, which only Ed25519 asks for.
const MAX_HASHED: usize = 1 << 28;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    payload: Option<String>,
    payload_type: Option<String>,
    signatures: Option<Vec<WireSignature>>,
}

#[derive(Deserialize)]
struct WireSignature {
    sig: Option<String>,
}

/// An envelope that was read, and can be verified.
pub(super) struct Envelope {
    pub(super) payload_type: String,
    pub(super) payload: Vec<u8>,
    /// Each as the text that it came in, and its bytes.
    signatures: Vec<(String, Vec<u8>)>,
    /// What is signed.
    encoding: Vec<u8>,
    hash: Digest,
    /// How many bytes may still be hashed for Ed25519.
    budget: usize,
}

impl Envelope {
    /// From the JSON text that stands at that place.
    pub(super) fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        let Wire { payload, payload_type, signatures } = member::json(text, field)?;
        let payload = member::required(payload, &format!("{field}.payload"))?;
        let payload_type = member::required(payload_type, &format!("{field}.payloadType"))?;
        let mut texts = Vec::new();
        for (n, signature) in signatures.unwrap_or_default().into_iter().enumerate() {
            texts.push(member::required(signature.sig, &format!("{field}.signatures[{n}].sig"))?);
        }
        Self::new(payload_type, &payload, texts, field)
    }

    /// From its parts, the payload and the signatures in base64.
    pub(super) fn new(
        payload_type: String,
        payload: &str,
        signatures: Vec<String>,
        field: &str,
    ) -> Result<Self, Fault> {
        let decode = |text: &str, name: &str| {
            let problem = || format!("could not verify envelope: {name} is not base64, with padding");
            member::dsse_base64(text).ok_or_else(|| Fault::new(format!("{field}.{name}"), problem()))
        };
        if signatures.is_empty() {
            let problem = "could not verify envelope: no signatures found, at least one was expected";
            return Err(Fault::new(field, problem));
        }
        at_most(signatures.len(), "signatures", &format!("{field}.signatures"))?;
        let payload = decode(payload, "payload")?;
        let signatures = signatures.into_iter().enumerate().map(|(n, text)| {
            let bytes = decode(&text, &format!("signatures[{n}].sig"))?;
            Ok((text, bytes))
        });
        let signatures = signatures.collect::<Result<Vec<_>, Fault>>()?;
        let encoding = attestation::encoding(&payload_type, &payload);
        let hash = digest::digest(&SHA256, &encoding);
        Ok(Self { payload_type, payload, signatures, encoding, hash, budget: MAX_HASHED })
    }

    /// The first signature that is this key's. There must be one.
    pub(super) fn signed_by(&mut self, key: &PublicKey, field: &str) -> Result<usize, Fault> {
        for (n, (_, signature)) in self.signatures.iter().enumerate() {
            if key.key_type() == KeyType::Ed25519 {
                let left = self.budget.checked_sub(self.encoding.len());
                self.budget = left.ok_or_else(|| {
                    let problem = "could not verify envelope: so many Ed25519 keys and signatures over so long a \
                                   payload cost too much, put the RSA and ECDSA keys first or make it shorter";
                    Fault::new(field, problem)
                })?;
            }
            if key.verify_hashed(&self.encoding, &self.hash, signature) {
                return Ok(n);
            }
        }
        let name = key.key_type();
        let problem = format!(
            "could not verify envelope: no signature is the {name} key's over the pre-authentication encoding"
        );
        Err(Fault::new(field, problem))
    }

    /// Finds for each signature a key that it is of: by its text, the canonical PEM of the key. Each key that is tried
    /// must have a signature. Keys after all signatures are accounted for are tried as `rest` says.
    pub(super) fn verify(
        &mut self,
        keys: Vec<(Option<String>, String)>,
        rest: Rest,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let mut unaccounted: std::collections::HashSet<_> =
            self.signatures.iter().map(|(text, _)| text.clone()).collect();
        let mut signers = BTreeMap::new();
        for (key, field) in keys {
            if unaccounted.is_empty() && rest == Rest::Ignored {
                break;
            }
            let key = member::public_key(key, &field)?;
            let n = self.signed_by(&key, &field)?;
            let text = &self.signatures[n].0;
            unaccounted.remove(text);
            signers.insert(text.clone(), member::encode(key.canonical()));
        }
        Ok(signers)
    }

    /// Refuses an envelope that has a signature of nobody in the list.
    pub(super) fn judge(&self, signers: &BTreeMap<String, String>, field: &str) -> Result<(), Fault> {
        match self.signatures.iter().position(|(text, _)| !signers.contains_key(text)) {
            None => Ok(()),
            Some(n) => {
                let problem =
                    format!("all signatures must have a key that verifies it, signature {n} has none");
                Err(Fault::new(field, problem))
            }
        }
    }
}

/// What becomes of keys when all signatures are accounted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Ignored,
    Tried,
}

/// Bounds a list.
pub(super) fn at_most(len: usize, what: &str, field: &str) -> Result<(), Fault> {
    if len <= MAX_SIGNERS {
        return Ok(());
    }
    Err(Fault::new(field, format!("entry has {len} {what}, at most {MAX_SIGNERS} were expected")))
}

//! cose 0.0.1: a message signed by one key in CBOR (`COSE_Sign1`, RFC 9052 §4.2). The message itself
//! may be kept beside the log.

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use coset::{
    Algorithm, ContentType, CoseSign1, RegisteredLabelWithPrivate, TaggedCborSerializable as _, iana,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::content::{self, VERSION, refuse};
use super::statement::{IN_TOTO, named};
use super::{Admitted, Attestation, Fault, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::keys::HashAlgorithm;
use crate::keys::spki::{self, Spki};
use crate::pki::x509::{KeyType, PublicKey};
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind = Kind { name: "cose", version: VERSION, admit, template, traces };

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proposed {
    message: Option<String>,
    public_key: Option<String>,
    data: Option<ProposedData>,
}

#[derive(Deserialize)]
struct ProposedData {
    aad: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    data: Data,
    public_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Data {
    #[serde(deserialize_with = "content::hash")]
    envelope_hash: Hash<'static>,
    #[serde(deserialize_with = "content::hash")]
    payload_hash: Hash<'static>,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let Proposed { message, public_key, data } = member::spec(spec)?;
    let key = member::public_key(public_key, "spec.publicKey")?;
    let data = member::required(data, "spec.data")?;
    let raw = member::bytes(message, MESSAGE)?;
    let aad = data.aad.filter(|aad| !aad.is_empty()).map(|aad| member::bytes(Some(aad), "spec.data.aad"));
    let aad = aad.transpose()?.unwrap_or_default();

    let message = CoseSign1::from_tagged_slice(&raw)
        .map_err(|error| wrong(&format!("is not a tagged COSE_Sign1: {error}")))?;
    let payload = message.payload.as_deref();
    let payload = payload.ok_or_else(|| wrong("has no payload in it"))?;
    judge(&key, &message, &aad)?;

    let is_statement = message.protected.header.content_type == Some(ContentType::Text(IN_TOTO.to_owned()));
    let named = named(is_statement.then_some(IN_TOTO), payload, MESSAGE)?;
    let envelope_hash = Hash::of(&raw);
    let key_of_attestation = envelope_hash.trace();
    let spec = Spec {
        data: Data { envelope_hash, payload_hash: Hash::of(payload) },
        public_key: member::encode(key.canonical()),
    };
    let attestation = Some(Attestation { key: key_of_attestation, bytes: raw });
    Ok(Admitted { body: body::write(KIND.name, VERSION, &spec), named, attestation })
}

/// Whether the key signed the message, by the one algorithm that goes with its type.
fn judge(key: &PublicKey, message: &CoseSign1, aad: &[u8]) -> Result<(), Fault> {
    let expected = match key.key_type() {
        KeyType::P256 => iana::Algorithm::ES256,
        KeyType::Rsa(_) => iana::Algorithm::PS256,
        other => {
            let problem = format!("public key is {other}, ECDSA P-256 or RSA was expected");
            return Err(refuse("spec.publicKey", problem));
        }
    };
    let algorithm = message.protected.header.alg.as_ref();
    if algorithm != Some(&Algorithm::Assigned(expected)) {
        let said = match algorithm {
            None => "none".to_owned(),
            Some(RegisteredLabelWithPrivate::Assigned(algorithm)) => format!("{algorithm:?}"),
            Some(other) => format!("{other:?}").chars().take(80).collect(),
        };
        return Err(wrong(&format!(
            "has algorithm {said} in its protected header, {expected:?} was expected"
        )));
    }
    let verified =
        message.verify_signature(aad, |signature, signed| match spki::read(key.spki(), "public key") {
            Ok(Spki::Rsa(rsa)) => {
                UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, rsa).verify(signed, signature).map_err(drop)
            }
            // In COSE the two halves alone are a signature.
            _ if signature.len() == 64 => {
                let digest = digest::digest(&SHA256, signed);
                key.verify_digest(HashAlgorithm::Sha256, digest.as_ref(), signature).then_some(()).ok_or(())
            }
            _ => Err(()),
        });
    verified.map_err(|()| wrong("has a signature that is not the key's over it and data.aad"))
}

fn wrong(problem: &str) -> Fault {
    refuse(MESSAGE, format!("message {problem}"))
}

fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    content::template::<Spec>(KIND.name, spec, admit(spec, rules))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { data, public_key } = content::read(body)?;
    let digests = vec![data.payload_hash.trace(), data.envelope_hash.trace()];
    Ok(Traces { door: Door::V1, kind: KIND.name, digests, keys: vec![keys.pem(&public_key, KIND.name)?] })
}

const MESSAGE: &str = "spec.message";

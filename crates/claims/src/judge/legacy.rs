//! Judgement of a signature as cosign kept them before bundles: a layer of the image tagged `sha256-….sig` or `.att`, whose
//! annotations have the certificate and what the log answered
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>).
//!
//! Such a layer says what a bundle of version 0.1 says, in other places. So it is written as one, and judged as one: there is
//! one way to be verified. What is left is the layer's own claim, which image it is about.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::Hash;
use serde_json::{Value, json};

use super::bundle::judge_shown;
use super::check::{ARTIFACT, Checks, Outcome, SHAPE};
use super::shape::{Shown, is_self_signed};
use super::{Artifact, Judged, Policy, TrustedRoot};
use crate::entry::describe;
use crate::json;
use crate::pki::pem;
use crate::simple_signing::{self, SimpleSigning};

/// The media type of a layer that is an attestation.
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
/// The annotation of a layer with the proof that its log has its entry, spelled as in bundles. It is ours: cosign writes none,
/// and passes over what it does not know.
pub const LAYER_PROOF: &str = "bulla/inclusion-proof";
/// The longest annotation, in bytes.
const MAX_ANNOTATION: usize = 1 << 20;

/// One layer with a signature.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// Its bytes, as they were fetched.
    pub payload: &'a [u8],
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
}

/// Judges one layer for the image whose manifest has that SHA-256. What else is as with
/// [`judge_bundle`](super::judge_bundle), but that a promise of the log is enough where there is no [`LAYER_PROOF`].
pub fn judge_layer(layer: Layer<'_>, image: &Hash, root: &TrustedRoot, policy: &Policy, now: u64) -> Judged {
    let bundle = match as_bundle(layer) {
        Ok(bundle) => bundle.to_string(),
        Err(problem) => return refused(problem),
    };
    let judge =
        |artifact: &Artifact<'_>| judge_shown(bundle.as_bytes(), artifact, root, policy, now, Shown::Promise);
    if layer.media_type == DSSE {
        return judge(&Artifact::Sha256(*image));
    }
    let judged = judge(&Artifact::Bytes(layer.payload));
    claimed(judged, layer.payload, image)
}

fn refused(problem: String) -> Judged {
    let mut checks = Checks::default();
    checks.note(SHAPE, Err(problem));
    checks.finish(None, None)
}

/// The signature is over the payload; the payload must be about the image.
fn claimed(mut judged: Judged, payload: &[u8], image: &Hash) -> Judged {
    let about = format!("sha256:{image}");
    let problem = match SimpleSigning::parse(payload) {
        Err(refusal) => refusal.to_string(),
        Ok(claim) if claim.digest == about => return judged,
        Ok(claim) => format!("payload is about the image {}, {about} was expected", claim.digest),
    };
    for check in judged.checks.iter_mut().filter(|check| check.name == ARTIFACT) {
        check.outcome = Outcome::Failed(problem.clone());
    }
    judged
}

/// The layer, written as a bundle.
fn as_bundle(layer: Layer<'_>) -> Result<Value, String> {
    let said = |name: &str| match layer.annotations.get(name) {
        Some(value) if value.len() > MAX_ANNOTATION => {
            Err(format!("annotation {name} is {} bytes, at most {MAX_ANNOTATION} were expected", value.len()))
        }
        value => Ok(value.map(String::as_str).filter(|value| !value.is_empty())),
    };
    let content = match layer.media_type {
        simple_signing::MEDIA_TYPE => {
            let signature = said("dev.cosignproject.cosign/signature")?.ok_or("layer has no signature")?;
            ("messageSignature", json!({ "signature": signature }))
        }
        DSSE => ("dsseEnvelope", json::read(layer.payload, "envelope").map_err(|error| error.to_string())?),
        other => return Err(format!("layer is of type {other:?}, which is no signature")),
    };
    let material = match said("dev.sigstore.cosign/certificate")? {
        None => ("publicKey", json!({ "hint": "" })),
        Some(pem) => {
            let mut chain =
                certificates(pem.as_bytes()).map_err(|problem| format!("certificate: {problem}"))?;
            chain.truncate(1);
            let others =
                said("dev.sigstore.cosign/chain")?.map(|pem| certificates(pem.as_bytes())).transpose();
            let others = others.map_err(|problem| format!("chain: {problem}"))?;
            // Roots are those of the trusted root; one that was sent along means nothing.
            chain.extend(others.into_iter().flatten().filter(|der| !is_self_signed(der)));
            let chain = chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
            ("x509CertificateChain", json!({ "certificates": chain.collect::<Vec<_>>() }))
        }
    };
    let proof = said(LAYER_PROOF)?;
    let entries = said("dev.sigstore.cosign/bundle")?.map(|promise| entry(promise, proof)).transpose()?;
    // Of an attestation the timestamp is over the envelope, not over its signature, and says nothing that is asked here.
    let timestamp = said("dev.sigstore.cosign/rfc3161timestamp")?.filter(|_| layer.media_type != DSSE);
    let timestamps = timestamp.map(|text| {
        let read = json::read(text.as_bytes(), "rfc3161timestamp").map_err(|error| error.to_string())?;
        Ok::<_, String>(json!({ "signedTimestamp": read["SignedRFC3161Timestamp"] }))
    });
    Ok(json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {
            material.0: material.1,
            "tlogEntries": entries.into_iter().collect::<Vec<_>>(),
            "timestampVerificationData": { "rfc3161Timestamps": timestamps.into_iter().collect::<Result<Vec<_>, _>>()? },
        },
        content.0: content.1,
    }))
}

/// What the log answered, as an entry of a bundle. Kind and version are what the body says, and are judged with it.
fn entry(promise: &str, proof: Option<&str>) -> Result<Value, String> {
    let read = |text: &str, name: &str| json::read(text.as_bytes(), name).map_err(|error| error.to_string());
    let said = read(promise, "bundle")?;
    let proof = proof.map(|proof| read(proof, LAYER_PROOF)).transpose()?;
    let payload = &said["Payload"];
    let body = payload["body"].as_str().and_then(|body| STANDARD.decode(body).ok());
    let body = body.ok_or("bundle.Payload.body is not base64")?;
    let facts = describe(&body).map_err(|error| format!("bundle.Payload.body: {error}"))?;
    let log = payload["logID"].as_str().and_then(Hash::from_hex);
    let log = log.ok_or("bundle.Payload.logID is not 64 digits of hexadecimal")?;
    let number = |name: &str| {
        let number = payload[name].as_u64();
        number
            .map(|number| number.to_string())
            .ok_or_else(|| format!("bundle.Payload.{name} is not a number"))
    };
    Ok(json!({
        "logIndex": number("logIndex")?,
        "logId": { "keyId": log.to_base64() },
        "kindVersion": { "kind": facts.kind, "version": facts.version },
        "integratedTime": number("integratedTime")?,
        "inclusionPromise": { "signedEntryTimestamp": said["SignedEntryTimestamp"] },
        "inclusionProof": proof,
        "canonicalizedBody": STANDARD.encode(body),
    }))
}

/// The certificates in a text of PEM.
fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let block = |block: pem::Block| match block.label.as_str() {
        "CERTIFICATE" => Ok(block.der),
        other => Err(format!("has a block {other:?}, CERTIFICATE was expected")),
    };
    pem::read(text, MAX_CHAIN)?.into_iter().map(block).collect()
}

/// The most certificates in an annotation.
const MAX_CHAIN: usize = 10;

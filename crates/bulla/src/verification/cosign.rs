//! What verification says in the words of cosign, for scripts that read those: payloads on standard output, and its exit codes.
//!
//! The one thing that cosign leaves out and that is said here: who signed a bundle.

use std::collections::BTreeMap;

use bulla_claims::identity::workflow;
use bulla_claims::judge::{Content, Verdict};
use bulla_claims::pki::pem;
use bulla_claims::simple_signing;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Candidate, Form, Report};

/// There are no signatures.
const NO_SIGNATURES: u8 = 10;
/// There is no such image.
pub(crate) const NO_IMAGE: u8 = 11;
/// There are signatures, and none that was asked for.
const NO_MATCH: u8 = 12;
/// There are signatures, and none has the certificate that was asked for.
const NO_CERTIFICATE: u8 = 13;
/// Anything else.
pub(crate) const OTHER: u8 = 1;

impl Report<'_> {
    /// What cosign prints: a list of payloads of signatures, or the envelopes of attestations, a line each.
    pub(crate) fn cosign(&self) -> String {
        let verified = self.found.candidates.iter().filter(|candidate| candidate.judged.verified());
        if self.verdict != Verdict::Verified {
            return String::new();
        }
        if *self.content == Content::Signature {
            let payloads: Vec<_> = verified.map(payload).collect();
            return format!("\n{}\n", Value::from(payloads));
        }
        verified.filter_map(envelope).map(|envelope| envelope + "\n").collect()
    }

    /// The exit code of something that is not verified, once it was found.
    pub(crate) fn cosign_code(&self, by_key: bool) -> u8 {
        let all = &self.found.candidates;
        match (self.verdict, self.content) {
            (Verdict::NotVerified, Content::Signature) if all.is_empty() => NO_SIGNATURES,
            (Verdict::NotVerified, Content::Signature) if !by_key && !all.iter().any(has_certificate) => {
                NO_CERTIFICATE
            }
            (Verdict::NotVerified, Content::Signature) => NO_MATCH,
            _ => OTHER,
        }
    }
}

fn has_certificate(candidate: &Candidate) -> bool {
    match &candidate.form {
        Form::Layer { annotations, .. } => annotations.contains_key(CERTIFICATE),
        Form::Bundle(_) => candidate.judged.signed.as_ref().is_some_and(|signed| signed.identity.is_some()),
    }
}

/// A signature of an image: what was signed, and what else is known in `optional`.
fn payload(candidate: &Candidate) -> Value {
    let identity = candidate.judged.signed.as_ref().and_then(|signed| signed.identity.as_ref());
    let (critical, said, mut known) = match &candidate.form {
        Form::Layer { payload, annotations, .. } => {
            let mut signed: Value = serde_json::from_slice(payload).unwrap_or_default();
            (signed["critical"].take(), signed["optional"].take(), of_layer(annotations))
        }
        Form::Bundle(_) => of_statement(candidate),
    };
    if let Some(identity) = identity {
        known.insert("Subject".to_owned(), identity.subject.clone().into());
        known.insert("Issuer".to_owned(), identity.issuer.clone().into());
        known.insert("1.3.6.1.4.1.57264.1.1".to_owned(), identity.issuer.clone().into());
    }
    let optional = match said {
        Value::Object(said) => Value::Object(said.into_iter().chain(known).collect()),
        _ if known.is_empty() => Value::Null,
        _ => Value::Object(known),
    };
    json!({ "critical": critical, "optional": optional })
}

/// What a statement says in the place of such a payload.
fn of_statement(candidate: &Candidate) -> (Value, Value, Map<String, Value>) {
    let Some(statement) = &candidate.judged.statement else { return Default::default() };
    let subject = statement.subjects.first();
    let digest = subject.and_then(|subject| subject.digest.get("sha256"));
    let critical = json!({
        "identity": { "docker-reference": subject.and_then(|subject| subject.name.as_deref()).unwrap_or_default() },
        "image": { "docker-manifest-digest": digest.map(|hex| format!("sha256:{hex}")) },
        "type": statement.predicate_type,
    });
    let annotations = subject.map(|subject| &subject.annotations).filter(|said| !said.is_empty());
    (critical, json!(annotations), Map::new())
}

/// What a layer came with.
fn of_layer(annotations: &BTreeMap<String, String>) -> Map<String, Value> {
    let mut known = Map::new();
    let read = |name: &str| serde_json::from_str::<Value>(annotations.get(name)?).ok();
    let said = [("Bundle", read(BUNDLE)), ("RFC3161Timestamp", read(TIMESTAMP))];
    known.extend(said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let certificate = annotations.get(CERTIFICATE).and_then(|text| pem::read(text.as_bytes(), 1).ok());
    let certificate = certificate.and_then(|blocks| blocks.into_iter().next());
    for (oid, value) in certificate.map(|block| workflow(&block.der)).unwrap_or_default() {
        let name = WORKFLOW.iter().find(|(known, _)| *known == oid).map(|(_, name)| (*name).to_owned());
        known.extend(name.map(|name| (name, Value::from(value.as_str()))));
        known.insert(oid, value.into());
    }
    known
}

/// The envelope of an attestation, in one line.
fn envelope(candidate: &Candidate) -> Option<String> {
    match &candidate.form {
        // As it was fetched, if that is one line; as it was judged if it is not.
        Form::Layer { media_type, payload, .. } if media_type != simple_signing::MEDIA_TYPE => {
            let envelope: Envelope<'_> = serde_json::from_slice(payload).ok()?;
            serde_json::to_string(&envelope).ok()
        }
        Form::Layer { .. } => None,
        Form::Bundle(bytes) => {
            let bundle: Bundle<'_> = serde_json::from_slice(bytes).ok()?;
            serde_json::to_string(&bundle.dsse_envelope?).ok()
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'b> {
    #[serde(borrow)]
    dsse_envelope: Option<Envelope<'b>>,
}

/// The members in the order of cosign.
#[derive(serde::Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'b> {
    #[serde(borrow)]
    payload_type: &'b RawValue,
    #[serde(borrow)]
    payload: &'b RawValue,
    signatures: Vec<Signature<'b>>,
}

#[derive(serde::Deserialize, Serialize)]
struct Signature<'b> {
    #[serde(default)]
    keyid: String,
    #[serde(borrow)]
    sig: &'b RawValue,
}

const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// What cosign calls the extensions of certificates for jobs of GitHub.
const WORKFLOW: [(&str, &str); 5] = [
    ("1.3.6.1.4.1.57264.1.2", "githubWorkflowTrigger"),
    ("1.3.6.1.4.1.57264.1.3", "githubWorkflowSha"),
    ("1.3.6.1.4.1.57264.1.4", "githubWorkflowName"),
    ("1.3.6.1.4.1.57264.1.5", "githubWorkflowRepository"),
    ("1.3.6.1.4.1.57264.1.6", "githubWorkflowRef"),
];

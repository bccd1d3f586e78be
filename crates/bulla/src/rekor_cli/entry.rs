//! How rekor-cli shows an entry: the lines and objects that scripts read.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_rekor::client::v1::Entry;
use bulla_tlog::{Hash, node_hash};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// What `get` prints.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    attestation: String,
    attestation_type: &'static str,
    body: Value,
    log_index: u64,
    integrated_time: u64,
    #[serde(rename = "UUID")]
    uuid: String,
    #[serde(rename = "LogID")]
    log_id: String,
}

impl Shown {
    pub(super) fn new(entry: &Entry) -> Self {
        let attestation = entry.attestation.as_deref().unwrap_or_default();
        Self {
            attestation: String::from_utf8_lossy(attestation).into_owned(),
            attestation_type: "",
            body: body(entry),
            log_index: entry.log_index,
            integrated_time: entry.integrated_time,
            uuid: entry.id.to_string(),
            log_id: entry.log_id.clone(),
        }
    }

    pub(super) fn lines(&self) -> String {
        let seconds = i64::try_from(self.integrated_time).unwrap_or(i64::MAX);
        let time =
            jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string());
        let attestation = match self.attestation.as_str() {
            "" => String::new(),
            text => format!("Attestation: {text}\n"),
        };
        format!(
            "LogID: {}\n{attestation}Index: {}\nIntegratedTime: {time}\nUUID: {}\nBody: {:#}\n\n",
            self.log_id, self.log_index, self.uuid, self.body
        )
    }
}

/// The content under the name that rekor-cli gives each kind; a body of another kind as it is.
fn body(entry: &Entry) -> Value {
    let document: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
    let wrapper = match (document["kind"].as_str(), document["apiVersion"].as_str()) {
        (Some("hashedrekord"), Some("0.0.1")) => "HashedRekordObj",
        (Some("rekord"), _) => "RekordObj",
        (Some("dsse"), Some("0.0.1")) => "DSSEObj",
        (Some("intoto"), _) => "IntotoObj",
        (Some("rpm"), _) => "RPMModel",
        (Some("alpine"), _) => "AlpineModel",
        (Some("jar"), _) => "JARModel",
        (Some("helm"), _) => "HelmObj",
        (Some("tuf"), _) => "TufObj",
        (Some("rfc3161"), _) => "Rfc3161Obj",
        (Some("cose"), _) => "CoseObj",
        _ => return document,
    };
    json!({ wrapper: document["spec"] })
}

/// A `TransparencyLogEntry` in the JSON of protobuf (sigstore protobuf-specs, `sigstore_rekor.proto`).
pub(super) fn tle(entry: &Entry) -> Value {
    let document: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
    let proof = &entry.verification.inclusion_proof;
    let log_id = Hash::from_hex(&entry.log_id).map(|id| id.to_base64()).unwrap_or_default();
    json!({
        "logIndex": entry.log_index.to_string(),
        "logId": { "keyId": log_id },
        "kindVersion": { "kind": document["kind"], "version": document["apiVersion"] },
        "integratedTime": entry.integrated_time.to_string(),
        "inclusionPromise": {
            "signedEntryTimestamp": STANDARD.encode(&entry.verification.signed_entry_timestamp),
        },
        "inclusionProof": {
            "logIndex": proof.log_index.to_string(),
            "rootHash": proof.root_hash.to_base64(),
            "treeSize": proof.tree_size.to_string(),
            "hashes": proof.hashes.iter().map(Hash::to_base64).collect::<Vec<_>>(),
            "checkpoint": { "envelope": proof.checkpoint },
        },
        "canonicalizedBody": entry.body_base64,
    })
}

/// What `verify` prints.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Verified {
    root_hash: String,
    #[serde(rename = "EntryUUID")]
    uuid: String,
    index: u64,
    size: u64,
    hashes: Vec<String>,
    checkpoint: String,
    #[serde(skip)]
    steps: String,
}

impl Verified {
    pub(super) fn new(entry: &Entry) -> Self {
        let proof = &entry.verification.inclusion_proof;
        Self {
            root_hash: proof.root_hash.to_string(),
            uuid: entry.id.to_string(),
            index: proof.log_index,
            size: proof.tree_size,
            hashes: proof.hashes.iter().map(ToString::to_string).collect(),
            checkpoint: proof.checkpoint.clone(),
            steps: steps(entry),
        }
    }

    pub(super) fn lines(&self) -> String {
        format!(
            "Current Root Hash: {root}\nEntry Hash: {}\nEntry Index in Current Tree: {}\nCurrent Tree Size: {}\n\
             Checkpoint:\n{}\n\nInclusion Proof:\n{}",
            self.uuid,
            self.index,
            self.size,
            self.checkpoint,
            self.steps,
            root = self.root_hash,
        )
    }
}

/// Each step of the path from the leaf to the root, which was verified before.
fn steps(entry: &Entry) -> String {
    let proof = &entry.verification.inclusion_proof;
    let (mut text, mut hash) = (String::new(), entry.id.uuid);
    let (mut node, mut last) = (proof.log_index, proof.tree_size.saturating_sub(1));
    for sibling in &proof.hashes {
        // On the right edge, a node without a right sibling is its own parent.
        while node & 1 == 0 && node == last && node != 0 {
            (node, last) = (node >> 1, last >> 1);
        }
        let (left, right) = if node & 1 == 1 { (*sibling, hash) } else { (hash, *sibling) };
        hash = node_hash(&left, &right);
        // Writing to a string cannot fail.
        writeln!(text, "SHA256(0x01 | {left} | {right}) =\n\t{hash}\n").unwrap_or_default();
        (node, last) = (node >> 1, last >> 1);
    }
    let root = proof.root_hash;
    writeln!(text, "Computed Root Hash: {hash}\nExpected Root Hash: {root}").unwrap_or_default();
    text
}

/// One line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> String {
    let text = serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned());
    format!("{text}\n")
}

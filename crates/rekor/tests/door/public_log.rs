//! An entry of the public log of December 2025, against every piece of ours that makes or judges such an entry: what the log
//! answered there is what ours would answer, but for its keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::Key;
use bulla_claims::entry::v1 as kinds;
use bulla_rekor::wire::v1::entry::promise_payload;
use bulla_rekor::wire::v1::head;
use bulla_rekor::wire::v1::id::{EntryId, TreeId};
use bulla_rekor::wire::v1::request::Document;
use bulla_tlog::note::Signature;
use bulla_tlog::proof::verify_inclusion;
use bulla_tlog::{Hash, leaf_hash, sha256};
use serde_json::Value;

use crate::script::fixture;

/// The entry's ID and what the log answered.
fn entry() -> (String, Value) {
    let all: Value = serde_json::from_slice(&fixture("captured_v1/public.json")).expect("JSON");
    let (id, entry) = all.as_object().and_then(|all| all.iter().next()).expect("an entry");
    (id.clone(), entry.clone())
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} in {value}"))
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {value}"))
}

fn body(entry: &Value) -> Vec<u8> {
    STANDARD.decode(text(entry, "/body")).expect("base64")
}

/// DER of the log's key.
fn log_key() -> Vec<u8> {
    let pem = String::from_utf8(fixture("captured_v1/public.pub")).expect("PEM");
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(lines).expect("base64")
}

fn log_id() -> Hash {
    sha256(&log_key())
}

fn verifies(signed: &[u8], signature: &[u8]) -> bool {
    Key::from_spki(&log_key()).expect("a key").verifies(&sha256(signed).0, signature)
}

#[test]
fn proposed_again_it_becomes_the_same_leaf() {
    let body = body(&entry().1);
    assert_eq!(body.len(), 557);
    let document = Document::read(&body).expect("an entry");
    let admitted = kinds::admit(&document.proposed().expect("an entry"), &kinds::Rules::default());
    assert_eq!(admitted.expect("admitted").body, body);
}

#[test]
fn its_id_is_the_tree_and_the_leaf_hash() {
    let (id, entry) = entry();
    let tree = TreeId::new(1_193_050_959_916_656_506).expect("an ID");
    let leaf = leaf_hash(&body(&entry));
    assert_eq!(leaf.to_string(), "251d7335e207fb694536143ecff500072df1cae8f388a9c181794f31e1b2d42e");
    assert_eq!(EntryId { tree, leaf }.to_string(), id);
}

#[test]
fn it_is_found_by_its_key() {
    let body: Value = serde_json::from_slice(&body(&entry().1)).expect("JSON");
    let pem = STANDARD.decode(text(&body, "/spec/signature/publicKey/content")).expect("base64");
    assert_eq!(
        bulla_claims::pki::fingerprint("x509", &pem).expect("a key"),
        "be23225356911668bb870173733013d2211ec0ed0a3738ee7b74de1e20bcf5d7"
    );
}

#[test]
fn its_promise_signs_what_ours_would_sign() {
    let (_, entry) = entry();
    let id = log_id();
    assert_eq!(text(&entry, "/logID"), id.to_string());
    let (at, index) = (number(&entry, "/integratedTime"), number(&entry, "/logIndex"));
    let payload = promise_payload(text(&entry, "/body"), at, &id, index);
    assert_eq!(payload.len(), 879);
    assert_eq!(
        sha256(payload.as_bytes()).to_string(),
        "e398750bc17b62cac442860d3c90183c6abcdccb452525e52e9722e3d0f96b28"
    );
    let promise = STANDARD.decode(text(&entry, "/verification/signedEntryTimestamp")).expect("base64");
    assert!(verifies(payload.as_bytes(), &promise));
    let later = promise_payload(text(&entry, "/body"), at + 1, &id, index);
    assert!(!verifies(later.as_bytes(), &promise), "another time has the same promise");
}

#[test]
fn its_path_leads_to_the_root_of_the_checkpoint() {
    let (_, entry) = entry();
    let proof = &entry["verification"]["inclusionProof"];
    let root = Hash::from_hex(text(proof, "/rootHash")).expect("a hash");
    assert_eq!(root.to_string(), "ae7a5a7085d28e84e8103874a83e022c029d90f9d6d58e11d43845312f801a52");
    let path: Vec<Hash> = proof["hashes"].as_array().expect("a list").iter().map(hash).collect();
    assert_eq!(path.len(), 20);
    let (index, size) = (number(proof, "/logIndex"), number(proof, "/treeSize"));
    assert_eq!((index, size), (649_584_075, 649_584_076));
    let leaf = leaf_hash(&body(&entry));
    verify_inclusion(&leaf, index, size, &path, &root).expect("the path leads there");
    assert!(verify_inclusion(&leaf, index, size, &path[1..], &root).is_err(), "a shorter path does too");
}

fn hash(value: &Value) -> Hash {
    value.as_str().and_then(Hash::from_hex).unwrap_or_else(|| panic!("{value} is no hash"))
}

#[test]
fn its_checkpoint_is_ours_for_such_a_tree() {
    let (_, entry) = entry();
    let proof = &entry["verification"]["inclusionProof"];
    let tree = TreeId::new(1_193_050_959_916_656_506).expect("an ID");
    let host = "rekor.sigstore.dev";
    let root = hash(&proof["rootHash"]);
    let signed = head::text(host, tree, number(proof, "/treeSize"), &root);
    let note = text(proof, "/checkpoint");
    let (_, line) = note.split_once("\n\n").expect("a signature line");
    let signature = Signature::parse(line.trim_end()).expect("a signature");
    assert_eq!(signature.key_id, log_id().0[..4]);
    assert!(verifies(signed.as_bytes(), &signature.bytes));
    assert_eq!(head::note(&signed, host, &log_id(), &signature.bytes), note);
}

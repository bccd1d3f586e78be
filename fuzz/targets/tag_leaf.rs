//! What a log has of tags. Any bytes as a leaf; and any predicate in a statement about its own tag, for nobody guesses a digest:
//! what is read is written, stands in a leaf, and is read from there as it was.
#![no_main]

use bulla_claims::attestation::{PAYLOAD_TYPE, Statement, StatementType, Subject};
use bulla_claims::json;
use bulla_claims::tag::{APPROVAL, Approval, RECORD, Record, TagName, carried, carrying};
use bulla_tlog::sha256;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((_, statement)) = carried(bytes) {
        let _any = (Record::of(&statement), Approval::of(&statement));
    }
    let Ok(predicate) = json::read(bytes, "predicate") else { return };
    let Ok(tag) = TagName::parse(predicate["tag"].as_str().unwrap_or_default()) else { return };
    let about = |predicate_type: &str| Statement {
        version: StatementType::V1,
        subjects: vec![Subject::sha256(None, &tag.digest().to_string())],
        predicate_type: predicate_type.to_owned(),
        predicate: predicate.clone(),
    };
    if let Ok(record) = Record::of(&about(RECORD)) {
        assert_eq!(record.tag, tag);
        let again = logged(&record.statement().expect("was read"));
        assert_eq!(Record::of(&again), Ok(record));
        assert!(Approval::of(&again).is_err());
    }
    if let Ok(approval) = Approval::of(&about(APPROVAL)) {
        assert_eq!(approval.tag, tag);
        let again = logged(&approval.statement().expect("was read"));
        assert_eq!(Approval::of(&again), Ok(approval));
        assert!(Record::of(&again).is_err());
    }
});

/// The statement as a leaf gives it back.
fn logged(payload: &[u8]) -> Statement {
    let body = serde_json::json!({ "kind": "intoto", "apiVersion": "0.0.2", "spec": { "content": {
        "envelope": { "payloadType": PAYLOAD_TYPE, "signatures": [{ "keyid": carrying(payload) }] },
        "payloadHash": { "algorithm": "sha256", "value": sha256(payload).to_string() },
    } } });
    let (found, statement) = carried(body.to_string().as_bytes()).expect("it carries one");
    assert_eq!(found, payload);
    statement
}

//! Statements about tags that somebody logs without the proxy, as anybody who has a key may.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::SigningKey;
use bulla_claims::attestation::{PAYLOAD_TYPE, encoding};
use bulla_claims::keys::public_key_pem;
use bulla_claims::tag::{Approval, Record, Rule, TagName, carrying};
use bulla_rekor::client::v1::{Created, Materials, Options, RekorV1, propose};
use bulla_tlog::sha256;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::stand::Stand;

/// Signs a statement with a key in the directory and logs it; returns its index.
pub(crate) async fn log(stand: &Stand, statement: &[u8], key: &str) -> u64 {
    let pem = std::fs::read_to_string(stand.path(key)).expect("is there");
    let key = SigningKey::from_pem(&pem, None).expect("a key");
    let signature = key.sign(&encoding(PAYLOAD_TYPE, statement)).expect("signs");
    log_signed(stand, statement, &signature, key.spki()).await
}

/// Logs what somebody signed.
pub(crate) async fn log_signed(stand: &Stand, statement: &[u8], signature: &[u8], spki: &[u8]) -> u64 {
    let envelope = json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": STANDARD.encode(statement),
        "signatures": [{ "keyid": carrying(statement), "sig": STANDARD.encode(signature) }],
    });
    let materials = Materials {
        artifact: Some(envelope.to_string().into_bytes()),
        public_keys: vec![public_key_pem(spki).into_bytes()],
        ..Materials::default()
    };
    let proposals = propose("intoto", Some("0.0.2"), &materials).expect("is proposed");
    let log = RekorV1::new(&format!("http://{}", stand.log.http), &Options::default()).expect("a client");
    match log.create(&proposals[0].json).await.expect("answers") {
        Created::New { entry, .. } => entry.log_index,
        Created::Exists { id, .. } => panic!("{id} is there already"),
    }
}

/// A record of a tag that points to what has that digest, after the record at that index.
pub(crate) fn record(tag: &str, digest: &str, previous: Option<u64>) -> Vec<u8> {
    let record = Record {
        tag: TagName::parse(tag).expect("a name"),
        digest: hash(digest),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        seen: Timestamp::now(),
        upstream: "https://registry.example".to_owned(),
        rule: Rule::Enforce,
        previous,
        approval: None,
    };
    record.statement().expect("is written")
}

/// An approval that a tag moves after the record at that index, for so many seconds from now.
pub(crate) fn approval(tag: &str, to: &str, after: u64, seconds: i64) -> Vec<u8> {
    let until = Timestamp::now() + SignedDuration::from_secs(seconds);
    let approval = Approval {
        tag: TagName::parse(tag).expect("a name"),
        to: hash(to),
        after: Some(after),
        reason: "too late".to_owned(),
        until: Timestamp::from_second(until.as_second()).expect("a time"),
    };
    approval.statement().expect("is written")
}

fn hash(digest: &str) -> bulla_tlog::Hash {
    let hex = digest.strip_prefix("sha256:").expect("sha256");
    bulla_tlog::Hash::from_hex(hex).unwrap_or_else(|| sha256(digest.as_bytes()))
}

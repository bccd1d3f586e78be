//! Payloads that somebody signed properly: in-toto statements, cosign's payloads, and anything else.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::{Proposed, Rules, admit};
use serde_json::json;
use serde_json::value::to_raw_value;

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"));

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let payload_type = "application/vnd.in-toto+json";
    let mut encoding =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoding.extend(payload);
    let sig = STANDARD.encode(KEY.sign(&encoding));
    let spki = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", KEY.public_key().as_ref()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
    let envelope = json!({ "payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": [{ "sig": sig }] });
    let spec = json!({ "content": { "envelope": envelope.to_string() }, "publicKey": STANDARD.encode(pem) });
    let spec = to_raw_value(&spec).expect("JSON");
    let proposed = Proposed { kind: "intoto", api_version: "0.0.1", spec: &spec };
    let admitted = admit(&proposed, &Rules::default()).expect("its key signed it");
    assert!(admitted.named.is_sorted());
    for name in &admitted.named {
        assert!(
            name.contains(':')
                && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
        );
    }
    assert_eq!(admitted.attestation.expect("it is kept").bytes, payload);
});

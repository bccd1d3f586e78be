//! dsse 0.0.1 and intoto 0.0.1 and 0.0.2: whose signatures an envelope needs, what becomes of it, and each refusal.

mod v1;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bulla_claims::entry::v1::{Admitted, Refusal, Rules};
use bulla_claims::traces::{KeyCache, traces};
use bulla_claims::{Material, PublicKeyDetails, Verifier};
use proptest::prelude::*;
use serde_json::{Value, json};
use v1::{ARTIFACT, Signer, encoding, judged, searched, sha256, stored};

const TYPE: &str = "text/plain";
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// By `keys/p384-sec1.pem` over the SHA-256 and the SHA-384 of the artifact's encoding.
const P384_SHA256: &str = "MGQCMCf8pxNW1yDDKQsAsdjMMZwdNkODt8xsmL0XRZqQkNBc/F8gubEpYKwWBKt75dK8TwIwM4dwCETvrwT7+CmECWo9Ntcw+Z5/e0hizAOxMLU0NJzKkEWXoF1fSq+Hdisi600y";
const P384_SHA384: &str = "MGQCME6zqoX/gcZQDjt/yztondMDrNfE1OB+84w/PAHHs4BdVFJ3ryKksqYY6d87/nnKOgIwXOgB16rTLAt+KEZ4nzC/qDLh16oXBekJdgyqxeWxKlms9WFP+CATug7In8uN0lN7";

fn hash(bytes: &[u8]) -> Value {
    json!({ "algorithm": "sha256", "value": sha256(bytes) })
}

/// The signatures of all of them, in base64.
fn signed(signers: &[&Signer], payload_type: &str, payload: &[u8]) -> Vec<String> {
    let encoding = encoding(payload_type, payload);
    signers.iter().map(|signer| STANDARD.encode(signer.sign(&encoding))).collect()
}

fn envelope(payload_type: &str, payload: &[u8], signatures: &[String]) -> String {
    let signatures: Vec<_> = signatures.iter().map(|sig| json!({ "sig": sig, "keyid": "any" })).collect();
    json!({ "payload": STANDARD.encode(payload), "payloadType": payload_type, "signatures": signatures })
        .to_string()
}

fn dsse_spec(envelope: &str, keys: &[&Signer]) -> Value {
    let verifiers: Vec<_> = keys.iter().map(|key| key.key()).collect();
    json!({ "proposedContent": { "envelope": envelope, "verifiers": verifiers } })
}

fn dsse(signers: &[&Signer], keys: &[&Signer]) -> Result<Admitted, Refusal> {
    let envelope = envelope(TYPE, ARTIFACT, &signed(signers, TYPE, ARTIFACT));
    judged("dsse", "0.0.1", &dsse_spec(&envelope, keys), &Rules::default())
}

fn refused(kind: &str, version: &str, spec: &Value) -> String {
    judged(kind, version, spec, &Rules::default()).expect_err("it is not good").to_string()
}

fn intoto2_spec(payload_type: &str, payload: &[u8], pairs: &[(&str, String)]) -> Value {
    let twice = |text: &str| STANDARD.encode(text);
    let signatures: Vec<_> =
        pairs.iter().map(|(key, sig)| json!({ "sig": twice(sig), "publicKey": key })).collect();
    json!({ "content": {
        "envelope": { "payloadType": payload_type, "payload": twice(&STANDARD.encode(payload)), "signatures": signatures },
        "hash": hash(b"what a client takes for the envelope"),
    } })
}

#[test]
fn every_key_signs_envelopes_with_sha256_or_purely() {
    for signer in [Signer::p256(), Signer::p521_with_sha256(), Signer::rsa(), Signer::ed25519()] {
        let signatures = signed(&[&signer], TYPE, ARTIFACT);
        let text = envelope(TYPE, ARTIFACT, &signatures);
        let admitted =
            judged("dsse", "0.0.1", &dsse_spec(&text, &[&signer]), &Rules::default()).expect("it is good");
        let expected = json!({
            "envelopeHash": hash(text.as_bytes()),
            "payloadHash": hash(ARTIFACT),
            "signatures": [{ "signature": signatures[0], "verifier": signer.key() }],
        });
        assert_eq!(stored(&admitted), expected);
        assert_eq!((admitted.named.len(), admitted.attestation), (0, None));
    }
    // Ed25519ph, and ECDSA with another hash function, are no signatures of an envelope.
    for signer in [Signer::ed25519ph(), Signer::p384(), Signer::p521()] {
        let error = dsse(&[&signer], &[&signer]).expect_err("another way to sign").to_string();
        assert!(
            error.starts_with("spec.proposedContent.verifiers[0]: could not verify envelope: "),
            "{error}"
        );
    }
}

#[test]
fn p384_signs_over_sha256() {
    let key = STANDARD.encode(include_str!("keys/p384-sec1.pub"));
    let dsse = |signature: &str| {
        let envelope = envelope(TYPE, ARTIFACT, &[signature.to_owned()]);
        json!({ "proposedContent": { "envelope": envelope, "verifiers": [key] } })
    };
    judged("dsse", "0.0.1", &dsse(P384_SHA256), &Rules::default()).expect("it is good");
    assert_eq!(
        refused("dsse", "0.0.1", &dsse(P384_SHA384)),
        "spec.proposedContent.verifiers[0]: could not verify envelope: no signature is the ECDSA P-384 key's over the \
         pre-authentication encoding"
    );
    let spec = intoto2_spec(TYPE, ARTIFACT, &[(&key, P384_SHA256.to_owned())]);
    judged("intoto", "0.0.2", &spec, &Rules::default()).expect("it is good");
}

#[test]
fn each_signature_needs_a_key_and_each_key_that_is_tried_a_signature() {
    let (a, b, c) = (&Signer::p256(), &Signer::ed25519(), &Signer::p256());
    let stored_signatures = |signers: &[&Signer], keys: &[&Signer]| {
        stored(&dsse(signers, keys).expect("it is good"))["signatures"].as_array().expect("a list").len()
    };
    assert_eq!(stored_signatures(&[a], &[a, a]), 1);
    assert_eq!(stored_signatures(&[a], &[a, c]), 1);
    assert_eq!(stored_signatures(&[a, b], &[a, a, b]), 2);
    assert_eq!(stored_signatures(&[a, b], &[b, a]), 2);
    let refused = |signers: &[&Signer], keys: &[&Signer]| dsse(signers, keys).expect_err("no").to_string();
    assert_eq!(
        refused(&[a, b], &[a]),
        "spec.proposedContent.envelope: all signatures must have a key that verifies it, signature 1 has none"
    );
    assert_eq!(
        refused(&[a], &[c, a]),
        "spec.proposedContent.verifiers[0]: could not verify envelope: no signature is the ECDSA P-256 key's over the \
         pre-authentication encoding"
    );
    assert!(refused(&[], &[a]).contains("could not verify envelope"));
    // Its order is that of the texts.
    let admitted = dsse(&[a, b, c], &[a, b, c]).expect("it is good");
    let stored = stored(&admitted);
    let texts: Vec<_> = stored["signatures"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["signature"].as_str())
        .collect();
    assert!(texts.is_sorted());
    let found = traces(&admitted.body, &mut KeyCache::new()).expect("it is an entry");
    assert_eq!(found.keys.len(), 3);
}

#[test]
fn an_envelope_is_hashed_as_it_is_spelt() {
    let signer = Signer::p256();
    let signature = signer.sign(&encoding(TYPE, b"\xfb\xff\xfe"));
    let text = json!({
        "payload": URL_SAFE.encode(b"\xfb\xff\xfe"), "payloadType": TYPE, "more": 1,
        "signatures": [{ "sig": URL_SAFE.encode(&signature), "keyid": null }],
    });
    let text = format!("{text:#}\n");
    let spec = dsse_spec(&text, &[&signer]);
    let admitted = stored(&judged("dsse", "0.0.1", &spec, &Rules::default()).expect("it is good"));
    assert_eq!(admitted["envelopeHash"], hash(text.as_bytes()));
    assert_eq!(admitted["payloadHash"], hash(b"\xfb\xff\xfe"));
    assert_eq!(admitted["signatures"][0]["signature"], URL_SAFE.encode(&signature));
    assert_eq!(searched("dsse", "0.0.1", &spec).expect("it is good")["spec"], admitted);
}

#[test]
fn the_canonical_dsse_is_searched_for_and_not_added() {
    let (a, b) = (&Signer::p256(), &Signer::ed25519());
    let canonical = stored(&dsse(&[a, b], &[a, b]).expect("it is good"));
    let missing =
        "spec.proposedContent: proposedContent is missing: the canonical form can be searched for, not added";
    assert_eq!(refused("dsse", "0.0.1", &canonical), missing);
    assert_eq!(
        refused("dsse", "0.0.1", &json!({})),
        "spec.proposedContent: proposedContent is missing, it is required"
    );
    let mut reversed = canonical.clone();
    reversed["signatures"].as_array_mut().expect("a list").reverse();
    reversed["proposedContent"] = Value::Null;
    for spec in [&canonical, &reversed] {
        assert_eq!(searched("dsse", "0.0.1", spec).expect("it is good")["spec"], canonical);
    }
    // What a log computes is not for clients to say.
    for member in ["envelopeHash", "payloadHash", "signatures"] {
        let mut spec = dsse_spec(&envelope(TYPE, ARTIFACT, &signed(&[a], TYPE, ARTIFACT)), &[a]);
        spec[member] = canonical[member].clone();
        let both = "spec: either proposedContent or envelopeHash, payloadHash and signatures must be present but not \
                    both: send proposedContent alone";
        assert_eq!(refused("dsse", "0.0.1", &spec), both);
        assert_eq!(searched("dsse", "0.0.1", &spec).expect_err("both").to_string(), both);
        let mut spec = canonical.clone();
        spec[member] = Value::Null;
        let problem = format!("spec.{member}: {member} is missing, it is required");
        assert_eq!(searched("dsse", "0.0.1", &spec).expect_err("not all").to_string(), problem);
    }
    let mut spec = canonical;
    spec["envelopeHash"]["algorithm"] = "sha512".into();
    assert_eq!(
        searched("dsse", "0.0.1", &spec).expect_err("another hash").to_string(),
        "spec.envelopeHash.algorithm: algorithm is \"sha512\", known are sha256"
    );
}

#[test]
fn what_is_wrong_with_a_dsse_is_named() {
    let signer = Signer::p256();
    let text = envelope(TYPE, ARTIFACT, &signed(&[&signer], TYPE, ARTIFACT));
    let envelope_with = |member: &str, value: Value| {
        let mut envelope: Value = serde_json::from_str(&text).expect("JSON");
        envelope[member] = value;
        refused("dsse", "0.0.1", &dsse_spec(&envelope.to_string(), &[&signer]))
    };
    let field = "spec.proposedContent.envelope";
    assert_eq!(
        envelope_with("payload", Value::Null),
        format!("{field}.payload: payload is missing, it is required")
    );
    assert_eq!(
        envelope_with("payloadType", Value::Null),
        format!("{field}.payloadType: payloadType is missing, it is required")
    );
    let none = format!("{field}: could not verify envelope: no signatures found, at least one was expected");
    for signatures in [Value::Null, json!([])] {
        assert_eq!(envelope_with("signatures", signatures), none);
    }
    assert_eq!(
        envelope_with("signatures", json!([{}])),
        format!("{field}.signatures[0].sig: sig is missing, it is required")
    );
    assert_eq!(
        envelope_with("signatures", json!([{ "sig": "*" }])),
        format!(
            "{field}.signatures[0].sig: could not verify envelope: signatures[0].sig is not base64, with padding"
        )
    );
    assert_eq!(
        envelope_with("payload", "A".into()),
        format!("{field}.payload: could not verify envelope: payload is not base64, with padding")
    );
    assert_eq!(
        envelope_with("signatures", vec![json!({ "sig": "AAAA" }); 101].into()),
        format!("{field}.signatures: entry has 101 signatures, at most 100 were expected")
    );
    assert_eq!(
        envelope_with("payload", 5.into()),
        format!("{field}.payload: invalid type: integer `5`, expected a string at line 1 column 12")
    );
    assert_eq!(
        refused("dsse", "0.0.1", &dsse_spec("{", &[&signer])),
        format!("{field}: EOF while parsing an object at line 1 column 1")
    );
    assert_eq!(
        refused("dsse", "0.0.1", &dsse_spec(&text, &[])),
        "spec.proposedContent.verifiers: verifiers is missing, it is required"
    );
    assert_eq!(
        refused("dsse", "0.0.1", &dsse_spec(&text, &[&signer; 101])),
        "spec.proposedContent.verifiers: entry has 101 verifiers, at most 100 were expected"
    );
    let mut spec = dsse_spec(&text, &[]);
    spec["proposedContent"]["verifiers"] = json!([null]);
    assert_eq!(
        refused("dsse", "0.0.1", &spec),
        "spec.proposedContent.verifiers[0]: verifiers[0] is missing, it is required"
    );
}

#[test]
fn pure_ed25519_over_a_long_payload_costs_no_more_than_it_may() {
    let (a, b) = (&Signer::p256(), &Signer::ed25519());
    let payload = vec![b' '; 6 << 20];
    let mut signatures = vec![signed(&[a], TYPE, &payload).remove(0); 99];
    signatures.push(signed(&[b], TYPE, &payload).remove(0));
    let spec = dsse_spec(&envelope(TYPE, &payload, &signatures), &[b]);
    assert_eq!(
        refused("dsse", "0.0.1", &spec),
        "spec.proposedContent.verifiers[0]: could not verify envelope: so many Ed25519 keys and signatures over so long \
         a payload cost too much, put the RSA and ECDSA keys first or make it shorter"
    );
}

#[test]
fn intoto_1_keeps_the_key_and_two_hashes() {
    let signer = Signer::p256();
    let payload =
        json!({ "subject": [{ "name": "a", "digest": { "sha256": "AB", "sha512": "cd" } }] }).to_string();
    let text = envelope(
        IN_TOTO,
        payload.as_bytes(),
        &signed(&[&Signer::ed25519(), &signer], IN_TOTO, payload.as_bytes()),
    );
    let spec = json!({
        "content": { "envelope": text, "hash": hash(b"ignored"), "payloadHash": null }, "publicKey": signer.key()
    });
    let admitted = judged("intoto", "0.0.1", &spec, &Rules::default()).expect("it is good");
    let canonical = json!({
        "content": { "hash": hash(text.as_bytes()), "payloadHash": hash(payload.as_bytes()) }, "publicKey": signer.key()
    });
    assert_eq!(stored(&admitted), canonical);
    assert_eq!(admitted.named, ["sha256:ab", "sha512:cd"]);
    let attestation = admitted.attestation.as_ref().expect("it is kept");
    assert_eq!(attestation.key, format!("sha256:{}", sha256(payload.as_bytes())));
    assert_eq!(attestation.bytes, payload.as_bytes());
    for spec in [&spec, &canonical] {
        assert_eq!(searched("intoto", "0.0.1", spec).expect("it is good")["spec"], canonical);
    }
    let found = traces(&admitted.body, &mut KeyCache::new()).expect("it is an entry");
    let trace = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
    assert_eq!(found.digests, [trace(text.as_bytes()), trace(payload.as_bytes())]);

    // A search may know the hash of the envelope alone.
    let half = json!({ "content": { "hash": hash(text.as_bytes()) }, "publicKey": signer.key() });
    assert_eq!(searched("intoto", "0.0.1", &half).expect("it can be asked")["spec"], half);
    let missing = "spec.content.envelope: envelope is missing, it is required";
    assert_eq!(refused("intoto", "0.0.1", &canonical), missing);
    let nothing = json!({ "content": {}, "publicKey": signer.key() });
    assert_eq!(
        searched("intoto", "0.0.1", &nothing).expect_err("nothing is asked").to_string(),
        "spec.content.hash: hash is missing, it is required"
    );
    let mut other = spec.clone();
    other["publicKey"] = Signer::p256().key().into();
    assert!(
        refused("intoto", "0.0.1", &other).starts_with("spec.content.envelope: could not verify envelope: ")
    );
    other["publicKey"] = Value::Null;
    assert_eq!(refused("intoto", "0.0.1", &other), "spec.publicKey: publicKey is missing, it is required");
}

#[test]
fn intoto_2_keeps_all_but_the_payload() {
    let (a, b) = (&Signer::p256(), &Signer::ed25519());
    let payload = br#"{"subject":[{"digest":{"sha256":"ab"}}]}"#;
    let signatures = signed(&[a, b], IN_TOTO, payload);
    // Which key stands beside which signature is the client's affair.
    let crlf = STANDARD.encode(a.pem().replace('\n', "\r\n"));
    let pairs = [(b.key(), signatures[0].clone()), (crlf.clone(), signatures[1].clone())];
    let pairs: Vec<_> = pairs.iter().map(|(key, sig)| (key.as_str(), sig.clone())).collect();
    let mut spec = intoto2_spec(IN_TOTO, payload, &pairs);
    spec["content"]["envelope"]["signatures"][1]["keyid"] = "\u{e9}\"\u{1}".into();
    let admitted = judged("intoto", "0.0.2", &spec, &Rules::default()).expect("it is good");
    let mut canonical = spec.clone();
    canonical["content"]["envelope"].as_object_mut().expect("an object").remove("payload");
    canonical["content"]["payloadHash"] = hash(payload);
    assert_eq!(stored(&admitted), canonical);
    assert_eq!(admitted.named, ["sha256:ab"]);
    assert_eq!(admitted.attestation.as_ref().expect("it is kept").bytes, payload);
    for spec in [&spec, &canonical] {
        assert_eq!(searched("intoto", "0.0.2", spec).expect("it is good")["spec"], canonical);
    }
    // Keys are found in their canonical form, however they are stored.
    let found = traces(&admitted.body, &mut KeyCache::new()).expect("it is an entry");
    assert_eq!(found.keys[1].fingerprints[0], sha256(a.pem().as_bytes()));
    assert_eq!(found.digests, [format!("sha256:{}", sha256(payload))]);

    let other = Signer::p256().key();
    let refused =
        |pairs: &[(&str, String)]| refused("intoto", "0.0.2", &intoto2_spec(IN_TOTO, payload, pairs));
    let field = "spec.content.envelope.signatures";
    assert_eq!(
        refused(&[(&a.key(), signatures[0].clone()), (&a.key(), signatures[1].clone())]),
        format!("{field}: all signatures must have a key that verifies it, signature 1 has none")
    );
    assert!(
        refused(&[(&a.key(), signatures[0].clone()), (&other, signatures[0].clone())])
            .starts_with(&format!("{field}[1].publicKey: could not verify envelope: "))
    );
}

#[test]
fn what_is_wrong_with_an_intoto_2_is_named() {
    let a = Signer::p256();
    let key = a.key();
    let good = intoto2_spec(TYPE, ARTIFACT, &[(&key, signed(&[&a], TYPE, ARTIFACT).remove(0))]);
    let with = |pointer: &str, value: Value| {
        let mut spec = good.clone();
        *spec.pointer_mut(pointer).expect("it is there") = value;
        let refused = refused("intoto", "0.0.2", &spec);
        (refused, searched("intoto", "0.0.2", &spec).map_err(|error| error.to_string()))
    };
    for pointer in [
        "/content",
        "/content/envelope",
        "/content/envelope/payloadType",
        "/content/envelope/signatures",
        "/content/envelope/signatures/0/sig",
        "/content/envelope/signatures/0/publicKey",
        "/content/hash",
    ] {
        let name = pointer.rsplit('/').next().expect("a name");
        let field = format!("spec{}", pointer.replace("/0", "[0]").replace('/', "."));
        let problem = format!("{field}: {name} is missing, it is required");
        assert_eq!(with(pointer, Value::Null), (problem.clone(), Err(problem)));
    }
    let payload = "spec.content.envelope.payload";
    let (refused, searched) = with("/content/envelope/payload", "".into());
    assert_eq!(refused, format!("{payload}: payload is missing, it is required"));
    assert_eq!(searched, Err("spec.content.payloadHash: payloadHash is missing, it is required".to_owned()));
    // An envelope that was not put into base64 once more.
    assert_eq!(
        with("/content/envelope/payload", STANDARD.encode(b"\xff\xfe").into()).0,
        format!(
            "{payload}: could not verify envelope: value is base64 of bytes, base64 of the base64 text in the envelope \
             was expected"
        )
    );
    let (refused, searched) = with("/content/envelope/signatures", json!([{}]));
    assert_eq!(refused, "spec.content.envelope.signatures[0].sig: sig is missing, it is required");
    assert_eq!(searched, Err(refused));
}

#[test]
fn a_statement_that_names_too_much_is_refused() {
    let a = Signer::p256();
    let subjects: Vec<_> =
        (0..15_000).map(|n| json!({ "digest": { "sha256": format!("{n:064x}") } })).collect();
    let payload = json!({ "subject": subjects }).to_string();
    let text = envelope(IN_TOTO, payload.as_bytes(), &signed(&[&a], IN_TOTO, payload.as_bytes()));
    assert_eq!(
        refused("dsse", "0.0.1", &dsse_spec(&text, &[&a])),
        "spec.proposedContent.envelope: payload names 15000 digests in 1079999 bytes, at most 1048576 bytes can be \
         searched for: split the statement"
    );
}

#[test]
fn the_v2_door_names_subjects_too() {
    let a = Signer::p256();
    let payload = br#"{"subject":[{"digest":{"sha256":"AB","sha1":"cd"}}]}"#.to_vec();
    let verifier = Verifier {
        material: Material::PublicKey(a.spki()),
        key_details: PublicKeyDetails::PkixEcdsaP256Sha256.number(),
    };
    let dsse = bulla_claims::Dsse {
        signatures: vec![a.sign(&encoding(IN_TOTO, &payload))],
        payload,
        payload_type: IN_TOTO.to_owned(),
        verifiers: vec![verifier],
    };
    let proposed = bulla_claims::Proposed::Dsse(dsse);
    let admitted = bulla_claims::admit(&proposed, &bulla_claims::Rules::default()).expect("it is good");
    assert_eq!(admitted.named, ["sha1:cd", "sha256:ab"]);
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,80}", payload in proptest::collection::vec(any::<u8>(), 0..40)) {
        let a = Signer::ed25519();
        let signed = envelope(TYPE, &payload, &signed(&[&a], TYPE, &payload));
        prop_assert!(judged("dsse", "0.0.1", &dsse_spec(&signed, &[&a]), &Rules::default()).is_ok());
        for text in [text.clone(), signed.replace(TYPE, &text)] {
            let spec = dsse_spec(&text, &[&a]);
            drop(judged("dsse", "0.0.1", &spec, &Rules::default()));
            drop(judged("intoto", "0.0.1", &json!({ "content": { "envelope": text }, "publicKey": a.key() }), &Rules::default()));
            let spec = intoto2_spec(&text, &payload, &[(&a.key(), text.clone())]);
            drop(judged("intoto", "0.0.2", &spec, &Rules::default()));
        }
    }

    #[test]
    fn bodies_are_canonical_whatever_the_texts_are(payload_type in "\\PC{1,30}", keyid in any::<String>()) {
        let a = Signer::ed25519();
        let sig = signed(&[&a], &payload_type, ARTIFACT).remove(0);
        let mut spec = intoto2_spec(&payload_type, ARTIFACT, &[(&a.key(), sig)]);
        spec["content"]["envelope"]["signatures"][0]["keyid"] = keyid.clone().into();
        // The helper compares with another implementation of RFC 8785.
        let admitted = judged("intoto", "0.0.2", &spec, &Rules::default()).expect("it is good");
        let stored = stored(&admitted);
        prop_assert_eq!(&stored["content"]["envelope"]["payloadType"], &payload_type);
        prop_assert!(traces(&admitted.body, &mut KeyCache::new()).is_ok());
    }
}

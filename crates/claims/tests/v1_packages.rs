//! Kinds of the v1 door that carry a key and a package, with artifacts that other programs made
//! (`tests/vectors/packages/README.md`).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::{Admitted, Proposed, Rules, admit, template};
use bulla_claims::pki::{Problem, fingerprint};
use bulla_claims::traces::{KeyCache, Traces, traces};
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/vectors/packages/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn with<T>(kind: &str, spec: &Value, judge: impl FnOnce(&Proposed<'_>, &Rules) -> T) -> T {
    let spec = RawValue::from_string(spec.to_string()).expect("it is JSON");
    judge(&Proposed { kind, api_version: "0.0.1", spec: &spec }, &Rules::default())
}

/// Admits, and holds what every kind must: the body is canonical JSON of three members, a search for what was proposed
/// finds it, and so does one for what was stored, if the kind can.
fn good(kind: &str, spec: &Value) -> (Admitted, Value) {
    let admitted = with(kind, spec, admit).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let body: Value = serde_json::from_slice(&admitted.body).expect("a body is JSON");
    assert_eq!(serde_json_canonicalizer::to_vec(&body).expect("it has a canonical form"), admitted.body);
    assert_eq!(body["kind"], kind);
    assert_eq!(body["apiVersion"], "0.0.1");
    assert_eq!(with(kind, spec, template).as_ref(), Ok(&admitted.body));
    let stored = with(kind, &body["spec"], template);
    if kind == "rekord" {
        assert!(stored.is_err(), "a rekord is not found without its artifact");
    } else {
        assert_eq!(stored.as_ref(), Ok(&admitted.body));
    }
    let spec = body["spec"].clone();
    (admitted, spec)
}

fn refused(kind: &str, spec: &Value) -> String {
    let error = with(kind, spec, admit).expect_err("this is no good entry").to_string();
    assert!(!error.ends_with('.') && error.len() < 400, "{error}");
    error
}

fn traced(admitted: &Admitted) -> Traces {
    traces(&admitted.body, &mut KeyCache::new()).expect("what is admitted can be found")
}

fn rekord(format: &str, key: &str, signature: &str) -> Value {
    rekord_of(format, &file(key), &file(signature), &file("artifact"))
}

fn rekord_of(format: &str, key: &[u8], signature: &[u8], artifact: &[u8]) -> Value {
    json!({
        "signature": { "format": format, "content": base64(signature), "publicKey": { "content": base64(key) } },
        "data": { "content": base64(artifact), "hash": null }
    })
}

const REKORDS: &[(&str, &str, &str)] = &[
    ("x509", "x509-p256.pub", "x509-p256.sig"),
    ("x509", "x509-rsa.pub", "x509-rsa.sig"),
    ("pgp", "pgp-ed.pub", "pgp-ed.asc"),
    ("pgp", "pgp-ed.pub", "pgp-ed.sig"),
    ("pgp", "pgp-ed.pub", "pgp-text.asc"),
    ("pgp", "pgp-rsa.pub", "pgp-rsa.asc"),
    ("pgp", "pgp-p256.pub", "pgp-p256.asc"),
    ("pgp", "pgp-two.gpg", "pgp-rsa.asc"),
    ("pgp", "pgp-two.gpg", "pgp-ed.asc"),
    ("pgp", "pgp-expired.pub", "pgp-expired.asc"),
    ("minisign", "minisign.pub", "minisign.minisig"),
    ("minisign", "minisign.pub", "minisign-legacy.minisig"),
    ("minisign", "signify.pub", "signify.sig"),
    ("ssh", "ssh-ed25519.pub", "ssh-ed25519.sig"),
    ("ssh", "ssh-ed25519.pub", "ssh-sha256.sig"),
    ("ssh", "ssh-rsa.pub", "ssh-rsa.sig"),
    ("ssh", "ssh-rsa.pub", "ssh-rsa-sha256.sig"),
    ("ssh", "ssh-ecdsa-256.pub", "ssh-ecdsa-256.sig"),
    ("ssh", "ssh-ecdsa-384.pub", "ssh-ecdsa-384.sig"),
    ("ssh", "ssh-ecdsa-521.pub", "ssh-ecdsa-521.sig"),
];

#[test]
fn rekords_of_every_format_are_admitted() {
    for (format, key, signature) in REKORDS {
        let (admitted, spec) = good("rekord", &rekord(format, key, signature));
        assert_eq!(
            spec["data"]["hash"],
            json!({ "algorithm": "sha256", "value": sha256(&file("artifact")) })
        );
        assert_eq!(spec["signature"]["format"], *format);
        let canonical = STANDARD.decode(spec["signature"]["publicKey"]["content"].as_str().expect("text"));
        let canonical = canonical.expect("base64");
        let found = traced(&admitted);
        assert_eq!(found.digests, [format!("sha256:{}", sha256(&file("artifact")))]);
        let bare = sha256(&canonical);
        assert_eq!(found.keys[0].fingerprints[..2], [bare.clone(), format!("sha256:{bare}")], "{key}");
        // A search finds the key in the form that people have, and in the one that is stored.
        assert_eq!(fingerprint(format, &file(key)).as_ref(), Ok(&bare), "{key}");
        assert_eq!(fingerprint(format, &canonical).as_ref(), Ok(&bare), "{key}");
        // And what is stored verifies.
        let stored = STANDARD.decode(spec["signature"]["content"].as_str().expect("text")).expect("base64");
        let (again, _) = good("rekord", &rekord_of(format, &canonical, &stored, &file("artifact")));
        assert_eq!(again.body, admitted.body);
    }
}

#[test]
fn another_artifact_key_or_signature_is_refused() {
    for (format, key, signature) in REKORDS {
        let (key, signature) = (file(key), file(signature));
        let error = refused("rekord", &rekord_of(format, &key, &signature, b"hello, world\n"));
        assert!(error.starts_with("spec.signature.content: signature is not the "), "{error}");
        for (other_format, other_key, _) in REKORDS {
            if other_format == format && file(other_key) != key && *other_key != "pgp-two.gpg" {
                let spec = rekord_of(format, &file(other_key), &signature, &file("artifact"));
                if key != file("pgp-two.gpg") {
                    let error = refused("rekord", &spec);
                    assert!(error.starts_with("spec.signature.content: signature is "), "{error}");
                }
            }
        }
        for cut in [0, 1, signature.len() / 2] {
            refused("rekord", &rekord_of(format, &key, &signature[..cut], &file("artifact")));
        }
        for cut in [0, 1, key.len() / 2] {
            refused("rekord", &rekord_of(format, &key[..cut], &signature, &file("artifact")));
        }
        let garbage: Vec<u8> = (0..2000_u32).map(|n| (n * n % 251) as u8).collect();
        refused("rekord", &rekord_of(format, &garbage, &signature, &file("artifact")));
        refused("rekord", &rekord_of(format, &key, &garbage, &file("artifact")));
    }
}

#[test]
fn a_refused_rekord_says_what_to_mend() {
    let error = |spec: &Value| refused("rekord", spec);
    let mut spec = rekord("pgp", "pgp-rsa.pub", "pgp-rsa.asc");
    spec["signature"]["format"] = json!("gpg");
    assert_eq!(
        error(&spec),
        "spec.signature.format: format is \"gpg\", pgp, minisign, x509 or ssh was expected"
    );
    spec["signature"]["format"] = Value::Null;
    assert_eq!(error(&spec), "spec.signature.format: format is missing, it is required");
    spec["data"] = json!({ "hash": { "algorithm": "sha256", "value": sha256(&file("artifact")) } });
    spec["signature"]["format"] = json!("pgp");
    assert_eq!(error(&spec), "spec.data.content: content is missing, it is required");
    let error = |format, key, signature| refused("rekord", &rekord(format, key, signature));
    assert_eq!(
        error("pgp", "pgp-rsa.pub", "pgp-sha1.asc"),
        "spec.signature.content: signature is over SHA1 of the artifact, SHA-256 or longer was expected"
    );
    assert!(error("pgp", "pgp-ed.pub", "pgp-rsa.asc").contains("signature is by key "));
    assert_eq!(
        error("ssh", "ssh-ed25519.pub", "ssh-git.sig"),
        "spec.signature.content: signature is for namespace \"git\", \"file\" was expected: sign with -n file"
    );
    assert!(error("ssh", "ssh-rsa.pub", "ssh-ed25519.sig").contains("signature is by key SHA256:"));
    assert!(error("minisign", "signify.pub", "minisign.minisig").contains("signature is by key "));
    assert!(error("pgp", "pgp-rsa.asc", "pgp-rsa.asc").contains("public key is armour of "));
    assert!(error("pgp", "pgp-rsa.pub", "pgp-rsa.pub").contains("signature is armour of "));
}

#[test]
fn keys_are_found_by_their_addresses() {
    let identities = |format, key, signature| {
        traced(&good("rekord", &rekord(format, key, signature)).0).keys[0].identities.clone()
    };
    assert_eq!(identities("pgp", "pgp-rsa.pub", "pgp-rsa.asc"), ["rsa@example.org"]);
    assert_eq!(
        identities("pgp", "pgp-two.gpg", "pgp-rsa.asc").iter().collect::<std::collections::BTreeSet<_>>(),
        [&"ed@example.org".to_owned(), &"rsa@example.org".to_owned()].into()
    );
    assert_eq!(identities("minisign", "minisign.pub", "minisign.minisig"), [""; 0]);
}

#[test]
fn minisign_keys_come_in_four_forms() {
    let text = String::from_utf8(file("minisign.pub")).expect("text");
    let line = text.lines().nth(1).expect("two lines");
    let raw = STANDARD.decode(line).expect("base64");
    let signature = file("minisign.minisig");
    let body = |key: &[u8]| good("rekord", &rekord_of("minisign", key, &signature, &file("artifact"))).0.body;
    assert_eq!(body(text.as_bytes()), body(line.as_bytes()));
    let bare = body(&raw[10..]);
    assert_eq!(bare, body(base64(&raw[10..]).as_bytes()));
    assert_ne!(bare, body(line.as_bytes()));
}

#[test]
fn a_key_that_cannot_be_looked_up_says_why() {
    assert!(matches!(fingerprint("pkcs7", b""), Err(Problem::Unsupported { .. })));
    for format in ["pgp", "x509", "minisign", "ssh", "tuf"] {
        let error = fingerprint(format, b"no key").expect_err("it is none");
        assert!(matches!(error, Problem::Unreadable { .. }));
        assert!(error.to_string().starts_with("public key provided could not be parsed: "), "{error}");
    }
}

//! hashedrekord 0.0.1: every key, every form of a signature, and each thing that can be wrong with its words.

mod v1;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::{AlgorithmPolicy, Rules};
use proptest::prelude::*;
use serde_json::{Value, json};
use v1::{ARTIFACT, Signer, hash, judged, searched, stored};

/// By `keys/p384-sec1.pem` over the SHA-256 of the artifact.
const P384_SHA256: &str = "MGQCMHNRpPLHq35eFuwBxAZODmCxrMtDYv/ECUXvVf304rBf/nTCO4Q8NSzj5eY4tS4iuwIwJHfwFHb+RtpyzKkdwbe9vs0w6+yIT0Uvj2E7AC+aERIUa6WhT/76aPatEtOxxmVu";

fn hash_of(algorithm: &str, message: &[u8]) -> String {
    let function = match algorithm {
        "sha384" => &SHA384,
        "sha512" => &SHA512,
        _ => &SHA256,
    };
    hash(function, message)
}

fn spec_of(key: &str, algorithm: &str, signature: &[u8]) -> Value {
    json!({
        "data": { "hash": { "algorithm": algorithm, "value": hash_of(algorithm, ARTIFACT) } },
        "signature": { "content": STANDARD.encode(signature), "publicKey": { "content": key } }
    })
}

fn spec(signer: &Signer, algorithm: &str) -> Value {
    spec_of(&signer.key(), algorithm, &signer.sign(ARTIFACT))
}

fn refused_by(spec: &Value, rules: &Rules) -> String {
    judged("hashedrekord", "0.0.1", spec, rules).expect_err("it is not good").to_string()
}

fn refused(spec: &Value) -> String {
    refused_by(spec, &Rules::default())
}

#[test]
fn every_key_signs_with_its_hash_function() {
    for (signer, algorithm) in [
        (Signer::p256(), "sha256"),
        (Signer::p384(), "sha384"),
        (Signer::p521(), "sha512"),
        (Signer::rsa(), "sha256"),
        (Signer::ed25519ph(), "sha512"),
    ] {
        let spec = spec(&signer, algorithm);
        let admitted = judged("hashedrekord", "0.0.1", &spec, &Rules::default()).expect("it is good");
        assert_eq!(stored(&admitted), spec);
        assert_eq!(searched("hashedrekord", "0.0.1", &spec).expect("it is good")["spec"], spec);

        // One bit of either, and it is another signature.
        let mut other = spec.clone();
        other["data"]["hash"]["value"] = hash_of(algorithm, b"another").into();
        assert!(refused(&other).starts_with("spec.signature.content: verifying signature: "));
        let mut other = spec.clone();
        let mut signature = signer.sign(ARTIFACT);
        *signature.last_mut().expect("it has bytes") ^= 1;
        other["signature"]["content"] = STANDARD.encode(signature).into();
        assert!(refused(&other).starts_with("spec.signature.content: verifying signature: "));
        assert!(searched("hashedrekord", "0.0.1", &other).is_err());
    }
}

#[test]
fn halves_are_an_ecdsa_signature_too() {
    let signer = Signer::p256();
    let der = signer.sign(ARTIFACT);
    let (r, s) = (&der[4..4 + usize::from(der[3])], &der[6 + usize::from(der[3])..]);
    let mut halves = vec![0; 64];
    for (half, number) in halves.chunks_mut(32).zip([r, s]) {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        half[32 - number.len()..].copy_from_slice(number);
    }
    let spec = spec_of(&signer.key(), "sha256", &halves);
    let admitted = judged("hashedrekord", "0.0.1", &spec, &Rules::default()).expect("it is good");
    assert_eq!(stored(&admitted), spec);
}

#[test]
fn a_key_with_another_hash_function_is_for_the_operator() {
    let p384 = STANDARD.encode(include_str!("keys/p384-sec1.pub"));
    let p384 = spec_of(&p384, "sha256", &STANDARD.decode(P384_SHA256).expect("base64"));
    let p521 = spec(&Signer::p521_with_sha256(), "sha256");
    for (spec, key, name) in
        [(&p384, "ECDSA P-384", "ecdsa-sha2-256-nistp384"), (&p521, "ECDSA P-521", "ecdsa-sha2-256-nistp521")]
    {
        assert_eq!(
            refused(spec),
            format!(
                "entry algorithms are not allowed: {key} with sha256, this log accepts ecdsa-sha2-256-nistp256, \
                 ecdsa-sha2-384-nistp384, ecdsa-sha2-512-nistp521, ed25519, ed25519-ph, rsa-sign-pkcs1-2048-sha256, \
                 rsa-sign-pkcs1-3072-sha256, rsa-sign-pkcs1-4096-sha256"
            )
        );
        // It can be searched for all the same: another log, or another time, may have accepted it.
        assert_eq!(searched("hashedrekord", "0.0.1", spec).expect("it is good")["spec"], *spec);
        let algorithms = AlgorithmPolicy::from_flags([name]).expect("a known name");
        let rules = Rules { algorithms, ..Rules::default() };
        assert_eq!(stored(&judged("hashedrekord", "0.0.1", spec, &rules).expect("it is good")), *spec);
        let ours = self::spec(&Signer::p256(), "sha256");
        assert_eq!(
            refused_by(&ours, &rules),
            format!("entry algorithms are not allowed: ECDSA P-256 with sha256, this log accepts {name}")
        );
    }
    // The signature is judged before the list is asked.
    let mut forged = p384;
    forged["data"]["hash"]["value"] = hash_of("sha256", b"another").into();
    assert_eq!(
        refused(&forged),
        "spec.signature.content: verifying signature: invalid signature when validating ASN.1 encoded signature: it \
         is not the ECDSA P-384 key's over the digest"
    );
}

#[test]
fn pure_ed25519_signs_no_digest() {
    assert_eq!(
        refused(&spec(&Signer::ed25519(), "sha512")),
        "spec.signature.content: verifying signature: ed25519: invalid signature: Ed25519ph with an empty context was \
         expected, pure Ed25519 signs the artifact itself, which the log does not see"
    );
    assert_eq!(
        refused(&spec(&Signer::ed25519ph(), "sha256")),
        "spec.signature.content: verifying signature: ed25519: invalid signature: Ed25519ph goes with sha512, the \
         digest is sha256"
    );
}

#[test]
fn a_kind_that_is_off_is_refused_after_its_signature() {
    let rules = Rules { kinds: vec!["dsse".to_owned()], ..Rules::default() };
    let signer = Signer::p256();
    let spec = spec(&signer, "sha256");
    let disabled = "entry kind 'hashedrekord' is not enabled for submission on this server";
    assert_eq!(refused_by(&spec, &rules), disabled);
    let none = Rules { algorithms: AlgorithmPolicy::from_flags([]).expect("nothing"), ..rules.clone() };
    assert_eq!(refused_by(&spec, &none), disabled);
    let forged = spec_of(&signer.key(), "sha256", b"no signature");
    assert!(refused_by(&forged, &rules).contains("verifying signature"));
}

#[test]
fn the_digest_is_kept_as_it_is_spelt_and_the_key_is_not() {
    let signer = Signer::p256();
    let mut upper = spec(&signer, "sha256");
    upper["data"]["hash"]["value"] = hash_of("sha256", ARTIFACT).to_uppercase().into();
    let admitted = judged("hashedrekord", "0.0.1", &upper, &Rules::default()).expect("it is good");
    assert_eq!(stored(&admitted), upper);

    let canonical = signer.key();
    let pem = signer.pem();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let one_line = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----");
    for spelt in [pem.replace('\n', "\r\n"), format!("\n  {pem}\n\n"), one_line, format!("a note\n{pem}")] {
        let mut spec = upper.clone();
        spec["signature"]["publicKey"]["content"] = STANDARD.encode(&spelt).into();
        let admitted = judged("hashedrekord", "0.0.1", &spec, &Rules::default()).expect("it is good");
        assert_eq!(stored(&admitted)["signature"]["publicKey"]["content"], canonical);
    }
    // As an encoder with line breaks writes base64.
    let mut broken = upper.clone();
    let signature = upper["signature"]["content"].as_str().expect("text");
    broken["signature"]["content"] = format!("{}\n{}\n", &signature[..60], &signature[60..]).into();
    let admitted = judged("hashedrekord", "0.0.1", &broken, &Rules::default()).expect("it is good");
    assert_eq!(stored(&admitted), upper);
}

#[test]
fn what_is_wrong_is_named() {
    let signer = Signer::p256();
    let good = spec(&signer, "sha256");
    let with = |pointer: &str, value: Value| {
        let mut spec = good.clone();
        *spec.pointer_mut(pointer).expect("it is there") = value;
        refused(&spec)
    };
    for pointer in [
        "/data",
        "/data/hash",
        "/data/hash/algorithm",
        "/data/hash/value",
        "/signature",
        "/signature/content",
        "/signature/publicKey",
        "/signature/publicKey/content",
    ] {
        let (field, name) =
            (format!("spec{}", pointer.replace('/', ".")), pointer.rsplit('/').next().expect("a name"));
        assert_eq!(with(pointer, Value::Null), format!("{field}: {name} is missing, it is required"));
    }
    assert_eq!(
        with("/signature/content", "".into()),
        "spec.signature.content: content is missing, it is required"
    );
    assert_eq!(
        with("/signature/content", "MEU".into()),
        "spec.signature.content: value is not base64, the standard alphabet with padding was expected"
    );
    assert_eq!(
        with("/data/hash/algorithm", "sha1".into()),
        "spec.data.hash.algorithm: algorithm is \"sha1\", known are sha256, sha384, sha512"
    );
    assert_eq!(
        with("/data/hash/algorithm", "sha512".into()),
        "spec.data.hash.value: value is 64 characters, sha512 needs 128 hex digits"
    );
    assert_eq!(
        with("/data/hash/value", "zz".repeat(32).into()),
        format!("spec.data.hash.value: value {:?} is not hex", "zz".repeat(32))
    );
    assert_eq!(
        with("/data/hash/value", 5.into()),
        "spec.data.hash.value: invalid type: integer `5`, expected a string at line 1 column 47"
    );
    let key = |pem: &str| with("/signature/publicKey/content", STANDARD.encode(pem).into());
    let field = "spec.signature.publicKey.content";
    assert_eq!(
        key("a key"),
        format!(
            "{field}: public key is not PEM: a line -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE----- was \
             expected"
        )
    );
    assert_eq!(
        key(&v1::pem("RSA PUBLIC KEY", b"der")),
        format!("{field}: public key is PEM of \"RSA PUBLIC KEY\", PUBLIC KEY or CERTIFICATE was expected")
    );
    assert_eq!(
        key(&signer.pem().repeat(2)),
        format!(
            "{field}: public key has several PEM blocks, one PUBLIC KEY or a chain of CERTIFICATE was expected"
        )
    );
    assert_eq!(
        key(&v1::pem("PUBLIC KEY", b"der")),
        format!("{field}: public key is not DER SubjectPublicKeyInfo")
    );
    assert_eq!(
        key(&v1::pem("CERTIFICATE", b"der")),
        format!("{field}: public key has a CERTIFICATE that is no X.509 certificate, number 1")
    );
    assert_eq!(
        key(&v1::pem("CERTIFICATE", b"der").repeat(11)),
        format!("{field}: public key has more than 10 PEM blocks, at most 10 were expected")
    );
    assert_eq!(
        key(&signer.pem().replace("-----END PUBLIC KEY-----", "")),
        format!("{field}: public key has PEM without its last line, -----END PUBLIC KEY----- was expected")
    );
    assert_eq!(
        key(&signer.pem().replace("MFkw", "MF*w")),
        format!("{field}: public key has PEM of \"PUBLIC KEY\" whose content is not base64")
    );
    assert_eq!(
        key(&format!("{}and more", signer.pem())),
        format!("{field}: public key has text after its last PEM block, none was expected")
    );
    // A signature as long as that cannot be in a leaf, nor be one.
    assert!(
        with("/signature/content", STANDARD.encode(vec![0x30; 70_000]).into())
            .contains("verifying signature")
    );
}

#[test]
fn kinds_and_versions_that_are_not_known_are_named() {
    let spec = json!({});
    let refused =
        |kind, version| judged(kind, version, &spec, &Rules::default()).expect_err("none").to_string();
    assert_eq!(refused("hashedRekord", "0.0.1"), "invalid kind value: \"hashedRekord\"");
    assert_eq!(
        refused("hashedrekord", "0.0.2"),
        "unable to locate entry for version 0.0.2 of kind hashedrekord, known are 0.0.1"
    );
    assert_eq!(
        refused("intoto", "0.0.3"),
        "unable to locate entry for version 0.0.3 of kind intoto, known are 0.0.1 and 0.0.2"
    );
}

proptest! {
    #[test]
    fn never_panics(
        pem in "(-----BEGIN (PUBLIC KEY|CERTIFICATE)-----\n)?[A-Za-z0-9+/=\n]{0,60}(-----END (PUBLIC KEY|CERTIFICATE)-----)?",
        signature in proptest::collection::vec(any::<u8>(), 0..100),
        algorithm in "sha(256|384|512|1)",
        value in "[0-9a-f]{64}",
    ) {
        let key = Signer::ed25519ph().key();
        for content in [STANDARD.encode(pem), key] {
            let mut spec = spec_of(&content, "sha256", &signature);
            spec["data"]["hash"] = json!({ "algorithm": algorithm, "value": value });
            prop_assert!(judged("hashedrekord", "0.0.1", &spec, &Rules::default()).is_err());
        }
    }
}

//! What verifiers were fooled by, each as a test, with signatures that are made here: by keys, with certificates, in the form
//! of bundles and in the one before.

mod made;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::attestation::{COSIGN_SIGN, WantedType};
use bulla_claims::identity::{IdentityPattern, Pattern};
use bulla_claims::judge::{
    Artifact, Content, Judged, Layer, Need, Outcome, Policy, TrustedRoot, judge_bundle, judge_layer,
};
use bulla_claims::simple_signing::{MEDIA_TYPE, payload};
use bulla_tlog::{Hash, leaf_hash, sha256};
use made::{Maker, SIGNED_AT};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm,
};
use serde_json::{Value, json};

const NOW: u64 = SIGNED_AT + 1000;
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";

fn by_key(maker: &Maker, content: Content) -> Policy {
    let keys = vec![maker.key.spki().to_vec()];
    Policy { keys, identities: Vec::new(), content, log: Need::Required, sct: Need::Required }
}

fn root(maker: &Maker) -> TrustedRoot {
    TrustedRoot::parse(maker.trusted_root(&[]).as_bytes()).expect("a trusted root")
}

fn judge(maker: &Maker, bundle: &Value, artifact: &[u8], content: Content) -> Judged {
    let policy = by_key(maker, content);
    judge_bundle(bundle.to_string().as_bytes(), &Artifact::Bytes(artifact), &root(maker), &policy, NOW)
}

fn failed(judged: &Judged) -> (&'static str, String) {
    judged.failed().map_or(("none", String::new()), |check| match &check.outcome {
        Outcome::Failed(problem) => (check.name, problem.clone()),
        _ => unreachable!("it failed"),
    })
}

fn attestation(name: &str) -> Content {
    Content::Attestation(WantedType::parse(name).expect("a type"))
}

#[test]
fn what_is_made_here_is_verified() {
    let maker = Maker::new();
    let message = judge(&maker, &maker.message(b"artifact"), b"artifact", Content::Signature);
    assert_eq!(failed(&message), ("none", String::new()));
    let subject = sha256(b"artifact");
    let signed =
        judge(&maker, &maker.statement(&subject, COSIGN_SIGN, &json!({})), b"artifact", Content::Signature);
    assert_eq!(failed(&signed), ("none", String::new()));
}

#[test]
fn lesson_1_an_entry_about_another_artifact_is_no_entry() {
    let maker = Maker::new();
    let mut bundle = maker.message(b"artifact");
    let other = maker.message(b"other");
    bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"].clone();
    let (check, problem) = failed(&judge(&maker, &bundle, b"artifact", Content::Signature));
    assert_eq!(check, "binding");
    assert!(problem.starts_with("entry is about another artifact, sha256 "), "{problem}");
    let again = maker.message(b"artifact");
    let mut bundle = maker.message(b"artifact");
    bundle["verificationMaterial"]["tlogEntries"] = again["verificationMaterial"]["tlogEntries"].clone();
    let came = judge(&maker, &bundle, b"artifact", Content::Signature);
    assert_eq!(failed(&came), ("binding", "entry has another signature than the bundle".to_owned()));
}

#[test]
fn lesson_2_an_attestation_of_another_type_is_not_the_one_that_was_asked_for() {
    let maker = Maker::new();
    let bundle = maker.statement(&sha256(b"artifact"), "https://spdx.dev/Document", &json!({}));
    let judge = |content| failed(&judge(&maker, &bundle, b"artifact", content));
    assert_eq!(judge(attestation("spdx")).0, "none");
    assert_eq!(
        judge(attestation("vuln")).1,
        "it is an attestation of type https://spdx.dev/Document, an attestation of type https://cosign.sigstore.dev/attestation/vuln/v1 was expected"
    );
    // Somebody's list of ingredients is not somebody's consent.
    assert_eq!(judge(Content::Signature).0, "content");
}

#[test]
fn a_promise_alone_is_no_proof_whatever_the_version_of_the_bundle() {
    const OLDEST: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
    let maker = Maker::new();
    for media_type in [OLDEST, "application/vnd.dev.sigstore.bundle+json;version=0.2"] {
        let mut bundle = maker.message(b"artifact");
        bundle["mediaType"] = json!(media_type);
        assert_eq!(failed(&judge(&maker, &bundle, b"artifact", Content::Signature)).0, "none", "proved");
        let proof = bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"].take();
        let problem = "tlogEntries[0] has no inclusion proof with a checkpoint, one was expected";
        let (check, said) = failed(&judge(&maker, &bundle, b"artifact", Content::Signature));
        assert_eq!((check, said.as_str()), ("shape", problem), "{media_type}");
        // A proof that is under no checkpoint is one of any tree that somebody thinks of.
        let mut bare = proof.clone();
        bare.as_object_mut().expect("an object").remove("checkpoint");
        bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"] = bare;
        assert_ne!(
            failed(&judge(&maker, &bundle, b"artifact", Content::Signature)).0,
            "none",
            "{media_type}"
        );
        // Who needs no log must not be fooled by half of one either.
        let policy = Policy { log: Need::NotRequired, ..by_key(&maker, Content::Signature) };
        let bytes = bundle.to_string();
        let judged =
            judge_bundle(bytes.as_bytes(), &Artifact::Bytes(b"artifact"), &root(&maker), &policy, NOW);
        assert!(!judged.verified(), "{media_type}");
    }
}

/// A layer as cosign made them, and the image that it is about.
struct Old {
    maker: Maker,
    payload: Vec<u8>,
    signature: Vec<u8>,
    image: Hash,
}

impl Old {
    fn new() -> Self {
        let maker = Maker::new();
        let image = sha256(b"manifest");
        let payload =
            payload("registry.test/app", &format!("sha256:{image}"), &BTreeMap::new()).expect("is one");
        let signature = maker.key.sign(&payload).expect("signs");
        Self { maker, payload, signature, image }
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let body = made::body(&sha256(&self.payload), &self.signature, &self.maker.pem());
        self.maker.annotations(&self.signature, &body)
    }

    fn judge(&self, annotations: &BTreeMap<String, String>) -> (&'static str, String) {
        let layer = Layer { media_type: MEDIA_TYPE, payload: &self.payload, annotations };
        let policy = by_key(&self.maker, Content::Signature);
        failed(&judge_layer(layer, &self.image, &root(&self.maker), &policy, NOW))
    }
}

#[test]
fn a_layer_of_before_bundles_is_verified() {
    let old = Old::new();
    assert_eq!(old.judge(&old.annotations()), ("none", String::new()));
    let elsewhere = Old { image: sha256(b"another manifest"), ..old };
    let (check, problem) = elsewhere.judge(&elsewhere.annotations());
    assert_eq!(check, "artifact");
    assert!(problem.starts_with("payload is about the image sha256:"), "{problem}");
}

#[test]
fn lesson_3_an_entry_with_another_key_is_no_entry() {
    let old = Old::new();
    let stranger = Maker::new();
    let body = made::body(&sha256(&old.payload), &old.signature, &stranger.pem());
    assert_eq!(
        old.judge(&old.maker.annotations(&old.signature, &body)),
        ("binding", "entry has another key or certificate than the one that signed".to_owned())
    );
}

#[test]
fn lessons_4_and_5_what_has_no_end_is_refused() {
    let maker = Maker::new();
    let judge = |bundle: &Value| failed(&judge(&maker, bundle, b"artifact", Content::Signature));
    let mut many = maker.message(b"artifact");
    let entry = many["verificationMaterial"]["tlogEntries"][0].clone();
    many["verificationMaterial"]["tlogEntries"] = vec![entry.clone(); 33].into();
    assert_eq!(judge(&many), ("shape", "tlogEntries has 33 members, at most 32 were expected".to_owned()));
    many["verificationMaterial"]["tlogEntries"] = vec![entry; 2].into();
    assert_eq!(judge(&many), ("shape", "tlogEntries[1] is there twice".to_owned()));
    let mut long = maker.message(b"artifact");
    long["x"] = "x".repeat(4 << 20).into();
    assert!(judge(&long).1.ends_with("at most 4194304 were expected"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let policy = by_key(&maker, Content::Signature);
    let came = judge_bundle(deep.as_bytes(), &Artifact::Bytes(b""), &root(&maker), &policy, NOW);
    assert_eq!(failed(&came).0, "shape");
}

#[test]
fn lesson_6_an_envelope_is_verified_before_anybody_believes_what_is_in_it() {
    let maker = Maker::new();
    let mut bundle = maker.statement(&sha256(b"artifact"), "https://spdx.dev/Document", &json!({}));
    bundle["dsseEnvelope"]["signatures"][0]["sig"] =
        STANDARD.encode(maker.log.sign(b"x").expect("signs")).into();
    assert!(!judge(&maker, &bundle, b"artifact", attestation("spdx")).verified());
}

#[test]
fn lesson_7_a_pattern_that_matches_a_part_is_refused() {
    let refused = Pattern::regex("https://github.com/org/").expect_err("matches parts").to_string();
    assert!(refused.ends_with("write ^https://github.com/org/$"), "{refused}");
}

/// A key of P-256 whose private part is elsewhere.
struct Public<'a>(&'a [u8]);

impl PublicKeyData for Public<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0[self.0.len() - 65..]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A certificate for those names, and the authority that issued it.
fn certificate(maker: &Maker, names: Vec<SanType>, ca: bool) -> (String, Vec<u8>, Vec<u8>) {
    let authority = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let anchor = params.self_signed(&authority).expect("a certificate").der().to_vec();
    let issuer = Issuer::new(params, authority);
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.not_before = rcgen::date_time_ymd(2026, 11, 21);
    params.not_after = rcgen::date_time_ymd(2026, 11, 22);
    let said = b"https://issuer.example".to_vec();
    let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 1], said);
    params.custom_extensions = vec![extension];
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let leaf = params.signed_by(&Public(maker.key.spki()), &issuer).expect("a certificate");
    (leaf.pem(), leaf.der().to_vec(), anchor)
}

fn keyless(names: &[&str], ca: bool, signed: Need, promise: impl Fn(&mut Value)) -> (&'static str, String) {
    let old = Old::new();
    let names = names.iter().map(|name| SanType::Rfc822Name((*name).try_into().expect("a name"))).collect();
    let (pem, _, anchor) = certificate(&old.maker, names, ca);
    let body = made::body(&sha256(&old.payload), &old.signature, &pem);
    let mut annotations = old.maker.annotations(&old.signature, &body);
    annotations.insert("dev.sigstore.cosign/certificate".to_owned(), pem);
    let name = "dev.sigstore.cosign/bundle";
    let mut bundle: Value = serde_json::from_str(&annotations[name]).expect("JSON");
    promise(&mut bundle);
    annotations.insert(name.to_owned(), bundle.to_string());
    let exact = |text| Pattern::exact(text).expect("a pattern");
    let alice =
        IdentityPattern { issuer: exact("https://issuer.example"), subject: exact("alice@example.org") };
    let policy = Policy {
        identities: vec![alice],
        keys: Vec::new(),
        sct: signed,
        ..by_key(&old.maker, Content::Signature)
    };
    let root = TrustedRoot::parse(old.maker.trusted_root(&[anchor]).as_bytes()).expect("a trusted root");
    let layer = Layer { media_type: MEDIA_TYPE, payload: &old.payload, annotations: &annotations };
    failed(&judge_layer(layer, &old.image, &root, &policy, NOW))
}

#[test]
fn lesson_8_a_certificate_with_two_names_is_nobodys() {
    assert_eq!(keyless(&["alice@example.org"], false, Need::NotRequired, |_| ()), ("none", String::new()));
    let (check, problem) =
        keyless(&["alice@example.org", "mallory@example.org"], false, Need::NotRequired, |_| ());
    assert_eq!(check, "identity");
    assert_eq!(problem, "certificate has 2 subject alternative names, exactly one was expected");
}

#[test]
fn a_certificate_that_is_no_signers_or_in_no_log_is_refused() {
    assert_eq!(keyless(&["alice@example.org"], true, Need::NotRequired, |_| ()).0, "profile");
    assert_eq!(keyless(&["alice@example.org"], false, Need::Required, |_| ()).0, "sct");
}

#[test]
fn lesson_13_a_member_that_is_there_twice_means_nothing() {
    let maker = Maker::new();
    let text = maker.message(b"artifact").to_string();
    let policy = by_key(&maker, Content::Signature);
    let twice = text.replacen("{\"", "{\"mediaType\":\"x\",\"", 1);
    let came = judge_bundle(twice.as_bytes(), &Artifact::Bytes(b"artifact"), &root(&maker), &policy, NOW);
    let (check, problem) = failed(&came);
    assert_eq!(check, "shape");
    assert!(problem.contains("\"mediaType\" is there twice"), "{problem}");
    // What nobody knows is passed over, as protobuf's JSON has it.
    let known = text.replacen("{\"", "{\"new\":{},\"", 1);
    let came = judge_bundle(known.as_bytes(), &Artifact::Bytes(b"artifact"), &root(&maker), &policy, NOW);
    assert!(came.verified());
}

#[test]
fn lesson_14_a_time_that_nobody_promised_is_no_time() {
    let moved = keyless(&["alice@example.org"], false, Need::NotRequired, |bundle| {
        bundle["Payload"]["integratedTime"] = json!(SIGNED_AT + 1);
    });
    assert_eq!(moved.0, "promise");
    let (check, problem) = keyless(&["alice@example.org"], false, Need::NotRequired, |bundle| {
        bundle["SignedEntryTimestamp"] = Value::Null;
    });
    assert_eq!((check, problem.as_str()), ("shape", "bundle: missing field `signedEntryTimestamp`"));
}

#[test]
fn lesson_15_the_type_of_a_payload_is_looked_at_before_the_payload() {
    let maker = Maker::new();
    let bundle = maker.envelope("text/plain", b"{ not JSON");
    let (check, problem) = failed(&judge(&maker, &bundle, b"artifact", Content::Signature));
    assert_eq!(check, "content");
    assert_eq!(
        problem,
        "payloadType: \"text/plain\" was found, \"application/vnd.in-toto+json\" was expected"
    );
}

#[test]
fn an_attestation_of_before_bundles_is_verified() {
    let maker = Maker::new();
    let image = sha256(b"manifest");
    let bundle = maker.statement(&image, "https://spdx.dev/Document", &json!({}));
    let envelope = bundle["dsseEnvelope"].to_string();
    let body = bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"].as_str().expect("text");
    let body = String::from_utf8(STANDARD.decode(body).expect("base64")).expect("text");
    let mut annotations = maker.annotations(b"", &body);
    annotations.insert("predicateType".to_owned(), "believed by nobody".to_owned());
    let layer = Layer { media_type: DSSE, payload: envelope.as_bytes(), annotations: &annotations };
    let judge = |image: &Hash, content| {
        failed(&judge_layer(layer, image, &root(&maker), &by_key(&maker, content), NOW))
    };
    assert_eq!(judge(&image, attestation("spdx")), ("none", String::new()));
    assert_eq!(judge(&image, attestation("vuln")).0, "content");
    assert_eq!(judge(&sha256(b"another"), attestation("spdx")).0, "content");
}

/// Made with `pyca/cryptography`: key, signature, entry and promise of an image signature.
#[test]
fn a_layer_that_another_program_signed_is_verified() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElw8Ula0TYDBPnVIrZDfx+4Dh01GH\nS5og7cwqarWG5GLk4KwXGGAr+zFpHiDDhZp3OYzbf/qAzguIKa6av95b7g==\n-----END PUBLIC KEY-----\n";
    let signature =
        "MEYCIQCy+lPKu2D6X2VrsD9cfALwUneClN3fnz4H0ieUhxiqwAIhAJmkL4ZgoAEMXH27bieeCVXDav58AHlSnA7ZNT7PZ8vv";
    let promise =
        "MEUCIQC7xm38u6bPc0lXh3ptpig3lIwYxafv986aIMAJ8iaEYAIgMyHFMQz6OekjpsPdaHB2O/0SOdASiX42AZkgoatCmEo=";
    let image =
        Hash::from_hex("89333bc71f02c647533ab52e592ad22c609728f12eabff6fda0920109db40401").expect("hex");
    let payload =
        payload("registry.test/team/app", &format!("sha256:{image}"), &BTreeMap::new()).expect("is one");
    let body = made::body(&sha256(&payload), &STANDARD.decode(signature).expect("base64"), pem);
    let expected = "4e2a0fb5c846cd46526ccca769de79c0364e7746270ee447460049fade2aaccc";
    assert_eq!(leaf_hash(body.as_bytes()).to_string(), expected);
    let spki: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let spki = STANDARD.decode(spki).expect("base64");
    let said = json!({
        "SignedEntryTimestamp": promise,
        "Payload": {
            "body": STANDARD.encode(body), "integratedTime": 1_700_000_000, "logIndex": 42, "logID": sha256(&spki).to_string(),
        },
    });
    let annotations = BTreeMap::from([
        ("dev.cosignproject.cosign/signature".to_owned(), signature.to_owned()),
        ("dev.sigstore.cosign/bundle".to_owned(), said.to_string()),
    ]);
    let layer = Layer { media_type: MEDIA_TYPE, payload: &payload, annotations: &annotations };
    let mut trusted: Value = serde_json::from_str(&Maker::new().trusted_root(&[])).expect("JSON");
    trusted["tlogs"][0]["publicKey"]["rawBytes"] = STANDARD.encode(&spki).into();
    trusted["tlogs"][0]["publicKey"]["validFor"]["start"] = "2023-01-01T00:00:00Z".into();
    trusted["tlogs"][0]["logId"]["keyId"] = sha256(&spki).to_base64().into();
    let root = TrustedRoot::parse(trusted.to_string().as_bytes()).expect("a trusted root");
    let policy = Policy {
        keys: vec![spki],
        identities: Vec::new(),
        content: Content::Signature,
        log: Need::Required,
        sct: Need::Required,
    };
    assert_eq!(failed(&judge_layer(layer, &image, &root, &policy, NOW)), ("none", String::new()));
    let changes = [("integratedTime", json!(1_700_000_001)), ("logIndex", json!(43))];
    for (name, value) in changes {
        let mut said = said.clone();
        said["Payload"][name] = value;
        let mut annotations = annotations.clone();
        annotations.insert("dev.sigstore.cosign/bundle".to_owned(), said.to_string());
        let layer = Layer { annotations: &annotations, ..layer };
        assert_eq!(failed(&judge_layer(layer, &image, &root, &policy, NOW)).0, "promise", "{name}");
    }
}

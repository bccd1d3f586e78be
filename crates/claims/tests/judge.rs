//! Bundles of four clients that we did not write, judged: each gets the verdict that these clients give each other, and no
//! field that means something may be another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::attestation::WantedType;
use bulla_claims::identity::{IdentityPattern, Pattern};
use bulla_claims::judge::{
    Artifact, Check, Content, Judged, Need, Outcome, Policy, TrustedRoot, judge_bundle,
};
use bulla_claims::pki::x509::PublicKey;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_795_300_000;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bundles").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn bundle(name: &str) -> Value {
    serde_json::from_slice(&read(&format!("{name}.json"))).expect("JSON")
}

fn root() -> TrustedRoot {
    TrustedRoot::parse(&read("trusted_root.json")).expect("a trusted root")
}

fn slsa() -> Content {
    Content::Attestation(WantedType::parse("slsaprovenance1").expect("a type"))
}

/// What accepts a bundle of that name if anything does.
fn policy(name: &str, bundle: &Value) -> Policy {
    let exact = |text| Pattern::exact(text).expect("a pattern");
    let alice =
        IdentityPattern { issuer: exact("http://127.0.0.1:8765"), subject: exact("alice@example.org") };
    let subject = exact("https://ci.example.org/repo/workflow@refs/heads/main");
    let workflow = IdentityPattern { issuer: exact("http://127.0.0.1:8765"), subject };
    let keys = name.split_once("-rawkey").map(|(client, _)| {
        PublicKey::parse(&read(&format!("{client}-rawkey.pub"))).expect("a key").spki().to_vec()
    });
    Policy {
        keys: keys.into_iter().collect(),
        identities: vec![alice, workflow],
        content: if bundle.get("dsseEnvelope").is_some() { slsa() } else { Content::Signature },
        log: Need::Required,
        sct: Need::Required,
    }
}

fn judged(bundle: &Value, policy: &Policy) -> Judged {
    let artifact = read("art.txt");
    judge_bundle(bundle.to_string().as_bytes(), &Artifact::Bytes(&artifact), &root(), policy, NOW)
}

fn failed(judged: &Judged) -> Option<(&'static str, String)> {
    judged.failed().map(|Check { name, outcome, .. }| match outcome {
        Outcome::Failed(problem) => (*name, problem.clone()),
        _ => unreachable!("it failed"),
    })
}

/// Those that clients refuse too, and where. sigstore-js alone writes entries of a kind that logs no longer take, and puts a
/// key where a certificate belongs; what it signs without a log is not accepted unless that is asked for.
fn refused(name: &str) -> Option<&'static str> {
    let (_, name) = name.split_at_checked("sigstore-js-4.1.1-".len())?;
    match name {
        "rawkey-v2-dsseEnvelope" | "sc-v2-dsseEnvelope" | "sigstore.attest-tsa-notlog" => Some("shape"),
        "rawkey-v2-messageSignature" => Some("binding"),
        _ => None,
    }
}

#[test]
fn every_bundle_has_the_verdict_that_clients_give_it() {
    let names =
        std::fs::read_dir(path("")).expect("a folder").map(|entry| entry.expect("a file").file_name());
    let names = names.filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned()));
    let names: Vec<_> = names.filter(|name| name != "trusted_root").collect();
    assert_eq!(names.len(), 39);
    for name in names {
        let bundle = bundle(&name);
        let came = judged(&bundle, &policy(&name, &bundle));
        assert_eq!(failed(&came).map(|(check, _)| check), refused(&name), "{name}: {:?}", failed(&came));
        assert_eq!(came.verified(), refused(&name).is_none());
        assert_eq!(came.checks.iter().map(|check| check.name).collect::<Vec<_>>(), Check::NAMES);
    }
}

#[test]
fn the_digest_of_the_artifact_is_as_good_as_the_artifact() {
    let artifact = Artifact::Sha256(bulla_tlog::sha256(&read("art.txt")));
    for name in ["py-v1", "py-v2", "py-att-v2", "sigstore-js-5.0.1-rawkey-v1-messageSignature"] {
        let bundle = bundle(name);
        let policy = policy(name, &bundle);
        let came = judge_bundle(bundle.to_string().as_bytes(), &artifact, &root(), &policy, NOW);
        assert_eq!(failed(&came), None, "{name}");
    }
}

#[test]
fn checks_say_what_they_saw() {
    let bundle = bundle("py-v1");
    let came = judged(&bundle, &policy("py-v1", &bundle));
    let seen = |check: &str, what: &str| {
        let evidence = &came.check(check).expect("is there").evidence;
        evidence.iter().filter(|(name, _)| *name == what).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(seen("identity", "subject"), ["alice@example.org"]);
    assert_eq!(seen("identity", "issuer"), ["http://127.0.0.1:8765"]);
    assert_eq!(seen("log", "log index"), ["0"]);
    assert_eq!(seen("log", "root hash"), ["bJGiZzRbpM9hLo2eYxLYWqopRbAPyijpYEzEqmWg4ko="]);
    assert_eq!(seen("time", "integrated time"), ["2026-11-21T02:50:00Z"]);
    assert_eq!(seen("time", "timestamp").len(), 1, "{:?}", came.check("time"));
    for what in ["issued by", "serial", "not before", "not after", "certificate sha256"] {
        assert_eq!(seen("certificate", what).len(), 1, "{what}");
    }
}

/// What nobody believes: hints, and what a log of the second version repeats beside the checkpoint.
const ADVISORY: [&str; 6] = [
    "publicKey/hint",
    "keyid",
    "v2/integratedTime",
    "v2/inclusionProof/logIndex",
    "v2/inclusionProof/rootHash",
    "v2/inclusionProof/treeSize",
];

/// Every text in it, by path.
fn texts(value: &Value, path: &str, to: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| texts(value, &format!("{path}/{name}"), to));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| texts(value, &format!("{path}/{n}"), to));
        }
        Value::String(_) => to.push(path.to_owned()),
        _ => {}
    }
}

/// Another text of the same kind: one bit of the bytes that it encodes, the next number, another letter.
fn flipped(text: &str) -> String {
    if let Ok(number) = text.parse::<u64>() {
        return (number + 1).to_string();
    }
    if let Some(mut bytes) = STANDARD.decode(text).ok().filter(|bytes| bytes.len() > 16) {
        // In a timestamp the middle may be a certificate that came along, which is believed by nobody; the end is the signature.
        let at =
            if bytes.len() > 1500 && bytes[..2] == [0x30, 0x82] { bytes.len() - 1 } else { bytes.len() / 2 };
        bytes[at] ^= 1;
        return STANDARD.encode(bytes);
    }
    let at = text.len() / 2;
    let at = (at..text.len()).find(|at| text.as_bytes()[*at].is_ascii_alphanumeric()).expect("has a letter");
    let other = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

#[test]
fn a_flipped_byte_in_any_field_fails_a_check_by_name() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let names = [
        "py-v1",
        "py-v1_notsa",
        "py-v2",
        "py-att-v1",
        "py-att-v2",
        "rs-v1-att",
        "jscli-att",
        "sigstore-js-5.0.1-sigstore.sign-v1-tsa",
        "sigstore-js-5.0.1-rawkey-v1-messageSignature",
        "sigstore-js-5.0.1-rawkey-v1-dsseEnvelope",
    ];
    for name in names {
        let good = bundle(name);
        let policy = policy(name, &good);
        let is_v2 = good.pointer("/verificationMaterial/tlogEntries/0/kindVersion/version")
            == Some(&json!("0.0.2"))
            && good.pointer("/verificationMaterial/tlogEntries/0/kindVersion/kind")
                == Some(&json!("hashedrekord"));
        let mut paths = Vec::new();
        texts(&good, "", &mut paths);
        for path in paths {
            let field = if is_v2 { path.replace("tlogEntries/0", "v2") } else { path.clone() };
            let mut bad = good.clone();
            let text = bad.pointer_mut(&path).expect("is there");
            let before = text.as_str().expect("a text").to_owned();
            if before.is_empty() || before == "0" && field.ends_with("integratedTime") {
                continue;
            }
            *text = flipped(&before).into();
            let came = judged(&bad, &policy);
            let advisory = ADVISORY.iter().any(|advisory| field.ends_with(advisory));
            let of_it = came.checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_)));
            of_it.for_each(|check| *seen.entry(check.name).or_default() += 1);
            assert!(advisory || !came.verified(), "{name}: {path} may be anything");
        }
    }
    // Each kind of forgery is told from the others.
    for check in ["shape", "binding", "log", "inclusion", "promise", "time", "signature", "content"] {
        assert!(seen.contains_key(check), "{check} never failed: {seen:?}");
    }
}

#[test]
fn what_is_signed_for_somebody_else_by_somebody_else_or_about_something_else_is_not_verified() {
    let name = "py-v1";
    let bundle = bundle(name);
    let good = policy(name, &bundle);
    let exact = |text: &str| Pattern::exact(text).expect("a pattern");
    let mallory = vec![IdentityPattern {
        issuer: exact("http://127.0.0.1:8765"),
        subject: exact("mallory@example.org"),
    }];
    let other = Policy { identities: mallory, ..good.clone() };
    assert_eq!(
        failed(&judged(&bundle, &other)).expect("fails"),
        (
            "identity",
            "certificate is of \"alice@example.org\" of issuer \"http://127.0.0.1:8765\", who may not sign"
                .into()
        )
    );
    let key = policy("sigstore-js-5.0.1-rawkey-v1-messageSignature", &bundle).keys;
    let by_key = Policy { identities: Vec::new(), keys: key, ..good.clone() };
    assert_eq!(failed(&judged(&bundle, &by_key)).expect("fails").0, "key");
    let raw = self::bundle("sigstore-js-5.0.1-rawkey-v1-messageSignature");
    assert_eq!(failed(&judged(&raw, &good)).expect("fails").0, "key");
    let came = judge_bundle(bundle.to_string().as_bytes(), &Artifact::Bytes(b"other"), &root(), &good, NOW);
    assert_eq!(failed(&came).expect("fails").0, "binding");
    let early = judge_bundle(
        bundle.to_string().as_bytes(),
        &Artifact::Bytes(&read("art.txt")),
        &root(),
        &good,
        1_795_229_399,
    );
    assert_eq!(failed(&early).expect("fails").0, "time");
}

#[test]
fn without_a_log_only_if_that_is_asked_for() {
    let name = "sigstore-js-5.0.1-sigstore.attest-tsa-notlog";
    let bundle = bundle(name);
    let policy = Policy { log: Need::NotRequired, ..policy(name, &bundle) };
    assert_eq!(failed(&judged(&bundle, &policy)), None);
    // What is there is judged all the same.
    let mut logged = self::bundle("py-v2");
    logged["verificationMaterial"]["tlogEntries"][0]["logIndex"] = json!("1");
    assert!(!judged(&logged, &Policy { content: Content::Signature, ..policy }).verified());
}

#[test]
fn a_trusted_root_that_is_not_whole_is_refused() {
    let good: Value = serde_json::from_slice(&read("trusted_root.json")).expect("JSON");
    let refused =
        |root: &Value| TrustedRoot::parse(root.to_string().as_bytes()).err().expect("refused").to_string();
    let mut root = good.clone();
    root["mediaType"] = json!("application/json");
    assert!(
        refused(&root).starts_with("trusted root: mediaType is \"application/json\""),
        "{}",
        refused(&root)
    );
    let mut root = good.clone();
    root["tlogs"][0]["publicKey"].as_object_mut().expect("an object").remove("validFor");
    assert!(
        refused(&root).ends_with("has no publicKey.validFor.start, from which its key holds"),
        "{}",
        refused(&root)
    );
    let twice = good.to_string().replacen("{\"", "{\"tlogs\":[],\"", 1);
    assert!(TrustedRoot::parse(twice.as_bytes()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn never_panics(at: prop::sample::Index, with: u8, name in prop::sample::select(vec!["py-v1", "py-v2", "jscli-att"])) {
        let good = bundle(name);
        let policy = policy(name, &good);
        let mut bytes = good.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        drop(judge_bundle(&bytes, &Artifact::Bytes(b""), &root(), &policy, NOW));
        drop(TrustedRoot::parse(&bytes));
    }
}

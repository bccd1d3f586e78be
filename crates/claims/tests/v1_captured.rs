//! What real clients propose at the v1 door, byte for byte, and an entry of the public log. `vectors/v1` has requests of
//! sigstore-js, sigstore-python and others with the bodies that answer them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bulla_claims::describe;
use bulla_claims::entry::v1::{Admitted, Proposed, Refusal, Rules, admit, template};
use bulla_claims::traces::{Door, KeyCache, traces};
use bulla_tlog::{Hash, leaf_hash};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// An entry of the public log from December 2025.
const PUBLIC: &str = r#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf"}},"signature":{"content":"MEUCIQCACfhpIX3+zVXJjwEeIS0yFTK2jRfBjduXAaLHJSARHAIgSUdTM+S5xucODRFtrGHN2uClS0MRPhqZm76g0ZHEQ5c=","publicKey":{"content":"LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFeFJSU1Q3OStQc3JSQm5HQUk0Y011Nk9tejJKaApmd2xNVytnSXV0TktWUmFNeVM0clFLdmduZ2M1cDhVYkxqNTVwVkhoSW9BeGkvU1JnVVJaSTBKM1h3PT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg=="}}}}"#;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    kind: String,
    api_version: String,
    spec: Box<RawValue>,
}

impl Document {
    fn read(document: &Value) -> Self {
        serde_json::from_str(&document.to_string()).expect("a proposed entry")
    }

    fn proposed(&self) -> Proposed<'_> {
        Proposed { kind: &self.kind, api_version: &self.api_version, spec: &self.spec }
    }

    fn admit(&self) -> Result<Admitted, Refusal> {
        admit(&self.proposed(), &Rules::default())
    }

    fn template(&self) -> Result<String, Refusal> {
        let body = template(&self.proposed(), &Rules::default())?;
        Ok(String::from_utf8(body).expect("JSON"))
    }
}

fn captured() -> BTreeMap<String, (Value, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/v1");
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let read = |path: &Path| {
        let text = fs::read_to_string(path).expect("text");
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        let body = value["body"].as_str().expect("a body").to_owned();
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), (value["request"].take(), body))
    };
    let captured: BTreeMap<_, _> = files.map(|path| read(&path)).collect();
    assert!(captured.len() >= 10);
    captured
}

/// Says `null` for every member that the schema knows and the request has not.
fn with_nulls(document: &mut Value) {
    let kind = document["kind"].as_str().expect("a kind").to_owned();
    let spec = document["spec"].as_object_mut().expect("an object");
    for name in
        ["data", "signature", "proposedContent", "envelopeHash", "payloadHash", "signatures", "content"]
    {
        spec.entry(name).or_insert(Value::Null);
    }
    if kind == "intoto" {
        let content = spec["content"].as_object_mut().expect("an object");
        content.entry("payloadHash").or_insert(Value::Null);
        for signature in content["envelope"]["signatures"].as_array_mut().expect("a list") {
            signature.as_object_mut().expect("an object").entry("keyid").or_insert(Value::Null);
        }
    }
    spec.insert("notInTheSchema".to_owned(), json!({ "passed": ["over"] }));
}

#[test]
fn clients_get_the_bodies_that_they_got() {
    for (name, (request, body)) in captured() {
        let admitted = Document::read(&request).admit().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8(admitted.body).as_deref(), Ok(body.as_str()), "{name}");
        let value: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(serde_json_canonicalizer::to_string(&value).expect("canonical"), body);

        let mut nulls = request.clone();
        with_nulls(&mut nulls);
        let admitted = Document::read(&nulls).admit().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8(admitted.body).as_deref(), Ok(body.as_str()), "{name}");
    }
}

#[test]
fn what_was_proposed_and_what_is_stored_are_searched_for_alike() {
    for (name, (request, body)) in captured() {
        assert_eq!(Document::read(&request).template().as_deref(), Ok(body.as_str()), "{name}");
        let stored = Document::read(&serde_json::from_str(&body).expect("JSON"));
        assert_eq!(stored.template().as_deref(), Ok(body.as_str()), "{name}");
        match stored.admit() {
            Ok(admitted) => {
                assert_eq!((stored.kind.as_str(), admitted.body), ("hashedrekord", body.into_bytes()));
            }
            Err(error) => {
                let missing = match stored.kind.as_str() {
                    "dsse" => {
                        "spec.proposedContent: proposedContent is missing: the canonical form can be searched for, \
                         not added"
                    }
                    _ => "spec.content.envelope.payload: payload is missing, it is required",
                };
                assert_eq!(error.to_string(), missing, "{name}");
            }
        }
    }
}

#[test]
fn attestations_name_their_subject_and_are_kept() {
    let subject = "sha256:a6415e36e332794d85e2e06d9c276901f28b74a22f01741a695b6fed0a9e545e";
    for (name, (request, body)) in captured() {
        let admitted = Document::read(&request).admit().expect("it is good");
        let kind = request["kind"].as_str().expect("a kind");
        assert_eq!(
            admitted.named,
            if kind == "hashedrekord" { vec![] } else { vec![subject.to_owned()] },
            "{name}"
        );
        assert_eq!(admitted.attestation.is_some(), kind == "intoto");
        if let Some(attestation) = admitted.attestation {
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let hash = &body["spec"]["content"]["payloadHash"]["value"];
            assert_eq!(attestation.key, format!("sha256:{}", hash.as_str().expect("hex")));
            let statement: Value = serde_json::from_slice(&attestation.bytes).expect("a statement");
            assert_eq!(statement["subject"][0]["name"], "art.txt");
        }
    }
}

#[test]
fn leaves_are_found_by_what_they_hold() {
    let mut keys = KeyCache::new();
    for (name, (request, body)) in captured() {
        let found = traces(body.as_bytes(), &mut keys).expect("it is an entry");
        let document: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((found.door, found.kind), (Door::V1, document["kind"].as_str().expect("a kind")));
        let spec = &document["spec"];
        let hash = |hash: &Value| format!("sha256:{}", hash["value"].as_str().expect("hex"));
        let digests = match found.kind {
            "hashedrekord" => vec![hash(&spec["data"]["hash"])],
            "dsse" => vec![hash(&spec["payloadHash"]), hash(&spec["envelopeHash"])],
            _ => vec![hash(&spec["content"]["payloadHash"])],
        };
        assert_eq!(found.digests, digests, "{name}");
        let [key] = found.keys.as_slice() else { panic!("it has one key") };
        assert_eq!(key.fingerprints.len(), 4);
        if name.contains("rawkey") {
            assert_eq!((key.identities.len(), &key.issuer), (0, &None));
        } else {
            assert_eq!(key.identities, ["alice@example.org"], "{name}");
            assert_eq!(key.issuer.as_deref(), Some("http://127.0.0.1:8765"));
        }

        let facts = describe(body.as_bytes()).expect("it is an entry");
        assert_eq!(
            (facts.kind.as_str(), facts.version.as_str()),
            (found.kind, request["apiVersion"].as_str().expect("a version"))
        );
        assert!(facts.digest.is_some_and(|digest| digest.algorithm == "sha256" && digest.bytes.len() == 32));
        assert_eq!(facts.signatures[0].key_details, "ECDSA P-256");
        assert!(!facts.signatures[0].bytes.is_empty());
    }
}

#[test]
fn an_entry_of_the_public_log_is_itself() {
    let document: Document = serde_json::from_str(PUBLIC).expect("JSON");
    let admitted = document.admit().expect("it is in the public log");
    assert_eq!(String::from_utf8(admitted.body).as_deref(), Ok(PUBLIC));
    let leaf = Hash::from_hex("251d7335e207fb694536143ecff500072df1cae8f388a9c181794f31e1b2d42e");
    assert_eq!(Some(leaf_hash(PUBLIC.as_bytes())), leaf);
    let found = traces(PUBLIC.as_bytes(), &mut KeyCache::new()).expect("it is an entry");
    let key = "be23225356911668bb870173733013d2211ec0ed0a3738ee7b74de1e20bcf5d7";
    assert_eq!(found.keys[0].fingerprints[..2], [key.to_owned(), format!("sha256:{key}")]);
    assert_eq!(found.digests, ["sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf"]);
}

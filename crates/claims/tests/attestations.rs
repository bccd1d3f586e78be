//! Statements and predicates: those that other programs made are taken, and each thing that a specification requires is missed
//! by its path when it is not there.

use std::path::Path;

use bulla_claims::attestation::{
    COSIGN_SIGN, PAYLOAD_TYPE, PredicateType, Statement, StatementType, Subject, custom_predicate, encoding,
    judge,
};
use bulla_tlog::sha256;
use serde_json::{Value, json};

const DIGEST: &str = "89333bc71f02c647533ab52e592ad22c609728f12eabff6fda0920109db40401";

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attestations").join(name);
    std::fs::read_to_string(path).expect("the file is in the repository")
}

fn document(name: &str) -> Value {
    serde_json::from_str(&file(name)).expect("is JSON")
}

fn uri(name: &str) -> &'static str {
    PredicateType::named(name).expect("is known").uri
}

/// What other programs made, by the name of its type.
fn documents() -> Vec<(&'static str, Value)> {
    let predicate = |name| document(name)["predicate"].take();
    vec![
        ("cyclonedx", document("cyclonedx-1.4.json")),
        ("cyclonedx", document("cyclonedx-1.6.json")),
        ("spdxjson", document("spdx-2.2.json")),
        ("spdx", document("spdx-2.3.json")),
        ("openvex", document("openvex.json")),
        ("vuln", document("vuln.json")),
        ("slsaprovenance", document("slsa-v0.2.json")),
        ("slsaprovenance1", predicate("statement-provenance.json")),
        ("link", predicate("statement-link.json")),
        ("custom", custom_predicate("seen", "2026-11-21T12:00:00Z".parse().expect("a time"))),
    ]
}

#[test]
fn what_other_programs_make_is_taken() {
    for (name, predicate) in documents() {
        assert_eq!(judge(uri(name), &predicate), Ok(()), "{name}");
        let subject = Subject::sha256(Some("registry.test/team/app"), DIGEST);
        for version in [StatementType::V01, StatementType::V1] {
            let written =
                Statement::write(version, std::slice::from_ref(&subject), uri(name), &predicate.to_string());
            let read = Statement::parse(PAYLOAD_TYPE, &written.expect("is written")).expect("is read");
            let expected = Statement {
                version,
                subjects: vec![subject.clone()],
                predicate_type: uri(name).to_owned(),
                predicate: predicate.clone(),
            };
            assert_eq!(read, expected);
        }
    }
    for (name, of) in [("statement-provenance.json", "slsaprovenance1"), ("statement-link.json", "link")] {
        let read = Statement::parse(PAYLOAD_TYPE, file(name).as_bytes()).expect("is read");
        assert_eq!((read.version, &*read.predicate_type), (StatementType::V1, uri(of)));
        assert_eq!(read.subjects[0].name.as_deref(), Some("artifact"));
    }
}

#[test]
fn a_statement_about_an_image_is_that_of_the_vector() {
    let subject = Subject::sha256(None, DIGEST);
    let written = Statement::write(StatementType::V1, &[subject], COSIGN_SIGN, "{}").expect("is written");
    assert_eq!(written.len(), 213);
    assert_eq!(
        String::from_utf8_lossy(&written),
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{DIGEST}"}}}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#
        )
    );
    let expected = "39437f92c95ad5316b7b9de8253ad88e73ee22b0f3f2941f2b7f0a88415b5797";
    assert_eq!(sha256(&encoding(PAYLOAD_TYPE, &written)).to_string(), expected);
}

#[test]
fn an_attestation_has_the_order_of_cosign_and_the_words_of_its_author() {
    let subject = Subject::sha256(Some("registry.test/team/app"), DIGEST);
    let predicate = r#"{"z": 1.10, "a": 123456789012345678901234567890}"#;
    let written = Statement::write(StatementType::V01, &[subject], "https://example.org/x", predicate);
    assert_eq!(
        String::from_utf8(written.expect("is written")).expect("text"),
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://example.org/x","subject":[{{"name":"registry.test/team/app","digest":{{"sha256":"{DIGEST}"}}}}],"predicate":{predicate}}}"#
        )
    );
}

/// Takes away, one after the other, every member and item of a document, and says which the judge missed.
fn required(name: &str, whole: &Value) -> Vec<String> {
    fn pointers(value: &Value, at: &str, to: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let below = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                    to.push(below.clone());
                    pointers(value, &below, to);
                }
            }
            // Items are alike.
            Value::Array(items) => {
                if let Some(item) = items.first() {
                    pointers(item, &format!("{at}/0"), to);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    pointers(whole, "", &mut all);
    let mut missed = Vec::new();
    for pointer in all {
        let (parent, last) = pointer.rsplit_once('/').expect("has a slash");
        let mut without = whole.clone();
        without
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("is there")
            .remove(&last.replace("~1", "/"));
        if let Err(error) = judge(uri(name), &without) {
            let path = pointer.replace("/0", "[0]").replace('/', ".");
            let said = error.to_string();
            if said == format!("predicate{path}: is missing, it is required") {
                missed.push(path.trim_start_matches('.').to_owned());
            } else {
                missed.push(format!("{said} without {path}"));
            }
        }
    }
    missed
}

#[test]
fn what_a_specification_requires_is_missed_by_its_path() {
    let at = |wanted: &str| documents().into_iter().rfind(|(name, _)| *name == wanted).expect("is one").1;
    for (name, expected) in [
        ("custom", &["Data", "Timestamp"][..]),
        ("slsaprovenance", &["buildType", "builder", "builder.id"]),
        (
            "slsaprovenance1",
            &[
                "buildDefinition",
                "buildDefinition.buildType",
                "buildDefinition.externalParameters",
                "runDetails",
                "runDetails.builder",
                "runDetails.builder.id",
            ],
        ),
        (
            "link",
            &[
                "predicate.materials[0]: an object of 1 members was found, at least one of uri, digest and content was expected without .materials[0].digest",
                "name",
            ],
        ),
        (
            "vuln",
            &[
                "metadata",
                "metadata.scanFinishedOn",
                "metadata.scanStartedOn",
                "scanner",
                "scanner.result",
                "scanner.uri",
            ],
        ),
        (
            "spdx",
            &[
                "SPDXID",
                "creationInfo",
                "creationInfo.created",
                "creationInfo.creators",
                "dataLicense",
                "documentNamespace",
                "files[0].SPDXID",
                "files[0].checksums",
                "files[0].checksums[0].algorithm",
                "files[0].checksums[0].checksumValue",
                "files[0].fileName",
                "name",
                "packages[0].SPDXID",
                "packages[0].checksums[0].algorithm",
                "packages[0].checksums[0].checksumValue",
                "packages[0].downloadLocation",
                "packages[0].name",
                "relationships[0].relatedSpdxElement",
                "relationships[0].relationshipType",
                "relationships[0].spdxElementId",
                "spdxVersion",
            ],
        ),
        (
            "openvex",
            &[
                "@context",
                "@id",
                "author",
                "statements",
                "predicate.statements[0].justification: is missing, it or impact_statement is required, since the status is not_affected without .statements[0].justification",
                "statements[0].status",
                "statements[0].vulnerability",
                "statements[0].vulnerability.name",
                "timestamp",
                "version",
            ],
        ),
    ] {
        assert_eq!(required(name, &at(name)), expected, "{name}");
    }
    let missed = required("cyclonedx", &at("cyclonedx"));
    for path in
        ["bomFormat", "specVersion", "components[0].type", "components[0].name", "dependencies[0].ref"]
    {
        assert!(missed.iter().any(|missed| missed == path), "{path} {missed:?}");
    }
    assert!(missed.iter().all(|missed| !missed.contains("without")), "{missed:?}");
}

/// Puts a value into what another program made, and compares what is said of it.
fn refused_with(rows: impl IntoIterator<Item = (&'static str, &'static str, Value, &'static str)>) {
    for (name, pointer, value, expected) in rows {
        let mut predicate = documents().into_iter().rfind(|(of, _)| *of == name).expect("is one").1;
        match pointer.rsplit_once('/') {
            Some((parent, last)) if predicate.pointer(pointer).is_none() => {
                predicate.pointer_mut(parent).expect("is there")[last] = value;
            }
            _ => *predicate.pointer_mut(pointer).expect("is there") = value,
        }
        assert_eq!(judge(uri(name), &predicate).expect_err(pointer).to_string(), expected);
    }
}

#[test]
fn what_is_of_another_kind_is_refused_with_path_value_and_expectation() {
    refused_with([
        ("custom", "", json!("text"), "predicate: \"text\" was found, an object was expected"),
        (
            "custom",
            "/Timestamp",
            json!("now"),
            "predicate.Timestamp: \"now\" was found, a time of RFC 3339 such as 2026-01-31T12:00:00Z was expected",
        ),
        (
            "slsaprovenance",
            "/builder/id",
            json!(""),
            "predicate.builder.id: \"\" was found, text was expected",
        ),
        (
            "slsaprovenance",
            "/materials",
            json!({}),
            "predicate.materials: an object of 0 members was found, a list was expected",
        ),
        (
            "slsaprovenance",
            "/metadata/reproducible",
            json!(1),
            "predicate.metadata.reproducible: 1 was found, true or false was expected",
        ),
        (
            "slsaprovenance",
            "/materials/0/digest/sha1",
            json!(7),
            "predicate.materials[0].digest.sha1: 7 was found, text was expected",
        ),
        (
            "slsaprovenance1",
            "/buildDefinition/externalParameters",
            json!([]),
            "predicate.buildDefinition.externalParameters: a list of 0 was found, an object was expected",
        ),
        (
            "slsaprovenance1",
            "/buildDefinition/resolvedDependencies/0",
            json!({"name": "x"}),
            "predicate.buildDefinition.resolvedDependencies[0]: an object of 1 members was found, at least one of uri, digest and content was expected",
        ),
    ]);
    let long = json!({ "name": "é".repeat(100), "command": ["a".repeat(100), "\u{1b}[31m"], "environment": "é".repeat(100) });
    let said = judge(uri("link"), &long).expect_err("is text").to_string();
    assert_eq!(
        said,
        format!("predicate.environment: \"{}\"… was found, an object was expected", "é".repeat(60))
    );
}

#[test]
fn lists_of_parts_and_of_vulnerabilities_are_refused_the_same_way() {
    refused_with([
        (
            "spdx",
            "",
            json!("SPDXVersion: SPDX-2.3"),
            "predicate: \"SPDXVersion: SPDX-2.3\" was found, the JSON of an SPDX 2 document was expected",
        ),
        (
            "spdx",
            "/spdxVersion",
            json!("SPDX-3.0"),
            "predicate.spdxVersion: \"SPDX-3.0\" was found, SPDX-2.2 or SPDX-2.3 was expected",
        ),
        (
            "spdx",
            "/creationInfo/creators",
            json!([]),
            "predicate.creationInfo.creators: a list of 0 was found, a list of at least one was expected",
        ),
        (
            "cyclonedx",
            "/bomFormat",
            json!("SPDX"),
            "predicate.bomFormat: \"SPDX\" was found, \"CycloneDX\" was expected",
        ),
        ("cyclonedx", "/specVersion", json!(1.6), "predicate.specVersion: 1.6 was found, text was expected"),
        (
            "cyclonedx",
            "/components/0/components",
            json!([{"type": "library", "name": "a", "components": [{"type": "library"}]}]),
            "predicate.components[0].components[0].components[0].name: is missing, it is required",
        ),
        ("vuln", "/scanner/uri", json!(null), "predicate.scanner.uri: is missing, it is required"),
        (
            "openvex",
            "/@context",
            json!("https://openvex.dev/nsx"),
            "predicate.@context: \"https://openvex.dev/nsx\" was found, https://openvex.dev/ns, with or without a version, was expected",
        ),
        (
            "openvex",
            "/version",
            json!(0),
            "predicate.version: 0 was found, a whole number of at least 1 was expected",
        ),
        (
            "openvex",
            "/statements/0/status",
            json!("maybe"),
            "predicate.statements[0].status: \"maybe\" was found, one of not_affected, affected, fixed, under_investigation was expected",
        ),
        (
            "openvex",
            "/statements/2/status",
            json!("affected"),
            "predicate.statements[2].action_statement: is missing, it is required, since the status is affected",
        ),
        ("link", "/command", json!("make"), "predicate.command: \"make\" was found, a list was expected"),
    ]);
}

#[test]
fn a_payload_of_another_type_is_not_even_read() {
    let refused = |payload_type: &str, payload: &str| {
        Statement::parse(payload_type, payload.as_bytes()).expect_err("is refused").to_string()
    };
    assert_eq!(
        refused("application/json", "{"),
        "payloadType: \"application/json\" was found, \"application/vnd.in-toto+json\" was expected"
    );
    let statement = |subject: Value| json!({ "_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": "a:b" });
    let text = |subject| statement(subject).to_string();
    let digests = |digests: Value| text(json!([{ "digest": digests }]));
    for (payload, expected) in [
        ("[]".to_owned(), "payload: a list of 0 was found, an object was expected".to_owned()),
        ("{}".to_owned(), "payload._type: is missing, it is required".to_owned()),
        (
            r#"{"_type":"intoto"}"#.to_owned(),
            "payload._type: \"intoto\" was found, one of https://in-toto.io/Statement/v0.1, https://in-toto.io/Statement/v1 was expected".to_owned(),
        ),
        (text(json!([])), "payload.subject: a list of 0 was found, a list of at least one was expected".to_owned()),
        (text(json!([{ "name": "a" }])), "payload.subject[0].digest: is missing, it is required".to_owned()),
        (digests(json!({})), "payload.subject[0].digest: an object of 0 members was found, at least one digest was expected".to_owned()),
        (
            digests(json!({ "sha256": "AB" })),
            "payload.subject[0].digest.sha256: \"AB\" was found, 64 digits of lower-case hexadecimal was expected".to_owned(),
        ),
        (digests(json!({ "git Commit": "" })), "payload.subject[0].digest[\"git Commit\"]: \"\" was found, text was expected".to_owned()),
        (
            text(json!([{ "digest": { "sha256": DIGEST } }])).replace("\"predicateType\":\"a:b\"", "\"predicateType\":5"),
            "payload.predicateType: 5 was found, text was expected".to_owned(),
        ),
        (
            text(json!([{ "digest": { "gitCommit": "1" } }])).replace("Statement/v1", "Statement/v0.1"),
            "payload.subject[0].name: is missing, it is required".to_owned(),
        ),
    ] {
        assert_eq!(refused(PAYLOAD_TYPE, &payload), expected);
    }
    let twice = format!(r#"{{"subject":[{{"digest":{{"sha256":"{DIGEST}","sha256":"{DIGEST}"}}}}]}}"#);
    assert!(
        refused(PAYLOAD_TYPE, &twice)
            .starts_with("payload.subject[0].digest: member \"sha256\" is there twice")
    );

    let good = statement(json!([{ "digest": { "sha256": DIGEST, "gitCommit": "ab" } }]));
    let read = Statement::parse(PAYLOAD_TYPE, good.to_string().as_bytes()).expect("is read");
    assert_eq!(read.predicate, Value::Null);
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let write = |subjects: &[Subject], predicate_type: &str, predicate: &str| {
        let written = Statement::write(StatementType::V01, subjects, predicate_type, predicate);
        written.expect_err("is refused").to_string()
    };
    let subject = || vec![Subject::sha256(Some("a"), DIGEST)];
    assert_eq!(
        write(&[], "https://example.org/x", "{}"),
        "payload.subject: a list of 0 was found, a list of at least one was expected"
    );
    assert!(
        write(&[Subject::sha256(Some("a"), "ab")], "x:y", "{}")
            .starts_with("payload.subject[0].digest.sha256: \"ab\"")
    );
    assert!(
        write(&[Subject::sha256(None, DIGEST)], "x:y", "{}")
            .starts_with("payload.subject[0].name: is missing")
    );
    assert!(
        write(&subject(), "x:y", r#"{"a":1,"a":2}"#).starts_with("predicate: member \"a\" is there twice")
    );
    assert!(write(&subject(), uri("spdx"), "{}").starts_with("predicate.spdxVersion: is missing"));
    assert_eq!(write(&subject(), "", "{}"), "payload.predicateType: \"\" was found, text was expected");
    assert!(write(&subject(), "x:y", "{").starts_with("predicate: EOF"));
}

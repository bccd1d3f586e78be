//! What a report says of the logs: which witnesses cosigned, verified by the keys that somebody named, and whether a log has the
//! entries that the report lists.

mod common;
mod fake_log;
mod layout;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod reported;

use std::fs;
use std::process::Command;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use bulla_claims::keys::public_key_pem;
use bulla_tlog::Checkpoint;
use bulla_tlog::cosignature::CosignatureSigner;
use bulla_tlog::note::{Note, Signature};
use common::{bulla, run};
use fake_log::FakeLog;
use layout::{Layout, SIGN};
use reported::{lie, lines, recheck};
use serde_json::{Value, json};

const UNSIGNED: &str = "--skip-signature-unsafe";

fn witness(name: &str) -> CosignatureSigner {
    CosignatureSigner::new(name, Ed25519KeyPair::generate().expect("a key")).expect("a witness")
}

/// One image, signed; on the checkpoint a witness's cosignature, one that is forged, and a stranger's. A policy with both.
fn watched() -> Layout {
    let mut layout = Layout::new();
    let hash = layout.image("a");
    let mut bundle = layout.maker.statement(&hash, SIGN, &json!({}));
    let [north, south, stranger] = ["north.example", "south.example", "stranger.example"].map(witness);
    let envelope =
        &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"];
    let mut note = Note::parse(envelope.as_str().expect("text")).expect("a note");
    let checkpoint = Checkpoint::parse(&note.text).expect("a checkpoint");
    let [good, mut forged, other] =
        [&north, &south, &stranger].map(|witness| witness.cosign(&checkpoint, 1_795_229_500).expect("signs"));
    *forged.bytes.last_mut().expect("has bytes") ^= 1;
    // A name alone makes no witness.
    let renamed = Signature { name: "north.example".to_owned(), ..other.clone() };
    note.signatures.extend([good, forged, other, renamed]);
    *envelope = json!(note.to_string());
    layout.refer(&hash, &bundle);
    let (north, south) = (north.vkey(), south.vkey());
    for (file, quorum) in [("any", "group g any n s"), ("all", "group g all n s")] {
        let policy = format!("witness n {north}\nwitness s {south}\n{quorum}\nquorum g\n");
        fs::write(layout.file(file), policy).expect("writes");
    }
    layout
}

#[test]
fn cosignatures_are_verified_by_the_keys_that_are_named_and_others_are_not_checked() {
    let layout = watched();
    let report = reported::made(&layout, &["--witness-policy", "any", "--out", "r.html"]);
    let (log, entry) = (&report["logs"][0], &report["images"][0]["entries"][0]["logs"][0]);
    assert_eq!(entry["witnessed_by"], json!(["n"]));
    assert_eq!((&entry["witnesses_enough"], &entry["forged"]), (&json!(true), &json!(["s"])));
    assert_eq!(entry["not_checked"], json!(["north.example", "stranger.example"]));
    assert_eq!(log["witnessed_by"], json!({ "n": 1 }));
    assert_eq!((&log["witnessed_entries"], &log["forged"]), (&json!(1), &json!({ "s": 1 })));
    assert_eq!(log["not_checked"], json!({ "north.example": 1, "stranger.example": 1 }));
    let said = "witnessed by n, by enough of them for 1 of 1, FORGED in the name of s, not checked: north.example, stranger.example";
    assert!(fs::read_to_string(layout.file("r.html")).expect("is there").contains(said));
    let (code, said, errors) = recheck(&layout, "report.json", &[UNSIGNED]);
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("note        witnesses are those whose keys the report names"), "{said}");

    // The reader's own are asked of the evidence in the report.
    for (policy, enough) in [("any", 1), ("all", 0)] {
        let (code, said, errors) = recheck(&layout, "report.json", &[UNSIGNED, "--witness-policy", policy]);
        assert_eq!(code, 0, "{said}{errors}");
        let expected =
            format!("witnessed   log.example - 1: {enough} of 1 entries by enough of your witnesses: n 1\n");
        assert!(said.contains(&expected), "{said}");
        assert!(!said.contains("whose keys the report names"), "{said}");
    }
    let json = [UNSIGNED, "--witness-policy", "all", "--output", "json"];
    let (_, said, _) = recheck(&layout, "report.json", &json);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        said["witnessed"],
        json!([{ "origin": "log.example - 1", "entries": 1, "enough": 0, "witnesses": { "n": 1 } }])
    );

    // Who has the digests made anew does not make a witness of anybody.
    let lied = |from: &str, to: &str| {
        let lines: Vec<_> = lines(&layout).iter().map(|line| line.replace(from, to)).collect();
        lie(&layout, &lines)
    };
    for (from, to, expected) in [
        (
            "\"witnessed_by\":[\"n\"]",
            "\"witnessed_by\":[\"n\",\"s\"]",
            "logs[0].witnessed_by is [\"n\",\"s\"]",
        ),
        ("\"forged\":[\"s\"]", "\"forged\":[]", "logs[0].forged is []"),
        ("\"witnessed_by\":{\"n\":1}", "\"witnessed_by\":{\"n\":1,\"s\":1}", "logs: are not those"),
        ("\"witnessed_entries\":1", "\"witnessed_entries\":2", "logs: are not those"),
        ("quorum g", "quorum h", "asked: asked.witness_policy: policy line "),
    ] {
        let (code, said) = lied(from, to);
        assert_eq!(code, 1, "{from}: {said}");
        assert!(said.contains(expected), "{from}: {said}");
    }
}

#[test]
fn without_a_policy_nobody_is_a_witness() {
    let layout = watched();
    let report = reported::made(&layout, &[]);
    let log = &report["logs"][0];
    assert_eq!((&log["witnessed_by"], &log["witnessed_entries"]), (&json!({}), &Value::Null));
    assert_eq!(log["not_checked"].as_object().map(serde_json::Map::len), Some(3));
    let (code, said, _) = run(&mut reported::report(&layout, &["oci:images", "--offline"]));
    assert_eq!(code, 0);
    assert!(
        said.contains(
            "no witnesses were named, not checked: north.example, south.example, stranger.example\n"
        ),
        "{said}"
    );
    let (code, said, errors) = recheck(&layout, "report.json", &[UNSIGNED, "--witness-policy", "any"]);
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("1 of 1 entries by enough of your witnesses: n 1\n"), "{said}");
    fs::write(layout.file("bad"), "quorum nobody\n").expect("writes");
    for command in [
        reported::report(&layout, &["oci:images", "--offline", "--witness-policy", "bad"]),
        verify_with(&layout, "bad"),
    ] {
        let mut command = command;
        let (code, _, errors) = run(&mut command);
        assert_eq!(code, 2, "{errors}");
        assert!(errors.contains("bad: policy line 1: "), "{errors}");
    }
}

fn verify_with(layout: &Layout, policy: &str) -> Command {
    let mut command = bulla();
    command.current_dir(layout.path());
    command.args(["report", "verify", "report.json", "--trusted-root", "root.json", UNSIGNED]);
    command.args(["--witness-policy", policy]);
    command
}

/// 25 images with a signature each, of which the log has what `keeps` says.
fn logged(keeps: impl Fn(usize) -> bool) -> (Layout, FakeLog) {
    let mut layout = Layout::new();
    let mut there = Vec::new();
    for number in 0..25 {
        let hash = layout.unlisted(&number.to_string());
        let bundle = layout.maker.statement(&hash, SIGN, &json!({}));
        layout.refer(&hash, &bundle);
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        let body = entry["canonicalizedBody"].as_str().expect("text");
        let bytes = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
        let uuid = bulla_tlog::leaf_hash(&bytes).to_string();
        if keeps(number) {
            there.push(json!({ uuid.clone(): {
                "body": body, "integratedTime": 1_795_229_400, "logID": layout.maker.log_id().to_string(), "logIndex": number,
                "verification": {
                    "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                    "inclusionProof": { "hashes": [], "logIndex": 0, "rootHash": uuid, "treeSize": 1, "checkpoint": "" },
                },
            } }));
        }
    }
    layout.write_index();
    let log = FakeLog::empty();
    log.has_key(&public_key_pem(layout.maker.log.spki()));
    log.answer("POST /api/v1/log/entries/retrieve", 200, "", &json!(there).to_string());
    (layout, log)
}

#[test]
fn every_entry_is_looked_up_and_those_that_the_log_has_not_are_named() {
    let (layout, log) = logged(|number| number != 7);
    reported::made(&layout, &[]);
    // Nobody is asked unless it is wanted.
    let (code, said, errors) = recheck(&layout, "report.json", &[UNSIGNED]);
    assert_eq!((code, log.asked().len()), (0, 0), "{said}{errors}");
    let (code, said, errors) = recheck(&layout, "report.json", &[UNSIGNED, "--rekor-url", &log.url]);
    assert_eq!(code, 1, "{said}{errors}");
    assert!(said.contains(&format!("looked up   24 of 25 entries are in {}\n", log.url)), "{said}");
    let failed: Vec<_> = said.lines().filter(|line| line.starts_with("FAILED")).collect();
    assert_eq!(failed.len(), 1, "{said}");
    assert!(failed[0].starts_with("FAILED      images[7].entries[0] (oci:images:7): entry "), "{said}");
    assert!(
        failed[0].ends_with(&format!(" is not in the log {}, which signed that it is", log.url)),
        "{said}"
    );
    let retrieved = |(route, _): &&(String, String)| route.ends_with("/retrieve");
    assert_eq!(log.asked().iter().filter(retrieved).count(), 3, "ten at a time");
    // A key of another log: what it has not, it never said to have.
    log.has_key(fake_log::KEY);
    let json = [UNSIGNED, "--rekor-url", &log.url, "--output", "json"];
    let (code, said, errors) = recheck(&layout, "report.json", &json);
    assert_eq!(code, 0, "{said}{errors}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        said["looked_up"],
        json!({ "log": log.url, "entries": 25, "found": 24, "absent": 0, "elsewhere": 1, "unanswered": null })
    );
}

#[test]
fn a_log_that_does_not_answer_leaves_it_unknown() {
    let (layout, log) = logged(|_| true);
    reported::made(&layout, &[]);
    log.answer("POST /api/v1/log/entries/retrieve", 503, "", "{}");
    for url in [log.url.as_str(), "http://127.0.0.1:1"] {
        let (code, said, errors) = recheck(&layout, "report.json", &[UNSIGNED, "--rekor-url", url]);
        assert_eq!(code, 3, "{said}{errors}");
        assert!(said.starts_with("undetermined"), "{said}");
        assert!(said.contains("unknown     not every entry could be looked up: "), "{said}");
    }
    let (code, _, errors) =
        recheck(&layout, "report.json", &[UNSIGNED, "--rekor-url", &log.url, "--offline"]);
    assert_eq!(code, 2, "{errors}");
}

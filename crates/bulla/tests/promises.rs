//! Signatures of before bundles whose log only promised to have them: the log is asked for the proof.

mod common;
mod fake_log;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod signed;

use std::fs;

use bulla_tlog::leaf_hash;
use common::run;
use fake_log::FakeLog;
use serde_json::{Value, json};
use signed::Image;

/// An image with such a signature, and the log that promised.
struct Promised {
    image: Image,
    log: FakeLog,
    body: String,
}

impl Promised {
    fn new() -> Self {
        Self::times(1)
    }

    /// With so many copies of the signature.
    fn times(times: usize) -> Self {
        let (mut image, log) = (Image::new(), FakeLog::empty());
        let body = image.tag_promised(times);
        let root = image.dir.path().join("root.json");
        let text = fs::read_to_string(&root).expect("reads").replace("https://log.example", &log.url);
        fs::write(root, text).expect("writes");
        Self { image, log, body }
    }

    /// The entry as the log has it.
    fn entry(&self) -> Value {
        let entry = self.image.maker.entry("hashedrekord", &self.body);
        let hash = leaf_hash(self.body.as_bytes());
        json!({
            "body": entry["canonicalizedBody"], "integratedTime": 1_795_229_400, "logIndex": 0,
            "logID": self.image.maker.log_id().to_string(),
            "verification": {
                "inclusionProof": {
                    "checkpoint": entry["inclusionProof"]["checkpoint"]["envelope"], "hashes": [], "logIndex": 0,
                    "rootHash": hash.to_string(), "treeSize": 1,
                },
                "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            },
        })
    }

    fn answers(&self, status: u16, body: &Value) {
        let hash = leaf_hash(self.body.as_bytes());
        self.log.answer(&format!("GET /api/v1/log/entries/{hash}"), status, "", &body.to_string());
    }

    fn has(&self, entry: &Value) {
        let id = format!("{:016x}{}", 1, leaf_hash(self.body.as_bytes()));
        self.answers(200, &json!({ id: entry }));
    }

    fn verify(&self, more: &[&str]) -> (i32, String, String) {
        run(self.image.command("verify", "oci:image:1.0").args(more))
    }
}

#[test]
fn a_promised_entry_is_proved_by_its_log() {
    let promised = Promised::new();
    promised.has(&promised.entry());
    let (code, said, errors) = promised.verify(&[]);
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert!(said.contains("  inclusion   ok") && said.contains("  promise     ok"), "{said}");

    let (code, said, errors) = promised.verify(&["--offline"]);
    assert_eq!((code, errors.as_str()), (0, ""), "the promise is all there is: {said}");
    assert!(!said.contains("  inclusion   ok"), "{said}");
    assert_eq!(promised.log.asked().len(), 1, "offline nobody is asked");
}

#[test]
fn a_log_that_does_not_keep_its_promise_is_not_believed() {
    let promised = Promised::new();
    promised.answers(404, &json!({ "code": 404, "message": "entry not found" }));
    let (code, said, _) = promised.verify(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("FAILED") && said.contains("and has it not"), "{said}");

    let mut lied = promised.entry();
    lied["verification"]["inclusionProof"]["rootHash"] = json!("00".repeat(32));
    promised.has(&lied);
    assert_eq!(promised.verify(&[]).0, 1);
    let mut other = promised.entry();
    let checkpoint = made::Maker::new().entry("hashedrekord", &promised.body);
    other["verification"]["inclusionProof"]["checkpoint"] =
        checkpoint["inclusionProof"]["checkpoint"]["envelope"].clone();
    promised.has(&other);
    let (code, said, _) = promised.verify(&[]);
    assert_eq!(code, 1, "the head is another log's: {said}");
}

#[test]
fn a_log_that_is_not_heard_leaves_it_undetermined() {
    let promised = Promised::new();
    for (status, body) in [(500, json!({})), (429, json!({})), (200, json!({ "a": 1 }))] {
        promised.answers(status, &body);
        let (code, said, errors) = promised.verify(&[]);
        assert_eq!(code, 3, "{status}: {said}{errors}");
        assert!(errors.contains("only promised") && errors.contains("--offline"), "{errors}");
    }
}

/// Whoever may push can copy a signature a thousand times.
#[test]
fn a_log_is_asked_once_for_copies_and_not_again_if_it_is_not_heard() {
    let promised = Promised::times(20);
    promised.has(&promised.entry());
    assert_eq!(promised.verify(&[]).0, 0);
    assert_eq!(promised.log.asked().len(), 1);
    promised.answers(500, &json!({}));
    assert_eq!(promised.verify(&[]).0, 3);
    assert!(promised.log.asked().len() <= 2, "once, and once more");
}

/// What a report says of it can be checked without the log.
#[test]
fn a_report_carries_the_proof() {
    let promised = Promised::new();
    promised.has(&promised.entry());
    let out = promised.image.dir.path().join("report.json");
    let (code, said, errors) =
        run(promised.image.command("report", "oci:image:1.0").args(["--output", "json"]));
    assert_eq!(code, 0, "{said}{errors}");
    fs::write(&out, &said).expect("writes");
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let log = &report["images"][0]["entries"][0]["logs"][0];
    assert_eq!((&log["tree_size"], &report["images"][0]["valid_entries"]), (&json!(1), &json!(1)), "{said}");
    drop(promised.log.asked());
    let mut verify = common::bulla();
    verify.current_dir(promised.image.dir.path());
    verify.args([
        "report",
        "verify",
        "report.json",
        "--skip-signature-unsafe",
        "--trusted-root",
        "root.json",
    ]);
    let (code, said, errors) = run(&mut verify);
    assert_eq!(code, 0, "{said}{errors}");
    assert!(promised.log.asked().is_empty());
}

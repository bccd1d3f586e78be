//! Policies over attestations as pipelines use them: what is denied is not verified, what cannot be evaluated neither, and
//! only what was verified is asked about.

mod common;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod signed;

use std::fs;

use bulla_tlog::sha256;
use common::run;
use made::Maker;
use serde_json::{Value, json};
use signed::Image;

const SCAN: &str = "https://example.org/scan";

/// An image with one scan, and who asks about it.
fn scanned(high: u32) -> Image {
    let image = Image::new();
    image.refer(&image.statement(SCAN, &json!({ "high": high })));
    image
}

fn asked(image: &Image, more: &[&str]) -> (i32, String, String) {
    run(image.command("verify-attestation", "oci:image:1.0").args(["--offline", "--type", SCAN]).args(more))
}

const REGO: &str = "package signature\ndeny[msg] { input.predicate.high > 0; msg := sprintf(\"%d are high\", [input.predicate.high]) }\n";

#[test]
fn a_denial_is_a_check_with_the_policy_as_evidence() {
    let (fine, bad) = (scanned(0), scanned(2));
    for image in [&fine, &bad] {
        fs::write(image.dir.path().join("none.rego"), REGO).expect("writes");
    }
    let (code, said, errors) = asked(&fine, &["--policy", "none.rego", "--cel", "predicate.high == 0"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    let hash = sha256(REGO.as_bytes());
    assert!(
        said.contains(&format!(
            "  policy      ok     policy none.rego, sha256 {hash}, policy --cel, sha256 "
        )),
        "{said}"
    );
    let (code, said, errors) = asked(&bad, &["--policy", "none.rego", "--explain", "--output", "json"]);
    assert_eq!(
        (code, errors.as_str()),
        (1, "bulla: oci:image:1.0: not verified: policy: none.rego denies it: 2 are high\n")
    );
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let signature = &said["signatures"][0];
    let check = signature["checks"].as_array().expect("a list").last().expect("is there");
    assert_eq!((&check["name"], &check["outcome"]), (&json!("policy"), &json!("failed")));
    assert_eq!(check["evidence"], json!({ "policy": ["none.rego"], "sha256": [hash.to_string()] }));
    assert_eq!(signature["explain"], "it is verified, and accepted without the policy that denies it");
    assert_eq!(signature["predicate"], Value::Null, "what is denied is not handed on");
}

/// The engine itself warns of keywords that it does not know in the old dialect.
#[test]
fn the_new_dialect_is_read_without_a_word() {
    let image = scanned(0);
    let write = |text: &str| fs::write(image.dir.path().join("new.rego"), text).expect("writes");
    write("package signature\nallow if input.predicate.high == 0\n");
    let (code, said, errors) = asked(&image, &["--policy", "new.rego"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    write("package signature\nallow if input.predicate.high ==\n");
    let (code, _, errors) = asked(&image, &["--policy", "new.rego"]);
    assert!(code == 2 && errors.starts_with("bulla: policy new.rego: "), "{errors}");
    assert!(errors.lines().count() == 1 && !errors.contains('\u{fffd}'), "{errors}");
}

#[test]
fn one_good_statement_is_enough() {
    let image = scanned(2);
    assert_eq!(asked(&image, &["--cel", "predicate.high == 0"]).0, 1);
    image.refer(&image.statement(SCAN, &json!({ "high": 0 })));
    assert_eq!(asked(&image, &["--cel", "predicate.high == 0"]).0, 0);
}

#[test]
fn only_what_was_verified_is_asked_about() {
    let image = Image::new();
    image.refer(&Maker::new().statement(&image.digest, SCAN, &json!({ "high": 0 })));
    let (code, said, _) = asked(&image, &["--cel", "predicate.high == 0"]);
    assert_eq!(code, 1);
    assert!(said.lines().any(|line| line.starts_with("  policy      -      not reached, ")), "{said}");
}

#[test]
fn what_cannot_be_evaluated_is_not_verified() {
    let image = scanned(0);
    let (code, _, errors) = asked(&image, &["--cel", "predicate.low == 0"]);
    assert_eq!(
        (code, errors.as_str()),
        (1, "bulla: oci:image:1.0: not verified: policy: --cel cannot be evaluated: No such key: low\n")
    );
}

#[test]
fn what_is_no_policy_is_a_wrong_option() {
    let image = scanned(0);
    let write = |name: &str, text: &str| fs::write(image.dir.path().join(name), text).expect("writes");
    write("a.cue", "predicate: high: 0");
    write("b.rego", "package other\nallow { true }");
    for (more, expected) in [
        (
            ["--policy", "a.cue"],
            "bulla: policy a.cue: is in CUE, which is not read here: write it in CEL or Rego\n",
        ),
        (["--policy", "b.rego"], "bulla: policy b.rego: package is \"other\", signature was expected\n"),
    ] {
        let (code, _, errors) = asked(&image, &more);
        assert_eq!((code, errors.as_str()), (2, expected));
    }
    for more in [["--policy", "missing.cel"], ["--cel", "predicate.high =="]] {
        let (code, _, errors) = asked(&image, &more);
        assert_eq!(code, 2, "{errors}");
    }
}

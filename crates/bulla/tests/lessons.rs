//! What verifiers before this one were fooled by, and the tests that it is not. The list is checked against the tests that
//! there are; what none of them shows stands below it.

mod common;
#[path = "sign/registry.rs"]
mod registry;
mod stack;

use std::fs;
use std::path::{Path, PathBuf};

use common::run;
use registry::Registry;
use serde_json::Value;
use stack::{Stack, done};

/// The lesson, and the tests that defend it.
const LESSONS: [(&str, &[&str]); 16] = [
    (
        "1: an entry of a log is compared with the artifact (GHSA-whqx-f9j3-ch6m)",
        &["lesson_1_an_entry_about_another_artifact_is_no_entry"],
    ),
    (
        "2: the type of an attestation is the one that was asked for (GHSA-w6c6-c85g-mmv6)",
        &["lesson_2_an_attestation_of_another_type_is_not_the_one_that_was_asked_for"],
    ),
    (
        "3: an entry is by the key that signed (GHSA-fx35-mq7g-6g98)",
        &["lesson_3_an_entry_with_another_key_is_no_entry"],
    ),
    (
        "4: signatures without end are not read to their end (CVE-2023-46737)",
        &[
            "lesson_4_signatures_without_end_are_not_read_to_their_end",
            "lessons_4_and_5_what_has_no_end_is_refused",
        ],
    ),
    (
        "5: what is large is not read into memory (GHSA-88jx-383q-w4qc)",
        &["lessons_4_and_5_what_has_no_end_is_refused", "lesson_5_a_bundle_without_end_is_not_read"],
    ),
    (
        "6: candidates are no results",
        &[
            "lesson_6_an_envelope_is_verified_before_anybody_believes_what_is_in_it",
            "an_attestation_is_judged_by_type_and_printed_only_if_it_is_verified",
        ],
    ),
    ("7: patterns are anchored", &["lesson_7_a_pattern_that_matches_a_part_is_refused"]),
    ("8: a certificate has one name", &["lesson_8_a_certificate_with_two_names_is_nobodys"]),
    (
        "9: a tag is resolved once, and a digest beside it counts",
        &["lesson_9_a_tag_that_moved_is_told_and_the_digest_counts"],
    ),
    (
        "10: credentials do not leak, and nobody is led elsewhere",
        &[
            "redirects_are_followed_without_credentials_and_end",
            "a_realm_is_not_let_lead_anywhere",
            "an_upload_elsewhere_gets_no_credentials",
        ],
    ),
    (
        "11: what an index says is a hint, and what it does not say is no proof",
        &[
            "lesson_11_what_the_search_does_not_find_is_not_proved_absent",
            "an_identity_is_revoked_by_itself_or_by_who_is_named_and_by_no_stranger",
        ],
    ),
    (
        "12: a busy registry is not one without signatures, and lists have pages",
        &["lesson_12_a_throttled_registry_is_not_one_without_signatures", "the_next_page_is_found"],
    ),
    (
        "13: a member that is there twice means nothing",
        &["lesson_13_a_member_that_is_there_twice_means_nothing"],
    ),
    ("14: a time that nobody promised is no time", &["lesson_14_a_time_that_nobody_promised_is_no_time"]),
    (
        "15: the type of a payload is looked at before the payload",
        &["lesson_15_the_type_of_a_payload_is_looked_at_before_the_payload"],
    ),
    (
        "16: who rewrites the list of referrers hides, and forges nothing; what is hidden can be seen in the log",
        &["lesson_16_a_list_that_was_rewritten_hides_and_forges_nothing"],
    ),
];

#[test]
fn every_lesson_is_a_test() {
    let mut tests = String::new();
    gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut tests);
    for (lesson, names) in LESSONS {
        for name in names {
            assert!(tests.contains(&format!("fn {name}(")), "lesson {lesson}: there is no test {name}");
        }
    }
}

/// The text of all tests: the folders `tests`, and the modules of tests in `src`.
fn gather(dir: &Path, tests: &mut String) {
    for entry in fs::read_dir(dir).expect("is there") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            tests.push_str(&fs::read_to_string(&path).expect("is text"));
        }
    }
}

const KEY: [&str; 2] = ["--key", "signer.key"];
const ROOT: &str = "data/clients/trusted_root.json";

#[test]
fn lesson_5_a_bundle_without_end_is_not_read() {
    let stack = Stack::start();
    let arguments = ["file", "--bundle", "/dev/zero", "--trusted-root", ROOT, KEY[0], KEY[1]];
    let (code, _, errors) = run(&mut stack.command("verify", &arguments));
    assert_eq!((code, errors.as_str()), (2, "bulla: /dev/zero: has more than 4194304 bytes\n"));
    let large = fs::File::create(stack.path("large")).expect("is made");
    large.set_len(1 << 40).expect("is sparse");
    for option in ["--trusted-root", "--revocations", "--checkpoint", "--witness-policy"] {
        let mut all = vec!["file", KEY[0], KEY[1], option, "large"];
        if option != "--trusted-root" {
            all.extend(["--trusted-root", ROOT]);
        }
        let (code, _, errors) = run(&mut stack.command("verify", &all));
        assert!(code == 2 && errors.starts_with("bulla: large: has more than "), "{option}: {errors}");
    }
}

#[test]
fn lesson_16_a_list_that_was_rewritten_hides_and_forges_nothing() {
    let (stack, registry) = (Stack::start(), Registry::start());
    registry.to_layout(&stack.path("image"));
    stack.key("stranger.key", "prime256v1");
    let attest = |key: &str, text: &str| {
        fs::write(stack.path("predicate"), format!("{{\"said\":\"{text}\"}}")).expect("is written");
        let arguments = [
            "oci:image",
            "--predicate",
            "predicate",
            "--type",
            "https://example.org/review",
            "--log-api",
            "v1",
            "--key",
            key,
            "--output",
            "json",
        ];
        let (code, out, errors) = stack.attest(&arguments);
        assert_eq!(code, 0, "{errors}");
        let said: Value = serde_json::from_str(&out).expect("JSON");
        said["results"][0]["stored"].as_str().expect("a digest").replacen("sha256:", "", 1)
    };
    let verify = |more: &[&str]| {
        let all = [
            &[
                "oci:image",
                "--type",
                "https://example.org/review",
                "--trusted-root",
                ROOT,
                "--output",
                "json",
            ],
            &KEY[..],
            more,
        ];
        let (code, out, errors) = run(&mut stack.command("verify-attestation", &all.concat()));
        (code, serde_json::from_str::<Value>(&out).expect("JSON"), errors)
    };
    // What strangers list is nothing.
    attest("stranger.key", "good");
    assert_eq!(verify(&[]).0, 1);
    attest("signer.key", "good");
    let bad = attest("signer.key", "bad");
    let url = stack.url();
    let (code, said, errors) = verify(&["--rekor-url", &url]);
    assert_eq!((code, &said["notes"]), (0, &serde_json::json!([])), "{errors}");
    // What is against the image is hidden; the log still has it.
    fs::remove_file(stack.path("image/blobs/sha256").join(bad)).expect("was there");
    let (code, said, errors) = verify(&["--rekor-url", &url]);
    assert_eq!(code, 0, "{errors}");
    let note = said["notes"][0].as_str().expect("is said");
    let expected =
        format!("{url} has 1 statements about it, by who may sign as they say, that are not shown here");
    assert!(note.starts_with(&expected), "{note}");
    assert_eq!(done(stack.sign(&["oci:image", KEY[0], KEY[1]])), ["signed"]);
}

//! The forms in which `bulla verify` answers machines: what a page of findings or of tests shows must be what the exit code
//! says.

mod common;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod signed;

use common::{answering, bulla, run};
use made::Maker;
use serde_json::{Value, json};
use signed::{Image, SIGN};

const BUNDLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../claims/tests/bundles");

fn verify(image: &Image, form: &str) -> (i32, String, String) {
    run(image.command("verify", "oci:image:1.0").args(["--offline", "--output", form]))
}

/// The findings, by rule and level, and whether the run was a success.
fn findings(sarif: &str) -> (Vec<(String, String)>, bool) {
    let document: Value = serde_json::from_str(sarif).expect("JSON");
    let run = &document["runs"][0];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let results = run["results"].as_array().expect("a list").iter();
    let results = results.map(|result| (text(&result["ruleId"]), text(&result["level"])));
    (results.collect(), run["invocations"][0]["executionSuccessful"].as_bool().expect("says so"))
}

fn expected(findings: &[(&str, &str)]) -> Vec<(String, String)> {
    findings.iter().map(|(rule, level)| ((*rule).to_owned(), (*level).to_owned())).collect()
}

#[test]
fn findings_are_errors_only_if_it_is_not_verified() {
    let image = Image::new();
    image.refer(&Maker::new().statement(&image.digest, SIGN, &json!({})));
    let (code, said, _) = verify(&image, "sarif");
    let both = [("bulla/not-verified", "error"), ("bulla/signature-not-accepted", "error")];
    assert_eq!((code, findings(&said)), (1, (expected(&both), true)), "{said}");
    image.refer(&image.statement(SIGN, &json!({})));
    let (code, said, _) = verify(&image, "sarif");
    let both = [("bulla/verified", "none"), ("bulla/signature-not-accepted", "note")];
    assert_eq!((code, findings(&said)), (0, (expected(&both), true)), "{said}");
}

fn tests(junit: &str) -> usize {
    junit.matches("<testcase ").count()
}

#[test]
fn tests_are_red_only_if_it_is_not_verified() {
    let image = Image::new();
    image.refer(&Maker::new().statement(&image.digest, SIGN, &json!({})));
    let (code, said, _) = verify(&image, "junit");
    assert_eq!(code, 1, "{said}");
    let suite = format!(r#"<testsuite name="oci:image:1.0" tests="{}" failures="#, tests(&said));
    assert!(said.contains(&suite), "{said}");
    assert!(
        said.contains(
            r#"classname="oci:image:1.0" name="verdict"><failure message="oci:image:1.0: not verified: "#
        ),
        "{said}"
    );
    assert!(
        said.contains(r#"name="signature"><failure"#) || said.contains(r#"name="binding"><failure"#),
        "{said}"
    );
    image.refer(&image.statement(SIGN, &json!({})));
    let (code, said, _) = verify(&image, "junit");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!(r#"tests="{}" failures="0" errors="0""#, tests(&said))), "{said}");
    assert!(said.contains("<skipped message=\"does not hold, and is not needed: "), "{said}");
}

#[test]
fn what_is_not_known_is_an_error_and_there_is_an_answer_even_if_nothing_could_be_read() {
    let image = Image::new();
    let host = answering(|_| (429, "application/json", b"{}".to_vec()));
    let busy =
        &|form: &str| run(image.command("verify", &format!("{host}/team/app:1.0")).args(["--output", form]));
    // It is asked again and again before that is believed, so all at once.
    let [sarif, junit, json] = std::thread::scope(|scope| {
        ["sarif", "junit", "json"]
            .map(|form| scope.spawn(move || busy(form)))
            .map(|asked| asked.join().expect("ends"))
    });
    let one = expected(&[("bulla/undetermined", "error")]);
    assert_eq!((sarif.0, findings(&sarif.1)), (3, (one, false)), "{sarif:?}");
    assert_eq!(junit.0, 3);
    assert!(junit.1.contains(r#"tests="2" failures="0" errors="2" skipped="0""#), "{junit:?}");
    let said: Value = serde_json::from_str(&json.1).expect("JSON");
    assert_eq!((json.0, &said["verdict"], &said["digest"]), (3, &json!("undetermined"), &Value::Null));
}

fn cosign(image: &Image, verb: &str, more: &[&str]) -> (i32, String, String) {
    run(image.command(verb, "oci:image:1.0").args(["--offline", "--output", "cosign"]).args(more))
}

#[test]
fn cosign_s_payloads_are_those_that_were_signed() {
    let mut image = Image::new();
    image.tag(1);
    let mut statement = image.statement(SIGN, &json!({}));
    image.refer(&statement);
    statement["dsseEnvelope"]["signatures"][0]["sig"] = json!("MEUCIQ==");
    image.refer(&statement);
    let (code, said, errors) = cosign(&image, "verify", &[]);
    assert_eq!(code, 0, "{said}{errors}");
    assert!(
        said.starts_with("\n[{\"critical\":{\"identity\":{\"docker-reference\":") && said.ends_with("]\n"),
        "{said}"
    );
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let said = said.as_array().expect("a list");
    assert_eq!(said.len(), 2, "{said:?}");
    let digest = json!(format!("sha256:{}", image.digest));
    assert!(said.iter().all(|one| one["critical"]["image"]["docker-manifest-digest"] == digest), "{said:?}");
    let legacy = said.iter().find(|one| one["critical"]["type"] == "cosign container image signature");
    let legacy = legacy.expect("is there");
    assert_eq!(legacy["critical"]["identity"]["docker-reference"], "r");
    assert!(legacy["optional"]["Bundle"]["Payload"]["logIndex"].is_u64(), "{legacy}");
    assert!(said.iter().any(|one| one["critical"]["type"] == SIGN && one["optional"].is_null()), "{said:?}");
}

#[test]
fn cosign_s_exit_codes_say_why() {
    let mut image = Image::new();
    let code = |image: &Image, more: &[&str]| cosign(image, "verify", more).0;
    assert_eq!(code(&image, &[]), 10, "no signatures");
    assert_eq!(run(image.command("verify", "oci:image:2").args(["--offline", "--output", "cosign"])).0, 11);
    assert_eq!(code(&image, &["--require", "7"]), 1, "a wrong option");
    assert_eq!(cosign(&image, "verify-attestation", &["--type", "vuln"]).0, 1);
    image.maker = Maker::new();
    image.tag(1);
    assert_eq!(code(&image, &[]), 12, "none by the key");
    let by_identity = run(bulla()
        .current_dir(image.dir.path())
        .args(["verify", "oci:image:1.0", "--offline", "--output", "cosign", "--trusted-root", "root.json"])
        .args(["--identity", "a=b"]));
    assert_eq!(by_identity.0, 13, "none with a certificate");
    let (code, _, errors) = run(bulla().current_dir(image.dir.path()).args([
        "verify",
        "key.pub",
        "--output",
        "cosign",
        "--key",
        "key.pub",
        "--trusted-root",
        "root.json",
    ]));
    assert_eq!(
        (code, errors.as_str()),
        (1, "bulla: --output cosign is for images: of files cosign prints nothing\n")
    );
}

#[test]
fn cosign_s_attestations_are_envelopes_a_line_each() {
    let image = Image::new();
    let bundle = image.statement("https://example.org/scan", &json!({ "clean": true }));
    image.refer(&bundle);
    let (code, said, errors) = cosign(&image, "verify-attestation", &["--type", "https://example.org/scan"]);
    assert_eq!(code, 0, "{said}{errors}");
    assert_eq!(said.lines().count(), 1);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let signed = &bundle["dsseEnvelope"];
    assert_eq!((&said["payload"], &said["payloadType"]), (&signed["payload"], &signed["payloadType"]));
    assert_eq!(said["signatures"][0]["sig"], signed["signatures"][0]["sig"]);
}

#[test]
fn what_strangers_wrote_stays_in_its_place() {
    let name = "a\"><failure>&\u{1b}[31m.txt";
    let image = Image::new();
    std::fs::copy(format!("{BUNDLES}/art.txt"), image.dir.path().join(name)).expect("copies");
    let (code, said, _) = run(bulla()
        .current_dir(image.dir.path())
        .args(["verify", name, "--output", "junit", "--key", "key.pub", "--bundle"])
        .arg(format!("{BUNDLES}/py-v2.json"))
        .arg("--trusted-root")
        .arg(format!("{BUNDLES}/trusted_root.json")));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("name=\"a&quot;&gt;&lt;failure&gt;&amp;\u{fffd}[31m.txt\""), "{said}");
}

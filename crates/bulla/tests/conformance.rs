//! The program under the name `bulla-conformance`, as the conformance suite of Sigstore clients runs it: every bundle of other
//! clients by file and by digest, whatever is refused, and a signature by way of `bulla up`, in `tests/clients/run`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use bulla_tlog::sha256;

const BUNDLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../claims/tests/bundles");

fn run(arguments: &[&str]) -> (i32, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("bulla-conformance");
    symlink(env!("CARGO_BIN_EXE_bulla"), &program).expect("a link");
    let done = Command::new(program).args(arguments).env_clear().env("HOME", dir.path()).output();
    let Output { status, stderr, .. } = done.expect("it runs");
    (status.code().expect("it exits"), String::from_utf8(stderr).expect("text"))
}

/// What the suite types, in its order.
fn verify(bundle: &str, signer: &[&str], artifact: &str) -> (i32, String) {
    let (bundle, root) = (format!("{BUNDLES}/{bundle}.json"), format!("{BUNDLES}/trusted_root.json"));
    let mut words = vec!["verify-bundle", "--bundle", &bundle];
    words.extend(signer);
    words.extend(["--trusted-root", &root, artifact]);
    run(&words)
}

const ALICE: [&str; 4] =
    ["--certificate-identity", "alice@example.org", "--certificate-oidc-issuer", "http://127.0.0.1:8765"];

#[test]
fn bundles_of_both_kinds_are_verified_by_file_and_by_digest() {
    let file = format!("{BUNDLES}/art.txt");
    let digest = format!("sha256:{}", sha256(&fs::read(&file).expect("is there")));
    for bundle in [
        "py-v1",
        "py-v2",
        "py-att-v1",
        "py-att-v2",
        "rs-v1",
        "rs-v2",
        "jscli-att",
        "sigstore-js-5.0.1-sc-v1-dsseEnvelope",
    ] {
        for artifact in [&file, &digest] {
            assert_eq!(verify(bundle, &ALICE, artifact), (0, String::new()), "{bundle} {artifact}");
        }
    }
    let key = format!("{BUNDLES}/sigstore-js-5.0.1-rawkey.pub");
    let bundle = "sigstore-js-5.0.1-rawkey-v1-messageSignature";
    assert_eq!(verify(bundle, &["--key", &key], &file), (0, String::new()));
}

#[test]
fn what_must_fail_fails_with_one() {
    let file = format!("{BUNDLES}/art.txt");
    let other = format!("{BUNDLES}/README.md");
    let digest = format!("sha256:{}", sha256(b"another"));
    let mallory = [
        "--certificate-identity",
        "mallory@example.org",
        "--certificate-oidc-issuer",
        "http://127.0.0.1:8765",
    ];
    for (code_and_said, expected) in [
        (verify("py-v2", &mallory, &file), "identity: certificate is of \"alice@example.org\""),
        (verify("py-v2", &ALICE, &other), "binding: entry is about another artifact"),
        (verify("py-v2", &ALICE, &digest), "binding: entry is about another artifact"),
        (verify("py-att-v2", &ALICE, &digest), "content: statement has no subject"),
        (verify("py-v2", &ALICE, "sha256:00"), "sha256:00: "),
        (verify("none", &ALICE, &file), "none.json: "),
        (verify("py-v2", &[], &file), "required arguments"),
        (verify("py-v2", &ALICE[..2], &file), "required arguments"),
        (
            run(&["verify-bundle", "--staging", "--bundle", "b", "--key", "k", "a"]),
            "--staging: the public instances are not known here",
        ),
        (run(&["verify-bundle", "--bundle", "b", "--key", "k", "a"]), "nobody is believed: "),
        (run(&["sign-bundle", "--staging", "--identity-token", "t", "--bundle", "b", "a"]), "--staging: "),
        (
            run(&["sign-bundle", "--identity-token", "t", "--bundle", "b", "/no/such/file"]),
            "pass its --signing-config",
        ),
        (run(&["sign"]), "unrecognized subcommand"),
    ] {
        let (code, said) = code_and_said;
        assert!(code == 1 && said.contains(expected), "{expected}: {code} {said}");
    }
    assert!(Path::new(&file).exists());
}

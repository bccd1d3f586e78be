//! `bulla revoke`, and verification that honours what it says: by file, by search of the log, and by nobody who may not.

mod common;
mod stack;

use std::fs;
use std::net::TcpListener;

use bulla_claims::SigningKey;
use common::{exchange, run};
use serde_json::Value;
use stack::{Stack, done};

const ROOT: &str = "data/clients/trusted_root.json";
const KEY: [&str; 2] = ["--key", "signer.key"];
const LONG_AGO: &str = "2020-01-01T00:00:00Z";
const LONG_HENCE: &str = "2200-01-01T00:00:00Z";
const SAID: [&str; 2] = ["--reason", "the laptop was stolen"];

/// Signs a file as somebody, or by the key.
fn sign(stack: &Stack, email: Option<&str>, bundle: &str) {
    let mut command = stack.command("sign", &["file", "--bundle", bundle]);
    as_whom(stack, email, &mut command);
    assert_eq!(done(run(&mut command)), ["signed"]);
}

fn as_whom(stack: &Stack, email: Option<&str>, command: &mut std::process::Command) {
    match email {
        Some(email) => drop(command.env("SIGSTORE_ID_TOKEN", token(stack, email))),
        None => drop(command.args(KEY)),
    }
}

fn token(stack: &Stack, email: &str) -> String {
    let (_, _, body) = exchange(&stack.served.http, "POST", "/oidc/mint", &format!("email={email}"));
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["token"].as_str().expect("a token").to_owned()
}

fn revoke(stack: &Stack, email: Option<&str>, arguments: &[&str]) -> (i32, String, String) {
    let mut command = stack.command("revoke", &[arguments, &SAID].concat());
    as_whom(stack, email, &mut command);
    run(&mut command)
}

fn alice(stack: &Stack) -> Vec<String> {
    let issuer = format!("{}/oidc", stack.url());
    ["--identity".to_owned(), format!("alice@example.org={issuer}")].to_vec()
}

/// Verifies `file` by one of its bundles; returns the exit code, the check and what was said on standard error.
fn verify(stack: &Stack, bundle: &str, arguments: &[&str]) -> (i32, Value, String) {
    let who = alice(stack);
    let who: Vec<_> = who.iter().map(String::as_str).collect();
    let all =
        [&["file", "--bundle", bundle, "--trusted-root", ROOT, "--output", "json"], &who[..], arguments];
    let (code, out, errors) = run(&mut stack.command("verify", &all.concat()));
    let said: Value = serde_json::from_str(&out).unwrap_or_default();
    let checks = said["signatures"][0]["checks"].as_array().cloned().unwrap_or_default();
    let check = checks.into_iter().find(|check| check["name"] == "revocation").unwrap_or_default();
    (code, check, errors)
}

#[test]
fn a_key_is_revoked_from_a_time_on_and_only_then() {
    let stack = Stack::start();
    sign(&stack, None, "signed.json");
    assert_eq!(verify(&stack, "signed.json", &KEY).0, 0);
    let arguments = |from, bundle| ["--revoked-key", "signer.key", "--from", from, "--bundle", bundle];
    assert_eq!(done(revoke(&stack, None, &arguments(LONG_AGO, "past.json"))), ["signed"]);
    let entries = stack.entries();
    // A retry makes no second entry.
    assert_eq!(done(revoke(&stack, None, &arguments(LONG_AGO, "past.json"))), ["signed already"]);
    assert_eq!(stack.entries(), entries);
    assert_eq!(done(revoke(&stack, None, &arguments(LONG_HENCE, "future.json"))), ["signed"]);

    let (code, check, errors) =
        verify(&stack, "signed.json", &[&KEY[..], &["--offline", "--revocations", "past.json"]].concat());
    assert_eq!((code, check["outcome"].as_str()), (1, Some("failed")), "{errors}");
    assert_eq!(check["evidence"]["reason"][0], "the laptop was stolen");
    assert_eq!(check["evidence"]["since"][0], LONG_AGO);
    assert!(errors.contains("not verified: revocation: the key of sha256 "), "{errors}");
    // What is revoked later still holds.
    let (code, check, errors) =
        verify(&stack, "signed.json", &[&KEY[..], &["--offline", "--revocations", "future.json"]].concat());
    assert_eq!((code, check["outcome"].as_str()), (0, Some("passed")), "{errors}");
    assert_eq!(check["evidence"]["revoked only since"][0], LONG_HENCE);
    // A directory of them: the one that holds counts.
    fs::create_dir(stack.path("revoked")).expect("is made");
    for file in ["past.json", "future.json"] {
        fs::copy(stack.path(file), stack.path("revoked").join(file)).expect("is copied");
    }
    assert_eq!(verify(&stack, "signed.json", &[&KEY[..], &["--revocations", "revoked"]].concat()).0, 1);
    // What is not read could be one.
    fs::create_dir(stack.path("none")).expect("is made");
    let none = [&KEY[..], &["--revocations", "none"]].concat();
    let (code, _, errors) = verify(&stack, "signed.json", &none);
    assert!(code == 2 && errors.contains("--revocations none: has no *.json"), "{errors}");
    fs::copy(stack.path("past.json"), stack.path("none/past.sigstore")).expect("is copied");
    let (code, _, errors) = verify(&stack, "signed.json", &none);
    assert!(code == 2 && errors.contains("past.sigstore is no *.json"), "{errors}");
    // Another key may revoke it only if it is named.
    stack.key("security.key", "prime256v1");
    let other = [
        "--revoked-key",
        "signer.key",
        "--from",
        LONG_AGO,
        "--bundle",
        "other.json",
        "--key",
        "security.key",
    ];
    assert_eq!(done(run(&mut stack.command("revoke", &[&other[..], &SAID].concat()))), ["signed"]);
    let (code, _, errors) =
        verify(&stack, "signed.json", &[&KEY[..], &["--revocations", "other.json"]].concat());
    assert_eq!(code, 2, "whose key nobody has cannot be judged");
    assert!(errors.starts_with("bulla: other.json is no revocation that holds: "), "{errors}");
    let named = ["--revocations", "other.json", "--revoked-by-key", "security.key"];
    assert_eq!(verify(&stack, "signed.json", &[&KEY[..], &named].concat()).0, 1);
}

#[test]
fn an_identity_is_revoked_by_itself_or_by_who_is_named_and_by_no_stranger() {
    let stack = Stack::start();
    sign(&stack, Some("alice@example.org"), "signed.json");
    let identity = alice(&stack).remove(1);
    let revoke = |email, bundle, from| {
        let arguments = ["--revoked-identity", &identity, "--from", from, "--bundle", bundle];
        assert_eq!(done(revoke(&stack, Some(email), &arguments)), ["signed"]);
    };
    revoke("mallory@example.org", "stranger.json", LONG_AGO);
    let url = stack.url();
    for more in [["--revocations", "stranger.json"], ["--rekor-url", &url]] {
        let (code, check, errors) = verify(&stack, "signed.json", &more);
        assert_eq!(code, 0, "{errors}{check}");
        assert_eq!(check["outcome"], "passed");
    }
    let (_, check, _) = verify(&stack, "signed.json", &["--revocations", "stranger.json"]);
    let seen = check["evidence"]["not honoured"][0].as_str().expect("is said");
    assert!(
        seen.contains("mallory@example.org") && seen.ends_with("is neither who signed nor named"),
        "{seen}"
    );
    let named = format!("mallory@example.org={url}/oidc");
    let more = ["--revocations", "stranger.json", "--revoked-by-identity", &named];
    assert_eq!(verify(&stack, "signed.json", &more).0, 1);
    let more = ["--rekor-url", &url, "--revoked-by-identity", &named];
    let (code, check, errors) = verify(&stack, "signed.json", &more);
    assert_eq!(code, 1, "{errors}");
    assert!(
        check["evidence"]["revocation"][0].as_str().is_some_and(|place| place.starts_with("entry ")),
        "{check}"
    );

    revoke("alice@example.org", "later.json", LONG_HENCE);
    assert_eq!(verify(&stack, "signed.json", &["--rekor-url", &url]).0, 0);
    revoke("alice@example.org", "own.json", LONG_AGO);
    for more in [["--revocations", "own.json"], ["--rekor-url", &url]] {
        let (code, check, errors) = verify(&stack, "signed.json", &more);
        assert_eq!(code, 1, "{errors}");
        assert_eq!(check["evidence"]["by"][0], format!("\"alice@example.org\" of issuer \"{url}/oidc\""));
    }
}

#[test]
fn an_entry_is_revoked_and_no_other() {
    let stack = Stack::start();
    sign(&stack, Some("alice@example.org"), "one.json");
    sign(&stack, Some("alice@example.org"), "two.json");
    let revoked = revoke(
        &stack,
        Some("alice@example.org"),
        &["--revoked-entry", "one.json", "--bundle", "revocation.json"],
    );
    assert_eq!(done(revoked), ["signed"]);
    let url = stack.url();
    for more in [["--revocations", "revocation.json"], ["--rekor-url", &url]] {
        assert_eq!(verify(&stack, "one.json", &more).0, 1);
        assert_eq!(verify(&stack, "two.json", &more).0, 0);
    }
    // By its name in the log, which proves that it has it.
    let mut command = stack.command("sign", &["file", "--log-api", "v1", "--bundle", "v1.json"]);
    as_whom(&stack, None, &mut command);
    assert_eq!(done(run(&mut command)), ["signed"]);
    let body = stack.json("v1.json")["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"].clone();
    let body = base64(body.as_str().expect("text"));
    let uuid = bulla_tlog::leaf_hash(&body).to_string();
    assert_eq!(
        done(revoke(&stack, None, &["--revoked-entry", &uuid, "--bundle", "by-name.json"])),
        ["signed"]
    );
    let (code, check, _) =
        verify(&stack, "v1.json", &[&KEY[..], &["--revocations", "by-name.json"]].concat());
    assert_eq!((code, check["evidence"]["since"][0].as_str()), (1, Some("1970-01-01T00:00:00Z")));
    let (code, _, errors) = revoke(&stack, None, &["--revoked-entry", &"ab".repeat(32)]);
    assert_eq!((code, errors.ends_with("has no such entry\n")), (2, true), "{errors}");
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn what_is_no_revocation_that_holds_is_an_error_that_is_seen() {
    let stack = Stack::start();
    sign(&stack, None, "signed.json");
    let arguments = ["--revoked-key", "signer.key", "--from", LONG_AGO, "--bundle", "revocation.json"];
    assert_eq!(done(revoke(&stack, None, &arguments)), ["signed"]);
    let good = stack.json("revocation.json");
    let mut forged = good.clone();
    let payload = forged["dsseEnvelope"]["payload"].as_str().expect("text").to_owned();
    let payload = String::from_utf8(base64(&payload)).expect("text").replace("2020", "2021");
    forged["dsseEnvelope"]["payload"] = encoded(payload.as_bytes()).into();
    let mut unlogged = good.clone();
    unlogged["verificationMaterial"]["tlogEntries"] = serde_json::json!([]);
    for (name, bundle, check) in [
        ("forged", forged, "binding"),
        ("unlogged", unlogged, "shape"),
        ("other", stack.json("signed.json"), "content"),
    ] {
        fs::write(stack.path(name), bundle.to_string()).expect("is written");
        let (code, _, errors) = verify(&stack, "signed.json", &[&KEY[..], &["--revocations", name]].concat());
        let expected = format!("bulla: {name} is no revocation that holds: {check}: ");
        assert!(code == 2 && errors.starts_with(&expected), "{errors}");
    }
}

#[test]
fn a_log_that_does_not_answer_leaves_it_undetermined() {
    let stack = Stack::start();
    sign(&stack, None, "signed.json");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("http://{nobody}");
    let (code, check, errors) = verify(&stack, "signed.json", &[&KEY[..], &["--rekor-url", &url]].concat());
    assert_eq!((code, check["outcome"].as_str()), (3, Some("failed")), "{errors}");
    assert!(errors.contains("undetermined: revocations of signed.json: "), "{errors}");
    let (code, _, errors) = verify(&stack, "signed.json", &["--rekor-url", &url, "--offline"]);
    assert!(code == 2 && errors.contains("cannot be used with"), "{errors}");
}

#[test]
fn lesson_11_what_the_search_does_not_find_is_not_proved_absent() {
    let stack = Stack::start();
    sign(&stack, Some("alice@example.org"), "signed.json");
    // The statement is in the log as another kind, whose text the log does not keep: that is not nothing.
    let identity = alice(&stack).remove(1);
    let arguments = ["--revoked-identity", &identity, "--from", LONG_AGO, "--bundle", "revocation.json"];
    assert_eq!(done(revoke(&stack, Some("alice@example.org"), &arguments)), ["signed"]);
    for file in fs::read_dir(stack.path("data/attestations")).expect("is there") {
        remove(&file.expect("a file").path());
    }
    let url = stack.url();
    let (code, check, errors) = verify(&stack, "signed.json", &["--rekor-url", &url]);
    assert_eq!(code, 3, "{errors}");
    let problem = check["reason"].as_str().expect("is said");
    assert!(
        problem.ends_with("that the log does not hand out: name its bundle with --revocations"),
        "{problem}"
    );
    // With the bundle at hand it is known.
    assert_eq!(
        verify(&stack, "signed.json", &["--rekor-url", &url, "--revocations", "revocation.json"]).0,
        1
    );
    // What nobody took back is not revoked, as far as this log says.
    sign(&stack, None, "by-key.json");
    let (code, check, errors) = verify(&stack, "by-key.json", &[&KEY[..], &["--rekor-url", &url]].concat());
    assert_eq!((code, check["evidence"]["searched"][0].as_str()), (0, Some(url.as_str())), "{errors}");
}

fn remove(path: &std::path::Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("is removed");
}

#[test]
fn what_is_to_be_revoked_must_make_sense() {
    let stack = Stack::start();
    for (arguments, expected) in [
        (
            &["--revoked-key", "signer.key"][..],
            "bulla: --from is missing: since when is what is revoked not to be believed? such as 2026-01-31T12:00:00Z\n",
        ),
        (
            &["--revoked-identity", "alice", "--from", LONG_AGO],
            "bulla: --revoked-identity alice: SUBJECT=ISSUER was expected, such as alice@example.org=https://accounts.example.org\n",
        ),
        (
            &["--revoked-key", "sha256:ab", "--from", LONG_AGO],
            "bulla: --revoked-key sha256:ab: 64 hexadecimal digits were expected after sha256:\n",
        ),
        (
            &["--revoked-entry", "nothing"],
            "bulla: --revoked-entry nothing: is no file, and as a UUID: 7 characters, 64 or 80 hexadecimal digits were expected\n",
        ),
        (
            &["--revoked-key", "signer.key", "--from", LONG_AGO, "--tlog-upload", "false"],
            "bulla: --tlog-upload=false: a revocation that is in no log is honoured by nobody\n",
        ),
    ] {
        let (code, _, errors) = revoke(&stack, None, arguments);
        assert_eq!((code, errors.as_str()), (2, expected));
    }
    let (code, _, errors) = revoke(&stack, None, &["--from", LONG_AGO]);
    assert!(code == 2 && errors.contains("--revoked-key"), "{errors}");
    assert_eq!(stack.entries(), 0);
}

/// Logs a statement about something, with a certificate that its owner wrote: a kind of which the log keeps no text.
fn log_as_anybody(stack: &Stack, name: &str, issuer: &str, about: &str, own_authority: bool) {
    let pem = SigningKey::generate_ecdsa_p256_pem();
    let key = SigningKey::from_pem(&pem, None).expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::Rfc822Name(name.try_into().expect("a name"))];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    let issuer = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 1], issuer.into());
    params.custom_extensions = vec![issuer];
    let subject = rcgen::KeyPair::from_pem(&pem).expect("a key");
    let certificate = if own_authority {
        let authority = rcgen::KeyPair::generate().expect("a key");
        let mut of_authority = rcgen::CertificateParams::default();
        of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.signed_by(&subject, &rcgen::Issuer::new(of_authority, authority))
    } else {
        params.self_signed(&subject)
    };
    let certificate = certificate.expect("a certificate");
    let statement = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": about } }],
        "predicateType": "urn:bulla:revocation:v1", "predicate": {},
    });
    let (kind, payload) = ("application/vnd.in-toto+json", statement.to_string().into_bytes());
    let signature = key.sign(&bulla_claims::attestation::encoding(kind, &payload)).expect("signs");
    let envelope = serde_json::json!({
        "payload": encoded(&payload), "payloadType": kind, "signatures": [{ "sig": encoded(&signature) }],
    });
    let verifiers = [encoded(certificate.pem().as_bytes())];
    let proposed = serde_json::json!({ "kind": "dsse", "apiVersion": "0.0.1", "spec": {
        "proposedContent": { "envelope": envelope.to_string(), "verifiers": verifiers },
    } });
    let mut post = std::process::Command::new("curl");
    post.args([
        "-sS",
        "--fail-with-body",
        "-H",
        "content-type: application/json",
        "--data-binary",
        &proposed.to_string(),
    ]);
    let (code, out, errors) = run(post.arg(format!("{}/api/v1/log/entries", stack.url())));
    assert_eq!(code, 0, "{out}{errors}");
}

#[test]
fn who_writes_a_certificate_with_somebodys_name_makes_nothing_undetermined() {
    let stack = Stack::start();
    sign(&stack, Some("alice@example.org"), "signed.json");
    let (url, issuer) = (stack.url(), format!("{}/oidc", stack.url()));
    let identity = bulla_tlog::sha256(format!("{issuer}\nalice@example.org").as_bytes()).to_string();
    for (own_authority, entries) in [(false, 2), (true, 3)] {
        log_as_anybody(&stack, "alice@example.org", &issuer, &identity, own_authority);
        assert_eq!(stack.entries(), entries);
        let (code, check, errors) = verify(&stack, "signed.json", &["--rekor-url", &url]);
        assert_eq!((code, check["outcome"].as_str()), (0, Some("passed")), "{errors}");
    }
}

//! `bulla key` as its users see it: files, permissions, where a password comes from, and what is refused.

mod common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bulla_claims::SigningKey;
use common::{bulla, run};

const VARIABLES: [&str; 3] = ["COSIGN_PASSWORD", "BULLA_KEY_PASSWORD", "BULLA_SOURCE_KEY_PASSWORD"];

/// `bulla key …` in a folder, with no password of the tester's.
fn key(folder: &Path, args: &[&str]) -> Command {
    let mut command = bulla();
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.arg("key").args(args).current_dir(folder);
    command
}

fn said(command: &mut Command) -> String {
    let (code, said, errors) = run(command);
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    said
}

fn refused(command: &mut Command) -> String {
    let (code, said, errors) = run(command);
    assert_eq!((code, said.as_str()), (2, ""), "{errors}");
    errors
}

/// Runs with lines on standard input; returns the exit code, standard output and standard error.
fn piped(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("is read");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn opened(path: &Path, password: &str) -> SigningKey {
    let text = fs::read_to_string(path).expect("is there");
    SigningKey::from_pem(&text, Some(password.as_bytes())).expect("opens")
}

fn fixture(name: &str) -> String {
    format!("{}/../claims/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A copy that its owner alone can read, as a private key should be.
fn private(folder: &Path, name: &str) -> String {
    let copy = folder.join(name);
    fs::copy(fixture(name), &copy).expect("copies");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).expect("is ours");
    name.to_owned()
}

#[test]
fn a_pair_is_written_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    let lines = said(key(at, &["generate"]).env("COSIGN_PASSWORD", "correct"));
    assert!(
        lines.starts_with(
            "private key bulla.key\npublic key  bulla.pub\nkind        ECDSA P-256\nsha256      "
        ),
        "{lines}"
    );
    let mode = |name| fs::metadata(at.join(name)).expect("is there").permissions().mode() & 0o777;
    assert_eq!((mode("bulla.key"), mode("bulla.pub") & 0o744), (0o600, 0o644));
    let opened = opened(&at.join("bulla.key"), "correct");
    let public = fs::read_to_string(at.join("bulla.pub")).expect("is there");
    assert_eq!(bulla_claims::keys::public_key_pem(opened.spki()), public);
    // Nothing else is left.
    assert_eq!(fs::read_dir(at).expect("reads").count(), 2);

    // All ways to the same public key.
    for reference in ["bulla.key", "bulla.pub", "env://PRIVATE", "env://PUBLIC"] {
        let mut command = key(at, &["public", reference]);
        command.env("BULLA_KEY_PASSWORD", "correct").env("PUBLIC", &public);
        command.env("PRIVATE", fs::read_to_string(at.join("bulla.key")).expect("is there"));
        assert_eq!(said(&mut command), public, "{reference}");
    }
    let json = said(key(at, &["public", "bulla.pub", "--output", "json"]).env_remove("X"));
    let json: serde_json::Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!(
        (json["kind"].as_str(), json["publicKey"].as_str()),
        (Some("ECDSA P-256"), Some(public.as_str()))
    );
    assert_eq!(json["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn what_is_there_is_replaced_only_when_told() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    let generate = |args: &[&str]| {
        let mut command = key(at, &["generate", "--output-key-prefix", "release"]);
        command.args(args).env("BULLA_KEY_PASSWORD", "");
        command
    };
    said(&mut generate(&[]));
    let (private, public) = (at.join("release.key"), at.join("release.pub"));
    let before = fs::read(&private).expect("is there");
    let expected = |name: &str| {
        format!(
            "bulla: {name} is there already: choose another --output-key-prefix, or replace it with --force, which loses the \
             old key\n"
        )
    };
    assert_eq!(refused(&mut generate(&[])), expected("release.key"));
    fs::rename(&private, at.join("elsewhere")).expect("moves");
    assert_eq!(refused(&mut generate(&[])), expected("release.pub"));
    assert!(!private.exists(), "half a pair was written");
    // A symlink that leads nowhere is there too.
    fs::remove_file(&public).expect("was there");
    std::os::unix::fs::symlink("nowhere", &public).expect("links");
    assert_eq!(refused(&mut generate(&[])), expected("release.pub"));
    fs::rename(at.join("elsewhere"), &private).expect("moves");
    assert_eq!(fs::read(&private).expect("is there"), before);

    let json = said(&mut generate(&["--force", "--kind", "ed25519", "--output", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!(json["privateKeyFile"], "release.key");
    assert_eq!(json["kind"], "Ed25519");
    assert_ne!(fs::read(&private).expect("is there"), before);
    assert!(opened(&private, "").details().name().contains("ED25519"));
}

#[test]
fn a_password_is_never_forgotten_in_silence() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    let nothing = "bulla: key file bulla.key needs a password and standard input has no line with one: pass --password-file FILE, \
                   or set BULLA_KEY_PASSWORD, which may be empty\n";
    assert_eq!(refused(&mut key(at, &["generate"])), nothing);
    assert_eq!(fs::read_dir(at).expect("reads").count(), 0);

    let (code, _, errors) = piped(&mut key(at, &["generate"]), "from a pipe\r\nand more\n");
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    opened(&at.join("bulla.key"), "from a pipe");
    fs::write(at.join("password"), "in a file\n").expect("writes");
    let mut command = key(at, &["generate", "--force", "--password-file", "password"]);
    said(command.env("BULLA_KEY_PASSWORD", "not this one"));
    opened(&at.join("bulla.key"), "in a file");
    said(
        key(at, &["generate", "--force"])
            .env("BULLA_KEY_PASSWORD", "ours")
            .env("COSIGN_PASSWORD", "not this one"),
    );
    opened(&at.join("bulla.key"), "ours");

    assert_eq!(
        refused(key(at, &["public", "bulla.key"]).env("COSIGN_PASSWORD", "sesame")),
        "bulla: key file bulla.key: password is wrong, or the key file is damaged\n"
    );
    let (code, _, errors) = piped(&mut key(at, &["generate", "--force"]), &"x".repeat(5000));
    assert_eq!((code, errors.as_str()), (Some(2), "bulla: password is longer than 4096 bytes\n"));
    opened(&at.join("bulla.key"), "ours");
}

#[test]
fn keys_of_every_form_are_imported() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    for (name, public, format, old) in [
        ("p256-sec1.pem", "p256.pub", "sigstore", None),
        ("rsa2048-pkcs1.pem", "rsa2048-pkcs1.pub", "sigstore", None),
        ("ed25519.pem", "ed25519.pub", "pkcs8", None),
        ("encrypted-pbkdf2.pem", "ed25519.pub", "sigstore", Some("correct")),
        ("vector-sigstore.pem", "vector-sigstore.pub", "pkcs8", Some("correct horse")),
    ] {
        let mut command = key(at, &["import", &private(at, name), "--force", "--format", format]);
        if let Some(old) = old {
            command.env("BULLA_SOURCE_KEY_PASSWORD", old);
        }
        said(command.env("BULLA_KEY_PASSWORD", "new"));
        let expected = fs::read_to_string(fixture(public)).expect("is there");
        assert_eq!(fs::read_to_string(at.join("bulla.pub")).expect("is there"), expected, "{name}");
        assert_eq!(bulla_claims::keys::public_key_pem(opened(&at.join("bulla.key"), "new").spki()), expected);
    }
    // The old password and then the new one, a line each.
    let mut command = key(at, &["import", &private(at, "encrypted-cosign.pem"), "--force"]);
    assert_eq!(piped(&mut command, "correct\nnext\n").0, Some(0));
    opened(&at.join("bulla.key"), "next");
    let mut command = key(at, &["import", &private(at, "encrypted-cosign.pem"), "--force"]);
    assert_eq!(
        refused(&mut command),
        "bulla: key file encrypted-cosign.pem needs a password and standard input has no line with one: pass \
         --source-password-file FILE, or set BULLA_SOURCE_KEY_PASSWORD, which may be empty\n"
    );
}

#[test]
fn a_reference_that_is_no_key_says_what_is() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    fs::write(at.join("empty"), "").expect("writes");
    fs::write(at.join("long"), "x".repeat(70_000)).expect("writes");
    let refused = |reference: &str| refused(&mut key(at, &["public", reference]));
    assert_eq!(refused("missing"), "bulla: key file missing: No such file or directory (os error 2)\n");
    assert_eq!(refused("long"), "bulla: key file long: is more than 65536 bytes, a key was expected\n");
    assert!(refused("empty").starts_with("bulla: key file empty: "), "{}", refused("empty"));
    assert_eq!(
        refused("https://example.org/key.pub"),
        "bulla: key \"https://example.org/key.pub\": https:// is not read here: download the key, compare it with what its \
         owner says, and name the file\n"
    );
    assert_eq!(
        refused("k8s://namespace/secret"),
        "bulla: key \"k8s://namespace/secret\": k8s:// is not read here: a path, env://NAME, pkcs11:, awskms://, gcpkms://, \
         azurekms:// or hashivault:// was expected\n"
    );
    assert_eq!(
        refused("env://NO_SUCH_VARIABLE"),
        "bulla: key env://NO_SUCH_VARIABLE: the variable is not set, set it to the text of the key\n"
    );
    assert_eq!(refused("env://"), "bulla: key env://: names no variable, env://NAME was expected\n");
    if !cfg!(feature = "kms-vault") {
        assert_eq!(
            refused("hashivault://x"),
            "bulla: hashivault:// needs a build with --features kms-vault\n"
        );
    }
    let errors = refused(&fixture("secp256k1.pem"));
    assert!(errors.contains("key is on curve 1.3.132.0.10, P-256, P-384 or P-521 was expected"), "{errors}");
}

//! `bulla verify` as people and pipelines run it: files, image layouts and registries, what is said, and the exit code.

mod common;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod signed;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{answering, bulla, run};
use serde_json::{Value, json};
use signed::{Image, MANIFEST, SIGN};

const BUNDLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../claims/tests/bundles");
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../claims/tests/keys/p256.pem");

fn verify(bundle: &str, more: &[&str]) -> Command {
    let mut command = bulla();
    command
        .arg("verify")
        .arg(format!("{BUNDLES}/art.txt"))
        .arg("--bundle")
        .arg(format!("{BUNDLES}/{bundle}.json"));
    command.arg("--trusted-root").arg(format!("{BUNDLES}/trusted_root.json")).args(more);
    command
}

const ALICE: [&str; 4] =
    ["--certificate-identity", "alice@example.org", "--certificate-oidc-issuer", "http://127.0.0.1:8765"];

#[test]
fn a_file_is_verified_and_each_check_is_told() {
    let (code, said, errors) = run(&mut verify("py-v2", &ALICE));
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert!(said.starts_with("verified "), "{said}");
    assert!(
        said.contains("signed by   \"alice@example.org\" of issuer \"http://127.0.0.1:8765\"\n"),
        "{said}"
    );
    for check in
        ["shape", "identity", "binding", "time", "certificate", "sct", "inclusion", "signature", "artifact"]
    {
        assert!(said.lines().any(|line| line.starts_with(&format!("  {check:<11} ok"))), "{check}: {said}");
    }
    let (code, said, _) = run(verify("py-v2", &ALICE).args(["--output", "json"]));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &said["schema"], &said["verdict"]), (0, &json!("bulla.verify/v1"), &json!("verified")));
    assert_eq!(said["signatures"][0]["signer"]["subject"], "alice@example.org");
    assert_eq!(said["signatures"][0]["checks"].as_array().expect("a list").len(), 16);
}

#[test]
fn whoever_may_not_sign_is_refused_and_explained() {
    let mallory = [
        "--certificate-identity",
        "mallory@example.org",
        "--certificate-oidc-issuer",
        "http://127.0.0.1:8765",
    ];
    let (code, said, errors) = run(verify("py-v2", &mallory).arg("--explain"));
    assert_eq!(code, 1, "{said}");
    assert!(
        errors.ends_with("identity: certificate is of \"alice@example.org\" of issuer \"http://127.0.0.1:8765\", who may not sign\n"),
        "{errors}"
    );
    let explained = said.lines().find_map(|line| line.strip_prefix("explain     ")).expect("explains");
    assert!(explained.ends_with(&ALICE.join(" ")), "{explained}");
    // It is an attestation, which consents to nothing.
    let (code, said, errors) = run(verify("py-att-v2", &ALICE).arg("--explain"));
    assert_eq!(code, 1, "{said}");
    assert!(
        errors.contains("content: it is an attestation of type https://slsa.dev/provenance/v1"),
        "{errors}"
    );
    assert!(
        said.contains("bulla verify-attestation ") && said.contains("--type https://slsa.dev/provenance/v1 "),
        "{said}"
    );
}

#[test]
fn what_is_asked_must_make_sense() {
    for (more, expected) in [
        (
            vec![],
            "bulla: nobody may have signed: say who with --key REF, or with --certificate-identity SUBJECT and --certificate-oidc-issuer URL\n",
        ),
        (
            vec!["--certificate-identity", "a"],
            "bulla: --certificate-identity without --certificate-oidc-issuer: anybody could vouch for the name\n",
        ),
        (
            vec![
                "--certificate-identity-regexp",
                "https://github.com/org/",
                "--certificate-oidc-issuer",
                "i",
            ],
            "bulla: --certificate-identity-regexp: pattern \"https://github.com/org/\" matches parts of a value, the whole is meant: write ^https://github.com/org/$\n",
        ),
        (
            vec!["--identity", "alice"],
            "bulla: --identity alice: SUBJECT=ISSUER was expected, such as alice@example.org=https://accounts.example.org\n",
        ),
        (
            vec!["--identity", "a=b", "--require", "2"],
            "bulla: --require 2: 2 of 1 are required, 1 to 1 of at most 64 were expected\n",
        ),
    ] {
        let (code, _, errors) = run(&mut verify("py-v2", &more));
        assert_eq!((code, errors.as_str()), (2, expected));
    }
    let (code, _, errors) = run(bulla()
        .args(["verify", "registry.example/a", "--offline", "--identity", "a=b", "--trusted-root"])
        .arg(format!("{BUNDLES}/trusted_root.json")));
    assert_eq!(
        (code, errors.as_str()),
        (
            2,
            "bulla: \"registry.example/a\" is neither a file nor oci:DIR, and with --offline no registry is asked\n"
        )
    );
}

#[test]
fn offline_asks_no_keeper_of_keys_either() {
    let (code, _, errors) = run(&mut verify("py-v2", &["--offline", "--key", "awskms:///alias/release"]));
    assert_eq!(code, 2);
    assert_eq!(
        errors,
        "bulla: --key awskms:///alias/release: with --offline nobody is asked for it, name a file with the public key\n"
    );
}

#[test]
fn an_image_is_verified_by_either_form() {
    let image = Image::new();
    let (code, _, errors) = run(image.command("verify", "oci:image:1.0").arg("--offline"));
    assert_eq!(
        (code, errors.as_str()),
        (1, "bulla: oci:image:1.0: not verified: it has no signatures, a signature was expected\n")
    );
    image.refer(&image.statement(SIGN, &json!({})));
    let (code, said, errors) = run(image.command("verify", "oci:image:1.0").arg("--offline"));
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert!(said.contains("signature   referrer sha256:"), "{said}");

    let mut image = Image::new();
    image.tag(1);
    let (code, said, errors) = run(image.command("verify", "oci:image:1.0").arg("--offline"));
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert!(said.contains(&format!("of sha256-{}.sig", image.digest)), "{said}");
    // One signer is one, however often he signs.
    let (code, _, errors) =
        run(image.command("verify", "oci:image:1.0").args(["--identity", "a=b", "--require", "2"]));
    assert_eq!(code, 1, "{errors}");
}

#[test]
fn an_attestation_is_judged_by_type_and_printed_only_if_it_is_verified() {
    let image = Image::new();
    let predicate = json!({ "scanner": { "uri": "a" } });
    image.refer(&image.statement("https://example.org/scan", &predicate));
    let mut forged = image.statement("https://example.org/scan", &json!({ "forged": true }));
    forged["dsseEnvelope"]["signatures"][0]["sig"] = json!("MEUCIQ==");
    image.refer(&forged);
    let command = |verb: &str, more: &[&str]| {
        let (code, said, errors) =
            run(image.command(verb, "oci:image:1.0").args(more).args(["--output", "json"]));
        (code, serde_json::from_str::<Value>(&said).expect("JSON"), errors)
    };
    let (code, said, errors) = command("verify-attestation", &["--type", "https://example.org/scan"]);
    assert_eq!(code, 0, "{errors}");
    let shown: Vec<_> =
        said["signatures"].as_array().expect("a list").iter().map(|one| &one["predicate"]).collect();
    assert!(shown.contains(&&predicate) && shown.contains(&&Value::Null), "{said}");
    assert!(!said.to_string().contains("forged"));
    assert_eq!(command("verify-attestation", &["--type", "vuln"]).0, 1);
    assert_eq!(command("verify", &[]).0, 1, "an attestation is no signature");
}

#[test]
fn lesson_4_signatures_without_end_are_not_read_to_their_end() {
    let mut image = Image::new();
    image.tag(1001);
    let (_, said, _) = run(image.command("verify", "oci:image:1.0").args(["--offline", "--output", "json"]));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["unread"][0]["problem"], "there are 1001 signatures, the first 1000 were read");
    assert_eq!(said["signatures"].as_array().expect("a list").len(), 1000);
}

#[test]
fn offline_opens_no_socket() {
    let image = Image::new();
    image.refer(&image.statement(SIGN, &json!({})));
    let file = verify("py-v2", &ALICE);
    for command in [file, image.command("verify", "oci:image:1.0")] {
        // No network at all: not even the loopback interface is up.
        let mut alone = Command::new("unshare");
        alone
            .args(["--net", "--map-root-user"])
            .arg(command.get_program())
            .args(command.get_args())
            .arg("--offline");
        if let Some(dir) = command.get_current_dir() {
            alone.current_dir(dir);
        }
        let (code, said, errors) = run(&mut alone);
        assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    }
}

fn manifest_of(image: &Image) -> Vec<u8> {
    fs::read(image.layout().join(format!("blobs/sha256/{}", image.digest))).expect("is there")
}

#[test]
fn lesson_12_a_throttled_registry_is_not_one_without_signatures() {
    let image = Image::new();
    let manifest = manifest_of(&image);
    let host = answering(move |path| match path {
        path if path.contains("/manifests/1.0") => (200, MANIFEST, manifest.clone()),
        path if path.contains("/referrers/") => (429, "application/json", b"{}".to_vec()),
        _ => (404, "application/json", b"{}".to_vec()),
    });
    let (code, said, errors) = run(&mut image.command("verify", &format!("{host}/team/app:1.0")));
    assert_eq!(code, 3, "{said}{errors}");
    assert!(
        said.starts_with("undetermined ") && said.contains("not read    what refers to sha256:"),
        "{said}"
    );
}

#[test]
fn lesson_9_a_tag_that_moved_is_told_and_the_digest_counts() {
    let mut image = Image::new();
    image.tag(1);
    let (manifest, layout, digest) = (manifest_of(&image), image.layout(), image.digest);
    let signatures = image.listed[1]["digest"].as_str().expect("text").replacen(':', "/", 1);
    let host = answering(move |path| {
        let blob =
            |name: &str| fs::read(layout.join("blobs").join(name.replacen(':', "/", 1))).unwrap_or_default();
        match path {
            path if path.contains("/manifests/1.0") => (200, MANIFEST, [&manifest[..], b"\n"].concat()),
            path if path.contains(".sig") => (200, MANIFEST, blob(&signatures)),
            path if path.contains(&format!("/manifests/sha256:{digest}")) => {
                (200, MANIFEST, manifest.clone())
            }
            path if path.contains("/blobs/") => {
                (200, "application/octet-stream", blob(path.rsplit('/').next().unwrap_or_default()))
            }
            _ => (404, "application/json", b"{}".to_vec()),
        }
    });
    let (code, said, errors) =
        run(&mut image.command("verify", &format!("{host}/team/app:1.0@sha256:{digest}")));
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("note        tag 1.0 is another image now, sha256:"), "{said}");
    assert!(said.contains(&format!("digest      sha256:{digest}\n")), "{said}");
}

#[test]
fn a_bundle_that_is_not_there_is_a_wrong_option() {
    let missing = Path::new(BUNDLES).join("none.json");
    let (code, _, errors) = run(&mut verify("none", &ALICE));
    assert_eq!(code, 2);
    assert!(errors.starts_with(&format!("bulla: {}: ", missing.display())), "{errors}");
}

/// Whoever may write where the command runs must not choose what it judges.
#[test]
fn a_file_never_stands_in_for_an_image() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| {
        let mut command = bulla();
        command.args(["verify", name, "--offline"]).args(ALICE).current_dir(dir.path());
        command.arg("--trusted-root").arg(format!("{BUNDLES}/trusted_root.json"));
        run(&mut command)
    };
    for name in ["ghcr.io/org/app:1.2", "localhost/app", "app:1.2", "oci:app"] {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().expect("has one")).expect("is made");
        fs::copy(format!("{BUNDLES}/art.txt"), &file).expect("is copied");
        fs::copy(format!("{BUNDLES}/py-v1.json"), format!("{}.sigstore.json", file.display()))
            .expect("is copied");
        let (code, said, errors) = at(name);
        assert!(code != 0 && said.is_empty(), "{name}: {said}{errors}");
        if name != "oci:app" {
            assert!(code == 2 && errors.contains(&format!("write ./{name} for the file")), "{errors}");
        }
        let (code, _, errors) = at(&format!("./{name}"));
        assert_eq!(code, 0, "{errors}");
    }
}

#[test]
fn what_is_not_said_is_a_failure_and_terminals_are_told_nothing() {
    let full = fs::File::options().write(true).open("/dev/full").expect("is there");
    let ended = verify("py-v1", &ALICE).stdout(full).output().expect("runs");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(3) && errors.starts_with("bulla: standard output: "), "{errors}");
    let (code, _, errors) = run(bulla().args(["verify", "./a\u{1b}[31m", "--key", "none"]).args(&ALICE[..0]));
    assert!(code == 2 && !errors.contains('\u{1b}'), "{errors:?}");
}

/// What `--explain` prints works where it is pasted.
#[test]
fn the_command_that_is_explained_can_be_pasted() {
    let folder = tempfile::tempdir().expect("a directory");
    let dir = folder.path().join("it's a place");
    fs::create_dir(&dir).expect("is made");
    for (from, to) in [
        ("art.txt", "-file"),
        ("art.txt", "art.txt"),
        ("py-v2.json", "the bundle.json"),
        ("py-att-v2.json", "py-att-v2.json"),
        ("sigstore-js-5.0.1-rawkey-v1-messageSignature.json", "raw.json"),
        ("sigstore-js-5.0.1-rawkey.pub", "raw.pub"),
        ("trusted_root.json", "-root.json"),
    ] {
        fs::copy(format!("{BUNDLES}/{from}"), dir.join(to)).expect("is copied");
    }
    let here = |command: &mut Command| {
        let (code, said, errors) = run(command.current_dir(&dir));
        (
            code,
            format!("{said}{errors}"),
            said.lines().find_map(|line| line.strip_prefix("explain     ")).map(str::to_owned),
        )
    };
    let nobody = ["--identity", "nobody@example.org=http://127.0.0.1:8765"];
    let trusted = ["--trusted-root=-root.json", "--offline", "--explain"];
    let cases = [
        (
            vec!["verify", "art.txt", "--bundle", "the bundle.json", nobody[0], nobody[1]],
            "bulla verify art.txt --bundle",
        ),
        (
            vec!["verify", "--bundle", "the bundle.json", nobody[0], nobody[1], "--", "-file"],
            "bulla verify --bundle",
        ),
        (
            vec!["verify", "art.txt", "--bundle", "py-att-v2.json", nobody[0], nobody[1]],
            "bulla verify-attestation art.txt --bundle",
        ),
        (
            vec![
                "verify-attestation",
                "--type",
                "vuln",
                "art.txt",
                "--bundle",
                "raw.json",
                "--key",
                "raw.pub",
            ],
            "bulla verify art.txt --bundle raw.json --trusted-root=-root.json --offline --key raw.pub",
        ),
    ];
    for (arguments, begins) in cases {
        let mut command = bulla();
        // What only refuses more is left out of the line.
        command.arg(arguments[0]).args(trusted).args(["--require", "1"]).args(&arguments[1..]);
        let (code, said, explained) = here(&mut command);
        assert_eq!(code, 1, "{said}");
        let line = explained.expect("explains");
        assert!(line.starts_with(begins) && line.contains(" --trusted-root=-root.json --offline"), "{line}");
        let folder = Path::new(env!("CARGO_BIN_EXE_bulla")).parent().expect("has one").display().to_string();
        let mut pasted = Command::new("sh");
        pasted
            .args(["-c", &line])
            .env("PATH", format!("{folder}:/usr/bin:/bin"))
            .env("XDG_CONFIG_HOME", "/nonexistent");
        pasted.env_remove("XDG_STATE_HOME").env_remove("HOME");
        let (code, said, _) = here(&mut pasted);
        assert_eq!(code, 0, "{line}: {said}");
    }
}

#[test]
fn a_file_that_is_mistyped_is_not_asked_of_a_registry() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(
        dir.path().join("key"),
        fs::read(format!("{BUNDLES}/sigstore-js-5.0.1-rawkey.pub")).expect("is there"),
    )
    .expect("is written");
    let fix = |name: &str| {
        format!("if an image is meant, say its registry or its tag, docker.io/{name} or {name}:latest")
    };
    for (name, fix) in [
        ("art.txt", fix("art.txt")),
        ("dir/file.json", fix("dir/file.json")),
        ("./art", "the name of an image begins with a letter or a digit, such as app:1.2".to_owned()),
        ("/art", "the name of an image begins with a letter or a digit, such as app:1.2".to_owned()),
    ] {
        for verb in ["verify", "verify-attestation", "sign", "attest"] {
            let mut command = bulla();
            command.args([verb, name]).current_dir(dir.path()).env("XDG_STATE_HOME", dir.path());
            match verb {
                "verify" | "verify-attestation" => {
                    command
                        .args(["--key", "key", "--trusted-root"])
                        .arg(format!("{BUNDLES}/trusted_root.json"));
                }
                _ => drop(command.args(["--tlog-upload=false", "--key"]).arg(KEYS)),
            }
            match verb {
                "verify-attestation" => drop(command.args(["--type", "custom"])),
                "attest" => drop(command.args(["--predicate", "key"])),
                _ => {}
            }
            let (code, said, errors) = run(&mut command);
            let expected = format!("{name}: there is no such file; {fix}\n");
            assert_eq!((code, said.as_str()), (2, ""), "{errors}");
            assert!(errors.ends_with(&expected), "{verb}: {errors}");
        }
    }
    // A file whose bundle is there and that is not is said to be missing, and not its bundle.
    let (code, _, errors) = run(bulla()
        .args(["verify", "art", "--bundle", "none", "--key", "key", "--trusted-root"])
        .arg(format!("{BUNDLES}/trusted_root.json"))
        .current_dir(dir.path()));
    assert!(code == 2 && errors.starts_with("bulla: art: No such file or directory"), "{errors}");
}

//! `bulla report` beside a whole stack: images that are signed by a key and as whom tokens are about, a report that is signed and
//! logged, and the proof that the log that was met has one history.

mod common;
mod layout;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod reported;
mod stack;

use std::fs;
use std::process::{Command, Stdio};

use common::{bulla, run};
use layout::Layout;
use serde_json::{Value, json};
use stack::{Stack, done};

const ROOT: [&str; 2] = ["--trusted-root", "data/clients/trusted_root.json"];

/// An image layout with two images, `a` and `b`.
fn layout(stack: &Stack) {
    let blobs = stack.path("images/blobs/sha256");
    fs::create_dir_all(&blobs).expect("makes");
    fs::write(stack.path("images/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("writes");
    let blob = |bytes: &[u8]| {
        let digest = bulla_tlog::sha256(bytes);
        fs::write(blobs.join(digest.to_string()), bytes).expect("writes");
        json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let mut config = blob(b"{}");
    config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    let listed = ["a", "b"].map(|tag| {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [],
            "annotations": { "made.for": tag },
        });
        let mut entry = blob(manifest.to_string().as_bytes());
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        entry
    });
    let index = json!({ "schemaVersion": 2, "manifests": listed });
    fs::write(stack.path("images/index.json"), index.to_string()).expect("writes");
}

fn report(stack: &Stack, arguments: &[&str]) -> Command {
    let mut command = bulla();
    command.arg("report").args(arguments).args(ROOT).current_dir(stack.folder.path());
    command.env("XDG_STATE_HOME", stack.path("state")).env_remove("GITHUB_ACTIONS");
    command
}

fn public_key(stack: &Stack) {
    let made = Command::new("openssl")
        .args(["ec", "-pubout", "-in", "signer.key", "-out", "signer.pub"])
        .current_dir(stack.folder.path())
        .output();
    assert!(made.expect("openssl runs").status.success());
}

#[test]
fn a_report_is_signed_logged_and_judged_again_without_network() {
    let stack = Stack::start();
    layout(&stack);
    public_key(&stack);
    assert_eq!(done(stack.sign(&["oci:images:a", "--key", "signer.key"])), ["signed"]);
    let mut keyless = stack.command("sign", &["oci:images:b"]);
    assert_eq!(done(run(keyless.env("SIGSTORE_ID_TOKEN", stack.token()))), ["signed"]);
    let issuer = issuer(&stack);
    let identity = format!("alice@example.org={issuer}");
    let before = stack.entries();
    let made = [
        "oci:images",
        "--key",
        "signer.pub",
        "--identity",
        &identity,
        "--out",
        "report.json",
        "--out",
        "report.html",
    ];
    let signed = ["--sign", "--sign-key", "signer.key", "--sign-url"];
    let (code, said, errors) = run(report(&stack, &made).args(signed).arg(stack.url()));
    assert_eq!(code, 0, "{said}{errors}");
    assert_eq!(stack.entries(), before + 1, "the report is in the log");
    let written = stack.json("report.json");
    assert_eq!([&written["totals"]["verified"], &written["totals"]["images"]], [2, 2]);
    assert_eq!(written["signers"].as_array().expect("a list").len(), 2);
    // Two trees of the log were met; that the larger continues the smaller was asked, and the proof is kept.
    let log = &written["logs"][0];
    assert_eq!(log["consistency"]["status"], "proved", "{log}");
    assert!(log["from"]["tree_size"].as_u64() < log["to"]["tree_size"].as_u64(), "{log}");

    let again = ["report", "verify", "report.json", "--key", "signer.pub"];
    let mut alone = Command::new("unshare");
    alone.args(["--net", "--map-root-user", env!("CARGO_BIN_EXE_bulla")]).args(again).args(ROOT);
    let (code, said, errors) = run(alone.current_dir(stack.folder.path()));
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert!(said.contains("judged      2 signatures and statements of 2 images again"), "{said}");

    // A proof that does not hold is found out, even by who has the digests of the lines made anew.
    let text = fs::read_to_string(stack.path("report.json")).expect("is there");
    let proof = log["consistency"]["proof"][0].as_str().expect("has hashes");
    let other = bulla_tlog::sha256(b"other").to_base64();
    let lines: Vec<_> = text.replace(proof, &other).lines().map(str::to_owned).collect();
    let lie = reported::resealed(&lines);
    fs::write(stack.path("lie.json"), lie).expect("writes");
    let mut command = report(&stack, &["verify", "lie.json", "--skip-signature-unsafe"]);
    let (code, said, _) = run(&mut command);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("consistency: the log gave a proof that does not hold"), "{said}");

    // Every entry in it is looked up where it is said to be.
    let searched = ["verify", "report.json", "--key", "signer.pub"];
    let (code, said, errors) = run(report(&stack, &searched).arg("--rekor-url").arg(stack.url()));
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains(&format!("looked up   2 of 2 entries are in {}\n", stack.url())), "{said}");

    // Another client's question: is the bundle that of the file?
    let mut verified = bulla();
    verified.args(["verify", "report.json", "--key", "signer.pub", "--offline"]).args(ROOT);
    let (code, said, errors) = run(verified.current_dir(stack.folder.path()));
    assert_eq!(code, 0, "{said}{errors}");

    // As whom a token is about, and a report in the place of the one before.
    let mut command = report(&stack, &made);
    command.args(["--sign", "--sign-url"]).arg(stack.url()).env("SIGSTORE_ID_TOKEN", stack.token());
    let (code, said, errors) = run(&mut command);
    assert_eq!(code, 0, "{said}{errors}");
    let mut command = report(&stack, &["verify", "report.json", "--identity", &identity, "--output", "json"]);
    let (code, said, errors) = run(&mut command);
    assert_eq!(code, 0, "{said}{errors}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(
        said["signed_by"].as_str().expect("text").starts_with("\"alice@example.org\" of issuer "),
        "{said}"
    );
}

/// Who vouches in this stack: what the certificate of a signature says.
fn issuer(stack: &Stack) -> String {
    let (_, said, _) = run(&mut report(
        stack,
        &["oci:images:b", "--identity", "nobody=nowhere", "--output", "json", "--offline"],
    ));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    said["images"][0]["entries"][0]["signer"]["issuer"].as_str().expect("is claimed").to_owned()
}

/// A process's peak of memory in MiB, and what it came to.
fn peak_of(command: &mut Command) -> (u64, i32, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runs");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // It waits for the log when it has all in memory, so what is read last is the peak.
    while child.try_wait().expect("is asked").is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = kib.map_or(peak, |kib| peak.max(kib >> 10));
    }
    let done = child.wait_with_output().expect("ended");
    (peak, done.status.code().expect("exits"), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_large_report_is_in_memory_once_while_it_is_signed() {
    let stack = Stack::start();
    let mut layout = Layout::new();
    let padding = "x".repeat(7 << 19);
    for number in 0..16 {
        let hash = layout.unlisted(&number.to_string());
        layout.refer(&hash, &json!({ "number": number, "padding": padding }));
    }
    layout.write_index();
    let mut command = reported::report(
        &layout,
        &["oci:images", "--offline", "--jobs", "1", "--out", "report.json", "--sign"],
    );
    command.arg("--sign-key").arg(stack.path("signer.key")).args(["--sign-url", &stack.url()]);
    let (peak, code, errors) = peak_of(command.env("XDG_STATE_HOME", layout.file("state")));
    assert_eq!(code, 0, "{errors}");
    let size = fs::metadata(layout.file("report.json")).expect("is there").len() >> 20;
    assert!(size > 55, "{size} MiB");
    assert!(peak < size + 75, "{peak} MiB for a report of {size} MiB");
}

//! `bulla sign` and `bulla attest` against a whole stack: what is made, that nothing is made twice, and that what was
//! interrupted is ended. Whether other clients verify it is shown by `tests/clients/run`.

mod common;
#[path = "sign/registry.rs"]
mod registry;
mod stack;
#[path = "sign/unreached.rs"]
mod unreached;

use std::fs;
use std::process::{Child, Command, Stdio};

use common::{bulla, in_shell, on_small_disk, run};
use registry::{Mode, Registry};
use serde_json::{Value, json};
use stack::{Stack, done, read};

const KEY: [&str; 2] = ["--key", "signer.key"];

#[test]
fn a_file_is_signed_once_by_a_key() {
    let stack = Stack::start();
    for (api, kind) in [("v2", ["hashedrekord", "0.0.2"]), ("v1", ["hashedrekord", "0.0.1"])] {
        let bundle = format!("{api}.json");
        let arguments = ["file", "--log-api", api, "--bundle", &bundle, KEY[0], KEY[1]];
        let before = stack.entries();
        assert_eq!(done(stack.sign(&arguments)), ["signed"]);
        assert_eq!(stack.entries(), before + 1);
        let first = fs::read(stack.path(&bundle)).expect("is there");
        assert_eq!(done(stack.sign(&arguments)), ["signed already"]);
        assert_eq!(stack.entries(), before + 1);
        assert_eq!(fs::read(stack.path(&bundle)).expect("is there"), first);
        let signed = stack.json(&bundle);
        assert_eq!(signed["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
        let entry = &signed["verificationMaterial"]["tlogEntries"][0];
        assert_eq!(entry["kindVersion"], json!({ "kind": kind[0], "version": kind[1] }));
        assert_eq!(entry["inclusionPromise"].is_object(), api == "v1");
        assert_eq!(entry["integratedTime"].is_string(), api == "v1");
        assert!(signed["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"].is_array());
        // What is there and not this signature stays.
        fs::write(stack.path("other"), "something else").expect("is written");
        let (code, _, errors) = stack.sign(&["other", "--bundle", &bundle, KEY[0], KEY[1]]);
        let expected = format!(
            "bulla: other: {bundle}: is there already and is not this signature: move it away, or pass --bundle\n"
        );
        assert_eq!((code, errors), (2, expected));
        assert_eq!(fs::read(stack.path(&bundle)).expect("is there"), first);
    }
    // Services named one by one, as cosign's variables do it: the log is one of v1 then.
    let root = "data/clients/trusted_root.json";
    let mut command =
        stack.command("sign", &["file", "--trusted-root", root, "--bundle", "named.json", KEY[0], KEY[1]]);
    command.env("COSIGN_REKOR_URL", stack.url());
    command.env("COSIGN_TIMESTAMP_SERVER_URL", format!("{}/api/v1/timestamp", stack.url()));
    assert_eq!(done(run(&mut command)), ["signed"]);
    let material = &stack.json("named.json")["verificationMaterial"];
    assert_eq!(material["tlogEntries"][0]["kindVersion"]["version"], "0.0.1");
    assert!(material["timestampVerificationData"]["rfc3161Timestamps"][0].is_object());
    // Only a key can do without the log.
    assert_eq!(
        done(stack.sign(&["file", "--tlog-upload", "false", "--bundle", "none.json", KEY[0], KEY[1]])),
        ["signed"]
    );
    assert_eq!(stack.json("none.json")["verificationMaterial"]["tlogEntries"], json!([]));
    assert!(stack.pending().is_empty());
}

#[test]
fn a_file_is_signed_as_whom_the_token_is_about() {
    let stack = Stack::start();
    for api in ["v2", "v1"] {
        let bundle = format!("{api}.json");
        let arguments = ["file", "--log-api", api, "--bundle", &bundle];
        let mut command = stack.command("sign", &arguments);
        command.env("SIGSTORE_ID_TOKEN", stack.token());
        let (code, out, errors) = run(&mut command);
        assert_eq!((code, errors.as_str()), (0, "The identity token is from SIGSTORE_ID_TOKEN.\n"), "{out}");
        let material = &stack.json(&bundle)["verificationMaterial"];
        assert!(material["certificate"]["rawBytes"].is_string() && material["publicKey"].is_null());
        fs::write(stack.path("token"), stack.token()).expect("is written");
        fs::write(stack.path("predicate"), "{}").expect("is written");
        let statement = format!("{api}.statement.json");
        let attest = stack.attest(&[
            "file",
            "--log-api",
            api,
            "--identity-token",
            "token",
            "--predicate",
            "predicate",
            "--type",
            "https://example.org/t",
            "--bundle",
            &statement,
        ]);
        assert_eq!(done(attest), ["signed"]);
        assert_eq!(stack.json(&statement)["dsseEnvelope"]["payloadType"], "application/vnd.in-toto+json");
    }
    assert_eq!(stack.entries(), 4);
}

#[test]
fn an_image_is_signed_once_in_every_form() {
    let (stack, registry) = (Stack::start(), Registry::start());
    let image = registry.image();
    let arguments =
        [&image, "--compat", "both", "--recursive", "-a", "env=prod", "--log-api", "v1", KEY[0], KEY[1]];
    assert_eq!(done(stack.sign(&arguments)), ["signed"; 4]);
    assert_eq!(stack.entries(), 4);
    let writes = registry.writes();
    assert_eq!(done(stack.sign(&arguments)), ["signed already"; 4]);
    assert_eq!((stack.entries(), registry.writes()), (4, writes), "a second run writes nothing");
    fs::write(stack.path("predicate"), "any text").expect("is written");
    let arguments =
        [&image, "--compat", "both", "--predicate", "predicate", "--log-api", "v1", KEY[0], KEY[1]];
    assert_eq!(done(stack.attest(&arguments)), ["signed"; 2]);
    let writes = registry.writes();
    assert_eq!(done(stack.attest(&arguments)), ["signed already"; 2]);
    assert_eq!((stack.entries(), registry.writes()), (6, writes), "a second run writes nothing");

    // What else is said makes it another signature; the one of before stays beside it.
    let arguments = [&image, "--compat", "both", "-a", "env=test", "--log-api", "v1", KEY[0], KEY[1]];
    assert_eq!(done(stack.sign(&arguments)), ["signed"; 2]);
    let layers = &registry.tagged(".sig")["layers"];
    assert_eq!(layers.as_array().map(Vec::len), Some(2));
    let annotations = &layers[0]["annotations"];
    let promise: Value =
        serde_json::from_str(annotations["dev.sigstore.cosign/bundle"].as_str().expect("text"))
            .expect("JSON");
    assert!(promise["SignedEntryTimestamp"].is_string() && promise["Payload"]["logID"].is_string());
    let attached = &registry.tagged(".att")["layers"][0];
    assert_eq!(attached["annotations"]["dev.cosignproject.cosign/signature"], "");
    assert_eq!(attached["annotations"]["predicateType"], "https://cosign.sigstore.dev/attestation/v1");
    assert_eq!(registry.referrers().len(), 3);
    assert!(stack.pending().is_empty());

    let refused = stack.sign(&[&image, "--bundle", "x.json", KEY[0], KEY[1]]);
    let expected = format!("bulla: {image}: --bundle is for files: the bundle of an image lies beside it\n");
    assert!(refused.0 == 2 && refused.2.ends_with(&expected), "{}", refused.2);
    let refused = stack.sign(&[&image, "--compat", "legacy", "--log-api", "v2", KEY[0], KEY[1]]);
    let expected = "bulla: --compat legacy has no place for the proof of a v2 log: pass --log-api v1, or --compat bundle\n";
    assert_eq!((refused.0, refused.2.as_str()), (2, expected));
}

#[test]
fn what_was_logged_and_not_stored_is_stored_by_the_next_run() {
    let (stack, registry) = (Stack::start(), Registry::start());
    let image = registry.image();
    for (api, by_key) in [("v2", true), ("v1", true), ("v2", false), ("v1", false)] {
        let before = (stack.entries(), registry.referrers().len());
        let annotation = format!("run={api}{by_key}");
        let arguments = [&image, "--log-api", api, "-a", &annotation];
        let command = || {
            let mut command = stack.command("sign", &arguments);
            if by_key {
                command.args(KEY);
            } else {
                command.env("SIGSTORE_ID_TOKEN", stack.token());
            }
            command
        };
        registry.set(Mode::Silent);
        let mut child: Child =
            command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
        registry.wait_for_write();
        child.kill().expect("is killed");
        child.wait().expect("has ended");
        assert_eq!(stack.entries(), before.0 + 1, "it was logged");
        assert_eq!(stack.pending().len(), 1);
        registry.set(Mode::Open);
        assert_eq!(done(run(&mut command())), ["stored what an earlier run signed"], "{api} {by_key}");
        assert_eq!((stack.entries(), registry.referrers().len()), (before.0 + 1, before.1 + 1));
        assert!(stack.pending().is_empty());
    }
}

#[test]
fn a_busy_registry_is_said_and_its_signature_kept() {
    let (stack, registry) = (Stack::start(), Registry::start());
    let image = registry.image();
    for compat in ["bundle", "legacy"] {
        let before = stack.entries();
        registry.set(Mode::Throttled);
        let arguments = [&image, "--log-api", "v1", "--compat", compat, KEY[0], KEY[1]];
        let (code, _, errors) = stack.sign(&arguments);
        assert!(code == 3 && errors.contains("the registry gave no answer to rely on: 429"), "{errors}");
        assert!(errors.ends_with("; what was signed is kept, the same command stores it\n"), "{errors}");
        registry.set(Mode::Open);
        assert_eq!(done(stack.sign(&arguments)), ["stored what an earlier run signed"]);
        assert_eq!((stack.entries(), stack.pending().len()), (before + 1, 0));
    }
}

#[test]
fn an_entry_that_the_log_has_is_taken_with_its_proof() {
    let (stack, registry) = (Stack::start(), Registry::start());
    let image = registry.image();
    for api in ["v2", "v1"] {
        let before = stack.entries();
        registry.set(Mode::Throttled);
        let annotation = format!("api={api}");
        let arguments = [&image, "--log-api", api, "-a", &annotation, KEY[0], KEY[1]];
        assert_eq!(stack.sign(&arguments).0, 3);
        // As if the run had ended before the log's answer came.
        let [kept] = stack.pending().try_into().expect("one");
        let mut signed = read(&kept);
        let entry = signed["bundle"]["verificationMaterial"]["tlogEntries"].take();
        signed["bundle"]["verificationMaterial"]["tlogEntries"] = json!([]);
        fs::write(&kept, signed.to_string()).expect("is written");
        // The tree has grown since.
        assert_eq!(
            done(stack.sign(&["file", "--bundle", &format!("{api}.json"), KEY[0], KEY[1]])),
            ["signed"]
        );
        registry.set(Mode::Open);
        assert_eq!(done(stack.sign(&arguments)), ["stored what an earlier run signed"]);
        assert_eq!(stack.entries(), before + 2);
        let stored = registry.last_bundle();
        let again = &stored["verificationMaterial"]["tlogEntries"][0];
        assert_eq!(again["logIndex"], entry[0]["logIndex"]);
        assert_eq!(again["canonicalizedBody"], entry[0]["canonicalizedBody"]);
    }
}

#[test]
fn a_log_that_nobody_trusts_is_not_believed() {
    let stack = Stack::start();
    let mut root = stack.json("data/clients/trusted_root.json");
    let stranger = root["ctlogs"][0]["publicKey"]["rawBytes"].clone();
    root["tlogs"].as_array_mut().expect("a list").truncate(1);
    root["tlogs"][0]["publicKey"]["rawBytes"] = stranger;
    fs::write(stack.path("root.json"), root.to_string()).expect("is written");
    let config = stack.path("data/clients/signing_config.v0.2.json").display().to_string();
    let url = stack.url();
    for (api, expected) in [
        (
            "v2",
            format!(
                "bulla: file: {url} answered with an entry that is not believed: checkpoint is signed by none of the 1 logs that are trusted\n"
            ),
        ),
        ("v1", format!("bulla: file: {url} answers as log ")),
    ] {
        let (code, _, errors) = stack.sign(&[
            "file",
            "--signing-config",
            &config,
            "--trusted-root",
            "root.json",
            "--log-api",
            api,
            KEY[0],
            KEY[1],
        ]);
        assert!(code == 1 && errors.starts_with(&expected), "{errors}");
        assert!(!stack.path("file.sigstore.json").exists());
    }
    let (code, _, errors) = stack.sign(&["file", "--signing-config", &config, KEY[0], KEY[1]]);
    let expected = "bulla: --trusted-root is missing: a log's answer is believed by the keys in it\n";
    assert_eq!((code, errors.as_str()), (2, expected));
}

#[test]
fn what_cannot_be_signed_is_refused_by_name() {
    let stack = Stack::start();
    stack.key("p384.key", "secp384r1");
    let ed25519 = stack.path("ed25519.key");
    let made =
        Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(ed25519).output();
    assert!(made.expect("openssl runs").status.success());
    fs::write(stack.path("predicate"), "{\"x\":1}").expect("is written");
    let url = stack.url();
    let refused = |verb: &str, arguments: &[&str], expected: &str| {
        let (code, _, errors) = run(&mut stack.command(verb, arguments));
        assert_eq!((code, errors.as_str()), (2, expected), "{arguments:?}");
    };
    let p384 = "bulla: file: key is on P-384 or P-521, whose statements v1 logs do not take: pass --log-api v2, or sign with P-256\n";
    refused(
        "attest",
        &["file", "--predicate", "predicate", "--type", "a:b", "--log-api", "v1", "--key", "p384.key"],
        p384,
    );
    let ed25519 = "bulla: file: key is Ed25519, whose signatures over digests are others than over messages: sign with ECDSA or RSA\n";
    refused("sign", &["file", "--key", "ed25519.key"], ed25519);
    let token = "bulla: there is no identity token: pass --identity-token, set SIGSTORE_ID_TOKEN, sign in with --oidc-flow, or sign with --key\n";
    refused("sign", &["file"], token);
    let token =
        "bulla: identity token: is not a JSON Web Token, three parts with dots between were expected\n";
    refused("sign", &["file", "--identity-token", "a.b.c"], token);
    let wrong = format!("{}x", stack.token());
    let token = format!(
        "bulla: file: certificate authority at {url}/api/v2/signingCert refused with status 400: token is not a signed JWT: its signature is not base64url without padding\n"
    );
    refused("sign", &["file", "--identity-token", &wrong], &token);
    let unlogged = "bulla: --tlog-upload=false needs --key: a certificate lasts for minutes, and only the log shows that it signed then\n";
    refused("sign", &["file", "--tlog-upload", "false"], unlogged);
    let predicate = "bulla: predicate: predicate.buildDefinition: is missing, it is required\n";
    refused(
        "attest",
        &["file", "--predicate", "predicate", "--type", "slsaprovenance1", KEY[0], KEY[1]],
        predicate,
    );
    let place = "bulla: file: --annotation is for images: a file's bundle has no place for it\n";
    refused("sign", &["file", "-a", "a=b", KEY[0], KEY[1]], place);
    let (code, _, errors) =
        stack.attest(&["file", "--predicate", "predicate", "--type", "sbom", KEY[0], KEY[1]]);
    assert!(
        code == 2 && errors.contains("predicate type \"sbom\" is not known, custom, slsaprovenance"),
        "{errors}"
    );
    assert_eq!(stack.entries(), 0, "nothing was logged");
    assert!(stack.pending().is_empty());
    // P-384 is taken where its hash is said.
    for arguments in [["--log-api", "v1", "--bundle", "1.json"], ["--log-api", "v2", "--bundle", "2.json"]] {
        assert_eq!(done(stack.sign(&[&["file", "--key", "p384.key"], &arguments[..]].concat())), ["signed"]);
    }
}

#[test]
fn an_image_in_a_directory_is_signed_and_stays_the_one_that_is_named() {
    let (stack, registry) = (Stack::start(), Registry::start());
    registry.to_layout(&stack.path("image"));
    assert_eq!(done(stack.sign(&["oci:image", KEY[0], KEY[1]])), ["signed"]);
    assert_eq!(done(stack.sign(&["oci:image", KEY[0], KEY[1]])), ["signed already"]);
    let (code, out, errors) = run(bulla()
        .args(["image", "show", "oci:image", "--output", "json"])
        .current_dir(stack.folder.path()));
    assert_eq!(code, 0, "{errors}");
    let shown: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(shown["referrers"].as_array().map(Vec::len), Some(1));
    let (code, _, errors) =
        stack.sign(&["oci:image", "--compat", "legacy", "--log-api", "v1", KEY[0], KEY[1]]);
    assert_eq!(
        (code, errors.as_str()),
        (2, "bulla: oci:image: --compat legacy is for registries: image layouts hold bundles\n")
    );
}

#[test]
fn a_timestamp_that_nobody_would_believe_is_not_given_out() {
    let (stack, other) = (Stack::start(), Stack::start());
    let tsa = format!("{}/api/v1/timestamp", other.url());
    for more in [["--log-api", "v1"], ["--log-api", "v2"]] {
        let arguments = ["file", "--timestamp-server-url", &tsa, KEY[0], KEY[1]];
        let (code, _, errors) = stack.sign(&[&arguments[..], &more].concat());
        assert_eq!(code, 1, "{errors}");
        assert!(errors.starts_with("bulla: file: what was signed would not be verified: time: "), "{errors}");
    }
    assert_eq!((stack.entries(), stack.pending().len()), (0, 0), "nothing was logged or kept");
    assert!(!stack.path("file.sigstore.json").exists());
}

#[test]
fn a_signature_whose_proof_does_not_hold_is_not_signed_already() {
    let (stack, registry) = (Stack::start(), Registry::start());
    assert_eq!(done(stack.sign(&["file", KEY[0], KEY[1]])), ["signed"]);
    assert_eq!(done(stack.sign(&["file", "--bundle", "other", KEY[0], KEY[1]])), ["signed"]);
    let mut bundle = stack.json("other");
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"][0] =
        "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=".into();
    fs::write(stack.path("other"), bundle.to_string()).expect("is written");
    let (code, _, errors) = stack.sign(&["file", "--bundle", "other", KEY[0], KEY[1]]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("other: is there already and would not be verified: inclusion: "), "{errors}");

    // What strangers put beside an image is no reason not to sign it.
    let image = registry.image();
    let arguments = [&image, "--compat", "legacy", "--log-api", "v1", KEY[0], KEY[1]];
    assert_eq!(done(stack.sign(&arguments)), ["signed"]);
    assert_eq!(done(stack.sign(&arguments)), ["signed already"]);
    registry.spoil(".sig");
    assert_eq!(done(stack.sign(&arguments)), ["signed"]);
    assert_eq!(registry.tagged(".sig")["layers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn several_services_sign_together() {
    let (one, two) = (Stack::start(), Stack::start());
    let mut root = one.json("data/clients/trusted_root.json");
    let mut config = one.json("data/clients/signing_config.v0.2.json");
    for list in ["tlogs", "timestampAuthorities", "certificateAuthorities", "ctlogs"] {
        let more = two.json("data/clients/trusted_root.json")[list].as_array().expect("a list").clone();
        root[list].as_array_mut().expect("a list").extend(more);
    }
    let theirs = two.json("data/clients/signing_config.v0.2.json");
    for list in ["rekorTlogUrls", "tsaUrls"] {
        let mut more = theirs[list].as_array().expect("a list").clone();
        for service in &mut more {
            service["operator"] = "two.example".into();
        }
        config[list].as_array_mut().expect("a list").extend(more);
    }
    fs::write(one.path("root.json"), root.to_string()).expect("is written");
    for (selection, api, entries) in [
        (json!({ "selector": "ALL" }), "v1", 2),
        (json!({ "selector": "EXACT", "count": 2 }), "v2", 2),
        (json!({ "selector": "ANY" }), "v2", 1),
    ] {
        config["rekorTlogConfig"] = selection.clone();
        config["tsaConfig"] = selection;
        fs::write(one.path("config.json"), config.to_string()).expect("is written");
        let bundle = format!("{api}-{entries}.json");
        let arguments =
            ["file", "--signing-config", "config.json", "--trusted-root", "root.json", "--log-api", api];
        let arguments = [&arguments[..], &["--bundle", &bundle], &KEY[..]].concat();
        assert_eq!(done(one.sign(&arguments)), ["signed"]);
        assert_eq!(done(one.sign(&arguments)), ["signed already"]);
        let material = &one.json(&bundle)["verificationMaterial"];
        assert_eq!(material["tlogEntries"].as_array().map(Vec::len), Some(entries));
        let stamps = &material["timestampVerificationData"]["rfc3161Timestamps"];
        assert_eq!(stamps.as_array().map(Vec::len), Some(entries));
        let verify = ["file", "--bundle", &bundle, "--trusted-root", "root.json", KEY[0], KEY[1]];
        let (code, out, errors) = run(&mut one.command("verify", &verify));
        assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    }
    assert_eq!(one.entries() + two.entries(), 5);
}

#[test]
fn bundles_are_for_everybody_whom_the_umask_lets() {
    use std::os::unix::fs::PermissionsExt as _;
    let stack = Stack::start();
    fs::write(stack.path("predicate"), "{}").expect("is written");
    for (umask, mode) in [("022", 0o644), ("002", 0o664), ("077", 0o600)] {
        for verb in ["sign", "attest"] {
            let bundle = format!("{verb}.{umask}.json");
            let predicate = ["--predicate", "predicate"];
            let more = if verb == "attest" { &predicate[..] } else { &[] };
            let command =
                stack.command(verb, &[&["file", "--bundle", &bundle, KEY[0], KEY[1]], more].concat());
            assert_eq!(
                done(run(&mut in_shell(&format!("umask {umask}; exec \"$0\" \"$@\""), &command))),
                ["signed"]
            );
            let permissions = fs::metadata(stack.path(&bundle)).expect("is there").permissions();
            assert_eq!(permissions.mode() & 0o777, mode, "{bundle}");
        }
    }
    // What is kept of a run that was not ended is for nobody else.
    let state = fs::metadata(stack.path("state/bulla/pending")).expect("is there").permissions();
    assert_eq!(state.mode() & 0o777, 0o700);
}

#[test]
fn a_full_disk_is_said_and_nothing_is_left_on_it() {
    let stack = Stack::start();
    let fill = "head -c 16384 /dev/zero > full/filler";
    let command = |arguments: &[&str]| stack.command("sign", &[&["file"], &KEY[..], arguments].concat());
    let mut unstored =
        in_shell(&on_small_disk("full", fill, "ls -A full"), &command(&["--bundle", "full/out.json"]));
    let (code, out, errors) = run(&mut unstored);
    let expected = "bulla: file: full/out.json: No space left on device (os error 28); what was signed is kept, the same \
                    command stores it\n";
    assert_eq!((code, out.as_str(), errors.as_str()), (3, "filler\n", expected));
    // Once there is space it is stored, and logged only once.
    assert_eq!((stack.entries(), stack.pending().len()), (1, 1));
    let roomy =
        in_shell(&on_small_disk("full", "true", "ls -A full"), &command(&["--bundle", "full/out.json"]));
    let (code, out, errors) = run(&mut { roomy });
    assert_eq!(code, 0, "{errors}");
    assert!(out.contains("stored what an earlier run signed") && out.ends_with("\nout.json\n"), "{out}");
    assert_eq!((stack.entries(), stack.pending().len()), (1, 0));
    // The same where what is signed is kept.
    let mut unkept = command(&["--bundle", "out.json"]);
    unkept.env("XDG_STATE_HOME", stack.path("full"));
    let (code, _, errors) = run(&mut in_shell(&on_small_disk("full", fill, "ls -A full"), &unkept));
    let place = stack.path("full/bulla/pending").display().to_string();
    assert!(code == 3 && errors.starts_with(&format!("bulla: file: {place}/")), "{errors}");
    assert!(errors.ends_with(".json: No space left on device (os error 28)\n"), "{errors}");
    assert!(!stack.path("out.json").exists() && stack.entries() == 1, "nothing is logged that is not kept");
}

#[test]
fn a_place_that_cannot_be_written_is_a_wrong_option() {
    let stack = Stack::start();
    let (code, _, errors) = stack.sign(&["file", "--bundle", "nowhere/out.json", KEY[0], KEY[1]]);
    assert!(
        code == 2 && errors.starts_with("bulla: file: nowhere/out.json: No such file or directory"),
        "{errors}"
    );
}

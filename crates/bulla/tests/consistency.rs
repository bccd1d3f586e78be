//! That a log keeps to its past: remembered heads, given checkpoints, proofs of real logs, and logs that have two pasts.

mod common;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod stack;

use std::fs;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::signature::Ed25519KeyPair;

use bulla_tlog::Checkpoint;
use bulla_tlog::cosignature::CosignatureSigner;
use bulla_tlog::note::Note;
use common::{answering, bulla, get, in_shell, on_small_disk, run};
use made::Maker;
use serde_json::Value;
use stack::{Stack, done};

const ROOT: &str = "data/clients/trusted_root.json";
const KEY: [&str; 2] = ["--key", "signer.key"];

/// Runs a verification; returns the exit code, the check, notes, and what was said on standard error.
fn checked(command: &mut Command) -> (i32, Value, Value, String) {
    let (code, out, errors) = run(command.args(["--output", "json"]));
    let said: Value = serde_json::from_str(&out).unwrap_or_default();
    let checks = said["signatures"][0]["checks"].as_array().cloned().unwrap_or_default();
    let check = checks.into_iter().find(|check| check["name"] == "consistency").unwrap_or_default();
    (code, check, said["notes"].clone(), errors)
}

fn verify(stack: &Stack, bundle: &str, arguments: &[&str]) -> (i32, Value, Value, String) {
    let all = [&["file", "--bundle", bundle, "--trusted-root", ROOT], &KEY[..], arguments];
    checked(&mut stack.command("verify", &all.concat()))
}

fn sign(stack: &Stack, api: &str, bundle: &str) {
    let arguments = [&["file", "--log-api", api, "--bundle", bundle], &KEY[..]].concat();
    assert_eq!(done(stack.sign(&arguments)), ["signed"]);
}

#[test]
fn a_log_proves_that_it_continues_what_is_remembered_in_both_directions() {
    let stack = Stack::start();
    for api in ["v1", "v2"] {
        let name = |n: u32| format!("{api}-{n}.json");
        (1..=3).for_each(|n| sign(&stack, api, &name(n)));
        let (code, check, notes, errors) = verify(&stack, &name(2), &[]);
        assert_eq!((code, check["outcome"].as_str()), (0, Some("skipped")), "{errors}");
        assert_eq!(
            (check["reason"].as_str(), notes),
            (Some("nothing else is known of the log"), serde_json::json!([]))
        );
        // Offline the sizes differ, and it is said that nothing is proved.
        for bundle in [name(1), name(3)] {
            let (code, check, notes, errors) = verify(&stack, &bundle, &["--offline"]);
            assert_eq!((code, check["outcome"].as_str()), (0, Some("skipped")), "{errors}");
            let reason = check["reason"].as_str().expect("is said");
            assert!(
                reason.ends_with("that one continues the other is not proved, for nobody was asked"),
                "{reason}"
            );
            assert!(notes[0].as_str().is_some_and(|note| note.ends_with(reason)), "{notes}");
        }
        for bundle in [name(1), name(3), name(1), name(2)] {
            let (code, check, notes, errors) = verify(&stack, &bundle, &[]);
            assert_eq!((code, check["outcome"].as_str()), (0, Some("passed")), "{errors}{check}");
            assert_eq!(notes, serde_json::json!([]));
        }
        // What was proved once needs no proof again.
        for bundle in [name(1), name(2), name(3)] {
            let (code, check, _, errors) = verify(&stack, &bundle, &["--offline"]);
            assert_eq!((code, check["outcome"].as_str()), (0, Some("passed")), "{errors}{check}");
        }
    }
}

#[test]
fn a_log_that_does_not_answer_is_said_and_no_reason_to_refuse() {
    let stack = Stack::start();
    (1..=2).for_each(|n| sign(&stack, "v1", &format!("{n}.json")));
    assert_eq!(verify(&stack, "1.json", &["--offline"]).0, 0);
    let Stack { served, folder } = stack;
    served.stop();
    let mut command = bulla();
    command.args(["verify", "file", "--bundle", "2.json", "--trusted-root", ROOT]).args(KEY);
    command.current_dir(folder.path()).env("XDG_STATE_HOME", folder.path().join("state"));
    let (code, check, notes, errors) = checked(&mut command);
    assert_eq!((code, check["outcome"].as_str()), (0, Some("skipped")), "{errors}");
    assert!(notes[0].as_str().is_some_and(|note| note.contains("is not proved, http://")), "{notes}");
}

#[test]
fn a_proof_that_does_not_hold_is_a_log_with_two_pasts() {
    let stack = Stack::start();
    (1..=2).for_each(|n| sign(&stack, "v1", &format!("{n}.json")));
    assert_eq!(verify(&stack, "1.json", &["--offline"]).0, 0);
    let hash = "ab".repeat(32);
    let body = format!(r#"{{"hashes":["{hash}"],"rootHash":"{hash}"}}"#).into_bytes();
    let url = format!("http://{}", answering(move |_| (200, "application/json", body.clone())));
    let (code, check, _, errors) = verify(&stack, "2.json", &["--rekor-url", &url]);
    assert_eq!((code, check["outcome"].as_str()), (1, Some("failed")), "{errors}");
    assert!(errors.contains("not verified: consistency: the log \"localhost - "), "{errors}");
    assert!(
        errors
            .contains("does not keep to its past: its head of 2 entries and that of 1 in what is remembered"),
        "{errors}"
    );
}

#[test]
fn two_roots_of_one_size_are_a_fork_that_is_seen_offline() {
    let dir = tempfile::tempdir().expect("a directory");
    // A log of one entry, twice.
    let maker = Maker::new();
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).expect("is written");
    write("root.json", maker.trusted_root(&[]));
    write("key.pub", maker.pem());
    for name in ["one", "two"] {
        write(name, name.to_owned());
        write(&format!("{name}.sigstore.json"), maker.message(name.as_bytes()).to_string());
    }
    let verify = |name: &str| {
        let mut command = bulla();
        command.args(["verify", name, "--trusted-root", "root.json", "--key", "key.pub", "--offline"]);
        command.current_dir(dir.path()).env("XDG_STATE_HOME", dir.path().join("state"));
        checked(&mut command)
    };
    assert_eq!(verify("one").0, 0);
    let (code, check, _, errors) = verify("two");
    assert_eq!((code, check["outcome"].as_str()), (1, Some("failed")), "{errors}");
    assert!(
        errors.contains("its head of 1 entries and that of 1 in what is remembered: the roots are "),
        "{errors}"
    );
    assert_eq!(verify("one").0, 0, "what is remembered stays");
    // What was written there by somebody else is not taken for a head.
    let file = dir.path().join("state/bulla/heads.json");
    let text = fs::read_to_string(&file).expect("is there").replace("\"size\": 1", "\"size\": 2");
    fs::write(&file, text).expect("is written");
    let (code, _, _, errors) = verify("one");
    assert!(
        code == 2 && errors.contains("is not what was written there: move it away to start anew"),
        "{errors}"
    );
}

/// The checkpoint that the log publishes, with the cosignature of a witness; and the witness's key.
fn witnessed(stack: &Stack, file: &Path) -> String {
    let (_, _, published) = get(&stack.served.http, "/api/v2/checkpoint");
    let key = Ed25519KeyPair::generate().expect("a key");
    let witness = CosignatureSigner::new("witness.example", key).expect("a witness");
    let mut note = Note::parse(&published).expect("a note");
    let checkpoint = Checkpoint::parse(&note.text).expect("a checkpoint");
    note.signatures.push(witness.cosign(&checkpoint, 1_795_000_000).expect("signs"));
    fs::write(file, note.to_string()).expect("is written");
    witness.vkey()
}

#[test]
fn a_given_checkpoint_and_its_witnesses_are_asked_for() {
    let stack = Stack::start();
    sign(&stack, "v2", "1.json");
    let vkey = witnessed(&stack, &stack.path("witnessed"));
    sign(&stack, "v2", "2.json");
    sign(&stack, "v1", "3.json");
    let policy = |vkey: &str| {
        fs::write(stack.path("policy"), format!("witness one {vkey}\nquorum one\n")).expect("is written");
    };
    policy(&vkey);
    // Both doors tell of one tree.
    for bundle in ["1.json", "2.json", "3.json"] {
        let more = ["--checkpoint", "witnessed", "--witness-policy", "policy"];
        let (code, check, _, errors) = verify(&stack, bundle, &more);
        assert_eq!((code, check["outcome"].as_str()), (0, Some("passed")), "{errors}{check}");
        assert_eq!(check["evidence"]["checkpoint"][0], "1 entries");
    }
    // Without a checkpoint the witnesses must have cosigned the bundle's own.
    let (code, _, _, errors) = verify(&stack, "1.json", &["--witness-policy", "policy"]);
    assert!(code == 1 && errors.contains("the head of 1 entries is cosigned by nobody"), "{errors}");
    let other = CosignatureSigner::new("other.example", Ed25519KeyPair::generate().expect("a key"))
        .expect("a witness");
    policy(&other.vkey());
    let (code, _, _, errors) =
        verify(&stack, "1.json", &["--checkpoint", "witnessed", "--witness-policy", "policy"]);
    assert!(
        code == 1 && errors.starts_with("bulla: witnessed: the head of 1 entries is cosigned by nobody"),
        "{errors}"
    );
    fs::write(stack.path("stranger"), "log\n1\nAAAA\n\n\u{2014} log AAAAAAAA\n").expect("is written");
    let (code, _, _, errors) = verify(&stack, "1.json", &["--checkpoint", "stranger"]);
    assert!(code == 2 && errors.starts_with("bulla: stranger: checkpoint"), "{errors}");
}

#[test]
fn what_witnesses_did_not_see_is_not_verified_and_not_remembered() {
    let (stack, other) = (Stack::start(), Stack::start());
    for stack in [&stack, &other] {
        sign(stack, "v2", "1.json");
    }
    let vkey = witnessed(&other, &stack.path("elsewhere"));
    fs::write(stack.path("policy"), format!("witness one {vkey}\nquorum one\n")).expect("is written");
    // Both logs are trusted, so that the one's checkpoint is good: it says nothing of the other.
    let read = |stack: &Stack| -> Value {
        serde_json::from_slice(&fs::read(stack.path(ROOT)).expect("is there")).expect("JSON")
    };
    let (mut both, more) = (read(&stack), read(&other));
    let logs = more["tlogs"].as_array().expect("a list").clone();
    both["tlogs"].as_array_mut().expect("a list").extend(logs);
    fs::write(stack.path("both.json"), both.to_string()).expect("is written");
    let given = ["file", "--bundle", "1.json", "--trusted-root", "both.json", "--checkpoint", "elsewhere"];
    for more in [&[][..], &["--witness-policy", "policy"]] {
        let (code, _, _, errors) = checked(&mut stack.command("verify", &[&given[..], &KEY, more].concat()));
        assert!(code == 1 && errors.contains("elsewhere is of the log "), "{errors}");
    }
    let (code, _, _, errors) = verify(&stack, "1.json", &["--witness-policy", "policy"]);
    assert!(code == 1 && errors.contains("cosigned by nobody"), "{errors}");
    let (code, check, _, errors) = verify(&stack, "1.json", &[]);
    assert_eq!((code, check["reason"].as_str()), (0, Some("nothing else is known of the log")), "{errors}");
    // A signature that is in no log has nothing that could have been seen.
    let arguments = [&["file", "--tlog-upload=false", "--bundle", "unlogged.json"], &KEY[..]].concat();
    assert_eq!(done(stack.sign(&arguments)), ["signed"]);
    let (code, _, _, errors) =
        verify(&stack, "unlogged.json", &["--skip-log-unsafe", "--witness-policy", "policy"]);
    assert!(code == 1 && errors.contains("no head of a log that witnesses could have cosigned"), "{errors}");
}

#[test]
fn a_full_disk_leaves_what_is_remembered_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).expect("is written");
    for name in ["one", "two"] {
        let maker = Maker::new();
        write(name, name.to_owned());
        write(&format!("{name}.root.json"), maker.trusted_root(&[]));
        write(&format!("{name}.pub"), maker.pem());
        write(&format!("{name}.sigstore.json"), maker.message(name.as_bytes()).to_string());
    }
    let verify = |name: &str| {
        let (root, key) = (format!("{name}.root.json"), format!("{name}.pub"));
        let mut command = bulla();
        command.args(["verify", name, "--trusted-root", &root, "--key", &key, "--offline"]);
        command.current_dir(dir.path()).env("XDG_STATE_HOME", dir.path().join("state"));
        command
    };
    assert_eq!(run(&mut verify("one")).0, 0);
    let heads = dir.path().join("state/bulla/heads.json");
    fs::copy(&heads, dir.path().join("kept")).expect("is copied");
    let fill =
        "cp kept state/bulla/heads.json; head -c 1M /dev/zero > state/bulla/filler 2> /dev/null || true";
    let line =
        on_small_disk("state/bulla", fill, "ls -A state/bulla; cmp kept state/bulla/heads.json || exit 9");
    let (code, out, errors) = run(&mut in_shell(&line, &verify("two")));
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    let note =
        format!("the heads are not remembered: {}: No space left on device (os error 28)\n", heads.display());
    assert!(out.contains(&format!("note        {note}")), "{out}");
    assert!(out.ends_with("\nfiller\nheads.json\nheads.lock\n"), "nothing unfinished is left: {out}");
}

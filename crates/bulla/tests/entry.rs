//! `bulla entry` and `bulla log` against a server that answers what a real one did, or something that was tampered with.

mod common;
mod fake_log;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{bulla, run};
use fake_log::{
    DSSE, ENTRY, ENVELOPE, FakeLog, ID, KEY, OTHER_KEY, TREE, changed, files, info, member, proof,
};
use serde_json::{Value, json};

/// A user with a home of their own.
struct User(tempfile::TempDir);

impl User {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, log: &FakeLog, words: &str) -> Command {
        let mut command = bulla();
        command.env("XDG_STATE_HOME", self.dir().join("state")).env("HOME", self.dir());
        command.args(words.split_whitespace()).args(["--server", &log.url]);
        command
    }

    fn run(&self, log: &FakeLog, words: &str) -> (i32, String, String) {
        run(&mut self.command(log, words))
    }

    /// Runs something that must end well.
    fn ok(&self, log: &FakeLog, words: &str) -> String {
        let (code, said, errors) = self.run(log, words);
        assert_eq!((code, errors.as_str()), (0, ""), "{words}: {said}");
        said
    }

    /// Runs something that must fail with that code; returns what it said.
    fn fails(&self, log: &FakeLog, code: i32, words: &str) -> String {
        let (ended, said, errors) = self.run(log, words);
        assert_eq!(ended, code, "{words}: {said}{errors}");
        format!("{said}{errors}")
    }

    fn state(&self) -> Value {
        let text = std::fs::read(self.dir().join("state/bulla/logs.json")).expect("a state");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn upload(&self) -> String {
        let [artifact, signature, key] = files(self.dir()).map(|path| path.display().to_string());
        format!("entry upload --artifact {artifact} --signature {signature} --public-key {key}")
    }
}

fn value<'a>(said: &'a str, name: &str) -> &'a str {
    let line = said.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {said}"))[name.len()..].trim()
}

#[test]
fn an_upload_is_proved_and_remembered() {
    let (user, log) = (User::new(), FakeLog::new());
    let said = user.ok(&log, &user.upload());
    assert_eq!((value(&said, "result"), value(&said, "entry"), value(&said, "index")), ("logged", ID, "18"));
    assert_eq!(value(&said, "kind"), "hashedrekord 0.0.1");
    assert_eq!(value(&said, "time"), "2026-11-21T02:50:22Z", "{said}");
    assert_eq!(value(&said, "url"), format!("{}/api/v1/log/entries/{ID}", log.url));
    assert!(value(&said, "verified").contains("trusted on first use"), "{said}");
    let asked = log.asked();
    let (route, sent) = &asked[0];
    assert_eq!(route, "POST /api/v1/log/entries");
    let body = base64(member(ENTRY)["body"].as_str().expect("text"));
    let (sent, logged): (Value, Value) =
        (serde_json::from_str(sent).expect("JSON"), serde_json::from_slice(&body).expect("JSON"));
    assert_eq!(sent, logged);
    let known = &user.state()[&log.url][TREE];
    assert_eq!((known["key"].as_str(), known["size"].as_u64()), (Some(KEY), Some(19)));
    let file = user.dir().join("state/bulla/logs.json");
    assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    // The second time, what was seen the first time is what counts.
    let exists = format!("Location: /api/v1/log/entries/{ID}\r\n");
    log.answer("POST /api/v1/log/entries", 409, &exists, r#"{"code":409,"message":"an equivalent entry"}"#);
    let said = user.ok(&log, &user.upload());
    assert_eq!(value(&said, "result"), "was in the log already");
    assert!(value(&said, "verified").contains("(remembered)"), "{said}");
    let json: Value =
        serde_json::from_str(&user.ok(&log, &format!("{} --output json", user.upload()))).expect("JSON");
    assert_eq!((&json["created"], &json["id"], &json["logIndex"]), (&json!(false), &json!(ID), &json!(18)));
}

#[test]
fn a_signature_may_be_in_base64_and_a_digest_may_stand_for_the_artifact() {
    let (user, log) = (User::new(), FakeLog::new());
    let [artifact, signature, key] = files(user.dir());
    let bytes = std::fs::read(&signature).expect("a file");
    let text = STANDARD.encode(bytes);
    std::fs::write(&signature, format!("{text}\n")).expect("writes");
    let parts = format!("--signature {} --public-key {}", signature.display(), key.display());
    let digest = "a6415e36e332794d85e2e06d9c276901f28b74a22f01741a695b6fed0a9e545e";
    for artifact in [
        format!("--artifact {}", artifact.display()),
        format!("--artifact-hash sha256:{digest}"),
        format!("--artifact-hash {digest} --artifact {}", artifact.display()),
    ] {
        user.ok(&log, &format!("entry upload {artifact} {parts}"));
    }
    // An address is read as a file is.
    log.answer("GET /art.txt", 200, "", std::str::from_utf8(fake_log::ARTIFACT).expect("text"));
    user.ok(&log, &format!("entry upload --artifact {}/art.txt {parts}", log.url));
    let other = format!("--artifact-hash {} --artifact {}", "ab".repeat(32), artifact.display());
    let said = user.fails(&log, 2, &format!("entry upload {other} {parts}"));
    assert!(said.contains(&format!("art.txt has sha256:{digest}")), "{said}");
}

#[test]
fn what_the_log_would_refuse_is_not_sent() {
    let (user, log) = (User::new(), FakeLog::new());
    let [artifact, signature, key] = files(user.dir());
    std::fs::write(&artifact, "another artifact").expect("writes");
    let (artifact, signature, key) = (artifact.display(), signature.display(), key.display());
    let upload = format!("entry upload --artifact {artifact} --signature {signature} --public-key {key}");
    let said = user.fails(&log, 2, &upload);
    assert!(said.starts_with("bulla: the log would refuse the entry: "), "{said}");
    assert!(log.asked().is_empty());
    for (words, problem) in [
        ("entry upload".to_owned(), "nothing to log: pass --artifact, --artifact-hash or --entry"),
        (format!("entry upload --artifact {artifact}"), "--signature is missing"),
        (
            format!("entry upload --artifact {artifact} --kind docker"),
            "kind \"docker\" is not known, known are",
        ),
        (format!("entry upload --artifact {artifact}.not"), "art.txt.not: No such file"),
        (
            "entry get 12345678901234567890123".to_owned(),
            "64 or 80 hexadecimal digits were expected, or an index",
        ),
        ("entry search".to_owned(), "nothing to look for: pass"),
        ("entry search --digest sha256:00".to_owned(), "hex digits of sha1 (40), sha256 (64)"),
        ("log proof --first 3 --last 2".to_owned(), "--first is 3, which is more than --last 2"),
        ("entry get 1 --key nothing".to_owned(), "nothing: No such file"),
    ] {
        let said = user.fails(&log, 2, &words);
        assert!(said.contains(problem), "{words}: {said}");
    }
    log.answer("POST /api/v1/log/entries", 400, "", r#"{"code":400,"message":"error processing entry: no"}"#);
    let said = user.fails(&log, 2, &user.upload());
    assert_eq!(said, "bulla: the server refused with 400 Bad Request: error processing entry: no\n");
}

#[test]
fn every_check_has_a_line() {
    let (user, log) = (User::new(), FakeLog::new());
    let [artifact, ..] = files(user.dir());
    let said = user.ok(&log, &format!("entry verify {ID} --artifact {}", artifact.display()));
    for check in ["signature", "inclusion", "checkpoint", "promise", "consistency"] {
        assert!(value(&said, check).starts_with("ok "), "{said}");
    }
    assert!(value(&said, "signature").contains("art.txt, sha256:a6415e36"), "{said}");
    assert!(value(&said, "inclusion").contains("leaf 18 of 19"));
    assert!(value(&said, "consistency").contains("first head seen"));
    // By its index, by its name without the tree, by an address, and by what it is made of.
    let parts = user.upload();
    let parts = parts.trim_start_matches("entry upload ");
    for which in ["18", &ID[16..], &format!("https://elsewhere/api/v1/log/entries/{ID}"), parts] {
        let said = user.ok(&log, &format!("entry verify {which}"));
        assert!(value(&said, "consistency").contains("the head that is remembered"), "{said}");
    }
    let sent = log.asked().into_iter().find(|(route, _)| route.ends_with("/retrieve")).expect("asked").1;
    let sent: Value = serde_json::from_str(&sent).expect("JSON");
    assert_eq!(sent["entries"][0]["kind"], "hashedrekord");
    let other = user.dir().join("other");
    std::fs::write(&other, "other").expect("writes");
    let said = user.fails(&log, 1, &format!("entry verify {ID} --artifact {}", other.display()));
    assert!(value(&said, "signature").starts_with("FAILED "), "{said}");
    let json = user.ok(&log, &format!("entry verify {ID} --output json"));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["verified"], true);
    let checks: Vec<_> =
        json["checks"].as_array().expect("list").iter().map(|c| c["result"].clone()).collect();
    assert_eq!(checks, vec![json!("ok"); 5]);
}

#[test]
fn an_envelope_is_checked_against_the_entry_that_has_only_its_hashes() {
    let (user, log) = (User::new(), FakeLog::new());
    let envelope = user.dir().join("envelope.json");
    std::fs::write(&envelope, ENVELOPE).expect("writes");
    let said = user.ok(&log, "entry verify 19");
    assert!(value(&said, "signature").starts_with("not checked: the entry has only hashes"), "{said}");
    let said = user.ok(&log, &format!("entry verify 19 --artifact {}", envelope.display()));
    assert!(value(&said, "signature").starts_with("ok "), "{said}");
    std::fs::write(&envelope, ENVELOPE.replace(",\"payloadType\"", ", \"payloadType\"")).expect("writes");
    let said = user.fails(&log, 1, &format!("entry verify 19 --artifact {}", envelope.display()));
    assert!(value(&said, "signature").starts_with("FAILED "), "{said}");
}

#[test]
fn tampered_answers_are_refused() {
    let user = User::new();
    let proof =
        |entry: &mut Value, name: &str, value: Value| entry["verification"]["inclusionProof"][name] = value;
    let set = changed(|entry| {
        entry["verification"]["signedEntryTimestamp"] =
            member(DSSE)["verification"]["signedEntryTimestamp"].clone();
    });
    let time = changed(|entry| entry["integratedTime"] = 1.into());
    let root = changed(|entry| proof(entry, "rootHash", "00".repeat(32).into()));
    let head = changed(|entry| {
        proof(entry, "checkpoint", member(DSSE)["verification"]["inclusionProof"]["checkpoint"].clone());
    });
    let swapped = json!({ ID: member(DSSE) }).to_string();
    let other_tree = json!({ format!("0000000000000001{}", &ID[16..]): member(ENTRY) }).to_string();
    let two = format!("{{\"{ID}\":{},\"{}\":{}}}", member(ENTRY), "0".repeat(80), member(DSSE));
    let huge = " ".repeat((16 << 20) + 1);
    for (answer, said_by_get, check) in [
        (set, "signed entry timestamp is not the log key's", "promise"),
        (time, "signed entry timestamp is not the log key's", "promise"),
        (root, "inclusion proof: proof leads to root", "inclusion"),
        (head, "checkpoint says 20 entries and root", "checkpoint"),
        (swapped, "the body has leaf hash", ""),
        (DSSE.to_owned(), "the server answered with entry", ""),
        (other_tree, "the server answered with entry 0000000000000001", ""),
        (two, "more than one entry, one entry under its ID was expected", ""),
        ("{}".to_owned(), "no entry, one entry under its ID was expected", ""),
        (huge, "the answer has more than the 16777216 bytes that it can have", ""),
        ("<html>".to_owned(), "the answer is not as it must be: expected value", ""),
        (
            changed(|entry| entry["logIndex"] = json!(-1)),
            "the answer is not as it must be: invalid value",
            "",
        ),
    ] {
        let log = FakeLog::new();
        log.answer(&format!("GET /api/v1/log/entries/{ID}"), 200, "", &answer);
        let (code, said, errors) = user.run(&log, &format!("entry get {ID}"));
        assert_eq!((code, said.as_str()), (1, ""), "{errors}");
        assert!(errors.contains(said_by_get), "{said_by_get}: {errors}");
        let said = user.fails(&log, 1, &format!("entry verify {ID}"));
        if check.is_empty() {
            assert!(said.contains(said_by_get), "{said}");
        } else {
            assert!(value(&said, check).starts_with("FAILED "), "{said}");
            assert!(value(&said, "consistency").starts_with("not checked"), "{said}");
        }
        log.answer(
            "POST /api/v1/log/entries",
            201,
            &format!("Location: /api/v1/log/entries/{ID}\r\n"),
            &answer,
        );
        user.fails(&log, 1, &user.upload());
    }
    assert!(!user.dir().join("state").exists(), "nothing was believed");
    // The answer to an upload is an entry, a good one, but not the one that was proposed.
    let (log, dsse) = (FakeLog::new(), DSSE.split('"').nth(1).expect("an ID"));
    log.answer("POST /api/v1/log/entries", 201, &format!("Location: /api/v1/log/entries/{dsse}\r\n"), DSSE);
    let said = user.fails(&log, 1, &user.upload());
    assert!(said.contains("the body is not what was proposed"), "{said}");
    // Another index than was asked for.
    log.answer("GET /api/v1/log/entries?logIndex=7", 200, "", ENTRY);
    let said = user.fails(&log, 1, "entry get 7");
    assert!(said.contains("the server answered with the entry at index 18, 7 was asked for"), "{said}");
}

#[test]
fn the_past_must_be_kept() {
    let (user, log) = (User::new(), FakeLog::new());
    let said = user.ok(&log, "log info");
    assert_eq!((value(&said, "size"), value(&said, "total")), ("19", "19 entries"));
    assert!(value(&said, "consistency").contains("first head seen"), "{said}");
    log.is_at(DSSE);
    // A proof that is none: nothing new is remembered.
    let mut wrong = proof();
    wrong.swap(0, 1);
    log.proves(&wrong);
    let said = user.fails(&log, 1, "log info");
    assert!(said.contains("consistency proof: proof leads to root"), "{said}");
    let said = user.fails(&log, 1, "entry verify 19");
    assert!(value(&said, "consistency").starts_with("FAILED "), "{said}");
    assert_eq!(user.state()[&log.url][TREE]["size"], 19);
    log.proves(&proof());
    let said = user.ok(&log, "entry verify 19");
    assert!(value(&said, "consistency").contains("continues the remembered head of 19 entries"), "{said}");
    assert!(value(&user.ok(&log, "log info"), "consistency").contains("the head that is remembered"));
    // An entry with an older proof goes with what is known, and does not take its place.
    let said = user.ok(&log, "entry verify 18");
    assert!(value(&said, "consistency").contains("the remembered head of 20 entries continues it"), "{said}");
    assert_eq!(user.state()[&log.url][TREE]["size"], 20);
    let said = user.ok(&log, "log proof --first 19 --last 20");
    assert!(value(&said, "consistency").starts_with("not checked"), "{said}");
    // A tree that is gone, and heads that do not say what is signed.
    let mut other = info(DSSE);
    other["treeID"] = "1".into();
    log.answer("GET /api/v1/log", 200, "", &other.to_string());
    assert!(
        user.fails(&log, 1, "log info").contains(&format!("tree {TREE}, which this log had before, is gone"))
    );
    let mut other = info(DSSE);
    other["treeSize"] = 21.into();
    log.answer("GET /api/v1/log", 200, "", &other.to_string());
    assert!(user.fails(&log, 1, "log info").contains("checkpoint says 20 entries"));
}

#[test]
fn a_proof_is_verified_between_a_remembered_and_a_current_head() {
    let (user, log) = (User::new(), FakeLog::new());
    user.ok(&log, "log info");
    log.is_at(DSSE);
    let said = user.ok(&log, "log proof --first 19 --last 20");
    assert!(value(&said, "consistency").starts_with("ok "), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("proof ")).count(), 4);
    let user = User::new();
    log.proves(&proof()[1..]);
    let said = user.fails(&log, 1, &format!("log proof --first 19 --last 20 --tree {TREE}"));
    assert!(said.contains("proof has 3 hashes, 4 were expected"), "{said}");
    let said = user.fails(&log, 2, "log proof --first 19 --last 20 --tree 7");
    assert!(said.contains("--tree is 7, the log has no such tree"), "{said}");
}

#[test]
fn a_key_is_pinned_or_trusted_once() {
    let (user, log) = (User::new(), FakeLog::new());
    let key = user.dir().join("log.pub");
    std::fs::write(&key, KEY).expect("writes");
    let pin = format!("entry get 18 --key {}", key.display());
    assert!(user.ok(&log, &pin).contains("(given with --key)"));
    user.ok(&log, "entry get 18");
    std::fs::write(&key, OTHER_KEY).expect("writes");
    let said = user.fails(&log, 1, &pin);
    assert!(said.contains("has the log key 65bbc2bf") && said.contains("--key is c0d23d6a"), "{said}");
    log.has_key(OTHER_KEY);
    let said = user.fails(&log, 1, "entry get 18");
    assert!(said.contains("was 65bbc2bf") && said.contains("is c0d23d6a"), "{said}");
    let said = user.fails(&log, 1, "entry verify 18");
    assert!(said.contains("FAILED the log key of tree"), "{said}");
    log.has_key("not a key");
    assert!(user.fails(&log, 1, "entry get 18").contains("the log's key is not the PEM of a PUBLIC KEY"));
    // What was remembered cannot be read: that is said, and nothing is trusted anew.
    std::fs::write(user.dir().join("state/bulla/logs.json"), "{").expect("writes");
    let said = user.fails(&log, 2, "entry get 18");
    assert!(said.contains("is not what was written there") && said.contains("move it away"), "{said}");
}

#[test]
fn a_search_lists_names() {
    let (user, log) = (User::new(), FakeLog::new());
    let [artifact, _, key] = files(user.dir());
    assert_eq!(user.ok(&log, &format!("entry search --artifact {}", artifact.display())), format!("{ID}\n"));
    let words = format!(
        "entry search --digest {} --public-key {} --email a@b --subject s --operator and --output json",
        "AB".repeat(20),
        key.display()
    );
    assert_eq!(user.ok(&log, &words), format!("{:#}\n", json!({ "entries": [ID] })));
    let asked = log.asked();
    assert_eq!(
        asked[0].1,
        r#"{"hash":"sha256:a6415e36e332794d85e2e06d9c276901f28b74a22f01741a695b6fed0a9e545e","operator":"or"}"#
    );
    let sent: Value = serde_json::from_str(&asked[1].1).expect("JSON");
    assert_eq!(sent["hash"], format!("sha1:{}", "ab".repeat(20)));
    assert_eq!((&sent["email"], &sent["publicKey"]["format"]), (&json!("a@b"), &json!("x509")));
    log.answer("POST /api/v1/index/retrieve", 200, "", "[]");
    assert_eq!(user.fails(&log, 1, "entry search --email a@b"), "bulla: no entry was found\n");
    log.answer("POST /api/v1/index/retrieve", 200, "", r#"["\u001b[31m"]"#);
    let said = user.fails(&log, 1, "entry search --email a@b");
    assert!(said.contains("entry ID \"\\u{1b}[31m\" has 5 characters"), "{said}");
}

#[test]
fn a_server_that_cannot_answer_is_unavailable() {
    let (user, log) = (User::new(), FakeLog::new());
    assert!(user.fails(&log, 1, "entry get 99").contains("has no entry at index 99"));
    log.answers("GET /api/v1/log", &[(503, "Retry-After: 0\r\n", ""), (200, "", &info(ENTRY).to_string())]);
    user.ok(&log, "log info");
    assert_eq!(log.asked().iter().filter(|(route, _)| route == "GET /api/v1/log").count(), 2);
    log.answer("POST /api/v1/index/retrieve", 501, "", r#"{"code":501,"message":"not enabled"}"#);
    assert!(user.fails(&log, 3, "entry search --email a@b").contains("501"));
    log.answer("GET /api/v1/log", 302, "Location: https://elsewhere/\r\n", "");
    let said = user.fails(&log, 2, "log info");
    assert!(said.contains("redirects to \"https://elsewhere/\", give the URL of the log itself"), "{said}");
    let mut nowhere = bulla();
    nowhere.env("HOME", user.dir()).args(["log", "info", "--server", "http://127.0.0.1:1"]);
    let (code, _, errors) = run(&mut nowhere);
    assert_eq!(code, 3, "{errors}");
    let mut wrong = bulla();
    wrong.env("HOME", user.dir()).args(["log", "info", "--server", "ftp://x"]);
    let (code, _, errors) = run(&mut wrong);
    assert_eq!((code, errors.contains("http://HOST or https://HOST was expected")), (2, true), "{errors}");
}

fn base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}

#[test]
fn a_real_log_takes_each_kind_of_key_with_its_hash_and_proves_what_it_took() {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, KeyPair as _,
    };
    let (_folder, data) = common::new_data();
    let served = common::Served::on(&data);
    let user = User::new();
    let run = |words: &str| {
        let mut command = bulla();
        command.env("HOME", user.dir()).args(words.split_whitespace());
        let (code, said, errors) = run(command.arg("--server").arg(format!("http://{}", served.http)));
        assert_eq!((code, errors.as_str()), (0, ""), "{words}: {said}");
        said
    };
    let file = |name: &str, bytes: &[u8]| {
        let path = user.dir().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path.display().to_string()
    };
    let artifact = file("artifact", b"artifact");
    for (index, (curve, hash)) in [
        (&ECDSA_P256_SHA256_ASN1_SIGNING, "sha256"),
        (&ECDSA_P384_SHA384_ASN1_SIGNING, "sha384"),
        (&ECDSA_P521_SHA512_ASN1_SIGNING, "sha512"),
    ]
    .into_iter()
    .enumerate()
    {
        let pair = EcdsaKeyPair::generate(curve).expect("a key");
        let signed = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), b"artifact").expect("a signature");
        let der = STANDARD.encode(pair.public_key().as_der().expect("DER").as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let (signature, key) = (file("signature", signed.as_ref()), file("key", pem.as_bytes()));
        let parts = format!("--artifact {artifact} --signature {signature} --public-key {key}");
        let said = run(&format!("entry upload {parts}"));
        assert_eq!((value(&said, "result"), value(&said, "index")), ("logged", index.to_string().as_str()));
        let id = value(&said, "entry").to_owned();
        assert_eq!(value(&run(&format!("entry upload {parts}")), "result"), "was in the log already");
        let said = run(&format!("entry verify {parts}"));
        assert!(value(&said, "signature").contains(hash), "{said}");
        for check in ["signature", "inclusion", "checkpoint", "promise", "consistency"] {
            assert!(value(&said, check).starts_with("ok "), "{said}");
        }
        assert_eq!(value(&run(&format!("entry verify {index}")), "entry"), id);
        assert!(run(&format!("entry search --public-key {key}")).contains(&id));
    }
    assert_eq!(value(&run("log info"), "total"), "3 entries");
    run("log proof --first 1 --last 3");
    assert_eq!(served.stop().0, Some(0));
}

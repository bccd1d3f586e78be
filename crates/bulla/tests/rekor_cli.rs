//! The program under the name `rekor-cli`: flags, lines, state file, environment and exit codes that scripts rely on.

mod common;
mod fake_log;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::run;
use fake_log::{
    DSSE, ENTRY, ENVELOPE, ENVELOPE_KEY, FakeLog, ID, KEY, OTHER_KEY, TREE, changed, files, info, member,
    proof,
};
use serde_json::{Value, json};

/// A user with the program and a home.
struct User(tempfile::TempDir);

impl User {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        symlink(env!("CARGO_BIN_EXE_bulla"), dir.path().join("rekor-cli")).expect("a link");
        Self(dir)
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn state(&self) -> PathBuf {
        self.dir().join(".rekor/state.json")
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(self.dir().join("rekor-cli"));
        command.env_clear().env("HOME", self.dir()).args(words.split_whitespace());
        command
    }

    fn on(&self, log: &FakeLog, words: &str) -> (i32, String, String) {
        run(&mut self.command(&format!("--rekor_server {} {words}", log.url)))
    }

    fn ok(&self, log: &FakeLog, words: &str) -> String {
        let (code, said, errors) = self.on(log, words);
        assert_eq!((code, errors.as_str()), (0, ""), "{words}: {said}");
        said
    }

    fn fails(&self, log: &FakeLog, words: &str) -> String {
        let (code, said, errors) = self.on(log, words);
        assert_eq!((code, said.as_str()), (1, ""), "{words}: {errors}");
        errors
    }

    fn parts(&self) -> String {
        let [artifact, signature, key] = files(self.dir()).map(|path| path.display().to_string());
        format!("--artifact {artifact} --signature {signature} --public-key {key}")
    }
}

#[test]
fn upload_prints_one_line() {
    let (user, log) = (User::new(), FakeLog::new());
    let location = format!("/api/v1/log/entries/{ID}");
    let (upload, url) = (format!("upload {}", user.parts()), &log.url);
    let created = format!("Created entry at index 18, available at: {url}{location}\n");
    assert_eq!(user.ok(&log, &upload), created);
    // What their tests put in front, and the older spelling of the type.
    let words =
        format!("-test.coverprofile=/tmp/x -test.v --rekor_server={url} {upload} --type=hashedrekord:0.0.1");
    assert_eq!(run(&mut user.command(&words)), (0, created, String::new()));
    assert_eq!(
        user.ok(&log, &format!("{upload} --format json")),
        format!("{{\"AlreadyExists\":false,\"Location\":\"{location}\",\"Index\":18}}\n")
    );
    log.answer("POST /api/v1/log/entries", 409, &format!("Location: {location}\r\n"), "{}");
    assert_eq!(user.ok(&log, &upload), format!("Entry already exists; available at: {url}{location}\n"));
    assert_eq!(
        user.ok(&log, &format!("{upload} --format=json")),
        format!("{{\"AlreadyExists\":true,\"Location\":\"{location}\",\"Index\":0}}\n")
    );
    log.answer("POST /api/v1/log/entries", 400, "", r#"{"code":400,"message":"error processing entry: x"}"#);
    assert_eq!(
        user.fails(&log, &upload),
        "[POST /api/v1/log/entries][400] createLogEntryBadRequest {\"code\":400,\"message\":\"error processing entry: x\"}\n"
    );
    log.answer("POST /api/v1/log/entries", 413, "", r#"{"code":413,"message":"Request Entity Too Large"}"#);
    assert!(user.fails(&log, &upload).contains("[413]"));
}

#[test]
fn a_ready_entry_is_sent_as_it_is() {
    let (user, log) = (User::new(), FakeLog::new());
    let entry = user.dir().join("entry.json");
    let text = r#"{ "kind": "hashedrekord", "apiVersion": "0.0.1", "spec": {} }"#;
    fs::write(&entry, text).expect("writes");
    log.answer("GET /entry.json", 200, "", text);
    log.answer("POST /api/v1/log/entries", 400, "", r#"{"code":400,"message":"m"}"#);
    for source in [entry.display().to_string(), format!("{}/entry.json", log.url)] {
        user.fails(&log, &format!("upload --entry {source}"));
        let (_, sent) = log.asked().pop().expect("asked");
        assert_eq!(sent, text);
    }
    fs::write(&entry, "[").expect("writes");
    assert!(user.fails(&log, &format!("upload --entry {}", entry.display())).contains("is not JSON"));
}

#[test]
fn in_toto_falls_back_to_its_first_version() {
    let (user, log) = (User::new(), FakeLog::new());
    let (envelope, key) = (user.dir().join("envelope.json"), user.dir().join("key.pub"));
    fs::write(&envelope, ENVELOPE).expect("writes");
    fs::write(&key, ENVELOPE_KEY).expect("writes");
    let exists = format!("Location: /api/v1/log/entries/{ID}\r\n");
    let no = r#"{"code":400,"message":"error processing entry: no 0.0.2"}"#;
    log.answers("POST /api/v1/log/entries", &[(400, "", no), (409, &exists, "{}")]);
    let words =
        format!("upload --type intoto --artifact {} --public-key {}", envelope.display(), key.display());
    let (code, said, errors) = user.on(&log, &words);
    assert_eq!(code, 0, "{errors}");
    assert!(said.starts_with("Entry already exists; available at: "));
    assert!(errors.starts_with("failed to upload entry: ") && errors.contains("no 0.0.2"), "{errors}");
    let versions: Vec<_> = log
        .asked()
        .iter()
        .map(|(_, sent)| serde_json::from_str::<Value>(sent).expect("JSON")["apiVersion"].clone())
        .collect();
    assert_eq!(versions, ["0.0.2", "0.0.1"]);
}

#[test]
fn get_has_three_forms() {
    let (user, log) = (User::new(), FakeLog::new());
    let said = user.ok(&log, &format!("get --uuid {ID}"));
    let lines: Vec<_> = said.lines().take(5).collect();
    let log_id = member(ENTRY)["logID"].as_str().expect("text").to_owned();
    assert_eq!(
        lines,
        [
            &format!("LogID: {log_id}"),
            "Index: 18",
            "IntegratedTime: 2026-11-21T02:50:22Z",
            &format!("UUID: {ID}"),
            "Body: {"
        ]
    );
    assert!(said.contains("\n  \"HashedRekordObj\": {\n    \"data\": {\n"), "{said}");
    assert!(said.ends_with("}\n\n"));
    assert_eq!(user.ok(&log, "get --log-index 18"), said);
    assert_eq!(user.ok(&log, &format!("get --uuid {}", &ID[16..])), said);
    let json = user.ok(&log, "get --log-index 18 --format json");
    assert!(
        json.starts_with(r#"{"Attestation":"","AttestationType":"","Body":{"HashedRekordObj":{"#),
        "{json}"
    );
    assert!(
        json.ends_with(&format!(
            "\"LogIndex\":18,\"IntegratedTime\":1795229422,\"UUID\":\"{ID}\",\"LogID\":\"{log_id}\"}}\n"
        )),
        "{json}"
    );
    let tle: Value = serde_json::from_str(&user.ok(&log, "get --log-index 18 --format tle")).expect("JSON");
    assert_eq!((&tle["logIndex"], &tle["integratedTime"]), (&json!("18"), &json!("1795229422")));
    assert_eq!(tle["kindVersion"], json!({ "kind": "hashedrekord", "version": "0.0.1" }));
    assert_eq!(tle["canonicalizedBody"], member(ENTRY)["body"]);
    assert_eq!(tle["inclusionProof"]["rootHash"], "AYk14mxTCn5SQWCFYpmaVILO1FX3mtNvUdiCDbMUMGU=");
    // An attestation has a line of its own.
    log.has_entry(&changed(|entry| entry["attestation"] = json!({ "data": "e30=" })));
    assert!(user.ok(&log, "get --log-index 18").contains("\nAttestation: {}\nIndex: 18\n"));
    assert_eq!(user.fails(&log, "get"), "either --uuid or --log-index must be specified\n");
    let missing = format!("get --uuid {}", "0".repeat(80));
    assert_eq!(
        user.fails(&log, &missing),
        "[GET /api/v1/log/entries/{entryUUID}][404] getLogEntryByUUIDNotFound\n"
    );
    assert_eq!(
        user.fails(&log, "get --log-index 5"),
        "[GET /api/v1/log/entries][404] getLogEntryByIndexNotFound\n"
    );
    assert_eq!(user.fails(&log, "loginfo --format tle"), "format tle is only valid for get\n");
}

#[test]
fn verify_prints_each_step() {
    let (user, log) = (User::new(), FakeLog::new());
    let proof = &member(ENTRY)["verification"]["inclusionProof"];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (root, checkpoint) = (text(&proof["rootHash"]), text(&proof["checkpoint"]));
    let (first, second) = (text(&proof["hashes"][0]), text(&proof["hashes"][1]));
    let said = user.ok(&log, &format!("verify --uuid {ID}"));
    let head = format!(
        "Current Root Hash: {root}\nEntry Hash: {ID}\nEntry Index in Current Tree: 18\nCurrent Tree Size: 19\n\
         Checkpoint:\n{checkpoint}\n\nInclusion Proof:\n"
    );
    assert!(said.starts_with(&head), "{said}");
    let steps: Vec<_> = said[head.len()..].lines().collect();
    assert_eq!(steps[0], format!("SHA256(0x01 | {first} | {}) =", &ID[16..]));
    let inner = steps[1].strip_prefix('\t').expect("indented");
    assert_eq!(steps[2], "");
    assert_eq!(steps[3], format!("SHA256(0x01 | {second} | {inner}) ="));
    assert_eq!(steps[4], format!("\t{root}"));
    assert_eq!(steps[6..], [format!("Computed Root Hash: {root}"), format!("Expected Root Hash: {root}")]);
    let parts = user.parts();
    for which in ["--log-index 18", &parts] {
        assert_eq!(user.ok(&log, &format!("verify {which}")), said);
    }
    let sent: Value = serde_json::from_str(
        &log.asked().into_iter().rfind(|(route, _)| route.ends_with("retrieve")).expect("asked").1,
    )
    .expect("JSON");
    assert_eq!(sent["entries"][0]["spec"]["data"]["hash"]["algorithm"], "sha256");
    let json = user.ok(&log, &format!("verify --uuid {ID} --format json"));
    assert!(json.starts_with(&format!(
        r#"{{"RootHash":"{root}","EntryUUID":"{ID}","Index":18,"Size":19,"Hashes":["{first}","{second}"],"Checkpoint":"127"#
    )), "{json}");
    let answer = |body: &str| log.answer("POST /api/v1/log/entries/retrieve", 200, "", body);
    answer("[]");
    assert_eq!(user.fails(&log, &format!("verify {parts}")), "entry in log cannot be located\n");
    answer(&format!("[{ENTRY},{ENTRY}]"));
    assert_eq!(
        user.fails(&log, &format!("verify {parts}")),
        "multiple entries returned; this should not happen\n"
    );
    answer(&format!("[{DSSE}]"));
    assert!(user.fails(&log, &format!("verify {parts}")).contains("the body is not what was proposed"));
    assert!(
        user.fails(&log, &format!("verify --uuid {ID}")).contains("validating entry: the server answered")
    );
    assert!(user.fails(&log, "verify --log-index 18").contains("at index 19, 18 was asked for"));
    assert_eq!(
        user.fails(&log, "verify"),
        "either 'entry' or 'artifact' or 'artifact-hash' must be specified\n"
    );
}

#[test]
fn what_was_tampered_with_is_refused() {
    let user = User::new();
    let set = changed(|entry| entry["integratedTime"] = 5.into());
    let root = changed(|entry| entry["verification"]["inclusionProof"]["rootHash"] = "11".repeat(32).into());
    let swapped = json!({ ID: member(DSSE) }).to_string();
    let other_tree = json!({ format!("1{}", &ID[1..]): member(ENTRY) }).to_string();
    let two = format!("{{\"{ID}\":{0},\"{ID}\":{0}}}", member(ENTRY));
    for (answer, problem) in [
        (set, "signed entry timestamp"),
        (root, "inclusion proof"),
        (swapped, "leaf hash"),
        (other_tree, "the server answered with entry 162f8ecba72f4326"),
        (two, "more than one entry"),
        ("not JSON".to_owned(), "the answer is not as it must be"),
    ] {
        let log = FakeLog::new();
        log.answer(&format!("GET /api/v1/log/entries/{ID}"), 200, "", &answer);
        let said = user.fails(&log, &format!("get --uuid {ID}"));
        assert!(said.contains(problem), "{problem}: {said}");
        log.answer(
            "POST /api/v1/log/entries",
            201,
            &format!("Location: /api/v1/log/entries/{ID}\r\n"),
            &answer,
        );
        user.fails(&log, &format!("upload {}", user.parts()));
    }
}

#[test]
fn search_keeps_its_heading_off_the_output() {
    let (user, log) = (User::new(), FakeLog::new());
    let two = format!("[\"{ID}\",\"{}\"]", "0".repeat(80));
    log.answer("POST /api/v1/index/retrieve", 200, "", &two);
    let words = format!("search --sha {}", "ab".repeat(32));
    let (code, said, errors) = user.on(&log, &words);
    assert_eq!((code, said), (0, format!("{ID}\n{}\n", "0".repeat(80))));
    assert_eq!(errors, "Found matching entries (listed by UUID):\n");
    let json = user.ok(&log, &format!("{words} --format json --operator and --email a@b"));
    assert_eq!(json, format!("{{\"UUIDs\":{two}}}\n"));
    let asked = log.asked();
    assert_eq!(asked[0].1, format!("{{\"hash\":\"sha256:{}\"}}", "ab".repeat(32)));
    assert!(asked[1].1.contains("\"operator\":\"and\"") && asked[1].1.contains("\"email\":\"a@b\""));
    log.answer("POST /api/v1/index/retrieve", 200, "", "[]");
    assert_eq!(user.fails(&log, &words), "no matching entries found\n");
    log.answer("POST /api/v1/index/retrieve", 501, "", r#"{"code":501,"message":"no"}"#);
    assert_eq!(user.fails(&log, &words), format!("search index not enabled on {}\n", log.url));
    assert!(user.fails(&log, "search").starts_with("either 'sha' or 'artifact' or 'public-key'"));
}

#[test]
fn loginfo_keeps_the_head() {
    let (user, log) = (User::new(), FakeLog::new());
    let root = |entry: &str| info(entry)["rootHash"].as_str().expect("text").to_owned();
    let printed = |entry: &str, size: u64| {
        format!(
            "Verification Successful!\nActive Tree Size:       {size}\nTotal Tree Size:        {size}\n\
             Root Hash:              {}\nTreeID:                 {TREE}\n",
            root(entry)
        )
    };
    let unknown = "No previous log state stored, unable to prove consistency\n";
    let none = user.on(&log, "loginfo --store_tree_state=false");
    assert_eq!(none, (0, printed(ENTRY, 19), unknown.to_owned()));
    assert!(!user.state().exists());
    assert_eq!(user.on(&log, "loginfo").2, unknown);
    let state: Value = serde_json::from_slice(&fs::read(user.state()).expect("a state")).expect("JSON");
    let signed = &info(ENTRY)["signedTreeHead"];
    assert_eq!(state, json!({ TREE: signed, &log.url: signed }));
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&user.state()), 0o600);
    assert_eq!(mode(user.state().parent().expect("a directory")) & !0o750, 0);
    log.is_at(DSSE);
    let mut wrong = proof();
    wrong.reverse();
    log.proves(&wrong);
    assert!(user.fails(&log, "loginfo").contains("consistency proof"));
    log.proves(&proof());
    assert_eq!(
        user.ok(&log, "loginfo --format json"),
        format!(
            "{{\"ActiveTreeSize\":20,\"TotalTreeSize\":20,\"RootHash\":\"{}\",\"TreeID\":\"{TREE}\"}}\n",
            root(DSSE)
        )
    );
    log.is_at(ENTRY);
    assert!(user.fails(&log, "loginfo").contains("had 20 entries before, now it has 19"));
    // A state that cannot be read is none.
    fs::write(user.state(), "{").expect("writes");
    assert_eq!(user.on(&log, "loginfo").2, unknown);
    // A state by the server alone, as older versions kept it.
    fs::write(user.state(), json!({ &log.url: signed }).to_string()).expect("writes");
    log.is_at(DSSE);
    assert_eq!(user.ok(&log, "loginfo"), printed(DSSE, 20));
}

#[test]
fn loginfo_counts_the_trees_that_ended() {
    let (user, log) = (User::new(), FakeLog::new());
    let mut both = info(DSSE);
    both["inactiveShards"] = json!([{
        "rootHash": info(ENTRY)["rootHash"], "signedTreeHead": info(ENTRY)["signedTreeHead"], "treeID": TREE, "treeSize": 19,
    }]);
    log.answer("GET /api/v1/log", 200, "", &both.to_string());
    assert!(user.on(&log, "loginfo").1.contains("Active Tree Size:       20\nTotal Tree Size:        39\n"));
    both["inactiveShards"][0]["treeSize"] = 18.into();
    log.answer("GET /api/v1/log", 200, "", &both.to_string());
    assert!(user.fails(&log, "loginfo").contains("checkpoint says 19 entries"));
}

#[test]
fn logproof_prints_the_hashes() {
    let (user, log) = (User::new(), FakeLog::new());
    let hashes = proof();
    let answer = json!({ "hashes": hashes, "rootHash": info(DSSE)["rootHash"] }).to_string();
    log.answer("GET /api/v1/log/proof?firstSize=1&lastSize=20", 200, "", &answer);
    let root = info(DSSE)["rootHash"].as_str().expect("text").to_owned();
    assert_eq!(
        user.ok(&log, "logproof --last-size 20"),
        format!("Current Root Hash: {root}\nHashes: [{}]\n", hashes.join(","))
    );
    let words = format!("logproof --first-size 19 --last-size 20 --tree-id {TREE} --format json");
    assert_eq!(user.ok(&log, &words), format!("{{\"RootHash\":\"{root}\",\"Hashes\":{}}}\n", json!(hashes)));
    for (words, problem) in [
        ("logproof --first-size 0 --last-size 1", "first-size must be > 0\n"),
        ("logproof --last-size 0", "last-size must be > 0\n"),
        ("logproof --first-size 3 --last-size 2", "last-size must be >= to first-size\n"),
    ] {
        assert_eq!(user.fails(&log, words), problem);
    }
    assert!(user.fails(&log, "logproof").contains("--last-size"));
}

#[test]
fn flags_come_before_the_environment_and_the_file() {
    let (user, log) = (User::new(), FakeLog::new());
    let file = user.dir().join(".rekor.yaml");
    fs::write(&file, format!("rekor_server: {}\nformat: json\nstore_tree_state: false\n", log.url))
        .expect("writes");
    let json = "{\"ActiveTreeSize\":19,";
    let (code, said, errors) = run(&mut user.command("loginfo"));
    assert_eq!((code, said.starts_with(json)), (0, true), "{errors}");
    assert!(!user.state().exists());
    let human = "Verification Successful!\n";
    let (_, said, errors) = run(user.command("loginfo").env("REKOR_FORMAT", "default"));
    assert!(said.starts_with(human), "{said}");
    assert!(errors.starts_with(&format!("Using config file: {}\n", file.display())), "{errors}");
    let mut flag = user.command("loginfo --format json");
    assert!(run(flag.env("REKOR_FORMAT", "default")).1.starts_with(json));
    let elsewhere = user.dir().join("other.yml");
    fs::write(&elsewhere, format!("rekor_server: '{}' # here\n", log.url)).expect("writes");
    fs::remove_file(&file).expect("removes");
    let words = format!("--config {} loginfo", elsewhere.display());
    assert!(run(&mut user.command(&words)).1.starts_with(human));
    let mut named = user.command("loginfo");
    assert!(run(named.env("REKOR_CONFIG", &elsewhere)).1.starts_with(human));
    let mut by_variable = user.command("logproof");
    by_variable
        .env("REKOR_REKOR_SERVER", &log.url)
        .env("REKOR_LAST_SIZE", "20")
        .env("REKOR_FIRST_SIZE", "19");
    by_variable.env("REKOR_TREE_ID", TREE);
    assert_eq!(run(&mut by_variable).0, 0);
    let (code, _, errors) = run(&mut user.command("--config nothing.yaml loginfo"));
    assert_eq!((code, errors.contains("nothing.yaml: No such file")), (1, true), "{errors}");
    fs::write(&elsewhere, "rekor_server = x").expect("writes");
    let (code, _, errors) = run(&mut user.command(&words));
    assert_eq!((code, errors.contains("line 1: name: value was expected")), (1, true), "{errors}");
}

#[test]
fn wrong_values_end_with_one() {
    let user = User::new();
    for (words, problem) in [
        ("--rekor_server ftp://x loginfo", "http://HOST or https://HOST was expected"),
        ("--format xml loginfo", "xml"),
        ("--timeout 30 loginfo", "a duration such as 30s or 1m30s was expected"),
        ("--retry x loginfo", "retry"),
        ("--store_tree_state=perhaps loginfo", "true or false was expected"),
        ("upload --type docker", "unknown type docker"),
        ("upload --type intoto:0.0.3", "type intoto does not support version 0.0.3"),
        ("upload --pki-format y", "pki-format"),
        ("upload --artifact nothing.here", "there is no such file, and it is no URL"),
        ("upload --artifact-hash 00", "sha256 (64)"),
        ("upload --aad %", "standard base64 was expected"),
        ("search --email nobody", "an e-mail address was expected"),
        ("search --operator xor", "operator"),
        ("get --uuid 00", "64 or 80 hexadecimal digits were expected"),
        ("get --log-index -1", "-1"),
        ("frobnicate", "frobnicate"),
    ] {
        let (code, said, errors) = run(&mut user.command(words));
        assert_eq!((code, said.as_str()), (1, ""), "{words}");
        assert!(errors.contains(problem), "{words}: {errors}");
    }
    let (code, _, errors) = run(user.command("loginfo").env("REKOR_TIMEOUT", "soon"));
    assert_eq!((code, errors.contains("soon")), (1, true), "{errors}");
    let long = "x".repeat(513);
    assert_eq!(run(&mut user.command(&format!("search --subject {long}"))).0, 1);
}

#[test]
fn the_key_of_the_log_can_be_set() {
    let (user, log) = (User::new(), FakeLog::new());
    log.has_key(OTHER_KEY);
    assert!(user.fails(&log, "get --log-index 18").contains("checkpoint is not signed by the log's key"));
    let mut set = user.command(&format!("get --log-index 18 --rekor_server {}", log.url));
    let (code, _, errors) = run(set.env("REKOR_REKOR_SERVER_PUBLIC_KEY", KEY));
    assert_eq!((code, errors.as_str()), (0, ""));
    let indented = format!("  {}\n", KEY.trim().replace('\n', "\n  "));
    fs::write(user.dir().join(".rekor.yaml"), format!("rekor_server_public_key: |\n{indented}"))
        .expect("writes");
    assert_eq!(user.on(&log, "get --log-index 18").0, 0);
}

#[test]
fn version_and_help_are_printed() {
    let user = User::new();
    let (code, said, _) = run(&mut user.command("version"));
    assert_eq!((code, said.contains("GitVersion:")), (0, true));
    let (_, said, _) = run(&mut user.command("version --json"));
    assert!(serde_json::from_str::<Value>(&said).expect("JSON")["gitVersion"].is_string());
    for words in ["", "--help", "upload --help"] {
        let (code, said, errors) = run(&mut user.command(words));
        assert_eq!((code, said.contains("Usage: rekor-cli"), errors.as_str()), (0, true, ""), "{words}");
    }
}

#[test]
fn a_busy_server_is_asked_as_often_as_was_said() {
    let (user, log) = (User::new(), FakeLog::new());
    log.answer("GET /api/v1/log", 503, "Retry-After: 0\r\n", r#"{"code":503,"message":"later"}"#);
    assert!(user.fails(&log, "loginfo --retry 0").contains("503"));
    assert_eq!(log.asked().len(), 1);
    user.fails(&log, "loginfo --retry=1");
    assert_eq!(log.asked().len(), 2);
}

#[test]
fn a_silent_server_is_not_waited_for() {
    let user = User::new();
    // Connections are accepted by the system, and nobody ever reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let words = format!("--rekor_server {url} --timeout 50ms --retry 0 loginfo");
    let (code, said, errors) = run(&mut user.command(&words));
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(errors.contains("timed out"), "{errors}");
}

#[test]
fn a_real_log_is_followed() {
    let (_folder, data) = common::new_data();
    let served = common::Served::on(&data);
    let user = User::new();
    let parts = user.parts();
    let ok = |words: &str| {
        let (code, said, errors) =
            run(&mut user.command(&format!("--rekor_server http://{} {words}", served.http)));
        assert_eq!(code, 0, "{words}: {errors}");
        (said, errors)
    };
    let (said, errors) = ok(&format!("upload {parts}"));
    let id = said.trim_end().rsplit('/').next().expect("an ID").to_owned();
    assert_eq!(
        (said, errors.as_str()),
        (
            format!(
                "Created entry at index 0, available at: http://{}/api/v1/log/entries/{id}\n",
                served.http
            ),
            ""
        )
    );
    assert!(ok(&format!("upload {parts}")).0.starts_with("Entry already exists; available at: http://"));
    assert!(ok(&format!("verify {parts}")).0.contains(&format!("Entry Hash: {id}\n")));
    assert!(ok(&format!("get --uuid {id}")).0.contains(&format!("\nUUID: {id}\n")));
    assert!(ok("loginfo").0.contains("Active Tree Size:       1\n"));
    assert_eq!(ok("loginfo").1, "");
    assert_eq!(ok("logproof --last-size 1").0.lines().last(), Some("Hashes: []"));
    let hash = "a6415e36e332794d85e2e06d9c276901f28b74a22f01741a695b6fed0a9e545e";
    assert_eq!(ok(&format!("search --sha {hash}")).0, format!("{id}\n"));
    assert_eq!(served.stop().0, Some(0));
}

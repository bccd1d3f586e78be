//! Files that say whom to believe, wrong in one way after another.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::common::{self, run};
use crate::stack::{Change, FILES, Stack, only};

/// A file is replaced only by what was seen to differ, and by whoever agrees.
const COMPARED: &str = "root.json.new && { diff root.json root.json.new || mv -i root.json.new root.json; }";

/// A trusted root that somebody wrote or copied wrongly: each is mended by the line that is printed.
#[test]
fn what_is_wrong_in_a_trusted_root_is_found_and_printed_anew() {
    let stack = Stack::start();
    let url = stack.url();
    let past = json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-02-01T00:00:00Z" });
    let id = json!({ "keyId": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" });
    let cases: [(&str, Change); 10] = [
        ("trusted-root", &|root| root["mediaType"] = json!("text/plain")),
        ("validity-start", &|root| {
            drop(root["tlogs"][0]["publicKey"].as_object_mut().map(|key| key.remove("validFor")));
        }),
        ("validity-start", &|root| root["timestampAuthorities"][0]["validFor"] = json!({})),
        ("validity", &|root| root["certificateAuthorities"][0]["validFor"] = past.clone()),
        ("validity", &|root| {
            root["tlogs"]
                .as_array_mut()
                .into_iter()
                .flatten()
                .for_each(|log| log["publicKey"]["validFor"] = past.clone());
        }),
        ("log-id", &|root| root["tlogs"][1]["logId"] = id.clone()),
        ("base-url", &|root| root["tlogs"][1]["baseUrl"] = json!("localhost")),
        ("log-name", &|root| root["tlogs"][1]["baseUrl"] = json!("https://log.example.org")),
        ("authority-chain", &|root| {
            drop(root["timestampAuthorities"][0]["certChain"]["certificates"].as_array_mut().map(Vec::pop));
        }),
        ("trust-up-to-date", &|root| root["ctlogs"] = json!([])),
    ];
    for (check, change) in cases {
        stack.root(change);
        let fix = stack.one(check, &["--url", &url, "--trusted-root", "root.json"]);
        let print = format!("curl -fsS {url}/trusted_root.json");
        assert_eq!(fix, format!("{print} > {COMPARED}"), "{check}");
        // Whoever does not say yes keeps what they have, and sees what would be another.
        let before = fs::read(stack.path("root.json")).expect("is there");
        let (_, shown, _) = stack.shell(&fix);
        assert!(shown.starts_with("1c1") || shown.starts_with("1,"), "{shown}");
        assert_eq!(fs::read(stack.path("root.json")).expect("is there"), before, "{check}");
        stack.follow(&fix);
        assert_eq!(stack.found(&["--url", &url, "--trusted-root", "root.json"]), [], "{check}");
        stack.root(change);
        let fix = stack.one(check, &["--url", &url, "--trusted-root", "root.json", "--data", "data"]);
        assert_eq!(fix, format!("bulla trust root --data data > {COMPARED}"));
        stack.follow(&fix);
        assert_eq!(
            stack.found(&["--url", &url, "--trusted-root", "root.json", "--data", "data"]),
            [],
            "{check}"
        );
    }
    stack.root(|root| root["tlogs"][0]["publicKey"]["validFor"]["start"] = json!("2999-01-01T00:00:00Z"));
    let fix = stack.one("validity", &["--url", &url, "--trusted-root", "root.json"]);
    assert!(fix.contains("timedatectl set-ntp true"), "{fix}");
    stack.root(|root| drop(root.as_object_mut().map(|root| root.remove("ctlogs"))));
    let fix = stack.one("authority-chain", &["--trusted-root", "root.json"]);
    assert_eq!(fix, "add \"ctlogs\": [] to root.json");
}

#[test]
fn keys_of_another_log_are_found() {
    let (stack, other) = (Stack::start(), Stack::start());
    stack.config(|_| ());
    stack.write("root.json", &other.read("trusted_root.json"));
    // Everything is another's then: the log, the certificates, the timestamps.
    let found = stack.found(&FILES);
    let mut names: Vec<_> = found.iter().map(|one| one.0.as_str()).collect();
    names.dedup();
    assert_eq!(names, ["log-key", "ca-trust", "tsa-trust"]);
    let logs = other.read("trusted_root.json")["tlogs"].clone();
    stack.root(|root| root["tlogs"] = logs.clone());
    // Which of the two is right, no program can know: the file is not replaced by what it is there to refuse.
    let ask = format!(
        "either another server answers at {}, or its keys changed: ask its owner before root.json is replaced",
        stack.url()
    );
    assert_eq!(stack.one("log-key", &FILES), ask);
    let pinned = stack.found(&["--url", &stack.url(), "--trusted-root", "root.json"]);
    assert!(!pinned.is_empty() && pinned.iter().all(|one| one.2 == ask), "{pinned:#?}");
    // Not even by its own directory, as which log is meant is not said there.
    let with_data = stack.found(&["--url", &stack.url(), "--trusted-root", "root.json", "--data", "data"]);
    assert!(with_data.iter().any(|one| one.0 == "log-key"), "{with_data:#?}");
    for (check, _, fix) in &with_data {
        let words =
            *fix == ask || check == "data-keys" && fix.starts_with("name the directory and the address");
        assert!(words, "{check}: {fix}");
    }
    // What the server itself says is no file of ours, and no command mends it.
    stack.config(|config| {
        config["rekorTlogUrls"] = json!([{ "url": other.url(), "majorApiVersion": 2 }]);
    });
    assert_eq!(
        stack.one("log-key", &["--url", &stack.url(), "--signing-config", "config.json"]),
        format!(
            "either another server answers at {}, or {}/trusted_root.json is not up to date: ask its owner which of them is meant",
            other.url(),
            stack.url()
        )
    );
    stack.config(|_| ());
    stack.root(|_| ());
    assert_eq!(stack.found(&FILES), []);
    // The directory of one and the address of the other.
    let data = other.path("data");
    let arguments = ["--url", &stack.url(), "--data", data.to_str().expect("text")];
    only("data-keys", &stack.found(&arguments));
}

#[test]
fn certificates_that_end_are_found() {
    let stack = Stack::start();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "9",
        ])
        .args(["-subj", "/CN=ends", "-outform", "DER", "-keyout", "/dev/null", "-out", "ends.der"])
        .current_dir(stack.folder.path())
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    let der =
        base64::engine::general_purpose::STANDARD.encode(fs::read(stack.path("ends.der")).expect("is there"));
    stack.root(|root| {
        root["certificateAuthorities"][0]["certChain"]["certificates"] = json!([{ "rawBytes": der.clone() }]);
    });
    let fix = stack.one("certificates-end", &["--trusted-root", "root.json"]);
    assert_eq!(fix, "where the server is: bulla trust rotate ca --data DIR");
    let with_data = stack.found(&["--trusted-root", "root.json", "--data", "data"]);
    let ends = with_data.iter().find(|one| one.0 == "certificates-end");
    assert_eq!(ends.map(|one| one.2.as_str()), Some("bulla trust rotate ca --data data"), "{with_data:#?}");
    // One that follows is enough.
    let good = stack.read("trusted_root.json")["certificateAuthorities"][0].clone();
    let mut root: Value =
        serde_json::from_slice(&fs::read(stack.path("root.json")).expect("is there")).expect("JSON");
    root["certificateAuthorities"].as_array_mut().expect("a list").push(good);
    stack.write("root.json", &root);
    assert_eq!(stack.found(&["--trusted-root", "root.json"]), []);
}

#[test]
fn authorities_that_clients_do_not_believe_are_found() {
    let (stack, other) = (Stack::start(), Stack::start());
    stack.root(|_| ());
    let theirs = other.served.http.clone();
    let proxy = stack.proxy(move |path, answer| {
        if path.ends_with("/trustBundle") || path.ends_with("/certchain") {
            let (_, _, body) = common::get(&theirs, path);
            *answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        }
    });
    stack.config(|config| config["caUrls"][0]["url"] = json!(proxy.url()));
    assert!(stack.one("ca-trust", &FILES).contains("ask its owner before root.json is replaced"));
    stack.config(|config| config["tsaUrls"][0]["url"] = json!(format!("{}/api/v1/timestamp", proxy.url())));
    assert!(stack.one("tsa-trust", &FILES).contains("ask its owner before root.json is replaced"));
}

/// A directory is named in what mends something only if it is one.
#[test]
fn only_a_directory_that_holds_a_log_is_named() {
    let stack = Stack::start();
    stack.root(|root| root["ctlogs"] = json!([]));
    for (name, format) in [("none", None), ("empty", Some("")), ("later", Some("bulla 99\norigin a\n"))] {
        if let Some(format) = format {
            fs::create_dir(stack.path(name)).expect("is made");
            fs::write(stack.path(name).join("format"), format).expect("is written");
        }
        let found = stack.found(&["--url", &stack.url(), "--trusted-root", "root.json", "--data", name]);
        let checks: Vec<_> = found.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(checks, ["data", "trust-up-to-date"], "{found:#?}");
        assert!(found.iter().all(|one| !one.2.contains(name)), "{found:#?}");
        assert!(found[1].2.starts_with("curl "), "{found:#?}");
    }
    let (_, out, _) = run(&mut stack.command(&["--data", "later"]));
    assert!(out.contains("later has format 99, this program knows formats up to"), "{out}");
}

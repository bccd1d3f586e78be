//! `bulla up` as an operator meets it: what the first start makes, what a second keeps, and what it says when something is lost.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{Served, bulla, get, new_data, run};

fn command(verb: &str, data: &Path) -> Command {
    let mut command = bulla();
    command.args([verb, "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off", "--data"]).arg(data);
    command.env("BULLA_DISK_RESERVE", "0");
    command
}

/// How many certificate authorities, certificate logs and timestamp authorities are believed, and how many certify now.
fn believed(data: &Path) -> [usize; 4] {
    let read = |name: &str| {
        let text = fs::read_to_string(data.join("clients").join(name)).expect("is there");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
    };
    let (root, config) = (read("trusted_root.json"), read("signing_config.v0.2.json"));
    let count = |list: &serde_json::Value| list.as_array().map_or(0, Vec::len);
    let [cas, cts, tsas] =
        ["certificateAuthorities", "ctlogs", "timestampAuthorities"].map(|list| count(&root[list]));
    [cas, cts, tsas, count(&config["caUrls"])]
}

#[test]
fn what_was_served_once_stays_believed() {
    let (_folder, data) = new_data();
    let first = Served::start(&mut command("up", &data));
    assert_eq!(get(&first.http, "/api/v2/trustBundle").0, 200);
    assert_eq!(first.stop().0, Some(0));
    assert_eq!(believed(&data), [1, 1, 1, 1]);
    for key in [
        "offline/root.key",
        "offline/tuf-root.key",
        "ca/ca.key",
        "ct/ct.key",
        "tsa/tsa.key",
        "tuf/online.key",
    ] {
        let mode = fs::metadata(data.join(key)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let log = fs::read_to_string(data.join("ct/format")).expect("is there");

    let alone = Served::start(&mut command("serve", &data));
    assert_eq!(get(&alone.http, "/api/v2/trustBundle").0, 404);
    assert_eq!(alone.stop().0, Some(0));
    assert_eq!(believed(&data), [1, 1, 1, 0]);

    // Another port, and the keys of the roots taken away.
    fs::rename(data.join("offline"), data.join("../safe")).expect("moves");
    let again = Served::start(&mut command("up", &data));
    let (_, _, checkpoint) = get(&again.http, "/ct/checkpoint");
    let name = log.lines().find_map(|line| line.strip_prefix("origin ")).unwrap_or_default();
    assert!(
        checkpoint.starts_with(name) && !name.is_empty(),
        "{checkpoint} does not go on as {name:?}: {log}"
    );
    assert_eq!(again.stop().0, Some(0));
    assert_eq!(believed(&data), [1, 1, 1, 1]);
}

#[test]
fn what_is_lost_is_asked_for_and_not_made_anew() {
    let (_folder, data) = new_data();
    assert_eq!(Served::start(&mut command("up", &data)).stop().0, Some(0));
    for lost in [
        "ct",
        "ct/ct.key",
        "ca/ca.key",
        "ca/chain.pem",
        "tsa/chain.pem",
        "root.pem",
        "tuf/online.key",
        "tuf/repository",
    ] {
        let (there, away) = (data.join(lost), data.join("away"));
        fs::rename(&there, &away).expect("moves");
        let (code, _, said) = run(&mut command("up", &data));
        assert!(code == 2 && said.contains(there.to_str().expect("text")), "{lost}: {code} {said}");
        assert!(!there.exists(), "{lost} was made anew");
        fs::rename(&away, &there).expect("moves");
    }
    assert_eq!(Served::start(&mut command("up", &data)).stop().0, Some(0));
}

#[test]
fn a_key_may_be_elsewhere_and_must_be_the_certified_one() {
    let (folder, data) = new_data();
    let (named, key) = (folder.path().join("certifies.key"), data.join("ca/ca.key"));
    let with = |key: &str| {
        let mut command = command("up", &data);
        command.args(["--ca-key", key]);
        command
    };
    assert_eq!(Served::start(&mut command("up", &data)).stop().0, Some(0));
    fs::rename(&key, &named).expect("moves");
    let named = named.to_str().expect("text");
    assert_eq!(Served::start(&mut with(named)).stop().0, Some(0));
    assert!(!key.exists(), "a key is made that nobody needs");
    let other = data.join("tsa/tsa.key");
    let (code, _, said) = run(&mut with(other.to_str().expect("text")));
    assert!(
        code == 2 && said.contains("ca/chain.pem does not certify the key that --ca-key names: "),
        "{said}"
    );
    let (code, _, said) = run(&mut with("kms://x"));
    let expected = "--ca-key: key \"kms://x\": one of pkcs11:, awskms://, gcpkms://, azurekms://, hashivault:// was expected";
    assert!(code == 2 && said.contains(expected), "{said}");
}

#[cfg(not(feature = "kms"))]
#[test]
fn a_build_without_clouds_says_what_it_needs() {
    let (_folder, data) = new_data();
    let (code, _, said) = run(command("up", &data).args(["--ca-key", "awskms:///alias/ca"]));
    assert!(
        code == 2 && said.contains("--ca-key: awskms:// needs a build with --features kms-aws"),
        "{said}"
    );
    assert!(!data.join("ca/chain.pem").exists());
}

#[test]
fn the_issuer_for_laptops_is_on_loopback_only() {
    let (_folder, data) = new_data();
    let mut open = bulla();
    open.args(["up", "--dev", "--http", "0.0.0.0:0", "--data"]).arg(&data);
    let (code, _, said) = run(&mut open);
    assert!(code == 2 && said.contains("for loopback addresses only; --http is 0.0.0.0:0"), "{said}");
    assert!(!data.exists());
}

#[test]
fn who_listens_for_others_is_told_that_clients_are_sent_to_localhost() {
    let open = |more: &[&str]| {
        let (_folder, data) = new_data();
        let mut command = bulla();
        command.args(["up", "--http", "0.0.0.0:0", "--grpc", "off", "--metrics", "off", "--data"]).arg(&data);
        command.env("BULLA_DISK_RESERVE", "0").args(more);
        Served::start(&mut command).stop().1
    };
    let said = open(&[]);
    assert!(said.contains("clients are told localhost") && said.contains("--url https://"), "{said}");
    let named = ["--origin", "log.example.org", "--url", "https://log.example.org"];
    for more in [&named[..], &named[..2], &["--url", "http://localhost:1"]] {
        let said = open(more);
        assert!(!said.contains("localhost"), "{more:?}: {said}");
    }
}

#[test]
fn timestamps_are_said_to_be_exact_to_something() {
    let (_folder, data) = new_data();
    for wrong in ["0ms", "61m", "1d", "fast"] {
        let (code, _, said) = run(command("up", &data).args(["--tsa-accuracy", wrong]));
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains(wrong) && said.contains("--tsa-accuracy") && said.contains("expected"),
            "{said}"
        );
    }
    assert!(!data.exists());
    for right in ["1ms", "1h"] {
        let served = Served::start(command("up", &data).args(["--tsa-accuracy", right]));
        assert_eq!(served.stop().0, Some(0));
    }
}

/// Whatever the directory is called, what is printed can be pasted.
#[test]
fn a_data_directory_may_have_spaces_and_quotes() {
    let folder = tempfile::tempdir().expect("made");
    let data = folder.path().join("a b'c");
    let served = Served::start(&mut command("up", &data));
    let words = |line: &str| {
        let said =
            Command::new("sh").args(["-c", &format!("printf '%s\\n' {line}")]).output().expect("sh runs");
        String::from_utf8(said.stdout).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let fsck = served.greeting.lines().find(|line| line.starts_with("bulla fsck ")).expect("printed");
    let (code, _, said) = run(bulla().args(&words(fsck)[1..]));
    assert_eq!(code, 0, "{fsck}: {said}");
    assert_eq!(served.stop().0, Some(0));
    let (code, printed, said) = run(bulla().args(["up", "--print-client", "cosign-3", "--data"]).arg(&data));
    assert_eq!(code, 0, "{said}");
    let initialize = printed.lines().next().expect("a line");
    let root = words(initialize).pop().expect("a word");
    assert_eq!(Path::new(&root), data.join("tuf/repository/root.json"), "{initialize}");
    assert!(Path::new(&root).exists());
}

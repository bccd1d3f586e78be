//! `bulla serve` as those meet it who may write, may not, or not so often; and Rekor's environment.

mod common;

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use common::{ENTRY, Served, answer, bulla, exchange, log_entry, new_data, run, serve_command};

const V1: &str = "/api/v1/log/entries";
const V2: &str = "/api/v2/log/entries";
const BATCH: &str = "/api/v1/log/entries/batch";

/// Posts with more header lines.
fn post(at: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).expect("connects");
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {at}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n{body}"
    )
    .expect("sends");
    answer(&mut stream)
}

fn write_as(at: &str, forwarded: &str) -> u16 {
    post(at, V1, &format!("x-forwarded-for: {forwarded}\r\n"), "{}").0
}

#[test]
fn a_hundred_writes_a_minute_unless_it_is_said_otherwise() {
    let (_folder, data) = new_data();
    let log = Served::on(&data);
    let (code, headers, _) = log_entry(&log.http);
    assert_eq!(code, 201);
    assert!(
        headers.contains("ratelimit-limit: 100\r\nratelimit-remaining: 99\r\nratelimit-reset: 1"),
        "{headers}"
    );
    let (code, headers, _) =
        post(&log.http, BATCH, "", &format!("{{\"entries\":[{ENTRY},{ENTRY},{ENTRY}]}}"));
    assert_eq!(code, 207);
    assert!(headers.contains("ratelimit-remaining: 98"), "three entries are one write: {headers}");
    assert_eq!(log.stop().0, Some(0));

    let log = Served::start(serve_command(&data).args(["--write-limit", "0"]));
    let (code, headers, _) = log_entry(&log.http);
    assert_eq!(code, 409);
    assert!(!headers.contains("ratelimit-limit:"), "{headers}");
}

#[test]
fn too_many_writes_are_told_when_to_come_back() {
    let (_folder, data) = new_data();
    let log = Served::start(serve_command(&data).args(["--write-limit", "1"]));
    assert_eq!(post(&log.http, V1, "", "{}").0, 422);
    for path in [V1, V2, BATCH] {
        let (code, headers, body) = post(&log.http, path, "", "{}");
        assert_eq!(code, 429, "{path}");
        assert!(headers.contains("retry-after: ") && headers.contains("ratelimit-remaining: 0"), "{headers}");
        assert!(body.contains("too many writes from your address, at most 1 a minute are taken"), "{body}");
    }
    assert_eq!(write_as(&log.http, "198.51.100.1"), 429, "a stranger's word for another address is nothing");
    assert_eq!(common::get(&log.http, "/api/v1/log").0, 200);
}

#[test]
fn clients_of_a_trusted_proxy_are_told_apart() {
    let (_folder, data) = new_data();
    let args = ["--write-limit", "1", "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8"];
    let log = Served::start(serve_command(&data).args(args));
    assert_eq!(write_as(&log.http, "198.51.100.1"), 422);
    assert_eq!(write_as(&log.http, "203.0.113.9, 198.51.100.1, 10.0.0.7"), 429);
    assert_eq!(write_as(&log.http, "198.51.100.2"), 422);
}

#[test]
fn a_token_is_asked_for_and_never_logged() {
    let (folder, data) = new_data();
    let file = folder.path().join("tokens");
    fs::write(&file, "# who may write\nci: very-secret-token\n").expect("writes");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("sets");
    let log = Served::start(
        serve_command(&data).arg("--write-token-file").arg(&file).args(["--log-level", "debug"]),
    );
    for path in [V1, V2, BATCH] {
        let (code, headers, _) = post(&log.http, path, "", "{}");
        assert_eq!(code, 401, "{path}");
        assert!(headers.contains("www-authenticate: bearer"), "{headers}");
        assert_eq!(post(&log.http, path, "authorization: Bearer guessed-token\r\n", "{}").0, 401);
    }
    let (code, ..) = post(&log.http, V2, "authorization: Bearer very-secret-token\r\n", ENTRY);
    assert_eq!(code, 201);
    let (_, logged) = log.stop();
    assert!(logged.contains("others can read the write tokens (mode 644)"), "{logged}");
    assert!(logged.contains("\"token\":\"ci\""), "{logged}");
    for secret in ["very-secret-token", "guessed-token"] {
        assert!(!logged.contains(secret), "{secret} was logged");
    }
}

#[test]
fn only_allowed_keys_and_kinds_are_taken() {
    let (_folder, data) = new_data();
    let log = Served::start(serve_command(&data).args(["--allow-key", &"ab".repeat(32)]));
    let (code, _, body) = log_entry(&log.http);
    assert_eq!(code, 403);
    let (_, rest) = body.split_once("entry is signed by sha256:").expect("who signed");
    let fingerprint = &rest[..64];
    assert_eq!(log.stop().0, Some(0));

    let log = Served::start(serve_command(&data).env("BULLA_ALLOW_KEY", fingerprint));
    assert_eq!(log_entry(&log.http).0, 201);
    assert_eq!(log.stop().0, Some(0));

    let log = Served::start(serve_command(&data).args(["--kinds", "dsse,intoto"]));
    let (code, _, body) = log_entry(&log.http);
    assert!(code == 400 && body.contains("is not enabled for submission on this server"), "{code} {body}");
}

#[test]
fn options_that_cannot_be_followed_are_refused() {
    let (folder, data) = new_data();
    let empty = folder.path().join("empty");
    fs::write(&empty, "").expect("writes");
    let path = empty.display();
    for (args, said) in [
        (
            ["--kinds", "hashedrecord"],
            "bulla: --kinds: \"hashedrecord\" is none of hashedrekord, ".to_owned(),
        ),
        (
            ["--trusted-proxy", "10.0.0.1/8"],
            "has bits set behind its prefix, 10.0.0.0/8 was expected".to_owned(),
        ),
        (
            ["--allow-key", "ab"],
            "the SHA-256 of a key in PEM or DER was expected, 64 hexadecimal digits".to_owned(),
        ),
        (["--allow-issuer", "me"], "the URL of an issuer was expected".to_owned()),
        (
            ["--write-token-file", empty.to_str().expect("text")],
            format!("bulla: write tokens {path}: has no token"),
        ),
    ] {
        let (code, _, errors) = run(serve_command(&data).args(args));
        assert_eq!(code, 2, "{errors}");
        assert!(errors.contains(&said), "{errors}");
    }
    assert!(!data.exists(), "nothing was begun");
}

/// What `--print-config` says of an option.
fn in_force(command: &mut Command, option: &str) -> String {
    let (code, said, errors) = run(command.arg("--print-config"));
    assert_eq!(code, 0, "{errors}");
    let line = said.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{option} =")));
    line.unwrap_or_else(|| panic!("{option}: {said}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_environment_of_a_rekor_server_is_read_and_overruled() {
    let serve = |variables: &[(&str, &str)]| {
        let mut command = bulla();
        command.arg("serve").envs(variables.iter().copied());
        command
    };
    let database = [("REKOR_DB_DRIVER", "sqlite3"), ("REKOR_DB_FILE", "/tmp/none/rekor.db")];
    let retention = [("REKOR_DB_RETENTION_DAYS", "90")];
    let dev = [("REKOR_DEV_MODE", "true")];
    for (variables, option, expected) in [
        (&database[..], "data", "data = \"/tmp/none/rekor.db\" # environment REKOR_DB_FILE"),
        (&retention, "retention", "retention = \"90d\" # environment REKOR_DB_RETENTION_DAYS"),
        (&dev, "write-limit", "write-limit = 0 # environment REKOR_DEV_MODE"),
        (&dev, "log-format", "log-format = \"human\" # environment REKOR_DEV_MODE"),
        (&dev, "http", "http = \"127.0.0.1:3000\" # default"),
        (&[("REKOR_LOG_TYPE", "prod")], "log-format", "log-format = \"json\" # environment REKOR_LOG_TYPE"),
        (
            &[("REKOR_REKOR_SERVER", "https://x"), ("REKOR_FORMAT", "json")],
            "data",
            "data = \"bulla-data\" # default",
        ),
    ] {
        assert_eq!(in_force(&mut serve(variables), option), expected);
    }
    // What was said to us counts more.
    assert_eq!(in_force(serve(&database).args(["--data", "/d"]), "data"), "data = \"/d\" # command line");
    assert_eq!(
        in_force(serve(&database).env("BULLA_DATA", "/d"), "data"),
        "data = \"/d\" # environment BULLA_DATA"
    );
    // The place of the log counts more than a file's, a default less.
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("bulla.toml");
    fs::write(&file, "data = \"/f\"\nwrite-limit = 7\n").expect("writes");
    let with_file =
        |variables: &[(&str, &str)], option| in_force(serve(variables).arg("--config").arg(&file), option);
    assert_eq!(with_file(&database, "data"), "data = \"/tmp/none/rekor.db\" # environment REKOR_DB_FILE");
    assert_eq!(with_file(&dev, "write-limit"), format!("write-limit = 7 # {}", file.display()));
    // Other commands that work on the log find it, and those that do not are left alone.
    let mut freeze = bulla();
    freeze.arg("freeze").envs(database);
    assert_eq!(in_force(&mut freeze, "data"), "data = \"/tmp/none/rekor.db\" # environment REKOR_DB_FILE");
    let (code, _, errors) = run(bulla().args(["fsck", "/tmp/none"]).env("REKOR_DB_HOST", "x"));
    assert!(code != 0 && !errors.contains("REKOR"), "{errors}");
}

#[test]
fn an_environment_that_cannot_be_honoured_is_refused() {
    for (name, value, said) in [
        (
            "REKOR_DB_HOST",
            "db",
            "of REKOR_DB_… there are REKOR_DB_DRIVER, REKOR_DB_FILE and REKOR_DB_RETENTION_DAYS",
        ),
        ("REKOR_DB_DRIVER", "mysql", "set sqlite3, or unset it"),
        ("REKOR_DB_FILE", "/etc/hosts", "where there is a file: the log is a directory"),
        ("REKOR_DB_RETENTION_DAYS", "soon", "1 to 36500 days were expected"),
        ("REKOR_LOG_TYPE", "json", "dev or prod was expected"),
    ] {
        let (code, _, errors) = run(bulla().arg("serve").env(name, value));
        assert_eq!(code, 2, "{errors}");
        assert!(errors.starts_with(&format!("bulla: {name} is ")) && errors.contains(said), "{errors}");
    }
}

#[test]
fn serve_says_what_it_honours() {
    let (folder, _) = new_data();
    let place = folder.path().join("rekor.db");
    let free = "127.0.0.1:0";
    let mut command = bulla();
    command.args(["serve", "--http", free, "--grpc", free, "--metrics", free, "--write-limit", "50"]);
    command.env("REKOR_DB_DRIVER", "sqlite3").env("REKOR_DB_FILE", &place).env("REKOR_LOG_TYPE", "dev");
    let log = Served::start(
        command.env("REKOR_REKOR_SERVER", "https://elsewhere.example").env("BULLA_DISK_RESERVE", "0"),
    );
    assert!(place.join("log.key").exists(), "the log is there");
    let (_, headers, _) = exchange(&log.http, "POST", V2, "{}");
    assert!(headers.contains("ratelimit-limit: 50"), "{headers}");
    let (code, logged) = log.stop();
    assert_eq!(code, Some(0));
    for line in [
        "REKOR_DB_DRIVER is honoured: the embedded store".to_owned(),
        format!("REKOR_DB_FILE is honoured: the log is the directory {}", place.display()),
        "REKOR_LOG_TYPE is honoured: development defaults: loopback, logs as text, no limit of writes; --write-limit is set \
         otherwise, which counts"
            .to_owned(),
    ] {
        assert!(logged.contains(&line), "{line} is not in: {logged}");
    }
    assert!(!logged.contains("REKOR_REKOR_SERVER"), "{logged}");
}

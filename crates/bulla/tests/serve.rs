//! `bulla serve` as an operator meets it: first run, restart, health, metrics, stop, freeze, trust files.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use common::{ENTRY, Served, bulla, get, log_entry, new_data, run, serve_command};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[test]
fn first_run_makes_an_owner_only_log_and_says_what_to_type_next() {
    let (folder, data) = new_data();
    let log = Served::on(&data);
    assert_eq!((mode(&data), mode(&data.join("log.key"))), (0o700, 0o600));
    let public = fs::read_to_string(data.join("log.pub")).expect("made");
    let vkey = fs::read_to_string(data.join("log.vkey")).expect("made");
    assert!(vkey.starts_with("localhost+"), "{vkey}");
    for said in
        [public.as_str(), vkey.trim_end(), &data.display().to_string(), "started the new log \"localhost\""]
    {
        assert!(log.greeting.contains(said), "{said:?} is not in: {}", log.greeting);
    }

    // The first of the two commands, as printed, pasted into a shell.
    let (_, rest) = log.greeting.split_once("Log the signature of a file:\n\n").expect("a command");
    let (script, rest) = rest.split_once("\n\nCheck the whole log:\n\n").expect("another");
    let mut shell = Command::new("sh");
    let (code, answer, errors) = run(shell.args(["-euc", script]).current_dir(folder.path()));
    assert_eq!(code, 0, "{errors}");
    assert!(answer.contains(r#""logIndex":"0""#), "{answer}");

    // The second.
    let mut words = rest.split_whitespace();
    assert_eq!(words.next(), Some("bulla"));
    let (code, said, errors) = run(bulla().args(words));
    assert_eq!(code, 0, "{said}{errors}");
    assert_eq!(log.stop().0, Some(0));
}

#[test]
fn a_restart_continues_the_same_log() {
    let (_folder, data) = new_data();
    let first = Served::on(&data);
    assert_eq!(log_entry(&first.http).0, 201);
    let (code, logged) = first.stop();
    assert_eq!(code, Some(0), "{logged}");
    let vkey = fs::read_to_string(data.join("log.vkey")).expect("made");

    let second = Served::on(&data);
    assert!(
        second.greeting.contains("continues, after 1 entries, the log \"localhost\""),
        "{}",
        second.greeting
    );
    assert!(second.greeting.contains(vkey.trim_end()));
    let (code, headers, _) = log_entry(&second.http);
    assert_eq!(code, 409, "it remembers what it has");
    assert!(headers.contains("x-log-index: 0"), "{headers}");
}

#[test]
fn health_readiness_front_page_and_metrics_answer() {
    let (_folder, data) = new_data();
    let log = Served::on(&data);
    let (code, headers, body) = get(&log.http, "/healthz");
    assert_eq!((code, body.as_str()), (200, r#"{"status":"SERVING"}"#));
    assert!(headers.contains("content-type: application/json"), "{headers}");
    let (code, _, body) = get(&log.http, "/readyz");
    assert_eq!(code, 200, "{body}");
    assert!(body.contains(r#""problems":[]"#), "{body}");
    let (code, headers, body) = get(&log.http, "/");
    assert_eq!(code, 200);
    assert!(
        headers.contains("text/plain") && body.contains("the transparency log \"localhost\", with 0 entries")
    );
    assert_eq!(get(&log.http, "/nothing").0, 404);

    assert_eq!(log_entry(&log.http).0, 201);
    let (code, _, body) = get(&log.metrics, "/metrics");
    assert_eq!(code, 200);
    for metric in [
        "bulla_tree_size 1",
        "bulla_ready 1",
        "bulla_commit_failures_total 0",
        "bulla_commit_seconds_bucket{le=\"0.0001\"}",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "bulla_build_info{version=",
    ] {
        assert!(body.contains(metric), "{metric} is not in {body}");
    }
}

#[test]
fn readiness_fails_when_the_disk_is_too_full() {
    let (_folder, data) = new_data();
    let log = Served::start(serve_command(&data).args(["--disk-reserve", "9000000GiB"]));
    let (code, _, body) = get(&log.http, "/readyz");
    assert_eq!(code, 503);
    assert!(body.contains("bytes are free on the disk, less than the reserve of"), "{body}");
    assert_eq!(get(&log.http, "/healthz").0, 200, "the process is alive all the same");
}

#[test]
fn a_stop_answers_what_was_accepted_and_takes_nothing_more() {
    let (_folder, data) = new_data();
    let log = Served::on(&data);
    let http = log.http.clone();
    // A request whose last byte comes after the signal.
    let (most, last) = ENTRY.split_at(ENTRY.len() - 1);
    let mut stream = TcpStream::connect(&http).expect("connects");
    let length = ENTRY.len();
    write!(
        stream,
        "POST /api/v2/log/entries HTTP/1.1\r\nhost: log\r\ncontent-length: {length}\r\n\r\n{most}"
    )
    .expect("sends");
    // An answer on another connection shows that the first one was accepted before.
    assert_eq!(get(&http, "/healthz").0, 200);
    let stopping = std::thread::spawn(move || log.stop());
    while TcpStream::connect(&http).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(last.as_bytes()).expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let (code, logged) = stopping.join().expect("stops");
    assert_eq!(code, Some(0), "{logged}");
    assert!(logged.contains("stopped"), "{logged}");
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let (_folder, data) = new_data();
    let log = Served::start(serve_command(&data).args(["--stop-timeout", "100ms"]));
    let mut stream = TcpStream::connect(&log.http).expect("connects");
    write!(stream, "POST /api/v2/log/entries HTTP/1.1\r\nhost: log\r\ncontent-length: 10\r\n\r\n{{")
        .expect("sends");
    assert_eq!(get(&log.http, "/healthz").0, 200);
    let (code, logged) = log.stop();
    assert_eq!(code, Some(0));
    assert!(logged.contains("cut off"), "{logged}");
}

#[test]
fn a_client_that_says_nothing_is_cut_off() {
    let (_folder, data) = new_data();
    let log = Served::start(serve_command(&data).args(["--header-timeout", "200ms"]));
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(&log.http).expect("connects");
        stream.write_all(beginning.as_bytes()).expect("sends");
        let mut rest = Vec::new();
        // A reset is as good an end as an empty answer.
        let _reset = stream.read_to_end(&mut rest);
    }
    let mut stream = TcpStream::connect(&log.http).expect("connects");
    let header = "x".repeat(100_000);
    let _refused = write!(stream, "GET / HTTP/1.1\r\nhost: log\r\nx-long: {header}\r\n\r\n");
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn a_frozen_log_serves_and_takes_nothing() {
    let (_folder, data) = new_data();
    let log = Served::on(&data);
    assert_eq!(log_entry(&log.http).0, 201);

    let (code, _, errors) = run(bulla().arg("freeze").arg("--data").arg(&data));
    assert_eq!(code, 2);
    assert!(errors.contains("is in use by another process: stop `bulla serve` first"), "{errors}");
    assert_eq!(log.stop().0, Some(0));

    let (code, note, errors) = run(bulla().arg("freeze").arg("--data").arg(&data));
    assert_eq!(code, 0, "{errors}");
    let lines: Vec<_> = note.lines().collect();
    assert_eq!(lines[..2], ["localhost", "1"]);
    assert!(lines[3].starts_with("Log frozen — ") && lines[3].contains(" UTC 20"), "{note}");
    let (code, again, errors) = run(bulla().arg("freeze").arg("--data").arg(&data));
    assert_eq!((code, again), (0, note.clone()));
    assert!(errors.contains("was frozen before"), "{errors}");

    let log = Served::on(&data);
    assert!(log.greeting.contains("serves, with its final 1 entries, the frozen log"), "{}", log.greeting);
    let (code, _, body) = log_entry(&log.http);
    assert_eq!((code, body.as_str()), (405, "This log has been frozen, please switch to the latest log.\n"));
    assert_eq!(get(&log.http, "/checkpoint").2, note);
    assert_eq!(get(&log.http, "/readyz").0, 200);
}

#[test]
fn a_read_only_log_takes_nothing_for_now() {
    let (_folder, data) = new_data();
    let log = Served::start(serve_command(&data).arg("--read-only"));
    assert!(log.greeting.contains("adds nothing to its 0 entries"), "{}", log.greeting);
    assert_eq!(get(&log.http, "/readyz").0, 200);
    assert_eq!(log_entry(&log.http).0, 405);
    assert_eq!(log.stop().0, Some(0));
    assert_eq!(log_entry(&Served::on(&data).http).0, 201);
}

#[test]
fn trust_files_name_this_log_and_are_served() {
    let (_folder, data) = new_data();
    let log = Served::start(serve_command(&data).args(["--operator", "example.org"]));
    let port = log.http.rsplit(':').next().expect("a port");
    for (word, path) in [("root", "/trusted_root.json"), ("signing-config", "/signing_config.v0.2.json")] {
        let (code, printed, errors) =
            run(bulla().args(["trust", word, "--operator", "example.org", "--data"]).arg(&data));
        assert_eq!(code, 0, "{errors}");
        assert!(printed.contains(&format!("\"http://localhost:{port}\"")), "{printed}");
        assert_eq!(get(&log.http, path).2, printed, "{path}");
    }
    let (code, _, errors) =
        run(bulla().args(["trust", "root", "--url", "https://log.example.org", "--data"]).arg(&data));
    assert_eq!(code, 2);
    assert!(errors.contains("has the host \"log.example.org\", the log signs as \"localhost\""), "{errors}");
    let (code, _, errors) = run(bulla().args(["trust", "root", "--data", "/nonexistent"]));
    assert_eq!(code, 2);
    assert!(errors.contains("/nonexistent holds no log"), "{errors}");
}

/// What follows a request on the wire does not hold back its answer.
#[test]
fn answers_do_not_wait_for_what_follows_the_request() {
    let (_folder, data) = new_data();
    let log = Served::on(&data);
    for after in ["\r\n", "GARBAGE\r\n\r\n", "GET /checkpo"] {
        let mut stream = TcpStream::connect(&log.http).expect("connects");
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: log\r\n\r\n{after}").expect("sends");
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("answers");
        assert_eq!(&start, b"HTTP/1.1 200", "after {after:?}");
    }
}

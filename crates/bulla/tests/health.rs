//! `bulla health` against servers that answer well, otherwise, and not at all.

mod common;

use std::net::TcpListener;

use common::{answering, bulla, run};

fn health(args: &[&str]) -> (i32, String, String) {
    run(bulla().arg("health").args(args))
}

#[test]
fn a_server_that_serves() {
    let host = answering(|path| {
        let status = if path == "/healthz" { 200 } else { 503 };
        (status, "application/json", b"{}".to_vec())
    });
    let url = format!("http://{host}/healthz");
    assert_eq!(health(&[&url]), (0, format!("{url}: 200 OK\n"), String::new()));
    let url = format!("http://{host}/readyz");
    assert_eq!(health(&[&url]), (1, String::new(), format!("bulla: {url}: 503 Service Unavailable\n")));
}

#[test]
fn a_server_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let late = (1, String::new(), format!("bulla: {url}: operation timed out\n"));
    assert_eq!(health(&[&url, "--timeout", "100ms"]), late);
    drop(listener);
    let refused = (1, String::new(), format!("bulla: {url}: Connection refused (os error 111)\n"));
    assert_eq!(health(&[&url]), refused);
}

#[test]
fn what_is_no_url_of_a_server() {
    let (code, _, errors) = health(&["ftp://example.org/"]);
    assert_eq!((code, errors.as_str()), (2, "bulla: scheme is \"ftp\", one of http or https was expected\n"));
    let (code, _, errors) = health(&["localhost"]);
    assert_eq!(code, 2);
    assert!(errors.contains("'localhost'") && errors.contains("relative URL without a base"), "{errors}");
}

//! Whoever is refused leaves nothing behind. A test of its own process, since it looks at the memory of all of it.

#[path = "authority/support.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other tests")]
mod support;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::api::fulcio::routes;
use bulla_claims::keys::public_key_pem;
use http::Request;
use serde_json::json;
use tower::ServiceExt as _;

use support::{EMAIL, FakeLog, fulcio, p256};

/// Memory in use, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn ten_thousand_refusals_leave_memory_as_it_was() {
    let (_, fulcio) = fulcio(Some(FakeLog::new())).await;
    let routes = routes(fulcio);
    let key = p256();
    let refuse = async |at: usize| {
        // Each is another one: refused for its token, its key, its proof, or its size.
        let token = if at.is_multiple_of(4) { format!("bad {at}") } else { "good".to_owned() };
        let content =
            if at % 4 == 1 { STANDARD.encode(format!("no key {at}")) } else { public_key_pem(key.spki()) };
        let proof = key.sign(format!("not {EMAIL} {at}").as_bytes()).expect("signs");
        let mut body = json!({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"content": content},
                "proofOfPossession": STANDARD.encode(proof),
            },
        })
        .to_string();
        if at % 4 == 3 {
            body.push_str(&" ".repeat(70_000));
        }
        let request = Request::post("/api/v2/signingCert").body(Body::from(body)).expect("a request");
        let status = routes.clone().oneshot(request).await.expect("answers").status().as_u16();
        assert_eq!(status, if at % 4 == 3 { 413 } else { 400 });
    };
    for at in 0..1000 {
        refuse(at).await;
    }
    let before = resident_kib();
    for at in 0..10_000 {
        refuse(at).await;
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 2048, "grew by {grown} KiB");
}

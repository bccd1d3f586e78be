//! The client, before our own doors and before servers that answer what they should not.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use bulla_authority::api::fulcio::{Fulcio, routes};
use bulla_authority::client::CaClient;
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use super::support::*;

/// Serves on loopback, and returns the URL.
async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_key_is_certified() {
    let (hierarchy, fulcio): (Hierarchy, Arc<Fulcio>) = fulcio(Some(FakeLog::new())).await;
    let url = served(Router::new().nest("/below", routes(fulcio))).await;
    let client = CaClient::new(&format!("{url}/below/")).expect("a URL");
    let chain = client.certify("good", &p256(), EMAIL).await.expect("certificates");
    assert_eq!(chain[1..], [hierarchy.intermediate, hierarchy.root]);
    let refused = client.certify("bad", &p256(), EMAIL).await.expect_err("is refused").to_string();
    assert_eq!(
        refused,
        format!(
            "certificate authority at {url}/below/api/v2/signingCert refused with status 400: identity token: aud is \"x\", \"sigstore\" was expected"
        )
    );
    let down = client.certify("unreachable", &p256(), EMAIL).await.expect_err("does not answer").to_string();
    assert!(down.ends_with("does not answer: status 503 Service Unavailable, the certificate authority cannot answer now, try again later"), "{down}");
}

#[tokio::test]
async fn wrong_answers_are_refused() {
    let hierarchy = Hierarchy::new().await;
    let foreign = json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": [certificate_pem(&hierarchy.root)]}}});
    for (status, answer, problem) in [
        (200, "<html>".to_owned(), "no certificate in JSON: expected value at line 1 column 1"),
        (200, "{}".to_owned(), "0 certificates, 1 to 10 were expected"),
        (
            200,
            json!({"signedCertificateDetachedSct": {"chain": {"certificates": []}}}).to_string(),
            "its timestamp is beside the certificate, one in the certificate was expected",
        ),
        (200, foreign.to_string(), "certificate 1 is for another key than the one that was sent"),
        (200, " ".repeat(300 << 10), "its answer is over 262144 bytes"),
        (302, String::new(), "refused with status 302: "),
    ] {
        let answering = move || async move { (StatusCode::from_u16(status).expect("a status"), answer) };
        let url = served(Router::new().route("/api/v2/signingCert", post(answering))).await;
        let client = CaClient::new(&url).expect("a URL");
        let told = client.certify("good", &p256(), EMAIL).await.expect_err("is refused").to_string();
        assert!(told.ends_with(problem), "{told}");
    }
}

#[test]
fn only_servers_are_asked() {
    for url in ["ftp://x", "https://x?y", "https://x#y"] {
        let refused = CaClient::new(url).expect_err("is refused").to_string();
        assert_eq!(
            refused,
            format!("certificate authority {url:?}: https://HOST or http://HOST was expected")
        );
    }
    assert!(CaClient::new("x").is_err());
}

use std::net::{IpAddr, Ipv4Addr};

use axum::Extension;
use jiff::Timestamp;

use super::*;
use crate::api::dev::{Peer, routes};
use crate::dev::DevIssuer;
use crate::oidc::{HttpSettings, Issuers, Name, Verifier};

const LONG: Duration = Duration::from_mins(1);

async fn issuer() -> (String, Verifier) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let issuer = Arc::new(DevIssuer::with_new_key(&url).expect("an issuer"));
    let mut issuers = Issuers::default();
    issuers.add(issuer.entry("sigstore").expect("an entry")).expect("is added");
    let router = routes(issuer).layer(Extension(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST))));
    tokio::spawn(axum::serve(listener, router).into_future());
    (url, Verifier::new(issuers, &HttpSettings::default()).expect("a verifier"))
}

fn sign_in(url: &str, timeout: Duration) -> SignIn {
    SignIn::new(url, "sigstore", "", timeout).expect("a client")
}

/// What a browser posts that was sent to an address, and the person in front of it.
async fn approve(address: &str) -> reqwest::Response {
    let url = Url::parse(address).expect("a URL");
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(url.query_pairs())
        .append_pair("email", "jane@example.org")
        .finish();
    let mut action = url.clone();
    action.set_query(None);
    reqwest::Client::new().post(action).body(form).send().await.expect("an answer")
}

async fn is_jane(verifier: &Verifier, token: Result<Token, SourceError>) {
    let token = token.expect("a token");
    let identity = verifier.verify(token.text(), Timestamp::now()).await.expect("is believed");
    assert_eq!(identity.name, Name::Email("jane@example.org".to_owned()));
}

#[tokio::test]
async fn by_the_browser_here() {
    let (url, verifier) = issuer().await;
    let (sender, address) = oneshot::channel();
    let browser = tokio::spawn(async move {
        let address: String = address.await.expect("an address");
        // Others call first, who were not sent by us.
        let query: std::collections::HashMap<String, String> =
            Url::parse(&address).expect("a URL").query_pairs().into_owned().collect();
        let forged = format!("{}?code=forged&state=forged", query["redirect_uri"]);
        let page = reqwest::get(forged).await.expect("an answer").text().await.expect("a page");
        assert!(page.contains("This answers another request"), "{page}");
        // The client follows to the listener.
        approve(&address).await.text().await.expect("a page")
    });
    let token =
        sign_in(&url, LONG).interactive(|address| sender.send(address.to_owned()).expect("a browser")).await;
    is_jane(&verifier, token).await;
    assert!(browser.await.expect("no panic").contains("Go back to the terminal"));
}

#[tokio::test]
async fn an_issuer_that_says_no_is_repeated() {
    let (url, _) = issuer().await;
    let (sender, address) = oneshot::channel::<String>();
    tokio::spawn(async move {
        let address = Url::parse(&address.await.expect("an address")).expect("a URL");
        let query: std::collections::HashMap<String, String> = address.query_pairs().into_owned().collect();
        let denied = format!("{}?error=access_denied&state={}", query["redirect_uri"], query["state"]);
        reqwest::get(denied).await.expect("an answer");
    });
    let token =
        sign_in(&url, LONG).interactive(|address| sender.send(address.to_owned()).expect("a browser")).await;
    let said = token.expect_err("is refused").to_string();
    assert_eq!(said, "identity token from signing in: it answers \"access_denied\" \"\"");
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_asked() {
    let (url, _) = issuer().await;
    let token = sign_in(&url, Duration::from_millis(10)).interactive(|_address| {}).await;
    let said = token.expect_err("is refused").to_string();
    assert_eq!(said, "identity token from signing in: nobody signed in for 0 s");
}

#[tokio::test]
async fn by_a_code_that_is_carried() {
    let (url, verifier) = issuer().await;
    let typed = async |address: &str| {
        let page = approve(address).await.text().await.expect("a page");
        let code = page.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next());
        Ok(format!(" {}\n", code.expect("a code")))
    };
    is_jane(&verifier, sign_in(&url, LONG).out_of_band(typed).await).await;
    let wrong = sign_in(&url, LONG).out_of_band(async |_address| Ok("wrong".to_owned())).await;
    let said = wrong.expect_err("is refused").to_string();
    assert!(said.starts_with("identity token from signing in: it answers \"invalid_grant\""), "{said}");
}

#[tokio::test]
async fn by_a_browser_elsewhere() {
    let (url, verifier) = issuer().await;
    let token = sign_in(&url, LONG)
        .device(async |code, page| {
            assert!(page.ends_with(&format!("/device?user_code={code}")), "{page}");
            assert_eq!(approve(page).await.status(), 200);
        })
        .await;
    is_jane(&verifier, token).await;
}

#[test]
fn issuers_are_secure() {
    let said = SignIn::new("http://example.org", "sigstore", "", LONG).expect_err("is refused").to_string();
    assert!(
        said.ends_with("issuer is \"http://example.org\", https is expected, or http on a loopback address"),
        "{said}"
    );
}

#[test]
fn a_token_for_another_request_is_refused() {
    let token = |claims: Value| {
        let text = format!("e30.{}.AA", URL_SAFE_NO_PAD.encode(claims.to_string()));
        token_in(&serde_json::json!({"id_token": text}), Some("n")).map(|_token| ())
    };
    assert_eq!(token(serde_json::json!({"nonce": "n"})), Ok(()));
    for claims in [serde_json::json!({"nonce": "m"}), serde_json::json!({}), serde_json::json!(7)] {
        assert!(token(claims).is_err());
    }
    assert!(token_in(&serde_json::json!({"access_token": "a.b.c"}), None).is_err());
}

//! Where keys come from: rotation, outage, withdrawal, and answers that are not to be believed. Times are given, so that hours
//! pass at once.

use super::*;
use crate::oidc::Fault;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// A token that is good for days.
fn lasting(signer: &Signer, id: &str, issuer: &str) -> String {
    signer.token(id, &changed(issuer, "exp", json!(NOW + 72 * HOUR)))
}

async fn unreachable(verifier: &Verifier, token: &str, second: i64) -> String {
    let error = verifier.verify(token, at(second)).await.expect_err("is refused");
    assert_eq!(error.fault(), Fault::World, "{error}");
    error.to_string()
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_who_wait() {
    let (local, signer) = (Local::start().await, Signer::p256());
    local.publish(&[("a", &signer)]);
    let verifier = Arc::new(asking(&format!("url = {:?}", local.url())));
    let token = lasting(&signer, "a", &local.url());
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (verifier, token) = (verifier.clone(), token.clone());
            tokio::spawn(async move { verifier.verify(&token, at(0)).await })
        })
        .collect();
    for waiting in waiting {
        waiting.await.expect("no panic").expect("is believed");
    }
    assert_eq!(local.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_looked_for_once_in_ten_seconds() {
    let (local, old, new) = (Local::start().await, Signer::p256(), Signer::p256());
    local.publish(&[("old", &old)]);
    let verifier = asking(&format!("url = {:?}", local.url()));
    let (with_old, with_new) = (lasting(&old, "old", &local.url()), lasting(&new, "new", &local.url()));
    verifier.verify(&with_old, at(0)).await.expect("is believed");
    local.publish(&[("old", &old), ("new", &new)]);
    // Strangers make up names.
    for number in 0..100 {
        let made_up = lasting(&new, &format!("made-up-{number}"), &local.url());
        let error = verifier.verify(&made_up, at(9)).await.expect_err("is refused");
        assert_eq!(error.fault(), Fault::Client);
    }
    assert_eq!(local.asked(), 1);
    verifier.verify(&with_new, at(10)).await.expect("is believed");
    verifier.verify(&with_old, at(10)).await.expect("is believed");
    assert_eq!(local.asked(), 2);
    // The old key is withdrawn, which is known from the next answer on.
    local.publish(&[("new", &new)]);
    verifier.verify(&with_old, at(11)).await.expect("is believed still");
    let made_up = lasting(&new, "made-up", &local.url());
    assert!(verifier.verify(&made_up, at(20)).await.is_err());
    assert_eq!(local.asked(), 3);
    let error = verifier.verify(&with_old, at(21)).await.expect_err("is refused");
    assert!(matches!(error, TokenError::UnknownKey { .. }), "{error}");
    verifier.verify(&with_new, at(21)).await.expect("is believed");
}

#[tokio::test]
async fn keys_outlive_an_outage_of_a_day() {
    let (local, signer) = (Local::start().await, Signer::p256());
    local.publish(&[("a", &signer)]);
    let verifier = asking(&format!("url = {:?}", local.url()));
    let token = lasting(&signer, "a", &local.url());
    verifier.verify(&token, at(0)).await.expect("is believed");
    local.odd(CONFIGURATION, 500, "", b"");
    for hour in 1..24 {
        verifier.verify(&token, at(hour * HOUR)).await.expect("is believed");
    }
    let said = unreachable(&verifier, &token, 24 * HOUR).await;
    let expected = format!(
        "keys of {0} are not to be had: \"{0}{CONFIGURATION}\" answers 500 Internal Server Error",
        local.url()
    );
    assert_eq!(said, expected);
    // A new key cannot be told from a made-up one meanwhile.
    local.even();
    verifier.verify(&token, at(24 * HOUR + 10)).await.expect("is believed again");
    local.odd(CONFIGURATION, 500, "", b"");
    let other = lasting(&signer, "b", &local.url());
    unreachable(&verifier, &other, 24 * HOUR + 20).await;
    unreachable(&verifier, &other, 24 * HOUR + 21).await;
    verifier.verify(&token, at(24 * HOUR + 21)).await.expect("is believed");
}

#[tokio::test]
async fn keys_are_refreshed_before_they_are_stale() {
    let (local, old, new) = (Local::start().await, Signer::p256(), Signer::p256());
    local.publish(&[("old", &old)]);
    let verifier = asking(&format!("url = {:?}", local.url()));
    let (with_old, with_new) = (lasting(&old, "old", &local.url()), lasting(&new, "new", &local.url()));
    verifier.verify(&with_old, at(0)).await.expect("is believed");
    local.publish(&[("new", &new)]);
    verifier.verify(&with_old, at(15 * MINUTE - 1)).await.expect("is believed");
    // What is refreshed behind the back answers from the old set.
    verifier.verify(&with_old, at(15 * MINUTE)).await.expect("is believed");
    // Who needs the new one waits for the same answer.
    verifier.verify(&with_new, at(15 * MINUTE + 1)).await.expect("is believed");
    assert_eq!(local.asked(), 2);
    assert!(verifier.verify(&with_old, at(15 * MINUTE + 1)).await.is_err());
    // After an hour nothing is believed before the issuer was asked.
    local.publish(&[("old", &old)]);
    assert!(verifier.verify(&with_new, at(2 * HOUR)).await.is_err());
    assert_eq!(local.asked(), 3);
}

#[tokio::test]
async fn answers_that_are_not_to_be_believed() {
    let (local, other, signer) = (Local::start().await, Local::start().await, Signer::p256());
    local.publish(&[("a", &signer)]);
    other.publish(&[("a", &signer)]);
    let url = local.url();
    let token = lasting(&signer, "a", &url);
    let configuration = |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys}).to_string();
    let huge = " ".repeat((512 << 10) + 1);
    let port = local.address.port();
    for (path, status, location, body, said) in [
        (
            CONFIGURATION,
            200,
            String::new(),
            configuration("https://other.example", &format!("{url}/keys")),
            format!("{url}{CONFIGURATION} is of the issuer \"https://other.example\""),
        ),
        (
            CONFIGURATION,
            200,
            String::new(),
            configuration(&url, "http://other.example/keys"),
            "jwks_uri \"http://other.example/keys\": https was expected".to_owned(),
        ),
        (
            CONFIGURATION,
            200,
            String::new(),
            configuration(&url, "file:///etc/passwd"),
            "jwks_uri \"file:///etc/passwd\": https was expected".to_owned(),
        ),
        (
            CONFIGURATION,
            200,
            String::new(),
            huge.clone(),
            "its answer is longer than 524288 bytes".to_owned(),
        ),
        ("/keys", 200, String::new(), huge, "its answer is longer than 524288 bytes".to_owned()),
        (CONFIGURATION, 200, String::new(), "{}".to_owned(), "missing field `issuer`".to_owned()),
        ("/keys", 200, String::new(), "{\"keys\": []}".to_owned(), "has no key that signs".to_owned()),
        ("/keys", 404, String::new(), String::new(), "answers 404 Not Found".to_owned()),
        ("/keys", 302, format!("{}/keys", other.url()), String::new(), "which is another host".to_owned()),
        (
            "/keys",
            302,
            format!("http://localhost:{port}/keys"),
            String::new(),
            "which is another host".to_owned(),
        ),
        (
            "/keys",
            302,
            format!("https://127.0.0.1:{port}/keys"),
            String::new(),
            "which is another host".to_owned(),
        ),
        ("/keys", 302, format!("{url}/keys"), String::new(), "it redirects too often".to_owned()),
    ] {
        local.even();
        local.odd(path, status, &location, body.as_bytes());
        let verifier = asking(&format!("url = {url:?}"));
        let found = unreachable(&verifier, &token, 0).await;
        assert!(found.contains(&said), "{found}\n{said}");
        // It is not asked again for every token.
        let before = local.served.asked.lock().expect("whole").len();
        unreachable(&verifier, &token, 9).await;
        assert_eq!(local.served.asked.lock().expect("whole").len(), before);
    }
    local.even();
    local.odd("/keys", 302, &format!("{url}/moved/keys"), b"");
    asking(&format!("url = {url:?}"))
        .verify(&token, at(0))
        .await
        .expect("a redirect on the same host is followed");
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn nobody_answers() {
    // A port that was given back.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let signer = Signer::p256();
    let said = unreachable(&asking(&format!("url = {url:?}")), &lasting(&signer, "a", &url), 0).await;
    assert!(said.starts_with(&format!("keys of {url} are not to be had: ")), "{said}");
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up() {
    // It listens and never accepts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let issuers = Issuers::parse(&format!("[[issuer]]\nurl = {url:?}\ntype = \"email\"")).expect("issuers");
    let settings = HttpSettings { timeout: std::time::Duration::from_millis(50), ..HttpSettings::default() };
    let verifier = Verifier::new(issuers, &settings).expect("a verifier");
    let said = unreachable(&verifier, &lasting(&Signer::p256(), "a", &url), 0).await;
    assert!(said.contains("timed out"), "{said}");
}

#[tokio::test]
async fn an_issuer_that_a_wildcard_covers_has_its_own_keys() {
    let (local, signer) = (Local::start().await, Signer::p256());
    local.publish(&[("a", &signer)]);
    let verifier = asking(&format!("wildcard = \"{}/*\"", local.url()));
    for name in ["one", "two"] {
        let issuer = format!("{}/{name}", local.url());
        let identity = verifier.verify(&lasting(&signer, "a", &issuer), at(0)).await.expect("is believed");
        assert_eq!(identity.extensions.issuer, issuer);
    }
    assert_eq!((local.asked(), verifier.on_demand()), (2, 2));
    assert!(verifier.verify(&lasting(&signer, "a", &local.url()), at(0)).await.is_err());
}

#[tokio::test]
async fn made_up_issuers_are_bounded_and_drive_out_none_that_is() {
    let (local, signer) = (Local::start().await, Signer::p256());
    local.publish(&[("a", &signer)]);
    let verifier = asking(&format!("wildcard = \"{}/*\"", local.url()));
    let real = lasting(&signer, "a", &format!("{}/real", local.url()));
    verifier.verify(&real, at(0)).await.expect("is believed");
    // Ten thousand of them, which no issuer is asked about.
    let client = client(&HttpSettings::default(), &Authorities::default()).expect("a client");
    let make_up = || {
        let mut on_demand = verifier.on_demand.lock().expect("whole");
        for number in 0..10_000 {
            on_demand.take(&format!("{}/{number}", local.url()), || Source::Discovery {
                client: client.clone(),
                max_body_bytes: 0,
                permits: None,
            });
        }
    };
    make_up();
    assert_eq!(verifier.on_demand(), MOST_ON_DEMAND);
    verifier.verify(&real, at(1)).await.expect("is believed");
    assert_eq!(local.asked(), 1, "the real one is remembered");
}

#[tokio::test]
async fn ten_thousand_refused_tokens_leave_nothing() {
    // Nobody answers there, and no more are asked than may be.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let issuers =
        Issuers::parse(&format!("[[issuer]]\nwildcard = \"{url}/*\"\ntype = \"email\"")).expect("issuers");
    let settings = HttpSettings { max_requests: 0, ..HttpSettings::default() };
    let verifier = Verifier::new(issuers, &settings).expect("a verifier");
    for number in 0..10_000 {
        let issuer = format!("{url}/{number}");
        let signed = unsigned(&json!({"alg": "ES256", "kid": number.to_string()}), &claims(&issuer));
        let error = verifier.verify(&format!("{signed}.AAAA"), at(0)).await.expect_err("is refused");
        assert_eq!(error.fault(), Fault::World);
    }
    assert_eq!(verifier.on_demand(), MOST_ON_DEMAND);
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().expect("a directory");
    let (path, keys) = (folder.path().join("issuers.toml"), folder.path().join("keys.json"));
    let (old, new) = (Signer::p256(), Signer::rsa());
    std::fs::write(&keys, json!({"keys": [old.jwk("old")]}).to_string()).expect("is written");
    let issuer = "https://i.example";
    let entry = format!("[[issuer]]\nurl = {issuer:?}\ntype = \"email\"\njwks-file = \"keys.json\"");
    std::fs::write(&path, entry).expect("is written");
    let issuers = Issuers::read(&path).expect("issuers");
    let verifier = Verifier::new(issuers, &HttpSettings::default()).expect("a verifier");
    let (with_old, with_new) = (old.token("old", &claims(issuer)), new.token("new", &claims(issuer)));
    verifier.verify(&with_old, at(0)).await.expect("is believed");
    assert!(verifier.verify(&with_new, at(0)).await.is_err());
    std::fs::write(&keys, json!({"keys": [new.jwk("new")]}).to_string()).expect("is written");
    verifier.verify(&with_new, at(0)).await.expect("is believed");
    assert!(verifier.verify(&with_old, at(0)).await.is_err());
    // Half a file is no reason to believe nobody.
    std::fs::write(&keys, "{").expect("is written");
    verifier.verify(&with_new, at(0)).await.expect("is believed");
}

//! How challenges are answered: by whom a token is had, for how long it is shown, and who never sees a password.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::fake::{
    Fake, artifact, client, client_with, credentials, endless, listen, serve, serve_at, served, status, tag,
    with,
};
use crate::registry::{Problem, Verdict};

fn token(value: &str) -> Response {
    json!({ "token": value }).to_string().into_response()
}

fn bearer(realm: &str) -> Response {
    let line = format!(
        "Negotiate, Bearer realm=\"{realm}\",service=\"the registry\",scope=\"repository:team/app:pull\""
    );
    with(401, "www-authenticate", &line)
}

/// A registry that takes one token, and the server that gives it.
async fn pair(answer: impl Fn() -> Response + Send + Sync + 'static) -> (Fake, Fake) {
    let tokens = serve(move |_| answer()).await;
    let realm = format!("http://{}/token?account=x", tokens.host);
    let image = artifact("image", None);
    let registry = serve(move |seen| match seen.authorization() {
        Some("Bearer right") => served(&image),
        _ => bearer(&realm),
    })
    .await;
    (registry, tokens)
}

#[tokio::test]
async fn a_token_is_had_once_and_kept() {
    let (registry, tokens) = pair(|| token("right")).await;
    let client = client();
    let (a, b) = (tag("a"), tag("b"));
    let repository = registry.repository();
    // Both at once, and yet one token.
    let (first, second) =
        futures_util::future::join(client.manifest(&repository, &a), client.manifest(&repository, &b)).await;
    first.and(second).expect("read");
    client.manifest(&repository, &a).await.expect("reads");
    let [asked] = tokens.seen().try_into().expect("one request");
    let expected = "/token?account=x&service=the+registry&scope=repository%3Ateam%2Fapp%3Apull";
    assert_eq!((asked.path.as_str(), asked.authorization()), (expected, None));
    assert_eq!(registry.seen().len(), 5);
}

#[tokio::test]
async fn either_name_of_a_token_and_every_credential_does() {
    let named = |answer: Value| move || answer.to_string().into_response();
    let (registry, _) =
        pair(named(json!({ "token": "", "access_token": "right", "expires_in": 1e308 }))).await;
    client().manifest(&registry.repository(), &tag("a")).await.expect("reads");

    let (registry, tokens) = pair(|| token("right")).await;
    let (_dir, password) = credentials(&registry.host, &json!({ "username": "alice", "password": "secret" }));
    client_with(password).manifest(&registry.repository(), &tag("a")).await.expect("reads");
    // alice:secret
    assert_eq!(tokens.seen()[0].authorization(), Some("Basic YWxpY2U6c2VjcmV0"));
    assert!(registry.seen().iter().all(|seen| seen.authorization() != Some("Basic YWxpY2U6c2VjcmV0")));

    let (registry, tokens) = pair(|| token("right")).await;
    let (_dir, identity) = credentials(&registry.host, &json!({ "identitytoken": "the secret" }));
    client_with(identity).manifest(&registry.repository(), &tag("a")).await.expect("reads");
    let [asked] = tokens.seen().try_into().expect("one request");
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/token?account=x"));
    assert_eq!(
        asked.body,
        "grant_type=refresh_token&service=the+registry&client_id=bulla&scope=repository%3Ateam%2Fapp%3Apull&refresh_token=the+secret"
    );

    let (registry, tokens) = pair(|| status(500)).await;
    let (_dir, own) = credentials(&registry.host, &json!({ "registrytoken": "right" }));
    client_with(own).manifest(&registry.repository(), &tag("a")).await.expect("reads");
    assert!(tokens.seen().is_empty());
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_once() {
    // Each token is taken once; it says that it lives for long.
    let given = AtomicUsize::new(0);
    let tokens = serve(move |_| {
        let number = given.fetch_add(1, Ordering::Relaxed);
        json!({ "token": number.to_string(), "expires_in": 3600 }).to_string().into_response()
    })
    .await;
    let realm = format!("http://{}/", tokens.host);
    let (spent, image) = (Mutex::new(Vec::new()), artifact("image", None));
    let registry = serve(move |seen| {
        let mut spent = spent.lock().expect("lock");
        let shown = seen.authorization().unwrap_or_default().to_owned();
        if seen.path.ends_with("never") || shown.is_empty() || spent.contains(&shown) {
            return bearer(&realm);
        }
        spent.push(shown);
        served(&image)
    })
    .await;
    let (client, repository) = (client(), registry.repository());
    for _ in 0..3 {
        client.manifest(&repository, &tag("a")).await.expect("reads");
    }
    assert_eq!((tokens.seen().len(), registry.seen().len()), (3, 6));
    let error = client.manifest(&repository, &tag("never")).await.expect_err("is not let in");
    assert!(matches!(error.problem(), Problem::Unauthorized(_)), "{error}");
    assert_eq!((tokens.seen().len(), registry.seen().len()), (4, 8), "it is asked no more than once");
}

#[tokio::test]
async fn passwords_are_shown_once_they_are_wanted_and_never_told() {
    let image = artifact("image", None);
    let registry = serve(move |seen| match seen.authorization() {
        Some("Basic YWxpY2U6c2VjcmV0") if !seen.path.ends_with("denied") => served(&image),
        _ => with(401, "www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let repository = registry.repository();
    let error = client().manifest(&repository, &tag("a")).await.expect_err("nobody");
    assert!(error.to_string().contains(&format!("log in to {}", registry.host)), "{error}");
    let (_dir, password) = credentials(&registry.host, &json!({ "auth": "YWxpY2U6c2VjcmV0" }));
    let client = client_with(password);
    client.manifest(&repository, &tag("a")).await.expect("reads");
    client.manifest(&repository, &tag("b")).await.expect("reads");
    let shown: Vec<_> = registry.seen().iter().map(|seen| seen.authorization().is_some()).collect();
    assert_eq!(shown, [false, false, true, true]);
    let error = client.manifest(&repository, &tag("denied")).await.expect_err("is denied");
    for secret in ["secret", "YWxpY2U6c2VjcmV0"] {
        assert!(!format!("{error} {error:?} {client:?}").contains(secret), "{error:?}");
    }
}

#[tokio::test]
async fn a_token_server_is_asked_within_bounds() {
    let (registry, _) = pair(endless).await;
    let error = client().manifest(&registry.repository(), &tag("a")).await.expect_err("does not end");
    assert!(error.to_string().ends_with("answered more than 65536 bytes"), "{error}");
    for (answer, verdict, part) in [
        (token(""), Verdict::Refused, "answered without a token"),
        (token("a\nb"), Verdict::Refused, "the token fits into no header"),
        ("<html>secret".into_response(), Verdict::Refused, "did not answer with a token in JSON"),
        (status(401), Verdict::Refused, "there are no credentials for it: log in, as with `docker login`"),
        (status(429), Verdict::Undetermined, "answered 429 Too Many Requests"),
        (status(503), Verdict::Undetermined, "answered 503 Service Unavailable"),
        (with(302, "location", "http://127.0.0.1:1/"), Verdict::Undetermined, "answered 302 Found"),
    ] {
        let once = Mutex::new(Some(answer));
        let (registry, tokens) = pair(move || once.lock().expect("lock").take().expect("one request")).await;
        let error = client().manifest(&registry.repository(), &tag("a")).await.expect_err("no token");
        assert_eq!(error.verdict(), verdict, "{error}");
        let place = format!("token server http://{}/token ", tokens.host);
        assert!(error.to_string().ends_with(part) && !error.to_string().contains("secret"), "{error}");
        assert!(part.starts_with("the token") || error.to_string().contains(&place), "{error}");
    }
}

#[tokio::test]
async fn a_realm_is_not_let_lead_anywhere() {
    for (realm, part) in [
        ("http://auth.example/token", "is not https: --allow-http-registry lets tokens travel in clear"),
        ("ftp://auth.example/", "is neither https nor http"),
        ("token", "is no URL: relative URL without a base"),
        ("https://user:word@auth.example/", "has a user in it"),
        ("data:x", "has no host"),
    ] {
        let registry = serve_at(listen().await, move |_| bearer(realm));
        let (_dir, password) = credentials(&registry.host, &json!({ "auth": "YWxpY2U6c2VjcmV0" }));
        let error = client_with(password).manifest(&registry.repository(), &tag("a")).await.expect_err(realm);
        assert_eq!(error.verdict(), Verdict::Refused);
        assert!(error.to_string().ends_with(part), "{error}");
    }
}

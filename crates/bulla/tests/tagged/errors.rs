//! "Upstream errors stay upstream errors (401, 404, 429, 5xx are not \"moved\")", and "back-off on 429".

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::fake::with;
use crate::images::Images;
use crate::stand::Stand;

/// A registry's own words.
fn said(code: u16, name: &str) -> Response {
    let body = json!({ "errors": [{ "code": name, "message": "in its own words" }] });
    (StatusCode::from_u16(code).expect("a status"), body.to_string()).into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_error_of_the_registry_is_passed_on_and_leaves_no_record() {
    let (stand, images) = (Stand::start(), Images::open().await);
    // Without a cache there is nothing else to serve.
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host, "--manifest-cache", "0"]);
    let first = images.tag("known", "one");
    assert_eq!(proxy.pull("known").await.served(), (200, Some(first.as_str()), true));
    for (code, name, expected) in [
        (403, "DENIED", "DENIED"),
        (404, "MANIFEST_UNKNOWN", "MANIFEST_UNKNOWN"),
        (404, "TAG_INVALID", "MANIFEST_UNKNOWN"),
        (500, "UNKNOWN", "UNAVAILABLE"),
        (502, "", "UNAVAILABLE"),
        (503, "UNAVAILABLE", "UNAVAILABLE"),
        (400, "TAG_INVALID", "UNAVAILABLE"),
        (451, "DENIED", "UNAVAILABLE"),
    ] {
        images.meddle(move |_| Some(said(code, name)));
        for tag in ["known", "unknown"] {
            let answer = proxy.pull(tag).await;
            let (status, code_told, message) = answer.error();
            assert_eq!((status, code_told.as_str()), (code, expected), "{tag}: {message}");
            // HEAD has no body, in which there could be words.
            assert!(tag == "known" || name.is_empty() || message.contains("in its own words"), "{message}");
            assert!(
                !message.contains("mismatch") && answer.json()["errors"][0]["detail"].is_null(),
                "{answer:?}"
            );
            let head = proxy.ask(Method::HEAD, &format!("/v2/team/app/manifests/{tag}"), &[]).await;
            assert_eq!(head.status, code);
        }
        let digest = proxy.get(&format!("/v2/team/app/manifests/{first}")).await;
        let blob = proxy.get(&format!("/v2/team/app/blobs/{first}")).await;
        assert_eq!((digest.error().0, blob.error().0), (code, code));
    }
    images.honest();
    assert_eq!(proxy.pull("known").await.served(), (200, Some(first.as_str()), false));
    assert_eq!(proxy.get("/tags").await.json()["count"], json!(1));
    assert_eq!(stand.findings(&images.name("known")), ["first"]);
    assert_eq!(proxy.counted("bulla_proxy_refused_total{why=\"moved\"}").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_registry_that_wants_to_know_who_asks_says_so_to_the_client() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let challenge =
        "Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:team/app:pull\"";
    images
        .meddle(move |seen| seen.authorization().is_none().then(|| with(401, "www-authenticate", challenge)));
    let (first, theirs) = (images.tag("1", "one"), [("authorization", "Bearer theirs")]);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host, "--upstream-as", "client"]);
    for path in ["/v2/", "/v2/team/app/manifests/1", "/v2/team/app/tags/list"] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(challenge)), "{path}");
        assert_eq!(answer.error().1, "UNAUTHORIZED");
    }
    assert_eq!(proxy.get("/tags").await.json()["count"], json!(0));
    let answer = proxy.ask(Method::GET, "/v2/team/app/manifests/1", &theirs).await;
    assert_eq!(answer.served(), (200, Some(first.as_str()), true));
    // What is known and kept is not for those who may not have it.
    let answer = proxy.pull("1").await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(challenge)));
    images.always(500);
    assert_eq!(proxy.ask(Method::GET, "/v2/team/app/manifests/1", &theirs).await.status, 500);
    let by_digest = format!("/v2/team/app/manifests/{first}");
    assert_eq!(proxy.ask(Method::GET, &by_digest, &theirs).await.status, 500);

    // A proxy that is nobody: no client could answer for it.
    let images = Images::open().await;
    images.meddle(|_| Some(with(401, "www-authenticate", "Basic realm=x")));
    let proxy = stand.proxy("b", &["--upstream", &images.fake.host]);
    let (status, code, message) = proxy.pull("1").await.error();
    assert_eq!((status, code.as_str()), (401, "UNAUTHORIZED"), "{message}");
    assert!(message.contains("the registry wants a name and a password: log in to"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_registry_that_is_busy_is_left_alone_and_what_is_known_is_served() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));

    // Whoever counts GETs alone, as Docker Hub does, goes on to answer HEAD.
    images.meddle(|seen| (seen.method == Method::GET).then(|| with(429, "retry-after", "30")));
    let answer = proxy.pull("2").await;
    assert_eq!((answer.error().0, answer.error().1.as_str()), (429, "TOOMANYREQUESTS"));
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(images.asked(&Method::GET, "manifests/2"), 1);
    for other in ["2", "3", "sha256:0000000000000000000000000000000000000000000000000000000000000000"] {
        let (status, code, message) = proxy.pull(other).await.error();
        assert_eq!((status, code.as_str()), (429, "TOOMANYREQUESTS"));
        assert!(
            message.starts_with("the registry is left alone for ") && message.contains("429"),
            "{message}"
        );
    }
    assert_eq!(
        images.fake.seen().iter().filter(|seen| seen.method == Method::GET).count(),
        2,
        "none but those"
    );
    let heads = images.asked(&Method::HEAD, "manifests/1");
    let answer = proxy.pull("1").await;
    assert_eq!((answer.served(), answer.header("warning")), ((200, Some(first.as_str()), false), None));
    assert_eq!(images.asked(&Method::HEAD, "manifests/1"), heads + 1);
    // Where a tag that moved meanwhile points is not known before that was read: neither is served.
    images.tag("1", "two");
    let (status, code, _) = proxy.pull("1").await.error();
    assert_eq!((status, code.as_str()), (429, "TOOMANYREQUESTS"));
    assert_eq!(stand.findings(&name), ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_registry_that_is_busy_for_all_is_not_asked_until_the_time_is_over() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    images.meddle(|_| Some(with(429, "retry-after", "2")));
    let before = images.fake.seen().len();
    for _ in 0..5 {
        let answer = proxy.pull("1").await;
        assert_eq!(answer.served(), (200, Some(first.as_str()), false));
        let warning = answer.header("warning").expect("it is said");
        let expected = format!("299 - \"the registry gives no answer, this is what tag {name} pointed to: ");
        assert!(warning.starts_with(&expected), "{warning}");
    }
    assert_eq!(images.fake.seen().len(), before + 1, "it was asked once");
    images.honest();
    let began = std::time::Instant::now();
    while proxy.pull("1").await.header("warning").is_some() {
        assert!(began.elapsed().as_secs() < 10);
    }
    assert_eq!(images.fake.seen().len(), before + 2, "it is asked again when its time is over");
    assert_eq!(stand.findings(&name), ["first"]);
    assert!(proxy.counted("bulla_proxy_stale_total").await > 4);
}

//! What a registry or a client cannot do to others: hold up their pulls, fill the log, or speak in the proxy's name.

use axum::body::Body;
use axum::response::IntoResponse as _;
use futures_util::future::{Either, join_all, select};
use serde_json::json;

use crate::fake::{serve, with};
use crate::images::Images;
use crate::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tag_that_moves_all_the_time_does_not_fill_the_log() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let more = ["--upstream", &images.fake.host, "--new-tags-per-address", "2"];
    let proxy = stand.proxy("a", &more);
    for note in ["one", "two"] {
        let digest = images.tag("latest", note);
        let answer = proxy.pull("latest").await;
        assert_eq!((answer.status, answer.header("docker-content-digest")), (200, Some(digest.as_str())));
        assert!(answer.header("tlog-uuid").is_some(), "{answer:?}");
    }
    let digest = images.tag("latest", "three");
    let answer = proxy.pull("latest").await;
    let warning = format!(
        "299 - \"tag {} points to {digest}, which is not recorded: it moves too often\"",
        images.name("latest")
    );
    assert_eq!(
        (answer.served(), answer.header("warning")),
        ((200, Some(digest.as_str()), false), Some(warning.as_str()))
    );
    assert_eq!(answer.header("tlog-uuid"), None);
    assert_eq!(stand.findings(&images.name("latest")), ["first", "unapproved"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_server_that_is_silent_holds_up_no_other_registry() {
    let (stand, good, evil) = (Stand::start(), Images::open().await, Images::open().await);
    let digest = good.tag("1", "one");
    let quick = serve(|_| json!({ "token": "right" }).to_string().into_response()).await;
    let silent = serve(|_| {
        Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()).into_response()
    })
    .await;
    for (images, tokens) in [(&good, &quick), (&evil, &silent)] {
        let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.host);
        images.meddle(move |seen| {
            (seen.authorization() != Some("Bearer right")).then(|| with(401, "www-authenticate", &challenge))
        });
    }
    let proxy = stand.proxy("a", &["--registry", &good.fake.host, "--registry", &evil.fake.host]);
    let path = |images: &Images, name: &str| format!("/v2/{}/team/{name}/manifests/1", images.fake.host);
    let held = ["a", "b", "c"].map(|name| path(&evil, name));
    let held = Box::pin(join_all(held.iter().map(|path| proxy.get(path))));
    let other = Box::pin(async {
        while silent.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        proxy.get(&path(&good, "app")).await
    });
    match select(held, other).await {
        Either::Right((answer, _held)) => assert_eq!(answer.served(), (200, Some(digest.as_str()), true)),
        Either::Left((answers, _)) => panic!("nobody answers these: {answers:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_comes_from_a_registry_is_not_said_by_the_proxy() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    images.meddle(|seen| {
        let page = ([("content-type", "text/html")], "<script>alert(1)</script>").into_response();
        let asks = with(401, "www-authenticate", "Basic realm=\"evil\"");
        Some(if seen.path.contains("/tags/list") { page } else { asks })
    });
    // A client that has a password for the proxy would show it to whomever is named.
    let refused = proxy.pull("1").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, None), "{refused:?}");
    let page = proxy.get("/v2/team/app/tags/list").await;
    assert_eq!((page.status, page.header("x-content-type-options")), (200, Some("nosniff")));
    assert_eq!(page.header("content-security-policy"), Some("sandbox; default-src 'none'"));
}

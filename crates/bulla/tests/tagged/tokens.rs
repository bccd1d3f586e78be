//! "Upstream credentials per registry, or client tokens passed through"; "single flight per tag, token cache, HEAD first".

use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::fake::{artifact, serve, with};
use crate::images::Images;
use crate::registry::OCI_MANIFEST;
use crate::stand::{Answer, Stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_many_want_at_once_is_asked_for_once() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (one, go) = (artifact("one", None), Arc::new(Semaphore::new(0)));
    // The manifest comes when the test lets it.
    let (bytes, gate) = (one.bytes.clone(), Arc::clone(&go));
    images.meddle(move |seen| {
        let (bytes, gate) = (bytes.clone(), Arc::clone(&gate));
        (seen.method == Method::GET).then(|| {
            let body = futures_util::stream::once(async move {
                let _go = gate.acquire().await.expect("is open");
                Ok::<_, std::convert::Infallible>(bytes)
            });
            ([("content-type", OCI_MANIFEST)], Body::from_stream(body)).into_response()
        })
    });
    images.put("1", &one);
    let pulls = join_all((0..10).map(|_| proxy.pull("1")));
    let open = async {
        while images.asked(&Method::GET, "manifests/1") == 0 {
            tokio::task::yield_now().await;
        }
        // All who came meanwhile are answered by pings on connections of their own.
        join_all((0..10).map(|_| proxy.get("/v2/"))).await;
        go.add_permits(100);
    };
    let (answers, ()) = futures_util::future::join(pulls, open).await;
    let digest = one.digest.to_string();
    assert!(answers.iter().all(|answer| answer.served().1 == Some(&digest)), "{answers:?}");
    assert_eq!(images.asked(&Method::GET, "manifests/1"), 1, "{:?}", images.fake.asked());
    assert_eq!(stand.findings(&images.name("1")), ["first"]);
    // What is known is asked for by HEAD alone, which Docker Hub does not count.
    let before = images.fake.seen().len();
    for _ in 0..5 {
        assert_eq!(proxy.pull("1").await.status, 200);
    }
    let after = &images.fake.asked()[before..];
    assert_eq!(after, vec!["HEAD manifests/1"; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_is_had_once() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let tokens = serve(|_| json!({ "token": "right", "expires_in": 300 }).to_string().into_response()).await;
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"r\"", tokens.host);
    images.meddle(move |seen| {
        (seen.authorization() != Some("Bearer right")).then(|| with(401, "www-authenticate", &challenge))
    });
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let first = images.tag("1", "one");
    images.tag("2", "two");
    // What clients say of themselves is for nobody else.
    let theirs = [("authorization", "Bearer theirs")];
    let answers: Vec<Answer> = join_all((0..10).map(async |number| {
        let path = format!("/v2/team/app/manifests/{}", 1 + number % 2);
        proxy.ask(Method::GET, &path, &theirs).await
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(proxy.get(&format!("/v2/team/app/manifests/{first}")).await.status, 200);
    let [asked] = tokens.seen().try_into().expect("one request");
    assert_eq!(
        (asked.path.as_str(), asked.authorization()),
        ("/token?service=r&scope=repository%3Ateam%2Fapp%3Apull", None)
    );
    assert!(images.fake.seen().iter().all(|seen| seen.authorization() != Some("Bearer theirs")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn credentials_are_those_of_the_registry_alone() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let other = Images::open().await;
    let host = images.fake.host.clone();
    // alice:secret
    let auth = json!({ "auths": { &host: { "auth": "YWxpY2U6c2VjcmV0" } } }).to_string();
    let file = stand.file("auth.json", &auth);
    let basic = "Basic YWxpY2U6c2VjcmV0";
    for images in [&images, &other] {
        images.meddle(move |seen| {
            (seen.authorization() != Some(basic)).then(|| with(401, "www-authenticate", "Basic realm=x"))
        });
        images.tag("1", "one");
    }
    let path = |host: &str| format!("/v2/{host}/team/app/manifests/1");
    let registries = ["--registry", &host, "--registry", &other.fake.host];
    let proxy = stand.proxy_in(
        "a",
        &[&registries[..], &["--upstream-as", "ourselves"]].concat(),
        &[("REGISTRY_AUTH_FILE", &file)],
    );
    assert_eq!(proxy.get(&path(&host)).await.status, 200);
    assert_eq!(proxy.get(&path(&other.fake.host)).await.error().0, 401);
    assert!(other.fake.seen().iter().all(|seen| seen.authorization().is_none()));
    // Nobody in particular is the default, whatever files there are.
    let proxy = stand.proxy_in("b", &registries, &[("REGISTRY_AUTH_FILE", &file)]);
    assert_eq!(proxy.get(&path(&host)).await.error().0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tokens_of_clients_are_passed_through_and_answers_are_not_shared() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host, "--upstream-as", "client"]);
    let challenge = "Bearer realm=\"https://auth.example/token\"";
    images.meddle(move |seen| {
        let may = matches!(seen.authorization(), Some("Bearer alice" | "Bearer bob"));
        (!may).then(|| with(401, "www-authenticate", challenge))
    });
    let first = images.tag("1", "one");
    let pull = async |who: Option<&str>| {
        let headers: Vec<_> = who.map(|who| ("authorization", who)).into_iter().collect();
        proxy.ask(Method::GET, "/v2/team/app/manifests/1", &headers).await
    };
    let all = [Some("Bearer alice"), None, Some("Bearer bob"), Some("Bearer mallory")];
    for _ in 0..2 {
        let answers = join_all((0..12).map(|number| pull(all[number % 4]))).await;
        for (number, answer) in answers.iter().enumerate() {
            match number % 2 {
                0 => assert_eq!((answer.status, answer.served().1), (200, Some(first.as_str()))),
                _ => assert_eq!(
                    (answer.status, answer.header("www-authenticate"), answer.header("tlog-uuid")),
                    (401, Some(challenge), None),
                    "{number}: {answer:?}"
                ),
            }
        }
    }
    assert_eq!(stand.findings(&images.name("1")), ["first"]);
    let blob = format!("/v2/team/app/blobs/{first}");
    images.meddle(|seen| seen.path.contains("/blobs/").then(|| Bytes::from_static(b"blob").into_response()));
    proxy.ask(Method::GET, &blob, &[("authorization", "Bearer alice"), ("cookie", "a=b")]).await;
    let last = images.fake.seen().pop().expect("it was asked");
    assert_eq!((last.authorization(), last.header("cookie")), (Some("Bearer alice"), None));
    assert_eq!(proxy.get("/v2/").await.status, 404, "the registry is asked whether it lets them in");
}

//! Registries that lie, do not end, lead elsewhere, or do not answer: each is told apart from one that has nothing.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::response::IntoResponse as _;
use bytes::Bytes;
use serde_json::json;

use crate::fake::{
    artifact, by_digest, client, client_with, credentials, endless, index, listen, manifest, serve, serve_at,
    served, status, tag, with,
};
use crate::registry::{
    Claimed, Client, Descriptor, Digest, EMPTY, Error, Listed, Name, OCI_EMPTY, OCI_INDEX, Options, Problem,
    Repository, Verdict,
};

fn empty() -> Descriptor {
    let document = json!({ "mediaType": OCI_EMPTY, "digest": Digest::of(EMPTY), "size": 2 });
    serde_json::from_value(document).expect("a descriptor")
}

fn refused<T>(result: Result<T, Error>) -> Error {
    let error = result.err().expect("is no success");
    assert_eq!(error.verdict(), Verdict::Refused, "{error}");
    error
}

fn undetermined<T>(result: Result<T, Error>) -> Error {
    let error = result.err().expect("is no success");
    assert_eq!(error.verdict(), Verdict::Undetermined, "{error}");
    error
}

#[tokio::test]
async fn digests_are_computed_and_headers_are_not_believed() {
    let (right, wrong) = (artifact("right", None), artifact("wrong", None));
    let served_wrong = wrong.clone();
    let promised = right.digest.to_string();
    let fake = serve(move |seen| match seen.path.rsplit('/').next() {
        Some("header") => {
            let headers = [("docker-content-digest", promised.clone())];
            (headers, served_wrong.bytes.clone()).into_response()
        }
        Some("garbage") => with(200, "docker-content-digest", "sha256:ab"),
        Some(_) if seen.path.contains("/blobs/") => "[]".into_response(),
        _ => served(&served_wrong),
    })
    .await;
    let (client, repository) = (client(), fake.repository());
    let mismatch = Problem::Digest { expected: right.digest.clone(), actual: wrong.digest.clone() };
    let error = refused(client.manifest(&repository, &by_digest(&right)).await);
    assert_eq!(*error.problem(), mismatch);
    assert!(
        error
            .to_string()
            .ends_with(&format!("its digest is {}, {} was promised", wrong.digest, right.digest))
    );
    assert_eq!(*refused(client.manifest(&repository, &tag("header")).await).problem(), mismatch);
    let error = refused(client.manifest(&repository, &tag("garbage")).await);
    assert!(error.to_string().contains("Docker-Content-Digest: digest has 2 characters"), "{error}");
    let error = refused(client.blob(&repository, &empty(), 2).await);
    let actual = Digest::of(b"[]");
    assert_eq!(*error.problem(), Problem::Digest { expected: Digest::of(EMPTY), actual });
    let found = client.manifest(&repository, &tag("any")).await.expect("reads");
    assert_eq!(found.digest, wrong.digest, "by a tag, it is what it is");
}

#[tokio::test]
async fn what_does_not_end_is_left() {
    let fake = serve(|_| endless()).await;
    let (client, repository) = (client(), fake.repository());
    let error = refused(client.manifest(&repository, &tag("a")).await);
    assert_eq!(*error.problem(), Problem::TooLarge { limit: 4 << 20 });
    assert_eq!(
        *refused(client.blob(&repository, &empty(), 9).await).problem(),
        Problem::TooLarge { limit: 2 }
    );
    assert_eq!(*refused(client.tags(&repository).await).problem(), Problem::TooLarge { limit: 4 << 20 });
    let before = fake.seen().len();
    assert_eq!(
        *refused(client.blob(&repository, &empty(), 1).await).problem(),
        Problem::TooLarge { limit: 1 }
    );
    assert_eq!(fake.seen().len(), before, "what is too large is not asked for");
}

#[tokio::test]
async fn lists_are_followed_to_their_end_on_their_host_alone() {
    let elsewhere = serve(|_| status(500)).await;
    let away = format!("<http://{}/v2/team/app/tags/list>; rel=next", elsewhere.host);
    let fake = serve(move |seen| {
        let page = |next: &str, body: String| {
            let headers = [("link", next.to_owned()), ("content-type", OCI_INDEX.to_owned())];
            (headers, body).into_response()
        };
        let tags = |tags: &[&str]| json!({ "name": "team/app", "tags": tags }).to_string();
        match seen.path.split(['/', '?']).nth(2) {
            Some("two") if seen.path.contains("last=b") => page("", json!({ "tags": ["c"] }).to_string()),
            Some("two") => page("</v2/two/x/tags/list?last=b&n=2>; rel=\"next\"", tags(&["a", "b"])),
            Some("none") => page("", json!({ "tags": null }).to_string()),
            Some("away") => page(&away, tags(&["a"])),
            Some("loop") if seen.path.contains("referrers") => page(
                &format!("<{}>; rel=next", seen.path),
                json!({ "schemaVersion": 2, "manifests": [] }).to_string(),
            ),
            Some("loop") => page("<?again>; rel=next", tags(&["a"])),
            _ => page(&format!("<{}>; rel=next", "a".repeat(9000)), tags(&[])),
        }
    })
    .await;
    let client = client();
    let named = |name: &str| Repository::parse(&format!("{}/{name}/x", fake.host)).expect("a name");
    assert_eq!(client.tags(&named("two")).await.expect("reads"), ["a", "b", "c"]);
    assert!(client.tags(&named("none")).await.expect("reads").is_empty());
    let error = refused(client.tags(&named("away")).await);
    assert!(error.to_string().contains("its next page is on another host"), "{error}");
    assert!(elsewhere.seen().is_empty());
    let error = refused(client.tags(&named("loop")).await);
    assert!(error.to_string().contains("has more than 100 pages"), "{error}");
    let error = refused(client.referrers(&named("loop"), &Digest::of(b"")).await);
    assert!(error.to_string().contains("has more than 100 pages"), "{error}");
    let error = refused(client.tags(&named("long")).await);
    assert!(error.to_string().ends_with("Link has more than 8192 bytes"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_without_credentials_and_end() {
    let storage = serve(|_| EMPTY.into_response()).await;
    let target = format!("http://{}/signed?key=secret", storage.host);
    let fake = serve(move |seen| match seen.authorization() {
        None => with(401, "www-authenticate", "Basic realm=x"),
        Some(_) if seen.path.contains("/blobs/") => with(307, "location", &target),
        Some(_) if seen.path.ends_with("/file") => with(302, "location", "file:///etc/passwd"),
        Some(_) if seen.path.ends_with("/nowhere") => with(302, "location", "http://"),
        Some(_) => with(302, "location", &seen.path),
    })
    .await;
    let (_dir, credentials) = credentials(&fake.host, &json!({ "username": "alice", "password": "secret" }));
    let (client, repository) = (client_with(credentials), fake.repository());
    assert_eq!(client.blob(&repository, &empty(), 2).await.expect("reads"), EMPTY);
    let [seen] = storage.seen().try_into().expect("one request");
    assert_eq!((seen.path.as_str(), seen.authorization()), ("/signed?key=secret", None));
    let before = fake.seen().len();
    let error = undetermined(client.manifest(&repository, &tag("loop")).await);
    assert!(error.to_string().ends_with("it redirects more than 5 times"), "{error}");
    assert!(fake.seen().len() - before <= 7, "one challenge, and six requests");
    for name in ["file", "nowhere"] {
        let error = refused(client.manifest(&repository, &tag(name)).await);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_busy_registry_is_waited_for_a_while_and_never_taken_for_an_empty_one() {
    let cases = [
        (429, "0", 4),
        (503, "soon", 4),
        (429, "999999999", 1),
        (503, "18446744073709551616", 4),
        (502, "", 4),
    ];
    let began = Instant::now();
    let all = cases.map(async |(code, retry_after, requests)| {
        let fake = serve(move |_| with(code, "retry-after", retry_after)).await;
        let (client, repository, image) = (patient(), fake.repository(), artifact("image", None));
        let manifest = client.manifest(&repository, &by_digest(&image)).await;
        let referrers = client.referrers(&repository, &image.digest).await;
        let tags = client.tags(&repository).await;
        let error = undetermined(manifest);
        assert!(error.to_string().contains(&code.to_string()), "{error}");
        undetermined(referrers);
        undetermined(tags);
        // The manifest, both lists of referrers, and the tags.
        assert_eq!(fake.seen().len(), 4 * requests, "{code} {retry_after}");
    });
    futures_util::future::join_all(all).await;
    assert!(began.elapsed() < Duration::from_mins(1));
    let image = artifact("image", None);
    let asked = AtomicUsize::new(0);
    let answer = image.clone();
    let fake = serve(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => with(429, "retry-after", "0"),
        1 => with(503, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
        _ => served(&answer),
    })
    .await;
    let found = patient().manifest(&fake.repository(), &tag("a")).await.expect("reads");
    assert_eq!(found.digest, image.digest);
}

fn patient() -> Client {
    Client::new(Options { patience: Duration::from_secs(5), ..Options::default() }).expect("a client")
}

#[tokio::test]
async fn only_an_answered_list_is_an_empty_list() {
    let image = artifact("image", None);
    let signature = artifact("signature", Some(&image));
    let list = index(&[signature.descriptor()]);
    let none = index(&[]);
    // How the API answers, how the tag does, and what that means.
    let cases: [(_, _, Result<(usize, Listed), Verdict>); 16] = [
        ("list", "404", Ok((1, Listed::Api))),
        ("none", "list", Ok((0, Listed::Api))),
        ("none", "500", Ok((0, Listed::Api))),
        ("404", "404", Ok((0, Listed::Tag))),
        ("404", "list", Ok((1, Listed::Tag))),
        ("405", "list", Ok((1, Listed::Tag))),
        ("501", "list", Ok((1, Listed::Tag))),
        ("html", "list", Ok((1, Listed::Tag))),
        ("500", "list", Err(Verdict::Undetermined)),
        ("429", "404", Err(Verdict::Undetermined)),
        ("503", "404", Err(Verdict::Undetermined)),
        ("401", "list", Err(Verdict::Refused)),
        ("throttled", "404", Err(Verdict::Undetermined)),
        ("404", "500", Err(Verdict::Undetermined)),
        ("404", "403", Err(Verdict::Refused)),
        ("404", "image", Err(Verdict::Refused)),
    ];
    for (api, by_tag, expected) in cases {
        let (list, none, image) = (list.clone(), none.clone(), image.clone());
        let subject = image.digest.clone();
        let fake = serve(move |seen| {
            let what = if seen.path.contains("/referrers/") { api } else { by_tag };
            match what {
                "list" => served(&list),
                "none" => served(&none),
                "image" => served(&image),
                "html" => axum::response::Html("<html>").into_response(),
                "throttled" => {
                    let body =
                        json!({ "errors": [{ "code": "TOOMANYREQUESTS", "message": "slow\u{1b}[2J down" }] });
                    (axum::http::StatusCode::NOT_FOUND, body.to_string()).into_response()
                }
                code => status(code.parse().expect("a status")),
            }
        })
        .await;
        let (client, repository) = (client(), fake.repository());
        for _ in 0..2 {
            let found = client.referrers(&repository, &subject).await;
            let found = found.map(|found| (found.descriptors.len(), found.listed));
            assert_eq!(found.map_err(|error| error.verdict()), expected, "{api} {by_tag}");
        }
        let path = format!("GET manifests/{}", subject.referrers_tag());
        assert!(fake.asked().contains(&path), "{:?}", fake.asked());
    }
}

#[tokio::test]
async fn an_image_is_verified_in_four_round_trips() {
    let image = artifact("image", None);
    let signature = artifact("signature", Some(&image));
    for has_api in [true, false] {
        let (answer, list) = ([image.clone(), signature.clone()], index(&[signature.descriptor()]));
        let fake = serve(move |seen| match seen.path.rsplit('/').next().unwrap_or_default() {
            "1.0" => served(&answer[0]),
            name if seen.path.contains("/referrers/") && has_api && name.starts_with("sha256:") => {
                served(&list)
            }
            name if name.starts_with("sha256-") && !has_api => served(&list),
            name if seen.path.contains("/manifests/") && name == answer[1].digest.to_string() => {
                served(&answer[1])
            }
            _ if seen.path.contains("/blobs/") => EMPTY.into_response(),
            _ => status(404),
        })
        .await;
        let (client, repository) = (client(), fake.repository());
        let found = client.manifest(&repository, &tag("1.0")).await.expect("reads");
        let referrers = client.referrers(&repository, &found.digest).await.expect("are listed");
        let name = Name::Digest(referrers.descriptors[0].digest.clone());
        let signature = client.manifest(&repository, &name).await.expect("reads");
        assert_eq!(signature.subject.map(|subject| subject.digest), Some(found.digest.clone()));
        client.blob(&repository, &empty(), 2).await.expect("reads");
        // Both lists are asked for at once, and only the first time.
        assert_eq!(fake.asked().len(), 5, "{:?}", fake.asked());
        client.referrers(&repository, &found.digest).await.expect("are listed");
        assert_eq!(fake.asked().len(), 6, "{:?}", fake.asked());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_sleeps_says_nothing() {
    let image = artifact("image", None);
    let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", image.bytes.len());
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
    for (answer, sleeps) in [("", false), (&whole, false), (chunked, false), (&whole, true), ("", true)] {
        let host = raw(answer.to_owned(), sleeps);
        let repository = Repository::parse(&format!("{host}/team/app")).expect("a name");
        let options =
            Options { timeout: Duration::from_millis(300), patience: Duration::ZERO, ..Options::default() };
        let client = Client::new(options).expect("a client");
        undetermined(client.manifest(&repository, &by_digest(&image)).await);
        undetermined(client.referrers(&repository, &image.digest).await);
        // Whoever says at once that it is too long is believed.
        if answer != whole {
            undetermined(client.blob(&repository, &empty(), 2).await);
        }
    }
    let (listener, host) = listen().await;
    drop(listener);
    let repository = Repository::parse(&format!("{host}/team/app")).expect("a name");
    let error = undetermined(client().manifest(&repository, &tag("a")).await);
    assert!(error.to_string().contains("refused"), "{error}");
    // A byte now and then, which no silence ends.
    let fake = serve(|_| {
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")), ()))
        });
        axum::body::Body::from_stream(drip).into_response()
    })
    .await;
    let options = Options { timeout: Duration::from_millis(300), ..Options::default() };
    let hurried = Client::new(options).expect("a client");
    let began = Instant::now();
    undetermined(hurried.blob(&fake.repository(), &Descriptor { size: 1000, ..empty() }, 1000).await);
    assert!(began.elapsed() < Duration::from_secs(10), "a thousand bytes would take longer");
    // Less than was promised, without a length that says so.
    let fake = serve(|_| "{".into_response()).await;
    let error = undetermined(client().blob(&fake.repository(), &empty(), 2).await);
    assert!(error.to_string().ends_with("it ended after 1 of 2 bytes"), "{error}");
}

/// Answers every plain request with the same bytes, and then ends the connection, or keeps it open in silence.
fn raw(answer: String, sleeps: bool) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut first = [0; 1024];
            // 22 is how TLS begins, which nobody speaks here.
            if stream.read(&mut first).is_ok_and(|len| len > 0 && first[0] != 22) {
                let _gone = stream.write_all(answer.as_bytes());
                kept.extend(sleeps.then_some(stream));
            }
        }
    });
    host
}

#[tokio::test]
async fn what_a_registry_says_is_told_in_three_values() {
    let error = |code: u16, name: &str| {
        let body = json!({ "errors": [{ "code": name, "message": "no\u{1b}[31m\nway", "detail": null }] });
        (axum::http::StatusCode::from_u16(code).expect("a status"), body.to_string()).into_response()
    };
    let fake = serve(move |seen| {
        let (code, name) =
            seen.path.rsplit('/').next().and_then(|last| last.split_once('_')).expect("a case");
        error(code.parse().expect("a status"), name)
    })
    .await;
    let (client, repository) = (client(), fake.repository());
    for (name, verdict) in [
        ("404_MANIFEST_UNKNOWN", Verdict::Missing),
        ("404_", Verdict::Missing),
        ("404_NAME_UNKNOWN", Verdict::Missing),
        ("400_MANIFEST_UNKNOWN", Verdict::Missing),
        ("404_DENIED", Verdict::Refused),
        ("404_TOOMANYREQUESTS", Verdict::Undetermined),
        ("403_DENIED", Verdict::Refused),
        ("403_MANIFEST_UNKNOWN", Verdict::Refused),
        ("401_UNAUTHORIZED", Verdict::Refused),
        ("400_NAME_INVALID", Verdict::Refused),
        ("500_UNKNOWN", Verdict::Undetermined),
        ("206_", Verdict::Refused),
    ] {
        let error = client.manifest(&repository, &tag(name)).await.expect_err("is no success");
        assert_eq!(error.verdict(), verdict, "{name}: {error}");
        assert!(error.to_string().starts_with(&format!("{repository}:{name}: ")), "{error}");
        assert!(error.to_string().contains("no[31mway"), "without control characters: {error:?}");
    }
}

#[tokio::test]
async fn a_challenge_without_end_is_no_challenge() {
    let line = format!("Bearer realm=\"https://auth.example/{}\"", "a".repeat(9000));
    let fake = serve(move |_| with(401, "www-authenticate", &line)).await;
    let error = refused(client().manifest(&fake.repository(), &tag("a")).await);
    assert!(error.to_string().ends_with("WWW-Authenticate has more than 8192 bytes"), "{error}");
    let fake = serve(|_| with(401, "www-authenticate", "Negotiate")).await;
    let error = refused(client().manifest(&fake.repository(), &tag("a")).await);
    assert!(matches!(error.problem(), Problem::Unauthorized(_)), "{error}");
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn what_head_says_is_called_a_claim() {
    let image = artifact("image", None);
    let answer = image.clone();
    let fake = serve_at(listen().await, move |seen| match seen.path.as_str() {
        "/v2/" => status(200),
        _ => served(&answer),
    });
    let (client, repository) = (client(), fake.repository());
    client.ping(&repository).await.expect("answers");
    let expected = Claimed {
        digest: Some(image.digest.clone()),
        media_type: Some(image.media_type.clone()),
        size: Some(image.bytes.len() as u64),
    };
    assert_eq!(client.head(&repository, &tag("a")).await.expect("is said"), expected);
    assert_eq!(fake.asked(), ["GET /v2/", "HEAD manifests/a"]);
    let accepted = fake.seen()[1].header("accept").unwrap_or_default().to_owned();
    for kind in ["oci.image.index", "oci.image.manifest", "manifest.list.v2", "manifest.v2"] {
        assert!(accepted.contains(kind), "{accepted}");
    }
}

#[tokio::test]
async fn a_type_that_is_said_twice_is_said_the_same() {
    let image = artifact("image", None);
    let list = manifest(&json!({ "schemaVersion": 2, "manifests": [] }));
    let (first, second) = (image.bytes.clone(), list.bytes.clone());
    let fake = serve(move |seen| {
        let body: Bytes = if seen.path.ends_with("image") { first.clone() } else { second.clone() };
        ([("content-type", OCI_INDEX)], body).into_response()
    })
    .await;
    let (client, repository) = (client(), fake.repository());
    let error = refused(client.manifest(&repository, &tag("image")).await);
    assert!(error.to_string().contains("and came as"), "{error}");
    client.manifest(&repository, &tag("list")).await.expect("reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_a_proxy() {
    let image = artifact("image", None);
    let answer = image.clone();
    let proxy = serve(move |seen| match seen.path.rsplit('/').next() {
        Some("1.0") => served(&answer),
        _ => status(404),
    })
    .await;
    let address = format!("http://{}", proxy.host);
    let show = move |more: &'static [&str]| {
        let mut command = crate::common::bulla();
        command.env("HOME", "/nowhere").env("HTTP_PROXY", &address).env("http_proxy", &address);
        command.env("HTTPS_PROXY", &address).env_remove("NO_PROXY").env_remove("no_proxy");
        crate::common::run(command.args(["image", "show", "registry.invalid/team/app:1.0"]).args(more))
    };
    let (plain, secure) = tokio::task::spawn_blocking(move || (show(&["--allow-http-registry"]), show(&[])))
        .await
        .expect("runs");
    assert!(plain.0 == 0 && plain.1.contains(&image.digest.to_string()), "{plain:?}");
    assert_eq!(secure.0, 3, "not in clear without being told: {secure:?}");
    assert!(proxy.seen().iter().any(|seen| seen.header("host") == Some("registry.invalid")));
}

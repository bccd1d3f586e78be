//! "/v2/ ping; manifests by tag and digest (GET and HEAD), blobs (upstream redirects passed on, or streamed through when the
//! upstream answers itself), tags/list, referrers, queries and Link kept and rewritten; … addressing by path, by ?ns=, and one
//! fixed upstream; … everything else read-only (405)."
//!
//! That the spellings of Docker Hub are one name is tested in `src/proxy/place.rs`: nobody else can answer for it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::fake::{artifact, served, with};
use crate::images::Images;
use crate::registry::{Digest, OCI_INDEX, OCI_MANIFEST};
use crate::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_registry_is_read_and_never_written() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    for path in ["/v2/", "/v2"] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    }
    let digest = images.tag("1", "one");
    for (method, rest) in [
        (Method::PUT, "manifests/1".to_owned()),
        (Method::DELETE, "manifests/1".to_owned()),
        (Method::DELETE, format!("blobs/{digest}")),
        (Method::POST, "blobs/uploads/".to_owned()),
        (Method::PATCH, "blobs/uploads/1".to_owned()),
        (Method::PUT, format!("blobs/uploads/1?digest={digest}")),
        (Method::OPTIONS, "tags/list".to_owned()),
    ] {
        let answer = proxy.ask(method, &format!("/v2/team/app/{rest}"), &[]).await;
        let message = "the proxy is read-only: push to the registry itself".to_owned();
        assert_eq!(answer.error(), (405, "UNSUPPORTED".to_owned(), message));
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    assert!(images.fake.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_tag_has_one_record_however_it_is_addressed() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let host = &images.fake.host;
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    for key in ["a", "b", "c"] {
        stand.proxy_key(key);
    }
    let all = |name| {
        [
            ["--recorder-key", "a/proxy.pub"],
            ["--recorder-key", "b/proxy.pub"],
            ["--recorder-key", "c/proxy.pub"],
        ]
        .concat()
        .into_iter()
        .chain([name, host.as_str()])
        .collect::<Vec<_>>()
    };
    let open = stand.proxy("a", &all("--registry"));
    let fixed = stand.proxy("b", &all("--upstream"));
    let below = format!("{host}/team/");
    let part = stand.proxy("c", &[&all("--registry")[..], &["--upstream", &below]].concat());
    let by_path = format!("/v2/{host}/team/app/manifests/1");
    let answer = open.get(&by_path).await;
    assert_eq!((answer.served(), answer.header("oci-namespace")), ((200, Some(first.as_str()), true), None));
    for (proxy, path, ns) in [
        (&open, format!("/v2/team/app/manifests/1?ns={host}"), true),
        (&open, format!("/v2/team/app/manifests/1?ns={}", host.replace(':', "%3A")), true),
        (&fixed, "/v2/team/app/manifests/1".to_owned(), false),
        (&fixed, format!("/v2/team/app/manifests/1?ns={host}"), true),
        (&part, "/v2/app/manifests/1".to_owned(), false),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = proxy.ask(method, &path, &[]).await;
            assert_eq!(answer.served(), (200, Some(first.as_str()), false), "{path}");
            assert_eq!(answer.header("oci-namespace"), ns.then_some(host.as_str()), "{path}");
            assert_eq!(answer.header("tlog-logindex"), Some("0"), "{path}");
        }
    }
    let asked = images.fake.seen();
    assert!(
        asked.iter().all(|seen| seen.path.starts_with("/v2/team/app/") && !seen.path.contains("ns=")),
        "{asked:?}"
    );
    assert_eq!(stand.findings(&name), ["first"]);
    let (status, code, message) = part.get("/v2/app/manifests/1?ns=quay.io").await.error();
    let expected = format!("this proxy serves {host}/team, quay.io was asked for");
    assert_eq!((status, code.as_str(), message), (404, "NAME_UNKNOWN", expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lists_keep_their_query_and_go_on_at_the_proxy() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let host = images.fake.host.clone();
    let digest = Digest::of(b"image").to_string();
    let origin = host.clone();
    images.meddle(move |seen| {
        let list = json!({ "name": "team/app", "tags": ["a", "b"] }).to_string();
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }).to_string();
        let next = |link: String, body: String, media_type: &str| {
            ([("link", link), ("content-type", media_type.to_owned())], body).into_response()
        };
        Some(match seen.path.split_once('?') {
            _ if seen.path.contains("/referrers/") => {
                let mut answer = next("<?next=2>; rel=\"next\"".to_owned(), index, OCI_INDEX);
                answer.headers_mut().insert("oci-filters-applied", "artifactType".parse().expect("a value"));
                answer.headers_mut().insert("set-cookie", "a=b".parse().expect("a value"));
                answer
            }
            Some((_, "n=2")) => {
                let link = format!("<http://{origin}/v2/team/app/tags/list?n=2&last=b>; rel=\"next\"");
                next(link, list, "application/json")
            }
            Some((_, "n=2&last=b")) => ([("content-type", "application/json")], list).into_response(),
            other => with(400, "x-asked", &format!("{other:?}")),
        })
    });
    let open = stand.proxy("a", &["--registry", &host]);
    let fixed = stand.proxy("b", &["--upstream", &host]);
    let ns = format!("ns={host}");
    for (proxy, name, more) in [
        (&open, format!("{host}/team/app"), ""),
        (&open, "team/app".to_owned(), ns.as_str()),
        (&fixed, "team/app".to_owned(), ""),
    ] {
        let beside = if more.is_empty() { String::new() } else { format!("&{more}") };
        let answer = proxy.get(&format!("/v2/{name}/tags/list?n=2{beside}")).await;
        let link = format!("</v2/{name}/tags/list?n=2&last=b{beside}>; rel=\"next\"");
        assert_eq!((answer.status, answer.header("link")), (200, Some(link.as_str())));
        assert_eq!(answer.json()["tags"], json!(["a", "b"]));
        // As a client follows it.
        let next = link.trim_start_matches('<').split('>').next().expect("a target");
        let answer = proxy.get(next).await;
        assert_eq!((answer.status, answer.header("link")), (200, None), "{next}");
        let path = format!("/v2/{name}/referrers/{digest}?artifactType=application/x{beside}");
        let answer = proxy.get(&path).await;
        let link = format!("</v2/{name}/referrers/{digest}?next=2{beside}>; rel=\"next\"");
        assert_eq!((answer.status, answer.header("link")), (200, Some(link.as_str())));
        assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
        assert_eq!((answer.header("content-type"), answer.header("set-cookie")), (Some(OCI_INDEX), None));
    }
    let asked = images.fake.asked();
    for rest in [
        "tags/list?n=2".to_owned(),
        "tags/list?n=2&last=b".to_owned(),
        format!("referrers/{digest}?artifactType=application/x"),
    ] {
        assert_eq!(asked.iter().filter(|asked| **asked == format!("GET {rest}")).count(), 3, "{asked:?}");
    }
}

/// A blob of many parts, of which a part may be asked for.
fn blob(range: Option<&str>) -> Response {
    let parts = |count: usize| {
        let all = (0..count).map(|number| {
            Ok::<_, std::convert::Infallible>(vec![u8::try_from(number % 251).unwrap_or(0); 1 << 16])
        });
        Body::from_stream(futures_util::stream::iter(all))
    };
    match range {
        Some("bytes=0-65535") => {
            let headers = [
                ("content-range", "bytes 0-65535/16777216"),
                ("accept-ranges", "bytes"),
                ("content-length", "65536"),
            ];
            (StatusCode::PARTIAL_CONTENT, headers, parts(1)).into_response()
        }
        Some(_) => with(416, "content-range", "bytes */16777216"),
        None => ([("content-length", "16777216"), ("etag", "\"x\""), ("set-cookie", "a=b")], parts(256))
            .into_response(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn blobs_are_passed_on_and_streamed() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let path = format!("/v2/team/app/blobs/{}", Digest::of(b"blob"));
    images.meddle(|seen| Some(blob(seen.header("range"))));
    let whole = proxy.get(&path).await;
    assert_eq!((whole.status, whole.body.len(), whole.body[(251 + 3) << 16]), (200, 16 << 20, 3));
    assert_eq!((whole.header("etag"), whole.header("set-cookie")), (Some("\"x\""), None));
    let head = proxy.ask(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("16777216"), 0));
    let part = proxy.ask(Method::GET, &path, &[("range", "bytes=0-65535")]).await;
    assert_eq!((part.status, part.body.len()), (206, 1 << 16));
    assert_eq!(part.header("content-range"), Some("bytes 0-65535/16777216"));
    assert_eq!(proxy.ask(Method::GET, &path, &[("range", "bytes=99999999-")]).await.status, 416);
    // A body that breaks off is not given for whole.
    let broken = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&broken);
    images.meddle(move |_| {
        let gate = Arc::clone(&gate);
        let end = async move {
            let _broken = gate.acquire().await;
            Err(std::io::Error::other("gone"))
        };
        let first = futures_util::stream::once(async { Ok(vec![0; 1 << 16]) });
        let body = Body::from_stream(futures_util::StreamExt::chain(first, futures_util::stream::once(end)));
        Some(([("content-length", "16777216")], body).into_response())
    });
    let client = bulla_web::client().build().expect("a client");
    let answer = client.get(proxy.url(&path)).send().await.expect("begins");
    assert_eq!(answer.status(), 200);
    broken.add_permits(1);
    assert!(answer.bytes().await.is_err(), "it breaks off");
    images.meddle(|seen| (seen.header("if-none-match") == Some("\"x\"")).then(|| with(304, "etag", "\"x\"")));
    let not = proxy.ask(Method::GET, &path, &[("if-none-match", "\"x\"")]).await;
    assert_eq!((not.status, not.header("etag"), not.body.len()), (304, Some("\"x\""), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_client_has_is_not_sent_again() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (first, path) = (images.tag("1", "one"), "/v2/team/app/manifests/1");
    let answer = proxy.get(path).await;
    let etag = format!("\"{first}\"");
    assert_eq!(answer.header("etag"), Some(etag.as_str()));
    for has in [etag.clone(), format!("\"x\", W/{etag}")] {
        for path in [path.to_owned(), format!("/v2/team/app/manifests/{first}")] {
            let not = proxy.ask(Method::GET, &path, &[("if-none-match", &has)]).await;
            assert_eq!(
                (not.status, not.body.len(), not.header("etag")),
                (304, 0, Some(etag.as_str())),
                "{path}"
            );
        }
    }
    assert_eq!(proxy.ask(Method::GET, path, &[("if-none-match", "\"x\"")]).await.status, 200);
    // Whoever has what the tag pointed to before is told that it moved.
    images.tag("1", "two");
    assert_eq!(proxy.ask(Method::GET, path, &[("if-none-match", &etag)]).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_by_what_a_client_accepts_do_not_look_like_tampering() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (index, members) = images.index("1", &["amd64", "arm64"]);
    let foreign = artifact("foreign", None);
    let (first, path) = (members[0].clone(), "/v2/team/app/manifests/1");
    // As a registry does that has an image for those who take no index.
    let answer_with = |manifest: crate::registry::Manifest| {
        images.meddle(move |seen| {
            let accepts: Vec<_> =
                seen.headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).collect();
            (seen.path.ends_with("/1") && !accepts.contains(&OCI_INDEX)).then(|| served(&manifest))
        });
    };
    answer_with(artifact("amd64", None));
    let only = [("accept", OCI_MANIFEST)];
    let answer = proxy.ask(Method::GET, path, &only).await;
    assert_eq!(answer.served(), (200, Some(first.as_str()), true), "the first pull records the index");
    assert_eq!(answer.header("content-type"), Some(OCI_MANIFEST));
    assert_eq!(stand.history(&images.name("1"))["current"]["digest"], json!(index));
    for accept in ["*/*", OCI_INDEX, "application/*", &format!("text/html, {OCI_INDEX};q=0.9")] {
        let answer = proxy.ask(Method::GET, path, &[("accept", accept)]).await;
        assert_eq!(answer.served(), (200, Some(index.as_str()), false), "{accept}");
    }
    assert_eq!(proxy.ask(Method::GET, path, &only).await.served(), (200, Some(first.as_str()), false));
    // What the index does not list is not served in its place.
    answer_with(foreign);
    for method in [Method::GET, Method::HEAD] {
        let answer = proxy.ask(method.clone(), path, &only).await;
        assert_eq!(answer.status, 404);
        if method == Method::GET {
            let message = format!("{} is {OCI_INDEX}, which the request does not accept", images.name("1"));
            assert_eq!(answer.error(), (404, "MANIFEST_UNKNOWN".to_owned(), message));
        }
    }
    assert_eq!(stand.findings(&images.name("1")), ["first"]);
}

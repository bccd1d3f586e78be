//! Who asks for too much, or for nothing that there is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use http::Method;
use serde_json::json;

use crate::images::Images;
use crate::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_address_has_so_many_new_tags_recorded_in_a_minute() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let more =
        ["--upstream", &images.fake.host, "--new-tags-per-address", "3", "--trusted-proxy", "127.0.0.1"];
    let proxy = stand.proxy("a", &more);
    for number in 0..8 {
        images.tag(&number.to_string(), "one");
    }
    let pull = async |number: u32, from: &str| {
        proxy
            .ask(Method::GET, &format!("/v2/team/app/manifests/{number}"), &[("x-forwarded-for", from)])
            .await
    };
    for number in 0..3 {
        assert_eq!(pull(number, "192.0.2.1").await.status, 200);
    }
    let refused = pull(3, "192.0.2.1").await;
    let (status, code, message) = refused.error();
    let seconds: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
    assert_eq!((status, code.as_str()), (429, "TOOMANYREQUESTS"));
    assert_eq!(
        message,
        format!(
            "too many tags that were never seen were asked for from your address: try again in {seconds} s"
        )
    );
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(pull(0, "192.0.2.1").await.status, 200, "what is known is no new tag");
    assert_eq!(pull(3, "192.0.2.2").await.status, 200, "others have their own");
    assert_eq!(pull(3, "192.0.2.1").await.status, 200, "and it is known to all then");
    assert_eq!(pull(77, "192.0.2.1").await.status, 404, "what is not there takes nothing");
    assert_eq!(proxy.get("/tags").await.json()["count"], json!(4));
    assert_eq!(proxy.counted("bulla_proxy_refused_total{why=\"new-tags\"}").await, 1);

    // Whose word is not believed speaks for one address.
    let proxy = stand.proxy("b", &more[..4]);
    let pull = async |number: u32, from: &str| {
        proxy
            .ask(Method::GET, &format!("/v2/team/app/manifests/{number}"), &[("x-forwarded-for", from)])
            .await
            .status
    };
    let mut all = Vec::new();
    for number in 4..8 {
        all.push(pull(number, &format!("192.0.2.{number}")).await);
    }
    assert_eq!(all, [200, 200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_none_is_refused_before_anybody_is_asked() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (long, tag) = ("a".repeat(3000), "t".repeat(129));
    let name = vec!["a"; 130].join("/");
    for (path, status, code) in [
        ("/v2/_catalog".to_owned(), 404, "UNSUPPORTED"),
        ("/v2/app".to_owned(), 404, "UNSUPPORTED"),
        ("/v2/team/app/blobs/uploads/".to_owned(), 404, "UNSUPPORTED"),
        ("/v2//manifests/1".to_owned(), 404, "UNSUPPORTED"),
        ("/v2/Team/app/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("/v2/team/app%00/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("/v2/..%2f..%2fetc/manifests/1".to_owned(), 400, "NAME_INVALID"),
        (format!("/v2/{long}/manifests/1"), 400, "NAME_INVALID"),
        (format!("/v2/{name}/manifests/1"), 400, "NAME_INVALID"),
        (format!("/v2/team/app/tags/list?last={long}"), 400, "NAME_INVALID"),
        ("/v2/team/app/tags/list?ns=ghcr.io&ns=quay.io".to_owned(), 400, "NAME_INVALID"),
        ("/v2/team/app/tags/list?ns=".to_owned(), 400, "NAME_INVALID"),
        ("/v2/team/app/tags/list?ns=a%2fb".to_owned(), 400, "NAME_INVALID"),
        ("/v2/team/app/tags/list?ns=ghcr.io".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/team/app/manifests/.1".to_owned(), 400, "TAG_INVALID"),
        (format!("/v2/team/app/manifests/{tag}"), 400, "TAG_INVALID"),
        ("/v2/team/app/manifests/%0d%0aset-cookie".to_owned(), 400, "TAG_INVALID"),
        ("/v2/team/app/manifests/sha256:00".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/team/app/manifests/md5:00".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/team/app/blobs/1".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/team/app/referrers/1".to_owned(), 400, "DIGEST_INVALID"),
    ] {
        let answer = proxy.get(&path).await;
        let (found, word, message) = answer.error();
        assert_eq!((found, word.as_str()), (status, code), "{path}: {message}");
        assert!(!message.is_empty() && message.len() < 4000, "{message}");
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    }
    assert!(images.fake.seen().is_empty(), "{:?}", images.fake.asked());
    // A path of a megabyte, headers without end, no HTTP, and a connection that ends: others do not notice.
    let megabyte = "a".repeat(1 << 20);
    for garbage in [
        format!("GET /v2/{megabyte}/manifests/1 HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nhost: x\r\nx: {megabyte}\r\n\r\n"),
        "\0\u{1}\u{2}garbage\r\n\r\n".to_owned(),
        "GET /v2/team/app/manifests/1 HTTP/1.1\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(proxy.http()).expect("connects");
        let _cut_off =
            stream.write_all(garbage.as_bytes()).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200") && !answer.starts_with(b"HTTP/1.1 5"), "{garbage:.40}");
    }
    let first = images.tag("1", "one");
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    assert_eq!(proxy.get("/healthz").await.json(), json!({ "status": "SERVING" }));
    assert_eq!(proxy.get("/tags?from=%ff%00").await.status, 200);
    assert_eq!(
        proxy.get("/?from=%3Cscript%3E").await.body.windows(8).filter(|part| part == b"<script>").count(),
        0
    );
}

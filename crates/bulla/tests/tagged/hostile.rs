//! "Hostile upstream: wrong digest header, endless body, redirect to an internal address, giant manifest, slow loris." Nothing of
//! it is served, recorded, or taken for a tag that moved.
//!
//! The registry of a test is on this machine and named to the proxy by its address, so that another port of that address may be
//! asked too: by design. What names and addresses a registry of the internet may lead to is tested in `src/registry/reach.rs`.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use axum::response::IntoResponse as _;
use http::Method;
use serde_json::json;

use crate::fake::{artifact, endless, serve, serve_at, served, status, with};
use crate::images::Images;
use crate::registry::{OCI_INDEX, OCI_MANIFEST};
use crate::stand::{Answer, Stand};

/// A bad gateway, for that reason.
fn bad_gateway(answer: &Answer, reason: &str) {
    let (status, code, message) = answer.error();
    assert!(
        (status, code.as_str()) == (502, "UNAVAILABLE") && message.contains(reason),
        "{message}: {reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_digest_in_a_header_is_never_believed() {
    let (stand, images) = (Stand::start(), Images::open().await);
    // Nothing is kept, so that each pull reads what the registry sends.
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host, "--manifest-cache", "0"]);
    let (one, two) = (artifact("one", None), artifact("two", None));
    let (first, second) = (images.put("1", &one), images.put("2", &two));
    let claims = |manifest: &crate::registry::Manifest, digest: &str| {
        let headers =
            [("docker-content-digest", digest.to_owned()), ("content-type", OCI_MANIFEST.to_owned())];
        (headers, manifest.bytes.clone()).into_response()
    };
    // The first body, under the digest of the second.
    let (body, said) = (one.clone(), second.clone());
    images.meddle(move |seen| seen.path.ends_with("/1").then(|| claims(&body, &said)));
    assert_eq!(
        proxy.pull("1").await.served(),
        (200, Some(first.as_str()), true),
        "what is recorded is hashed"
    );
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), false), "whatever HEAD says");
    // A header that is no digest, and none.
    let (garbled, bare) = (one.clone(), one.clone());
    images.meddle(move |seen| seen.path.ends_with("/1").then(|| claims(&garbled, "sha256:ab")));
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), false));
    images.meddle(move |seen| {
        seen.path
            .ends_with("/1")
            .then(|| ([("content-type", OCI_MANIFEST)], bare.bytes.clone()).into_response())
    });
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), false));

    // The digest of the record, and then another body.
    let (body, said) = (two.clone(), first.clone());
    images.meddle(move |_| Some(claims(&body, &said)));
    assert_eq!(proxy.counted("bulla_proxy_alarms_total{why=\"digest\"}").await, 0);
    bad_gateway(&proxy.pull("1").await, &format!("@{first}: its digest is {second}"));
    assert_eq!(proxy.counted("bulla_proxy_alarms_total{why=\"digest\"}").await, 1);
    // The same by digest, GET and HEAD.
    for method in [Method::GET, Method::HEAD] {
        let answer = proxy.ask(method, &format!("/v2/team/app/manifests/{first}"), &[]).await;
        assert_eq!(answer.status, 502, "{answer:?}");
    }
    assert_eq!(stand.findings(&images.name("1")), ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_manifest_is_a_bad_gateway_and_leaves_nothing() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (large, one) = (vec![b' '; 5 << 20], artifact("one", None));
    let list = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }).to_string();
    let old = json!({ "schemaVersion": 1, "name": "team/app", "fsLayers": [], "history": [] }).to_string();
    let both =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "layers": [] }).to_string();
    images.meddle(move |seen| {
        let typed = |media_type: &str, body: String| {
            ([("content-type", media_type.to_owned())], body).into_response()
        };
        Some(match seen.path.rsplit('/').next().unwrap_or_default() {
            "endless" => endless(),
            "giant" => ([("content-type", OCI_MANIFEST)], large.clone()).into_response(),
            "schema1" => typed("application/vnd.docker.distribution.manifest.v1+prettyjws", old.clone()),
            "mismatch" => typed(OCI_MANIFEST, list.clone()),
            "both" => typed(OCI_INDEX, both.clone()),
            "html" => typed("text/html", "<html>".to_owned()),
            "empty" => typed(OCI_MANIFEST, String::new()),
            "part" => with(206, "content-range", "bytes 0-1/2"),
            "loop" => with(302, "location", &seen.path),
            "to-metadata" => with(307, "location", "http://169.254.169.254/latest/meta-data"),
            "to-private" => with(307, "location", "http://10.0.0.1/v2/team/app/manifests/1"),
            "to-mapped" => with(307, "location", "http://[::ffff:10.0.0.1]/"),
            "to-name" => with(307, "location", "http://localhost:9/"),
            "to-file" => with(302, "location", "file:///etc/passwd"),
            "to-user" => with(302, "location", "http://user:word@127.0.0.1:9/"),
            "bare" => status(302),
            _ => served(&one),
        })
    });
    for (tag, reason) in [
        ("endless", "it has more than 4194304 bytes"),
        ("giant", "it has more than 4194304 bytes"),
        ("schema1", "manifest has schemaVersion 1, 2 was expected: push the image anew"),
        ("mismatch", "manifest has mediaType \"application/vnd.oci.image.index.v1+json\" and came as"),
        ("both", "index has config or layers, which are those of an image"),
        ("html", "manifest is not readable"),
        ("empty", "manifest is not readable"),
        ("part", "206 Partial Content"),
        ("loop", "it redirects more than 5 times"),
        ("to-metadata", "it leads to 169.254.169.254, which is no address of the internet: --registry names"),
        ("to-private", "it leads to 10.0.0.1, which is no address of the internet: --registry names"),
        ("to-mapped", "which is no address of the internet: --registry names"),
        ("to-name", "localhost has no address of the internet: --registry names"),
        ("to-file", "it leads to no host"),
        ("to-user", "with a user in the URL"),
        ("bare", "302 Found"),
    ] {
        bad_gateway(&proxy.pull(tag).await, reason);
        let head = proxy.ask(Method::HEAD, &format!("/v2/team/app/manifests/{tag}"), &[]).await;
        assert_eq!((head.status, head.body.len()), (502, 0), "{tag}");
    }
    assert_eq!(proxy.get("/tags").await.json()["count"], json!(0));
    assert_eq!(proxy.pull("well").await.status, 200, "the registry is asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redirects_lead_to_no_internal_address() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let one = artifact("one", None);
    let other = serve(move |_| served(&one)).await;
    let near = format!("http://{}/signed?key=secret", other.host);
    let place = near.clone();
    images.meddle(move |seen| {
        let target = match seen.path.rsplit('/').next().unwrap_or_default() {
            "near" => near.as_str(),
            digest if digest.ends_with('1') => "http://169.254.169.254/latest/meta-data",
            digest if digest.ends_with('2') => "https://192.168.0.1/blob",
            digest if digest.ends_with('3') => "https://cdn.example/blob?sig=x",
            _ => near.as_str(),
        };
        Some(with(307, "location", target))
    });
    // Of the manifest: the same address at another port is one that the operator named.
    assert_eq!(proxy.pull("near").await.status, 200);
    let [seen] = other.seen().try_into().expect("one request");
    assert_eq!((seen.path.as_str(), seen.authorization()), ("/signed?key=secret", None));
    // Of a blob: the client is sent there, but not inside.
    let blob = async |last: &str| {
        let digest = format!("sha256:{}{last}", "0".repeat(63));
        proxy.get(&format!("/v2/team/app/blobs/{digest}")).await
    };
    for (last, host) in [("1", "169.254.169.254"), ("2", "192.168.0.1")] {
        bad_gateway(&blob(last).await, &format!("it leads to {host}, which is no address of the internet"));
    }
    for (last, target) in [("3", "https://cdn.example/blob?sig=x"), ("4", place.as_str())] {
        let passed = blob(last).await;
        assert_eq!((passed.status, passed.header("location")), (307, Some(target)));
    }
    assert_eq!(other.seen().len(), 1, "redirects of blobs are not followed");
}

/// A registry on another machine, as far as its address says: this machine's own, where it has one besides loopback.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_registry_elsewhere_leads_to_nothing_here() {
    let route = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
    // Nothing is sent: it is asked by which address one would be reached.
    let Ok(own) = route.connect("192.0.2.1:9").and_then(|()| route.local_addr()) else { return };
    let listener = tokio::net::TcpListener::bind((own.ip(), 0)).await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    if own.ip().is_loopback() {
        return;
    }
    let inside = serve(|_| json!({ "token": "x" }).to_string().into_response()).await;
    let (near, one) = (inside.host.clone(), artifact("one", None));
    let fake =
        serve_at((listener, host), move |seen| match seen.path.rsplit('/').next().unwrap_or_default() {
            "1" => served(&one),
            "token" => with(401, "www-authenticate", &format!("Bearer realm=\"http://{near}/token\"")),
            _ => with(307, "location", &format!("http://{near}/v2/")),
        });
    let stand = Stand::start();
    let more = ["--upstream", &fake.host, "--allow-http-registry", "--registry", &inside.host];
    let proxy = stand.proxy("a", &more);
    assert_eq!(proxy.pull("1").await.status, 200);
    let here = format!("it leads to http://{}, which is this machine", inside.host);
    bad_gateway(&proxy.pull("2").await, &here);
    let blob = format!("/v2/team/app/blobs/sha256:{}", "0".repeat(64));
    bad_gateway(&proxy.get(&blob).await, &here);
    bad_gateway(&proxy.pull("token").await, "is on this machine, and the registry is not");
    assert!(inside.seen().is_empty(), "although it is named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_server_is_no_internal_address() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let inside = serve(|_| json!({ "token": "x" }).to_string().into_response()).await;
    let by_name = inside.host.replace("127.0.0.1", "localhost");
    let name = by_name.clone();
    images.meddle(move |seen| {
        let realm = match seen.path.rsplit('/').next().unwrap_or_default() {
            "metadata" => "http://169.254.169.254/token".to_owned(),
            "private" => "https://10.0.0.1/token".to_owned(),
            "name" => format!("http://{name}/token"),
            "clear" => "http://auth.example/token".to_owned(),
            _ => "file:///token".to_owned(),
        };
        Some(with(401, "www-authenticate", &format!("Bearer realm=\"{realm}\"")))
    });
    for (tag, reason) in [
        ("metadata", "is not asked: it leads to 169.254.169.254, which is no address of the internet"),
        ("private", "is not asked: it leads to 10.0.0.1, which is no address of the internet"),
        ("name", "localhost has no address of the internet: --registry names"),
        ("clear", "is not https: --allow-http-registry lets tokens travel in clear"),
        ("file", "has no host"),
    ] {
        bad_gateway(&proxy.pull(tag).await, reason);
    }
    assert!(inside.seen().is_empty());
}

/// A registry that sends that to whoever asks, and then a byte now and then, or nothing more.
fn raw(answer: &'static [u8], drips: Option<&'static [u8]>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut first = [0; 1024];
                // 22 is how TLS begins, which nobody speaks here.
                if !stream.read(&mut first).is_ok_and(|len| len > 0 && first[0] != 22) {
                    return;
                }
                let mut sent = stream.write_all(answer);
                while let (Ok(()), Some(drip)) = (&sent, drips) {
                    std::thread::sleep(Duration::from_millis(50));
                    sent = stream.write_all(drip);
                }
                // Until the other side has enough.
                let _gone = stream.read(&mut first);
            });
        }
    });
    host
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whoever_is_slow_or_speaks_no_http_is_left() {
    let stand = Stand::start();
    let part: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{";
    for (number, host) in [
        raw(b"", None),
        raw(b"HTTP/1.1 200 OK\r\n", Some(b"x: y\r\n")),
        raw(part, Some(b" ")),
        raw(part, None),
        raw(b"HTTP/1.1 200 OK\r\n\0\xff\r\ngarbage\r\n\r\n", None),
        raw(b"\x15\x03\x01 no HTTP at all\r\n\r\n", None),
        raw(b"HTTP/1.1 999999 OK\r\n\r\n", None),
    ]
    .iter()
    .enumerate()
    {
        let proxy = stand.proxy(&format!("p{number}"), &["--upstream", host, "--upstream-timeout", "1s"]);
        let began = Instant::now();
        let answer = proxy.pull("1").await;
        assert!(began.elapsed() < Duration::from_secs(5), "{number}: {:?}", began.elapsed());
        bad_gateway(&answer, host);
        let blob = format!("/v2/team/app/blobs/sha256:{}", "0".repeat(64));
        let began = Instant::now();
        let blob = proxy.ask(Method::HEAD, &blob, &[]).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{number}: {blob:?}");
        assert_eq!(proxy.get("/v2/").await.status, 200, "others are served all the while");
    }
}

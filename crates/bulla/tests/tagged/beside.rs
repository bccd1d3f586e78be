//! "works inside `bulla up` and alone": the proxy beside a log, in one process; and "signed by the proxy (own key, or keyless
//! identity)", by whom a token is about.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Served, bulla, exchange, get, run, serve_command};
use crate::images::Images;

/// What came of a pull at an address.
async fn pull(at: &str, tag: &str) -> (u16, Option<String>) {
    let client = bulla_web::client().build().expect("a client");
    let response =
        client.get(format!("http://{at}/v2/team/app/manifests/{tag}")).send().await.expect("answers");
    let first = response.headers().get("tlog-first-seen").and_then(|first| first.to_str().ok());
    (response.status().as_u16(), first.map(str::to_owned))
}

/// Where the greeting says that the proxy listens.
fn proxy_of(served: &Served) -> String {
    let line = served.greeting.lines().find_map(|line| line.trim().strip_prefix("tag proxy"));
    line.expect("it says so").trim().trim_start_matches("http://").to_owned()
}

/// Of a log that takes entries with a token only, of one key only, and one in a minute.
fn guarded(data: &Path) -> Vec<String> {
    fs::write(data.join("tokens"), "somebody:secret\n").expect("is written");
    let tokens = data.join("tokens").display().to_string();
    ["--write-token-file", &tokens, "--allow-key", &"ab".repeat(32), "--write-limit", "1"]
        .map(str::to_owned)
        .to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn beside_its_log_the_proxy_may_write_whoever_else_may() {
    let (folder, images) = (tempfile::tempdir().expect("a directory"), Images::open().await);
    for tag in ["1", "2", "3"] {
        images.tag(tag, tag);
    }
    let data = folder.path().join("log");
    let options = ["--proxy", "127.0.0.1:0", "--upstream", &images.fake.host].map(str::to_owned);
    let options = [options.to_vec(), guarded(folder.path())].concat();
    let served = Served::start(serve_command(&data).args(&options));
    let proxy = proxy_of(&served);
    for tag in ["1", "2", "3"] {
        assert_eq!(pull(&proxy, tag).await, (200, Some("true".to_owned())), "{tag}");
    }
    let (status, ..) = exchange(&served.http, "POST", "/api/v1/log/entries", "{}");
    assert_eq!(status, 401, "nobody else may write without a token");
    // The token is the process's own: nobody can read it off.
    let (code, logged) = served.stop();
    assert_eq!(code, Some(0), "{logged}");
    let served = Served::start(serve_command(&data).args(&options));
    assert_eq!(pull(&proxy_of(&served), "1").await, (200, None), "it is known after a restart");
    // A proxy that cannot be is no log that half works.
    drop(served.stop());
    fs::remove_file(data.join("proxy/proxy.key")).expect("is there");
    let (code, _, errors) = run(serve_command(&data).args(&options));
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("proxy.key is missing"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_and_approvals_are_by_whom_tokens_are_about() {
    let (folder, images) = (tempfile::tempdir().expect("a directory"), Images::open().await);
    let first = images.tag("1", "one");
    let mut up = bulla();
    up.args(["up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off", "--data", "up"]);
    let up = Served::start(up.current_dir(folder.path()).env("BULLA_DISK_RESERVE", "0"));
    let url = format!("http://localhost:{}", up.http.rsplit(':').next().unwrap_or_default());
    let token = |email: &str, file: &str| {
        let (status, _, body) = exchange(&up.http, "POST", "/oidc/mint", &format!("email={email}"));
        assert_eq!(status, 200, "{body}");
        let token: Value = serde_json::from_str(&body).expect("JSON");
        fs::write(folder.path().join(file), token["token"].as_str().expect("text")).expect("is written");
    };
    token("proxy@example.org", "token");
    token("boss@example.org", "boss");
    let (status, _, root) = get(&up.http, "/trusted_root.json");
    assert_eq!(status, 200, "{root}");
    fs::write(folder.path().join("root.json"), root).expect("is written");
    let (recorder, approver) =
        (format!("proxy@example.org={url}/oidc"), format!("boss@example.org={url}/oidc"));
    let roles = ["--recorder-identity", recorder.as_str(), "--approver-identity", &approver];
    let command = |words: &[&str]| {
        let mut command = bulla();
        command.args(words).args(roles).current_dir(folder.path()).env("XDG_STATE_HOME", folder.path());
        command
    };
    let start = ["proxy", "--data", "proxy", "--listen", "127.0.0.1:0", "--upstream", &images.fake.host];
    let start = [&start[..], &["--url", &url, "--identity-token", "token"]].concat();
    let proxy = Served::start_until(&mut command(&start), "docker pull ");
    assert_eq!(pull(&proxy.http, "1").await, (200, Some("true".to_owned())));
    assert!(!folder.path().join("proxy/proxy.key").exists(), "it has no key of its own");
    let moved = images.tag("1", "two");
    assert_eq!(pull(&proxy.http, "1").await.0, 400);
    let name = images.name("1");
    let approve = |who: &str| {
        let said = [
            "tag",
            "approve",
            &name,
            "--to",
            &moved,
            "--reason",
            "CVE",
            "--url",
            &url,
            "--identity-token",
            who,
        ];
        let (code, out, errors) = run(&mut command(&said));
        assert_eq!(code, 0, "{out}{errors}");
    };
    // The proxy itself is none who may approve.
    approve("token");
    let began = std::time::Instant::now();
    while began.elapsed().as_secs() < 2 {
        assert_eq!(pull(&proxy.http, "1").await.0, 400);
    }
    approve("boss");
    while pull(&proxy.http, "1").await.0 != 200 {
        assert!(began.elapsed().as_secs() < 20, "it is never served");
    }
    let history =
        ["tag", "history", &name, "--rekor-url", &url, "--trusted-root", "root.json", "--output", "json"];
    let (code, out, errors) = run(&mut command(&history));
    assert_eq!(code, 0, "{out}{errors}");
    let history: Value = serde_json::from_str(&out).expect("JSON");
    let findings: Vec<_> = history["steps"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|step| step["finding"].as_str())
        .collect();
    assert_eq!(
        (findings, history["current"]["digest"].as_str()),
        (vec!["first", "used", "approved"], Some(moved.as_str()))
    );
    assert_ne!(first, moved);
    // Of whom the records are said to be is no matter of opinion.
    let other =
        ["tag", "history", &name, "--rekor-url", &url, "--trusted-root", "root.json", "--output", "json"];
    let mut stranger = bulla();
    stranger.args(other).args(["--recorder-identity", &approver]).current_dir(folder.path());
    let (code, out, _) = run(&mut stranger);
    assert_eq!(
        (code, serde_json::from_str::<Value>(&out).expect("JSON")["current"].clone()),
        (0, Value::Null)
    );
}

//! "Policy per glob: enforce, warn, observe, off; digests always pass; signature and fallback tags and configured moving names
//! exempt but recorded."

use serde_json::json;

use crate::images::Images;
use crate::stand::{Stand, mismatch};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_tag_has_its_rule() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let host = &images.fake.host;
    stand.file(
        "tags.toml",
        &format!(
            "moving = [\"main\", \"*-dev\"]\n\
             [[rule]]\ntags = \"{host}/team/app:w*\"\nrule = \"warn\"\n\
             [[rule]]\ntags = \"{host}/team/*:o*\"\nrule = \"observe\"\n\
             [[rule]]\ntags = \"{host}/**:free*\"\nrule = \"off\"\n\
             [[rule]]\ntags = \"**:1\"\nrule = \"enforce\"\n"
        ),
    );
    let proxy = stand.proxy("a", &["--upstream", host, "--tag-policy", "tags.toml"]);
    let signature = format!("sha256-{}.sig", "ab".repeat(32));
    let fallback = format!("sha256-{}", "cd".repeat(32));
    // Tag, whether its move is served, whether that is said, what its records come to, and what `history` ends with.
    for (tag, served, warned, findings, code) in [
        ("1", false, true, &["first"][..], 0),
        ("warned", true, true, &["first", "unapproved"], 1),
        ("observed", true, false, &["first", "unapproved"], 1),
        ("free", true, false, &[], 0),
        ("main", true, false, &["first", "unapproved"], 0),
        ("x-dev", true, false, &["first", "unapproved"], 0),
        ("latest", false, true, &["first"], 0),
        (signature.as_str(), true, false, &["first", "unapproved"], 0),
        (fallback.as_str(), true, false, &["first", "unapproved"], 0),
    ] {
        let (first, name) = (images.tag(tag, "one"), images.name(tag));
        let recorded = !findings.is_empty();
        assert_eq!(proxy.pull(tag).await.served(), (200, Some(first.as_str()), recorded), "{tag}");
        let second = images.tag(tag, "two");
        let answer = proxy.pull(tag).await;
        if served {
            assert_eq!(answer.served(), (200, Some(second.as_str()), false), "{tag}");
        } else {
            assert_eq!(answer.error(), mismatch(&name, &second, &first));
        }
        let moved = format!("299 - \"tag {name} moved from {first} to {second}, and nobody approved\"");
        match (served, warned) {
            (true, true) => assert_eq!(answer.header("warning"), Some(moved.as_str())),
            (_, warned) => assert_eq!(answer.header("warning").is_some(), warned, "{tag}: {answer:?}"),
        }
        assert_eq!(answer.header("tlog-uuid").is_some(), served && recorded, "{tag}: {answer:?}");
        if served {
            let again = proxy.pull(tag).await;
            assert_eq!(
                (again.served().1, again.header("warning")),
                (Some(second.as_str()), None),
                "it is told once"
            );
        }
        let history = stand.tag(&["history", &name, "--moving", "main,*-dev", "--output", "json"]);
        let found: Vec<_> = history.json()["steps"].as_array().expect("a list").clone();
        assert_eq!(found.iter().map(|step| &step["finding"]).collect::<Vec<_>>(), findings, "{tag}");
        assert_eq!(history.code, code, "{tag}: {history:?}");
        if let Some(rule) = found.last().map(|step| step["rule"].as_str().expect("text")) {
            let expected = match tag {
                "1" | "latest" => "enforce",
                "warned" => "warn",
                "observed" => "observe",
                _ => "moving",
            };
            assert_eq!(rule, expected, "{tag}");
        }
    }
    // A digest is what it is.
    let digest = images.tag("elsewhere", "never pulled by a tag");
    let answer = proxy.get(&format!("/v2/team/app/manifests/{digest}")).await;
    assert_eq!((answer.served(), answer.header("tlog-uuid")), ((200, Some(digest.as_str()), false), None));
    let events = proxy.get("/tags").await.json()["events"].clone();
    let moved: Vec<_> =
        events.as_array().expect("a list").iter().filter(|event| event["what"] == "moved").collect();
    assert_eq!(moved.len(), 4, "of signatures nobody is told: {events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_policy_all_is_enforced_but_what_moves() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    for (tag, moves) in
        [("latest", true), ("edge", true), ("nightly", true), ("v2-nightly", true), ("3.20", false)]
    {
        images.tag(tag, "one");
        assert_eq!(proxy.pull(tag).await.status, 200);
        images.tag(tag, "two");
        assert_eq!(proxy.pull(tag).await.status, if moves { 200 } else { 400 }, "{tag}");
        assert_eq!(stand.tag(&["history", &images.name(tag)]).code, 0, "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_policy_that_would_not_hold_is_refused_at_the_start() {
    let stand = Stand::start();
    let more = ["--upstream", "r.example", "--tag-policy", "tags.toml"];
    for (policy, problem) in [
        (
            "[[rule]]\ntags = \"r.example/app\"\nrule = \"off\"\n",
            "names no tag: r.example/app:* may be meant",
        ),
        ("[[rule]]\ntags = \"r.example/**\"\nrule = \"ignore\"\n", "unknown variant `ignore`"),
    ] {
        stand.file("tags.toml", policy);
        let refused = stand.refused("a", &more);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(
            refused.errors.contains("--tag-policy tags.toml: ") && refused.errors.contains(problem),
            "{refused:?}"
        );
    }
    std::fs::remove_file(stand.path("tags.toml")).expect("is there");
    assert_eq!(stand.refused("a", &more).code, 2, "a policy that is not there is not taken for none");
    for (words, problem) in [
        (&["--only-named"][..], "--only-named names nobody: pass --registry or --upstream"),
        (
            &["--upstream", "org/app"],
            "--upstream: \"org/app\" names no registry, such as ghcr.io or docker.io",
        ),
        (&["--registry", "app"], "--registry app: a registry such as ghcr.io or localhost:5000 was expected"),
        (&["--tlog-upload", "false"], "--tlog-upload=false: a tag that is in no log is no record"),
    ] {
        let refused = stand.refused("a", words);
        assert!(refused.code == 2 && refused.errors.contains(problem), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_what_is_named_is_served_if_that_is_wanted() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let other = Images::open().await;
    let proxy = stand.proxy("a", &["--registry", &images.fake.host, "--only-named"]);
    images.tag("1", "one");
    other.tag("1", "one");
    let path = |host: &str| format!("/v2/{host}/team/app/manifests/1");
    assert_eq!(proxy.get(&path(&images.fake.host)).await.status, 200);
    let answer = proxy.get(&path(&other.fake.host)).await;
    let message = format!("registry {} is not served here: --registry names those that are", other.fake.host);
    assert_eq!(answer.error(), (404, "NAME_UNKNOWN".to_owned(), message));
    assert!(other.fake.seen().is_empty());
    // Without that, registries of the internet are served, and no others.
    let proxy = stand.proxy("b", &[]);
    for (host, reason) in [
        (other.fake.host.as_str(), "it leads to 127.0.0.1, which is no address of the internet"),
        ("169.254.169.254:80", "it leads to 169.254.169.254, which is no address of the internet"),
        ("localhost:9", "localhost has no address of the internet"),
        ("[::1]:9", "which is no address of the internet"),
    ] {
        let (status, _, message) = proxy.get(&path(host)).await.error();
        assert!(status == 502 && message.contains(reason), "{host}: {message}");
    }
    assert!(other.fake.seen().is_empty());
    assert_eq!(proxy.get("/tags").await.json()["count"], json!(0));
}

//! "The first time a tag is pulled through it, the digest is recorded in the log; from then on a pull of that tag is served only
//! while it points to that digest, and the answer says where in the log the record is."

use http::Method;
use serde_json::json;

use crate::images::Images;
use crate::logging::{approval, log};
use crate::stand::{Proxy, Stand, mismatch};

/// Pulls a tag until that digest is served: a refusal of a moment ago is repeated without asking the log.
async fn served_at_last(proxy: &Proxy, tag: &str, digest: &str) {
    let began = std::time::Instant::now();
    loop {
        let answer = proxy.pull(tag).await;
        if answer.served() == (200, Some(digest), false) {
            return;
        }
        assert!(began.elapsed().as_secs() < 10, "{answer:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tag_is_recorded_once_and_served_while_it_points_there() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let answer = proxy.pull("1").await;
    assert_eq!(answer.served(), (200, Some(first.as_str()), true));
    assert_eq!(answer.header("tlog-logindex"), Some("0"));
    let uuid = answer.header("tlog-uuid").expect("it says where");
    assert_eq!(stand.entry(0).await.0, uuid);
    for header in ["tlog-integratedtime", "tlog-checkpoint", "tlog-proof", "tlog-record", "tlog-promise"] {
        assert!(answer.header(header).is_some_and(|value| !value.is_empty()), "{header}: {answer:?}");
    }
    let second = proxy.pull("1").await;
    assert_eq!(second.served(), (200, Some(first.as_str()), false), "Tlog-First-Seen once");
    assert_eq!((second.header("tlog-uuid"), &second.body), (Some(uuid), &answer.body));
    let head = proxy.ask(Method::HEAD, "/v2/team/app/manifests/1", &[]).await;
    assert_eq!((head.served(), head.body.len()), (second.served(), 0));
    assert_eq!(head.header("content-length"), second.header("content-length"));

    // "A moved tag is refused with an OCI error body, code TAG_INVALID, message …, the first-seen date and where to look"
    let moved = images.tag("1", "two");
    let answer = proxy.pull("1").await;
    assert_eq!(answer.error(), mismatch(&name, &moved, &first));
    let history = stand.history(&name);
    let seen = history["first"]["seen"].as_str().expect("a time");
    let look = format!("http://{}/api/v1/log/entries/{uuid}, bulla tag history {name}", stand.log.http);
    let detail = json!({
        "tag": name, "got": moved, "want": first, "firstSeen": seen, "logIndex": 0, "uuid": uuid, "look": look,
        "approvals": "none allows this move",
    });
    assert_eq!(answer.json()["errors"][0]["detail"], detail);
    let warning = format!("299 - \"first seen {seen}, log index 0: {look}\"");
    assert_eq!(answer.header("warning"), Some(warning.as_str()));
    let head = proxy.ask(Method::HEAD, "/v2/team/app/manifests/1", &[]).await;
    assert_eq!((head.status, head.header("warning"), head.body.len()), (400, Some(warning.as_str()), 0));
    assert_eq!(stand.findings(&name), ["first"], "a refusal leaves no record");

    // What the page says of it.
    let page = proxy.get("/tags").await.json();
    assert_eq!((&page["count"], &page["tags"]), (&json!(1), &json!([name])));
    let kinds: Vec<_> =
        page["events"].as_array().expect("a list").iter().map(|event| &event["what"]).collect();
    assert_eq!(kinds, ["refused", "first-seen"]);
    let page = String::from_utf8(proxy.get("/").await.body.to_vec()).expect("text");
    assert!(page.contains("Refused: the tag moved") && page.contains(&moved), "{page}");

    // Back where it was it is served.
    images.tag("1", "one");
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), false));
    proxy.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tag_moves_once_for_each_approval_of_somebody_who_may() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let (boss, stranger) = (stand.key("boss"), stand.key("stranger"));
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host, "--approver-key", "boss.pub"]);
    let name = images.name("1");
    let (second, first) = (images.tag("1", "two"), images.tag("1", "one"));
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));

    // "without one nobody, the operator included, can move a tag silently"
    assert_eq!(stand.approve(&name, &second, &stranger).code, 0, "everybody may log");
    assert_eq!(stand.approve(&name, &second, "a/proxy.key").code, 0);
    log(&stand, &approval(&name, &second, 0, -10), &boss).await;
    log(&stand, &approval(&name, &second, 0, 30), &boss).await;
    images.tag("1", "two");
    let answer = proxy.pull("1").await;
    assert_eq!(answer.error(), mismatch(&name, &second, &first), "not allowed, or too late");

    let approved = stand.approve(&name, &second, &boss);
    assert_eq!(approved.code, 0, "{approved:?}");
    assert!(
        approved.out.starts_with(&format!("{name} may move to {second}, from {first}, until ")),
        "{approved:?}"
    );
    served_at_last(&proxy, "1", &second).await;
    assert_eq!(stand.findings(&name), ["first", "unused", "unused", "used", "approved"]);

    // An approval is used up: back, and there again, take another each.
    images.tag("1", "one");
    assert_eq!(proxy.pull("1").await.error(), mismatch(&name, &first, &second));
    let back = stand
        .tag(&["approve", &name, "--to", &first, "--reason", "back", "--key", &boss, "--output", "json"]);
    assert_eq!((back.json()["after"].as_u64(), back.json()["to"].as_str()), (Some(6), Some(first.as_str())));
    served_at_last(&proxy, "1", &first).await;
    images.tag("1", "two");
    assert_eq!(proxy.pull("1").await.error(), mismatch(&name, &second, &first));
    let history = stand.tag(&["history", &name]);
    assert_eq!(history.code, 0, "a tag that moves by approval has a sound history: {history:?}");
    let said: Vec<_> = ["first seen", "was moved to by record 6", "moved, approved by entry 5", "CVE-2026-1"]
        .into_iter()
        .filter(|said| !history.out.contains(said))
        .collect();
    assert_eq!(said, Vec::<&str>::new(), "{history:?}");
    assert!(history.out.ends_with(&format!("It points to {first}, by record 8.\n")), "{history:?}");
    let there = stand.approve(&name, &first, &boss);
    assert_eq!(
        (there.code, there.errors.lines().last().unwrap_or_default()),
        (2, format!("bulla: --to {first}: {name} points there already, by record 8").as_str())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tag_may_be_approved_before_it_is_seen_and_another_comes_first() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let boss = stand.key("boss");
    // The proxy has a key before it runs, so that approvals can name it.
    stand.proxy_key("a");
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host, "--approver-key", "boss.pub"]);
    let (second, first) = (images.tag("1", "two"), images.tag("1", "one"));
    let name = images.name("1");
    let before = stand.approve(&name, &second, &boss);
    assert!(before.out.contains("which was never recorded"), "{before:?}");
    // The first is what is seen first; the approval was for after nothing, and serves no more.
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    images.tag("1", "two");
    assert_eq!(proxy.pull("1").await.error(), mismatch(&name, &second, &first));
    assert_eq!(stand.findings(&name), ["unused", "first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_check_says_whether_a_tag_points_where_its_history_says() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    let last = |errors: &str| errors.lines().last().unwrap_or_default().to_owned();
    let never = stand.tag(&["check", &name]);
    assert_eq!((never.code, last(&never.errors)), (1, format!("bulla: {name}: it was never recorded")));
    assert!(
        never.out.contains("The log's search shows no record of it; --all does not believe"),
        "{never:?}"
    );
    let never = stand.tag(&["check", &name, "--all", "--output", "json"]);
    assert_eq!((never.code, &never.json()["leavesRead"], &never.json()["ok"]), (1, &json!(0), &json!(false)));

    proxy.pull("1").await;
    for words in [vec![name.clone()], vec![format!("{name}@{first}")], vec![name.clone(), "--all".to_owned()]]
    {
        let words: Vec<_> = ["check"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let checked = stand.tag(&words);
        assert_eq!(checked.code, 0, "{checked:?}");
        assert!(checked.out.contains(&format!("It points to {first}, by record 0.")), "{checked:?}");
    }
    let moved = images.tag("1", "two");
    let wrong = stand.tag(&["check", &name, "--output", "json"]);
    let said = format!("bulla: {name}: it points to {moved}, its history says {first}");
    assert_eq!((wrong.code, last(&wrong.errors)), (1, said));
    let said = wrong.json();
    assert_eq!((&said["ok"], &said["sound"], &said["digest"]), (&json!(false), &json!(true), &json!(moved)));

    // Usage is another exit code.
    let none = stand.run(&["tag", "history", &name]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(
        none.errors.contains("nobody's records count: name the proxy with --recorder-key FILE"),
        "{none:?}"
    );
    let none = stand.tag(&["history", &format!("team/app@{first}")]);
    assert_eq!(
        (none.code, last(&none.errors)),
        (2, format!("bulla: team/app@{first}: names no tag, NAME:TAG was expected"))
    );
    let none = stand.tag(&["history", &name, "--rekor-url", "http://127.0.0.1:9"]);
    assert_eq!(none.code, 3, "{none:?}");
}

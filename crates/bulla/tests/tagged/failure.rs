//! "Log unreachable → known tags served from a verified local record, unknown tags refused (or --unknown=warn); upstream
//! unreachable → cached manifest or a clear 502; a record that doesn't verify → refused and alarmed."

use std::process::Command;

use redb::{Database, ReadableDatabase as _, TableDefinition};
use serde_json::json;

use crate::between::{Between, Mode};
use crate::images::Images;
use crate::stand::{Proxy, Stand, mismatch};

const ALARMS: &str = "bulla_proxy_alarms_total{why=\"record\"}";

/// What is kept of a tag is not believed.
async fn corrupt(proxy: &Proxy, tag: &str, name: &str, cause: &str) {
    let before = proxy.counted(ALARMS).await;
    let (status, code, message) = proxy.pull(tag).await.error();
    let expected = format!("the record of tag {name} does not hold: {cause}");
    assert_eq!((status, code.as_str(), message), (500, "TAG_INVALID", expected));
    assert!(proxy.counted(ALARMS).await > before);
    let events = proxy.get("/tags").await.json()["events"].clone();
    assert_eq!((&events[0]["what"], &events[0]["tag"]), (&json!("alarm"), &json!(name)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_the_log_what_is_known_is_served_and_nothing_else() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let between = Between::before(&stand.log.http).await;
    for name in ["a", "b"] {
        stand.proxy_key(name);
    }
    let at = ["--upstream", &images.fake.host, "--rekor-url", &between.url];
    let proxy = stand.proxy("a", &[&at[..], &["--recorder-key", "b/proxy.pub"]].concat());
    let lenient =
        stand.proxy("b", &[&at[..], &["--recorder-key", "a/proxy.pub", "--unknown", "warn"]].concat());
    let first = images.tag("1", "one");
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));

    between.set(Mode::Down);
    let answer = proxy.pull("1").await;
    assert_eq!((answer.served(), answer.header("warning")), ((200, Some(first.as_str()), false), None));
    assert_eq!(answer.header("tlog-logindex"), Some("0"));
    let (second, name) = (images.tag("2", "two"), images.name("2"));
    let answer = proxy.pull("2").await;
    let (status, code, message) = answer.error();
    assert_eq!((status, code.as_str(), answer.header("retry-after")), (503, "UNAVAILABLE", Some("5")));
    assert!(message.starts_with(&format!("tag {name} is not known, and cannot be recorded: ")), "{message}");
    assert_eq!(proxy.get("/readyz").await.json()["problems"].as_array().map(Vec::len), Some(1));
    // A known tag that moved cannot be said to be approved.
    let moved = images.tag("1", "elsewhere");
    let answer = proxy.pull("1").await;
    assert_eq!(answer.error(), mismatch(&images.name("1"), &moved, &first));
    let approvals = answer.json()["errors"][0]["detail"]["approvals"].as_str().expect("text").to_owned();
    assert!(approvals.starts_with("could not be looked for: http://"), "{approvals}");

    // "or --unknown=warn"
    let answer = lenient.pull("2").await;
    assert_eq!(answer.served(), (200, Some(second.as_str()), false));
    let warning =
        format!("299 - \"tag {name} points to {second}, which is not recorded: the log cannot be asked\"");
    assert_eq!((answer.header("warning"), answer.header("tlog-uuid")), (Some(warning.as_str()), None));
    between.set(Mode::Open);
    let answer = lenient.pull("2").await;
    assert_eq!((answer.served(), answer.header("warning")), ((200, Some(second.as_str()), true), None));
    assert_eq!(proxy.pull("2").await.served(), (200, Some(second.as_str()), false), "one record for both");
    assert_eq!(stand.findings(&name), ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_that_is_killed_knows_its_tags_again_without_the_log() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let more = ["--upstream", &images.fake.host];
    let (first, second) = (images.tag("1", "one"), images.tag("2", "two"));
    for round in 0..3 {
        let proxy = stand.proxy("a", &more);
        assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), round == 0), "{round}");
        assert_eq!(proxy.pull("2").await.served(), (200, Some(second.as_str()), round == 0), "{round}");
        proxy.signal("KILL");
    }
    assert_eq!(stand.findings(&images.name("1")), ["first"]);
    stand.log.signal("KILL");
    let proxy = stand.proxy("a", &more);
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), false));
    let moved = images.tag("1", "elsewhere");
    assert_eq!(proxy.pull("1").await.error(), mismatch(&images.name("1"), &moved, &first));
    images.tag("3", "three");
    assert_eq!(proxy.pull("3").await.error().0, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_that_were_lost_are_found_in_the_log() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let more = ["--upstream", &images.fake.host];
    let first = images.tag("1", "one");
    let proxy = stand.proxy("a", &more);
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    proxy.stop();
    std::fs::remove_file(stand.path("a/records.redb")).expect("is there");
    let proxy = stand.proxy("a", &more);
    let moved = images.tag("1", "elsewhere");
    assert_eq!(proxy.pull("1").await.error(), mismatch(&images.name("1"), &moved, &first), "not forgotten");
    images.tag("1", "one");
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), false));
    assert_eq!(stand.findings(&images.name("1")), ["first"]);
    proxy.stop();
    // A file that is none is no reason to begin anew, either.
    std::fs::write(stand.path("a/records.redb"), vec![7; 8192]).expect("is written");
    let refused = stand.refused("a", &more);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.errors.contains("move it away: records are found again in the log"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_registry_that_is_gone_is_a_cached_manifest_or_a_bad_gateway() {
    let stand = Stand::start();
    // It ends with its own runtime.
    let theirs = tokio::runtime::Runtime::new().expect("a runtime");
    let images = theirs.spawn(Images::open()).await.expect("opens");
    let more = ["--upstream", &images.fake.host];
    let first = images.tag("1", "one");
    let (proxy, bare) =
        (stand.proxy("a", &more), stand.proxy("b", &[&more[..], &["--manifest-cache", "0"]].concat()));
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    bare.pull("1").await;
    theirs.shutdown_background();
    let began = std::time::Instant::now();
    let answer = loop {
        let answer = proxy.pull("1").await;
        if answer.header("warning").is_some() {
            break answer;
        }
        assert!(began.elapsed().as_secs() < 10, "the registry goes on");
    };
    assert_eq!(answer.served(), (200, Some(first.as_str()), false));
    let warning = answer.header("warning").expect("it is said");
    assert!(warning.contains(&format!("this is what tag {} pointed to: ", images.name("1"))), "{warning}");
    assert_eq!(proxy.get(&format!("/v2/team/app/manifests/{first}")).await.status, 200);
    for (proxy, tag) in [(&proxy, "2"), (&bare, "1")] {
        let (status, code, message) = proxy.pull(tag).await.error();
        assert!(
            (status, code.as_str()) == (502, "UNAVAILABLE") && message.contains(&images.fake.host),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_kept_counts_once_it_holds() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let more = ["--upstream", &images.fake.host];
    let proxy = stand.proxy("a", &more);
    let names = ["1", "2", "3"].map(|tag| {
        images.tag(tag, tag);
        images.name(tag)
    });
    for tag in ["1", "2", "3"] {
        assert_eq!(proxy.pull(tag).await.status, 200);
    }
    proxy.stop();
    let rows: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
    {
        let file = Database::open(stand.path("a/records.redb")).expect("opens");
        let row = |name: &str| {
            let table = file.begin_read().expect("reads").open_table(rows).expect("is there");
            table.get(name).expect("reads").expect("is there").value().to_vec()
        };
        let (one, three) = (row(&names[0]), row(&names[2]));
        let text = String::from_utf8(three).expect("text");
        let (before, digits) = text.split_once("\"integratedTime\":").expect("is there");
        let other = format!("{before}\"integratedTime\":1{digits}");
        let writing = file.begin_write().expect("writes");
        {
            let mut table = writing.open_table(rows).expect("is there");
            // Another tag's record, no record, and one at another time.
            table.insert(names[1].as_str(), one.as_slice()).expect("is written");
            table.insert(names[0].as_str(), b"{".as_slice()).expect("is written");
            table.insert(names[2].as_str(), other.as_bytes()).expect("is written");
        }
        writing.commit().expect("is written");
    }
    let proxy = stand.proxy("a", &more);
    let stranger = "what is kept of it is not signed by a proxy whose records count";
    corrupt(&proxy, "2", &names[1], stranger).await;
    let (status, _, message) = proxy.pull("1").await.error();
    assert!(status == 500 && message.contains("what is kept of it is not readable: "), "{message}");
    let (status, _, message) = proxy.pull("3").await.error();
    assert!(status == 500 && message.contains("entry 2: promise: "), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_with_another_key_does_not_believe_what_is_there() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let more = ["--upstream", &images.fake.host];
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    let proxy = stand.proxy("a", &more);
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    proxy.stop();

    // "lost key": no other is made in its place.
    std::fs::rename(stand.path("a/proxy.key"), stand.path("old.key")).expect("is moved");
    std::fs::copy(stand.path("a/proxy.pub"), stand.path("old.pub")).expect("is copied");
    for lost in ["proxy.key", "proxy.pub"] {
        let _was_moved = std::fs::remove_file(stand.path("a").join(lost));
        let refused = stand.refused("a", &more);
        let expected = "bulla: a/proxy.key is missing, and a was used before: restore the key from a copy, or move proxy.pub \
                        and records.redb away and name the old key with --recorder-key, so that its records go on to count\n";
        assert_eq!((refused.code, refused.errors.as_str()), (2, expected));
    }
    stand.key("a/proxy");
    let proxy = stand.proxy("a", &more);
    corrupt(&proxy, "1", &name, "what is kept of it is not signed by a proxy whose records count").await;
    proxy.stop();
    // Who follows the advice goes on where the old one stopped.
    std::fs::remove_file(stand.path("a/records.redb")).expect("is there");
    let proxy = stand.proxy("a", &[&more[..], &["--recorder-key", "old.pub"]].concat());
    let moved = images.tag("1", "elsewhere");
    assert_eq!(proxy.pull("1").await.error(), mismatch(&name, &moved, &first));
    // The key of somebody else is theirs to use.
    let rights = Command::new("stat").args(["-c", "%a"]).arg(stand.path("old.key")).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&rights.stdout).trim(), "600");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_log_that_hides_what_it_had_is_found_out() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let between = Between::before(&stand.log.http).await;
    let at = ["--upstream", &images.fake.host, "--rekor-url", &between.url];
    let proxy = stand.proxy("a", &[&at[..], &["--recheck", "0s"]].concat());
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    between.set(Mode::HidesAll);
    // Beside a pull of what did not move, which is served.
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), false));
    let began = std::time::Instant::now();
    while proxy.counted(ALARMS).await == 0 {
        assert!(began.elapsed().as_secs() < 10, "nobody is alarmed");
    }
    images.tag("1", "elsewhere");
    corrupt(&proxy, "1", &name, "the log does not show record 0 any more, which it had").await;
    between.set(Mode::Open);
    assert_eq!(proxy.pull("1").await.error().0, 400);
}

//! "A monitor-like test that walks the records of a tag and detects a proxy that forked its history." "Each record commits to the
//! one before: absence, first and latest are provable … without trusting search."

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::between::{Between, Mode};
use crate::common::{Served, serve_command};
use crate::images::Images;
use crate::logging::{log, log_signed, record};
use crate::stand::Stand;

/// A history that is not one, and the entry that is named.
fn forked(stand: &Stand, words: &[&str], name: &str, index: u64, finding: &str, of: &Value) {
    let history = stand.tag(&[&["history", name][..], words].concat());
    assert_eq!(history.code, 1, "{history:?}");
    let said = format!("bulla: the history of {name} is not one in which the tag moved by approval");
    assert_eq!(history.errors.lines().last(), Some(said.as_str()));
    let line = history.out.lines().find(|line| line.trim_start().starts_with(&format!("{index}  ")));
    assert!(line.is_some_and(|line| line.contains("VOID: ")), "{history:?}");
    assert!(history.out.contains("1 entry is not of one history in which the tag moved by approval."));
    let machine = stand.tag(&[&["history", name, "--output", "json"][..], words].concat()).json();
    let faults: Vec<_> =
        machine["steps"].as_array().expect("a list").iter().filter(|step| step["fault"] == true).collect();
    assert_eq!((machine["sound"].as_bool(), faults.len()), (Some(false), 1), "{machine}");
    assert_eq!(
        (&faults[0]["index"], &faults[0]["finding"], &faults[0]["entry"]),
        (&json!(index), &json!(finding), of)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_history_by_the_same_key_is_named() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (other, first) = (images.tag("1", "other"), images.tag("1", "one"));
    // A first record beside the first; one that follows and was not approved; one that follows what is not there.
    for (tag, previous, finding) in
        [("1", None, "forked"), ("2", Some(()), "not-approved"), ("3", None, "forked")]
    {
        images.tag(tag, "one");
        let answer = proxy.pull(tag).await;
        assert_eq!(answer.served(), (200, Some(first.as_str()), true));
        let index: u64 = answer.header("tlog-logindex").and_then(|text| text.parse().ok()).expect("a number");
        let name = images.name(tag);
        assert_eq!(stand.tag(&["history", &name]).code, 0);
        let previous = match tag {
            "3" => Some(index + 7),
            _ => previous.map(|()| index),
        };
        let forged = log(&stand, &record(&name, &other, previous), "a/proxy.key").await;
        let of = if finding == "forked" { json!(index) } else { Value::Null };
        for words in [&[][..], &["--all"]] {
            forked(&stand, words, &name, forged, finding, &of);
        }
        // What holds goes on to hold, and whoever pulls next makes the operator look.
        let moved = images.tag(tag, "other");
        assert_eq!(proxy.pull(tag).await.error().2, crate::stand::mismatch(&name, &moved, &first).2);
        let events = proxy.get("/tags").await.json()["events"].clone();
        let alarms: Vec<_> =
            events.as_array().expect("a list").iter().filter(|event| event["what"] == "alarm").collect();
        assert!(alarms.iter().any(|alarm| alarm["tag"] == json!(name)), "{events}");
        let checked = stand.tag(&["check", &format!("{name}@{first}")]);
        assert_eq!(checked.code, 1, "it points where it should, and its history is forked: {checked:?}");
        assert!(checked.errors.ends_with("its history is not one in which the tag moved by approval\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_that_the_search_hides_is_found_by_reading_everything() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let between = Between::before(&stand.log.http).await;
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (other, first, name) = (images.tag("1", "other"), images.tag("1", "one"), images.name("1"));
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    for noise in 2..30 {
        images.tag(&noise.to_string(), "noise");
        proxy.pull(&noise.to_string()).await;
    }
    let forged = log(&stand, &record(&name, &other, None), "a/proxy.key").await;
    let found = stand.history(&name)["steps"].as_array().expect("a list").len();
    assert_eq!((found, forged), (2, 29));
    let (id, _) = stand.entry(forged).await;
    between.set(Mode::Hides(vec![id]));
    let at = ["--rekor-url", between.url.as_str()];
    assert_eq!(
        stand.tag(&[&["history", &name][..], &at].concat()).code,
        0,
        "the search is believed, and lies"
    );
    forked(&stand, &[&["--all"][..], &at].concat(), &name, forged, "forked", &json!(0));
    let all = stand.tag(&[&["history", &name, "--all"][..], &at].concat());
    assert!(all.out.contains("All 30 leaves under the heads that the log shows were read.\n"), "{all:?}");
    // Absence: a search that hides all of it does not make it never recorded.
    between.set(Mode::HidesAll);
    let hidden = stand.tag(&[&["history", &images.name("2")][..], &at].concat());
    assert!(
        hidden.out.contains("The log's search shows no record of it; --all does not believe the search."),
        "{hidden:?}"
    );
    let all = stand.tag(&[&["history", &images.name("2"), "--all"][..], &at].concat());
    assert!(all.code == 0 && all.out.contains("first seen"), "{all:?}");
    let never = stand.tag(&[&["history", &images.name("never"), "--all"][..], &at].concat());
    assert!(never.code == 0 && never.out.contains("It was never recorded.\n"), "{never:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_strangers_log_of_a_tag_changes_nothing() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let boss = stand.key("boss");
    let (stranger, proxy) = (
        stand.key("stranger"),
        stand.proxy("a", &["--upstream", &images.fake.host, "--approver-key", "boss.pub"]),
    );
    let (second, first, name) = (images.tag("1", "two"), images.tag("1", "one"), images.name("1"));
    // Before anybody pulled it: a record of a stranger's is none.
    log(&stand, &record(&name, &second, None), &stranger).await;
    assert_eq!(proxy.pull("1").await.served(), (200, Some(first.as_str()), true));
    log(&stand, &record(&name, &second, Some(1)), &stranger).await;
    assert_eq!(stand.findings(&name), ["first"]);
    assert_eq!(stand.approve(&name, &second, &boss).code, 0);
    images.tag("1", "two");
    assert_eq!(proxy.pull("1").await.served(), (200, Some(second.as_str()), false));
    assert_eq!(stand.findings(&name), ["first", "used", "approved"]);

    // Copies of the proxy's own words, as they were signed, by whoever has read the log: another signature of the same key
    // over the same statement is another entry. ECDSA has a second signature for each.
    for index in [1, 3, 4] {
        let (_, entry) = stand.entry(index).await;
        let (statement, signature, spki) = signed(&entry);
        log_signed(&stand, &statement, &mirrored(&signature), &spki).await;
    }
    let history = stand.tag(&["history", &name]);
    assert_eq!(history.code, 0, "{history:?}");
    let findings = stand.findings(&name);
    assert_eq!(findings[..3], ["first", "used", "approved"]);
    assert!(findings[3..].iter().all(|finding| finding == "copy"), "{findings:?}");
    images.tag("1", "one");
    assert_eq!(
        proxy.pull("1").await.error(),
        crate::stand::mismatch(&name, &first, &second),
        "the old approval is used"
    );
    let all = stand.tag(&["history", &name, "--all"]);
    assert_eq!((all.code, all.out.contains("a copy of entry 1")), (0, true), "{all:?}");
}

/// What an entry has: the statement, the signature and the key.
fn signed(entry: &Value) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    let body = decode(entry["body"].as_str().expect("text"));
    let (statement, _) = bulla_claims::tag::carried(&body).expect("carries");
    let facts = bulla_claims::describe(&body).expect("is described");
    let [signature] = facts.signatures.as_slice() else { panic!("it has one") };
    let bulla_claims::Material::PublicKey(spki) = &signature.material else { panic!("it is a key") };
    (statement, signature.bytes.clone(), spki.clone())
}

/// The other signature (r, n - s) that holds wherever (r, s) does.
fn mirrored(der: &[u8]) -> Vec<u8> {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let integer = |at: usize| {
        let length = usize::from(der[at + 1]);
        (&der[at..at + 2 + length], &der[at + 2..at + 2 + length])
    };
    let (r, _) = integer(2);
    let (_, s) = integer(2 + r.len());
    let mut padded = [0; 32];
    let s = &s[s.iter().take_while(|byte| **byte == 0).count()..];
    padded[32 - s.len()..].copy_from_slice(s);
    let (mut rest, mut borrow) = ([0; 32], 0);
    for at in (0..32).rev() {
        let difference = i16::from(N[at]) - i16::from(padded[at]) - borrow;
        borrow = i16::from(difference < 0);
        rest[at] = u8::try_from(difference.rem_euclid(256)).expect("a byte");
    }
    let mut number = rest[rest.iter().take_while(|byte| **byte == 0).count()..].to_vec();
    if number[0] >= 0x80 {
        number.insert(0, 0);
    }
    let mut inner = r.to_vec();
    inner.extend([2, u8::try_from(number.len()).expect("short")]);
    inner.extend(number);
    let mut whole = vec![0x30, u8::try_from(inner.len()).expect("short")];
    whole.extend(inner);
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn leaves_of_two_trees_are_not_taken_for_one_log() {
    let stand = Stand::start();
    stand.proxy_key("a");
    let digest = format!("sha256:{}", "ab".repeat(32));
    let add = async |stand: &Stand, tag: u32| {
        log(stand, &record(&format!("r.example/app:{tag}"), &digest, None), "a/proxy.key").await
    };
    for tag in 0..11 {
        add(&stand, tag).await;
    }
    // The same log goes on in two ways.
    let Stand { log: one, folder } = stand;
    assert_eq!(one.stop().0, Some(0));
    let copied = tempfile::tempdir().expect("a directory");
    let all = format!("{}/.", folder.path().display());
    let copying = Command::new("cp").args(["-a", &all]).arg(copied.path()).status().expect("runs");
    assert!(copying.success());
    let start = |folder: TempDir| Stand {
        log: Served::start(&mut serve_command(&folder.path().join("log"))),
        folder,
    };
    let (stand, other) = (start(folder), start(copied));
    assert_eq!((add(&stand, 100).await, add(&other, 200).await), (11, 11));
    let between = Between::before(&stand.log.http).await;
    let walk = || stand.tag(&["history", "r.example/app:3", "--all", "--rekor-url", &between.url]);
    let whole = walk();
    assert_eq!(whole.code, 0, "{whole:?}");
    between.set(Mode::TwoTrees(other.log.http.clone()));
    let mixed = walk();
    assert_eq!(mixed.code, 1, "{mixed:?}");
    assert!(mixed.errors.contains("the heads of 12 and of 12 entries are of two trees: "), "{mixed:?}");
}

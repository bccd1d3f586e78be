//! "100 concurrent first pulls of one tag while it is being moved upstream, through two proxies on one log: exactly one record, no
//! request served another digest."

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use http::Method;

use crate::between::{Between, Mode};
use crate::fake::{artifact, served};
use crate::images::Images;
use crate::stand::{Answer, Proxy, Stand, mismatch};

/// Two proxies with keys of their own, each of which the other believes.
fn two(stand: &Stand, more: &[&str]) -> [Proxy; 2] {
    for name in ["a", "b"] {
        stand.proxy_key(name);
    }
    [("a", "b/proxy.pub"), ("b", "a/proxy.pub")]
        .map(|(name, other)| stand.proxy(name, &[&["--recorder-key", other], more].concat()))
}

/// So many pulls, in turn through each, as somebody else each if the proxies mind who asks.
async fn pulls(proxies: &[Proxy; 2], tag: &str, count: usize) -> Vec<Answer> {
    let path = format!("/v2/team/app/manifests/{tag}");
    let pull = async |number: usize| {
        let who = format!("Basic {number}");
        proxies[number % 2].ask(Method::GET, &path, &[("authorization", &who)]).await
    };
    join_all((0..count).map(pull)).await
}

/// From the first GET of a tag after so many on it points to the second; everybody else hears the same of it.
fn moves_after(images: &Images, gets: usize) -> [String; 2] {
    let both = ["one", "two"].map(|note| artifact(note, None));
    let digests = both.each_ref().map(|manifest| images.put(&manifest.digest.to_string(), manifest));
    let asked = AtomicUsize::new(0);
    images.meddle(move |seen| {
        if seen.path.contains("sha256:") {
            return None;
        }
        let count = if seen.method == Method::GET {
            asked.fetch_add(1, Ordering::SeqCst)
        } else {
            asked.load(Ordering::SeqCst)
        };
        Some(served(&both[usize::from(count >= gets)]))
    });
    digests
}

/// Nobody was served anything but what is recorded; all others were told that the tag moved.
fn judge(name: &str, answers: &[Answer], digests: &[String; 2], recorded: &str) -> usize {
    let mut firsts = 0;
    for answer in answers {
        if answer.status == 200 {
            assert_eq!(answer.served().1, Some(recorded), "{answer:?}");
            assert_eq!(crate::registry::Digest::of(&answer.body).to_string(), recorded);
            firsts += usize::from(answer.served().2);
        } else {
            let other = digests.iter().find(|digest| *digest != recorded).expect("another");
            assert_eq!(answer.error(), mismatch(name, other, recorded));
        }
    }
    firsts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_first_pulls_of_a_tag_that_moves_come_to_one_record() {
    let (stand, images) = (Stand::with(&["--write-limit", "0"]), Images::open().await);
    // As themselves each asks the registry, so that all are on their way at once.
    let more = ["--upstream", &images.fake.host, "--upstream-as", "client", "--new-tags-per-address", "0"];
    let proxies = two(&stand, &more);
    for (tag, gets) in [("a", 50), ("b", 1), ("c", 10)] {
        let (name, digests) = (images.name(tag), moves_after(&images, gets));
        let answers = pulls(&proxies, tag, 100).await;
        let history = stand.history(&name);
        assert_eq!(stand.findings(&name), ["first"], "exactly one record, and none beside it");
        let recorded = history["current"]["digest"].as_str().expect("a digest").to_owned();
        assert_eq!(judge(&name, &answers, &digests, &recorded), 1, "Tlog-First-Seen once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_pulls_that_share_their_questions_come_to_one_record_of_each_tag() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxies = two(&stand, &["--upstream", &images.fake.host]);
    for tag in ["a", "b", "c", "d", "e"] {
        // The two proxies read the tag once each, before and after it moved.
        let (name, digests) = (images.name(tag), moves_after(&images, 1));
        let answers = pulls(&proxies, tag, 20).await;
        assert_eq!(stand.findings(&name), ["first"]);
        let recorded = stand.history(&name)["current"]["digest"].as_str().expect("a digest").to_owned();
        let firsts = judge(&name, &answers, &digests, &recorded);
        assert_eq!(firsts, 1, "those who waited for the same answer did not record it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_move_is_recorded_by_one_of_two() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let boss = stand.key("boss");
    let proxies = two(&stand, &["--upstream", &images.fake.host, "--approver-key", "boss.pub"]);
    for tag in ["a", "b", "c"] {
        let (second, first) = (images.tag(tag, "two"), images.tag(tag, "one"));
        let name = images.name(tag);
        let answers = pulls(&proxies, tag, 4).await;
        assert!(answers.iter().all(|answer| answer.served().1 == Some(&first)), "{answers:?}");
        assert_eq!(stand.approve(&name, &second, &boss).code, 0);
        images.tag(tag, "two");
        for answer in pulls(&proxies, tag, 20).await {
            assert_eq!(answer.served(), (200, Some(second.as_str()), false));
        }
        assert_eq!(stand.findings(&name), ["first", "used", "approved"]);
    }
}

/// "alone against any Rekor v1 server": one that adds whatever it is given has void records after a race, and says which.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_knows_no_condition_has_one_history_all_the_same() {
    let (stand, images) = (Stand::with(&["--write-limit", "0"]), Images::open().await);
    let between = Between::before(&stand.log.http).await;
    between.set(Mode::Unconditional);
    let more = ["--upstream", &images.fake.host, "--upstream-as", "client", "--rekor-url", &between.url];
    let proxies = two(&stand, &more);
    let (name, digests) = (images.name("a"), moves_after(&images, 10));
    let answers = pulls(&proxies, "a", 20).await;
    let findings = stand.findings(&name);
    assert_eq!(findings[0], "first");
    assert!(
        findings[1..].iter().all(|finding| ["beside", "forked"].contains(&finding.as_str())),
        "{findings:?}"
    );
    let recorded = stand.history(&name)["first"]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(judge(&name, &answers, &digests, &recorded), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_learns_that_a_tag_moved_through_another() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let boss = stand.key("boss");
    let more = ["--upstream", &images.fake.host, "--approver-key", "boss.pub", "--recheck", "0s"];
    let proxies = two(&stand, &more);
    let (second, first) = (images.tag("1", "two"), images.tag("1", "one"));
    let name = images.name("1");
    assert_eq!(proxies[0].pull("1").await.served(), (200, Some(first.as_str()), true));
    assert_eq!(stand.approve(&name, &second, &boss).code, 0);
    images.tag("1", "two");
    assert_eq!(proxies[1].pull("1").await.served(), (200, Some(second.as_str()), false));
    // Back where the first knows it: it looks, beside a pull, and does not serve that any more.
    images.tag("1", "one");
    assert_eq!(refused_at_last(&proxies[0], "1").await.error(), mismatch(&name, &first, &second));
}

/// What a proxy says once it does not serve a tag any more.
async fn refused_at_last(proxy: &Proxy, tag: &str) -> Answer {
    let began = std::time::Instant::now();
    loop {
        let answer = proxy.pull(tag).await;
        if answer.status != 200 {
            return answer;
        }
        assert!(began.elapsed().as_secs() < 10, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_that_starts_asks_the_log_about_what_it_knew() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let boss = stand.key("boss");
    let more = ["--upstream", &images.fake.host, "--approver-key", "boss.pub"];
    let [one, other] = two(&stand, &more);
    let (second, first) = (images.tag("1", "two"), images.tag("1", "one"));
    let name = images.name("1");
    assert_eq!(one.pull("1").await.served(), (200, Some(first.as_str()), true));
    assert_eq!(stand.approve(&name, &second, &boss).code, 0);
    images.tag("1", "two");
    assert_eq!(other.pull("1").await.served(), (200, Some(second.as_str()), false));
    images.tag("1", "one");
    // It has looked a moment ago.
    assert_eq!(one.pull("1").await.served(), (200, Some(first.as_str()), false));
    one.stop();
    let again = stand.proxy("a", &[&["--recorder-key", "b/proxy.pub"][..], &more].concat());
    assert_eq!(refused_at_last(&again, "1").await.error(), mismatch(&name, &first, &second));
}

//! "response headers Tlog-Integratedtime, Tlog-Logindex, Tlog-Uuid, Tlog-First-Seen, plus Tlog-Checkpoint and a compact inclusion
//! proof that `bulla tag check` verifies offline."

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::images::Images;
use crate::stand::{Ran, Stand};

/// Makes another value of one.
type Change<'a> = &'a dyn Fn(&str) -> String;

/// The head with another value of one header.
fn with(head: &str, name: &str, change: impl Fn(&str) -> String) -> String {
    let lines = head.lines().map(|line| match line.split_once(": ") {
        Some((found, value)) if found == name => format!("{name}: {}\r\n", change(value)),
        _ => format!("{line}\r\n"),
    });
    lines.collect()
}

/// Base64 of other bytes.
fn flipped(value: &str) -> String {
    let mut bytes = STANDARD.decode(value).expect("base64");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_is_checked_without_a_connection_and_no_header_can_be_changed() {
    let (stand, images) = (Stand::start(), Images::open().await);
    let proxy = stand.proxy("a", &["--upstream", &images.fake.host]);
    let (first, name) = (images.tag("1", "one"), images.name("1"));
    for note in ["x", "y", "z"] {
        images.tag(note, note);
        proxy.pull(note).await;
    }
    let (head, other) = (proxy.pull("1").await.head(), proxy.pull("x").await.head());
    // Nobody is there who could be asked.
    let check = |head: &str, more: &[&str]| -> Ran {
        let file = stand.file("head", head);
        let words = ["check", &name, "--headers", &file, "--rekor-url", "http://127.0.0.1:9"];
        stand.tag(&[&words, more].concat())
    };
    let good = check(&head, &[]);
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.out.starts_with(&format!("{name} points to {first}, by record 3 of ")), "{good:?}");
    let said = check(&head, &["--output", "json"]).json();
    assert_eq!((&said["digest"], &said["index"], &said["ok"]), (&json!(first), &json!(3), &json!(true)));
    assert_eq!(said["answered"], json!(first));
    assert_eq!(check(&head.replace("tlog-", "Tlog-"), &[]).code, 0, "names of headers have no case");

    // Of an image that is no index, what came is what was recorded.
    let evil = check(&with(&head, "docker-content-digest", |_| format!("sha256:{}", "66".repeat(32))), &[]);
    let said = format!("Docker-Content-Digest is sha256:{}, the record has {first}", "66".repeat(32));
    assert!(evil.code == 1 && evil.errors.contains(&said), "{evil:?}");

    let index = "tlog-logindex";
    let together = "tlog-record, tlog-integratedtime, tlog-logindex, tlog-promise do not belong together";
    let of_proof = "tlog-proof does not lead from tlog-record to the root in tlog-checkpoint: ";
    let other_digit = |digit: &str| if digit == "1" { "2" } else { "1" };
    let cases: [(&str, Change<'_>, &str); 15] = [
        (
            "tlog-uuid",
            &|value| format!("{}{}", &value[..79], other_digit(&value[79..])),
            "tlog-record is not the entry that tlog-uuid names",
        ),
        (
            "tlog-uuid",
            &|value| format!("{}{}", other_digit(&value[..1]), &value[1..]),
            "tlog-uuid is not of the tree of tlog-checkpoint: ",
        ),
        ("tlog-uuid", &|_| "abc".to_owned(), "tlog-uuid has "),
        (index, &|_| "2".to_owned(), together),
        (index, &|_| "-1".to_owned(), "tlog-logindex is \"-1\", a number was expected"),
        ("tlog-integratedtime", &|_| "2020-01-01T00:00:00Z".to_owned(), together),
        (
            "tlog-integratedtime",
            &|_| "1577836800".to_owned(),
            "tlog-integratedtime is \"1577836800\", a time of RFC 3339 was expected",
        ),
        ("tlog-checkpoint", &flipped, "tlog-checkpoint is signed by none of the 2 logs of the trusted root"),
        ("tlog-checkpoint", &|_| "%".to_owned(), "tlog-checkpoint is \"%\", base64 was expected"),
        ("tlog-proof", &|value| value.replace(&value[2..], &flipped(&value[2..])), of_proof),
        ("tlog-proof", &|value| format!("9{value}"), of_proof),
        ("tlog-proof", &|_| "3:AAAA".to_owned(), "tlog-proof has 3 bytes of hashes, 32 each were expected"),
        ("tlog-record", &flipped, "tlog-record is not the entry that tlog-uuid names"),
        ("tlog-promise", &flipped, together),
        ("tlog-promise", &|_| "%".to_owned(), "tlog-promise is \"%\", base64 was expected"),
    ];
    for (header, change, problem) in cases {
        let changed = with(&head, header, change);
        assert_ne!(changed, head, "{header}");
        let bad = check(&changed, &[]);
        assert!(bad.code == 1 && bad.errors.contains(problem), "{header}: {bad:?}");
    }
    for header in [
        "tlog-uuid",
        index,
        "tlog-integratedtime",
        "tlog-checkpoint",
        "tlog-proof",
        "tlog-record",
        "tlog-promise",
    ] {
        let missing = check(&head.replace(header, "x"), &[]);
        assert!(missing.code == 1 && missing.errors.contains(&format!("{header} is missing")), "{missing:?}");
        let twice = check(&format!("{header}: 1\r\n{head}"), &[]);
        assert!(twice.code == 1 && twice.errors.contains(&format!("{header} is there twice")), "{twice:?}");
    }
    // The sound record of another tag, and a digest that the record does not have.
    let wrong = check(&other, &[]);
    assert!(wrong.code == 1 && wrong.errors.contains("Tlog-Record is no record of"), "{wrong:?}");
    let digest = images.tag("2", "two");
    let file = stand.file("head", &head);
    let wrong = stand.tag(&["check", &format!("{name}@{digest}"), "--headers", &file]);
    assert!(
        wrong.code == 1
            && wrong.errors.contains(&format!("the record has {first}, {digest} was asked about")),
        "{wrong:?}"
    );
    // Whose records count is the reader's to say.
    stand.key("stranger");
    let wrong = stand.run(&["tag", "check", &name, "--headers", &file, "--recorder-key", "stranger.pub"]);
    assert!(wrong.code == 1 && wrong.errors.contains("by a proxy whose records count"), "{wrong:?}");
    // A log that nobody trusts.
    let elsewhere = Stand::start();
    let root = elsewhere.path("root.json").display().to_string();
    let wrong = stand.tag(&["check", &name, "--headers", &file, "--trusted-root", &root]);
    assert!(wrong.code == 1 && wrong.errors.contains("is signed by none of the 2 logs"), "{wrong:?}");
}

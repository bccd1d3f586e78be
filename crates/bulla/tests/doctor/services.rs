//! Services that cannot be used, or say what others do not.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::run;
use crate::proxy::replace;
use crate::stack::{FILES, Stack, nobody, only};

#[test]
fn services_that_cannot_be_used_are_found() {
    let stack = Stack::start();
    let url = stack.url();
    stack.root(|_| ());
    let past = json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-02-01T00:00:00Z" });
    for change in [
        &(|config: &mut Value| config["mediaType"] = json!("text/plain")) as &dyn Fn(&mut Value),
        &|config| config["caUrls"][0]["validFor"] = past.clone(),
        &|config| config["rekorTlogUrls"] = json!([{ "url": url, "majorApiVersion": 3, "validFor": {} }]),
    ] {
        stack.config(change);
        let fix = stack.one("signing-config", &["--url", &url, "--signing-config", "config.json"]);
        stack.follow(&fix);
        assert_eq!(stack.found(&["--url", &url, "--signing-config", "signing_config.v0.2.json"]), []);
    }
    stack.config(|config| {
        config["tsaUrls"] = json!([]);
        config["rekorTlogUrls"][1] = Value::Null;
    });
    assert!(stack.one("signing-config", &FILES).contains("run the timestamp authority too"));
    // Nobody there, a name that leads nowhere, TLS where there is none, another server.
    let other = nobody();
    let secure = url.replace("http://", "https://");
    let empty =
        stack.proxy(|_, answer| *answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec());
    let speechless = stack.proxy(|_, answer| *answer = b"\x15\x03\x01\x00\x02\x02\x50".to_vec());
    for (list, path, check) in [
        ("rekorTlogUrls", "", "log"),
        ("caUrls", "", "ca"),
        ("tsaUrls", "/api/v1/timestamp", "tsa"),
        ("oidcUrls", "/oidc", "oidc"),
    ] {
        for (base, said) in [
            (other.as_str(), "start it there, or name the port"),
            ("http://no.such.invalid", "mend the name"),
            (&secure, "name it as http://"),
            (&speechless.url(), "name it as https://"),
            (&empty.url(), "name the "),
        ] {
            stack.config(|config| {
                config[list] = json!([{ "url": format!("{base}{path}"), "majorApiVersion": 1 }]);
            });
            let fix = stack.one(check, &FILES);
            assert!(fix.contains(said), "{list} {base}: {fix}");
        }
    }
    // The base in place of what requests are posted to.
    stack.config(|config| config["tsaUrls"][0]["url"] = json!(stack.url()));
    let fix = stack.one("tsa", &FILES);
    assert!(fix.contains("such as https://HOST/api/v1/timestamp"), "{fix}");
    stack.config(|_| ());
    assert_eq!(stack.found(&FILES), []);
    assert!(stack.one("server", &["--url", &other]).contains("start it there"));
    // Who has too much to do says nothing of what is wrong.
    let busy = stack.proxy(|_, answer| *answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec());
    let found = stack.found(&["--url", &busy.url()]);
    assert!(found.iter().all(|one| one.1 == "unknown") && !found.is_empty(), "{found:?}");
    // Who is sent on is told where to.
    let moved = stack.proxy(|_, answer| {
        *answer =
            b"HTTP/1.1 301 Moved\r\nlocation: https://log.example.org/there\r\ncontent-length: 0\r\n\r\n"
                .to_vec();
    });
    let (_, out, _) = run(&mut stack.command(&["--url", &moved.url()]));
    assert!(out.contains("answers 301, and sends on to https://log.example.org/there"), "{out}");
    let fix = stack.one("server", &["--url", &moved.url()]);
    assert!(
        fix.starts_with("use that URL: name the server by the base of https://log.example.org/there"),
        "{fix}"
    );
}

/// Every kind of service may be busy, which says nothing of what is wrong; and may be elsewhere.
#[test]
fn services_that_are_busy_or_elsewhere_are_told_apart() {
    let stack = Stack::start();
    stack.root(|_| ());
    let said = |head: &'static str| {
        stack.proxy(move |_, answer| {
            *answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").into_bytes();
        })
    };
    let (slow, busy) = (said("429 Slow"), said("503 Busy"));
    let moved = said("308 Moved\r\nlocation: /there");
    for (list, path, check) in [
        ("rekorTlogUrls", "", "log"),
        ("caUrls", "", "ca"),
        ("tsaUrls", "/api/v1/timestamp", "tsa"),
        ("oidcUrls", "/oidc", "oidc"),
    ] {
        for (proxy, standing, fix) in [
            (&slow, "unknown", "look at what the server logs, and ask again".to_owned()),
            (&busy, "unknown", "look at what the server logs, and ask again".to_owned()),
            (&moved, "problem", format!("{}/there", moved.url())),
        ] {
            stack.config(|config| {
                config[list] = json!([{ "url": format!("{}{path}", proxy.url()), "majorApiVersion": 1 }]);
            });
            let found = stack.found(&FILES);
            assert!(only(check, &found).contains(&fix) && found[0].1 == standing, "{list}: {found:?}");
        }
    }
    // One that hands out its chain, and is too busy for timestamps, or never gives one.
    let (_forever, never) = std::sync::mpsc::channel::<()>();
    let never = std::sync::Mutex::new(never);
    let silent = stack.proxy(move |path, _| {
        if path == "/api/v1/timestamp" {
            drop(never.lock().map(|never| never.recv()));
        }
    });
    let posted = |head: &'static str| {
        stack.proxy(move |path, answer| {
            if path == "/api/v1/timestamp" {
                *answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").into_bytes();
            }
        })
    };
    let (slow, busy) = (posted("429 Slow"), posted("503 Busy"));
    let moved = posted("307 Moved\r\nlocation: https://tsa.example.org/stamp");
    let wrong = posted("403 No");
    for (proxy, standing, said) in [
        (&slow, "unknown", "look at what the server logs"),
        (&busy, "unknown", "look at what the server logs"),
        (&silent, "unknown", "look at what the server logs"),
        (&moved, "problem", "use that URL: write https://tsa.example.org/stamp in tsaUrls"),
        (&wrong, "problem", "name the whole URL"),
    ] {
        stack.config(|config| {
            config["tsaUrls"][0]["url"] = json!(format!("{}/api/v1/timestamp", proxy.url()));
        });
        let found = stack.found(&FILES);
        assert!(only("tsa", &found).starts_with(said) && found[0].1 == standing, "{found:?}");
    }
}

/// The year as timestamps have it.
fn this_year() -> Vec<u8> {
    let now = Command::new("date").args(["-u", "+%Y"]).output().expect("date runs");
    now.stdout.trim_ascii().to_vec()
}

#[test]
fn clocks_that_differ_are_found() {
    let stack = Stack::start();
    stack.root(|_| ());
    for (said, which) in
        [("Thu, 01 Jan 2026 00:00:00 GMT", "behind"), ("Fri, 01 Jan 2100 00:00:00 GMT", "ahead of")]
    {
        let proxy = stack.proxy(move |_, answer| {
            let text = String::from_utf8_lossy(answer).into_owned();
            let date =
                text.lines().find_map(|line| line.strip_prefix("date: ")).unwrap_or_default().to_owned();
            replace(answer, &date, said);
        });
        stack.config(|config| {
            config["rekorTlogUrls"] = json!([{ "url": proxy.url(), "majorApiVersion": 1 }]);
        });
        assert!(stack.one("clock", &FILES).starts_with("timedatectl set-ntp true"));
        let (_, out, _) = run(&mut stack.command(&FILES));
        let expected = format!("the clock of {} is ", proxy.url().trim_start_matches("http://"));
        assert!(out.contains(&expected) && out.contains(&format!(" s {which} ours")), "{out}");
    }
    // The time in timestamps is another clock's.
    let proxy = stack.proxy(|path, answer| {
        let year = this_year();
        let digits = |at: usize| {
            answer.get(at..at + 15).is_some_and(|text| text[14] == b'Z' && text.starts_with(&year))
        };
        if path == "/api/v1/timestamp"
            && let Some(at) = (0..answer.len()).find(|at| digits(*at) && answer[at - 2] == 0x18)
        {
            answer[at..at + 4].copy_from_slice(b"2001");
        }
    });
    stack.config(|config| config["tsaUrls"][0]["url"] = json!(format!("{}/api/v1/timestamp", proxy.url())));
    let (_, out, _) = run(&mut stack.command(&FILES));
    assert!(out.contains(&format!("the clock of the timestamp authority {}", proxy.host())), "{out}");
    stack.one("clock", &FILES);
}

#[test]
fn issuers_that_are_not_the_same_are_found() {
    let stack = Stack::start();
    stack.root(|_| ());
    let issuer = format!("{}/oidc", stack.url());
    stack.config(|config| config["oidcUrls"][0]["url"] = json!(format!("{issuer}/")));
    let fix = stack.one("oidc-issuer", &FILES);
    assert!(fix.starts_with(&format!("write {issuer:?} in oidcUrls of config.json")), "{fix}");
    let (_, out, _) = run(&mut stack.command(&FILES));
    assert!(out.contains("only the slash at the end differs"), "{out}");
    stack.config(|config| config["oidcUrls"][0]["url"] = json!(issuer));
    assert_eq!(stack.found(&FILES), []);
    // The certificate authority knows it by another name.
    let known = issuer.clone();
    let proxy = stack.proxy(move |_, answer| replace(answer, &format!("{known}\""), &format!("{known}/\"")));
    stack.config(|config| config["caUrls"][0]["url"] = json!(proxy.url()));
    let fix = stack.one("oidc-issuer", &FILES);
    assert_eq!(fix, format!("start the certificate authority with --oidc-issuer {issuer}"));
}

#[test]
fn a_repository_past_its_end_is_found() {
    let stack = Stack::start();
    let proxy = stack.proxy(|path, answer| {
        if path.ends_with("/timestamp.json") {
            let text = String::from_utf8_lossy(answer).into_owned();
            let line = text.lines().find(|line| line.contains("\"expires\"")).unwrap_or_default().to_owned();
            replace(answer, &line, "    \"expires\": \"2026-01-01T00:00:00Z\",");
        }
    });
    fs::copy(stack.path("data/tuf/repository/root.json"), stack.path("first.json")).expect("is copied");
    let mirrored = |mirror: &str| {
        let mut command = stack.command(&["--url", &stack.url()]);
        command.env("TUF_MIRROR", mirror).env("TUF_ROOT_JSON", stack.path("first.json"));
        Stack::found_by(&mut command)
    };
    assert_eq!(mirrored(&format!("{}/tuf", stack.url())), []);
    let fix = only("tuf-fresh", &mirrored(&format!("{}/tuf", proxy.url())));
    assert!(fix.contains("bulla up --data DIR"), "{fix}");
    assert!(only("tuf", &mirrored(&format!("{}/tuf", nobody()))).contains("start it there"));
    // What cosign was initialized with, and what it has seen since.
    let cosign = stack.path(".sigstore/root");
    let bare = stack.authority().replace(':', "-");
    fs::create_dir_all(cosign.join(format!("{bare}-tuf"))).expect("is made");
    let remember = |mirror: &str, version: u64| {
        fs::write(cosign.join("remote.json"), json!({ "mirror": mirror }).to_string()).expect("is written");
        let timestamp = json!({ "signed": { "version": version } }).to_string();
        fs::write(cosign.join(format!("{bare}-tuf/timestamp.json")), timestamp).expect("is written");
        stack.found(&["--url", &stack.url()])
    };
    let ours = format!("{}/tuf", stack.url());
    assert_eq!(remember(&ours, 1), []);
    let fix = only("tuf-cache", &remember("https://tuf-repo-cdn.sigstore.dev", 1));
    assert_eq!(fix, format!("cosign initialize --mirror {ours} --root {ours}/1.root.json"));
    assert!(only("tuf-cache", &remember(&ours, 99)).starts_with("serve the newest copy"));
    fs::remove_dir_all(cosign).expect("is removed");
    // What is handed out in two places must be one thing.
    let proxy = stack.proxy(|path, answer| {
        if path == "/trusted_root.json" {
            replace(answer, "\n}", "\n }");
        }
    });
    assert!(only("tuf-targets", &stack.found(&["--url", &proxy.url()])).contains("/trusted_root.json"));
}

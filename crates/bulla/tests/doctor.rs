//! `bulla doctor` against a whole stack that is well, and then with one thing after another broken on purpose: that very check
//! fails, and what it says mends it.

mod common;
#[path = "doctor/proxy.rs"]
mod proxy;

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Served, bulla, exchange, run};
use proxy::{Proxy, replace};
use serde_json::{Value, json};

/// A stack with an issuer, and copies of its files to break.
struct Stack {
    served: Served,
    folder: tempfile::TempDir,
}

type Change<'a> = &'a dyn Fn(&mut Value);
/// A check, variables that it does not like, and what is said.
type Set<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
/// What a run found that is not well: the check, how it stands, and what mends it.
type Found = (String, String, String);

impl Stack {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory"))
    }

    fn start_in(folder: tempfile::TempDir) -> Self {
        let mut command = bulla();
        command.args(["up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off"]);
        command.arg("--data").arg(folder.path().join("data")).env("BULLA_DISK_RESERVE", "0");
        Self { served: Served::start(&mut command), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn authority(&self) -> String {
        format!("localhost:{}", self.served.http.rsplit(':').next().unwrap_or_default())
    }

    fn url(&self) -> String {
        format!("http://{}", self.authority())
    }

    /// The program, in the folder, with nothing of the tester's environment that it looks at.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bulla();
        let looked_at = ["COSIGN_", "SIGSTORE_", "TUF_", "REGISTRY_", "DOCKER_", "XDG_"];
        for (name, _) in
            std::env::vars().filter(|(name, _)| looked_at.iter().any(|start| name.starts_with(start)))
        {
            command.env_remove(name);
        }
        command.arg("doctor").args(arguments).env("HOME", self.folder.path()).current_dir(self.folder.path());
        command
    }

    fn found_by(command: &mut Command) -> Vec<Found> {
        let (code, out, errors) = run(command.args(["--output", "json"]));
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{errors}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = report["checks"].as_array().expect("checks").iter();
        let wrong = all.filter(|one| one["standing"] != "ok");
        let found: Vec<_> =
            wrong.map(|one| (text(&one["check"]), text(&one["standing"]), text(&one["fix"]))).collect();
        let any = |standing: &str| found.iter().any(|one| one.1 == standing);
        let expected = if any("problem") {
            1
        } else if any("unknown") {
            3
        } else {
            0
        };
        assert_eq!(code, expected, "{out}{errors}");
        found
    }

    fn found(&self, arguments: &[&str]) -> Vec<Found> {
        Self::found_by(&mut self.command(arguments))
    }

    /// That one check fails and no other; returns what mends it.
    fn one(&self, check: &str, arguments: &[&str]) -> String {
        let found = self.found(arguments);
        only(check, &found)
    }

    /// Follows what was said, as whoever reads it would.
    fn follow(&self, fix: &str) {
        let bin = Path::new(env!("CARGO_BIN_EXE_bulla")).parent().expect("a directory");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let (code, out, errors) =
            run(Command::new("bash").args(["-euc", fix]).env("PATH", path).current_dir(self.folder.path()));
        assert_eq!(code, 0, "{fix}: {out}{errors}");
    }

    fn read(&self, name: &str) -> Value {
        let path = self.path("data/clients").join(name);
        serde_json::from_slice(&fs::read(path).expect("is there")).expect("JSON")
    }

    fn write(&self, name: &str, value: &Value) {
        fs::write(self.path(name), value.to_string()).expect("is written");
    }

    /// The trusted root, changed.
    fn root(&self, change: impl Fn(&mut Value)) {
        let mut root = self.read("trusted_root.json");
        change(&mut root);
        self.write("root.json", &root);
    }

    /// The signing configuration, changed.
    fn config(&self, change: impl Fn(&mut Value)) {
        let mut config = self.read("signing_config.v0.2.json");
        change(&mut config);
        self.write("config.json", &config);
    }

    fn proxy(&self, edit: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static) -> Proxy {
        Proxy::start(&self.served.http, edit)
    }
}

fn only(check: &str, found: &[Found]) -> String {
    let names: Vec<_> = found.iter().map(|one| one.0.as_str()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| *name == check), "{check}: {found:#?}");
    found[0].2.clone()
}

/// Where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

const FILES: [&str; 4] = ["--trusted-root", "root.json", "--signing-config", "config.json"];

#[test]
fn a_stack_is_well_as_it_comes() {
    let stack = Stack::start();
    let (code, out, errors) = run(&mut stack.command(&["--url", &stack.url(), "--data", "data"]));
    assert_eq!(code, 0, "{out}{errors}");
    for check in ["one-server", "log-key", "ca-trust", "tsa-trust", "oidc-issuer", "tuf-targets", "clock"] {
        assert!(out.contains(&format!("ok       {check} ")), "{check}: {out}");
    }
    assert!(out.ends_with(" ok, 0 problems, 0 unknown\n"), "{out}");
    assert_eq!(stack.found(&["--data", "data"]), []);
    // Nothing said: the directory that is here, or the usual port.
    assert_eq!(Stack::found_by(stack.command(&[]).current_dir(stack.path("data"))).len(), 1);
}

/// A log without authorities, and a stack whose keys were all replaced: nothing of that is wrong.
#[test]
fn what_is_otherwise_is_not_wrong() {
    let stack = Stack::start();
    let alone = Served::on(&stack.path("alone"));
    let url = format!("http://{}", alone.http);
    assert_eq!(stack.found(&["--url", &url, "--data", "alone"]), []);
    for whose in ["ca", "tsa", "ct", "root", "tuf"] {
        let overlap = if whose == "tuf" { "" } else { "--overlap 0s" };
        stack.follow(&format!("bulla trust rotate {whose} --data data {overlap}"));
    }
    stack.follow("bulla shard rotate --data data");
    assert_eq!(stack.found(&["--url", &stack.url(), "--data", "data"]), []);
}

#[test]
fn wrong_options_are_refused() {
    let stack = Stack::start();
    for (arguments, said) in [
        (
            ["--url", "localhost:3000"],
            "--url is \"localhost:3000\", one such as https://log.example.org was expected",
        ),
        (["--trusted-root", "none.json"], "none.json is no file"),
        (["--registry", "A B"], "A B"),
        (["--disk-reserve", "1GB"], "a number of bytes was expected"),
    ] {
        let (code, _, errors) = run(&mut stack.command(&arguments));
        assert!(code == 2 && errors.contains(said), "{arguments:?}: {code} {errors}");
    }
}

/// A trusted root that somebody wrote or copied wrongly: each is mended by the line that is printed.
#[test]
fn what_is_wrong_in_a_trusted_root_is_found_and_printed_anew() {
    let stack = Stack::start();
    let url = stack.url();
    let past = json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-02-01T00:00:00Z" });
    let id = json!({ "keyId": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" });
    let cases: [(&str, Change); 10] = [
        ("trusted-root", &|root| root["mediaType"] = json!("text/plain")),
        ("validity-start", &|root| {
            drop(root["tlogs"][0]["publicKey"].as_object_mut().map(|key| key.remove("validFor")));
        }),
        ("validity-start", &|root| root["timestampAuthorities"][0]["validFor"] = json!({})),
        ("validity", &|root| root["certificateAuthorities"][0]["validFor"] = past.clone()),
        ("validity", &|root| {
            root["tlogs"]
                .as_array_mut()
                .into_iter()
                .flatten()
                .for_each(|log| log["publicKey"]["validFor"] = past.clone());
        }),
        ("log-id", &|root| root["tlogs"][1]["logId"] = id.clone()),
        ("base-url", &|root| root["tlogs"][1]["baseUrl"] = json!("localhost")),
        ("log-name", &|root| root["tlogs"][1]["baseUrl"] = json!("https://log.example.org")),
        ("authority-chain", &|root| {
            drop(root["timestampAuthorities"][0]["certChain"]["certificates"].as_array_mut().map(Vec::pop));
        }),
        ("trust-up-to-date", &|root| root["ctlogs"] = json!([])),
    ];
    for (check, change) in cases {
        stack.root(change);
        let fix = stack.one(check, &["--url", &url, "--trusted-root", "root.json"]);
        let expected =
            format!("curl -fsS {url}/trusted_root.json -o root.json.new && mv root.json.new root.json");
        assert_eq!(fix, expected, "{check}");
        stack.follow(&fix);
        assert_eq!(stack.found(&["--url", &url, "--trusted-root", "root.json"]), [], "{check}");
        stack.root(change);
        let fix = stack.one(check, &["--url", &url, "--trusted-root", "root.json", "--data", "data"]);
        assert_eq!(fix, "bulla trust root --data data > root.json.new && mv root.json.new root.json");
        stack.follow(&fix);
        assert_eq!(
            stack.found(&["--url", &url, "--trusted-root", "root.json", "--data", "data"]),
            [],
            "{check}"
        );
    }
    stack.root(|root| root["tlogs"][0]["publicKey"]["validFor"]["start"] = json!("2999-01-01T00:00:00Z"));
    let fix = stack.one("validity", &["--url", &url, "--trusted-root", "root.json"]);
    assert!(fix.contains("timedatectl set-ntp true"), "{fix}");
    stack.root(|root| drop(root.as_object_mut().map(|root| root.remove("ctlogs"))));
    let fix = stack.one("authority-chain", &["--trusted-root", "root.json"]);
    assert_eq!(fix, "add \"ctlogs\": [] to root.json");
}

#[test]
fn keys_of_another_log_are_found() {
    let (stack, other) = (Stack::start(), Stack::start());
    stack.config(|_| ());
    stack.write("root.json", &other.read("trusted_root.json"));
    // Everything is another's then: the log, the certificates, the timestamps.
    let found = stack.found(&FILES);
    let mut names: Vec<_> = found.iter().map(|one| one.0.as_str()).collect();
    names.dedup();
    assert_eq!(names, ["log-key", "ca-trust", "tsa-trust"]);
    let logs = other.read("trusted_root.json")["tlogs"].clone();
    stack.root(|root| root["tlogs"] = logs.clone());
    // Which of the two is right, no program can know: the file is not replaced by what it is there to refuse.
    let ask = format!(
        "either another server answers at {}, or its keys changed: ask its owner before root.json is replaced",
        stack.url()
    );
    assert_eq!(stack.one("log-key", &FILES), ask);
    let pinned = stack.found(&["--url", &stack.url(), "--trusted-root", "root.json"]);
    assert!(!pinned.is_empty() && pinned.iter().all(|one| one.2 == ask), "{pinned:#?}");
    let with_data = stack.found(&["--url", &stack.url(), "--trusted-root", "root.json", "--data", "none"]);
    assert!(with_data.iter().all(|one| !one.2.contains("> root.json")), "{with_data:#?}");
    stack.root(|_| ());
    assert_eq!(stack.found(&FILES), []);
    // The directory of one and the address of the other.
    let data = other.path("data");
    let arguments = ["--url", &stack.url(), "--data", data.to_str().expect("text")];
    only("data-keys", &stack.found(&arguments));
}

#[test]
fn certificates_that_end_are_found() {
    let stack = Stack::start();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "9",
        ])
        .args(["-subj", "/CN=ends", "-outform", "DER", "-keyout", "/dev/null", "-out", "ends.der"])
        .current_dir(stack.folder.path())
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    let der =
        base64::engine::general_purpose::STANDARD.encode(fs::read(stack.path("ends.der")).expect("is there"));
    stack.root(|root| {
        root["certificateAuthorities"][0]["certChain"]["certificates"] = json!([{ "rawBytes": der.clone() }]);
    });
    let fix = stack.one("certificates-end", &["--trusted-root", "root.json"]);
    assert_eq!(fix, "bulla trust rotate ca --data DIR");
    // One that follows is enough.
    let good = stack.read("trusted_root.json")["certificateAuthorities"][0].clone();
    let mut root: Value =
        serde_json::from_slice(&fs::read(stack.path("root.json")).expect("is there")).expect("JSON");
    root["certificateAuthorities"].as_array_mut().expect("a list").push(good);
    stack.write("root.json", &root);
    assert_eq!(stack.found(&["--trusted-root", "root.json"]), []);
}

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
    for status in ["429 Slow", "503 Busy"] {
        let busy = stack.proxy(move |path, answer| {
            if path == "/api/v1/timestamp" {
                *answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes();
            }
        });
        stack
            .config(|config| config["tsaUrls"][0]["url"] = json!(format!("{}/api/v1/timestamp", busy.url())));
        let found = stack.found(&FILES);
        assert!(
            only("tsa", &found).starts_with("look at what the server logs") && found[0].1 == "unknown",
            "{found:?}"
        );
    }
    // Who is sent on is told where to.
    let moved = stack.proxy(|_, answer| {
        *answer =
            b"HTTP/1.1 301 Moved\r\nlocation: https://log.example.org/there\r\ncontent-length: 0\r\n\r\n"
                .to_vec();
    });
    let (_, out, _) = run(&mut stack.command(&["--url", &moved.url()]));
    assert!(out.contains("answers 301, and sends on to https://log.example.org/there"), "{out}");
}

#[test]
fn authorities_that_clients_do_not_believe_are_found() {
    let (stack, other) = (Stack::start(), Stack::start());
    stack.root(|_| ());
    let theirs = other.served.http.clone();
    let proxy = stack.proxy(move |path, answer| {
        if path.ends_with("/trustBundle") || path.ends_with("/certchain") {
            let (_, _, body) = common::get(&theirs, path);
            *answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        }
    });
    stack.config(|config| config["caUrls"][0]["url"] = json!(proxy.url()));
    assert!(stack.one("ca-trust", &FILES).contains("ask its owner before root.json is replaced"));
    stack.config(|config| config["tsaUrls"][0]["url"] = json!(format!("{}/api/v1/timestamp", proxy.url())));
    assert!(stack.one("tsa-trust", &FILES).contains("ask its owner before root.json is replaced"));
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
fn a_token_that_will_be_refused_is_found() {
    let stack = Stack::start();
    let issuer = format!("{}/oidc", stack.url());
    let with = |token: &str| {
        Stack::found_by(stack.command(&["--url", &stack.url()]).env("SIGSTORE_ID_TOKEN", token))
    };
    let (_, _, minted) = exchange(&stack.served.http, "POST", "/oidc/mint", "email=alice@example.org");
    let minted: Value = serde_json::from_str(&minted).expect("JSON");
    assert_eq!(with(minted["token"].as_str().expect("a token")), []);
    let token = |claims: &Value| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let far = 4_000_000_000_u64;
    // The variable of cosign may name a file, whose token is judged.
    let in_file = |text: &str| {
        fs::write(stack.path("token"), text).expect("is written");
        Stack::found_by(stack.command(&["--url", &stack.url()]).env("COSIGN_IDENTITY_TOKEN", "token"))
    };
    assert_eq!(in_file(minted["token"].as_str().expect("a token")), []);
    let other = token(&json!({ "iss": issuer, "aud": "other", "exp": far }));
    assert!(only("audience", &in_file(&other)).contains("with the audience sigstore"));
    assert!(only("audience", &in_file("none")).contains("or to the name of a file that has one"));
    for (token, said) in [
        (token(&json!({ "iss": issuer, "aud": "other", "exp": far })), "with the audience sigstore"),
        (
            token(&json!({ "iss": issuer, "aud": ["sigstore"], "exp": 1_700_000_000 })),
            "unset SIGSTORE_ID_TOKEN # and get",
        ),
        (token(&json!({ "iss": format!("{issuer}/"), "aud": "sigstore", "exp": far })), "--oidc-issuer"),
        ("/var/run/token".to_owned(), "not to the name of a file"),
    ] {
        let fix = only("audience", &with(&token));
        assert!(fix.contains(said) && !fix.contains("c2ln"), "{fix}");
    }
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

#[test]
fn variables_that_contradict_each_other_are_found() {
    let stack = Stack::start();
    let url = stack.url();
    fs::write(stack.path("there"), "").expect("is written");
    let there = stack.path("there").display().to_string();
    let cases: [Set; 11] = [
        (
            "environment",
            &[("COSIGN_REKOR_URL", &url), ("REKOR_REKOR_SERVER", "https://other.example")],
            "unset REKOR_REKOR_SERVER",
        ),
        (
            "environment",
            &[("SIGSTORE_ID_TOKEN", "a.e30.c"), ("COSIGN_IDENTITY_TOKEN", "d.e30.f")],
            "unset COSIGN_IDENTITY_TOKEN",
        ),
        (
            "environment",
            &[("COSIGN_SIGNING_CONFIG", &there), ("COSIGN_REKOR_URL", &url)],
            "unset COSIGN_REKOR_URL",
        ),
        (
            "environment",
            &[("SIGSTORE_REKOR_PUBLIC_KEY", &there), ("COSIGN_TRUSTED_ROOT", &there)],
            "unset SIGSTORE_REKOR_PUBLIC_KEY",
        ),
        (
            "environment",
            &[("COSIGN_KEY", "k"), ("COSIGN_CERTIFICATE_IDENTITY", "a@b")],
            "unset COSIGN_CERTIFICATE_IDENTITY COSIGN_CERTIFICATE_IDENTITY_REGEXP COSIGN_CERTIFICATE_OIDC_ISSUER",
        ),
        ("environment", &[("COSIGN_REPOSITORY", "registry.example/signatures")], "unset COSIGN_REPOSITORY"),
        ("environment", &[("COSIGN_REKOR_URL", "https://rekor.sigstore.dev")], "unset COSIGN_REKOR_URL"),
        (
            "environment",
            &[("TUF_MIRROR", "MIRROR")],
            "export TUF_ROOT_JSON=FILE # the first root.json of the repository",
        ),
        ("environment-files", &[("SIGSTORE_ROOT_FILE", "/none")], "unset SIGSTORE_ROOT_FILE"),
        ("environment-files", &[("COSIGN_TRUSTED_ROOT", "/none")], "unset COSIGN_TRUSTED_ROOT"),
        ("environment-files", &[("TUF_ROOT_JSON", "/none")], "unset TUF_ROOT_JSON"),
    ];
    let mirror = format!("{url}/tuf");
    for (check, variables, expected) in cases {
        let mut command = stack.command(&["--url", &url]);
        command.env_remove("REKOR_REKOR_SERVER");
        for (name, value) in variables {
            command.env(name, if *value == "MIRROR" { &mirror } else { *value });
        }
        // A token that is none is another matter.
        let found: Vec<_> =
            Stack::found_by(&mut command).into_iter().filter(|one| one.0 != "audience").collect();
        let fix = only(check, &found);
        assert_eq!(fix, expected, "{variables:?}");
        // What is said to a shell is done to the environment.
        let mut mended = stack.command(&["--url", &url]);
        for (name, value) in variables.iter().filter(|(name, _)| !fix.split(' ').any(|word| word == *name)) {
            mended.env(name, if *value == "MIRROR" { &mirror } else { *value });
        }
        if fix.starts_with("export TUF_ROOT_JSON=") {
            mended.env("TUF_ROOT_JSON", stack.path("data/tuf/repository/root.json"));
        }
        let left: Vec<_> =
            Stack::found_by(&mut mended).into_iter().filter(|one| one.0 != "audience").collect();
        assert_eq!(left, [], "{variables:?}");
    }
}

#[test]
fn what_is_wrong_with_a_directory_is_found() {
    let stack = Stack::start();
    let arguments = ["--url", &stack.url(), "--data", "data"];
    let mode = |mode| {
        fs::set_permissions(stack.path("data/ca/ca.key"), fs::Permissions::from_mode(mode)).expect("is set");
    };
    mode(0o644);
    let fix = stack.one("key-permissions", &arguments);
    assert_eq!(fix, "chmod 600 data/ca/ca.key");
    stack.follow(&fix);
    assert_eq!(stack.found(&arguments), []);
    let reserve = [&arguments[..], &["--disk-reserve", "9999999GiB"]].concat();
    assert!(stack.one("disk-space", &reserve).contains("--disk-reserve"));
    assert!(stack.one("data", &["--data", "none"]).contains("--data DIR"));
    // To have the file open, as who searches a disk has, is not to hold it.
    let open = fs::File::open(stack.path("data/lock")).expect("opens");
    let mut other = Command::new("sleep").arg("300").stdin(Stdio::from(open)).spawn().expect("sleep runs");
    assert_eq!(stack.found(&arguments), []);
    other.kill().expect("is killed");
    other.wait().expect("ends");
    // Several that hold it, as on a file system whose locks are none. Which is meant, only its owner knows.
    let (code, _, errors) =
        run(Command::new("cp").args(["-a", "data", "copy"]).current_dir(stack.folder.path()));
    assert_eq!(code, 0, "{errors}");
    let mut holders: Vec<_> = (0..2).map(|_| held(&stack.path("copy/lock"))).collect();
    let fix = stack.one("one-server", &["--url", &stack.url(), "--data", "copy"]);
    assert!(fix.starts_with("stop the one that you did not mean to run: processes "), "{fix}");
    assert!(holders.iter().all(|holder| fix.contains(&holder.id().to_string())), "{fix}");
    for holder in &mut holders {
        drop(holder.stdin.take());
        holder.wait().expect("ends");
    }
    assert_eq!(stack.found(&["--url", &stack.url(), "--data", "copy"]), []);
}

/// A process that holds a lock until nothing more is said to it.
fn held(lock: &Path) -> Child {
    let mut command = Command::new("flock");
    command.arg("--shared").arg(lock).args(["sh", "-c", "echo held; exec cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("flock runs");
    let mut said = [0; 5];
    child.stdout.as_mut().expect("is piped").read_exact(&mut said).expect("says so");
    child
}

/// What this user may not look into is not wrong, and nothing is said of what is in it.
#[test]
fn a_directory_that_cannot_be_read_is_not_known() {
    let stack = Stack::start();
    fs::set_permissions(stack.folder.path(), fs::Permissions::from_mode(0o755)).expect("is set");
    let closed = stack.path("closed");
    fs::create_dir(&closed).expect("is made");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("is set");
    let name = closed.to_str().expect("text");
    let mut command = stack.command(&["--url", &stack.url(), "--data", name]);
    let owner = run(Command::new("id").arg("-un")).1;
    if owner.trim() == "root" {
        // Who may look into everything, here becomes somebody who may not.
        command.uid(65534).gid(65534);
    }
    let fix = format!("sudo -u {} bulla doctor --data {name}", owner.trim());
    let found = Stack::found_by(&mut command);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("is set");
    assert_eq!(found, [("data".to_owned(), "unknown".to_owned(), fix)]);
}

#[test]
fn a_directory_in_memory_is_found() {
    let stack = Stack::start_in(tempfile::tempdir_in("/dev/shm").expect("memory"));
    let fix = stack.one("file-system", &["--url", &stack.url(), "--data", "data"]);
    assert!(fix.contains("copy the directory to a local disk"), "{fix}");
}

/// An address of this machine that is not loopback, where plain HTTP is not a matter of course.
fn outside() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect("198.51.100.1:9").expect("a route: this test needs an address that is not loopback");
    socket.local_addr().expect("an address").ip().to_string()
}

#[test]
fn what_stands_between_us_and_a_registry_is_found() {
    let stack = Stack::start();
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let manifest =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\ncontent-length: {}\r\n\r\n{manifest}",
        manifest.len()
    );
    let registry = Proxy::start_at(&format!("{}:0", outside()), &stack.served.http, move |_, said| {
        *said = answer.clone().into_bytes();
    });
    let image = format!("{}/team/app:1", registry.host());
    let fix = stack.one("registry", &["--registry", &image]);
    assert_eq!(
        fix,
        format!(
            "bulla doctor --registry {image} --allow-http-registry # and that option wherever the image is named"
        )
    );
    stack.follow(&fix);
    let http = ["--registry", &image, "--allow-http-registry"];
    assert_eq!(stack.found(&http), []);
    // A program that keeps passwords and is not there, and a file that is none.
    fs::create_dir(stack.path(".docker")).expect("is made");
    let docker = |text: &str| fs::write(stack.path(".docker/config.json"), text).expect("is written");
    docker(&json!({ "credHelpers": { registry.host(): "nobody" } }).to_string());
    let fix = stack.one("registry-credentials", &http);
    assert!(fix.starts_with("install docker-credential-nobody, or take it out of credHelpers"), "{fix}");
    docker("{");
    assert!(stack.one("registry-credentials", &http).contains("docker login"));
    docker("{}");
    assert_eq!(stack.found(&http), []);
    // Nobody there, and nobody for us.
    let nobody = nobody().replace("http://", "");
    assert!(
        stack
            .one("registry", &["--registry", &format!("{nobody}/app@{digest}")])
            .contains("start the registry")
    );
    let closed = stack.proxy(|_, said| {
        *said =
            b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"r\"\r\ncontent-length: 0\r\n\r\n"
                .to_vec();
    });
    let fix = stack.one("registry", &["--registry", &format!("{}/team/app:1", closed.host())]);
    assert_eq!(fix, format!("docker login {}", closed.host()));
    let busy = stack.proxy(|_, said| {
        *said = b"HTTP/1.1 503 Busy\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n".to_vec();
    });
    let found = stack.found(&["--registry", &format!("{}/team/app:1", busy.host())]);
    assert_eq!(
        found.iter().map(|one| (one.0.as_str(), one.1.as_str())).collect::<Vec<_>>(),
        [("registry", "unknown")]
    );
}

//! A log and proxies on it, as processes of their own, and what clients ask of them.

use std::path::PathBuf;
use std::process::Command;

use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Served, bulla, get, run, serve_command};

/// A log, and a directory for everybody who uses it.
pub(crate) struct Stand {
    pub(crate) log: Served,
    pub(crate) folder: TempDir,
}

/// A proxy.
pub(crate) struct Proxy {
    served: Served,
    client: reqwest::Client,
}

/// What it answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What came of a command: its exit code and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Stand {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One whose log has these options.
    pub(crate) fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let log = Served::start(serve_command(&folder.path().join("log")).args(more));
        let (status, _, root) = get(&log.http, "/trusted_root.json");
        assert_eq!(status, 200, "{root}");
        std::fs::write(folder.path().join("root.json"), root).expect("is written");
        Self { log, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file; returns its name for a command line.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).expect("is written");
        self.path(name).display().to_string()
    }

    /// Makes a key: `NAME.key` and `NAME.pub`.
    pub(crate) fn key(&self, name: &str) -> String {
        let pem = SigningKey::generate_ecdsa_p256_pem();
        let key = SigningKey::from_pem(&pem, None).expect("a key");
        self.file(&format!("{name}.pub"), &public_key_pem(key.spki()));
        self.file(&format!("{name}.key"), &pem)
    }

    /// Gives a proxy its key before it is started for the first time.
    pub(crate) fn proxy_key(&self, name: &str) {
        std::fs::create_dir(self.path(name)).expect("is made");
        self.key(&format!("{name}/proxy"));
    }

    /// A command of the program in the directory, at the log unless it names another.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = bulla();
        command.args(words).current_dir(self.folder.path());
        if !words.contains(&"--rekor-url") {
            command.args(["--rekor-url", &format!("http://{}", self.log.http)]);
        }
        if !words.contains(&"--trusted-root") {
            command.args(["--trusted-root", "root.json"]);
        }
        command.env("XDG_STATE_HOME", self.path("state")).env_remove("SIGSTORE_ID_TOKEN");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let (code, out, errors) = run(&mut self.command(words));
        Ran { code, out, errors }
    }

    /// How a proxy is started whose data is in the directory of that name.
    pub(crate) fn proxy_command(&self, name: &str, more: &[&str]) -> Command {
        let free = "127.0.0.1:0";
        self.command(&[&["proxy", "--data", name, "--listen", free, "--metrics", free], more].concat())
    }

    /// Starts it.
    pub(crate) fn proxy(&self, name: &str, more: &[&str]) -> Proxy {
        self.proxy_in(name, more, &[])
    }

    /// Starts it with that in its environment.
    pub(crate) fn proxy_in(&self, name: &str, more: &[&str], environment: &[(&str, &str)]) -> Proxy {
        let mut command = self.proxy_command(name, more);
        let served = Served::start_until(command.envs(environment.iter().copied()), "docker pull ");
        // It belongs to the runtime of the test, which ends with it.
        let client = bulla_web::client().build().expect("a client");
        Proxy { served, client }
    }

    /// Starts one that cannot be started; returns what it says.
    pub(crate) fn refused(&self, name: &str, more: &[&str]) -> Ran {
        let (code, out, errors) = run(&mut self.proxy_command(name, more));
        Ran { code, out, errors }
    }

    /// The entry at an index of the log, and its name.
    pub(crate) async fn entry(&self, index: u64) -> (String, Value) {
        let client = bulla_web::client().build().expect("a client");
        let url = format!("http://{}/api/v1/log/entries?logIndex={index}", self.log.http);
        let answer = client.get(url).send().await.expect("answers").bytes().await.expect("a body");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let (id, entry) = answer.as_object().and_then(|entry| entry.iter().next()).expect("one");
        (id.clone(), entry.clone())
    }

    /// `bulla tag VERB` as by whoever believes the proxies `a` and `b`, if they are there, and the approver `boss`, if there is.
    pub(crate) fn tag(&self, words: &[&str]) -> Ran {
        let mut all = vec!["tag"];
        all.extend(words);
        for (role, key) in [
            ("--recorder-key", "a/proxy.pub"),
            ("--recorder-key", "b/proxy.pub"),
            ("--approver-key", "boss.pub"),
        ] {
            if self.path(key).is_file() {
                all.extend([role, key]);
            }
        }
        self.run(&all)
    }

    /// The history of a tag, for programs.
    pub(crate) fn history(&self, tag: &str) -> Value {
        self.tag(&["history", tag, "--output", "json"]).json()
    }

    /// What each entry about a tag comes to, in the order of the log.
    pub(crate) fn findings(&self, tag: &str) -> Vec<String> {
        let history = self.history(tag);
        let steps = history["steps"].as_array().expect("a list").clone();
        steps.iter().map(|step| step["finding"].as_str().expect("text").to_owned()).collect()
    }

    /// Approves that a tag moves, by a key in the directory.
    pub(crate) fn approve(&self, tag: &str, to: &str, key: &str) -> Ran {
        self.tag(&["approve", tag, "--to", to, "--reason", "CVE-2026-1", "--key", key])
    }
}

impl Proxy {
    /// Its address, and a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.served.http)
    }

    pub(crate) fn http(&self) -> &str {
        &self.served.http
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("a body") }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    /// Pulls a tag of `team/app`.
    pub(crate) async fn pull(&self, tag: &str) -> Answer {
        self.get(&format!("/v2/team/app/manifests/{tag}")).await
    }

    /// What is counted under names that begin so, all together.
    pub(crate) async fn counted(&self, beginning: &str) -> u64 {
        let url = format!("http://{}/metrics", self.served.metrics);
        let text = self.client.get(url).send().await.expect("answers").text().await.expect("text");
        let values = text.lines().filter(|line| line.starts_with(beginning));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        self.served.signal(name);
    }

    /// Stops it; it ends well.
    pub(crate) fn stop(self) {
        let (code, logged) = self.served.stop();
        assert_eq!(code, Some(0), "{logged}");
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Status, code and message of an error.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body["errors"][0][name].as_str().unwrap_or_default().to_owned();
        (self.status, text("code"), text("message"))
    }

    /// Status, digest, and whether this pull was recorded as the first.
    pub(crate) fn served(&self) -> (u16, Option<&str>, bool) {
        let first = self.header("tlog-first-seen").is_some_and(|first| first == "true");
        (self.status, self.header("docker-content-digest"), first)
    }

    /// The headers as `curl -D` writes them.
    pub(crate) fn head(&self) -> String {
        let lines =
            self.headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().expect("text")));
        format!("HTTP/1.1 {} X\r\n{}\r\n", self.status, lines.collect::<String>())
    }
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// That a tag moved, in the words of the refusal.
pub(crate) fn mismatch(tag: &str, got: &str, want: &str) -> (u16, String, String) {
    let message = format!("tag \"{tag}\" mismatch; got \"{got}\", want \"{want}\"");
    (400, "TAG_INVALID".to_owned(), message)
}

//! A whole stack with an issuer, and a place for whoever signs: `bulla up --dev` on free ports.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::{Served, bulla, exchange, get, run};

/// A stack with an issuer, and a place for whoever signs.
pub(crate) struct Stack {
    pub(crate) served: Served,
    pub(crate) folder: tempfile::TempDir,
}

impl Stack {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let mut command = bulla();
        command.args(["up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off"]);
        command.arg("--data").arg(folder.path().join("data")).env("BULLA_DISK_RESERVE", "0");
        let served = Served::start(&mut command);
        fs::write(folder.path().join("file"), "what is signed").expect("is written");
        let stack = Self { served, folder };
        stack.key("signer.key", "prime256v1");
        stack
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://localhost:{}", self.served.http.rsplit(':').next().unwrap_or_default())
    }

    pub(crate) fn key(&self, name: &str, curve: &str) {
        let path = self.path(name);
        let made = Command::new("openssl")
            .args(["ecparam", "-genkey", "-noout", "-name", curve, "-out"])
            .arg(&path)
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{made:?}");
    }

    pub(crate) fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = bulla();
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("COSIGN_") || name.starts_with("SIGSTORE_"))
        {
            command.env_remove(name);
        }
        command.arg(verb).args(arguments).current_dir(self.folder.path());
        if !arguments.iter().any(|argument| ["--signing-config", "--trusted-root"].contains(argument)) {
            command.args(["--url", &self.url()]);
        }
        command.env("XDG_STATE_HOME", self.path("state")).env_remove("GITHUB_ACTIONS");
        command
    }

    pub(crate) fn sign(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&mut self.command("sign", arguments))
    }

    pub(crate) fn attest(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&mut self.command("attest", arguments))
    }

    pub(crate) fn token(&self) -> String {
        let (status, _, body) = exchange(&self.served.http, "POST", "/oidc/mint", "email=alice@example.org");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// How many entries the log has.
    pub(crate) fn entries(&self) -> u64 {
        let (_, _, checkpoint) = get(&self.served.http, "/api/v2/checkpoint");
        checkpoint.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        read(&self.path(name))
    }

    /// What is signed and not stored.
    pub(crate) fn pending(&self) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(self.path("state/bulla/pending")) else { return Vec::new() };
        let files = files.map(|file| file.expect("a file").path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
    }
}

pub(crate) fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("is there")).expect("JSON")
}

pub(crate) fn done((code, out, errors): (i32, String, String)) -> Vec<String> {
    assert_eq!(code, 0, "{out}{errors}");
    out.lines().filter_map(|line| line.strip_prefix("result      ").map(str::to_owned)).collect()
}

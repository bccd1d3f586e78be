//! A whole stack with an issuer, copies of its files to break, and what the command finds then.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::{Served, bulla, run};
use crate::proxy::Proxy;

/// A stack with an issuer, and copies of its files to break.
pub(crate) struct Stack {
    pub(crate) served: Served,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) type Change<'a> = &'a dyn Fn(&mut Value);
/// What a run found that is not well: the check, how it stands, and what mends it.
pub(crate) type Found = (String, String, String);

impl Stack {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory"))
    }

    pub(crate) fn start_in(folder: tempfile::TempDir) -> Self {
        let mut command = bulla();
        command.args(["up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off"]);
        command.arg("--data").arg(folder.path().join("data")).env("BULLA_DISK_RESERVE", "0");
        Self { served: Served::start(&mut command), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn authority(&self) -> String {
        format!("localhost:{}", self.served.http.rsplit(':').next().unwrap_or_default())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority())
    }

    /// The program, in the folder, with nothing of the tester's environment that it looks at.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
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

    pub(crate) fn found_by(command: &mut Command) -> Vec<Found> {
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

    pub(crate) fn found(&self, arguments: &[&str]) -> Vec<Found> {
        Self::found_by(&mut self.command(arguments))
    }

    /// That one check fails and no other; returns what mends it.
    pub(crate) fn one(&self, check: &str, arguments: &[&str]) -> String {
        let found = self.found(arguments);
        only(check, &found)
    }

    /// Follows what was said, as whoever reads it would, and agrees to what is asked.
    pub(crate) fn follow(&self, fix: &str) {
        let (code, out, errors) = self.shell(&format!("{{ {fix}\n}} <<< y"));
        assert_eq!(code, 0, "{fix}: {out}{errors}");
    }

    /// Runs a script with the program in its path, and nobody who answers.
    pub(crate) fn shell(&self, script: &str) -> (i32, String, String) {
        let bin = Path::new(env!("CARGO_BIN_EXE_bulla")).parent().expect("a directory");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        run(Command::new("bash").args(["-euc", script]).env("PATH", path).current_dir(self.folder.path()))
    }

    pub(crate) fn read(&self, name: &str) -> Value {
        let path = self.path("data/clients").join(name);
        serde_json::from_slice(&fs::read(path).expect("is there")).expect("JSON")
    }

    pub(crate) fn write(&self, name: &str, value: &Value) {
        fs::write(self.path(name), value.to_string()).expect("is written");
    }

    /// The trusted root, changed.
    pub(crate) fn root(&self, change: impl Fn(&mut Value)) {
        let mut root = self.read("trusted_root.json");
        change(&mut root);
        self.write("root.json", &root);
    }

    /// The signing configuration, changed.
    pub(crate) fn config(&self, change: impl Fn(&mut Value)) {
        let mut config = self.read("signing_config.v0.2.json");
        change(&mut config);
        self.write("config.json", &config);
    }

    pub(crate) fn proxy(&self, edit: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static) -> Proxy {
        Proxy::start(&self.served.http, edit)
    }
}

pub(crate) fn only(check: &str, found: &[Found]) -> String {
    let names: Vec<_> = found.iter().map(|one| one.0.as_str()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| *name == check), "{check}: {found:#?}");
    found[0].2.clone()
}

/// Where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

pub(crate) const FILES: [&str; 4] = ["--trusted-root", "root.json", "--signing-config", "config.json"];

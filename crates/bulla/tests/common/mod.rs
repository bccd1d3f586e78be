//! The real program, started on free ports and stopped at the end of a test.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

/// The program with no options of the tester's.
pub(crate) fn bulla() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bulla"));
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("BULLA_") || name.starts_with("REKOR_"))
    {
        command.env_remove(name);
    }
    // What the tester believes and remembers is not what is tested.
    command.env("XDG_CONFIG_HOME", "/nonexistent").env_remove("XDG_STATE_HOME").env_remove("HOME");
    command
}

/// The same command as the last words of a line of shell, in which it is `"$0" "$@"`, by a user who may mount.
pub(crate) fn in_shell(line: &str, inner: &Command) -> Command {
    let mut shell = Command::new("unshare");
    shell
        .args(["--map-root-user", "--mount", "sh", "-c", line])
        .arg(inner.get_program())
        .args(inner.get_args());
    if let Some(dir) = inner.get_current_dir() {
        shell.current_dir(dir);
    }
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Mounts a disk of 16 KiB there, which only this line sees, and lets another command run between these two; ends as that did.
pub(crate) fn on_small_disk(dir: &str, before: &str, after: &str) -> String {
    format!(
        "mkdir -p {dir} && mount -t tmpfs -o size=16k none {dir} && {{ {before}; }} && {{ \"$0\" \"$@\"; code=$?; {after}; exit $code; }}"
    )
}

/// Runs to the end; returns the exit code, standard output and standard error.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("it exits by itself"), text(stdout), text(stderr))
}

/// A server with these answers to paths (status, type, body), for as long as the test runs; returns its host.
pub(crate) fn answering(answer: impl Fn(&str) -> (u16, &'static str, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head);
            let (status, media_type, body) = answer(head.split(' ').nth(1).unwrap_or_default());
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            // Whoever hangs up has heard enough.
            let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    host
}

/// `bulla serve` on free ports.
pub(crate) fn serve_command(data: &Path) -> Command {
    let mut command = bulla();
    let free = "127.0.0.1:0";
    command.args(["serve", "--http", free, "--grpc", free, "--metrics", free]);
    command.arg("--data").arg(data).env("BULLA_DISK_RESERVE", "0");
    command
}

/// A running log.
pub(crate) struct Served {
    child: Child,
    /// What it said on standard output when it was ready.
    pub(crate) greeting: String,
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) metrics: String,
    errors: Option<JoinHandle<String>>,
}

impl Served {
    /// Starts it and waits until it says that it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        // The greeting's last line is the command that checks the log.
        Self::start_until(command, "bulla fsck ")
    }

    /// The same for a program whose greeting has another last line, of which these are words.
    pub(crate) fn start_until(command: &mut Command, last: &str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stderr = child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _not_text = stderr.read_to_string(&mut text);
            text
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut greeting = String::new();
        while !greeting.contains(last) {
            if stdout.read_line(&mut greeting).expect("text") == 0 {
                let status = child.wait().expect("ends");
                panic!("it ended with {status}: {greeting}{}", errors.join().expect("read"));
            }
        }
        let after = |name: &str| {
            let line =
                greeting.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap_or_default();
            line.trim().trim_start_matches("http://").trim_end_matches("/metrics").to_owned()
        };
        let (http, grpc, metrics) = (after("HTTP "), after("gRPC "), after("metrics "));
        Self { child, greeting, http, grpc, metrics, errors: Some(errors) }
    }

    /// Starts it on a directory with nothing special.
    pub(crate) fn on(data: &Path) -> Self {
        Self::start(&mut serve_command(data))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Stops it with SIGTERM; returns the exit code and what it logged.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let status = self.child.wait().expect("ends");
        let errors = self.errors.take().expect("once").join().expect("read");
        (status.code(), errors)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Ended already if the test stopped it.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// One HTTP/1.1 exchange on a connection of its own: status, header lines and body.
pub(crate) fn exchange(at: &str, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).expect("connects");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .expect("sends");
    answer(&mut stream)
}

/// Reads an answer up to the end of the connection.
pub(crate) fn answer(stream: &mut TcpStream) -> (u16, String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("reads");
    let (head, body) = text.split_once("\r\n\r\n").expect("a header and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

pub(crate) fn get(at: &str, path: &str) -> (u16, String, String) {
    exchange(at, "GET", path, "")
}

/// A request whose signature is right (reference, vector of entry 0).
pub(crate) const ENTRY: &str = r#"{"hashedRekordRequestV002":{"digest":"2j/lD5zmMg8+/e1v5EoSoCMW0st3fUfejb81IufknSA=","signature":{"content":"MEUCIAbVM8j23vXhKR0qQlIJKKp52NDOYAUvYTpDPX3SfP7iAiEA9h4lWIh6TfTGxVjsw5I5mzejKU552ibG6uprFd5Uibw=","verifier":{"publicKey":{"rawBytes":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAhfmF/C2RDkoJ4+WmZ5pojpPLBUr321s32bluAKC1O0ZSn3ry5dxLS3aPKhaqHZaVvRfx1hZllLyiXxlMG5XlA=="},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}"#;

/// Logs [`ENTRY`].
pub(crate) fn log_entry(at: &str) -> (u16, String, String) {
    exchange(at, "POST", "/api/v2/log/entries", ENTRY)
}

/// A directory for a log, that is not there yet.
pub(crate) fn new_data() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a directory");
    let data = folder.path().join("log");
    (folder, data)
}

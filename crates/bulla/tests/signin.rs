//! Signing in through `bulla sign` at the issuer of `bulla up --dev`, as a person does it: with the browser that opens, with one
//! on another machine, and with a code that is carried over by hand. The test is the browser: it follows the address that it
//! is given, fills in the form that it finds there, and goes where it is sent.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Served, bulla, exchange, get, run};

struct Stack {
    served: Served,
    folder: tempfile::TempDir,
}

/// `bulla sign`, which waits for somebody to sign in.
struct Signing {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
    so_far: String,
}

impl Stack {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let mut command = bulla();
        command.args(["up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off"]);
        command.arg("--data").arg(folder.path().join("data")).env("BULLA_DISK_RESERVE", "0");
        let served = Served::start(&mut command);
        std::fs::write(folder.path().join("file"), "what is signed").expect("is written");
        Self { served, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.served.http.rsplit(':').next().unwrap_or_default())
    }

    fn sign(&self, flow: &str, browser: &str) -> Signing {
        let mut command = bulla();
        let ambient = ["COSIGN_", "SIGSTORE_", "ACTIONS_", "BUILDKITE", "GOOGLE_"];
        for (name, _) in
            std::env::vars().filter(|(name, _)| ambient.iter().any(|start| name.starts_with(start)))
        {
            command.env_remove(name);
        }
        let mut child = command
            .args(["sign", "file", "--url", &self.url(), "--oidc-flow", flow])
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("BROWSER", browser)
            .env_remove("GITHUB_ACTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let said = BufReader::new(child.stderr.take().expect("piped"));
        Signing { child, said, so_far: String::new() }
    }

    /// Who is said to have signed.
    fn signed_by(&self, who: &str) {
        let issuer = format!("{}/oidc", self.url());
        let mut command = bulla();
        command.args(["verify", "file", "--trusted-root", "data/clients/trusted_root.json", "--offline"]);
        command.args(["--certificate-identity", who, "--certificate-oidc-issuer", &issuer]);
        let (code, out, errors) = run(command.current_dir(self.folder.path()));
        assert_eq!(code, 0, "{out}{errors}");
    }
}

impl Signing {
    /// Reads up to a line with these words.
    fn until(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let read = self.said.read_line(&mut line).expect("text");
            assert!(read > 0, "no {words:?} was said: {}", self.so_far);
            self.so_far += &line;
        }
        line.trim().to_owned()
    }

    fn ended(mut self) -> (i32, String) {
        self.said.read_to_string(&mut self.so_far).expect("text");
        let mut out = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
        let code = self.child.wait().expect("ends").code().expect("by itself");
        (code, out + &self.so_far)
    }
}

/// Host with port, and path with query.
fn parts(url: &str) -> (String, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url:?} is no address"));
    let (host, path) = rest.split_once('/').expect("a path");
    (host.replace("localhost", "127.0.0.1"), format!("/{path}"))
}

/// A value as forms have it.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"))
}

/// What a browser does with a page: fills in the form, and posts it to where the form says. Returns the header and the page.
fn fill_in(url: &str, who: &str) -> (String, String) {
    let (host, path) = parts(url);
    let (status, _, page) = get(&host, &path);
    assert_eq!(status, 200, "{page}");
    let after = |text: &str, from: &str| {
        let (_, rest) = text.split_once(from)?;
        let value = rest.split('"').next()?;
        Some(value.replace("&amp;", "&").replace("&#39;", "'").replace("&quot;", "\""))
    };
    let action = after(&page, "action=\"").expect("a form");
    let fields = page.split("<input ").skip(1).map(|input| {
        let name = after(input, "name=\"").expect("a name");
        let value =
            if name == "email" { who.to_owned() } else { after(input, "value=\"").unwrap_or_default() };
        format!("{name}={}", encoded(&value))
    });
    let form = fields.collect::<Vec<_>>().join("&");
    let (directory, _) = path.split('?').next().unwrap_or_default().rsplit_once('/').expect("a path");
    let (status, head, page) = exchange(&host, "POST", &format!("{directory}/{action}"), &form);
    assert!(matches!(status, 200 | 303), "{status}: {page}");
    (head, page)
}

#[test]
fn with_the_browser_that_opens() {
    let stack = Stack::start();
    // A browser that tells the test where it was sent; a pipe, so that the test waits for it.
    let pipe = stack.path("opened");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let browser = stack.path("browser");
    std::fs::write(&browser, format!("#!/bin/sh\nprintf '%s' \"$1\" > '{}'\n", pipe.display()))
        .expect("is written");
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).expect("is set");
    let mut signing = stack.sign("browser", browser.to_str().expect("text"));
    let opened = std::fs::read_to_string(&pipe).expect("is opened");
    let line = signing.until("Sign in with the browser");
    assert_eq!(line, format!("Sign in with the browser that opens, or open {opened}"));
    assert!(opened.contains("code_challenge_method=S256") && opened.contains("nonce="), "{opened}");

    // The codes are in letters of both sizes, so the header is read as it came.
    let (host, path) = parts(&opened);
    let state =
        path.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state").to_owned();
    // Somebody else who calls back is turned away, and the real answer still counts.
    let redirect =
        path.split("redirect_uri=").nth(1).and_then(|rest| rest.split('&').next()).expect("a place");
    let redirect = redirect.replace("%3A", ":").replace("%2F", "/");
    let (back, callback) = parts(&redirect);
    let (_, _, page) = get(&back, &format!("{callback}?code=stolen&state=other"));
    assert!(page.contains("This answers another request."), "{page}");
    let code = approve(&host, &path, "alice@example.org");
    let (status, _, page) = get(&back, &format!("{callback}?code={code}&state={state}"));
    assert!(status == 200 && page.contains("Signed in"), "{page}");
    let (code, said) = signing.ended();
    assert_eq!(code, 0, "{said}");
    stack.signed_by("alice@example.org");
}

/// Signs in on the issuer's page and returns the code in the redirect, whose letters [`exchange`] would make small.
fn approve(host: &str, path: &str, who: &str) -> String {
    use std::net::TcpStream;

    let (_, page) = path.split_once('?').expect("a query");
    let form = format!("{page}&email={}", encoded(who));
    let mut stream = TcpStream::connect(host).expect("connects");
    let place = path.split('?').next().unwrap_or_default();
    let length = form.len();
    write!(
        stream,
        "POST {place} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{form}"
    )
    .expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    let to =
        answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_else(|| panic!("{answer}"));
    to.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code").to_owned()
}

#[test]
fn who_says_no_in_the_browser_is_heard() {
    let stack = Stack::start();
    // No browser at all: the address was said.
    let mut signing = stack.sign("browser", "/nonexistent");
    let line = signing.until("or open http");
    let url = line.rsplit(' ').next().expect("an address");
    let (_, path) = parts(url);
    let field = |name: &str| {
        let value = path.split(&format!("{name}=")).nth(1).and_then(|rest| rest.split('&').next());
        value.expect("is there").replace("%3A", ":").replace("%2F", "/")
    };
    let (back, callback) = parts(&field("redirect_uri"));
    let (_, _, page) = get(
        &back,
        &format!("{callback}?error=access_denied&error_description=not+today&state={}", field("state")),
    );
    assert!(page.contains("Refused"), "{page}");
    let (code, said) = signing.ended();
    assert!(code == 3 && said.contains("it answers \"access_denied\" \"not today\""), "{code}: {said}");
    assert!(!stack.path("file.sigstore.json").exists());
}

#[test]
fn with_a_browser_on_another_machine() {
    let stack = Stack::start();
    let mut signing = stack.sign("device", "/nonexistent");
    let line = signing.until(" and type ");
    let (page, code) = line
        .strip_prefix("Open ")
        .and_then(|line| line.strip_suffix(" there."))
        .and_then(|line| line.split_once(" and type "))
        .expect("a page and a code");
    assert!(page.ends_with(code), "{line}");
    let (_, answer) = fill_in(page, "bob@example.org");
    assert!(answer.contains("Go back to the device"), "{answer}");
    let (code, said) = signing.ended();
    assert_eq!(code, 0, "{said}");
    stack.signed_by("bob@example.org");
}

#[test]
fn with_a_code_that_is_carried_over() {
    let stack = Stack::start();
    let mut signing = stack.sign("code", "/nonexistent");
    let line = signing.until("Open http");
    signing.until("type the code here");
    let (_, page) = fill_in(line.trim_start_matches("Open "), "carol@example.org");
    let shown =
        page.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next()).expect("a code").to_owned();
    let mut stdin = signing.child.stdin.take().expect("piped");
    writeln!(stdin, "  {shown} ").expect("is typed");
    drop(stdin);
    let (code, said) = signing.ended();
    assert_eq!(code, 0, "{said}");
    stack.signed_by("carol@example.org");
    let bundle = std::fs::read(stack.path("file.sigstore.json")).expect("is there");
    let bundle: serde_json::Value = serde_json::from_slice(&bundle).expect("JSON");
    let der =
        STANDARD.decode(bundle["verificationMaterial"]["certificate"]["rawBytes"].as_str().expect("text"));
    let der = der.expect("base64");
    assert!(der.windows(17).any(|bytes| bytes == b"carol@example.org"), "the certificate is of nobody");

    // A code that nobody gave, and none.
    for (typed, problem) in [("wrong\n", "invalid_grant"), ("\n", "no code was typed")] {
        std::fs::remove_file(stack.path("file.sigstore.json")).unwrap_or_default();
        let mut signing = stack.sign("code", "/nonexistent");
        signing.until("type the code here");
        let mut stdin = signing.child.stdin.take().expect("piped");
        stdin.write_all(typed.as_bytes()).expect("is typed");
        drop(stdin);
        let (code, said) = signing.ended();
        assert!(code == 3 && said.contains(problem), "{code}: {said}");
    }
}

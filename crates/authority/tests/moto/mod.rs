//! moto, a server of other people's that answers as AWS does, started for one test. `./test keys` installs it and says where it is.
#![allow(dead_code, unreachable_pub, reason = "shared with other tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A running server.
pub struct Moto {
    child: Child,
    /// `localhost:PORT`
    pub host: String,
}

impl Moto {
    pub fn start() -> Self {
        let program =
            std::env::var("BULLA_MOTO").expect("BULLA_MOTO names a Python that has moto: run ./test keys");
        let mut child = Command::new(&program)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/keys/moto_server.py"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("text"), 0, "moto ended");
            if let Some((_, port)) = line.trim_end().rsplit_once("http://127.0.0.1:") {
                break port.to_owned();
            }
        };
        // It says something about every request.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, host: format!("localhost:{port}") }
    }

    /// Asks its KMS, as nobody in particular.
    pub fn kms(&self, action: &str, body: &Value) -> Value {
        let headers =
            format!("x-amz-target: TrentService.{action}\r\ncontent-type: application/x-amz-json-1.1");
        let answer = self.post("/", "kms", &headers, &body.to_string());
        serde_json::from_str(&answer).unwrap_or(Value::Null)
    }

    /// A new key for signatures; its ID.
    pub fn key(&self, spec: &str, usage: &str) -> String {
        let made = self.kms("CreateKey", &serde_json::json!({"KeySpec": spec, "KeyUsage": usage}));
        made["KeyMetadata"]["KeyId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// Asks its IAM; the answer is XML.
    pub fn iam(&self, form: &str) -> String {
        self.post("/", "iam", "content-type: application/x-www-form-urlencoded", form)
    }

    /// From now on nobody is believed who does not sign.
    pub fn demand_signatures(&self) {
        self.post("/moto-api/reset-auth", "kms", "content-type: application/octet-stream", "0");
    }

    fn post(&self, path: &str, service: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.host.replace("localhost", "127.0.0.1")).expect("connects");
        let credential = format!("Credential=x/20260101/eu-central-1/{service}/aws4_request");
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, \
             Signature=x\r\n{headers}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .expect("sends");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("reads");
        let (head, answer) = text.split_once("\r\n\r\n").expect("a header and a body");
        assert!(head.contains(" 200 "), "{text}");
        answer.to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // The test may have ended it.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

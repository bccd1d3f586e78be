//! Runs the scripts in `tests/cases`: what is sent to a door, and what must come back.
//!
//! ```text
//! # What the script shows.
//! log: three              <- how the log begins: empty, three (entries 0 to 2), or frozen
//!
//! === what this exchange shows
//! POST /api/v2/log/entries
//! Name: value             <- headers
//!
//! {"body":"$DIGEST0"}     <- $NAME from tests/vectors/values*.txt, or @file below tests/
//! ---
//! 409                     <- status
//! x-log-index: 0          <- header; `name: *` any value, `!name` not there
//!
//! {"code":6}              <- exact body; ⏎ ends a line that must end in a newline; @file; (empty);
//!                            `sha256 HEX of N bytes`; `~ text` for each text that must occur in it
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bulla_tlog::sha256;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

/// A script, read.
pub(crate) struct Script {
    settings: BTreeMap<String, String>,
    exchanges: Vec<Exchange>,
}

struct Exchange {
    title: String,
    line: usize,
    request: (Vec<String>, Vec<u8>),
    expected: (Vec<String>, Option<String>),
}

/// Below `tests/`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the scripts write with a dollar sign, longest names first so that none hides another.
fn values() -> Vec<(String, String)> {
    let read = |name: &str| String::from_utf8(fixture(name)).expect("text");
    let text = read("vectors/values.txt") + &read("vectors/values-v1.txt");
    let pairs = text.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| *name != "#");
    let mut values: Vec<_> = pairs.map(|(name, value)| (format!("${name}"), value.to_owned())).collect();
    values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    values
}

impl Script {
    /// Reads a script of that name in `tests/cases`.
    pub(crate) fn read(name: &str) -> Self {
        let mut text = String::from_utf8(fixture(&format!("cases/{name}.txt"))).expect("text");
        for (name, value) in values() {
            text = text.replace(&name, &value);
        }
        let mut parts = text.split("=== ");
        let head = parts.next().expect("a head");
        let settings = head.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let settings = settings.map(|line| line.split_once(": ").expect("setting: value"));
        let mut line = 1 + head.matches('\n').count();
        let mut exchanges = Vec::new();
        for part in parts {
            let (title, rest) = part.split_once('\n').expect("a title");
            let (request, expected) = rest.split_once("\n---\n").expect("--- between request and answer");
            let (request_head, request_body) = head_and_body(request);
            let body = match request_body.as_deref().map(|body| body.strip_prefix('@').ok_or(body)) {
                None => Vec::new(),
                Some(Ok(file)) => fixture(file),
                Some(Err(body)) => body.as_bytes().to_vec(),
            };
            let request = (request_head, body);
            exchanges.push(Exchange {
                title: title.to_owned(),
                line,
                request,
                expected: head_and_body(expected),
            });
            line += part.matches('\n').count();
        }
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { settings, exchanges }
    }

    /// A setting of the script's head.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Sends everything in order; the differences, or nothing.
    pub(crate) async fn run(&self, router: &axum::Router) -> String {
        let mut differences = String::new();
        for exchange in &self.exchanges {
            let response = router.clone().oneshot(exchange.request()).await.expect("infallible");
            if let Err(difference) = exchange.compare(response).await {
                let (line, title) = (exchange.line, &exchange.title);
                writeln!(differences, "line {line}, {title}: {difference}").expect("memory");
            }
        }
        differences
    }
}

fn head_and_body(text: &str) -> (Vec<String>, Option<String>) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let body = body.trim_end_matches('\n');
    (head.trim_end().lines().map(str::to_owned).collect(), (!body.is_empty()).then(|| body.to_owned()))
}

impl Exchange {
    fn request(&self) -> Request {
        let (head, body) = &self.request;
        let (method, uri) = head[0].split_once(' ').expect("METHOD path");
        let mut request = Request::builder().method(method).uri(uri);
        for header in &head[1..] {
            let (name, value) = header.split_once(": ").expect("Name: value");
            request = request.header(name, value);
        }
        request.body(Body::from(body.clone())).expect("a request")
    }

    async fn compare(&self, response: Response) -> Result<(), String> {
        let (head, expected) = &self.expected;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        if parts.status.as_str() != head[0] {
            return Err(format!("status {}, {} was expected: {text}", parts.status.as_str(), head[0]));
        }
        for line in &head[1..] {
            if let Some(name) = line.strip_prefix('!') {
                if let Some(value) = parts.headers.get(name) {
                    return Err(format!("{name} is {value:?}, none was expected"));
                }
                continue;
            }
            let (name, wanted) = line.split_once(": ").expect("name: value");
            let got = parts.headers.get(name).ok_or_else(|| format!("{name} is missing"))?;
            if wanted != "*" && got != wanted {
                return Err(format!("{name} is {got:?}, {wanted:?} was expected"));
            }
        }
        let Some(expected) = expected else { return Ok(()) };
        let same = if let Some(file) = expected.strip_prefix('@') {
            *body == *fixture(file)
        } else if expected == "(empty)" {
            body.is_empty()
        } else if expected.starts_with("sha256 ") {
            *expected == format!("sha256 {} of {} bytes", sha256(&body), body.len())
        } else if expected.starts_with("~ ") {
            expected.lines().all(|line| text.contains(line.strip_prefix("~ ").unwrap_or(line)))
        } else {
            *text == expected.replace("⏎\n", "\n").replace('⏎', "\n")
        };
        if same {
            Ok(())
        } else {
            Err(format!("body is\n{text}\n{} bytes, expected was\n{expected}", body.len()))
        }
    }
}

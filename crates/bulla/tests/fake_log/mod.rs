//! A v1 server that answers what it was told to, once it was told, and remembers what it was asked. By default it is the
//! log whose answers are kept in `crates/rekor/tests/captured_v1`.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub(crate) const KEY: &str = include_str!("../../../rekor/tests/captured_v1/log.pub");
pub(crate) const OTHER_KEY: &str = include_str!("../../../rekor/tests/captured_v1/public.pub");
/// A hashedrekord, leaf 18, and the head of 19 leaves.
pub(crate) const ENTRY: &str = include_str!("../../../rekor/tests/captured_v1/entry.json");
/// A DSSE envelope, leaf 19, and the head of 20 leaves.
pub(crate) const DSSE: &str = include_str!("../../../rekor/tests/captured_v1/dsse.json");
pub(crate) const ENVELOPE: &str = include_str!("../../../rekor/tests/captured_v1/envelope.json");
pub(crate) const ENVELOPE_KEY: &str = include_str!("../../../rekor/tests/captured_v1/envelope.pub");
pub(crate) const ARTIFACT: &[u8] = include_bytes!("../../../rekor/tests/captured_v1/art.txt");
pub(crate) const ID: &str =
    "362f8ecba72f4326b6c15a4d089e7c9a5b2f98b6b6e8c43886f17ec99dbd1ad734610d932ad7fba4";
pub(crate) const TREE: &str = "3904496407287907110";

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Vec<Answer>>,
    asked: Vec<(String, String)>,
}

pub(crate) struct FakeLog {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl FakeLog {
    /// A server that knows nothing.
    pub(crate) fn empty() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url, state }
    }

    /// The log of the captured answers, at 19 leaves.
    pub(crate) fn new() -> Self {
        let log = Self::empty();
        log.has_key(KEY);
        log.has_entry(ENTRY);
        log.has_entry(DSSE);
        log.is_at(ENTRY);
        log.answer(
            "POST /api/v1/log/entries",
            201,
            &format!("Location: /api/v1/log/entries/{ID}\r\n"),
            ENTRY,
        );
        log.answer("POST /api/v1/log/entries/retrieve", 200, "", &format!("[{}]\n", ENTRY.trim()));
        log.answer("POST /api/v1/index/retrieve", 200, "", &format!("[\"{ID}\"]\n"));
        log.proves(&proof());
        log
    }

    /// From now on, that is the answer.
    pub(crate) fn answer(&self, route: &str, status: u16, headers: &str, body: &str) {
        self.answers(route, &[(status, headers, body)]);
    }

    /// These one after the other, and then always the last.
    pub(crate) fn answers(&self, route: &str, answers: &[(u16, &str, &str)]) {
        let answers = answers.iter().map(|(status, headers, body)| Answer {
            status: *status,
            headers: (*headers).to_owned(),
            body: body.as_bytes().to_vec(),
        });
        self.state.lock().expect("lock").answers.insert(route.to_owned(), answers.collect());
    }

    pub(crate) fn has_key(&self, pem: &str) {
        for query in ["", &format!("?treeID={TREE}")] {
            let headers = "Content-Type: application/x-pem-file\r\n";
            self.answer(&format!("GET /api/v1/log/publicKey{query}"), 200, headers, pem);
        }
    }

    /// An entry that can be got by its name, with and without its tree, and by its index.
    pub(crate) fn has_entry(&self, entry: &str) {
        let value: Value = serde_json::from_str(entry).expect("JSON");
        let (id, entry_value) = value.as_object().expect("object").iter().next().expect("one");
        let index = &entry_value["logIndex"];
        for path in [format!("/{id}"), format!("/{}", &id[16..]), format!("?logIndex={index}")] {
            self.answer(&format!("GET /api/v1/log/entries{path}"), 200, "", entry);
        }
    }

    /// The head of the log is the one in that entry's proof.
    pub(crate) fn is_at(&self, entry: &str) {
        self.answer("GET /api/v1/log", 200, "", &info(entry).to_string());
    }

    pub(crate) fn proves(&self, hashes: &[String]) {
        let route = format!("GET /api/v1/log/proof?firstSize=19&lastSize=20&treeID={TREE}");
        let root = member(DSSE)["verification"]["inclusionProof"]["rootHash"].clone();
        self.answer(&route, 200, "", &json!({ "hashes": hashes, "rootHash": root }).to_string());
    }

    /// What was asked, with what was sent.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state.lock().expect("lock").asked)
    }
}

/// The heads of a log with one tree.
pub(crate) fn info(entry: &str) -> Value {
    let proof = &member(entry)["verification"]["inclusionProof"];
    json!({
        "inactiveShards": null, "rootHash": proof["rootHash"], "signedTreeHead": proof["checkpoint"],
        "treeID": TREE, "treeSize": proof["treeSize"],
    })
}

/// That the tree of 19 leaves begins the one of 20: the last leaf of each, and the two subtrees before them.
pub(crate) fn proof() -> Vec<String> {
    let new = member(DSSE);
    let path = new["verification"]["inclusionProof"]["hashes"].as_array().expect("list").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let body = STANDARD.decode(text(&new["body"])).expect("base64");
    vec![text(&path[0]), bulla_tlog::leaf_hash(&body).to_string(), text(&path[1]), text(&path[2])]
}

/// The entry in an answer.
pub(crate) fn member(answer: &str) -> Value {
    let value: Value = serde_json::from_str(answer).expect("JSON");
    value.as_object().expect("object").values().next().expect("one").clone()
}

/// The captured entry with a change.
pub(crate) fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut entry = member(ENTRY);
    change(&mut entry);
    json!({ ID: entry }).to_string()
}

/// The artifact of the captured entry, its signature and its key as files.
pub(crate) fn files(dir: &Path) -> [PathBuf; 3] {
    let body = STANDARD.decode(member(ENTRY)["body"].as_str().expect("text")).expect("base64");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let bytes = |path: &str| {
        STANDARD.decode(body.pointer(path).and_then(Value::as_str).expect("text")).expect("base64")
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    [
        write("art.txt", ARTIFACT),
        write("art.sig", &bytes("/spec/signature/content")),
        write("art.pub", &bytes("/spec/signature/publicKey/content")),
    ]
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let route = head[0].trim_end_matches(" HTTP/1.1").to_owned();
        let mut state = state.lock().expect("lock");
        state.asked.push((route.clone(), String::from_utf8_lossy(&body).into_owned()));
        let answer = state
            .answers
            .get_mut(&route)
            .map(|left| if left.len() > 1 { left.remove(0) } else { left[0].clone() });
        drop(state);
        let Answer { status, headers, body } =
            answer.unwrap_or(Answer { status: 404, headers: String::new(), body: Vec::new() });
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n{headers}\r\n");
        let stream = reader.get_mut();
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
            return;
        }
    }
}

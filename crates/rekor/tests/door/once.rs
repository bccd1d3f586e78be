//! Entries that are added only if none is found by their digest: what the v1 door answers, and what our client makes of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::keys::public_key_pem;
use bulla_claims::{LogSigner, Rules, SigningKey};
use bulla_ledger::storage::memory::Memory;
use bulla_ledger::{IndexAt, Log, Options};
use bulla_rekor::client::v1::{self as client, CreatedOnce, RekorV1};
use bulla_rekor::search::Search;
use bulla_rekor::wire::v1::id::TreeId;
use bulla_rekor::{Document, Door, Idempotency, Settings, Shard, Shards, Shelf, Shelves, Trust};
use bulla_tlog::note::{SignError, Signer};
use bulla_tlog::{Hash, sha256};
use futures_util::future::join_all;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::{LOG_KEY, ORIGIN, TREE};

const ENTRIES: &str = "/api/v1/log/entries";

/// Whether a tree can be searched.
#[derive(Clone, Copy, PartialEq)]
enum Searched {
    Yes,
    /// Its index does not grow.
    NotYet,
    No,
}

/// A log in memory behind a door. Its indexes follow it as long as this lives.
struct Running {
    door: Arc<Door>,
    router: Router,
    following: watch::Sender<bool>,
    healthy: Arc<AtomicBool>,
}

/// A key that signs while it is healthy.
struct Moody {
    key: LogSigner,
    healthy: Arc<AtomicBool>,
}

impl Signer for Moody {
    fn name(&self) -> &str {
        self.key.name()
    }

    fn key_id(&self) -> [u8; 4] {
        self.key.key_id()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        if !self.healthy.load(Ordering::SeqCst) {
            return Err(SignError::new("the key sleeps"));
        }
        self.key.sign(text)
    }
}

async fn shard(
    tree: u64,
    searched: Searched,
    healthy: &Arc<AtomicBool>,
    stop: watch::Receiver<bool>,
) -> Shard {
    let key = LogSigner::new(ORIGIN, SigningKey::from_pem(LOG_KEY, None).expect("a key")).expect("a signer");
    let verifier = key.verifier().clone();
    let signer = Arc::new(Moody { key, healthy: healthy.clone() });
    let options = Options::new(signer, verifier.clone(), IndexAt::Memory);
    let log = Log::start(Arc::new(Memory::default()), options).await.expect("starts");
    let search = (searched != Searched::No).then(Search::memory);
    if let Some(search) = search.as_ref().filter(|_| searched == Searched::Yes) {
        let _follower = search.follow(log.reader().clone(), 1, stop);
    }
    let v1_key = SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key");
    Shard::new(TreeId::new(tree).expect("an ID"), log, verifier, v1_key, search.map(Arc::new))
}

impl Running {
    async fn start(searched: Searched) -> Self {
        Self::start_with(searched, Shelves::default()).await
    }

    async fn start_with(searched: Searched, shelves: Shelves) -> Self {
        let (following, healthy) = (watch::Sender::new(false), Arc::new(AtomicBool::new(true)));
        let first = shard(TREE, searched, &healthy, following.subscribe()).await;
        let mut settings = Settings::new(Rules::default());
        settings.v1.search_patience = match searched {
            Searched::NotYet => Duration::ZERO,
            // Longer than anything waited for takes.
            _ => Duration::from_mins(1),
        };
        let document = || Document::from(String::from("{}"));
        let trust = Trust { trusted_root: document(), signing_config: document() };
        let door = Arc::new(Door::new(Arc::new(Shards::new(vec![first])), settings, trust, shelves));
        let router = bulla_rekor::api::router(door.clone());
        Self { door, router, following, healthy }
    }

    /// The tree ends, and the next one begins.
    async fn rotate(&self, next: u64) {
        let next = shard(next, Searched::Yes, &self.healthy, self.following.subscribe()).await;
        let ended = self.door.shards().rotate(async |active| active.log().freeze(7).await.map(|_| next));
        ended.await.expect("rotates");
    }

    /// Entries in all trees.
    fn size(&self) -> u64 {
        self.door.shards().all().iter().map(|placed| placed.log().reader().published().size).sum()
    }

    async fn post_to(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&body).expect("JSON");
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn once(&self, once: &str, entry: &str) -> Answer {
        self.post_to(ENTRIES, &[("entry-once", once)], entry).await
    }
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The ID of the entry that the answer leads to.
    fn id(&self) -> &str {
        self.header("location").and_then(|path| path.strip_prefix("/api/v1/log/entries/")).expect("an entry")
    }

    /// The refusal's message.
    fn message(&self, status: u16) -> &str {
        assert_eq!((self.status, &self.body["code"]), (status, &json!(status)), "{self:?}");
        self.body["message"].as_str().expect("a text")
    }

    fn found(&self, digest: &Hash, since: u64, index: u64, id: &str) {
        let message = format!(
            "an entry with sha256:{digest} from index {since} on already exists in the transparency log: \
             index {index}, UUID {id}"
        );
        assert_eq!(self.message(412), message);
        assert_eq!((self.id(), self.header("entry-once")), (id, None));
    }
}

/// A key that makes entries; no two of them are equal, since no two of its signatures are.
struct Author(SigningKey);

impl Author {
    fn new() -> Self {
        Self(SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key"))
    }

    fn entry(&self, artifact: &[u8]) -> String {
        let key = STANDARD.encode(public_key_pem(self.0.spki()));
        let signature = STANDARD.encode(self.0.sign(artifact).expect("signs"));
        json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": sha256(artifact).to_string() } },
                "signature": { "content": signature, "publicKey": { "content": key } },
            },
        })
        .to_string()
    }
}

fn condition(digest: &Hash, since: u64) -> String {
    format!("sha256:{digest}; since={since}")
}

#[tokio::test]
async fn the_first_is_added_and_the_next_is_led_to_it() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let asked = format!("sha256:{};since=0", digest.to_string().to_uppercase());
    let (first, second) = (author.entry(b"artifact"), author.entry(b"artifact"));
    let added = log.once(&asked, &first).await;
    assert_eq!((added.status, added.header("entry-once")), (201, Some(asked.as_str())), "{added:?}");
    let found = log.once(&condition(&digest, 0), &second).await;
    found.found(&digest, 0, 0, added.id());
    assert_eq!(log.size(), 1);

    let again = log.once(&condition(&digest, 0), &first).await;
    let message =
        format!("an equivalent entry already exists in the transparency log with UUID {}", added.id());
    assert_eq!((again.message(409), again.id()), (message.as_str(), added.id()));
    let again = log.once(&condition(&digest, 9), &first).await;
    assert_eq!((again.message(409), again.id()), (message.as_str(), added.id()), "wherever it is");

    let later = log.once(&condition(&digest, 1), &second).await;
    assert_eq!((later.status, later.header("entry-once")), (201, Some(condition(&digest, 1).as_str())));
    assert_ne!(later.id(), added.id());
    assert_eq!(log.size(), 2);
    log.once(&condition(&digest, 1), &author.entry(b"artifact")).await.found(&digest, 1, 1, later.id());
    log.once(&condition(&digest, 0), &author.entry(b"artifact")).await.found(&digest, 0, 0, added.id());
    assert_eq!(log.size(), 2);
}

#[tokio::test]
async fn who_does_not_ask_is_not_held_to_it() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    for size in 1..=2 {
        let added = log.post_to(ENTRIES, &[], &author.entry(b"artifact")).await;
        assert_eq!((added.status, added.header("entry-once"), log.size()), (201, None, size));
    }
    let id = log.door.shards().active().log().reader().leaf_hash(0).await.expect("reads").expect("a leaf");
    let found = log.once(&condition(&digest, 0), &author.entry(b"artifact")).await;
    found.found(&digest, 0, 0, &format!("{TREE:016x}{id}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_one_is_added() {
    let (log, author) = (Running::start(Searched::Yes).await, Author::new());
    // Two digests at a time, so that none is in the other's way.
    let (one, other) = (sha256(b"one"), sha256(b"other"));
    let posts = (0..200).map(|number| {
        let (artifact, digest) = if number % 2 == 0 { ("one", one) } else { ("other", other) };
        let entry = author.entry(artifact.as_bytes());
        let log = &log;
        async move { (artifact, log.once(&condition(&digest, 0), &entry).await) }
    });
    let answers = join_all(posts).await;
    for wanted in ["one", "other"] {
        let of = |status: u16| {
            let of = answers
                .iter()
                .filter(move |(artifact, answer)| *artifact == wanted && answer.status == status);
            of.map(|(_, answer)| answer.id()).collect::<Vec<_>>()
        };
        let (added, refused) = (of(201), of(412));
        assert_eq!((added.len(), refused.len()), (1, 99), "{wanted}");
        assert_eq!(refused.iter().collect::<HashSet<_>>(), HashSet::from([&added[0]]), "{wanted}");
    }
    assert_eq!(log.size(), 2);
}

#[tokio::test]
async fn an_entry_of_an_ended_tree_is_found_too() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let before = log.once(&condition(&sha256(b"before"), 0), &author.entry(b"before")).await;
    assert_eq!(before.status, 201);
    let first = author.entry(b"artifact");
    let added = log.once(&condition(&digest, 0), &first).await;
    log.rotate(TREE + 1).await;
    for entry in [&author.entry(b"artifact"), &first] {
        log.once(&condition(&digest, 0), entry).await.found(&digest, 0, 1, added.id());
        log.once(&condition(&digest, 1), entry).await.found(&digest, 1, 1, added.id());
    }
    let later = log.once(&condition(&digest, 2), &author.entry(b"artifact")).await;
    assert_eq!((later.status, &later.id()[..16]), (201, format!("{:016x}", TREE + 1).as_str()));
    log.once(&condition(&digest, 2), &author.entry(b"artifact")).await.found(&digest, 2, 2, later.id());
    assert_eq!(log.size(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_one_is_added_while_trees_end() {
    let (log, author) = (Running::start(Searched::Yes).await, Author::new());
    for round in 1..=5_u64 {
        let artifact = format!("artifact {round}");
        let digest = sha256(artifact.as_bytes());
        let posts = (0..20).map(|_| author.entry(artifact.as_bytes())).map(|entry| {
            let log = &log;
            async move { log.once(&condition(&digest, 0), &entry).await.status }
        });
        let ((), statuses) = tokio::join!(log.rotate(TREE + round), join_all(posts));
        let added = statuses.iter().filter(|status| **status == 201).count();
        let refused = statuses.iter().filter(|status| **status == 412).count();
        assert_eq!((added, refused, log.size()), (1, 19, round));
    }
}

#[tokio::test]
async fn what_may_still_be_added_is_waited_for() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let asked = condition(&digest, 0);
    log.healthy.store(false, Ordering::SeqCst);
    // It is in the tree, and nobody may be shown that tree yet.
    let unpublished = "the log cannot store or publish entries now; retry";
    let first = author.entry(b"artifact");
    assert_eq!(log.once(&asked, &first).await.message(503), unpublished);
    assert_eq!(log.once(&asked, &author.entry(b"artifact")).await.message(503), unpublished);
    log.healthy.store(true, Ordering::SeqCst);
    let found = log.once(&asked, &author.entry(b"artifact")).await;
    assert_eq!((found.status, log.size()), (412, 1), "{found:?}");
    let again = log.once(&asked, &first).await;
    assert_eq!((again.status, again.id()), (409, found.id()), "its author learns that it was added");
}

#[tokio::test]
async fn without_the_newest_entries_nothing_is_added() {
    let (log, author, digest) = (Running::start(Searched::NotYet).await, Author::new(), sha256(b"artifact"));
    assert_eq!(log.post_to(ENTRIES, &[], &author.entry(b"another")).await.status, 201);
    let answer = log.once(&condition(&digest, 5), &author.entry(b"artifact")).await;
    assert_eq!(answer.message(503), "the log cannot store or publish entries now; retry");
    assert_eq!((answer.header("retry-after"), log.size()), (Some("1"), 1));
}

#[tokio::test]
async fn without_a_search_it_is_not_offered() {
    let (log, author, digest) = (Running::start(Searched::No).await, Author::new(), sha256(b"artifact"));
    let answer = log.once(&condition(&digest, 0), &author.entry(b"artifact")).await;
    assert_eq!(answer.message(501), "Search Index API not enabled in this Rekor instance");
    assert_eq!(log.size(), 0);
}

#[tokio::test]
async fn a_log_that_has_ended_says_so() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let entry = author.entry(b"artifact");
    assert_eq!(log.once(&condition(&digest, 0), &entry).await.status, 201);
    log.door.shards().active().log().freeze(7).await.expect("freezes");
    for entry in [entry, author.entry(b"artifact")] {
        let answer = log.once(&condition(&digest, 0), &entry).await;
        assert_eq!(answer.message(405), "log frozen: this log has ended and takes no more entries");
    }
}

#[tokio::test]
async fn a_condition_that_cannot_be_is_refused() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let (entry, asked) = (author.entry(b"artifact"), condition(&digest, 0));
    assert_eq!(
        log.once("sha256:00; since=0", &entry).await.message(400),
        "Entry-Once in header is \"sha256:00; since=0\", \
         sha256:<64 hexadecimal digits>; since=<virtual index> was expected"
    );
    let doubled = [("entry-once", asked.as_str()), ("entry-once", asked.as_str())];
    assert_eq!(
        log.post_to(ENTRIES, &doubled, &entry).await.message(400),
        "Entry-Once in header comes more than once, one value was expected"
    );
    let foreign = sha256(b"another");
    assert_eq!(
        log.once(&condition(&foreign, 0), &entry).await.message(400),
        format!(
            "Entry-Once in header names sha256:{foreign}, by which this entry cannot be found: \
             name a digest that it has, such as that of its artifact or of a subject"
        )
    );
    let batch = format!("{{\"entries\":[{entry}]}}");
    let answer = log.post_to("/api/v1/log/entries/batch", &[("entry-once", &asked)], &batch).await;
    let single = "Entry-Once in header is for single entries: send it with one to /api/v1/log/entries";
    assert_eq!(answer.message(400), single);
    let answer = log.post_to("/api/v2/log/entries/batch", &[("entry-once", &asked)], &batch).await;
    assert_eq!((answer.status, &answer.body["message"]), (400, &json!(format!("invalid request: {single}"))));
    assert_eq!(log.size(), 0);
}

#[tokio::test]
async fn an_entry_is_found_by_what_its_statement_names() {
    let (log, author) = (Running::start(Searched::Yes).await, Author::new());
    let subject = sha256(b"image");
    let statement = |builder: &str| {
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": "image", "digest": { "sha256": subject.to_string() } }],
            "predicateType": "https://example.org/built/v1",
            "predicate": { "by": builder },
        })
        .to_string();
        let of = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {of} {} {payload}", of.len(), payload.len());
        let signature = STANDARD.encode(author.0.sign(signed.as_bytes()).expect("signs"));
        let signatures = json!([{ "keyid": "", "sig": signature }]);
        let envelope =
            json!({ "payloadType": of, "payload": STANDARD.encode(&payload), "signatures": signatures });
        let key = STANDARD.encode(public_key_pem(author.0.spki()));
        let content = json!({ "envelope": envelope.to_string(), "verifiers": [key] });
        json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": { "proposedContent": content } }).to_string()
    };
    let added = log.once(&condition(&subject, 0), &statement("one")).await;
    assert_eq!(added.status, 201, "{added:?}");
    log.once(&condition(&subject, 0), &statement("another")).await.found(&subject, 0, 0, added.id());
}

#[tokio::test]
async fn a_single_entry_needs_no_key_to_be_sent_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let idempotency = Some(Idempotency::new(Shelf::new(dir.path())));
    let shelves = Shelves { idempotency, ..Shelves::default() };
    let (log, author) = (Running::start_with(Searched::Yes, shelves).await, Author::new());
    let (entry, asked) = (author.entry(b"artifact"), condition(&sha256(b"artifact"), 0));
    let headers = [("entry-once", asked.as_str()), ("idempotency-key", "one")];
    let added = log.post_to(ENTRIES, &headers, &entry).await;
    let again = log.post_to(ENTRIES, &headers, &entry).await;
    assert_eq!((added.status, again.status, again.id()), (201, 409, added.id()));
    let other = log.post_to(ENTRIES, &headers, &author.entry(b"artifact")).await;
    assert_eq!((other.status, other.id(), log.size()), (412, added.id(), 1));
}

// What our client makes of it

/// A client of a router that listens on this machine.
async fn client(router: Router) -> RekorV1 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, router).into_future());
    RekorV1::new(&url, &client::Options::default()).expect("a URL")
}

fn raw(entry: &str) -> Box<RawValue> {
    RawValue::from_string(entry.to_owned()).expect("JSON")
}

#[tokio::test]
async fn the_client_tells_what_became_of_an_entry() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let server = client(log.router.clone()).await;
    let (first, second) = (raw(&author.entry(b"artifact")), raw(&author.entry(b"artifact")));
    let created = server.create_once(&first, &digest, 0).await.expect("answers");
    let CreatedOnce::New { entry, location, honoured } = created else { panic!("it is the first") };
    assert!(honoured);
    let id = entry.id;
    let created = server.create_once(&second, &digest, 0).await.expect("answers");
    assert_eq!(created, CreatedOnce::Other { location: location.clone(), id });
    let created = server.create_once(&first, &digest, 0).await.expect("answers");
    assert_eq!(created, CreatedOnce::Exists { location, id });
    let refused = server.create_once(&second, &sha256(b"another"), 0).await.expect_err("is refused");
    assert!(
        refused
            .to_string()
            .starts_with("the server refused with 400 Bad Request: Entry-Once in header names")
    );
}

#[tokio::test]
async fn the_client_hears_that_its_condition_was_not_minded() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let unaware = from_fn(async |mut request: Request, next: Next| {
        request.headers_mut().remove("entry-once");
        next.run(request).await
    });
    let server = client(log.router.clone().layer(unaware)).await;
    for _ in 0..2 {
        let created =
            server.create_once(&raw(&author.entry(b"artifact")), &digest, 0).await.expect("answers");
        assert!(matches!(created, CreatedOnce::New { honoured: false, .. }), "{created:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_leads_nowhere_is_no_answer() {
    let author = Author::new();
    let nowhere = Router::new().fallback(async || StatusCode::PRECONDITION_FAILED);
    let server = client(nowhere).await;
    let entry = raw(&author.entry(b"artifact"));
    let error = server.create_once(&entry, &sha256(b"artifact"), 0).await.expect_err("it leads nowhere");
    let expected = "Location of the entry has 0 characters, 64 or 80 hexadecimal digits were expected";
    assert!(error.to_string().ends_with(expected), "{error}");
    let error = server.create(&entry).await.expect_err("nobody asked for a condition");
    let expected = "the server refused with 412 Precondition Failed: it said nothing more";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_answer_that_was_lost_leads_to_the_same_entry() {
    let (log, author, digest) = (Running::start(Searched::Yes).await, Author::new(), sha256(b"artifact"));
    let lost = Arc::new(AtomicBool::new(false));
    let losing = from_fn(move |request: Request, next: Next| {
        let lost = lost.clone();
        async move {
            let answer: Response = next.run(request).await;
            if lost.swap(true, Ordering::SeqCst) { answer } else { StatusCode::BAD_GATEWAY.into_response() }
        }
    });
    let server = client(log.router.clone().layer(losing)).await;
    let entry = author.entry(b"artifact");
    let proposal = client::read_proposal(entry.as_bytes()).expect("a proposal");
    let body = client::expected_body(&proposal).expect("is judged").expect("its kind is known");
    let created = server.create_once(&raw(&entry), &digest, 0).await.expect("answers");
    let CreatedOnce::Exists { id, .. } = created else { panic!("{created:?}") };
    assert_eq!((id.uuid, log.size()), (bulla_tlog::leaf_hash(&body), 1));
}

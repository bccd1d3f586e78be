//! The witness against the published example, against logs that fork and go back, against the end of the process at each
//! step, and, over loopback HTTP, with the log's own side.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use bulla_ledger::BoxFuture;
use bulla_ledger::cosigners::Cosigners;
use bulla_tlog::add_checkpoint::{self, Request};
use bulla_tlog::cosignature::{CosignatureSigner, CosignatureVerifier};
use bulla_tlog::note::{Ed25519Signer, Note, Signer as _, Verifier};
use bulla_tlog::{Checkpoint, Edge, Hash, Plan, leaf_hash, sha256};
use clap::Parser as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Home, MAX_BODY, OpenError, Refused, Witness, routes};
use crate::service::{http, witnesses};
use bulla_claims::keys::pem;

const NAME: &str = "witness.example.org";
const VKEY: &str = "witness.example.org+0ea12664+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
const LOG_VKEY: &str = "log.example.org+b1db5813+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const FIRST: &str = "old 0\n\n\
    log.example.org\n1\n/JVcjzCNIzmijMOQSik6uHuVgy1mtQR6IXaA/71lTys=\n\n\
    \u{2014} log.example.org sdtYE0NKX/7sLlBj5zlkrSIe5ZX0411pNa+Js4Bbaou9xa9n0Zmhaa+I6W17rm6u2HNJlvlqYtuWsjxsnzrYLiwh8wg=\n";
const THIRD: &str = "old 1\n\
    b0zBa09T1SWgwZKT33/LO8/pYkM9L11EIM0gP3bPRHQ=\n\
    TWeiXdefj9xddyYSvIC6pBJNEwLTlN+oOkY1ft3P77M=\n\
    \n\
    log.example.org\n3\nuR7rHeIPO61Oym6bEkiEIj/KWb3UC2xbXH4mdRZkUzI=\n\n\
    \u{2014} log.example.org sdtYE4tMHHNkTJLYEgKD2kWfISwrLC+d5hUs3k+aCF3ajVXaVLscVz9Sj/LlhAC4i3TqZ80wM08FoES/pcB2ZZF8Xws=\n";
const THIRD_ANSWER: &str = "\u{2014} witness.example.org DqEmZAAAAABlU/EAFzhxPelEDb0cuiUPPz860Lu//WSQu6nns+iNH8qjjlXcYVksAYzZciSSGn1aDtwhN3aqK9E1mu7HO5hG42rQDQ==\n";

fn then() -> u64 {
    1_700_000_000
}

fn pair(first: u8) -> (Ed25519KeyPair, Vec<u8>) {
    let seed: Vec<u8> = (first..first + 32).collect();
    (Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed is a key"), seed)
}

/// A directory with the example's key, not opened.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(pair(32).1);
    fs::write(dir.path().join("witness.key"), pem("PRIVATE KEY", &der)).expect("writes");
    dir
}

fn open(dir: &Path) -> Witness {
    let home = Home::open(dir, Some(NAME)).expect("opens");
    let keys = [LOG_VKEY, &log_key("other.example.org", 96).verifier().vkey()];
    let keys = keys.iter().map(|vkey| Verifier::from_vkey(vkey).expect("a vkey")).collect();
    Witness::open(home, keys, then).expect("opens")
}

fn log_key(origin: &str, seed: u8) -> Ed25519Signer {
    Ed25519Signer::new(origin, pair(seed).0).expect("a name")
}

/// The log of the example's key with leaves of our own.
struct Tree {
    key: Ed25519Signer,
    leaves: Vec<Hash>,
}

impl Tree {
    fn of(leaf: impl Fn(u32) -> String) -> Self {
        let leaves = (0..64).map(|number| leaf_hash(leaf(number).as_bytes())).collect();
        Self { key: log_key("log.example.org", 0), leaves }
    }

    fn new() -> Self {
        Self::of(|number| number.to_string())
    }

    /// The same up to `from`, another one after.
    fn forked(from: u32) -> Self {
        Self::of(|number| if number < from { number.to_string() } else { format!("fork {number}") })
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut edge = Edge::new();
        for leaf in leaves {
            edge.append(*leaf);
        }
        edge.root()
    }

    fn head(&self, size: usize) -> (Note, Checkpoint) {
        let origin = self.key.name().to_owned();
        let root = Self::root(&self.leaves[..size]);
        let checkpoint = Checkpoint { origin, size: size as u64, root, extensions: Vec::new() };
        (checkpoint.sign(&self.key).expect("signs"), checkpoint)
    }

    fn proof(leaves: &[Hash], old: u64, new: u64) -> Vec<Hash> {
        let plan = Plan::consistency(old, new).expect("old is not above new");
        let subtree = |at: &bulla_tlog::Node| {
            let width = 1_usize << at.level;
            let start = at.index as usize * width;
            Self::root(&leaves[start..start + width])
        };
        plan.finish(&plan.nodes().iter().map(subtree).collect::<Vec<_>>())
    }

    fn request(&self, old: usize, new: usize) -> Request {
        let proof = if old < new { Self::proof(&self.leaves, old as u64, new as u64) } else { Vec::new() };
        Request { old: old as u64, proof, checkpoint: self.head(new).0.to_string() }
    }

    fn body(&self, old: usize, new: usize) -> Vec<u8> {
        self.request(old, new).to_string().into_bytes()
    }

    async fn gather(&self, cosigners: &Cosigners, size: usize) -> Result<usize, String> {
        let (note, checkpoint) = self.head(size);
        let leaves = self.leaves.clone();
        let prove = move |old, new| {
            Box::pin(std::future::ready(Ok(Self::proof(&leaves, old, new)))) as BoxFuture<'static, _>
        };
        let gathered =
            cosigners.gather(&note, &checkpoint, &prove).await.map_err(|missed| missed.to_string())?;
        let policy_key = CosignatureVerifier::from_vkey(VKEY).expect("a vkey");
        assert!(gathered.iter().all(|line| policy_key.verify(&checkpoint, line).is_some()));
        Ok(gathered.len())
    }
}

fn status(answer: Result<String, Refused>) -> u16 {
    answer.map_or_else(|refused| refused.status(), |_| 200)
}

fn size(witness: &Witness) -> u64 {
    witness.sizes().find(|(origin, _)| *origin == "log.example.org").expect("followed").1
}

#[test]
fn the_example_byte_by_byte_and_what_monitors_see() {
    let dir = directory();
    let witness = open(dir.path());
    assert_eq!(witness.signer.vkey(), VKEY);
    witness.add_checkpoint(FIRST.as_bytes()).expect("the first");
    assert_eq!(witness.add_checkpoint(THIRD.as_bytes()).expect("the third"), THIRD_ANSWER);
    let note = format!("{}{THIRD_ANSWER}", THIRD.split_once("\n\n").expect("a proof and a note").1);
    let last = witness.last(&sha256(b"log.example.org")).expect("cosigned");
    assert_eq!(last.text(), note);
    let file = dir.path().join("logs").join(sha256(b"log.example.org").to_string());
    assert_eq!(fs::read_to_string(file).expect("the record"), note);
    assert!(witness.last(&sha256(b"other.example.org")).is_none());
}

#[test]
fn each_refusal_has_its_status_and_leaves_no_trace() {
    let dir = directory();
    let witness = open(dir.path());
    let (tree, fork) = (Tree::new(), Tree::forked(0));
    assert_eq!(status(witness.add_checkpoint(&tree.body(0, 5))), 200);
    let before = fs::read_dir(dir.path().join("logs")).expect("records").count();

    let known = |request: Request| witness.add_checkpoint(request.to_string().as_bytes());
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = tree.request(5, 9);
        change(&mut request);
        request
    };
    let signed_by = |key: &Ed25519Signer| {
        let (_, checkpoint) = tree.head(9);
        checkpoint.sign(key).expect("signs").to_string()
    };
    let cases: Vec<(&str, Request, u16)> = vec![
        ("old above new", tree.request(9, 5), 400),
        ("old is not what we have", tree.request(4, 9), 409),
        ("nothing known, it says", tree.request(0, 9), 409),
        ("a rollback", tree.request(3, 4), 409),
        ("a rollback from nothing", tree.request(0, 3), 409),
        ("a fork of the same size", Request { old: 5, ..fork.request(5, 5) }, 422),
        ("a fork that is larger", fork.request(5, 9), 422),
        ("no proof", with(&|request| request.proof.clear()), 422),
        ("a proof too many", with(&|request| request.proof.push(request.proof[0])), 422),
        ("a proof between equal sizes", Request { proof: vec![leaf_hash(b"")], ..tree.request(5, 5) }, 422),
        ("a proof of another size", Request { proof: tree.request(5, 8).proof, ..tree.request(5, 9) }, 422),
        (
            "an unknown key",
            Request { checkpoint: signed_by(&log_key("log.example.org", 7)), ..tree.request(5, 9) },
            403,
        ),
        (
            "a known key of another log",
            Request { checkpoint: signed_by(&log_key("other.example.org", 96)), ..tree.request(5, 9) },
            403,
        ),
        (
            "a changed text",
            with(&|request| request.checkpoint = request.checkpoint.replacen("\n9\n", "\n8\n", 1)),
            403,
        ),
        (
            "an unknown log",
            with(&|request| {
                request.checkpoint = request.checkpoint.replace("log.example.org", "who.example.org");
            }),
            404,
        ),
        (
            "no checkpoint",
            with(&|request| request.checkpoint = "log.example.org\n\n\u{2014} x AAAAAAA=\n".to_owned()),
            400,
        ),
        ("no note", with(&|request| request.checkpoint = "hello\n".to_owned()), 400),
    ];
    for (case, request, expected) in cases {
        let answer = known(request);
        if expected == 409 {
            let Err(Refused::Judged(add_checkpoint::Refusal::Conflict { known, .. })) = &answer else {
                panic!("{case}: {answer:?}");
            };
            assert_eq!(*known, 5, "{case}");
        }
        assert_eq!(status(answer), expected, "{case}");
    }
    for (case, body, expected) in [
        ("nothing", Vec::new(), 400),
        ("not text", vec![0xff, 0xfe], 400),
        ("a leading zero", b"old 05\n\nx".to_vec(), 400),
        ("too long", vec![b'a'; MAX_BODY + 1], 413),
    ] {
        assert_eq!(status(witness.add_checkpoint(&body)), expected, "{case}");
    }
    assert_eq!(size(&witness), 5);
    assert_eq!(fs::read_dir(dir.path().join("logs")).expect("records").count(), before);
    assert_eq!(status(witness.add_checkpoint(&tree.body(5, 5))), 200, "the same again is no fork");
    assert_eq!(status(witness.add_checkpoint(&tree.body(5, 9))), 200);
}

#[test]
fn unknown_signatures_are_dropped_and_do_not_spoil_good_ones() {
    let dir = directory();
    let witness = open(dir.path());
    let tree = Tree::new();
    let (mut note, checkpoint) = tree.head(5);
    let stranger = checkpoint.sign(&log_key("stranger.example.org", 9)).expect("signs");
    note.signatures.insert(0, stranger.signatures[0].clone());
    let request = Request { old: 0, proof: Vec::new(), checkpoint: note.to_string() };
    assert_eq!(status(witness.add_checkpoint(request.to_string().as_bytes())), 200);
    let last = witness.last(&sha256(b"log.example.org")).expect("cosigned");
    let names: Vec<_> =
        Note::parse(&last.text()).expect("a note").signatures.into_iter().map(|line| line.name).collect();
    assert_eq!(names, ["log.example.org", NAME]);
}

#[test]
fn racing_requests_make_one_chain() {
    for fork_at in [0, 4] {
        let dir = directory();
        let witness = open(dir.path());
        let trees = [Tree::new(), Tree::forked(fork_at)];
        let start = Barrier::new(16);
        let cosigned: Vec<(usize, usize)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|number| {
                    let (witness, trees, start) = (&witness, &trees, &start);
                    scope.spawn(move || {
                        let which = number % 2;
                        let (mut old, mut cosigned) = (0, Vec::new());
                        start.wait();
                        for new in 1..40 {
                            match witness.add_checkpoint(&trees[which].body(old.min(new), new)) {
                                Ok(_) => {
                                    cosigned.push((which, new));
                                    old = new;
                                }
                                Err(Refused::Judged(add_checkpoint::Refusal::Conflict { known, .. })) => {
                                    old = known as usize;
                                }
                                Err(Refused::Judged(add_checkpoint::Refusal::Inconsistent(_))) => {}
                                Err(other) => panic!("{other}"),
                            }
                        }
                        cosigned
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        let mut roots: BTreeMap<usize, Hash> = BTreeMap::new();
        for (which, size) in &cosigned {
            let root = trees[*which].head(*size).1.root;
            assert_eq!(*roots.entry(*size).or_insert(root), root, "two trees of size {size}");
        }
        let after_fork: Vec<_> = cosigned.iter().filter(|(_, size)| *size > fork_at as usize).collect();
        assert!(after_fork.iter().all(|(which, _)| *which == after_fork[0].0), "both sides of the fork");
        assert_eq!(size(&witness), 39);
    }
}

#[test]
fn a_restart_continues_from_what_was_cosigned() {
    let dir = directory();
    let tree = Tree::new();
    let witness = open(dir.path());
    assert!(matches!(Home::open(dir.path(), Some(NAME)), Err(OpenError::InUse(_))), "one process at a time");
    assert_eq!(status(witness.add_checkpoint(&tree.body(0, 5))), 200);
    drop(witness);
    let witness = open(dir.path());
    assert_eq!(status(witness.add_checkpoint(&Tree::forked(2).body(5, 9))), 422);
    assert_eq!(status(witness.add_checkpoint(&tree.body(0, 9))), 409);
    assert_eq!(status(witness.add_checkpoint(&tree.body(5, 9))), 200);
}

/// The steps of a replacement are: the new file begun, written, flushed, renamed, the name flushed, the answer sent.
#[test]
fn an_end_at_any_step_leaves_the_record_before_or_after() {
    let tree = Tree::new();
    let name = sha256(b"log.example.org").to_string();
    let dir = directory();
    let witness = open(dir.path());
    witness.add_checkpoint(&tree.body(0, 5)).expect("cosigned");
    let records = dir.path().join("logs");
    let before = fs::read(records.join(&name)).expect("the record");
    witness.add_checkpoint(&tree.body(5, 9)).expect("cosigned, but say that the answer is lost");
    let after = fs::read(records.join(&name)).expect("the record");
    drop(witness);

    // Nothing of the new file, some of it, all of it; not yet renamed, so not cosigned: the record before is in force.
    for written in 0..=after.len() {
        fs::write(records.join(format!("{name}.new")), &after[..written]).expect("writes");
        fs::write(records.join(&name), &before).expect("writes");
        if written % 50 == 0 || written == after.len() {
            let witness = open(dir.path());
            assert_eq!(size(&witness), 5);
            assert_eq!(status(witness.add_checkpoint(&tree.body(5, 7))), 200, "{written} bytes were written");
        }
    }
    // Renamed, and the answer never sent: the log asks from what it knows, and gets the same tree cosigned again.
    fs::write(records.join(&name), &after).expect("writes");
    let witness = open(dir.path());
    assert_eq!(size(&witness), 9);
    assert_eq!(status(witness.add_checkpoint(&Tree::forked(6).body(5, 9))), 409);
    assert_eq!(status(witness.add_checkpoint(&Tree::forked(6).body(9, 9))), 422);
    assert_eq!(status(witness.add_checkpoint(&tree.body(9, 9))), 200);
}

#[test]
fn what_cannot_be_written_is_not_cosigned() {
    let dir = directory();
    let witness = open(dir.path());
    let tree = Tree::new();
    witness.add_checkpoint(&tree.body(0, 5)).expect("cosigned");
    // A directory stands where the new file would be begun, then where it would be renamed to.
    let record = dir.path().join("logs").join(sha256(b"log.example.org").to_string());
    let begun = record.with_extension("new");
    fs::create_dir(&begun).expect("made");
    assert!(matches!(witness.add_checkpoint(&tree.body(5, 9)), Err(Refused::Unavailable(_))));
    fs::remove_dir(&begun).expect("removed");
    fs::rename(&record, record.with_extension("away")).expect("moved");
    fs::create_dir(&record).expect("made");
    assert!(matches!(witness.add_checkpoint(&tree.body(5, 9)), Err(Refused::Unavailable(_))));
    assert_eq!(size(&witness), 5);
    fs::remove_dir(&record).expect("removed");
    assert_eq!(status(witness.add_checkpoint(&tree.body(5, 9))), 200);
}

#[test]
fn a_damaged_or_foreign_directory_is_refused() {
    let tree = Tree::new();
    let dir = directory();
    let witness = open(dir.path());
    witness.add_checkpoint(&tree.body(0, 5)).expect("cosigned");
    drop(witness);
    let record = dir.path().join("logs").join(sha256(b"log.example.org").to_string());
    let good = fs::read_to_string(&record).expect("the record");
    let key = || vec![Verifier::from_vkey(LOG_VKEY).expect("a vkey")];
    let refused = || {
        let home = Home::open(dir.path(), None).expect("opens");
        Witness::open(home, key(), then).err().expect("a damaged record")
    };
    for damaged in [String::new(), good.replacen("\n5\n", "\n4\n", 1), good[..good.len() - 20].to_owned()] {
        fs::write(&record, damaged).expect("writes");
        assert!(matches!(refused(), OpenError::Record { .. }));
    }
    fs::write(&record, &good).expect("writes");
    let other = Home::open(dir.path(), Some("x.example.org")).err().expect("another name");
    assert!(matches!(other, OpenError::OtherName { .. }), "{other}");
    let key_file = dir.path().join("witness.key");
    fs::remove_file(&key_file).expect("removed");
    let problem = Home::open(dir.path(), None).err().expect("no key").to_string();
    assert!(problem.ends_with("a new key would be a new witness"), "{problem}");
    assert!(!key_file.exists(), "and none is made");
}

#[test]
fn a_new_directory_gets_a_key_of_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a directory");
    let dir = folder.path().join("witness");
    assert!(matches!(Home::open(&dir, None), Err(OpenError::Nameless)));
    for bad in ["", "two words", "a+b", &"x".repeat(256)] {
        assert!(matches!(Home::open(&dir, Some(bad)), Err(OpenError::Name(_))), "{bad:?}");
    }
    let vkey = Home::open(&dir, Some("w.example.org")).expect("opens").signer().expect("a key").vkey();
    let mode = fs::metadata(dir.join("witness.key")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_to_string(dir.join("witness.vkey")).expect("there"), format!("{vkey}\n"));
    assert_eq!(Home::open(&dir, None).expect("opens").signer().expect("a key").vkey(), vkey);
    fs::write(folder.path().join("format"), "").expect("writes");
    assert!(matches!(Home::open(folder.path(), Some(NAME)), Err(OpenError::Log(_))), "that is a log's");
}

/// A witness on a free port of the loopback, until it is stopped.
struct Running {
    url: String,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Running {
    async fn start(dir: &Path) -> Self {
        Self::serve(routes(Arc::new(open(dir)))).await
    }

    async fn serve(routes: axum::Router) -> Self {
        let (listener, at) =
            http::bind("--http", "127.0.0.1:0".parse().expect("an address")).await.expect("binds");
        let (stop, stopping) = watch::channel(false);
        let limits = http::Limits { connections: 16, header_timeout: Duration::from_secs(30) };
        let served = tokio::spawn(http::serve(listener, routes, limits, stopping));
        Self { url: format!("http://{at}"), stop, served }
    }

    async fn stop(self) {
        self.stop.send(true).expect("it runs");
        self.served.await.expect("ends");
    }
}

/// The log's side, as the options of `bulla serve` make it.
#[derive(clap::Parser)]
struct Options {
    #[command(flatten)]
    witnesses: witnesses::Args,
}

fn cosigners(url: &str, fail: &str) -> Arc<Cosigners> {
    patient_cosigners(url, fail, "20s")
}

fn patient_cosigners(url: &str, fail: &str, deadline: &str) -> Arc<Cosigners> {
    let policy = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&policy, format!("witness w1 {VKEY} {url}/\nquorum w1\n")).expect("writes");
    let path = policy.path().to_str().expect("text");
    let options = ["log", "--witness-policy", path, "--witness-fail", fail, "--witness-deadline", deadline];
    let options = Options::try_parse_from(options).expect("options");
    witnesses::open(&options.witnesses).expect("opens").expect("a policy")
}

#[tokio::test]
async fn log_and_witness_over_http() {
    let dir = directory();
    let running = Running::start(dir.path()).await;
    let tree = Tree::new();
    let log = cosigners(&running.url, "closed");
    for size in [1, 2, 3, 8, 9, 31, 31] {
        assert_eq!(tree.gather(&log, size).await, Ok(1));
    }
    // A log that was restarted knows no size; a witness that was restarted knows it.
    let log = cosigners(&running.url, "closed");
    assert_eq!(tree.gather(&log, 40).await, Ok(1));
    running.stop().await;
    let running = Running::start(dir.path()).await;
    let log = cosigners(&running.url, "closed");
    assert_eq!(tree.gather(&log, 41).await, Ok(1));

    let monitor = reqwest::get(format!("{}/{}/checkpoint", running.url, sha256(b"log.example.org"))).await;
    let seen = monitor.expect("answers").text().await.expect("text");
    assert!(seen.starts_with(&tree.head(41).0.to_string()), "{seen}");

    // The same witness is asked by a log that was forked, and one that was put back from an old copy.
    let error = Tree::forked(20).gather(&log, 45).await.expect_err("a fork");
    assert!(error.contains("w1: answer 422: the witness has cosigned another tree of this log"), "{error}");
    let old = cosigners(&running.url, "open");
    assert_eq!(tree.gather(&old, 30).await, Ok(0), "open: published all the same, with an alarm");
    let standing = &old.standings()[0];
    assert_eq!(standing.alarms, 1);
    let last = standing.last_miss.as_deref().unwrap_or_default();
    assert_eq!(last, "the witness has size 41, the log only 30: was the log restored from an old copy?");
    running.stop().await;
}

#[tokio::test]
async fn the_answers_over_http_are_the_specified_ones() {
    let dir = directory();
    let running = Running::start(dir.path()).await;
    let client = reqwest::Client::new();
    let post = |body: Vec<u8>| {
        let sent = client.post(format!("{}/add-checkpoint", running.url)).body(body).send();
        async move {
            let answer = sent.await.expect("answers");
            let kind =
                answer.headers().get("content-type").map(|kind| kind.to_str().expect("text").to_owned());
            (answer.status().as_u16(), kind.unwrap_or_default(), answer.text().await.expect("text"))
        }
    };
    let plain = || "text/plain; charset=utf-8".to_owned();
    assert_eq!(post(FIRST.into()).await.0, 200);
    assert_eq!(post(THIRD.into()).await, (200, plain(), THIRD_ANSWER.to_owned()));
    assert_eq!(post(THIRD.into()).await, (409, "text/x.tlog.size".to_owned(), "3\n".to_owned()));
    let empty = "first line is not \"old <size>\"\n".to_owned();
    assert_eq!(post(Vec::new()).await, (400, plain(), empty));
    assert_eq!(post(vec![b'x'; MAX_BODY + 1]).await.0, 413);
    let get = |path: String| {
        let sent = client.get(format!("{}/{path}", running.url)).send();
        async move { sent.await.expect("answers").status().as_u16() }
    };
    let hash = sha256(b"log.example.org").to_string();
    assert_eq!(get(format!("{hash}/checkpoint")).await, 200);
    assert_eq!(get(format!("{}/checkpoint", hash.to_uppercase())).await, 404);
    assert_eq!(get(format!("{}/checkpoint", sha256(b"who.example.org"))).await, 404);
    assert_eq!(get("add-checkpoint".to_owned()).await, 405);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_record_costs_one_more_question() {
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::middleware::{Next, from_fn};
    use axum::response::IntoResponse as _;
    let dir = directory();
    let lose = Arc::new(AtomicBool::new(false));
    let losing = lose.clone();
    // For the log this is a witness that ended between its record and its answer.
    let loses = move |request: Request, next: Next| {
        let losing = losing.clone();
        async move {
            let answer = next.run(request).await;
            if losing.swap(false, Ordering::SeqCst) {
                StatusCode::BAD_GATEWAY.into_response()
            } else {
                answer
            }
        }
    };
    let running = Running::serve(routes(Arc::new(open(dir.path()))).layer(from_fn(loses))).await;
    let tree = Tree::new();
    let log = cosigners(&running.url, "closed");
    assert_eq!(tree.gather(&log, 5).await, Ok(1));
    lose.store(true, Ordering::SeqCst);
    let error = tree.gather(&log, 9).await.expect_err("lost");
    assert_eq!(error, "the witness quorum was not reached; w1: answer 502");
    // What the log knows of the witness is old now: the same checkpoint, or a later one, is asked for from there.
    assert_eq!(tree.gather(&log, 9).await, Ok(1));
    assert_eq!(tree.gather(&log, 10).await, Ok(1));
    lose.store(true, Ordering::SeqCst);
    tree.gather(&log, 12).await.expect_err("lost");
    running.stop().await;
    let running = Running::start(dir.path()).await;
    assert_eq!(tree.gather(&cosigners(&running.url, "closed"), 13).await, Ok(1));
    running.stop().await;
}

#[tokio::test]
async fn dead_slow_and_lying_witnesses_over_http() {
    use axum::routing::post;
    let tree = Tree::new();
    let (_, checkpoint) = tree.head(5);
    let stranger = CosignatureSigner::new(NAME, pair(77).0).expect("a name");
    let lie = add_checkpoint::response(&[stranger.cosign(&checkpoint, then()).expect("signs")]);
    let router = axum::Router::new()
        .route("/slow/add-checkpoint", post(std::future::pending::<String>))
        .route("/lying/add-checkpoint", post(move || std::future::ready(lie.clone())))
        .route("/long/add-checkpoint", post(|| async { "x".repeat(1 << 20) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let others = tokio::spawn(async move { axum::serve(listener, router).await });
    // A port that was just free: nobody listens.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("an address");
    let cases = [
        (format!("http://{dead}"), "onnection refused", "20s"),
        (format!("{url}/slow"), "no answer in time", "100ms"),
        (format!("{url}/lying"), "answer 200 has no good cosignature by its key", "20s"),
        (format!("{url}/long"), "its answer is longer than 65536 bytes", "20s"),
        (format!("{url}/nowhere"), "answer 404", "20s"),
    ];
    for (url, reason, deadline) in cases {
        let closed = patient_cosigners(&url, "closed", deadline);
        let error = tree.gather(&closed, 5).await.expect_err("closed");
        assert!(error.contains(reason), "{error}");
        let open = patient_cosigners(&url, "open", deadline);
        assert_eq!(tree.gather(&open, 5).await, Ok(0), "{reason}");
    }
    others.abort();
}

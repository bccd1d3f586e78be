//! The log's side against witnesses that are good, dead, slow or lying. The clock is Tokio's, paused: what would wait
//! ends at once, and how long it would have waited is exact.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use bulla_tlog::add_checkpoint::{self, Request, SIZE_CONTENT_TYPE};
use bulla_tlog::cosignature::CosignatureSigner;
use bulla_tlog::note::{Ed25519Signer, Note};
use bulla_tlog::policy::Policy;
use bulla_tlog::{Checkpoint, Edge, Hash, Plan, leaf_hash};
use bytes::Bytes;
use tokio::time::Instant;

use super::{Answer, Cosigners, FailMode, QuorumMissed, Transport};
use crate::BoxFuture;
use crate::source::ReadError;

const DEADLINE: Duration = Duration::from_secs(2);
const TIME: u64 = 1_700_000_000;
/// A worked example of C2SP tlog-witness: this request has this answer at [`TIME`].
const VECTOR_REQUEST: &str = "old 1\n\
    b0zBa09T1SWgwZKT33/LO8/pYkM9L11EIM0gP3bPRHQ=\n\
    TWeiXdefj9xddyYSvIC6pBJNEwLTlN+oOkY1ft3P77M=\n\
    \n\
    log.example.org\n\
    3\n\
    uR7rHeIPO61Oym6bEkiEIj/KWb3UC2xbXH4mdRZkUzI=\n\
    \n\
    \u{2014} log.example.org sdtYE4tMHHNkTJLYEgKD2kWfISwrLC+d5hUs3k+aCF3ajVXaVLscVz9Sj/LlhAC4i3TqZ80wM08FoES/pcB2ZZF8Xws=\n";
const VECTOR_ANSWER: &str = "\u{2014} witness.example.org DqEmZAAAAABlU/EAFzhxPelEDb0cuiUPPz860Lu//WSQu6nns+iNH8qjjlXcYVksAYzZciSSGn1aDtwhN3aqK9E1mu7HO5hG42rQDQ==\n";
const VECTOR_LEAVES: [&str; 3] = [
    "/JVcjzCNIzmijMOQSik6uHuVgy1mtQR6IXaA/71lTys=",
    "b0zBa09T1SWgwZKT33/LO8/pYkM9L11EIM0gP3bPRHQ=",
    "TWeiXdefj9xddyYSvIC6pBJNEwLTlN+oOkY1ft3P77M=",
];

fn log_key() -> Ed25519Signer {
    let seed: Vec<u8> = (0..32).collect();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed is a key");
    Ed25519Signer::new("log.example.org", pair).expect("a name")
}

fn signer(name: &str, first: u8) -> CosignatureSigner {
    let seed: Vec<u8> = (first..first + 32).collect();
    CosignatureSigner::new(name, Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed is a key"))
        .expect("a name")
}

/// A log that only has leaf hashes.
struct Tree(Vec<Hash>);

impl Tree {
    fn vector() -> Self {
        Self(VECTOR_LEAVES.iter().map(|hash| Hash::from_base64(hash).expect("a hash")).collect())
    }

    fn of(size: u64) -> Self {
        Self((0..size).map(|leaf| leaf_hash(leaf.to_string().as_bytes())).collect())
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut edge = Edge::new();
        for leaf in leaves {
            edge.append(*leaf);
        }
        edge.root()
    }

    fn head(&self, size: usize) -> (Note, Checkpoint) {
        let root = Self::root(&self.0[..size]);
        let origin = "log.example.org".to_owned();
        let checkpoint = Checkpoint { origin, size: size as u64, root, extensions: Vec::new() };
        (checkpoint.sign(&log_key()).expect("signs"), checkpoint)
    }

    async fn gather(&self, cosigners: &Cosigners, size: usize) -> Result<Vec<String>, QuorumMissed> {
        let (note, checkpoint) = self.head(size);
        let leaves = self.0.clone();
        let prove = move |old, new| {
            let subtree = |at: &bulla_tlog::Node| {
                let width = 1_usize << at.level;
                let start = at.index as usize * width;
                Self::root(&leaves[start..start + width])
            };
            let plan = Plan::consistency(old, new).expect("old is not above new");
            let proof = plan.finish(&plan.nodes().iter().map(subtree).collect::<Vec<_>>());
            Box::pin(std::future::ready(Ok(proof))) as BoxFuture<'static, Result<Vec<Hash>, ReadError>>
        };
        let gathered = cosigners.gather(&note, &checkpoint, &prove).await?;
        Ok(gathered.iter().map(|line| line.name.clone()).collect())
    }
}

/// What a witness does with a request.
enum Manner {
    /// As the protocol says, from the size and root it has.
    Honest { signers: Vec<CosignatureSigner>, known: Option<(u64, Hash)> },
    /// Its machine refuses connections.
    Dead,
    /// It never answers.
    Silent,
    /// It always answers this.
    Says(u16, Option<&'static str>, String),
    /// It names a size that is one off from whatever it is told.
    Restless,
}

impl Manner {
    fn honest(name: &str, seed: u8) -> Self {
        Self::Honest { signers: vec![signer(name, seed)], known: None }
    }

    fn says(status: u16, body: impl Into<String>) -> Self {
        Self::Says(status, None, body.into())
    }

    fn size(known: u64) -> Self {
        Self::Says(409, Some(SIZE_CONTENT_TYPE), add_checkpoint::size_body(known))
    }
}

/// All witnesses by URL, and what they were sent.
#[derive(Default)]
struct World {
    witnesses: Mutex<Vec<(String, Manner)>>,
    requests: Mutex<Vec<(String, String)>>,
}

impl World {
    fn set(&self, name: &str, manner: Manner) {
        let url = format!("http://{name}/add-checkpoint");
        let mut witnesses = self.witnesses.lock().expect("no panic");
        witnesses.retain(|(other, _)| *other != url);
        witnesses.push((url, manner));
    }

    fn requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.requests.lock().expect("no panic"));
        requests.into_iter().map(|(_, body)| body).collect()
    }

    fn answer(&self, url: &str, body: &[u8]) -> Option<Result<Answer, String>> {
        let answer = |status, kind: Option<&str>, body: String| {
            Some(Ok(Answer { status, content_type: kind.map(str::to_owned), body: body.into() }))
        };
        let body_text = String::from_utf8(body.to_vec()).expect("text");
        self.requests.lock().expect("no panic").push((url.to_owned(), body_text));
        let request = Request::parse(body).expect("a request");
        let mut witnesses = self.witnesses.lock().expect("no panic");
        let (_, manner) = witnesses.iter_mut().find(|(other, _)| other == url).expect("a known URL");
        match manner {
            Manner::Dead => Some(Err("connection refused".to_owned())),
            Manner::Silent => None,
            Manner::Says(status, kind, body) => answer(*status, *kind, body.clone()),
            Manner::Restless => answer(
                409,
                Some("Text/X.tlog.size; charset=utf-8"),
                add_checkpoint::size_body(request.old + 1),
            ),
            Manner::Honest { signers, known } => {
                let (checkpoint, _) =
                    Checkpoint::open(&request.checkpoint, log_key().verifier()).expect("signed");
                match request.judge(&checkpoint, *known) {
                    Ok(()) => {
                        *known = Some((checkpoint.size, checkpoint.root));
                        let lines: Vec<_> = signers
                            .iter()
                            .map(|signer| signer.cosign(&checkpoint, TIME).expect("signs"))
                            .collect();
                        answer(200, None, add_checkpoint::response(&lines))
                    }
                    Err(add_checkpoint::Refusal::Conflict { known, .. }) => {
                        answer(409, Some(SIZE_CONTENT_TYPE), add_checkpoint::size_body(known))
                    }
                    Err(refusal) => answer(refusal.status(), None, format!("{refusal}\n")),
                }
            }
        }
    }
}

impl Transport for World {
    fn post<'a>(&'a self, url: &'a str, body: Bytes, _: Duration) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move {
            match self.answer(url, &body) {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

/// A world of honest witnesses `a`, `b`, … and a policy that asks for `quorum` of them.
fn world(names: &[&str], quorum: &str, mode: FailMode) -> (Arc<World>, Cosigners) {
    let world = Arc::new(World::default());
    let mut policy = String::new();
    for (seed, name) in (32..).zip(names) {
        let vkey = signer(name, seed).vkey();
        writeln!(policy, "witness {name} {vkey} http://{name}/").expect("writes to memory");
        world.set(name, Manner::honest(name, seed));
    }
    let everyone = names.join(" ");
    writeln!(policy, "group town {quorum} {everyone}\nquorum town").expect("writes to memory");
    let policy = Policy::parse(&policy).expect("a policy");
    let cosigners = Cosigners::new(policy, mode, DEADLINE, world.clone()).expect("all have URLs");
    (world, cosigners)
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    (future.await, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_vector_byte_by_byte() {
    let (world, cosigners) = world(&["witness.example.org"], "all", FailMode::Closed);
    let tree = Tree::vector();
    tree.gather(&cosigners, 1).await.expect("cosigned");
    let (note, checkpoint) = tree.head(3);
    let prove = |_, _| {
        let proof = VECTOR_LEAVES[1..].iter().map(|hash| Hash::from_base64(hash).expect("a hash")).collect();
        Box::pin(std::future::ready(Ok(proof))) as BoxFuture<'static, Result<Vec<Hash>, ReadError>>
    };
    let gathered = cosigners.gather(&note, &checkpoint, &prove).await.expect("cosigned");
    assert_eq!(add_checkpoint::response(&gathered), VECTOR_ANSWER);
    let requests = world.requests();
    assert!(
        requests[0].starts_with("old 0\n\nlog.example.org\n1\n"),
        "no proof from nothing: {}",
        requests[0]
    );
    assert_eq!(requests[1..], [VECTOR_REQUEST]);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_log_learns_the_size_from_one_409() {
    let (first_world, cosigners) = world(&["witness.example.org"], "all", FailMode::Closed);
    let tree = Tree::vector();
    tree.gather(&cosigners, 1).await.expect("cosigned");
    let restarted = Cosigners::new(cosigners.policy.clone(), FailMode::Closed, DEADLINE, first_world.clone())
        .expect("as before");
    first_world.requests();
    assert_eq!(tree.gather(&restarted, 3).await.expect("cosigned"), ["witness.example.org"]);
    let requests = first_world.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].starts_with("old 0\n\n"));
    assert_eq!(requests[1], VECTOR_REQUEST);
    tree.gather(&restarted, 3).await.expect("the same head again");
    assert!(first_world.requests()[0].starts_with("old 3\n\n"), "no proof between equal sizes");
}

#[tokio::test(start_paused = true)]
async fn open_waits_once_for_a_silent_witness_and_not_at_all_while_it_rests() {
    let (world, cosigners) = world(&["a"], "all", FailMode::Open);
    let tree = Tree::of(20);
    world.set("a", Manner::Silent);
    let (gathered, took) = timed(tree.gather(&cosigners, 5)).await;
    assert_eq!((gathered, took), (Ok(Vec::new()), DEADLINE));
    for size in 6..10 {
        let (gathered, took) = timed(tree.gather(&cosigners, size)).await;
        assert_eq!((gathered, took), (Ok(Vec::new()), Duration::ZERO));
    }
    assert_eq!(world.requests().len(), 1, "it rests");

    // Rested, it is tried without being waited for, once at a time.
    tokio::time::advance(Duration::from_secs(1)).await;
    for size in 10..14 {
        let (_, took) = timed(tree.gather(&cosigners, size)).await;
        assert_eq!(took, Duration::ZERO);
        tokio::task::yield_now().await;
    }
    assert_eq!(world.requests().len(), 1);
    tokio::time::advance(DEADLINE).await;
    tokio::task::yield_now().await;
    assert_eq!(cosigners.standings()[0].failures, 2);
    assert_eq!(cosigners.standings()[0].last_miss.as_deref(), Some("no answer in time"));

    // Back again: the first answer after its rest makes it one that is waited for.
    world.set("a", Manner::honest("a", 32));
    tokio::time::advance(Duration::from_secs(2)).await;
    tree.gather(&cosigners, 14).await.expect("open");
    while cosigners.standings()[0].failures > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tree.gather(&cosigners, 15).await, Ok(vec!["a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn closed_refuses_without_a_quorum_and_goes_on_at_once_when_it_is_back() {
    let (world, cosigners) = world(&["a", "b"], "all", FailMode::Closed);
    let tree = Tree::of(20);
    world.set("b", Manner::Dead);
    let (missed, took) = timed(tree.gather(&cosigners, 5)).await;
    let message = "the witness quorum was not reached; a: cosigned; b: connection refused";
    assert_eq!(missed.expect_err("b is dead").to_string(), message);
    assert_eq!(took, Duration::ZERO, "nothing to wait for once the quorum is out of reach");
    world.set("b", Manner::Silent);
    let (missed, took) = timed(tree.gather(&cosigners, 5)).await;
    assert_eq!(missed.expect_err("b is silent").missed, [("b".to_owned(), "no answer in time".to_owned())]);
    assert_eq!(took, DEADLINE);
    world.set("b", Manner::honest("b", 33));
    assert_eq!(tree.gather(&cosigners, 6).await.expect("both, in the policy's order"), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_quorum_does_not_wait_for_the_rest() {
    let (world, cosigners) = world(&["a", "b", "c"], "2", FailMode::Closed);
    world.set("b", Manner::Silent);
    let tree = Tree::of(20);
    for size in 1..4 {
        let (gathered, took) = timed(tree.gather(&cosigners, size)).await;
        assert_eq!(
            (gathered.expect("two of three"), took),
            (vec!["a".to_owned(), "c".to_owned()], Duration::ZERO)
        );
    }
    // Seven: the silent one is in its first exchange still, and has been sent nothing more.
    assert_eq!(world.requests().len(), 7);
    tokio::time::advance(DEADLINE).await;
    tokio::task::yield_now().await;
    assert_eq!(cosigners.standings()[1].failures, 1, "the exchange nobody waited for was noted");
    tree.gather(&cosigners, 4).await.expect("two of three");
    assert_eq!(world.requests().len(), 2, "and it rests, for the quorum does not depend on it");
}

#[tokio::test(start_paused = true)]
async fn lies_are_not_taken_for_cosignatures() {
    let tree = Tree::of(20);
    let (_, checkpoint) = tree.head(5);
    let (_, other) = tree.head(4);
    let own = |checkpoint: &Checkpoint| {
        add_checkpoint::response(&[signer("a", 32).cosign(checkpoint, TIME).expect("signs")])
    };
    let stranger = add_checkpoint::response(&[signer("a", 77).cosign(&checkpoint, TIME).expect("signs")]);
    let no_good = "answer 200 has no good cosignature by its key";
    let fork = |status| {
        format!("answer {status}: the witness has cosigned another tree of this log than the one of size 5")
    };
    let cases: Vec<(Manner, String, bool, usize)> = vec![
        (Manner::says(200, stranger), no_good.into(), false, 1),
        (Manner::says(200, own(&other)), no_good.into(), false, 1),
        (
            Manner::says(200, "hello\n"),
            "answer 200 is malformed: not a signature line: \u{2014} <name> <base64> was expected".into(),
            false,
            1,
        ),
        (
            Manner::says(200, "x".repeat(70_000)),
            "answer 200 is malformed: body is 70000 bytes, at most 65536 are read".into(),
            false,
            1,
        ),
        (Manner::says(409, "4\n"), fork(409), true, 1),
        (Manner::says(422, "no\n"), fork(422), true, 1),
        (
            Manner::size(6),
            "the witness has size 6, the log only 5: was the log restored from an old copy?".into(),
            true,
            1,
        ),
        (
            Manner::size(0),
            "answer 409: it says that it has another size each time it is asked, now 0".into(),
            false,
            1,
        ),
        (Manner::Says(409, Some(SIZE_CONTENT_TYPE), "many".into()), "answer 409".into(), false, 1),
        (
            Manner::Restless,
            "answer 409: it says that it has another size each time it is asked, now 3".into(),
            false,
            3,
        ),
        (
            Manner::says(403, ""),
            "answer 403: the witness does not trust the log's key, it needs the log's vkey".into(),
            false,
            1,
        ),
        (
            Manner::says(404, ""),
            "answer 404: the witness does not know the log, or its URL is wrong".into(),
            false,
            1,
        ),
        (Manner::says(429, ""), "answer 429: the witness is asked too often".into(), false, 1),
        (Manner::says(500, ""), "answer 500".into(), false, 1),
    ];
    for (manner, reason, alarm, requests) in cases {
        for mode in [FailMode::Closed, FailMode::Open] {
            let (world, cosigners) = world(&["a"], "all", mode);
            let again = match &manner {
                Manner::Says(status, kind, body) => Manner::Says(*status, *kind, body.clone()),
                _ => Manner::Restless,
            };
            world.set("a", again);
            let (gathered, took) = timed(tree.gather(&cosigners, 5)).await;
            assert_eq!(took, Duration::ZERO, "{reason}");
            match mode {
                FailMode::Open => assert_eq!(gathered, Ok(Vec::new()), "{reason}"),
                FailMode::Closed => {
                    let missed = gathered.expect_err("no cosignature").missed;
                    assert_eq!(missed, [("a".to_owned(), reason.clone())]);
                }
            }
            assert_eq!(cosigners.standings()[0].alarms, u64::from(alarm), "{reason}");
            assert_eq!(world.requests().len(), requests, "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_forked_log_is_told_by_an_honest_witness() {
    let (_world, cosigners) = world(&["a"], "all", FailMode::Closed);
    Tree::of(20).gather(&cosigners, 5).await.expect("cosigned");
    let mut forked = Tree::of(20);
    forked.0[2] = leaf_hash(b"another");
    forked.gather(&cosigners, 9).await.expect_err("not the same log");
    assert_eq!(cosigners.standings()[0].alarms, 1);
    assert_eq!(cosigners.standings()[0].acknowledged, 5);
}

#[tokio::test(start_paused = true)]
async fn asked_too_often_it_is_left_alone_even_when_closed() {
    let (world, cosigners) = world(&["a"], "all", FailMode::Closed);
    world.set("a", Manner::says(429, ""));
    let tree = Tree::of(20);
    tree.gather(&cosigners, 5).await.expect_err("pushed back");
    let missed = tree.gather(&cosigners, 5).await.expect_err("left alone");
    let reason = "not waited for after answer 429: the witness is asked too often";
    assert_eq!(missed.missed, [("a".to_owned(), reason.to_owned())]);
    assert_eq!(world.requests().len(), 1);
    world.set("a", Manner::honest("a", 32));
    tokio::time::advance(Duration::from_secs(1)).await;
    tree.gather(&cosigners, 5).await.expect("asked again after its rest");
}

#[tokio::test(start_paused = true)]
async fn rests_grow_up_to_a_minute() {
    let (world, cosigners) = world(&["a"], "all", FailMode::Open);
    world.set("a", Manner::Dead);
    let tree = Tree::of(20);
    let mut rests = Vec::new();
    for _ in 0..9 {
        let before = cosigners.standings()[0].failures;
        let begun = Instant::now();
        while cosigners.standings()[0].failures == before {
            tree.gather(&cosigners, 5).await.expect("open");
            tokio::task::yield_now().await;
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        rests.push(begun.elapsed().as_secs());
    }
    assert_eq!(rests, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn one_server_with_two_keys_is_asked_once() {
    let world = Arc::new(World::default());
    let (old, new) = (signer("w", 32), signer("w", 64));
    let policy = format!(
        "witness old {} http://w\nwitness new {} http://w\ngroup both all old new\nquorum both\n",
        old.vkey(),
        new.vkey()
    );
    world.set("w", Manner::Honest { signers: vec![new, old], known: None });
    let policy = Policy::parse(&policy).expect("a policy");
    let cosigners =
        Cosigners::new(policy, FailMode::Closed, DEADLINE, world.clone()).expect("both have URLs");
    assert_eq!(Tree::of(20).gather(&cosigners, 5).await.expect("both keys"), ["w", "w"]);
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_cannot_be_read_is_not_the_witness_s_fault() {
    let (_world, cosigners) = world(&["a"], "all", FailMode::Closed);
    let tree = Tree::of(20);
    tree.gather(&cosigners, 5).await.expect("cosigned");
    let (note, checkpoint) = tree.head(9);
    let prove = |_, _| {
        let error = Err(ReadError::corrupt("tile is 3 bytes"));
        Box::pin(std::future::ready(error)) as BoxFuture<'static, Result<Vec<Hash>, ReadError>>
    };
    let missed = cosigners.gather(&note, &checkpoint, &prove).await.expect_err("no proof");
    assert!(
        missed.to_string().ends_with("no consistency proof to send: corrupt: tile is 3 bytes"),
        "{missed}"
    );
    assert_eq!(cosigners.standings()[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_nobody_asks_nobody_and_one_without_urls_is_refused() {
    let world = Arc::new(World::default());
    let vkey = signer("w", 32).vkey();
    let new = |policy: &str| {
        let policy = Policy::parse(policy).expect("a policy");
        Cosigners::new(policy, FailMode::Closed, DEADLINE, world.clone())
    };
    let nobody = new(&format!("witness w {vkey} http://w\nquorum none\n")).expect("nobody is needed");
    assert_eq!(Tree::of(20).gather(&nobody, 5).await, Ok(Vec::new()));
    assert!(world.requests().is_empty());
    let refused = new(&format!("witness w {vkey}\nquorum w\n")).err().expect("no URL");
    assert_eq!(refused.to_string(), "the quorum needs witnesses without a URL: w");
}

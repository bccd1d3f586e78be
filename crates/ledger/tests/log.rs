//! The life of a log: entries, duplicates, proofs, restarts, freezing, pushback.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use bulla_ledger::storage::Storage;
use bulla_ledger::storage::file::{FileStorage, Format};
use bulla_ledger::storage::memory::Memory;
use bulla_ledger::{AddError, Addition, IndexAt, Log, MAX_ASIDE, MAX_ORDER, Options};
use bulla_tlog::checkpoint::Checkpoint;
use bulla_tlog::note::{Ed25519Signer, Note, SignError, Signer, Verifier};
use bulla_tlog::rfc6962::TreeHeadSigner;
use bulla_tlog::{TileId, right_edge};
use bytes::Bytes;
use common::{
    ORIGIN, addition, check_acknowledged, check_beside, check_prefix, key, numbered, options, start,
};
use futures_util::FutureExt as _;

fn leaf(number: usize) -> Bytes {
    Bytes::from(format!("leaf {number} {}", "x".repeat(number % 700)))
}

fn open(dir: &std::path::Path) -> Arc<FileStorage> {
    let format = Format::new(ORIGIN, key().verifier().log_id(), 1_700_000_000);
    Arc::new(FileStorage::open(&dir.join("log"), &format).expect("opens"))
}

async fn start_in(dir: &std::path::Path) -> Log {
    Log::start(open(dir), options(IndexAt::Dir(dir.join("index")))).await.expect("starts")
}

#[tokio::test]
async fn empty_log_has_a_signed_checkpoint() {
    let log = start(Arc::new(Memory::default())).await.expect("starts");
    let published = log.reader().published();
    let note = String::from_utf8(published.note.to_vec()).expect("is text");
    let (checkpoint, _) = Checkpoint::open(&note, key().verifier()).expect("is signed");
    assert_eq!((checkpoint.size, checkpoint.root), (0, bulla_tlog::empty_root()));
    assert_eq!(log.reader().entry(0).await.expect("reads"), None);
}

#[tokio::test]
async fn duplicates_have_the_first_index_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = start_in(dir.path()).await;
    let first = log.add(leaf(1)).await.expect("adds");
    log.add(leaf(2)).await.expect("adds");
    let again = log.add(leaf(1)).await.expect("answers");
    assert_eq!((first.index, first.duplicate, again.index, again.duplicate), (0, false, 0, true));
    log.stop().await.expect("stops");
    drop(log);
    let log = start_in(dir.path()).await;
    let again = log.add(leaf(2)).await.expect("answers");
    assert_eq!((again.index, again.duplicate, again.published.size), (1, true, 2));
    log.stop().await.expect("stops");
    drop(log);
    // The index may be deleted: it grows back.
    std::fs::remove_dir_all(dir.path().join("index")).expect("removes");
    let log = start_in(dir.path()).await;
    assert!(log.add(leaf(1)).await.expect("answers").duplicate);
}

/// Identical leaves at the same moment: one is first, all have its index.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_duplicates_agree() {
    let log = start(Arc::new(Memory::default())).await.expect("starts");
    let tasks: Vec<_> = (0..400)
        .map(|i| {
            let log = log.clone();
            tokio::spawn(async move { log.add(leaf(i % 10)).await.expect("adds") })
        })
        .collect();
    let mut firsts = 0;
    let mut index_of = std::collections::HashMap::new();
    for (i, task) in tasks.into_iter().enumerate() {
        let sequenced = task.await.expect("ends");
        firsts += usize::from(!sequenced.duplicate);
        assert_eq!(*index_of.entry(i % 10).or_insert(sequenced.index), sequenced.index);
    }
    assert_eq!((firsts, log.reader().published().size), (10, 10));
}

/// Equal leaves that have their indexes in them, at the same moment and among others: each has its own, in the tree and
/// after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbered_leaves_have_their_index_in_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = start_in(dir.path()).await;
    let template = leaf(3);
    let tasks: Vec<_> = (0..600_usize)
        .map(|i| {
            let (log, leaf) = (log.clone(), template.clone());
            let index_at = (i % 3 > 0).then_some(i % (leaf.len() - 4));
            tokio::spawn(async move {
                match index_at {
                    Some(at) => (log.add_numbered(leaf, at).await.expect("adds"), Some(at)),
                    None => (log.add(leaf).await.expect("adds"), None),
                }
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for task in tasks {
        let (sequenced, index_at) = task.await.expect("ends");
        assert!(index_at.is_none() || !sequenced.duplicate);
        let leaf = index_at.map(|at| numbered(&template, at, sequenced.index));
        acknowledged.push((sequenced.index, leaf.unwrap_or_else(|| template.clone())));
    }
    let mut indexes: Vec<_> = acknowledged.iter().map(|(index, _)| *index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!((indexes.len(), log.reader().published().size), (401, 401));
    check_acknowledged(&log, &acknowledged).await;
    log.stop().await.expect("stops");
    drop(log);
    let log = start_in(dir.path()).await;
    check_acknowledged(&log, &acknowledged).await;
    let at = template.len() - 4;
    let refused = log.add_numbered(template.clone(), at).await.err();
    assert_eq!(refused, Some(AddError::NoPlace { len: template.len(), index_at: at }));
    let refused = log.add_numbered(template.clone(), usize::MAX).await.err();
    assert_eq!(refused, Some(AddError::NoPlace { len: template.len(), index_at: usize::MAX }));
}

/// A log whose signatures say when they were made goes on from the last stored one, whatever the clock says now, and
/// from the time of its last leaf when a crash forgot the checkpoint.
fn tree_head_key() -> Arc<EcdsaKeyPair> {
    Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
}

/// Of a log that signs tree heads with that key, by that clock.
fn tree_heads(key: &Arc<EcdsaKeyPair>, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Options {
    let spki = key.public_key().as_der().expect("DER").as_ref().to_vec();
    let key = key.clone();
    let sign = move |message: &[u8]| {
        let signed = key.sign(&SystemRandom::new(), message).map_err(SignError::new)?;
        Ok(signed.as_ref().to_vec())
    };
    let signer = TreeHeadSigner::new(ORIGIN, &spki, sign, clock).expect("a signer");
    let verifier = signer.verifier().clone();
    Options::new(Arc::new(signer), verifier, IndexAt::Memory)
}

/// When the checkpoint in force says that it was signed, Unix milliseconds.
fn signed_at(log: &Log, verifier: &Verifier) -> u64 {
    let note = log.reader().published().note.clone();
    let note = Note::parse(std::str::from_utf8(&note).expect("is text")).expect("is a note");
    verifier.signed_at(&note).expect("is signed")
}

#[tokio::test]
async fn times_of_tree_heads_do_not_go_back_over_restarts() {
    let key = tree_head_key();
    let options = |now: u64| tree_heads(&key, move || now);
    let signed_at = |log: &Log| signed_at(log, &options(0).verifier);
    let storage = Arc::new(Memory::default());
    let future = 4_000_000_000_000;
    let log = Log::start(storage.clone(), options(future)).await.expect("starts");
    log.add(leaf(1)).await.expect("adds");
    assert_eq!(signed_at(&log), future);
    log.stop().await.expect("stops");
    let log = Log::start(storage.clone(), options(7)).await.expect("starts");
    log.add(leaf(2)).await.expect("adds");
    assert_eq!(signed_at(&log), future);
    log.stop().await.expect("stops");

    // Not stopped: the stored checkpoint is that of the empty tree.
    let storage = Arc::new(Memory::default());
    let log = Log::start(storage.clone(), options(7)).await.expect("starts");
    log.add(leaf(1)).await.expect("adds");
    let at = log.reader().integrated_at(0).await.expect("reads").expect("a time");
    drop(log);
    let log = Log::start(storage, options(7)).await.expect("starts");
    assert_eq!(signed_at(&log), at * 1000);
}

/// Crosses bundle and tile-level borders, with proofs for every leaf at every published size, restarts
/// included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grows_over_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    let mut seen = Vec::new();
    for run in 0..4 {
        let log = start_in(dir.path()).await;
        check_acknowledged(&log, &acknowledged).await;
        check_prefix(&log, &seen).await;
        let tasks: Vec<_> = (0..173)
            .map(|i| {
                let (log, leaf) = (log.clone(), leaf(run * 1000 + i));
                tokio::spawn(async move { (log.add(leaf.clone()).await.expect("adds"), leaf) })
            })
            .collect();
        for task in tasks {
            let (sequenced, leaf) = task.await.expect("ends");
            seen.push((sequenced.published.size, sequenced.published.root));
            acknowledged.push((sequenced.index, leaf));
        }
        check_acknowledged(&log, &acknowledged).await;
        check_prefix(&log, &seen).await;
        for id in right_edge(log.reader().published().size) {
            for width in 1..=id.width {
                let narrower = TileId { width, ..id };
                assert!(log.reader().tile(narrower).await.expect("reads").is_some(), "{}", narrower.path());
            }
            let wider = TileId { width: id.width + 1, ..id };
            assert!(log.reader().tile(wider).await.expect("reads").is_none(), "{}", wider.path());
        }
        log.stop().await.expect("stops");
    }
}

#[tokio::test]
async fn frozen_log_stays_frozen() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = start_in(dir.path()).await;
    log.add(leaf(1)).await.expect("adds");
    let last = log.freeze(1_700_000_000).await.expect("freezes");
    assert!(String::from_utf8_lossy(&last.note).contains("Log frozen"));
    assert_eq!(log.add(leaf(2)).await.err(), Some(AddError::Frozen));
    drop(log);
    let log = start_in(dir.path()).await;
    assert!(log.status().frozen);
    assert_eq!(log.add(leaf(2)).await.err(), Some(AddError::Frozen));
    assert_eq!(log.reader().published().note, last.note);
    check_acknowledged(&log, &[(0, leaf(1))]).await;
}

/// What came with a leaf and when it was integrated is read again: from memory, from storage, after a stop, after a
/// crash, at every width of the last bundle.
#[tokio::test]
async fn what_is_beside_a_leaf_stays_there() {
    let mut dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    for (from, stopped) in [(0, true), (3, false), (255, true), (256, false), (600, true), (601, false)] {
        let log = start_in(dir.path()).await;
        check_beside(&log, &acknowledged).await;
        for number in from..from + 140 {
            let leaf = leaf(number);
            let sequenced = log.add(addition(&leaf)).await.expect("adds");
            if !sequenced.duplicate {
                acknowledged.push((sequenced.index, leaf));
            }
        }
        check_beside(&log, &acknowledged).await;
        let size = acknowledged.len() as u64;
        assert_eq!(log.reader().integrated_before(0).await.expect("searches"), 0);
        assert_eq!(log.reader().integrated_before(u64::MAX).await.expect("searches"), size);
        let last = log.reader().integrated_at(size - 1).await.expect("reads").expect("is there");
        let before = log.reader().integrated_before(last).await.expect("searches");
        assert!(before < size && log.reader().integrated_at(before).await.expect("reads") == Some(last));
        assert_eq!(log.reader().integrated_at(size).await.expect("reads"), None);
        assert_eq!(log.reader().root(size).await.expect("computes"), log.reader().published().root);
        assert_eq!(log.reader().root(0).await.expect("computes"), bulla_tlog::empty_root());
        let first = bulla_tlog::leaf_hash(&acknowledged[0].1);
        assert_eq!(log.reader().root(1).await.expect("computes"), first);
        assert!(log.reader().root(size + 1).await.is_err());
        // What a killed process leaves is settled in part only: the rest is in the journal alone.
        let left_behind = tempfile::tempdir().expect("a directory");
        if !stopped {
            copy(dir.path(), left_behind.path());
        }
        log.stop().await.expect("stops");
        drop(log);
        if !stopped {
            dir = left_behind;
        }
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for file in std::fs::read_dir(from).expect("lists") {
        let (file, to) = (file.expect("lists"), to.to_owned());
        let to = to.join(file.file_name());
        if file.file_type().expect("has one").is_dir() {
            std::fs::create_dir_all(&to).expect("makes");
            copy(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), &to).expect("copies");
        }
    }
}

/// Leaves added together are in one commit, whatever else arrives; duplicates among them have their first index.
#[tokio::test]
async fn leaves_added_together_follow_each_other() {
    let log = start(Arc::new(Memory::default())).await.expect("starts");
    log.add(leaf(5)).await.expect("adds");
    let together = |from: usize| (from..from + 10).map(|number| addition(&leaf(number))).collect::<Vec<_>>();
    let (first, second) = tokio::join!(log.add_all(together(0)), log.add_all(together(100)));
    for (answers, duplicates) in [(first.expect("adds"), 1), (second.expect("adds"), 0)] {
        let new: Vec<u64> = answers.iter().filter(|one| !one.duplicate).map(|one| one.index).collect();
        assert_eq!(new.len(), 10 - duplicates);
        assert!(new.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{new:?}");
    }
    let twice = log.add_all(vec![leaf(70).into(), leaf(70).into()]).await.expect("adds");
    assert_eq!((twice[0].index, twice[0].duplicate, twice[1].duplicate), (twice[1].index, false, true));
    let size = log.reader().published().size;
    let oversized = Addition { leaf: leaf(1), aside: vec![0; MAX_ASIDE + 1].into() };
    assert_eq!(log.add(oversized).await.err(), Some(AddError::LongAside { len: MAX_ASIDE + 1 }));
    let many = vec![Addition { leaf: leaf(1), aside: vec![0; MAX_ASIDE].into() }; 8];
    let bytes = 8 * (MAX_ASIDE + leaf(1).len());
    assert!(bytes > MAX_ORDER);
    assert_eq!(log.add_all(many).await.err(), Some(AddError::LongOrder { bytes }));
    let refused = log.add_all(vec![leaf(90).into(), Bytes::new().into()]).await.err();
    assert_eq!((refused, log.reader().published().size), (Some(AddError::Empty), size));
}

#[tokio::test]
async fn refusals_leave_no_trace() {
    let log = start(Arc::new(Memory::default())).await.expect("starts");
    assert_eq!(log.add(Bytes::new()).await.err(), Some(AddError::Empty));
    assert_eq!(log.add(Bytes::from(vec![1; 65_536])).await.err(), Some(AddError::TooLong { len: 65_536 }));
    assert_eq!(log.reader().published().size, 0);
    assert!(log.add(Bytes::from(vec![1; 65_535])).await.is_ok(), "the longest leaf fits");
    log.stop().await.expect("stops");
    assert_eq!(log.add(leaf(1)).await.err(), Some(AddError::Stopping));
    assert_eq!(log.reader().published().size, 1);
}

/// What was accepted before a stop is answered by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_answers_what_was_accepted() {
    let log = start(Arc::new(Memory::default())).await.expect("starts");
    let tasks: Vec<_> = (0..500)
        .map(|i| {
            let log = log.clone();
            tokio::spawn(async move { log.add(leaf(i)).await })
        })
        .collect();
    log.stop().await.expect("stops");
    let mut added = 0;
    for task in tasks {
        match task.await.expect("ends") {
            Ok(_) => added += 1,
            Err(error) => assert_eq!(error, AddError::Stopping),
        }
    }
    assert_eq!(log.reader().published().size, added);
}

#[tokio::test]
async fn full_queue_pushes_back() {
    let storage = Arc::new(Memory::default());
    let mut options = options(IndexAt::Memory);
    options.queue = 4;
    let log = Log::start(storage, options).await.expect("starts");
    // On one thread no answer is read before all were asked, so the queue must fill or be drained.
    let asked: Vec<_> = (0..2000).map(|i| log.add(leaf(i))).collect();
    let answers = futures_util::future::join_all(asked).await;
    let refused = answers.iter().filter(|answer| answer.as_ref().err() == Some(&AddError::Full)).count();
    let added = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert_eq!(refused as u64 + added, 2000);
    assert_eq!(log.reader().published().size, added);
    assert!(refused > 0, "a queue of 4 does not hold 2000");
}

#[tokio::test]
async fn a_barrier_waits_for_what_nobody_waits_for() {
    let log = start(Arc::new(Memory::default())).await.expect("starts");
    log.barrier().await.expect("there is nothing to wait for");
    for size in 1..=20 {
        let answer = log.add(leaf(size)).now_or_never();
        assert!(answer.is_none(), "on one thread nobody has published it yet");
        log.barrier().await.expect("waits");
        assert_eq!(log.reader().published().size, size as u64);
    }
    log.freeze(7).await.expect("freezes");
    assert_eq!(log.barrier().await, Err(AddError::Frozen));
}

#[tokio::test]
async fn a_barrier_holds_until_the_head_is_signed() {
    let healthy = Arc::new(AtomicBool::new(true));
    let mut options = options(IndexAt::Memory);
    options.signer = Arc::new(Moody { key: key(), healthy: healthy.clone() });
    let log = Log::start(Arc::new(Memory::default()), options).await.expect("starts");
    healthy.store(false, Ordering::SeqCst);
    let unsigned =
        AddError::Unavailable("the checkpoint cannot be signed: cannot sign: the key sleeps".to_owned());
    assert_eq!(log.add(leaf(0)).await.err(), Some(unsigned.clone()));
    assert_eq!(log.barrier().await, Err(unsigned));
    healthy.store(true, Ordering::SeqCst);
    log.barrier().await.expect("the key is awake");
    assert_eq!(log.reader().published().size, 1);
}

/// A key that does not always sign.
struct Moody {
    key: Ed25519Signer,
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
        if self.healthy.load(Ordering::SeqCst) {
            self.key.sign(text)
        } else {
            Err(SignError::new("the key sleeps"))
        }
    }
}

#[tokio::test]
async fn history_keeps_what_was_published() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let mut options = options(IndexAt::Memory);
    options.history_interval = std::time::Duration::ZERO;
    let log = Log::start(storage, options).await.expect("starts");
    log.add(leaf(1)).await.expect("adds");
    log.stop().await.expect("stops");
    let kept = log.reader().history(0).await.expect("reads").expect("there is a page");
    assert!(!kept.is_empty());
    assert!(kept.iter().all(|kept| {
        Checkpoint::open(std::str::from_utf8(&kept.note).expect("text"), key().verifier()).is_ok()
    }));
    assert_eq!(log.reader().history(1).await.expect("reads"), None);
}

/// A tree head that says when it was signed is signed again while nobody writes; the tree stays as it is, and grows as before.
#[tokio::test]
async fn heads_of_a_quiet_log_are_signed_again() {
    let clock = AtomicU64::new(1);
    let mut options = tree_heads(&tree_head_key(), move || clock.fetch_add(1, Ordering::SeqCst));
    options.sign_again_after = Some(Duration::from_millis(5));
    let verifier = options.verifier.clone();
    let log = Log::start(Arc::new(Memory::default()), options).await.expect("starts");
    let mut published = log.reader().watch();
    let mut last = 0;
    for size in [0, 1] {
        for _ in 0..3 {
            published.changed().await.expect("published again");
            let now = signed_at(&log, &verifier);
            assert!(now > last, "time {now} follows {last}");
            assert_eq!(log.reader().published().size, size);
            last = now;
        }
        if size == 0 {
            assert_eq!(log.add(leaf(1)).await.expect("adds").index, 0);
        }
    }
    log.stop().await.expect("stops");
}

/// A tree that does not match its head is never signed (invariant F).
#[tokio::test]
async fn damaged_storage_is_not_signed() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = start_in(dir.path()).await;
    for i in 0..300 {
        log.add(leaf(i)).await.expect("adds");
    }
    log.stop().await.expect("stops");
    drop(log);
    let tile = dir.path().join("log").join(TileId::hashes(0, 1, 44).path());
    let mut bytes = std::fs::read(&tile).expect("reads");
    bytes[77] ^= 1;
    std::fs::write(&tile, bytes).expect("writes");
    let started = Log::start(open(dir.path()), options(IndexAt::Memory)).await;
    let error = started.err().expect("is refused").to_string();
    assert!(error.contains("does not match its hash") || error.contains("its head says"), "{error}");
}

/// What stands in the way of settling is said, and once it is gone the log is well again by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journal_that_cannot_be_settled_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = start_in(dir.path()).await;
    let obstacle = dir.path().join("log/tile");
    std::fs::write(&obstacle, b"not a directory").expect("writes");
    let mut accepted = Vec::new();
    let refusal = loop {
        let leaf = Bytes::from(format!("{:065000}", accepted.len()));
        match log.add(leaf.clone()).await {
            Ok(sequenced) => accepted.push((sequenced.index, leaf)),
            // Nothing has failed yet: the keeper has only not come so far.
            Err(AddError::Full) => tokio::task::yield_now().await,
            Err(refusal) => break refusal.to_string(),
        }
    };
    assert!(refusal.starts_with("no room for the batch") && refusal.contains("Not a directory"), "{refusal}");
    assert!(log.status().last_error.expect("is ill").contains("Not a directory"));

    std::fs::remove_file(obstacle).expect("removes");
    let well = async {
        while log.status().last_error.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), well).await.expect("is well without an entry");
    let leaf = Bytes::from_static(b"one more");
    let sequenced = log.add(leaf.clone()).await.expect("goes on");
    accepted.push((sequenced.index, leaf));
    check_acknowledged(&log, &accepted).await;
    log.stop().await.expect("stops");
}

/// A history that could not be written for a while is no lasting illness of a log that has nothing to settle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn well_again_once_the_history_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = open(dir.path());
    // In the way of the file that is renamed to the cell.
    let obstacle = dir.path().join("log/cell/history.new");
    std::fs::create_dir_all(&obstacle).expect("makes");
    let mut options = options(IndexAt::Memory);
    options.history_interval = std::time::Duration::ZERO;
    let log = Log::start(storage, options).await.expect("starts");
    let until = async |ill| {
        while log.status().last_error.is_some() != ill {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_mins(1);
    tokio::time::timeout(patience, until(true)).await.expect("is ill");
    std::fs::remove_dir(obstacle).expect("removes");
    tokio::time::timeout(patience, until(false)).await.expect("is well by itself");
    log.stop().await.expect("stops");
}

/// Half a tile, as a crash in the middle of a settling leaves it, does not outlive the next start.
#[tokio::test]
async fn half_a_tile_is_not_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = start_in(dir.path()).await;
    for number in 0..7 {
        log.add(leaf(number)).await.expect("adds");
    }
    // What a killed process leaves: committed entries, nothing settled, and a tile that was being written.
    let storage = open_copy(dir.path());
    let half = dir.path().join("copy/log/tile/0/000.p/7");
    std::fs::create_dir_all(half.parent().expect("has one")).expect("creates");
    std::fs::write(&half, b"").expect("writes");
    let crashed = Log::start(storage, options(IndexAt::Memory)).await.expect("starts");
    crashed.add(leaf(7)).await.expect("adds");
    crashed.stop().await.expect("settles");
    assert!(!half.exists());
    assert!(half.with_file_name("8").exists());
    log.stop().await.expect("stops");
}

/// A copy of the directory of a running log, opened.
fn open_copy(dir: &std::path::Path) -> Arc<FileStorage> {
    let (from, to) = (dir.join("log"), dir.join("copy/log"));
    std::fs::create_dir_all(to.join("journal")).expect("creates");
    for name in ["format", "journal/0", "journal/1"] {
        std::fs::copy(from.join(name), to.join(name)).expect("copies");
    }
    open(&dir.join("copy"))
}

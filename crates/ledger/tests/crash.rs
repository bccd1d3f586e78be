//! The crash ring over the storage contract: every call fails in turn, its effect lost or kept, once
//! or for ever; then the log is reopened on what is left and asked for everything it acknowledged.
//! Defends invariants A, B, C, E, F and G of the design.

mod common;

use std::sync::Arc;

use bulla_ledger::storage::Storage;
use bulla_ledger::storage::faulty::{Effect, Faulty, Plan};
use bulla_ledger::storage::file::{FileStorage, Format};
use bulla_ledger::storage::memory::Memory;
use bulla_ledger::{IndexAt, Log, Sequenced};
use bulla_tlog::Hash;
use bytes::Bytes;
use common::{
    ORIGIN, addition, check_acknowledged, check_beside, check_prefix, key, numbered, options, start,
};

/// What a client saw before the crash.
#[derive(Default)]
struct Witnessed {
    acknowledged: Vec<(u64, Bytes)>,
    /// Those with their index in them.
    numbered: Vec<(u64, Bytes)>,
    seen: Vec<(u64, Hash)>,
}

/// Enough work for several batches, bundle borders, duplicates and settles; errors are part of it.
async fn work(storage: Arc<dyn Storage>, entries: usize, leaf_len: usize) -> Witnessed {
    let mut witnessed = Witnessed::default();
    let mut options = options(IndexAt::Memory);
    options.history_interval = std::time::Duration::ZERO;
    let Ok(log) = Log::start(storage, options).await else { return witnessed };
    for group in 0..entries / 60 {
        let leaves = (0..60).map(|i| {
            let mut leaf = format!("{group} {}", i % 50).into_bytes();
            leaf.resize(leaf_len, b'.');
            Bytes::from(leaf)
        });
        let ask = async |(i, leaf): (usize, Bytes)| {
            let index_at = (i % 5 == 0).then_some(leaf_len - 5);
            let answer = match index_at {
                Some(index_at) => log.add_numbered(leaf.clone(), index_at).await,
                None => log.add(addition(&leaf)).await,
            };
            (answer, leaf, index_at)
        };
        let asked: Vec<_> = leaves.enumerate().map(ask).collect();
        for (answer, leaf, index_at) in futures_util::future::join_all(asked).await {
            if let Ok(Sequenced { index, duplicate, published }) = answer {
                if let Some(index_at) = index_at {
                    assert!(!duplicate);
                    witnessed.numbered.push((index, numbered(&leaf, index_at, index)));
                } else {
                    witnessed.acknowledged.push((index, leaf));
                }
                witnessed.seen.push((published.size, published.root));
            }
        }
    }
    witnessed.seen.dedup();
    // A crashed storage cannot settle; that is what is being tried.
    let _may_fail = log.stop().await;
    witnessed
}

async fn judge(storage: Arc<dyn Storage>, witnessed: &Witnessed) {
    let log = start(storage).await.expect("what is left is a log");
    check_acknowledged(&log, &witnessed.acknowledged).await;
    check_acknowledged(&log, &witnessed.numbered).await;
    check_beside(&log, &witnessed.acknowledged).await;
    check_prefix(&log, &witnessed.seen).await;
    let last = log.reader().published().size;
    let next = log.add(Bytes::from_static(b"after the crash")).await.expect("goes on");
    assert_eq!(next.index, last);
    log.stop().await.expect("stops");
}

/// Fails each call of a sound run in each way. Batches fall differently in every run, so a run may end
/// before its fault's turn: how many struck is counted and printed.
async fn ring(
    fresh: impl Fn() -> (Arc<dyn Storage>, Box<dyn Fn() -> Arc<dyn Storage>>),
    step: u64,
    entries: usize,
    leaf_len: usize,
) {
    let (sound, _reopen) = fresh();
    let sound = Arc::new(Faulty::new(sound, Plan::Sound));
    let all = work(sound.clone(), entries, leaf_len).await;
    assert_eq!(
        all.acknowledged.len() + all.numbered.len(),
        entries,
        "without faults everything is acknowledged"
    );
    let calls = sound.calls();
    drop(sound);
    let (mut tried, mut struck) = (0, 0);
    for effect in [Effect::Lost, Effect::Kept] {
        for number in (0..calls).step_by(step as usize) {
            for plan in [Plan::Once(number, effect), Plan::From(number, effect)] {
                let (inner, reopen) = fresh();
                let faulty = Arc::new(Faulty::new(inner, plan));
                let witnessed = work(faulty.clone(), entries, leaf_len).await;
                tried += 1;
                struck += u64::from(faulty.calls() > number);
                drop(faulty);
                judge(reopen(), &witnessed).await;
            }
        }
    }
    println!("{tried} faults tried over {calls} storage calls, {struck} struck");
    // How many calls a sound run makes hangs on the load of the machine, how many strike does not.
    assert!(struck >= 50, "{struck} of {tried} faults struck");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_survives_every_fault() {
    let fresh = || {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new(20_000));
        let same = storage.clone();
        (storage, Box::new(move || same.clone()) as Box<dyn Fn() -> Arc<dyn Storage>>)
    };
    ring(fresh, 1, 600, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_survive_every_fault() {
    let fresh = || {
        let dir = tempfile::tempdir().expect("a directory");
        let open = |dir: &std::path::Path| {
            let format = Format::new(ORIGIN, key().verifier().log_id(), 1);
            Arc::new(FileStorage::open(dir, &format).expect("opens"))
        };
        let storage: Arc<dyn Storage> = open(dir.path());
        let reopen = move || -> Arc<dyn Storage> { open(dir.path()) };
        (storage, Box::new(reopen) as Box<dyn Fn() -> Arc<dyn Storage>>)
    };
    ring(fresh, 1, 300, 40).await;
}

/// An end that fails at any storage call, its effect lost or kept, is reached by trying again, and everything that was
/// acknowledged is in the final tree. Only what is committed and was never published needs another start first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freezing_is_tried_again_after_every_fault() {
    let (mut failed, mut unpublished) = (0, 0);
    // Whether entries are left unpublished hangs on who is faster, so the faults strike until some were.
    for _ in 0..10 {
        for effect in [Effect::Lost, Effect::Kept] {
            for number in 0.. {
                let Some(freeze) = freeze_with(number, effect).await else { continue };
                failed += u32::from(freeze.failed);
                unpublished += u32::from(freeze.unpublished);
                if !freeze.struck {
                    break;
                }
            }
        }
        if failed >= 6 && unpublished >= 1 {
            return;
        }
    }
    panic!("{failed} attempts failed, {unpublished} with unpublished entries");
}

/// After a barrier nothing appears that was added before it, whatever its adder was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_ends_every_doubt() {
    // Whether the fault strikes the commit hangs on who is faster, so it strikes until it did.
    for _ in 0..100 {
        let mut doubted = false;
        for effect in [Effect::Lost, Effect::Kept] {
            for number in 0.. {
                let Some(barrier) = barrier_with(number, effect).await else { continue };
                doubted |= barrier.doubted;
                if !barrier.struck {
                    break;
                }
            }
        }
        if doubted {
            return;
        }
    }
    panic!("no entry was in the log whose adder was told that it may not be");
}

/// What became of a barrier that a fault was planned for.
struct Barrier {
    /// The entry before it is in the log, and its adder was told of a failure.
    doubted: bool,
    /// There was a call of that number.
    struck: bool,
}

/// Adds to a log whose storage fails once, waits at a barrier, and adds again; none if the log could not even start.
async fn barrier_with(number: u64, effect: Effect) -> Option<Barrier> {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new(20_000)), Plan::Once(number, effect)));
    let log = start(faulty.clone()).await.ok()?;
    let added = log.add(Bytes::from_static(b"first")).await.is_ok();
    if log.barrier().await.is_err() {
        log.barrier().await.expect("the fault strikes once");
    }
    let size = log.reader().published().size;
    assert!(size == 1 || !added, "call {number}, {effect:?}");
    let second = Bytes::from_static(b"second");
    let index = match log.add(second.clone()).await {
        Ok(Sequenced { index, .. }) => index,
        Err(_) => log.add(second).await.expect("the fault strikes once").index,
    };
    assert_eq!(index, size, "call {number}, {effect:?}");
    Some(Barrier { doubted: !added && size == 1, struck: faulty.calls() > number })
}

/// What became of an end that a fault was planned for.
struct Freeze {
    /// The first attempt failed.
    failed: bool,
    /// Entries that were committed and not published were in the way of the second.
    unpublished: bool,
    /// There was a call of that number.
    struck: bool,
}

/// Freezes a log whose storage fails once; none if it could not even start.
async fn freeze_with(number: u64, effect: Effect) -> Option<Freeze> {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new(20_000));
    let faulty = Arc::new(Faulty::new(storage.clone(), Plan::Once(number, effect)));
    let log = start(faulty.clone()).await.ok()?;
    let mut acknowledged = Vec::new();
    for n in 0..3 {
        let leaf = Bytes::from(format!("{number} {n}"));
        if let Ok(Sequenced { index, .. }) = log.add(addition(&leaf)).await {
            acknowledged.push((index, leaf));
        }
    }
    let first = log.freeze(7).await;
    let failed = first.is_err();
    let last = if failed { log.freeze(7).await } else { first };
    let struck = faulty.calls() > number;
    drop(log);
    let log = start(storage).await.expect("what is left is a log");
    check_acknowledged(&log, &acknowledged).await;
    assert_eq!(log.status().frozen, last.is_ok(), "call {number}, {effect:?}");
    let unpublished = last.is_err();
    match last {
        Ok(last) => assert_eq!(log.reader().published().note, last.note),
        Err(error) => {
            assert!(error.to_string().contains("committed and not published"), "{error}");
            log.freeze(8).await.expect("after a start nothing is in the way");
        }
    }
    Some(Freeze { failed, unpublished, struck })
}

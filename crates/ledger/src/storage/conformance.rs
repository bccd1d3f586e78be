//! The conformance list: what every storage must do, stated once and run by each backend and layer.
//!
//! A backend's test calls [`check`] with a fresh storage and a way to reopen it, as after a crash.

use std::sync::Arc;

use bulla_tlog::{Edge, leaf_hash};
use bytes::Bytes;

use super::{Head, Staged, Storage, StorageError};
use crate::beside::Addition;

/// Runs the whole list. `reopen` must give a storage over the same data as if the process had died
/// and started again; it is given the old one to drop first.
///
/// # Panics
///
/// At the first guarantee that does not hold, naming it.
pub async fn check<S: Storage>(storage: Arc<S>, reopen: impl Fn(Arc<S>) -> Arc<S>) {
    let storage = empty_is_empty(storage).await;
    let storage = objects(storage, &reopen).await;
    let storage = cells(storage, &reopen).await;
    let storage = batches(storage, &reopen).await;
    let storage = settling(storage, &reopen).await;
    fills_up(storage).await;
}

/// A batch of `count` leaves on top of `edge`, which moves forward.
pub fn batch(edge: &mut Edge, count: u64, leaf_len: usize) -> Staged {
    let base = edge.size();
    let mut leaves = Vec::new();
    for index in base..base + count {
        let mut leaf = index.to_string().into_bytes();
        leaf.resize(leaf_len.max(leaf.len()), b'.');
        edge.append(leaf_hash(&leaf));
        let aside = if index % 3 == 0 { Bytes::from(index.to_string()) } else { Bytes::new() };
        leaves.push(Addition { leaf: leaf.into(), aside });
    }
    Staged { base, at: 1_700_000_000 + base, leaves, head: Head { size: edge.size(), root: edge.root() } }
}

async fn empty_is_empty<S: Storage>(storage: Arc<S>) -> Arc<S> {
    let recovered = storage.recover().await.expect("a new storage recovers");
    assert_eq!(recovered.settled, Head::empty(), "a new storage is settled at the empty head");
    assert_eq!(recovered.staged, [], "a new storage has no batches");
    assert_eq!(storage.read("tile/0/000").await.expect("reads"), None, "no object is there before a put");
    assert_eq!(storage.cell("nothing").await.expect("reads"), None, "no cell is there before a swap");
    storage
}

async fn objects<S: Storage>(storage: Arc<S>, reopen: &impl Fn(Arc<S>) -> Arc<S>) -> Arc<S> {
    let bytes = Bytes::from(vec![7_u8; 70_000]);
    for name in ["tile/entries/x001/234", "tile/0/x001/234.p/5", "history/0"] {
        storage.put(name, bytes.clone()).await.expect("puts");
        assert_eq!(
            storage.read(name).await.expect("reads"),
            Some(bytes.clone()),
            "a put can be read at once"
        );
        storage.put(name, bytes.clone()).await.expect("the same put again is no error");
    }
    storage.put("empty", Bytes::new()).await.expect("an empty object is an object");
    storage.settle(Head::empty()).await.expect("settles");
    let storage = reopen(storage);
    storage.recover().await.expect("recovers");
    assert_eq!(
        storage.read("history/0").await.expect("reads"),
        Some(bytes),
        "a settled object outlives a crash"
    );
    assert_eq!(
        storage.read("empty").await.expect("reads"),
        Some(Bytes::new()),
        "an empty object outlives it too"
    );
    storage.delete("history/0").await.expect("deletes");
    storage.delete("history/0").await.expect("deleting what is not there is no error");
    assert_eq!(storage.read("history/0").await.expect("reads"), None, "a deleted object is gone");
    storage
}

async fn cells<S: Storage>(storage: Arc<S>, reopen: &impl Fn(Arc<S>) -> Arc<S>) -> Arc<S> {
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    assert!(storage.swap("cell", None, one.clone()).await.expect("swaps"), "an unset cell is set from none");
    assert!(
        !storage.swap("cell", None, two.clone()).await.expect("swaps"),
        "a set cell is not set from none"
    );
    assert!(!storage.swap("cell", Some(b"two"), two.clone()).await.expect("swaps"), "nor from a wrong value");
    assert!(storage.swap("cell", Some(b"one"), two.clone()).await.expect("swaps"), "but from its own value");
    let storage = reopen(storage);
    storage.recover().await.expect("recovers");
    assert_eq!(storage.cell("cell").await.expect("reads"), Some(two), "a cell outlives a crash");
    storage
}

async fn batches<S: Storage>(storage: Arc<S>, reopen: &impl Fn(Arc<S>) -> Arc<S>) -> Arc<S> {
    let mut edge = Edge::new();
    let first = batch(&mut edge, 1, 1);
    let second = batch(&mut edge, 300, 100);
    storage.commit(&first).await.expect("commits");
    let again = storage.commit(&first).await;
    assert!(
        matches!(again, Err(StorageError::Conflict { expected: 0, actual: 1 })),
        "a batch on a passed head conflicts, got {again:?}"
    );
    assert_eq!(storage.head().await.expect("knows its head"), first.head, "a refused batch moves nothing");
    storage.commit(&second).await.expect("commits");
    assert_eq!(storage.head().await.expect("knows its head"), second.head);
    let storage = reopen(storage);
    let recovered = storage.recover().await.expect("recovers");
    assert_eq!(recovered.settled, Head::empty(), "what was not settled is not settled");
    assert_eq!(recovered.staged, [first, second], "every committed batch outlives a crash, in order");
    storage
}

async fn settling<S: Storage>(storage: Arc<S>, reopen: &impl Fn(Arc<S>) -> Arc<S>) -> Arc<S> {
    let mut edge = Edge::new();
    let (first, second) = (batch(&mut edge, 1, 1), batch(&mut edge, 300, 100));
    storage.settle(first.head).await.expect("settles half");
    let storage = reopen(storage);
    let recovered = storage.recover().await.expect("recovers");
    assert_eq!(
        (recovered.settled, recovered.staged),
        (first.head, vec![second.clone()]),
        "only the rest is staged"
    );
    storage.settle(second.head).await.expect("settles all");
    let third = batch(&mut edge, 2, 10);
    storage.commit(&third).await.expect("commits after a settle");
    let storage = reopen(storage);
    let recovered = storage.recover().await.expect("recovers");
    assert_eq!((recovered.settled, recovered.staged), (second.head, vec![third.clone()]));
    storage.settle(third.head).await.expect("settles");
    storage
}

/// A storage that is full says so, loses nothing, and goes on after a settle, many times over.
async fn fills_up<S: Storage>(storage: Arc<S>) {
    let mut edge = Edge::new();
    for (count, leaf_len) in [(1, 1), (300, 100), (2, 10)] {
        batch(&mut edge, count, leaf_len);
    }
    let mut fulls = 0;
    while fulls < 5 {
        let before = edge.clone();
        let next = batch(&mut edge, 50, 2_000);
        match storage.commit(&next).await {
            Ok(()) => {}
            Err(StorageError::Full) => {
                fulls += 1;
                edge = before;
                let head = storage.head().await.expect("knows its head");
                assert_eq!(head.size, edge.size(), "a full storage refuses whole batches");
                storage.settle(head).await.expect("settles");
                assert_eq!(storage.unsettled_bytes(), 0, "a settle lets everything go");
            }
            Err(error) => panic!("a full storage says so, and nothing else: {error}"),
        }
        assert!(storage.unsettled_bytes() <= storage.capacity_bytes() + 4096, "the capacity is a bound");
    }
}

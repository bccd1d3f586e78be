//! What the ledger's tests share: a key, a way to start a log, and the questions asked of every log.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use bulla_ledger::storage::Storage;
use bulla_ledger::{Addition, IndexAt, Log, Options, StartError};
use bulla_tlog::note::Ed25519Signer;
use bulla_tlog::{leaf_hash, verify_consistency, verify_inclusion};
use bytes::Bytes;

pub(crate) const ORIGIN: &str = "log.example.org";

/// An Ed25519 key made of a seed.
pub(crate) fn key() -> Ed25519Signer {
    let seed: Vec<u8> = (0..32).collect();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed is a key");
    Ed25519Signer::new(ORIGIN, pair).expect("a name")
}

pub(crate) fn options(index: IndexAt) -> Options {
    let key = key();
    let verifier = key.verifier().clone();
    Options::new(Arc::new(key), verifier, index)
}

pub(crate) async fn start(storage: Arc<dyn Storage>) -> Result<Log, StartError> {
    Log::start(storage, options(IndexAt::Memory)).await
}

/// A leaf, and beside it, for half of all leaves, the leaf again.
pub(crate) fn addition(leaf: &Bytes) -> Addition {
    let aside = if leaf_hash(leaf).0[0] < 128 { leaf.clone() } else { Bytes::new() };
    Addition { leaf: leaf.clone(), aside }
}

/// The leaf with its index in five bytes at that place.
pub(crate) fn numbered(leaf: &Bytes, at: usize, index: u64) -> Bytes {
    [&leaf[..at], &index.to_be_bytes()[3..], &leaf[at + 5..]].concat().into()
}

/// What was added with every acknowledged leaf is beside it, and time goes forward.
pub(crate) async fn check_beside(log: &Log, acknowledged: &[(u64, Bytes)]) {
    let mut times = Vec::new();
    for (index, leaf) in acknowledged {
        let leaves = log.reader().leaves_from(*index).await.expect("reads");
        let (stored, beside) = &leaves[0];
        assert_eq!(stored, leaf, "entry {index}");
        assert_eq!(beside.aside, addition(leaf).aside, "aside of entry {index}");
        assert_eq!(log.reader().integrated_at(*index).await.expect("reads"), Some(beside.at));
        times.push((*index, beside.at));
    }
    times.sort_unstable();
    assert!(times.is_sorted_by_key(|(_, at)| *at), "time goes forward: {times:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    assert!(times.iter().all(|(_, at)| (now - 600..=now).contains(at)), "times are of now: {times:?}");
}

/// Every acknowledged leaf is at its index and proven by the checkpoint in force (invariants B and C).
pub(crate) async fn check_acknowledged(log: &Log, acknowledged: &[(u64, Bytes)]) {
    let reader = log.reader();
    let published = reader.published();
    for (index, leaf) in acknowledged {
        assert!(*index < published.size, "entry {index} was acknowledged, the tree has {}", published.size);
        let stored = reader.entry(*index).await.expect("reads");
        assert_eq!(stored.as_ref(), Some(leaf), "entry {index} is what was acknowledged");
        let proof = reader.inclusion_proof(*index, published.size).await.expect("proves");
        verify_inclusion(&leaf_hash(leaf), *index, published.size, &proof, &published.root).expect("holds");
        assert_eq!(reader.find(&leaf_hash(leaf)).await.expect("finds"), Some(*index));
    }
}

/// A checkpoint seen earlier is a prefix of the one in force (invariant A).
pub(crate) async fn check_prefix(log: &Log, seen: &[(u64, bulla_tlog::Hash)]) {
    let reader = log.reader();
    let now = reader.published();
    for (size, root) in seen {
        assert!(*size <= now.size, "a checkpoint of size {size} was published, now there is {}", now.size);
        if *size > 0 {
            let proof = reader.consistency_proof(*size, now.size).await.expect("proves");
            verify_consistency(*size, now.size, root, &now.root, &proof).expect("is a prefix");
        }
    }
}

//! The deduplication index: which leaf is already in the tree, and where. It follows the log, so it can
//! be deleted and grows back; the writer asks it before it sequences anything.
//!
//! Keys are the first 16 bytes of a leaf hash, values the indexes of the leaves that have them, five
//! bytes each. A candidate counts only once the whole hash in its tile was compared, so the answer is
//! exact although the key is short.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bulla_tlog::Hash;

use crate::storage::StorageError;

/// Where the index is kept.
#[derive(Clone, Debug)]
pub enum IndexAt {
    /// In memory, for logs in memory.
    Memory,
    /// In a directory of its own, which may be deleted while the log is stopped.
    Dir(PathBuf),
}

/// See the module.
pub(crate) struct Index {
    store: Store,
    /// The index holds every leaf below this.
    complete: AtomicU64,
}

enum Store {
    Memory(Mutex<HashMap<Vec<u8>, Vec<u8>>>),
    Disk { database: fjall::Database, keys: fjall::Keyspace },
}

const KEY_LEN: usize = 16;
const VALUE_LEN: usize = 5;
/// Shorter than every key, so it is no leaf's.
const CURSOR: &[u8] = b"complete";
/// Memory for blocks read and for keys not yet written out: small, since lookups rarely hit.
const CACHE_BYTES: u64 = 8 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;

impl Index {
    /// Opens the index, making it when it is not there.
    pub(crate) fn open(at: &IndexAt) -> Result<Index, StorageError> {
        let store = match at {
            IndexAt::Memory => Store::Memory(Mutex::default()),
            IndexAt::Dir(dir) => {
                let failed = |e: fjall::Error| StorageError::Unavailable(format!("{}: {e}", dir.display()));
                let database = fjall::Database::builder(dir)
                    .cache_size(CACHE_BYTES)
                    .worker_threads(1)
                    .max_journaling_size(64 << 20)
                    .open()
                    .map_err(failed)?;
                let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
                let keys = database.keyspace("leaves", options).map_err(failed)?;
                Store::Disk { database, keys }
            }
        };
        let index = Index { store, complete: AtomicU64::new(0) };
        let complete =
            index.get(CURSOR)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        index.complete.store(complete, Ordering::Release);
        Ok(index)
    }

    /// Every leaf below this index can be found.
    pub(crate) fn complete(&self) -> u64 {
        self.complete.load(Ordering::Acquire)
    }

    /// The leaves whose hash begins like this one, to be compared in full.
    pub(crate) fn candidates(&self, hash: &Hash) -> Result<Vec<u64>, StorageError> {
        let value = self.get(&hash.0[..KEY_LEN])?.unwrap_or_default();
        Ok(value.chunks_exact(VALUE_LEN).map(be40).collect())
    }

    /// Adds leaves that follow each other from `first`, all or none.
    pub(crate) fn extend(&self, first: u64, hashes: &[Hash]) -> Result<(), StorageError> {
        let mut rows: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        for (hash, index) in hashes.iter().zip(first..) {
            let key = &hash.0[..KEY_LEN];
            let value = match rows.entry(key) {
                Entry::Occupied(row) => row.into_mut(),
                Entry::Vacant(row) => row.insert(self.get(key)?.unwrap_or_default()),
            };
            // After an interrupted rebuild a leaf may be met again.
            if !value.chunks_exact(VALUE_LEN).any(|known| be40(known) == index) {
                value.extend_from_slice(&index.to_be_bytes()[8 - VALUE_LEN..]);
            }
        }
        let complete = first + hashes.len() as u64;
        rows.insert(CURSOR, complete.to_be_bytes().to_vec());
        match &self.store {
            Store::Memory(map) => {
                lock(map).extend(rows.into_iter().map(|(key, value)| (key.to_vec(), value)));
            }
            Store::Disk { database, keys } => {
                let mut batch = database.batch();
                for (key, value) in rows {
                    batch.insert(keys, key, value);
                }
                batch.commit().map_err(|error| unavailable(&error))?;
            }
        }
        self.complete.store(complete, Ordering::Release);
        Ok(())
    }

    /// Makes what was added durable.
    pub(crate) fn persist(&self) -> Result<(), StorageError> {
        match &self.store {
            Store::Memory(_) => Ok(()),
            Store::Disk { database, .. } => {
                database.persist(fjall::PersistMode::SyncAll).map_err(|error| unavailable(&error))
            }
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match &self.store {
            Store::Memory(map) => Ok(lock(map).get(key).cloned()),
            Store::Disk { keys, .. } => {
                Ok(keys.get(key).map_err(|error| unavailable(&error))?.map(|value| value.to_vec()))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(error: &fjall::Error) -> StorageError {
    StorageError::Unavailable(format!("deduplication index: {error}"))
}

fn be40(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulla_tlog::leaf_hash;

    #[test]
    fn finds_what_was_added_also_after_reopening() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = IndexAt::Dir(dir.path().join("index"));
        let hashes: Vec<Hash> = (0..1000_u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let index = Index::open(&at).expect("opens");
        index.extend(0, &hashes).expect("adds");
        drop(index);
        let index = Index::open(&at).expect("opens again");
        assert_eq!(index.complete(), 1000);
        for (i, hash) in hashes.iter().enumerate() {
            assert_eq!(index.candidates(hash).expect("reads"), [i as u64]);
        }
        assert_eq!(index.candidates(&leaf_hash(b"another")).expect("reads"), [0_u64; 0]);
    }

    #[test]
    fn leaves_that_share_a_key_are_all_candidates() {
        let index = Index::open(&IndexAt::Memory).expect("opens");
        let (a, mut b) = (Hash([9; 32]), Hash([9; 32]));
        b.0[31] = 1;
        index.extend(0, &[a, b]).expect("adds");
        index.extend(1, &[b]).expect("adds again what an interrupted rebuild had added");
        assert_eq!(index.candidates(&a).expect("reads"), [0, 1]);
    }
}

//! The deduplication index: which leaf is already in the tree, and where. It follows the log, so it can
//! be deleted and grows back; the writer asks it before it sequences anything.
//!
//! Keys are the first 16 bytes of a leaf hash, values the indexes of the leaves that have them, five
//! bytes each. A candidate counts only once the whole hash in its tile was compared, so the answer is
//! exact although the key is short.
//!
//! What cannot be read any more makes the index *damaged*: whoever needs an answer then begins it again and waits until
//! it has grown back. An answer that another's beginning again came between is no answer.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bulla_tlog::Hash;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::PinningPolicy;
use lsm_tree::{AbstractTree, AnyTree, Cache, SequenceNumberCounter};

use crate::engine;
use crate::log::catch_up;
use crate::reader::Tree;
use crate::storage::StorageError;
use crate::tail::Tail;

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
    at: IndexAt,
    store: RwLock<Store>,
    /// The index holds every leaf below this.
    complete: AtomicU64,
    /// Something could not be read, so nothing is believed until the index begins again.
    damaged: AtomicBool,
    /// How often it began again.
    epoch: AtomicU64,
    /// Held by the one who grows it back.
    healing: tokio::sync::Mutex<()>,
}

enum Store {
    Memory(Mutex<HashMap<Vec<u8>, Vec<u8>>>),
    Disk(Box<Disk>),
}

/// A log-structured tree without a journal: what a crash takes from its memory is read again from the
/// log. The leaves and how far they go are flushed together.
struct Disk {
    tree: AnyTree,
    versions: SequenceNumberCounter,
    compactor: Option<JoinHandle<()>>,
    flushed: Option<SyncSender<()>>,
}

const KEY_LEN: usize = 16;
const VALUE_LEN: usize = 5;
/// Shorter than every key, so it is no leaf's.
const CURSOR: &[u8] = b"complete";
/// Blocks read: few, since lookups rarely hit. Filters and block indexes are kept besides, about
/// 1.5 bytes a leaf, so that a lookup that misses reads nothing.
const CACHE_BYTES: u64 = 4 << 20;
/// Leaves not yet written out; a crash costs reading as many again from the log.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// With this many unmerged tables the index waits for the compactor.
const MAX_RUNS: usize = 20;

impl Store {
    fn open(at: &IndexAt) -> Result<Self, StorageError> {
        match at {
            IndexAt::Memory => Ok(Self::Memory(Mutex::default())),
            IndexAt::Dir(dir) => Ok(Self::Disk(Box::new(Disk::open_or_begin_again(dir)?))),
        }
    }
}

impl Disk {
    /// Opens what is there; what is damaged is removed, since all of it can be had from the log.
    fn open_or_begin_again(dir: &Path) -> Result<Disk, StorageError> {
        Disk::open(dir).or_else(|error| {
            tracing::warn!(%error, "deduplication index is damaged: it is grown anew");
            std::fs::remove_dir_all(dir).map_err(|error| StorageError::io(dir.display(), &error))?;
            Disk::open(dir)
        })
    }

    fn open(dir: &Path) -> Result<Disk, StorageError> {
        engine::check_files(dir).map_err(|error| StorageError::io(dir.display(), &error))?;
        let versions = SequenceNumberCounter::default();
        let always = PinningPolicy::all(true);
        let never = PinningPolicy::all(false);
        let tree = lsm_tree::Config::new(dir, versions.clone(), SequenceNumberCounter::default())
            .use_cache(Arc::new(Cache::with_capacity_bytes(CACHE_BYTES)))
            .filter_block_pinning_policy(always.clone())
            .index_block_pinning_policy(always)
            .filter_block_partitioning_policy(never.clone())
            .index_block_partitioning_policy(never)
            .open()
            .map_err(|error| unavailable(&error))?;
        versions.fetch_max(tree.get_highest_seqno().map_or(0, |newest| newest + 1));
        let (flushed, work) = std::sync::mpsc::sync_channel(1);
        let compactor = {
            let (tree, versions) = (tree.clone(), versions.clone());
            std::thread::Builder::new().name("compactor".to_owned()).spawn(move || {
                while work.recv().is_ok() {
                    compact(&tree, &versions);
                }
            })
        };
        let compactor = Some(compactor.map_err(|e| StorageError::io("cannot start a thread", &e))?);
        Ok(Disk { tree, versions, compactor, flushed: Some(flushed) })
    }

    fn flush(&self) -> Result<(), StorageError> {
        // Nobody reads older versions, so only the newest of each key is written.
        self.tree.flush_active_memtable(self.versions.get()).map_err(|error| unavailable(&error))?;
        if let Some(flushed) = &self.flushed {
            // A full channel means that the compactor is at work and will look again.
            let _busy = flushed.try_send(());
        }
        Ok(())
    }
}

impl Drop for Disk {
    /// The directory may be opened again once this is gone.
    fn drop(&mut self) {
        self.flushed = None;
        if let Some(compactor) = self.compactor.take() {
            let _panicked = compactor.join();
        }
    }
}

/// Merges tables until there is nothing to merge.
fn compact(tree: &AnyTree, versions: &SequenceNumberCounter) {
    loop {
        let before = tree.current_version().id();
        if let Err(error) = tree.compact(Arc::new(Leveled::default()), versions.get()) {
            tracing::error!(%error, "deduplication index cannot be compacted");
            return;
        }
        if tree.current_version().id() == before {
            return;
        }
    }
}

impl Index {
    /// Opens the index, making it when it is not there.
    pub(crate) fn open(at: &IndexAt) -> Result<Index, StorageError> {
        let store = RwLock::new(Store::open(at)?);
        let index = Index {
            at: at.clone(),
            store,
            complete: AtomicU64::default(),
            damaged: AtomicBool::default(),
            epoch: AtomicU64::default(),
            healing: tokio::sync::Mutex::default(),
        };
        match index.cursor() {
            Ok(complete) => index.complete.store(complete, Ordering::Release),
            Err(_) => index.begin_again()?,
        }
        Ok(index)
    }

    fn cursor(&self) -> Result<u64, StorageError> {
        let cursor = self.get(&self.store(), CURSOR)?;
        Ok(cursor.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Whether something could not be read.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Grows it back if it is damaged or holds fewer leaves than are `needed`, which are in the tree of `tail`.
    pub(crate) async fn heal(&self, tree: &Tree, tail: &Tail, needed: u64) -> Result<(), StorageError> {
        if !self.is_damaged() && self.complete() >= needed {
            return Ok(());
        }
        let _one_at_a_time = self.healing.lock().await;
        if self.is_damaged() {
            self.begin_again()?;
        }
        if self.complete() >= needed {
            return Ok(());
        }
        let grown = catch_up(self, tree, tail, |_, _| {}).await;
        grown.map_err(|error| StorageError::Unavailable(error.to_string()))
    }

    /// Changes when the index begins again: what was found in one epoch says nothing in another.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Throws everything away.
    fn begin_again(&self) -> Result<(), StorageError> {
        tracing::warn!("deduplication index is damaged: it is grown anew");
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        self.damaged.store(true, Ordering::Release);
        self.complete.store(0, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        // Closes the files before they are removed.
        *store = Store::Memory(Mutex::default());
        if let IndexAt::Dir(dir) = &self.at {
            std::fs::remove_dir_all(dir).map_err(|error| StorageError::io(dir.display(), &error))?;
            *store = Store::open(&self.at)?;
        }
        self.damaged.store(false, Ordering::Release);
        Ok(())
    }

    /// Every leaf below this index can be found.
    pub(crate) fn complete(&self) -> u64 {
        self.complete.load(Ordering::Acquire)
    }

    /// The leaves whose hash begins like this one, to be compared in full.
    pub(crate) fn candidates(&self, hash: &Hash) -> Result<Vec<u64>, StorageError> {
        let value = self.get(&self.store(), &hash.0[..KEY_LEN])?.unwrap_or_default();
        Ok(value.chunks_exact(VALUE_LEN).map(be40).collect())
    }

    /// Adds leaves that follow each other from `first`, all or none. What would leave a gap is left out: the index was
    /// begun again, and whoever grows it comes to these leaves later.
    pub(crate) fn extend(&self, first: u64, hashes: &[Hash]) -> Result<(), StorageError> {
        let store = self.store();
        if first > self.complete() {
            return Ok(());
        }
        let mut rows: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        for (hash, index) in hashes.iter().zip(first..) {
            let key = &hash.0[..KEY_LEN];
            let value = match rows.entry(key) {
                Entry::Occupied(row) => row.into_mut(),
                Entry::Vacant(row) => row.insert(self.get(&store, key)?.unwrap_or_default()),
            };
            // After an interrupted rebuild a leaf may be met again.
            if !value.chunks_exact(VALUE_LEN).any(|known| be40(known) == index) {
                value.extend_from_slice(&index.to_be_bytes()[8 - VALUE_LEN..]);
            }
        }
        let complete = first + hashes.len() as u64;
        rows.insert(CURSOR, complete.to_be_bytes().to_vec());
        match &*store {
            Store::Memory(map) => {
                lock(map).extend(rows.into_iter().map(|(key, value)| (key.to_vec(), value)));
            }
            Store::Disk(disk) => {
                while disk.tree.l0_run_count() >= MAX_RUNS {
                    std::thread::sleep(Duration::from_millis(10));
                }
                let cursor = rows.remove(CURSOR);
                let mut size = 0;
                // The cursor last: a flush in between must not promise what it does not hold.
                for (key, value) in rows.into_iter().chain(cursor.map(|value| (CURSOR, value))) {
                    size = disk.tree.insert(key, value, disk.versions.next()).1;
                }
                if size > MEMTABLE_BYTES {
                    disk.flush()?;
                }
            }
        }
        self.complete.fetch_max(complete, Ordering::AcqRel);
        Ok(())
    }

    /// Makes what was added durable, for a quick start next time.
    pub(crate) fn persist(&self) -> Result<(), StorageError> {
        match &*self.store() {
            Store::Memory(_) => Ok(()),
            Store::Disk(disk) => disk.flush(),
        }
    }

    fn get(&self, store: &Store, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match store {
            Store::Memory(map) => Ok(lock(map).get(key).cloned()),
            Store::Disk(disk) => {
                let value = disk.tree.get(key, lsm_tree::SeqNo::MAX).map_err(|error| {
                    self.damaged.store(true, Ordering::Release);
                    unavailable(&error)
                })?;
                Ok(value.map(|value| value.to_vec()))
            }
        }
    }

    fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(error: &lsm_tree::Error) -> StorageError {
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
        index.extend(0, &hashes[..600]).expect("adds");
        index.extend(600, &hashes[600..]).expect("adds");
        index.persist().expect("persists");
        drop(index);
        let index = Index::open(&at).expect("opens again");
        assert_eq!(index.complete(), 1000);
        for (i, hash) in hashes.iter().enumerate() {
            assert_eq!(index.candidates(hash).expect("reads"), [i as u64]);
        }
        assert_eq!(index.candidates(&leaf_hash(b"another")).expect("reads"), [0_u64; 0]);
    }

    #[test]
    fn a_damaged_index_begins_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("index");
        let at = IndexAt::Dir(path.clone());
        let index = Index::open(&at).expect("opens");
        index.extend(0, &[leaf_hash(b"a")]).expect("adds");
        index.persist().expect("persists");
        drop(index);
        for file in std::fs::read_dir(&path).expect("lists") {
            let file = file.expect("lists").path();
            if file.is_file() {
                std::fs::write(file, "garbage").expect("writes");
            }
        }
        assert_eq!(Index::open(&at).expect("opens").complete(), 0);
    }

    /// Data is read when it is asked for, so damage to it shows then.
    #[test]
    fn damage_that_shows_late_is_noticed_and_mended() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("index");
        let at = IndexAt::Dir(path.clone());
        let hashes: Vec<Hash> = (0..5000_u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let index = Index::open(&at).expect("opens");
        index.extend(0, &hashes).expect("adds");
        index.persist().expect("persists");
        drop(index);
        let table = std::fs::read_dir(path.join("tables")).expect("lists").next().expect("a table");
        let table = table.expect("lists").path();
        let mut bytes = std::fs::read(&table).expect("reads");
        bytes[..4096].fill(0x55);
        std::fs::write(&table, bytes).expect("writes");

        let index = Index::open(&at).expect("opens, for its head is well");
        let lost = hashes.iter().filter(|hash| index.candidates(hash).is_err()).count();
        assert!(lost > 0 && index.is_damaged(), "{lost} lookups failed");
        index.begin_again().expect("begins again");
        assert!(!index.is_damaged() && index.complete() == 0);
        index.extend(4000, &hashes[4000..]).expect("is left out");
        assert_eq!((index.complete(), index.candidates(&hashes[4500]).expect("reads")), (0, vec![]));
        index.extend(0, &hashes).expect("adds");
        assert_eq!(index.candidates(&hashes[4500]).expect("reads"), [4500]);
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

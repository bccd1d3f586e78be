//! The storage contract: a few verbs stated as guarantees to the implementer, so that a backend is one
//! file and a fault-injecting storage is another.
//!
//! A backend is right when it passes [`conformance`]. The list of backends is this module's list.

pub mod conformance;
pub mod faulty;
pub mod file;
pub mod memory;

use std::fmt;

use bulla_tlog::Hash;
use bytes::Bytes;

use crate::BoxFuture;
use crate::beside::Addition;

/// An unsigned tree head: what a commit is built on and what it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// Root hash of the tree of that size (RFC 6962 §2.1).
    pub root: Hash,
}

impl Head {
    /// The head of the empty tree.
    pub fn empty() -> Self {
        Head { size: 0, root: bulla_tlog::empty_root() }
    }
}

/// A batch of leaves and the head that the tree has with them: what a commit makes durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Staged {
    /// Size of the tree before this batch.
    pub base: u64,
    /// When it was integrated, in Unix seconds.
    pub at: u64,
    /// The leaves, in order, with what is kept beside them. Never empty.
    pub leaves: Vec<Addition>,
    /// The head with this batch: `head.size == base + leaves.len()`.
    pub head: Head,
}

/// What a storage knows when it is opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// The head given to the last successful [`Storage::settle`].
    pub settled: Head,
    /// Every batch committed after it, in order, each based on the one before.
    pub staged: Vec<Staged>,
}

/// Why a storage call failed. After any error the log is as it was before the call, or as it would be
/// after its success; never anything else.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The batch was not built on the current head: another writer won. Stop writing.
    #[error("the head is at size {actual}, the batch was built on size {expected}: another writer is active")]
    Conflict {
        /// The size the batch was built on.
        expected: u64,
        /// The size the storage holds.
        actual: u64,
    },
    /// No room for the batch until a settle frees some. Nothing was written.
    #[error("no room for the batch until earlier ones are settled")]
    Full,
    /// The world's fault: may work later.
    #[error("{0}")]
    Unavailable(String),
    /// Ours: what is stored is not what was written. Stop.
    #[error("{0}")]
    Corrupt(String),
}

impl StorageError {
    /// An I/O error, saying on what.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        StorageError::Unavailable(format!("{what}: {error}"))
    }
}

/// Where a log lives. One value is used by one [`crate::Log`] at a time.
///
/// *Objects* are immutable: whoever puts a name twice puts the same bytes. *Cells* are small and
/// change by compare-and-swap. *Batches* carry the log forward.
pub trait Storage: Send + Sync + 'static {
    /// The settled head and the batches committed since. Called once, before any other verb.
    fn recover(&self) -> BoxFuture<'_, Result<Recovered, StorageError>>;

    /// The bytes of an object as they were put, or `None` when there is none of that name.
    fn read<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>>;

    /// Writes an object. It can be read on return, and is durable after the next [`Storage::settle`].
    fn put<'a>(&'a self, object: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Makes a batch durable against the head it was built on. On `Ok` it survives any crash. On
    /// `Conflict` and `Full` it left no trace. After `Unavailable` it is in doubt: [`Storage::head`]
    /// tells whether it happened, and once that has answered with the old head, a later commit on the
    /// same base replaces it for good (until then a crash may still bring it forth).
    fn commit<'a>(&'a self, batch: &'a Staged) -> BoxFuture<'a, Result<(), StorageError>>;

    /// The head of the last commit that happened, as the storage knows it.
    fn head(&self) -> BoxFuture<'_, Result<Head, StorageError>>;

    /// Makes every object put so far durable, records `head` as settled, and lets go of the batches
    /// up to it. `head` must be the empty head or one that was committed.
    fn settle(&self, head: Head) -> BoxFuture<'_, Result<(), StorageError>>;

    /// The value of a cell, or `None` when it was never set.
    fn cell<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>>;

    /// Sets a cell if its value is still `expected`; `false` when it is not. Durable on `Ok(true)`.
    fn swap<'a>(
        &'a self,
        name: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StorageError>>;

    /// Removes an object; no error when it is not there.
    fn delete<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Bytes of batches that a settle would let go, for deciding when to settle.
    fn unsettled_bytes(&self) -> u64;

    /// Bytes of committed batches the storage can hold before it answers [`StorageError::Full`].
    fn capacity_bytes(&self) -> u64;

    /// Bytes free where the log lives, when that can be known.
    fn free_bytes(&self) -> Option<u64>;
}

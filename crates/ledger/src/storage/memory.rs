//! Memory storage: the contract in its plainest form, for tests and for logs that may be lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Head, Recovered, Staged, Storage, StorageError};
use crate::BoxFuture;

/// Keeps everything in memory. Clones of the inner state do not exist: reopening is `recover` again.
pub struct Memory {
    state: Mutex<State>,
    capacity_bytes: u64,
}

struct State {
    objects: HashMap<String, Bytes>,
    cells: HashMap<String, Bytes>,
    settled: Head,
    staged: Vec<Staged>,
}

impl Memory {
    /// An empty storage that holds up to `capacity_bytes` of unsettled leaves.
    pub fn new(capacity_bytes: u64) -> Self {
        let state = State {
            objects: HashMap::new(),
            cells: HashMap::new(),
            settled: Head::empty(),
            staged: Vec::new(),
        };
        Memory { state: Mutex::new(state), capacity_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new(16 << 20)
    }
}

impl State {
    fn head(&self) -> Head {
        self.staged.last().map_or(self.settled, |batch| batch.head)
    }

    fn unsettled_bytes(&self) -> u64 {
        self.staged.iter().map(batch_bytes).sum()
    }
}

fn batch_bytes(batch: &Staged) -> u64 {
    batch.leaves.iter().map(|added| (added.leaf.len() + added.aside.len()) as u64).sum()
}

/// The memory storage never waits, so every verb is a ready future.
fn ready<'a, T: Send + 'a>(value: Result<T, StorageError>) -> BoxFuture<'a, Result<T, StorageError>> {
    Box::pin(std::future::ready(value))
}

impl Storage for Memory {
    fn recover(&self) -> BoxFuture<'_, Result<Recovered, StorageError>> {
        let state = self.state();
        ready(Ok(Recovered { settled: state.settled, staged: state.staged.clone() }))
    }

    fn read<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>> {
        ready(Ok(self.state().objects.get(object).cloned()))
    }

    fn put<'a>(&'a self, object: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), StorageError>> {
        self.state().objects.insert(object.to_owned(), bytes);
        ready(Ok(()))
    }

    fn commit<'a>(&'a self, batch: &'a Staged) -> BoxFuture<'a, Result<(), StorageError>> {
        let mut state = self.state();
        let actual = state.head().size;
        ready(if actual != batch.base {
            Err(StorageError::Conflict { expected: batch.base, actual })
        } else if state.unsettled_bytes() + batch_bytes(batch) > self.capacity_bytes {
            Err(StorageError::Full)
        } else {
            state.staged.push(batch.clone());
            Ok(())
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, StorageError>> {
        ready(Ok(self.state().head()))
    }

    fn settle(&self, head: Head) -> BoxFuture<'_, Result<(), StorageError>> {
        let mut state = self.state();
        state.settled = head;
        state.staged.retain(|batch| batch.head.size > head.size);
        ready(Ok(()))
    }

    fn cell<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>> {
        ready(Ok(self.state().cells.get(name).cloned()))
    }

    fn swap<'a>(
        &'a self,
        name: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        let mut state = self.state();
        let same = state.cells.get(name).map(Bytes::as_ref) == expected;
        if same {
            state.cells.insert(name.to_owned(), value);
        }
        ready(Ok(same))
    }

    fn delete<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        self.state().objects.remove(object);
        ready(Ok(()))
    }

    fn unsettled_bytes(&self) -> u64 {
        self.state().unsettled_bytes()
    }

    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_conforms() {
        let storage = std::sync::Arc::new(Memory::new(1 << 20));
        let same = storage.clone();
        crate::storage::conformance::check(storage, move |_| same.clone()).await;
    }
}

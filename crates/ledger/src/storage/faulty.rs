//! A storage whose calls fail on purpose: each call is numbered, and a plan says which numbers fail
//! and whether their effect is lost or kept. It is how the crash tests visit every failure in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{Head, Recovered, Staged, Storage, StorageError};
use crate::BoxFuture;

/// What becomes of a call that fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing happened.
    Lost,
    /// It happened, and the caller was told that it failed.
    Kept,
}

/// Which calls fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// None: only count.
    Sound,
    /// The call of this number (from 0), once.
    Once(u64, Effect),
    /// The call of this number and all after it, as when the process dies there.
    From(u64, Effect),
}

/// Wraps a storage; see the module.
pub struct Faulty {
    inner: Arc<dyn Storage>,
    plan: Plan,
    calls: AtomicU64,
}

impl Faulty {
    /// Lets `inner` fail as `plan` says.
    pub fn new(inner: Arc<dyn Storage>, plan: Plan) -> Self {
        Faulty { inner, plan, calls: AtomicU64::new(0) }
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// The fate of the next call. After a crash ([`Plan::From`]) only the first failing call may have
    /// had an effect: a dead process calls nothing.
    fn next(&self) -> Option<Effect> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.plan {
            Plan::Once(number, effect) if number == call => Some(effect),
            Plan::From(number, effect) if number == call => Some(effect),
            Plan::From(number, _) if number < call => Some(Effect::Lost),
            _ => None,
        }
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
        match self.next() {
            None => work.await,
            Some(effect) => {
                if effect == Effect::Kept {
                    // The effect is what matters; its own outcome is hidden from the caller.
                    let _hidden = work.await;
                }
                Err(StorageError::Unavailable("injected fault".to_owned()))
            }
        }
    }
}

impl Storage for Faulty {
    fn recover(&self) -> BoxFuture<'_, Result<Recovered, StorageError>> {
        Box::pin(self.call(self.inner.recover()))
    }

    fn read<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>> {
        Box::pin(self.call(self.inner.read(object)))
    }

    fn put<'a>(&'a self, object: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.call(async move { self.inner.put(object, bytes).await }))
    }

    fn commit<'a>(&'a self, batch: &'a Staged) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.call(async move { self.inner.commit(batch).await }))
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, StorageError>> {
        Box::pin(self.call(self.inner.head()))
    }

    fn settle(&self, head: Head) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.call(async move { self.inner.settle(head).await }))
    }

    fn cell<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>> {
        Box::pin(self.call(self.inner.cell(name)))
    }

    fn swap<'a>(
        &'a self,
        name: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(self.call(async move { self.inner.swap(name, expected, value).await }))
    }

    fn delete<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.call(async move { self.inner.delete(object).await }))
    }

    fn unsettled_bytes(&self) -> u64 {
        self.inner.unsettled_bytes()
    }

    fn capacity_bytes(&self) -> u64 {
        self.inner.capacity_bytes()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.inner.free_bytes()
    }
}

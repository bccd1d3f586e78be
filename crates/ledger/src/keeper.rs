//! The keeper: what may happen later. It writes full tiles and the right edge to storage, lets the
//! journal go once they are durable, follows the log with the deduplication index, and keeps the
//! checkpoint history. Nothing here is on the way of an entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bulla_tlog::{TileId, TileKind, right_edge};
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::beside;
use crate::history::{self, Kept};
use crate::index::Index;
use crate::log::Health;
use crate::publisher::Published;
use crate::reader::Reader;
use crate::sequencer::Unindexed;
use crate::storage::{Storage, StorageError};
use crate::tail::Object;

/// The cell that holds the newest settled checkpoint, as it was served.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// What the keeper is told.
pub(crate) enum Order {
    /// There is enough to settle.
    Look,
    /// Settle everything and end.
    Finish,
}

/// See the module.
pub(crate) struct Keeper {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) reader: Reader,
    pub(crate) index: Arc<Index>,
    pub(crate) runtime: Handle,
    pub(crate) health: Arc<Health>,
    pub(crate) settled: Arc<AtomicU64>,
    pub(crate) history_interval: Duration,
}

/// How long after a failure the keeper tries again by itself.
const RETRY: Duration = Duration::from_secs(1);
/// What is committed is settled after this time at the latest, however little it is.
const SETTLE_ALL: Duration = Duration::from_secs(30);
/// It looks no more often than this by itself.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// The index takes what came in this time at once: waking for every batch costs more than the work.
const GATHER: Duration = Duration::from_millis(5);

/// Whether enough is committed and not settled to be worth the keeper's while.
pub(crate) fn wants_settling(storage: &dyn Storage) -> bool {
    storage.unsettled_bytes() > storage.capacity_bytes() / 4
}

impl Keeper {
    /// Runs until it is told to finish, or nobody is left to tell.
    pub(crate) fn run(self, orders: &Receiver<Order>) -> Result<(), StorageError> {
        let mut kept_at: Option<Instant> = None;
        let mut settled_at = Instant::now();
        let mut failed = false;
        let mut previous = self.settled.load(Ordering::Acquire);
        loop {
            let wait = if failed { RETRY } else { self.history_interval.clamp(SHORTEST_WAIT, SETTLE_ALL) };
            // Once in a while also what is not much, so that the journal alone holds only what is new.
            let wanted = match orders.recv_timeout(wait) {
                Ok(Order::Look) => wants_settling(self.storage.as_ref()),
                Err(RecvTimeoutError::Timeout) => {
                    wants_settling(self.storage.as_ref())
                        || (settled_at.elapsed() >= SETTLE_ALL && self.storage.unsettled_bytes() > 0)
                }
                Ok(Order::Finish) => {
                    self.settle(&mut previous)?;
                    return self.index.persist();
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let settled = if wanted {
                settled_at = Instant::now();
                self.settle(&mut previous)
            } else {
                Ok(())
            };
            let due = kept_at.is_none_or(|at| at.elapsed() >= self.history_interval);
            let kept = if due { self.keep_checkpoint(&mut kept_at) } else { Ok(()) };
            let worked = settled.and(kept);
            failed = worked.is_err();
            match worked {
                // Also when only the history had failed, and there is nothing to settle.
                Ok(()) => self.health.settled(),
                // Every batch asks for a look; one line is enough for all that fail in the same way.
                Err(error) if self.health.settle_failed(&error) => {
                    tracing::error!(%error, "storage cannot be settled; the log goes on while its journal has room");
                }
                Err(_) => {}
            }
        }
    }

    fn keep_checkpoint(&self, kept_at: &mut Option<Instant>) -> Result<(), StorageError> {
        let published = self.reader.published();
        self.runtime.block_on(history::keep(self.storage.as_ref(), kept(&published)))?;
        *kept_at = Some(Instant::now());
        Ok(())
    }

    /// Settles what is published, and removes the edge before last.
    fn settle(&self, previous: &mut u64) -> Result<(), StorageError> {
        let started = Instant::now();
        let published = self.reader.published();
        let before = self.settled.load(Ordering::Acquire);
        self.runtime.block_on(async {
            let storage = self.storage.as_ref();
            settle(storage, &published, &self.settled).await?;
            // A reader of the directory may still be using the last edge.
            let current = right_edge(published.size);
            for id in right_edge(*previous) {
                if *previous < before && !current.contains(&id) && !right_edge(before).contains(&id) {
                    delete(storage, id).await?;
                }
            }
            Ok::<(), StorageError>(())
        })?;
        *previous = before;
        self.health.histogram("bulla_settle_seconds").record(started.elapsed());
        Ok(())
    }
}

/// Makes a published tree durable as objects. The order is the point: tiles, then the head that says they are there, then
/// the checkpoint, and only later is removed what older ones need.
pub(crate) async fn settle(
    storage: &dyn Storage,
    published: &Published,
    settled: &AtomicU64,
) -> Result<(), StorageError> {
    let before = settled.load(Ordering::Acquire);
    for Object { id, path, bytes } in published.tail.objects() {
        if !id.is_full() || end(id) > before {
            storage.put(&path, bytes).await?;
        }
    }
    storage.settle(published.tail.head()).await?;
    settled.store(published.size, Ordering::Release);
    set_checkpoint(storage, published.note.clone()).await
}

/// Removes a partial tile or bundle, and what is beside it.
pub(crate) async fn delete(storage: &dyn Storage, id: TileId) -> Result<(), StorageError> {
    // The leaves first: where they are, all of it is.
    storage.delete(&id.path()).await?;
    if id.kind == TileKind::Entries {
        storage.delete(&beside::times_path(id)).await?;
        storage.delete(&beside::asides_path(id)).await?;
    }
    Ok(())
}

/// The first tree size in which a full tile is full.
fn end(id: TileId) -> u64 {
    let level = match id.kind {
        TileKind::Hashes(level) => u32::from(level),
        TileKind::Entries => 0,
    };
    let leaves = 256_u64.checked_pow(level + 1).and_then(|leaves| leaves.checked_mul(id.index + 1));
    leaves.unwrap_or(u64::MAX)
}

/// Replaces the stored checkpoint.
pub(crate) async fn set_checkpoint(storage: &dyn Storage, note: Bytes) -> Result<(), StorageError> {
    let old = storage.cell(CHECKPOINT).await?;
    if old.as_ref() == Some(&note) || storage.swap(CHECKPOINT, old.as_deref(), note).await? {
        return Ok(());
    }
    Err(StorageError::Unavailable("the checkpoint was changed by another writer".to_owned()))
}

/// A published checkpoint as the history keeps it.
pub(crate) fn kept(published: &Published) -> Kept {
    let at = published.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Kept { at, size: published.size, note: published.note.clone() }
}

/// Follows the writer with the index until the writer is gone.
pub(crate) fn follow(index: &Index, health: &Health, batches: &Receiver<Unindexed>) {
    while let Ok(Unindexed { first, mut hashes }) = batches.recv() {
        std::thread::sleep(GATHER);
        while let Ok(more) = batches.try_recv() {
            hashes.extend(more.hashes);
            if hashes.len() >= 4096 {
                break;
            }
        }
        while let Err(error) = index.extend(first, &hashes) {
            // The writer waits when this falls far behind, so nothing is added without being known.
            tracing::error!(%error, "deduplication index cannot be written");
            match batches.recv_timeout(RETRY) {
                Ok(more) => hashes.extend(more.hashes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        health.gauge("bulla_index_size").set(index.complete() as f64);
    }
}

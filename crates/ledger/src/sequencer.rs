//! The writer: one thread owns the right edge. Whatever arrived while the last commit was on its way
//! to the disk is the next batch, so a lone entry waits for one flush and a flood shares it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bulla_tlog::{Hash, leaf_hash};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::beside::{Addition, MAX_ASIDE};
use crate::index::Index;
use crate::log::Health;
use crate::publisher::{Committed, Published};
use crate::reader::Tree;
use crate::storage::{Staged, Storage, StorageError};
use crate::tail::Tail;

/// A leaf that is in the tree, and the checkpoint that says so. It exists only once that is published.
#[derive(Clone)]
pub struct Sequenced {
    /// Its index, from 0.
    pub index: u64,
    /// Whether it was there before.
    pub duplicate: bool,
    /// A checkpoint that covers the index.
    pub published: Arc<Published>,
}

/// Why a leaf was not added.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddError {
    /// The log has ended; for ever.
    #[error("log frozen")]
    Frozen,
    /// The queue is full; try later.
    #[error("reached max pushback; retry")]
    Full,
    /// The log is being stopped.
    #[error("the log is stopping")]
    Stopping,
    /// Storage or witnesses do not answer. The leaf may still turn out to be in the log.
    #[error("{0}")]
    Unavailable(String),
    /// The leaf does not fit an entry bundle.
    #[error("leaf is {len} bytes, at most 65535 are possible")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The leaf has no bytes.
    #[error("leaf is empty")]
    Empty,
    /// More is to be kept beside the leaf than can be.
    #[error("{len} bytes are to be kept beside the leaf, at most {MAX_ASIDE} are possible")]
    LongAside {
        /// How many.
        len: usize,
    },
    /// The leaf ends before its index would.
    #[error("leaf is {len} bytes, its index needs the {INDEX_LEN} from byte {index_at} on")]
    NoPlace {
        /// Its length in bytes.
        len: usize,
        /// Where the index was to stand.
        index_at: usize,
    },
    /// The index does not fit the bytes that a leaf has for it.
    #[error("index {index} does not fit {INDEX_LEN} bytes")]
    Index {
        /// The index that the leaf would have.
        index: u64,
    },
    /// More leaves at once than one commit holds.
    #[error("{bytes} bytes are to be added at once, at most {MAX_ORDER} are possible")]
    LongOrder {
        /// How many.
        bytes: usize,
    },
}

/// What the writer is told.
pub(crate) enum Order {
    /// Leaves that are committed together.
    Add(Vec<Request>),
    /// Say when it is known what became of all that was accepted before this.
    Barrier(Barrier),
    /// Finish what was accepted before this, then end.
    Stop,
}

/// Who waits until what was accepted before is published, or is known never to be.
pub(crate) type Barrier = oneshot::Sender<Result<(), AddError>>;

/// A leaf on its way into the tree.
pub(crate) struct Request {
    pub(crate) added: Addition,
    pub(crate) state: LeafState,
    pub(crate) reply: oneshot::Sender<Result<Sequenced, AddError>>,
}

/// What is still to be done with the leaf of a request.
pub(crate) enum LeafState {
    /// Nothing: this is its hash.
    Final(Hash),
    /// Its index is to be written at that byte.
    IndexAt(usize),
}

/// Where the answer to a request comes from.
pub(crate) type Answer = oneshot::Receiver<Result<Sequenced, AddError>>;

impl Request {
    fn bytes(&self) -> usize {
        self.added.leaf.len() + self.added.aside.len()
    }
}

/// Who waits for an index to be published.
pub(crate) struct Waiter {
    pub(crate) index: u64,
    pub(crate) duplicate: bool,
    pub(crate) reply: oneshot::Sender<Result<Sequenced, AddError>>,
}

/// Leaves that follow each other, for the index.
pub(crate) struct Unindexed {
    pub(crate) first: u64,
    pub(crate) hashes: Vec<Hash>,
}

/// No order is taken into a batch that holds this many bytes; a journal file must hold it and one order more.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// The most bytes that can be added at once, which is in one commit.
pub const MAX_ORDER: usize = 8 << 20;

/// How many bytes an index has that is written into its leaf.
pub(crate) const INDEX_LEN: usize = 5;

/// How long a batch waits for room in the journal, and how often it looks.
const ROOM_DEADLINE: Duration = Duration::from_secs(5);
const ROOM_POLL: Duration = Duration::from_millis(5);

/// The writer's own state; nobody else has it.
pub(crate) struct Writer {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) tree: Tree,
    pub(crate) index: Arc<Index>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) tail: Tail,
    pub(crate) max_batch: usize,
    pub(crate) publisher: mpsc::Sender<Committed>,
    pub(crate) indexer: SyncSender<Unindexed>,
    pub(crate) settled: Arc<AtomicU64>,
    pub(crate) health: Arc<Health>,
    /// When the last batch was integrated.
    pub(crate) last_at: u64,
    /// Leaves in the tree that the index may not hold yet, and their hashes in order.
    pub(crate) recent: HashMap<Hash, u64>,
    pub(crate) recent_order: VecDeque<(u64, Hash)>,
    /// A batch whose commit failed in a way that left its fate open.
    pub(crate) doubtful: Option<(Tail, Unindexed)>,
}

/// A batch in the making.
struct Batch {
    leaves: Vec<Addition>,
    hashes: Vec<Hash>,
    members: HashMap<Hash, u64>,
    waiters: Vec<Waiter>,
}

impl Writer {
    /// Runs until it is told to stop or nobody can ask any more.
    pub(crate) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut stopping = false;
        while !stopping {
            let Some(first) = orders.blocking_recv() else { break };
            // Entries that are being admitted go first: a task of no work has its turn once a thread of the runtime
            // has done what it had before, so the flush is shared. Where a core is idle it has its turn at once.
            let _ended = self.runtime.block_on(self.runtime.spawn(tokio::task::yield_now()));
            let (mut requests, mut barriers) = (Vec::new(), Vec::new());
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Add(added) => {
                        bytes += added.iter().map(Request::bytes).sum::<usize>();
                        requests.extend(added);
                    }
                    Order::Barrier(barrier) => barriers.push(barrier),
                    Order::Stop => {
                        stopping = true;
                        orders.close();
                    }
                }
                let room = requests.len() < self.max_batch && bytes < MAX_BATCH_BYTES;
                next = if room { orders.try_recv().ok() } else { None };
            }
            self.process(requests, barriers);
        }
        // A closed channel still holds what was accepted before.
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Add(requests) => self.process(requests, Vec::new()),
                Order::Barrier(barrier) => self.process(Vec::new(), vec![barrier]),
                Order::Stop => {}
            }
        }
    }

    fn process(&mut self, requests: Vec<Request>, barriers: Vec<Barrier>) {
        if requests.is_empty() && barriers.is_empty() {
            return;
        }
        if let Err(error) = self.resolve_doubt() {
            self.health.commit_failed(&error);
            refuse(requests.into_iter().map(|request| request.reply), &error);
            refuse(barriers, &error);
            return;
        }
        self.forget_indexed();
        self.tail.forget(self.settled.load(Ordering::Acquire));
        let batch = self.deduplicate(requests);
        let mut tail = self.tail.clone();
        if !batch.leaves.is_empty() {
            let base = tail.size();
            let at = self.now();
            for (added, hash) in batch.leaves.iter().zip(&batch.hashes) {
                tail.append(added.clone(), *hash, at);
            }
            let staged = Staged { base, at, leaves: batch.leaves, head: tail.head() };
            let unindexed = Unindexed { first: base, hashes: batch.hashes };
            if let Err(error) = self.commit(&staged) {
                self.health.commit_failed(&error);
                if matches!(error, StorageError::Unavailable(_)) {
                    self.doubtful = Some((tail, unindexed));
                }
                let error = match (error, self.health.settle_error()) {
                    // No pushback that ends by itself: somebody must make room.
                    (full @ StorageError::Full, Some(cause)) => {
                        StorageError::Unavailable(format!("{full}, which fails: {cause}"))
                    }
                    (error, _) => error,
                };
                refuse(batch.waiters.into_iter().map(|waiter| waiter.reply), &error);
                refuse(barriers, &error);
                return;
            }
            self.adopt(tail.clone(), unindexed);
        }
        // The publisher outlives the writer; if it is gone, so are all who wait.
        let _closed = self.publisher.blocking_send(Committed { tail, waiters: batch.waiters, barriers });
    }

    /// Splits the requests into new leaves and those that are in the tree, or earlier in this batch. A leaf with its index
    /// in it is always new: no other has that index.
    fn deduplicate(&self, requests: Vec<Request>) -> Batch {
        let mut batch =
            Batch { leaves: Vec::new(), hashes: Vec::new(), members: HashMap::new(), waiters: Vec::new() };
        for Request { mut added, state, reply } in requests {
            let index = self.tail.size() + batch.leaves.len() as u64;
            let hash = match state {
                LeafState::Final(hash) => match self.known(&batch, &hash) {
                    Ok(None) => hash,
                    Ok(Some(index)) => {
                        batch.waiters.push(Waiter { index, duplicate: true, reply });
                        continue;
                    }
                    Err(error) => {
                        refuse([reply], &error);
                        continue;
                    }
                },
                LeafState::IndexAt(at) => match numbered(added.leaf, at, index) {
                    Ok(leaf) => {
                        added.leaf = leaf;
                        leaf_hash(&added.leaf)
                    }
                    Err(refusal) => {
                        // A client that went away needs no answer.
                        let _gone = reply.send(Err(refusal));
                        continue;
                    }
                },
            };
            batch.members.insert(hash, index);
            batch.leaves.push(added);
            batch.hashes.push(hash);
            batch.waiters.push(Waiter { index, duplicate: false, reply });
        }
        batch
    }

    /// The time in Unix seconds, but never before that of an earlier leaf: searches by time rely on the order.
    fn now(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.last_at = now.max(self.last_at);
        self.last_at
    }

    fn known(&self, batch: &Batch, hash: &Hash) -> Result<Option<u64>, StorageError> {
        if let Some(index) = batch.members.get(hash).or_else(|| self.recent.get(hash)) {
            return Ok(Some(*index));
        }
        // Until the index holds all but the recent leaves, nothing can be called new.
        let needed = self.recent_order.front().map_or(self.tail.size(), |(index, _)| *index);
        let (tree, tail, index) = (&self.tree, &self.tail, &self.index);
        let found = self.runtime.block_on(tree.find(tail, index, needed, hash));
        found.map_err(|error| StorageError::Unavailable(error.to_string()))
    }

    fn commit(&self, staged: &Staged) -> Result<(), StorageError> {
        let started = Instant::now();
        let mut result = self.runtime.block_on(self.storage.commit(staged));
        // The keeper is making room; meanwhile the queue fills and pushes back. If it cannot, the batch
        // hears so at once.
        while matches!(result, Err(StorageError::Full))
            && started.elapsed() < ROOM_DEADLINE
            && self.health.settle_error().is_none()
        {
            std::thread::sleep(ROOM_POLL);
            result = self.runtime.block_on(self.storage.commit(staged));
        }
        self.health.histogram("bulla_commit_seconds").record(started.elapsed());
        self.health.histogram("bulla_batch_entries").record(staged.leaves.len() as f64);
        result
    }

    /// A commit happened: its tail is ours, and its leaves are known.
    fn adopt(&mut self, tail: Tail, unindexed: Unindexed) {
        for (hash, index) in unindexed.hashes.iter().zip(unindexed.first..) {
            self.recent.insert(*hash, index);
            self.recent_order.push_back((index, *hash));
        }
        self.health.committed(tail.size());
        self.tail = tail;
        // Waits when the index is far behind: that is what bounds `recent`.
        let _closed = self.indexer.send(unindexed);
    }

    /// After a failed commit, asks the storage whether it happened after all.
    fn resolve_doubt(&mut self) -> Result<(), StorageError> {
        let Some((tail, _)) = &self.doubtful else { return Ok(()) };
        let (head, wanted) = (self.runtime.block_on(self.storage.head())?, tail.head());
        if head == wanted {
            if let Some((tail, unindexed)) = self.doubtful.take() {
                self.adopt(tail, unindexed);
            }
            return Ok(());
        }
        if head.size != self.tail.size() {
            let (expected, actual) = (self.tail.size(), head.size);
            return Err(StorageError::Conflict { expected, actual });
        }
        self.doubtful = None;
        Ok(())
    }

    fn forget_indexed(&mut self) {
        let complete = self.index.complete();
        while self.recent_order.front().is_some_and(|(index, _)| *index < complete) {
            if let Some((_, hash)) = self.recent_order.pop_front() {
                self.recent.remove(&hash);
            }
        }
    }
}

/// The leaf with its index at that byte, big-endian.
fn numbered(leaf: Bytes, at: usize, index: u64) -> Result<Bytes, AddError> {
    let (len, bytes) = (leaf.len(), index.to_be_bytes());
    let (high, low) = bytes.split_at(bytes.len() - INDEX_LEN);
    if high.iter().any(|byte| *byte != 0) {
        return Err(AddError::Index { index });
    }
    let mut leaf = Vec::from(leaf);
    let place = at.checked_add(INDEX_LEN).and_then(|end| leaf.get_mut(at..end));
    place.ok_or(AddError::NoPlace { len, index_at: at })?.copy_from_slice(low);
    Ok(leaf.into())
}

fn refuse<T>(replies: impl IntoIterator<Item = oneshot::Sender<Result<T, AddError>>>, error: &StorageError) {
    let refusal = match error {
        StorageError::Full => AddError::Full,
        other => AddError::Unavailable(other.to_string()),
    };
    for reply in replies {
        // A client that went away needs no answer.
        let _gone = reply.send(Err(refusal.clone()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_index_stands_where_it_was_asked_for(leaf in proptest::collection::vec(any::<u8>(), 0..40), at in 0_usize..40, index: u64) {
            let answer = numbered(leaf.clone().into(), at, index);
            if index >= 1 << 40 {
                prop_assert_eq!(answer, Err(AddError::Index { index }));
            } else if at + INDEX_LEN > leaf.len() {
                prop_assert_eq!(answer, Err(AddError::NoPlace { len: leaf.len(), index_at: at }));
            } else {
                let written = answer.expect("fits");
                prop_assert_eq!(&written[..at], &leaf[..at]);
                prop_assert_eq!(&written[at..at + INDEX_LEN], &index.to_be_bytes()[3..]);
                prop_assert_eq!(&written[at + INDEX_LEN..], &leaf[at + INDEX_LEN..]);
            }
        }
    }

    #[test]
    fn the_last_index_that_fits() {
        let leaf = Bytes::from_static(b"12345");
        assert_eq!(numbered(leaf.clone(), 0, (1 << 40) - 1).as_deref(), Ok(&[0xff; 5][..]));
        let refused = numbered(leaf.clone(), 0, 1 << 40).expect_err("does not fit");
        assert_eq!(refused.to_string(), "index 1099511627776 does not fit 5 bytes");
        let refused = numbered(leaf, usize::MAX, 0).expect_err("does not fit");
        assert_eq!(refused, AddError::NoPlace { len: 5, index_at: usize::MAX });
    }
}

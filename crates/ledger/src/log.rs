//! A running log: it is started over a storage, recovers what was committed, and is the handle that
//! the doors hold.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bulla_tlog::checkpoint::Checkpoint;
use bulla_tlog::note::{Signer, Verifier};
use bulla_tlog::{MAX_ENTRY, leaf_hash, right_edge};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::beside::{Addition, MAX_ASIDE};
use crate::cosigners::Cosigners;
use crate::history;
use crate::index::{Index, IndexAt};
use crate::keeper::{self, CHECKPOINT, Keeper, set_checkpoint};
use crate::publisher::{Notary, PublishError, Published, Publisher};
use crate::reader::{Reader, Tree};
use crate::sequencer::{
    AddError, Answer, INDEX_LEN, LeafState, MAX_ORDER, Order, Request, Sequenced, Writer,
};
use crate::source::ReadError;
use crate::storage::{Head, Recovered, Storage, StorageError};
use crate::tail::Tail;

/// How a log is run. Everything is given opened: the ledger sees no configuration.
pub struct Options {
    /// Signs checkpoints; its name is the origin.
    pub signer: Arc<dyn Signer>,
    /// Its other half, to recognise our own stored checkpoint.
    pub verifier: Verifier,
    /// Asks witnesses before publishing, if there is a policy.
    pub cosigners: Option<Arc<Cosigners>>,
    /// Where the deduplication index is.
    pub index: IndexAt,
    /// Entries that may wait for the writer; more are pushed back.
    pub queue: usize,
    /// Entries in one commit.
    pub max_batch: usize,
    /// Bytes of tiles kept in memory for readers.
    pub cache_bytes: u64,
    /// The history keeps at most one checkpoint in this time.
    pub history_interval: Duration,
    /// Take no entries for now: they are refused as by a frozen log.
    pub read_only: bool,
    /// Told while the index is rebuilt: leaves done and leaves in all.
    pub progress: fn(u64, u64),
    /// What its metrics are labelled with as `log`, for a log that is not the only one of its process.
    pub metered_as: Option<&'static str>,
    /// Sign the tree head in force again once its signature is that old, and at the start: for signatures that say when they
    /// were made. Without it a head that stays is signed once.
    pub sign_again_after: Option<Duration>,
}

impl Options {
    /// The defaults, for a signer.
    pub fn new(signer: Arc<dyn Signer>, verifier: Verifier, index: IndexAt) -> Self {
        Options {
            signer,
            verifier,
            cosigners: None,
            index,
            queue: 4096,
            max_batch: 1024,
            cache_bytes: 16 << 20,
            history_interval: Duration::from_mins(1),
            read_only: false,
            progress: |_, _| {},
            metered_as: None,
            sign_again_after: None,
        }
    }
}

/// Why a log does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The storage does not answer or is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What was read is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The stored checkpoint is not ours, or contradicts the tree.
    #[error("the stored checkpoint {0}")]
    Checkpoint(String),
    /// The recovered tree could not be signed or witnessed, so it may not be shown.
    #[error("the recovered tree cannot be published: {0}")]
    Publish(String),
}

impl From<PublishError> for StartError {
    fn from(error: PublishError) -> Self {
        StartError::Publish(error.to_string())
    }
}

/// The handle of a running log; clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    reader: Reader,
    orders: Option<mpsc::Sender<Order>>,
    queue: usize,
    stopping: AtomicBool,
    frozen: AtomicBool,
    health: Arc<Health>,
    storage: Arc<dyn Storage>,
    notary: Notary,
    settled: Arc<AtomicU64>,
    workers: Mutex<Option<Workers>>,
}

struct Workers {
    writer: JoinHandle<()>,
    indexer: JoinHandle<()>,
    publisher: tokio::task::JoinHandle<()>,
    keeper: JoinHandle<Result<(), StorageError>>,
    keeper_orders: SyncSender<keeper::Order>,
}

/// How a log is doing, for health checks and for people.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// It has ended; reads go on.
    pub frozen: bool,
    /// It takes no more entries because it is being stopped.
    pub stopping: bool,
    /// Size of the published tree.
    pub size: u64,
    /// Size of the committed tree.
    pub committed: u64,
    /// When the last batch was committed by this process.
    pub last_commit: Option<SystemTime>,
    /// Why the last commit, publication or settling failed; `None` after a success.
    pub last_error: Option<String>,
    /// When the checkpoint in force was published.
    pub checkpoint_at: SystemTime,
    /// Entries waiting for the writer.
    pub queued: usize,
    /// Bytes of committed batches not yet settled, and how many there may be.
    pub unsettled_bytes: u64,
    /// See `unsettled_bytes`.
    pub capacity_bytes: u64,
    /// Bytes free where the log lives.
    pub free_bytes: Option<u64>,
}

/// What the workers report, each in its own place.
#[derive(Default)]
pub(crate) struct Health {
    state: Mutex<HealthState>,
    /// Of its metrics.
    labels: Vec<(&'static str, &'static str)>,
}

#[derive(Default)]
struct HealthState {
    committed: u64,
    last_commit: Option<SystemTime>,
    commit_error: Option<String>,
    publish_error: Option<String>,
    settle_error: Option<String>,
}

impl Health {
    fn metered_as(log: Option<&'static str>) -> Self {
        Self { labels: log.map(|log| ("log", log)).into_iter().collect(), ..Self::default() }
    }

    /// A gauge of this log.
    pub(crate) fn gauge(&self, name: &'static str) -> metrics::Gauge {
        metrics::gauge!(name, &self.labels)
    }

    /// A histogram of this log.
    pub(crate) fn histogram(&self, name: &'static str) -> metrics::Histogram {
        metrics::histogram!(name, &self.labels)
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn committed(&self, size: u64) {
        let mut state = self.state();
        state.committed = size;
        state.last_commit = Some(SystemTime::now());
        state.commit_error = None;
    }

    pub(crate) fn commit_failed(&self, error: &StorageError) {
        tracing::error!(%error, "batch not committed");
        metrics::counter!("bulla_commit_failures_total", &self.labels).increment(1);
        // A full journal is no failed write: why it stays full is the settling's to say.
        if !matches!(error, StorageError::Full) {
            self.state().commit_error = Some(error.to_string());
        }
    }

    /// Why nothing can be settled, if that is so.
    pub(crate) fn settle_error(&self) -> Option<String> {
        self.state().settle_error.clone()
    }

    pub(crate) fn published(&self, size: u64, at: SystemTime) {
        let mut state = self.state();
        state.publish_error = None;
        if let Some(committed_at) = state.last_commit.filter(|_| state.committed == size) {
            let lag = at.duration_since(committed_at).unwrap_or_default();
            self.histogram("bulla_publish_lag_seconds").record(lag);
        }
    }

    pub(crate) fn publish_failed(&self, error: &str) {
        self.state().publish_error = Some(error.to_owned());
    }

    pub(crate) fn settled(&self) {
        self.state().settle_error = None;
    }

    /// Whether that is news.
    pub(crate) fn settle_failed(&self, error: &StorageError) -> bool {
        let error = Some(error.to_string());
        std::mem::replace(&mut self.state().settle_error, error.clone()) != error
    }
}

impl Log {
    /// Starts a log over an opened storage: recovers, publishes what was recovered, and only then is
    /// there to be asked. A log whose stored checkpoint is frozen starts for reading only.
    pub async fn start(storage: Arc<dyn Storage>, options: Options) -> Result<Log, StartError> {
        let tree = Tree::new(storage.clone(), options.cache_bytes);
        let notary = Notary {
            signer: options.signer.clone(),
            cosigners: options.cosigners.clone(),
            tree: tree.clone(),
        };
        let recovered = storage.recover().await?;
        let mut tail = Tail::settled(storage.as_ref(), recovered.settled).await?;
        if !options.read_only {
            forget_unsettled(storage.as_ref(), &recovered).await?;
        }
        for batch in &recovered.staged {
            tail.apply(batch)?;
        }
        let stored = stored_checkpoint(storage.as_ref(), &options).await?;
        let last_at = match tail.size().checked_sub(1) {
            Some(last) => tree.integrated_at(&tail, last).await?,
            None => 0,
        };
        // Every checkpoint with that leaf was signed later, the one that a crash forgot included.
        options.signer.not_before(last_at.saturating_mul(1000));
        let frozen = stored.as_ref().is_some_and(|(checkpoint, _)| checkpoint.is_frozen());
        let young = stored.is_none() && tail.size() == 0;
        let published = publish_recovered(&notary, &tail, recovered.settled, stored).await?;
        if young && !options.read_only {
            // So that whoever looks at the directory finds a log.
            set_checkpoint(storage.as_ref(), published.note.clone()).await?;
        }

        let index = Arc::new(Index::open(&options.index)?);
        catch_up(&index, &tree, &tail, options.progress).await?;
        let health = Arc::new(Health::metered_as(options.metered_as));
        health.state().committed = tail.size();
        health.gauge("bulla_tree_size").set(published.size as f64);
        let reader = Reader::new(published, index.clone(), tree.clone());

        let settled = Arc::new(AtomicU64::new(recovered.settled.size));
        let shared = |orders, workers| Shared {
            reader: reader.clone(),
            orders,
            queue: options.queue,
            stopping: AtomicBool::new(false),
            frozen: AtomicBool::new(frozen),
            health: health.clone(),
            storage: storage.clone(),
            notary: notary.clone(),
            settled: settled.clone(),
            workers: Mutex::new(workers),
        };
        if frozen || options.read_only {
            return Ok(Log { shared: Arc::new(shared(None, None)) });
        }

        let runtime = tokio::runtime::Handle::current();
        let (orders, orders_in) = mpsc::channel(options.queue.max(1));
        let (committed, committed_in) = mpsc::channel(16);
        let (unindexed, unindexed_in) = sync_channel(64);
        let (keeper_orders, keeper_orders_in) = sync_channel(1);

        let writer = Writer {
            storage: storage.clone(),
            tree: tree.clone(),
            index: index.clone(),
            runtime: runtime.clone(),
            tail,
            max_batch: options.max_batch.max(1),
            publisher: committed,
            indexer: unindexed,
            settled: settled.clone(),
            health: health.clone(),
            last_at,
            recent: HashMap::new(),
            recent_order: VecDeque::new(),
            doubtful: None,
        };
        let answering = Publisher {
            notary: notary.clone(),
            reader: reader.clone(),
            health: health.clone(),
            storage: storage.clone(),
            keeper: keeper_orders.clone(),
            sign_again_after: options.sign_again_after,
        };
        let keeper = Keeper {
            storage: storage.clone(),
            reader: reader.clone(),
            index: index.clone(),
            runtime,
            health: health.clone(),
            settled: settled.clone(),
            history_interval: options.history_interval,
        };
        // The first checkpoint is kept without waiting for an entry.
        let _empty_channel_has_room = keeper_orders.try_send(keeper::Order::Look);
        let spawned = |error: std::io::Error| StorageError::io("cannot start a thread", &error);
        let followed = health.clone();
        let workers = Workers {
            writer: thread("writer", move || writer.run(orders_in)).map_err(spawned)?,
            indexer: thread("indexer", move || keeper::follow(&index, &followed, &unindexed_in))
                .map_err(spawned)?,
            publisher: tokio::spawn(answering.run(committed_in)),
            keeper: thread("keeper", move || keeper.run(&keeper_orders_in)).map_err(spawned)?,
            keeper_orders,
        };
        Ok(Log { shared: Arc::new(shared(Some(orders), Some(workers))) })
    }

    /// Adds a leaf, 1 to 65,535 bytes, unless it is in the tree already, and returns once a checkpoint
    /// that covers it is published.
    pub async fn add(&self, leaf: impl Into<Addition>) -> Result<Sequenced, AddError> {
        self.add_one(leaf.into(), None).await
    }

    /// Adds a leaf that has its own index in it, for formats in which that is hashed and signed: five bytes, big-endian,
    /// written at byte `index_at` when the leaf is sequenced. It is never a duplicate. Refused are a leaf that ends before,
    /// and an index from 2^40 on.
    pub async fn add_numbered(
        &self,
        leaf: impl Into<Addition>,
        index_at: usize,
    ) -> Result<Sequenced, AddError> {
        self.add_one(leaf.into(), Some(index_at)).await
    }

    async fn add_one(&self, leaf: Addition, index_at: Option<usize>) -> Result<Sequenced, AddError> {
        match self.order(vec![leaf], index_at)?.pop() {
            Some(answer) => answer.await.unwrap_or(Err(AddError::Stopping)),
            None => Err(AddError::Empty),
        }
    }

    /// Adds leaves in one commit, so that a crash leaves all of the new ones or none; those that are in the
    /// tree already, or earlier in the list, are answered as duplicates. At most [`MAX_ORDER`] bytes in all.
    pub async fn add_all(&self, leaves: Vec<Addition>) -> Result<Vec<Sequenced>, AddError> {
        let answers = self.order(leaves, None)?;
        let mut sequenced = Vec::with_capacity(answers.len());
        for answer in answers {
            sequenced.push(answer.await.unwrap_or(Err(AddError::Stopping))?);
        }
        Ok(sequenced)
    }

    /// Waits until it is known what became of every leaf that was handed over before: each is published, or will never be.
    /// Also of those whose adding was answered with [`AddError::Unavailable`], or was waited for by nobody any more. It is
    /// refused as adding is.
    pub async fn barrier(&self) -> Result<(), AddError> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(Order::Barrier(reply))?;
        answer.await.unwrap_or(Err(AddError::Stopping))
    }

    /// Hands leaves to the writer, who answers each; with the place that each has for its index, if they have one.
    fn order(&self, leaves: Vec<Addition>, index_at: Option<usize>) -> Result<Vec<Answer>, AddError> {
        for Addition { leaf, aside } in &leaves {
            if leaf.is_empty() {
                return Err(AddError::Empty);
            }
            if leaf.len() > MAX_ENTRY {
                return Err(AddError::TooLong { len: leaf.len() });
            }
            if let Some(index_at) = index_at.filter(|at| at.saturating_add(INDEX_LEN) > leaf.len()) {
                return Err(AddError::NoPlace { len: leaf.len(), index_at });
            }
            if aside.len() > MAX_ASIDE {
                return Err(AddError::LongAside { len: aside.len() });
            }
        }
        let bytes = leaves.iter().map(|added| added.leaf.len() + added.aside.len()).sum();
        if bytes > MAX_ORDER {
            return Err(AddError::LongOrder { bytes });
        }
        let mut answers = Vec::with_capacity(leaves.len());
        let requests = leaves.into_iter().map(|added| {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            let state = index_at.map_or_else(|| LeafState::Final(leaf_hash(&added.leaf)), LeafState::IndexAt);
            Request { added, state, reply }
        });
        self.hand_over(Order::Add(requests.collect()))?;
        Ok(answers)
    }

    fn hand_over(&self, order: Order) -> Result<(), AddError> {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(if self.shared.frozen.load(Ordering::Acquire) {
                AddError::Frozen
            } else {
                AddError::Stopping
            });
        }
        let orders = self.shared.orders.as_ref().ok_or(AddError::Frozen)?;
        orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AddError::Full,
            mpsc::error::TrySendError::Closed(_) => AddError::Stopping,
        })
    }

    /// The read side.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// How the log is doing.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let published = shared.reader.published();
        let queued = shared.orders.as_ref().map_or(0, |orders| shared.queue.max(1) - orders.capacity());
        let state = shared.health.state();
        Status {
            frozen: shared.frozen.load(Ordering::Acquire),
            stopping: shared.stopping.load(Ordering::Acquire),
            size: published.size,
            committed: state.committed,
            last_commit: state.last_commit,
            last_error: [&state.commit_error, &state.publish_error, &state.settle_error]
                .into_iter()
                .find_map(Clone::clone),
            checkpoint_at: published.at,
            queued,
            unsettled_bytes: shared.storage.unsettled_bytes(),
            capacity_bytes: shared.storage.capacity_bytes(),
            free_bytes: shared.storage.free_bytes(),
        }
    }

    /// Stops: takes nothing more, answers what was accepted, settles. Reads go on. Stopping twice is
    /// no error, and settles if it failed before.
    pub async fn stop(&self) -> Result<(), StorageError> {
        self.shared.stopping.store(true, Ordering::Release);
        let workers = self.shared.workers.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(workers) = workers else { return self.settle_again().await };
        if let Some(orders) = &self.shared.orders {
            // Closed already means that the writer has ended.
            let _closed = orders.send(Order::Stop).await;
        }
        let failed = |_| StorageError::Unavailable("a worker of the log panicked".to_owned());
        let ended = tokio::task::spawn_blocking(move || {
            workers.writer.join().map_err(failed)?;
            workers.indexer.join().map_err(failed)
        });
        ended.await.map_err(|_| StorageError::Unavailable("the runtime is going away".to_owned()))??;
        // The writer is gone, so the publisher ends after its last batch, and has told the keeper all.
        let _panicked = workers.publisher.await;
        let settled = tokio::task::spawn_blocking(move || {
            let _gone = workers.keeper_orders.send(keeper::Order::Finish);
            workers.keeper.join().map_err(failed)?
        });
        settled.await.map_err(|_| StorageError::Unavailable("the runtime is going away".to_owned()))?
    }

    /// Settles what a stop could not.
    async fn settle_again(&self) -> Result<(), StorageError> {
        let Shared { reader, settled, storage, orders, .. } = self.shared.as_ref();
        let published = reader.published();
        // Without a writer there was nothing to settle.
        if orders.is_none() || settled.load(Ordering::Acquire) >= published.size {
            return Ok(());
        }
        keeper::settle(storage.as_ref(), &published, settled).await
    }

    /// Ends the log for ever with a final checkpoint that says when (Unix seconds). What was accepted
    /// before is in it. Freezing twice is no error: the first checkpoint stands. If it fails, nothing is taken any
    /// more, and it can be tried again; but a log whose witnesses cannot be reached is not stopped: it must go on if it
    /// cannot end well.
    pub async fn freeze(&self, unix_seconds: u64) -> Result<Arc<Published>, StartError> {
        if !self.status().frozen {
            let tail = &self.reader().published().tail;
            self.shared.notary.attest(tail, &self.shared.notary.checkpoint(tail)).await?;
        }
        self.stop().await?;
        let last = self.reader().published();
        if self.status().frozen {
            return Ok(last);
        }
        // What is committed and could not be published would follow the final checkpoint.
        let head = self.shared.storage.head().await?;
        if head != last.tail.head() {
            let unpublished = head.size.saturating_sub(last.size);
            let problem =
                format!("{unpublished} entries are committed and not published: start the log again first");
            return Err(StorageError::Unavailable(problem).into());
        }
        let notary = &self.shared.notary;
        let note = notary.attest(&last.tail, &notary.checkpoint(&last.tail).freeze(unix_seconds)).await?;
        let published = Arc::new(Published::new(last.tail.clone(), note.to_string(), SystemTime::now()));
        set_checkpoint(self.shared.storage.as_ref(), published.note.clone()).await?;
        history::keep(self.shared.storage.as_ref(), keeper::kept(&published)).await?;
        self.shared.reader.publish(published.clone());
        self.shared.frozen.store(true, Ordering::Release);
        Ok(published)
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Removes the partial tiles and bundles of trees that were committed and not settled: a settling that a
/// crash cut short may have left half of one, and a later settling makes others.
async fn forget_unsettled(storage: &dyn Storage, recovered: &Recovered) -> Result<(), StorageError> {
    let settled: HashSet<_> = right_edge(recovered.settled.size).into_iter().collect();
    let unsettled = recovered.staged.iter().flat_map(|batch| right_edge(batch.head.size));
    let unsettled: HashSet<_> = unsettled.filter(|id| !settled.contains(id)).collect();
    for id in unsettled {
        keeper::delete(storage, id).await?;
    }
    Ok(())
}

/// Our own stored checkpoint, with the note as it was served; the signer goes on from its time, if it says one.
async fn stored_checkpoint(
    storage: &dyn Storage,
    options: &Options,
) -> Result<Option<(Checkpoint, Bytes)>, StartError> {
    let Some(bytes) = storage.cell(CHECKPOINT).await? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| StartError::Checkpoint("is not text".to_owned()))?;
    let (checkpoint, note) = Checkpoint::open(text, &options.verifier)
        .map_err(|error| StartError::Checkpoint(format!("is not one of this log's key: {error}")))?;
    if let Some(at) = options.verifier.signed_at(&note) {
        options.signer.not_before(at);
    }
    Ok(Some((checkpoint, bytes)))
}

/// Publishes the recovered tree: with the stored note when it is of that very size, else with a new
/// one. Nothing older may be shown, for something newer may have been published before.
async fn publish_recovered(
    notary: &Notary,
    tail: &Tail,
    settled: Head,
    stored: Option<(Checkpoint, Bytes)>,
) -> Result<Published, StartError> {
    let head = tail.head();
    if let Some((checkpoint, note)) = stored {
        if checkpoint.size > settled.size {
            let (says, is) = (checkpoint.size, settled.size);
            return Err(StartError::Checkpoint(format!(
                "is of size {says}, but only {is} entries are settled"
            )));
        }
        if checkpoint.size == head.size {
            if checkpoint.root != head.root {
                return Err(StartError::Checkpoint("has another root than the stored tree".to_owned()));
            }
            return Ok(Published::new(tail.clone(), note, SystemTime::now()));
        }
        if checkpoint.is_frozen() {
            return Err(StartError::Checkpoint("is frozen, but entries follow it".to_owned()));
        }
    }
    let note = notary.attest(tail, &notary.checkpoint(tail)).await?;
    Ok(Published::new(tail.clone(), note.to_string(), SystemTime::now()))
}

/// Adds to the index what it does not have: everything, if it was deleted.
pub(crate) async fn catch_up(
    index: &Index,
    tree: &Tree,
    tail: &Tail,
    progress: fn(u64, u64),
) -> Result<(), StartError> {
    let total = tail.size();
    if index.complete() > total {
        return Err(StartError::Storage(StorageError::Corrupt(format!(
            "the deduplication index holds {} entries, the log {total}: delete the index directory, it grows back",
            index.complete()
        ))));
    }
    while index.complete() < total {
        let first = index.complete();
        let mut hashes = Vec::new();
        for leaf in first..total.min(first + 4096) {
            hashes.push(tree.leaf_hash(tail, leaf).await?);
        }
        index.extend(first, &hashes)?;
        progress(index.complete(), total);
    }
    Ok(())
}

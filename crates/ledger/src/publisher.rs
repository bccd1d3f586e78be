//! The publisher: signs the newest committed head, gathers cosignatures when a witness policy asks for
//! them, makes the checkpoint visible, and only then answers those who wait for it. It publishes only
//! forward.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime};

use bulla_tlog::Hash;
use bulla_tlog::checkpoint::Checkpoint;
use bulla_tlog::note::{Note, Signer};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::cosigners::Cosigners;
use crate::keeper;
use crate::log::Health;
use crate::reader::{Reader, Tree};
use crate::sequencer::{AddError, Barrier, Sequenced, Waiter};
use crate::storage::Storage;
use crate::tail::Tail;

/// A checkpoint in force, and the tree it speaks of.
pub struct Published {
    /// Number of leaves.
    pub size: u64,
    /// Root hash of the tree of that size.
    pub root: Hash,
    /// The signed note, as it is served.
    pub note: Bytes,
    /// When it was published.
    pub at: SystemTime,
    pub(crate) tail: Tail,
}

impl Published {
    pub(crate) fn new(tail: Tail, note: impl Into<Bytes>, at: SystemTime) -> Self {
        let head = tail.head();
        Published { size: head.size, root: head.root, note: note.into(), at, tail }
    }
}

/// A committed head, and who waits for it.
pub(crate) struct Committed {
    pub(crate) tail: Tail,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) barriers: Vec<Barrier>,
}

/// Why a head could not be published now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("the checkpoint cannot be signed: {0}")]
    Sign(String),
    #[error("{0}")]
    Quorum(String),
}

/// Signs heads and has them witnessed.
#[derive(Clone)]
pub(crate) struct Notary {
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) cosigners: Option<Arc<Cosigners>>,
    pub(crate) tree: Tree,
}

impl Notary {
    /// The checkpoint of the head of `tail`.
    pub(crate) fn checkpoint(&self, tail: &Tail) -> Checkpoint {
        let head = tail.head();
        let origin = self.signer.name().to_owned();
        Checkpoint { origin, size: head.size, root: head.root, extensions: Vec::new() }
    }

    /// The note of a checkpoint of `tail`, with the cosignatures that the policy demands.
    pub(crate) async fn attest(&self, tail: &Tail, checkpoint: &Checkpoint) -> Result<Note, PublishError> {
        let mut note =
            checkpoint.sign(self.signer.as_ref()).map_err(|error| PublishError::Sign(error.to_string()))?;
        // An empty tree has nothing to witness.
        if let Some(cosigners) = self.cosigners.as_ref().filter(|_| checkpoint.size > 0) {
            let (tree, tail) = (self.tree.clone(), tail.clone());
            let prove = move |old, new| {
                let (tree, tail) = (tree.clone(), tail.clone());
                Box::pin(async move { tree.consistency(&tail, old, new).await })
                    as crate::BoxFuture<'static, _>
            };
            let gathered = cosigners.gather(&note, checkpoint, &prove).await;
            note.signatures.extend(gathered.map_err(|missed| PublishError::Quorum(missed.to_string()))?);
        }
        Ok(note)
    }
}

/// See the module.
pub(crate) struct Publisher {
    pub(crate) notary: Notary,
    pub(crate) reader: Reader,
    pub(crate) health: Arc<Health>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) keeper: SyncSender<keeper::Order>,
    pub(crate) sign_again_after: Option<Duration>,
}

/// How long after a failure the publisher tries again by itself.
const RETRY: Duration = Duration::from_secs(1);

impl Publisher {
    /// Runs until the writer is gone and its last batch is published or refused.
    pub(crate) async fn run(self, mut committed: mpsc::Receiver<Committed>) {
        let mut newest: Option<Tail> = None;
        // The checkpoint that was recovered may be an old one.
        let mut again = self.sign_again_after.map(|_| Duration::ZERO);
        loop {
            // Something is committed and not published: a failure left it, so try again in a while.
            let wait = if newest.is_some() { Some(RETRY) } else { again };
            let received = match wait {
                Some(wait) => tokio::time::timeout(wait, committed.recv()).await,
                None => Ok(committed.recv().await),
            };
            let (mut waiters, mut barriers) = (Vec::new(), Vec::new());
            let mut ended = false;
            match received {
                Ok(Some(first)) => {
                    let mut next = Some(first);
                    while let Some(more) = next {
                        newest = Some(more.tail);
                        waiters.extend(more.waiters);
                        barriers.extend(more.barriers);
                        next = committed.try_recv().ok();
                    }
                }
                Ok(None) => ended = true,
                Err(_elapsed) if newest.is_none() => {
                    again = self.sign_again_after;
                    self.sign_again().await;
                }
                Err(_elapsed) => {}
            }
            if let Some(tail) = newest.take() {
                match self.publish(&tail).await {
                    Ok(()) => self.answer(waiters, barriers),
                    Err(error) => {
                        tracing::error!(%error, size = tail.size(), "checkpoint not published");
                        self.health.publish_failed(&error.to_string());
                        let refusal = AddError::Unavailable(error.to_string());
                        for waiter in waiters {
                            let _gone = waiter.reply.send(Err(refusal.clone()));
                        }
                        for barrier in barriers {
                            let _gone = barrier.send(Err(refusal.clone()));
                        }
                        newest = Some(tail);
                    }
                }
            }
            if ended {
                return;
            }
        }
    }

    async fn publish(&self, tail: &Tail) -> Result<(), PublishError> {
        if tail.size() <= self.reader.published().size {
            return Ok(());
        }
        let published = self.show(tail).await?;
        self.health.gauge("bulla_tree_size").set(published.size as f64);
        self.health.published(published.size, published.at);
        if keeper::wants_settling(self.storage.as_ref()) {
            // A full channel means that the keeper has not looked yet; it will.
            let _busy = self.keeper.try_send(keeper::Order::Look);
        }
        Ok(())
    }

    /// Puts a newer signature under the tree in force.
    async fn sign_again(&self) {
        let tail = self.reader.published().tail.clone();
        if let Err(error) = self.show(&tail).await {
            tracing::error!(%error, size = tail.size(), "checkpoint not signed again");
        }
    }

    async fn show(&self, tail: &Tail) -> Result<Arc<Published>, PublishError> {
        let note = self.notary.attest(tail, &self.notary.checkpoint(tail)).await?;
        let published = Arc::new(Published::new(tail.clone(), note.to_string(), SystemTime::now()));
        self.reader.publish(published.clone());
        Ok(published)
    }

    fn answer(&self, waiters: Vec<Waiter>, barriers: Vec<Barrier>) {
        let published = self.reader.published();
        for Waiter { index, duplicate, reply } in waiters {
            // A client that went away needs no answer; its leaf is in the log all the same.
            let _gone = reply.send(Ok(Sequenced { index, duplicate, published: published.clone() }));
        }
        for barrier in barriers {
            let _gone = barrier.send(Ok(()));
        }
    }
}

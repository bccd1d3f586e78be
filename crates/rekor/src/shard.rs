//! Shards: the trees of a log over time, oldest first. The last one takes entries; the others have ended and are read. Each
//! has its own keys, and both doors answer from all of them.
//!
//! An index that counts through all shards is called *virtual* by v1 clients: the sizes of the older trees, and the index
//! in the entry's own tree. Older trees do not grow, so it stays what it is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bulla_claims::SigningKey;
use bulla_ledger::{Log, Published};
use bulla_tlog::note::{SignError, Verifier};
use bulla_tlog::{Hash, sha256};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::search::Search;
use crate::wire::v1::head;
use crate::wire::v1::id::TreeId;

/// A tree with what signs for it.
pub struct Shard {
    tree: TreeId,
    log: Log,
    verifier: Verifier,
    v2_log_id: Hash,
    v1_key: SigningKey,
    v1_log_id: Hash,
    search: Option<Arc<Search>>,
    /// The newest heads that were signed for v1 clients.
    heads: Mutex<VecDeque<Arc<Head>>>,
}

/// A tree head that is signed for v1 clients once somebody asks.
struct Head {
    size: u64,
    note: Mutex<Option<Arc<str>>>,
}

/// Signed heads that are kept.
const KEPT_HEADS: usize = 32;

impl Shard {
    /// A tree. `verifier` is its v2 key under its origin, which is the name before the tree ID in its v1 checkpoints too;
    /// `v1_key` should be ECDSA P-256, which is what v1 clients verify promises with.
    pub fn new(
        tree: TreeId,
        log: Log,
        verifier: Verifier,
        v1_key: SigningKey,
        search: Option<Arc<Search>>,
    ) -> Self {
        let v1_log_id = sha256(v1_key.spki());
        let v2_log_id = verifier.log_id();
        Self { tree, log, verifier, v2_log_id, v1_key, v1_log_id, search, heads: Mutex::default() }
    }

    /// Its ID.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Its ledger.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its v2 key under its origin.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// What v2 entries name as `logId.keyId`.
    pub fn v2_log_id(&self) -> &Hash {
        &self.v2_log_id
    }

    /// What v1 entries name as `logID`: the hash of the key (reference v1 clients look keys up by it).
    pub fn v1_log_id(&self) -> &Hash {
        &self.v1_log_id
    }

    /// The key of its promises and v1 checkpoints, DER `SubjectPublicKeyInfo`.
    pub fn v1_spki(&self) -> &[u8] {
        self.v1_key.spki()
    }

    /// Its search index, if it has one.
    pub fn search(&self) -> Option<&Search> {
        self.search.as_deref()
    }

    /// The v1 checkpoint of a published tree. Each head is signed once, when it is first asked for; answers that are on
    /// their way at a time speak of several.
    pub(crate) fn v1_checkpoint(&self, published: &Published) -> Result<Arc<str>, SignError> {
        let head = {
            let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
            let known = heads.iter().rev().find(|head| head.size == published.size);
            known.cloned().unwrap_or_else(|| {
                let head = Arc::new(Head { size: published.size, note: Mutex::default() });
                heads.push_back(head.clone());
                if heads.len() > KEPT_HEADS {
                    heads.pop_front();
                }
                head
            })
        };
        // Whoever wants the same head meanwhile waits for it rather than signing it too.
        let mut note = head.note.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(note) = note.as_ref() {
            return Ok(note.clone());
        }
        let signed: Arc<str> = self.v1_head(published.size, &published.root)?.into();
        *note = Some(signed.clone());
        Ok(signed)
    }

    /// The v1 checkpoint of a head of this tree.
    pub(crate) fn v1_head(&self, size: u64, root: &Hash) -> Result<String, SignError> {
        let origin = self.verifier.name();
        let text = head::text(origin, self.tree, size, root);
        let signature = self.v1_key.sign(text.as_bytes())?;
        Ok(head::note(&text, origin, &self.v1_log_id, &signature))
    }

    /// Signs a promise (signed entry timestamp).
    pub(crate) fn promise(&self, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        self.v1_key.sign(payload)
    }
}

/// A shard and where its entries are in the virtual order.
pub struct Placed {
    shard: Shard,
    base: u64,
}

impl Placed {
    /// The virtual index of its first entry.
    pub fn base(&self) -> u64 {
        self.base
    }
}

impl std::ops::Deref for Placed {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

/// Every shard of a log.
pub struct Shards {
    placed: ArcSwap<Vec<Arc<Placed>>>,
    /// Held shared while an entry is added, so that a shard ends between entries.
    writing: RwLock<()>,
}

impl Shards {
    /// Shards from the oldest to the active one. There must be one.
    pub fn new(oldest_first: Vec<Shard>) -> Self {
        let mut placed: Vec<Arc<Placed>> = Vec::with_capacity(oldest_first.len());
        for shard in oldest_first {
            push(&mut placed, shard);
        }
        assert!(!placed.is_empty(), "a log has a shard");
        Self { placed: ArcSwap::from_pointee(placed), writing: RwLock::new(()) }
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Arc<Vec<Arc<Placed>>> {
        self.placed.load_full()
    }

    /// The one that takes entries.
    pub fn active(&self) -> Arc<Placed> {
        let all = self.placed.load();
        all[all.len() - 1].clone()
    }

    /// The one with that ID.
    pub fn of_tree(&self, tree: TreeId) -> Option<Arc<Placed>> {
        self.placed.load().iter().find(|placed| placed.tree == tree).cloned()
    }

    /// The shard in which a virtual index lies and the index in it. What is beyond every tree lies in the active one.
    pub fn at(&self, virtual_index: u64) -> (Arc<Placed>, u64) {
        let all = self.placed.load();
        let after = all.partition_point(|placed| placed.base <= virtual_index);
        let placed = all[after.saturating_sub(1)].clone();
        let index = virtual_index - placed.base;
        (placed, index)
    }

    /// The active shard, which stays active until the guard is dropped.
    pub(crate) async fn writing(&self) -> (RwLockReadGuard<'_, ()>, Arc<Placed>) {
        let guard = self.writing.read().await;
        let active = self.active();
        (guard, active)
    }

    /// Whether one shard is following another at this moment: entries wait, and none is refused.
    pub fn is_turning(&self) -> bool {
        self.writing.try_read().is_err()
    }

    /// Ends the active shard with `end` and begins the one that it makes. Entries that arrive meanwhile wait and go into
    /// the new one; if `end` fails, they go on in the old one.
    pub async fn rotate<E>(&self, end: impl AsyncFnOnce(Arc<Placed>) -> Result<Shard, E>) -> Result<(), E> {
        let _exclusive = self.writing.write().await;
        let next = end(self.active()).await?;
        let mut placed = self.placed.load().as_ref().clone();
        push(&mut placed, next);
        self.placed.store(Arc::new(placed));
        Ok(())
    }
}

fn push(placed: &mut Vec<Arc<Placed>>, shard: Shard) {
    let base = placed.last().map_or(0, |last| last.base + last.log.reader().published().size);
    placed.push(Arc::new(Placed { shard, base }));
}

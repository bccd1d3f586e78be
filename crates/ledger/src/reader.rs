//! The read side: tiles, bundles, entries and proofs of what is published, from the tail in memory, a
//! small cache, or storage.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bulla_tlog::{
    Hash, Node, Plan, TileId, TileKind, TileNodes, WIDTH, edge_nodes, node_hash, sha256, widest,
};
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{Weighter, sync::Cache as WeightedCache};

use crate::beside::Beside;
use crate::history::{self, Kept};
use crate::index::Index;
use crate::publisher::Published;
use crate::source::ReadError;
use crate::storage::Storage;
use crate::tail::{Tail, encode_bundle, stored_beside, stored_times};
use tokio::sync::watch;

/// A tile or bundle as it is served.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Its bytes (C2SP tlog-tiles).
    pub bytes: Bytes,
    /// A strong entity tag, quoted, made of the bytes.
    pub etag: Arc<str>,
}

/// Reads one log; clones share everything.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    published: ArcSwap<Published>,
    watch: watch::Sender<u64>,
    index: Arc<Index>,
    tree: Tree,
}

/// Tiles below the tail, read through a cache. It knows no tree size: whoever asks has one.
#[derive(Clone)]
pub(crate) struct Tree {
    storage: Arc<dyn Storage>,
    full: Arc<WeightedCache<(TileKind, u64), Arc<FullTile>, Bytesize>>,
    hashed: Arc<Cache<(u8, u64), Arc<TileNodes>>>,
    times: Arc<Cache<u64, Arc<[u64]>>>,
}

/// A full tile or bundle; its tag is made when it is first served, not when a proof needs it.
struct FullTile {
    bytes: Bytes,
    etag: OnceLock<Arc<str>>,
}

#[derive(Clone)]
struct Bytesize;

impl Weighter<(TileKind, u64), Arc<FullTile>> for Bytesize {
    fn weight(&self, _: &(TileKind, u64), tile: &Arc<FullTile>) -> u64 {
        tile.bytes.len() as u64 + 200
    }
}

/// Hash tiles kept ready for proofs, 16 KiB each.
const HASHED_TILES: usize = 256;
/// Bundles whose integration times are kept, 2 KiB each.
const TIMED_BUNDLES: usize = 512;

impl Tree {
    pub(crate) fn new(storage: Arc<dyn Storage>, cache_bytes: u64) -> Self {
        let items = (cache_bytes / 8192).max(16) as usize;
        Tree {
            storage,
            full: Arc::new(WeightedCache::with_weighter(items, cache_bytes, Bytesize)),
            hashed: Arc::new(Cache::new(HASHED_TILES)),
            times: Arc::new(Cache::new(TIMED_BUNDLES)),
        }
    }

    /// A full tile or bundle that was settled.
    async fn full(&self, kind: TileKind, index: u64) -> Result<Arc<FullTile>, ReadError> {
        if let Some(tile) = self.full.get(&(kind, index)) {
            return Ok(tile);
        }
        let bytes = self.read_full(kind, index).await?;
        let tile = Arc::new(FullTile { bytes, etag: OnceLock::new() });
        self.full.insert((kind, index), tile.clone());
        Ok(tile)
    }

    /// The same without remembering it.
    async fn read_full(&self, kind: TileKind, index: u64) -> Result<Bytes, ReadError> {
        let path = TileId { kind, index, width: WIDTH as u16 }.path();
        let bytes = self.storage.read(&path).await?;
        let bytes = bytes.ok_or_else(|| ReadError::corrupt(format!("{path} is missing")))?;
        // Narrower tiles are cut out of it, so one that is itself cut short would be served as if it were whole.
        let whole = match kind {
            TileKind::Hashes(_) => bytes.len() as u64 == 32 * WIDTH,
            TileKind::Entries => {
                bulla_tlog::entries(&bytes).is_ok_and(|entries| entries.len() as u64 == WIDTH)
            }
        };
        if !whole {
            return Err(ReadError::corrupt(format!("{path} is damaged: it is not {WIDTH} wide")));
        }
        Ok(bytes)
    }

    /// When a leaf below the size of `tail` was integrated.
    pub(crate) async fn integrated_at(&self, tail: &Tail, index: u64) -> Result<u64, ReadError> {
        let (bundle, within) = (index / WIDTH, (index % WIDTH) as usize);
        let at = if let Some(bundle) = tail.bundle(bundle) {
            bundle.beside.get(within).map(|beside| beside.at)
        } else if let Some(times) = self.times.get(&bundle) {
            times.get(within).copied()
        } else {
            let id = TileId::entries(bundle, WIDTH as u16);
            let times: Arc<[u64]> = stored_times(self.storage.as_ref(), id).await?.into();
            self.times.insert(bundle, times.clone());
            times.get(within).copied()
        };
        at.ok_or_else(|| out_of_range(&format!("the time of entry {index}"), tail.size()))
    }

    async fn node(&self, tail: &Tail, node: Node) -> Result<Hash, ReadError> {
        if let Some(hash) = tail.node(node) {
            return Ok(hash);
        }
        let (level, tile, height, index) = node.in_tile();
        let nodes = if let Some(nodes) = self.hashed.get(&(level, tile)) {
            nodes
        } else {
            let full = self.full(TileKind::Hashes(level), tile).await?;
            let nodes = Arc::new(TileNodes::from_bytes(&full.bytes).map_err(ReadError::corrupt)?);
            self.hashed.insert((level, tile), nodes.clone());
            nodes
        };
        nodes
            .node(height, index)
            .ok_or_else(|| ReadError::corrupt(format!("tile {level}/{tile} is too short")))
    }

    async fn proof(&self, tail: &Tail, plan: &Plan) -> Result<Vec<Hash>, ReadError> {
        let mut hashes = Vec::with_capacity(plan.nodes().len());
        for node in plan.nodes() {
            hashes.push(self.node(tail, *node).await?);
        }
        Ok(plan.finish(&hashes))
    }

    /// The consistency proof (RFC 9162 §2.1.4) between two sizes up to that of `tail`.
    pub(crate) async fn consistency(&self, tail: &Tail, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        let plan = Plan::consistency(old, new).filter(|_| new <= tail.size());
        let plan =
            plan.ok_or_else(|| out_of_range(&format!("consistency from {old} to {new}"), tail.size()))?;
        self.proof(tail, &plan).await
    }

    /// The hash of a leaf below the size of `tail`.
    pub(crate) async fn leaf_hash(&self, tail: &Tail, index: u64) -> Result<Hash, ReadError> {
        self.node(tail, Node { level: 0, index }).await
    }

    /// The leaf at that index with this hash, of those the index names, if there is one. The index is asked once it holds as
    /// many leaves as are `needed`, and grown back before if it must be.
    pub(crate) async fn find(
        &self,
        tail: &Tail,
        index: &Index,
        needed: u64,
        hash: &Hash,
    ) -> Result<Option<u64>, ReadError> {
        for _ in 0..ATTEMPTS {
            let epoch = index.epoch();
            index.heal(self, tail, needed).await?;
            let candidates = match index.candidates(hash) {
                Err(_) if index.is_damaged() => continue,
                candidates => candidates?,
            };
            if index.epoch() != epoch {
                continue;
            }
            for candidate in candidates {
                if candidate < tail.size() && self.leaf_hash(tail, candidate).await? == *hash {
                    return Ok(Some(candidate));
                }
            }
            return Ok(None);
        }
        Err(ReadError::unavailable("the deduplication index is being grown anew"))
    }
}

impl Reader {
    pub(crate) fn new(published: Published, index: Arc<Index>, tree: Tree) -> Self {
        let watch = watch::Sender::new(published.size);
        let published = ArcSwap::from_pointee(published);
        Reader { shared: Arc::new(Shared { published, watch, index, tree }) }
    }

    pub(crate) fn publish(&self, published: Arc<Published>) {
        let size = published.size;
        self.shared.published.store(published);
        self.shared.watch.send_replace(size);
    }

    /// The checkpoint in force.
    pub fn published(&self) -> Arc<Published> {
        self.shared.published.load_full()
    }

    /// A tile or bundle of any width up to what is published, also of sizes that were never published
    /// themselves; `None` beyond.
    pub async fn tile(&self, id: TileId) -> Result<Option<Tile>, ReadError> {
        let published = self.published();
        let tail = &published.tail;
        if widest(id.kind, id.index, tail.size()).is_none_or(|widest| widest.width < id.width) {
            return Ok(None);
        }
        let in_tail = match id.kind {
            TileKind::Hashes(level) => {
                tail.tile(level, id.index).and_then(|tile| tile.bytes(id.width)).map(Bytes::from)
            }
            TileKind::Entries => {
                let bundle = tail.bundle(id.index);
                bundle.and_then(|bundle| bundle.leaves.get(..usize::from(id.width))).map(encode_bundle)
            }
        };
        if let Some(bytes) = in_tail {
            return Ok(Some(tagged(bytes)));
        }
        let full = self.shared.tree.full(id.kind, id.index).await?;
        if id.is_full() {
            let etag = full.etag.get_or_init(|| etag(&full.bytes)).clone();
            return Ok(Some(Tile { bytes: full.bytes.clone(), etag }));
        }
        let len = match id.kind {
            TileKind::Hashes(_) => usize::from(id.width) * 32,
            TileKind::Entries => {
                let entries = bulla_tlog::entries(&full.bytes).map_err(ReadError::corrupt)?;
                entries.iter().take(usize::from(id.width)).map(|entry| entry.len() + 2).sum()
            }
        };
        Ok(Some(tagged(full.bytes.slice(..len))))
    }

    /// The leaf at an index; `None` when it is not published.
    pub async fn entry(&self, index: u64) -> Result<Option<Bytes>, ReadError> {
        let published = self.published();
        if index >= published.size {
            return Ok(None);
        }
        let (bundle, within) = (index / WIDTH, (index % WIDTH) as usize);
        if let Some(bundle) = published.tail.bundle(bundle) {
            return Ok(bundle.leaves.get(within).cloned());
        }
        let full = self.shared.tree.full(TileKind::Entries, bundle).await?;
        let entries = bulla_tlog::entries(&full.bytes).map_err(ReadError::corrupt)?;
        Ok(entries.get(within).map(|entry| full.bytes.slice_ref(entry)))
    }

    /// The published leaves from that index to the end of its entry bundle, and what is kept beside each; none beyond the
    /// end of the log.
    pub async fn leaves_from(&self, index: u64) -> Result<Vec<(Bytes, Beside)>, ReadError> {
        let published = self.published();
        let (bundle, within) = (index / WIDTH, (index % WIDTH) as usize);
        if let Some(bundle) = published.tail.bundle(bundle) {
            let leaves = bundle.leaves.iter().zip(&bundle.beside).skip(within);
            return Ok(leaves.map(|(leaf, beside)| (leaf.clone(), beside.clone())).collect());
        }
        if bundle >= published.size / WIDTH {
            return Ok(Vec::new());
        }
        // Not through the cache: who reads whole bundles reads them once.
        let bytes = self.shared.tree.read_full(TileKind::Entries, bundle).await?;
        let leaves = bulla_tlog::entries(&bytes).map_err(ReadError::corrupt)?;
        let id = TileId::entries(bundle, WIDTH as u16);
        let beside = stored_beside(self.shared.tree.storage.as_ref(), id).await?;
        let leaves = leaves.into_iter().map(|leaf| bytes.slice_ref(leaf));
        Ok(leaves.zip(beside).skip(within).collect())
    }

    /// When a leaf was integrated, in Unix seconds; `None` when it is not published.
    pub async fn integrated_at(&self, index: u64) -> Result<Option<u64>, ReadError> {
        let published = self.published();
        if index >= published.size {
            return Ok(None);
        }
        self.shared.tree.integrated_at(&published.tail, index).await.map(Some)
    }

    /// How many published leaves were integrated before that time, in Unix seconds: the index of the first
    /// that was not.
    pub async fn integrated_before(&self, at: u64) -> Result<u64, ReadError> {
        let published = self.published();
        let (mut low, mut high) = (0, published.size);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.shared.tree.integrated_at(&published.tail, middle).await? < at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The hash of a published leaf; `None` when it is not published.
    pub async fn leaf_hash(&self, index: u64) -> Result<Option<Hash>, ReadError> {
        let published = self.published();
        if index >= published.size {
            return Ok(None);
        }
        self.shared.tree.leaf_hash(&published.tail, index).await.map(Some)
    }

    /// The root of the tree of an earlier size, at most the published one.
    pub async fn root(&self, size: u64) -> Result<Hash, ReadError> {
        let published = self.published();
        if size > published.size {
            return Err(out_of_range(&format!("the root of {size} entries"), published.size));
        }
        let mut root = None;
        for node in edge_nodes(size).iter().rev() {
            let left = self.shared.tree.node(&published.tail, *node).await?;
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
        }
        Ok(root.unwrap_or_else(bulla_tlog::empty_root))
    }

    /// Tells the size of each published tree, or of a later one.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.watch.subscribe()
    }

    /// The inclusion proof (RFC 9162 §2.1.3) of a leaf in a tree of `size`, at most the published one.
    pub async fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        let published = self.published();
        let plan = Plan::inclusion(index, size).filter(|_| size <= published.size);
        let plan = plan.ok_or_else(|| out_of_range(&format!("entry {index} in {size}"), published.size))?;
        self.shared.tree.proof(&published.tail, &plan).await
    }

    /// The consistency proof (RFC 9162 §2.1.4) between two sizes up to the published one.
    pub async fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        self.shared.tree.consistency(&self.published().tail, old, new).await
    }

    /// The index of the published leaf with this hash.
    pub async fn find(&self, leaf_hash: &Hash) -> Result<Option<u64>, ReadError> {
        let (published, index) = (self.published(), &self.shared.index);
        // Leaves that were published a moment ago may not be in the index yet.
        let needed = published.size.saturating_sub(MOST_UNINDEXED);
        index.heal(&self.shared.tree, &published.tail, needed).await?;
        let unindexed = index.complete().max(needed)..published.size;
        if let Some(found) = self
            .shared
            .tree
            .find(&published.tail, index, unindexed.start.min(published.size), leaf_hash)
            .await?
        {
            return Ok(Some(found));
        }
        for recent in unindexed {
            if self.shared.tree.leaf_hash(&published.tail, recent).await? == *leaf_hash {
                return Ok(Some(recent));
            }
        }
        Ok(None)
    }

    /// A page of the checkpoint history, oldest first; `None` behind the last page.
    pub async fn history(&self, page: u64) -> Result<Option<Vec<Kept>>, ReadError> {
        Ok(history::page(self.shared.tree.storage.as_ref(), page).await?)
    }
}

/// Leaves that are looked at one by one at most; the index is never so far behind unless it begins again.
const MOST_UNINDEXED: u64 = 1 << 17;

/// How often an index is asked that begins again meanwhile.
const ATTEMPTS: usize = 4;

fn tagged(bytes: Bytes) -> Tile {
    let etag = etag(&bytes);
    Tile { bytes, etag }
}

fn etag(bytes: &[u8]) -> Arc<str> {
    format!("\"{}\"", &sha256(bytes).to_string()[..32]).into()
}

fn out_of_range(what: &str, size: u64) -> ReadError {
    ReadError::unavailable(format!("{what} was asked of a tree of size {size}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::Memory;

    #[tokio::test]
    async fn a_tile_that_is_cut_short_is_not_served() {
        let storage = Arc::new(Memory::default());
        let tree = Tree::new(storage.clone(), 1 << 20);
        for (kind, path, bytes) in [
            (TileKind::Hashes(0), "tile/0/000", vec![7; 32 * 255]),
            (TileKind::Entries, "tile/entries/000", vec![0, 1, 7]),
            (TileKind::Entries, "tile/entries/001", vec![0, 9, 7]),
        ] {
            storage.put(path, bytes.into()).await.expect("puts");
            let index = u64::from(path.ends_with('1'));
            let error = tree.full(kind, index).await.err().expect("is refused");
            assert_eq!(error, ReadError::corrupt(format!("{path} is damaged: it is not 256 wide")));
        }
    }
}

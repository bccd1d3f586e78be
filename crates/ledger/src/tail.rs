//! The end of the log that is kept in memory: the growing tiles of the right edge, and the full ones
//! that the keeper has not settled yet. A tail is a value: what a reader was given never changes, and
//! a clone shares everything that did not grow.

use std::collections::BTreeMap;
use std::sync::Arc;

use bulla_tlog::{Hash, Node, TileId, TileNodes, WIDTH, edge_nodes, leaf_hash, level_len, node_hash};
use bytes::Bytes;

use crate::storage::{Head, Staged, Storage, StorageError};

/// See the module.
#[derive(Clone)]
pub(crate) struct Tail {
    size: u64,
    /// The growing tile of each level.
    edge: Vec<Arc<TileNodes>>,
    /// The leaves of the growing bundle.
    leaves: Arc<Vec<Bytes>>,
    full: Arc<Full>,
}

/// Full tiles and bundles that storage may not hold yet.
#[derive(Clone, Default)]
struct Full {
    tiles: BTreeMap<(u8, u64), Arc<TileNodes>>,
    bundles: BTreeMap<u64, Arc<Vec<Bytes>>>,
}

impl Tail {
    /// The end of an empty log.
    pub(crate) fn empty() -> Self {
        Tail { size: 0, edge: Vec::new(), leaves: Arc::default(), full: Arc::default() }
    }

    /// The end of a settled log: its right edge, read from storage and checked against its root.
    pub(crate) async fn settled(storage: &dyn Storage, head: Head) -> Result<Self, StorageError> {
        let mut tail = Tail { size: head.size, ..Tail::empty() };
        for level in 0.. {
            let width = (level_len(head.size, level) % WIDTH) as u16;
            if width > 0 {
                let id = TileId::hashes(level, level_len(head.size, level) / WIDTH, width);
                let bytes = must_read(storage, id).await?;
                let nodes = TileNodes::from_bytes(&bytes).map_err(|e| corrupt(id, &e))?;
                tail.edge.push(Arc::new(nodes));
            } else if level_len(head.size, level) == 0 {
                break;
            } else {
                tail.edge.push(Arc::default());
            }
        }
        let width = (head.size % WIDTH) as u16;
        if width > 0 {
            let id = TileId::entries(head.size / WIDTH, width);
            let bundle = must_read(storage, id).await?;
            let leaves = bulla_tlog::entries(&bundle).map_err(|e| corrupt(id, &e))?;
            tail.leaves = Arc::new(leaves.into_iter().map(|leaf| bundle.slice_ref(leaf)).collect());
            for (index, leaf) in tail.leaves.iter().enumerate() {
                if tail.edge[0].node(0, index as u16) != Some(leaf_hash(leaf)) {
                    return Err(corrupt(id, &format!("entry {index} does not match its hash")));
                }
            }
        }
        if tail.leaves.len() as u64 != head.size % WIDTH {
            return Err(corrupt(
                TileId::entries(head.size / WIDTH, width.max(1)),
                &"wrong number of entries",
            ));
        }
        tail.check(head)?;
        Ok(tail)
    }

    /// This tail with a committed batch applied and checked against the head it was committed with.
    pub(crate) fn apply(&mut self, batch: &Staged) -> Result<(), StorageError> {
        for leaf in &batch.leaves {
            self.append(leaf.clone(), leaf_hash(leaf));
        }
        self.check(batch.head)
    }

    fn check(&self, head: Head) -> Result<(), StorageError> {
        if self.head() == head {
            return Ok(());
        }
        Err(StorageError::Corrupt(format!(
            "the stored tree of size {} has root {}, its head says {} for size {}",
            self.size,
            self.head().root,
            head.root,
            head.size
        )))
    }

    /// Adds a leaf with its hash.
    pub(crate) fn append(&mut self, leaf: Bytes, hash: Hash) {
        let bundle = self.size / WIDTH;
        Arc::make_mut(&mut self.leaves).push(leaf);
        if self.leaves.len() as u64 == WIDTH {
            let leaves = std::mem::take(&mut self.leaves);
            Arc::make_mut(&mut self.full).bundles.insert(bundle, leaves);
        }
        let mut carried = Some(hash);
        for level in 0.. {
            let Some(hash) = carried else { break };
            if self.edge.len() == usize::from(level) {
                self.edge.push(Arc::default());
            }
            let tile = &mut self.edge[usize::from(level)];
            // A full tile leaves the edge at once, so the growing one has room.
            carried = Arc::make_mut(tile).push(hash).unwrap_or(None);
            if carried.is_some() {
                let index = level_len(self.size, level) / WIDTH;
                let tile = std::mem::take(tile);
                Arc::make_mut(&mut self.full).tiles.insert((level, index), tile);
            }
        }
        self.size += 1;
    }

    /// Size and root.
    pub(crate) fn head(&self) -> Head {
        let nodes = edge_nodes(self.size);
        let root = nodes
            .iter()
            .rev()
            .filter_map(|node| self.node(*node))
            .reduce(|right, left| node_hash(&left, &right));
        Head { size: self.size, root: root.unwrap_or_else(bulla_tlog::empty_root) }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The hash of a complete subtree, if it lies in this tail.
    pub(crate) fn node(&self, node: Node) -> Option<Hash> {
        let (level, tile, height, index) = node.in_tile();
        self.tile(level, tile)?.node(height, index)
    }

    /// A hash tile, full or growing, if it lies in this tail.
    pub(crate) fn tile(&self, level: u8, index: u64) -> Option<&Arc<TileNodes>> {
        if level_len(self.size, level) / WIDTH == index {
            return self.edge.get(usize::from(level));
        }
        self.full.tiles.get(&(level, index))
    }

    /// The leaves of a bundle, full or growing, if it lies in this tail.
    pub(crate) fn bundle(&self, index: u64) -> Option<&Arc<Vec<Bytes>>> {
        if self.size / WIDTH == index {
            return Some(&self.leaves);
        }
        self.full.bundles.get(&index)
    }

    /// Every object that storage needs to hold this tail's tree: the full tiles and bundles above
    /// what was settled, and the partial ones of the right edge.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (TileId, Bytes)> + '_ {
        let full =
            self.full.tiles.iter().map(|((level, index), tile)| (TileId::hashes(*level, *index, 256), tile));
        let edge = self.edge.iter().enumerate().map(|(level, tile)| {
            let level = level as u8;
            (TileId::hashes(level, level_len(self.size, level) / WIDTH, tile.width()), tile)
        });
        let tiles = full.chain(edge).filter_map(|(id, tile)| Some((id, Bytes::from(tile.bytes(id.width)?))));
        let open = (self.size / WIDTH, &self.leaves);
        let bundles = self.full.bundles.iter().map(|(index, leaves)| (*index, leaves)).chain([open]);
        let bundles = bundles
            .filter(|(_, leaves)| !leaves.is_empty())
            .map(|(index, leaves)| (TileId::entries(index, leaves.len() as u16), encode_bundle(leaves)));
        tiles.chain(bundles)
    }

    /// Forgets the full tiles and bundles of a tree of `size`, which storage now holds.
    pub(crate) fn forget(&mut self, size: u64) {
        if self.full.bundles.keys().next().is_none_or(|first| *first >= size / WIDTH) {
            return;
        }
        let full = Arc::make_mut(&mut self.full);
        full.bundles.retain(|index, _| *index >= size / WIDTH);
        full.tiles.retain(|(level, index), _| *index >= level_len(size, *level) / WIDTH);
    }
}

/// A bundle as it is served (C2SP tlog-tiles).
pub(crate) fn encode_bundle(leaves: &[Bytes]) -> Bytes {
    let mut out = Vec::with_capacity(leaves.iter().map(|leaf| 2 + leaf.len()).sum());
    for leaf in leaves {
        // The writer refuses longer leaves before they are sequenced.
        bulla_tlog::push_entry(&mut out, leaf).expect("a sequenced leaf fits its length prefix");
    }
    Bytes::from(out)
}

async fn must_read(storage: &dyn Storage, id: TileId) -> Result<Bytes, StorageError> {
    let bytes = storage.read(&id.path()).await?;
    bytes.ok_or_else(|| corrupt(id, &"is missing"))
}

fn corrupt(id: TileId, what: &dyn std::fmt::Display) -> StorageError {
    StorageError::Corrupt(format!("{}: {what}", id.path()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulla_tlog::Edge;

    /// The tail's head, nodes and objects agree with the compact range for every size.
    #[tokio::test]
    async fn grows_like_the_tree_it_is() {
        let storage = crate::storage::memory::Memory::default();
        let (mut tail, mut edge) = (Tail::empty(), Edge::new());
        for size in 0..1_200_u64 {
            let head = tail.head();
            assert_eq!((head.size, head.root), (size, edge.root()));
            if size % 97 == 0 || size % 256 < 2 {
                for (id, bytes) in tail.objects() {
                    storage.put(&id.path(), bytes).await.expect("puts");
                }
                let again = Tail::settled(&storage, head).await.expect("reads back");
                assert_eq!(again.head(), head);
                tail.forget(size);
            }
            let leaf = Bytes::from(size.to_string());
            edge.append(leaf_hash(&leaf));
            tail.append(leaf.clone(), leaf_hash(&leaf));
        }
        assert!(tail.full.bundles.len() <= 1, "settled bundles are forgotten");
    }
}

//! The end of the log that is kept in memory: the growing tiles of the right edge, and the full ones
//! that the keeper has not settled yet. A tail is a value: what a reader was given never changes, and
//! a clone shares everything that did not grow.

use std::collections::BTreeMap;
use std::sync::Arc;

use bulla_tlog::{Hash, Node, TileId, TileNodes, WIDTH, edge_nodes, leaf_hash, level_len, node_hash};
use bytes::Bytes;

use crate::beside::{self, Addition, Beside};
use crate::storage::{Head, Staged, Storage, StorageError};

/// See the module.
#[derive(Clone)]
pub(crate) struct Tail {
    size: u64,
    /// The growing tile of each level.
    edge: Vec<Arc<TileNodes>>,
    /// The growing bundle.
    open: Arc<Bundle>,
    full: Arc<Full>,
}

/// The leaves of an entry bundle, and what is kept beside each.
#[derive(Clone, Default)]
pub(crate) struct Bundle {
    pub(crate) leaves: Vec<Bytes>,
    pub(crate) beside: Vec<Beside>,
}

/// Full tiles and bundles that storage may not hold yet.
#[derive(Clone, Default)]
struct Full {
    tiles: BTreeMap<(u8, u64), Arc<TileNodes>>,
    bundles: BTreeMap<u64, Arc<Bundle>>,
}

impl Tail {
    /// The end of an empty log.
    pub(crate) fn empty() -> Self {
        Tail { size: 0, edge: Vec::new(), open: Arc::default(), full: Arc::default() }
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
            let leaves: Vec<_> = leaves.into_iter().map(|leaf| bundle.slice_ref(leaf)).collect();
            tail.open = Arc::new(Bundle { leaves, beside: stored_beside(storage, id).await? });
            for (index, leaf) in tail.open.leaves.iter().enumerate() {
                if tail.edge[0].node(0, index as u16) != Some(leaf_hash(leaf)) {
                    return Err(corrupt(id, &format!("entry {index} does not match its hash")));
                }
            }
        }
        if tail.open.leaves.len() as u64 != head.size % WIDTH {
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
        for added in &batch.leaves {
            self.append(added.clone(), leaf_hash(&added.leaf), batch.at);
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

    /// Adds a leaf with its hash and when it was integrated.
    pub(crate) fn append(&mut self, added: Addition, hash: Hash, at: u64) {
        let index = self.size / WIDTH;
        let open = Arc::make_mut(&mut self.open);
        open.leaves.push(added.leaf);
        open.beside.push(Beside { at, aside: added.aside });
        if open.leaves.len() as u64 == WIDTH {
            let bundle = std::mem::take(&mut self.open);
            Arc::make_mut(&mut self.full).bundles.insert(index, bundle);
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

    /// A bundle, full or growing, if it lies in this tail.
    pub(crate) fn bundle(&self, index: u64) -> Option<&Arc<Bundle>> {
        if self.size / WIDTH == index {
            return Some(&self.open);
        }
        self.full.bundles.get(&index)
    }

    /// Every object that storage needs to hold this tail's tree: the full tiles and bundles above
    /// what was settled, and the partial ones of the right edge.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        let full =
            self.full.tiles.iter().map(|((level, index), tile)| (TileId::hashes(*level, *index, 256), tile));
        let edge = self.edge.iter().enumerate().map(|(level, tile)| {
            let level = level as u8;
            (TileId::hashes(level, level_len(self.size, level) / WIDTH, tile.width()), tile)
        });
        let tiles = full.chain(edge).filter_map(|(id, tile)| {
            Some(Object { id, path: id.path(), bytes: Bytes::from(tile.bytes(id.width)?) })
        });
        let open = (self.size / WIDTH, &self.open);
        let bundles = self.full.bundles.iter().map(|(index, bundle)| (*index, bundle)).chain([open]);
        let bundles = bundles.filter(|(_, bundle)| !bundle.leaves.is_empty()).flat_map(|(index, bundle)| {
            let id = TileId::entries(index, bundle.leaves.len() as u16);
            let beside = [
                Some((beside::times_path(id), beside::encode_times(&bundle.beside))),
                beside::encode_asides(&bundle.beside).map(|bytes| (beside::asides_path(id), bytes)),
            ];
            // The leaves last: where they are, all of it is.
            let all = beside.into_iter().flatten().chain([(id.path(), encode_bundle(&bundle.leaves))]);
            all.map(move |(path, bytes)| Object { id, path, bytes })
        });
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

/// What storage is to hold under a path, and the tile that it belongs to.
pub(crate) struct Object {
    pub(crate) id: TileId,
    pub(crate) path: String,
    pub(crate) bytes: Bytes,
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

/// What is kept beside the leaves of a stored bundle.
pub(crate) async fn stored_beside(storage: &dyn Storage, id: TileId) -> Result<Vec<Beside>, StorageError> {
    let times = stored_times(storage, id).await?;
    let asides = match storage.read(&beside::asides_path(id)).await? {
        Some(bytes) => beside::decode_asides(id, &bytes)?,
        None => vec![Bytes::new(); times.len()],
    };
    Ok(times.into_iter().zip(asides).map(|(at, aside)| Beside { at, aside }).collect())
}

/// When the leaves of a stored bundle were integrated.
pub(crate) async fn stored_times(storage: &dyn Storage, id: TileId) -> Result<Vec<u64>, StorageError> {
    let path = beside::times_path(id);
    let bytes = storage.read(&path).await?;
    let bytes = bytes.ok_or_else(|| StorageError::Corrupt(format!("{path}: is missing")))?;
    beside::decode_times(id, &bytes)
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
                for Object { path, bytes, .. } in tail.objects() {
                    storage.put(&path, bytes).await.expect("puts");
                }
                let again = Tail::settled(&storage, head).await.expect("reads back");
                assert_eq!(again.head(), head);
                tail.forget(size);
            }
            let leaf = Bytes::from(size.to_string());
            edge.append(leaf_hash(&leaf));
            tail.append(leaf.clone().into(), leaf_hash(&leaf), size);
        }
        assert!(tail.full.bundles.len() <= 1, "settled bundles are forgotten");
    }
}

//! The right edge of a tree: the few roots from which it grows and its own root follows (RFC 9162 §2.1.2).

use crate::hash::{Hash, empty_root, node_hash};
use crate::proof::{Node, cover};

/// A tree's size and the roots of the complete subtrees that make it up, one for each bit of the size, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    nodes: Vec<Hash>,
}

impl Edge {
    /// The edge of the tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` leaves from its nodes, in the order of [`edge_nodes`].
    ///
    /// `None` when their number does not fit the size, or when the size is beyond [`MAX_SIZE`].
    pub fn from_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (size <= MAX_SIZE && nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its nodes, largest subtree first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf_hash: Hash) {
        let mut node = leaf_hash;
        for _ in 0..self.size.trailing_ones() {
            let left = self.nodes.pop().expect("an edge has one node for each bit of its size");
            node = node_hash(&left, &node);
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        fold(&self.nodes).unwrap_or_else(empty_root)
    }
}

/// Coordinates of the nodes of [`Edge::nodes`] for a tree of `size` leaves, largest first.
pub fn edge_nodes(size: u64) -> Vec<Node> {
    let mut nodes = Vec::with_capacity(size.count_ones() as usize);
    cover(0, size, &mut nodes);
    nodes
}

/// Root over adjacent complete subtrees, largest first: from the right, each is the right child of the one before.
pub(crate) fn fold(nodes: &[Hash]) -> Option<Hash> {
    nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

/// The largest tree that can be continued: JSON forms of the size are signed, and counting on never overflows.
pub const MAX_SIZE: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use crate::testing::{leaves, recursive_root};

    #[test]
    fn root_and_nodes_follow_the_recursive_definition() {
        let leaves = leaves(600);
        let mut edge = Edge::new();
        for size in 0..=600 {
            assert_eq!(edge.size(), size as u64);
            assert_eq!(edge.root(), recursive_root(&leaves[..size]), "{size}");
            let coordinates = edge_nodes(edge.size());
            assert_eq!(coordinates.len(), edge.nodes().len());
            for (node, hash) in coordinates.iter().zip(edge.nodes()) {
                let start = (node.index << node.level) as usize;
                assert_eq!(*hash, recursive_root(&leaves[start..start + (1 << node.level)]));
            }
            assert_eq!(Edge::from_nodes(edge.size(), edge.nodes().to_vec()).as_ref(), Some(&edge));
            if let Some(leaf) = leaves.get(size) {
                edge.append(*leaf);
            }
        }
    }

    #[test]
    fn an_edge_with_other_than_one_node_a_bit_is_refused() {
        let hash = leaf_hash(b"");
        assert_eq!(Edge::from_nodes(3, vec![hash]), None);
        assert_eq!(Edge::from_nodes(0, vec![hash]), None);
        assert_eq!(Edge::from_nodes(0, vec![]), Some(Edge::new()));
        assert_eq!(Edge::from_nodes(u64::MAX, vec![hash; 64]), None);
        let mut large = Edge::from_nodes(MAX_SIZE, vec![hash; 63]).unwrap();
        large.append(hash);
        assert_eq!(large.nodes().len(), 1);
        assert_eq!(edge_nodes(u64::MAX).len(), 64);
    }
}

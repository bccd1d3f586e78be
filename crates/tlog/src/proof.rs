//! Inclusion and consistency proofs in three steps, so that storage stays outside: plan the nodes, fetch them, finish
//! the proof (RFC 9162 §2.1.3, §2.1.4). Verification needs no tree at all.

use crate::edge::fold;
use crate::hash::{Hash, empty_root, node_hash};

/// The complete subtree number `index` of 2^`level` leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Node {
    /// Binary level, 0 are the leaves.
    pub level: u8,
    /// Its number on that level.
    pub index: u64,
}

impl Node {
    /// Where tiles hold it: tile level, tile index, height inside the tile (0..=7), index at that height.
    pub fn in_tile(self) -> (u8, u64, u8, u16) {
        let height = self.level % 8;
        let bits = 8 - height;
        (self.level / 8, self.index >> bits, height, (self.index & ((1 << bits) - 1)) as u16)
    }
}

/// What to fetch for a proof, and how to put it together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    nodes: Vec<Node>,
    /// How many of the nodes make each hash of the proof: more than one where a subtree is not complete.
    groups: Vec<usize>,
}

impl Plan {
    /// Proof that leaf `index` is in the tree of `size` leaves; `None` when it is not.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut start, mut end) = (0, size);
        let mut siblings = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                siblings.push((middle, end));
                end = middle;
            } else {
                siblings.push((start, middle));
                start = middle;
            }
        }
        Some(Self::of(siblings))
    }

    /// Proof that the tree of `old` leaves is the beginning of the one of `new` leaves; `None` when `old` is larger.
    ///
    /// It is empty when `old` is 0 or equal to `new`.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        if old > new {
            return None;
        }
        let (mut start, mut end) = (0, new);
        let mut siblings = Vec::new();
        while old > 0 && end > old {
            let middle = start + split(end - start);
            if old <= middle {
                siblings.push((middle, end));
                end = middle;
            } else {
                siblings.push((start, middle));
                start = middle;
            }
        }
        // The subtree that ends where the old tree ends; from 0 it is the old root, which the verifier has.
        if start > 0 {
            siblings.push((start, end));
        }
        Some(Self::of(siblings))
    }

    /// From the ranges beside the way from the root down; a proof lists them from the bottom up.
    fn of(siblings: Vec<(u64, u64)>) -> Self {
        let mut plan = Self { nodes: Vec::new(), groups: Vec::with_capacity(siblings.len()) };
        for (start, end) in siblings.into_iter().rev() {
            let before = plan.nodes.len();
            cover(start, end, &mut plan.nodes);
            plan.groups.push(plan.nodes.len() - before);
        }
        plan
    }

    /// The nodes to fetch, at most one incomplete subtree's worth more than the proof is long.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The proof, from the hashes of [`Plan::nodes`] in the same order.
    ///
    /// # Panics
    /// When there is not exactly one hash for each node, which is a mistake of the caller's code.
    pub fn finish(&self, fetched: &[Hash]) -> Vec<Hash> {
        assert_eq!(fetched.len(), self.nodes.len(), "a plan is finished with one hash for each node");
        let mut rest = fetched;
        let mut proof = Vec::with_capacity(self.groups.len());
        for &len in &self.groups {
            let (group, after) = rest.split_at(len);
            proof.extend(fold(group));
            rest = after;
        }
        proof
    }
}

/// Why a proof does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofError {
    /// The leaf is beyond the tree.
    #[error("index {index} is not below the tree size {size}")]
    Index {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The old tree is larger than the new one.
    #[error("old size {old} is above the new size {new}")]
    Sizes {
        /// Size of the old tree.
        old: u64,
        /// Size of the new tree.
        new: u64,
    },
    /// The proof has more or fewer hashes than the tree's shape asks for.
    #[error("proof has {len} hashes, {expected} were expected")]
    Length {
        /// How many it has.
        len: usize,
        /// How many it needs.
        expected: usize,
    },
    /// The proof leads to another root of the tree.
    #[error("proof leads to root {computed}, the tree has {root}")]
    Root {
        /// Where it leads.
        computed: Hash,
        /// The root that was given.
        root: Hash,
    },
    /// The proof leads to another root of the old tree.
    #[error("proof leads to root {computed} of the old tree, it has {root}")]
    OldRoot {
        /// Where it leads.
        computed: Hash,
        /// The root that was given.
        root: Hash,
    },
}

/// Whether the tree of `size` leaves and `root` has that leaf at `index` (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    let plan = Plan::inclusion(index, size).ok_or(ProofError::Index { index, size })?;
    expect_len(proof, plan.groups.len())?;
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // On the right edge, a node without a right sibling is its own parent.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    expect_root(hash, root)
}

/// Whether the tree of `old` leaves is the beginning of the tree of `new` leaves (RFC 9162 §2.1.4.2).
///
/// The empty tree begins every tree, and takes no proof.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let plan = Plan::consistency(old, new).ok_or(ProofError::Sizes { old, new })?;
    expect_len(proof, plan.groups.len())?;
    if old == 0 {
        return expect_old_root(empty_root(), old_root);
    }
    if old == new {
        return expect_root(*old_root, new_root);
    }
    // The walk starts at the largest subtree that ends where the old tree ends.
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (first, rest) = match proof {
        [first, rest @ ..] if !old.is_power_of_two() => (first, rest),
        _ => (old_root, proof),
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    expect_old_root(old_hash, old_root)?;
    expect_root(new_hash, new_root)
}

/// Appends the complete subtrees that make up the leaves `start..end`, largest first, where `start` is a place at which
/// a tree splits.
pub(crate) fn cover(start: u64, end: u64, nodes: &mut Vec<Node>) {
    let mut start = start;
    while start < end {
        let level = (end - start).ilog2();
        nodes.push(Node { level: level as u8, index: start >> level });
        start += 1 << level;
    }
}

/// The largest power of two below `len`, for a `len` of at least 2.
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

fn expect_len(proof: &[Hash], expected: usize) -> Result<(), ProofError> {
    if proof.len() == expected { Ok(()) } else { Err(ProofError::Length { len: proof.len(), expected }) }
}

fn expect_root(computed: Hash, root: &Hash) -> Result<(), ProofError> {
    if computed == *root { Ok(()) } else { Err(ProofError::Root { computed, root: *root }) }
}

fn expect_old_root(computed: Hash, root: &Hash) -> Result<(), ProofError> {
    if computed == *root { Ok(()) } else { Err(ProofError::OldRoot { computed, root: *root }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{leaves, recursive_path, recursive_proof, recursive_root};

    /// Fetches from the definition, not from tiles.
    fn finish(plan: &Plan, leaves: &[Hash]) -> Vec<Hash> {
        let fetched: Vec<_> = plan
            .nodes()
            .iter()
            .map(|node| {
                let start = (node.index << node.level) as usize;
                recursive_root(&leaves[start..start + (1 << node.level)])
            })
            .collect();
        plan.finish(&fetched)
    }

    /// Every way to spoil one hash, the length, or the order of a proof.
    fn spoiled(proof: &[Hash]) -> Vec<Vec<Hash>> {
        let mut all = vec![[proof, &[Hash([9; 32])]].concat()];
        for index in 0..proof.len() {
            let mut flipped = proof.to_vec();
            flipped[index].0[31] ^= 1;
            let mut missing = proof.to_vec();
            missing.remove(index);
            all.extend([flipped, missing]);
        }
        if proof.len() > 1 {
            all.push(proof.iter().rev().copied().collect());
        }
        all
    }

    #[test]
    fn inclusion_of_every_index_in_every_size() {
        let leaves = leaves(132);
        for size in 1..=leaves.len() {
            let root = recursive_root(&leaves[..size]);
            for index in 0..size {
                let plan = Plan::inclusion(index as u64, size as u64).unwrap();
                let proof = finish(&plan, &leaves[..size]);
                assert_eq!(proof, recursive_path(index, &leaves[..size]), "{index} in {size}");
                let verify = |leaf, index: usize, proof: &[Hash], root| {
                    verify_inclusion(leaf, index as u64, size as u64, proof, root)
                };
                assert_eq!(verify(&leaves[index], index, &proof, &root), Ok(()));
                assert!(verify(&Hash([7; 32]), index, &proof, &root).is_err());
                assert!(verify(&leaves[index], index, &proof, &Hash([7; 32])).is_err());
                if index > 0 {
                    assert!(verify(&leaves[index], index - 1, &proof, &root).is_err());
                }
            }
            assert_eq!(Plan::inclusion(size as u64, size as u64), None);
        }
    }

    #[test]
    fn consistency_of_every_pair_of_sizes() {
        let leaves = leaves(132);
        let roots: Vec<_> = (0..=leaves.len()).map(|size| recursive_root(&leaves[..size])).collect();
        for new in 0..=leaves.len() {
            for old in 0..=new {
                let proof = finish(&Plan::consistency(old as u64, new as u64).unwrap(), &leaves);
                if old > 0 {
                    assert_eq!(proof, recursive_proof(old, &leaves[..new], true), "{old} to {new}");
                }
                let verify = |old_root, new_root, proof: &[Hash]| {
                    verify_consistency(old as u64, new as u64, old_root, new_root, proof)
                };
                assert_eq!(verify(&roots[old], &roots[new], &proof), Ok(()));
                assert!(verify(&Hash([7; 32]), &roots[new], &proof).is_err());
                if old > 0 {
                    assert!(verify(&roots[old], &Hash([7; 32]), &proof).is_err());
                }
            }
        }
    }

    #[test]
    fn spoiled_proofs_do_not_hold() {
        let leaves = leaves(40);
        let roots: Vec<_> = (0..=leaves.len()).map(|size| recursive_root(&leaves[..size])).collect();
        for new in 1..=leaves.len() {
            for old in 0..new {
                let path = recursive_path(old, &leaves[..new]);
                for bad in spoiled(&path) {
                    verify_inclusion(&leaves[old], old as u64, new as u64, &bad, &roots[new]).unwrap_err();
                }
                let proof = finish(&Plan::consistency(old as u64, new as u64).unwrap(), &leaves);
                for bad in spoiled(&proof) {
                    verify_consistency(old as u64, new as u64, &roots[old], &roots[new], &bad).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn refusals_say_what_was_expected() {
        let [a, b] = [Hash([0xaa; 32]), Hash([0xbb; 32])];
        let said = |result: Result<(), ProofError>| result.unwrap_err().to_string();
        assert_eq!(said(verify_inclusion(&a, 3, 3, &[], &a)), "index 3 is not below the tree size 3");
        assert_eq!(said(verify_inclusion(&a, 1, 3, &[a], &a)), "proof has 1 hashes, 2 were expected");
        assert_eq!(
            said(verify_inclusion(&a, 0, 1, &[], &b)),
            format!("proof leads to root {a}, the tree has {b}")
        );
        assert_eq!(said(verify_consistency(4, 3, &a, &b, &[])), "old size 4 is above the new size 3");
        assert_eq!(said(verify_consistency(1, 3, &a, &b, &[])), "proof has 0 hashes, 2 were expected");
        assert_eq!(said(verify_consistency(3, 3, &a, &a, &[b])), "proof has 1 hashes, 0 were expected");
        assert_eq!(
            said(verify_consistency(0, 3, &a, &b, &[])),
            format!("proof leads to root {} of the old tree, it has {a}", empty_root())
        );
    }

    #[test]
    fn nodes_in_tiles() {
        assert_eq!(Node { level: 0, index: 257 }.in_tile(), (0, 1, 0, 1));
        assert_eq!(Node { level: 7, index: 3 }.in_tile(), (0, 1, 7, 1));
        assert_eq!(Node { level: 8, index: 300 }.in_tile(), (1, 1, 0, 44));
        assert_eq!(Node { level: 19, index: 65 }.in_tile(), (2, 2, 3, 1));
        assert_eq!(Node { level: 63, index: 1 }.in_tile(), (7, 0, 7, 1));
    }

    proptest! {
        #[test]
        fn plans_of_any_size_are_short(a: u64, b: u64, shift in 0_u32..64) {
            let (a, b) = (a >> shift, b >> shift);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert_eq!(Plan::consistency(high, low).is_some(), high == low);
            prop_assert!(Plan::consistency(low, high).unwrap().nodes().len() <= 129);
            prop_assert_eq!(Plan::inclusion(low, high).is_some(), low < high);
            for node in Plan::inclusion(low, high).iter().flat_map(Plan::nodes) {
                let end = (u128::from(node.index) + 1) << node.level;
                prop_assert!(end <= u128::from(high));
            }
        }

        #[test]
        fn verification_of_anything_only_fails(old: u64, new: u64, len in 0_usize..70, hash: [u8; 32]) {
            let proof = vec![Hash(hash); len];
            let (root, other) = (Hash(hash), Hash([1; 32]));
            if new > 1 {
                prop_assert!(verify_inclusion(&root, old % new, new, &proof, &other).is_err());
            }
            prop_assert!(verify_consistency(old, new, &other, &root, &proof).is_err() || old == 0);
        }
    }
}

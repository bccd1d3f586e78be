//! Slow and obvious definitions that the tests of this crate compare with (RFC 6962 §2.1).

use crate::hash::{Hash, empty_root, leaf_hash, node_hash};

/// Leaf hashes of the synthetic tree: leaf i is the ASCII decimal of i.
pub(crate) fn leaves(size: usize) -> Vec<Hash> {
    (0..size).map(|index| leaf_hash(index.to_string().as_bytes())).collect()
}

/// MTH.
pub(crate) fn recursive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&recursive_root(left), &recursive_root(right))
        }
    }
}

/// PATH.
pub(crate) fn recursive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = match index.checked_sub(left.len()) {
        None => (recursive_path(index, left), right),
        Some(index) => (recursive_path(index, right), left),
    };
    path.push(recursive_root(sibling));
    path
}

/// PROOF, and SUBPROOF with its flag `whole`.
pub(crate) fn recursive_proof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![recursive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut proof, sibling) = if old <= left.len() {
        (recursive_proof(old, left, whole), right)
    } else {
        (recursive_proof(old - left.len(), right, false), left)
    };
    proof.push(recursive_root(sibling));
    proof
}

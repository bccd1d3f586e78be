//! The mathematics of a tile log: leaves, tiles, proofs, notes, checkpoints, cosignatures.
//!
//! Nothing here does I/O, reads a clock, draws randomness or waits: time, storage and the network are arguments. What
//! is read from outside is bounded before it is parsed.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod add_checkpoint;
pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
pub mod der;
pub mod edge;
pub mod hash;
pub mod nodes;
pub mod note;
pub mod policy;
pub mod proof;
pub mod rfc6962;
pub mod tile;
pub mod tlog_proof;

mod spki;
mod vkey;

#[cfg(test)]
mod testing;

pub use bundle::{BundleError, EntryTooLong, MAX_ENTRY, entries, push_entry};
pub use checkpoint::{Checkpoint, CheckpointError, OpenError};
pub use edge::{Edge, MAX_SIZE, edge_nodes};
pub use hash::{Hash, empty_root, leaf_hash, node_hash, sha256};
pub use nodes::{TileFull, TileLengthError, TileNodes};
pub use proof::{Node, Plan, ProofError, verify_consistency, verify_inclusion};
pub use tile::{TileId, TileKind, TilePathError, WIDTH, level_len, right_edge, widest};

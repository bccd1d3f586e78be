//! The nodes inside one hash tile, hashed once as the tile grows, so that a proof never hashes a tile again.

use crate::hash::{Hash, node_hash};
use crate::tile::WIDTH;

/// A growing hash tile: its hashes, and the root of every complete subtree of them.
///
/// All nodes lie in one vector in the order in which they became complete (each right after its right child), so growth
/// only appends: what a reader found at a place stays there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TileNodes {
    nodes: Vec<Hash>,
    width: u16,
}

/// A tile that already holds 256 hashes was given another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("tile is full, it holds 256 hashes")]
pub struct TileFull;

/// Bytes that cannot be a hash tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("hash tile is {len} bytes, 32 to 8192 in steps of 32 were expected")]
pub struct TileLengthError {
    /// How many bytes there were.
    pub len: usize,
}

impl TileNodes {
    /// A tile without hashes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a tile as it is served: 1 to 256 hashes, one after the other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TileLengthError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.is_empty() || hashes.len() as u64 > WIDTH || !rest.is_empty() {
            return Err(TileLengthError { len: bytes.len() });
        }
        let mut tile = Self { nodes: Vec::with_capacity(2 * hashes.len()), width: 0 };
        for hash in hashes {
            tile.push(Hash(*hash)).map_err(|TileFull| TileLengthError { len: bytes.len() })?;
        }
        Ok(tile)
    }

    /// How many hashes it holds, 0..=256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Adds a hash and completes the nodes above it; gives the root of the tile when this hash filled it.
    pub fn push(&mut self, hash: Hash) -> Result<Option<Hash>, TileFull> {
        if u64::from(self.width) == WIDTH {
            return Err(TileFull);
        }
        self.nodes.push(hash);
        self.width += 1;
        let mut top = hash;
        for height in 1..=self.width.trailing_zeros() as u8 {
            let left = self.nodes[place(height - 1, (self.width >> (height - 1)) - 2)];
            top = node_hash(&left, &top);
            self.nodes.push(top);
        }
        Ok((u64::from(self.width) == WIDTH).then_some(top))
    }

    /// Root of the subtree number `index` of 2^`height` hashes, `height` 0..=8, if it is complete.
    pub fn node(&self, height: u8, index: u16) -> Option<Hash> {
        let end = u64::from(index).checked_add(1)?.checked_shl(height.into()).filter(|_| height <= 8)?;
        (end <= u64::from(self.width)).then(|| self.nodes[place(height, index)])
    }

    /// Root of the whole tile, which is its hash one tile level up, once it is full.
    pub fn root(&self) -> Option<Hash> {
        self.node(8, 0)
    }

    /// The tile of that width as it is served, if it holds as many hashes; 0 gives none.
    pub fn bytes(&self, width: u16) -> Option<Vec<u8>> {
        if width == 0 || width > self.width {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::from(width) * 32);
        for index in 0..width {
            bytes.extend_from_slice(&self.nodes[place(0, index)].0);
        }
        Some(bytes)
    }
}

/// Where a node lies: n hashes complete 2n - popcount(n) nodes, and a hash's own node comes before those it completes.
fn place(height: u8, index: u16) -> usize {
    let last = ((usize::from(index) + 1) << height) - 1;
    2 * last - last.count_ones() as usize + usize::from(height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    fn leaf(index: u16) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    fn expected(height: u8, index: u16) -> Hash {
        match height {
            0 => leaf(index),
            _ => node_hash(&expected(height - 1, 2 * index), &expected(height - 1, 2 * index + 1)),
        }
    }

    #[test]
    fn every_node_of_every_width() {
        let mut tile = TileNodes::new();
        assert_eq!(tile.node(0, 0), None);
        assert_eq!(tile.bytes(0), None);
        for width in 1..=256_u16 {
            let root = tile.push(leaf(width - 1)).unwrap();
            assert_eq!(root.is_some(), width == 256);
            for height in 0..=8 {
                let complete = width >> height;
                if complete > 0 {
                    assert_eq!(tile.node(height, complete - 1), Some(expected(height, complete - 1)));
                }
                assert_eq!(tile.node(height, complete), None);
            }
            assert_eq!(tile.node(9, 0), None);
            let bytes = tile.bytes(width).unwrap();
            assert_eq!(TileNodes::from_bytes(&bytes).unwrap(), tile);
            assert_eq!(bytes[..32], leaf(0).0);
            assert_eq!(tile.bytes(width + 1), None);
        }
        assert_eq!(tile.root(), Some(expected(8, 0)));
        assert_eq!(tile.push(leaf(0)), Err(TileFull));
        assert_eq!(tile.node(0, u16::MAX), None);
        assert_eq!(tile.node(u8::MAX, u16::MAX), None);
        for height in 0..=8 {
            for index in 0..256 >> height {
                assert_eq!(tile.node(height, index), Some(expected(height, index)));
            }
        }
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        for len in [0, 1, 31, 33, 8191, 8193, 8224] {
            assert_eq!(TileNodes::from_bytes(&vec![0; len]), Err(TileLengthError { len }));
        }
    }
}

//! The rim of a tree that is being rebuilt from its left end: of every tile level above the leaves, the one tile that
//! is not full yet. It is all that has to be remembered of any number of entries.

use bulla_tlog::{Hash, TileId, TileNodes, WIDTH, empty_root, level_len, node_hash};

/// A tree of full level-0 tiles.
#[derive(Clone, Default)]
pub(super) struct Rim {
    /// How many level-0 tiles there are.
    tiles: u64,
    /// The tile in progress at each tile level from 1 up.
    uppers: Vec<TileNodes>,
}

impl Rim {
    /// A rim that was saved: of a tree of `size` leaves, the hashes in progress of each level from 1 up.
    pub(super) fn restore(size: u64, levels: &[Vec<Hash>]) -> Option<Self> {
        if !size.is_multiple_of(WIDTH) {
            return None;
        }
        // Level 8 of a tree whose size fits 64 bits has no hash.
        let in_progress = |level: u8| (level_len(size, level) % WIDTH) as usize;
        let height = (1..8).rev().find(|&level| level_len(size, level) > 0).unwrap_or(0);
        if levels.len() != usize::from(height) {
            return None;
        }
        let mut uppers = Vec::with_capacity(levels.len());
        for (level, hashes) in (1..).zip(levels) {
            if hashes.len() != in_progress(level) {
                return None;
            }
            let mut tile = TileNodes::new();
            for hash in hashes {
                tile.push(*hash).ok()?;
            }
            uppers.push(tile);
        }
        Some(Self { tiles: size / WIDTH, uppers })
    }

    /// What [`Rim::restore`] needs besides the size.
    pub(super) fn levels(&self) -> Vec<Vec<Hash>> {
        let hashes = |tile: &TileNodes| (0..tile.width()).filter_map(|index| tile.node(0, index)).collect();
        self.uppers.iter().map(hashes).collect()
    }

    /// Leaves in the full tiles.
    pub(super) fn size(&self) -> u64 {
        self.tiles * WIDTH
    }

    /// Adds the next level-0 tile by its root; gives the upper tiles that became full with it, lowest first.
    pub(super) fn add(&mut self, root: Hash) -> Vec<(TileId, TileNodes)> {
        let (mut full, mut carry) = (Vec::new(), Some(root));
        let mut level = 0;
        while let Some(hash) = carry {
            if self.uppers.len() == level {
                self.uppers.push(TileNodes::new());
            }
            // A tile is taken away when it is full, so there is always room.
            carry = self.uppers[level].push(hash).ok().flatten();
            level += 1;
            if carry.is_some() {
                let index = self.tiles / WIDTH.pow(level as u32);
                let tile = std::mem::take(&mut self.uppers[level - 1]);
                full.push((TileId::hashes(level as u8, index, WIDTH as u16), tile));
            }
        }
        self.tiles += 1;
        full
    }

    /// The upper tiles that are not full, lowest first.
    pub(super) fn partials(&self) -> impl Iterator<Item = (TileId, &TileNodes)> {
        (1_u8..).zip(&self.uppers).filter(|(_, tile)| tile.width() > 0).map(|(level, tile)| {
            let index = level_len(self.size(), level) / WIDTH;
            (TileId::hashes(level, index, tile.width()), tile)
        })
    }

    /// The same tree with another tile in progress at that level, which must be one of [`Rim::partials`].
    pub(super) fn with(&self, level: u8, tile: TileNodes) -> Self {
        let mut other = self.clone();
        if let Some(place) = other.uppers.get_mut(usize::from(level).wrapping_sub(1)) {
            *place = tile;
        }
        other
    }

    /// Root of this tree followed by the first `width` hashes, fewer than 256, of one more level-0 tile.
    pub(super) fn root(&self, leaves: &TileNodes, width: u16) -> Hash {
        let mut nodes = Vec::new();
        for tile in self.uppers.iter().rev() {
            cover(tile, tile.width(), &mut nodes);
        }
        cover(leaves, width, &mut nodes);
        nodes.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

/// The complete subtrees over the first `width` hashes of a tile, largest first.
fn cover(tile: &TileNodes, width: u16, nodes: &mut Vec<Hash>) {
    let mut start = 0_u16;
    for height in (0..=8_u8).rev() {
        if width >> height & 1 == 1 {
            nodes.extend(tile.node(height, start >> height));
            start += 1 << height;
        }
    }
}

#[cfg(test)]
mod tests {
    use bulla_tlog::{Edge, leaf_hash};

    use super::*;

    #[test]
    fn roots_and_saved_rims_follow_the_edge() {
        let (mut rim, mut edge, mut tile) = (Rim::default(), Edge::new(), TileNodes::new());
        for leaf in 0..70_000_u32 {
            if tile.width() < 3 || leaf % 251 == 0 {
                assert_eq!(rim.root(&tile, tile.width()), edge.root(), "{leaf}");
            }
            let hash = leaf_hash(leaf.to_string().as_bytes());
            edge.append(hash);
            if let Some(root) = tile.push(hash).expect("room") {
                rim.add(root);
                tile = TileNodes::new();
                let again = Rim::restore(rim.size(), &rim.levels()).expect("what was saved");
                assert_eq!(again.root(&tile, 0), edge.root());
            }
        }
        assert_eq!(
            rim.partials().map(|(id, _)| id.path()).collect::<Vec<_>>(),
            ["tile/1/001.p/17", "tile/2/000.p/1"]
        );
    }

    #[test]
    fn a_saved_rim_must_fit_its_size() {
        assert!(Rim::restore(0, &[]).is_some());
        assert!(Rim::restore(1, &[]).is_none());
        assert!(Rim::restore(256, &[]).is_none());
        assert!(Rim::restore(256, &[vec![empty_root()]]).is_some());
        assert!(Rim::restore(256, &[vec![empty_root(); 2]]).is_none());
        assert!(Rim::restore(256, &[vec![empty_root()], vec![]]).is_none());
        assert!(Rim::restore(65_536, &[vec![], vec![empty_root()]]).is_some());
        assert!(Rim::restore(u64::MAX - 255, &[]).is_none());
    }
}

//! Where a hash or an entry lives: tile coordinates and their paths (C2SP tlog-tiles, "Merkle Tree" and "Log entries").

use std::fmt;

/// Entries in a full tile, hashes or entries alike.
pub const WIDTH: u64 = 256;

/// What a tile holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum TileKind {
    /// Hashes of a tile level, 0..=63: level 0 are leaf hashes, each next one roots of 256 of the level below.
    Hashes(u8),
    /// The entries themselves (an entry bundle).
    Entries,
}

/// One tile, full or partial.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TileId {
    /// What the tile holds.
    pub kind: TileKind,
    /// Its number among the tiles of its kind.
    pub index: u64,
    /// How many hashes or entries it holds, 1..=256.
    pub width: u16,
}

/// A path that is not the path of a tile.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{path:?} is not a tile path, tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>] was expected")]
pub struct TilePathError {
    /// The path, cut to what a tile path can be long.
    pub path: String,
}

impl TileId {
    /// A tile of hashes.
    pub fn hashes(level: u8, index: u64, width: u16) -> Self {
        Self { kind: TileKind::Hashes(level), index, width }
    }

    /// An entry bundle.
    pub fn entries(index: u64, width: u16) -> Self {
        Self { kind: TileKind::Entries, index, width }
    }

    /// Whether nothing can be added to it any more.
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == WIDTH
    }

    /// The full tile at the same place.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: FULL, ..self }
    }

    /// Path below the log's prefix: `tile/0/x001/x234/067.p/5`, `tile/entries/000`.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads exactly what [`TileId::path`] writes, so that a tile has one name and caches see one object.
    pub fn parse(path: &str) -> Result<Self, TilePathError> {
        let refused = || TilePathError { path: path.chars().take(LONGEST_PATH).collect() };
        if path.len() > LONGEST_PATH {
            return Err(refused());
        }
        // A lenient reading is enough: only the spelling that `path` gives back is accepted.
        let tile = read(path).ok_or_else(refused)?;
        if tile.path() == path { Ok(tile) } else { Err(refused()) }
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut group = 1000_u64.pow(self.index.checked_ilog(1000).unwrap_or(0));
        while group > 1 {
            write!(f, "x{:03}/", self.index / group % 1000)?;
            group /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// How many hashes a tile level has in a tree of `size` leaves: floor(size / 256^level).
pub fn level_len(size: u64, tile_level: u8) -> u64 {
    size.checked_shr(u32::from(tile_level) * 8).unwrap_or(0)
}

/// The tile at a place as a tree of `size` leaves implies it: full, partial, or `None` when it does not reach there.
pub fn widest(kind: TileKind, index: u64, size: u64) -> Option<TileId> {
    let len = match kind {
        TileKind::Hashes(level) => level_len(size, level),
        TileKind::Entries => size,
    };
    let width = len.checked_sub(index.checked_mul(WIDTH)?)?.min(WIDTH) as u16;
    (width > 0).then_some(TileId { kind, index, width })
}

/// Every partial tile that a tree of `size` leaves implies: hash tiles from level 0 up, then the entry bundle.
pub fn right_edge(size: u64) -> Vec<TileId> {
    let mut edge = Vec::new();
    for level in 0..TOP_OF_U64 {
        let len = level_len(size, level);
        if !len.is_multiple_of(WIDTH) {
            edge.push(TileId::hashes(level, len / WIDTH, (len % WIDTH) as u16));
        }
    }
    if !size.is_multiple_of(WIDTH) {
        edge.push(TileId::entries(size / WIDTH, (size % WIDTH) as u16));
    }
    edge
}

fn read(path: &str) -> Option<TileId> {
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(level.parse().ok().filter(|&level| level <= HIGHEST_LEVEL)?),
    };
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => (number, width.parse().ok().filter(|width| (1..FULL).contains(width))?),
        None => (rest, FULL),
    };
    let mut index = 0_u64;
    for group in number.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        index = index.checked_mul(1000)?.checked_add(digits.parse::<u16>().ok()?.into())?;
    }
    Some(TileId { kind, index, width })
}

const FULL: u16 = WIDTH as u16;
/// The highest tile level that a path may name.
const HIGHEST_LEVEL: u8 = 63;
/// From this tile level on, no tree whose size fits 64 bits has a hash.
const TOP_OF_U64: u8 = 8;
/// `tile/entries/x018/x446/x744/x073/x709/x551/615.p/255` has 52 characters.
const LONGEST_PATH: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_the_specification() {
        assert_eq!(TileId::hashes(0, 67, 256).path(), "tile/0/067");
        assert_eq!(TileId::hashes(0, 19_669, 256).path(), "tile/0/x019/669");
        assert_eq!(TileId::hashes(0, 1_234_067, 5).path(), "tile/0/x001/x234/067.p/5");
        assert_eq!(TileId::entries(0, 256).path(), "tile/entries/000");
        assert_eq!(TileId::hashes(63, 1_000, 255).path(), "tile/63/x001/000.p/255");
        assert_eq!(
            TileId::entries(u64::MAX, 255).path(),
            "tile/entries/x018/x446/x744/x073/x709/x551/615.p/255"
        );
    }

    #[test]
    fn only_the_one_spelling_is_read() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/+1/000",
            "tile/-1/000",
            "tile/x/000",
            "tile/0/x000/000",
            "tile/0/x001/x000",
            "tile/0/001/000",
            "tile/0/000/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p/1/",
            "tile/0/000.p",
            "tile/0/-01",
            "tile/0/+01",
            "tile/0/1000",
            "tile/entries/x000/001",
            "tile/data/000",
            "tile/0/000.p/1.p/1",
            "tile/0/000 ",
            "tile/0/00é",
            "tile/entries/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x001/x001/x001/x001/x001/x001/x001/x001/001",
        ] {
            assert!(TileId::parse(path).is_err(), "{path}");
        }
        let long = TileId::parse(&"é".repeat(10_000)).unwrap_err();
        assert_eq!(long.path.chars().count(), LONGEST_PATH);
        assert_eq!(
            TileId::parse("tile/0/0").unwrap_err().to_string(),
            "\"tile/0/0\" is not a tile path, tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>] was expected"
        );
    }

    #[test]
    fn a_tree_of_70_000_leaves() {
        assert_eq!([0, 1, 2, 3, 8, 63].map(|level| level_len(70_000, level)), [70_000, 273, 1, 0, 0, 0]);
        let edge: Vec<_> = right_edge(70_000).iter().map(TileId::path).collect();
        assert_eq!(edge, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"]);
        assert_eq!(widest(TileKind::Hashes(0), 272, 70_000), Some(TileId::hashes(0, 272, 256)));
        assert_eq!(widest(TileKind::Entries, 273, 70_000), Some(TileId::entries(273, 112)));
        assert_eq!(widest(TileKind::Hashes(0), 274, 70_000), None);
        assert_eq!(widest(TileKind::Hashes(0), u64::MAX, u64::MAX), None);
        assert_eq!(right_edge(0), []);
        assert_eq!(right_edge(256), [TileId::hashes(1, 0, 1)]);
        assert_eq!(right_edge(u64::MAX).len(), 9);
    }

    proptest! {
        #[test]
        fn parse_is_the_inverse_of_path(level in 0_u8..=64, index: u64, shift in 0_u32..64, width in 1_u16..=256) {
            let index = index >> shift;
            let tile = if level == 64 { TileId::entries(index, width) } else { TileId::hashes(level, index, width) };
            prop_assert_eq!(TileId::parse(&tile.path()), Ok(tile));
        }

        #[test]
        fn parse_never_panics(path in "(tile/)?[x0-9/.pentris]{0,40}") {
            if let Ok(tile) = TileId::parse(&path) {
                prop_assert_eq!(tile.path(), path);
            }
        }

        #[test]
        fn the_edge_is_what_is_widest_and_not_full(size: u64, shift in 0_u32..64) {
            let size = size >> shift;
            for tile in right_edge(size) {
                prop_assert_eq!(widest(tile.kind, tile.index, size), Some(tile));
                prop_assert!(!tile.is_full());
                prop_assert_eq!(widest(tile.kind, tile.index + 1, size), None);
            }
        }
    }
}

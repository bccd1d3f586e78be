//! What is kept beside a leaf and is no part of the tree: when it was integrated, and an *aside*, bytes that whoever added
//! the leaf wants back with it. Both become durable in the commit of the leaf, and are settled as objects next to its
//! entry bundle: the times always, the asides only where a leaf of the bundle has one.

use bulla_tlog::TileId;
use bytes::Bytes;

use crate::storage::StorageError;

/// The longest aside, in bytes.
pub const MAX_ASIDE: usize = 1 << 20;

/// A leaf to be added, and what is to be kept beside it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Addition {
    /// The leaf: 1 to 65,535 bytes.
    pub leaf: Bytes,
    /// Kept beside it, at most [`MAX_ASIDE`] bytes; often empty. A duplicate's is dropped.
    pub aside: Bytes,
}

impl From<Bytes> for Addition {
    fn from(leaf: Bytes) -> Self {
        Self { leaf, aside: Bytes::new() }
    }
}

/// What is kept beside a leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beside {
    /// When it was integrated, in Unix seconds. Never before the leaf in front of it.
    pub at: u64,
    /// What came with it.
    pub aside: Bytes,
}

/// The object with the times of the leaves in that bundle.
pub(crate) fn times_path(bundle: TileId) -> String {
    beside("time", bundle)
}

/// The object with the asides of the leaves in that bundle.
pub(crate) fn asides_path(bundle: TileId) -> String {
    beside("aside", bundle)
}

fn beside(folder: &str, bundle: TileId) -> String {
    bundle.path().replacen("tile/entries", folder, 1)
}

/// Eight bytes a leaf, big-endian.
pub(crate) fn encode_times(leaves: &[Beside]) -> Bytes {
    leaves.iter().flat_map(|leaf| leaf.at.to_be_bytes()).collect()
}

/// Each aside after its length in four bytes, big-endian; `None` if all are empty.
pub(crate) fn encode_asides(leaves: &[Beside]) -> Option<Bytes> {
    if leaves.iter().all(|leaf| leaf.aside.is_empty()) {
        return None;
    }
    let mut out = Vec::with_capacity(leaves.iter().map(|leaf| 4 + leaf.aside.len()).sum());
    for Beside { aside, .. } in leaves {
        out.extend_from_slice(&(aside.len() as u32).to_be_bytes());
        out.extend_from_slice(aside);
    }
    Some(out.into())
}

/// Reads what [`encode_times`] writes.
pub(crate) fn decode_times(bundle: TileId, bytes: &[u8]) -> Result<Vec<u64>, StorageError> {
    let (times, rest) = bytes.as_chunks::<8>();
    if times.len() != usize::from(bundle.width) || !rest.is_empty() {
        return Err(damaged(&times_path(bundle), bundle));
    }
    Ok(times.iter().map(|time| u64::from_be_bytes(*time)).collect())
}

/// Reads what [`encode_asides`] writes.
pub(crate) fn decode_asides(bundle: TileId, bytes: &Bytes) -> Result<Vec<Bytes>, StorageError> {
    let mut asides = Vec::with_capacity(usize::from(bundle.width));
    let mut at = 0;
    while let Some(prefix) = bytes.get(at..at + 4) {
        let len = prefix.iter().fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
        let end = at + 4 + len;
        if len > MAX_ASIDE || end > bytes.len() {
            return Err(damaged(&asides_path(bundle), bundle));
        }
        asides.push(bytes.slice(at + 4..end));
        at = end;
    }
    if asides.len() != usize::from(bundle.width) || at != bytes.len() {
        return Err(damaged(&asides_path(bundle), bundle));
    }
    Ok(asides)
}

fn damaged(path: &str, bundle: TileId) -> StorageError {
    StorageError::Corrupt(format!("{path} is damaged: it is not of {} leaves", bundle.width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let bundle = TileId::entries(1_234_067, 3);
        assert_eq!(times_path(bundle), "time/x001/x234/067.p/3");
        let aside = |text: &'static str| Bytes::from_static(text.as_bytes());
        let leaves =
            [(7, aside("")), (7, aside("a")), (9, aside("bc"))].map(|(at, aside)| Beside { at, aside });
        let times = encode_times(&leaves);
        assert_eq!(decode_times(bundle, &times).expect("reads"), [7, 7, 9]);
        let asides = encode_asides(&leaves).expect("one is not empty");
        assert_eq!(decode_asides(bundle, &asides).expect("reads"), leaves.clone().map(|leaf| leaf.aside));
        assert_eq!(encode_asides(&leaves[..1]), None);
        for cut in 0..asides.len() {
            assert!(decode_asides(bundle, &asides.slice(..cut)).is_err(), "{cut} bytes");
        }
        for cut in 0..times.len() {
            assert!(decode_times(bundle, &times[..cut]).is_err(), "{cut} bytes");
        }
        let longer = [asides.as_ref(), &[0]].concat();
        assert!(decode_asides(bundle, &longer.into()).is_err());
    }
}

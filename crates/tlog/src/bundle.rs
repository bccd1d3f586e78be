//! Entry bundles: each entry after its length in two big-endian bytes (C2SP tlog-tiles, "Log entries").

use crate::tile::WIDTH;

/// The longest entry that a bundle can hold.
pub const MAX_ENTRY: usize = 65_535;

/// An entry longer than [`MAX_ENTRY`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("entry is {len} bytes, at most {MAX_ENTRY} fit a bundle")]
pub struct EntryTooLong {
    /// How many bytes it has.
    pub len: usize,
}

/// Bytes that are not an entry bundle, and where they stop being one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BundleError {
    /// The bytes end inside an entry or its length.
    #[error("entry {entry} at byte {offset} needs {needed} bytes, the bundle has {left}")]
    Short {
        /// Number of the entry inside the bundle.
        entry: usize,
        /// Where the entry's length, or its first byte, should be.
        offset: usize,
        /// How many bytes were expected from there on.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// More than 256 entries.
    #[error("bundle goes on at byte {offset} after its 256 entries")]
    TooMany {
        /// Where entry 256 begins.
        offset: usize,
    },
}

impl BundleError {
    /// Byte of the bundle at which it went wrong.
    pub fn offset(&self) -> usize {
        match *self {
            Self::Short { offset, .. } | Self::TooMany { offset } => offset,
        }
    }
}

/// Appends one entry to a bundle.
pub fn push_entry(out: &mut Vec<u8>, entry: &[u8]) -> Result<(), EntryTooLong> {
    let len = u16::try_from(entry.len()).map_err(|_| EntryTooLong { len: entry.len() })?;
    out.reserve(2 + entry.len());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, at most 256; an empty bundle has none.
pub fn entries(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let offset = bundle.len() - rest.len();
        if entries.len() as u64 == WIDTH {
            return Err(BundleError::TooMany { offset });
        }
        let short = |offset, needed, left| BundleError::Short { entry: entries.len(), offset, needed, left };
        let (len, after) = rest.split_first_chunk::<2>().ok_or_else(|| short(offset, 2, rest.len()))?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (entry, after) =
            after.split_at_checked(len).ok_or_else(|| short(offset + 2, len, after.len()))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_say_where() {
        assert_eq!(entries(&[]), Ok(vec![]));
        assert_eq!(entries(&[0, 0]), Ok(vec![&[][..]]));
        let short = entries(&[0, 1, 9, 0]).unwrap_err();
        assert_eq!(short.to_string(), "entry 1 at byte 3 needs 2 bytes, the bundle has 1");
        let cut = entries(&[0, 1, 9, 0, 3, 1, 2]).unwrap_err();
        assert_eq!(cut.to_string(), "entry 1 at byte 5 needs 3 bytes, the bundle has 2");
        assert_eq!(cut.offset(), 5);
        assert_eq!(entries(&[0; 512]).map(|entries| entries.len()), Ok(256));
        assert_eq!(entries(&[0; 514]), Err(BundleError::TooMany { offset: 512 }));
        let mut out = vec![1];
        assert_eq!(push_entry(&mut out, &vec![0; 65_536]), Err(EntryTooLong { len: 65_536 }));
        assert_eq!(out, [1]);
        push_entry(&mut out, &vec![0; MAX_ENTRY]).unwrap();
        assert_eq!(out.len(), 1 + 2 + MAX_ENTRY);
    }

    proptest! {
        #[test]
        fn entries_reads_what_push_entry_wrote(written: Vec<Vec<u8>>) {
            let mut bundle = Vec::new();
            for entry in &written {
                push_entry(&mut bundle, entry).unwrap();
            }
            prop_assert_eq!(entries(&bundle).unwrap(), written);
        }

        #[test]
        fn entries_never_panics(bytes: Vec<u8>) {
            if let Err(error) = entries(&bytes) {
                prop_assert!(error.offset() <= bytes.len());
            }
        }
    }
}

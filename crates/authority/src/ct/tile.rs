//! Data tiles: the entries of a log as static readers see them (C2SP static-ct-api, "Log Entries").

use bulla_tlog::Hash;

use super::leaf::{Entry, TimestampedEntry, some};
use super::wire::{Input, WireError, push_vector};

/// An entry, and what is no part of the tree but belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TileLeaf {
    /// What is in the tree.
    pub entry: TimestampedEntry,
    /// What is beside it.
    pub rest: Rest,
}

/// What stands after the `TimestampedEntry` in a data tile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rest {
    /// The signed precertificate, DER; of a precert entry only.
    pub pre_certificate: Option<Vec<u8>>,
    /// SHA-256 of the certificates of the issuers, up to the root.
    pub chain: Vec<Hash>,
}

impl TileLeaf {
    /// Its TLS encoding.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        Ok([self.entry.encode()?, self.rest.encode()?].concat())
    }

    /// Reads a whole tile, at most as many leaves as a tile is wide.
    pub fn parse_tile(tile: &[u8]) -> Result<Vec<Self>, WireError> {
        let mut input = Input::new(tile);
        let mut leaves = Vec::new();
        while !input.is_empty() {
            if leaves.len() as u64 == bulla_tlog::WIDTH {
                return Err(WireError::new(format!("data tile has more than {} leaves", bulla_tlog::WIDTH)));
            }
            let entry = TimestampedEntry::read(&mut input)?;
            let rest = Rest::read(&mut input, &entry.entry)?;
            leaves.push(Self { entry, rest });
        }
        Ok(leaves)
    }
}

impl Rest {
    /// Its TLS encoding.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::new();
        if let Some(pre_certificate) = &self.pre_certificate {
            push_vector(&mut out, 3, pre_certificate, "precertificate")?;
        }
        let chain: Vec<_> = self.chain.iter().flat_map(|hash| hash.0).collect();
        push_vector(&mut out, 2, &chain, "chain")?;
        Ok(out)
    }

    /// Reads what [`Rest::encode`] writes for such an entry.
    pub fn parse(bytes: &[u8], entry: &Entry) -> Result<Self, WireError> {
        let mut input = Input::new(bytes);
        let rest = Self::read(&mut input, entry)?;
        input.end("tile leaf")?;
        Ok(rest)
    }

    /// `extra_data` of `get-entries` (RFC 6962 §4.6): with the certificates themselves, in the order of the chain.
    pub fn extra_data(&self, certificates: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, WireError> {
        let (mut out, mut chain) = (Vec::new(), Vec::new());
        if let Some(pre_certificate) = &self.pre_certificate {
            push_vector(&mut out, 3, pre_certificate, "precertificate")?;
        }
        for certificate in certificates {
            push_vector(&mut chain, 3, certificate.as_ref(), "certificate")?;
        }
        push_vector(&mut out, 3, &chain, "chain")?;
        Ok(out)
    }

    fn read(input: &mut Input<'_>, entry: &Entry) -> Result<Self, WireError> {
        let pre_certificate = match entry {
            Entry::X509 { .. } => None,
            Entry::Precert { .. } => Some(some(input.vector(3, "precertificate")?, "precertificate")?),
        };
        let chain = input.vector(2, "chain")?;
        let (hashes, left) = chain.as_chunks::<32>();
        if !left.is_empty() {
            let problem = format!("chain is {} bytes, fingerprints have 32 each", chain.len());
            return Err(WireError::new(problem));
        }
        Ok(Self { pre_certificate, chain: hashes.iter().map(|hash| Hash(*hash)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::leaf::tests::any_entry;
    use super::*;

    fn any_leaf() -> impl Strategy<Value = TileLeaf> {
        let chain = proptest::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..4);
        (any_entry(), proptest::collection::vec(any::<u8>(), 1..50), chain).prop_map(
            |(entry, pre_certificate, chain)| {
                let precert = matches!(entry.entry, Entry::Precert { .. });
                let rest = Rest { pre_certificate: precert.then_some(pre_certificate), chain };
                TileLeaf { entry, rest }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(leaves in proptest::collection::vec(any_leaf(), 0..9)) {
            let tile: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.encode().expect("fits")).collect();
            prop_assert_eq!(TileLeaf::parse_tile(&tile).expect("reads"), leaves.clone());
            for TileLeaf { entry, rest } in &leaves {
                let bytes = rest.encode().expect("fits");
                prop_assert_eq!(&Rest::parse(&bytes, &entry.entry).expect("reads"), rest);
                prop_assert!(Rest::parse(&[bytes.as_slice(), &[0]].concat(), &entry.entry).is_err());
            }
            if !tile.is_empty() {
                prop_assert!(TileLeaf::parse_tile(&tile[..tile.len() - 1]).is_err());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(leaves) = TileLeaf::parse_tile(&bytes) {
                let again: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.encode().expect("fits")).collect();
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn a_tile_is_no_wider_than_tiles_are() {
        let entry = Entry::X509 { certificate: vec![7] };
        let entry = TimestampedEntry { timestamp: 7, entry, extensions: Vec::new() };
        let leaf = TileLeaf { entry, rest: Rest { pre_certificate: None, chain: Vec::new() } };
        let leaf = leaf.encode().expect("fits");
        assert_eq!(TileLeaf::parse_tile(&leaf.repeat(256)).expect("reads").len(), 256);
        let refused = TileLeaf::parse_tile(&leaf.repeat(257)).expect_err("too many").to_string();
        assert_eq!(refused, "data tile has more than 256 leaves");
    }
}

//! What is in the tree: `MerkleTreeLeaf` and its `TimestampedEntry` (RFC 6962 §3.4), with the index of the leaf in its
//! extensions (C2SP static-ct-api, "SCT Extension").

use bulla_tlog::Hash;

use super::wire::{Input, WireError, push_vector};

/// What was logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A certificate, DER.
    X509 {
        /// The certificate.
        certificate: Vec<u8>,
    },
    /// What a certificate will say.
    Precert {
        /// SHA-256 of the issuer's `SubjectPublicKeyInfo`.
        issuer_key_hash: Hash,
        /// DER `TBSCertificate` without poison and without timestamps.
        tbs: Vec<u8>,
    },
}

/// An entry, when it was taken, and the extensions of its timestamp.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimestampedEntry {
    /// Unix milliseconds.
    pub timestamp: u64,
    /// What was logged.
    pub entry: Entry,
    /// `CtExtensions`, without their length; see [`extensions`].
    pub extensions: Vec<u8>,
}

/// The extensions of the leaf at that index: type 0, length 5, and the index. Only its low 40 bits.
pub fn extensions(index: u64) -> Vec<u8> {
    [&[LEAF_INDEX, 0, INDEX_LEN as u8], &index.to_be_bytes()[8 - INDEX_LEN..]].concat()
}

/// The index that extensions say, when that is the one thing they say.
pub fn leaf_index(extensions: &[u8]) -> Option<u64> {
    let index = extensions.strip_prefix(&[LEAF_INDEX, 0, INDEX_LEN as u8])?;
    let index: &[u8; INDEX_LEN] = index.try_into().ok()?;
    Some(index.iter().fold(0, |index, byte| index << 8 | u64::from(*byte)))
}

impl TimestampedEntry {
    /// Its TLS encoding. Refused are fields that are longer than their length can say.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = self.timestamp.to_be_bytes().to_vec();
        match &self.entry {
            Entry::X509 { certificate } => {
                out.extend_from_slice(&X509.to_be_bytes());
                push_vector(&mut out, 3, certificate, "certificate")?;
            }
            Entry::Precert { issuer_key_hash, tbs } => {
                out.extend_from_slice(&PRECERT.to_be_bytes());
                out.extend_from_slice(&issuer_key_hash.0);
                push_vector(&mut out, 3, tbs, "tbs certificate")?;
            }
        }
        push_vector(&mut out, 2, &self.extensions, "extensions")?;
        Ok(out)
    }

    /// The `MerkleTreeLeaf`: version 1, type timestamped entry. They are also the bytes that a timestamp signs, whose
    /// version and signature type are the same two zeros.
    pub fn leaf(&self) -> Result<Vec<u8>, WireError> {
        Ok([LEAF_HEADER.to_vec(), self.encode()?].concat())
    }

    /// Reads what [`TimestampedEntry::leaf`] writes.
    pub fn parse_leaf(leaf: &[u8]) -> Result<Self, WireError> {
        let mut input = Input::new(leaf);
        if input.take(LEAF_HEADER.len(), "version and leaf type")? != LEAF_HEADER {
            return Err(WireError::new("leaf is not a timestamped entry of version 1"));
        }
        let entry = Self::read(&mut input)?;
        input.end("leaf")?;
        Ok(entry)
    }

    pub(super) fn read(input: &mut Input<'_>) -> Result<Self, WireError> {
        let timestamp = input.number(8, "timestamp")?;
        let entry = match input.number(2, "entry type")? as u16 {
            X509 => Entry::X509 { certificate: some(input.vector(3, "certificate")?, "certificate")? },
            PRECERT => {
                let hash = input.take(32, "issuer key hash")?;
                let issuer_key_hash = Hash::from_slice(hash).unwrap_or(Hash([0; 32]));
                let tbs = some(input.vector(3, "tbs certificate")?, "tbs certificate")?;
                Entry::Precert { issuer_key_hash, tbs }
            }
            kind => {
                return Err(WireError::new(format!(
                    "entry type is {kind}, 0 (x509) or 1 (precert) was expected"
                )));
            }
        };
        Ok(Self { timestamp, entry, extensions: input.vector(2, "extensions")?.to_vec() })
    }
}

/// RFC 6962 has no empty certificates.
pub(super) fn some(bytes: &[u8], field: &str) -> Result<Vec<u8>, WireError> {
    if bytes.is_empty() { Err(WireError::new(format!("{field} is empty"))) } else { Ok(bytes.to_vec()) }
}

/// How many bytes an index has.
const INDEX_LEN: usize = 5;
/// The index stands at the end of the leaf.
pub(super) const INDEX_FROM_END: usize = INDEX_LEN;
/// What a leaf has before its timestamped entry.
pub(super) const LEAF_HEADER: [u8; 2] = [0, 0];
const LEAF_INDEX: u8 = 0;
const X509: u16 = 0;
const PRECERT: u16 = 1;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::ct) fn any_entry() -> impl Strategy<Value = TimestampedEntry> {
        let bytes = || proptest::collection::vec(any::<u8>(), 1..70);
        let entry = prop_oneof![
            bytes().prop_map(|certificate| Entry::X509 { certificate }),
            (any::<[u8; 32]>(), bytes())
                .prop_map(|(hash, tbs)| Entry::Precert { issuer_key_hash: Hash(hash), tbs }),
        ];
        (any::<u64>(), entry, 0..1_u64 << 40).prop_map(|(timestamp, entry, index)| TimestampedEntry {
            timestamp,
            entry,
            extensions: extensions(index),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_part_of_it(entry in any_entry(), cut: prop::sample::Index) {
            let leaf = entry.leaf().expect("fits");
            prop_assert_eq!(TimestampedEntry::parse_leaf(&leaf).expect("reads"), entry);
            prop_assert!(TimestampedEntry::parse_leaf(&leaf[..cut.index(leaf.len())]).is_err());
            prop_assert!(TimestampedEntry::parse_leaf(&[leaf.as_slice(), &[0]].concat()).is_err());
        }

        #[test]
        fn any_bytes_are_refused_or_read_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            let leaf = [&LEAF_HEADER, bytes.as_slice()].concat();
            if let Ok(entry) = TimestampedEntry::parse_leaf(&leaf) {
                prop_assert_eq!(entry.leaf().expect("fits"), leaf);
            }
        }

        #[test]
        fn an_index_is_read_back(index in 0..1_u64 << 40) {
            prop_assert_eq!(leaf_index(&extensions(index)), Some(index));
        }
    }

    #[test]
    fn refusals_name_the_field() {
        let said = |leaf: &[u8]| TimestampedEntry::parse_leaf(leaf).expect_err("is refused").to_string();
        assert_eq!(said(&[0, 1]), "leaf is not a timestamped entry of version 1");
        assert_eq!(said(&[0, 0, 1]), "timestamp needs 8 bytes, 1 are left");
        assert_eq!(
            said(&[&[0; 10][..], &[0, 2]].concat()),
            "entry type is 2, 0 (x509) or 1 (precert) was expected"
        );
        assert_eq!(said(&[0; 17]), "certificate is empty");
        assert_eq!(leaf_index(&[0, 0, 5, 0, 0, 0, 0, 7, 0]), None);
        assert_eq!(leaf_index(&[1, 0, 5, 0, 0, 0, 0, 7]), None);
        assert_eq!(leaf_index(&[]), None);
    }
}

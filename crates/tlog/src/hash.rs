//! The one hash of a log: SHA-256 with the prefixes that keep a leaf from passing for a node (RFC 6962 §2.1).

use std::fmt;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A SHA-256 value: of a leaf, of a node, of a file, of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Padded standard base64, 44 characters: the form of checkpoints and proofs.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads exactly what [`Hash::to_base64`] writes; any other spelling is `None`.
    pub fn from_base64(text: &str) -> Option<Self> {
        // The length first: nothing longer than a hash is ever decoded.
        if text.len() != 44 {
            return None;
        }
        Self::from_slice(&STANDARD.decode(text).ok()?)
    }

    /// Reads 64 hexadecimal digits of either case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high << 4 | low) as u8;
        }
        Some(Self(out))
    }

    /// The hash in a slice of exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Answers hold dozens of hashes, and a formatter call for each byte would cost as much as signing them.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Hash of a leaf: SHA-256(0x00 ‖ leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    // One call over a contiguous buffer is cheaper than a streaming context, and most entries are this short.
    let mut buffer = [0; 1024];
    if let Some(room) = buffer.get_mut(1..=leaf.len()) {
        room.copy_from_slice(leaf);
        return finished(&digest(&SHA256, &buffer[..=leaf.len()]));
    }
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF]);
    context.update(leaf);
    finished(&context.finish())
}

/// Hash of an interior node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut buffer = [NODE; 65];
    buffer[1..33].copy_from_slice(&left.0);
    buffer[33..].copy_from_slice(&right.0);
    finished(&digest(&SHA256, &buffer))
}

/// Root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// Plain SHA-256, for key hashes and file hashes.
pub fn sha256(data: &[u8]) -> Hash {
    finished(&digest(&SHA256, data))
}

fn finished(digest: &Digest) -> Hash {
    Hash::from_slice(digest.as_ref()).expect("SHA-256 gives 32 bytes")
}

const LEAF: u8 = 0;
const NODE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(
            empty_root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let (zero, one) = (leaf_hash(b"0"), leaf_hash(b"1"));
        assert_eq!(zero.to_string(), "db3426e878068d28d269b6c87172322ce5372b65756d0789001d34835f601c03");
        assert_eq!(
            node_hash(&zero, &one).to_string(),
            "cb00989d94a569c0a678ae042b63dcd4625db96440517f37a6eb7976ea24ed4b"
        );
    }

    #[test]
    fn leaf_hash_is_the_same_on_both_sides_of_the_stack_buffer() {
        for len in [0, 1, 1022, 1023, 1024, 1025, 65_535] {
            let leaf = vec![7; len];
            assert_eq!(leaf_hash(&leaf), sha256(&[&[0], leaf.as_slice()].concat()), "{len}");
        }
    }

    #[test]
    fn text_forms_round_trip_and_refuse_other_spellings() {
        let hash = leaf_hash(b"x");
        assert_eq!(Hash::from_base64(&hash.to_base64()), Some(hash));
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(Hash::from_hex(&hash.to_string().to_uppercase()), Some(hash));
        assert_eq!(format!("{hash:?}"), hash.to_string());
        assert_eq!(Hash::from_hex(&hash.to_string()[1..]), None);
        assert_eq!(Hash::from_hex(&"g".repeat(64)), None);
        assert_eq!(Hash::from_base64(hash.to_base64().trim_end_matches('=')), None);
        assert_eq!(Hash::from_base64(&"A".repeat(44)), None);
        // The last character carries four bits; a spelling with the unused two set is not canonical.
        assert_eq!(Hash::from_base64(&format!("{}B=", "A".repeat(42))), None);
        assert_eq!(Hash::from_slice(&[0; 31]), None);
    }
}

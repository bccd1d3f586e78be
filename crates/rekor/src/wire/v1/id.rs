//! IDs of the v1 door: a tree is a number, an entry is its tree and its leaf hash in 80 hexadecimal digits. The leaf hash
//! alone, 64 digits, names an entry in whichever tree it is.

use std::fmt;
use std::str::FromStr;

use bulla_tlog::Hash;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A tree's ID: 1 to 2^63 - 1. Decimal in documents, 16 hexadecimal digits in an entry's ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TreeId(u64);

impl TreeId {
    /// From a number; `None` if no tree can have it.
    pub fn new(id: u64) -> Option<Self> {
        (1..=i64::MAX as u64).contains(&id).then_some(Self(id))
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TreeId {
    type Err = ();

    /// Reads the decimal form.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok().and_then(Self::new)).flatten().ok_or(())
    }
}

/// As text in documents: not every tree's ID fits the numbers of JSON.
impl Serialize for TreeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TreeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| D::Error::custom(format!("{text:?} is no tree ID")))
    }
}

/// An entry of a certain tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryId {
    /// The tree.
    pub tree: TreeId,
    /// The leaf hash, which v1 clients call UUID.
    pub leaf: Hash,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.tree.0, self.leaf)
    }
}

/// What a client may name an entry by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    /// 80 digits: that tree and no other.
    Entry(EntryId),
    /// 64 digits: any tree.
    Leaf(Hash),
}

/// Text that names no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdError {
    /// Not 64 or 80 hexadecimal digits.
    Form,
    /// 80 digits whose first 16 no tree can have.
    Tree,
}

impl FromStr for Named {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if !matches!(text.len(), 64 | 80) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(IdError::Form);
        }
        let (tree, leaf) = text.split_at(text.len() - 64);
        let leaf = Hash::from_hex(&leaf.to_ascii_lowercase()).ok_or(IdError::Form)?;
        if tree.is_empty() {
            return Ok(Self::Leaf(leaf));
        }
        let id = u64::from_str_radix(tree, 16).map_err(|_| IdError::Form)?;
        // Zero is no tree's, so it names nothing rather than being wrong; the reference server says the same.
        let tree = if id == 0 { TreeId(0) } else { TreeId::new(id).ok_or(IdError::Tree)? };
        Ok(Self::Entry(EntryId { tree, leaf }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = "251d7335e207fb694536143ecff500072df1cae8f388a9c181794f31e1b2d42e";

    #[test]
    fn an_entry_of_the_public_log_is_named_as_there() {
        let text = format!("108e9186e8c5677a{LEAF}");
        let Ok(Named::Entry(id)) = text.parse() else { panic!("{text} is an entry") };
        assert_eq!((id.tree.to_string().as_str(), id.to_string()), ("1193050959916656506", text.clone()));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(Named::Entry(id)));
        assert_eq!(LEAF.parse(), Ok(Named::Leaf(id.leaf)));
        assert_eq!("1193050959916656506".parse(), Ok(id.tree));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "00", &LEAF[1..], &format!("{LEAF}0"), &format!("+{}", &LEAF[1..]), &"é".repeat(32)]
        {
            assert_eq!(text.parse::<Named>(), Err(IdError::Form), "{text}");
        }
        assert_eq!(format!("ffffffffffffffff{LEAF}").parse::<Named>(), Err(IdError::Tree));
        for text in ["", "0", "-1", "+1", " 1", "9223372036854775808", "x"] {
            assert_eq!(text.parse::<TreeId>(), Err(()), "{text}");
        }
    }
}

//! What a v1 server answers, read strictly: what is missing, doubled or of another type is an error that names it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::Hash;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;

/// How an entry is named: the leaf hash, before it the tree when it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryId {
    /// The tree.
    pub tree: Option<u64>,
    /// The leaf hash of the body.
    pub uuid: Hash,
}

impl EntryId {
    /// Reads 64 hexadecimal digits, or 80 with the tree.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let len = text.chars().count();
            format!("{len} characters, 64 or 80 hexadecimal digits were expected")
        };
        let (tree, uuid) = match text.len() {
            64 => (None, text),
            80 if text.is_ascii() => (Some(&text[..16]), &text[16..]),
            _ => return Err(wrong()),
        };
        let not_hex = || "a character that is no hexadecimal digit".to_owned();
        let uuid = Hash::from_hex(uuid).ok_or_else(not_hex)?;
        let Some(tree) = tree else { return Ok(Self { tree: None, uuid }) };
        // A sign would be read as part of the number.
        if !tree.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(not_hex());
        }
        let tree = u64::from_str_radix(tree, 16).map_err(|_| not_hex())?;
        Ok(Self { tree: Some(tree), uuid })
    }

    /// Whether an answer named so can be the answer to a request for this: the same leaf, and the same tree if both say one.
    pub fn is_answered_by(&self, other: &Self) -> bool {
        self.uuid == other.uuid && self.tree.zip(other.tree).is_none_or(|(asked, said)| asked == said)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tree) = self.tree {
            write!(f, "{tree:016x}")?;
        }
        write!(f, "{}", self.uuid)
    }
}

/// One entry as the server tells of it; nothing is verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// The leaf: canonical JSON.
    pub body: Vec<u8>,
    /// The leaf as it was sent, which is what the promise signs.
    pub body_base64: String,
    /// When it was integrated, in seconds since 1970.
    pub integrated_time: u64,
    /// Which key promised it.
    pub log_id: String,
    /// Its index across all trees.
    pub log_index: u64,
    /// What proves that it is in the log.
    pub verification: Verification,
    /// The signed content, when the server keeps it.
    pub attestation: Option<Vec<u8>>,
}

impl Entry {
    /// The entry in the form in which a server answers it, to be kept and read again.
    pub fn to_json(&self) -> String {
        let proof = &self.verification.inclusion_proof;
        let hashes: Vec<_> = proof.hashes.iter().map(ToString::to_string).collect();
        let mut entry = json!({
            "body": self.body_base64,
            "integratedTime": self.integrated_time,
            "logID": self.log_id,
            "logIndex": self.log_index,
            "verification": {
                "inclusionProof": {
                    "checkpoint": proof.checkpoint,
                    "hashes": hashes,
                    "logIndex": proof.log_index,
                    "rootHash": proof.root_hash.to_string(),
                    "treeSize": proof.tree_size,
                },
                "signedEntryTimestamp": STANDARD.encode(&self.verification.signed_entry_timestamp),
            },
        });
        if let Some(attestation) = &self.attestation {
            entry["attestation"] = json!({ "data": STANDARD.encode(attestation) });
        }
        json!({ self.id.to_string(): entry }).to_string()
    }
}

/// What proves that an entry is in the log.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The path to a signed root.
    pub inclusion_proof: InclusionProof,
    /// The signature of the promise.
    #[serde(deserialize_with = "base64")]
    pub signed_entry_timestamp: Vec<u8>,
}

/// The path from a leaf to a signed root.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InclusionProof {
    /// The signed note of the tree head.
    pub checkpoint: String,
    /// Siblings, beside the leaf first.
    #[serde(deserialize_with = "hashes")]
    pub hashes: Vec<Hash>,
    /// The index in its tree.
    pub log_index: u64,
    /// The root that the path leads to.
    #[serde(deserialize_with = "hash")]
    pub root_hash: Hash,
    /// How many leaves the tree has.
    pub tree_size: u64,
}

/// The heads of all trees.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogInfo {
    /// The trees that have ended, oldest first.
    #[serde(default, deserialize_with = "list")]
    pub inactive_shards: Vec<Shard>,
    /// The tree that takes entries.
    #[serde(flatten)]
    pub active: Shard,
}

/// The head of one tree.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Its root.
    #[serde(deserialize_with = "hash")]
    pub root_hash: Hash,
    /// The signed note that says the same.
    pub signed_tree_head: String,
    /// Its number.
    #[serde(rename = "treeID", deserialize_with = "tree_id")]
    pub tree: u64,
    /// How many leaves it has.
    pub tree_size: u64,
}

/// That a tree is the beginning of a later one.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsistencyProof {
    /// The proof.
    #[serde(deserialize_with = "hashes")]
    pub hashes: Vec<Hash>,
    /// The root of the tree as it is now, whatever sizes were asked for.
    #[serde(deserialize_with = "hash")]
    pub root_hash: Hash,
}

/// An object whose only member is an entry under its name.
impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneMember;
        impl<'de> Visitor<'de> for OneMember {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one member, the entry under its ID")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entry, M::Error> {
                let one = "one entry under its ID was expected";
                let (id, entry) = map
                    .next_entry::<String, Anonymous>()?
                    .ok_or_else(|| M::Error::custom(format!("no entry, {one}")))?;
                if map.next_key::<serde::de::IgnoredAny>()?.is_some() {
                    return Err(M::Error::custom(format!("more than one entry, {one}")));
                }
                let id = EntryId::parse(&id)
                    .map_err(|problem| M::Error::custom(format!("entry ID {id:?} has {problem}")))?;
                let body = STANDARD
                    .decode(&entry.body)
                    .map_err(|_| M::Error::custom("body is not standard base64 with padding"))?;
                Ok(Entry {
                    id,
                    body,
                    body_base64: entry.body,
                    integrated_time: entry.integrated_time,
                    log_id: entry.log_id,
                    log_index: entry.log_index,
                    verification: entry.verification,
                    attestation: entry
                        .attestation
                        .and_then(|attestation| attestation.data)
                        .map(|data| data.0),
                })
            }
        }
        deserializer.deserialize_map(OneMember)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Anonymous {
    body: String,
    integrated_time: u64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: u64,
    verification: Verification,
    attestation: Option<Attestation>,
}

#[derive(Deserialize)]
struct Attestation {
    data: Option<Base64>,
}

struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64(deserializer).map(Self)
    }
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(|_| D::Error::custom("standard base64 with padding was expected"))
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    HexHash::deserialize(deserializer).map(|hash| hash.0)
}

fn hashes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
    let hashes = Option::<Vec<HexHash>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(hashes.into_iter().map(|hash| hash.0).collect())
}

struct HexHash(Hash);

impl<'de> Deserialize<'de> for HexHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = Hash::from_hex(&text);
        hash.map(Self).ok_or_else(|| D::Error::custom("a hash of 64 hexadecimal digits was expected"))
    }
}

fn tree_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(format!("treeID is {text:?}, a decimal number was expected")))
}

/// A list that may also be null.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Shard>, D::Error> {
    Option::<Vec<Shard>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_two_lengths() {
        let uuid = "251d7335e207fb694536143ecff500072df1cae8f388a9c181794f31e1b2d42e";
        let bare = EntryId::parse(uuid).expect("64 digits");
        let whole = EntryId::parse(&format!("108e9186e8c5677a{uuid}")).expect("80 digits");
        assert_eq!((bare.tree, whole.tree), (None, Some(1_193_050_959_916_656_506)));
        assert_eq!(whole.to_string(), format!("108e9186e8c5677a{uuid}"));
        assert!(bare.is_answered_by(&whole) && whole.is_answered_by(&bare));
        let other = EntryId::parse(&format!("108e9186e8c5677b{uuid}")).expect("80 digits");
        assert!(!whole.is_answered_by(&other) && bare.is_answered_by(&other));
        for (wrong, said) in [
            ("", "0 characters, 64 or 80 hexadecimal digits were expected"),
            (&uuid[1..], "63 characters, 64 or 80 hexadecimal digits were expected"),
            (&uuid.replace('2', "x"), "a character that is no hexadecimal digit"),
            (&format!("+08e9186e8c5677a{uuid}"), "a character that is no hexadecimal digit"),
            (&"é".repeat(40), "40 characters, 64 or 80 hexadecimal digits were expected"),
            (&"é".repeat(32), "a character that is no hexadecimal digit"),
        ] {
            assert_eq!(EntryId::parse(wrong), Err(said.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let captured = include_str!("../../../tests/captured_v1/entry.json");
        let entry: Entry = serde_json::from_str(captured).expect("an entry");
        for attestation in [None, Some(b"signed".to_vec())] {
            let entry = Entry { attestation, ..entry.clone() };
            assert_eq!(serde_json::from_str::<Entry>(&entry.to_json()).expect("is read"), entry);
        }
    }

    #[test]
    fn one_entry_and_no_more() {
        let said = |text: &str| serde_json::from_str::<Entry>(text).expect_err("refused").to_string();
        assert!(said("[]").contains("an object with one member"), "{}", said("[]"));
        assert!(said("{}").contains("no entry"));
        assert!(said(r#"{"x":{}}"#).contains("missing field `body`"));
    }
}

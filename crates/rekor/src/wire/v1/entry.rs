//! An entry as v1 clients read it: an object with one member, named by the entry's ID. Compact, members in alphabetical
//! order and one newline at the end, since some clients cut the text at fixed places; and no member more than documented,
//! since some refuse what they do not know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::Hash;

use super::id::EntryId;

/// An entry with its proofs.
pub struct Entry<'a> {
    /// Its ID.
    pub id: EntryId,
    /// The leaf.
    pub body: &'a [u8],
    /// When it was integrated, in Unix seconds.
    pub integrated_at: u64,
    /// SHA-256 of the tree's v1 key.
    pub log_id: &'a Hash,
    /// The index that counts through all trees.
    pub virtual_index: u64,
    /// The promise: a signature over [`promise_payload`].
    pub promise: &'a [u8],
    /// That it is in its tree.
    pub proof: InclusionProof<'a>,
    /// What is kept of the signed content.
    pub attestation: Option<&'a [u8]>,
}

/// An inclusion proof object.
pub struct InclusionProof<'a> {
    /// The v1 checkpoint that it leads to.
    pub checkpoint: &'a str,
    /// The audit path, leaf side first.
    pub hashes: &'a [Hash],
    /// The index in the tree.
    pub index: u64,
    /// Root of the tree.
    pub root: Hash,
    /// Leaves in the tree.
    pub size: u64,
}

impl Entry<'_> {
    /// Writes the object, without the newline.
    pub fn write(&self, out: &mut String) {
        out.push_str("{\"");
        out.push_str(&self.id.to_string());
        out.push_str("\":{");
        if let Some(attestation) = self.attestation {
            out.push_str("\"attestation\":{\"data\":\"");
            STANDARD.encode_string(attestation, out);
            out.push_str("\"},");
        }
        out.push_str("\"body\":\"");
        STANDARD.encode_string(self.body, out);
        out.push_str("\",\"integratedTime\":");
        out.push_str(&self.integrated_at.to_string());
        out.push_str(",\"logID\":\"");
        out.push_str(&self.log_id.to_string());
        out.push_str("\",\"logIndex\":");
        out.push_str(&self.virtual_index.to_string());
        out.push_str(",\"verification\":{\"inclusionProof\":");
        self.proof.write(out);
        out.push_str(",\"signedEntryTimestamp\":\"");
        STANDARD.encode_string(self.promise, out);
        out.push_str("\"}}}");
    }
}

impl InclusionProof<'_> {
    /// Writes the object.
    pub fn write(&self, out: &mut String) {
        out.push_str("{\"checkpoint\":");
        out.push_str(&quoted(self.checkpoint));
        out.push_str(",\"hashes\":[");
        for (n, hash) in self.hashes.iter().enumerate() {
            out.push_str(if n == 0 { "\"" } else { ",\"" });
            out.push_str(&hash.to_string());
            out.push('"');
        }
        out.push_str("],\"logIndex\":");
        out.push_str(&self.index.to_string());
        out.push_str(",\"rootHash\":\"");
        out.push_str(&self.root.to_string());
        out.push_str("\",\"treeSize\":");
        out.push_str(&self.size.to_string());
        out.push('}');
    }
}

/// What a promise signs: RFC 8785 of four members, the body as base64 text.
pub fn promise_payload(body: &[u8], integrated_at: u64, log_id: &Hash, virtual_index: u64) -> String {
    let mut text = String::with_capacity(body.len() * 4 / 3 + 180);
    text.push_str("{\"body\":\"");
    STANDARD.encode_string(body, &mut text);
    text.push_str("\",\"integratedTime\":");
    text.push_str(&integrated_at.to_string());
    text.push_str(",\"logID\":\"");
    text.push_str(&log_id.to_string());
    text.push_str("\",\"logIndex\":");
    text.push_str(&virtual_index.to_string());
    text.push('}');
    text
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    // A string always serializes.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

//! An entry as v1 clients read it: an object with one member, named by the entry's ID. Compact, members in alphabetical
//! order and one newline at the end, since some clients cut the text at fixed places; and no member more than documented,
//! since some refuse what they do not know.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::Hash;

use super::id::EntryId;

/// An entry with its proofs.
pub struct Entry<'a> {
    /// Its ID.
    pub id: EntryId,
    /// The leaf, as base64 text: see [`promise_payload`].
    pub body: &'a str,
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
        let Self { id, body, integrated_at, log_id, virtual_index, promise, proof, attestation } = self;
        put(out, format_args!("{{\"{id}\":{{"));
        if let Some(attestation) = attestation {
            out.push_str("\"attestation\":{\"data\":\"");
            STANDARD.encode_string(attestation, out);
            out.push_str("\"},");
        }
        out.push_str("\"body\":\"");
        out.push_str(body);
        let text = format_args!(
            "\",\"integratedTime\":{integrated_at},\"logID\":\"{log_id}\",\"logIndex\":{virtual_index}"
        );
        put(out, text);
        out.push_str(",\"verification\":{\"inclusionProof\":");
        proof.write(out);
        out.push_str(",\"signedEntryTimestamp\":\"");
        STANDARD.encode_string(promise, out);
        out.push_str("\"}}}");
    }
}

impl InclusionProof<'_> {
    /// Writes the object.
    pub fn write(&self, out: &mut String) {
        let Self { checkpoint, hashes, index, root, size } = self;
        out.push_str("{\"checkpoint\":");
        out.push_str(&quoted(checkpoint));
        out.push_str(",\"hashes\":[");
        for (n, hash) in hashes.iter().enumerate() {
            put(out, format_args!("{}\"{hash}\"", if n == 0 { "" } else { "," }));
        }
        put(out, format_args!("],\"logIndex\":{index},\"rootHash\":\"{root}\",\"treeSize\":{size}}}"));
    }
}

/// What a promise signs: RFC 8785 of four members, the body as base64 text.
pub fn promise_payload(body: &str, integrated_at: u64, log_id: &Hash, virtual_index: u64) -> String {
    format!(
        "{{\"body\":\"{body}\",\"integratedTime\":{integrated_at},\"logID\":\"{log_id}\",\"logIndex\":{virtual_index}}}"
    )
}

/// Writing to a string does not fail.
fn put(out: &mut String, text: fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    // A string always serializes.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

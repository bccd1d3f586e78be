//! What a v2 log answers: `TransparencyLogEntry`, as JSON with unpopulated fields emitted and as protobuf.
//!
//! The JSON is written by hand: its shape never changes, clients refuse a member too many, and this is the last step of
//! every write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::Hash;

use super::protos::dev::sigstore::common::v1::LogId;
use super::protos::dev::sigstore::rekor::v1 as pb;

/// An entry with the proof that a checkpoint covers it.
#[derive(Debug, Clone, Copy)]
pub struct LogEntry<'a> {
    /// Its place in the log.
    pub index: u64,
    /// The log's identity, all 32 bytes of it.
    pub log_id: &'a Hash,
    /// Its kind.
    pub kind: &'a str,
    /// The kind's version.
    pub version: &'a str,
    /// Size of the tree the checkpoint signs.
    pub tree_size: u64,
    /// Root of that tree.
    pub root: &'a Hash,
    /// Audit path from the leaf to the root.
    pub proof: &'a [Hash],
    /// The checkpoint, a whole signed note.
    pub checkpoint: &'a str,
    /// The entry's canonical body.
    pub body: &'a [u8],
}

impl LogEntry<'_> {
    /// Writes the JSON: int64 as strings, bytes as padded base64, the unset promise as null.
    pub fn to_json(&self) -> Vec<u8> {
        let room = 600 + self.proof.len() * 47 + self.checkpoint.len() * 2 + self.body.len().div_ceil(3) * 4;
        let mut out = Json(Vec::with_capacity(room));
        out.raw("{\"logIndex\":\"");
        out.number(self.index);
        out.raw("\",\"logId\":{\"keyId\":\"");
        out.base64(&self.log_id.0);
        out.raw("\"},\"kindVersion\":{\"kind\":");
        out.quoted(self.kind);
        out.raw(",\"version\":");
        out.quoted(self.version);
        out.raw("},\"integratedTime\":\"0\",\"inclusionPromise\":null,\"inclusionProof\":{\"logIndex\":\"");
        out.number(self.index);
        out.raw("\",\"rootHash\":\"");
        out.base64(&self.root.0);
        out.raw("\",\"treeSize\":\"");
        out.number(self.tree_size);
        out.raw("\",\"hashes\":[");
        for (i, hash) in self.proof.iter().enumerate() {
            out.raw(if i == 0 { "\"" } else { ",\"" });
            out.base64(&hash.0);
            out.raw("\"");
        }
        out.raw("],\"checkpoint\":{\"envelope\":");
        out.quoted(self.checkpoint);
        out.raw("}},\"canonicalizedBody\":\"");
        out.base64(self.body);
        out.raw("\"}");
        out.0
    }

    /// The same as a protobuf message.
    pub fn to_protobuf(&self) -> pb::TransparencyLogEntry {
        // The tree cannot outgrow an i64: sizes are bounded far below it where trees are made.
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        pb::TransparencyLogEntry {
            log_index: signed(self.index),
            log_id: Some(LogId { key_id: self.log_id.0.to_vec() }),
            kind_version: Some(pb::KindVersion {
                kind: self.kind.to_owned(),
                version: self.version.to_owned(),
            }),
            integrated_time: 0,
            inclusion_promise: None,
            inclusion_proof: Some(pb::InclusionProof {
                log_index: signed(self.index),
                root_hash: self.root.0.to_vec(),
                tree_size: signed(self.tree_size),
                hashes: self.proof.iter().map(|hash| hash.0.to_vec()).collect(),
                checkpoint: Some(pb::Checkpoint { envelope: self.checkpoint.to_owned() }),
            }),
            canonicalized_body: self.body.to_vec(),
        }
    }
}

/// JSON being written.
struct Json(Vec<u8>);

impl Json {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        use std::io::Write as _;
        // Writing to memory does not fail.
        let _ = write!(self.0, "{number}");
    }

    fn quoted(&mut self, text: &str) {
        let _ = serde_json::to_writer(&mut self.0, text);
    }

    fn base64(&mut self, bytes: &[u8]) {
        let start = self.0.len();
        self.0.resize(start + bytes.len().div_ceil(3) * 4, 0);
        // The room is exactly what padded base64 takes.
        let _ = STANDARD.encode_slice(bytes, &mut self.0[start..]);
    }
}

#[cfg(test)]
mod tests {
    use bulla_tlog::Hash;
    use serde_json::{Value, json};

    use super::LogEntry;

    #[test]
    fn a_log_of_one_has_an_empty_path_and_odd_characters_stay_in_their_string() {
        let entry = LogEntry {
            index: 0,
            log_id: &Hash([7; 32]),
            kind: "quo\"ted",
            version: "0.0.2",
            tree_size: 1,
            root: &Hash([1; 32]),
            proof: &[],
            checkpoint: "log.example.org\n1\n\u{2014} \"\\\n",
            body: b"x",
        };
        let read: Value = serde_json::from_slice(&entry.to_json()).expect("JSON");
        assert_eq!(read["kindVersion"]["kind"], json!("quo\"ted"));
        assert_eq!(read["inclusionProof"]["hashes"], json!([]));
        assert_eq!(read["inclusionProof"]["checkpoint"]["envelope"], json!(entry.checkpoint));
        assert_eq!(read["inclusionPromise"], Value::Null);
        assert_eq!(read["canonicalizedBody"], json!("eA=="));
    }
}

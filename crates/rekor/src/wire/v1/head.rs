//! The v1 checkpoint: `HOST - TREE`, size, root, a blank line and exactly one signature line. Its key hint is the start of
//! the key's hash for every type of key, which is not the rule of C2SP signed notes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::Hash;

use super::id::TreeId;

/// The signed text.
pub fn text(host: &str, tree: TreeId, size: u64, root: &Hash) -> String {
    format!("{host} - {tree}\n{size}\n{}\n", root.to_base64())
}

/// The note: the text and its signature.
pub fn note(text: &str, host: &str, log_id: &Hash, signature: &[u8]) -> String {
    let mut line = log_id.0[..4].to_vec();
    line.extend_from_slice(signature);
    format!("{text}\n\u{2014} {host} {}\n", STANDARD.encode(line))
}

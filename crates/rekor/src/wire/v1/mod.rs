//! The v1 wire format: IDs, entries, tree heads, requests.

pub mod entry;
pub mod head;
pub mod id;
pub mod request;

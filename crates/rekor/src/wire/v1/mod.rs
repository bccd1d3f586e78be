//! The v1 wire format: IDs, entries, tree heads, requests and their conditions.

pub mod entry;
pub mod head;
pub mod id;
pub mod once;
pub mod request;

//! The doors of the log: Rekor wire formats, HTTP and gRPC handlers, trust documents, client.

pub mod api;
pub mod client;
mod door;
pub mod search;
pub mod trust;
pub mod wire;

pub use door::{Document, Door, Duplicates, Settings};

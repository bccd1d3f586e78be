//! The doors of the log: Rekor wire formats, HTTP and gRPC handlers, search, shards, trust documents, client.

pub mod api;
pub mod client;
mod door;
pub mod guard;
mod idempotency;
pub mod search;
mod shard;
mod shelf;
pub mod trust;
pub mod wire;

pub use api::v1::about::Build;
pub use door::{Document, Door, Duplicates, Settings, Shelves, Trust, V1Settings};
pub use idempotency::Idempotency;
pub use shard::{Placed, Shard, Shards};
pub use shelf::Shelf;

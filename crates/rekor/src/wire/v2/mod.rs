//! Rekor v2 wire formats: JSON requests and answers, and the protobuf messages of the gRPC service.

pub mod error;
pub(crate) mod json;
pub mod request;
pub mod response;

/// The protobuf messages and the gRPC service, compiled from `proto/`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod protos {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));

    /// The compiled `proto/` files, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rekor_v2.fds"));
}

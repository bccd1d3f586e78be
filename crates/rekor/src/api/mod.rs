//! The doors themselves: who may ask what, and what is answered.

pub(crate) mod body;
pub mod grpc;
mod grpc_guard;
pub(crate) mod meter;
mod paths;
mod query;
pub(crate) mod request_id;
mod trouble;
pub mod v1;
pub mod v2;

pub use paths::router;

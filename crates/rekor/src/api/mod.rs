//! The doors themselves: who may ask what, and what is answered.

pub mod grpc;
pub(crate) mod meter;
mod query;
pub(crate) mod request_id;
pub mod v2;

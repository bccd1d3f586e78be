//! The authorities beside the log: who certifies identities, who attests times, where certificates are seen, and how clients
//! learn whom to believe.
//!
//! A crate of its own since what parses strangers' entries must not share a room with the keys that certify: the doors of the
//! log cannot name anything here.

pub mod api;
pub mod ca;
pub mod client;
pub mod ct;
pub mod dev;
mod exchange;
mod in_force;
pub mod key;
pub mod oidc;
pub mod tsa;
pub mod tuf;

pub use in_force::InForce;
pub use key::{BoxFuture, PrivateKey};

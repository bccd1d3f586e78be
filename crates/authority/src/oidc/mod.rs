//! Identity tokens: who is asked to vouch for an identity, whether a token is theirs, and whom it is about.

mod identity;

pub use identity::{Extensions, Identity, Name};

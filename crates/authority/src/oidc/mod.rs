//! Identity tokens: who is asked to vouch for an identity, whether a token is theirs, and whom it is about.

mod address;
mod claims;
mod discovery;
mod error;
mod identity;
mod issuers;
mod keyring;
mod keys;
mod kind;
mod kinds;
mod nearest;
mod replay;
mod template;
mod token;
mod verifier;

pub(crate) use address::check as issuer_url;
#[cfg(feature = "kms-gcp")]
pub(crate) use address::is_secure;
pub(crate) use error::quoted;
pub(crate) use kind::{is_email, uri};

pub use discovery::HttpSettings;
pub use error::{Fault, TokenError};
pub use identity::{Extensions, Identity, Name};
pub use issuers::{Description, Issuer, Issuers, IssuersError};
pub use replay::{Replay, Replayed};
pub use token::token_hash;
pub use verifier::Verifier;

//! Certificate transparency: a log that every certificate is in before it is handed out.

mod chain;
mod clock;
mod issuers;
mod leaf;
mod log;
mod remote;
mod sct;
mod submit;
mod tile;
mod wire;

pub use chain::{Admitted, Kind, MAX_CHAIN, Refusal, Roots};
pub use clock::Clock;
pub use leaf::{Entry, TimestampedEntry, extensions, leaf_index};
pub use log::{
    CertificateLog, LoggedEntry, MAX_ANSWER, OpenError, Parts, TreeHead, origin, tree_head_signer,
};
pub use remote::RemoteCtLog;
pub use sct::{AddChainResponse, Sct};
pub use submit::{CtError, CtLog, Precertificate};
pub use tile::{Rest, TileLeaf};
pub use wire::WireError;

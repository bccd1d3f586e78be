//! What is signed and how it is judged: keys and algorithms, the kinds of entries a log takes, attestations and image
//! signatures, and who may have signed.
//!
//! Nothing here does I/O, reads a clock or waits, and nothing knows where a leaf is kept. [`admit`] goes from a proposed
//! entry to the bytes of its leaf, [`describe`] from those bytes back to what they say.

pub mod attestation;
pub mod entry;
pub mod identity;
pub mod json;
pub mod judge;
pub mod keys;
pub mod pki;
pub mod policy;
pub mod revocation;
pub mod signing;
pub mod simple_signing;
pub mod tag;
pub mod traces;

pub use entry::{
    Admitted, DescribeError, Dsse, DsseRule, Facts, FactsDigest, FactsSignature, HashedRekord, LabelRule,
    Proposed, Refusal, Rules, admit, describe,
};
pub use keys::{Algorithm, AlgorithmSet, HashAlgorithm, Key, KeyError, Material, PublicKeyDetails, Verifier};
pub use signing::{KeyFileError, KeyKind, LogSigner, SigningKey};

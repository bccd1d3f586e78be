//! What is signed and how it is judged: keys and algorithms, and the kinds of entries a log takes.
//!
//! Nothing here does I/O, reads a clock or waits, and nothing knows where a leaf is kept. [`admit`] goes from a proposed
//! entry to the bytes of its leaf, [`describe`] from those bytes back to what they say.

pub mod entry;
pub mod keys;
pub mod pki;
pub mod signing;
pub mod traces;

pub use entry::{
    Admitted, DescribeError, Dsse, DsseRule, Facts, FactsDigest, FactsSignature, HashedRekord, LabelRule,
    Proposed, Refusal, Rules, admit, describe,
};
pub use keys::{Algorithm, AlgorithmSet, HashAlgorithm, Key, KeyError, Material, PublicKeyDetails, Verifier};
pub use signing::{KeyFileError, KeyKind, LogSigner, SigningKey};

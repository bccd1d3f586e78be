//! Judgement of signatures: whether a bundle, or a signature as cosign kept them before bundles, was made by whom it must be
//! over what it must be about.
//!
//! What is decided here is decided by named checks, each with what it saw. The cryptography is that of the crate
//! `sigstore-verify`; whatever it refuses is a failed check, and the checks that it does not make stand beside it.

mod bundle;
mod check;
mod entry;
mod legacy;
mod revoked;
mod shape;
mod trust;
mod verdict;

use std::fmt;

use bulla_tlog::{Hash, sha256};

pub use bundle::judge_bundle;
pub use check::{Check, Judged, LogHead, Outcome, Signed};
pub use legacy::{LAYER_PROOF, Layer, judge_layer};
pub use revoked::{NoRevocation, Revocations, SignedRevocation};
pub use shape::MAX_BUNDLE;
pub use trust::{MAX_TRUSTED_ROOT, TrustError, TrustedRoot};
pub use verdict::{Verdict, verdict};

use crate::attestation::WantedType;
use crate::identity::IdentityPattern;

/// What is said to be signed.
#[derive(Clone, Copy)]
pub enum Artifact<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// Their SHA-256. Signatures that cannot be verified without the bytes, those of plain Ed25519, are refused.
    Sha256(Hash),
}

impl Artifact<'_> {
    /// The SHA-256.
    pub fn sha256(&self) -> Hash {
        match self {
            Self::Bytes(bytes) => sha256(bytes),
            Self::Sha256(hash) => *hash,
        }
    }
}

/// What a signature must be to be accepted.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The public keys that may have signed, DER `SubjectPublicKeyInfo`.
    pub keys: Vec<Vec<u8>>,
    /// Who may have signed with a certificate.
    pub identities: Vec<IdentityPattern>,
    /// What must be signed.
    pub content: Content,
    /// Whether the entry of a log is needed.
    pub log: Need,
    /// Whether the certificate must be promised to a certificate transparency log.
    pub sct: Need,
}

/// What must be signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// The artifact itself, or a statement that says no more than which artifact.
    Signature,
    /// A statement about the artifact, of this type.
    Attestation(WantedType),
    /// Anything about the artifact, for who takes stock of what there is: [`Judged::statement`] says what it is. That it holds
    /// is no consent to run anything.
    Any,
}

/// Whether something must be there. What is there is always verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// It must be there.
    Required,
    /// It may be missing. Less is known then: a stolen key, or an authority that was made to sign, goes unseen.
    NotRequired,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("a signature"),
            Self::Attestation(wanted) => write!(f, "an attestation of type {}", wanted.uri()),
            Self::Any => f.write_str("a signature or an attestation"),
        }
    }
}

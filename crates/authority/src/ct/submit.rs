//! What a certificate authority asks of a certificate transparency log, ours or another.

use bulla_tlog::Hash;

use crate::BoxFuture;

/// A certificate that is about to be signed (RFC 6962 §3.1).
#[derive(Clone, Debug)]
pub struct Precertificate {
    /// SHA-256 of the issuer's `SubjectPublicKeyInfo`.
    pub issuer_key_hash: Hash,
    /// DER `TBSCertificate` without poison and without timestamps.
    pub tbs: Vec<u8>,
    /// The signed precertificate, DER, with poison.
    pub signed: Vec<u8>,
    /// Certificates from the issuer's to the root, DER.
    pub chain: Vec<Vec<u8>>,
}

/// Takes precertificates.
pub trait CtLog: Send + Sync {
    /// Logs it, and returns a `SignedCertificateTimestamp` in TLS encoding (RFC 6962 §3.2).
    fn add(&self, precertificate: Precertificate) -> BoxFuture<'_, Result<Vec<u8>, CtError>>;
}

/// Why a log gave no timestamp.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CtError {
    /// It does not answer, or not now.
    #[error("certificate transparency log: {0}")]
    Unavailable(String),
    /// It refused.
    #[error("certificate transparency log refused: {0}")]
    Refused(String),
}

//! The certificate authority: its keys and certificates, what it certifies, and how.

mod chain;
mod csr;
mod extensions;
mod facts;
mod issue;
mod key_request;
mod proof;
mod roots;
mod x509;

pub(crate) use chain::judge_signature;
pub use chain::{Chain, ChainError, MAX_CERTIFICATES, MAX_PEM_BYTES, certificates};
pub use csr::Request;
pub use facts::Facts;
pub use issue::{CertificateAuthority, DEFAULT_LIFETIME, IssueError, Issued};
pub use key_request::{KeyKind, KeyPolicy, base64, read as read_public_key};
pub use proof::is_proof;
pub use roots::{INTERMEDIATE_LIFETIME, Issuer, Period, Profile, ROOT_LIFETIME, certify};
pub use x509::{CertifyError, Serial, Subject};

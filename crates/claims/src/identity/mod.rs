//! Who signed: the one name and the issuer in a certificate, patterns of those, and how many of whom are required.

mod pattern;
mod requires;

use std::fmt;

use bulla_tlog::{Hash, sha256};

pub use pattern::{IdentityPattern, Pattern, PatternError};
pub use requires::{Requires, RequiresError, Who};

use crate::keys::KeyError;
use crate::pki::certificate;

/// The longest name or issuer that is looked at, in bytes.
pub const MAX_NAME: usize = 4096;

/// Somebody whom an issuer of identity tokens vouched for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Identity {
    /// The URL of who vouched.
    pub issuer: String,
    /// The name: an e-mail address, a URI, or a user name.
    pub subject: String,
}

impl Identity {
    /// Reads the identity in one DER certificate of a certificate authority for identities. It must have exactly one subject
    /// alternative name, for with two a reader could be shown either; and name its issuer in the extension
    /// 1.3.6.1.4.1.57264.1.8, or in the older .1 if that one is not there.
    pub fn from_certificate(der: &[u8]) -> Result<Self, KeyError> {
        let refused = |problem| KeyError::new(format!("certificate {problem}"));
        let (issuer, subject) = certificate::identity(der).map_err(refused)?;
        for (what, value) in [("an issuer", &issuer), ("a subject alternative name", &subject)] {
            if value.is_empty() || value.len() > MAX_NAME {
                let len = value.len();
                return Err(refused(format!("has {what} of {len} bytes, 1 to {MAX_NAME} were expected")));
            }
        }
        Ok(Self { issuer, subject })
    }

    /// What an identity is found by where only digests are: SHA-256 over issuer, line feed, subject.
    pub fn digest(&self) -> Hash {
        sha256(format!("{}\n{}", self.issuer, self.subject).as_bytes())
    }
}

/// What a DER certificate for a job of GitHub says of that job, by the object identifier of the extension that says so:
/// 1.3.6.1.4.1.57264.1.2 what triggered it, .3 the commit, .4 its name, .5 the repository, .6 the branch or tag. Only for
/// people to read: nothing is judged by it.
pub fn workflow(certificate: &[u8]) -> Vec<(String, String)> {
    certificate::workflow(certificate)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of issuer {:?}", self.subject, self.issuer)
    }
}

/// Who made one signature, and where that is written down.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// Its public key, DER `SubjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// Whom a trusted certificate says that the key belongs to.
    pub identity: Option<&'a Identity>,
    /// The entry of a log that has the signature.
    pub entry: Option<LoggedAs>,
}

/// An entry of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoggedAs {
    /// The log's ID.
    pub log_id: Hash,
    /// The hash of the leaf.
    pub leaf_hash: Hash,
}

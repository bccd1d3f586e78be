//! What a certificate says of itself, for those who have to know when it ends and whose it is.

use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use x509_cert::Certificate;

use super::x509::{ORGANIZATION, from_time};

/// What is known of a certificate. Nothing of it is verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Its subject, as RFC 4514 writes names.
    pub subject: String,
    /// The organization in its subject.
    pub organization: Option<String>,
    /// The subject's public key, DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// From when it is valid.
    pub begins: Timestamp,
    /// Until when it is valid, included.
    pub ends: Timestamp,
}

impl Facts {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Result<Self, String> {
        let unread = |error: der::Error| format!("certificate is not DER X.509: {error}");
        let tbs = Certificate::from_der(der).map_err(unread)?.tbs_certificate;
        let mut attributes = tbs.subject.0.iter().flat_map(|name| name.0.iter());
        let organization = attributes.find(|attribute| attribute.oid == ORGANIZATION);
        // UTF-8 in ours, and ASCII in what others use in its place.
        let organization = organization.and_then(|attribute| str::from_utf8(attribute.value.value()).ok());
        let organization = organization.map(str::to_owned);
        Ok(Self {
            subject: tbs.subject.to_string(),
            organization,
            spki: tbs.subject_public_key_info.to_der().map_err(unread)?,
            begins: from_time(tbs.validity.not_before)?,
            ends: from_time(tbs.validity.not_after)?,
        })
    }
}

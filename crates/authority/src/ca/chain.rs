//! The certificates of a certificate authority, from the issuing one to the root, read once and judged before anything is
//! signed with them.

use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::pem;
use bulla_claims::pki::x509::PublicKey;
use bulla_tlog::{Hash, sha256};
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use x509_cert::certificate::{Certificate, TbsCertificate};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::name::Name;

use super::proof;
use super::roots::key_id;
use super::x509::{CODE_SIGNING, from_time};

/// The most certificates of a chain.
pub const MAX_CERTIFICATES: usize = 8;
/// The most bytes of a chain in PEM.
pub const MAX_PEM_BYTES: usize = 64 << 10;

/// A chain that cannot issue, and why: which certificate, counted from the issuing one, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("certificate chain: {problem}")]
pub struct ChainError {
    /// What is wrong.
    pub problem: String,
}

/// Certificates that lead from the one whose key signs to a root.
#[derive(Clone, Debug)]
pub struct Chain {
    certificates: Vec<Vec<u8>>,
    pub(super) name: Name,
    pub(super) key_id: OctetString,
    pub(super) key_hash: Hash,
    /// When the last of them begins.
    pub(super) begins: Timestamp,
    /// When the first of them ends.
    pub(super) ends: Timestamp,
}

/// The certificates in PEM text, DER, in their order: 1 to [`MAX_CERTIFICATES`], in at most [`MAX_PEM_BYTES`].
pub fn certificates(text: &str) -> Result<Vec<Vec<u8>>, String> {
    if text.len() > MAX_PEM_BYTES {
        return Err(format!("{} bytes of PEM, at most {MAX_PEM_BYTES} were expected", text.len()));
    }
    let blocks = pem::read(text.as_bytes(), MAX_CERTIFICATES);
    let blocks = blocks.map_err(|problem| format!("text {problem}"))?;
    let mut certificates = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.into_iter().enumerate() {
        if block.label != "CERTIFICATE" {
            return Err(format!("block {} is PEM of {:?}, CERTIFICATE was expected", at + 1, block.label));
        }
        certificates.push(block.der);
    }
    Ok(certificates)
}

impl Chain {
    /// Reads certificates in PEM, the issuing one first, the root last. Refused unless the first has the key `spki`, each
    /// is signed by the next and the last by itself, and each may sign certificates of code signers. Whether they do so now
    /// is judged when something is issued: see [`Chain::judge_at`].
    pub fn read(text: &str, spki: &[u8]) -> Result<Self, ChainError> {
        let refused = |problem: String| ChainError { problem };
        let certificates = certificates(text).map_err(refused)?;
        let mut parsed = Vec::with_capacity(certificates.len());
        for (at, der) in certificates.iter().enumerate() {
            let certificate = Certificate::from_der(der)
                .map_err(|error| refused(format!("certificate {} is not DER X.509: {error}", at + 1)))?;
            parsed.push(certificate);
        }
        let (mut begins, mut ends) = (Timestamp::MIN, Timestamp::MAX);
        for (at, certificate) in parsed.iter().enumerate() {
            let wrong = |problem: String| {
                refused(format!("certificate {} ({}) {problem}", at + 1, certificate.tbs_certificate.subject))
            };
            let (from, to) = judge(&certificate.tbs_certificate, at).map_err(wrong)?;
            (begins, ends) = (begins.max(from), ends.min(to));
            // The last signs itself.
            let signer = parsed.get(at + 1).unwrap_or(certificate);
            judge_signature(certificate, signer).map_err(wrong)?;
        }
        let issuing = &parsed[0].tbs_certificate;
        let own = issuing.subject_public_key_info.to_der().map_err(|error| refused(error.to_string()))?;
        if own != spki {
            return Err(refused(format!(
                "the issuing key is not that of certificate 1 ({}), the first certificate has to be the issuing one",
                issuing.subject
            )));
        }
        Ok(Self {
            name: issuing.subject.clone(),
            key_id: key_id(issuing).map_err(|error| refused(error.to_string()))?,
            key_hash: sha256(spki),
            certificates,
            begins,
            ends,
        })
    }

    /// Whether all of them are valid at that time.
    pub fn judge_at(&self, now: Timestamp) -> Result<(), ChainError> {
        let Self { begins, ends, .. } = self;
        if (*begins..=*ends).contains(&now) {
            return Ok(());
        }
        let problem =
            format!("certificates of the authority are valid from {begins} until {ends}, it is {now}");
        Err(ChainError { problem })
    }

    /// The certificates in DER, the issuing one first, the root last.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }
}

/// Whether a certificate with `below` other ones of the chain before it may sign certificates of code signers. Returns
/// when it ends.
fn judge(tbs: &TbsCertificate, below: usize) -> Result<(Timestamp, Timestamp), String> {
    let broken = |error: der::Error| format!("has an extension that cannot be read: {error}");
    let constraints = tbs.get::<BasicConstraints>().map_err(broken)?;
    match constraints {
        Some((true, BasicConstraints { ca: true, path_len_constraint })) => {
            if path_len_constraint.is_some_and(|most| usize::from(most) < below) {
                return Err(format!(
                    "allows fewer certificate authorities below it than the {below} there are"
                ));
            }
        }
        Some((false, BasicConstraints { ca: true, .. })) => {
            return Err("is a certificate authority by an extension that is not critical".to_owned());
        }
        _ => return Err("is not a certificate authority, basic constraints CA:TRUE were expected".to_owned()),
    }
    match tbs.get::<KeyUsage>().map_err(broken)? {
        Some((_, usage)) if usage.key_cert_sign() => {}
        _ => return Err("may not sign certificates, key usage keyCertSign was expected".to_owned()),
    }
    if let Some((_, usages)) = tbs.get::<ExtendedKeyUsage>().map_err(broken)?
        && !usages.0.iter().any(|usage| [CODE_SIGNING, ANY_USAGE].contains(usage))
    {
        return Err("is not for code signing, extended key usage codeSigning or none was expected".to_owned());
    }
    Ok((from_time(tbs.validity.not_before)?, from_time(tbs.validity.not_after)?))
}

pub(crate) fn judge_signature(certificate: &Certificate, signer: &Certificate) -> Result<(), String> {
    let (tbs, signer) = (&certificate.tbs_certificate, &signer.tbs_certificate);
    if tbs.issuer != signer.subject {
        return Err(format!("is issued by {}, the next certificate is of {}", tbs.issuer, signer.subject));
    }
    if certificate.signature_algorithm != tbs.signature {
        return Err("names two different signature algorithms".to_owned());
    }
    let unwritable = |error: der::Error| format!("cannot be encoded again: {error}");
    let spki = signer.subject_public_key_info.to_der().map_err(unwritable)?;
    let key = PublicKey::parse(public_key_pem(&spki).as_bytes());
    let key = key.map_err(|error| format!("is signed by a key that cannot verify: {error}"))?;
    let message = tbs.to_der().map_err(unwritable)?;
    let signature = certificate.signature.as_bytes().ok_or("has a signature that does not end on a byte")?;
    proof::judge(&key, certificate.signature_algorithm.oid, &message, signature)
        .map_err(|problem| format!("is not signed by {}: {problem}", signer.subject))
}

const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

//! The certificates of the authorities themselves: a root, what stands between it and the leaves, and the leaf that signs
//! timestamps (RFC 5280 §4.2.1, RFC 3161 §2.3).

use der::Decode as _;
use der::asn1::OctetString;
use der::flagset::FlagSet;
use jiff::{SignedDuration, Timestamp};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::time::Validity;

use super::x509::{
    CODE_SIGNING, CertifyError, Serial, Subject, TIME_STAMPING, extension, key_identifier, public_key,
    signature_algorithm, signed, time,
};
use crate::PrivateKey;

/// How long a root lasts, unless somebody wants otherwise: ten years.
pub const ROOT_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 3652);
/// How long an intermediate lasts: five years.
pub const INTERMEDIATE_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 1826);

/// What a certificate of an authority is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// Signs itself and certificates of authorities; for no usage in particular.
    Root,
    /// Signs the certificates of those who sign code.
    CodeSigningIntermediate,
    /// Signs the certificates of those who sign timestamps.
    TimestampingIntermediate,
    /// Signs timestamps, nothing else.
    TimestampingLeaf,
}

/// Who signs a certificate.
pub struct Issuer<'a> {
    name: Name,
    key_id: OctetString,
    key: &'a dyn PrivateKey,
}

impl<'a> Issuer<'a> {
    /// Whoever is to sign its own certificate.
    pub fn of_itself(subject: &Subject, key: &'a dyn PrivateKey) -> Result<Self, CertifyError> {
        Ok(Self { name: subject.to_name()?, key_id: key_identifier(&public_key(key.spki())?)?, key })
    }

    /// The subject of a certificate, DER, and its key. Refused when the key is not the certificate's.
    pub fn of_certificate(certificate: &[u8], key: &'a dyn PrivateKey) -> Result<Self, CertifyError> {
        let refused = |error| CertifyError::Refused(format!("issuer is not a DER certificate: {error}"));
        let tbs = Certificate::from_der(certificate).map_err(refused)?.tbs_certificate;
        if public_key(key.spki())? != tbs.subject_public_key_info {
            let problem = format!("issuing key is not that of the certificate of {}", tbs.subject);
            return Err(CertifyError::Refused(problem));
        }
        Ok(Self { key_id: key_id(&tbs)?, name: tbs.subject, key })
    }
}

/// What a certificate calls its own key, for those that it signs.
pub(super) fn key_id(tbs: &TbsCertificate) -> Result<OctetString, CertifyError> {
    match tbs.get::<SubjectKeyIdentifier>()? {
        Some((_, id)) => Ok(id.0),
        None => key_identifier(&tbs.subject_public_key_info),
    }
}

/// From when until when a certificate is valid, both included, in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// `notBefore`.
    pub from: Timestamp,
    /// `notAfter`.
    pub to: Timestamp,
}

impl Period {
    /// So long from then.
    pub fn starting(from: Timestamp, lifetime: SignedDuration) -> Result<Self, CertifyError> {
        let to = from.checked_add(lifetime);
        let to =
            to.map_err(|_| CertifyError::Refused(format!("lifetime {lifetime:#} from {from} never ends")))?;
        Ok(Self { from, to })
    }

    pub(super) fn to_der(self) -> Result<Validity, CertifyError> {
        if self.to <= self.from {
            let problem = format!("certificate would end at {}, before it begins at {}", self.to, self.from);
            return Err(CertifyError::Refused(problem));
        }
        Ok(Validity { not_before: time(self.from)?, not_after: time(self.to)? })
    }
}

/// Makes one certificate, DER. A root's key is the issuer's, and its name too.
pub async fn certify(
    profile: Profile,
    subject: &Subject,
    spki: &[u8],
    issuer: &Issuer<'_>,
    period: Period,
    serial: Serial,
) -> Result<Vec<u8>, CertifyError> {
    let (subject, key) = (subject.to_name()?, public_key(spki)?);
    let is_own = subject == issuer.name && spki == issuer.key.spki();
    if is_own != (profile == Profile::Root) {
        let problem = if is_own { "only a root is signed by itself" } else { "a root is signed by itself" };
        return Err(CertifyError::Refused(problem.to_owned()));
    }
    let usages: FlagSet<KeyUsages> = match profile {
        Profile::TimestampingLeaf => KeyUsages::DigitalSignature.into(),
        _ => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
    };
    let mut extensions = vec![extension(true, &KeyUsage(usages))?];
    let path_len_constraint = match profile {
        Profile::Root => Some(None),
        Profile::CodeSigningIntermediate | Profile::TimestampingIntermediate => Some(Some(0)),
        Profile::TimestampingLeaf => None,
    };
    if let Some(path_len_constraint) = path_len_constraint {
        extensions.push(extension(true, &BasicConstraints { ca: true, path_len_constraint })?);
    }
    let usage = match profile {
        Profile::Root => None,
        Profile::CodeSigningIntermediate => Some((false, CODE_SIGNING)),
        Profile::TimestampingIntermediate => Some((false, TIME_STAMPING)),
        Profile::TimestampingLeaf => Some((true, TIME_STAMPING)),
    };
    if let Some((critical, usage)) = usage {
        extensions.push(extension(critical, &ExtendedKeyUsage(vec![usage]))?);
    }
    extensions.push(extension(false, &SubjectKeyIdentifier(key_identifier(&key)?))?);
    if !is_own {
        extensions.push(extension(false, &authority_key(issuer.key_id.clone()))?);
    }
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: serial.to_der()?,
        signature: signature_algorithm(issuer.key.details())?,
        issuer: issuer.name.clone(),
        validity: period.to_der()?,
        subject,
        subject_public_key_info: key,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    };
    signed(tbs, issuer.key).await
}

/// Which key signed, as a certificate says it.
pub(super) fn authority_key(id: OctetString) -> AuthorityKeyIdentifier {
    AuthorityKeyIdentifier {
        key_identifier: Some(id),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    }
}

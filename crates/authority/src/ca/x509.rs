//! The parts that every certificate here is put together from (RFC 5280): names, times, identifiers, and the signature.

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use bulla_claims::PublicKeyDetails;
use bulla_tlog::note::SignError;
use bulla_tlog::sha256;
use der::asn1::{AnyRef, BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use der::oid::AssociatedOid;
use der::{Any, Decode as _, Encode, Sequence, Tag};
use jiff::Timestamp;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::Extension;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Time;

use crate::PrivateKey;

/// Why a certificate could not be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertifyError {
    /// Something in it cannot be written, or should not be.
    #[error("{0}")]
    Refused(String),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// It cannot be encoded: a part is longer than DER here allows.
    #[error("certificate cannot be encoded: {0}")]
    Encoding(der::Error),
}

impl From<der::Error> for CertifyError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error)
    }
}

/// Whom a certificate of an authority is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// `CN`, 1 to 64 characters.
    pub common_name: String,
    /// `O`, 1 to 64 characters.
    pub organization: String,
}

impl Subject {
    /// As it stands in a certificate.
    pub fn to_name(&self) -> Result<Name, CertifyError> {
        let organization = attribute("organization", ORGANIZATION, &self.organization)?;
        Ok(RdnSequence(vec![organization, attribute("common name", COMMON_NAME, &self.common_name)?]))
    }
}

fn attribute(
    what: &str,
    oid: ObjectIdentifier,
    value: &str,
) -> Result<RelativeDistinguishedName, CertifyError> {
    // The upper bounds of RFC 5280 appendix A.
    let len = value.chars().count();
    if !(1..=64).contains(&len) || value.chars().any(char::is_control) {
        let problem = format!(
            "{what} {value:?} has {len} characters, 1 to 64 without control characters were expected"
        );
        return Err(CertifyError::Refused(problem));
    }
    let value = Any::new(Tag::Utf8String, value.as_bytes())?;
    Ok(RelativeDistinguishedName(SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?))
}

/// A certificate's number: positive, 20 bytes, not to be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serial([u8; 20]);

impl Serial {
    /// A new one.
    pub fn random() -> Result<Self, CertifyError> {
        let mut bytes = [0; 20];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| CertifyError::Refused("no random bytes for a serial number".to_owned()))?;
        // The top bit would make it negative or 21 bytes long; the next keeps it at 20.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Ok(Self(bytes))
    }

    pub(super) fn to_der(self) -> Result<SerialNumber, CertifyError> {
        Ok(SerialNumber::new(&self.0)?)
    }
}

/// How RFC 5280 writes a time: seconds, in two digits of the year up to 2049.
pub(super) fn time(at: Timestamp) -> Result<Time, CertifyError> {
    let seconds = u64::try_from(at.as_second())
        .map_err(|_| CertifyError::Refused(format!("time {at} is before 1970")))?;
    let since = Duration::from_secs(seconds);
    // 2050-01-01T00:00:00Z
    Ok(if seconds < 2_524_608_000 {
        Time::UtcTime(UtcTime::from_unix_duration(since)?)
    } else {
        Time::GeneralTime(GeneralizedTime::from_unix_duration(since)?)
    })
}

/// What names a key in other certificates: the first 160 bits of the SHA-256 of its `BIT STRING` (RFC 7093 §2).
pub(super) fn key_identifier(spki: &SubjectPublicKeyInfoOwned) -> Result<OctetString, CertifyError> {
    Ok(OctetString::new(&sha256(spki.subject_public_key.raw_bytes()).as_ref()[..20])?)
}

/// Reads DER `SubjectPublicKeyInfo`.
pub(super) fn public_key(spki: &[u8]) -> Result<SubjectPublicKeyInfoOwned, CertifyError> {
    let refused =
        |error| CertifyError::Refused(format!("public key is not DER SubjectPublicKeyInfo: {error}"));
    SubjectPublicKeyInfoOwned::from_der(spki).map_err(refused)
}

/// A time as certificates have it.
pub(super) fn from_time(time: Time) -> Result<Timestamp, String> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_err(|_| "has a time out of range".to_owned())
}

/// An extension with DER in it.
pub(super) fn extension<T: AssociatedOid + Encode>(
    critical: bool,
    value: &T,
) -> Result<Extension, CertifyError> {
    Ok(raw_extension(T::OID, critical, value.to_der()?)?)
}

/// An extension with any bytes in it.
pub(super) fn raw_extension(
    extn_id: ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
) -> Result<Extension, der::Error> {
    Ok(Extension { extn_id, critical, extn_value: OctetString::new(value)? })
}

/// How the signatures of a key are labelled in certificates.
pub(super) fn signature_algorithm(
    details: PublicKeyDetails,
) -> Result<AlgorithmIdentifierOwned, CertifyError> {
    let (oid, parameters) = match details {
        PublicKeyDetails::PkixEcdsaP256Sha256 => (ECDSA_SHA256, None),
        PublicKeyDetails::PkixEcdsaP384Sha384 => (ECDSA_SHA384, None),
        PublicKeyDetails::PkixEcdsaP521Sha512 => (ECDSA_SHA512, None),
        PublicKeyDetails::PkixEd25519 => (ED25519, None),
        PublicKeyDetails::PkixRsaPkcs1v15Of2048Sha256
        | PublicKeyDetails::PkixRsaPkcs1v15Of3072Sha256
        | PublicKeyDetails::PkixRsaPkcs1v15Of4096Sha256 => (RSA_SHA256, Some(Any::encode_from(&Null)?)),
        other => {
            let problem = format!(
                "issuing key is {other}, ECDSA, Ed25519 or RSA of 2048, 3072 or 4096 bits was expected"
            );
            return Err(CertifyError::Refused(problem));
        }
    };
    Ok(AlgorithmIdentifierOwned { oid, parameters })
}

/// Signs what is to be signed, and puts both together: DER `Certificate`.
pub(super) async fn signed(tbs: TbsCertificate, key: &dyn PrivateKey) -> Result<Vec<u8>, CertifyError> {
    let signed = tbs.to_der()?;
    let signature = BitString::from_bytes(&key.sign(&signed).await?)?;
    let whole = Signed { tbs: AnyRef::from_der(&signed)?, signature_algorithm: tbs.signature, signature };
    Ok(whole.to_der()?)
}

/// A `Certificate` (RFC 5280 §4.1) around what was encoded to be signed: encoding it once more would cost more than the rest.
#[derive(Sequence)]
struct Signed<'a> {
    tbs: AnyRef<'a>,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

pub(super) const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
pub(super) const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
pub(super) const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
pub(super) const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
pub(super) const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
pub(super) const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
pub(super) const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
pub(super) const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

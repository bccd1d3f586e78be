//! The answer: a timestamp token, which is CMS `SignedData` around a `TSTInfo` (RFC 3161 §2.4.2, RFC 5652, RFC 5816).
//!
//! The signed statement is encoded by its types. What goes around it is put together from bytes that stay the same from
//! one answer to the next: a certificate goes out as it came in, and the signature is nearly all the work there is.

use std::time::Duration;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use bulla_claims::PublicKeyDetails;
use bulla_tlog::note::SignError;
use der::asn1::{GeneralizedTime, ObjectIdentifier};
use der::{Decode as _, Encode as _};
use x509_cert::Certificate;
use x509_tsp::{Accuracy, TspVersion, TstInfo};

use super::request::{Request, unsigned};
use crate::PrivateKey;

/// What is the same in every answer of one authority.
pub(super) struct Template {
    scheme: &'static Scheme,
    /// `digestAlgorithm`, DER.
    digest_algorithm: Vec<u8>,
    /// `signatureAlgorithm`, DER.
    signature_algorithm: Vec<u8>,
    /// `issuerAndSerialNumber`, DER.
    signer: Vec<u8>,
    /// The attributes that are always the same, DER.
    content_type: Vec<u8>,
    signing_certificate: Vec<u8>,
    /// `certificates`, DER.
    certificates: Vec<u8>,
    accuracy: Option<Accuracy>,
}

/// What one answer says beyond what was asked.
pub(super) struct Statement {
    pub(super) policy: ObjectIdentifier,
    /// Unsigned, most significant byte first.
    pub(super) serial: [u8; 20],
    /// Seconds since 1970.
    pub(super) time: Duration,
}

/// How a kind of key signs.
struct Scheme {
    details: PublicKeyDetails,
    digest: &'static Algorithm,
    digest_oid: ObjectIdentifier,
    signature_oid: ObjectIdentifier,
    /// Whether the algorithm is written with NULL parameters.
    null: bool,
}

impl Template {
    /// `None` for keys that timestamps are not signed with.
    pub(super) fn new(
        leaf: &[u8],
        included: &[Vec<u8>],
        details: PublicKeyDetails,
        accuracy: Duration,
    ) -> der::Result<Option<Self>> {
        let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.details == details) else { return Ok(None) };
        let certificate = Certificate::from_der(leaf)?.tbs_certificate;
        let null = if scheme.null { tlv(NULL, &[]) } else { Vec::new() };
        // SHA-256 is the default of ESSCertIDv2, so it is not written.
        let ess = tlv(SEQUENCE, &[&tlv(OCTET_STRING, &[digest(&SHA256, leaf).as_ref()])]);
        let mut included: Vec<&[u8]> = included.iter().map(Vec::as_slice).collect();
        included.sort_unstable();
        Ok(Some(Self {
            scheme,
            digest_algorithm: tlv(SEQUENCE, &[&scheme.digest_oid.to_der()?]),
            signature_algorithm: tlv(SEQUENCE, &[&scheme.signature_oid.to_der()?, &null]),
            signer: tlv(SEQUENCE, &[&certificate.issuer.to_der()?, &certificate.serial_number.to_der()?]),
            content_type: attribute(CONTENT_TYPE, &TST_INFO.to_der()?)?,
            signing_certificate: attribute(
                SIGNING_CERTIFICATE_V2,
                &tlv(SEQUENCE, &[&tlv(SEQUENCE, &[&ess])]),
            )?,
            certificates: tlv(CONTEXT_0, &included),
            accuracy: written(accuracy),
        }))
    }

    /// The DER of a `TimeStampResp` with a token, status granted.
    pub(super) async fn answer(
        &self,
        request: &Request,
        statement: Statement,
        key: &dyn PrivateKey,
    ) -> Result<Vec<u8>, SignError> {
        let failed = |error: der::Error| SignError::new(format!("timestamp was not encoded: {error}"));
        let info = self.info(request, &statement).map_err(failed)?;
        let attributes = self.attributes(&info, statement.time).map_err(failed)?;
        // Signed as a SET, written under a tag of its own (RFC 5652 §5.4).
        let signature = key.sign(&tlv(SET, &[&attributes])).await?;
        self.assembled(request.certificates, &info, &attributes, &signature).map_err(failed)
    }

    fn info(&self, request: &Request, statement: &Statement) -> der::Result<Vec<u8>> {
        let info = TstInfo {
            version: TspVersion::V1,
            policy: statement.policy,
            message_imprint: request.imprint.clone(),
            serial_number: unsigned(&statement.serial)?,
            gen_time: GeneralizedTime::from_unix_duration(statement.time)?,
            accuracy: self.accuracy.clone(),
            ordering: false,
            nonce: request.nonce.clone(),
            tsa: None,
            extensions: None,
        };
        info.to_der()
    }

    /// The attributes in the order that DER wants of a set.
    fn attributes(&self, info: &[u8], time: Duration) -> der::Result<Vec<u8>> {
        let imprint = digest(self.scheme.digest, info);
        let time = x509_cert::time::Time::try_from(std::time::UNIX_EPOCH + time)?.to_der()?;
        let (time, imprint) = (
            attribute(SIGNING_TIME, &time)?,
            attribute(MESSAGE_DIGEST, &tlv(OCTET_STRING, &[imprint.as_ref()]))?,
        );
        let mut attributes = [&self.content_type, &self.signing_certificate, &time, &imprint];
        attributes.sort_unstable();
        Ok(attributes.iter().flat_map(|attribute| attribute.iter().copied()).collect())
    }

    fn assembled(
        &self,
        certificates: bool,
        info: &[u8],
        attributes: &[u8],
        signature: &[u8],
    ) -> der::Result<Vec<u8>> {
        let (one, three) = (1_u8.to_der()?, 3_u8.to_der()?);
        let signer_info = tlv(
            SEQUENCE,
            &[
                &one,
                &self.signer,
                &self.digest_algorithm,
                &tlv(CONTEXT_0, &[attributes]),
                &self.signature_algorithm,
                &tlv(OCTET_STRING, &[signature]),
            ],
        );
        let content = tlv(CONTEXT_0, &[&tlv(OCTET_STRING, &[info])]);
        let signed = tlv(
            SEQUENCE,
            &[
                &three,
                &tlv(SET, &[&self.digest_algorithm]),
                &tlv(SEQUENCE, &[&TST_INFO.to_der()?, &content]),
                if certificates { &self.certificates } else { &[] },
                &tlv(SET, &[&signer_info]),
            ],
        );
        let token = tlv(SEQUENCE, &[&SIGNED_DATA.to_der()?, &tlv(CONTEXT_0, &[&signed])]);
        Ok(tlv(SEQUENCE, &[&tlv(SEQUENCE, &[&GRANTED]), &token]))
    }
}

/// How far off the time may be, down to microseconds. Nothing is written for none.
fn written(accuracy: Duration) -> Option<Accuracy> {
    let part = |number: u32| i16::try_from(number % 1000).ok().filter(|number| *number > 0);
    let accuracy = Accuracy {
        seconds: Some(accuracy.as_secs()).filter(|seconds| *seconds > 0),
        millis: part(accuracy.subsec_millis()),
        micros: part(accuracy.subsec_micros()),
    };
    let some = accuracy.seconds.is_some() || accuracy.millis.is_some() || accuracy.micros.is_some();
    some.then_some(accuracy)
}

fn attribute(oid: ObjectIdentifier, value: &[u8]) -> der::Result<Vec<u8>> {
    Ok(tlv(SEQUENCE, &[&oid.to_der()?, &tlv(SET, &[value])]))
}

/// One DER value of these contents.
fn tlv(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|content| content.len()).sum();
    let mut value = Vec::with_capacity(length + 6);
    value.push(tag);
    if length < 0x80 {
        value.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[(length.leading_zeros() / 8) as usize..];
        value.push(0x80 | bytes.len() as u8);
        value.extend_from_slice(bytes);
    }
    for content in contents {
        value.extend_from_slice(content);
    }
    value
}

const NULL: u8 = 0x05;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
/// INTEGER 0.
const GRANTED: [u8; 3] = [2, 1, 0];

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-ct-TSTInfo`.
pub(crate) const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

const SHA256_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA_SHA256_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

const fn rsa(details: PublicKeyDetails) -> Scheme {
    Scheme { details, digest: &SHA256, digest_oid: SHA256_OID, signature_oid: RSA_SHA256_OID, null: true }
}

/// No Ed25519: most that read timestamps do not know it in CMS.
static SCHEMES: [Scheme; 6] = [
    Scheme {
        details: PublicKeyDetails::PkixEcdsaP256Sha256,
        digest: &SHA256,
        digest_oid: SHA256_OID,
        signature_oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        null: false,
    },
    Scheme {
        details: PublicKeyDetails::PkixEcdsaP384Sha384,
        digest: &SHA384,
        digest_oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        signature_oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
        null: false,
    },
    Scheme {
        details: PublicKeyDetails::PkixEcdsaP521Sha512,
        digest: &SHA512,
        digest_oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        signature_oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
        null: false,
    },
    rsa(PublicKeyDetails::PkixRsaPkcs1v15Of2048Sha256),
    rsa(PublicKeyDetails::PkixRsaPkcs1v15Of3072Sha256),
    rsa(PublicKeyDetails::PkixRsaPkcs1v15Of4096Sha256),
];

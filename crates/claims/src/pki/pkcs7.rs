//! PKCS#7 signed data (RFC 2315, its successor CMS is RFC 5652): the signature of a jar, and what a timestamp is wrapped
//! in. The key is that of a certificate that comes with it, whom nobody here trusts.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use aws_lc_rs::signature::{RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Any, Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{certificate, pem, x509};
use crate::keys::spki::{self, Spki};
use crate::keys::{HashAlgorithm, KeyError};

/// Signed data, with its content or beside it.
pub struct Signed {
    data: SignedData,
    /// DER, in the order they came.
    certificates: Vec<Vec<u8>>,
    /// DER without the content.
    detached: Vec<u8>,
}

impl Signed {
    /// Reads DER, or PEM of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Self::from_der(bytes);
        }
        let blocks = pem::read(bytes, 1).map_err(|problem| KeyError::new(format!("signature {problem}")))?;
        if blocks[0].label != LABEL {
            let problem = format!("signature is PEM of {:?}, {LABEL:?} was expected", blocks[0].label);
            return Err(KeyError::new(problem));
        }
        Self::from_der(&blocks[0].der)
    }

    fn from_der(raw: &[u8]) -> Result<Self, KeyError> {
        let info = ContentInfo::from_der(raw).map_err(wrong)?;
        if info.content_type != SIGNED_DATA {
            let problem =
                format!("signature is of content type {}, signed data was expected", info.content_type);
            return Err(KeyError::new(problem));
        }
        let mut data: SignedData = info.content.decode_as().map_err(wrong)?;
        let certificates = certificates(info.content.value()).map_err(wrong)?;
        if certificates.len() > MAX_CERTIFICATES || data.signer_infos.0.len() > MAX_SIGNERS {
            let problem = format!(
                "signature has {} certificates and {} signers, at most {MAX_CERTIFICATES} and {MAX_SIGNERS} were expected",
                certificates.len(),
                data.signer_infos.0.len()
            );
            return Err(KeyError::new(problem));
        }
        // What came detached is stored as it came.
        let mut detached = raw.to_vec();
        if let Some(content) = data.encap_content_info.econtent.take() {
            let without = Any::encode_from(&data).map_err(wrong)?;
            detached =
                ContentInfo { content_type: info.content_type, content: without }.to_der().map_err(wrong)?;
            data.encap_content_info.econtent = Some(content);
        }
        Ok(Self { data, certificates, detached })
    }

    /// PEM without the content.
    pub fn canonical(&self) -> Vec<u8> {
        let mut text = String::new();
        pem::write(LABEL, &self.detached, &mut text);
        text.into_bytes()
    }

    /// The certificate that stands first, in PEM.
    pub fn first_certificate(&self) -> Result<Vec<u8>, KeyError> {
        let first = self.certificates.first();
        let first = first.ok_or_else(|| KeyError::new("signature has no certificate with it".to_owned()))?;
        let mut text = String::new();
        pem::write("CERTIFICATE", first, &mut text);
        Ok(text.into_bytes())
    }

    /// Names and e-mail addresses of the certificate that stands first.
    pub fn identities(&self) -> Vec<String> {
        let Some(first) = self.certificates.first() else { return Vec::new() };
        let mut names = certificate::read(first).map(|parts| parts.names).unwrap_or_default();
        if let Ok((_, certificate)) = X509Certificate::from_der(first) {
            let addresses = certificate.subject().iter_email().filter_map(|address| address.as_str().ok());
            names.extend(addresses.map(str::to_owned));
        }
        names.iter().map(|name| name.to_lowercase()).collect()
    }

    /// Verifies each signer's signature, over the content inside or, if there is none, this one.
    pub fn verify(&self, beside: Option<&[u8]>) -> Result<(), KeyError> {
        let inside = self.data.encap_content_info.econtent.as_ref().map(Any::value);
        let content = inside.or(beside);
        let content = content.ok_or_else(|| KeyError::new("signature has no content with it".to_owned()))?;
        if self.data.signer_infos.0.is_empty() {
            return Err(KeyError::new("signature has no signer".to_owned()));
        }
        self.data.signer_infos.0.iter().try_for_each(|signer| self.judge(signer, content))
    }

    fn judge(&self, signer: &SignerInfo, content: &[u8]) -> Result<(), KeyError> {
        let raw = self.certificates.iter().find(|raw| is_of(raw, &signer.sid));
        let raw = raw
            .ok_or_else(|| KeyError::new("signature has no certificate of its signer with it".to_owned()))?;
        let spki = certificate::read(raw).map(|parts| parts.spki);
        let spki =
            spki.ok_or_else(|| KeyError::new("signature has a certificate that is none".to_owned()))?;

        let hash = Hash::of(&signer.digest_alg.oid)?;
        let Some(attributes) = &signer.signed_attrs else {
            return judge_signature(&spki, signer, hash, content);
        };
        let attribute = |oid| {
            let found = attributes.iter().find(|attribute| attribute.oid == oid);
            found.and_then(|attribute| attribute.values.get(0)).map(Any::value)
        };
        let content_type = self.data.encap_content_info.econtent_type;
        if attribute(CONTENT_TYPE) != Some(content_type.as_bytes()) {
            return Err(KeyError::new("signature is over another type of content".to_owned()));
        }
        if attribute(MESSAGE_DIGEST) != Some(digest::digest(hash.function(), content).as_ref()) {
            return Err(KeyError::new("signature is over another content".to_owned()));
        }
        judge_signature(&spki, signer, hash, &attributes.to_der().map_err(wrong)?)
    }
}

fn judge_signature(spki: &[u8], signer: &SignerInfo, hash: Hash, message: &[u8]) -> Result<(), KeyError> {
    let hash = hash_of_signature(&signer.signature_algorithm.oid, hash)?;
    let signature = signer.signature.as_bytes();
    let refused = || KeyError::new("signature is not that of the certificate's key".to_owned());
    let Hash::Sha2(function) = hash else {
        let Ok(Spki::Rsa(key)) = spki::read(spki, "key of the certificate") else {
            return Err(KeyError::new("signature is over SHA-1, which is read with RSA alone".to_owned()));
        };
        let algorithm = &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY;
        return UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| refused());
    };
    let mut key = String::new();
    pem::write("PUBLIC KEY", spki, &mut key);
    let key = x509::PublicKey::parse(key.as_bytes())?;
    let digest = digest::digest(function.function(), message);
    if key.verify_digest(function, digest.as_ref(), signature) { Ok(()) } else { Err(refused()) }
}

#[derive(Clone, Copy)]
enum Hash {
    Sha1,
    Sha2(HashAlgorithm),
}

impl Hash {
    fn of(oid: &ObjectIdentifier) -> Result<Self, KeyError> {
        Ok(match oid.to_string().as_str() {
            "1.3.14.3.2.26" => Self::Sha1,
            "2.16.840.1.101.3.4.2.1" => Self::Sha2(HashAlgorithm::Sha256),
            "2.16.840.1.101.3.4.2.2" => Self::Sha2(HashAlgorithm::Sha384),
            "2.16.840.1.101.3.4.2.3" => Self::Sha2(HashAlgorithm::Sha512),
            oid => {
                let problem = format!("signature is over hash function {oid}, SHA-1 or SHA-2 was expected");
                return Err(KeyError::new(problem));
            }
        })
    }

    fn function(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha2(hash) => hash.function(),
        }
    }
}

/// Some signature algorithms name their hash function, others leave it to the one of the content.
fn hash_of_signature(oid: &ObjectIdentifier, of_content: Hash) -> Result<Hash, KeyError> {
    Ok(match oid.to_string().as_str() {
        // rsaEncryption and id-ecPublicKey.
        "1.2.840.113549.1.1.1" | "1.2.840.10045.2.1" => of_content,
        "1.2.840.113549.1.1.5" => Hash::Sha1,
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => Hash::Sha2(HashAlgorithm::Sha256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Hash::Sha2(HashAlgorithm::Sha384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Hash::Sha2(HashAlgorithm::Sha512),
        oid => {
            let problem = format!("signature is of algorithm {oid}, RSA PKCS#1 v1.5 or ECDSA was expected");
            return Err(KeyError::new(problem));
        }
    })
}

fn is_of(raw: &[u8], signer: &SignerIdentifier) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(raw) else { return false };
    match signer {
        SignerIdentifier::IssuerAndSerialNumber(name) => {
            name.issuer.to_der().is_ok_and(|issuer| issuer == certificate.issuer().as_raw())
                && name.serial_number.as_bytes() == certificate.raw_serial()
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => certificate.extensions().iter().any(|extension| {
            let value = bulla_tlog::der::content(0x04, extension.value);
            extension.oid.to_id_string() == "2.5.29.14" && value == Some(id.0.as_bytes())
        }),
    }
}

/// The certificates as they stand, where the crate would sort them.
fn certificates(signed_data: &[u8]) -> der::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut members = SliceReader::new(signed_data)?;
    while !members.is_finished() {
        let member = AnyRef::decode(&mut members)?;
        if der::Tagged::tag(&member) == (Tag::ContextSpecific { constructed: true, number: TagNumber::N0 }) {
            let mut certificates = SliceReader::new(member.value())?;
            while !certificates.is_finished() {
                found.push(AnyRef::decode(&mut certificates)?.to_der()?);
            }
        }
    }
    Ok(found)
}

fn wrong(error: der::Error) -> KeyError {
    KeyError::new(format!("signature is not PKCS#7 signed data: {error}"))
}

const LABEL: &str = "PKCS7";
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const MAX_CERTIFICATES: usize = 32;
const MAX_SIGNERS: usize = 8;

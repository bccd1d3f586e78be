//! What is signed and what comes of it: Sigstore bundles of version 0.3, by the types that sigstore-rust publishes.

use std::borrow::Cow;

use bulla_claims::attestation::{PAYLOAD_TYPE, Statement, encoding};
use bulla_claims::{HashAlgorithm, Material};
use bulla_rekor::client::v1::Entry;
use bulla_tlog::Hash;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_types::{
    Bundle, CertificateContent, DigestBytes, DsseEnvelope, DsseSignature, HashAlgorithm as TypesHash, KeyId,
    KindVersion, MediaType, MessageDigest, MessageSignature, PayloadBytes, PublicKeyIdentifier,
    Rfc3161Timestamp, SignatureBytes, SignatureContent, TimestampToken, TimestampVerificationData,
    TransparencyLogEntry, VerificationMaterial, VerificationMaterialContent,
};

use super::log::described;
use super::signer::{Identity, digest, verifies};
use super::trusted_log::key_hint;
use crate::command::Failure;

/// The media type of what is written here.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Every bundle is read that is said to be one; which versions there are says its content.
pub(crate) const ANY_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";

/// What is to be signed.
pub(crate) enum Content {
    /// The bytes themselves: a file, or the payload of an image signature before bundles.
    Message(Bytes),
    /// A statement, in an envelope.
    Statement(Vec<u8>),
}

/// Something signed, and when; logged or not yet, stored or not yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Signed {
    /// When this program signed it; nobody has to believe that.
    pub(crate) at: Timestamp,
    /// Signature, certificate, timestamp, and the log's entry once there is one.
    pub(crate) bundle: Bundle,
    /// The certificates above the signer's, PEM; of a key none.
    pub(crate) chain: Vec<String>,
}

impl Content {
    /// What the signature is over.
    pub(crate) fn signed_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Message(message) => Cow::Borrowed(message),
            Self::Statement(statement) => Cow::Owned(encoding(PAYLOAD_TYPE, statement)),
        }
    }
}

impl Signed {
    /// Puts together what is not logged yet.
    pub(crate) fn new(
        at: Timestamp,
        content: Content,
        signature: Vec<u8>,
        identity: &Identity,
        timestamps: Vec<Vec<u8>>,
    ) -> Self {
        let signature = SignatureBytes::new(signature);
        let content = match content {
            Content::Message(message) => {
                let hash = identity.hash();
                let digest = MessageDigest::new(types_hash(hash), DigestBytes::new(digest(hash, &message)));
                SignatureContent::MessageSignature(
                    MessageSignature::new(signature).with_message_digest(digest),
                )
            }
            Content::Statement(statement) => SignatureContent::DsseEnvelope(DsseEnvelope::new(
                PAYLOAD_TYPE,
                PayloadBytes::new(statement),
                DsseSignature::new(signature, KeyId::default()),
            )),
        };
        let (material, chain) = if let Some((leaf, chain)) = identity.certificates.split_first() {
            let leaf = CertificateContent::new(leaf.clone().into());
            let chain = chain.iter().map(|der| bulla_claims::keys::pem("CERTIFICATE", der)).collect();
            (VerificationMaterialContent::Certificate(leaf), chain)
        } else {
            let key = PublicKeyIdentifier::new(key_hint(identity.spki()));
            (VerificationMaterialContent::PublicKey(key), Vec::new())
        };
        let timestamps = timestamps.into_iter().map(|der| Rfc3161Timestamp::new(TimestampToken::new(der)));
        let material = VerificationMaterial::new(material)
            .with_timestamp_verification_data(TimestampVerificationData::new(timestamps.collect()));
        Self { at, bundle: Bundle::new(MediaType::Bundle0_3, material, content), chain }
    }

    /// The entry of the first log.
    pub(crate) fn entry(&self) -> Option<&TransparencyLogEntry> {
        self.bundle.verification_material.tlog_entries.first()
    }

    /// How many logs have it.
    pub(crate) fn entries(&self) -> usize {
        self.bundle.verification_material.tlog_entries.len()
    }

    /// Adds an entry.
    pub(crate) fn logged(&mut self, entry: TransparencyLogEntry) {
        self.bundle.verification_material.tlog_entries.push(entry);
    }

    /// A timestamp authority's word, DER.
    pub(crate) fn timestamp(&self) -> Option<&[u8]> {
        let stamps = &self.bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
        stamps.first().map(|stamp| stamp.signed_timestamp.as_bytes())
    }

    /// What the signature is verified with: the certificate in it, or the key that the signer keeps.
    pub(crate) fn material(&self, kept: Option<&[u8]>) -> Result<Material, Failure> {
        match (self.bundle.signing_certificate(), kept) {
            (Some(certificate), _) => Ok(Material::Certificate(certificate.as_bytes().to_vec())),
            (None, Some(spki)) => Ok(Material::PublicKey(spki.to_vec())),
            (None, None) => Err(Failure::check("the bundle has no certificate, and no key is at hand")),
        }
    }

    /// As it is stored.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        self.bundle.to_json().map_err(Failure::check)
    }
}

/// Whether a bundle is that key's over a message.
pub(crate) fn is_message_of(bundle: &Bundle, spki: &[u8], message: &[u8]) -> bool {
    match &bundle.content {
        SignatureContent::MessageSignature(signed) => verifies(spki, message, signed.signature.as_bytes()),
        _ => false,
    }
}

/// The statement in a bundle that is that key's.
pub(crate) fn statement_of(bundle: &Bundle, spki: &[u8]) -> Option<Statement> {
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => statement_in(envelope, spki),
        _ => None,
    }
}

/// The statement in an envelope that is that key's.
pub(crate) fn statement_in(envelope: &DsseEnvelope, spki: &[u8]) -> Option<Statement> {
    let (payload_type, payload) = (&envelope.payload_type, envelope.payload.as_bytes());
    let signature = envelope.signature.sig.as_bytes();
    if !verifies(spki, &encoding(payload_type, payload), signature) {
        return None;
    }
    Statement::parse(payload_type, payload).ok()
}

/// The entry of a statement as the bundle that its signer has. The key ID is no part of what is signed, and left out.
pub(crate) fn of_entry(
    entry: &Entry,
    kind: KindVersion,
    material: &Material,
    signature: &[u8],
    payload: &[u8],
) -> Result<String, String> {
    let log_id = Hash::from_hex(&entry.log_id).ok_or("its log ID is not 64 digits of hexadecimal")?;
    let logged = described(entry, kind, log_id).map_err(|error| error.to_string())?;
    let content = match material {
        Material::Certificate(der) => {
            VerificationMaterialContent::Certificate(CertificateContent::new(der.clone().into()))
        }
        Material::PublicKey(spki) => {
            VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new(key_hint(spki)))
        }
    };
    let mut material = VerificationMaterial::new(content);
    material.tlog_entries = vec![logged];
    let signature = DsseSignature::new(SignatureBytes::new(signature.to_vec()), KeyId::default());
    let envelope = DsseEnvelope::new(PAYLOAD_TYPE, PayloadBytes::new(payload.to_vec()), signature);
    let content = SignatureContent::DsseEnvelope(envelope);
    Bundle::new(MediaType::Bundle0_3, material, content).to_json().map_err(|error| error.to_string())
}

fn types_hash(hash: HashAlgorithm) -> TypesHash {
    match hash {
        HashAlgorithm::Sha256 => TypesHash::Sha2256,
        HashAlgorithm::Sha384 => TypesHash::Sha2384,
        HashAlgorithm::Sha512 => TypesHash::Sha2512,
    }
}

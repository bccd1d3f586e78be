//! Issuing: from an identity and a key to a certificate that a transparency log has seen before its owner does
//! (RFC 6962 §3.1, §3.3).

use std::sync::Arc;

use bulla_claims::pki::x509::PublicKey;
use der::asn1::{ObjectIdentifier, OctetString};
use der::flagset::FlagSet;
use der::{Encode as _, asn1::Null};
use jiff::{SignedDuration, Timestamp};
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::name::Name;

use super::chain::{Chain, ChainError};
use super::extensions;
use super::roots::{Period, authority_key};
use super::x509::{
    CODE_SIGNING, CertifyError, Serial, extension, key_identifier, public_key, raw_extension,
    signature_algorithm, signed,
};
use crate::PrivateKey;
use crate::ct::{CtError, CtLog, Precertificate};
use crate::oidc::Identity;

/// How long a certificate is valid, unless somebody wants otherwise: ten minutes.
pub const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// A certificate authority for those who sign code.
pub struct CertificateAuthority {
    chain: Chain,
    key: Arc<dyn PrivateKey>,
    ct: Option<Arc<dyn CtLog>>,
    lifetime: SignedDuration,
}

/// A certificate, and what leads from it to a root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// The certificate, DER.
    pub leaf: Vec<u8>,
    /// The certificates of the authority, DER, the issuing one first, the root last.
    pub chain: Vec<Vec<u8>>,
}

/// Why no certificate was issued.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IssueError {
    /// The identity cannot be certified; whoever asked can read why.
    #[error("{0}")]
    Refused(String),
    /// The issuing key or the log does not answer; the same request may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The authority is not set up right, or broken.
    #[error("{0}")]
    Failed(String),
}

impl From<CertifyError> for IssueError {
    fn from(error: CertifyError) -> Self {
        match error {
            CertifyError::Sign(error) => Self::Unavailable(format!("issuing key: {error}")),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<der::Error> for IssueError {
    fn from(error: der::Error) -> Self {
        CertifyError::from(error).into()
    }
}

impl From<CtError> for IssueError {
    fn from(error: CtError) -> Self {
        match error {
            CtError::Unavailable(_) => Self::Unavailable(error.to_string()),
            CtError::Refused(_) => Self::Failed(error.to_string()),
        }
    }
}

impl CertificateAuthority {
    /// An authority from its certificates in PEM, as [`Chain::read`] takes them, and the key of the first. Its certificates
    /// are submitted to `ct` and carry the timestamp it gives; without a log they carry none, and clients that ask for
    /// one refuse them. A timestamp is never handed out beside a certificate.
    pub fn new(
        chain: &str,
        key: Arc<dyn PrivateKey>,
        ct: Option<Arc<dyn CtLog>>,
    ) -> Result<Self, ChainError> {
        let chain = Chain::read(chain, key.spki())?;
        signature_algorithm(key.details()).map_err(|error| ChainError { problem: error.to_string() })?;
        Ok(Self { chain, key, ct, lifetime: DEFAULT_LIFETIME })
    }

    /// The same, issuing for another time than [`DEFAULT_LIFETIME`]. Whole seconds, at least one.
    #[must_use]
    pub fn with_lifetime(self, lifetime: SignedDuration) -> Self {
        Self { lifetime, ..self }
    }

    /// Its certificates.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Certifies that the key is the identity's, from `now` on, and no longer than the authority's own certificates last.
    /// That the key is good, and whose it is, was judged before.
    pub async fn issue(
        &self,
        identity: &Identity,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        let tbs = self.to_be_signed(identity, key, now)?;
        let tbs = match &self.ct {
            Some(ct) => self.logged(tbs, ct.as_ref()).await?,
            None => tbs,
        };
        let leaf = signed(tbs, self.key.as_ref()).await?;
        Ok(Issued { leaf, chain: self.chain.certificates().to_vec() })
    }

    fn to_be_signed(
        &self,
        identity: &Identity,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<TbsCertificate, IssueError> {
        self.chain.judge_at(now).map_err(|error| IssueError::Unavailable(error.to_string()))?;
        let mut period = Period::starting(now, self.lifetime)?;
        period.to = period.to.min(self.chain.ends);
        if period.to.as_second() <= period.from.as_second() {
            return Err(IssueError::Failed(format!(
                "the authority's own certificates are valid until {} only, new ones are needed",
                self.chain.ends
            )));
        }
        let spki = public_key(key.spki())?;
        let usage: FlagSet<KeyUsages> = KeyUsages::DigitalSignature.into();
        let mut extensions = vec![
            extension(true, &KeyUsage(usage))?,
            extension(false, &ExtendedKeyUsage(vec![CODE_SIGNING]))?,
            extension(false, &SubjectKeyIdentifier(key_identifier(&spki)?))?,
            extension(false, &authority_key(self.chain.key_id.clone()))?,
            extensions::name(&identity.name)?,
        ];
        extensions.append(&mut extensions::values(&identity.extensions)?);
        Ok(TbsCertificate {
            version: Version::V3,
            serial_number: Serial::random()?.to_der()?,
            signature: signature_algorithm(self.key.details())?,
            issuer: self.chain.name.clone(),
            validity: period.to_der()?,
            subject: Name::default(),
            subject_public_key_info: spki,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(extensions),
        })
    }

    /// The same with the timestamp of a log, which gets it signed with poison instead: a critical extension that makes it
    /// worthless to everybody else.
    async fn logged(&self, tbs: TbsCertificate, ct: &dyn CtLog) -> Result<TbsCertificate, IssueError> {
        let plain = tbs.to_der()?;
        let poison = raw_extension(POISON, true, Null.to_der()?)?;
        let poisoned = signed(with(tbs.clone(), poison), self.key.as_ref()).await?;
        let timestamp = ct
            .add(Precertificate {
                issuer_key_hash: self.chain.key_hash,
                tbs: plain,
                signed: poisoned,
                chain: self.chain.certificates().to_vec(),
            })
            .await?;
        Ok(with(tbs, timestamps(&timestamp)?))
    }
}

/// The extension that lists one timestamp.
fn timestamps(timestamp: &[u8]) -> Result<Extension, IssueError> {
    // Of version 1, the only one there is; the shortest has 47 bytes.
    let len = u16::try_from(timestamp.len()).ok().filter(|len| (47..=MAX_TIMESTAMP).contains(len));
    let Some(len) = len.filter(|_| timestamp[0] == 0) else {
        return Err(IssueError::Failed(format!(
            "certificate transparency log: {} bytes are no signed certificate timestamp of version 1",
            timestamp.len()
        )));
    };
    let mut list = Vec::with_capacity(timestamp.len() + 4);
    list.extend((len + 2).to_be_bytes());
    list.extend(len.to_be_bytes());
    list.extend(timestamp);
    Ok(raw_extension(TIMESTAMPS, false, OctetString::new(list)?.to_der()?)?)
}

fn with(mut tbs: TbsCertificate, extension: Extension) -> TbsCertificate {
    tbs.extensions.get_or_insert_default().push(extension);
    tbs
}

/// Far more than a signature and the extensions of any log take.
const MAX_TIMESTAMP: u16 = 8192;
const POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
const TIMESTAMPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

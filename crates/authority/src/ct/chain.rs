//! What a log admits (RFC 6962 §3.1): a certificate or precertificate whose chain leads to a root that the log accepts. Times
//! are not looked at: a log records what was signed. Precertificate signing certificates are not supported.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use bulla_tlog::{Hash, MAX_ENTRY, sha256};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::leaf::Entry;
use super::submit::Precertificate;

/// The most certificates in a chain, the submitted one and the root included.
pub const MAX_CHAIN: usize = 10;

/// What is submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A certificate.
    Certificate,
    /// A precertificate: with poison, for the certificate that will be signed.
    Precertificate,
}

/// Why something is not admitted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Refusal {
    /// Which certificate, and what was expected.
    pub problem: String,
}

/// What is admitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// What goes into the tree.
    pub entry: Entry,
    /// The signed precertificate, if it is one.
    pub pre_certificate: Option<Vec<u8>>,
    /// The certificates from the issuer's to the root, DER, the root included.
    pub issuers: Vec<Vec<u8>>,
}

/// The roots that a log accepts.
pub struct Roots {
    roots: Vec<Read>,
    /// The issuers that were accepted last: those of one authority come again and again, and their signatures cost more than
    /// all else here.
    accepted: Mutex<Option<Arc<Issuers>>>,
}

/// Issuers that lead to a root.
struct Issuers {
    /// As they were submitted.
    submitted: Vec<Vec<u8>>,
    /// With the root, if it was left out; at least one.
    whole: Vec<Read>,
}

/// A certificate that was read.
#[derive(Clone)]
struct Read {
    der: Vec<u8>,
    certificate: Certificate,
}

impl Roots {
    /// From DER certificates of authorities.
    pub fn new(roots: &[Vec<u8>]) -> Result<Self, Refusal> {
        let read = |(number, der): (usize, &Vec<u8>)| {
            let name = format!("root {number}");
            let root = Read::parse(der, &name)?;
            root.may_sign_certificates(0).map_err(|problem| refused(&name, problem))?;
            Ok(root)
        };
        let roots = roots.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { roots, accepted: Mutex::default() })
    }

    /// Their DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.roots.iter().map(|root| root.der.as_slice())
    }

    /// Judges a chain, the submitted certificate first, each signed by the next; the root may be left out.
    pub fn admit(&self, kind: Kind, chain: &[Vec<u8>]) -> Result<Admitted, Refusal> {
        let submitted = match chain {
            [submitted, issuers @ ..] if issuers.len() < MAX_CHAIN => Read::numbered(0, submitted)?,
            _ => {
                let problem =
                    format!("chain has {} certificates, 1 to {MAX_CHAIN} were expected", chain.len());
                return Err(Refusal { problem });
            }
        };
        let issuers = match &chain[1..] {
            [] if self.has(&submitted) => Vec::new(),
            [] => vec![self.root_of(&submitted, 0)?],
            issuers => self.issuers(issuers)?.whole.clone(),
        };
        if let Some(issuer) = issuers.first() {
            submitted.signed_by(issuer).map_err(|problem| refused("certificate 0", problem))?;
        }
        let entry = submitted.entry(kind, issuers.first())?;
        Ok(Admitted {
            entry,
            pre_certificate: (kind == Kind::Precertificate).then_some(submitted.der),
            issuers: issuers.into_iter().map(|issuer| issuer.der).collect(),
        })
    }

    /// The same for a precertificate that an authority of this process has signed a moment ago: its issuers are judged, its
    /// signature is not looked at.
    pub fn admit_own(&self, precertificate: Precertificate) -> Result<Admitted, Refusal> {
        let Precertificate { issuer_key_hash, tbs, signed, chain } = precertificate;
        let issuers = self.issuers(&chain)?;
        Ok(Admitted {
            entry: Entry::precert(issuer_key_hash, tbs)?,
            pre_certificate: Some(signed),
            issuers: issuers.whole.iter().map(|issuer| issuer.der.clone()).collect(),
        })
    }

    /// Judges the chain above a submitted certificate: certificate 1 and on.
    fn issuers(&self, submitted: &[Vec<u8>]) -> Result<Arc<Issuers>, Refusal> {
        let last = || self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last().as_ref().filter(|known| known.submitted == submitted) {
            return Ok(known.clone());
        }
        let read = |(place, der): (usize, &Vec<u8>)| Read::numbered(place + 1, der);
        let mut whole = submitted.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        match whole.last() {
            Some(root) if self.has(root) => {}
            Some(last) => whole.push(self.root_of(last, submitted.len())?),
            None => return Err(refused("chain", "has no issuer")),
        }
        for (place, issuer) in whole.iter().enumerate() {
            let refused = |problem| refused(&format!("certificate {}", place + 1), problem);
            if let Some(by) = whole.get(place + 1) {
                issuer.signed_by(by).map_err(refused)?;
            }
            issuer.may_sign_certificates(place).map_err(refused)?;
        }
        let issuers = Arc::new(Issuers { submitted: submitted.to_vec(), whole });
        *last() = Some(issuers.clone());
        Ok(issuers)
    }

    fn has(&self, certificate: &Read) -> bool {
        self.roots.iter().any(|root| root.der == certificate.der)
    }

    /// The root that was left out above the certificate of that number.
    fn root_of(&self, last: &Read, number: usize) -> Result<Read, Refusal> {
        self.roots.iter().find(|root| last.signed_by(root).is_ok()).cloned().ok_or_else(|| {
            let problem = format!("is not signed by an accepted root: its issuer is {}", last.issuer());
            refused(&format!("certificate {number}"), problem)
        })
    }
}

impl Read {
    fn parse(der: &[u8], name: &str) -> Result<Self, Refusal> {
        let certificate = Certificate::from_der(der)
            .map_err(|error| refused(name, format!("is not a DER certificate: {error}")))?;
        // What is signed and hashed below is encoded anew, so there may be no other spelling.
        if certificate.to_der().ok().as_deref() != Some(der) {
            return Err(refused(name, "is not canonical DER"));
        }
        if certificate.signature_algorithm != certificate.tbs_certificate.signature {
            return Err(refused(name, "names two signature algorithms"));
        }
        Ok(Self { der: der.to_vec(), certificate })
    }

    fn numbered(number: usize, der: &[u8]) -> Result<Self, Refusal> {
        Self::parse(der, &format!("certificate {number}"))
    }

    fn issuer(&self) -> String {
        // A name can be as long as a certificate.
        self.certificate.tbs_certificate.issuer.to_string().chars().take(200).collect()
    }

    /// Whether the issuer has the name that the certificate says, and the key that signed it.
    fn signed_by(&self, issuer: &Read) -> Result<(), String> {
        let (tbs, by) = (&self.certificate.tbs_certificate, &issuer.certificate.tbs_certificate);
        if tbs.issuer != by.subject {
            return Err(format!("is not issued by the next one: its issuer is {}", self.issuer()));
        }
        let message = tbs.to_der().map_err(|error| error.to_string())?;
        let signature = self.certificate.signature.as_bytes().ok_or("has a signature of odd bits")?;
        let algorithm = self.certificate.signature_algorithm.oid;
        let key = &by.subject_public_key_info;
        let parameters = key.algorithm.parameters.as_ref();
        let curve = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let found = SIGNATURES.iter().find(|(oid, on, _)| *oid == algorithm && *on == curve);
        let (_, _, verification) =
            found.ok_or_else(|| format!("is signed by {algorithm}, which is not supported"))?;
        let point = key.subject_public_key.as_bytes().ok_or("has an issuer with a key of odd bits")?;
        UnparsedPublicKey::new(*verification, point)
            .verify(&message, signature)
            .map_err(|_| "does not bear the signature of its issuer".to_owned())
    }

    /// Whether it is an authority's that may stand so many others above the submitted certificate.
    fn may_sign_certificates(&self, below: usize) -> Result<(), String> {
        let tbs = &self.certificate.tbs_certificate;
        let constraints = tbs.get::<BasicConstraints>().map_err(|error| error.to_string())?;
        let constraints =
            constraints.map(|(_, constraints)| constraints).filter(|constraints| constraints.ca);
        let constraints = constraints.ok_or("is not an authority's: basic constraints with CA are needed")?;
        if let Some(most) = constraints.path_len_constraint.filter(|most| below > usize::from(*most)) {
            return Err(format!("has {below} authorities below it, its path length is {most}"));
        }
        let usage = tbs.get::<KeyUsage>().map_err(|error| error.to_string())?;
        if usage.is_some_and(|(_, usage)| !usage.key_cert_sign()) {
            return Err("may not sign certificates by its key usage".to_owned());
        }
        let purposes = tbs.get::<ExtendedKeyUsage>().map_err(|error| error.to_string())?;
        if purposes.is_some_and(|(_, purposes)| purposes.0.contains(&PRECERTIFICATE_SIGNING)) {
            return Err("is a precertificate signing certificate, which is not supported: sign the \
                        precertificate with the key that will sign the certificate"
                .to_owned());
        }
        Ok(())
    }

    fn entry(&self, kind: Kind, issuer: Option<&Read>) -> Result<Entry, Refusal> {
        let refused = |problem: String| refused("certificate 0", problem);
        let mut tbs = self.certificate.tbs_certificate.clone();
        let extensions = tbs.extensions.take().unwrap_or_default();
        let (poison, kept): (Vec<_>, Vec<_>) =
            extensions.into_iter().partition(|extension| extension.extn_id == POISON);
        if kind == Kind::Certificate {
            if !poison.is_empty() {
                return Err(refused("is a precertificate: send it to add-pre-chain".to_owned()));
            }
            return fits(self.der.len(), "certificate", X509_FRAME)
                .map(|()| Entry::X509 { certificate: self.der.clone() });
        }
        match poison.as_slice() {
            [] => return Err(refused(format!("is no precertificate: extension {POISON} is missing"))),
            [poison] if poison.critical && poison.extn_value.as_bytes() == NULL => {}
            [_] => return Err(refused(format!("has an extension {POISON} that is not critical and NULL"))),
            more => return Err(refused(format!("has extension {POISON} {} times", more.len()))),
        }
        if kept.iter().any(|extension| extension.extn_id == TIMESTAMPS) {
            return Err(refused(format!("has timestamps already (extension {TIMESTAMPS})")));
        }
        tbs.extensions = Some(kept).filter(|kept| !kept.is_empty());
        let issuer = issuer.ok_or_else(|| refused("is a root: a precertificate has an issuer".to_owned()))?;
        let issuer_key = &issuer.certificate.tbs_certificate.subject_public_key_info;
        let encoded = |error: der::Error| refused(error.to_string());
        let issuer_key_hash: Hash = sha256(&issuer_key.to_der().map_err(encoded)?);
        let tbs = tbs.to_der().map_err(encoded)?;
        Entry::precert(issuer_key_hash, tbs)
    }
}

impl Entry {
    fn precert(issuer_key_hash: Hash, tbs: Vec<u8>) -> Result<Self, Refusal> {
        fits(tbs.len(), "tbs certificate", PRECERT_FRAME)?;
        Ok(Self::Precert { issuer_key_hash, tbs })
    }
}

/// A leaf is at most [`MAX_ENTRY`] bytes, of which its frame takes some.
fn fits(len: usize, what: &str, frame: usize) -> Result<(), Refusal> {
    let most = MAX_ENTRY - frame;
    if len <= most {
        return Ok(());
    }
    Err(Refusal { problem: format!("{what} is {len} bytes, at most {most} can be logged") })
}

fn refused(name: &str, problem: impl std::fmt::Display) -> Refusal {
    Refusal { problem: format!("{name} {problem}") }
}

/// Version, type, time, entry type, length, extensions with their length.
const X509_FRAME: usize = 2 + 8 + 2 + 3 + 2 + 8;
/// The same and the issuer's key hash.
const PRECERT_FRAME: usize = X509_FRAME + 32;
/// DER NULL.
const NULL: [u8; 2] = [5, 0];
const POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
const TIMESTAMPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
const PRECERTIFICATE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.4");

const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A signature algorithm, the curve of the issuer's key, and how that is verified.
type Supported = (ObjectIdentifier, Option<ObjectIdentifier>, &'static dyn VerificationAlgorithm);
static SIGNATURES: &[Supported] = &[
    (ECDSA_SHA256, Some(P256), &signature::ECDSA_P256_SHA256_ASN1),
    (ECDSA_SHA384, Some(P256), &signature::ECDSA_P256_SHA384_ASN1),
    (ECDSA_SHA256, Some(P384), &signature::ECDSA_P384_SHA256_ASN1),
    (ECDSA_SHA384, Some(P384), &signature::ECDSA_P384_SHA384_ASN1),
    (ECDSA_SHA256, Some(P521), &signature::ECDSA_P521_SHA256_ASN1),
    (ECDSA_SHA384, Some(P521), &signature::ECDSA_P521_SHA384_ASN1),
    (ECDSA_SHA512, Some(P521), &signature::ECDSA_P521_SHA512_ASN1),
    (RSA_SHA256, None, &signature::RSA_PKCS1_2048_8192_SHA256),
    (RSA_SHA384, None, &signature::RSA_PKCS1_2048_8192_SHA384),
    (RSA_SHA512, None, &signature::RSA_PKCS1_2048_8192_SHA512),
    (ED25519, None, &signature::ED25519),
];

//! What a log admits (RFC 6962 §3.1): a certificate or precertificate whose chain leads to a root that the log accepts. Times
//! are not looked at: a log records what was signed. Precertificate signing certificates are not supported.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use bulla_tlog::{Hash, MAX_ENTRY, sha256};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::leaf::Entry;

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
pub struct Roots(Vec<Read>);

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
        roots.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Their DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|root| root.der.as_slice())
    }

    /// Judges a chain, the submitted certificate first, each signed by the next; the root may be left out.
    pub fn admit(&self, kind: Kind, chain: &[Vec<u8>]) -> Result<Admitted, Refusal> {
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            let problem = format!("chain has {} certificates, 1 to {MAX_CHAIN} were expected", chain.len());
            return Err(Refusal { problem });
        }
        let read = |(number, der): (usize, &Vec<u8>)| Read::parse(der, &format!("certificate {number}"));
        let mut chain = chain.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        self.complete(&mut chain)?;
        for (number, pair) in chain.windows(2).enumerate() {
            let issuer = &pair[1];
            pair[0]
                .signed_by(issuer)
                .map_err(|problem| refused(&format!("certificate {number}"), problem))?;
            let may = issuer.may_sign_certificates(number);
            may.map_err(|problem| refused(&format!("certificate {}", number + 1), problem))?;
        }
        let mut chain = chain.into_iter();
        let (submitted, issuers) = (chain.next(), chain.collect::<Vec<_>>());
        let submitted = submitted.ok_or_else(|| refused("chain", "is empty"))?;
        let entry = submitted.entry(kind, issuers.first())?;
        Ok(Admitted {
            entry,
            pre_certificate: (kind == Kind::Precertificate).then_some(submitted.der),
            issuers: issuers.into_iter().map(|issuer| issuer.der).collect(),
        })
    }

    /// Adds the root, if it was left out.
    fn complete(&self, chain: &mut Vec<Read>) -> Result<(), Refusal> {
        let Some(last) = chain.last() else { return Ok(()) };
        if self.0.iter().any(|root| root.der == last.der) {
            return Ok(());
        }
        let Some(root) = self.0.iter().find(|root| last.signed_by(root).is_ok()) else {
            let problem = format!("is not signed by an accepted root: its issuer is {}", last.issuer());
            return Err(refused(&format!("certificate {}", chain.len() - 1), problem));
        };
        chain.push(root.clone());
        Ok(())
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
        fits(tbs.len(), "tbs certificate", PRECERT_FRAME)?;
        Ok(Entry::Precert { issuer_key_hash, tbs })
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

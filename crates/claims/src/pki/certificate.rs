//! What a log reads in certificates (RFC 5280): names, the issuer that Fulcio writes down, and whether a chain holds.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bulla_tlog::der;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::nom::Parser as _;
use x509_parser::prelude::FromDer as _;

/// The parts of one certificate that a log asks for.
pub(super) struct Parts {
    /// DER `SubjectPublicKeyInfo`.
    pub(super) spki: Vec<u8>,
    /// Subject alternative names: DNS, e-mail, IP, URI, and the other name that Fulcio writes, in this order.
    pub(super) names: Vec<String>,
    /// The OIDC issuer in a Fulcio certificate.
    pub(super) issuer: Option<String>,
}

/// Reads one DER certificate without trailing bytes. `None` when it is none.
pub(super) fn read(raw: &[u8]) -> Option<Parts> {
    let certificate = parse(raw)?;
    Some(Parts {
        spki: certificate.tbs_certificate.subject_pki.raw.to_vec(),
        names: names(&certificate),
        issuer: issuer(&certificate),
    })
}

fn parse(raw: &[u8]) -> Option<X509Certificate<'_>> {
    // An extension that is malformed, or of a kind unknown here, is no reason to refuse a certificate.
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    parser.parse(raw).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

const ISSUER_V2: &str = "1.3.6.1.4.1.57264.1.8";
const ISSUER: &str = "1.3.6.1.4.1.57264.1.1";

fn extension<'a>(certificate: &X509Certificate<'a>, oid: &str) -> Option<&'a [u8]> {
    let found = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == oid);
    found.map(|extension| extension.value)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Some((_, names)) =
        extension(certificate, "2.5.29.17").and_then(|raw| SubjectAlternativeName::from_der(raw).ok())
    else {
        return Vec::new();
    };
    let mut ranked: Vec<(u8, String)> = names.general_names.iter().filter_map(name).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// A name and its place in the order.
fn name(name: &GeneralName<'_>) -> Option<(u8, String)> {
    Some(match name {
        GeneralName::DNSName(name) => (0, (*name).to_owned()),
        GeneralName::RFC822Name(name) => (1, (*name).to_owned()),
        GeneralName::IPAddress(raw) => {
            let ip = <[u8; 4]>::try_from(*raw).map(|raw| Ipv4Addr::from(raw).to_string());
            (2, ip.or_else(|_| <[u8; 16]>::try_from(*raw).map(|raw| Ipv6Addr::from(raw).to_string())).ok()?)
        }
        GeneralName::URI(name) => (3, (*name).to_owned()),
        GeneralName::OtherName(oid, raw) if oid.to_id_string() == "1.3.6.1.4.1.57264.1.7" => {
            (4, utf8_string(der::content(0xa0, raw)?)?)
        }
        _ => return None,
    })
}

fn utf8_string(raw: &[u8]) -> Option<String> {
    String::from_utf8(der::content(0x0c, raw)?.to_vec()).ok()
}

/// The extension "Issuer (V2)", else the one it replaced, which is text without DER around it
/// (<https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>).
fn issuer(certificate: &X509Certificate<'_>) -> Option<String> {
    extension(certificate, ISSUER_V2).and_then(utf8_string).or_else(|| {
        let raw = extension(certificate, ISSUER)?;
        String::from_utf8(raw.to_vec()).ok()
    })
}

/// What a certificate for a job of GitHub says of it in the extensions 1.3.6.1.4.1.57264.1.2 to .6, by object identifier; text
/// without DER around it.
pub(crate) fn workflow(raw: &[u8]) -> Vec<(String, String)> {
    let Some(certificate) = parse(raw) else { return Vec::new() };
    let said = (2..=6).filter_map(|last| {
        let oid = format!("1.3.6.1.4.1.57264.1.{last}");
        let value = String::from_utf8(extension(&certificate, &oid)?.to_vec()).ok()?;
        Some((oid, value)).filter(|(_, value)| !value.is_empty())
    });
    said.collect()
}

/// Issuer and name in a certificate that a verifier is to believe: exactly one name, of a kind that Fulcio certifies, and one
/// issuer that is written as it must be. The error is what is to be said after the word certificate.
pub(crate) fn identity(raw: &[u8]) -> Result<(String, String), String> {
    let certificate = parse(raw).ok_or("is not one DER X.509 certificate")?;
    let names =
        only(&certificate, "2.5.29.17")?.ok_or("has no subject alternative name, one was expected")?;
    let Ok((&[], names)) = SubjectAlternativeName::from_der(names) else {
        return Err("has a subject alternative name that cannot be read".to_owned());
    };
    let [subject] = names.general_names.as_slice() else {
        let count = names.general_names.len();
        return Err(format!("has {count} subject alternative names, exactly one was expected"));
    };
    let is_person = !matches!(subject, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
    let Some((_, subject)) = name(subject).filter(|_| is_person) else {
        return Err("names neither an e-mail address nor a URI nor a user name".to_owned());
    };
    // A newer extension that cannot be read does not let the older one speak.
    let issuer = if let Some(raw) = only(&certificate, ISSUER_V2)? {
        utf8_string(raw)
    } else {
        let missing = "names no issuer of identities, extension 1.3.6.1.4.1.57264.1.8 was expected";
        String::from_utf8(only(&certificate, ISSUER)?.ok_or(missing)?.to_vec()).ok()
    };
    Ok((issuer.ok_or("has an issuer of identities that is no UTF-8 text")?, subject))
}

/// An extension that is there at most once, as RFC 5280 §4.2 has it.
fn only<'a>(certificate: &X509Certificate<'a>, oid: &str) -> Result<Option<&'a [u8]>, String> {
    let mut found = certificate.extensions().iter().filter(|extension| extension.oid.to_id_string() == oid);
    let first = found.next().map(|extension| extension.value);
    match found.next() {
        Some(_) => Err(format!("has the extension {oid} twice, once was expected")),
        None => Ok(first),
    }
}

/// Whether each certificate of a chain is issued by the next, the last of which is trusted, at the time that the first one
/// begins to be valid. One alone is not judged.
pub(super) fn judge(chain: &[Vec<u8>]) -> Result<(), String> {
    let [leaf, others @ ..] = chain else { return Ok(()) };
    let Some((root, intermediates)) = others.split_last() else { return Ok(()) };
    let time = begin(leaf).ok_or("has a leaf that begins before 1970")?;
    let wrong =
        |error: webpki::Error| format!("chain does not lead from its first certificate to its last: {error}");
    let root = CertificateDer::from(root.as_slice());
    let anchor = anchor_from_trusted_cert(&root).map_err(wrong)?;
    let intermediates: Vec<_> =
        intermediates.iter().map(|raw| CertificateDer::from(raw.as_slice())).collect();
    let leaf = CertificateDer::from(leaf.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(wrong)?;
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        &intermediates,
        time,
        AnyUsage,
        None,
        None,
    )
    .map_err(wrong)?;
    if !parse(&root).is_some_and(|root| covers(&root, time)) {
        return Err("chain ends in a certificate that is not valid when its first one begins".to_owned());
    }
    Ok(())
}

fn begin(leaf: &[u8]) -> Option<UnixTime> {
    let seconds = u64::try_from(parse(leaf)?.validity().not_before.timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn covers(certificate: &X509Certificate<'_>, time: UnixTime) -> bool {
    let validity = certificate.validity();
    i64::try_from(time.as_secs())
        .is_ok_and(|time| (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&time))
}

/// What a certificate may be used for is for those who trust it.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

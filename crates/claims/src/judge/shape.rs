//! The shape of a bundle, before anything in it is believed: size, JSON that means one thing only, counts, and what each
//! version of the format asks for (<https://docs.sigstore.dev/about/bundle/>).

use std::collections::BTreeSet;

use serde_json::Value;
use sigstore_verify::bundle::{ValidationOptions, validate_bundle_with_options};
use sigstore_verify::types::bundle::VerificationMaterialContent as Material;
use sigstore_verify::types::{Bundle, KindVersion, MediaType, SignatureContent};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Need;
use crate::json;

/// The longest bundle, in bytes.
pub const MAX_BUNDLE: usize = 4 << 20;
/// The most entries of logs, and the most timestamps.
const MAX_EACH: usize = 32;
/// The longest chain of certificates.
const MAX_CHAIN: usize = 10;
/// More hashes than an inclusion proof in a tree of 2^63 leaves has.
const MAX_PROOF: usize = 64;

/// What shows that a log has an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// A proof under a checkpoint.
    Proof,
    /// That, or the log's promise alone: where signatures were kept before bundles there is no place for a proof.
    Promise,
}

/// Reads a bundle.
pub(super) fn read(bytes: &[u8], log: Need, shown: Shown) -> Result<Bundle, String> {
    if bytes.len() > MAX_BUNDLE {
        return Err(format!("bundle is {} bytes, at most {MAX_BUNDLE} were expected", bytes.len()));
    }
    let mut value = json::read(bytes, "bundle").map_err(|error| error.to_string())?;
    drop_nulls(&mut value);
    bounds(&value)?;
    let bundle: Bundle = serde_json::from_value(value).map_err(|error| format!("bundle: {error}"))?;
    versions(&bundle, log, shown)?;
    repeated(&bundle)?;
    certificates(&bundle)?;
    hinted(&bundle)?;
    Ok(bundle)
}

/// In protobuf's JSON a member that is null is one that is not there.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn bounds(bundle: &Value) -> Result<(), String> {
    let material = &bundle["verificationMaterial"];
    one_of(bundle, "", &["messageSignature", "dsseEnvelope"])?;
    one_of(material, "verificationMaterial.", &["certificate", "x509CertificateChain", "publicKey"])?;
    at_most(material, "tlogEntries", MAX_EACH)?;
    at_most(&material["timestampVerificationData"], "rfc3161Timestamps", MAX_EACH)?;
    at_most(&material["x509CertificateChain"], "certificates", MAX_CHAIN)?;
    let entries = material["tlogEntries"].as_array();
    entries.into_iter().flatten().try_for_each(|entry| at_most(&entry["inclusionProof"], "hashes", MAX_PROOF))
}

fn one_of(value: &Value, path: &str, names: &[&str]) -> Result<(), String> {
    let there: Vec<_> = names.iter().filter(|name| value.get(**name).is_some()).copied().collect();
    match there.as_slice() {
        [_] => Ok(()),
        [] => Err(format!("bundle has no {path}{}, one was expected", names.join(" or "))),
        _ => Err(format!("bundle has {path}{}, only one was expected", there.join(" and "))),
    }
}

fn at_most(value: &Value, name: &str, most: usize) -> Result<(), String> {
    let len = value[name].as_array().map_or(0, Vec::len);
    if len > most { Err(format!("{name} has {len} members, at most {most} were expected")) } else { Ok(()) }
}

fn versions(bundle: &Bundle, log: Need, shown: Shown) -> Result<(), String> {
    let entries = &bundle.verification_material.tlog_entries;
    if log == Need::Required && entries.is_empty() {
        return Err("bundle has no entry of a log, one was expected".to_owned());
    }
    for (n, entry) in entries.iter().enumerate() {
        let has_proof = entry.inclusion_proof.as_ref().is_some_and(|proof| !proof.checkpoint.is_empty());
        // The first version of the format takes a promise for enough. We do not: a log that only promised may never have
        // had the entry, and nobody who watches it would see that.
        let needs_proof = shown == Shown::Proof || entry.kind_version == KindVersion::HashedRekordV002;
        if needs_proof && !has_proof {
            return Err(format!(
                "tlogEntries[{n}] has no inclusion proof with a checkpoint, one was expected"
            ));
        }
        if bundle.media_type == MediaType::Bundle0_1 && entry.inclusion_promise.is_none() {
            return Err(format!(
                "tlogEntries[{n}] has no inclusion promise, bundles of version 0.1 need one"
            ));
        }
    }
    let options = ValidationOptions::new().with_require_inclusion_proof(!entries.is_empty());
    validate_bundle_with_options(bundle, &options).map_err(|error| format!("bundle: {error}"))
}

/// One entry or timestamp counts once.
fn repeated(bundle: &Bundle) -> Result<(), String> {
    let material = &bundle.verification_material;
    let mut seen = BTreeSet::new();
    for (n, entry) in material.tlog_entries.iter().enumerate() {
        let log = entry.log_id.key_id.as_bytes();
        let by_index = (log, entry.log_index.get().to_be_bytes().to_vec());
        let by_body = (log, entry.canonicalized_body.as_bytes().to_vec());
        if !seen.insert(by_index) | !seen.insert(by_body) {
            return Err(format!("tlogEntries[{n}] is there twice"));
        }
    }
    let mut seen = BTreeSet::new();
    let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
    match timestamps.iter().position(|timestamp| !seen.insert(timestamp.signed_timestamp.as_bytes())) {
        Some(n) => Err(format!("rfc3161Timestamps[{n}] is there twice")),
        None => Ok(()),
    }
}

/// A root in a bundle is trusted by nobody, and some would trust it by accident.
fn certificates(bundle: &Bundle) -> Result<(), String> {
    let Material::X509CertificateChain { certificates } = &bundle.verification_material.content else {
        return Ok(());
    };
    if certificates.is_empty() {
        return Err("x509CertificateChain is empty, a certificate was expected".to_owned());
    }
    for (n, certificate) in certificates.iter().enumerate() {
        if is_self_signed(certificate.raw_bytes.as_bytes()) {
            return Err(format!("certificates[{n}] is issued by itself, a bundle has no roots"));
        }
    }
    Ok(())
}

/// Whether a certificate names itself as who issued it.
pub(super) fn is_self_signed(der: &[u8]) -> bool {
    X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| certificate.subject().as_raw() == certificate.issuer().as_raw())
}

fn hinted(bundle: &Bundle) -> Result<(), String> {
    let (Material::PublicKey(key), SignatureContent::DsseEnvelope(envelope)) =
        (&bundle.verification_material.content, &bundle.content)
    else {
        return Ok(());
    };
    let named = envelope.signature.keyid.as_str();
    if named.is_empty() || key.hint.is_empty() || named == key.hint {
        return Ok(());
    }
    Err(format!("the envelope is signed by the key {named:?}, publicKey.hint is {:?}", key.hint))
}

//! alpine 0.0.1: an Alpine package (<https://wiki.alpinelinux.org/wiki/Apk_spec>). It is three gzip
//! members one after the other, each with a tar: a signature of the second member, what the package says of itself with the
//! hash of the third, and the files.

use std::collections::BTreeMap;
use std::io::Read as _;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::signature::{RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::content::{self, Packaged, ProposedPackage, Stored, VERSION, refuse};
use super::{Admitted, Fault, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::keys::spki::{self, Spki};
use crate::pki::{Format, x509};
use crate::traces::{Door, KeyCache, Traces, hex};

pub(super) const KIND: Kind = Kind { name: "alpine", version: VERSION, admit, template, traces };

type Spec = Packaged<Package>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    #[serde(deserialize_with = "content::hash")]
    hash: Hash<'static>,
    pkginfo: BTreeMap<String, String>,
}

fn admit(spec: &RawValue, rules: &Rules) -> Result<Admitted, Refusal> {
    let ProposedPackage { package, public_key } = member::spec(spec)?;
    let key = content::bytes(public_key, "spec.publicKey")?;
    let package = content::bytes(package, "spec.package")?;
    let key =
        x509::PublicKey::parse(&key).map_err(|error| refuse("spec.publicKey.content", error.problem))?;
    let Ok(Spki::Rsa(rsa)) = spki::read(key.spki(), "public key") else {
        let problem = format!("public key is {}, Alpine signs with RSA", key.key_type());
        return Err(refuse("spec.publicKey.content", problem).into());
    };

    let (tar, rest) = unzip(&package, "signature", rules)?;
    let signature = entry(&tar, |name| name.starts_with(".SIGN"))
        .ok_or_else(|| wrong("has no file .SIGN.RSA.* in its first part"))?;
    let (tar, data) = unzip(rest, "control", rules)?;
    let control = &rest[..rest.len() - data.len()];
    let pkginfo = entry(&tar, |name| name == ".PKGINFO")
        .ok_or_else(|| wrong("has no file .PKGINFO in its second part"))?;
    let pkginfo = pairs(pkginfo)?;
    let sum = hex(digest::digest(&SHA256, data).as_ref());
    let datahash = pkginfo.get("datahash").map(|hash| hash.to_lowercase());
    if datahash.as_deref() != Some(sum.as_str()) {
        let said =
            datahash.map_or_else(|| "nothing".into(), |hash| hash.chars().take(80).collect::<String>());
        return Err(wrong(&format!("has files of SHA-256 {sum}, its datahash says {said}")).into());
    }
    // The tool that signs packages knows no other hash function.
    UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, rsa)
        .verify(control, signature)
        .map_err(|_| wrong("has a signature that is not the key's over SHA-1 of its second part"))?;

    let spec = Spec {
        package: Package { hash: Hash::of(&package), pkginfo },
        public_key: Stored::new(key.canonical()),
    };
    let body = body::write(KIND.name, VERSION, &spec);
    Ok(Admitted { body, named: Vec::new(), attestation: None })
}

/// The content of one gzip member, and what follows it.
fn unzip<'a>(input: &'a [u8], part: &str, rules: &Rules) -> Result<(Vec<u8>, &'a [u8]), Fault> {
    let most = rules.max_metadata_bytes;
    let mut gzip = GzDecoder::new(input).take(most.saturating_add(1));
    let mut tar = Vec::new();
    gzip.read_to_end(&mut tar).map_err(|_| wrong(&format!("has a {part} part that is not gzip")))?;
    if tar.len() as u64 > most {
        return Err(wrong(&format!(
            "has a {part} part of more than {most} bytes, at most so many were expected"
        )));
    }
    Ok((tar, gzip.into_inner().into_inner()))
}

/// The first file of a tar (POSIX ustar) of such a name. Blocks of zeros at its end are left out here, so that one tar goes
/// on in the next.
fn entry(tar: &[u8], is_wanted: impl Fn(&str) -> bool) -> Option<&[u8]> {
    let mut rest = tar;
    while let Some((header, after)) = rest.split_at_checked(512) {
        let name = header[..100].split(|byte| *byte == 0).next().unwrap_or_default();
        let sum = header.iter().enumerate().map(|(at, byte)| {
            // The sum itself counts as blanks.
            if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) }
        });
        if octal(&header[148..156])? != sum.sum::<u64>() {
            return None;
        }
        let len = usize::try_from(octal(&header[124..136])?).ok()?;
        let content = after.get(..len)?;
        let is_file = matches!(header[156], 0 | b'0');
        if is_file && std::str::from_utf8(name).is_ok_and(&is_wanted) {
            return Some(content);
        }
        rest = after.get(len.next_multiple_of(512)..)?;
    }
    None
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    u64::from_str_radix(text, 8).ok()
}

/// `key = value` in lines; of a key that is there several times, the last.
fn pairs(text: &[u8]) -> Result<BTreeMap<String, String>, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| wrong("has a .PKGINFO with bytes that are no text"))?;
    let mut pairs = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        let pair = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        // In other scripts the order of names in a body could be doubted.
        let Some((key, value)) = pair.filter(|(key, _)| !key.is_empty() && key.is_ascii()) else {
            let line: String = line.chars().take(80).collect();
            return Err(wrong(&format!("has line {line:?} in its .PKGINFO, <key> = <value> was expected")));
        };
        pairs.insert(key.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

fn wrong(problem: &str) -> Fault {
    refuse("spec.package.content", format!("package {problem}"))
}

fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    content::template::<Spec>(KIND.name, spec, admit(spec, rules))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { package, public_key } = content::read(body)?;
    let keys = vec![public_key.key(Format::X509, KIND.name, keys)?];
    Ok(Traces { door: Door::V1, kind: KIND.name, digests: vec![package.hash.trace()], keys })
}

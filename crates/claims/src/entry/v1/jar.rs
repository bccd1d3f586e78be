//! jar 0.0.1: a signed Java archive (<https://docs.oracle.com/en/java/javase/21/docs/specs/jar/jar.html#signed-jar-file>).
//! Key and signature come in it: PKCS#7 signs a signature file, which has hashes of the manifest,
//! which has hashes of the files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zip::ZipArchive;

use super::body::{self, Hash};
use super::content::{self, Hashed, Stored, VERSION, refuse};
use super::{Admitted, Fault, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::pki::{Format, pkcs7};
use crate::traces::{Door, KeyCache, KeyTraces, Traces};

pub(super) const KIND: Kind = Kind { name: "jar", version: VERSION, admit, template, traces };

#[derive(Deserialize)]
struct Proposed {
    archive: Option<content::Proposed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    archive: Hashed,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Signature {
    content: String,
    public_key: Stored,
}

fn admit(spec: &RawValue, rules: &Rules) -> Result<Admitted, Refusal> {
    let Proposed { archive } = member::spec(spec)?;
    let archive = content::bytes(archive, "spec.archive")?;
    let mut jar = Jar::open(&archive, rules)?;
    let signature = jar.verify()?;
    let certificate = signature.first_certificate().map_err(|error| wrong_part(&error.problem))?;
    let spec = Spec {
        archive: Hashed { hash: Hash::of(&archive) },
        signature: Signature {
            content: member::encode(&signature.canonical()),
            public_key: Stored::new(&certificate),
        },
    };
    let body = body::write(KIND.name, VERSION, &spec);
    Ok(Admitted { body, named: Vec::new(), attestation: None })
}

struct Jar<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    names: Vec<String>,
    max_metadata_bytes: u64,
    /// How many bytes may still be unpacked.
    left: u64,
}

impl<'a> Jar<'a> {
    fn open(archive: &'a [u8], rules: &Rules) -> Result<Self, Fault> {
        let zip = ZipArchive::new(Cursor::new(archive))
            .map_err(|error| wrong(&format!("is not a zip: {error}")))?;
        if zip.len() > MAX_ENTRIES {
            return Err(wrong(&format!("has {} entries, at most {MAX_ENTRIES} were expected", zip.len())));
        }
        let start = usize::try_from(zip.central_directory_start()).unwrap_or(usize::MAX);
        if records(archive.get(start..).unwrap_or_default()) != zip.len() {
            // Of such files the library reads the last, others read the first.
            return Err(wrong("has two files of one name"));
        }
        let names = zip.file_names().map(|name| name.map(Cow::into_owned)).collect::<Result<_, _>>();
        let names = names.map_err(|error| wrong(&format!("has a name that is no text: {error}")))?;
        Ok(Self { zip, names, max_metadata_bytes: rules.max_metadata_bytes, left: MAX_UNPACKED })
    }

    fn verify(&mut self) -> Result<pkcs7::Signed, Fault> {
        let blocks: Vec<_> = self.names.iter().filter(|name| is_block(name)).cloned().collect();
        let [block] = blocks.as_slice() else {
            let problem = match blocks.len() {
                0 => "has no signature, META-INF/*.RSA, *.DSA or *.EC was expected: sign with jarsigner"
                    .to_owned(),
                count => format!("has {count} signatures, one was expected"),
            };
            return Err(wrong(&problem));
        };
        let signature_file = self.names.iter().find(|name| is_signature_file_of(name, block)).cloned();
        let signature_file =
            signature_file.ok_or_else(|| wrong(&format!("has no .SF file beside {block:?}")))?;
        let manifest = self.names.iter().find(|name| name.eq_ignore_ascii_case(MANIFEST)).cloned();
        let manifest = manifest.ok_or_else(|| wrong("has no META-INF/MANIFEST.MF"))?;

        let block = self.metadata(block)?;
        let signature_file = self.metadata(&signature_file)?;
        let manifest = self.metadata(&manifest)?;
        let signature = pkcs7::Signed::parse(&block).map_err(|error| wrong_part(&error.problem))?;
        signature.verify(Some(&signature_file)).map_err(|error| wrong_part(&error.problem))?;
        let files = signed_files(&signature_file, &manifest)?;
        self.judge_files(&files)?;
        Ok(signature)
    }

    fn metadata(&mut self, name: &str) -> Result<Vec<u8>, Fault> {
        let most = self.max_metadata_bytes;
        let file = self.zip.by_name(name).map_err(|error| unreadable(name, &error))?;
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(name, &error))?;
        if bytes.len() as u64 > most {
            return Err(wrong(&format!(
                "has {name:?} of more than {most} bytes, at most so many were expected"
            )));
        }
        Ok(bytes)
    }

    /// Every file must be one that was signed, and every one that was signed must be there.
    fn judge_files(&mut self, files: &BTreeMap<String, Section<'_>>) -> Result<(), Fault> {
        let mut seen = 0;
        for at in 0..self.zip.len() {
            let mut file = self.zip.by_index(at).map_err(|error| unreadable("an entry", &error))?;
            let name = file.name().map(Cow::into_owned);
            let name = name.map_err(|error| unreadable("an entry", &error))?;
            if name.ends_with('/') || is_of_signature(&name) {
                continue;
            }
            let section =
                files.get(&name).ok_or_else(|| wrong(&format!("has {name:?}, which is not signed")))?;
            let (algorithm, expected) = section.digest("-Digest").ok_or_else(|| no_digest(&name))?;
            let mut context = digest::Context::new(algorithm);
            let mut buffer = [0; 8192];
            loop {
                let len = file.read(&mut buffer).map_err(|error| unreadable(&name, &error))?;
                if len == 0 {
                    break;
                }
                self.left = self.left.checked_sub(len as u64).ok_or_else(|| {
                    wrong(&format!(
                        "has more than {MAX_UNPACKED} bytes unpacked, at most so many were expected"
                    ))
                })?;
                context.update(&buffer[..len]);
            }
            if context.finish().as_ref() != expected {
                return Err(wrong(&format!("has {name:?} with another digest than its manifest says")));
            }
            seen += 1;
        }
        if seen < files.values().filter(|section| section.digest("-Digest").is_some()).count() {
            return Err(wrong("lacks a file that is signed"));
        }
        Ok(())
    }
}

/// How many files the central directory of a zip lists (APPNOTE 4.3.12).
fn records(mut directory: &[u8]) -> usize {
    let mut count = 0;
    while let Some((record, rest)) =
        directory.split_at_checked(46).filter(|(record, _)| record.starts_with(b"PK\x01\x02"))
    {
        let len = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
        directory = rest.get(len(28) + len(30) + len(32)..).unwrap_or_default();
        count += 1;
    }
    count
}

/// What the manifest says of each file, if the signature file says the same manifest, whole or in each of its parts.
fn signed_files<'a>(
    signature_file: &[u8],
    manifest: &'a [u8],
) -> Result<BTreeMap<String, Section<'a>>, Fault> {
    let (head, signed) = sections(signature_file, "signature file")?;
    let (_, files) = sections(manifest, "manifest")?;
    let is_over = |(algorithm, expected): (&'static digest::Algorithm, Vec<u8>), bytes: &[u8]| {
        digest::digest(algorithm, bytes).as_ref() == expected
    };
    if head.digest("-Digest-Manifest").is_some_and(|digest| is_over(digest, manifest)) {
        return Ok(files);
    }
    for (name, section) in &files {
        let digest = signed.get(name).and_then(|signed| signed.digest("-Digest"));
        if !digest.is_some_and(|digest| is_over(digest, section.raw)) {
            return Err(wrong(&format!("has a manifest that is not the signed one, at {name:?}")));
        }
    }
    Ok(files)
}

/// Lines of a manifest up to an empty one.
struct Section<'a> {
    raw: &'a [u8],
    attributes: BTreeMap<String, String>,
}

impl Section<'_> {
    /// The strongest digest whose name ends so.
    fn digest(&self, suffix: &str) -> Option<(&'static digest::Algorithm, Vec<u8>)> {
        DIGESTS.iter().find_map(|(name, algorithm)| {
            let value = self.attributes.get(&format!("{name}{suffix}").to_lowercase())?;
            Some((*algorithm, STANDARD.decode(value).ok()?))
        })
    }
}

/// The first section of a manifest, and the others by their names.
fn sections<'a>(text: &'a [u8], what: &str) -> Result<(Section<'a>, BTreeMap<String, Section<'a>>), Fault> {
    let wrong_text = |problem: &str| wrong(&format!("has a {what} {problem}"));
    let mut all: Vec<Section<'a>> = Vec::new();
    let mut from = 0;
    let mut at = 0;
    // A line that was broken goes on behind a blank.
    let mut lines: Vec<String> = Vec::new();
    let mut lines_in = text.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines_in.next() {
        at += line.len();
        let line = without_line_end(line);
        let is_end = line.is_empty();
        if !is_end {
            let line = std::str::from_utf8(line).map_err(|_| wrong_text("with bytes that are no text"))?;
            match (line.strip_prefix(' '), lines.last_mut()) {
                (Some(rest), Some(last)) => last.push_str(rest),
                (Some(_), None) => return Err(wrong_text("with a line that goes on from none")),
                (None, _) => lines.push(line.to_owned()),
            }
        }
        if (is_end || lines_in.peek().is_none()) && !lines.is_empty() {
            let attributes = lines.drain(..).map(|line| match line.split_once(": ") {
                Some((name, value)) => Ok((name.to_lowercase(), value.to_owned())),
                None => Err(wrong_text("with a line that is not <name>: <value>")),
            });
            all.push(Section { raw: &text[from..at], attributes: attributes.collect::<Result<_, _>>()? });
            from = at;
        }
    }
    let mut all = all.into_iter();
    let head = all.next().ok_or_else(|| wrong_text("without a line"))?;
    let mut named = BTreeMap::new();
    for section in all {
        let name = section.attributes.get("name").cloned();
        let name = name.ok_or_else(|| wrong_text("with a section that has no name"))?;
        if named.insert(name.clone(), section).is_some() {
            return Err(wrong_text(&format!("with {name:?} twice")));
        }
    }
    Ok((head, named))
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The name of a file in META-INF itself, in upper case.
fn in_meta_inf(name: &str) -> Option<String> {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("META-INF/").filter(|name| !name.contains('/')).map(str::to_owned)
}

/// The parts of such a name before and behind its last dot.
fn stem_and_end(name: &str) -> Option<(String, String)> {
    let name = in_meta_inf(name)?;
    let (stem, end) = name.rsplit_once('.').unwrap_or((&name, ""));
    Some((stem.to_owned(), end.to_owned()))
}

fn is_block(name: &str) -> bool {
    stem_and_end(name).is_some_and(|(stem, end)| {
        matches!(end.as_str(), "RSA" | "DSA" | "EC") || (stem.starts_with("SIG-") && end != "SF")
    })
}

fn is_signature_file_of(name: &str, block: &str) -> bool {
    let (Some((stem, end)), Some((of_block, _))) = (stem_and_end(name), stem_and_end(block)) else {
        return false;
    };
    end == "SF" && stem == of_block
}

/// Whether a file is part of the signature, which no signature is over.
fn is_of_signature(name: &str) -> bool {
    is_block(name)
        || name.eq_ignore_ascii_case(MANIFEST)
        || stem_and_end(name).is_some_and(|(_, end)| end == "SF")
}

fn no_digest(name: &str) -> Fault {
    wrong(&format!("has {name:?} without a digest in its manifest, SHA-256-Digest was expected"))
}

fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Fault {
    wrong(&format!("has {name:?} which cannot be unpacked: {error}"))
}

fn wrong(problem: &str) -> Fault {
    wrong_part(&format!("archive {problem}"))
}

fn wrong_part(problem: &str) -> Fault {
    refuse("spec.archive.content", problem)
}

fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    content::template::<Spec>(KIND.name, spec, admit(spec, rules))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { archive, signature } = content::read(body)?;
    let certificate = signature.public_key.key(Format::X509, KIND.name, keys)?;
    let block = crate::entry::body::decode(&signature.content, KIND.name, "signature")?;
    let mut identities = certificate.identities.clone();
    if let Ok(signed) = pkcs7::Signed::parse(&block) {
        identities
            .extend(signed.identities().into_iter().filter(|name| !certificate.identities.contains(name)));
    }
    // Upstream looks a jar up by its signature, where others have their key.
    let mut fingerprints = KeyTraces::fingerprints_of(&block);
    fingerprints.extend(certificate.fingerprints.iter().cloned());
    let key = KeyTraces { fingerprints, identities, issuer: certificate.issuer.clone() };
    Ok(Traces {
        door: Door::V1,
        kind: KIND.name,
        digests: vec![archive.hash.trace()],
        keys: vec![Arc::new(key)],
    })
}

const MANIFEST: &str = "META-INF/MANIFEST.MF";
const MAX_ENTRIES: usize = 65_535;
/// The most bytes of all files: each is unpacked and hashed.
const MAX_UNPACKED: u64 = 256 << 20;
/// Strongest first.
const DIGESTS: &[(&str, &digest::Algorithm)] = &[
    ("SHA-512", &SHA512),
    ("SHA-384", &SHA384),
    ("SHA-256", &SHA256),
    ("SHA1", &SHA1_FOR_LEGACY_USE_ONLY),
    ("SHA-1", &SHA1_FOR_LEGACY_USE_ONLY),
];

//! rpm 0.0.1: an RPM package signed by a PGP key (<https://rpm-software-management.github.io/rpm/manual/format_v4.html>).
//! Of the format only what is signed is read, and who signed; a package is a lead, a header of
//! signatures, the header, and a payload.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::content::{self, Packaged, ProposedPackage, Stored, VERSION, refuse};
use super::{Admitted, Fault, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::pki::{Format, pgp};
use crate::traces::{Door, KeyCache, Traces, hex};

pub(super) const KIND: Kind = Kind { name: "rpm", version: VERSION, admit, template, traces };

type Spec = Packaged<Package>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    #[serde(deserialize_with = "content::hash")]
    hash: Hash<'static>,
    headers: BTreeMap<String, String>,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let ProposedPackage { package, public_key } = member::spec(spec)?;
    let key = content::bytes(public_key, "spec.publicKey")?;
    let package = content::bytes(package, "spec.package")?;

    let key = pgp::PublicKey::parse(&key).map_err(|error| refuse("spec.publicKey.content", error.problem))?;
    let parts = Parts::read(&package).ok_or_else(|| {
        wrong("is not an RPM package: a lead, a header of signatures and a header of version 4 were expected")
    })?;
    parts.judge_digests()?;
    parts.judge_signatures(&key)?;
    let spec = Spec {
        package: Package { hash: Hash::of(&package), headers: parts.summary()? },
        public_key: Stored::new(key.canonical()),
    };
    let body = body::write(KIND.name, VERSION, &spec);
    Ok(Admitted { body, named: Vec::new(), attestation: None })
}

struct Parts<'a> {
    signatures: Header<'a>,
    header: Header<'a>,
    payload: &'a [u8],
    /// The header and the payload.
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(package: &'a [u8]) -> Option<Self> {
        let (lead, rest) = package.split_at_checked(96)?;
        if !lead.starts_with(b"\xed\xab\xee\xdb") {
            return None;
        }
        let (signatures, rest) = Header::read(rest)?;
        let padding = signatures.raw.len().next_multiple_of(8) - signatures.raw.len();
        let signed = rest.get(padding..)?;
        let (header, payload) = Header::read(signed)?;
        Some(Self { signatures, header, payload, signed })
    }

    /// Every digest that the package has must be right. Those of the header tie it to the signature, that in the header
    /// ties the payload to the header.
    fn judge_digests(&self) -> Result<(), Fault> {
        let mismatch = |what: &str| Err(wrong(&format!("has another {what} than it says")));
        if let Some(sha1) = self.signatures.text(SHA1_HEADER)
            && hex(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, self.header.raw).as_ref()) != sha1
        {
            return mismatch("SHA-1 of its header");
        }
        if let Some(sha256) = self.signatures.text(SHA256_HEADER)
            && hex(digest::digest(&SHA256, self.header.raw).as_ref()) != sha256
        {
            return mismatch("SHA-256 of its header");
        }
        if let Some(expected) = self.header.text(PAYLOAD_DIGEST) {
            let algorithm = match self.header.int(PAYLOAD_DIGEST_ALGORITHM) {
                None | Some(8) => &SHA256,
                Some(9) => &SHA384,
                Some(10) => &SHA512,
                Some(other) => {
                    return Err(wrong(&format!("has a payload digest of unknown algorithm {other}")));
                }
            };
            if hex(digest::digest(algorithm, self.payload).as_ref()) != expected {
                return mismatch("digest of its payload");
            }
        }
        Ok(())
    }

    /// Every PGP signature there is must be the key's, and one there must be which covers the payload, be it through its
    /// digest in the header.
    fn judge_signatures(&self, key: &pgp::PublicKey) -> Result<(), Fault> {
        let has_payload_digest = self.header.text(PAYLOAD_DIGEST).is_some();
        let mut covers_payload = false;
        let mut count = 0;
        for (tags, message, covers) in
            [([RSA_HEADER, DSA_HEADER], self.header.raw, has_payload_digest), ([PGP, GPG], self.signed, true)]
        {
            for signature in tags.into_iter().filter_map(|tag| self.signatures.bytes(tag)) {
                let signature =
                    pgp::Signature::parse(signature).map_err(|error| wrong_part(&error.problem))?;
                key.verify(message, &signature).map_err(|error| wrong_part(&error.problem))?;
                covers_payload |= covers;
                count += 1;
            }
        }
        match (count, covers_payload) {
            (0, _) => Err(wrong("has no PGP signature, one by publicKey was expected: sign with rpmsign")),
            (_, false) => Err(wrong("has a signature that does not cover its payload")),
            _ => Ok(()),
        }
    }

    /// What a body says of the package.
    fn summary(&self) -> Result<BTreeMap<String, String>, Fault> {
        let mut summary = BTreeMap::new();
        for (name, tag) in [("Name", 1000), ("Version", 1001), ("Release", 1002), ("Architecture", 1022)] {
            let text = self.header.text(tag);
            let text = text.ok_or_else(|| wrong(&format!("has no {name} in its header")))?;
            summary.insert(name.to_owned(), text.to_owned());
        }
        summary.insert("Epoch".to_owned(), self.header.int(1003).unwrap_or(0).to_string());
        for (name, tag) in [("RPMSIGTAG_MD5", 1004), ("RPMSIGTAG_SHA1", 1012), ("RPMSIGTAG_SHA256", 1016)] {
            if let Some(bytes) = self.signatures.bytes(tag) {
                summary.insert(name.to_owned(), hex(bytes));
            }
        }
        Ok(summary)
    }
}

/// Tagged values: an index of them, then their bytes.
struct Header<'a> {
    raw: &'a [u8],
    index: &'a [[u8; 16]],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (intro, rest) = input.split_first_chunk::<16>()?;
        if intro[..4] != *b"\x8e\xad\xe8\x01" {
            return None;
        }
        let entries = int(&intro[8..12])? as usize;
        if entries > MAX_ENTRIES {
            return None;
        }
        let (index, rest) = rest.split_at_checked(entries * 16)?;
        let (store, rest) = rest.split_at_checked(int(&intro[12..16])? as usize)?;
        let raw = &input[..input.len() - rest.len()];
        Some((Self { raw, index: index.as_chunks().0, store }, rest))
    }

    /// Type, number and place of a value.
    fn find(&self, tag: u32) -> Option<(u32, usize, &'a [u8])> {
        let entry = self.index.iter().find(|entry| int(&entry[..4]) == Some(tag))?;
        let at = int(&entry[8..12])? as usize;
        Some((int(&entry[4..8])?, int(&entry[12..16])? as usize, self.store.get(at..)?))
    }

    fn bytes(&self, tag: u32) -> Option<&'a [u8]> {
        let (kind, count, store) = self.find(tag)?;
        if kind == BINARY { store.get(..count) } else { None }
    }

    /// A text, of a list of them the first.
    fn text(&self, tag: u32) -> Option<&'a str> {
        let (kind, _, store) = self.find(tag)?;
        let end = store.iter().position(|byte| *byte == 0)?;
        if matches!(kind, STRING | STRING_ARRAY | I18N_STRING) {
            std::str::from_utf8(&store[..end]).ok()
        } else {
            None
        }
    }

    fn int(&self, tag: u32) -> Option<u32> {
        let (kind, count, store) = self.find(tag)?;
        if kind == INT32 && count > 0 { int(store.get(..4)?) } else { None }
    }
}

fn int(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn wrong(problem: &str) -> Fault {
    refuse(PACKAGE, format!("package {problem}"))
}

fn wrong_part(problem: &str) -> Fault {
    refuse(PACKAGE, problem.to_owned())
}

fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    content::template::<Spec>(KIND.name, spec, admit(spec, rules))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { package, public_key } = content::read(body)?;
    let keys = vec![public_key.key(Format::Pgp, KIND.name, keys)?];
    Ok(Traces { door: Door::V1, kind: KIND.name, digests: vec![package.hash.trace()], keys })
}

const PACKAGE: &str = "spec.package.content";
/// As many as the `rpm` program reads.
const MAX_ENTRIES: usize = 0xffff;
const INT32: u32 = 4;
const STRING: u32 = 6;
const BINARY: u32 = 7;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;
// Signatures over the header, and over header and payload.
const DSA_HEADER: u32 = 267;
const RSA_HEADER: u32 = 268;
const PGP: u32 = 1002;
const GPG: u32 = 1005;
const SHA1_HEADER: u32 = 269;
const SHA256_HEADER: u32 = 273;
const PAYLOAD_DIGEST: u32 = 5092;
const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;

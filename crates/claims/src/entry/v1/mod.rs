//! Kinds of entries of the v1 door: what a client proposes, the leaf it becomes, and what the leaf can be found by
//! (reference rekor-v1 §5, §6). A new kind is a new file here and one line in `KINDS`.

use serde_json::value::RawValue;

mod alpine;
mod body;
mod content;
mod cose;
mod dsse;
mod envelope;
mod hashedrekord;
mod helm;
mod intoto_v001;
mod intoto_v002;
mod jar;
mod member;
mod policy;
mod rekord;
mod rfc3161;
mod rpm;
pub(super) mod statement;
mod tuf;

pub use policy::{AlgorithmPolicy, UnknownPair};

use super::{DescribeError, Facts, MAX_BODY, Refusal as Fault};
use crate::traces::{KeyCache, Traces};

/// A proposed entry in its wire form: the three members of the document. Unknown members beside them are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Proposed<'a> {
    /// Kind, such as `hashedrekord`.
    pub kind: &'a str,
    /// Version of the kind, such as `0.0.1`.
    pub api_version: &'a str,
    /// What the kind's schema describes.
    pub spec: &'a RawValue,
}

/// What a log accepts at the v1 door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Names of the kinds that may be added; those that may not can still be read and searched.
    pub kinds: Vec<String>,
    /// Which keys may sign with which hash function in a hashedrekord.
    pub algorithms: AlgorithmPolicy,
    /// The longest uncompressed metadata of a package (apk, jar), in bytes.
    pub max_metadata_bytes: u64,
}

impl Default for Rules {
    fn default() -> Self {
        let mut kinds: Vec<String> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
        kinds.dedup();
        Self { kinds, algorithms: AlgorithmPolicy::default(), max_metadata_bytes: 1 << 20 }
    }
}

impl Rules {
    /// Refuses a kind that may not be added.
    fn judge_kind(&self, name: &str) -> Result<(), Refusal> {
        if self.kinds.iter().any(|enabled| enabled == name) {
            return Ok(());
        }
        Err(Refusal::Disabled { kind: name.to_owned() })
    }
}

/// A proposed entry that was found good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// Its canonical JSON (RFC 8785): the leaf.
    pub body: Vec<u8>,
    /// Digests that the entry names but its body does not hold, such as the subjects of an attestation, as the search
    /// knows them: `sha256:<lower-case hex>`. Sorted, each once.
    pub named: Vec<String>,
    /// What may be kept beside the log for those who ask for the entry.
    pub attestation: Option<Attestation>,
}

/// The signed content that a body has only the hash of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attestation {
    /// Under what it is kept: `sha256:<hex>` of a hash that the body has.
    pub key: String,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Why a proposed entry is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// No kind has this name.
    #[error("invalid kind value: {kind:?}")]
    Kind {
        /// The name.
        kind: String,
    },
    /// The kind has no such version.
    #[error("unable to locate entry for version {version} of kind {kind}, known are {known}")]
    Version {
        /// The kind.
        kind: String,
        /// The version asked for.
        version: String,
        /// What there is.
        known: String,
    },
    /// This log does not take entries of the kind.
    #[error("entry kind '{kind}' is not enabled for submission on this server")]
    Disabled {
        /// The kind.
        kind: String,
    },
    /// The key or the hash function is not one that this log accepts.
    #[error("entry algorithms are not allowed: {problem}")]
    Algorithms {
        /// What it is, and what is accepted.
        problem: String,
    },
    /// Something in the entry is wrong.
    #[error(transparent)]
    Entry(#[from] Fault),
}

/// A kind at a version.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Verifies the proposed `spec` and writes the body, in the order of the reference server.
    pub(super) admit: fn(&RawValue, &Rules) -> Result<Admitted, Refusal>,
    /// The body that a `spec` in a search stands for: proposed as for `admit`, or the canonical one, which lacks what
    /// would be needed to verify it.
    pub(super) template: fn(&RawValue, &Rules) -> Result<Vec<u8>, Refusal>,
    /// What the body of an entry can be found by. Nothing is verified.
    pub(super) traces: fn(&[u8], &mut KeyCache) -> Result<Traces, DescribeError>,
}

/// Every kind of the v1 door, those with several versions side by side.
pub(super) const KINDS: &[Kind] = &[
    hashedrekord::KIND,
    dsse::KIND,
    intoto_v001::KIND,
    intoto_v002::KIND,
    rekord::KIND,
    alpine::KIND,
    cose::KIND,
    helm::KIND,
    jar::KIND,
    rfc3161::KIND,
    rpm::KIND,
    tuf::KIND,
];

/// Names and versions of every kind.
pub fn kinds() -> impl ExactSizeIterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|kind| (kind.name, kind.version))
}

/// Judges a proposed entry and makes its leaf.
pub fn admit(proposed: &Proposed<'_>, rules: &Rules) -> Result<Admitted, Refusal> {
    let kind = find(proposed)?;
    let admitted = (kind.admit)(proposed.spec, rules)?;
    rules.judge_kind(kind.name)?;
    if admitted.body.len() > MAX_BODY {
        let problem =
            format!("entry is {} bytes in the log, at most {MAX_BODY} were expected", admitted.body.len());
        return Err(Fault::new("spec", problem).into());
    }
    Ok(admitted)
}

/// The body that a proposed entry in a search stands for.
pub fn template(proposed: &Proposed<'_>, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    (find(proposed)?.template)(proposed.spec, rules)
}

/// The kind of that name and version.
pub(super) fn find_kind(name: &str, version: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name && kind.version == version)
}

/// What a body of that kind says, if the kind is one of these.
pub(super) fn describe(kind: &Kind, body: &[u8]) -> Result<Facts, DescribeError> {
    match (kind.name, kind.version) {
        ("hashedrekord", _) => hashedrekord::describe(body),
        ("dsse", _) => dsse::describe(body),
        ("intoto", "0.0.1") => intoto_v001::describe(body),
        ("intoto", _) => intoto_v002::describe(body),
        // Their bodies are told apart by name alone.
        (name, version) => {
            let (kind, version) = (name.to_owned(), version.to_owned());
            Ok(Facts { kind, version, digest: None, signatures: Vec::new() })
        }
    }
}

fn find(proposed: &Proposed<'_>) -> Result<&'static Kind, Refusal> {
    if let Some(kind) = find_kind(proposed.kind, proposed.api_version) {
        return Ok(kind);
    }
    let known: Vec<_> =
        KINDS.iter().filter(|kind| kind.name == proposed.kind).map(|kind| kind.version).collect();
    if known.is_empty() {
        return Err(Refusal::Kind { kind: proposed.kind.to_owned() });
    }
    Err(Refusal::Version {
        kind: proposed.kind.to_owned(),
        version: proposed.api_version.to_owned(),
        known: known.join(" and "),
    })
}

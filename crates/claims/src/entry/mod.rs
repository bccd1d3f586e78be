//! Kinds of entries: what a client proposes, what the leaf says, and the way between them in both directions. A new kind
//! is a new file here, one arm in [`admit`] and one line in the list `KINDS`.

mod body;
mod dsse;
mod hashedrekord;
mod refusal;
pub mod v1;
mod verifier;

pub use body::MAX_BODY;
pub use dsse::{Dsse, MAX_PAYLOAD, MAX_PAYLOAD_TYPE};
pub use hashedrekord::HashedRekord;
pub use refusal::Refusal;

use crate::keys::{AlgorithmSet, Material};
use crate::traces::{KeyCache, Traces};

/// An entry as a client proposes it, decoded from its wire form and judged in nothing yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proposed {
    /// A signature over a digest.
    HashedRekord(HashedRekord),
    /// A signed DSSE envelope.
    Dsse(Dsse),
}

/// What a log accepts. The default is what the reference server accepts, but for labels that don't fit their keys.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Rules {
    /// The algorithms.
    pub algorithms: AlgorithmSet,
    /// How a key and its label relate.
    pub label: LabelRule,
    /// What becomes of DSSE envelopes.
    pub dsse: DsseRule,
}

/// How a key's label (`keyDetails`) is compared with the key.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum LabelRule {
    /// The label must be the key's own.
    #[default]
    MustFit,
    /// Any label that implies the hash function of the key's algorithm is stored, as the reference server does. The
    /// newest verifiers cannot verify an entry whose label is wrong.
    AsLaxAsUpstream,
}

/// What becomes of a proposed DSSE envelope.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DsseRule {
    /// It is stored as a hashedrekord over the hash of what it signs.
    #[default]
    Transcode,
    /// It is refused, as the reference server does since 2.3.0.
    Reject,
}

/// An entry that was found good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// Its canonical JSON (RFC 8785): the leaf.
    pub body: Vec<u8>,
    /// Digests that the entry names but its body does not hold, such as the subjects of an attestation, as the search
    /// knows them: `sha256:<lower-case hex>`. Sorted, each once, with at most 1 MiB of text.
    pub named: Vec<String>,
}

/// Judges a proposed entry and makes its leaf. The first thing that is wrong is the refusal, in the order of the
/// reference server.
pub fn admit(proposed: &Proposed, rules: &Rules) -> Result<Admitted, Refusal> {
    match proposed {
        Proposed::HashedRekord(proposed) => hashedrekord::admit(proposed, rules),
        Proposed::Dsse(proposed) => dsse::admit(proposed, rules),
    }
}

/// What a leaf says, whoever wrote it. Nothing is verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Kind of the entry, such as `hashedrekord`.
    pub kind: String,
    /// Version of the kind, such as `0.0.2`.
    pub version: String,
    /// Hash of what was signed; in a `dsse` entry that of the payload, which is only a part of what was signed.
    pub digest: Option<FactsDigest>,
    /// The signatures. A kind of the v1 door may keep the key alone, whose signature is empty here, or nothing that is
    /// read here.
    pub signatures: Vec<FactsSignature>,
}

/// A hash as an entry has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactsDigest {
    /// Name of the hash function on the wire, such as `SHA2_256`.
    pub algorithm: String,
    /// The hash.
    pub bytes: Vec<u8>,
}

/// A signature as an entry has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactsSignature {
    /// The signature.
    pub bytes: Vec<u8>,
    /// In what its key is.
    pub material: Material,
    /// The key's label on the wire, such as `PKIX_ECDSA_P256_SHA_256`; another log may know more of them. Where there are
    /// no labels, what the key is: `ECDSA P-256`.
    pub key_details: String,
}

/// A leaf that says nothing readable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DescribeError {
    /// Longer than a leaf can be.
    #[error("entry is {len} bytes, at most {MAX_BODY} were expected")]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// Not JSON, or without the members of its kind.
    #[error("not an entry: {problem}")]
    Shape {
        /// What the parser says.
        problem: String,
    },
    /// Of a kind or version that is not known here.
    #[error("kind {kind:?} version {version:?} is not known, {} are", known())]
    Kind {
        /// The kind.
        kind: String,
        /// The version.
        version: String,
    },
    /// A value is not what its member is for.
    #[error("{field} of the {kind} entry is not {expected}")]
    Value {
        /// Kind of the entry.
        kind: &'static str,
        /// The member.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
    },
}

/// Reads a leaf.
pub fn describe(body: &[u8]) -> Result<Facts, DescribeError> {
    if body.len() > MAX_BODY {
        return Err(DescribeError::TooLong { len: body.len() });
    }
    let head = body::Head::parse(body)?;
    match KINDS.iter().find(|kind| kind.name == head.kind && kind.version == head.api_version) {
        Some(kind) => (kind.describe)(body),
        None => match v1::find_kind(&head.kind, &head.api_version) {
            Some(kind) => v1::describe(kind, body),
            None => Err(unknown(head)),
        },
    }
}

/// Reads what a leaf can be found by.
pub(crate) fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    if body.len() > MAX_BODY {
        return Err(DescribeError::TooLong { len: body.len() });
    }
    let head = body::Head::parse(body)?;
    if let Some(kind) = v1::find_kind(&head.kind, &head.api_version) {
        return (kind.traces)(body, keys);
    }
    match KINDS.iter().find(|kind| kind.name == head.kind && kind.version == head.api_version) {
        Some(kind) => (kind.traces)(body, keys),
        None => Err(unknown(head)),
    }
}

fn unknown(head: body::Head<'_>) -> DescribeError {
    DescribeError::Kind { kind: head.kind.into_owned(), version: head.api_version.into_owned() }
}

/// A kind of entry that can be read.
struct Kind {
    name: &'static str,
    version: &'static str,
    /// Reads a body of this kind and version.
    describe: fn(&[u8]) -> Result<Facts, DescribeError>,
    /// What such a body can be found by.
    traces: fn(&[u8], &mut KeyCache) -> Result<Traces, DescribeError>,
}

/// Every kind of the v2 door that can be read.
const KINDS: &[Kind] = &[hashedrekord::KIND, dsse::KIND];

fn known() -> String {
    let v2 = KINDS.iter().map(|kind| (kind.name, kind.version));
    let kinds = v2.chain(v1::kinds());
    kinds.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
}

//! The contract of a predicate type, and the list of those whose shape is known here.

pub(super) mod custom;
mod cyclonedx;
mod link;
mod openvex;
mod revocation;
mod slsa_v02;
mod slsa_v1;
mod spdx;
mod vuln;

use super::shape::At;
use crate::entry::Refusal;

pub use revocation::URI as REVOCATION;

/// A type of predicate.
#[derive(Debug)]
pub struct PredicateType {
    /// Its short names, as cosign's `--type` has them.
    pub names: &'static [&'static str],
    /// Its URI.
    pub uri: &'static str,
    /// How the URIs of its versions go on behind a slash; if none is named, any.
    versions: &'static [&'static str],
    /// Whether a predicate has what the specification requires.
    pub(super) judge: fn(&At<'_>) -> Result<(), Refusal>,
}

/// There is one for each URI.
impl PartialEq for PredicateType {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri
    }
}

impl Eq for PredicateType {}

/// One line for each.
const PREDICATES: [&PredicateType; 9] = [
    &custom::PREDICATE,
    &slsa_v02::PREDICATE,
    &slsa_v1::PREDICATE,
    &spdx::PREDICATE,
    &cyclonedx::PREDICATE,
    &link::PREDICATE,
    &vuln::PREDICATE,
    &openvex::PREDICATE,
    &revocation::PREDICATE,
];

impl PredicateType {
    /// All that are known.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        PREDICATES.into_iter()
    }

    /// By a short name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().find(|known| known.names.contains(&name))
    }

    /// That of a statement: by its URI, or by that of one of its versions.
    pub fn of(uri: &str) -> Option<&'static Self> {
        Self::all().find(|known| known.covers(uri))
    }

    /// Whether a URI is this type's, or goes on behind a slash with one of its versions.
    pub fn covers(&self, uri: &str) -> bool {
        let Some(rest) = uri.strip_prefix(self.uri) else { return false };
        let is_version = |rest: &str| {
            self.versions.is_empty() || self.versions.iter().any(|version| rest.starts_with(version))
        };
        rest.is_empty() || rest.strip_prefix('/').is_some_and(is_version)
    }
}

/// A resource: something with a URI, digests, or its content
/// (<https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md>).
fn resource(at: &At<'_>) -> Result<(), Refusal> {
    let uri = at.optional("uri")?;
    let digest = at.optional("digest")?;
    let content = at.optional("content")?;
    if uri.is_none() && digest.is_none() && content.is_none() {
        return Err(at.refuse("at least one of uri, digest and content"));
    }
    uri.map_or(Ok(""), |uri| uri.text())?;
    content.map_or(Ok(""), |content| content.any_text())?;
    digest.map_or(Ok(()), |digest| digest.digests())
}

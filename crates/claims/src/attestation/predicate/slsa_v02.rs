//! How an artifact was built, by SLSA 0.2 (<https://slsa.dev/spec/v0.2/provenance>).

use super::{At, PredicateType};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType = PredicateType {
    names: &["slsaprovenance", "slsaprovenance02"],
    uri: "https://slsa.dev/provenance/v0.2",
    versions: &[],
    judge,
};

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    predicate.member("builder")?.member("id")?.text()?;
    predicate.member("buildType")?.text()?;
    if let Some(invocation) = predicate.optional("invocation")? {
        if let Some(source) = invocation.optional("configSource")? {
            material(&source)?;
        }
        for name in ["parameters", "environment"] {
            invocation.optional(name)?.map_or(Ok(()), |value| value.object().map(drop))?;
        }
    }
    predicate.optional("buildConfig")?.map_or(Ok(()), |value| value.object().map(drop))?;
    if let Some(metadata) = predicate.optional("metadata")? {
        for name in ["buildStartedOn", "buildFinishedOn"] {
            metadata.optional(name)?.map_or(Ok(()), |value| value.time().map(drop))?;
        }
        metadata.optional("reproducible")?.map_or(Ok(false), |value| value.bool())?;
        if let Some(completeness) = metadata.optional("completeness")? {
            completeness.members()?.try_for_each(|(_, value)| value.bool().map(drop))?;
        }
    }
    match predicate.optional("materials")? {
        Some(materials) => materials.items()?.try_for_each(|at| material(&at)),
        None => Ok(()),
    }
}

/// Something that went into it, by its address, its digests, or both.
fn material(at: &At<'_>) -> Result<(), Refusal> {
    at.optional("uri")?.map_or(Ok(""), |uri| uri.any_text())?;
    at.optional("digest")?.map_or(Ok(()), |digest| digest.digests())
}

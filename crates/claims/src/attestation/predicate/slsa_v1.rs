//! How an artifact was built, by SLSA 1 (<https://slsa.dev/spec/v1.0/provenance>).

use super::{At, PredicateType, resource};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType = PredicateType {
    names: &["slsaprovenance1"],
    uri: "https://slsa.dev/provenance/v1",
    versions: &[],
    judge,
};

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    let definition = predicate.member("buildDefinition")?;
    definition.member("buildType")?.text()?;
    definition.member("externalParameters")?.object()?;
    definition.optional("internalParameters")?.map_or(Ok(()), |value| value.object().map(drop))?;
    resources(&definition, "resolvedDependencies")?;

    let details = predicate.member("runDetails")?;
    let builder = details.member("builder")?;
    builder.member("id")?.text()?;
    if let Some(version) = builder.optional("version")? {
        version.members()?.try_for_each(|(_, value)| value.any_text().map(drop))?;
    }
    resources(&builder, "builderDependencies")?;
    if let Some(metadata) = details.optional("metadata")? {
        metadata.optional("invocationId")?.map_or(Ok(""), |value| value.any_text())?;
        for name in ["startedOn", "finishedOn"] {
            metadata.optional(name)?.map_or(Ok(()), |value| value.time().map(drop))?;
        }
    }
    resources(&details, "byproducts")
}

fn resources(at: &At<'_>, name: &str) -> Result<(), Refusal> {
    match at.optional(name)? {
        Some(list) => list.items()?.try_for_each(|at| resource(&at)),
        None => Ok(()),
    }
}

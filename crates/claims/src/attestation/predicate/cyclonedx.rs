//! A bill of materials by `CycloneDX`, in JSON (<https://cyclonedx.org/docs/latest/json/>).

use super::{At, PredicateType};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType =
    PredicateType { names: &["cyclonedx"], uri: "https://cyclonedx.org/bom", versions: &[], judge };

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    predicate.member("bomFormat")?.one_of(&["CycloneDX"])?;
    let version = predicate.member("specVersion")?;
    if !version.text()?.starts_with("1.") {
        return Err(version.refuse("a version such as 1.6"));
    }
    predicate.optional("version")?.map_or(Ok(1), |value| value.count())?;
    if let Some(serial) = predicate.optional("serialNumber")?
        && !serial.text()?.starts_with("urn:uuid:")
    {
        return Err(serial.refuse("urn:uuid: and a UUID"));
    }
    let mut lists = Vec::from_iter(predicate.optional("components")?);
    if let Some(metadata) = predicate.optional("metadata")? {
        metadata.optional("timestamp")?.map_or(Ok(()), |value| value.time().map(drop))?;
        if let Some(of_it_all) = metadata.optional("component")? {
            lists.extend(component(&of_it_all)?);
        }
    }
    // Components are in components; a list of those to come instead of a recursion.
    while let Some(list) = lists.pop() {
        for at in list.items()? {
            lists.extend(component(&at)?);
        }
    }
    if let Some(dependencies) = predicate.optional("dependencies")? {
        dependencies.items()?.try_for_each(|at| at.member("ref")?.text().map(drop))?;
    }
    if let Some(vulnerabilities) = predicate.optional("vulnerabilities")? {
        vulnerabilities.items()?.try_for_each(|at| at.object().map(drop))?;
    }
    Ok(())
}

/// Judges one, but for the components that it has.
fn component<'a>(at: &At<'a>) -> Result<Option<At<'a>>, Refusal> {
    at.member("type")?.text()?;
    at.member("name")?.text()?;
    if let Some(hashes) = at.optional("hashes")? {
        hashes.items()?.try_for_each(|hash| {
            hash.member("alg")?.text()?;
            hash.member("content")?.text().map(drop)
        })?;
    }
    at.optional("components")
}

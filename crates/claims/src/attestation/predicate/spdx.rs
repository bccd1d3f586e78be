//! A bill of materials by SPDX 2, in JSON (<https://spdx.github.io/spdx-spec/v2.3/>).

use super::{At, PredicateType};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType = PredicateType {
    names: &["spdx", "spdxjson"],
    uri: "https://spdx.dev/Document",
    // The third version is another language.
    versions: &["v2"],
    judge,
};

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    if predicate.value.is_string() {
        return Err(predicate.refuse("the JSON of an SPDX 2 document"));
    }
    let version = predicate.member("spdxVersion")?;
    if !version.text()?.starts_with("SPDX-2.") {
        return Err(version.refuse("SPDX-2.2 or SPDX-2.3"));
    }
    predicate.member("SPDXID")?.one_of(&["SPDXRef-DOCUMENT"])?;
    predicate.member("dataLicense")?.one_of(&["CC0-1.0"])?;
    for name in ["name", "documentNamespace"] {
        predicate.member(name)?.text()?;
    }
    let creation = predicate.member("creationInfo")?;
    creation.member("created")?.time()?;
    creation.member("creators")?.some_items()?.try_for_each(|creator| creator.text().map(drop))?;

    each(predicate, "packages", &["SPDXID", "name", "downloadLocation"], |package| {
        package.optional("checksums")?.map_or(Ok(()), |list| checksums(&list))
    })?;
    each(predicate, "files", &["SPDXID", "fileName"], |file| checksums(&file.member("checksums")?))?;
    each(predicate, "relationships", &["spdxElementId", "relatedSpdxElement", "relationshipType"], |_| Ok(()))
}

/// A list that may be there, of objects with texts that must be.
fn each(
    document: &At<'_>,
    list: &str,
    texts: &[&str],
    more: impl Fn(&At<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let Some(list) = document.optional(list)? else { return Ok(()) };
    for at in list.items()? {
        for name in texts {
            at.member(name)?.text()?;
        }
        more(&at)?;
    }
    Ok(())
}

fn checksums(list: &At<'_>) -> Result<(), Refusal> {
    list.items()?.try_for_each(|at| {
        at.member("algorithm")?.text()?;
        at.member("checksumValue")?.text().map(drop)
    })
}

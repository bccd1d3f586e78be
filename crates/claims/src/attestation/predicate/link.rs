//! A step of a supply chain that was carried out, by in-toto (<https://in-toto.io/Link/v1>).

use super::{At, PredicateType, resource};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType =
    PredicateType { names: &["link"], uri: "https://in-toto.io/Link/v1", versions: &[], judge };

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    predicate.member("name")?.text()?;
    if let Some(command) = predicate.optional("command")? {
        command.items()?.try_for_each(|word| word.any_text().map(drop))?;
    }
    if let Some(materials) = predicate.optional("materials")? {
        materials.items()?.try_for_each(|at| resource(&at))?;
    }
    for name in ["byproducts", "environment"] {
        predicate.optional(name)?.map_or(Ok(()), |value| value.object().map(drop))?;
    }
    Ok(())
}

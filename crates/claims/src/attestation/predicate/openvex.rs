//! Which vulnerabilities matter to a product, by `OpenVEX`
//! (<https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md>).

use super::{At, PredicateType};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType =
    PredicateType { names: &["openvex"], uri: "https://openvex.dev/ns", versions: &[], judge };

const STATUS: [&str; 4] = ["not_affected", "affected", "fixed", "under_investigation"];
const JUSTIFICATION: [&str; 5] = [
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
];

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    let context = predicate.member("@context")?;
    if !PREDICATE.covers(context.text()?) {
        return Err(context.refuse("https://openvex.dev/ns, with or without a version,"));
    }
    predicate.member("@id")?.text()?;
    predicate.member("author")?.text()?;
    predicate.member("timestamp")?.dated()?;
    let version = predicate.member("version")?;
    // The first drafts had it as text.
    if !version.value.is_string() {
        version.count()?;
    }
    predicate.member("statements")?.some_items()?.try_for_each(|at| statement(&at))
}

fn statement(at: &At<'_>) -> Result<(), Refusal> {
    let vulnerability = at.member("vulnerability")?;
    // Its name alone, in the first drafts.
    if vulnerability.value.is_object() {
        vulnerability.member("name")?.text()?
    } else {
        vulnerability.text()?
    };
    if let Some(products) = at.optional("products")? {
        products.some_items()?.try_for_each(|product| match product.value {
            serde_json::Value::String(_) => product.text().map(drop),
            _ => product.object().map(drop),
        })?;
    }
    let justification = at.optional("justification")?;
    justification.as_ref().map_or(Ok(""), |value| value.one_of(&JUSTIFICATION))?;
    match at.member("status")?.one_of(&STATUS)? {
        "not_affected" if justification.is_none() && at.optional("impact_statement")?.is_none() => Err(
            at.lacks("justification", "it or impact_statement is required, since the status is not_affected")
        ),
        "affected" if at.optional("action_statement")?.is_none() => {
            Err(at.lacks("action_statement", "it is required, since the status is affected"))
        }
        _ => Ok(()),
    }
}

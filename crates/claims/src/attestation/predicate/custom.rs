//! What cosign attests when no type is named: any data, and when it was taken
//! (<https://github.com/sigstore/cosign/blob/main/specs/COSIGN_PREDICATE_SPEC.md>).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{At, PredicateType};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType = PredicateType {
    names: &["custom"],
    uri: "https://cosign.sigstore.dev/attestation/v1",
    versions: &[],
    judge,
};

/// The predicate around a text.
pub fn predicate(data: &str, taken: Timestamp) -> Value {
    json!({ "Data": data, "Timestamp": taken.to_string() })
}

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    predicate.member("Data")?;
    predicate.member("Timestamp")?.time().map(drop)
}

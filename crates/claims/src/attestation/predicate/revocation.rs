//! What is no longer to be believed, and since when: a type of our own.

use super::{At, PredicateType};
use crate::entry::Refusal;
use crate::revocation::Revocation;

/// Its URI.
pub const URI: &str = "urn:bulla:revocation:v1";

pub(super) const PREDICATE: PredicateType =
    PredicateType { names: &["revocation"], uri: URI, versions: &[], judge };

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    Revocation::read(predicate).map(drop)
}

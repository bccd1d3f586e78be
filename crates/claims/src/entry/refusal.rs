//! Why a proposed entry, or a document that was signed, is none: the fault of who made it, in words that let them mend it.

/// The first thing that is wrong with a proposed entry or a signed document.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Refusal {
    /// Where, as a path of JSON names: `hashedRekordRequestV002.digest`, `predicate.builder.id`.
    pub field: String,
    /// What stands there and what was expected: `digest is 20 bytes, SHA2_256 needs 32`.
    pub problem: String,
}

impl Refusal {
    /// At that place.
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

//! Why a proposed entry is no entry: the client's fault, in words that let the client mend it.

/// The first thing that is wrong with a proposed entry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Refusal {
    /// Where, as a path of JSON names in the request: `hashedRekordRequestV002.digest`.
    pub field: String,
    /// What stands there and what was expected: `digest is 20 bytes, SHA2_256 needs 32`.
    pub problem: String,
}

impl Refusal {
    /// At that place.
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

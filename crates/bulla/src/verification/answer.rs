//! The forms in which an answer is given.

/// For whom, or for which page, the answer is written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Answer {
    /// for a person
    Human,
    /// one JSON object
    Json,
    /// SARIF 2.1.0, for pages of findings
    Sarif,
    /// `JUnit` XML, for pages of tests
    Junit,
    /// what cosign prints of an image, with its exit codes
    Cosign,
}

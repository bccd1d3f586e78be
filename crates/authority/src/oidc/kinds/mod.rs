//! The issuer types. Each is a file here and a line in the list.

mod buildkite_job;
mod email;
mod generic;
mod github_workflow;
mod gitlab_pipeline;
mod kubernetes;
mod spiffe;
mod uri;
mod username;

use super::kind::{Kind, Settings};

pub(super) use email::EmailOrUri;

/// Makes a type from what the issuers file says.
type Open = fn(&mut Settings) -> Result<Box<dyn Kind>, String>;

/// The names of types in the issuers file.
pub(super) const LIST: &[(&str, Open)] = &[
    ("email", email::open),
    ("github-workflow", github_workflow::open),
    ("gitlab-pipeline", gitlab_pipeline::open),
    ("buildkite-job", buildkite_job::open),
    ("kubernetes", kubernetes::open),
    ("spiffe", spiffe::open),
    ("uri", uri::open),
    ("username", username::open),
    ("generic", generic::open),
];

#[cfg(test)]
mod tests;

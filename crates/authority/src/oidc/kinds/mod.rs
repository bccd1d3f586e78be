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
    ("email", |settings| Ok(Box::new(email::Email::open(settings)))),
    ("github-workflow", |_| Ok(Box::new(github_workflow::GithubWorkflow))),
    ("gitlab-pipeline", |_| Ok(Box::new(gitlab_pipeline::GitlabPipeline))),
    ("buildkite-job", |_| Ok(Box::new(buildkite_job::BuildkiteJob))),
    ("kubernetes", |_| Ok(Box::new(kubernetes::Kubernetes))),
    ("spiffe", spiffe::open),
    ("uri", uri::open),
    ("username", username::open),
    ("generic", generic::open),
];

#[cfg(test)]
mod tests;
